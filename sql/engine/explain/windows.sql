-- Why a job waits for a window.

-- What its windows keep a job from that is due; no row: nothing. n as in wait_codes. Of one in the
-- lane of a queue whose window is closed hindrances says so, for the whole lane.
create or replace function jobs_internal.window_reasons(p_job jobs_internal.job)
returns table (n integer, code text, reason text, until timestamptz, remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
declare
  v record;
  v_outside boolean := p_job.due_at = 'infinity' and exists (
    select from jobs_internal.window_wait as w where w.job_id = p_job.id);
begin
  if not (v_outside or p_job.state = 'queued' or p_job.due_at <= clock_timestamp())
    or not v_outside and not coalesce(p_job.options ? 'window', false)
      and not exists (select from jobs_internal.queue as q
        where q.id = p_job.queue_id and q.window_name is not null)
  then
    return;
  end if;
  v := jobs_internal.window_hindrance(p_job);
  if v.code = 'closed' and not v_outside and v.name is distinct from p_job.options ->> 'window' then
    return;
  elsif v.code is not null then
    n := case v.code when 'too_long' then 48 else 46 end;
    code := case v.code when 'too_long' then 'window_too_short' else 'window_closed' end;
    reason := v.reason;
    until := v.until;
    remedy := case v.code
      when 'gone' then format('select jobs.create_window(%L, ...);  -- as a member of '
        'jobs_operator; or select jobs.cancel(%s)', v.name, p_job.id)
      when 'closed' then format('select jobs.open_window(%L, ''1 hour'');  -- as a member of '
        'jobs_operator; or wait', v.name)
      else format('select jobs.open_window(%L, %L);  -- as a member of jobs_operator; or '
        'jobs.alter_window for a longer one; or wait for the next opening', v.name,
        coalesce(jobs_internal.elapsed(v.needs * 1.1), '1 day')) end;
    return next;
  elsif v_outside then
    n := 160;
    code := 'turn';
    reason := 'its window is open: the next round of a supervisor puts it into its lane';
    return next;
  end if;
end
$$;
