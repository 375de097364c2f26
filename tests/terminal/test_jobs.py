"""`pyworker jobs`, `show`, `explain`: what is found, what is not shown, and clear answers."""

from dataclasses import dataclass

import pytest
from support import Database

from pyworker.cli.jobs_options import STATES
from tests.terminal.conftest import Command

FUNCTIONS = """
create function app.share(part numeric, whole numeric) returns numeric language plpgsql as $$
begin
  perform jobs.log(E'about to divide\\nby \\x1b[31m' || whole);
  return part / whole;
end $$
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    failed: int
    done: int
    later: int
    other: int


@pytest.fixture(scope="module", autouse=True)
def made(shared: Database) -> Made:
    """Jobs of app: one that failed, one that is done, one for later; and one of another role."""
    shared.run(FUNCTIONS)
    shared.admin("select jobs.create_queue('reports')")

    def enqueue(whole: int, more: str = "") -> int:
        return int(
            shared.value(
                "select jobs.enqueue('app.share', jsonb_build_object('part', 1, 'whole', %s)"
                f"{more})",
                [whole],
            )
        )

    return Made(
        failed=enqueue(0, ', options => \'{"title": "[red]markup[/]"}\''),
        done=enqueue(2),
        later=enqueue(4, ", queue => 'reports', run_at => now() + '1 hour'"),
        other=_after_drain(shared),
    )


def _after_drain(shared: Database) -> int:
    shared.drain()
    return int(shared.value("select jobs.enqueue('pg_catalog.now')", role="other"))


def _ids(command: Command, *words: object, role: str = "app") -> list[int]:
    said = command("jobs", *words, "--json", role=role)
    assert said.code == 0, said
    return [row["id"] for row in said.json()]


def test_jobs_are_found_by_what_is_asked_for(command: Command, made: Made) -> None:
    task = ("--task", "app.sh*")
    assert _ids(command, *task) == [made.later, made.done, made.failed]
    assert _ids(command, *task, "--limit", 1) == [made.later]
    assert _ids(command, "--task", "app.share", "--queue", "reports") == [made.later]
    assert _ids(command, "--task", "app_share*") == []
    assert _ids(command, "--state", "failed") == [made.failed]
    assert _ids(command, "--state", "failed", "--state", "scheduled") == [made.later, made.failed]
    assert _ids(command, *task, "--since", "1 hour") == [made.later, made.done, made.failed]
    assert _ids(command, *task, "--since", "tomorrow") == []
    assert _ids(command, "--owner", "other", role="reader") == [made.other]


def test_only_what_the_login_may_see(command: Command, made: Made) -> None:
    assert made.other not in _ids(command)
    said = command("show", made.other)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"pyworker: there is no job {made.other}, or this role may not see")
    facts = command("show", made.failed, "--json", role="reader").json()
    assert facts["job"]["state"] == "failed"
    assert (facts["job"]["args"], facts["job"]["error"], facts["log_lines"]) == (None, None, None)
    assert "log lines: not for this role" in command("show", made.failed, role="reader").out


def test_a_list_is_a_table_with_the_reason(command: Command, made: Made) -> None:
    said = command("jobs", "--task", "app.share", "--limit", 3)
    head, *lines = said.out.splitlines()
    assert head.split() == ["id", "state", "queue", "owner", "title", "since", "what"]
    assert [line.split()[:3] for line in lines] == [
        [str(made.later), "scheduled", "reports"],
        [str(made.done), "succeeded", "default"],
        [str(made.failed), "failed", "default"],
    ]
    assert lines[0].endswith("waits for its time")
    assert "[red]markup[/]" in lines[2]
    assert lines[2].endswith("22012 division by zero")
    more = command("jobs", "--limit", 1)
    assert len(more.out.splitlines()) == 2
    assert "more than these 1" in more.err


def test_all_about_one_job(command: Command, made: Made) -> None:
    facts = command("show", made.failed, "--json").json()
    assert facts["job"]["error"]["sqlstate"] == "22012"
    assert [attempt["outcome"] for attempt in facts["attempts"]] == ["failed"]
    assert facts["log_lines"][0]["message"] == "about to divide\nby \x1b[31m0"
    assert (facts["running"], facts["explain"]) == (None, None)

    said = command("show", made.failed)
    assert "\x1b" not in said.out
    assert r"about to divide\nby \x1b[31m0" in said.out
    assert "division by zero" in said.out

    waits = command("show", made.later, "--json").json()
    assert waits["explain"]["code"] == "time"
    assert command("explain", made.later, "--json").json() == waits["explain"]
    said = command("explain", made.later)
    assert said.code == 0
    assert f"select jobs.run_now({made.later})" in said.out


@pytest.mark.parametrize("name", ["show", "explain", "cancel", "retry", "dismiss"])
def test_a_job_that_is_not_there(command: Command, name: str) -> None:
    said = command(name, 999_999_999)
    assert (said.code, said.out) == (1, "")
    assert "there is no job 999999999" in said.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--state", "ready"], 2, "'ready' is not one of 'scheduled'"),
        (["--since", "soon"], 2, '"soon" is neither a time nor an interval'),
        (["--queue", "nix"], 1, 'there is no queue "nix"'),
        (["--queue", "a\udcff"], 2, "it is not UTF-8"),
        (["--limit", "0"], 2, "0 is not in the range"),
    ],
)
def test_a_filter_that_makes_no_sense(
    command: Command, words: list[str], code: int, says: str
) -> None:
    said = command("jobs", *words)
    assert (said.code, said.out) == (code, "")
    assert says in said.err


def test_a_role_without_rights_is_told_what_it_needs(command: Command, made: Made) -> None:
    for words in (["jobs"], ["show", made.done], ["explain", made.done], ["cancel", made.later]):
        said = command(*words, role="nobody")
        assert (said.code, said.out) == (1, "")
        assert "permission denied for schema jobs" in said.err
        assert "grant jobs_producer" in said.err
    said = command("cancel", made.later, role="reader")
    assert (said.code, said.out) == (1, "")
    assert "It is for members of jobs_producer or jobs_operator" in said.err


def test_a_database_without_pyworker_or_of_another_version(
    command: Command, shared: Database
) -> None:
    said = command("jobs", "--dsn", shared.server.dsn("app", "postgres"))
    assert said.code == 1
    assert "pyworker is not installed in this database." in said.err
    shared.admin("alter view jobs.job rename column waits_for to waited_for")
    try:
        said = command("jobs")
    finally:
        shared.admin("alter view jobs.job rename column waited_for to waits_for")
    assert (said.code, said.out) == (1, "")
    assert "of another schema version" in said.err
    assert "pyworker upgrade" in said.err


def test_a_database_that_is_away(command: Command) -> None:
    for name in ("jobs", "show", "explain", "cancel", "retry", "dismiss"):
        words = [] if name == "jobs" else ["1"]
        said = command(name, *words, "--dsn", "host=/nowhere dbname=d user=u")
        assert (said.code, said.out) == (1, "")
        assert "HINT: See that the server runs" in said.err


def test_the_states_are_those_of_the_database(shared: Database) -> None:
    comment = shared.value(
        "select col_description('jobs.job'::regclass, attnum) from pg_attribute"
        " where attrelid = 'jobs.job'::regclass and attname = 'state'"
    )
    words = comment.replace(",", " ").split()
    assert [word for word in words if word in STATES] == list(STATES)
    assert len(words) == len(STATES) + len(["(waits", "for", "run_at", "or", "for", "its", "lane)"])
