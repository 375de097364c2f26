-- Why an attempt is stopped, and the error that says so.

-- The reason to stop this attempt of a job of the calling login that was committed, null when there
-- is none.
create or replace function jobs_internal.stop_reason(p_job bigint, p_attempt integer)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.reason from jobs_internal.stop_request as s
  where s.job_id = p_job and s.attempt = p_attempt
    and exists (select from jobs_internal.job as j where j.id = p_job
        and j.owner = jobs_internal.caller());
end;

-- When the present attempt of a job of the calling login must have ended; null: it has no timeout.
create or replace function jobs_internal.deadline_of(p_job bigint)
returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.started_at + j.timeout from jobs_internal.job as j
  where j.id = p_job and j.state = 'running' and j.owner = jobs_internal.caller();
end;

-- The error of an attempt that was stopped for that reason; null where it says nothing
-- (interrupted).
create or replace function jobs_internal.stop_error(p_reason text, p_timeout interval,
    p_detail text, p_context text default null)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_reason
    when 'timed_out' then jobs_internal.error_object('PWT01',
      format('timed out after %s ms', (extract(epoch from p_timeout) * 1000)::bigint), p_detail,
      'Give it a longer timeout, or look at what it waited for. A retry may be faster.', p_context)
    when 'cancelled' then jobs_internal.error_object('PWC01', 'cancelled on request', p_detail,
        'select jobs.retry(id) runs it again.', p_context)
    end;
end;
