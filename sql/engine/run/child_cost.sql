-- What a statement at top level cost: WAL, buffers, temporary files.
--
-- It runs in a session of its own, and the server shows nothing of that session's counters: they
-- are empty until it is gone. But pg_stat_statements, where it is installed, has counted the
-- statement by then. What it counted is this job's if the statement's calls grew by exactly one
-- meanwhile: with two, another session ran it too, and nothing tells the two apart. Then the
-- figures are null, and jobs.attempts.not_measured says why.

-- The schema of pg_stat_statements in this database; null: it is not installed, or the server has
-- not loaded it, or it does not count statements like these. p_utility: also VACUUM and its like.
create or replace function jobs_internal.statement_statistics(p_utility boolean default true)
returns name
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select n.nspname
  from pg_extension as e
  join pg_namespace as n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements' and current_setting('pg_stat_statements.track', true)
    <> 'none'
    and (current_setting('pg_stat_statements.track_utility', true) = 'on' or not p_utility);
end;

-- What pg_stat_statements has counted of a statement for the calling login, in this database:
-- {query id: {calls, wal_bytes, ...}}; null where it is not there, or costs are not measured. It
-- keeps the first text that it saw of a statement, with $1 for each constant: so the texts are
-- compared without case and white space, and what stands for a constant may be anything. Only
-- figures of the caller's own statements are given.
create or replace function jobs_internal.child_figures(p_statement text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set standard_conforming_strings = on
as $$
declare
  v_schema name;
  v_plain text := lower(regexp_replace(btrim(p_statement, E' \t\r\n;'), '\s+', ' ', 'g'));
  v_figures jsonb;
begin
  if jobs_internal.setting('measure_cost') <> 'on' then
    return null;
  end if;
  v_schema := jobs_internal.statement_statistics();
  if v_schema is null then
    return null;
  end if;
  begin
    execute format($query$
      select coalesce(jsonb_object_agg(s.queryid,
            jsonb_build_object('calls', s.calls, 'wal_bytes', s.wal_bytes,
        'buffers_hit', s.shared_blks_hit + s.local_blks_hit, 'buffers_read',
          s.shared_blks_read + s.local_blks_read,
        'buffers_dirtied', s.shared_blks_dirtied + s.local_blks_dirtied, 'temp_blocks',
          s.temp_blks_written)), '{}')
      from %I.pg_stat_statements(true) as s
      cross join lateral (select lower(regexp_replace(btrim(s.query, E' \t\r\n;'), '\s+', ' ', 'g'))
          as plain) as q
      where s.userid = $1 and s.dbid = (select d.oid from pg_database as d
          where d.datname = current_database()) and s.toplevel
        and left(q.plain, 4) = left($2, 4)
        and case when q.plain ~ '[$][0-9]' and length(q.plain) < 10000
        and regexp_count(q.plain, '[$][0-9]') <= 20
          then $2 like regexp_replace(replace(replace(replace(q.plain, '\', '\\'), '%%', '\%%'),
                '_', '\_'), '[$][0-9]+', '%%', 'g')
          else q.plain = $2 end
$query$, v_schema)
    into v_figures using jobs_internal.caller(), v_plain;
  exception
    when object_not_in_prerequisite_state or insufficient_privilege or undefined_function
      or undefined_column then
      -- installed, but not loaded by the server, closed to us, or of a version with other columns
      return null;
  end;
  return v_figures;
end
$$;

-- The result of a top-level statement with what it cost, where its calls alone grew, by exactly
-- one.
create or replace function jobs_internal.with_child_cost(p_result jobs_internal.attempt_result,
    p_before jsonb, p_after jsonb)
returns jobs_internal.attempt_result
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_grown text[];
  v_before jsonb;
  v_after jsonb;
begin
  v_grown := array(select a.key from jsonb_each(p_after) as a
    where (a.value ->> 'calls')::bigint
      is distinct from coalesce((p_before -> a.key ->> 'calls')::bigint, 0));
  if p_before is null or cardinality(v_grown) <> 1 then
    return p_result;
  end if;
  v_before := p_before -> v_grown[1];
  v_after := p_after -> v_grown[1];
  if (v_after ->> 'calls')::bigint - coalesce((v_before ->> 'calls')::bigint, 0) = 1 then
    p_result.wal_bytes := (v_after ->> 'wal_bytes')::numeric
      - coalesce((v_before ->> 'wal_bytes')::numeric, 0);
    p_result.buffers_hit := (v_after ->> 'buffers_hit')::bigint
      - coalesce((v_before ->> 'buffers_hit')::bigint, 0);
    p_result.buffers_read := (v_after ->> 'buffers_read')::bigint
      - coalesce((v_before ->> 'buffers_read')::bigint, 0);
    p_result.buffers_dirtied := (v_after ->> 'buffers_dirtied')::bigint
      - coalesce((v_before ->> 'buffers_dirtied')::bigint, 0);
    p_result.temp_bytes := ((v_after ->> 'temp_blocks')::bigint
        - coalesce((v_before ->> 'temp_blocks')::bigint, 0))
      * current_setting('block_size')::bigint;
  end if;
  return p_result;
end
$$;

-- Whether costs are not measured at all.
create or replace function jobs_internal.measures_no_cost()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.setting('measure_cost') <> 'on';
end;

-- Why a statement at top level that succeeded has no figures, as things are now.
create or replace function jobs_internal.why_child_costs_are_unknown()
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when jobs_internal.measures_no_cost() then 'measure_cost is off'
    when not exists (select from pg_extension as e where e.extname = 'pg_stat_statements')
      then 'it ran at top level, and pg_stat_statements is not installed in this database'
    when jobs_internal.statement_statistics() is null
      then 'it ran at top level, and pg_stat_statements is not loaded, or does not track such '
        'statements'
    else 'pg_stat_statements did not count this statement exactly once meanwhile'
  end;
end;
