-- The worker session: it claims, runs and commits until its work or its time is over.
--
-- It runs as the owner, in a session that was authenticated as the owner, so these procedures are
-- invoker and cannot carry a SET clause (procedures that commit cannot). `work` sets search_path
-- itself; a job has the owner's own path. What needs our rights is in the definer functions that
-- they call. While they wait for work no transaction is open for longer than 50 ms.
--
-- The loop, and its commits:
--   open_worker     session reset: commit; the launching transaction has ended: commit; session row
--                   and settings: commit
--   claim_work      claim: commit, or, of one message, together with the start of its job
--   wait_for_work   nothing claimed: commit, wait, commit; or the session ends
--   open_chunk      messages locked, jobs read; none left: commit, and the next messages
--   work_alone      start: commit; run and end: commit (a child session: commits in between)
--   work_chunk      run and end of all: commit; one of them is in the way: rollback, and one by one
--   wait_for_more   claims are small: wait 5 ms, commit
--   close_session   what was learned, what is given back: commit

-- p_linger_ms: how long it waits for more work before it ends. p_wait_xid: a transaction to wait
-- for (the one that launched it), so that it sees what was enqueued there.
create or replace procedure jobs_internal.work(p_linger_ms integer, p_wait_xid text)
language plpgsql
as $$
declare
  v_state jobs_internal.worker_state;
  v_items jobs_internal.work_item[];
  v_stats jobs_internal.run_stats[];  -- since the last claim that has written them
  v_trust jobs_internal.worker_trust := row('{}'::integer[], '{}'::bigint[], '{}'::integer[]);
  v_slice bigint[];
begin
  reset all;
  v_state.path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  v_state.linger_ms := p_linger_ms;
  -- the version that this loop is written for: after an upgrade an old body goes on
  call jobs_internal.open_worker(9, p_wait_xid, v_state);
  loop
    -- the clock may have been set back
    v_state.ends_at := least(v_state.ends_at, pg_catalog.clock_timestamp() + v_state.lifetime);
    exit when v_state.leave or pg_catalog.clock_timestamp() > v_state.ends_at
      or v_state.jobs > v_state.max_jobs;
    v_state := jobs_internal.claim_work(v_state, v_stats);
    if v_state.stats_written then
      v_stats := null;
    end if;
    if not v_state.claim_open then
      commit;
    end if;
    if v_state.lane_id is null then
      call jobs_internal.wait_for_work(v_state);
      continue;
    end if;
    v_state := jobs_internal.begin_claim(v_state);
    -- Nothing more is opened once messages were passed over: after a crash the first ones that are
    -- left of a claim are those that may have run (chunk_of).
    while v_state.next <= pg_catalog.cardinality(v_state.msg_ids) and not v_state.leave
      and not v_state.give_back loop
      v_slice := v_state.msg_ids[v_state.next : v_state.next + case when v_state.one_by_one then 0
          else least(v_state.chunk_size, v_state.chunk_jobs) - 1 end];
      v_items := jobs_internal.open_chunk(v_state.lane_id, v_slice, v_state.lease,
          case when v_state.one_by_one then -1 else v_state.short_ms end, v_state.defers);
      if v_state.claim_open and pg_catalog.cardinality(v_items) = 1
        and v_items[1].mode <> 'alone' then
        commit;  -- what it was opened for is not committed with the claim
        v_state.claim_open := false;
        continue;
      elsif pg_catalog.cardinality(v_items) = 0 then
        -- Paused meanwhile, or others have them. What still carries our token goes back at the next
        -- claim.
        v_state.give_back := true;
        commit;
        continue;
      elsif v_items[1].mode in ('alone', 'child') then
        call jobs_internal.work_alone(v_items[1], v_state);
        if v_state.abandons then
          return;
        end if;
        continue when v_state.stats is null;
      else
        call jobs_internal.work_chunk(v_items, v_trust.trusted, v_state);
      end if;
      if pg_catalog.cardinality(v_state.stats) > 0 then
        v_stats := v_stats || v_state.stats;
        if v_state.needs_savepoint is not null or not v_state.in_a_row then
          v_trust := jobs_internal.trust_after(v_trust, v_state.stats, v_state.needs_savepoint);
        end if;
      end if;
      -- The rest of the claim went back before a job of unknown duration, and goes back after a
      -- long one.
      exit when v_state.claim_limit = 1;
      if v_state.last_ms > 1000 or pg_catalog.clock_timestamp() > v_state.ends_at then
        v_state.give_back := true;
      end if;
    end loop;
    if v_state.small_claims > 3 and v_state.claim_limit > 1 and not v_state.leave then
      call jobs_internal.wait_for_more(v_state);
    end if;
  end loop;
  perform pg_catalog.set_config('application_name', 'pw end', false);
  perform jobs_internal.close_session(v_state.session_id, v_stats);
  commit;
end
$$;

-- Open the session: it is reset, the launching transaction has ended, and its row is there. The
-- search_path is ours when it is called. Commits.
create or replace procedure jobs_internal.open_worker(
  p_version integer,
  p_wait_xid text,
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_role jsonb;  -- what ALTER ROLE and ALTER DATABASE say
  v_began timestamptz := pg_catalog.clock_timestamp();
begin
  perform jobs_internal.assert_own_login();
  if current_user <> session_user then
    set role none;  -- for as long as it lives: what ALTER ROLE says is for sessions of people
  end if;
  v_role := jobs_internal.role_settings();
  -- what it is after RESET ALL, where nothing says otherwise
  p_state.path := coalesce(v_role ->> 'search_path', p_state.path);
  p_state.baseline := jobs_internal.baseline(v_role);
  perform jobs_internal.reset_session(p_state.baseline);
  commit;
  while p_wait_xid is not null
    and pg_catalog.pg_xact_status(p_wait_xid::pg_catalog.xid8) = 'in progress'
    and pg_catalog.clock_timestamp() < v_began + interval '60 seconds'
  loop
    commit;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
  p_state.session_id := jobs_internal.open_session(p_version);
  p_state := jobs_internal.worker_settings(p_state);
  if pg_catalog.current_setting('synchronous_commit') <> 'off' then
    -- A session that waited here for a standby that is gone would not be seen, and another one
    -- would be launched for it, until no worker slot of the server was free.
    perform pg_catalog.set_config('synchronous_commit', 'local', true);
  end if;
  commit;
end
$$;

-- The state of a session that has just opened: settings, and where its counts begin.
create or replace function jobs_internal.worker_settings(p_state jobs_internal.worker_state)
returns jobs_internal.worker_state
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settings jsonb := jobs_internal.all_settings();
begin
  -- One query, where a session would prepare twenty assignments. Of claims: the next one asks for
  -- more after each full chunk, as what a session claims and does not get to has to be given back.
  select (select b from pg_stat_get_backend_idset() as b
      where pg_stat_get_backend_pid(b) = pg_backend_pid()),
    (v_settings ->> 'timeout_margin_ms')::bigint, v_settings ->> 'measure_cost' = 'on',
    (v_settings ->> 'short_ms')::double precision, (v_settings ->> 'chunk_jobs')::integer,
    (v_settings ->> 'chunk_ms')::bigint,
    (v_settings ->> 'session_seconds')::integer * interval '1 second',
    (v_settings ->> 'session_jobs')::bigint, 0, false, false, 50, 40, false, 0, false, false,
    clock_timestamp()
  into p_state.backend, p_state.margin_ms, p_state.measure_cost, p_state.short_ms,
    p_state.chunk_jobs, p_state.chunk_ms, p_state.lifetime, p_state.max_jobs, p_state.jobs,
    p_state.leave, p_state.abandons, p_state.claim_limit, p_state.chunk_size, p_state.one_by_one,
    p_state.small_claims, p_state.give_back, p_state.slots_settled, p_state.stats_written_at;
  p_state.ends_at := clock_timestamp() + p_state.lifetime;
  return p_state;
end
$$;
