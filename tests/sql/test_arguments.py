"""What is given at enqueue is what the function gets when the job runs: every kind of parameter,
for real.
"""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from support import Database

from .conftest import Enqueue, enqueue_on

#: (task, args, result of the job)
CALLS: tuple[tuple[str, dict[str, Any], Any], ...] = (
    # defaults, names, nulls
    ("app.add", {"a": 1}, 11),
    ("app.add", {"a": 1, "b": 2}, 3),
    ("app.add", {"a": "41", "b": "1"}, 42),
    ("app.add", {"a": None}, None),
    ("app.add", {"a": 2147483647, "b": 0}, 2147483647),
    ("app.greet", {"name": "you"}, "hello you"),
    ("app.greet", {"greeting": "bye", "name": "you"}, "bye you"),
    ("app.greet", {"name": 'q"u\\o\'te; -- $$ {} %s', "greeting": "\n"},
        '\n q"u\\o\'te; -- $$ {} %s'),
    ("app.greet", {"name": "žluťoučký 🐎", "greeting": "日本"}, "日本 žluťoučký 🐎"),
    ("app.is_null", {"t": None}, True),
    ("app.is_null", {"t": ""}, False),
    ("app.is_null", {"t": "null"}, False),
    ("app.greet", {"name": {"an": "object"}}, 'hello {"an": "object"}'),
    # jsonb
    ("app.whole", {"anything": 1, "more": [1, None, {"x": "y"}]},
        {"anything": 1, "more": [1, None, {"x": "y"}]}),
    ("app.whole", {}, {}),
    ("app.jsons", {"a": [1, {"b": None}], "b": "text"}, [[1, {"b": None}], "text"]),
    # variadic and arrays
    ("app.total", {"numbers": [1, 2, 3]}, 6),
    ("app.total", {"numbers": [1, None]}, 1),
    ("app.total", {"numbers": []}, None),
    ("app.total", {}, None),
    ("app.label", {"prefix": ">", "parts": ["a,b", None, '"', "{}", "NULL"]}, '>a,b+~+"+{}+NULL'),
    ("app.label", {"prefix": ">"}, ">"),
    # enum, domain, composite, range
    ("app.feel", {"m": "happy"}, "happy"),
    ("app.feelings", {"m": ["sad", None, "ok"]}, ["sad", None, "ok"]),
    ("app.positive", {"n": 7}, 7),
    ("app.second", {"p": {"x": 1, "y": "(,\")"}}, "(,\")"),
    ("app.second", {"p": None}, None),
    ("app.pairs", {"p": [{"x": 1}, {"x": 2, "y": "two"}]}, "two"),
    ("app.range", {"r": "[3,8)"}, 5),
    ("app.padded", {"c": "abc", "b": "101", "v": "long enough"}, "abc101long enough"),
    ("app.bytes", {"b": "\\xdeadbeef"}, "deadbeef"),
    ("app.bytes", {"b": "a\\\\b"}, "615c62"),
    ("app.float", {"f": 0.1}, "0.1"),
    ("app.table_name", {"r": "app.marks"}, "app.marks"),
    ("app.table_name", {"r": "marks"}, "app.marks"),
    ("app.moment", {"t": "2026-01-02 03:04:05.000006+02"}, "2026-01-02 01:04:05.000006"),
    # unnamed
    ("app.unnamed", {"$1": 4, "$2": "x"}, "4x"),
    ("app.unnamed_default", {"$1": 1}, 8),
    ("app.unnamed_default", {"$1": 1, "$2": 1}, 2),
    ("app.half_named", {"$1": 2}, 6),
    ("app.half_named", {"$1": 2, "named": 5}, 10),
    ("pg_catalog.upper(text)", {"$1": "abc"}, "ABC"),
    # names that a text built around them might mean something by
    ("app.name_f", {"f": 1}, [{"x": 1, "y": "row"}]),
    ("app.name_v", {"v": 1, "s": 2, "f": 3}, [6]),
    ("app.name_args", {"pyworker_args": 1, "args": 2, "n": 3}, 6),
    ("app.name_row", {"pyworker_row": 4}, [4]),
    ("app.name_out", {"pyworker_row": 4}, [{"a": 4}]),
    ("app.name_odd", {"Arg One": 1, "select": 2, "a;b--": 3, 'q"uote': 4}, 10),
    # names of functions
    ("add", {"a": 1}, 11),
    ("ADD", {"a": 1}, 11),
    ('  app . "add" ', {"a": 1}, 11),
    ('app."Camel Case"', {"a": 5}, 5),
    ('"Camel Case"', {"a": 5}, 5),
    ("app.CAMEL", {"a": 5}, -5),
    ('"odd ""na\'me; -- $$ /*"."f""(x);"', {"a": 5}, 15),
    ('"odd ""na\'me; -- $$ /*"."f""(x);"(integer)', {"a": 5}, 15),
    ("other.public", {"a": 5}, 5),
    # overloads
    ("app.over(integer)", {"a": 1}, "integer"),
    ("app.over(text)", {"a": 1}, "text"),
    ("app.over( pg_catalog.int4 , int )", {"a": 1, "b": 2}, "two integers"),
    ("app.over", {"a": 1, "b": 2}, "two integers"),
    ("app.apart", {"a": 1}, "a"),
    ("app.apart", {"b": 1}, "b"),
    ("app.short(integer, integer)", {"a": 1}, "long 5"),
    ("app.short(integer, integer)", {"a": 1, "b": 6}, "long 6"),
    # results
    ("app.nothing", {}, None),
    ("app.null_text", {}, None),
    ("app.outs", {"a": 4}, {"doubled": 8, "words": "4"}),
    ("app.one_out", {"a": 4}, {"doubled": 8}),
    ("app.in_outs", {"a": 4, "b": "x"}, {"a": 5, "b": "xx"}),
    ("app.make_pair", {}, {"x": 1, "y": "one"}),
    ("app.series", {"n": 3}, [1, 2, 3]),
    ("app.series", {"n": 0}, []),
    ("app.rows", {"n": 2}, [{"i": 1, "t": "1"}, {"i": 2, "t": "2"}]),
    ("app.one_column", {"n": 2}, [{"i": 1}, {"i": 2}]),
    ("app.pair_set", {"n": 1}, [{"x": 1, "y": "p1"}]),
    # the session of a job is its owner's
    ("app.who", {}, ["app", "app"]),
)  # fmt: skip


def test_every_kind_of_call(database: Database, put: Enqueue) -> None:
    """A job's result is what the function gives for those arguments, whatever their kind."""
    ids = [put(task, args, max_attempts=1) for task, args, _ in CALLS]
    database.drain()

    jobs = {
        job: (state, result, error)
        for job, state, result, error in database.run(
            "select id, state, result, error from jobs.job"
        )
    }
    wrong = [
        (task, args, jobs[job])
        for job, (task, args, result) in zip(ids, CALLS, strict=True)
        if jobs[job] != ("succeeded", result, None)
    ]

    assert wrong == []


def test_many_at_once(database: Database) -> None:
    """enqueue_many keeps the order of its arguments, whatever keys each of them has,
    and gives each its own values.
    """
    ids = database.run(
        """select * from jobs.enqueue_many('app.add', array['{"a": 1}', '{"a": 2, "b": 2}',
            '{"b": 1, "a": 3}',
        '{"a": null}', '{"a": 5}']::jsonb[], note => '{"batch": 1}')"""
    )
    database.drain()

    results = [database.result(job) for (job,) in ids]
    notes = database.run("select distinct note from jobs.job")

    assert results == [11, 4, 4, None, 15]
    assert notes == [({"batch": 1},)]


@pytest.mark.parametrize(
    ("task", "many", "results"),
    [
        ("app.add", '[5:6]={"{\\"a\\": 1}","{\\"a\\": 2}"}', [11, 12]),
        ("app.add", '{{"{\\"a\\": 1}"},{"{\\"a\\": 2}"}}', [11, 12]),
        ("app.add", '{"{\\"a\\": 1}","{\\"a\\": 2, \\"b\\": 3}","{\\"a\\": 4}"}', [11, 5, 14]),
        ("app.nothing", '{NULL,"{}",NULL}', [None, None, None]),
        ("app.nothing", '{{"{}"},{"{}"}}', [None, None]),
    ],
)
def test_many_in_an_array_of_any_form(
    database: Database, task: str, many: str, results: list[Any]
) -> None:
    ids = database.run("select * from jobs.enqueue_many(%s, %s::jsonb[])", [task, many])
    database.drain()
    assert [database.result(job) for (job,) in ids] == results


def test_many_in_a_lane_that_is_there(database: Database) -> None:
    """Each has its own message, which is due at once, and is the one that is cancelled."""
    database.run("select jobs.enqueue('app.add', '{\"a\": 0}')")
    database.drain()
    many = [Jsonb({"a": number}) for number in range(1, 6)]
    ids = [job for (job,) in database.run("select * from jobs.enqueue_many('app.add', %s)", [many])]
    sent = (
        "select j.id from jobs_internal.job as j join pgmq.q_pyworker_1 as m using (msg_id)"
        " where (m.message ->> 'job')::bigint = j.id and m.vt <= clock_timestamp() order by j.id"
    )
    assert database.admin(sent) == [(job,) for job in ids]
    database.run("select jobs.cancel(%s)", [ids[2]])
    database.drain()
    assert [database.job(job)["result"] for job in ids] == [11, 12, None, 14, 15]


def test_many_with_thousands_of_keys_each(database: Database) -> None:
    """What is looked at grows with the keys, and not with their square, which the statement's
    timeout would end.
    """
    database.run("create function app.keys(args jsonb) returns void language sql as ''")
    keys = (
        "(select jsonb_object_agg('some_rather_long_key_' || i, i) from generate_series(1,"
        " 20000) as i)"
    )
    many = f"select count(*) from jobs.enqueue_many('app.keys', array_fill({keys}, array[20]))"
    assert database.run(many) == [(20,)]


#: (settings of the enqueuer, task, args, result)
MEANINGS: tuple[tuple[dict[str, str], str, dict[str, Any], Any], ...] = (
    ({"datestyle": "SQL,DMY"}, "app.day", {"d": "01/02/2026"}, "2026-02-01"),
    ({"datestyle": "SQL,MDY"}, "app.day", {"d": "01/02/2026"}, "2026-01-02"),
    ({"datestyle": "SQL,DMY"}, "app.days", {"r": "[01/02/2026,05/02/2026)"}, "2026-02-01"),
    ({"datestyle": "German"}, "app.days", {"r": "[01.02.2026,05.02.2026)"}, "2026-02-01"),
    ({"timezone": "Asia/Tokyo"}, "app.moment", {"t": "2026-01-02 03:04:05"},
        "2026-01-01 18:04:05.000000"),
    ({"intervalstyle": "sql_standard"}, "app.seconds", {"i": "-1 02:00:00"}, -93600.0),
    ({"intervalstyle": "iso_8601"}, "app.seconds", {"i": "P1DT2H"}, 93600.0),
    ({"extra_float_digits": "-15"}, "app.float", {"f": 0.123456789}, "0.123456789"),
    ({"bytea_output": "escape"}, "app.bytes", {"b": "\\x5c00ff"}, "5c00ff"),
    ({"search_path": '"odd ""na\'me; -- $$ /*",app'}, "app.table_name", {"r": "here"},
        'odd "na\'me; -- $$ /*.here'),
    ({"search_path": '"odd ""na\'me; -- $$ /*"'}, '"f""(x);"', {"a": 2}, 6),
)  # fmt: skip


def test_meaning_is_fixed_at_enqueue(database: Database) -> None:
    """A value, and a name, mean at run time what they meant to the session that enqueued them."""
    database.run('create table "odd ""na\'me; -- $$ /*".here ()')
    database.run("create table app.here ()")
    ids = []
    for settings, task, args, _ in MEANINGS:
        connection = database.connect()
        for name, value in settings.items():
            connection.execute("select set_config(%s, %s, false)", [name, value])
        ids.append(enqueue_on(connection, task, args, max_attempts=1))
        many = connection.execute(
            "select * from jobs.enqueue_many(%s, %s, max_attempts => 1)",
            [task, [Jsonb(args), Jsonb(args)]],
        )
        ids += [job for (job,) in many]
    # The session that runs them has other settings.
    for setting in (
        "datestyle = 'SQL, YMD'",
        "intervalstyle = sql_standard",
        "search_path = pg_catalog",
    ):
        database.admin(f"alter role app in database {database.name} set {setting}")
    database.drain()

    results = [database.job(job)["result"] or database.job(job)["error"] for job in ids]

    assert results == [result for *_, result in MEANINGS for _ in range(3)]


@pytest.mark.parametrize(("task", "key"), [("app.moment", "t"), ("app.day", "d")])
def test_now_is_the_time_of_enqueue(database: Database, task: str, key: str) -> None:
    """'now' as an argument is the moment of the enqueue, not of the run: the stored value is no
    word any more.
    """
    job = database.value(f"select jobs.enqueue('{task}', '{{\"{key}\": \"now\"}}')")

    stored = database.value("select args ->> %s from jobs.job where id = %s", [key, job])

    assert stored.startswith("20")
    assert database.value(
        f"select abs(extract(epoch from now() - '{stored}'::timestamptz)) < 100000"
    )


def test_casts_use_the_rights_of_the_caller(database: Database) -> None:
    """A domain's check that is run by a cast at enqueue runs as the caller, and never as the owner
    of the schema.
    """
    database.run(
        "create function app.spy(value text) returns boolean language plpgsql as "
        "$$ begin insert into app.marks (tag) values (value); return true; end $$"
    )
    database.run("create domain app.spied as text check (app.spy(value))")
    database.run("create function app.take(s app.spied) returns text language sql return s")

    database.run("""select jobs.enqueue('app.take', '{"s": "x"}')""")

    assert set(database.run("select by_role from app.marks")) == {("app",)}


def test_many_are_refused_together(database: Database) -> None:
    """One bad argument among many refuses them all, and names the value."""
    with pytest.raises(psycopg.Error) as caught:
        database.run(
            """select jobs.enqueue_many('app.add',
                array['{"a": 1}', '{"a": "x"}', '{"a": 3}']::jsonb[])"""
        )

    assert caught.value.sqlstate == "PW005"
    assert '"x"' in str(caught.value.diag.message_detail)
    assert database.value("select count(*) from jobs.job") == 0
