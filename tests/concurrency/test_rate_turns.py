"""Owners that share the rate of a queue take turns, whatever their sessions do."""

import threading
from contextlib import suppress

from psycopg.errors import QueryCanceled
from stage import make_lane
from support import Database, wait_until

from .byhand import Worker
from .rates import alter, burst, excess, fill, limit, starts

RATE = 50
#: A session that claims without a pause, and undoes each claim.
GREEDY = """do $$
begin
  loop
    begin
      perform jobs_internal.claim({number}, 0, null, false, 1000);
      raise exception using errcode = 'XX999';
    exception
      when sqlstate 'XX999' then
        perform pg_sleep(0.0005);
    end;
  end loop;
end $$"""


def test_claims_that_are_undone_take_no_more_than_their_turn(database: Database) -> None:
    """Their starts are used up, and that is not forgotten with them: one that waits gets half."""
    limit(database, RATE)
    for role in ("app", "other"):
        make_lane(database, queue="q", role=role)
        jobs = "array_fill('{}'::jsonb, array[200]), queue => 'q'"
        database.run(f"select jobs.enqueue_many('pg_catalog.now', {jobs})", role=role)
    greedy = Worker(database=database)

    def work() -> None:
        with suppress(QueryCanceled):
            greedy.line.execute(GREEDY.format(number=greedy.number).encode())

    thread = threading.Thread(target=work)
    thread.start()
    database.run("select jobs.start()", role="other")
    before = len(starts(database, "other"))
    try:
        wait_until(lambda: len(starts(database, "other")) - before >= RATE)
    finally:
        greedy.line.cancel()
        thread.join()
    times = starts(database, "other")[before:]
    assert excess(times, RATE) <= burst(RATE) + 1
    assert len(times) >= RATE * (times[-1] - times[0]) / 5
    alter(database, 0)
    greedy.leave()


def _is_turn_of_others(database: Database, role: str) -> bool:
    return bool(
        database.admin(
            "select jobs_internal.is_turn_of_others(q.id, %s::regrole, r.last_mark)"
            " from jobs_internal.queue as q, jobs_internal.read_rate(q.id) as r"
            " where q.name = 'q'",
            [role],
        )[0][0]
    )


def test_the_one_served_longest_ago_comes_first(database: Database) -> None:
    """Of those that wait. One that has undone its claim was the last all the same."""
    limit(database, 10, "19 seconds")
    fill(database, 20)
    fill(database, 20, role="other")
    app, other = Worker(database=database), Worker(database=database, role="other")
    wait_until(lambda: other.claim(1))
    # a start is free each 1.9 s: who finds none waits for it
    wait_until(lambda: app.claim(1) and not other.claim(1))
    assert not app.claim(1)
    assert _is_turn_of_others(database, "app")
    assert not _is_turn_of_others(database, "other")
    wait_until(lambda: other.claim(1))

    def undone() -> bool:
        app.begin()
        took = app.claim(1)
        app.rollback()
        return bool(took) and not other.claim(1) and not app.claim(1)

    wait_until(undone)
    assert _is_turn_of_others(database, "app")
    assert not _is_turn_of_others(database, "other")
    app.leave()
    assert not _is_turn_of_others(database, "other")
    other.leave()
    assert not _is_turn_of_others(database, "app")
