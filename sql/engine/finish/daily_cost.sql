-- Sums of cost per day, owner and task.

-- A figure that a session claims, as one that can be added to others for years: it is the owner's
-- own, and may be anything.
create or replace function jobs_internal.clamp_figure(p_figure double precision)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(least(greatest(p_figure, 0), 1e15), 0)::numeric;
end;

-- Add sums to those that are there. Writes: daily_cost.
create or replace function jobs_internal.add_costs(p_rows jobs_internal.daily_cost[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.daily_cost as s
  select a.day, a.queue_id, a.owner, a.task, a.session_id, sum(a.attempts), sum(a.failed),
    sum(a.ms),
    sum(a.waited_ms), sum(a.measured), sum(a.rows), sum(a.wal_bytes), sum(a.buffers_hit),
    sum(a.buffers_read), sum(a.buffers_dirtied), sum(a.temp_bytes)
  from unnest(p_rows) as a
  group by a.day, a.queue_id, a.owner, a.task, a.session_id
  order by a.day, a.queue_id, a.owner, a.task, a.session_id
  on conflict (day, queue_id, owner, task, session_id) do update set
    attempts = s.attempts + excluded.attempts, failed = s.failed + excluded.failed,
      ms = s.ms + excluded.ms,
    waited_ms = s.waited_ms + excluded.waited_ms, measured = s.measured + excluded.measured,
      rows = s.rows + excluded.rows,
    wal_bytes = s.wal_bytes + excluded.wal_bytes,
      buffers_hit = s.buffers_hit + excluded.buffers_hit,
    buffers_read = s.buffers_read + excluded.buffers_read,
      buffers_dirtied = s.buffers_dirtied + excluded.buffers_dirtied,
    temp_bytes = s.temp_bytes + excluded.temp_bytes;
end;

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
-- none waits for another; upkeep brings them together. Writes: daily_cost.
create or replace function jobs_internal.add_daily_cost(p_session jobs_internal.session,
    p_run_stats jobs_internal.run_stats[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.add_costs(array(
    select row(d.day, l.queue_id, p_session.owner, t.task, p_session.id,
      jobs_internal.clamp_figure(i.runs), jobs_internal.clamp_figure(i.failed),
        jobs_internal.clamp_figure(i.ms),
        jobs_internal.clamp_figure(i.waited_ms),
      jobs_internal.clamp_figure(i.measured), jobs_internal.clamp_figure(i.rows),
        jobs_internal.clamp_figure(i.wal_bytes),
        jobs_internal.clamp_figure(i.buffers_hit),
      jobs_internal.clamp_figure(i.buffers_read), jobs_internal.clamp_figure(i.buffers_dirtied),
        jobs_internal.clamp_figure(i.temp_bytes))::jobs_internal.daily_cost
    from (select u.*, row_number() over () as place from unnest(p_run_stats) as u) as i
    join jobs_internal.lane as l on l.id = i.lane_id and l.owner = p_session.owner
    cross join (select (clock_timestamp() at time zone 'UTC')::date as day) as d
    left join jobs_internal.call_template as h on h.id = i.call_template_id
    cross join lateral (select coalesce(h.task,
      case when h.id is null then jobs_internal.statement_task(d.day, l.queue_id, p_session.owner,
          i.task, i.place) end) as task) as t
    where t.task is not null));
end;

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
