-- How many worker sessions each owner should have: what its work could use. How many of those gain
-- something is for the supervisor to say, which sees them over time.

-- What the worker sessions that live do, for each owner: how many there are, how many run a job
-- alone, and of those how many for some time (occupied): a second, or a fifth of one where it has a
-- child; how many do jobs (working) and wait for nothing (moving), a watcher of a child left out;
-- for each that works on a claim, its lane and how many messages it has claimed.
create or replace function jobs_internal.sessions_at_work()
returns table (
  owner oid,
  active integer,
  alone integer,
  occupied integer,
  working integer,
  moving integer,
  lane_ids integer[],
  claimed integer[]
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.owner, count(*)::integer, count(s.job_id)::integer,
    (count(*) filter (where j.started_at < clock_timestamp()
      - case when j.child_pid is null then interval '1 second' else interval '0.2 seconds' end
    ))::integer,
    (count(*) filter (where b.samples))::integer,
    (count(*) filter (where b.samples and a.wait_event is null))::integer,
    array_agg(s.lane_id) filter (where b.claims),
    array_agg(cardinality(s.msg_ids)) filter (where b.claims)
  from jobs_internal.session as s
  join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  left join lateral (
    select o.started_at, o.child_pid from jobs_internal.job as o where o.id = s.job_id offset 0
  ) as j on true
  cross join lateral (
    select s.msg_ids is not null and s.job_id is null as claims,
      (s.msg_ids is not null or s.job_id is not null) and j.child_pid is null
        and a.state is not null as samples
  ) as b
  group by s.owner;
end;

-- How many worker sessions an owner should have now: for each lane as many as do what is due and
-- what is claimed in a tenth of a second, and where it is not known how long its jobs take one more
-- than work; besides those that run a job alone. No more than the slots of the queues, than the
-- setting sessions_per_owner and the owner's quota. A server without a free worker slot refuses the
-- launch itself. Owners without due jobs are listed too while sessions of theirs live, so that a
-- supervisor sees those that it launched. Of a lane 200 messages are counted at most, whatever its
-- backlog; what sessions have claimed stands before them and is passed over.
--   alone, occupied: sessions that run a job alone, and those of them that have run it for some
--     time: they take nothing else, and what they need is known
--   working, moving: sessions that do jobs just now, and those of them that wait for nothing; a
--     child's watcher and what cannot be seen are left out. What a supervisor makes of them:
--     pyworker/supervisor/session_limit.py
--   in_chunks: sessions that work on a claim: they come to the other lanes by themselves
--   lanes, new_lanes: where something is due; those of them whose jobs' duration is not known
create or replace function jobs_internal.session_demand()
returns table (
  owner name,
  session_demand integer,
  active_sessions integer,
  alone integer,
  occupied integer,
  working integer,
  moving integer,
  in_chunks integer,
  lanes integer,
  new_lanes integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_owner record;
  v_lane record;
  v_due bigint;
  v_first bigint;
  v_claimed bigint;
  v_busy bigint;
  v_lanes integer[];  -- those where something is due
  v_sum integer;
  v_free integer;
  v_limit integer := jobs_internal.setting('sessions_per_owner')::integer;
  v_short double precision := jobs_internal.setting('short_ms')::double precision;
  v_most integer;
  v_but text[] := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes'
      and jobs_internal.is_future(f.retry_at));
  v_rested integer := 0;
begin
  if (select s.paused from jobs_internal.switch as s) then
    return;
  end if;
  perform jobs_internal.wake_lanes();
  for v_owner in
    select r.oid, r.rolname, least(v_limit, jobs_internal.most_sessions(r.oid)) as most,
      coalesce(w.active, 0) as active, coalesce(w.alone, 0) as alone,
      coalesce(w.occupied, 0) as occupied, coalesce(w.working, 0) as working,
      coalesce(w.moving, 0) as moving, w.lane_ids, w.claimed
    from pg_roles as r
    left join jobs_internal.sessions_at_work() as w on w.owner = r.oid
    where (w.owner is not null
        or r.oid in (select l.owner from jobs_internal.lane as l where l.idle_state <> 'idle'))
      and jobs_internal.is_runner(r.oid) and not jobs_internal.is_refused(r.oid)
  loop
    v_most := v_owner.most;
    v_sum := 0;
    v_lanes := '{}';
    new_lanes := 0;
    for v_lane in
      select l.id, l.pgmq_queue, l.avg_ms, l.scan_start, l.scan_start_at, l.served_at,
        q.concurrency, q.id as queue_id, q.rate_period,
        case when q.rate_by is null then q.rate_limit end as rate_limit
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where l.owner = v_owner.oid and l.idle_state <> 'idle' and l.quarantine is null
        and not q.paused and q.removed_at is null
        and (q.window_name is null or jobs_internal.window_is_open(q.window_name))
        and l.id::text <> all (v_but)
    loop
      if v_lane.scan_start > 0 and v_rested < 12
        and v_lane.scan_start_at
          not between clock_timestamp() - interval '1 second' and clock_timestamp() then
        v_lane.scan_start := jobs_internal.find_scan_start(v_lane.id, v_lane.scan_start);
        v_rested := v_rested + 1;  -- each is a subtransaction
      end if;
      begin
        execute format('select count(*), min(d.msg_id) from (select m.msg_id from pgmq.%I as m '
          'where m.msg_id > $1 and m.vt <= clock_timestamp() order by m.msg_id limit 200) as d',
          'q_' || v_lane.pgmq_queue)
        into v_due, v_first using v_lane.scan_start;
      exception
        when undefined_table then
          v_due := 0;  -- its queue was dropped meanwhile
        when lock_not_available then
          perform jobs_internal.note_failure('lanes', v_lane.id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_owner.oid);
          continue;
      end;
      if v_but <> '{}' or exists (select from jobs_internal.duty_failure as f where f.duty = 'lanes'
          and f.item = v_lane.id::text) then
        perform jobs_internal.clear_failure('lanes', v_lane.id::text);
      end if;
      if v_due = 200 then
        -- Not counted to the end: the numbers of its messages say what there is at most.
        v_due := greatest(v_due, pg_sequence_last_value(to_regclass('pgmq.q_' || v_lane.pgmq_queue
                || '_msg_id_seq')) - v_first + 1);
      end if;
      if v_due = 0 then
        if v_lane.served_at < clock_timestamp() - interval '5 seconds' and v_rested < 12 then
          perform jobs_internal.set_lane_idle(v_lane.id);
          v_rested := v_rested + 1;
        end if;
        continue;
      end if;
      if v_lane.rate_limit is not null then
        -- A session that waits for the next start is there when that is near (claim).
        continue when jobs_internal.next_start(v_lane.queue_id, v_lane.rate_limit,
            v_lane.rate_period, null) > clock_timestamp() + interval '2 seconds';
        v_due := least(v_due, 1 + ceil(0.2 * v_lane.rate_limit
              / extract(epoch from v_lane.rate_period)))::bigint;
      end if;
      v_lanes := v_lanes || v_lane.id;
      new_lanes := new_lanes + (v_lane.avg_ms is null)::integer;
      select coalesce(sum(c.jobs), 0), count(*) into v_claimed, v_busy
      from unnest(v_owner.lane_ids, v_owner.claimed) as c(lane_id, jobs)
      where c.lane_id = v_lane.id;
      -- Where it is not known how long they take: one more session in each round. Otherwise those
      -- at work take the rest as well, if it is little. A session needs some time for each job
      -- beside the job's own: 0.06 ms in a chunk, and a commit or two where it runs alone.
      v_due := case when v_lane.avg_ms is null then v_busy + 1
        else greatest(1, least(v_due + v_claimed, ceil((v_due + v_claimed)
                * (v_lane.avg_ms + case when v_lane.avg_ms < v_short then 0.06 else 1 end)
                / 100))) end;
      if v_lane.concurrency is not null then
        v_free := jobs_internal.unused_slots(v_lane.queue_id, v_lane.concurrency);
        if v_free > 0 and v_lane.concurrency > 1
          and jobs_internal.is_shared(v_lane.queue_id, v_owner.oid) then
          -- Not the last one of a shared queue (take_slot).
          v_free := greatest(0, least(v_free, v_lane.concurrency - 1 - (
            select count(*) from jobs_internal.slot as t
            join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)));
        end if;
        -- An owner who has no slot at all needs a session that waits for one (take_slot); as many
        -- owners as there are slots wait at a time.
        if v_free = 0 and v_busy = 0 and not exists (
            select from jobs_internal.slot as t
            join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)
          and v_lane.concurrency > (select count(*) from jobs_internal.waiters(v_lane.queue_id) as w
              where w.owner <> v_owner.oid)
        then
          v_free := 1;
        end if;
        v_due := least(v_due, v_free + v_busy);
      end if;
      v_sum := v_sum + least(v_due, v_most)::integer;
      exit when v_sum >= v_most;
    end loop;
    owner := v_owner.rolname;
    active_sessions := v_owner.active;
    alone := v_owner.alone;
    occupied := v_owner.occupied;
    working := v_owner.working;
    moving := v_owner.moving;
    in_chunks := coalesce(cardinality(v_owner.lane_ids), 0);
    lanes := cardinality(v_lanes);
    -- Sessions that live and are idle take the new work themselves; those that run a job alone, or
    -- work for other lanes, do not.
    session_demand := least(v_most, v_sum + v_owner.alone + (
        select count(*) from unnest(v_owner.lane_ids) as c(lane_id)
        where c.lane_id <> all (v_lanes)))::integer;
    if v_sum = 0 then
      session_demand := 0;
    end if;
    if v_sum > 0 or active_sessions > 0 then
      return next;
    end if;
  end loop;
end
$$;

-- How many jobs are queued, up to 1,000, by the messages of the lanes that are not idle: in the
-- table of jobs those would have to be looked for among all that are scheduled. 1 where it is not
-- known: there are too many lanes to look at, or one is locked as a whole.
create or replace function jobs_internal.count_queued()
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_lane record;
  v_looks integer := 0;
  v_here bigint;
  v_count bigint := 0;
begin
  for v_lane in
    select l.pgmq_queue, l.scan_start from jobs_internal.lane as l
    where l.idle_state <> 'idle' and not jobs_internal.is_put_off('lanes', l.id::text)
    order by l.served_at desc
    limit 101
  loop
    v_looks := v_looks + 1;
    exit when v_count >= 1000;
    if v_looks > 100 then
      return greatest(v_count, 1);
    end if;
    continue when to_regclass('pgmq.q_' || v_lane.pgmq_queue) is null;
    execute format('select count(*) from (select from pgmq.%I as m where m.msg_id > $1 '
      'order by m.msg_id limit $2) as d', 'q_' || v_lane.pgmq_queue)
    into v_here using v_lane.scan_start, 1000 - v_count;
    v_count := v_count + v_here;
  end loop;
  return v_count;
exception
  when undefined_table or lock_not_available then
    return greatest(v_count, 1);
end
$$;

-- The roles that a supervisor serves by default: members of jobs_runner that can log
-- in and whose jobs are not refused.
create or replace function jobs_internal.runners()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
begin atomic
  select r.rolname::text
  from pg_roles as r
  where r.rolcanlogin and jobs_internal.is_runner(r.oid) and not jobs_internal.is_refused(r.oid)
  order by r.rolname;
end;
