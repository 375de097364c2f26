-- The server's own progress of a session, as one object, and what its columns mean. A column that
-- belongs to another phase keeps the figures of that phase, so of each phase its own are read.

-- The row of the server's progress of a process, with view, the name of its view; null: it shows
-- none. Of several rows the first. DROP INDEX CONCURRENTLY and DETACH CONCURRENTLY have no
-- progress: they wait for transactions of others, or work for milliseconds.
create or replace function jobs_internal.progress_row(p_pid integer, p_kind text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row jsonb;
begin
  v_row := coalesce(
      (select to_jsonb(c) || '{"view": "create_index"}' from pg_stat_progress_create_index as c
        where c.pid = p_pid limit 1),
      (select to_jsonb(v) || '{"view": "vacuum"}' from pg_stat_progress_vacuum as v
        where v.pid = p_pid limit 1),
      (select to_jsonb(a) || '{"view": "analyze"}' from pg_stat_progress_analyze as a
        where a.pid = p_pid limit 1));
  if v_row is null and to_regclass('pg_catalog.pg_stat_progress_repack') is not null then
    -- from PostgreSQL 19 on
    execute 'select to_jsonb(r) || ''{"view": "cluster"}'' from pg_stat_progress_repack as r '
      'where r.pid = $1 limit 1' into v_row using p_pid;
  end if;
  v_row := coalesce(v_row,
      (select to_jsonb(u) || '{"view": "cluster"}' from pg_stat_progress_cluster as u
        where u.pid = p_pid limit 1),
      (select to_jsonb(y) || '{"view": "copy", "phase": "copying"}' from pg_stat_progress_copy as y
        where y.pid = p_pid limit 1));
  if v_row is null and p_kind in ('drop index concurrently', 'detach partition concurrently') then
    v_row := (select '{"view": "none", "phase": "waiting for transactions of others"}'
      from pg_stat_get_activity(p_pid) as a
      where a.wait_event_type = 'Lock' and a.wait_event in ('virtualxid', 'transactionid'));
  end if;
  return v_row - '{pid,datid,datname}'::text[];
end
$$;

-- Whether an operation waits for transactions of others in a phase, and does no work.
create or replace function jobs_internal.is_wait(p_phase text)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(p_phase like 'waiting for%', false);
end;

-- How much of its present phase is done, of a row of the server's progress: by the columns of that
-- phase. Null: nothing counts it, as in a sort, or the phase is not known here. p_tuples: rows of
-- the table, where the server does not say of how many.
create or replace function jobs_internal.phase_counts(
  p_row jsonb,
  p_tuples numeric default null,
  out done numeric,
  out total numeric,
  out unit text
)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  -- lockers_done may go beyond lockers_total
  select case when c.total > 0 then greatest(0, least(c.done, c.total))
      when k.columns[2] in ('rows', 'none') then c.done end,
    nullif(c.total, 0), case when c.total > 0 or k.columns[2] in ('rows', 'none')
      then k.columns[3] end
  from (
    select case r.view
      when 'create_index' then case
        when jobs_internal.is_wait(r.phase) then '{lockers_done,lockers_total,lockers}'
        when r.phase = 'building index: loading tuples in tree'
          or r.phase = 'building index' and (p_row ->> 'tuples_total')::numeric > 0
          and (p_row ->> 'blocks_done')::numeric >= (p_row ->> 'blocks_total')::numeric
          then '{tuples_done,tuples_total,tuples}'
        when r.phase in ('building index', 'building index: scanning table',
            'index validation: scanning index', 'index validation: scanning table')
          then '{blocks_done,blocks_total,blocks}' end
      when 'vacuum' then case r.phase
        when 'scanning heap' then '{heap_blks_scanned,heap_blks_total,blocks}'
        when 'vacuuming heap' then '{heap_blks_vacuumed,heap_blks_total,blocks}'
        when 'vacuuming indexes' then '{indexes_processed,indexes_total,indexes}'
        when 'cleaning up indexes' then '{indexes_processed,indexes_total,indexes}' end
      when 'analyze' then case
        when r.phase in ('acquiring sample rows', 'acquiring inherited sample rows')
          then '{sample_blks_scanned,sample_blks_total,blocks}'
        when r.phase = 'computing extended statistics'
          then '{ext_stats_computed,ext_stats_total,statistics}' end
      when 'cluster' then case r.phase
        when 'seq scanning heap' then '{heap_blks_scanned,heap_blks_total,blocks}'
        when 'index scanning heap' then '{heap_tuples_scanned,rows,tuples}'
        when 'writing new heap' then '{heap_tuples_written,rows,tuples}'
        when 'rebuilding index' then '{index_rebuild_count,none,indexes}' end
      when 'copy' then case when (p_row ->> 'bytes_total')::numeric > 0
        then '{bytes_processed,bytes_total,bytes}' else '{tuples_processed,rows,tuples}' end
      end::text[] as columns
    from (select p_row ->> 'view' as view, p_row ->> 'phase' as phase) as r
  ) as k
  cross join lateral (
    select (p_row ->> k.columns[1])::numeric as done,
      case k.columns[2] when 'rows' then greatest(p_tuples, 0)
        else (p_row ->> k.columns[2])::numeric end as total
  ) as c;
end;
