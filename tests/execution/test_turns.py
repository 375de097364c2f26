"""High, normal and low jobs of an owner share the time of its sessions as 4 : 2 : 1 while they wait
beside each other, whatever their length and however many sessions there are.

Time is never measured: jobs of one length are counted, in the order in which they began.
"""

from collections import Counter

import pytest
from stage import make_lane, put, put_many
from support import Database, wait_until

#: How long jobs take is what was said: what a busy machine measures differs from lane to lane.
KNOWN = """
create function app.keep_known() returns trigger language plpgsql as
  $$ begin new.avg_ms := old.avg_ms; return new; end $$;
create trigger known before update on jobs_internal.lane
  for each row execute function app.keep_known();
"""
PRIORITIES = ("high", "normal", "low")
HIGH, NORMAL, LOW = range(3)


def prepare(
    database: Database,
    seconds: float,
    *,
    queues: tuple[str, ...] = ("default",),
    jobs: int = 4,
) -> None:
    """Make the lanes; it is known how long their jobs take, and a claim leases a few."""
    for queue in queues:
        for priority in PRIORITIES:
            make_lane(database, priority=priority, queue=queue)
            put(database, "app.nap", {"seconds": seconds, "n": -1}, priority=priority, queue=queue)
    database.drain()
    for table in ("lane", "call_stats"):
        database.admin(
            f"update jobs_internal.{table} set avg_ms = %s",
            [seconds * 1000 + 0.2],
        )
    database.admin(KNOWN)
    database.admin("select jobs.configure('claim_jobs', %s)", [str(jobs)])
    database.run("truncate app.ledger")


def use_up(database: Database) -> None:
    """As after seconds of a flood: no priority is ahead of the others any more."""
    database.admin("update jobs_internal.lane set turn_start = 0, turn_end = 0")


def flood(
    database: Database, priority: int, count: int, seconds: float, *, queue: str = "default"
) -> None:
    args = [{"seconds": seconds, "n": priority}] * count
    put_many(database, "app.nap", args, priority=PRIORITIES[priority], queue=queue)


def order(database: Database) -> list[int]:
    """Give the priorities of the jobs, in the order in which they began."""
    return [row[0] for row in database.admin("select n from app.ledger order by at")]


def shares(done: list[int]) -> list[float]:
    counted = Counter(done)
    return [round(counted[priority] / len(done), 3) for priority in range(3)]


@pytest.mark.parametrize(
    ("sessions", "seconds", "count", "jobs"),
    [
        (1, 0.001, 80, 4),
        (1, 0.02, 20, 1),
        (3, 0.001, 100, 1),
        (8, 0.001, 150, 1),
        (8, 0.02, 100, 1),
    ],
)
def test_shares(database: Database, sessions: int, seconds: float, count: int, jobs: int) -> None:
    """4 : 2 : 1, while all of them have some."""
    prepare(database, seconds, jobs=jobs)
    use_up(database)
    for priority, share in enumerate((4, 2, 1)):
        flood(database, priority, share * count, seconds)
    database.drain(sessions=sessions, timeout=60)
    done = order(database)
    assert len(done) == 7 * count
    found = shares(done[: len(done) * 4 // 5])
    assert found == [pytest.approx(share / 7, abs=0.04) for share in (4, 2, 1)], found


def test_low_gets_its_share_of_a_flood(database: Database) -> None:
    """High goes first for some seconds of leased time, and shares from then on."""
    prepare(database, 0.02)
    flood(database, HIGH, 600, 0.02)
    flood(database, LOW, 100, 0.02)
    database.drain(sessions=4, timeout=60)
    done = order(database)
    first = done.index(LOW)
    assert 100 < first < 300, first
    assert done[first : first + 300].count(LOW) >= 300 / 8
    assert shares(done[first : first + 300])[LOW] == pytest.approx(1 / 5, abs=0.04)


def test_a_burst_of_high_goes_first(database: Database) -> None:
    """And normal before low, whatever came first, again and again."""
    prepare(database, 0.02)
    for _ in range(2):
        for priority in (LOW, NORMAL, HIGH):
            flood(database, priority, 12, 0.02)
        database.drain()
        assert order(database) == [HIGH] * 12 + [NORMAL] * 12 + [LOW] * 12
        database.run("truncate app.ledger")


def test_after_a_quiet_time_high_is_ahead_again(database: Database) -> None:
    """A flood has used it up; a session that finds nothing due gives it back."""
    prepare(database, 0.001)
    use_up(database)
    database.run("select jobs.start()")
    database.drain()
    for priority in (LOW, NORMAL, HIGH):
        flood(database, priority, 20, 0.001)
    database.drain()
    assert order(database) == [HIGH] * 20 + [NORMAL] * 20 + [LOW] * 20


def test_while_little_is_used_up_nothing_is_written(database: Database) -> None:
    """A short job now and then costs no write more."""
    prepare(database, 0.001)
    put(database, "app.nap", {"seconds": 0.001, "n": HIGH}, priority="high")
    database.drain()
    ends = "select turn_end from jobs_internal.lane where priority = 0"
    [(before,)] = database.admin(ends)
    assert before < -990
    database.run("select jobs.start()")
    database.drain()
    assert database.admin(ends) == [(before,)]


def test_what_was_away_for_long_claims_no_arrears(database: Database) -> None:
    """Low had nothing while others leased for minutes: it shares from now on, no more."""
    prepare(database, 0.001)
    database.admin(
        "update jobs_internal.lane set turn_start = v, turn_end = v"
        " from (values (0, 1e6), (1, 1e6), (2, 1)) as u(p, v) where priority = u.p"
    )
    for priority in (NORMAL, LOW):
        flood(database, priority, 90, 0.001)
    database.drain()
    assert shares(order(database)[:90])[LOW] == pytest.approx(1 / 3, abs=0.06)


def test_two_that_choose_by_the_same_figures_take_nothing_from_the_third(
    database: Database,
) -> None:
    """Both see that the turn of high begins where low waits, and take it one after the other."""
    prepare(database, 0.02)
    database.admin("update jobs_internal.lane set turn_start = 90, turn_end = 100")
    for _ in range(2):
        database.admin(
            "select jobs_internal.charge_turn(l.id, 0::smallint, 20, l.id, 90, 100, '{0,0,0}',"
            " now())"
            " from jobs_internal.lane as l where l.priority = 0"
        )
    ends = "select turn_start, turn_end from jobs_internal.lane order by priority"
    assert database.admin(ends) == [(100, 110), (90, 100), (90, 100)]


def test_what_one_session_owes_takes_nothing_from_low(database: Database) -> None:
    """It leased low and could not charge it: so it takes high, though low waits where its turn
    begins for all others, and low keeps that place.
    """
    prepare(database, 0.02)
    for priority in (HIGH, LOW):
        flood(database, priority, 4, 0.02)
    database.admin(
        "update jobs_internal.lane"
        " set turn_start = 90, turn_end = case priority when 0 then 100 else 95 end"
    )
    session = database.connect("app")
    number = session.execute(
        "select jobs_internal.open_session(jobs_internal.schema_version())"
    ).fetchone()
    database.admin("update jobs_internal.session set owed = '{0,0,20}'")
    session.execute("select jobs_internal.claim(%s, 0, null, false, 1)", number)
    rows = "select turn_start, turn_end from jobs_internal.lane order by priority"
    [(clock, end), _, low] = database.admin(rows)
    assert end > 100, "high was taken"
    assert (clock, low) == (90, (90, 95))
    session.close()
    gone = "select jobs_internal.rescue(), (select count(*) from jobs_internal.session)"
    wait_until(lambda: database.admin(gone)[0][1] == 0)
    database.drain()


def test_one_slot_is_shared(database: Database) -> None:
    """Sessions that wait for the only slot of a queue change nothing."""
    database.admin("select jobs.create_queue('narrow', 1)")
    prepare(database, 0.001, queues=("narrow",))
    use_up(database)
    for priority, share in enumerate((4, 2, 1)):
        flood(database, priority, share * 60, 0.001, queue="narrow")
    database.drain(sessions=3)
    found = shares(order(database)[:330])
    assert found == [pytest.approx(share / 7, abs=0.04) for share in (4, 2, 1)], found


def test_a_priority_has_one_share_in_all_queues(database: Database) -> None:
    """High in three queues has no more than in one, and its queues take turns."""
    queues = ("default", "one", "two")
    for queue in queues[1:]:
        database.admin("select jobs.create_queue(%s)", [queue])
    prepare(database, 0.001, queues=queues)
    use_up(database)
    for queue in queues:
        flood(database, HIGH, 80, 0.001, queue=queue)
    flood(database, LOW, 60, 0.001, queue="two")
    database.drain()
    assert shares(order(database)[:250])[LOW] == pytest.approx(1 / 5, abs=0.04)
    served = database.run(
        "select queue from jobs.job where priority = 'high' and state = 'succeeded'"
        " order by started_at limit 150"
    )
    assert min(Counter(row[0] for row in served)[queue] for queue in queues) > 30
    counts = "select count(*) from jobs_internal.lane where turn_start is not null"
    database.admin("update jobs_internal.lane set turn_start = null, turn_end = null")
    for queue in queues:
        flood(database, HIGH, 4, 0.001, queue=queue)
        flood(database, LOW, 4, 0.001, queue=queue)
    database.drain()
    assert database.value(counts, role="postgres") == 2, "one row counts for each priority"


def test_a_row_that_is_locked_keeps_no_share(database: Database) -> None:
    """The row that counts for high is held by another transaction: the session owes what it
    leases, shares all the same, and pays when it can.
    """
    prepare(database, 0.001)
    use_up(database)
    for priority in (HIGH, LOW):
        flood(database, priority, 100, 0.001)
    holder = database.connect("postgres")
    with holder.transaction():
        holder.execute("select from jobs_internal.lane where priority = 0 for update")
        database.drain()
    assert shares(order(database)[:80])[LOW] == pytest.approx(1 / 5, abs=0.06)


def test_one_priority_counts_nothing(database: Database) -> None:
    """An owner whose jobs are all normal, or all high, pays for no turns."""
    database.admin("select jobs.create_queue('one')")
    for queue in ("default", "one"):
        for _ in range(2):
            put(database, "pg_catalog.now", queue=queue)
            put(database, "pg_catalog.now", queue=queue, role="other", priority="high")
    for role in ("app", "other"):
        database.drain(role=role)
    counts = "select count(*), count(turn_start), count(turn_end) from jobs_internal.lane"
    lanes, starts, ends = database.admin(counts)[0]
    assert (lanes >= 4, starts, ends) == (True, 0, 0)


def test_explain_says_which_part_it_has(database: Database) -> None:
    """A low job behind others of its lane, while high ones wait."""
    prepare(database, 0.001)
    for priority in (HIGH, LOW):
        flood(database, priority, 3, 0.001)
    job = database.value("select max(id) from jobs.queued where priority = 'low'")
    found = database.admin(
        "select t.reason from jobs_internal.job as j, jobs_internal.turn_of(j) as t"
        " where j.id = %s",
        [job],
    )
    part = (
        "which has 1 of 4 + 2 + 1 parts of the time of its owner's sessions while other priorities"
        " wait beside it"
    )
    assert found == [(f"its turn comes after 2 jobs of its lane, {part}",)]
    database.drain()
