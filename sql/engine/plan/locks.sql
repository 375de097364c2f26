-- What a statement locks, in SQL's words, and which sessions are in its way now.

-- A lock mode as SQL writes it: ACCESS EXCLUSIVE for AccessExclusiveLock.
create or replace function jobs_internal.lock_in_words(p_mode text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select upper(regexp_replace(regexp_replace(p_mode, 'Lock$', ''), '([a-z])([A-Z])', '\1 \2', 'g'));
end;

-- The lock that a statement takes on what it works on; null: it is not known.
create or replace function jobs_internal.plan_lock(p_read jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select k.lock_mode from jobs_internal.operation_kinds() as k
      where k.kind = p_read -> 'operation' ->> 'kind'),
    p_read -> 'operation' ->> 'lock_mode',
    case when p_read ->> 'command' in ('insert', 'update', 'delete', 'merge')
      then 'RowExclusiveLock' end);
end;

-- What others cannot do to the table meanwhile. A lock on an index counts as one on its table: a
-- query of the table locks its indexes when it is planned.
create or replace function jobs_internal.blocks(p_mode text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_mode
    when 'AccessExclusiveLock' then 'reads and writes'
    when 'ExclusiveLock' then 'writes'
    when 'ShareRowExclusiveLock' then 'writes'
    when 'ShareLock' then 'writes'
    when 'ShareUpdateExclusiveLock' then 'DDL'
    else case when p_mode is not null then 'nothing' end end;
end;

-- The sessions that would hold up a statement now: those that hold a conflicting lock on one of the
-- relations, and for one that waits for transactions of others those that it would wait for. Own
-- session and autovacuum, which gives way by itself, apart. A prepared transaction shows as pid 0.
create or replace function jobs_internal.plan_blocked_by(p_relations oid[], p_mode text,
    p_kind text)
returns integer[]
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select array(
    select coalesce(l.pid, 0)
    from pg_locks as l
    left join pg_stat_get_activity(l.pid) as a on true
    where l.locktype = 'relation' and l.granted and l.relation = any (p_relations)
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and l.pid is distinct from pg_backend_pid()
      and a.backend_type is distinct from 'autovacuum worker'
      and (jobs_internal.modes_conflict(p_mode, l.mode)
        or p_kind in ('create index concurrently', 'reindex concurrently',
          'drop index concurrently', 'detach partition concurrently', 'repack concurrently')
        and (jobs_internal.lock_strength(l.mode) >= 3 or p_kind <> 'create index concurrently'))
    union
    -- a snapshot for which a build waits before it ends
    select a.pid
    from pg_stat_activity as a
    where p_kind in ('create index concurrently', 'reindex concurrently') and p_relations <> '{}'
      and a.datname = current_database() and a.backend_xmin is not null
      and a.pid <> pg_backend_pid() and a.backend_type in ('client backend', 'background worker')
      and not exists (select from pg_stat_progress_vacuum as v where v.pid = a.pid)
      and coalesce(a.xact_start, a.query_start) < clock_timestamp() - interval '1 second'
    order by 1);
end;
