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

-- Replaces jobs_internal.move_due_of, md5 c2af9bff5c7f628f69299c3d3c4fdd57.
create or replace function jobs_internal.move_due_of(p_owner oid, p_lane integer, p_but integer[],
    p_limit integer, p_duty boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v_lane record;
  v_ids bigint[];
  v_msg_ids bigint[];
  v_count integer := 0;
begin
  for v_lane in
    with due as (
      select j.id, j.queue_id, j.owner, j.priority
      from jobs_internal.job as j
      where j.due_at is not null and j.owner = p_owner
        -- What has no lane, or one that fails, does not count: it would keep all others from their
        -- turn.
        and exists (select from jobs_internal.lane as o where o.queue_id = j.queue_id
            and o.owner = j.owner and o.priority = j.priority
          and o.id <> all (p_but) and (p_lane is null or o.id = p_lane))
      order by j.due_at
      limit p_limit
      for update skip locked
    )
    select l.id, l.pgmq_queue, array_agg(d.id order by d.id) as ids
    from due as d
    join jobs_internal.lane as l on l.queue_id = d.queue_id and l.owner = d.owner
      and l.priority = d.priority
    group by l.id, l.pgmq_queue
  loop
    v_ids := v_lane.ids;
    v_msg_ids := array(select m from pgmq.send_batch(v_lane.pgmq_queue,
      array(select jsonb_build_object('job', u.id) from unnest(v_ids) with ordinality as u(id, n)
          order by u.n)) as m);
    update jobs_internal.job as j
    set state = 'queued', due_at = null, lane_id = v_lane.id, msg_id = u.msg_id
    from unnest(v_ids, v_msg_ids) as u(id, msg_id)
    where j.id = u.id;
    perform jobs_internal.wake(v_lane.id);
    if p_duty then
      perform jobs_internal.clear_failure('dispatch', v_lane.id::text);
    end if;
    v_count := v_count + cardinality(v_ids);
  end loop;
  return v_count;
end
$$;
