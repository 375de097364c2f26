-- Preflight: everything that would make an installation fail or unsafe, said before anything is
--   touched.
--
-- Runs behind the lock of installations (install_lock.sql), and is repeatable. The role that runs
-- it says what is meant by three settings: pyworker.command (install or upgrade),
-- pyworker.schema_version (the version that these files make) and, where known,
-- pyworker.files_checksum. Without them, only what does not need them is checked.
--
-- Errors, each with DETAIL and HINT:
--   PW090  the server is too old, a standby, or has no worker slots
--   PW091  pg_background is missing or too old
--   PW092  the role lacks rights
--   PW093  a schema, role or object that is not ours stands where ours belongs
--   PW094  the database holds a newer schema
--   PW095  the database holds an older schema, and this is an install
--   PW096  the database holds no schema, and this is an upgrade
--   PW097  pgmq is missing or not to be trusted (raised by extensions.sql)

-- The server.
do $$
declare
  v_slots int := current_setting('max_worker_processes')::int;
  v_used int;
begin
  if current_setting('server_version_num')::int < 170000 then
    raise exception using
      errcode = 'PW090',
      message = format('PostgreSQL %s is too old for pyworker', current_setting('server_version')),
      detail = 'pyworker needs PostgreSQL 17 or newer.',
      hint = 'Upgrade the server, or run `pyworker server start` for a private one.';
  end if;

  if pg_is_in_recovery() then
    raise exception using
      errcode = 'PW090',
      message = 'this server is a standby',
      detail = 'A standby is read-only; it receives the schema from its primary.',
      hint = 'Connect to the primary, for example with target_session_attrs=read-write in the DSN.';
  end if;

  if v_slots < 2 then
    raise exception using
      errcode = 'PW090',
      message = 'the server has too few worker slots to run a job',
      detail = format('max_worker_processes is %s. A worker session takes one slot, and a '
        'statement that cannot run in a '
        'transaction takes a second one.', v_slots),
      hint = 'Run: alter system set max_worker_processes = 32;  then restart the server.';
  end if;

  select count(*) into v_used
  from pg_stat_activity
  where backend_type <> all (array['client backend', 'autovacuum launcher', 'autovacuum worker',
        'background writer',
    'checkpointer', 'walwriter', 'walsender', 'walreceiver', 'walsummarizer', 'archiver', 'startup',
    'slotsync worker',
    'io worker', 'logger', 'standalone backend']);
  if v_slots - v_used < 4 then
    raise warning using
      message = format('only %s of %s worker slots %s free', v_slots - v_used, v_slots,
          case when v_slots - v_used = 1 then 'is' else 'are' end),
      detail = 'Worker sessions and their child sessions take one slot each; without a free one, '
        'jobs wait.',
      hint = 'Raise max_worker_processes and restart the server; `pyworker check` computes how '
        'many are needed.';
  end if;
end
$$;

set local transaction_timeout = 0;

-- The extension that everything runs in.
do $$
declare
  v_have text;
  v_offered text;
begin
  select extversion into v_have from pg_extension where extname = 'pg_background';
  select default_version into v_offered from pg_available_extensions where name = 'pg_background';

  if v_have is null and v_offered is null then
    raise exception using
      errcode = 'PW091',
      message = 'extension pg_background is not available on this server',
      detail = 'Its files are not in the server''s extension directory.',
      hint = 'Install the package postgresql-NN-pg-background of the server''s version, or run '
        '`pyworker server start`.';
  end if;

  if split_part(coalesce(v_have, v_offered), '.', 1)::int < 2 then
    raise exception using
      errcode = 'PW091',
      message = format('extension pg_background %s is too old', coalesce(v_have, v_offered)),
      detail = 'pyworker needs pg_background 2.0 or newer.',
      hint = case
        when split_part(v_offered, '.', 1)::int >= 2
          then 'Run: alter extension pg_background update;'
        else 'Install a newer package of pg_background on the server.'
      end;
  end if;
end
$$;

-- The rights of the role that installs. All that is missing is said at once.
do $$
declare
  v_missing text[] := '{}';
  v_cures text[] := '{}';
  v_me text := quote_ident(current_user);
  v_role text;
  v_owner record;  -- of pgmq
begin
  if (select rolsuper from pg_roles where rolname = current_user) then
    return;
  end if;

  if not (select rolcreaterole from pg_roles where rolname = current_user) then
    v_missing := v_missing || 'the attribute CREATEROLE'::text;
    v_cures := v_cures || format('alter role %s createrole;', v_me);
  end if;
  if not has_database_privilege(current_database(), 'CREATE') then
    v_missing := v_missing || format('CREATE on database %I', current_database());
    v_cures := v_cures || format('grant create on database %I to %s;', current_database(), v_me);
  end if;
  -- Those of pyworker are there already where another database of the cluster has it.
  foreach v_role in array array['pg_read_all_stats', 'pg_signal_backend', 'pgbackground_role',
      'jobs_owner',
    'jobs_producer', 'jobs_runner', 'jobs_operator', 'jobs_reader', 'jobs_supervisor']
  loop
    if exists (select from pg_roles where rolname = v_role)
      and not pg_has_role(v_role, 'MEMBER WITH ADMIN OPTION')
    then
      v_missing := v_missing || format('ADMIN OPTION on role %I', v_role);
      v_cures := v_cures || format('grant %I to %s with admin option;', v_role, v_me);
    end if;
  end loop;
  if not exists (select from pg_extension where extname = 'pg_background')
    and not exists (select from pg_available_extension_versions where name = 'pg_background'
        and trusted)
  then
    v_missing := v_missing || 'the right to create extension pg_background'::text;
    v_cures := v_cures || 'create extension pg_background;'::text;
  end if;
  if not exists (select from pg_namespace where nspname = 'pgmq')
    and exists (select from pg_available_extension_versions where name = 'pgmq' and superuser
        and not trusted)
  then
    v_missing := v_missing || 'the right to create extension pgmq'::text;
    v_cures := v_cures || 'create extension pgmq;'::text;
  end if;
  select r.rolname, r.rolsuper into v_owner
  from pg_namespace n join pg_roles r on r.oid = n.nspowner
  where n.nspname = 'pgmq' and not pg_has_role(n.nspowner, 'USAGE');
  if found then
    v_missing := v_missing || 'ownership of schema pgmq, whose rights pyworker hands on'::text;
    v_cures := v_cures || format('grant %I to %s;', v_owner.rolname, v_me);
  end if;

  if v_missing <> '{}' then
    raise exception using
      errcode = 'PW092',
      message = format('role %s may not install pyworker', v_me),
      detail = format('Missing: %s.', array_to_string(v_missing, '; ')),
      hint = case
        -- No role is to be made a member of a superuser for this.
        when v_owner.rolsuper then 'Connect as a superuser: schema pgmq belongs to one.'
        else format('Connect as a superuser, or have one run: %s',
            array_to_string(v_cures, ' ')) end;
  end if;
end
$$;

-- Nothing foreign stands where ours belongs. A role that owned a schema, function or table of ours,
-- or could become its owner, would own every job; so what was planted there beforehand is refused,
-- never adopted.
do $$
declare
  v_owner oid := (select oid from pg_roles where rolname = 'jobs_owner');
  v_what text;
  v_cure text;
begin
  select
    format('Schema %I belongs to role %I.', n.nspname, pg_get_userbyid(n.nspowner)),
    format('alter schema %I rename to %I;', n.nspname, n.nspname || '_old')
  into v_what, v_cure
  from pg_namespace n
  where n.nspname in ('jobs', 'jobs_internal') and n.nspowner is distinct from v_owner
  order by n.nspname
  limit 1;

  if v_what is null and exists (select from pg_namespace where nspname in ('jobs', 'jobs_internal'))
    and not exists (
      select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'jobs_internal' and c.relname = 'schema_migration')
  then
    v_what := 'Schemas of that name are there, but no record of an installation.';
    v_cure := 'drop schema if exists jobs, jobs_internal;';
  end if;

  if v_what is null then
    select format('%s belongs to role %I.', pg_describe_object(o.classid, o.oid, 0),
        pg_get_userbyid(o.owner)),
      'remove it, or give it away with alter ... set schema.'
    into v_what, v_cure
    from (
      select 'pg_class'::regclass as classid, c.oid, c.relowner as owner,
        c.relnamespace as namespace
      from pg_class c where c.relkind <> 'i'
      union all
      select 'pg_proc'::regclass, p.oid, p.proowner, p.pronamespace from pg_proc p
      union all
      select 'pg_type'::regclass, t.oid, t.typowner, t.typnamespace from pg_type t
      union all
      select 'pg_operator'::regclass, r.oid, r.oprowner, r.oprnamespace from pg_operator r
    ) o
    join pg_namespace n on n.oid = o.namespace
    where n.nspname in ('jobs', 'jobs_internal') and o.owner is distinct from v_owner
    order by o.classid, o.oid
    limit 1;
  end if;

  if v_what is null then
    select format('Role %I has %s.', r.rolname, case
        when r.rolsuper then 'SUPERUSER' when r.rolcreaterole then 'CREATEROLE'
          when r.rolreplication then 'REPLICATION'
        when r.rolbypassrls then 'BYPASSRLS' else 'LOGIN' end),
      format('alter role %I nosuperuser nocreaterole noreplication nobypassrls nologin;', r.rolname)
    into v_what, v_cure
    from pg_roles r
    where r.rolname in ('jobs_owner', 'jobs_producer', 'jobs_runner', 'jobs_operator',
        'jobs_reader', 'jobs_supervisor')
      and (r.rolsuper or r.rolcreaterole or r.rolreplication or r.rolbypassrls
        or (r.rolcanlogin and r.rolname = 'jobs_owner'))
    order by r.rolname
    limit 1;
  end if;

  if v_what is not null then
    raise exception using
      errcode = 'PW093',
      message = 'something that is not pyworker''s stands where its schema belongs',
      detail = v_what,
      hint = format('Look at it, then, if it may go: %s', v_cure);
  end if;
end
$$;

-- The versions: what is there, and what these files make.
do $$
declare
  v_command text := current_setting('pyworker.command', true);
  v_new int := nullif(current_setting('pyworker.schema_version', true), '')::int;
  v_old int;
begin
  if exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'jobs_internal' and c.relname = 'schema_migration')
  then
    -- Only the owner may read it.
    if not pg_has_role('jobs_owner', 'SET') then
      execute format('grant jobs_owner to %I with set true, inherit false', current_user);
    end if;
    set local role jobs_owner;
    execute 'select max(version) from jobs_internal.schema_migration' into v_old;
    set local role none;
  end if;

  if v_old > v_new then
    raise exception using
      errcode = 'PW094',
      message = 'the database holds a newer pyworker schema than this program',
      detail = format('The database has version %s, this program has version %s.', v_old, v_new),
      hint = 'Use a newer pyworker. Nothing was changed.';
  elsif v_command = 'install' and v_old < v_new then
    raise exception using
      errcode = 'PW095',
      message = 'the database holds an older pyworker schema',
      detail = format('The database has version %s, this program has version %s.', v_old, v_new),
      hint = 'Run `pyworker upgrade`. Jobs stay; tables are changed by the migrations in '
        'sql/migrations.';
  elsif v_command = 'upgrade' and v_old is null then
    raise exception using
      errcode = 'PW096',
      message = format('database %I holds no pyworker schema', current_database()),
      detail = 'There is nothing to upgrade.',
      hint = 'Run `pyworker install`.';
  end if;
end
$$;
