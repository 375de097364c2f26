-- The parts that pyworker stands on: pg_background, in which jobs run, and pgmq, which carries
-- them.
--
-- Both are created where the server offers them. A server without pgmq's extension gets pgmq's own
-- SQL: `pyworker install` brings it and applies it before this file; by psql alone it is applied by
-- hand first (sql/README.md). Raises PW097 where pgmq is missing, or where it belongs to a role
-- that pyworker cannot trust.

do $$
begin
  if exists (select from pg_extension where extname = 'pg_background') then
    return;
  end if;
  if to_regnamespace('public') is null then
    raise exception using
      errcode = 'PW091',
      message = 'extension pg_background has no schema to live in',
      detail = 'Schema public does not exist in this database.',
      hint = 'Run: create extension pg_background schema ...;  with a schema of your choice.';
  end if;
  for v_try in 1 .. 5 loop
    begin
      create extension pg_background schema public;
      exit;
    exception
      -- it makes a role of the whole server, and an install into another database made that in this
      -- moment
      when unique_violation or duplicate_object then
        if v_try = 5 then
          raise;
        end if;
    end;
  end loop;
end
$$;

do $$
declare
  v_owner name;
  v_foreign text;
begin
  if to_regnamespace('pgmq') is null then
    if not exists (select from pg_available_extensions where name = 'pgmq') then
      raise exception using
        errcode = 'PW097',
        message = 'pgmq is not there',
        detail
          = 'The server does not offer it as an extension, and the database has no schema pgmq.',
        hint = 'Run `pyworker install`, which brings it, or apply pgmq''s own SQL first '
          '(sql/README.md).';
    end if;
    create extension pgmq;
  end if;

  -- Its functions are called with our rights.
  select pg_get_userbyid(o.owner), o.what
  into v_owner, v_foreign
  from (
    select n.nspowner as owner, 'Schema pgmq' as what from pg_namespace n where n.nspname = 'pgmq'
    union all
    select p.proowner, format('Function %s', p.oid::regprocedure)
    from pg_proc p where p.pronamespace = to_regnamespace('pgmq')
  ) o
  join pg_roles r on r.oid = o.owner
  where not r.rolsuper and r.rolname not in (current_user, 'jobs_owner')
  limit 1;

  if v_owner is not null then
    raise exception using
      errcode = 'PW097',
      message = 'pgmq in this database belongs to a role that pyworker does not trust',
      detail = format('%s belongs to role %I, who could change what pyworker calls.', v_foreign,
          v_owner),
      hint = format('If that is right: reassign owned by %I to %I;  else drop it.', v_owner,
          current_user);
  end if;
end
$$;

-- A publication for all tables makes every UPDATE and DELETE of a table fail that has neither a
-- primary key nor a replica identity: some of pgmq's own have none, and ours change them. A session
-- that may not alter them goes on; `pyworker check` tells what is missing.
do $$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid::regclass from pg_class as c
    where c.relnamespace = to_regnamespace('pgmq') and c.relkind = 'r'
      and c.relreplident in ('d', 'n')
      and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
    order by c.oid
  loop
    begin
      execute format('alter table %s replica identity full', v_table);
    exception
      when insufficient_privilege then
        null;
    end;
  end loop;
end
$$;
