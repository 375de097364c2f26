-- The jobs of a chunk get the result of one of them.

-- Replaces jobs_internal.archive_jobs, md5 bf0e6755ad366f9df3531d14108c22d8.
create or replace function jobs_internal.archive_jobs(p_queue integer, p_owner oid, p_live text,
    p_uncounted integer, p_state text, p_pid integer, p_results jobs_internal.attempt_result[],
    out finished bigint, out per_task jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_ids bigint[] := array(select e.job_id from unnest(p_results) as e);
  v_bucket integer;
  v_statements boolean;
  v_asked boolean;
  v_keyed bigint[];
  v_windows boolean;
  v_of_queue boolean;  -- it has a window
begin
  with dropped as (
    delete from jobs_internal.job as j
    where j.id = any (v_ids) and j.state = p_live and j.owner = p_owner
    returning j.*
  ), kept as (
    -- The bucket is read by the statement that writes there: see history/steps.sql.
    insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state,
      call_template_id, attempt, max_attempts, outcome, run_at, created_at, started_at,
      finished_at, pid, child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read,
      buffers_dirtied, temp_bytes, publication_id, enqueued_by, timeout, unique_key, args,
      settings, note, options, result, error, snoozes)
    select j.id, (select jobs_internal.bucket_of(p_queue, p_owner)), j.queue_id, j.owner,
      j.priority, p_state, j.call_template_id, e.attempt, j.max_attempts, e.outcome, j.run_at,
      j.created_at, e.started_at, e.finished_at, p_pid, e.child_pid, jobs_internal.waited(e),
      e.rows, e.wal_bytes, e.buffers_hit, e.buffers_read, e.buffers_dirtied, e.temp_bytes,
      j.publication_id, j.enqueued_by, j.timeout, coalesce(j.unique_key, j.former_key), j.args,
      j.settings, j.note, j.options, (select o.result from unnest(p_results) as o
        where o.outcome = 'succeeded' order by o.job_id limit 1), e.error, j.snoozes
    from dropped as j
    join unnest(p_results) as e on e.job_id = j.id and e.attempt = j.attempt + p_uncounted
    returning id, bucket, call_template_id, started_at, finished_at, options
  ), tasks as (
    select s.task, jsonb_agg(k.id) as job_ids,
      jsonb_agg(round((extract(epoch from k.finished_at - k.started_at) * 1000)::numeric, 3))
        as ms,
      count(*) as n, bool_or(k.options is not null) as asked,
      bool_or(k.options ? 'window') as windows, min(k.bucket) as bucket
    from kept as k
    left join jobs_internal.call_template as s on s.id = k.call_template_id
    group by s.task
  )
  select jsonb_agg(jsonb_build_object('task', t.task, 'job_ids', t.job_ids, 'ms', t.ms)),
    coalesce(sum(t.n), 0), bool_or(t.asked), min(t.bucket), bool_or(t.task is null),
    bool_or(t.windows),
    (select q.window_name is not null from jobs_internal.queue as q where q.id = p_queue)
  into per_task, finished, v_asked, v_bucket, v_statements, v_windows, v_of_queue
  from tasks as t;
  -- A new statement, which sees what was committed up to the delete: docs/order.md.
  if p_state <> 'in_doubt'
    and (exists (select from jobs_internal.dependency as d where d.parent = any (v_ids))
      or current_setting('transaction_isolation') <> 'read committed')
  then
    perform jobs_internal.note_ends(v_ids, p_state);
  end if;
  -- Not those that succeeded at once and said nothing: nearly all.
  if v_statements then
    update jobs_internal.operation as o
    set state = p_state, ended_at = clock_timestamp(), deadlock_risk = null, gives_way = null,
      bucket = v_bucket, disk_bytes = jobs_internal.made_bytes(o)
    where o.job_id = any (v_ids);
    -- a supervisor that sleeps while they run hears of their end
    perform jobs_internal.end_phases(v_ids, p_state = 'succeeded'),
      jobs_internal.store_clean_ups(v_ids), jobs_internal.wake_beside(v_ids),
      jobs_internal.wake(null), jobs_internal.mark_operations(v_ids, v_bucket);
  end if;
  if v_statements or jobs_internal.has_earlier_attempts(v_ids) then
    perform jobs_internal.archive_attempts(v_ids, v_bucket);
  end if;
  if v_windows or v_of_queue then
    delete from jobs_internal.window_wait as w where w.job_id = any (v_ids);
    if p_state = 'succeeded' then
      perform jobs_internal.keep_runs_of(v_ids, v_bucket, p_owner, v_of_queue);
    end if;
  end if;
  if v_asked then
    perform jobs_internal.count_ends(v_ids, v_bucket, p_state);
    perform jobs_internal.clear_deadline(array(
      select f.id from jobs_internal.finished as f
      where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'deadline'));
    v_keyed := array(
      select f.id from jobs_internal.finished as f
      where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'concurrency_key');
    if v_keyed <> '{}' then
      perform jobs_internal.leave_keys(v_keyed);
    end if;
    if p_state = 'succeeded' then
      perform jobs_internal.store_fresh_results(v_ids, v_bucket);
    end if;
    perform jobs_internal.notify_of_end(f.options, f.id, f.state,
        jobs_internal.task_name(f.id, f.call_template_id))
    from jobs_internal.finished as f
    where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'notify'
    order by f.id;
  end if;
  perform jobs_internal.wake_for_ends(v_ids);
end
$$;
