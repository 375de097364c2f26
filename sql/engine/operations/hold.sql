-- Operations that are put off: they gave up waiting for a lock, or gave way to another session.
--
-- States and commits: an attempt that is put off is not charged. Its job goes from running to
-- scheduled, with the time of its next try, in the one transaction that ends the attempt
-- (end_attempt); where a cancel was asked for, it is cancelled instead, and the last lock attempt
-- that it may make ends as any failure does. What the attempt did is undone: of a statement in a
-- transaction by its savepoint, of a child session by the server, but for an invalid index, which
-- the next try drops first. A watcher that lets its child give way commits gives_way before it
-- cancels the child: if it dies in between, the child goes on, and a rescue finds it as any other.

-- Whether an attempt of an operation that ended like this is put off, and for how long: an object
-- {why, pause (s), error}; null: it is not. p_job: its locked row. Writes: operation.
create or replace function jobs_internal.hold(p_job jobs_internal.job,
    p_result jobs_internal.attempt_result)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_operation jobs_internal.operation;
  v_why text;
  v_times integer;
  v_pause double precision;
  v_limit integer;
begin
  if p_result.outcome not in ('failed', 'held') then
    return null;
  end if;
  select o.* into v_operation from jobs_internal.operation as o where o.job_id = p_job.id
    for no key update;
  if not found then
    return null;
  end if;
  v_why := case
    when p_result.outcome = 'held' then v_operation.gives_way ->> 'why'
    when p_result.error ->> 'sqlstate' in ('55P03', '40P01')
      and exists (select from jobs_internal.operation_kinds() as k where k.kind = v_operation.kind
        and k.polite) then 'lock' end;
  if v_why is null then
    return null;
  end if;
  if v_why = 'lock' then
    v_limit := coalesce((p_job.options ->> 'lock_attempts')::integer, 100);
    v_times := v_operation.lock_attempts + 1;
  else
    v_times := case v_why when 'yield' then v_operation.yields else v_operation.step_asides end + 1;
  end if;
  update jobs_internal.operation as o
  set lock_attempts = o.lock_attempts + (v_why = 'lock')::integer,
    yields = o.yields + (v_why = 'yield')::integer,
    step_asides = o.step_asides + (v_why = 'step_aside')::integer,
    held = coalesce(v_operation.gives_way, '{}') || jsonb_build_object('why', v_why,
      'at', clock_timestamp(), 'times', v_times, 'sqlstate', p_result.error -> 'sqlstate',
      'message', p_result.error -> 'message'),
    gives_way = null
  where o.job_id = p_job.id;
  -- so many for each attempt
  if v_why = 'lock' and v_times % v_limit = 0 then
    return null;
  end if;
  v_pause := case v_why
    when 'lock' then least(60, power(2, least((v_times - 1) % v_limit, 10))) * (0.75 + random() / 2)
    else 30 * least(v_times, 10) end;
  return jsonb_build_object('why', v_why, 'pause', v_pause, 'times', v_times, 'limit', v_limit);
end
$$;

-- Whether an operation of the calling login was put off since its attempt was charged the last
-- time: what it left is looked for, as after an attempt.
create or replace function jobs_internal.was_held(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.operation as o where o.job_id = p_job
      and o.owner = jobs_internal.caller() and o.yields + o.step_asides + o.lock_attempts > 0);
end;
