-- Why the callbacks of a batch have not come: a row of jobs.explain.

-- Does the work of jobs.explain of a batch that the caller may see. Returns: one row. The jobs that
-- have not ended are named up to twenty.
create or replace function jobs_internal.explain_batch(p_batch bigint)
returns table (
  state text, reason text, code text, since timestamptz, until timestamptz,
  blocked_by_pids integer[], blocked_by_jobs bigint[], remedy text, also text[]
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
declare
  v record;
begin
  select b.* into v from jobs.batches as b where b.id = p_batch;
  if not found then
    code := 'not_there';
    reason := format('there is no batch %s, or you may not see it', p_batch);
    remedy := 'see jobs.batches for the batches that you may see';
    return next;
    return;
  end if;
  state := v.state;
  also := '{}';
  code := case v.state when 'open' then 'batch_open' when 'closed' then 'batch_jobs'
    when 'calling' then 'batch_calls' else 'finished' end;
  reason := coalesce('its callbacks wait for ' || v.waits_for,
    case when v.callback_jobs = '{}' then 'it is finished, and no callback was given for that end'
      else 'it is finished: its callbacks are the jobs '
        || array_to_string(v.callback_jobs, ', ') end);
  since := case v.state when 'open' then v.created_at when 'finished' then v.finished_at
    else v.closed_at end;
  if v.state in ('open', 'closed') then
    blocked_by_jobs := nullif((jobs_internal.jobs_of_batch(p_batch, (
        select b.owner from jobs_internal.batch as b where b.id = p_batch), true,
      '{in_doubt}'))[:20], '{}');
  end if;
  if v.state <> 'finished' then
    remedy := replace((select c.remedy from jobs_internal.wait_codes() as c
        where c.code = explain_batch.code), '(id)', format('(%s)', p_batch));
  end if;
  return next;
end
$$;
