-- Sums of cost per day, owner and task.

-- What a session claims to have measured, as figures that can be added to others for years: they
-- are the owner's own, and may be anything.
create or replace function jobs_internal.clamped_stats(p_stats jobs_internal.run_stats)
returns jobs_internal.run_stats
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  p_stats.runs := least(greatest(p_stats.runs, 0), 1e15);
  p_stats.failed := least(greatest(p_stats.failed, 0), 1e15);
  p_stats.ms := least(greatest(p_stats.ms, 0), 1e15);
  p_stats.waited_ms := least(greatest(p_stats.waited_ms, 0), 1e15);
  p_stats.measured := least(greatest(p_stats.measured, 0), 1e15);
  p_stats.rows := least(greatest(p_stats.rows, 0), 1e15);
  p_stats.wal_bytes := least(greatest(p_stats.wal_bytes, 0), 1e15);
  p_stats.buffers_hit := least(greatest(p_stats.buffers_hit, 0), 1e15);
  p_stats.buffers_read := least(greatest(p_stats.buffers_read, 0), 1e15);
  p_stats.buffers_dirtied := least(greatest(p_stats.buffers_dirtied, 0), 1e15);
  p_stats.temp_bytes := least(greatest(p_stats.temp_bytes, 0), 1e15);
  return p_stats;
end
$$;

-- Add sums to those that are there. One row needs no grouping, which a new session plans for longer
-- than for all the rest, and most sessions have one. Writes: daily_cost.
create or replace function jobs_internal.add_costs(p_rows jobs_internal.daily_cost[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row jobs_internal.daily_cost;
begin
  if cardinality(p_rows) > 1 then
    p_rows := array(
      select row(a.day, a.queue_id, a.owner, a.task, a.session_id, sum(a.attempts), sum(a.failed),
        sum(a.ms), sum(a.waited_ms), sum(a.measured), sum(a.rows), sum(a.wal_bytes),
        sum(a.buffers_hit), sum(a.buffers_read), sum(a.buffers_dirtied),
        sum(a.temp_bytes))::jobs_internal.daily_cost
      from unnest(p_rows) as a
      group by a.day, a.queue_id, a.owner, a.task, a.session_id
      order by a.day, a.queue_id, a.owner, a.task, a.session_id);
  end if;
  foreach v_row in array coalesce(p_rows, '{}') loop
    insert into jobs_internal.daily_cost as s
    select v_row.*
    on conflict (day, queue_id, owner, task, session_id) do update set
      attempts = s.attempts + excluded.attempts, failed = s.failed + excluded.failed,
      ms = s.ms + excluded.ms, waited_ms = s.waited_ms + excluded.waited_ms,
      measured = s.measured + excluded.measured, rows = s.rows + excluded.rows,
      wal_bytes = s.wal_bytes + excluded.wal_bytes,
      buffers_hit = s.buffers_hit + excluded.buffers_hit,
      buffers_read = s.buffers_read + excluded.buffers_read,
      buffers_dirtied = s.buffers_dirtied + excluded.buffers_dirtied,
      temp_bytes = s.temp_bytes + excluded.temp_bytes;
  end loop;
end
$$;

-- What a statement counts as in the sums of a day. A session names it itself: beyond two hundred
-- names for one owner, queue and day, which no honest one comes to, new ones count together.
create or replace function jobs_internal.statement_task(p_day date, p_queue integer, p_owner oid,
    p_task text, p_place bigint)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_task is null then null
    when exists (select from jobs_internal.daily_cost as s
      where s.day = p_day and s.queue_id = p_queue and s.owner = p_owner
        and s.task = left(p_task, 200)) then left(p_task, 200)
    when p_place + (select count(*) from (
      select distinct s.task from jobs_internal.daily_cost as s where s.day = p_day
        and s.queue_id = p_queue and s.owner = p_owner) as d) <= 200
      then left(p_task, 200)
    else '(other statements)'
  end;
end;

-- Add what a session measured to the sums of the day. Each session writes rows of its own, so that
-- none waits for another; upkeep brings them together. No scan: a session that planned this while
-- hardly any function was known would compare each with all of them later. Writes: daily_cost.
create or replace function jobs_internal.add_daily_cost(p_session jobs_internal.session,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_day date := (clock_timestamp() at time zone 'UTC')::date;
  v_one jobs_internal.run_stats;
  v_row jobs_internal.daily_cost;
  v_rows jobs_internal.daily_cost[];
  v_place bigint := 0;
begin
  foreach v_one in array p_run_stats loop
    v_place := v_place + 1;
    -- asked of all at once: an honest session's are never so, and each costs a new one its planning
    if least(v_one.runs, v_one.failed, v_one.ms, v_one.waited_ms, v_one.measured, v_one.rows,
        v_one.wal_bytes, v_one.buffers_hit, v_one.buffers_read, v_one.buffers_dirtied,
        v_one.temp_bytes) < 0
      or greatest(v_one.runs, v_one.failed, v_one.ms, v_one.waited_ms, v_one.measured, v_one.rows,
        v_one.wal_bytes, v_one.buffers_hit, v_one.buffers_read, v_one.buffers_dirtied,
        v_one.temp_bytes) > 1e15
    then
      v_one := jobs_internal.clamped_stats(v_one);
    end if;
    select v_day, l.queue_id, l.owner, coalesce(h.task, case when h.id is null
        then jobs_internal.statement_task(v_day, l.queue_id, l.owner, v_one.task, v_place) end),
      p_session.id, coalesce(v_one.runs, 0), coalesce(v_one.failed, 0), coalesce(v_one.ms, 0),
      coalesce(v_one.waited_ms, 0), coalesce(v_one.measured, 0), coalesce(v_one.rows, 0),
      coalesce(v_one.wal_bytes, 0), coalesce(v_one.buffers_hit, 0),
      coalesce(v_one.buffers_read, 0), coalesce(v_one.buffers_dirtied, 0),
      coalesce(v_one.temp_bytes, 0)
    into v_row
    from jobs_internal.lane as l
    left join jobs_internal.call_template as h on h.id = v_one.call_template_id
    where l.id = v_one.lane_id and l.owner = p_session.owner;
    if v_row.task is not null then
      v_rows := v_rows || v_row;
    end if;
  end loop;
  perform jobs_internal.add_costs(v_rows);
end
$$;

-- Bring the sums of sessions that are gone together, so many at once that it is a moment, and let
-- those older than a year go.
-- Writes: daily_cost, queue_minute_stats.
create or replace function jobs_internal.compact_daily_cost()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.daily_cost[];
begin
  delete from jobs_internal.daily_cost as d
  where d.ctid = any (array(
    select o.ctid from jobs_internal.daily_cost as o
    where o.day < (clock_timestamp() at time zone 'UTC')::date - 366 for update skip locked));
  with gone as (
    delete from jobs_internal.daily_cost as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.daily_cost as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s
          where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  select array_agg(row(g.day, g.queue_id, g.owner, g.task, 0, g.attempts, g.failed, g.ms,
        g.waited_ms, g.measured, g.rows, g.wal_bytes,
    g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes)::jobs_internal.daily_cost)
  into v_rows
  from gone as g;
  perform jobs_internal.add_costs(v_rows);
  with gone as (
    delete from jobs_internal.queue_minute_stats as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.queue_minute_stats as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s
          where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  insert into jobs_internal.queue_minute_stats as m (queue_id, minute, session_id, succeeded,
      failed)
  select g.queue_id, g.minute, 0, sum(g.succeeded), sum(g.failed)
  from gone as g
  group by g.queue_id, g.minute
  order by g.queue_id, g.minute
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
end
$$;

-- Give sums to other owners. Writes: daily_cost.
create or replace function jobs_internal.move_daily_cost(p_old oid[], p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.daily_cost[];
begin
  with gone as (
    delete from jobs_internal.daily_cost as d using unnest(p_old, p_new) as m(old, new)
      where d.owner = m.old returning d.*, m.new
  )
  select array_agg(row(g.day, g.queue_id, g.new, g.task, g.session_id, g.attempts, g.failed, g.ms,
        g.waited_ms, g.measured, g.rows,
    g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes)::jobs_internal.daily_cost)
  into v_rows
  from gone as g;
  perform jobs_internal.add_costs(v_rows);
end
$$;
