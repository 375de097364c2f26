"""A dump surprises nobody: a copy runs nothing by itself; once reconciled,
each job of the dump ends there, once.
"""

from collections.abc import Callable

import pytest
from kit.daemon import Supervise
from stage import attempts, gate_shut, make_lane, put, put_sql, state, wait_at_gate
from support import Database, Server, sqlstate_of

from .copying import OWNERS, run_cli, states_of

pytestmark = pytest.mark.timeout(300)  # the first one sets up a second cluster


@pytest.mark.parametrize(
    ("place", "form"), [("elsewhere", "custom"), ("elsewhere", "plain"), ("beside", "custom")]
)
def test_dumped_under_load(
    original: Database,
    request: pytest.FixtureRequest,
    copies: Callable[[Database, str, Server], Database],
    supervise: Supervise,
    place: str,
    form: str,
) -> None:
    """A dump made while jobs run: nothing runs in the copy until it is reconciled,
    then each job ends there, once.
    """
    target: Server = (
        request.getfixturevalue("elsewhere") if place == "elsewhere" else original.server
    )
    for who in OWNERS:
        make_lane(original, role=who)
    done = [put(original, "app.note", {"n": n}, role="ann") for n in range(5)]
    broken = put(original, "app.fail", {"state": "22000"}, role="bob")
    original.drain(role="ann")
    original.drain(role="bob")
    assert state(original, broken) == "failed"
    original.admin("delete from app.ledger")

    with gate_shut(original):
        gated = {
            who: put(original, "app.gate", {"n": 100 + i}, role=who) for i, who in enumerate(OWNERS)
        }
        unseen = put_sql(original, "call app.gated()", role="ann")
        vouched = put_sql(
            original,
            "do $$ begin perform app.gate(7); end $$",
            role="bob",
            done_when="select false",
        )
        daemon = supervise(original.dsn("supervisor"), "--owner", "ann", "--owner", "bob")
        held = wait_at_gate(original, 4)
        waiting = {
            who: [put(original, "app.note", {"n": n}, role=who) for n in range(10)]
            for who in OWNERS
        }
        later = put(original, "app.note", {"n": 55}, role="bob", run_at="2200-01-01")
        lows = [
            put(original, "app.note", {"n": 60 + n}, role="ann", priority="low") for n in range(3)
        ]
        # The load goes on while the dump is made.
        for who in OWNERS:
            original.run(
                "select count(*) from jobs.enqueue_many('app.nap',"
                " array(select jsonb_build_object('seconds', 0.02, 'n', g)"
                " from generate_series(1000, 1049) as g))",
                role=who,
            )
        copy = copies(original, form, target)
        daemon.stop()

        # In the copy nothing runs, and everybody who asks is told.
        before = states_of(copy)
        owner = {job: row[1] for job, row in states_of(original).items()}
        swapped = {"ann": "bob", "bob": "ann"} if place == "elsewhere" else {}
        assert {job: row[1] for job, row in before.items()} == {
            job: swapped.get(owner[job], owner[job]) for job in before
        }
        assert before[gated["ann"]][0] == "running"
        assert (
            copy.value(
                "select status from jobs.health where \"check\" = 'installation'", role="operator"
            )
            == "critical"
        )
        assert sqlstate_of(lambda: put(copy, "app.note", {"n": 1}, role="ann")) == "PW060"
        assert sqlstate_of(lambda: copy.run("select jobs.start()", role="ann")) == "PW060"
        assert (
            sqlstate_of(lambda: copy.run("select jobs.cancel(%s)", [gated["ann"]], role="operator"))
            == "PW060"
        )
        # the numbers are those of somebody else
        assert copy.run("select id from jobs.job", role="ann") == []
        ran = run_cli(copy.dsn("supervisor"), "run", "--until-empty")
        assert ran.returncode == 8
        assert "PW060" in ran.stdout
        checked = run_cli(copy.dsn("postgres"), "check")
        assert checked.returncode != 0
        assert "jobs.reconcile()" in checked.stdout
        assert not copy.background()
        assert states_of(copy) == before
        assert wait_at_gate(original, 4) == held, "nobody was signalled"

        facts = copy.value("select jobs.reconcile()", role="operator")
        # A procedure, and a statement at top level, ended unseen; all else goes back, uncharged.
        unfinished = {
            job: row for job, row in before.items() if row[0] in ("scheduled", "queued", "running")
        }
        assert facts["jobs_interrupted"] == sum(row[0] == "running" for row in unfinished.values())
        assert facts["roles_missing"] == []
        assert facts["functions_missing"] == []
        assert (facts["roles_moved"] >= 2) == (place == "elsewhere")
        learned = copy.admin("select owner, avg_ms from jobs_internal.call_stats")
        assert not learned or place == "beside", (
            "what one role's calls took is not told of another's"
        )
        assert {job: row[1] for job, row in states_of(copy).items()} == {
            job: owner[job] for job in before
        }
        assert {row[0] for row in copy.run("select id from jobs.job", role="ann")} == {
            job for job in before if owner[job] == "ann"
        }
        again = copy.value("select jobs.reconcile()", role="operator")
        assert again["was"] == "at home"
        assert not [
            again[name]
            for name in ("jobs_due_again", "messages_removed", "lanes_made", "queues_removed")
            if again[name]
        ]

        copy.admin("delete from app.ledger")
        daemon = supervise(
            copy.dsn("supervisor"), "--owner", "ann", "--owner", "bob", "--until-empty"
        )
        assert daemon.process.wait(60) == 0

    after = states_of(copy)
    for job, row in before.items():
        assert after[job][1] == owner[job]
        if job not in unfinished:
            assert (after[job][0], *after[job][2:]) == (row[0], *row[2:]), (
                "what was finished stays as it was"
            )
    expected = {job for job in unfinished if job not in (later, vouched, unseen)}
    assert {job: after[job][0] for job in expected} == dict.fromkeys(expected, "succeeded")
    effects = copy.admin(
        "select job, owner, count(*) from app.ledger where job is not null group by 1, 2 order by 1"
    )
    notes = {job for job in expected if before[job][3].startswith("app.")}
    assert {row[0]: row[1:] for row in effects if row[0] != vouched} == {
        job: (owner[job], 1) for job in notes
    }
    assert after[later][0] == "scheduled"
    assert set(waiting["ann"] + waiting["bob"] + lows) <= expected | {
        j for j in before if before[j][0] == "succeeded"
    }
    assert [attempts(copy, job) for job in gated.values()] == [
        [(1, "succeeded")],
        [(1, "succeeded")],
    ]
    assert after[unseen][0] == "in_doubt"
    assert after[vouched][0] == "failed"  # asked, not true; run again; asked: never true
    assert set(done) <= set(after)
    assert put(copy, "app.note", {"n": 1}, role="ann") > max(before)
