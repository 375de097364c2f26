-- What an operation that was cut off left invalid is never dropped.

-- Replaces jobs_internal.clear_leftover, md5 dd0d564be592d67179e7e4fb87f89fd3.
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
begin
<<<<<<< /dev/shm/tmpgss_48re/m
  null;
=======
  -- a drop may be a deadlock's victim, as the build was
  for v_try in 1 .. case when p_lock_ms is null then 3 else 1 end loop
    v_nap := 0.02;
    loop
      select pg_catalog.array_agg('drop index concurrently ' operator(pg_catalog.||) l.name
          order by l.index) filter (where w.ways is null or p_lock_ms is null),
        pg_catalog.max(w.ways)
      into v_drops, v_ways
      from jobs_internal.leftovers(p_item.job_id) as l
      cross join lateral (select jobs_internal.in_the_way(l.index) as ways) as w
      where l.droppable;
      exit when v_ways is null or p_lock_ms is not null;
      begin
        v_looked := pg_catalog.clock_timestamp();
        if v_said is distinct from v_ways then
          v_said := v_ways;
          perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt,
            pg_catalog.format('before it drops what an earlier attempt left invalid, it waits: %s',
                v_ways));
        end if;
        perform pg_catalog.pg_sleep(v_nap);
      exception
        when query_canceled then
          -- as in run_child: else it was only woken up
          if pg_catalog.clock_timestamp() >= v_looked then
            p_result := jobs_internal.interrupted_result(p_item, v_started, null);
          end if;
      end;
      commit;
      v_nap := least(v_nap * 1.5, 0.25);
      if p_result.outcome is null
        and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_result := jobs_internal.interrupted_result(p_item, v_started, null);
      elsif p_result.outcome is null and p_item.timeout_ms is not null
        and pg_catalog.clock_timestamp() > v_started + p_item.timeout_ms * interval '1 ms'
      then
        p_result.job_id := p_item.job_id;
        p_result.attempt := p_item.attempt;
        p_result.started_at := v_started;
        p_result.finished_at := pg_catalog.clock_timestamp();
        p_result.outcome := 'timed_out';
        p_result.error := jobs_internal.stop_error('timed_out', p_item.timeout_ms * interval '1 ms',
            pg_catalog.format('It waited: %s.', v_ways));
      end if;
      exit when p_result.outcome is not null;
    end loop;
    if v_said is not null then
      perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, null);
      commit;
      v_said := null;
    end if;
    -- Read again: what was in the way may have made an index valid, and have let go of its lock after
    -- the leftovers were read and before the locks were.
    v_drops := (
      select pg_catalog.array_agg(d.text order by d.n)
      from pg_catalog.unnest(v_drops) with ordinality as d(text, n)
      where d.text in (select 'drop index concurrently ' operator(pg_catalog.||) l.name
        from jobs_internal.leftovers(p_item.job_id) as l where l.droppable));
    exit when v_drops is null or (p_lock_ms is null and p_result.outcome is not null);
    foreach v_drop in array v_drops loop
      v_gone := false;
      begin
        -- By this name it is found, should this session die before it has noted it.
        perform pg_catalog.set_config('application_name',
            pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('lock_timeout', coalesce(p_lock_ms, 0)::text, false),
          pg_catalog.set_config('statement_timeout',
              least(coalesce(p_item.timeout_ms, 600000), case when p_lock_ms is not null
                  then 10000 end, 2147483647)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_drop, p_item.job_id || '/' || p_item.attempt) as h;
      exception
        when insufficient_resources or configuration_limit_exceeded or too_many_connections then
          v_pid := null;
      end;
      perform jobs_internal.reset_session(p_baseline);
      commit;
      while v_pid is not null and not v_gone loop
        v_looked := pg_catalog.clock_timestamp();
        begin
          v_gone := jobs_internal.wait_child(v_pid, v_cookie, 20);
          if not v_gone then
            perform jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
          end if;
        exception
          when query_canceled then
            -- this session is to leave: the drop goes on by itself
            v_gone := pg_catalog.clock_timestamp() >= v_looked;
            v_leave := v_gone;
            if v_gone and p_lock_ms is null then
              p_result := jobs_internal.interrupted_result(p_item, v_started, null);
            end if;
        end;
        commit;
      end loop;
      if v_pid is not null then
        perform jobs_internal.detach_child(v_pid, v_cookie);
      end if;
      commit;
      if p_lock_ms is null and p_result.outcome is null
        and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_result := jobs_internal.interrupted_result(p_item, v_started, null);
      end if;
      exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
    end loop;
    exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
  end loop;
>>>>>>> /dev/shm/tmpgss_48re/n
end
$$;
