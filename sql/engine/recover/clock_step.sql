-- What a clock that was set back would hide.

-- After the server's clock was set back, what entered a lane before would stay out of sight until
-- the clock is there again. No message waits longer than a lease: one that would is visible now, as
-- if its lease were over. Nor do the signals of a reason to stop wait. A step is noticed every ten
-- seconds, and at once when the last look lies in the future. To find the messages a lane is read
-- as a whole, so that is done only where the clock may have been set back by a minute or more: by
-- less, none waits for longer than a lease and that minute. It is done for half a second in a
-- round. Where there is more to do, the last look is said to lie in the future, and the session
-- remembers when, and the lane that it came to (pyworker.clock_lane): so it goes on there if it was
-- the last to look, and another supervisor begins anew.
-- Locks: server (skip locked), stop_request (skip locked), message (skip locked).
create or replace function jobs_internal.repair_clock_step()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_lane record;
  v_looked_at timestamptz := (select v.clock from jobs_internal.server as v);
  v_until timestamptz := clock_timestamp() + interval '0.5 seconds';
  v_latest timestamptz := clock_timestamp()
    + make_interval(secs => jobs_internal.setting('lease_seconds')::double precision + 60);
  v_came_to text[] := string_to_array(current_setting('pyworker.clock_lane', true), '|');
  v_after integer := case when v_came_to[2] = v_looked_at::text then v_came_to[1] else '0' end;
  v_count integer;
  v_more boolean := false;
  v_locked boolean := false;
begin
  update jobs_internal.stop_request as o
  set requested_at = clock_timestamp(), signalled_at = least(o.signalled_at, clock_timestamp())
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop_request as x
    where x.requested_at > clock_timestamp() + interval '1 minute' for update skip locked));
  if v_looked_at between clock_timestamp() - interval '10 seconds' and clock_timestamp() then
    return;
  end if;
  update jobs_internal.server set clock = clock_timestamp()
    where id = (select v.id from jobs_internal.server as v for update skip locked);
  if not found  -- another supervisor looks
    or v_looked_at between clock_timestamp() - interval '1 minute' and clock_timestamp()
  then
    return;
  end if;
  perform jobs_internal.follow_clock();
  for v_lane in
    select l.id, l.pgmq_queue from jobs_internal.lane as l
    where l.idle_state <> 'idle' and l.id > v_after
      and to_regclass('pgmq.q_' || l.pgmq_queue) is not null
    order by l.id
  loop
    v_more := not jobs_internal.has_room(v_until);
    exit when v_more;
    begin
      execute format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp() where m.msg_id = any (array('
        '  select q.msg_id from pgmq.%1$I as q where q.vt > $1 limit 5000 for update skip locked))',
        'q_' || v_lane.pgmq_queue)
      using v_latest;
      get diagnostics v_count = row_count;
      v_more := v_count = 5000;
      exit when v_more;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
      when lock_not_available then
        v_locked := true;  -- as a whole, by another session: it keeps no other lane waiting
    end;
    v_after := v_lane.id;
  end loop;
  if v_more or v_locked then
    update jobs_internal.server set clock = clock_timestamp() + interval '1 day'
    returning clock into v_looked_at;
    perform set_config('pyworker.clock_lane',
        case when v_more then v_after || '|' || v_looked_at end, false);
  end if;
end
$$;

-- Wake the sessions that were in pg_sleep when the clock was set back: it waits by the wall
-- clock, and would go on for as long as the step was. They are known by a transaction that began in
-- the future. Only those are signalled that run no job (and say so, where the claim that they have
-- worked off is still on their row), or watch a child, noted or about to be: a job may sleep as
-- it likes. A launch that is hit finds its child or begins again, uncharged. Whose child has ended
-- and who does not sleep looks at what it left, and would lose the job's end. With its row locked a
-- session cannot start a job before the signal is there. Returns how many.
-- Locks: session (skip locked).
create or replace function jobs_internal.wake_after_clock_step()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_pid integer;
  v_count integer := 0;
begin
  for v_id in
    select s.id from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.xact_start > clock_timestamp() + interval '1 second'
  loop
    perform from jobs_internal.session as s where s.id = v_id for update skip locked;
    continue when not found;
    perform pg_stat_clear_snapshot();
    select s.pid into v_pid
    from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.id = v_id and a.xact_start > clock_timestamp() + interval '1 second'
      and (s.job_id is null and (s.msg_ids is null or a.application_name = 'pw nap')
        or exists (select from jobs_internal.job as j where j.id = s.job_id
          and case when j.child_pid is null then jobs_internal.is_watched(j.id)
            else a.wait_event = 'PgSleep' or jobs_internal.alive(j.child_pid, j.child_start)
            end));
    if found then
      v_count := v_count + jobs_internal.signal(v_pid, false, 'session ' || v_id, null)::integer;
    end if;
  end loop;
  return v_count;
end
$$;
