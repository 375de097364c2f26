"""Who sees and steers whose jobs: an owner its own, an operator all, a reader all without what is
in them.
"""

from collections.abc import Callable, Iterator

import pytest
from databases import clone, drop
from support import Database, Server, sqlstate_of

SECRETS = tuple(
    f"s3cret-{what}" for what in ["arg", "result", "error", "statement", "note", "setting", "log"]
)


@pytest.fixture(scope="module")
def filled(server: Server, template: str) -> Iterator[Database]:
    """Jobs of other, in every state that needs no session, with a secret in every text."""
    database = clone(server, template, "visible")
    database.run(
        """create function other.echo(a text) returns text language plpgsql as
        $$ begin perform jobs.log('s3cret-log'); return 's3cret-result'; end $$;
        create function other.fail(a text) returns text language plpgsql
        as $$ begin raise 's3cret-error %', a; end $$""",
        role="other",
    )
    for query in (
        """select jobs.enqueue('other.echo', '{"a": "s3cret-arg"}',
            note => '{"x": "s3cret-note"}')""",
        """select jobs.enqueue('other.fail', '{"a": "s3cret-arg"}', max_attempts => 1)""",
        """select jobs.enqueue_sql('select ''s3cret-statement''',
            rollback => 'select ''s3cret-statement''',
        done_when => 'select ''s3cret-statement'' <> ''''')""",
    ):
        database.run(query, role="other")
    database.drain(role="other")
    for query in (
        """select jobs.enqueue('other.echo', '{"a": "s3cret-arg"}', run_at => '2100-01-01',
            unique_key => 'theirs',
        settings => '{"my.own": "s3cret-setting"}')""",
        """select jobs.enqueue('other.echo', '{"a": "s3cret-arg"}')""",
        """select jobs.enqueue_sql('select ''s3cret-statement''', run_at => '2100-01-01')""",
        """select jobs.enqueue_steps('["vacuum", {"statement": "select ''s3cret-statement''",
            "done_when": "''s3cret-statement'' = ''''", "rollback": "select ''s3cret-statement''"}
        ]', run_at => '2100-01-01')""",
    ):
        database.run(query, role="other")
    yield database
    drop(database)


VIEWS = (
    *("job", "queued", "running", "failed", "finished", "attempts", "sessions", "log_lines"),
    *("steps", "operations", "phases"),
)
COUNTS = {
    "job": 7,
    "steps": 2,
    "operations": 1,
    "phases": 0,
    "queued": 4,
    "running": 0,
    "failed": 1,
    "finished": 3,
    "attempts": 3,
    "sessions": 0,
    "log_lines": 1,
}


def _counts(database: Database, role: str) -> dict[str, int]:
    views = [view for view in VIEWS if not (view == "log_lines" and role == "reader")]
    return {view: database.value(f"select count(*) from jobs.{view}", role=role) for view in views}


def _texts(database: Database, role: str) -> str:
    views = [
        view
        for view in (*VIEWS, "queues", "health", "supervisors")
        if not (view == "log_lines" and role in ("reader", "supervisor"))
    ]
    return "\n".join(
        str(database.run(f"select v::text from jobs.{view} as v", role=role)) for view in views
    )


def test_owner_sees_everything_of_its_own(filled: Database) -> None:
    """The owner sees all of its jobs, with all that is in them."""
    texts = _texts(filled, "other")

    assert _counts(filled, "other") == COUNTS
    assert [secret for secret in SECRETS if secret not in texts] == []


@pytest.mark.parametrize("role", ["app", "producer", "runner", "supervisor"])
def test_others_see_nothing(filled: Database, role: str) -> None:
    """Another login sees no row of it in any view, and no figure that counts it."""
    assert filled.value("select count(*) from jobs.job", role=role) == 0
    texts = _texts(filled, role)
    assert [secret for secret in SECRETS if secret in texts] == []
    if role != "supervisor":
        figures = filled.run(
            "select queued, running, scheduled, oldest, failed from jobs.queues", role=role
        )
        assert figures == [(0, 0, 0, None, 0)]


def test_reader_sees_rows_without_texts(filled: Database) -> None:
    """A reader sees every job, its state and its SQLSTATE, and nothing that is in it."""
    texts = _texts(filled, "reader")

    assert _counts(filled, "reader") == {
        view: count for view, count in COUNTS.items() if view != "log_lines"
    }
    assert [secret for secret in SECRETS if secret in texts] == []
    assert filled.run("select sqlstate from jobs.failed", role="reader") == [("P0001",)]


def test_operator_sees_errors_and_notes(filled: Database) -> None:
    """An operator sees every job with error, note and log, and no argument, statement,
    result or setting.
    """
    texts = _texts(filled, "operator").replace("s3cret-error s3cret-arg", "s3cret-error")

    assert _counts(filled, "operator") == COUNTS
    seen = {secret for secret in SECRETS if secret in texts}
    assert seen == {"s3cret-error", "s3cret-note", "s3cret-log"}


CALLS: tuple[Callable[[int], str], ...] = (
    lambda job: f"select jobs.cancel({job})",
    lambda job: f"select jobs.retry({job})",
    lambda job: f"select jobs.run_now({job})",
    lambda job: f"select jobs.dismiss({job})",
    lambda job: f"select jobs.wait({job}, '1 s')",
    lambda job: f"call jobs.await({job}, '1 s')",
)


@pytest.mark.parametrize(
    "call", CALLS, ids=["cancel", "retry", "run_now", "dismiss", "wait", "await"]
)
def test_others_steer_nothing(filled: Database, call: Callable[[int], str]) -> None:
    """Another login's job cannot be steered by its id: PW030, the same as for one that is
    not there.
    """
    before = filled.run("select * from jobs.job order by id", role="other")
    codes = {sqlstate_of(lambda: filled.run(call(row[0]))) for row in before}  # noqa: B023

    assert len(before) == COUNTS["job"]
    assert codes == {"PW030"}
    assert filled.run("select * from jobs.job order by id", role="other") == before


def test_refusal_does_not_tell(filled: Database) -> None:
    """What is said of another's job and of no job is the same text."""
    theirs = filled.value("select min(id) from jobs.job", role="other")
    said = []
    for job in (theirs, 999_999):
        try:
            filled.run("select jobs.cancel(%s)", [job])
        except Exception as error:  # noqa: BLE001
            said.append(str(error).replace(str(job), "N").split("CONTEXT")[0])

    assert len(said) == 2
    assert said[0] == said[1]


def test_function_in_a_condition_sees_no_hidden_row(filled: Database) -> None:
    """A cheap function in a caller's WHERE is not asked about rows that the view hides."""
    filled.run(
        "create function app.peek(t text) returns boolean language plpgsql cost 0.0000001 as "
        "$$ begin raise notice 'seen %', t; return true; end $$"
    )
    seen: list[str] = []
    line = filled.line()
    line.add_notice_handler(lambda said: seen.append(str(said.message_primary)))
    columns = {
        "job": "task",
        "failed": "task",
        "finished": "task",
        "queued": "task",
        "attempts": "outcome",
    }
    for view, column in columns.items():
        filled.run(f"select * from jobs.{view} where app.peek({column}::text)")

    assert seen == []


def test_operator_steers_others(filled: Database) -> None:
    """An operator cancels and retries anybody's job; the job stays its owner's."""
    job = filled.value(
        """select jobs.enqueue('other.echo', '{"a": "x"}', run_at => '2100-01-01')""", role="other"
    )
    done = [
        filled.value(f"select jobs.{call}(%s)", [job], role="operator")
        for call in ("cancel", "retry", "cancel")
    ]
    owner = filled.job(job, role="other")["owner"]
    filled.admin("delete from jobs_internal.finished where id = %s", [job])

    assert done == ["cancelled", "retrying", "cancelled"]
    assert owner == "other"
