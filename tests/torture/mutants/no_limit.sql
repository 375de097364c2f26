-- A queue runs as many jobs at once as there are sessions.

-- Replaces jobs_internal.take_slot, md5 b33dd6d003afde34c96d33af91e928ff.
create or replace function jobs_internal.take_slot(p_session bigint, p_queue integer,
    p_concurrency integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slotless bigint;
  v_owner oid;
  v_n integer;
  v_shared boolean := false;
begin
  if true then
    perform jobs_internal.free_slots(p_session);
    return true;
  end if;
  v_slotless := jobs_internal.slotless_owners(p_session, p_queue);
  select s.n into v_n from jobs_internal.slot as s where s.queue_id = p_queue
    and s.session_id = p_session and s.n <= p_concurrency;
  if found then
    if v_n = p_concurrency and v_n > 1 then
      -- It was the only owner when it took it, or the queue had more slots then.
      v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
      v_shared := jobs_internal.is_shared(p_queue, v_owner)
        and jobs_internal.slot_is_owned(p_queue, 1, v_owner);
    end if;
    if not v_shared and (v_slotless = 0
        or v_slotless <= jobs_internal.unused_slots(p_queue, p_concurrency)) then
      return true;
    end if;
    perform jobs_internal.free_slots(p_session);
    return false;
  end if;
  perform jobs_internal.free_slots(p_session);
  if jobs_internal.unused_slots(p_queue, p_concurrency) <= v_slotless then
    return false;
  end if;
  if p_concurrency > 1 then
    v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
    v_shared := jobs_internal.is_shared(p_queue, v_owner);
  end if;
  if not v_shared then
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.queue_id, f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
      order by f.n limit 1 for update skip locked
    ) as f
    where s.queue_id = f.queue_id and s.n = f.n;
    return found;
  end if;
  for v_n in
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
    order by f.n in (1, p_concurrency), f.n
  loop
    continue when v_n in (1, p_concurrency) and not jobs_internal.takes_edge(p_queue, v_owner);
    continue when v_n in (1, p_concurrency)
      and jobs_internal.slot_is_owned(p_queue, 1 + p_concurrency - v_n, v_owner);
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.n = v_n and f.session_id is null for update skip locked
    ) as f
    where s.queue_id = p_queue and s.n = f.n;
    if found then
      return true;
    end if;
  end loop;
  return false;
end
$$;
