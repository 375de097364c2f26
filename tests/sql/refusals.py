"""Every refusal of the calls that people make: how to provoke it, its SQLSTATE,
and what it must name.
"""

from dataclasses import dataclass

from support import ADMINISTRATOR


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One way to do something wrong."""

    name: str
    query: str
    code: str
    says: tuple[str, ...] = ()  #: parts of message and detail
    role: str = "app"
    prepare: tuple[str, ...] = ()  #: run before, in the same transaction, as that role


def _r(
    name: str, code: str, query: str, *says: str, role: str = "app", prepare: tuple[str, ...] = ()
) -> Refusal:
    return Refusal(name=name, code=code, query=query, says=says, role=role, prepare=prepare)


def _task(task: str, args: str = "{}", **options: str) -> str:
    more = "".join(f", {name} => {value}" for name, value in options.items())
    quoted = task.replace("'", "''")
    return f"select jobs.enqueue('{quoted}', '{args}'{more})"


def _text(size: int) -> str:
    return f"jsonb_build_object('x', repeat('x', {size}))"


LONG = "n" * 64
#: A short value whose text is long.
NUMBERS = "jsonb_build_object('x', (select jsonb_agg(1e131000) from generate_series(1, 1030)))"

TASKS = (
    _r("unknown", "PW001", _task("no_such"), "no_such", "search_path"),
    _r("unknown in schema", "PW001", _task("app.no_such"), "app.no_such"),
    _r("unknown schema", "PW001", _task("no_such.add"), "no_such.add"),
    _r("unknown signature", "PW001", _task("app.add(text)"), "app.add(text)"),
    _r("unknown type in signature", "PW001", _task("app.add(no_such)")),
    _r("unfinished signature", "PW001", _task("app.add(")),
    _r("nonsense after signature", "PW001", _task("app.add(integer) drop table x")),
    _r("another case", "PW001", _task("app.Camel Case")),
    _r("three parts", "PW001", _task("a.b.c")),
    _r("three parts with signature", "PW001", _task("a.b.c.d(integer)")),
    _r("unclosed quote", "PW001", _task('app."add')),
    _r("two words", "PW001", _task("app.add; select 1")),
    _r(
        "schema without usage",
        "PW006",
        _task("nobody.hidden"),
        "nobody.hidden",
        "schema nobody",
        "app",
        "USAGE",
    ),
    _r(
        "schema without usage, by signature",
        "PW006",
        _task("nobody.hidden(integer)"),
        "schema nobody",
        "USAGE",
    ),
    _r(
        "schema without usage, of many",
        "PW006",
        "select jobs.enqueue_many('nobody.hidden', '{\"{}\"}')",
        "schema nobody",
    ),
    _r("type of a schema without usage", "PW001", _task("app.add(nobody.t)"), "app.add"),
    _r("null task", "PW001", "select jobs.enqueue(null)"),
    _r("empty task", "PW001", _task(" ")),
    _r("ambiguous", "PW002", _task("app.over", '{"a": 1}'), "over(integer)", "over(text)"),
    _r("overloads, none fits", "PW002", _task("app.over", '{"z": 1}'), "over(integer)"),
    _r(
        "beside one with defaults",
        "PW002",
        _task("app.short(integer)", '{"a": 1}'),
        "app.short(integer,integer)",
    ),
    _r(
        "unknown argument",
        "PW003",
        _task("app.add", '{"a": 1, "z": 2}'),
        '"z"',
        "a integer, b integer",
    ),
    _r("unknown argument, of none", "PW003", _task("app.nothing", '{"z": 2}'), '"z"', "none"),
    _r("argument in another case", "PW003", _task("app.add", '{"A": 1, "a": 1}'), '"A"'),
    _r("pure OUT argument", "PW003", _task("app.outs", '{"a": 1, "doubled": 2}'), '"doubled"'),
    _r("missing argument", "PW004", _task("app.add"), "a integer"),
    _r("missing unnamed", "PW004", _task("app.unnamed", '{"$1": 1}'), "$2 text"),
    _r("missing before unnamed", "PW004", _task("app.unnamed_default", '{"$2": 1}'), "$1 integer"),
    _r("integer", "PW005", _task("app.add", '{"a": "x"}'), '"a"', "integer", '"x"', "22P02"),
    _r("second of two", "PW005", _task("app.add", '{"a": 1, "b": 1.5}'), '"b"', "integer", "1.5"),
    _r("out of range", "PW005", _task("app.add", '{"a": 3000000000}'), '"a"', "22003"),
    _r("object for integer", "PW005", _task("app.add", '{"a": {}}'), '"a"'),
    _r("enum", "PW005", _task("app.feel", '{"m": "furious"}'), '"m"', "app.mood", "furious"),
    _r("domain", "PW005", _task("app.positive", '{"n": -1}'), '"n"', "app.positive", "23514"),
    _r("array", "PW005", _task("app.feelings", '{"m": ["sad", "bad"]}'), '"m"', "app.mood[]"),
    _r("not an array", "PW005", _task("app.total", '{"numbers": 1}'), '"numbers"', "integer[]"),
    _r("composite", "PW005", _task("app.second", '{"p": {"x": "x"}}'), '"p"', "app.pair"),
    _r("range", "PW005", _task("app.range", '{"r": "[2,1)"}'), '"r"', "int4range", "22000"),
    _r("date", "PW005", _task("app.day", '{"d": "2026-02-30"}'), '"d"', "date", "22008"),
    _r("jsonb beside others", "PW005", _task("app.day", '{"d": []}'), '"d"'),
    _r("no right", "PW006", _task("other.secret", '{"a": 1}'), "app", "other.secret(integer)"),
    _r(
        "no right, by signature",
        "PW006",
        _task("other.secret(integer)", '{"a": 1}'),
        "other.secret(integer)",
    ),
    _r("array as args", "PW011", _task("app.add", "[1]"), "array"),
    _r("null as args", "PW011", _task("app.add", "null"), "null"),
    _r("text as args", "PW011", _task("app.whole", '"x"'), "string"),
    _r(
        "array among many args",
        "PW011",
        "select jobs.enqueue_many('app.add', array['{\"a\": 1}', '[]']::jsonb[])",
    ),
    _r("very long task", "PW018", "select jobs.enqueue(repeat('a', 50001))", "50000"),
    _r("long function name", "PW015", _task(f"app.{LONG}"), LONG),
    _r("long schema name", "PW015", _task(f"{LONG}.f"), LONG),
    _r("long name with umlaut", "PW015", _task("ä" * 32)),
    _r("trigger", "PW016", _task("app.on_row"), "trigger function"),
    _r("aggregate", "PW016", _task("app.summed", '{"$1": 1}'), "aggregate"),
    _r(
        "several aggregates",
        "PW016",
        _task("count"),
        "count cannot be a job",
        "It is an aggregate.",
    ),
    _r(
        "several aggregates, with arguments",
        "PW016",
        _task("pg_catalog.max", '{"$1": 1}'),
        "aggregate",
    ),
    _r("several window functions", "PW016", _task("lag"), "window"),
    _r("window function", "PW016", _task("pg_catalog.row_number"), "window"),
    _r("polymorphic", "PW016", _task("app.poly", '{"a": 1}'), "anyelement"),
    _r("polymorphic array", "PW016", _task("app.poly_array", '{"a": [1]}'), "anyarray"),
    _r("variadic any", "PW016", _task("pg_catalog.concat"), 'VARIADIC "any"'),
    _r("record", "PW016", _task("app.record"), "record"),
    _r("cstring", "PW016", _task("pg_catalog.int4in", '{"$1": "1"}'), "cstring"),
)

OPTIONS = (
    _r("unknown queue", "PW007", _task("app.nothing", queue="'no_such'"), "no_such"),
    _r(
        "setting that ends the session",
        "PW013",
        _task("app.nothing", settings="""'{"Exit_on_error": "on"}'"""),
        "Exit_on_error",
    ),
    _r("zero timeout", "PW009", _task("app.nothing", timeout="'0'"), "00:00:00"),
    _r("negative timeout", "PW009", _task("app.nothing", timeout="'-1 s'"), "-00:00:01"),
    _r(
        "timeout that is over at once",
        "PW009",
        _task("app.nothing", timeout="'-1 year 361 days'"),
        "-367200",
    ),
    _r(
        "endless negative timeout",
        "PW009",
        _task("app.nothing", timeout="'-infinity'"),
        "-infinity",
    ),
    _r("no attempt", "PW010", _task("app.nothing", max_attempts="0"), "0"),
    _r("array as settings", "PW011", _task("app.nothing", settings="'[]'"), "settings", "array"),
    _r("array as note", "PW011", _task("app.nothing", note="'[]'"), "note", "array"),
    _r("long note", "PW018", _task("app.nothing", note=_text(65536)), "note", "65545", "65536"),
    _r(
        "note of short numbers",
        "PW018",
        _task("app.nothing", note="'{\"x\": 1e131000}'"),
        "note",
        "131008",
    ),
    _r("very long note", "PW018", _task("app.nothing", note=_text(20_000_000)), "note", "65536"),
    _r(
        "note of many",
        "PW018",
        f"select jobs.enqueue_many('app.nothing', array['{{}}']::jsonb[], note => {_text(65536)})",
        "note",
    ),
    _r(
        "note of a statement",
        "PW018",
        f"select jobs.enqueue_sql('select 1', note => {_text(65536)})",
        "note",
    ),
    _r(
        "long args",
        "PW018",
        f"select jobs.enqueue('app.whole', {_text(134217720)})",
        "args",
        "134217728",
    ),
    _r(
        "args of short numbers",
        "PW018",
        f"select jobs.enqueue('app.whole', {NUMBERS})",
        "args",
        "134217728",
    ),
    _r(
        "long args among many",
        "PW018",
        f"select jobs.enqueue_many('app.whole', array['{{}}', {NUMBERS}])",
        "args",
    ),
    _r(
        "unknown setting",
        "PW012",
        _task("app.nothing", settings="""'{"work_memory": "1MB"}'"""),
        "work_memory",
    ),
    _r("nameless setting", "PW012", _task("app.nothing", settings="""'{"": "1MB"}'""")),
    _r(
        "setting of superusers",
        "PW013",
        _task("app.nothing", settings="""'{"log_statement": "all"}'"""),
        "log_statement",
    ),
    _r(
        "setting of a start",
        "PW013",
        _task("app.nothing", settings="""'{"max_connections": "7"}'"""),
        "max_connections",
    ),
    _r(
        "setting out of range",
        "PW013",
        _task("app.nothing", settings="""'{"work_mem": "-1"}'"""),
        "work_mem",
        "22023",
    ),
    _r(
        "setting null",
        "PW013",
        _task("app.nothing", settings="""'{"work_mem": null}'"""),
        "work_mem",
    ),
    _r("setting role", "PW013", _task("app.nothing", settings="""'{"Role": "other"}'"""), "Role"),
    _r(
        "setting of ours",
        "PW013",
        _task("app.nothing", settings="""'{"pyworker.job": "1/1 1"}'"""),
        "pyworker.job",
    ),
    _r(
        "statement_timeout",
        "PW013",
        _task("app.nothing", settings="""'{"statement_timeout": "1"}'"""),
        "statement_timeout",
    ),
    _r("long queue name", "PW015", _task("app.nothing", queue=f"'{LONG}'"), "63"),
    _r("long unique_key", "PW015", _task("app.nothing", unique_key=f"'{'k' * 513}'"), "513"),
    _r("empty unique_key", "PW015", _task("app.nothing", unique_key="''")),
    _r("superuser", "PW019", _task("pg_catalog.now"), "postgres", role=ADMINISTRATOR),
    _r("unknown priority", "PW020", _task("app.nothing", priority="'urgent'"), "urgent"),
    _r(
        "key of many",
        "PW022",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], unique_key => 'k')",
    ),
    _r(
        "option of many",
        "PW010",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], max_attempts => 0)",
    ),
    _r(
        "setting of many",
        "PW012",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], settings => '{\"x\": 1}')",
    ),
    _r("option of a statement", "PW009", "select jobs.enqueue_sql('select 1', timeout => '-1 s')"),
    _r(
        "setting of a statement",
        "PW012",
        "select jobs.enqueue_sql('select 1', settings => '{\"x\": 1}')",
    ),
    _r("superuser's statement", "PW019", "select jobs.enqueue_sql('select 1')", role=ADMINISTRATOR),
    _r("closed queue", "PW008", _task("app.nothing", queue="'closed'"), "closed"),
    _r("array as options", "PW011", _task("app.nothing", options="'[]'"), "options", "array"),
    _r("null as options", "PW011", _task("app.nothing", options="'null'"), "options", "null"),
    *(
        _r(
            f"options of {name}: {given[:40]}",
            "PW029",
            query.replace("$", given),
            f"jobs.{name}",
            *says,
        )
        for given, *says in (
            ('{"tilte": "x"}', "tilte", "notify (text)", "repeatable (boolean)", "title (text)"),
            ('{"": "x"}', '""'),
            ('{"Title": "x"}', '"Title"'),
            ('{"title": 5}', "title", "string", "number"),
            ('{"title": null}', "title", "null"),
            ('{"title": "  "}', "title", "200"),
            ('{"title": "' + "x" * 201 + '"}', "title", "200"),
            (r'{"title": "a\\nb"}', "title", "one line"),
            ('{"notify": true}', "notify", "boolean"),
            ('{"notify": ""}', "notify", "63"),
            ('{"notify": "' + "ä" * 32 + '"}', "notify", "63"),
            ('{"repeatable": "yes"}', "repeatable", "boolean", "string"),
        )
        for name, query in (
            ("enqueue", "select jobs.enqueue('app.keep', '{\"tag\": \"a\"}', options => e'$')"),
            (
                "enqueue_many",
                (
                    "select jobs.enqueue_many('app.keep', array['{\"tag\": \"a\"}']::jsonb[],"
                    " options => e'$')"
                ),
            ),
            ("enqueue_sql", "select jobs.enqueue_sql('vacuum', options => e'$')"),
            ("enqueue_steps", "select jobs.enqueue_steps('[\"vacuum\"]', options => e'$')"),
        )
    ),
    *(
        _r(
            f"{key} of a call",
            "PW029",
            _task("app.nothing", options=f'\'{{"{key}": "x"}}\''),
            key,
            "jobs.enqueue:",
        )
        for key in ("done_when", "rollback")
    ),
    _r(
        "repeatable function",
        "PW029",
        _task("app.nothing", options="'{\"repeatable\": true}'"),
        "functions",
    ),
    *(
        _r(
            f"{key} twice",
            "PW029",
            f"select jobs.enqueue_sql('vacuum', {key} => 'select true',"
            f' options => \'{{"{key}": "select false"}}\')',
            key,
            "twice",
            "options",
        )
        for key in ("done_when", "rollback")
    ),
    _r(
        "done_when in options",
        "PW017",
        "select jobs.enqueue_sql('vacuum', options => '{\"done_when\": \"a; b\"}')",
    ),
)

STEERING = (
    _r("snooze outside a job", "PW106", "select jobs.snooze('1 s')", "runs no job"),
    _r("concurrency too high", "PW119", "select jobs.set_concurrency('k', 1001)", "It is 1001"),
    _r("a key too long", "PW120", "select jobs.set_concurrency(repeat('k', 513), 1)", "has 513"),
    _r("forget nothing", "PW110", "select jobs.forget()", "task is null"),
    _r("forget both", "PW110", "select jobs.forget('x', unique_key => 'k')", "unique_key is k"),
    _r(
        "reuse longer than history",
        "PW108",
        _task("pg_catalog.now", options='\'{"reuse_for": "90 days"}\''),
        "7 days",
    ),
    _r(
        "deadline before run_at",
        "PW029",
        _task("pg_catalog.now", run_at="'2099-01-01'", options='\'{"deadline": "2098-01-01"}\''),
        "2098-01-01",
    ),
    _r("cancel nothing", "PW030", "select jobs.cancel(0)", "0"),
    _r("cancel null", "PW030", "select jobs.cancel(null)"),
    _r("retry nothing", "PW030", "select jobs.retry(0)", "0"),
    _r("run nothing now", "PW030", "select jobs.run_now(0)", "0"),
    _r("wait for nothing", "PW030", "select jobs.wait(0, '1 s')", "0"),
    _r("no session", "PW025", "select jobs.start(0)", "0"),
    _r("too many sessions", "PW025", "select jobs.start(101)", "101"),
    _r("null sessions", "PW025", "select jobs.start(null)"),
    _r("log level", "PW024", "select jobs.log('x', 'loud')", "loud"),
    _r("log level null", "PW024", "select jobs.log('x', null)"),
)

QUEUES = (
    _r(
        "period without a rate",
        "PW121",
        "select jobs.create_queue('q', rate_period => '1 hour')",
        "01:00:00",
        "rate_limit",
        role="operator",
    ),
    _r(
        "argument without a rate",
        "PW121",
        "select jobs.create_queue('q', rate_by => 'customer')",
        "customer",
        "rate_limit",
        role="operator",
    ),
    _r(
        "argument with a long name",
        "PW122",
        f"select jobs.create_queue('q', rate_limit => 1, rate_by => '{LONG}')",
        "63 bytes",
        "name of an argument",
        role="operator",
    ),
    _r(
        "rate of zero",
        "PW026",
        "select jobs.create_queue('q', rate_limit => 0)",
        "rate_limit",
        "0 in jobs.alter_queue",
        role="operator",
    ),
    _r(
        "period in months",
        "PW026",
        "select jobs.create_queue('q', rate_limit => 1, rate_period => '1 month')",
        "1 mon",
        "365 days",
        role="operator",
    ),
    _r("bad queue name", "PW015", "select jobs.create_queue('a b')", "a b", role="operator"),
    _r("empty queue name", "PW015", "select jobs.create_queue('')", role="operator"),
    _r("null queue name", "PW015", "select jobs.create_queue(null)", role="operator"),
    _r("long queue name", "PW015", f"select jobs.create_queue('{LONG}')", role="operator"),
    _r(
        "no concurrency",
        "PW026",
        "select jobs.create_queue('q', concurrency => 0)",
        "concurrency",
        role="operator",
    ),
    _r(
        "negative timeout",
        "PW026",
        "select jobs.create_queue('q', timeout => '-1 s')",
        "timeout",
        role="operator",
    ),
    _r(
        "endless backoff",
        "PW026",
        "select jobs.create_queue('q', backoff => 'infinity')",
        "backoff",
        role="operator",
    ),
    _r(
        "backoff out of range",
        "PW026",
        "select jobs.create_queue('q', backoff_cap => '1001 years')",
        "backoff_cap",
        role="operator",
    ),
    _r(
        "retention out of range",
        "PW026",
        "select jobs.create_queue('q', retention => '178000000 years')",
        "retention",
        role="operator",
    ),
    _r(
        "endless negative timeout",
        "PW026",
        "select jobs.alter_queue('default', timeout => '-infinity')",
        role="operator",
    ),
    _r(
        "no attempts",
        "PW026",
        "select jobs.create_queue('q', max_attempts => 0)",
        "max_attempts",
        role="operator",
    ),
    _r(
        "null attempts",
        "PW026",
        "select jobs.create_queue('q', max_attempts => null)",
        "max_attempts",
        role="operator",
    ),
    _r("alter unknown", "PW007", "select jobs.alter_queue('no_such')", "no_such", role="operator"),
    _r(
        "alter out of range",
        "PW026",
        "select jobs.alter_queue('default', concurrency => 1001)",
        role="operator",
    ),
    _r("pause unknown", "PW007", "select jobs.pause('no_such')", "no_such", role="operator"),
    _r("resume unknown", "PW007", "select jobs.resume('no_such')", "no_such", role="operator"),
    _r("drop unknown", "PW007", "select jobs.drop_queue('no_such')", "no_such", role="operator"),
    _r("drop null", "PW007", "select jobs.drop_queue(null)", role="operator"),
    _r("drop default", "PW027", "select jobs.drop_queue('default')", "default", role="operator"),
    _r(
        "unknown setting",
        "PW012",
        "select jobs.configure('no_such', '1')",
        "no_such",
        role="operator",
    ),
    _r("setting null", "PW026", "select jobs.configure('chunk_jobs', null)", role="operator"),
    _r(
        "setting not a number",
        "PW026",
        "select jobs.configure('chunk_jobs', 'many')",
        "many",
        role="operator",
    ),
    _r(
        "setting too large",
        "PW026",
        "select jobs.configure('chunk_jobs', '1001')",
        "1001",
        role="operator",
    ),
    _r("setting zero", "PW026", "select jobs.configure('claim_jobs', '0')", "0", role="operator"),
    _r(
        "switch not on or off",
        "PW026",
        "select jobs.configure('measure_cost', 'yes')",
        "yes",
        role="operator",
    ),
    _r("retry pattern", "PW026", "select jobs.set_retry_rule('4', true)", "4", role="operator"),
    _r("retry pattern null", "PW026", "select jobs.set_retry_rule(null, true)", role="operator"),
    _r("retry rule of all", "PW026", "select jobs.set_retry_rule('*', null)", "*", role="operator"),
)


def _s(name: str, code: str, statement: str, *says: str) -> Refusal:
    quoted = statement.replace("\\", "\\\\").replace("'", "''")
    return _r(name, code, f"select jobs.enqueue_sql(E'{quoted}')", *says)


def _sql(options: str) -> str:
    return f"select jobs.enqueue_sql('select 1', {options})"


#: A text that PostgreSQL cannot read, and what it says of it.
SYNTAX_ERRORS = (
    ("selectt 1", '"selectt"'),
    ("select from where", '"where"'),
    ("update app.marks set", "end of input"),
    ("insert into app.marks values (1", "end of input"),
    ("select 1)", '")"'),
    ("true) then perform evil() end if", '"true"'),
    ("call", "end of input"),
    ("create function app.f() returns int begin atomic selec 1; end", '"selec"'),
    ("create rule r as on insert to app.marks do also (notify a; notif b)", '"notif"'),
    ("null", '"null"'),
    ("if true then select 1 end if", '"if"'),
    ("raise notice 'x'", '"raise"'),
    ("perform 1", '"perform"'),
    ("vacuum (full app.marks", '"."'),
    ("select 1 limit limit -- a comment", '"limit"'),
)

STATEMENTS = (
    _r("null", "PW014", "select jobs.enqueue_sql(null)"),
    _s("empty", "PW014", ""),
    _s("white space", "PW014", " \n\t"),
    _s("semicolons", "PW014", ";;"),
    _s("line comment", "PW014", "-- select 1"),
    _s("block comment", "PW014", "/* select 1; /* nested */ select 2 */ ;"),
    _s("two statements", "PW017", "select 1; select 2", "2"),
    _s("two statements over a comment", "PW017", "select 1 -- ;\n; select 2"),
    _s("two statements behind a string", "PW017", "select 'a'; select 'b'"),
    _s("backslash does not quote", "PW017", "select '\\'; select 2 --'"),
    _s("E quotes with a backslash", "PW017", "select E'\\''; select 2"),
    _s("two behind a dollar quote", "PW017", "select $a$ $b$ ; $a$; select 2"),
    _s("two behind an identifier", "PW017", 'select 1 as ";"; select 2'),
    _s("two behind nested comments", "PW017", "/* /* */ ; */ select 1; /* */ select 2"),
    _s("transaction in two", "PW017", "select 1; commit"),
    _s("open string", "PW017", "select 'x"),
    _s("open identifier", "PW017", 'select "x'),
    _s("open dollar quote", "PW017", "select $a$ x $b$"),
    _s("two behind a string that goes on", "PW017", "select E'a'\n'b\\''; select 2 --'"),
    _s(
        "two behind a column that is no CASE",
        "PW017",
        "create function f() returns int begin atomic select 1 case; end; select 1; select 1 end",
    ),
    _s(
        "two behind columns that are no body",
        "PW017",
        "create table x as select begin atomic from t; drop table t; select 1 end",
    ),
    *(_s("syntax error", "PW017", text, "syntax error", "42601", says)
      for text, says in SYNTAX_ERRORS),
    _r("syntax error in done_when", "PW017", _sql("done_when => 'selec 1'"), "done_when", "42601",
        '"1"'),
    _r("syntax error in a query", "PW017", _sql("done_when => 'select from where'"), "done_when",
        "42601", '"where"'),
    _r("syntax error in rollback", "PW017", _sql("rollback => 'garbage !!'"), "rollback", "42601",
        '"garbage"'),
    _r(
        "comments in comments",
        "PW018",
        "select jobs.enqueue_sql(repeat('/*', 200000) || repeat('*/', 200000) || 'select 1')",
    ),
    _r("comments without end", "PW018", "select jobs.enqueue_sql(repeat('/*', 400000))"),
    _r("comments one by one", "PW018",
        "select jobs.enqueue_sql(repeat('/**/', 200000) || 'select 1')"),
    _r("comments in a run", "PW018",
        "select jobs.enqueue_sql('select 1 ' || repeat('/*', 9000) || repeat('-', 9999))"),
    _r("signs in a run", "PW018",
        "select jobs.enqueue_sql('select ' || repeat('+', 400000) || '1')"),
    _r("signs and a comment", "PW018",
        "select jobs.enqueue_sql('select ' || repeat('+', 999) || repeat('-', 900000))"),
    _r("signs in done_when", "PW018",
        _sql("done_when => 'select ' || repeat('+-', 200000) || '1'")),
    _r("comments in rollback", "PW018", _sql("rollback => repeat('/**/', 200000) || 'select 1'")),
    _r("long statement", "PW018", "select jobs.enqueue_sql('select ' || repeat('1', 1000000))",
        "1000007", "1000000"),
    _r("long condition", "PW018",
        "select jobs.enqueue_sql('select 1', rollback => repeat('1', 1000001))"),
    _s("open comment", "PW017", "select 1 /* /* */"),
    *(
        _s(text, "PW021", text, text.split()[0])
        for text in (
            "BEGIN", "START TRANSACTION", "COMMIT", "COMMIT AND CHAIN", "END", "ROLLBACK", "ABORT",
            "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'x'", "SET work_mem = '1MB'", "SET LOCAL work_mem = '1MB'",
            "SET ROLE other", "SET SESSION AUTHORIZATION other", "RESET ALL", "LISTEN x",
            "UNLISTEN *", "PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE ALL",
            "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "MOVE c", "CLOSE c", "DISCARD ALL",
            "LOAD 'x'", "COPY app.marks FROM STDIN", "COPY app.marks TO STDOUT",
            "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv)", "SELECT 1 INTO app.copy",
            "SELECT * INTO TEMP x FROM app.marks",
            "WITH a AS (SELECT 1) SELECT * INTO app.copy FROM a",
        )
    ),
    _s("lower case", "PW021", "rollback", "ROLLBACK"),
    _s("behind a comment", "PW021", "/* x */ -- y\n commit", "COMMIT"),
    _s("copy in lower case", "PW021", "copy app.marks(tag) from stdin"),
    _s("no word", "PW021", "1 + 1"),
    _s("no word at all", "PW021", "$", "$"),
    _s("a backslash command", "PW021", "\\d"),
    _r("bad done_when", "PW017",
        "select jobs.enqueue_sql('select 1', done_when => 'true; select 2')"),
    _r("done_when that makes", "PW021",
        "select jobs.enqueue_sql('select 1', done_when => 'select 1 into x')"),
    _r("bad rollback", "PW017",
        "select jobs.enqueue_sql('select 1', rollback => 'select 1; select 2')"),
    _r("rollback that is none", "PW021",
        "select jobs.enqueue_sql('select 1', rollback => 'rollback')"),
)  # fmt: skip


def _steps(name: str, code: str, steps: str, *says: str, options: str = "{}") -> Refusal:
    quoted = steps.replace("'", "''")
    return _r(name, code, f"select jobs.enqueue_steps('{quoted}', options => '{options}')", *says)


STEPS = (
    _r("null steps", "PW084", "select jobs.enqueue_steps(null)", "null"),
    _steps("steps of no array", "PW084", '{"statement": "vacuum"}', "array", "object"),
    _steps("no steps", "PW084", "[]", "1 to 50", "not 0"),
    _r(
        "too many steps",
        "PW084",
        "select jobs.enqueue_steps((select jsonb_agg('vacuum'::text) from generate_series(1, 51)))",
        "1 to 50",
        "not 51",
    ),
    _steps("null step", "PW084", '["vacuum", null]', "step 2", "null"),
    _steps("step of a number", "PW084", "[1]", "step 1", "number"),
    _steps("step without statement", "PW084", '[{"rollback": "vacuum"}]', "step 1", "no statement"),
    _steps("step of a null statement", "PW084", '[{"statement": null}]', "step 1", "no statement"),
    _steps("statement of a step no text", "PW084", '[{"statement": 1}]', "step 1", "number"),
    _steps(
        "done_when of a step no text",
        "PW084",
        '[{"statement": "vacuum", "done_when": true}]',
        "step 1: done_when",
        "boolean",
    ),
    _steps(
        "unknown key of a step",
        "PW084",
        '["vacuum", {"statement": "vacuum", "settings": {}}]',
        "step 2",
        "settings",
        "done_when",
    ),
    _steps("empty step", "PW014", '["vacuum", " "]', "step 2"),
    _steps("step of two statements", "PW017", '["vacuum; vacuum"]', "step 1", "not 2"),
    _steps(
        "done_when of a step no statement",
        "PW017",
        '[{"statement": "vacuum", "done_when": "a; b"}]',
        "step 1",
    ),
    _steps("step with a syntax error", "PW017", '["select 1", "alter tabel t"]', "step 2"),
    _steps("step that cannot be a job", "PW021", '["begin"]', "step 1"),
    _steps(
        "lock_timeout of a step without use",
        "PW029",
        '["vacuum", {"statement": "vacuum", "lock_timeout": "1 s"}]',
        "step 2",
        "VACUUM",
    ),
    _steps(
        "lock_timeout of a step no time",
        "PW029",
        '[{"statement": "analyze t", "lock_timeout": "soon"}]',
        "step 1",
        "lock_timeout",
    ),
    _steps(
        "option that no step has a use for",
        "PW029",
        '["vacuum t", "select 1"]',
        "wait_timeout",
        "None of the steps",
        options='{"wait_timeout": "1 s"}',
    ),
    _steps(
        "done_when of all steps",
        "PW029",
        '["vacuum"]',
        "enqueue_steps",
        options='{"done_when": "true"}',
    ),
)

PLANS = (
    _r("plan of nothing", "PW014", "select * from jobs.plan(' -- ')"),
    _r("plan of two", "PW017", "select * from jobs.plan('select 1; select 2')"),
    _r("plan of a missing table", "PW061", "select * from jobs.plan('analyze app.no_such')",
        "app.no_such"),
    _r("plan of a missing index", "PW061",
        "select * from jobs.plan('drop index concurrently no_such')", "no_such", "search_path"),
    _r("plan of a missing referenced table", "PW061",
        "select * from jobs.plan('alter table app.marks add foreign key (tag) references no_such')",
        "no_such"),
    _r("plan of another database", "PW061", "select * from jobs.plan('analyze a.b.c')", "a.b.c"),
    _r("plan of a table of others", "PW062",
        "select * from jobs.plan('create index on pg_catalog.pg_class (relname)')", "postgres"),
    _r("plan of a closed schema", "PW062", "select * from jobs.plan('vacuum nobody.hidden')",
        "permission"),
    _r("plan of a truncate of others", "PW062",
        "select * from jobs.plan('truncate pg_catalog.pg_class')", "TRUNCATE"),
    _r("repack", "PW063", "select * from jobs.plan('repack app.marks')", "REPACK", "19"),
    _s("repack as a job", "PW063", "repack (concurrently) app.marks", "REPACK CONCURRENTLY"),
    _r("plan without steps", "PW084", "select * from jobs.plan('[]'::jsonb)", "not 0"),
    _r("plan of an object", "PW084", "select * from jobs.plan('{}'::jsonb)", "object"),
    _r("plan of a number", "PW084", "select * from jobs.plan('[1]'::jsonb)"),
    _r("plan of a step that is two", "PW017",
        "select * from jobs.plan('[\"select 1\", \"select 1; select 2\"]'::jsonb)", "not 2"),
)  # fmt: skip

MADE = (
    "create table app.r (a integer, b integer not null, constraint there check (a > 0));"
    " create table app.parts (a integer) partition by range (a);"
    " create view app.seen as select 1 as a;"
    " create index r_a on app.r (a); create index on app.parts (a);"
    " alter table app.r add constraint one unique (b);"
)


def _recipe(name: str, code: str, call: str, *says: str, made: str = "") -> Refusal:
    return _r(name, code, f"{MADE}{made}; select jobs.{call}", *says)


RECIPES = (
    _recipe("table that is not there", "PW061", "not_null_steps('app.no', 'a')", "app.no"),
    _recipe("null table", "PW061", "not_null_steps(null, 'a')"),
    _recipe("table of two words", "PW061", "not_null_steps('app.r r', 'a')", "app.r r"),
    _recipe("table of another database", "PW061", "not_null_steps('x.app.r', 'a')", "x.app.r"),
    _recipe(
        "table in a closed schema", "PW062", "not_null_steps('nobody.t', 'a')", "nobody", "42501"
    ),
    _recipe(
        "table of another role",
        "PW062",
        "not_null_steps('pg_catalog.pg_class', 'relname')",
        "pg_class does not belong to app",
        "postgres",
    ),
    _recipe("column that is not there", "PW061", "not_null_steps('app.r', 'c')", '"c"', "a, b"),
    _recipe("system column", "PW061", "not_null_steps('app.r', 'xmin')", "xmin"),
    _recipe("null column", "PW061", "not_null_steps('app.r', null)"),
    _recipe("column that is not null", "PW085", "not_null_steps('app.r', 'b')", "already"),
    _recipe("not null of a view", "PW085", "not_null_steps('app.seen', 'a')", "app.seen"),
    _recipe(
        "temporary table",
        "PW085",
        "not_null_steps('pg_temp.t', 'a')",
        "temporary",
        made="create temporary table t (a integer)",
    ),
    _recipe(
        "unique as a constraint",
        "PW085",
        "constraint_steps('app.r', 'c', 'unique (a)')",
        "UNIQUE",
    ),
    _recipe(
        "not valid twice",
        "PW085",
        "constraint_steps('app.r', 'c', 'check (a > 1) not valid')",
        "without NOT VALID",
    ),
    _recipe(
        "constraint and more",
        "PW085",
        "constraint_steps('app.r', 'c', 'check (a > 1), drop column a')",
        "one CHECK",
    ),
    _recipe(
        "two statements as a constraint",
        "PW017",
        "constraint_steps('app.r', 'c', 'check (a > 1); drop table app.r')",
    ),
    _recipe("null constraint", "PW014", "constraint_steps('app.r', 'c', null)"),
    _recipe(
        "constraint that is there", "PW085", "constraint_steps('app.r', 'there', 'check (a > 1)')"
    ),
    _recipe("constraint without a name", "PW015", "constraint_steps('app.r', '', 'check (a > 1)')"),
    _recipe(
        "foreign key to nothing",
        "PW061",
        "constraint_steps('app.r', 'c', 'foreign key (a) references app.no (a)')",
        "app.no",
    ),
    _recipe("unique without columns", "PW085", "unique_steps('app.r', '{}')", "1 to 32"),
    _recipe("unique with a column twice", "PW085", "unique_steps('app.r', '{a, a}')"),
    _recipe("unique with a null", "PW085", "unique_steps('app.r', '{a, null}')", "NULL"),
    _recipe("unique on no column", "PW061", "unique_steps('app.r', '{a, x}')", '"x"'),
    _recipe("unique that is there", "PW085", "unique_steps('app.r', '{b}')", "one"),
    _recipe("unique of a partitioned table", "PW085", "unique_steps('app.parts', '{a}')", "0A000"),
    _recipe("index that is not there", "PW061", "replace_index_steps('app.no', '(a)')", "index"),
    _recipe("table as an index", "PW085", "replace_index_steps('app.r', '(a)')", "app.r"),
    _recipe(
        "index of a constraint", "PW085", "replace_index_steps('app.one', '(b)')", "constraint one"
    ),
    _recipe(
        "index of a partitioned table", "PW085", "replace_index_steps('app.parts_a_idx', '(a)')"
    ),
    _recipe(
        "index of a partition",
        "PW085",
        "replace_index_steps('app.part_a_idx', '(a)')",
        "partitioned",
        made="create table app.part partition of app.parts default",
    ),
    _recipe(
        "clustered index",
        "PW085",
        "replace_index_steps('app.r_a', '(a)')",
        "clustered",
        made="alter table app.r cluster on r_a",
    ),
    _recipe(
        "replica identity",
        "PW085",
        "replace_index_steps('app.r_b', '(a)')",
        "replica identity",
        made="create unique index r_b on app.r (b); alter table app.r replica identity using index"
        " r_b",
    ),
    _recipe(
        "whole CREATE INDEX",
        "PW085",
        "replace_index_steps('app.r_a', 'create index on app.r (b)')",
        "btree (a)",
    ),
    _recipe("null definition", "PW085", "replace_index_steps('app.r_a', null)"),
    _recipe(
        "two statements as an index", "PW017", "replace_index_steps('app.r_a', '(b); select 1')"
    ),
)

#: More of these: test_schedule_expressions.py.
SCHEDULES = (
    _r("schedule", "PW100", "select jobs.next_runs('61 * * * *')", "61", "0 to 59"),
    _r("zone", "PW101", "select jobs.next_runs('@daily', 'CET')", "CET", "Abbreviations"),
    _r(
        "overlap",
        "PW102",
        "select jobs.schedule('x', '@daily', 'pg_catalog.now', overlap => 'no')",
        "overlap",
        "skip, queue_one",
    ),
    _r("no schedule", "PW103", "select jobs.unschedule('no such')", "no such"),
    _r(
        "parent",
        "PW104",
        "select jobs.enqueue('pg_catalog.now', options => '{\"after\": [987654321]}')",
        "987654321",
        "own owner",
    ),
    _r(
        "batch",
        "PW115",
        "select jobs.enqueue('pg_catalog.now', options => '{\"batch\": 987654321}')",
        "987654321",
        "another role",
    ),
    _r("name of a batch", "PW117", "select jobs.create_batch(' ')", "name", "' '"),
    _r(
        "timeout in a batch",
        "PW117",
        "select jobs.create_batch('x', options => '{\"timeout\": \"soon\"}')",
        "timeout",
        "soon",
    ),
    _r(
        "window",
        "PW111",
        "select jobs.enqueue('pg_catalog.now', options => '{\"window\": \"no such\"}')",
        "no such",
        "operator",
    ),
    _r("runs", "PW026", "select jobs.next_runs('@daily', n => 1001)", "1001", "1 to 1000"),
)

ALL = (*PLANS, *TASKS, *OPTIONS, *STEERING, *QUEUES, *STATEMENTS, *STEPS, *RECIPES, *SCHEDULES)
