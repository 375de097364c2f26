-- The end of a chunk.

-- The second half of a chunk: messages deleted, job rows turned into history, in the transaction
-- that ran the jobs.
-- p_msg_ids: messages of the jobs that ran and of stale ones; p_results: how each job ended.
-- Returns: false when a fence missed: the chunk must be rolled back and its jobs run alone.
-- Locks: job. Writes: the lane's pgmq queue, outbox; see archive_jobs and end_attempt.
create or replace function jobs_internal.finish_chunk(p_session bigint, p_lane integer,
    p_msg_ids bigint[], p_results jobs_internal.attempt_result[])
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
  v_queue integer;
  v_done jsonb;
  v_n bigint;
  v_expected bigint;
  v_result jobs_internal.attempt_result;
  v_other jsonb;
  v_others jsonb := '[]';
begin
  perform jobs_internal.assert_my_lane(p_lane);
  v_queue := (select l.queue_id from jobs_internal.lane as l where l.id = p_lane);
  if exists (select from unnest(p_results) as e where pg_column_size(e.result) > 500
      and not jobs_internal.is_small(e.result)) then
    return false;
  end if;
  execute format('delete from pgmq.%I where msg_id = any ($1)', 'q_pyworker_' || p_lane)
    using p_msg_ids;
  v_expected := (select count(*) from unnest(p_results) as e where e.outcome = 'succeeded'
      and e.logs is null);
  if v_expected > 0 then
    select a.finished, a.per_task into v_n, v_done
    from jobs_internal.archive_jobs(v_queue, v_owner, 'queued', 1, 'succeeded', v_pid,
      case v_expected when cardinality(p_results) then p_results
        else array(select e from unnest(p_results) as e where e.outcome = 'succeeded'
          and e.logs is null) end) as a;
    if v_n <> v_expected then
      return false;
    end if;
  end if;
  if v_expected < cardinality(p_results) then
    foreach v_result in array p_results loop
      continue when v_result.outcome = 'succeeded' and v_result.logs is null;
      if not exists (select from jobs_internal.job as j where j.id = v_result.job_id
          and j.owner = v_owner) then
        return false;
      end if;
      v_other := jobs_internal.end_attempt(v_pid, 'queued', v_result.attempt - 1, v_result);
      if v_other is null then
        return false;
      end if;
      v_others := v_others || v_other;
    end loop;
  end if;
  if cardinality(p_results) > 0 then
    perform jobs_internal.put_in_outbox(v_queue, v_owner, p_session, v_pid, v_done, v_others);
  end if;
  return true;
end
$$;
