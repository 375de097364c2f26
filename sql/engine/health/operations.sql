-- Checks of jobs.health: what long operations have left for a person to decide.

-- Indexes that jobs built more than a week ago and that no scan has used since. Not those that are
-- there for another reason: unique ones, those of constraints, a replica identity. Nothing is said
-- where the statistics were reset meanwhile, where the table was not read either, or where the
-- caller may not know of them.
create or replace function jobs_internal.health_unused_indexes(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when u.count > 0 then 'warning' else 'ok' end,
    case when u.count > 0 then format('no scan has used them in the week or more since a job built '
        'them: %s', u.names) else 'none that a job built' end,
    u.remedy
  from (
    select count(*),
      left(string_agg(format('%s (job %s)', c.oid::regclass, o.job_id), ', ' order by o.job_id),
        2000),
      left(string_agg(case when o.undo_sql is not null then format('select jobs.undo(%s);',
          o.job_id) else format('drop index concurrently %s;', c.oid::regclass) end, ' '
          order by o.job_id), 2000)
        || '  -- as their owner; or leave them'
    from (
      -- OFFSET 0: what a job built is found by the index of that, before all else is asked of it
      select b.*, i.indexrelid, i.indrelid
      from pg_index as i
      cross join lateral (
        select o.job_id, o.owner, o.undo_sql, o.ended_at from jobs_internal.operation as o
        where o.before #>> '{way_back,index}' = i.indexrelid::text
          and o.kind in ('create index', 'create index concurrently') and o.state = 'succeeded'
          and o.undone_by is null and o.ended_at < now() - interval '7 days'
        offset 0) as b
      where not i.indisunique and not i.indisreplident
        and pg_stat_get_numscans(i.indexrelid) = 0
      offset 0
    ) as o
    join pg_class as c on c.oid = o.indexrelid
    where not exists (select from pg_constraint as n where n.conindid = o.indexrelid)
      and coalesce(pg_stat_get_db_stat_reset_time((select d.oid from pg_database as d
          where d.datname = current_database())) < o.ended_at, true)
      -- the statistics of a crashed server begin anew: its table was read since
      and (pg_stat_get_numscans(o.indrelid) > 0 or exists (select from pg_index as other
        where other.indrelid = o.indrelid and pg_stat_get_numscans(other.indexrelid) > 0))
      and (jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
        or jobs_internal.caller_is('jobs_supervisor') or o.owner = jobs_internal.viewer())
  ) as u (count, names, remedy);
end;
