"""What a person, a program or an enemy may pass: one strategy per kind of parameter,
every value as text or None.

Values travel as text and are cast by the server, so that what Python cannot hold (infinity, BC,
40,000 digits, a lone surrogate in JSON) gets there all the same.
"""

import json

from hypothesis import strategies as st

Value = str | None
Values = st.SearchStrategy[Value]

LARGE = "x" * 10_000
DEPTHS = (2, 50, 1_000, 3_000, 6_000)

#: Any text that PostgreSQL can hold: no NUL, no surrogates.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
ODD_TEXT = st.sampled_from(
    (
        "", " ", "'", '"', "''", "\\", "%s %I %L %", "$1", "$$", "a\nb\r\n", "\x7f\x01", "\u00a0",
        "\u202e", "ä" * 40, "\U0010ffff", "ß", "İ", LARGE, "é" * 10_000, "null", "{}",
        "x'; drop schema app; --",
    )
)  # fmt: skip
ANY_TEXT = TEXT | ODD_TEXT


def either(*values: Value) -> Values:
    """One of these."""
    return st.sampled_from(values)


#: Names of functions that are there, spelled in every way; and of what is not.
REAL_TASKS = (
    "pg_catalog.now", "now", " app.nothing ", "app.whole", "app.plain", "app.plain(integer,text)",
    "app.over", "APP.WHOLE", "app.over(integer)", "app.over(int4)", "app.over(pg_catalog.text)",
    'app."Odd ""name"', "app.set_of", "app.proc", "app.types", "pg_catalog.abs",
    "pg_catalog.int4pl(integer, integer)", "app.progress", "app.log", "app.many",
)  # fmt: skip
ODD_TASKS = (
    "app.no_such", "no_such.f", "a.b.c", "a.b.c.d(int)", "app.", ".app", "app..f", "app.f(",
    "app.f()", "()", "(",
    ")", 'app."f', '""', '"".""', "app.plain(integer,text", "app.plain(,)", "app.plain(int[])",
    "app.plain(no.such)", "app.plain(numeric(10,2),varchar(3))", "app.plain(char(0))",
    "app.plain(int(99999999999))", "app.plain(pg_class%rowtype)", "app.plain(a.b.c.d%type)",
    "app.plain(setof int)", "app.plain(timestamp with time zone, double precision)",
    "app.plain(interval day to second(7))", "app.plain(bit varying(0))",
    "f(" + ",".join(["int"] * 101) + ")", "f(" + ",".join(["int"] * 2_000) + ")", "1", "now()",
    "select 1", "now::text", "cast(1 as int)", "+", "pg_catalog.+", "operator(pg_catalog.+)",
    "app.nothing;drop schema app", "app.nothing--", "app.nothing/*", "-", "pg_catalog.-(-)",
    "pg_catalog.count", "pg_catalog.count(*)", "pg_catalog.rank", "pg_catalog.int4in",
    "pg_catalog.concat", "app.poly", "app.on_row", "app.summed", "jobs.enqueue",
    "jobs_internal.work", "information_schema._pg_truetypid", "a" * 63, "a" * 64, "app." + "a" * 64,
    "ä" * 32, "é.é", "$1", "U&\"\\0061\"", "E'x'", "app.\x01", "app.nothing\n", "\tapp.nothing",
    "app" + ".a" * 5_000, '"' * 10_001, "f(" * 5_000, LARGE, None,
)  # fmt: skip
TASKS: Values = (
    either(*REAL_TASKS)
    | either(*REAL_TASKS)
    | either(*ODD_TASKS)
    | ANY_TEXT
    | TEXT.map(lambda t: f"app.{t}")
)

ODD_NUMBERS = (
    "0", "-0", "1e1000", "-1e1000", "1e-1000", "9" * 40_000, "0." + "1" * 10_000, "1e131071",
    "1e131072", "1e999999999999", "9223372036854775807", "9223372036854775808", "2147483648", "1.5",
    "[" + ",".join(["1e100000"] * 50) + "]",
)  # fmt: skip
ODD_JSON = (
    *ODD_NUMBERS, "null", "true", '""', "[]", "{}", "", "x", "{", '{"a"}', "NaN", "Infinity", "'x'",
    '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '{"\\ud800": 1}',
    '{"a\\u0000": 1}', '{"": 1}', '{"a": 1, "a": 2}', '{"n": 1e1000}', '{"n": "1e1000"}',
    '{"n": null}', '{"n": {"n": {"n": []}}}', '{"n": [[1],[2,3]]}', '{"$1": 1}', '{"$2": 1}',
    '{"n": "infinity"}', '{"n": "NaN"}', '{"n": "\\u202e"}', '{"t": ' + json.dumps(LARGE) + "}",
    "{" + f'"{LARGE}": 1' + "}", "{" + ",".join(f'"k{i}": {i}' for i in range(2_000)) + "}",
    '{"n": ' + "9" * 40_000 + "}", '{"a": 1}', *("[" * depth + "]" * depth for depth in DEPTHS),
    *('{"n":' * depth + "1" + "}" * depth for depth in DEPTHS),
    *('{"j":' + "[" * depth + "]" * depth + "}" for depth in DEPTHS),
)  # fmt: skip
_PLAIN_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=6,
)
JSON: Values = st.none() | either(*ODD_JSON) | _PLAIN_JSON.map(json.dumps)

#: Arguments that fit the functions above often enough for the call to be stored.
FITTING = (
    "{}", '{"n": 1}', '{"n": "7"}', '{"n": null}', '{"n": -2147483648, "t": "x"}',
    '{"t": "\\ud83d\\ude00"}', '{"n": 1, "t": {"a": []}}', '{"a": 1}', '{"a": "x"}', '{"$1": -1}',
    '{"$1": 2, "$2": 3}', '{"j": {"a": [1, null]}, "x": [null]}', '{"done": 1, "total": 2}',
)  # fmt: skip
ARGS: Values = either(*FITTING) | either(*FITTING) | JSON

INTERVALS: Values = either(
    None, "0", "1 s", "1 us", "-1 s", "infinity", "-infinity", "1 month", "-1 month",
    "1 month -30 days", "1 month -31 days", "1 month -29 days", "178000000 years",
    "-178000000 years", "2147483647 days", "2147483647 months", "2562047788 hours", "9223372036 s",
    "1 year 2 months", "P1Y2M", "@ 1 minute ago", "1.5 months", "1000 years", "1001 years", "1 day",
    "x", "",
)  # fmt: skip
MOMENTS: Values = either(
    None, "now", "infinity", "-infinity", "epoch", "4713-01-01 BC", "4714-11-24 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00", "294277-01-01", "2026-02-30", "0001-01-01",
    "2026-01-01 00:00+15:59", "today", "tomorrow", "allballs", "x", "", "2000-01-01",
)  # fmt: skip
INTEGERS: Values = either(
    None,
    "0",
    "1",
    "2",
    "3",
    "-1",
    "100",
    "101",
    "1000",
    "1001",
    "2147483647",
    "-2147483648",
    "2147483648",
    "1.5",
    "x",
    "",
    "0x1F",
)
BIGINTS: Values = INTEGERS | either(
    "9223372036854775807", "-9223372036854775808", "9223372036854775808"
)
NUMERICS: Values = either(
    None, "0", "1", "-1", "0.004", "1e18", "1.000001e18", "NaN", "Infinity", "-Infinity",
    "1e131071", "1e131072", "1e-16383", "9" * 40_000, "-0", "x", "999999999999999999.995",
)  # fmt: skip
BOOLEANS: Values = either(None, "true", "false", "2")
PRIORITIES: Values = (
    either("normal", "normal", "high", "low", None, "", "HIGH", "urgent", LARGE) | ANY_TEXT
)
QUEUES: Values = (
    either(
        "default",
        "default",
        "fuzz",
        "fuzz.2",
        None,
        "",
        "no_such",
        "a b",
        "Default",
        "x" * 63,
        "x" * 64,
        "ä" * 32,
        LARGE,
    )
    | ANY_TEXT
)
KEYS: Values = (
    st.none() | either("k", "", "x" * 512, "x" * 513, "ä" * 256, "ä" * 257, LARGE) | ANY_TEXT
)

#: Settings that a job may have, that it may not have, and that there are not.
ODD_SETTINGS = (
    '{"work_mem": "64kB"}', '{"work_mem": 64}', '{"work_mem": "-1"}', '{"work_mem": null}',
    '{"work_mem": {}}', '{"WORK_MEM": "1MB"}', '{"search_path": ""}', '{"search_path": "no_such"}',
    '{"search_path": "\\"x"}', '{"datestyle": "german"}', '{"datestyle": "x"}', '{"timezone": "x"}',
    '{"timezone": "Asia/Kathmandu"}', '{"standard_conforming_strings": "off"}',
    '{"bytea_output": "escape"}', '{"array_nulls": "off"}', '{"quote_all_identifiers": "on"}',
    '{"backslash_quote": "on"}', '{"transform_null_equals": "on"}', '{"client_encoding": "LATIN1"}',
    '{"client_encoding": "SQL_ASCII"}', '{"client_encoding": "MULE_INTERNAL"}',
    '{"xmloption": "document"}', '{"exit_on_error": "on"}', '{"EXIT_ON_ERROR": true}',
    '{"lock_timeout": "1ms"}', '{"statement_timeout": "1"}', '{"idle_session_timeout": "1"}',
    '{"role": "other"}', '{"Role": "postgres"}', '{"session_authorization": "other"}',
    '{"is_superuser": "on"}', '{"log_statement": "all"}', '{"max_connections": "1"}',
    '{"session_replication_role": "replica"}', '{"default_transaction_isolation": "serializable"}',
    '{"transaction_read_only": "on"}', '{"transaction_isolation": "serializable"}',
    '{"row_security": "off"}', '{"jit": "on"}', '{"plpgsql.extra_errors": "all"}',
    '{"plpgsql.extra_warnings": "all"}', '{"plpgsql.variable_conflict": "use_column"}',
    '{"plpgsql.print_strict_params": "on"}', '{"plpgsql.check_asserts": "off"}',
    '{"debug_parallel_query": "regress"}', '{"debug_parallel_query": "on"}',
    '{"restrict_nonsystem_relation_kind": "view,foreign-table"}',
    '{"default_tablespace": "no_such"}', '{"temp_tablespaces": "no_such"}',
    '{"default_table_access_method": "no_such"}', '{"client_min_messages": "error"}',
    '{"synchronous_commit": "off"}',
    '{"enable_seqscan": "off", "enable_indexscan": "off", "enable_hashjoin": "off"}',
    '{"seed": 0.5}', '{"seed": 2}', '{"geqo_threshold": 2, "geqo": "on"}', '{"lc_time": "C"}',
    '{"lc_messages": "de_DE"}', '{"local_preload_libraries": "x"}', '{"application_name": "x"}',
    '{"pyworker.job": "1/1 1"}', '{"PYWORKER.said": "x"}', '{"pg_background.max_workers": "0"}',
    '{"a.b": "c"}', '{"a.b.c": "d"}', '{"1a.b": "c"}', '{"a.": "c"}', '{".a": "c"}', '{"": "x"}',
    '{" ": "x"}', '{"a\\"b.c": "x"}', '{"no_such": "1"}', '{"sort_mem": "1MB"}',
    '{"work_mem": "64kB", "no_such": "1"}', '{"extra_float_digits": "-15"}',
    '{"intervalstyle": "iso_8601"}', '{"' + LARGE + '": "1"}', '{"x.' + LARGE + '": "1"}',
    '{"x.y": "' + LARGE + '"}', '{"temp_buffers": "100"}', '{"tcp_user_timeout": "1"}',
    '{"log_min_duration_statement": "0"}', '{"max_stack_depth": "100kB"}',
    '{"vacuum_cost_delay": "100"}', '{"cursor_tuple_fraction": 0}',
    '{"idle_in_transaction_session_timeout": "1"}', '{"transaction_timeout": "1"}',
    '{"escape_string_warning": "off"}', '{"client_connection_check_interval": "1"}',
)  # fmt: skip
SETTINGS: Values = either("{}", "{}") | either(*ODD_SETTINGS) | JSON

JOB_OPTIONS: Values = ARGS | either(
    "{}", None, "null", "[]", '"x"', "{", '{"title": "a job"}', '{"title": ""}', '{"title": null}',
    '{"title": 1}', '{"title": "a\\nb"}', '{"title": "é\\u0007"}', '{"notify": "told"}',
    '{"notify": ""}', '{"notify": {}}', '{"repeatable": true}', '{"repeatable": "true"}',
    '{"repeatable": false, "title": "x", "notify": "y"}', '{"done_when": "true"}',
    '{"done_when": ";"}', '{"done_when": ""}', '{"rollback": "select 1"}', '{"rollback": 1}',
    '{"after": []}', '{"after": [1]}', '{"after": [9e99]}', '{"after": null}',
    '{"after": [1], "after_state": 1}', '{"after_state": "failed"}', '{"after": [[1]]}',
    '{"no_such": 1}', '{"": ""}', '{"deadline": "2100-01-01"}', '{"deadline": "infinity"}',
    '{"deadline": "294276-12-31 23:59+00"}', '{"deadline": "4714-11-24 00:00+00 BC"}',
    '{"batch": 1}', '{"batch": 99}', '{"batch": "1"}', '{"batch": -1}', '{"batch": 1e300}',
    '{"deadline": "x"}', '{"deadline": ""}', '{"deadline": 1}', '{"reuse_for": "1 day"}',
    '{"reuse_for": "1 s", "deadline": "2100-01-01"}', '{"reuse_for": "178000000 years"}',
    '{"reuse_for": "-1 s"}', '{"reuse_for": "x"}', '{"reuse_for": "infinity"}',
)  # fmt: skip

OPTIONS: dict[str, Values] = {
    "queue": QUEUES,
    "run_at": MOMENTS,
    "timeout": INTERVALS,
    "max_attempts": INTEGERS,
    "unique_key": KEYS,
    "priority": PRIORITIES,
    "settings": SETTINGS,
    "note": ARGS,
    "options": JOB_OPTIONS,
}


def _quoted(element: Value) -> str:
    if element is None:
        return "NULL"
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'


#: Arrays of jsonb: also with nulls, of several dimensions, with bounds of their own, broken.
ARRAYS: Values = st.lists(ARGS, max_size=4).map(
    lambda elements: "{" + ",".join(map(_quoted, elements)) + "}"
) | either(
    None, "{}", "{NULL}", "{NULL,NULL}", "{{}}", '{{"{}","{}"},{"{}","{}"}}', '{{"{}"},{NULL}}',
    '[5:6]={"{}","{}"}',
    '[-1:-1]={"{}"}', "{", "x", '{"{}"', '{{"{}"},{"{}","{}"}}',
    "{" + ",".join(['"{}"'] * 300) + "}", '{"{\\"n\\": 1}","{\\"t\\": 1}","{}"}', "{{{{{{{1}}}}}}}",
    "{null,\"null\"}", '{"[]"}',
)  # fmt: skip
