"""Any name of a parameter and any signature: as psql prints them."""

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from support import Database

ODD_NAMES = (
    "x($1)",
    "$1)",
    "(u.a)",
    'q"($1)',
    "pyworker_args",
    "n",
    "a",
    "%s %I",
    "IN",
    "x($1) y",
    "select",
)


def test_any_name_of_a_parameter(database: Database) -> None:
    """A parameter may have any name, one at a time and of many, and beside an ordinary one."""
    for number, name in enumerate(ODD_NAMES):
        database.line().execute(
            sql.SQL(
                "create function app.{}({} integer, plain text default 'd') returns text"
                " language sql as {}"
            ).format(
                sql.Identifier(f"odd{number}"),
                sql.Identifier(name),
                sql.Literal("select $1::text || $2"),
            )
        )
    jobs = {}
    for number, name in enumerate(ODD_NAMES):
        task = f"app.odd{number}"
        jobs[name, "one"] = database.value(
            "select jobs.enqueue(%s, %s)", [task, Jsonb({name: number})]
        )
        many = [Jsonb({name: number}), Jsonb({name: number, "plain": "d"})]
        rows = database.run("select jobs.enqueue_many(%s, %s::jsonb[])", [task, many])
        jobs[name, "first"], jobs[name, "second"] = (row[0] for row in rows)
    database.drain()
    for (name, which), job in jobs.items():
        assert database.result(job) == f"{ODD_NAMES.index(name)}d", (name, which)


def test_signatures_as_psql_prints_them(database: Database) -> None:
    """What \\df shows of a function names it: with names, modes, defaults, quotes,
    and the types' other names.
    """
    database.run(
        "create type app.\"Odd type\" as enum ('a, b');"
        "create function app.sig(a integer, \"B, (c)\" text default 'x, (y) ''z',"
        " variadic rest numeric(10,2)[] default '{1,2}') returns integer language sql return 1;"
        "create function app.sig(a bigint, out b text, inout c timestamptz default 'epoch')"
        " language sql as $$ select '2'::text, now() $$;"
        'create function app.sig(e app."Odd type", double precision,'
        ' "in" character varying default $$it\'s =, default$$) returns'
        "  integer language sql return 3;"
        'create function app.sig("timestamp" time, "bit" bit varying, "default" int[] default'
        " array[1, 2])"
        " returns integer language sql return 4;"
        "create procedure app.sig(in a json, out b integer, inout c xml) language plpgsql as $$"
        " begin b := 5; end $$;"
        "create function app.sig() returns integer language sql return 6;"
        "create function app.sig(t app.marks, u app.marks[]) returns integer language sql return 7"
    )
    for path in ("pg_catalog", "app, pg_catalog"):
        database.run(f"set search_path = {path}")
        rows = database.run(
            "select p.oid, pg_get_function_arguments(p.oid),"
            " pg_get_function_identity_arguments(p.oid),"
            " oidvectortypes(p.proargtypes) from pg_proc as p where p.proname = 'sig'"
        )
        assert len(rows) == 7
        for oid, full, identity, types in rows:
            for arguments in (
                full,
                identity,
                types,
                full.upper() if '"' not in full else full,
                f"\n {full}\t",
            ):
                found = database.value(
                    "select jobs_internal.functions_by_name(%s)", [f"app.sig({arguments})"]
                )
                assert found == [oid], arguments
    database.run("reset search_path")
    named = {
        "app.sig(int, text, numeric[])": "integer",
        "app.sig(a int4, varchar, VARIADIC rest decimal[])": None,
        "app.sig(a int8, c timestamp with time zone)": "bigint",
        "app . sig ( )": "",
        '"app"."sig"(x int, y text, z numeric[])': "integer",
        "app.sig(integer, text)": None,
        "app.sig(a integer b integer)": None,
        "app.sig(,)": None,
        "app.sig(a integer,)": None,
        "app.sig(a)": None,
        "app.sig(OUT b text)": "",
    }
    for task, first in named.items():
        if first is None:
            with pytest.raises(psycopg.Error) as caught:
                database.run("select jobs_internal.functions_by_name(%s)", [task])
            assert caught.value.sqlstate == "PW001", task
        else:
            found = database.value("select jobs_internal.functions_by_name(%s)", [task])
            types = [row[3] for row in rows if [row[0]] == found]
            assert types, task
            assert types[0].split(",")[0] == first, task
    job = database.value("select jobs.enqueue(%s)", ["app.sig() "])
    database.drain()
    assert database.result(job) == 6
