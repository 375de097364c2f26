-- The costliest statements of each five minutes, from pg_stat_statements: of whatever runs in this
-- database, not only of jobs. Nothing is ever reset there.

-- Note what was counted since the last look. One session does it at a time; where the extension is
-- not there, or the setting statement_snapshots is off, nothing is noted. Part of a round.
-- Locks: statement_look (skip locked). Writes: statement_look, statement_count, statement_snapshot,
-- statement_text.
create or replace function jobs_internal.note_statements()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_since timestamptz;
  v_now timestamptz := clock_timestamp();
  v_schema name;
begin
  select k.looked_at into v_since from jobs_internal.statement_look as k
  where coalesce(k.looked_at < v_now - interval '5 minutes', true)
  for update skip locked;
  if not found then
    return;
  end if;
  update jobs_internal.statement_look set looked_at = v_now;
  delete from jobs_internal.statement_snapshot as d where d.at < v_now - interval '7 days';
  delete from jobs_internal.statement_text as d where d.seen_at < v_now - interval '7 days';
  v_schema := case when jobs_internal.setting('statement_snapshots') = 'on'
    then jobs_internal.statement_statistics(false) end;
  if v_schema is null then
    delete from jobs_internal.statement_count;
    return;
  end if;
  begin
    perform jobs_internal.store_statements(v_schema, v_since, v_now);
  exception
    when object_not_in_prerequisite_state or insufficient_privilege or undefined_function
      or undefined_column then
      null;  -- installed, but not loaded by the server, closed to us, or with other columns
  end;
end
$$;

-- Read the counts and keep what was added since p_since. A statement that was not there at the last
-- look, or was let go of and came again, or was reset, has been counted from nothing since; what is
-- known of none (the first look, or after a day) is no difference.
create or replace function jobs_internal.store_statements(p_schema name, p_since timestamptz,
    p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- PostgreSQL 17 says since when each statement is counted
  v_stats_since text := case when current_setting('server_version_num')::integer >= 170000
    then 'max(s.stats_since)' else 'null::timestamptz' end;
  v_known boolean := p_since > p_now - interval '1 day'
    and exists (select from jobs_internal.statement_count);
begin
  execute format($query$
    with counted as materialized (
      select s.userid as role, s.queryid as query_id, sum(s.calls)::bigint as calls,
        sum(s.total_exec_time) as total_ms, %s as stats_since
      from %I.pg_stat_statements(false) as s
      where s.queryid is not null and s.toplevel
        and s.dbid = (select d.oid from pg_database as d where d.datname = current_database())
      group by s.userid, s.queryid
    ), added as (
      select c.role, c.query_id, c.calls - f.calls as calls, c.total_ms - f.total_ms as total_ms
      from counted as c
      left join jobs_internal.statement_count as o on (o.role, o.query_id) = (c.role, c.query_id)
        and o.stats_since is not distinct from c.stats_since and o.calls <= c.calls
      cross join lateral (select coalesce(o.calls, 0) as calls, coalesce(o.total_ms, 0) as total_ms)
        as f
      where $1
    ), kept as (
      insert into jobs_internal.statement_snapshot (at, since, role, query_id, calls, total_ms)
      select $2, $3, a.role, a.query_id, a.calls, greatest(a.total_ms, 0)
      from added as a
      where a.calls > 0
      order by a.total_ms desc
      limit 200
    ), gone as (
      delete from jobs_internal.statement_count as d
      where not exists (select from counted as c where (c.role, c.query_id) = (d.role, d.query_id))
    )
    insert into jobs_internal.statement_count as k (role, query_id, calls, total_ms, stats_since)
    select c.role, c.query_id, c.calls, c.total_ms, c.stats_since
    from counted as c
    on conflict (role, query_id) do update
    set calls = excluded.calls, total_ms = excluded.total_ms, stats_since = excluded.stats_since
    where (k.calls, k.stats_since) is distinct from (excluded.calls, excluded.stats_since)
$query$, v_stats_since, p_schema)
  using v_known, p_now, p_since;
  update jobs_internal.statement_text as t set seen_at = p_now
  from jobs_internal.statement_snapshot as s
  where s.at = p_now and (s.query_id, s.role) = (t.query_id, t.role);
  if exists (select from jobs_internal.statement_snapshot as s
    where s.at = p_now and not exists (select from jobs_internal.statement_text as t
      where (t.query_id, t.role) = (s.query_id, s.role)))
  then
    execute format($query$
      insert into jobs_internal.statement_text (role, query_id, query, seen_at)
      select s.role, s.query_id, min(left(p.query, 500)), $1
      from jobs_internal.statement_snapshot as s
      join %I.pg_stat_statements(true) as p on p.userid = s.role and p.queryid = s.query_id
      where s.at = $1 and p.query is not null
      group by s.role, s.query_id
      on conflict do nothing
$query$, p_schema)
    using p_now;
  end if;
end
$$;

-- Forget all of it: in a copy it is that of another server.
create or replace function jobs_internal.forget_statements()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.statement_snapshot;
  delete from jobs_internal.statement_count;
  delete from jobs_internal.statement_text;
  update jobs_internal.statement_look set looked_at = null;
end
$$;

-- The time that a call of each statement took, in the window before a mark and in the one after it,
-- as compare_tasks. What was noted counts for the window in which its middle lies.
create or replace function jobs_internal.compare_statements(p_at timestamptz, p_span interval)
returns table (what text, owner oid, task text, before double precision, after double precision,
    n_before bigint, n_after bigint, verdict text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with figures as (
    select s.role, s.query_id, w.n, sum(s.calls)::bigint as calls,
      sum(s.total_ms) / nullif(sum(s.calls), 0) as ms
    from jobs_internal.windows_around(p_at, p_span) as w
    join jobs_internal.statement_snapshot as s
      on s.at >= w.begins and s.at < w.ends + interval '1 day'
      and s.since + (s.at - s.since) / 2 >= w.begins and s.since + (s.at - s.since) / 2 < w.ends
    group by s.role, s.query_id, w.n
  ), sides as (
    select f.role, f.query_id, max(f.ms) filter (where f.n = 1) as before,
      max(f.ms) filter (where f.n = 0) as after,
      coalesce(max(f.calls) filter (where f.n = 1), 0) as n_before,
      coalesce(max(f.calls) filter (where f.n = 0), 0) as n_after,
      array_agg(jobs_internal.log_ms(f.ms)) filter (where f.n > 0 and f.calls >= 30) as earlier
    from figures as f
    group by f.role, f.query_id
  )
  select 'statement_ms', s.role, t.query, s.before, s.after, s.n_before, s.n_after,
    case when least(s.n_before, s.n_after) < 30 or abs(s.after - s.before) < 0.1 then 'not enough'
    else jobs_internal.verdict_of(jobs_internal.log_ms(s.after), jobs_internal.log_ms(s.before),
      s.earlier, 0, ln(1.4)) end
  from sides as s
  join jobs_internal.statement_text as t on (t.query_id, t.role) = (s.query_id, s.role);
end;
