"""When a job ends is reckoned from what this attempt did, not from what an earlier one had done."""

from collections.abc import Iterator
from contextlib import contextmanager

from stage import attempts, gate_shut, put, running, wait_at_gate
from support import Database, wait_until

FAR = "select eta - clock_timestamp() > %s::interval from jobs.running where id = %s"

#: Reports so many steps one after the other, with a pause before each but the first;
#: waits at a gate at the end.
STEPS = """
create function app.steps(done numeric[], total numeric, resumed numeric[]) returns void
  language plpgsql as $$
declare
  v_again boolean := exists (select from jobs.attempts
    where job_id = jobs.current_id() and outcome is not null);
  v_steps numeric[] := case when v_again then resumed else done end;
begin
  for i in 1 .. cardinality(v_steps) loop
    if i > 1 then
      perform pg_sleep(0.3);
    end if;
    perform jobs.progress(v_steps[i], total);
  end loop;
  perform pg_advisory_xact_lock(1);
  if not v_again and resumed is not null then
    raise exception using errcode = '40001', message = 'once more';
  end if;
end $$"""


@contextmanager
def at_gate(
    database: Database, done: list[float], resumed: list[float] | None = None, *, total: int = 100
) -> Iterator[int]:
    """Have a job report these steps, in its second attempt where there are some for that,
    and wait at the gate.
    """
    database.run(STEPS)
    job = put(
        database, "app.steps", {"done": done, "total": total, "resumed": resumed}, max_attempts=2
    )
    if resumed is not None:
        database.run("select jobs.start()")
        wait_until(lambda: attempts(database, job) == [(1, "failed")])
        wait_until(lambda: not database.background())
        database.run("select jobs.run_now(%s)", [job])
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        yield job
    wait_until(lambda: not database.background())


def test_a_resumed_job_does_not_count_what_was_done_before(database: Database) -> None:
    """One step in 0.3 s or more, and nine to go: from zero it would be thirty times as soon."""
    with at_gate(database, [1], resumed=[90, 91]) as job:
        row = running(database, job)
        assert row is not None
        assert (row["done"], row["total"], row["percent"]) == (91, 100, 91)
        assert database.run(FAR, ["2 s", job]) == [(True,)]


def test_fractions_of_one(database: Database) -> None:
    """The same where the whole is one."""
    with at_gate(database, [0.1], resumed=[0.9, 0.91], total=1) as job:
        assert database.run(FAR, ["2 s", job]) == [(True,)]


def test_the_first_report_of_a_resumed_job_says_nothing(database: Database) -> None:
    """Nothing is known yet of how fast it is."""
    with at_gate(database, [1], resumed=[90]) as job:
        row = running(database, job)
        assert row is not None
        assert (row["done"], row["eta"]) == (90, None)


def test_a_first_attempt_that_begins_in_the_middle(database: Database) -> None:
    """A new job may go on where another one ended."""
    with at_gate(database, [90, 91]) as job:
        assert database.run(FAR, ["2 s", job]) == [(True,)]


def test_one_report_of_a_first_attempt_counts_from_its_start(database: Database) -> None:
    """It began with nothing, as far as anything tells."""
    with at_gate(database, [50]) as job:
        row = running(database, job)
        assert row is not None
        assert row["eta"] >= row["started_at"]


def test_a_job_that_begins_anew_counts_anew(database: Database) -> None:
    """Another part of its work, which counts from its own beginning."""
    with at_gate(database, [99, 1, 2]) as job:
        assert database.run(FAR, ["20 s", job]) == [(True,)]


def test_large_numbers_are_shown_all_the_same(database: Database) -> None:
    """What has no room in the name of a session is left out: the figures stay."""
    with at_gate(database, [12345678901234.12, 12345678901235.12]) as job:
        row = running(database, job)
        assert row is not None
        assert float(row["done"]) == 12345678901235.12
