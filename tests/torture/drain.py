"""After the faults: everything works again, and all that was enqueued comes to its end."""

import time

from tests.torture.scenario import Violation
from tests.torture.world import World

__all__ = ["drain"]

#: What is left: live jobs, sessions, outcomes that no supervisor has logged, background processes;
#: and what was done.
_LEFT = """
select (select count(*) from jobs_internal.job), (select count(*) from jobs_internal.session),
  (select count(*) from jobs_internal.outbox),
  (select count(*) from pg_stat_activity where datname = current_database()
    and backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')),
  (select count(*) from jobs_internal.finished)
"""
_WHICH = """
select coalesce(string_agg(format('%s job(s) %s since %s', w.n, w.what, w.since), '; '), '')
from (
  select count(*) as n,
    concat_ws(' ', j.state, coalesce(s.task, st.command),
      nullif('crashes ' || j.crashes, 'crashes 0')) as what,
    min(j.created_at)::timestamptz(0) as since
  from jobs_internal.job as j
  left join jobs_internal.call_template as s on s.id = j.call_template_id
  left join jobs_internal.statement as st on st.job_id = j.id
  group by 2 order by 1 desc limit 8) as w
"""
_SESSIONS = """
select coalesce(string_agg(
  format('%s %s: %s', a.pid, a.application_name, left(a.query, 60)), '; '), '')
from pg_stat_activity as a where a.datname = current_database()
  and a.backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')
"""


def drain(world: World) -> list[Violation]:
    """Wait until nothing is due and nobody is at work. A standstill is a violation,
    told with what is left.
    """
    begun = moved = time.monotonic()
    last: tuple[object, ...] = ()
    while True:
        left = tuple(world.rows(_LEFT)[0])
        if not any(left[:4]):
            world.note_fault("drained", seconds=round(time.monotonic() - begun, 2))
            return []
        now = time.monotonic()
        if left != last:
            last, moved = left, now
        if now - moved > world.standstill or now - begun > world.longest:
            jobs, sessions, feed, processes, _done = left
            return [
                world.scenario.violation(
                    "drain",
                    f"expected that all ends within {world.longest:.0f} s"
                    " and goes on all the time; left after"
                    f" {now - begun:.0f} s: {jobs} live jobs, {sessions} sessions, {feed} outcomes"
                    " not logged,"
                    f" {processes} background processes. {world.rows(_WHICH)[0][0]}."
                    f" {world.rows(_SESSIONS)[0][0]}",
                )
            ]
        time.sleep(0.1)
