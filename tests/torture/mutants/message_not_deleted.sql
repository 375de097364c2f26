-- The messages of a chunk stay in the queue.

-- Replaces jobs_internal.finish_chunk, md5 abc8ee270cabd4efb99dd09421c12cdb.
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
