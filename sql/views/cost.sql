-- What jobs cost, per task and day.

create or replace view jobs.cost with (security_barrier) as
select
  s.day, q.name as queue, pg_get_userbyid(s.owner) as owner, s.task,
  s.attempts, s.failed, round(s.ms, 1) as run_ms, round(s.waited_ms, 1) as waited_ms, s.rows,
    s.measured,
  round(s.wal_bytes * f.share) as wal_bytes, round(s.buffers_hit * f.share) as buffers_hit,
  round(s.buffers_read * f.share) as buffers_read,
    round(s.buffers_dirtied * f.share) as buffers_dirtied,
  round(s.temp_bytes * f.share) as temp_bytes
from (
  select o.day, o.queue_id, o.owner, o.task, sum(o.attempts) as attempts, sum(o.failed) as failed,
    sum(o.ms) as ms,
    sum(o.waited_ms) as waited_ms, sum(o.rows) as rows, sum(o.measured) as measured,
    sum(o.wal_bytes) as wal_bytes, sum(o.buffers_hit) as buffers_hit,
      sum(o.buffers_read) as buffers_read,
    sum(o.buffers_dirtied) as buffers_dirtied, sum(o.temp_bytes) as temp_bytes
  from jobs_internal.daily_cost as o
  where o.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
    or (select jobs_internal.caller_is('jobs_operator'))
  group by o.day, o.queue_id, o.owner, o.task
) as s
join jobs_internal.queue as q on q.id = s.queue_id
cross join lateral (select (s.attempts - s.failed) / nullif(s.measured, 0) as share) as f
order by s.day desc, s.ms desc;
comment on view jobs.cost is 'What jobs cost, per day, queue, owner and task: select task, '
  'sum(wal_bytes) from jobs.cost group by task order by 2 desc;';
comment on column jobs.cost.day is 'Day, UTC; kept for a year';
comment on column jobs.cost.queue is 'Queue';
comment on column jobs.cost.owner is 'Owner';
comment on column jobs.cost.task is 'Function, or the first words of the statement';
comment on column jobs.cost.attempts is 'Attempts, count';
comment on column jobs.cost.failed is 'Those that did not succeed, count';
comment on column jobs.cost.run_ms is 'Their wall time, ms';
comment on column jobs.cost.waited_ms is 'Time that they waited in their lane for a session, ms';
comment on column jobs.cost.rows
  is 'Rows that their statements changed or returned, or their functions returned as sets';
comment on column jobs.cost.measured is 'Attempts that were measured; from them the following '
  'columns are reckoned for all that succeeded; 0: those are null';
comment on column jobs.cost.wal_bytes is 'WAL written, bytes';
comment on column jobs.cost.buffers_hit is 'Buffers found in memory';
comment on column jobs.cost.buffers_read is 'Buffers read';
comment on column jobs.cost.buffers_dirtied is 'Buffers dirtied';
comment on column jobs.cost.temp_bytes is 'Temporary files written, bytes';
