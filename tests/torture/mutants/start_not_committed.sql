-- The start of a lone job is committed with its end: no session counts the job that crashes the
-- server.

-- Replaces jobs_internal.work, md5 36c59aa20c5fbd82e19afadc96a66bc7.
create or replace procedure jobs_internal.work(p_linger_ms integer, p_wait_xid text)
language plpgsql
as $$
declare
  v_session bigint;
  v_path text;
  v_role jsonb;  -- what ALTER ROLE and ALTER DATABASE say
  v_baseline jsonb;
  v_margin bigint;
  v_short double precision;
  v_chunk_jobs integer;
  v_chunk_ms bigint;
  v_until timestamptz;
  v_max_jobs bigint;
  v_claim jobs_internal.claim;
  v_place integer;
  v_slice bigint[];
  v_items jobs_internal.work_item[];
  v_run jobs_internal.chunk_run;
  v_item jobs_internal.work_item;
  v_ending jobs_internal.attempt_result;
  v_endings jobs_internal.attempt_result[];
  v_backend integer;  -- our number among the server's backends
  v_width integer := 40;  -- messages that the next chunk opens
  -- functions seen in chunks, and how often each succeeded in a row; negative: it failed once
  v_tried integer[] := '{}';
  v_tries bigint[] := '{}';
  v_was_trusted boolean;
  v_trusted integer[] := '{}';  -- those that may run without subtransactions
  v_lesson jobs_internal.run_stats;
  v_lessons jobs_internal.run_stats[] := '{}';
  v_learned jobs_internal.run_stats[];  -- since the last claim
  v_alone boolean := false;
  v_leave boolean := false;
  v_rest boolean := false;
  -- grows with each full chunk; what a session claims and does not get to has to be given back
  v_limit integer := 50;
  v_jobs bigint := 0;
  v_idle timestamptz;
  -- no session was in the middle of a claim when it last waited for a slot
  v_settled boolean := false;
  v_napped timestamptz;
  v_looked timestamptz;  -- the last claim that found nothing
  v_head numeric;  -- what there was then
  v_seen numeric;  -- and the time before
  v_eager timestamptz;  -- until then: a message is on its way, and not committed yet
  v_open boolean;  -- the claim is not committed yet
  v_defers boolean;  -- each job needs a commit of its own
  v_asked timestamptz;
  v_taught timestamptz := pg_catalog.clock_timestamp();
  v_small integer := 0;  -- claims of a few messages, one right after the other
  v_life interval;
  v_waited timestamptz := pg_catalog.clock_timestamp();
  v_k integer;
  v_cost boolean;
  -- functions of which a job was measured since the last claim; null: none is to be
  v_measured integer[];
  v_unwritten boolean;
  v_spoiled boolean;
  v_state text;
  v_message text;
  v_ran double precision;
begin
  reset all;
  v_path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if current_user <> session_user then
    perform jobs_internal.assert_own_login();
    set role none;  -- for as long as it lives: what ALTER ROLE says is for sessions of people
  end if;
  v_role := jobs_internal.role_settings();
  -- what it is after RESET ALL, where nothing says otherwise
  v_path := coalesce(v_role ->> 'search_path', v_path);
  v_baseline := jobs_internal.baseline(v_role);
  perform jobs_internal.reset_session(v_baseline);
  commit;
  while p_wait_xid is not null and pg_catalog.pg_xact_status(p_wait_xid::pg_catalog.xid8)
    = 'in progress'
    and pg_catalog.clock_timestamp() < v_waited + interval '60 seconds'
  loop
    commit;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
  v_session := jobs_internal.open_session(1);  -- the version that this loop is written for
  v_backend := (select b from pg_catalog.pg_stat_get_backend_idset() as b
      where pg_catalog.pg_stat_get_backend_pid(b) = pg_catalog.pg_backend_pid());
  v_margin := jobs_internal.setting('timeout_margin_ms')::bigint;
  v_cost := jobs_internal.setting('measure_cost') = 'on';
  v_short := jobs_internal.setting('short_ms')::double precision;
  v_chunk_jobs := jobs_internal.setting('chunk_jobs')::integer;
  v_chunk_ms := jobs_internal.setting('chunk_ms')::bigint;
  v_life := jobs_internal.setting('session_seconds')::integer * interval '1 second';
  v_until := pg_catalog.clock_timestamp() + v_life;
  v_max_jobs := jobs_internal.setting('session_jobs')::bigint;
  if pg_catalog.current_setting('synchronous_commit') <> 'off' then
    -- A session that waited here for a standby that is gone would not be seen, and another one
    -- would be launched for it, until no worker slot of the server was free.
    perform pg_catalog.set_config('synchronous_commit', 'local', true);
  end if;
  commit;

  loop
    -- the clock may have been set back
    v_until := least(v_until, pg_catalog.clock_timestamp() + v_life);
    exit when v_leave or pg_catalog.clock_timestamp() > v_until or v_jobs > v_max_jobs;
    perform pg_catalog.set_config('application_name', 'pw idle', false);
    -- what it is compared with is of use only once a claim has found nothing
    if v_looked is not null then
      v_head := jobs_internal.high_water_mark();
    end if;
    if v_head is distinct from v_seen then
      -- An enqueuer has a message in hand, and may commit it after the claim below has looked:
      -- another look comes soon.
      v_eager := pg_catalog.clock_timestamp() + interval '20 milliseconds';
      v_seen := v_head;
    end if;
    -- What was learned is written once a second, and at once at the beginning: sessions write the
    -- same rows.
    if v_jobs < 50 or pg_catalog.clock_timestamp() not between v_taught and v_taught
      + interval '1 second' then
      v_claim := jobs_internal.claim(v_session, v_jobs, v_learned, v_rest, v_limit);
      v_taught := pg_catalog.clock_timestamp();
      v_learned := null;
    else
      v_claim := jobs_internal.claim(v_session, v_jobs, null, v_rest, v_limit);
    end if;
    v_rest := false;
    -- Of one message the claim and the start of its job may be one commit. A suspect's start waits
    -- for a lock, which must not be with a claim.
    v_open := pg_catalog.cardinality(v_claim.msg_ids) is not distinct from 1
      and not v_claim.suspects;
    if not v_open then
      commit;
    end if;
    if v_claim.lane_id is null then
      v_small := 0;
      v_idle := least(v_idle, pg_catalog.clock_timestamp());  -- the clock may have been set back
      if v_claim.waiting and p_linger_ms = 0 then
        -- Started by hand, it leaves when all slots are taken: but not while one of them is about
        -- to be free. An open transaction does not keep it.
        exit when v_settled or pg_catalog.clock_timestamp() > v_idle + interval '10 seconds';
        v_settled := jobs_internal.slots_settled();
      else
        exit when pg_catalog.clock_timestamp() > v_idle + p_linger_ms * interval '1 ms'
          and not v_claim.waiting;
        -- One session without work is enough to be there at once for the next job.
        exit when v_claim.surplus and pg_catalog.clock_timestamp() > v_idle + p_linger_ms
          * interval '0.1 ms';
      end if;
      exit when jobs_internal.shutting_down();
      commit;
      v_looked := pg_catalog.clock_timestamp();
      v_napped := v_looked;
      begin
        -- Until there is something new; a look in any case every 50 ms, for what came back or
        -- becomes visible only now.
        loop
          perform pg_catalog.pg_sleep(0.002);
          exit when pg_catalog.clock_timestamp() not between v_looked and v_looked
            + interval '50 milliseconds'
            or pg_catalog.clock_timestamp() between v_eager
              - interval '20 milliseconds' and v_eager;
          if jobs_internal.high_water_mark() is distinct from v_head then
            v_eager := pg_catalog.clock_timestamp() + interval '20 milliseconds';
            exit;
          end if;
        end loop;
      exception
        -- Woken up because the clock was set back during its nap (wake_after_clock_step), or sent
        -- home.
        when query_canceled then
          v_leave := pg_catalog.clock_timestamp() >= v_napped;
      end;
      commit;
      continue;
    end if;
    v_idle := null;
    v_settled := false;
    v_small := case when not v_claim.full_up and pg_catalog.cardinality(v_claim.msg_ids) < 20
      then v_small + 1 else 0 end;
    if v_asked is null or pg_catalog.clock_timestamp() not between v_asked and v_asked
      + interval '1 second' then
      v_defers := jobs_internal.has_deferrable_constraints();
      v_asked := pg_catalog.clock_timestamp();
    end if;
    v_measured := case when v_cost then '{}'::integer[] end;
    v_place := 1;
    while v_place <= pg_catalog.cardinality(v_claim.msg_ids) and not v_leave loop
      v_slice := v_claim.msg_ids[v_place : v_place + case when v_alone then 0
          else least(v_width, v_chunk_jobs) - 1 end];
      v_items := jobs_internal.open_chunk(v_claim.lane_id, v_slice, v_claim.lease, case when v_alone
          then -1 else v_short end, v_defers);
      if v_open and pg_catalog.cardinality(v_items) = 1 and v_items[1].mode <> 'alone' then
        commit;  -- what it was opened for is not committed with the claim
        v_open := false;
        continue;
      end if;
      if pg_catalog.cardinality(v_items) = 0 then
        -- Paused meanwhile, or others have them. What still carries our token goes back at the next
        -- claim.
        v_place := v_place + pg_catalog.cardinality(v_slice);
        v_rest := true;
        commit;
        continue;
      end if;
      v_item := v_items[1];

      if v_item.mode in ('alone', 'child') then
        v_item := jobs_internal.begin_alone(v_session, v_claim.lane_id, v_item);
        v_open := false;
        v_width := 1;
        v_rest := v_rest or v_item.msg_id <> v_claim.msg_ids[v_place];
        v_place := pg_catalog.array_position(v_claim.msg_ids, v_item.msg_id) + 1;
        v_alone := false;
        -- After a job of unknown duration claims start small again, so that nothing waits behind
        -- the next one.
        v_limit := case when v_item.quick then least(v_limit * 2, 1000) else 1 end;
        continue when v_item.mode in ('gone', 'held');
        if v_items[1].mode = 'child' then
          call jobs_internal.run_top_level(v_session, v_item, v_path, v_margin, v_baseline,
              v_ending);
          if v_ending.outcome = 'left' then
            commit;
            return;
          end if;
        else
          begin
            v_ending := jobs_internal.run_in_savepoint(v_item, v_session, v_path, v_margin,
                v_baseline, v_cost);
          exception
            -- A signal that came a moment before or after the job's own part: what it did is undone
            -- with this block.
            when query_canceled then
              v_ending := jobs_internal.interrupted_result(v_item, pg_catalog.clock_timestamp(),
                  null);
              perform jobs_internal.reset_session(v_baseline);
          end;
          if v_ending.outcome = 'failed' and v_item.statement is not null
            and v_ending.error ->> 'sqlstate' in ('25001', '2D000') then
            -- It refused to run in a transaction, before it did anything: found out, it goes to a
            -- child session.
            v_item.done_when := jobs_internal.mark_top_level(v_item.job_id);
            commit;
            call jobs_internal.run_top_level(v_session, v_item, v_path, v_margin, v_baseline,
                v_ending);
            if v_ending.outcome = 'left' then
              commit;
              return;
            end if;
          end if;
        end if;
        v_leave := v_ending.outcome = 'interrupted';
        if v_ending.outcome = 'no_slot'
          or (coalesce(v_ending.error ->> 'sqlstate' in ('3F000', '42883', '42725', '42809'), false)
          and not jobs_internal.call_templates_are_current(array[v_item.call_template_id]))
        then
          -- No worker slot for its child; or its function was renamed or moved just before the
          -- call, and is found again when it starts anew.
          perform jobs_internal.requeue_uncharged(v_session, v_item.job_id, v_item.attempt);
          v_leave := v_ending.outcome = 'no_slot';
          commit;
          continue;
        end if;
        v_unwritten := false;
        begin
          perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
        exception
          -- It came too late for this job, and is not meant for another: write down how it ended,
          -- and leave.
          when query_canceled then
            perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
            v_leave := true;
          when others then
            get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
            v_unwritten := true;
            v_spoiled := v_state !~ '^(PW|53|55|57|58|40)';
            if v_spoiled then
              v_ending := jobs_internal.unwritable_result(v_ending, v_state, v_message);
            end if;
        end;
        if v_unwritten then
          -- A full disk, say: that is no fault of the job's. What a function did is undone, and it
          -- runs again, uncharged; how a statement ended is kept until it can be written down.
          rollback;
          perform jobs_internal.reset_session(v_baseline);
          while v_unwritten loop
            begin
              if v_items[1].mode = 'child' or v_spoiled then
                perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
              else
                perform jobs_internal.requeue_uncharged(v_session, v_item.job_id, v_item.attempt);
              end if;
              v_unwritten := false;
            exception
              when others then
                if sqlstate like 'PW%' or jobs_internal.shutting_down() then
                  raise;
                end if;
                -- What the ending itself says cannot be kept, now or later: the job has failed of
                -- that.
                if not v_spoiled and sqlstate !~ '^(53|55|57|58|40)' then
                  v_spoiled := true;
                  v_ending := jobs_internal.unwritable_result(v_ending, sqlstate, sqlerrm);
                end if;
            end;
            commit;
            if v_unwritten then
              perform pg_catalog.pg_sleep(1);
            end if;
          end loop;
          continue when v_items[1].mode <> 'child' and not v_spoiled;
        end if;
        v_endings := array[v_ending];
        commit;
      else
        v_run := jobs_internal.run_chunk(v_items,
          not v_item.constraints and not exists (select from unnest(v_items) as i
              where i.mode = 'chunk' and i.call_template_id <> all (v_trusted)),
          40, v_chunk_ms, v_path, v_margin, v_baseline, v_measured, v_backend);
        v_endings := v_run.attempt_results;
        v_leave := v_run.leave;
        if v_cost then
          v_measured := v_measured || v_run.call_template_ids;
        end if;
        if jobs_internal.call_templates_are_current(v_run.call_template_ids)
          and jobs_internal.finish_chunk(v_session, v_claim.lane_id, v_run.msg_ids, v_endings) then
          commit;
          v_limit := least(v_limit * 4, 1000);
          v_k := pg_catalog.array_position(v_claim.msg_ids,
              v_run.msg_ids[pg_catalog.cardinality(v_run.msg_ids)]) + 1;
          -- What was locked by others for a moment was passed over: what still carries our token
          -- goes back at the next claim.
          v_rest := v_rest or v_k - v_place > pg_catalog.cardinality(v_run.msg_ids);
          v_place := v_k;
          v_alone := false;
          -- No more is opened than is run: that depends on the subtransactions, and on the time
          -- that jobs take.
          v_width := case when not v_run.plain then least(v_width * 4, 40)
            when pg_catalog.cardinality(v_run.msg_ids) < pg_catalog.cardinality(v_items)
            then greatest(pg_catalog.cardinality(v_run.msg_ids), 20)
              else least(v_width * 2, v_chunk_jobs) end;
        else
          -- One of them, or its function, is not what it was when the chunk began: undo them all
          -- and run them one by one, where each answers for itself.
          rollback;
          perform jobs_internal.reset_session(v_baseline);
          commit;
          v_alone := true;
          v_endings := '{}';
          v_run := null;
          v_leave := false;
        end if;
      end if;

      v_ran := 0;
      if pg_catalog.cardinality(v_endings) > 0 then
        v_jobs := v_jobs + pg_catalog.cardinality(v_endings);
        v_ending := v_endings[pg_catalog.cardinality(v_endings)];
        v_ran := coalesce(extract(epoch from v_ending.finished_at - v_ending.started_at) * 1000, 0);
        v_lessons := jobs_internal.collect_run_stats(v_claim.lane_id, v_endings,
            pg_catalog.current_setting('pyworker.renames', true) = 'on');
        v_learned := v_learned || v_lessons;
        if v_run.needs_savepoint is not null or v_run.plain is not true then
          foreach v_lesson in array v_lessons loop
            continue when v_lesson.call_template_id is null;
            v_k := pg_catalog.array_position(v_tried, v_lesson.call_template_id);
            if v_k is null then
              v_tried := v_tried || v_lesson.call_template_id;
              v_tries := v_tries || 0::bigint;
              v_k := pg_catalog.cardinality(v_tried);
            end if;
            v_was_trusted := v_tries[v_k] >= 20;
            v_tries[v_k] := case when v_lesson.failed > 0
              or v_lesson.call_template_id = v_run.needs_savepoint or v_tries[v_k] < 0 then -1
              else v_tries[v_k] + v_lesson.runs end;
            -- A session may see thousands of functions once each: the list is not made anew for
            -- those.
            if v_was_trusted and v_tries[v_k] < 0 then
              v_trusted := pg_catalog.array_remove(v_trusted, v_lesson.call_template_id);
            elsif not v_was_trusted and v_tries[v_k] >= 20 then
              v_trusted := v_trusted || v_lesson.call_template_id;
            end if;
          end loop;
        end if;
        if pg_catalog.current_setting('pyworker.renames', true) = 'on' then
          perform pg_catalog.set_config('pyworker.renames', '', false);
        end if;
      end if;
      v_run := null;
      if v_ran > 100 and jobs_internal.shutting_down() then
        v_leave := true;
      end if;
      -- The rest of the claim went back before a job of unknown duration, and goes back after a
      -- long one.
      exit when v_limit = 1;
      if v_ran > 1000 or pg_catalog.clock_timestamp() > v_until then
        v_rest := true;
        exit;
      end if;
    end loop;
    if v_small > 3 and v_limit > 1 and not v_leave then
      -- Short jobs come in steadily. Each claim and each chunk waits for the disk, as those do who
      -- enqueue: a few more at a time are a gain for all.
      v_napped := pg_catalog.clock_timestamp();
      -- its claim is worked off: what signals may end is this
      perform pg_catalog.set_config('application_name', 'pw nap', false);
      begin
        perform pg_catalog.pg_sleep(0.005);
      exception
        when query_canceled then
          v_leave := pg_catalog.clock_timestamp() >= v_napped;  -- as above
      end;
      commit;
    end if;
  end loop;
  perform pg_catalog.set_config('application_name', 'pw end', false);
  perform jobs_internal.close_session(v_session, v_learned);
  commit;
end
$$;
