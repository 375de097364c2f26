"""Reading a statement: quotes, comments, what is refused; nothing runs meanwhile."""

from contextlib import suppress

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row, sqlstate_of

#: Statements that are one statement, and what they do to app.marks.
TRAPS = (
    ("semicolon in a string", "insert into app.marks (tag) values ('a;b')", "a;b"),
    ("quote in a string", "insert into app.marks (tag) values ('it''s; fine')", "it's; fine"),
    ("backslash at the end of a string", "insert into app.marks (tag) values ('c:\\')", "c:\\"),
    ("backslashes", "insert into app.marks (tag) values ('\\\\' || ';')", "\\\\;"),
    ("E string", r"insert into app.marks (tag) values (E'a\';b\\')", "a';b\\"),
    ("E string in lower case", r"insert into app.marks (tag) values (e'\'; --')", "'; --"),
    ("a word that ends with e",
        "insert into app.marks (tag) select tag from (select ';' as tag) as same", ";"),
    ("unicode string", r"insert into app.marks (tag) values (U&'\0061;')", "a;"),
    ("string over two lines", "insert into app.marks (tag) values ('a;'\n'b')", "a;b"),
    ("dollar quote", "insert into app.marks (tag) values ($$a;'b$$)", "a;'b"),
    ("dollar quote with a tag", "insert into app.marks (tag) values ($q$a;$$b$q$)", "a;$$b"),
    ("dollar tags that nest", "insert into app.marks (tag) values ($a$ $b$;$b$ $a$)", " $b$;$b$ "),
    ("dollar tag with a letter of its own", "insert into app.marks (tag) values ($ä$;$ä$)", ";"),
    ("dollar in a name",
        "insert into app.marks (tag) select a$b$ from (select 'x' as a$b$) as c$b$", "x"),
    ("identifier with a semicolon",
        'insert into app.marks (tag) select "a;b" from (select 1 as "a;b") as "x"";"', "1"),
    ("line comment", "insert into app.marks (tag) -- ; 'x\nvalues ('b')", "b"),
    ("block comment", "insert /* ; ' */ into app.marks (tag) values /* /* ; */ $$ */ ('b')", "b"),
    ("a comment that ends with a backslash", "insert into app.marks (tag) -- \\\nvalues ('b')",
        "b"),
    ("a comment behind a star", "insert into app.marks (tag) values (2*/*;*/3)", "6"),
    ("stars in a comment", "insert into app.marks (tag) values (/** ; **/ 'b' /*/ ; */ /* */)",
        "b"),
    ("E string that begins with a quote", r"insert into app.marks (tag) values (E'''\';b')",
        "'';b"),
    ("backslash and two quotes", r"insert into app.marks (tag) values ('\'';')", r"\';"),
    ("dollar tag inside another", "insert into app.marks (tag) values ($q$a$b$q$)", "a$b"),
    ("word before the closing dollars", "insert into app.marks (tag) values ($$;b$$)", ";b"),
    ("comment marks in a string", "insert into app.marks (tag) values ('-- /* x')", "-- /* x"),
    ("semicolons at the end", "insert into app.marks (tag) values ('b');;\n ; -- ;\n", "b"),
    ("carriage returns", "insert into app.marks (tag)\r\n-- ;\r\nvalues ('b')\r\n;", "b"),
    ("minus minus number", "insert into app.marks (tag) values (5 - -3)", "8"),
    ("operators", "insert into app.marks (tag) values ('{\"a\":\"b\"}'::json->>'a')", "b"),
    ("umlauts", "insert into app.marks (tag) values ('ä;ö🐎')", "ä;ö🐎"),
    ("percent signs", "insert into app.marks (tag) values ('%I %L %% %s $1')", "%I %L %% %s $1"),
    ("a CTE that writes",
        "with a as (select ';x' as t) insert into app.marks (tag) select t from a", ";x"),
    ("long", "insert into app.marks (tag) values ('" + "x;" * 20000 + "')", "x;" * 20000),
    ("a parameter", "insert into app.marks (tag) select x from app.twice_of(';') as f(x)", ";;"),
    ("DO", "do $$ begin insert into app.marks (tag) values ('do;'); commit; end $$", "do;"),
    ("CALL that commits", "call app.keep('kept;', 1)", "kept;"),
)  # fmt: skip


def test_quoting_traps(database: Database) -> None:
    """One statement is one statement, whatever its quotes and comments hold, and it runs as it was
    written.
    """
    ids = [
        database.value("select jobs.enqueue_sql(%s, max_attempts => 1)", [f"/* {n} */ {text}"])
        for n, (_, text, _) in enumerate(TRAPS)
    ]
    database.drain()

    for job, (_, text, _) in zip(ids, TRAPS, strict=True):
        found = database.job(job)
        assert (found["state"], found["error"]) == ("succeeded", None), (text, found["error"])
        assert found["statement"].endswith(text)
    tags = sorted(tag for (tag,) in database.run("select tag from app.marks"))
    assert tags == sorted(tag for *_, tag in TRAPS)


BODIES = (
    (
        "create function app.body() returns integer begin atomic select case when true then 1; end;"
        " select 2; end"
    ),
    (
        "create or replace procedure app.body(n integer) begin atomic insert into app.marks (tag)"
        " values ('a'); end;"
    ),
    "create rule twice as on insert to app.marks do also (notify a; notify b)",
    "create function app.body() returns text language sql as 'select 1; select ''x;'''",
    "create index concurrently on app.marks (tag)",
    "select 1 as begin, 2 as atomic",
)


#: What cannot run now, and may be made possible by an earlier job.
NOT_YET = (
    "select no_such_column from no_such_table",
    "call no_such.procedure(1)",
    "insert into no_such_table (a) values ('x'::no_such_type)",
    "create index concurrently on no_such_table (no_such_column)",
    "select no_such_function(a => 1) order by 5",
    "select 1 as into",
    "import foreign schema a from server b into c",
    "select '%', $1",
    "select 1 -- and a comment",
    "explain (no_such_option) select 1",
    "alter table no_such_table drop a",
    "do language no_such_language 'x'",
    "do $$ this is no PL/pgSQL $$",
    "create function f() returns int language sql as 'selectt'",
)


@pytest.mark.parametrize("text", NOT_YET)
def test_what_is_missing_is_no_mistake(sql: Connection[Row], text: str) -> None:
    """Only what PostgreSQL cannot read is refused: what does not exist may be there when the
    job runs.
    """
    row = sql.execute(
        "select jobs.enqueue_sql(%s, done_when => 'no_such_thing', rollback => %s)", [text, text]
    ).fetchone()

    assert row is not None


#: Texts that would do something if any part of them ran while it is read.
EVIL = (
    "insert into app.marks (tag) values ('evil')",
    "select app.mark('evil')",
    "select app.mark('evil'); select app.mark('evil')",
    "1; select app.mark('evil')",
    "; insert into app.marks (tag) values ('evil')",
    "union select app.mark('evil')",
    ", app.mark('evil')",
    "; commit; insert into app.marks (tag) values ('evil'); commit",
    "select 1 end; $$; select app.mark('evil') --",
    "true) then perform app.mark('evil'); end if; if (true",
    "end; select app.mark('evil'); begin",
    "*/ ; select app.mark('evil') /*",
    "' ; select app.mark('evil'); --",
    "\\' ; select app.mark('evil'); --",
    "do $$ begin perform app.mark('evil'); end $$",
    "call app.keep('evil')",
    "create table app.evil (a integer)",
    "drop table app.marks",
    "select app.mark('evil') from no_such_table; sel",
    "set role other",
)


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_nothing_runs_while_it_is_read(shared: Database, conforming: str) -> None:
    """The look at the grammar runs no part of a text, whatever is in it and however the session
    is set.
    """
    before = (
        shared.run("select count(*) from app.marks"),
        shared.run("select count(*) from pg_class"),
    )
    with shared.connect() as connection:
        connection.execute(f"set standard_conforming_strings = {conforming}".encode())
        for text in EVIL:
            with suppress(psycopg.Error), connection.transaction():
                connection.execute("select jobs.enqueue_sql(%s, run_at => '2100-01-01')", [text])
            with suppress(psycopg.Error), connection.transaction():
                connection.execute(
                    "select jobs.enqueue_sql('select 1', run_at => '2100-01-01', done_when => %s,"
                    " rollback => %s)",
                    [text, text],
                )
    for text in EVIL:
        with suppress(psycopg.Error):
            shared.admin("select jobs_internal.assert_readable(%s, 'it')", [text])

    assert (
        shared.run("select count(*) from app.marks"),
        shared.run("select count(*) from pg_class"),
    ) == before


#: Texts of 100 kB are made of these: a head, and a piece again and again.
TEDIOUS = (
    ("select ", "$a"), ("select a", "$"), ("", '"'), ("select ", '"'), ("", "'"), ("select ", "'"),
    ("select ", "/*"), ("select ", "/* "), ("select ", "E'\\\\'"), ("select E'", "\\"),
    ("select 1", "--\n"), ("select 1 as ", '"a'),
    ("select ", "$$"), ("copy a from ", "stdin "), ("select ", "("),
    ("create rule a as on insert to b do (", ";"),
    ("select 1", "+1"), ("select ", "+"), ("select ", "/**/"),
)  # fmt: skip


@pytest.mark.parametrize(("head", "piece"), TEDIOUS)
def test_a_text_is_read_in_time(shared: Database, head: str, piece: str) -> None:
    """A text is stored, or refused by name, in a time that grows with its length and no more."""
    text = head + piece * (100_000 // len(piece))
    with shared.connect(statement_timeout="10s") as connection:
        state = sqlstate_of(
            lambda: connection.execute(
                "select jobs.enqueue_sql(%s, run_at => '2100-01-01')", [text]
            )
        )

    assert state in (None, "PW014", "PW017", "PW018", "PW021")


@pytest.mark.parametrize("text", BODIES)
def test_semicolons_that_end_nothing(database: Database, text: str) -> None:
    """Semicolons in the body of a function or the actions of a rule do not end the statement."""
    text = text.replace("case when true then 1; end;", "case when true then 1 end;")
    job = database.value("select jobs.enqueue_sql(%s)", [text])
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
