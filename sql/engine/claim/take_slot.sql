-- Who gets the next slot of a queue.

-- The sessions that wait for a slot of a queue. One that waits asks all the time; one that asks no
-- more, and only lives, is none.
create or replace function jobs_internal.waiters(p_queue integer)
returns setof jobs_internal.session
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.* from jobs_internal.session as s where s.waits_for = p_queue
    and s.asked_at > clock_timestamp() - interval '2 seconds';
end;

-- Owners other than a session's who have no slot of a queue at all and a session that waits for
-- one, for longer than this session does.
create or replace function jobs_internal.slotless_owners(p_session bigint, p_queue integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.session as w where w.waits_for = p_queue
      and w.id <> p_session) then
    return 0;
  end if;
  return (
    select count(distinct w.owner)
    from jobs_internal.waiters(p_queue) as w
    join jobs_internal.session as i on i.id = p_session and i.owner <> w.owner
    where (i.waits_for is distinct from p_queue or w.waits_since < i.waits_since)
      and jobs_internal.alive(w.pid, w.backend_start)
      and not exists (
        select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
        where s.queue_id = p_queue and h.owner = w.owner));
end
$$;

-- Whether a queue is shared: another owner than this one has a lane in it, and not only one that
-- was made ahead of its first job.
create or replace function jobs_internal.is_shared(p_queue integer, p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.lane as l where l.queue_id = p_queue
      and l.owner <> p_owner and l.served_at > '-infinity');
end;

-- Whether a session of an owner holds this slot.
create or replace function jobs_internal.slot_is_owned(p_queue integer, p_n integer, p_owner oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
    where s.queue_id = p_queue and s.n = p_n and h.owner = p_owner);
end;

-- Be the only session of an owner that takes the first or the last slot of a queue, until the
-- transaction ends. What locks the owner out is a row of its own: a claim that stays open keeps no
-- slot from others but the one that it takes. Under an isolation level whose snapshot may be old
-- it is always false. Locks: lane (one of the owner in the queue, skip locked).
create or replace function jobs_internal.takes_edge(p_queue integer, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  perform from jobs_internal.lane as l
  where l.id = (select min(o.id) from jobs_internal.lane as o where o.queue_id = p_queue
      and o.owner = p_owner)
  for no key update skip locked;
  return found;
end
$$;

-- Take a slot of a queue for a session. Returns false when none is free. A slot belongs to a
-- session until it claims elsewhere, or until there is an owner who waits and has none: the next
-- session that claims leaves it its own, so that no flood keeps others from starting. In a shared
-- queue of two slots and more no owner holds them all, so that what others have is not behind its
-- long jobs: no session takes the first while its owner holds the last, nor the other way round,
-- and one session of an owner at a time takes one of them (takes_edge).
-- Locks: slot (skip locked), lane (skip locked).
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
  if p_concurrency is null then
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
