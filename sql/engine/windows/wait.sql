-- Jobs that wait for a window, outside of their lane: due_at is infinity, and a row of window_wait
-- says for which.

-- Of some locked jobs that are due, with a window or without: those that may enter their lane. The
-- others wait from here on. Of jobs that differ in nothing that counts one is asked for all; each
-- operation, and each job of several steps, is asked for itself.
-- Writes: job, window_wait.
create or replace function jobs_internal.pass_windows(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_like record;
  v record;
  v_kept bigint[] := '{}';
begin
  for v_like in
    select array_agg(j.id order by j.id) as ids, (array_agg(j order by j.id))[1] as job
    from jobs_internal.job as j
    where j.id = any (p_jobs) and j.options ? 'window'
    group by j.options ->> 'window', j.queue_id, j.owner, j.call_template_id, j.timeout,
      j.snoozes > 0 and j.error is null, case when j.call_template_id is null then
        coalesce((select o.job_id::text from jobs_internal.operation as o
            where o.job_id = j.id and o.object is not null),
          (select t.job_id::text from jobs_internal.step as t where t.job_id = j.id limit 1),
          'of ' || jobs_internal.task_name(j.id, null)) end
    order by min(j.id)
  loop
    v := jobs_internal.window_hindrance(v_like.job);
    if v.code is null then
      delete from jobs_internal.window_wait as w where w.job_id = any (v_like.ids);
    else
      perform jobs_internal.keep_outside(v_like.ids, v.name, v.closes_at, v.needs);
      v_kept := v_kept || v_like.ids;
    end if;
  end loop;
  if v_kept = '{}' then
    return p_jobs;
  end if;
  perform jobs_internal.wake(null);  -- the window may be opened just now
  return array(
    select u from unnest(p_jobs) as u except select k from unnest(v_kept) as k order by 1);
end
$$;

-- Have locked jobs wait for a window. Writes: job, window_wait, key_held, key_wait, key_event.
create or replace function jobs_internal.keep_outside(p_jobs bigint[], p_name text,
    p_closes_at timestamptz, p_needs interval)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_keyed bigint[];
begin
  update jobs_internal.job as j set state = 'scheduled', due_at = 'infinity', msg_id = null
  where j.id = any (p_jobs);
  insert into jobs_internal.window_wait (job_id, name, closes_at, needs)
  select u, p_name, p_closes_at, p_needs from unnest(p_jobs) as u
  on conflict (job_id) do update
  set name = excluded.name, closes_at = excluded.closes_at, needs = excluded.needs;
  -- what is held for a job that may start is not held for one that may not
  v_keyed := array(select j.id from jobs_internal.job as j
    where j.id = any (p_jobs) and j.options ? 'concurrency_key');
  if v_keyed <> '{}' then
    perform jobs_internal.leave_keys(v_keyed);
  end if;
end
$$;

-- A job that a window keeps from starting leaves its lane: it waits, and nothing is charged. The
-- caller has locked its message. Writes: job, window_wait, the lane's pgmq queue.
create or replace function jobs_internal.leave_lane(p_lane integer, p_job bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job jobs_internal.job;
  v record;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_job and j.state = 'queued' and j.lane_id = p_lane for update;
  if not found then
    return;
  end if;
  v := jobs_internal.window_hindrance(v_job);
  execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || p_lane)
    using v_job.msg_id;
  if v.code is null then  -- it was opened just now
    update jobs_internal.job as j
    set state = 'scheduled', due_at = clock_timestamp(), msg_id = null where j.id = p_job;
    if v_job.options ? 'concurrency_key' then
      perform jobs_internal.leave_keys(array[p_job]);
    end if;
  else
    perform jobs_internal.keep_outside(array[p_job], v.name, v.closes_at, v.needs);
  end if;
  perform jobs_internal.wake(null);
end
$$;

-- The jobs that wait for windows that are open become due: those that this opening has not looked
-- at, five thousand of a window at most. Rows of jobs that wait no more go.
-- p_owner null: of all owners. Returns how many have become due.
-- Locks: job (skip locked), window_wait (skip locked).
create or replace function jobs_internal.release_waiting(p_owner oid default null,
    p_now timestamptz default clock_timestamp())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v record;
  v_jobs bigint[];
  v_released integer := 0;
  v_n integer;
begin
  for v in
    select s.name, s.closes_at from jobs_internal.window_state as s
    where s.opened_at <= p_now and s.closes_at > p_now
      and exists (select from jobs_internal.window_wait as w
        where w.name = s.name and w.closes_at <> s.closes_at)
    order by s.name
  loop
    v_jobs := array(
      select j.id
      from jobs_internal.window_wait as w
      join jobs_internal.job as j on j.id = w.job_id
      where w.name = v.name and w.closes_at <> v.closes_at and j.due_at = 'infinity'
        and (p_owner is null or j.owner = p_owner)
      order by w.job_id
      limit 5000
      for update of j skip locked);
    delete from jobs_internal.window_wait as w where w.job_id = any (v_jobs);
    update jobs_internal.job as j set due_at = clock_timestamp()
    where j.id = any (v_jobs) and j.due_at = 'infinity'
      -- a row that was left behind says nothing of a job that waits for others now
      and not exists (select from jobs_internal.dependency as d where d.child = j.id)
      and not exists (select from jobs_internal.key_wait as k where k.job_id = j.id);
    get diagnostics v_n = row_count;
    v_released := v_released + v_n;
    if v_jobs = '{}' then
      delete from jobs_internal.window_wait as d
      where d.job_id = any (array(
        select w.job_id from jobs_internal.window_wait as w
        where w.name = v.name and w.closes_at <> v.closes_at
          and not exists (select from jobs_internal.job as j
            where j.id = w.job_id and j.due_at = 'infinity')
        limit 5000
        for update skip locked));
    end if;
  end loop;
  return v_released;
end
$$;

-- Jobs of a queue that wait for its window wait no more, because it has another one, or none: they
-- become due, and are looked at anew. Locks: job. Writes: job, window_wait.
create or replace function jobs_internal.release_queue(p_queue integer, p_name text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_jobs bigint[] := array(
    select j.id
    from jobs_internal.window_wait as w
    cross join lateral (select o.id from jobs_internal.job as o where o.id = w.job_id
      and o.queue_id = p_queue and o.due_at = 'infinity' offset 0) as l
    join jobs_internal.job as j on j.id = l.id
    where w.name = p_name
    order by j.id for update of j);
begin
  delete from jobs_internal.window_wait as w where w.job_id = any (v_jobs);
  update jobs_internal.job as j set due_at = clock_timestamp()
  where j.id = any (v_jobs) and j.due_at = 'infinity'
    and not exists (select from jobs_internal.dependency as d where d.child = j.id);
end
$$;
