"""Refusals of statements, steps and plans."""

from .refusal import Refusal, no


def _s(name: str, code: str, statement: str, *says: str) -> Refusal:
    quoted = statement.replace("\\", "\\\\").replace("'", "''")
    return no(name, code, f"select jobs.enqueue_sql(E'{quoted}')", *says)


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
    no("null", "PW014", "select jobs.enqueue_sql(null)"),
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
    no("syntax error in done_when", "PW017", _sql("done_when => 'selec 1'"), "done_when", "42601",
        '"1"'),
    no("syntax error in a query", "PW017", _sql("done_when => 'select from where'"), "done_when",
        "42601", '"where"'),
    no("syntax error in rollback", "PW017", _sql("rollback => 'garbage !!'"), "rollback", "42601",
        '"garbage"'),
    no(
        "comments in comments",
        "PW018",
        "select jobs.enqueue_sql(repeat('/*', 200000) || repeat('*/', 200000) || 'select 1')",
    ),
    no("comments without end", "PW018", "select jobs.enqueue_sql(repeat('/*', 400000))"),
    no("comments one by one", "PW018",
        "select jobs.enqueue_sql(repeat('/**/', 200000) || 'select 1')"),
    no("comments in a run", "PW018",
        "select jobs.enqueue_sql('select 1 ' || repeat('/*', 9000) || repeat('-', 9999))"),
    no("signs in a run", "PW018",
        "select jobs.enqueue_sql('select ' || repeat('+', 400000) || '1')"),
    no("signs and a comment", "PW018",
        "select jobs.enqueue_sql('select ' || repeat('+', 999) || repeat('-', 900000))"),
    no("signs in done_when", "PW018",
        _sql("done_when => 'select ' || repeat('+-', 200000) || '1'")),
    no("comments in rollback", "PW018", _sql("rollback => repeat('/**/', 200000) || 'select 1'")),
    no("long statement", "PW018", "select jobs.enqueue_sql('select ' || repeat('1', 1000000))",
        "1000007", "1000000"),
    no("long condition", "PW018",
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
    no("bad done_when", "PW017",
        "select jobs.enqueue_sql('select 1', done_when => 'true; select 2')"),
    no("done_when that makes", "PW021",
        "select jobs.enqueue_sql('select 1', done_when => 'select 1 into x')"),
    no("bad rollback", "PW017",
        "select jobs.enqueue_sql('select 1', rollback => 'select 1; select 2')"),
    no("rollback that is none", "PW021",
        "select jobs.enqueue_sql('select 1', rollback => 'rollback')"),
)  # fmt: skip


def _steps(name: str, code: str, steps: str, *says: str, options: str = "{}") -> Refusal:
    quoted = steps.replace("'", "''")
    return no(name, code, f"select jobs.enqueue_steps('{quoted}', options => '{options}')", *says)


STEPS = (
    no("null steps", "PW084", "select jobs.enqueue_steps(null)", "null"),
    _steps("steps of no array", "PW084", '{"statement": "vacuum"}', "array", "object"),
    _steps("no steps", "PW084", "[]", "1 to 50", "not 0"),
    no(
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
    no("plan of nothing", "PW014", "select * from jobs.plan(' -- ')"),
    no("plan of two", "PW017", "select * from jobs.plan('select 1; select 2')"),
    no("plan of a missing table", "PW061", "select * from jobs.plan('analyze app.no_such')",
        "app.no_such"),
    no("plan of a missing index", "PW061",
        "select * from jobs.plan('drop index concurrently no_such')", "no_such", "search_path"),
    no("plan of a missing referenced table", "PW061",
        "select * from jobs.plan('alter table app.marks add foreign key (tag) references no_such')",
        "no_such"),
    no("plan of another database", "PW061", "select * from jobs.plan('analyze a.b.c')", "a.b.c"),
    no("plan of a table of others", "PW062",
        "select * from jobs.plan('create index on pg_catalog.pg_class (relname)')", "postgres"),
    no("plan of a closed schema", "PW062", "select * from jobs.plan('vacuum nobody.hidden')",
        "permission"),
    no("plan of a truncate of others", "PW062",
        "select * from jobs.plan('truncate pg_catalog.pg_class')", "TRUNCATE"),
    no("repack", "PW063", "select * from jobs.plan('repack app.marks')", "REPACK", "19"),
    _s("repack as a job", "PW063", "repack (concurrently) app.marks", "REPACK CONCURRENTLY"),
    no("plan without steps", "PW084", "select * from jobs.plan('[]'::jsonb)", "not 0"),
    no("plan of an object", "PW084", "select * from jobs.plan('{}'::jsonb)", "object"),
    no("plan of a number", "PW084", "select * from jobs.plan('[1]'::jsonb)"),
    no("plan of a step that is two", "PW017",
        "select * from jobs.plan('[\"select 1\", \"select 1; select 2\"]'::jsonb)", "not 2"),
)  # fmt: skip
