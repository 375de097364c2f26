"""Procedures are jobs too: at top level, so that they may commit, with arguments of every kind."""

from support import Database

from .conftest import Enqueue


def _tags(database: Database) -> list[str]:
    return [tag for (tag,) in database.run("select tag from app.marks order by at, tag")]


def test_that_commits(database: Database, put: Enqueue) -> None:
    """A procedure may commit; its defaults are its own."""
    one = put("app.keep", {"tag": "one"})
    two = put("app.keep", {"tag": "it's; two", "times": 2})
    database.drain()

    assert database.job(one)["state"] == database.job(two)["state"] == "succeeded"
    assert _tags(database) == ["one", "it's; two", "it's; two"]
    assert database.job(two)["task"] == "app.keep"


def test_out_and_inout(database: Database, put: Enqueue) -> None:
    """OUT parameters need no argument, INOUT ones do; what they give back is the result,
    as of a function.
    """
    job = put("app.proc_out", {"a": 3, "c": 4})
    database.drain()

    assert database.result(job) == {"b": 3, "c": 3}
    assert _tags(database) == ["out 3 4"]


def test_sole_jsonb(database: Database, put: Enqueue) -> None:
    """A procedure whose only parameter is jsonb gets the arguments whole."""
    job = put("app.proc_whole", {"tag": "whole", "more": [1]})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["whole"]


def test_every_kind_of_argument(database: Database, put: Enqueue) -> None:
    """Enum, composite, array and VARIADIC arguments of a procedure arrive as they were given."""
    job = put(
        "app.proc_kinds", {"m": "ok", "p": {"x": 1, "y": "(,)"}, "n": [1, 2], "rest": ["a b"]}
    )
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["ok (,) 2 a b"]


def test_padded_types(database: Database, put: Enqueue) -> None:
    """character and bit parameters of a procedure keep their length."""
    database.run(
        "create procedure app.proc_padded(c character, b bit) language plpgsql as "
        "$$ begin insert into app.marks (tag) values (c || b::text); end $$"
    )
    job = put("app.proc_padded", {"c": "abc", "b": "101"})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["abc101"]


def test_out_values_of_every_kind(database: Database, put: Enqueue) -> None:
    """Whatever its type, its name and the settings of the job: an OUT value is kept as a function's
    would be.
    """
    database.run(
        "create type app.\"Odd type\" as enum ('a, b');"
        'create procedure app.kinds(out day date, out span daterange, out "Odd name" app."Odd'
        ' type", out p app.pair,'
        " out n numeric(10, 2), out many int[], out nothing text, out j jsonb, inout b bytea,"
        " out double precision)"
        " language plpgsql as $$ begin day := '2026-04-03'; span := '[2026-04-03,2026-05-06)';"
        " \"Odd name\" := 'a, b';"
        " p := row(1, '(,)'); n := 1.5; many := array[1, null]; j := '{\"a\": [1]}';"
        " b := b || '\\x01'; $10 := 0.1;"
        " commit; end $$;"
        "create procedure app.large_out(out t text, inout n integer) language plpgsql as"
        " $$ begin insert into app.marks (tag) values ('large'); t := repeat('x', n); end $$;"
        "create procedure app.fails_out(out t text) language plpgsql as"
        " $$ begin t := 'x'; raise division_by_zero; end $$;"
        "create procedure app.silent() language plpgsql as $$ begin commit; end $$"
    )
    day = {"datestyle": "SQL, DMY", "extra_float_digits": "-5", "intervalstyle": "iso_8601"}
    plain, styled = put("app.kinds", {"b": ""}), put("app.kinds", {"b": "\\x00"}, settings=day)
    large, larger = put("app.large_out", {"n": 1_000_001}), put("app.large_out", {"n": 1_500_000})
    failing, silent = put("app.fails_out", max_attempts=1), put("app.silent")
    database.drain()

    kept = database.result(plain)
    assert kept == {
        "day": "2026-04-03",
        "span": "[2026-04-03,2026-05-06)",
        "Odd name": "a, b",
        "p": {"x": 1, "y": "(,)"},
        "n": 1.5,
        "many": [1, None],
        "nothing": None,
        "j": {"a": [1]},
        "b": "\\x01",
        "column10": 0.1,
    }
    assert database.result(styled) == {**kept, "b": "\\x0001"}
    assert "1000000 bytes" in database.result(large)["unread"]
    # nor does its row fit into the queue of the child
    assert "1000000 bytes" in database.result(larger)["unread"]
    assert _tags(database) == ["large", "large"]
    assert database.job(failing)["error"]["sqlstate"] == "22012"
    assert database.result(silent) == {"command_tag": "CALL"}


def test_out_values_of_a_call_as_text(database: Database) -> None:
    """Its name in its path says which procedure it is; where it could be one of several,
    the tag is kept.
    """
    database.admin("create schema sa authorization app; create schema sb authorization app")
    database.run(
        "create procedure sa.p(a integer, out b integer, inout c text default 'x')"
        " language plpgsql as"
        " $$ begin b := a + 1; commit; c := c || 'y'; end $$;"
        'create procedure sb."P q"(out day date) language plpgsql as $$'
        " begin day := '2026-04-03'; end $$;"
        "create procedure sb.many(out n integer) language plpgsql as $$ begin n := 1; end $$;"
        "create procedure sa.many(out n text) language plpgsql as $$ begin n := 'a'; end $$;"
        "create procedure sb.two(out n integer) language plpgsql as $$ begin n := 1; end $$;"
        "create procedure sb.two(a integer, out n text) language plpgsql as $$ begin n := 'a';"
        " end $$;"
        "create procedure sb.every(inout n anyelement) language plpgsql as $$ begin commit; end $$;"
        "create procedure sb.silent() language plpgsql as $$ begin commit; end $$;"
        "create procedure sb.large(out t text, inout n integer) language plpgsql as"
        " $$ begin t := repeat('x', n); commit; end $$"
    )
    wanted = {
        "call sa.p(1, null)": {"b": 2, "c": "xy"},
        "/* c */ call\nsa . P (a => 1, b => null, c => 'z;')": {"b": 2, "c": "z;y"},
        'call "P q"(null)': {"day": "2026-04-03"},
        # PostgreSQL looks at the types of OUT parameters too
        "call many(null)": {"command_tag": "CALL"},
        "call two(null)": {"command_tag": "CALL"},
        "call two(1, null)": {"command_tag": "CALL"},
        "call every(1)": {"command_tag": "CALL"},
        "call silent()": {"command_tag": "CALL"},
        f'call {database.name}.sa."p"(5, null)': {"b": 6, "c": "xy"},
        'call U&"silent"()': {"command_tag": "CALL"},
    }
    with database.connect() as line:
        line.execute("set search_path = sb, sa")
        jobs = {
            text: line.execute("select jobs.enqueue_sql(%s)", [text]).fetchone()[0]
            for text in wanted
        }  # type: ignore[index]
        large = line.execute(
            "select jobs.enqueue_sql('call large(null, 1500000)', max_attempts => 1)"
        ).fetchone()[0]  # type: ignore[index]
        kept = line.execute(
            "select jobs.enqueue_sql('call sa.p(1, null)', done_when => 'true')"
        ).fetchone()[0]  # type: ignore[index]
        moved = line.execute(
            "select jobs.enqueue_sql('call many(null)', settings => '{\"search_path\": \"sa\"}')"
        ).fetchone()[0]  # type: ignore[index]
    database.drain()
    assert {text: database.result(job) for text, job in jobs.items()} == wanted
    assert database.result(kept) == {"b": 2, "c": "xy", "verified": True}
    assert database.result(moved) == {"n": "a"}
    assert database.job(large)["state"] == "succeeded", database.job(large)["error"]
