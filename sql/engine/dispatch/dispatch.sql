-- Moving due jobs into their lanes.

-- Move due jobs of one owner into their lanes, or have them wait for what an option of theirs says
-- (pass_gates). p_lane null: into all of them but those named in p_but. p_duty: a supervisor's duty
-- does it, whose failures end with this. Returns of how many it decided.
-- Locks: job (skip locked).
create or replace function jobs_internal.move_due_of(p_owner oid, p_lane integer, p_but integer[],
    p_limit integer, p_duty boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_lane record;
  v_msg_ids bigint[];
  v_count integer := 0;
  -- What has no lane, or one that fails, does not count: it would keep all others from their turn.
  -- Asked as a list and not as a join, so that the jobs are read by the index in their order, and
  -- no more than are moved: not all that is due, sorted.
  v_places bigint[] := array(
    select o.queue_id::bigint * 4 + o.priority from jobs_internal.lane as o
    where o.owner = p_owner and o.id <> all (p_but) and (p_lane is null or o.id = p_lane));
begin
  for v_lane in
    with due as (
      select j.id, j.queue_id, j.priority, jobs_internal.is_gated(j.options) as gated
      from jobs_internal.job as j
      where j.due_at <= clock_timestamp() and j.owner = p_owner
        and j.queue_id::bigint * 4 + j.priority = any (v_places)
      order by j.due_at
      limit p_limit
      for update skip locked
    )
    select l.id, l.pgmq_queue, d.ids, d.gated
    from (select a.queue_id, a.priority, array_agg(a.id order by a.id) as ids,
          bool_or(a.gated) as gated
        from due as a
        group by a.queue_id, a.priority) as d
    join jobs_internal.lane as l on l.queue_id = d.queue_id and l.owner = p_owner
      and l.priority = d.priority
  loop
    v_count := v_count + cardinality(v_lane.ids);
    if v_lane.gated then
      v_lane.ids := jobs_internal.pass_gates(v_lane.ids);
      continue when v_lane.ids = '{}';
    end if;
    v_msg_ids := jobs_internal.send_messages(v_lane.pgmq_queue, v_lane.ids);
    update jobs_internal.job as j
    set state = 'queued', due_at = null, lane_id = v_lane.id, msg_id = u.msg_id
    from unnest(v_lane.ids, v_msg_ids) as u(id, msg_id)
    where j.id = u.id;
    perform jobs_internal.wake(v_lane.id);
    if p_duty then
      perform jobs_internal.clear_failure('dispatch', v_lane.id::text);
    end if;
  end loop;
  return v_count;
end
$$;

-- Move due jobs into their lanes, in turn by owner: what one has due does not keep another from its
-- turn. Each gets an equal share of p_limit, and what some leave goes to those that have more.
-- p_owner null: of all owners; p_lane null: into all lanes but those named in p_but. Returns how
-- many. Locks: job (skip locked).
create or replace function jobs_internal.move_due(p_owner oid, p_lane integer, p_but integer[],
    p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_owners oid[] := array(
    select f.owner from jobs_internal.first_due() as f
    where f.due_at <= clock_timestamp() and (p_owner is null or f.owner = p_owner)
    order by f.due_at);
  v_more oid[];
  v_share integer;
  v_moved integer;
  v_count integer := 0;
begin
  while cardinality(v_owners) > 0 and v_count < p_limit loop
    v_share := greatest(1, (p_limit - v_count) / cardinality(v_owners));
    v_more := '{}';
    foreach v_owner in array v_owners loop
      exit when v_count >= p_limit;
      v_moved := jobs_internal.move_due_of(v_owner, p_lane, p_but, v_share, p_owner is null);
      v_count := v_count + v_moved;
      if v_moved >= v_share then
        v_more := v_more || v_owner;
      end if;
    end loop;
    v_owners := v_more;
  end loop;
  return v_count;
end
$$;

-- Make the lanes that due jobs need, and move the jobs into their lanes. p_owner null: of all
-- owners. All at once; where that fails, lane by lane, so that the one that fails (its table is
-- locked, or gone) is known and left out for a while. Returns how many. Locks: job (skip locked).
create or replace function jobs_internal.dispatch(p_owner oid default null,
    p_limit integer default 5000)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane record;
  v_count integer := 0;
  v_but integer[];
  v_until timestamptz;
begin
  if not exists (select from jobs_internal.first_due() as f where f.due_at <= clock_timestamp())
    then
    return 0;
  end if;
  perform jobs_internal.make_lanes(p_owner);
  if p_owner is not null then
    return jobs_internal.move_due(p_owner, null, '{}', p_limit);
  end if;
  v_but := array(select f.item::integer from jobs_internal.duty_failure as f
      where f.duty = 'dispatch' and jobs_internal.is_future(f.retry_at));
  begin
    return jobs_internal.move_due(null, null, v_but, p_limit);
  exception
    when others or query_canceled then
      null;  -- which lane it was is seen below
  end;
  v_until := clock_timestamp() + interval '0.5 seconds';
  for v_lane in
    select l.id, l.queue_id, l.owner from jobs_internal.lane as l
    left join jobs_internal.duty_failure as f on f.duty = 'dispatch' and f.item = l.id::text
    where l.id <> all (v_but) and l.id in (
      select o.id from jobs_internal.job as j
      join jobs_internal.lane as o on o.queue_id = j.queue_id and o.owner = j.owner
        and o.priority = j.priority
      where j.due_at <= clock_timestamp())
    order by f.retry_at nulls first, l.id
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      v_count := v_count + jobs_internal.move_due(null, v_lane.id, '{}', p_limit);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('dispatch', v_lane.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_lane.owner);
    end;
  end loop;
  return v_count;
end
$$;

-- Move the caller's due jobs into their lanes, and those that wait for a window that is open, so
-- that jobs.start needs no tick.
create or replace function jobs_internal.dispatch_mine()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.release_waiting(jobs_internal.caller());
  return jobs_internal.dispatch(jobs_internal.caller(), 1000000);
end
$$;
