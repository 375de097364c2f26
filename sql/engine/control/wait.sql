-- Waiting for the end of a job.

-- Does the work of jobs.wait.
create or replace function jobs_internal.wait(id bigint, timeout interval)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- null: without end; and a time and a timeout always have a sum
  v_until timestamptz := clock_timestamp()
    + least(greatest(coalesce(timeout, interval '1000 years'), interval '0'),
        interval '1000 years');
  v_state text := jobs_internal.state_of(wait.id);
  v_nap double precision := 0.002;
begin
  if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
    return v_state;
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PW033',
      message = format('jobs.wait cannot see the end of a job in a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot stays the same.',
        hint = 'Use READ COMMITTED, or: call jobs.await(id, timeout).';
  end if;
  if exists (select from jobs_internal.statement as s where s.job_id = wait.id and s.top_level)
    or exists (select from jobs_internal.step as s
        where s.job_id = wait.id and s.top_level and s.state <> 'done')
    or exists (select from jobs_internal.job as j join jobs_internal.call_template as s
        on s.id = j.call_template_id
        where j.id = wait.id and s.procedure)
  then
    raise exception using errcode = 'PW034', message = format('jobs.wait does not wait for job %s',
        wait.id),
      detail = 'It runs at top level and might wait for this very snapshot, for ever (CREATE INDEX '
        'CONCURRENTLY does).',
      hint = 'Use: call jobs.await(id, timeout).';
  end if;
  if jobs_internal.written_by_this_xact(wait.id) then
    raise exception using errcode = 'PW035',
      message = format('job %s was enqueued by this very transaction', wait.id),
      detail = 'It cannot start before the transaction commits.', hint = 'Commit, then wait.';
  end if;
  loop
    v_state := jobs_internal.state_of(wait.id);
    if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
      return v_state;
    end if;
    if clock_timestamp() > v_until then
      raise exception using errcode = 'PW036', message = format('job %s is not finished after %s',
          wait.id, timeout),
        detail = format('Its state is %s.', v_state),
          hint = jobs_internal.waiting_reason(wait.id);
    end if;
    perform pg_sleep(v_nap);
    v_nap := least(v_nap * 1.5, 0.1);
  end loop;
end
$$;
