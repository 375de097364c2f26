-- Watching a child session until it ends.

-- Press the child of the calling session, which has run for longer than its job may: the server's
-- own limit fires once, and a job may have trapped it. To be called in two transactions: the first
-- notes the reason, the others send what the ladder says. Writes: stop_request.
create or replace function jobs_internal.signal_late_child(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  if exists (select from jobs_internal.stop_request as x where x.job_id = p_job
      and x.attempt = p_attempt)
    then
    perform jobs_internal.send_stop_signals(p_job) from jobs_internal.session as s
      where s.id = p_session
      and s.job_id = p_job and s.attempt = p_attempt;
  else
    insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
    select j.id, j.attempt, 'timed_out', session_user
    from jobs_internal.job as j
    where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session
      and j.state = 'running'
      and j.started_at + j.timeout <= clock_timestamp()
    on conflict do nothing;
  end if;
end
$$;

-- Whether a child waits because its messages are not read.
create or replace function jobs_internal.child_is_stuck(p_pid integer)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_stat_get_activity(p_pid) as a
    where a.wait_event in ('MessageQueueSend', 'MessageQueuePutMessage')
      and a.usesysid = jobs_internal.caller());
end;

-- Watch a child session until it has ended. It waits briefly at first and longer each time, so that
-- short statements end at once and long ones cost nothing. Commits after each look.
-- p_result: with the outcome 'left', if this session is to leave; the child goes on.
create or replace procedure jobs_internal.watch_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_gone boolean := false;
  v_looked timestamptz;
  v_seconds double precision := 0.002;
  v_cancels boolean := false;
  -- the first look comes soon: until then nothing is shown
  v_seen_at timestamptz := pg_catalog.clock_timestamp() - interval '0.7 seconds';
  v_learns boolean := p_item.task is not distinct from 'create index concurrently';
  -- A wait holds a snapshot: what waits for snapshots should not have to wait for it.
  v_part constant double precision
    := case when p_item.task is null or p_item.task ~ 'concurrently' then 20 else 5 end;
begin
  while not v_gone loop
    v_looked := pg_catalog.clock_timestamp();
    begin
      v_gone := jobs_internal.await_child(p_child, v_seconds);
      if v_learns and not v_gone then
        v_learns := not jobs_internal.note_index(p_session, p_item.job_id, p_child.pid);
      end if;
      if not v_gone and v_seconds >= 0.05 then
        if p_item.statement is not null
          and pg_catalog.clock_timestamp()
            not between v_seen_at and v_seen_at + interval '0.95 seconds'
        then
          v_seen_at := pg_catalog.clock_timestamp();
          begin
            v_cancels := jobs_internal.look_at_operation(p_session, p_item.job_id, p_item.attempt,
                p_child.pid);
          exception
            when query_canceled then
              raise;
            when others then
              v_cancels := false;  -- a full disk, say: the child is watched all the same
          end;
        end if;
        if not p_child.noted then
          p_child := jobs_internal.note_watched_child(p_session, p_item, p_child);
        end if;
        if pg_catalog.clock_timestamp() > p_result.started_at
          + (p_item.timeout_ms + p_margin_ms) * interval '1 ms' then
          -- The server's own limit has fired and it goes on, and no supervisor sees to it: the
          -- watcher does.
          perform jobs_internal.signal_late_child(p_session, p_item.job_id, p_item.attempt);
        end if;
        if not p_child.let_go and p_child.noted and jobs_internal.child_is_stuck(p_child.pid) then
          -- Its messages fill the queue that cannot be read without holding a snapshot: let go of
          -- it, so that it goes on. The price is its error details; the post-condition, or
          -- in_doubt, decides. What a CALL sends may be its row, the last that it does: that is
          -- read.
          p_child.let_go := true;
          if p_child.columns is null then
            perform jobs_internal.detach_child(p_child.pid, p_child.cookie);
          else
            p_child.sent := jobs_internal.read_call(p_child.pid, p_child.cookie, p_child.columns);
            p_child.has_sent := not pg_catalog.jsonb_exists(p_child.sent, 'unread')
              or p_child.sent ->> 'unread' ~ '^it has more than [0-9]+ bytes$';
          end if;
        end if;
      end if;
    exception
      when query_canceled then
        -- The watcher was signalled, not the child. With a reason: the supervisor signals the child
        -- as well. Without one: leave; the child is found by its pid and start. Where the clock was
        -- set back while it waited, it was only woken up (wake_after_clock_step).
        if pg_catalog.clock_timestamp() >= v_looked
          and jobs_internal.why_stopped(p_item.job_id, p_item.attempt) is null then
          p_result.outcome := 'left';
          v_gone := true;
        end if;
    end;
    -- What runs for long is looked at less often. The end of the child ends the wait; nor does it
    -- sleep through its deadline.
    v_seconds := least(v_seconds * 1.5, greatest(0.05, least(1.0,
          extract(epoch from pg_catalog.clock_timestamp() - p_result.started_at) / v_part,
          case when extract(epoch from p_result.started_at - pg_catalog.clock_timestamp()
                + (p_item.timeout_ms + p_margin_ms) * interval '1 ms') < 1.0
            then 0.05 end)));
    commit;
    if v_cancels and not v_gone then
      -- the reason is committed
      perform pg_catalog.pg_cancel_backend(p_child.pid);
      v_cancels := false;
    end if;
  end loop;
end
$$;

-- Wait some seconds for a child; true when it has ended.
create or replace function jobs_internal.await_child(p_child jobs_internal.child_state,
    p_seconds double precision)
returns boolean
language plpgsql volatile
as $$
begin
  if p_child.let_go then
    if not jobs_internal.alive(p_child.pid, p_child.started_at) then
      return true;
    end if;
    perform pg_catalog.pg_sleep(p_seconds);
    return false;
  end if;
  return jobs_internal.wait_child(p_child.pid, p_child.cookie, (p_seconds * 1000)::integer + 1);
end
$$;

-- Note the index that a child is building; true once there is one.
create or replace function jobs_internal.note_index(p_session bigint, p_job bigint, p_pid integer)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_index oid := jobs_internal.index_of_child(p_pid);
begin
  if v_index is not null then
    perform jobs_internal.store_made_index(p_session, p_job, v_index);
  end if;
  return v_index is not null;
end
$$;

-- Note a child that could not be noted at its start, because the disk was full.
create or replace function jobs_internal.note_watched_child(p_session bigint,
    p_item jobs_internal.work_item, p_child jobs_internal.child_state)
returns jobs_internal.child_state
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  p_child.started_at := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt,
      p_child.pid);
  p_child.noted := p_child.started_at is not null;
  return p_child;
exception
  when insufficient_resources or io_error or system_error then
    return p_child;
end
$$;
