-- What the bars are fed with, some ten times a second: short statements, each a transaction of its
-- own, because an old snapshot would hold up CREATE INDEX CONCURRENTLY.

-- name: jobs
select j.id, coalesce(o.title, j.task) as task, j.queue, j.state, j.attempt, f.outcome,
  coalesce(o.percent, r.percent) as percent, coalesce(o.eta, r.eta) as eta,
  coalesce('step ' || o.step, r.message) as message, f.run_ms, o.gain,
  case when j.state = 'running' then o.progress_source end as source
from jobs.job as j
left join jobs.running as r using (id)
left join jobs.operations as o using (id)
left join jobs.finished as f using (id)
where j.id = any(%s);

-- name: queue
select queued + running + scheduled as remaining, failed from jobs.queues where queue = %s;

-- name: sessions
select (select count(*) from jobs.sessions) + (
  select count(*) from pg_stat_activity
  where datname = current_database() and usename = session_user and backend_type <> 'client backend'
);

-- name: outcomes
select outcome, count(*) from jobs.attempts group by outcome order by outcome;
