"""What one owner can write into what all share is bounded, also by hand: lessons, outcomes,
shapes.
"""

from typing import Any

from psycopg.types.json import Jsonb
from stage import know_as_short, make_lane, put, put_sql
from support import Database, sqlstate_of

FAIL = """
create function app.fail_large() returns void language plpgsql as $$
begin
  raise exception using message = repeat('ä', 20000),
    hint = repeat('ö', 20000), detail = repeat('ü', 20000);
end $$
"""
CLAIM = (
    "select (jobs_internal.claim(%s, 0,"
    " array(select jsonb_populate_record(null::jobs_internal.run_stats,"
    " %s || jsonb_build_object('task', 'made up ' || g)) from generate_series(1, 5000) as g),"
    " true, 1)).lane_id"
)
SESSION = "select jobs_internal.open_session(jobs_internal.schema_version())"
SPENT = "select count(*) from jobs_internal.daily_cost"


def _taken(database: Database, limit: int = 1000) -> list[dict[str, Any]]:
    return [
        row[0]
        for row in database.run(
            "select * from jobs_internal.take_outcomes(%s)", [limit], role="supervisor"
        )
    ]


def test_an_outcome_in_the_feed_is_short(database: Database) -> None:
    """Its error in whole stands in jobs.attempts."""
    database.run(FAIL)
    put(database, "app.fail_large", max_attempts=1)
    database.drain()
    know_as_short(database)
    database.run(
        "select jobs.enqueue_many('app.fail_large', array_fill('{}'::jsonb, array[40]),"
        " max_attempts => 1)"
    )
    database.drain()
    sizes = (
        "select count(*), max(octet_length(body::text)) < 200000, min(bytes) > 0"
        " from jobs_internal.outbox"
    )
    count, short, sized = database.admin(sizes)[0]
    assert (count >= 2, short, sized) == (True, True, True)
    assert database.admin("select min(length(error ->> 'message')) from jobs.attempts") == [(8000,)]
    errors = [other["error"] for commit in _taken(database) for other in commit["others"]]
    assert len(errors) == 41
    assert all(
        error["sqlstate"] == "P0001" and error["message"].startswith("äää") for error in errors
    )


def test_the_feed_is_read_by_size(database: Database) -> None:
    """However many rows are asked for, and however large they are: some megabytes at once,
    in order, to the end.
    """
    make_lane(database)
    database.admin(
        "insert into jobs_internal.outbox (body, bytes)"
        " select jsonb_build_object('n', g, 'x', repeat('x', 1000000)), 1000000"
        " from generate_series(1, 30) as g"
    )
    reads = []
    while found := _taken(database):
        reads.append(found)
    assert len(reads) >= 6
    assert max(len(read) for read in reads) <= 6
    assert sorted(row["n"] for read in reads for row in read if "n" in row) == list(range(1, 31))
    database.admin(
        "insert into jobs_internal.outbox (body, bytes) values (jsonb_build_object('n', 0),"
        " 99000000)"
    )
    assert [row["n"] for row in _taken(database)] == [0], (
        "one that is larger than a read is read alone"
    )


def test_made_up_tasks_do_not_fill_the_sums_of_a_year(database: Database) -> None:
    make_lane(database)
    lane = database.admin("select id from jobs_internal.lane")[0][0]
    lesson = Jsonb({"lane_id": lane, "runs": 1, "ms": 1})
    with database.connect() as line:
        number = line.execute(SESSION).fetchone()
        assert number is not None
        line.execute(CLAIM, [number[0], lesson])
        line.execute("select jobs_internal.close_session(%s, null)", [number[0]])
    assert database.admin(SPENT)[0][0] < 300
    put_sql(database, "select 1")
    database.drain()
    database.admin("select jobs_internal.maintain()")
    assert database.admin(SPENT)[0][0] < 300
    assert database.admin(
        "select count(*) from jobs_internal.daily_cost where task = '(other statements)'"
    ) == [(1,)]
    assert database.admin("select sum(attempts) >= 1001 from jobs_internal.daily_cost") == [
        (True,)
    ], "all of them count"


def test_durations_are_told_only_of_what_was_run(database: Database) -> None:
    """A lesson about any function that there is would be a row for each, of each owner's."""
    make_lane(database)
    make_lane(database, role="other")
    put(database, "pg_catalog.pi")
    database.drain()
    put(database, "pg_catalog.version")  # waits: what others have enqueued has a shape as well
    lane = database.admin("select id from jobs_internal.lane where owner = 'other'::regrole")[0][0]
    told = (
        "select (jobs_internal.claim(%s, 0,"
        " array(select jsonb_populate_record(null::jobs_internal.run_stats,"
        " %s || jsonb_build_object('call_template_id', g)) from generate_series(1, 900) as g),"
        " true, 1)).lane_id"
    )
    known = (
        "select h.task from jobs_internal.call_stats as d join jobs_internal.call_template as h"
        " on h.id = d.call_template_id"
        " where d.owner = %s::regrole"
    )
    assert database.admin(known, ["other"]) == [("pg_catalog.now",)]
    with database.connect("other") as line:
        number = line.execute(SESSION).fetchone()
        assert number is not None
        line.execute(told, [number[0], Jsonb({"lane_id": lane, "runs": 1, "ms": 1})])
        line.execute("select jobs_internal.close_session(%s, null)", [number[0]])
    assert database.admin(known, ["other"]) == [("pg_catalog.now",)]
    database.drain()
    assert sorted(database.admin(known, ["app"])) == [
        ("pg_catalog.now",),
        ("pg_catalog.pi",),
        ("pg_catalog.version",),
    ]


LOOP = (
    "do $$ begin for i in 1 .. 600 loop"
    " perform jobs.unpublish(jobs.publish('app.mine', 'other', pending => i)); end loop; end $$"
)


def test_publishing_in_a_loop_fills_no_table(database: Database) -> None:
    """In one transaction or in many: each call leaves rows that nobody removes."""
    database.run("create function app.mine() returns int language sql begin atomic select 1; end")
    assert sqlstate_of(lambda: database.run(LOOP)) == "PW080"
    change = "select jobs.publish('app.mine', 'other', pending => %s)"
    ends = [sqlstate_of(lambda n=n: database.run(change, [n])) for n in range(1, 520)]
    assert (ends[499], ends[500], ends[518]) == (None, "PW080", "PW080")
    number = database.value("select id from jobs.publications")
    assert database.admin("select count(*) from jobs_internal.audit") == [(500,)]
    assert database.value("select jobs.unpublish(%s)", [number]) == 0, (
        "what was given can be taken back"
    )
    database.admin("update jobs_internal.audit set at = at - interval '1 day'")
    assert sqlstate_of(lambda: database.run(change, [1])) is None, "a day later"


def test_a_login_has_so_many_publications_at_a_time(database: Database) -> None:
    database.run(
        "do $$ begin for i in 1 .. 501 loop execute format('create function app.f%s()"
        " returns int return 1', i);"
        " if i <= 500 then perform jobs.publish('app.f' || i, 'other'); end if; end loop; end $$"
    )
    database.admin("update jobs_internal.audit set at = at - interval '1 day'")
    assert sqlstate_of(lambda: database.run("select jobs.publish('app.f501', 'other')")) == "PW080"
    assert (
        sqlstate_of(lambda: database.run("select jobs.publish('app.f500', 'other', pending => 1)"))
        is None
    )
    assert database.value("select jobs.enqueue_published('app.f7')", role="other") > 0
    database.run("select jobs.unpublish(id) from jobs.publications where task = 'app.f1'")
    assert sqlstate_of(lambda: database.run("select jobs.publish('app.f501', 'other')")) is None
    database.drain()


def test_sessions_that_are_gone_leave_one_row_a_minute(database: Database) -> None:
    make_lane(database)
    lane = database.admin("select id from jobs_internal.lane")[0][0]
    learned = "array[jsonb_populate_record(null::jobs_internal.run_stats, %s)]"
    for _ in range(20):
        with database.connect() as line:
            number = line.execute(SESSION).fetchone()
            assert number is not None
            lesson = Jsonb({"lane_id": lane, "runs": 1, "ms": 1})
            line.execute(
                f"select jobs_internal.close_session(%s, {learned})".encode(), [number[0], lesson]
            )
    total = database.admin("select sum(succeeded) from jobs_internal.queue_minute_stats")
    database.admin("select jobs_internal.maintain()")
    assert database.admin(
        "select count(*) <= 3, sum(succeeded) from jobs_internal.queue_minute_stats"
    ) == [(True, total[0][0])]
