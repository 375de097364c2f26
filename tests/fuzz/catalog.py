"""Every public function, and what each of its parameters is given.
test_covered.py compares it with the catalog.
"""

from .calls import Fuzzed
from .statements import CONDITIONS, DEFINITIONS, STATEMENTS, STEPS
from .values import (
    ANY_TEXT,
    ARGS,
    ARRAYS,
    BIGINTS,
    BOOLEANS,
    INTEGERS,
    INTERVALS,
    JSON,
    LARGE,
    NUMERICS,
    OPTIONS,
    QUEUES,
    TASKS,
    either,
)

#: Longer waits only take time.
#: null is without end, and jobs.await, which takes every job, would be as good as its word.
_LIMITS = either(
    "0", "-1 s", "1 ms", "-infinity", "-178000000 years", "1 month -31 days", "x", "20 ms"
)
_WAITS = either(
    None, "0", "-1 s", "1 ms", "-infinity", "-178000000 years", "1 month -31 days", "x", "20 ms"
)
_QUEUE_NAMES = (
    either(
        "default",
        "fuzz",
        "fuzz.2",
        "another",
        None,
        "",
        "a b",
        "x" * 63,
        "x" * 64,
        LARGE,
        "q\n",
        "-",
        "é",
    )
    | ANY_TEXT
)
_QUEUE_OPTIONS = {
    "concurrency": INTEGERS,
    "timeout": INTERVALS,
    "max_attempts": INTEGERS,
    "backoff": INTERVALS,
    "backoff_cap": INTERVALS,
    "retention": INTERVALS,
    "share_commits": BOOLEANS,
}
_NAMES_OF_SETTINGS = either(
    "chunk_jobs", "chunk_ms", "claim_jobs", "claim_ms", "lease_seconds", "session_seconds",
    "session_jobs", "sessions_per_owner", "measure_cost", "log_lines", "result_rows",
    "deadlock_risk_cancels", "result_bytes", "child_queue_bytes",
    "no_such", "", None, LARGE,
)  # fmt: skip
_PATTERNS = (
    either("*", "22", "40001", "PW", "XX000", "**", "4", "", None, "22p02", "22\n", "é0", LARGE)
    | ANY_TEXT
)

_PRIORITIES = either("high", "normal", "low", None, "", LARGE) | ANY_TEXT
_ROLES = (
    either("app", "other", "nobody", "public", None, "", "no such", '"app"', "x" * 64, LARGE)
    | ANY_TEXT
)

_SCHEDULES = (
    either(
        "30 2 * * mon-fri", "*/15 * * * *", "0 0 29 2 */7", "0 0 L * *", "0 0 30 2 *", "@daily",
        "@reboot", "every 15 minutes", "every 999999999 weeks", "after 1 s", "* * * * * *",
        "*/99 * * * *", ", , , , ,", "", None, LARGE, "é * * * *",
    )
    | ANY_TEXT
)  # fmt: skip
_ZONES = (
    either(
        "UTC", "Europe/Zurich", "australia/lord_howe", "CET", "Foo/Bar3", "posix/UTC", "", None,
        LARGE, "é",
    )
    | ANY_TEXT
)  # fmt: skip

_RELATIONS = (
    either(
        "app.t", 'app."T"', "t", "app.t_n", "app.no_such", "pg_catalog.pg_class", "a.b.c.d", None
    )
    | ANY_TEXT
)
_COLUMNS = either("n", "t", "xmin", "no such", "", None, LARGE) | ANY_TEXT

_SCHEDULE_NAMES = either("s", "t", "no such", "", " ", None, "x" * 201, LARGE) | ANY_TEXT
_TIMING = {
    "timezone": _ZONES,
    "overlap": either("skip", "queue", "queue_one", "parallel", "replace", "", None) | ANY_TEXT,
    "missed": either("last", "all", "none", "", None) | ANY_TEXT,
    "missed_within": INTERVALS,
    "jitter": INTERVALS,
    "starts_at": OPTIONS["run_at"],
    "ends_at": OPTIONS["run_at"],
}
_WINDOWS = either("w", "no such", "", "a b", None, LARGE) | ANY_TEXT
#: A queue of a window runs nothing while that is closed, and these tests want to see it run; nor do
#: they wait for a rate.
_RATES = {
    "rate_limit": either(None, "0", "-1", "1000", "2147483647", "2147483648", "x", "1.5"),
    "rate_period": either(None, "1 second", "0", "-1 second", "infinity", "1 month", "1 us", "x"),
    "rate_by": either(None, "", "n", LARGE),
}
_NO_WINDOWS = either("", "no such", None, LARGE)
_CLOSES = either("finish", "stop", "park", "", None, LARGE) | ANY_TEXT
_NAMED = {"name": _SCHEDULE_NAMES, "owner": _ROLES}

FUZZED: dict[str, Fuzzed] = {
    "schedule": Fuzzed("app", {
        "name": _SCHEDULE_NAMES, "schedule": _SCHEDULES, "task": TASKS, "args": ARGS, **_TIMING,
        "options": OPTIONS["options"],
    }, ("name", "schedule", "task")),
    "schedule_sql": Fuzzed("app", {
        "name": _SCHEDULE_NAMES, "schedule": _SCHEDULES, "statement": STATEMENTS, **_TIMING,
        "options": OPTIONS["options"],
    }, ("name", "schedule", "statement")),
    "alter_schedule": Fuzzed("app", {
        "name": _SCHEDULE_NAMES, "schedule": _SCHEDULES, **_TIMING, "pause_after": INTEGERS,
        "owner": _ROLES,
    }, ("name",)),
    "unschedule": Fuzzed("app", _NAMED, ("name",)),
    "pause_schedule": Fuzzed("app", _NAMED, ("name",)),
    "resume_schedule": Fuzzed("app", _NAMED, ("name",)),
    "run_schedule": Fuzzed("app", _NAMED, ("name",)),
    "rerun_schedule": Fuzzed("app", {
        "name": _SCHEDULE_NAMES, "since": OPTIONS["run_at"], "until": OPTIONS["run_at"],
        "owner": _ROLES,
    }, ("name", "since", "until")),
    "import_schedules": Fuzzed("app", {
        "source": either("'pg_cron'", "'pgagent'", "'pg_timetable'", "'cron'", "''", None),
        "apply": either("true", "false", None),
    }, ("source",)),
    "create_batch": Fuzzed("app", {
        "name": _SCHEDULE_NAMES, "on_finish": TASKS, "on_success": TASKS, "on_failure": TASKS,
        "args": ARGS, "options": OPTIONS["options"],
    }, ("name",)),
    "close_batch": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "cancel_batch": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "retry_batch": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "batch_jobs": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "current_run": Fuzzed("app", {}, ()),
    "snooze": Fuzzed(
        "app", {"pause": INTERVALS, "keep": either("true", "false", None)}, ("pause",)
    ),
    "enqueue_steps": Fuzzed("app", {"steps": STEPS, **OPTIONS}, ("steps",)),
    "not_null_steps": Fuzzed(
        "app",
        {"table_name": _RELATIONS, "column_name": _COLUMNS},
        ("table_name", "column_name"),
    ),
    "constraint_steps": Fuzzed(
        "app",
        {"table_name": _RELATIONS, "name": _COLUMNS, "definition": DEFINITIONS},
        ("table_name", "name", "definition"),
    ),
    "unique_steps": Fuzzed(
        "app",
        {
            "table_name": _RELATIONS,
            "columns": either("{n}", "{n,t}", "{n,n}", "{}", "{null}", "{{n},{t}}", "x", None),
        },
        ("table_name", "columns"),
    ),
    "replace_index_steps": Fuzzed(
        "app",
        {"index_name": _RELATIONS, "new_definition": DEFINITIONS},
        ("index_name", "new_definition"),
    ),
    "enqueue": Fuzzed("app", {"task": TASKS, "args": ARGS, **OPTIONS}, ("task",)),
    "forget": Fuzzed(
        "app", {"task": TASKS, "args": ARGS, "unique_key": OPTIONS["unique_key"]}, ()
    ),
    "set_concurrency": Fuzzed(
        "app", {"key": OPTIONS["unique_key"], "max": BIGINTS}, ("key", "max")
    ),
    "enqueue_many": Fuzzed("app", {"task": TASKS, "args": ARRAYS, **OPTIONS}, ("task", "args")),
    "enqueue_sql": Fuzzed(
        "app", {
            "statement": STATEMENTS,
            **{name: values for name, values in OPTIONS.items() if name != "options"},
            "done_when": CONDITIONS, "rollback": CONDITIONS | STATEMENTS,
            "options": OPTIONS["options"],
        }, ("statement",)
    ),
    "cancel": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "retry": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "run_now": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "explain": Fuzzed("app", {"id": BIGINTS, "batch": BIGINTS}, ()),
    "next_runs": Fuzzed("app", {
        "schedule": _SCHEDULES, "timezone": _ZONES, "n": INTEGERS, "after": OPTIONS["run_at"],
    }, ("schedule",)),
    "blockers": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "undo": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "note": Fuzzed("app", {"id": BIGINTS, "note": ARGS}, ("id", "note")),
    "plan": Fuzzed("app", {"statement": STATEMENTS}, ("statement",)),
    "rehearse": Fuzzed(
        "app",
        {
            "statement": STATEMENTS | DEFINITIONS,
            "rollback": STATEMENTS | CONDITIONS,
            "done_when": CONDITIONS,
        },
        ("statement",),
    ),
    "dismiss": Fuzzed("app", {"id": BIGINTS}, ("id",)),
    "dismiss_failed": Fuzzed("app", {"queue": QUEUES, "until": OPTIONS["run_at"]}, ()),
    "help": Fuzzed("app", {"name": TASKS}, ()),
    "set_priority": Fuzzed("app", {"id": BIGINTS, "priority": _PRIORITIES}, ("id", "priority")),
    "publish": Fuzzed("app", {
        "task": TASKS, "to_role": _ROLES, "queue": QUEUES, "timeout": INTERVALS,
        "per_minute": INTEGERS, "pending": BIGINTS,
    }, ("task", "to_role")),
    "unpublish": Fuzzed("app", {"publication": INTEGERS}, ("publication",)),
    "enqueue_published": Fuzzed("app", {
        "task": TASKS, "args": ARGS, "publisher": _ROLES, "run_at": OPTIONS["run_at"],
        "timeout": INTERVALS, "unique_key": OPTIONS["unique_key"], "note": OPTIONS["note"],
        "options": OPTIONS["options"],
    }, ("task",)),
    "set_quota": Fuzzed("operator", {
        "role": _ROLES, "pending": BIGINTS, "running": INTEGERS, "args_bytes": INTEGERS,
        "result_bytes": INTEGERS, "per_minute": INTEGERS, "history_rows": BIGINTS,
        "over_rate": either("refuse", "wait", None, "", LARGE),
    }, ("role",)),
    "admit_role": Fuzzed("postgres", {"role": _ROLES}, ("role",)),
    "dismiss_role": Fuzzed("postgres", {"role": _ROLES}, ("role",)),
    "wait": Fuzzed("app", {"id": BIGINTS, "timeout": _WAITS}, ("id", "timeout")),
    "await": Fuzzed("app", {"id": BIGINTS, "timeout": _LIMITS}, ("id", "timeout"), procedure=True),
    "start": Fuzzed("app", {"sessions": either(
        None, "0", "-1", "1", "2", "101", "2147483647", "-2147483648", "x", "1.5",
    )}, ()),
    "reconcile": Fuzzed("operator", {}, ()),
    "current_id": Fuzzed("app", {}, ()),
    "progress": Fuzzed("app", {"done": NUMERICS, "total": NUMERICS,
        "message": ANY_TEXT | either(None)}, (
        "done", "total",
    )),
    "log": Fuzzed(
        "app",
        {"message": ANY_TEXT | either(None), "level": either(
            "info", "error", "debug", "warning", "loud", None, "", LARGE,
        ), "fields": JSON},
        ("message",),
    ),
    "create_queue": Fuzzed(
        "operator",
        {"name": _QUEUE_NAMES, **_QUEUE_OPTIONS, "retention_rows": BIGINTS,
         "window_name": _NO_WINDOWS, **_RATES},
        ("name",),
    ),
    "alter_queue": Fuzzed(
        "operator",
        {"name": _QUEUE_NAMES, **_QUEUE_OPTIONS, "accepting": BOOLEANS, "retention_rows": BIGINTS,
         "window_name": _NO_WINDOWS, **_RATES},
        ("name",),
    ),
    "create_window": Fuzzed("operator", {
        "name": _WINDOWS, "schedule": _SCHEDULES, "duration": INTERVALS, "timezone": _ZONES,
        "on_close": _CLOSES,
    }, ("name", "schedule", "duration")),
    "alter_window": Fuzzed("operator", {
        "name": _WINDOWS, "schedule": _SCHEDULES, "duration": INTERVALS, "timezone": _ZONES,
        "on_close": _CLOSES,
    }, ("name",)),
    "drop_window": Fuzzed("operator", {"name": _WINDOWS}, ("name",)),
    "open_window": Fuzzed(
        "operator", {"name": _WINDOWS, "duration": INTERVALS}, ("name", "duration")
    ),
    "close_window": Fuzzed("operator", {"name": _WINDOWS}, ("name",)),
    "mark": Fuzzed("app", {"name": ANY_TEXT | either(None, LARGE), "kind": ANY_TEXT | either(
        "deploy", None, LARGE), "note": JSON}, ("name",)),
    "compare": Fuzzed("app", {"mark": BIGINTS, "span": INTERVALS}, ("mark",)),
    "drop_queue": Fuzzed("operator", {"queue": QUEUES}, ("queue",)),
    "pause": Fuzzed("operator", {"queue": QUEUES}, ()),
    "resume": Fuzzed("operator", {"queue": QUEUES}, ()),
    "configure": Fuzzed(
        "operator",
        {"name": _NAMES_OF_SETTINGS, "value": INTEGERS | either(
            "on", "off", "60", "61", "1000000000", LARGE,
        ) | ANY_TEXT},
        ("name", "value"),
    ),
    "set_retry_rule": Fuzzed("operator", {"pattern": _PATTERNS, "retry": BOOLEANS,
        "why": ANY_TEXT | either(None)}, (
        "pattern", "retry",
    )),
}  # fmt: skip
