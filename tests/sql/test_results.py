"""What a job returns is kept, up to a limit; beyond it the job is undone."""

from support import Database

from .conftest import Enqueue


def test_set_up_to_the_cap(database: Database, put: Enqueue) -> None:
    """A set of result_rows rows is kept; one more is PW040."""
    database.run("select jobs.configure('result_rows', '20')", role="operator")
    fits = put("app.series", {"n": 20})
    over = put("app.series", {"n": 21})
    database.drain()

    assert database.result(fits) == list(range(1, 21))
    assert database.job(over)["state"] == "failed"
    assert database.job(over)["error"]["sqlstate"] == "PW040"
    assert database.job(over)["error"]["hint"]
    assert database.job(over)["attempt"] == 1


def test_too_large_undoes_the_job(database: Database, put: Enqueue) -> None:
    """A result of more than result_bytes is PW040, and what the job did is undone."""
    database.run(
        "create function app.large(n integer) returns text language plpgsql as "
        "$$ begin insert into app.marks (tag) values (n);"
        " return (select string_agg(md5(i::text), '')"
        " from generate_series(1, n) as i); end $$"
    )
    fits = put("app.large", {"n": 20000})
    over = put("app.large", {"n": 40000})
    database.drain()

    assert len(database.result(fits)) == 640000
    assert database.job(over)["error"]["sqlstate"] == "PW040"
    assert database.run("select tag from app.marks") == [("20000",)]


def test_progress_out_of_range(database: Database) -> None:
    """jobs.progress refuses what is no progress with PW023; outside of a job it does nothing."""
    database.run(
        "create function app.advance(done numeric, total numeric) returns void language sql as "
        "$$ select jobs.progress(done, total) $$"
    )
    good = database.value("""select jobs.enqueue('app.advance', '{"done": 1, "total": 2}')""")
    bad = [
        database.value(
            "select jobs.enqueue('app.advance', jsonb_build_object('done', %s::text, 'total', 2))",
            [done],
        )
        for done in ("-1", "NaN", "1e19")
    ]
    database.drain()

    assert database.job(good)["state"] == "succeeded"
    assert [database.job(job)["error"]["sqlstate"] for job in bad] == ["PW023"] * 3
    assert all(
        database.job(job)["error"]["detail"] and database.job(job)["error"]["hint"] for job in bad
    )
    assert database.value("select jobs.progress(-1, 0)") == ""
    assert database.value("select jobs.current_id() is null")
