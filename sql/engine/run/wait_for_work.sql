-- A worker session without work: it waits for the next job, or leaves.

-- After a claim that found nothing: wait until there is something new, or have the session leave
-- (p_state.leave). Commits before it waits and after.
create or replace procedure jobs_internal.wait_for_work(inout p_state jobs_internal.worker_state)
language plpgsql
as $$
declare
  v_until timestamptz;
begin
  p_state.small_claims := 0;
  -- the clock may have been set back
  p_state.idle_since := least(p_state.idle_since, pg_catalog.clock_timestamp());
  if p_state.start_at is not null then
    -- The next start of a queue's rate is near. One session is enough to wait for it, where none of
    -- them has had any for half a second.
    p_state.leave := p_state.surplus and pg_catalog.clock_timestamp()
      > p_state.idle_since + greatest(p_state.linger_ms * 0.1, 500) * interval '1 ms';
  elsif p_state.waiting and p_state.linger_ms = 0 then
    -- Started by hand, it leaves when all slots are taken: but not while one of them is about to be
    -- free. An open transaction does not keep it.
    p_state.leave := p_state.slots_settled
      or pg_catalog.clock_timestamp() > p_state.idle_since + interval '10 seconds';
    p_state.slots_settled := p_state.leave or jobs_internal.slots_settled();
  elsif pg_catalog.clock_timestamp()
      between p_state.held_until - interval '1.5 seconds' and p_state.held_until
  then
    null;  -- what it has just held back may be all that there is to do
  elsif not p_state.waiting and pg_catalog.clock_timestamp()
      > p_state.idle_since + p_state.linger_ms * interval '1 ms'
    -- What it holds back comes later than any linger: that needs no session.
    or p_state.held_until > p_state.idle_since and pg_catalog.clock_timestamp()
      > p_state.idle_since + p_state.linger_ms * interval '0.1 ms'
    -- One session without work is enough to be there at once for the next job.
    or p_state.surplus and pg_catalog.clock_timestamp()
      > p_state.idle_since + p_state.linger_ms * interval '0.1 ms'
  then
    p_state.leave := true;
  end if;
  if p_state.leave or jobs_internal.shutting_down() then
    p_state.leave := true;
    return;
  end if;
  commit;
  p_state.looked_at := pg_catalog.clock_timestamp();
  -- a start of a queue's rate that is free before is looked for then
  v_until := least(p_state.looked_at + interval '50 milliseconds', p_state.start_at);
  begin
    -- Until there is something new; a look in any case every 50 ms, for what came back or becomes
    -- visible only now.
    loop
      perform pg_catalog.pg_sleep(0.002);
      exit when pg_catalog.clock_timestamp() not between p_state.looked_at and v_until;
      -- What comes into a queue that has had its starts is no reason to look all the time.
      continue when pg_catalog.clock_timestamp()
        < p_state.looked_at + interval '10 milliseconds' and p_state.start_at is not null;
      exit when pg_catalog.clock_timestamp()
          between p_state.eager_until - interval '20 milliseconds' and p_state.eager_until;
      if jobs_internal.high_water_mark() is distinct from p_state.high_water_mark then
        p_state.eager_until := pg_catalog.clock_timestamp() + interval '20 milliseconds';
        exit;
      end if;
    end loop;
  exception
    -- Woken up because the clock was set back while it waited (wake_after_clock_step), or sent
    -- home.
    when query_canceled then
      p_state.leave := pg_catalog.clock_timestamp() >= p_state.looked_at;
  end;
  commit;
end
$$;

-- Short jobs come in steadily. Each claim and each chunk waits for the disk, as those do who
-- enqueue: a few more at a time are a gain for all. Commits.
create or replace procedure jobs_internal.wait_for_more(inout p_state jobs_internal.worker_state)
language plpgsql
as $$
declare
  v_began timestamptz := pg_catalog.clock_timestamp();
begin
  -- its claim is worked off: what signals may end is this
  perform pg_catalog.set_config('application_name', 'pw nap', false);
  begin
    perform pg_catalog.pg_sleep(0.005);
  exception
    when query_canceled then
      p_state.leave := pg_catalog.clock_timestamp() >= v_began;  -- as in wait_for_work
  end;
  commit;
end
$$;
