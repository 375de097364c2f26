"""`pyworker cancel`, `retry`, `dismiss`: by number and by filter, asked first, partly refused."""

import pytest
from support import Database

from pyworker.database.caller import Caller
from tests.terminal.conftest import Command


@pytest.fixture(scope="module", autouse=True)
def _function(shared: Database) -> None:
    shared.run(
        "create function app.broken(n integer) returns integer language sql return 1 / (n - n)"
    )


def _later(shared: Database, count: int, role: str = "app") -> list[int]:
    rows = shared.run(
        "select jobs.enqueue('pg_catalog.now', run_at => now() + '1 hour')"
        " from generate_series(1, %s)",
        [count],
        role=role,
    )
    return [row[0] for row in rows]


def _states(shared: Database, ids: list[int]) -> list[str]:
    return [shared.job(number, role="operator")["state"] for number in ids]


def test_by_number_what_was_done_stays_done(command: Command, shared: Database) -> None:
    mine, others = _later(shared, 2), _later(shared, 1, role="other")
    said = command("cancel", mine[0], others[0], mine[1], mine[0])
    assert said.code == 1
    assert said.out.splitlines() == [f"{mine[0]}  cancelled", f"{mine[1]}  cancelled"]
    assert f"job {others[0]}: not done: there is no job {others[0]}" in said.err
    assert "cancel: 2 of 3 jobs done" in said.err
    assert _states(shared, mine + others) == ["cancelled", "cancelled", "scheduled"]

    again = command("retry", *mine, others[0], "--json")
    assert again.code == 1
    told = again.json()
    assert (told["matched"], told["done"], told["not_done"]) == (3, 2, 1)
    assert [one["result"] for one in told["jobs"]] == ["retrying", "retrying", None]
    assert told["jobs"][2]["error"]["sqlstate"] == "PW030"
    assert command("cancel", *mine).code == 0
    assert command("cancel", others[0], role="operator").code == 0


def test_what_has_ended_already_is_not_done(command: Command, shared: Database) -> None:
    number = shared.value("select jobs.enqueue('pg_catalog.now')")
    shared.drain()
    for name in ("cancel", "dismiss"):
        said = command(name, number)
        assert (said.code, said.out) == (1, "")
        assert f"job {number}: not done: it is succeeded" in said.err
    assert f"job {number} has succeeded" in command("retry", number).err


def test_a_filter_shows_the_count_and_asks(command: Command, shared: Database) -> None:
    ids = _later(shared, 3)
    words = ["cancel", "--filter", "task=pg_catalog.n*", "--filter", "queue=default"]
    for typed in ("n\n", "", "\n"):
        said = command(*words, typed=typed)
        assert (said.code, said.out) == (1, "")
        assert "3 jobs match task=pg_catalog.n*, queue=default. Cancel? [y/N]" in said.err
        assert "nothing was done" in said.err
    assert _states(shared, ids) == ["scheduled"] * 3
    said = command(*words, typed="y\n")
    assert said.code == 0
    assert said.out.splitlines() == [f"{number}  cancelled" for number in ids]
    assert "[y/N]" in said.err
    assert "cancel: 3 of 3 jobs done" in said.err
    again = command(*words)
    assert (again.code, again.out) == (0, "")
    assert "no job matches" in again.err


def test_a_filter_means_the_login_s_own_and_what_the_action_is_for(
    command: Command, shared: Database
) -> None:
    mine, others = _later(shared, 1), _later(shared, 1, role="other")
    broken = shared.value("select jobs.enqueue('app.broken', '{\"n\": 1}', max_attempts => 1)")
    shared.drain()
    said = command("cancel", "--filter", "since=1 hour", "--yes", "--json")
    assert (said.code, said.json()["done"]) == (0, 1)
    assert _states(shared, [*mine, *others, broken]) == ["cancelled", "scheduled", "failed"]
    assert command("cancel", "--filter", "owner=other", "--yes", role="operator").code == 0

    said = command("dismiss", "--filter", "state=failed", "--yes")
    assert (said.code, said.out) == (0, f"{broken}  dismissed\n")
    for name in ("dismiss", "retry"):  # a person has looked, and by its number it is found still
        assert "no job matches" in command(name, "--filter", "task=app.broken", "--yes").err
    assert command("dismiss", broken).code == 0
    assert command("retry", broken).out == f"{broken}  retrying\n"
    assert command("cancel", broken).code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name jobs by their numbers, or with --filter"),
        (["5", "--filter", "state=queued"], "name jobs by their numbers, or with --filter"),
        (["--filter", "queued"], "is not understood; expected is KEY=VALUE"),
        (["--filter", "task="], "is not understood"),
        (["--filter", "id=5"], "with one of the keys state, queue, task, owner, since"),
        (["--filter", "queue=a", "--filter", "queue=b"], "names queue twice"),
        (["--filter", "state=queued,failed"], 'cancel is not for jobs in state "failed"'),
        (["--filter", "since=soon"], '"soon" is neither a time nor an interval'),
        (["--filter", "task=\udcff"], "it is not UTF-8"),
        (["x"], "'x' is not a valid integer"),
        (["9223372036854775808"], "is not in the range"),
    ],
)
def test_what_is_not_understood_does_nothing(command: Command, words: list[str], says: str) -> None:
    said = command("cancel", *words)
    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_a_queue_that_is_not_there(command: Command) -> None:
    said = command("dismiss", "--filter", "queue=nix", "--yes")
    assert said.code == 1
    assert 'there is no queue "nix"' in said.err


def test_many_refusals_are_counted_and_all_named(command: Command) -> None:
    said = command("cancel", *range(900_001, 900_031))
    assert said.code == 1
    assert said.err.count("not done: there is no job") == 20
    assert "10 more not done: 900021, 900022" in said.err
    assert "0 of 30 jobs done" in said.err


def test_a_database_that_goes_away_meanwhile(
    command: Command, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = _later(shared, 3)
    plain = Caller.act

    def act(caller: Caller, action: str, number: int) -> str:
        if number == ids[1]:
            caller._connection.execute("select pg_terminate_backend(pg_backend_pid())")
        return plain(caller, action, number)

    monkeypatch.setattr(Caller, "act", act)
    said = command("cancel", *ids)
    assert (said.code, said.out) == (1, f"{ids[0]}  cancelled\n")
    assert "cancel: 1 of 3 jobs done, 2 not tried" in said.err
    assert "terminating connection due to administrator command" in said.err
    monkeypatch.undo()
    assert _states(shared, ids) == ["cancelled", "scheduled", "scheduled"]
    assert command("cancel", *ids[1:]).code == 0
