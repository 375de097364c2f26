"""Option repeatable: a procedure that ended unseen runs again, however it was enqueued; without it,
it is in doubt.
"""

import pytest
from stage import attempts, gate_shut, ledger, state, wait_at_gate, wait_running
from support import Database, wait_until

CALLS = {
    "enqueue": (
        "app",
        'select jobs.enqueue(\'app.watched\', \'{"n": 1, "secret": ""}\', options => %s)',
    ),
    "enqueue_many": (
        "app",
        (
            'select jobs.enqueue_many(\'app.watched\', array[\'{"n": 1, "secret": ""}\']::jsonb[],'
            " options => %s)"
        ),
    ),
    "enqueue_sql": ("app", "select jobs.enqueue_sql('call app.watched(1, '''')', options => %s)"),
    "enqueue_published": (
        "other",
        'select jobs.enqueue_published(\'app.watched\', \'{"n": 1, "secret": ""}\', options => %s)',
    ),
}


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("function", CALLS)
def test_a_call_that_ended_unseen(database: Database, function: str, *, repeatable: bool) -> None:
    """Its watcher dies while it works: it ends by itself, and nobody saw how."""
    database.run("select jobs.publish('app.watched', 'other')")
    role, query = CALLS[function]
    job = database.value(query, [f'{{"repeatable": {str(repeatable).lower()}}}'], role=role)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin("select pg_terminate_backend(%s)", [wait_running(database, job)["pid"]])
        wait_until(lambda: len(database.background()) == 1)
    wait_until(lambda: not database.background())
    database.drain()
    if repeatable:
        assert (state(database, job), ledger(database)) == ("succeeded", [1, 1])
        assert [outcome for _, outcome in attempts(database, job)] == ["lost", "succeeded"]
    else:
        assert (state(database, job), ledger(database)) == ("in_doubt", [1])
