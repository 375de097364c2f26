-- What is kept of the progress of a long operation while it runs. Of one that runs in a child
-- session the worker session that watches it notes it once a second; of others the supervisor does,
-- in its round.

-- Keep how far an operation is. p_pid: the process that runs it. Writes: operation, phase.
create or replace function jobs_internal.note_progress(p_job bigint, p_attempt integer,
    p_pid integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_operation jobs_internal.operation;
  v_now timestamptz := clock_timestamp();
  v_look jsonb;
  v_phase text;
begin
  -- first of all, as every session that writes of an operation does
  select o.* into v_operation from jobs_internal.operation as o
  where o.job_id = p_job and o.attempt = p_attempt
  for no key update;
  if not found then
    return;
  end if;
  v_look := jobs_internal.look(v_operation, p_pid,
      jobs_internal.progress_row(p_pid, v_operation.kind),
      coalesce((select a.wait_event_type = 'Lock' from pg_stat_get_activity(p_pid) as a), false),
      coalesce((select j.started_at from jobs_internal.job as j where j.id = p_job), v_now), v_now);
  v_phase := v_look ->> 'phase';
  if (v_look -> 'entered')::boolean then
    update jobs_internal.phase as h set finished_at = v_now
    where h.job_id = p_job and h.attempt = p_attempt and h.finished_at is null;
    insert into jobs_internal.phase (job_id, attempt, n, phase, started_at, work, total, unit,
      expected_seconds, units, method)
    select p_job, p_attempt, x.n, v_phase, v_now, (v_look ->> 'done')::numeric,
      (v_look ->> 'total')::numeric, v_look ->> 'unit', (v_look ->> 'expected')::double precision,
      (v_look ->> 'units')::numeric, v_look ->> 'method'
    from (select coalesce(max(h.n), 0) + 1 as n from jobs_internal.phase as h
      where h.job_id = p_job and h.attempt = p_attempt) as x
    where v_phase is not null and x.n <= 1000;
  elsif v_phase is not null then
    update jobs_internal.phase as h
    set work = (v_look ->> 'done')::numeric, total = (v_look ->> 'total')::numeric,
      unit = v_look ->> 'unit'
    where h.job_id = p_job and h.attempt = p_attempt and h.finished_at is null
      and (h.work, h.total) is distinct from ((v_look ->> 'done')::numeric,
        (v_look ->> 'total')::numeric);
  end if;
  update jobs_internal.operation as o
  set phase = v_phase, looked_at = v_now, place = v_look -> 'place',
    weights = coalesce(o.weights, nullif(v_look -> 'weights', 'null')),
    -- not less than what any view has shown of the last look until this commit
    percent = greatest(jobs_internal.carried_percent(o, o.looked_at + interval '2 seconds'),
      (v_look ->> 'percent')::numeric),
    progress_source = v_look ->> 'source',
    last_progress = coalesce(nullif(v_look -> 'row', 'null'), o.last_progress)
  where o.job_id = p_job and o.attempt = p_attempt;
end
$$;
