"""Texts that may or may not be one SQL statement, and lists of them."""

import json

from hypothesis import strategies as st

from .values import ANY_TEXT, LARGE, Value, Values, either

#: What jobs.enqueue_sql takes, or must refuse, and what a job of it may do to a session.
ODD_STATEMENTS = (
    "$", "$ $", "select 1", "select 1;", ";select 1;;", "select 1; select 2", "select 'a;b'",
    "select $$a;b$$", "select $a$ ; $b$ ; $a$", 'select 1 as ";"', "/* a /* b */ ; */ select 1",
    "-- a\nselect 1", "select 1 -- a", "select 1 /* a", "/* a */ /", "select '", "select \"x",
    "select $$", "select $a$ $$", "select E'\\''", "select E'\\'; select 2 --'",
    "select E'a'\n'b\\''; select 2 --'", "select E'a'\n'\\''",
    "select E'a' -- c\n 'b\\'' ; select 2 --'", "select U&'\\0061' uescape '!'",
    "select U&\"\\0061\"", "select b'1', x'ff', n'x'", "select 1e'a'", "select '\\'; select 2 --'",
    "\\d", "\\copy x from y", "select 1 \\g", "select :x", "select $1", "begin", "commit",
    "rollback", "end", "start transaction", "savepoint a", "begin; select 1; commit",
    "prepare transaction 'x'", "set work_mem = '1MB'", "set local role none", "reset all",
    "listen x", "unlisten *", "notify x", "notify x, 'y'", "discard all", "deallocate all",
    "declare c cursor for select 1", "fetch c", "copy app.t from stdin", "copy app.t to stdout",
    "copy (select 1) to stdout", "copy app.t from program 'true'", "copy app.t to '/x'",
    "copy app.t(" + ",".join(["n"] * 500) + ") from stdin",
    "copy (select " + ",".join(["1"] * 500) + ") to stdout", "copy binary app.t from stdin",
    "Copy app.t From /* x */ StdIn", "select 1 into app.copy_of",
    "select " + "1," * 500 + "1 into app.wide", "(select 1 into app.in_parens)",
    "with a as (select 1) select * into app.copy_2 from a", "table app.t", "values (1)",
    "(select 1)", "((select 1))", "select", "insert into app.t values (1)",
    "insert into app.t select 'x'", "delete from app.t", "update app.t set n = n / 0", "select 1/0",
    "call app.proc()", "call app.proc(1)", "call app.no_such()", "call", "do $$begin null; end$$",
    "do $$begin commit; end$$", "do $$begin raise exception 'x'; end$$",
    "do $$begin raise exception using errcode = 'XX000'; end$$", "do 'x'", "do language sql 'x'",
    "do", "vacuum app.t", "vacuum", "vacuum (bogus) app.t", "analyze app.t", "analyze",
    "checkpoint", "explain select 1", "explain analyze select 1", "explain vacuum",
    "create table app.made (n integer)", "create table app.t (n integer)",
    "create temp table x (n integer)", "drop table app.no_such",
    "create index concurrently on app.t (n)", "create index concurrently i on app.t (n)",
    "create index concurrently if not exists i on app.t (n)", "create index concurrently i",
    "create index concurrently", "create index concurrently if",
    "create index concurrently if not exists on app.t (n)",
    'create unique index concurrently "I ""x" on only app."T" (n)',
    "create index concurrently i on", "drop index concurrently", "drop index concurrently i",
    "drop index concurrently if exists app.i, app.j", "drop index concurrently if", "reindex",
    "reindex (concurrently) table app.t",
    "reindex (verbose",
    "reindex table concurrently app.t", "reindex index concurrently app.no_such",
    "reindex schema concurrently app", "reindex system concurrently",
    "reindex database concurrently no_such", "reindex concurrently",
    "refresh materialized view concurrently app.no_such", "cluster", "cluster app.t",
    "create database x", "drop database postgres", "create tablespace x location '/x'",
    "alter system set work_mem = '1MB'", "alter system",
    "create subscription s connection 'x' publication p",
    "alter table app.t detach partition app.t concurrently", "alter database x set work_mem = 1",
    "load 'x'", "lock table app.t", "show all", "grant", "security label on table app.t is 'x'",
    "import foreign schema x from server y into z",
    "create rule r as on insert to app.t do also (select 1; select 2)",
    "create function app.f() returns int begin atomic select 1; select 2; end",
    "create function app.f() returns int begin atomic select case when true then 1 end; end",
    "create function app.f() returns int begin atomic",
    (
        "create function app.f() returns int begin atomic select x.case from app.t x; end;"
        " drop table t; select 1 as end"
    ),
    (
        "create function app.f() returns int begin atomic select 1 case; end; drop table app.t;"
        " select 1 end"
    ),
    "select pg_sleep('NaN')",
    "create table app.x as select begin atomic from app.t; drop table app.t; select 1 end",
    "create schema x create table y (n int)", "select pg_advisory_lock(1)",
    "select set_config('role', 'other', false)", "set role other", "select jobs.current_id()",
    "select jobs.log('x')", "select lo_create(0)", "select * from generate_series(1, 100000)",
    "select repeat('x', 100000)", "select 'x'::xml", "merge into app.t", "truncate app.t",
    "select " + "(" * 500 + "1" + ")" * 500, "select " + "(" * 20_000 + "1" + ")" * 20_000,
    "select " + "1+" * 20_000 + "1", "select '" + LARGE + "'",
    "/*" * 5_000 + "*/" * 5_000 + "select 1", "select 1" + "-- x\n" * 2_000,
    "select '" + "''" * 5_000 + "'", "\u00a0", "select\u00a01", "\ufeffselect 1", "sélect 1", "(",
    ")", ")(", ",", "1", "'x'",
    "\"x\"", "$$x$$", "@", "{}", LARGE, "", " ", ";", None,
)  # fmt: skip

#: Pieces out of which texts are made: what the server's scanner has rules for.
PIECES = (
    "select ", "1", "a", "E", "e", "U&", "N", "B", "'", "''", "'a'", "E'a'", "\\", "\\'", '"', '""',
    "$", "$$", "$a$", "$é$", "$1", "a$b$", "--", "-- x\n", "/*", "*/", "/", "*", "*/*", "+", "-",
    ";", "(", ")", ",", ".", " ", "\n", "\r", "\t", "\f", "\v", "\u00a0", "é", " begin atomic ",
    " case ", " end ", " end;", "create function f() returns int ", "create procedure p() ",
    "create rule r as on insert to t do also ", "create table x as ", " as ", " select 1 ", "0x",
    "1e", "; select 2", " from t ", " return 1;",
)  # fmt: skip
SOUP: st.SearchStrategy[str] = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)

STATEMENTS: Values = (
    either(*ODD_STATEMENTS)
    | either(*ODD_STATEMENTS)
    | SOUP
    | SOUP.map(lambda soup: "select " + soup)
    | ANY_TEXT
)

ODD_CONDITIONS: tuple[Value, ...] = (
    None, None, None, "", " ", "true", "false", "null", "1 = 1", "true -- done", "true /* x */",
    "true;", "true; select 1", "select true", "select 1", "select null::boolean", "values (true)",
    "with a as (select true) select * from a", "table app.t", "(select true)", "true) or (false",
    "true)::boolean; drop table app.t; --", "select true, false", "select from app.t", "select 'x'",
    "'x'", "exists (select from app.t)", "1 / 0 = 1", "delete from app.t returning true",
    "no_such_column", "$$x$$", "$1", "select $1", "commit", "select 'unterminated",
    "pg_sleep(0) is null", "select array[true]", "select row(true)", "jobs.current_id() > 0",
    "true\n", "E'\\'' = ''", "\\d", LARGE,
)  # fmt: skip
CONDITIONS: Values = either(*ODD_CONDITIONS) | either(None, None) | SOUP


_STEP = STATEMENTS | st.fixed_dictionaries(
    {"statement": STATEMENTS},
    optional={
        "done_when": CONDITIONS,
        "rollback": CONDITIONS | STATEMENTS,
        "lock_timeout": either("1 s", "-1 s", "x", None, LARGE),
        "settings": either("{}"),
    },
)
#: Steps that are good by themselves, so that other parameters meet some that are accepted.
_GOOD = either("select 1", "vacuum app.t", "analyze app.t", "update app.t set n = n")
#: What jobs.enqueue_steps is given: lists of what may be a step, of good ones, and what is no list.
STEPS: Values = st.lists(_STEP, max_size=5).map(json.dumps) | st.lists(
    _GOOD, min_size=1, max_size=5
).map(json.dumps) | either(
    None, "{}", "[]", "1", '"vacuum"', "[null]", "[[]]", "[{}]", '["select 1", "select 2"]',
    json.dumps(["select 1"] * 50), json.dumps(["select 1"] * 51), "x",
)  # fmt: skip
#: What stands behind the name of a constraint, or of a table in CREATE INDEX.
DEFINITIONS: Values = either(
    None, "", "check (n > 0)", "check (n > 0) not valid", "foreign key (n) references app.t",
    "unique (n)", "primary key (n)", "not null n", "exclude (n with =)", "check (n > 0), drop n",
    "check (n > 0); select 1", "check (", "(n)", "(n) where n > 0", "using hash (n)", "unique (n)",
    "unique(n)", "using", "(n); drop table app.t", "(n) -- x", "check (n > 0) -- x", "(", LARGE,
) | SOUP  # fmt: skip
