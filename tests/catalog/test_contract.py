"""The public contract: names, parameters, defaults and columns that people rely on.
Added to freely, changed never.
"""

import pytest
from support import Database

OPTIONS = (
    "queue text DEFAULT 'default'::text, run_at timestamp with time zone DEFAULT now(),"
    " timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer,"
    " unique_key text DEFAULT NULL::text, priority text DEFAULT 'normal'::text,"
    " settings jsonb DEFAULT '{}'::jsonb, note jsonb DEFAULT '{}'::jsonb"
)
LAST = ", options jsonb DEFAULT '{}'::jsonb"

FUNCTIONS = {
    "enqueue": (f"task text, args jsonb DEFAULT '{{}}'::jsonb, {OPTIONS}{LAST}", "bigint", "f"),
    "enqueue_many": (f"task text, args jsonb[], {OPTIONS}{LAST}", "SETOF bigint", "f"),
    "enqueue_sql": (
        (
            f"statement text, {OPTIONS}, done_when text DEFAULT NULL::text, rollback text DEFAULT"
            f" NULL::text{LAST}"
        ),
        *("bigint", "f"),
    ),
    "enqueue_steps": (f"steps jsonb, {OPTIONS}{LAST}", "bigint", "f"),
    "cancel": ("id bigint", "text", "f"),
    "retry": ("id bigint", "text", "f"),
    "run_now": ("id bigint", "text", "f"),
    "wait": ("id bigint, timeout interval", "text", "f"),
    "await": ("IN id bigint, IN timeout interval", None, "p"),
    "progress": ("done numeric, total numeric, message text DEFAULT NULL::text", "void", "f"),
    "log": (
        "message text, level text DEFAULT 'info'::text, fields jsonb DEFAULT '{}'::jsonb",
        "void",
        "f",
    ),
    "current_id": ("", "bigint", "f"),
    "start": ("sessions integer DEFAULT 1", "integer", "f"),
}

#: Functions whose name, and first parameter, are promised.
NAMED = {
    "create_queue": "name",
    "alter_queue": "name",
    "pause": "queue",
    "resume": "queue",
    "drop_queue": "queue",
}

COLUMNS = {
    "job": "id queue owner task state attempt max_attempts priority run_at created_at started_at"
    " finished_at"
    " result error note",
    "attempts": "job_id attempt outcome started_at finished_at pid child_pid result error",
    "running": (
        "id task owner pid child_pid started_at done total percent eta message wait_event"
        " blocked_by"
    ),
    "queues": "queue paused concurrency queued running scheduled oldest failed",
    "health": "check status detail remedy",
    "queued": "id",
    "failed": "id",
    "finished": "id",
    "sessions": "pid",
    "supervisors": "name",
}

TYPES = {
    ("job", "result"): "jsonb",
    ("job", "error"): "jsonb",
    ("job", "note"): "jsonb",
    ("job", "id"): "bigint",
    ("running", "blocked_by"): "integer[]",
    ("running", "eta"): "timestamp with time zone",
    ("queues", "paused"): "boolean",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(shared: Database, name: str) -> None:
    """A function of the contract has its parameters, in order, with names, types and defaults,
    and its result.
    """
    found = shared.admin(
        "select pg_get_function_arguments(oid), pg_get_function_result(oid), prokind from pg_proc"
        " where pronamespace = 'jobs'::regnamespace and proname = %s",
        [name],
    )

    assert found == [FUNCTIONS[name]]


@pytest.mark.parametrize("name", NAMED)
def test_queue_function(shared: Database, name: str) -> None:
    """The functions on queues are there, and their first parameter has its name."""
    found = shared.admin(
        "select proargnames[1] from pg_proc where pronamespace = 'jobs'::regnamespace"
        " and proname = %s",
        [name],
    )

    assert found == [(NAMED[name],)]


@pytest.mark.parametrize("view", COLUMNS)
def test_view(shared: Database, view: str) -> None:
    """A view of the contract has at least its columns."""
    found = {
        column
        for (column,) in shared.admin(
            "select attname from pg_attribute where attrelid = ('jobs.' || %s)::regclass"
            " and attnum > 0",
            [view],
        )
    }

    assert set(COLUMNS[view].split()) - found == set()


@pytest.mark.parametrize(("view", "column"), TYPES)
def test_type_of_column(shared: Database, view: str, column: str) -> None:
    """A column of the contract has its type."""
    found = shared.value(
        "select format_type(atttypid, null) from pg_attribute"
        " where attrelid = ('jobs.' || %s)::regclass and attname = %s",
        [view, column],
        role="postgres",
    )

    assert found == TYPES[view, column]


def test_layout_of_pgmq(shared: Database) -> None:
    """The claim reads pgmq's tables directly: their columns and their index are what it was
    written for.
    """
    columns = shared.admin(
        "select attname, format_type(atttypid, null) from pg_attribute"
        " where attrelid = 'pgmq.q_pyworker_1'::regclass"
        " and attnum > 0 and not attisdropped order by attnum"
    )
    indexes = shared.admin("select indexdef from pg_indexes where tablename = 'q_pyworker_1'")

    assert set(columns) >= {
        ("msg_id", "bigint"),
        ("read_ct", "integer"),
        ("enqueued_at", "timestamp with time zone"),
        ("last_read_at", "timestamp with time zone"),
        ("vt", "timestamp with time zone"),
        ("message", "jsonb"),
    }
    assert any("(msg_id)" in definition for (definition,) in indexes)
    assert shared.admin(
        "select relpersistence from pg_class where oid = 'pgmq.q_pyworker_1'::regclass"
    ) == [("p",)]
