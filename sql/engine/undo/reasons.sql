-- Why there is no way back: for jobs.plan before, and for jobs.undo after.

-- Why a kind of operation has no way back that is known without one that was given; null: it has
-- one. p_operation: as operation_of.
create or replace function jobs_internal.no_way_back(p_operation jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when k.kind is null then 'what undoes this statement is not known'
    when k.kind in ('create index', 'create index concurrently', 'drop index',
      'drop index concurrently', 'set not null', 'attach partition', 'detach partition',
      'detach partition concurrently') then null
    when k.kind = 'add constraint' then case when p_operation ? 'using_index'
      then 'the constraint takes over an index that was there before, and dropping it drops that '
        'index too' end
    when k.kind = 'analyze' then case
      when current_setting('server_version_num')::integer < 180000
        then 'statistics cannot be put back before PostgreSQL 18' end
    when k.kind = 'validate constraint'
      then 'it checks rows and changes none: there is nothing to take back'
    when k.kind in ('reindex', 'reindex concurrently')
      then 'it makes each index anew with the same definition: there is nothing to take back'
    when k.kind = 'vacuum' then 'it removes only rows that no transaction can see'
    when k.kind in ('vacuum full', 'cluster', 'repack', 'repack concurrently')
      then 'it writes the same rows anew: there is nothing to take back'
    when k.kind in ('refresh materialized view', 'refresh materialized view concurrently')
      then 'the rows as they were before are not kept'
    when k.kind = 'copy' then 'the rows that it copied are not told apart from others'
    when k.kind = 'truncate' then 'the rows are gone'
    else 'what undoes this statement is not known' end
  from (select p_operation ->> 'kind' as kind) as k;
end;

-- An object's qualified name, whatever the path of the session.
create or replace function jobs_internal.qualified(p_relation oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%I.%I', n.nspname, c.relname)
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where c.oid = p_relation;
end;

-- The statement that makes an index anew, where it is; CONCURRENTLY, but for a partitioned table.
-- pg_get_indexdef leaves the tablespace out, which stands before the condition.
create or replace function jobs_internal.create_index_text(p_index oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when c.relkind = 'i' then regexp_replace(
        case when t.spcname is null then d.text else left(d.text, d.at - 1)
          || format(' TABLESPACE %I', t.spcname) || substr(d.text, d.at) end,
        '^CREATE( UNIQUE)? INDEX ', 'CREATE\1 INDEX CONCURRENTLY ')
      else d.text end
  from pg_class as c
  join pg_index as i on i.indexrelid = c.oid
  -- that of the database too, where a setting would name another one
  left join pg_tablespace as t on t.oid = coalesce(nullif(c.reltablespace, 0), case
      when current_setting('default_tablespace') <> '' then (select b.dattablespace
        from pg_database as b where b.datname = current_database()) end)
  cross join lateral (
    select x.text, case when i.indpred is null then length(x.text) + 1
      else (select min(p) from generate_series(1, length(x.text)) as p
        where substr(x.text, p, 7) = ' WHERE ' and regexp_replace(substr(x.text, p + 7), '\s', '',
            'g') = regexp_replace(pg_get_expr(i.indpred, i.indrelid), '\s', '', 'g')) end as at
    from (select pg_get_indexdef(c.oid) as text) as x
  ) as d
  where c.oid = p_index;
end;

-- The statement that makes a table a partition again.
create or replace function jobs_internal.attach_text(p_parent oid, p_partition oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('alter table %s attach partition %s %s', jobs_internal.qualified(p_parent),
    jobs_internal.qualified(p_partition), pg_get_expr(c.relpartbound, c.oid))
  from pg_class as c
  where c.oid = p_partition and c.relispartition;
end;

-- The statement that detaches a partition. Not CONCURRENTLY: that leaves a CHECK of its bound on
-- the table, which refuses rows that the table took before it was attached.
create or replace function jobs_internal.detach_text(p_parent oid, p_partition oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('alter table %s detach partition %s', jobs_internal.qualified(p_parent),
    jobs_internal.qualified(p_partition))
  from pg_partitioned_table as t
  where t.partrelid = p_parent;
end;
