"""Every text and every JSON value that a tenant may pass has a limit, and what refuses it says so
in a few words.
"""

import psycopg
from support import Database

PARAMETERS = """
select p.proname, p.proargnames[a.n], a.type::regtype::text
from pg_proc as p cross join unnest(p.proargtypes) with ordinality as a(type, n)
where p.pronamespace = 'jobs'::regnamespace and p.prokind = 'f'
  and a.type in ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'jsonb[]'::regtype)
order by 1, a.n
"""
#: What else a call needs.
REQUIRED = {
    "enqueue": {"task": "'app.note'"},
    "enqueue_many": {"task": "'app.note'", "args": "array['{\"n\": 1}']::jsonb[]"},
    "enqueue_published": {"task": "'app.note'"},
    "enqueue_sql": {"statement": "'vacuum'"},
    "publish": {"task": "'app.note'", "to_role": "'other'"},
    "set_priority": {"id": "0", "priority": "'low'"},
    "configure": {"name": "'lease_seconds'", "value": "'1'"},
    "create_queue": {"name": "'mail'"},
    "set_quota": {"role": "'app'"},
    "mark": {"name": "'m'"},
    "compare": {"mark": "0"},
    "set_retry_rule": {"pattern": "'*'", "retry": "true"},
    "enqueue_steps": {"steps": "'[\"vacuum\"]'::jsonb"},
    "not_null_steps": {"table_name": "'app.ledger'", "column_name": "'n'"},
    "constraint_steps": {
        "table_name": "'app.ledger'",
        "name": "'c'",
        "definition": "'check (n > 0)'",
    },
    "unique_steps": {"table_name": "'app.ledger'", "columns": "'{n}'"},
    "replace_index_steps": {"index_name": "'app.no'", "new_definition": "'on app.ledger (n)'"},
    "rehearse": {"statement": "'create index on app.ledger (n)'"},
    "note": {"id": "0", "note": "'{}'::jsonb"},
    "set_concurrency": {"key": "'k'", "max": "1"},
    "schedule": {
        "name": "'s'",
        "schedule": "'@daily'",
        "task": "'app.note'",
        "args": "'{\"n\": 1}'::jsonb",
    },
    "create_batch": {"name": "'b'", "on_finish": "'app.note'", "args": "'{\"n\": 1}'::jsonb"},
    "schedule_sql": {"name": "'s'", "schedule": "'@daily'", "statement": "'vacuum'"},
    "alter_schedule": {"name": "'s'"},
    "unschedule": {"name": "'s'"},
    "pause_schedule": {"name": "'s'"},
    "resume_schedule": {"name": "'s'"},
    "run_schedule": {"name": "'s'"},
    "rerun_schedule": {"name": "'s'", "since": "now()", "until": "now()"},
    "next_runs": {"schedule": "'@daily'"},
    "alter_queue": {"name": "'default'"},
    "create_window": {"name": "'w'", "schedule": "'@daily'", "duration": "'1 hour'"},
    "alter_window": {"name": "'w'"},
    "open_window": {"name": "'w'", "duration": "'1 hour'"},
}
#: Outside of a job they do nothing, and in a job they cut what is long
#: (tests/execution/test_log_lines.py).
IN_A_JOB = {"log", "progress"}
LARGE = {
    "text": "repeat('x', 3000000)",
    "text[]": "array[repeat('x', 3000000)]",
    "jsonb": "jsonb_build_object({key}, repeat('x', 3000000))",
    "jsonb[]": "array[jsonb_build_object('n', repeat('x', 3000000))]",
}
#: Keys that get through the first look.
KEYS = {
    "args": ("n",),
    "settings": ("app.x", "work_mem"),
    "options": (
        *("title", "notify", "done_when", "rollback", "repeatable", "nothing", "window"),
        *("queue", "priority", "timeout", "unique_key", "note", "settings", "pause_after"),
    ),
}
#: Our errors. Arguments of a job may be 128 MB, or what a quota says: here they are no number
#: (PW005).
OURS = "PW"


def _refusal(database: Database, function: str, given: dict[str, str]) -> psycopg.Error | None:
    call = ", ".join(f"{name} => {value}" for name, value in given.items())
    try:
        database.run(
            f"select jobs.{function}({call})",
            role="other" if function == "enqueue_published" else "app",
        )
    except psycopg.Error as error:
        return error
    return None


def test_no_parameter_takes_what_is_large(database: Database) -> None:
    database.run("select jobs.publish('app.note', 'other')")
    passed, wordy, foreign = [], [], []
    for function, name, kind in database.admin(PARAMETERS):
        if function in IN_A_JOB:
            continue
        for key in KEYS.get(name, ("k",)):
            value = LARGE[kind].format(key=f"'{key}'")
            error = _refusal(database, function, REQUIRED.get(function, {}) | {name: value})
            where = f"{function}({name}: {key})"
            if error is None:
                passed.append(where)
            elif len(str(error)) > 10000:
                wordy.append((where, len(str(error))))
            elif not (error.sqlstate or "").startswith(OURS) and error.sqlstate != "42501":
                foreign.append((where, error.sqlstate))
    assert (passed, wordy, foreign) == ([], [], [])
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]


def test_names_of_keys_are_no_way_round(database: Database) -> None:
    """A key may be as long as a value."""
    for name in ("args", "settings", "note", "options"):
        error = _refusal(
            database,
            "enqueue",
            REQUIRED["enqueue"] | {name: "jsonb_build_object(repeat('k', 3000000), 'x')"},
        )
        assert error is not None
        assert len(str(error)) < 10000
        assert (error.sqlstate or "").startswith(OURS)
