-- What a dropped queue leaves behind. jobs.drop_queue only marks it: so its transaction may stay
-- open, no session that enqueues waits for it, and it waits for none. A job of a transaction that
-- had not seen the mark is accepted, and runs as any other; lanes and slots go after it.

-- Remove lanes and slots of dropped queues, in two rounds:
--   horizon noted: no snapshot is left that does not see the drop; who enqueued without seeing it
--     has a transaction number below horizon_xid
--   removed: all of those have ended, and no job of the queue is there
-- No session waits for it; a lane that another session uses just now goes in a later round.
-- Returns: steps taken. Locks: queue, lane, slot (skip locked), pgmq's queue lock. Writes: queue,
-- lane, slot.
create or replace function jobs_internal.remove_dropped_queues()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '50ms'
as $$
declare
  v record;
  v_lane record;
  v_steps integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  -- Numbers of another cluster, in a restored dump: no transaction of that one goes on here.
  update jobs_internal.queue as q set dropped_by = pg_current_xact_id(), horizon_xid = null
  where q.removed_at is null and greatest(q.dropped_by, q.horizon_xid) > pg_current_xact_id();
  for v in
    select q.id, q.dropped_by, q.horizon_xid from jobs_internal.queue as q
    where q.dropped_at is not null and q.removed_at is null
      and q.dropped_by <> pg_current_xact_id()
    order by q.id
    for no key update skip locked
  loop
    if v.horizon_xid is null then
      continue when jobs_internal.is_older_snapshot(v.dropped_by::xid);
      update jobs_internal.queue as q set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
      where q.id = v.id;
      v_steps := v_steps + 1;
      continue;
    end if;
    continue when v.horizon_xid > pg_snapshot_xmin(pg_current_snapshot())
      or exists (select from jobs_internal.job as j where j.queue_id = v.id);
    for v_lane in
      select l.id, l.pgmq_queue, l.owner from jobs_internal.lane as l
      where l.queue_id = v.id and not jobs_internal.is_put_off('lanes', l.id::text)
      order by l.id
    loop
      exit when not jobs_internal.has_room(v_until);
      begin
        delete from jobs_internal.lane as l
        where l.ctid = (select o.ctid from jobs_internal.lane as o where o.id = v_lane.id
            for update skip locked);
        continue when not found;
        perform pgmq.drop_queue(v_lane.pgmq_queue);
        v_steps := v_steps + 1;
        perform jobs_internal.clear_failure('lanes', v_lane.id::text);
      exception
        when others or query_canceled then
          perform jobs_internal.note_failure('lanes', v_lane.id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v.id, v_lane.owner);
      end;
    end loop;
    delete from jobs_internal.slot as s
    where s.ctid = any (array(select f.ctid from jobs_internal.slot as f where f.queue_id = v.id
          for update skip locked));
    if not exists (select from jobs_internal.lane as l where l.queue_id = v.id)
      and not exists (select from jobs_internal.slot as s where s.queue_id = v.id)
      and jobs_internal.drop_rate(v.id) then
      update jobs_internal.queue as q set removed_at = clock_timestamp() where q.id = v.id;
      v_steps := v_steps + 1;
    end if;
  end loop;
  return v_steps;
end
$$;
