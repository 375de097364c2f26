-- The end of a chunk.

-- The second half of a chunk: messages deleted, job rows turned into history, in the transaction
-- that ran the jobs.
-- p_msg_ids: messages of the jobs that ran and of stale ones; p_endings: how each job ended.
-- Returns: false when a fence missed: the chunk must be rolled back and its jobs run alone.
-- Locks: job. Writes: the lane's pgmq queue, job, finished, attempt, outbox.
create or replace function jobs_internal.finish_chunk(p_session bigint, p_lane integer,
    p_msg_ids bigint[], p_endings jobs_internal.attempt_result[])
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_pid integer := pg_backend_pid();
  v_owner oid := jobs_internal.caller();
  v_ids bigint[];
  v_done jsonb;
  v_n bigint;
  v_expected bigint;
  v_ending jobs_internal.attempt_result;
  v_other jsonb;
  v_others jsonb := '[]';
  v_asked boolean;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if exists (select from unnest(p_endings) as e where pg_column_size(e.result) > 500
      and not jobs_internal.is_small(e.result)) then
    return false;
  end if;
  execute format('delete from pgmq.%I where msg_id = any ($1)', 'q_pyworker_' || p_lane)
    using p_msg_ids;
  v_expected := (select count(*) from unnest(p_endings) as e where e.outcome = 'succeeded'
      and e.logs is null);
  if v_expected > 0 then
    v_ids := array(select e.job_id from unnest(p_endings) as e where e.outcome = 'succeeded'
        and e.logs is null);
    with dropped as (
      delete from jobs_internal.job as j
      where j.id = any (v_ids) and j.state = 'queued' and j.owner = v_owner
      returning j.*
    ), gone as (
      select j.id, j.queue_id, j.owner, j.priority, j.call_template_id, e.attempt, j.max_attempts,
        j.run_at,
        j.created_at, e.started_at, e.finished_at,
        jobs_internal.waited(e) as waited_ms, e.rows, e.wal_bytes, e.buffers_hit, e.buffers_read,
          e.buffers_dirtied, e.temp_bytes,
        j.timeout, coalesce(j.unique_key, j.former_key) as unique_key, j.args, j.settings, j.note,
          j.options, e.result
      from dropped as j
      join unnest(p_endings) as e on e.job_id = j.id and e.attempt = j.attempt + 1
    ), kept as (
      insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state,
          call_template_id,
          attempt, max_attempts, outcome, run_at, created_at,
        started_at, finished_at, pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read,
          buffers_dirtied, temp_bytes,
        timeout, unique_key, args, settings, note, options, result)
      select g.id,
        (select jobs_internal.bucket_of(l.queue_id, l.owner) from jobs_internal.lane as l
            where l.id = p_lane),
        g.queue_id, g.owner, g.priority, 'succeeded', g.call_template_id, g.attempt, g.max_attempts,
          'succeeded', g.run_at, g.created_at,
        g.started_at, g.finished_at, v_pid, g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit,
          g.buffers_read, g.buffers_dirtied, g.temp_bytes,
        g.timeout, g.unique_key, g.args, g.settings, g.note, g.options, g.result
      from gone as g
      returning id, call_template_id, started_at, finished_at, options
    ), per_task as (
      select s.task, jsonb_agg(k.id) as job_ids,
        jsonb_agg(round((extract(epoch from k.finished_at - k.started_at) * 1000)::numeric, 3))
          as ms,
        count(*) as n, bool_or(k.options is not null) as asked
      from kept as k
      join jobs_internal.call_template as s on s.id = k.call_template_id
      group by s.task
    )
    select jsonb_agg(jsonb_build_object('task', p.task, 'job_ids', p.job_ids, 'ms', p.ms)),
      sum(p.n),
      bool_or(p.asked)
    into v_done, v_n, v_asked
    from per_task as p;
    if v_n is distinct from v_expected then
      return false;
    end if;
    -- Not those that succeeded at once and said nothing: nearly all.
    if jobs_internal.has_earlier_attempts(v_ids) then
      perform jobs_internal.archive_attempts(v_ids,
          (select f.bucket from jobs_internal.finished as f
            where f.id = v_ids[1]));
    end if;
    if v_asked then
      perform jobs_internal.notify_of_end(f.options, f.id, f.state, s.task)
      from jobs_internal.finished as f
      join jobs_internal.call_template as s on s.id = f.call_template_id
      where f.id = any (v_ids) and f.options is not null
      order by f.id;
    end if;
  end if;
  if v_expected < cardinality(p_endings) then
    foreach v_ending in array p_endings loop
      continue when v_ending.outcome = 'succeeded' and v_ending.logs is null;
      if not exists (select from jobs_internal.job as j where j.id = v_ending.job_id
          and j.owner = v_owner) then
        return false;
      end if;
      v_other := jobs_internal.end_attempt(v_pid, 'queued', v_ending.attempt - 1, v_ending);
      if v_other is null then
        return false;
      end if;
      v_others := v_others || v_other;
    end loop;
  end if;
  if cardinality(p_endings) > 0 then
    perform jobs_internal.put_in_outbox(p_session, p_lane, v_pid, v_done, v_others);
  end if;
  return true;
end
$$;
