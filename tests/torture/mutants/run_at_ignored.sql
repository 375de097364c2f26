-- What is for later is run now, and so is what should wait before its next attempt.

-- Replaces jobs_internal.move_due, md5 3c4416ae71d32036dd096efbae8edb28.
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
    where (p_owner is null or f.owner = p_owner)
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

-- Replaces jobs_internal.move_due_of, md5 77bcf890ae487f10098af35923ce2e42.
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
      where j.owner = p_owner and j.due_at is not null
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
