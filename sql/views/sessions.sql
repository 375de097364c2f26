-- jobs.sessions and jobs.supervisors.

create or replace view jobs.sessions with (security_barrier) as
select
  a.session_id as id,
  pg_get_userbyid(a.owner)::text as owner,
  a.pid,
  a.session_started_at::timestamptz(0) as started_at,
  a.jobs,
  q.name as queue,
  a.job_id,
  a.attempt,
  a.child_pid,
  a.wait_event
from jobs_internal.activity() as a
left join jobs_internal.lane as l on l.id = a.lane_id
left join jobs_internal.queue as q on q.id = l.queue_id
where a.pid is not null
order by a.session_started_at, a.session_id;
comment on view jobs.sessions is 'Worker sessions that live, with what they run';
comment on column jobs.sessions.id is 'Number of the session';
comment on column jobs.sessions.owner is 'Role that it runs as';
comment on column jobs.sessions.pid is 'Process';
comment on column jobs.sessions.started_at is 'Start';
comment on column jobs.sessions.jobs is 'Jobs done as of its last claim, count';
comment on column jobs.sessions.queue is 'Queue that it works for';
comment on column jobs.sessions.job_id is 'Job that it runs; null: none at this moment';
comment on column jobs.sessions.attempt is 'Attempt of that job';
comment on column jobs.sessions.child_pid is 'Process of its child session';
comment on column jobs.sessions.wait_event is 'What it waits for, type:event';

create or replace view jobs.supervisors with (security_barrier) as
select s.id, s.name, s.host, s.os_pid, s.version, s.pid, s.started_at::timestamptz(0) as started_at,
  s.last_seen::timestamptz(0) as last_seen, s.asleep
from jobs_internal.live_supervisors() as s
order by s.started_at;
comment on view jobs.supervisors is 'Supervisors that are connected';
comment on column jobs.supervisors.id is 'Number';
comment on column jobs.supervisors.name is 'Its name';
comment on column jobs.supervisors.host is 'Host that it runs on';
comment on column jobs.supervisors.os_pid is 'Its process there';
comment on column jobs.supervisors.version is 'Version of pyworker';
comment on column jobs.supervisors.pid is 'Server process of its control connection';
comment on column jobs.supervisors.started_at is 'Start of the connection';
comment on column jobs.supervisors.last_seen is 'Its last call; null: track_activities is off';
comment on column jobs.supervisors.asleep is 'It waits: enqueuers wake it with a NOTIFY';
