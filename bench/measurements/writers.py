"""Small transactions of an application, with one jobs.enqueue in each against without, a supervisor
at work.
"""

from collections.abc import Iterator

from bench.clients import CLIENTS, pgbench
from bench.drain import teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.supervised import supervisor
from bench.waiting import wait_until

_ACCOUNTS = 100_000
_PLAIN = f"""\\set n random(1, {_ACCOUNTS})
begin;
update bench.account set updates = updates + 1 where id = :n;
insert into bench.ledger (account, amount) values (:n, 1);
commit;
"""
_DONE = "select not exists (select from jobs_internal.job)"
_WITH_JOB = _PLAIN.replace("commit;", "select jobs.enqueue('bench.noop');\ncommit;")


@measurement("writers", "an application's transactions that also enqueue a job, against not")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns; each side begins when all jobs are done."""
    database, size = bench.database, bench.size
    teach(database)
    database.empty()
    database.rows("truncate bench.account")
    database.rows("insert into bench.account (id) select generate_series(1, %s::int)", (_ACCOUNTS,))
    database.rows("vacuum (analyze) bench.account")
    plain, enqueueing = [], []
    with supervisor(database):
        for run in range(1, size.runs + 1):
            bench.say(f"writers, run {run} of {size.runs}")
            plain.append(pgbench(database, _PLAIN, size.writer_seconds))
            enqueueing.append(pgbench(database, _WITH_JOB, size.writer_seconds))
            wait_until(lambda: database.value(_DONE), 120, what="the jobs to end")
    yield Figure(
        text=f"an UPDATE, an INSERT and one jobs.enqueue to a transaction, {CLIENTS} clients",
        unit="tps",
        values=tuple(enqueueing),
        rivals=tuple(plain),
        rival="the same without the enqueue",
        goals=("writers",),
        note="a supervisor's sessions do the jobs meanwhile",
    )
