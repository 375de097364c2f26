-- Rates by the value of an argument (rate_by): a job whose value has no start now leaves its lane
-- until its time.
--
-- A row of rate_value says when the next job of a value may start. A claim that meets a job later
-- than that, or at that time, takes it and moves the time on. One that meets it earlier gives the
-- job that time, as its due_at and in a row of rate_wait, moves the time on, and takes the job out
-- of the lane: a supervisor's round brings it back then, and the next claim lets it pass. Only
-- claims of the owner lock what is here: values are the owner's own. See docs/limits.md.

-- The value of a job, as it is kept: long ones by their hash. Empty: it has none.
create or replace function jobs_internal.rate_value_of(p_args jsonb, p_by text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce('=' || case when octet_length(p_args ->> p_by) > 200
      then left(p_args ->> p_by, 50) || '#' || md5(p_args ->> p_by) else p_args ->> p_by end, '');
end;

-- Of the messages that a claim has locked: those whose jobs may start now, p_most at most, in
-- order. Of the others those whose value had its starts leave the lane; the rest stays in it.
-- Locks: rate_value (skip locked), job (skip locked). Writes: rate_value, rate_wait, job, messages;
--   see leave_keys.
create or replace function jobs_internal.pass_rate_by(p_lane record, p_owner oid,
    p_msg_ids bigint[], p_most integer)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_each interval := p_lane.rate_period / p_lane.by_limit;
  v_soon timestamptz := clock_timestamp() + interval '80 milliseconds';
  v_long_ago timestamptz := clock_timestamp() - greatest(v_each, interval '2 seconds');
  v_next timestamptz;
  v_kept bigint[] := '{}';
  v_left boolean := false;
  v_messages bigint[];
  v_jobs bigint[];
  v_values text[];
  v_times timestamptz[];
  v_i integer;
begin
  execute format('select array_agg(m.msg_id order by m.msg_id), array_agg(j.id order by m.msg_id), '
    'array_agg(jobs_internal.rate_value_of(j.args, $2) order by m.msg_id), '
    'array_agg(w.at order by m.msg_id) from pgmq.%I as m '
    'left join lateral (select o.id, o.args from jobs_internal.job as o '
    'where o.id = (m.message ->> ''job'')::bigint and o.msg_id = m.msg_id offset 0) as j on true '
    'left join jobs_internal.rate_wait as w on w.job_id = j.id where m.msg_id = any ($1)',
    'q_' || p_lane.pgmq_queue)
  into v_messages, v_jobs, v_values, v_times using p_msg_ids, p_lane.rate_by;
  -- In the order of their names, so that no two sessions wait for each other.
  insert into jobs_internal.rate_value (queue_id, owner, value)
  select p_lane.queue_id, p_owner, u.value from unnest(v_values) as u(value)
  where not exists (select from jobs_internal.rate_value as o
    where o.queue_id = p_lane.queue_id and o.owner = p_owner and o.value = u.value)
  group by u.value
  order by u.value
  on conflict do nothing;
  for v_i in 1 .. coalesce(cardinality(v_messages), 0) loop
    exit when cardinality(v_kept) >= p_most;
    if v_jobs[v_i] is null or v_times[v_i] between v_long_ago and v_soon then
      -- a message without a job; or it is the job's time
      delete from jobs_internal.rate_wait as w where w.job_id = v_jobs[v_i];
      v_kept := v_kept || v_messages[v_i];
      continue;
    end if;
    select v.next_at into v_next from jobs_internal.rate_value as v
    where v.queue_id = p_lane.queue_id and v.owner = p_owner and v.value = v_values[v_i]
    for update skip locked;
    continue when not found;  -- another session decides about this value just now
    if v_times[v_i] > v_soon then
      -- jobs.run_now makes the time come, and no start
      v_left := jobs_internal.wait_outside(p_lane, v_jobs[v_i], v_messages[v_i], v_times[v_i])
        or v_left;
      continue;
    end if;
    if v_next <= v_soon then
      delete from jobs_internal.rate_wait as w where w.job_id = v_jobs[v_i];
      v_kept := v_kept || v_messages[v_i];
      v_next := greatest(v_next, clock_timestamp());
    elsif jobs_internal.wait_outside(p_lane, v_jobs[v_i], v_messages[v_i], v_next) then
      v_left := true;
    else
      continue;
    end if;
    update jobs_internal.rate_value as v set next_at = v_next + v_each
    where v.queue_id = p_lane.queue_id and v.owner = p_owner and v.value = v_values[v_i];
  end loop;
  if v_left then
    perform jobs_internal.wake(null);  -- a supervisor that sleeps hears of the new time
  end if;
  return v_kept;
end
$$;

-- Take a job out of its lane until a time; the caller has locked its message. False: the job is
-- locked, and stays. Locks: job (skip locked). Writes: job, rate_wait, messages; see leave_keys.
create or replace function jobs_internal.wait_outside(p_lane record, p_job bigint,
    p_msg_id bigint, p_at timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keyed boolean;
begin
  select j.options ? 'concurrency_key' into v_keyed from jobs_internal.job as j
  where j.id = p_job and j.state = 'queued' and j.msg_id = p_msg_id
  for update skip locked;
  if not found then
    return false;
  end if;
  execute format('delete from pgmq.%I where msg_id = $1', 'q_' || p_lane.pgmq_queue)
    using p_msg_id;
  update jobs_internal.job as j set state = 'scheduled', due_at = p_at, msg_id = null
  where j.id = p_job;
  insert into jobs_internal.rate_wait (job_id, queue_id, at) values (p_job, p_lane.queue_id, p_at)
  on conflict (job_id) do update set queue_id = excluded.queue_id, at = excluded.at;
  if v_keyed then
    perform jobs_internal.leave_keys(array[p_job]);
  end if;
  return true;
end
$$;

-- The rate of a queue is another one: what waits for its time comes to its lane, and is asked anew.
-- What claims have locked just now keeps its time. Locks: job, rate_value (skip locked).
-- Writes: job, rate_wait, rate_value.
create or replace function jobs_internal.release_rate_by(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  with due as (
    select j.id from jobs_internal.rate_wait as w
    join jobs_internal.job as j on j.id = w.job_id
    where w.queue_id = p_queue and j.state = 'scheduled' and j.due_at = w.at
    for update of j skip locked
  ), moved as (
    update jobs_internal.job as j set due_at = clock_timestamp()
    where j.id in (select d.id from due as d)
    returning j.id
  )
  delete from jobs_internal.rate_wait as w using moved as m where w.job_id = m.id;
  delete from jobs_internal.rate_value as d
  where d.ctid = any (array(select v.ctid from jobs_internal.rate_value as v
    where v.queue_id = p_queue for update skip locked));
end
$$;

-- Times that have passed say nothing: a value that could start an hour ago is as good as a new one.
-- Locks: rate_value, rate_wait (skip locked).
create or replace function jobs_internal.sweep_rates()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.rate_value as d
  where d.ctid = any (array(select v.ctid from jobs_internal.rate_value as v
    where v.next_at < now() - interval '1 hour' for update skip locked));
  delete from jobs_internal.rate_wait as d
  where d.ctid = any (array(select w.ctid from jobs_internal.rate_wait as w
    where w.at < now() - interval '1 hour'
      and not exists (select from jobs_internal.job as j where j.id = w.job_id)
    for update skip locked));
end
$$;
