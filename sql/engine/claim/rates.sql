-- Rates of queues: how many of its jobs start in a period.
--
-- A queue with a rate_limit has a bucket. It holds one start and what comes in 80 ms, and fills by
-- the clock. A claim takes as many starts as it leases messages; what it does not come to is given
-- back. The protocol, and what each interleaving leads to: docs/limits.md.
--
-- What was taken is the value of a sequence, `rate_<queue>`: the microsecond (since 2000) at which
-- the bucket is full again, times 1024, and in the last ten bits who took last. A sequence is
-- written at once and for all, so no transaction has to keep a lock until its end: a claim that is
-- left open, in a session by hand, keeps no other session from the queue, and one that is undone
-- has used its starts up. Who writes it has the row of rate_bucket locked, in a subtransaction that
-- is undone, which gives the lock back at once.

-- The clock in microseconds since 2000.
create or replace function jobs_internal.clock_us()
returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000;
end;

-- Microseconds from one start to the next.
create or replace function jobs_internal.us_per_start(p_limit integer, p_period interval)
returns double precision
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select extract(epoch from p_period)::double precision * 1000000 / p_limit;
end;

-- The mark of an owner in the sequence, 1 to 1023. Two owners may have the same one.
create or replace function jobs_internal.rate_mark(p_owner oid)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select (p_owner::bigint % 1023)::integer + 1;
end;

-- The state of a queue's bucket: when it is full again, and the mark of the owner that took last. A
-- bucket of which no start was ever taken is full.
create or replace function jobs_internal.read_rate(p_queue integer, out full_at bigint,
    out last_mark integer)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_value bigint := coalesce(
    pg_sequence_last_value(to_regclass('jobs_internal.rate_' || p_queue)), 0);
begin
  full_at := v_value >> 10;
  last_mark := v_value & 1023;
end
$$;

-- Whether another owner comes first at a bucket that is not full: one that has a session that waits
-- for the queue, and got its last claim there longer ago. The owner that took last lets others
-- take, whatever claims say: one that is undone leaves no trace but the mark.
create or replace function jobs_internal.is_turn_of_others(p_queue integer, p_owner oid,
    p_last_mark integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mark integer := jobs_internal.rate_mark(p_owner);
begin
  if not exists (select from jobs_internal.session as s where s.waits_for = p_queue
      and s.owner <> p_owner) then
    return false;
  end if;
  return exists (
    select from jobs_internal.waiters(p_queue) as w
    where w.owner <> p_owner and jobs_internal.alive(w.pid, w.backend_start)
      and jobs_internal.rate_mark(w.owner) <> v_mark
      and (v_mark = p_last_mark or jobs_internal.rate_mark(w.owner) <> p_last_mark
        and jobs_internal.last_served(p_queue, w.owner)
          < jobs_internal.last_served(p_queue, p_owner)));
end
$$;

-- When an owner got its last claim in a queue.
create or replace function jobs_internal.last_served(p_queue integer, p_owner oid)
returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(max(l.served_at), '-infinity') from jobs_internal.lane as l
  where l.queue_id = p_queue and l.owner = p_owner;
end;

-- From when on an owner may take a start; a time that has passed: now. p_owner null: any owner.
-- While the bucket fills, owners take turns; one that is full is for all, so that a session that
-- waits and does not take keeps nothing from others. A bucket that would be full later than one
-- start leads to is corrected, unless p_correct is false: the clock was set back, or the rate
-- raised: see take_starts.
create or replace function jobs_internal.next_start(p_queue integer, p_limit integer,
    p_period interval, p_owner oid, p_correct boolean default true)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rate record := jobs_internal.read_rate(p_queue);
  v_now bigint := jobs_internal.clock_us();
  v_latest bigint;
  v_next bigint;
begin
  v_latest := v_now + 80000 + ceil(jobs_internal.us_per_start(p_limit, p_period))::bigint;
  if v_rate.full_at > v_latest then
    v_rate.full_at := v_latest;
    if p_correct then
      perform jobs_internal.take_starts(p_queue, p_limit, p_period, 0, 0);
    end if;
  end if;
  v_next := v_rate.full_at - 80000;
  if v_next <= v_now and v_now < v_rate.full_at and p_owner is not null
    and jobs_internal.is_turn_of_others(p_queue, p_owner, v_rate.last_mark) then
    v_next := v_rate.full_at;
  end if;
  return clock_timestamp() + (v_next - v_now) * interval '1 microsecond';
end
$$;

-- How many jobs one claim takes: what is begun in 20 ms, so that jobs start when their starts are
-- taken; and where so many are begun in 5 ms at the queue's rate that they cannot pile up, those.
create or replace function jobs_internal.starts_at_once(p_limit integer, p_period interval,
    p_avg_ms double precision)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select least(1000, greatest(1, 20 / greatest(p_avg_ms, 0.02),
    5000 / jobs_internal.us_per_start(p_limit, p_period)))::integer;
end;

-- Take so many starts of a queue, or as many as there are. Returns how many. Those are used up,
-- even where the transaction is undone. A bucket that would be full too late (next_start) is
-- corrected. Locks: rate_bucket (given back at once). Writes the queue's sequence.
create or replace function jobs_internal.take_starts(p_queue integer, p_limit integer,
    p_period interval, p_owner oid, p_wanted integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set exit_on_error = off
as $$
declare
  v_each double precision := jobs_internal.us_per_start(p_limit, p_period);
  v_rate record;
  v_now bigint;
  v_full_at bigint;
  v_count integer := 0;
begin
  begin
    perform from jobs_internal.rate_bucket as b where b.queue_id = p_queue for update;
    v_rate := jobs_internal.read_rate(p_queue);
    v_now := jobs_internal.clock_us();
    v_full_at := least(greatest(v_rate.full_at, v_now), v_now + 80000 + ceil(v_each)::bigint);
    v_count := least(p_wanted, floor((v_now + 80000 - v_full_at) / v_each + 1));
    if v_count > 0 then
      perform jobs_internal.write_rate(p_queue, v_full_at + ceil(v_count * v_each)::bigint,
          jobs_internal.rate_mark(p_owner));
    elsif v_rate.full_at > v_full_at then
      perform jobs_internal.write_rate(p_queue, v_full_at, v_rate.last_mark);
    end if;
    raise exception using errcode = 'PW999', message = 'undo';
  exception
    when sqlstate 'PW999' or lock_not_available then
      null;
  end;
  return v_count;
end
$$;

-- Write the state of a bucket, whose row the caller has locked. It stays, whatever becomes of the
-- transaction.
create or replace function jobs_internal.write_rate(p_queue integer, p_full_at bigint,
    p_mark integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform setval(to_regclass('jobs_internal.rate_' || p_queue), greatest(0, p_full_at) * 1024
      + p_mark);
end
$$;
