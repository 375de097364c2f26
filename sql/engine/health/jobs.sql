-- Checks of jobs.health: jobs that a person should look at.

-- Jobs that go on after every signal. The remedy is the runbook itself, with the processes and jobs
-- in it.
create or replace function jobs_internal.health_unstoppable_jobs(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when q.lanes > 0 then 'critical' else 'ok' end,
    case when q.lanes > 0 then format(
        'lanes quarantined: %s; cancelled and terminated, it goes on: %s', q.lanes, q.processes)
      else 'none' end,
    case when q.lanes > 0 then format(
      '1. select pid, child_pid, wait_event, blocked_by from jobs.running where id in (%s); and '
      'end what blocks it. 2. %s '
      '3. Or leave it: other lanes go on, and its own comes back when it has ended; correct its '
      'function meanwhile. '
      '4. The last resort, planned: pg_ctl stop -m immediate. Never kill -9. See '
      'docs/operations.md: A job that will not stop', q.jobs, q.terminations) end
  from (
    select count(*),
      string_agg(format('job %s in process %s', l.quarantine ->> 'job_id', l.quarantine ->> 'pid'),
          ', ' order by l.id),
      string_agg(l.quarantine ->> 'job_id', ', ' order by l.id),
      string_agg(format('select pg_terminate_backend(%s);', l.quarantine ->> 'pid'), ' '
          order by l.id)
    from jobs_internal.lane as l where l.quarantine is not null
  ) as q (lanes, processes, jobs, terminations);
end;

-- Statements of which nothing tells whether they were done.
create or replace function jobs_internal.health_in_doubt(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.jobs > 0 then 'warning' else 'ok' end,
    jobs_internal.counted(f.jobs, 'job'),
    case when f.jobs > 0 then 'see jobs.failed where state = ''in_doubt''; look, then '
      'jobs.retry(id), or jobs.cancel(id) to leave it at that' end
  from (select count(*) from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state = 'in_doubt' and f.dismissed_at is null) as f (jobs);
end;

-- Suspects of a crash of the server.
create or replace function jobs_internal.health_crashes(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when j.suspects > 0 then 'warning' else 'ok' end,
    case when j.suspects > 0 then jobs_internal.counted(j.suspects,
        'unfinished job ran when the server crashed; it runs by itself',
        'unfinished jobs ran when the server crashed; they run one at a time')
      else 'no unfinished job ran when the server crashed' end,
    case when j.suspects > 0 then 'look in the server log for what was ended by a signal; a job '
      'that crashes the server is set aside by itself' end
  from (select count(*) from jobs_internal.job as j where j.crashes > 0) as j (suspects);
end;

-- Failures that no person has dismissed.
create or replace function jobs_internal.health_failures(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.jobs > 0 then 'warning' else 'ok' end,
    case when f.jobs > 0 then format('%s, the oldest since %s',
        jobs_internal.counted(f.jobs, 'job'), f.oldest::timestamptz(0))
      else 'none that is not dismissed' end,
    case when f.jobs > 0
      then 'see jobs.failed; remove the cause and jobs.retry(id), or jobs.dismiss(id); of '
      'a whole queue: select jobs.dismiss_failed(queue);' end
  from (select count(*), min(f.finished_at) from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state = 'failed' and f.dismissed_at is null)
    as f (jobs, oldest);
end;

-- Invalid indexes that jobs left, as far as the caller may know of them.
create or replace function jobs_internal.health_invalid_indexes(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when l.count > 0 then 'warning' else 'ok' end,
    case when l.count > 0 then format('%s left by jobs: %s', l.count, l.names)
      else 'none that a job left' end,
    l.remedy
  from jobs_internal.left_indexes() as l;
end;
