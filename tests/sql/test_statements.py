"""jobs.enqueue_sql: one statement, whatever is inside its quotes and comments,
run in a transaction or at top level.
"""

from typing import Any

import pytest
from psycopg import Connection
from support import Database, Row

MADE = {"command_tag": "CREATE INDEX", "verified": True}


DROPPED = {"command_tag": "DROP INDEX", "verified": True}


REBUILT = {"command_tag": "REINDEX", "verified": True}


VACUUMED = {"command_tag": "VACUUM", "verified": True}


#: (statement, task, result)
KINDS: tuple[tuple[str, str, Any], ...] = (
    ("select generate_series(1, 5)", "select", {"rows": 5}),
    ("(select 1) union (select 2)", "select", {"rows": 2}),
    ("values (1), (2), (3)", "values", {"rows": 3}),
    ("table app.marks", "table", {"rows": 0}),
    ("with x as (select 1) select * from x", "with", {"rows": 1}),
    ("insert into app.marks (tag) values ('a'), ('b')", "insert app.marks", {"rows": 2}),
    ("with x as (select 'c' as t) insert into app.marks (tag) select t from x", "with",
        {"rows": 1}),
    ("update app.marks set tag = tag || '!'", "update app.marks", {"rows": 3}),
    ("delete from app.marks where tag = 'a!'", "delete app.marks", {"rows": 1}),
    (
        "merge into app.marks using (values ('b!')) as s(t) on tag = t when matched then delete",
        "merge app.marks",
        {"rows": 1},
    ),
    ("create table app.made (i integer)", "create table app.made", {"rows": 0}),
    ("create table app.copied as select 1 as i", "create table app.copied", {"rows": 1}),
    ("create unique index made_i on app.made (i)", "create unique index app.made_i", {"rows": 0}),
    ("analyze app.made", "analyze app.made", {"command_tag": "ANALYZE", "verified": True}),
    ("create materialized view app.seen as select 1 as i", "create materialized view app.seen",
        {"rows": 1}),
    ("refresh materialized view app.seen", "refresh materialized view app.seen", {"rows": 0}),
    ("truncate app.made", "truncate app.made", {"rows": 0}),
    ("grant select on app.made to other", "grant", {"rows": 0}),
    ("comment on table app.made is 'x'", "comment", {"rows": 0}),
    ("explain (costs off) select 1", "explain", {"rows": 1, "plan": "Result"}),
    ("vacuum app.made", "vacuum app.made", VACUUMED),
    ("VACUUM (ANALYZE) app.made", "vacuum app.made", VACUUMED),
    ("create index concurrently made_c on app.made (i)", "create index concurrently app.made_c",
        MADE),
    (
        'create unique index concurrently if not exists "Made;u" on app.made (i)',
        'create index concurrently app."Made;u"',
        MADE,
    ),
    ("reindex index concurrently app.made_c", "reindex concurrently index app.made_c", REBUILT),
    ("reindex (verbose) table concurrently app.made", "reindex concurrently table app.made",
        REBUILT),
    ("drop index concurrently app.made_c", "drop index concurrently app.made_c", DROPPED),
    ('drop index concurrently if exists app."Made;u"', 'drop index concurrently app."Made;u"',
        DROPPED),
    ("call app.keep('x', 2)", "call app.keep", {"command_tag": "CALL"}),
    ("do $$ begin perform 1; end $$", "do", {"command_tag": "DO"}),
    ("drop table app.made", "drop table app.made", {"rows": 0}),
)  # fmt: skip


def test_kinds_of_statements(database: Database) -> None:
    """Every kind of statement runs, in the order of its lane; the task names it,
    and its object if it can be read.
    """
    ids = [
        database.value("select jobs.enqueue_sql(%s, max_attempts => 1)", [text])
        for text, _, _ in KINDS
    ]
    database.drain()

    rows = {
        job: rest
        # the counters of VACUUM are tests/execution/test_outcome_text.py's
        for job, *rest in database.run(
            "select id, task, state, result - 'vacuum', error from jobs.job"
        )
    }
    wrong = [
        (text, rows[job])
        for job, (text, task, result) in zip(ids, KINDS, strict=True)
        if rows[job] != [task, "succeeded", result, None]
    ]
    assert wrong == []


def test_error_is_kept_whole(database: Database) -> None:
    """The error of a statement has its SQLSTATE, message, detail and constraint,
    in a transaction and at top level.
    """
    database.run("create table app.twice (i integer, constraint only_one unique (i))")
    insert = "insert into app.twice values (1), (1)"
    plain = database.value("select jobs.enqueue_sql(%s)", [insert])
    top = database.value("select jobs.enqueue_sql(%s)", [f"do $$ begin {insert}; end $$"])
    database.drain()

    for job in (plain, top):
        found = database.job(job)
        assert (found["state"], found["attempt"]) == ("failed", 1)
        assert found["error"]["sqlstate"] == "23505"
        assert found["error"]["constraint"] == "only_one"
        assert "(i)=(1)" in found["error"]["detail"]


def test_done_when(database: Database) -> None:
    """A post-condition that is true makes a success; one that is not undoes the
    statement: PW043.
    """
    yes = database.value(
        "select jobs.enqueue_sql('insert into app.marks (tag) values (''yes'')',"
        " done_when => 'exists (select from app.marks where tag = ''yes'')', rollback => 'delete"
        " from app.marks')"
    )
    no = database.value(
        "select jobs.enqueue_sql('insert into app.marks (tag) values (''no'')',"
        " done_when => 'select false')"
    )
    database.drain()

    assert database.job(yes)["state"] == "succeeded"
    assert database.job(yes)["rollback"] == "delete from app.marks"
    assert (database.job(no)["state"], database.job(no)["error"]["sqlstate"]) == ("failed", "PW043")
    assert database.run("select tag from app.marks") == [("yes",)]


def test_found_out_to_need_top_level(database: Database) -> None:
    """A function's statement that commits is found out and run at top level, once."""
    job = database.value("select jobs.enqueue_sql('call app.keep(''once'', 3)')")
    database.drain()

    assert database.job(job)["attempt"] == 1
    assert database.value("select count(*) from app.marks") == 3


@pytest.mark.parametrize("word", ["analyze", "checkpoint"])
def test_one_word(database: Database, word: str) -> None:
    """A statement of one word is taken."""
    job = database.value("select jobs.enqueue_sql(%s)", [word])

    assert database.job(job)["task"] == word


@pytest.mark.parametrize(
    "text",
    [
        "insert into app.marks (tag) values ('" + "some words, and ''more'' " * 39_000 + "')",
        "insert into app.marks (tag) values "
        + ",".join(f"('/*{n}*/ ++ -- it')" for n in range(40_000)),
        "create function app.large() returns text language sql as $$ select '"
        + "/**/++--" * 15_000
        + "' $$",
        "/" + "*" * 300 + "/ select 1 /*\n" + ("-" * 100 + "\n") * 2_000 + "*/ --" + "-" * 100_000,
        "/* " * 30_000 + " */" * 30_000 + " select 1",
    ],
    ids=["one string", "many rows", "body", "banners", "nested comments"],
)
def test_large_statements(sql: Connection[Row], text: str) -> None:
    """A statement of up to a megabyte is taken, and what is in its strings counts for nothing."""
    sql.execute("set local statement_timeout = '30s'")

    assert sql.execute("select jobs.enqueue_sql(%s)", [text]).fetchone() is not None


def test_index_with_an_odd_name(database: Database) -> None:
    """The known post-condition of an index finds it by whatever name it has."""
    table, index = '"a table; ""x"""', '"an index; ""x"""'
    database.run(f"create table app.{table} (i integer)")
    job = database.value(
        "select jobs.enqueue_sql(%s)", [f"create index concurrently {index} on app.{table} (i)"]
    )
    database.drain()

    assert database.job(job)["result"] == MADE
