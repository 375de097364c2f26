-- What an attempt cost: WAL, buffers, temporary files.
--
-- A session's own counters can be read in one way only while it runs: by EXPLAIN ANALYZE, which adds up all that happened below it, in
-- functions and triggers too. It shows the counters and not the result, so the result is laid aside in a setting of the session, which
-- the worker reads and then resets with all others. This costs some 25 us. So each job that runs alone is measured, and of those that
-- share transactions one of each function and claim: jobs.cost says how many it knows and how many there were.

-- Purpose: lay the result of a measured call aside.
create or replace function jobs_internal.keep_result(p_result jsonb)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_catalog.set_config('pyworker.result', coalesce(p_result::pg_catalog.text, ''), false);
end
$$;
comment on function jobs_internal.keep_result(jsonb) is 'Lays the result of a measured call aside';

-- Purpose: run a statement of a job below EXPLAIN, and lay its number of rows aside. Invoker: it is the owner's.
create or replace function jobs_internal.run_statement(p_statement text)
returns void
language plpgsql volatile
as $$
declare
  v_rows bigint;
begin
  execute p_statement;
  get diagnostics v_rows := row_count;
  perform pg_catalog.set_config('pyworker.result', v_rows::pg_catalog.text, false);
end
$$;
comment on function jobs_internal.run_statement(text) is 'Runs a statement of a job, and lays its number of rows aside';

-- Purpose: the result that was laid aside.
create or replace function jobs_internal.kept_result()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(pg_catalog.current_setting('pyworker.result'), '')::jsonb;
end
$$;
comment on function jobs_internal.kept_result() is 'The result that was laid aside';

-- Purpose: the text that measures a call of a shape (p_statement false) or of run_statement: its only row is the plan with the counters.
create or replace function jobs_internal.measured(p_call text, p_statement boolean default false)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'explain (analyze, buffers, wal, timing off, costs off, summary off, format json) '
    || case when p_statement then p_call else 'select jobs_internal.keep_result((' || p_call || '))' end;
end
$$;
comment on function jobs_internal.measured(text, boolean) is 'The text that measures a call';

-- Purpose: an ending with what its plan counted.
create or replace function jobs_internal.with_cost(p_ending jobs_internal.ending, p_plan json)
returns jobs_internal.ending
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_top jsonb := p_plan::jsonb -> 0 -> 'Plan';
begin
  p_ending.wal_bytes := (v_top ->> 'WAL Bytes')::numeric::bigint;
  p_ending.buffers_hit := (v_top ->> 'Shared Hit Blocks')::bigint + (v_top ->> 'Local Hit Blocks')::bigint;
  p_ending.buffers_read := (v_top ->> 'Shared Read Blocks')::bigint + (v_top ->> 'Local Read Blocks')::bigint;
  p_ending.buffers_dirtied := (v_top ->> 'Shared Dirtied Blocks')::bigint + (v_top ->> 'Local Dirtied Blocks')::bigint;
  p_ending.temp_bytes := (v_top ->> 'Temp Written Blocks')::bigint * pg_catalog.current_setting('block_size')::bigint;
  return p_ending;
end
$$;
comment on function jobs_internal.with_cost(jobs_internal.ending, json) is 'An ending with what its plan counted';

-- Purpose: how long an attempt waited in its lane for a session, ms; null: nobody knows.
create or replace function jobs_internal.waited(p_ending jobs_internal.ending)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest(extract(epoch from p_ending.started_at - p_ending.queued_at) * 1000, 0), 2147483647)::integer;
end
$$;
comment on function jobs_internal.waited(jobs_internal.ending) is 'How long an attempt waited in its lane for a session, ms';

-- Purpose: a figure that a session claims, as one that can be added to others for years: it is the owner's own, and may be anything.
create or replace function jobs_internal.sane(p_figure double precision)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(least(greatest(p_figure, 0), 1e15), 0)::numeric;
end;
comment on function jobs_internal.sane(double precision) is 'A figure of a session, within bounds';

-- Purpose: add sums to those that are there. Writes: spent.
create or replace function jobs_internal.add_spent(p_rows jobs_internal.spent[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.spent as s
  select a.day, a.queue_id, a.owner, a.task, a.session_id, pg_catalog.sum(a.attempts), pg_catalog.sum(a.failed), pg_catalog.sum(a.ms),
    pg_catalog.sum(a.waited_ms), pg_catalog.sum(a.measured), pg_catalog.sum(a.rows), pg_catalog.sum(a.wal_bytes), pg_catalog.sum(a.buffers_hit),
    pg_catalog.sum(a.buffers_read), pg_catalog.sum(a.buffers_dirtied), pg_catalog.sum(a.temp_bytes)
  from pg_catalog.unnest(p_rows) as a
  group by a.day, a.queue_id, a.owner, a.task, a.session_id
  order by a.day, a.queue_id, a.owner, a.task, a.session_id
  on conflict (day, queue_id, owner, task, session_id) do update set
    attempts = s.attempts + excluded.attempts, failed = s.failed + excluded.failed, ms = s.ms + excluded.ms,
    waited_ms = s.waited_ms + excluded.waited_ms, measured = s.measured + excluded.measured, rows = s.rows + excluded.rows,
    wal_bytes = s.wal_bytes + excluded.wal_bytes, buffers_hit = s.buffers_hit + excluded.buffers_hit,
    buffers_read = s.buffers_read + excluded.buffers_read, buffers_dirtied = s.buffers_dirtied + excluded.buffers_dirtied,
    temp_bytes = s.temp_bytes + excluded.temp_bytes;
end;
comment on function jobs_internal.add_spent(jobs_internal.spent[]) is 'Adds sums of costs to those that are there';

-- Purpose: what a statement counts as in the sums of a day. A session names it itself: beyond two hundred names for one owner, queue and day, which
-- no honest one comes to, new ones count together.
create or replace function jobs_internal.statement_task(p_day date, p_queue integer, p_owner oid, p_task text, p_place bigint)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_task is null then null
    when exists (select from jobs_internal.spent as s
      where s.day = p_day and s.queue_id = p_queue and s.owner = p_owner and s.task = pg_catalog.left(p_task, 200)) then pg_catalog.left(p_task, 200)
    when p_place + (select pg_catalog.count(*) from (
      select distinct s.task from jobs_internal.spent as s where s.day = p_day and s.queue_id = p_queue and s.owner = p_owner) as d) <= 200
      then pg_catalog.left(p_task, 200)
    else '(other statements)'
  end;
end;
comment on function jobs_internal.statement_task(date, integer, oid, text, bigint) is 'What a statement counts as in the sums of a day';

-- Purpose: add what a session learned to the sums of the day. Each session writes rows of its own, so that none waits for another; upkeep
-- brings them together. Writes: spent.
create or replace function jobs_internal.spend(p_session jobs_internal.session, p_learned jobs_internal.lesson[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.add_spent(array(
    select row(d.day, l.queue_id, p_session.owner, t.task, p_session.id,
      jobs_internal.sane(i.runs), jobs_internal.sane(i.failed), jobs_internal.sane(i.ms), jobs_internal.sane(i.waited_ms),
      jobs_internal.sane(i.measured), jobs_internal.sane(i.rows), jobs_internal.sane(i.wal_bytes), jobs_internal.sane(i.buffers_hit),
      jobs_internal.sane(i.buffers_read), jobs_internal.sane(i.buffers_dirtied), jobs_internal.sane(i.temp_bytes))::jobs_internal.spent
    from (select u.*, pg_catalog.row_number() over () as place from pg_catalog.unnest(p_learned) as u) as i
    join jobs_internal.lane as l on l.id = i.lane_id and l.owner = p_session.owner
    cross join (select (pg_catalog.clock_timestamp() at time zone 'UTC')::date as day) as d
    left join jobs_internal.shape as h on h.id = i.shape_id
    cross join lateral (select coalesce(h.task,
      case when h.id is null then jobs_internal.statement_task(d.day, l.queue_id, p_session.owner, i.task, i.place) end) as task) as t
    where t.task is not null));
end;
comment on function jobs_internal.spend(jobs_internal.session, jobs_internal.lesson[]) is 'Adds what a session learned to the sums of the day';

-- Purpose: bring the sums of sessions that are gone together, so many at once that it is a moment, and let those older than a year go.
-- Writes: spent, minute.
create or replace function jobs_internal.sum_up()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.spent[];
begin
  delete from jobs_internal.spent as d
  where d.ctid = any (array(
    select o.ctid from jobs_internal.spent as o
    where o.day < (pg_catalog.clock_timestamp() at time zone 'UTC')::date - 366 for update skip locked));
  with gone as (
    delete from jobs_internal.spent as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.spent as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  select pg_catalog.array_agg(row(g.day, g.queue_id, g.owner, g.task, 0, g.attempts, g.failed, g.ms, g.waited_ms, g.measured, g.rows, g.wal_bytes,
    g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes)::jobs_internal.spent)
  into v_rows
  from gone as g;
  perform jobs_internal.add_spent(v_rows);
  with gone as (
    delete from jobs_internal.minute as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.minute as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  insert into jobs_internal.minute as m (queue_id, minute, session_id, succeeded, failed)
  select g.queue_id, g.minute, 0, pg_catalog.sum(g.succeeded), pg_catalog.sum(g.failed)
  from gone as g
  group by g.queue_id, g.minute
  order by g.queue_id, g.minute
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
end
$$;
comment on function jobs_internal.sum_up() is 'Brings the sums of sessions that are gone together';

-- Purpose: give sums to other owners. Writes: spent.
create or replace function jobs_internal.move_spent(p_old oid[], p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.spent[];
begin
  with gone as (
    delete from jobs_internal.spent as d using unnest(p_old, p_new) as m(old, new) where d.owner = m.old returning d.*, m.new
  )
  select pg_catalog.array_agg(row(g.day, g.queue_id, g.new, g.task, g.session_id, g.attempts, g.failed, g.ms, g.waited_ms, g.measured, g.rows,
    g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes)::jobs_internal.spent)
  into v_rows
  from gone as g;
  perform jobs_internal.add_spent(v_rows);
end
$$;
comment on function jobs_internal.move_spent(oid[], oid[]) is 'Gives sums of costs to other owners';
