-- Starts of a queue's rate that claims have taken and not made, given back; and how a bucket comes
-- and goes. See rates.sql.

-- A claim of a lane has not come to so many of its jobs: their starts go back, once that is
-- committed, with a supervisor's next round. A row for each, as the caller may be undone, and must
-- not have gained by that. Writes: rate_return.
create or replace function jobs_internal.return_starts(p_lane integer, p_count integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_count > 0 then
    insert into jobs_internal.rate_return (queue_id, starts)
    select l.queue_id, p_count
    from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id and q.rate_limit is not null
      and q.rate_by is null
    where l.id = p_lane;
  end if;
end
$$;

-- In a supervisor's round: put into the buckets what claims have not used.
-- Locks: rate_return (skip locked), rate_bucket (given back at once). Writes the sequences.
create or replace function jobs_internal.give_back_starts()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v record;
begin
  if not exists (select from jobs_internal.rate_return) then
    return;
  end if;
  for v in
    with back as (
      delete from jobs_internal.rate_return as d
      where d.id = any (array(select r.id from jobs_internal.rate_return as r
        order by r.id limit 10000 for update skip locked))
      returning d.queue_id, d.starts
    )
    select b.queue_id, sum(b.starts) as starts, q.rate_limit, q.rate_period
    from back as b
    join jobs_internal.queue as q on q.id = b.queue_id and q.rate_limit is not null
    group by b.queue_id, q.rate_limit, q.rate_period
  loop
    perform jobs_internal.put_back_starts(v.queue_id, v.rate_limit, v.rate_period, v.starts);
  end loop;
end
$$;

-- Put so many starts into a queue's bucket: it is full earlier. Where its row cannot be had they
-- are lost. Locks: rate_bucket (given back at once). Writes the queue's sequence.
create or replace function jobs_internal.put_back_starts(p_queue integer, p_limit integer,
    p_period interval, p_starts bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set exit_on_error = off
as $$
declare
  v_rate record;
begin
  perform from jobs_internal.rate_bucket as b where b.queue_id = p_queue for update;
  v_rate := jobs_internal.read_rate(p_queue);
  perform jobs_internal.write_rate(p_queue, v_rate.full_at
      - floor(p_starts * jobs_internal.us_per_start(p_limit, p_period))::bigint,
      v_rate.last_mark);
  raise exception using errcode = 'PW999', message = 'undo';
exception
  when sqlstate 'PW999' or lock_not_available then
    null;
end
$$;

-- A queue has a rate_limit: its bucket is there, full when it is new. In the transaction that sets
-- the limit, which has the queue's row locked. Writes: rate_bucket; makes the sequence.
create or replace function jobs_internal.make_rate(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('jobs_internal.rate_' || p_queue) is null then
    execute format('create sequence jobs_internal.%I minvalue 0', 'rate_' || p_queue);
    insert into jobs_internal.rate_bucket (queue_id) values (p_queue);
  end if;
end
$$;

-- The bucket of a queue that is removed goes. Returns false where it cannot yet. It
-- waits 50 ms for who uses the sequence just now. Writes: rate_bucket, rate_return,
-- rate_value, rate_wait.
create or replace function jobs_internal.drop_rate(p_queue integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set exit_on_error = off
as $$
begin
  if not exists (select from jobs_internal.rate_bucket as b where b.queue_id = p_queue) then
    return true;
  end if;
  execute format('drop sequence if exists jobs_internal.%I', 'rate_' || p_queue);
  delete from jobs_internal.rate_return as r where r.queue_id = p_queue;
  delete from jobs_internal.rate_value as v where v.queue_id = p_queue;
  delete from jobs_internal.rate_wait as w where w.queue_id = p_queue;
  delete from jobs_internal.rate_bucket as b where b.queue_id = p_queue;
  return true;
exception
  when lock_not_available or query_canceled then
    return false;
end
$$;
