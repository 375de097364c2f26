-- What other sessions do while jobs run, and what is asked of the views to know when. All of it as
-- the demo's ordinary role. The NOT NULL in four steps: the reader makes step 1 wait, so that the
-- lock of the other session comes next, before step 2. The build: the writer holds it in its first
-- wait, as every transaction would that has written to the table.

-- name: read
begin; select from demo.weather limit 1;

-- name: lock
begin; lock table demo.weather in share update exclusive mode;

-- name: step_waits
select step from jobs.steps as s join jobs.running as r using (id)
where s.id = %s and s.state = 'current' and r.wait_event like 'Lock:%%';

-- name: end_session
select clock_timestamp(), pg_terminate_backend(pid) from jobs.running where id = %s;

-- name: steps_done
select format('%%s and %%s',
  count(*) filter (where s.finished_at < k.at), count(*) filter (where s.finished_at > k.at))
from jobs.steps as s, cast(%s as timestamptz) as k(at);

-- name: write
begin; delete from demo.flights where flight = 0;

-- name: analyze
analyze demo.flights;

-- name: build_waits
select blocked_by from jobs.operations where id = %s and phase = 'waiting for writers before build';

-- name: risk
select deadlock_risk from jobs.operations where id = %s and deadlock_risk is not null;

-- name: waits
select pid from pg_stat_activity where pid = %s and wait_event_type = 'Lock';

-- name: rollback
rollback;
