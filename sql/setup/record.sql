-- Records the definitions just applied, for `pyworker check` to compare with; the last file of an
-- install or upgrade.

-- Raises, locks and writes nothing.
create or replace function jobs_internal.schema_now()
returns table (kind text, identity text, md5 text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid))
  from pg_proc p
  where p.pronamespace in (to_regnamespace('jobs'), to_regnamespace('jobs_internal'))
    and p.prokind in ('f', 'p')
  union all
  select 'view', c.oid::regclass::text,
    md5(pg_get_viewdef(c.oid) || coalesce(c.reloptions::text, ''))
  from pg_class c
  where c.relnamespace in (to_regnamespace('jobs'), to_regnamespace('jobs_internal'))
    and c.relkind = 'v'
$$;

comment on function jobs_internal.schema_now() is
  'The functions and views of pyworker as they are now, each with the md5 of its definition.';

revoke all on function jobs_internal.schema_now() from public;

delete from jobs_internal.schema_object;

insert into jobs_internal.schema_object (kind, identity, md5)
select
  now.kind,
  now.identity,
  now.md5
from jobs_internal.schema_now() as now
union all
select
  'files',
  'sql',
  current_setting('pyworker.files_checksum', true)
where current_setting('pyworker.files_checksum', true) <> '';
