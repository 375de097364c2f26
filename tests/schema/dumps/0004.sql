-- The schema of version 4, before the next migration. Written by tests/schema/dump.py; do not edit.

\set ON_ERROR_STOP on
\set QUIET on
begin;
set local transaction_isolation = 'read committed';
set local transaction_read_only = off;
set local pyworker.command = 'install';
set local pyworker.schema_version = '4';
set local search_path = pg_catalog, pg_temp;
do $$
declare
  v_key constant bigint := pg_catalog.hashtext('pyworker install');
  v_holders text;
begin
  perform pg_catalog.set_config('lock_timeout',
      coalesce(nullif(pg_catalog.current_setting('pyworker.install_wait', true), ''), '10s'), true);
  perform pg_catalog.pg_advisory_xact_lock(v_key);
exception
  when lock_not_available then
    select pg_catalog.string_agg(pg_catalog.format('process %s (%s%s, since %s)', l.pid,
          coalesce(a.usename, 'unknown'),
      ', ' || nullif(a.application_name, ''),
        coalesce(a.xact_start, a.backend_start)::timestamptz(0)), ', ')
    into v_holders
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and (l.classid::bigint << 32 | l.objid::bigint) = v_key
      and l.database = (select d.oid from pg_catalog.pg_database as d
          where d.datname = pg_catalog.current_database());
    raise exception using
      errcode = 'PW089',
      message = 'another session holds the lock of installations of this database',
      detail = pg_catalog.format('It is held by %s.',
          coalesce(v_holders, 'a session that has ended meanwhile')),
      hint = 'Where that is no install, upgrade or uninstall, any role may have taken it: end that '
        'session (select '
        'pg_terminate_backend(PID)). Then retry. Nothing was changed.';
end
$$;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local lock_timeout = '30s';
set local client_min_messages = warning;
set local standard_conforming_strings = on;
set local default_tablespace = '';
set local default_table_access_method = heap;
select not exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'jobs_internal' and c.relname = 'schema_migration') as pyworker_fresh \gset
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
        when v_owner.rolsuper then 'Connect as a superuser: schema pgmq belongs to one.'
        else format('Connect as a superuser, or have one run: %s',
            array_to_string(v_cures, ' ')) end;
  end if;
end
$$;
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
  create extension pg_background schema public;
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
do $$
declare
  v_role text;
begin
  foreach v_role in array array['jobs_owner', 'jobs_producer', 'jobs_runner', 'jobs_operator',
      'jobs_reader', 'jobs_supervisor'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      execute pg_catalog.format('create role %I nologin', v_role);
    end if;
  end loop;
  if not pg_catalog.pg_has_role(current_user, 'jobs_owner', 'SET') then
    execute pg_catalog.format('grant jobs_owner to %I with set true, inherit false', current_user);
  end if;
  grant pg_read_all_stats, pg_signal_backend to jobs_owner;
  grant pg_signal_backend, pg_read_all_stats to jobs_supervisor;
  grant pgbackground_role to jobs_owner, jobs_runner;
end
$$;
comment on role jobs_owner is
  'pyworker: owns the schemas jobs and jobs_internal; no login';
comment on role jobs_producer is 'pyworker: may enqueue jobs, and see and control its own';
comment on role jobs_runner is 'pyworker: its jobs may run; the supervisor connects as its members';
comment on role jobs_operator
  is 'pyworker: may cancel, retry, pause and configure everything; runs nothing in another''s name';
comment on role jobs_reader
  is 'pyworker: may read the views, without arguments, statements, results and error texts';
comment on role jobs_supervisor is 'pyworker: what the daemon needs';
create schema if not exists jobs authorization jobs_owner;
create schema if not exists jobs_internal authorization jobs_owner;
grant usage, create on schema pgmq to jobs_owner;
grant all on all tables in schema pgmq to jobs_owner;
grant all on all sequences in schema pgmq to jobs_owner;
grant execute on all functions in schema pgmq to jobs_owner;
set local role jobs_owner;
comment
  on schema jobs
    is 'pyworker, the public part: functions to enqueue and control jobs, views to see them';
comment on schema jobs_internal
  is 'pyworker, the private part: tables and helpers; use schema jobs';
alter default privileges for role jobs_owner in schema jobs revoke execute on routines from public;
alter default privileges for role jobs_owner revoke execute on routines from public;
create table if not exists jobs_internal.schema_migration (
  version int not null,
  name text not null,
  applied_at timestamptz not null default clock_timestamp(),
  applied_by text not null default session_user,
  constraint schema_migration_pkey primary key (version)
);
comment on table jobs_internal.schema_migration is
  'One row for each migration that this database holds. The highest version is the version of the '
  'schema.';
comment on column jobs_internal.schema_migration.version is
  'Number of the migration; 0 is the first installation.';
comment on column jobs_internal.schema_migration.name is
  'Name of its file without number and suffix; "base" for version 0.';
comment on column jobs_internal.schema_migration.applied_at is
  'When it was applied; a fresh installation holds all of them at once.';
comment on column jobs_internal.schema_migration.applied_by is
  'The login that applied it.';
create table if not exists jobs_internal.schema_object (
  kind text not null,
  identity text not null,
  md5 text not null,
  constraint schema_object_pkey primary key (kind, identity),
  constraint schema_object_kind_check check (kind in ('function', 'view', 'files'))
);
comment on table jobs_internal.schema_object is
  'The functions and views as they were applied last, so that `pyworker check` can name those '
  'changed by hand.';
comment on column jobs_internal.schema_object.kind is
  'function, view, or files: the checksum of the SQL files, where the installer knew it.';
comment on column jobs_internal.schema_object.identity is
  'Schema, name and argument types.';
comment on column jobs_internal.schema_object.md5 is
  'md5 of the definition as the server renders it.';
do $$
declare
  v_new int := nullif(current_setting('pyworker.schema_version', true), '')::int;
  v_old int := (select max(m.version) from jobs_internal.schema_migration as m);
  v_left text;
begin
  if v_old is null or v_old >= v_new then
    return;
  end if;
  set local lock_timeout = '10s';
  lock table jobs_internal.session in access exclusive mode;
  set local lock_timeout to default;
  select string_agg(format('process %s of role %s', s.pid, pg_get_userbyid(s.owner))
      || coalesce(', job ' || s.job_id, ''), '; ' order by s.id)
  into v_left
  from jobs_internal.session as s
  join pg_stat_get_activity(s.pid) as a on a.backend_start = s.backend_start;
  if v_left is not null then
    raise exception using
      errcode = 'PW088',
      message = 'worker sessions of the older version are at work',
      detail = format('They are: %s.', v_left),
      hint = 'Run `pyworker upgrade`, which waits for them. By psql: select jobs.pause(); wait '
        'until jobs.sessions is empty, run this again, select jobs.resume(); Nothing was changed.';
  end if;
end
$$;
do $$
declare
  v_views text;
begin
  select string_agg(format('%I.%I', n.nspname, c.relname), ', ')
  into v_views
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('jobs', 'jobs_internal') and c.relkind = 'v'
    and pg_get_userbyid(c.relowner) = 'jobs_owner';
  if v_views is not null then
    begin
      execute format('drop view %s restrict', v_views);
    exception when dependent_objects_still_exist then
      null;  -- views are replaced in place
    end;
  end if;
end
$$;
do $$
declare
  v_left int := -1;
  v_before int;
  v_function regprocedure;
begin
  loop
    v_before := v_left;
    v_left := 0;
    for v_function in
      select p.oid
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('jobs', 'jobs_internal') and pg_get_userbyid(p.proowner) = 'jobs_owner'
      order by p.oid desc
    loop
      begin
        execute format('drop routine %s restrict', v_function);
      exception when dependent_objects_still_exist then
        v_left := v_left + 1;
      end;
    end loop;
    exit when v_left in (0, v_before);
  end loop;
end
$$;
create or replace function jobs_internal.is_state(p_state text, p_due_at timestamptz,
    p_msg_id bigint, p_session_id bigint)
returns boolean
language plpgsql immutable
as $$
begin
  return pg_catalog.num_nonnulls(p_due_at, p_msg_id, p_session_id) operator(pg_catalog.=) 1
    and p_state operator(pg_catalog.=)
      case when p_due_at is not null then 'scheduled' when p_msg_id is not null then 'queued'
        else 'running' end;
end
$$;
\if :pyworker_fresh
create type jobs_internal.claim as (
  lane_id integer,
  msg_ids bigint[],      -- in the order in which they are to run
  lease timestamptz,     -- the vt that the messages carry now: the token of this claim
  waiting boolean,       -- nothing was claimed although work is due (no free slot in the queue)
  full_up boolean,       -- as many messages as were asked for: there may be more
  suspects boolean,
  surplus boolean
);
create type jobs_internal.work_item as (
  msg_id bigint,
  job_id bigint,
  attempt integer,       -- the number of the attempt that is about to be made
  call_template_id integer,      -- null for a statement
  call text,             -- the SQL text that calls the function with the arguments in $1
  args jsonb,
  statement text,
  mode text,
  timeout_ms bigint,     -- null: none
  settings jsonb,        -- null: none
  done_when text,
  verify boolean,        -- ask done_when first: an earlier attempt ended unseen
  quick boolean,         -- known to be short, whatever else makes it run alone
  constraints boolean,
  queued_at timestamptz, -- when it entered its lane: from then on it waited for a session
  task text,             -- of a statement: its first words
  path text,
  chunk_call text        -- as in call_template
);
create type jobs_internal.attempt_result as (
  job_id bigint,
  attempt integer,
  outcome text,
  started_at timestamptz,
  finished_at timestamptz,
  child_pid integer,
  result jsonb,
  error jsonb,
  logs jsonb,            -- array of {at, level, message, fields}
  last boolean,
  call_template_id integer,      -- null for a statement
  queued_at timestamptz, -- as in work_item
  task text,             -- as in work_item
  rows bigint,
  wal_bytes bigint,      -- this and the following: null where it was not measured
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint
);
create type jobs_internal.chunk_run as (
  attempt_results jobs_internal.attempt_result[],
  msg_ids bigint[],      -- the messages of these jobs, and of items where there was nothing to run
  call_template_ids integer[],  -- the functions that were called, each once
  leave boolean,         -- the session was signalled without a known reason
  plain boolean,         -- they ran in a row without subtransactions
  needs_savepoint integer
);
create type jobs_internal.run_stats as (
  lane_id integer,
  call_template_id integer,
  task text,             -- of statements
  runs bigint,
  failed bigint,
  ms double precision,
  waited_ms double precision,
  renames boolean,       -- a run set application_name
  measured bigint,       -- the sums that follow are of so many runs
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint
);
create type jobs_internal.worker_state as (
  session_id bigint,
  backend integer,       -- its number among the server's backends
  path text,             -- the search_path of the owner, with which jobs run
  baseline jsonb,        -- what is set again after each RESET ALL; null: nothing
  linger_ms integer,     -- how long it waits for more work before it ends
  margin_ms bigint,      -- these and the following: settings
  short_ms double precision,
  chunk_jobs integer,
  chunk_ms bigint,
  measure_cost boolean,
  lifetime interval,
  max_jobs bigint,
  ends_at timestamptz,
  jobs bigint,           -- that have ended in it
  leave boolean,         -- it takes no further job
  abandons boolean,      -- it leaves a child session behind, and writes nothing any more
  lane_id integer,       -- null: nothing was claimed
  msg_ids bigint[],
  lease timestamptz,
  waiting boolean,       -- as in claim
  full_up boolean,       -- as in claim
  surplus boolean,       -- as in claim
  claim_open boolean,    -- the claim is not committed yet
  next integer,          -- place in msg_ids of the message that is opened next
  give_back boolean,     -- messages were passed over, or are too many: the next claim gives them back
  stats_written boolean, -- the claim has written what was learned before it
  defers boolean,        -- each job needs a commit of its own (has_deferrable_constraints)
  measured integer[],
  claim_limit integer,   -- messages that the next claim asks for
  chunk_size integer,    -- messages that the next chunk opens
  one_by_one boolean,    -- a chunk failed: the next job answers for itself
  small_claims integer,  -- claims of a few messages, one right after the other
  stats jobs_internal.run_stats[],      -- null: no attempt has ended
  last_ms double precision,      -- how long the last of its jobs took
  in_a_row boolean,      -- its jobs had no subtransactions of their own
  needs_savepoint integer,       -- as in chunk_run
  idle_since timestamptz,        -- null: it has work
  slots_settled boolean, -- no session was in the middle of a claim when it last waited for a slot
  looked_at timestamptz, -- its last claim that found nothing; null: none yet
  high_water_mark numeric,       -- of its lanes, before the claim
  seen_mark numeric,     -- and before the one before
  eager_until timestamptz,       -- a message is on its way until then, and not committed yet
  defers_asked_at timestamptz,
  stats_written_at timestamptz
);
create type jobs_internal.worker_trust as (
  call_template_ids integer[],
  successes bigint[],    -- of each, in a row; negative: it failed once
  trusted integer[]      -- those that may run without subtransactions
);
create type jobs_internal.child_report as (
  completed boolean,
  has_error boolean,
  command_tag text,
  sqlstate text,         -- this and the following: of its error
  message text,
  detail text,
  hint text,
  context text,
  table_name text,
  constraint_name text
);
create type jobs_internal.child_state as (
  path text,             -- the search_path of the statement, and of its post-condition
  statement text,        -- what it runs
  columns text,          -- of the row that a CALL sends; null: none is read
  figures jsonb,         -- what the statement had cost before; null: that is not known
  pid integer,
  cookie bigint,
  started_at timestamptz,        -- its backend_start; null: it has not connected yet
  lost boolean,          -- a signal came between its start and our knowledge of it
  noted boolean,         -- its job knows its pid and start
  let_go boolean,        -- it is detached, and how it ends is not read
  sent jsonb,            -- the row that a CALL has sent
  has_sent boolean,      -- that was read while it lived: it has done its work
  stop_reason text       -- why it was to stop, when it had ended
);
create table jobs_internal.setting (
  name text primary key,
  value text not null,
  unit text not null,
  description text not null
);
comment on table jobs_internal.setting
  is 'Settings of this installation; jobs.configure changes them';
comment on column jobs_internal.setting.name is 'Name';
comment on column jobs_internal.setting.value is 'Value, as text';
comment on column jobs_internal.setting.unit is 'Unit of the value';
comment on column jobs_internal.setting.description is 'What it does';
insert into jobs_internal.setting (name, value, unit, description) values
  ('chunk_jobs', '100', 'jobs', 'short jobs that one transaction holds at most; no more than 40 of '
    'them with a subtransaction each'),
  ('chunk_ms', '50', 'ms', 'a chunk is committed after this time'),
  ('short_ms', '10', 'ms', 'a function whose calls take less on average may share a transaction'),
  ('claim_jobs', '1000', 'jobs', 'messages that one claim leases at most'),
  ('claim_ms', '1000', 'ms', 'known work that one claim leases at most'),
  ('lease_seconds', '30', 's',
      'a claimed message that no session works on is visible again after this time'),
  ('session_seconds', '60', 's',
      'a worker session ends after this time, so that the server counts what it did'),
  ('session_jobs', '50000', 'jobs', 'a worker session ends after so many jobs'),
  ('sessions_per_owner', '16', 'sessions',
      'worker sessions that the supervisor starts for one owner at most'),
  ('worker_slot_reserve', '4', 'slots', 'jobs.health and pyworker check warn when fewer background '
    'worker slots of the server are left'),
  ('timeout_margin_ms', '2000', 'ms',
      'the server itself ends a job so much later than its timeout, when no supervisor does'),
  ('result_rows', '1000', 'rows', 'a set-returning function may return so many rows'),
  ('result_bytes', '1000000', 'bytes', 'a result may be so large'),
  ('log_lines', '1000', 'lines', 'jobs.log keeps so many lines of one attempt'),
  ('measure_cost', 'on', 'on/off', 'what attempts cost (WAL, buffers, temporary files) is '
    'measured: of jobs that run alone each, of others a sample'),
  ('child_queue_bytes', '1048576', 'bytes',
      'messages that a child session may send before its watcher lets go of it');
create table jobs_internal.switch (
  id boolean primary key default true check (id),
  paused boolean not null default false,
  changed_by text,
  changed_at timestamptz
);
comment on table jobs_internal.switch
  is 'One row: the switch that stops everything (jobs.pause() without a name)';
comment on column jobs_internal.switch.id is 'Always true: there is one row';
comment on column jobs_internal.switch.paused is 'Everything is paused';
comment on column jobs_internal.switch.changed_by is 'Login that changed it last';
comment on column jobs_internal.switch.changed_at is 'When it was changed last';
insert into jobs_internal.switch default values;
create table jobs_internal.retry_rule (
  pattern text primary key check (pattern ~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|\*)$'),
  retry boolean not null,
  why text not null
);
comment on table jobs_internal.retry_rule is 'Which errors are worth another attempt: the rule '
  'with the longest pattern that fits the SQLSTATE decides';
comment on column jobs_internal.retry_rule.pattern
  is 'SQLSTATE (5 characters), class (2), or * for all others';
comment on column jobs_internal.retry_rule.retry is 'Another attempt is worth it';
comment on column jobs_internal.retry_rule.why is 'Reason';
insert into jobs_internal.retry_rule (pattern, retry, why) values
  ('*',
      true, 'what the function raises itself (P0001) and whatever is not listed may pass the next '
        'time'),
  ('08', true, 'connection exceptions pass'),
  ('0A', false, 'a feature that is not supported stays so'),
  ('22', false, 'data exception: the same data fails again'),
  ('23', false, 'integrity constraint violation: the same rows fail again'),
  ('23P01', true, 'exclusion conflict with work that may be gone the next time'),
  ('25', false, 'invalid transaction state: the statement cannot run where it ran'),
  ('26', false, 'invalid statement name'),
  ('28', false, 'invalid authorization'),
  ('2D', false, 'invalid transaction termination'),
  ('3D', false, 'no such database'),
  ('3F', false, 'no such schema'),
  ('40', true, 'serialization failure or deadlock: made for a retry'),
  ('42', false, 'syntax error, undefined or forbidden: the same statement fails again'),
  ('44', false, 'WITH CHECK OPTION violation'),
  ('53', true, 'insufficient resources pass'),
  ('54', false, 'a program limit stays'),
  ('55', false, 'an object that is not in the state that the statement needs stays so'),
  ('55006', true, 'object in use: passes'),
  ('55P03', true, 'lock not available: passes'),
  ('57', true, 'operator intervention or timeout: passes'),
  ('58', true, 'system error outside the database: passes'),
  ('PW', false, 'refused by pyworker: the same job is refused again'),
  ('PWT01', true, 'timed out: the next attempt may be faster'),
  ('PWL01', true, 'the session was lost: the next may live'),
  ('PWL02', false, 'the server crashes whenever it runs'),
  ('XX', false, 'internal error: a person should look first');
create table jobs_internal.queue (
  id integer generated always as identity primary key,
  name text not null,
  paused boolean not null default false,
  accepting boolean not null default true,
  concurrency integer check (concurrency between 1 and 1000),
  timeout interval check (timeout > interval '0'),
  max_attempts integer not null default 3 check (max_attempts >= 1),
  backoff interval not null default '1 second' check (backoff between interval '0' and interval
      '1000 years'),
  backoff_cap interval not null default
    '1 hour' check (backoff_cap between interval '0' and interval '1000 years'),
  retention interval not null default '7 days' check (retention between interval '0' and interval
      '1000 years' or retention = 'infinity'),
  retention_rows bigint check (retention_rows >= 1),
  class_id integer not null default 1,
  share_commits boolean not null default true,
  created_by text not null default session_user,
  created_at timestamptz not null default now(),
  dropped_at timestamptz,
  dropped_by xid8,
  horizon_xid xid8,
  removed_at timestamptz,
  constraint queue_dropped_key unique (id, dropped_at)
);
create unique index queue_name_key on jobs_internal.queue (name) where dropped_at is null;
comment on table jobs_internal.queue is 'Queues; a dropped one stays as long as its history does';
comment on column jobs_internal.queue.id is 'Number';
comment on column jobs_internal.queue.name is 'Name; unique among the queues that are not dropped';
comment on column jobs_internal.queue.paused is 'Its jobs do not start';
comment on column jobs_internal.queue.accepting is 'It accepts new jobs';
comment on column jobs_internal.queue.concurrency
  is 'Jobs that run at once at most; null: no limit';
comment on column jobs_internal.queue.timeout is 'Timeout of a job that names none; null: none';
comment on column jobs_internal.queue.max_attempts is 'Attempts of a job that names no number';
comment on column jobs_internal.queue.backoff
  is 'Wait before the second attempt; doubles with each further one';
comment on column jobs_internal.queue.backoff_cap is 'Longest wait between two attempts';
comment on column jobs_internal.queue.retention is 'Finished jobs are kept so long at least';
comment on column jobs_internal.queue.retention_rows is 'So many finished jobs are kept at least, '
  'then older ones go whatever their age; null: no limit';
comment on column jobs_internal.queue.class_id is 'Retention class: where its finished jobs go';
comment on column jobs_internal.queue.share_commits is 'Short jobs may share a transaction';
comment on column jobs_internal.queue.created_by is 'Login that made it';
comment on column jobs_internal.queue.created_at is 'When it was made';
comment on column jobs_internal.queue.dropped_at
  is 'When it was dropped: it accepts no job any more; null: in use';
comment on column jobs_internal.queue.dropped_by is 'Transaction that dropped it';
comment on column jobs_internal.queue.horizon_xid
  is 'Dropped: transactions from this number on are sure '
  'to have seen that; null: not looked yet';
comment on column jobs_internal.queue.removed_at
  is 'When its lanes were removed, after its last job; null: jobs of it may be there';
insert into jobs_internal.queue (name, concurrency) values ('default', 16);
create table jobs_internal.slot (
  queue_id integer not null,
  n integer not null,
  session_id bigint,
  primary key (queue_id, n)
) with (fillfactor = 50);
create index slot_session_idx on jobs_internal.slot (session_id) where session_id is not null;
comment on table jobs_internal.slot is 'One row per job that a queue may run at once; a session '
  'holds a row while it works for the queue';
comment on column jobs_internal.slot.queue_id is 'Queue';
comment on column jobs_internal.slot.n is '1 to the queue''s concurrency';
comment on column jobs_internal.slot.session_id is 'Session that holds it; null: free';
insert into jobs_internal.slot (queue_id, n) select q.id, g from jobs_internal.queue as q,
  generate_series(1, q.concurrency) as g;
create table jobs_internal.lane (
  id integer generated always as identity primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null check (priority between 0 and 2),
  pgmq_queue text not null,
  avg_ms double precision,
  served_at timestamptz not null default now(),
  scan_start bigint not null default 0,
  scan_start_at timestamptz,
  idle_state text not null default 'active'
    check (idle_state in ('active', 'going_idle', 'idle')),
  horizon_xid xid8,
  quarantine jsonb,
  refused boolean not null default false,
  unique (queue_id, owner, priority)
) with (fillfactor = 50);
comment on table jobs_internal.lane
  is 'Lanes: the jobs of one owner in one queue at one priority; each is one pgmq queue';
comment on column jobs_internal.lane.id is 'Number';
comment on column jobs_internal.lane.queue_id is 'Queue';
comment on column jobs_internal.lane.owner is 'Owner';
comment on column jobs_internal.lane.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.lane.pgmq_queue is 'Name of the pgmq queue';
comment on column jobs_internal.lane.avg_ms
  is 'Moving average of the time that a job takes, ms; null: unknown';
comment on column jobs_internal.lane.served_at
  is 'Last claim; the lane that waited longest is next';
comment on column jobs_internal.lane.scan_start
  is 'Up to this message there was none when a session looked at scan_start_at; '
  '0: a scan from the beginning costs nothing';
comment on column jobs_internal.lane.scan_start_at is 'When a session looked';
comment on column jobs_internal.lane.idle_state
  is 'idle: it is empty, and no session looks until a wakeup request names it; '
  'going_idle: on its way there';
comment on column jobs_internal.lane.horizon_xid
  is 'Going idle: transactions from this number on are sure to have seen that; '
  'null: not looked yet';
comment on column jobs_internal.lane.quarantine
  is 'Why nothing of it is started: the job and session that cannot be stopped; null: in use';
comment on column jobs_internal.lane.refused
  is 'Its owner''s jobs were refused when a supervisor looked last: an enqueue looks itself';
create table jobs_internal.wakeup_request (
  lane_id integer not null,
  made_by xid8 not null default pg_current_xact_id(),
  primary key (lane_id, made_by)
);
comment on table jobs_internal.wakeup_request is 'Idle lanes that got a message: a row of the '
  'enqueuer''s own, so that none waits for another';
comment on column jobs_internal.wakeup_request.lane_id is 'Lane';
comment on column jobs_internal.wakeup_request.made_by
  is 'Transaction that left it: one row for all of its messages';
create table jobs_internal.call_template (
  id integer generated always as identity primary key,
  func oid not null,
  version xid not null,
  func_ctid tid not null,
  func_owner oid not null,
  maker oid not null,
  made_at timestamptz not null default clock_timestamp(),
  keys text[] not null,
  fit integer not null,
  signature text not null,
  task text not null,
  whole boolean not null,
  procedure boolean not null,
  cast_query text,
  call text not null,
  retired_by xid8,
  horizon_xid xid8,
  chunk_call text
);
create index call_template_func_idx on jobs_internal.call_template (func, fit);
create index call_template_maker_idx on jobs_internal.call_template (maker, func);
comment on table jobs_internal.call_template
  is 'How a function is called with a set of argument names; '
  'not unique on purpose: a unique index would make enqueuers wait for each other';
comment on column jobs_internal.call_template.id is 'Number';
comment on column jobs_internal.call_template.func is 'The function';
comment on column jobs_internal.call_template.version
  is 'xmin of the function''s catalog row: a replaced function gets a new template';
comment on column jobs_internal.call_template.func_ctid
  is 'ctid of that row: a transaction may replace a function that it made or replaced itself';
comment on column jobs_internal.call_template.func_owner
  is 'Owner of the function when the template was made';
comment on column jobs_internal.call_template.maker
  is 'Login that called it so first: one login makes a limited number';
comment on column jobs_internal.call_template.made_at is 'When it was made';
comment on column jobs_internal.call_template.keys is 'Argument names given, sorted';
comment on column jobs_internal.call_template.fit
  is 'Hash of keys, 0 where they do not matter (whole): by it a template is found among a million';
comment on column jobs_internal.call_template.signature
  is 'Qualified name with argument types, to find '
  'the function again after it was dropped and made anew';
comment on column jobs_internal.call_template.task is 'Qualified name, as the views show it';
comment on column jobs_internal.call_template.whole
  is 'Its only parameter is jsonb and gets the arguments whole';
comment on column jobs_internal.call_template.procedure
  is 'A procedure: it runs at top level, in a child session';
comment on column jobs_internal.call_template.cast_query
  is 'Query that casts the arguments in $1 to the '
  'declared types and gives them back as jsonb; null: nothing to cast';
comment on column jobs_internal.call_template.call
  is 'Query that calls it with the arguments in $1 and gives its result as jsonb';
comment on column jobs_internal.call_template.retired_by
  is 'Transaction that found no job of it: enqueues make a new one; null: in use';
comment on column jobs_internal.call_template.horizon_xid
  is 'Retired: transactions from this number on are sure '
  'to have seen that; null: an enqueuer may still use it';
comment on column jobs_internal.call_template.chunk_call
  is 'Expression that calls it for a row pyworker_item of a chunk, in one statement for many of them; '
  'null: each call is a statement of its own';
create sequence jobs_internal.job_id_seq;
create table jobs_internal.job (
  id bigint primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null,
  state text not null,
  call_template_id integer,
  attempt integer not null default 0,
  max_attempts integer not null,
  interruptions smallint not null default 0,
  crashes smallint not null default 0,
  isolated_crashes smallint not null default 0,
  run_at timestamptz not null,
  due_at timestamptz,
  created_at timestamptz not null,
  started_at timestamptz,
  timeout interval,
  lane_id integer,
  msg_id bigint,
  session_id bigint,
  child_pid integer,
  child_start timestamptz,
  verify boolean,
  crash_ran interval,
  publication_id integer,
  enqueued_by oid,
  unique_key text,
  former_key text,
  args jsonb,
  settings jsonb,
  note jsonb,
  options jsonb,
  error jsonb,
  constraint job_state_check check (jobs_internal.is_state(state, due_at, msg_id, session_id))
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.2);
create index job_due_idx on jobs_internal.job (owner, due_at) where due_at is not null;
create unique index job_unique_key on jobs_internal.job (owner, queue_id, unique_key,
    publication_id, enqueued_by) nulls not distinct
where unique_key is not null;
create index job_suspect_idx on jobs_internal.job (id) where crashes > 0;
create index job_publication_idx on jobs_internal.job (publication_id)
  where publication_id is not null;
comment on table jobs_internal.job is 'Live jobs';
comment on column jobs_internal.job.id is 'Number';
comment on column jobs_internal.job.queue_id is 'Queue';
comment on column jobs_internal.job.owner is 'Role that enqueued it and that it runs as';
comment on column jobs_internal.job.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.job.state is 'scheduled: waits for due_at or its lane; queued: its '
  'message is in the lane (a chunk that runs it has not committed yet); running: its start is '
  'committed';
comment on column jobs_internal.job.call_template_id
  is 'How its function is called; null: a statement';
comment on column jobs_internal.job.attempt is 'Attempts charged so far';
comment on column jobs_internal.job.max_attempts is 'Attempts allowed';
comment on column jobs_internal.job.interruptions is 'Signals without a known reason that hit it';
comment on column jobs_internal.job.crashes
  is 'Crashes of the server that it may have caused: over 0 it is a suspect';
comment on column jobs_internal.job.isolated_crashes
  is 'Of these, those during its isolated run, with other jobs beside it';
comment on column jobs_internal.job.run_at is 'Not before this time, as enqueued';
comment on column jobs_internal.job.due_at is 'Scheduled: when it goes into its lane';
comment on column jobs_internal.job.created_at is 'Start of the transaction that enqueued it';
comment on column jobs_internal.job.started_at is 'Running: start of this attempt';
comment on column jobs_internal.job.timeout is 'Longest time that an attempt may take; null: none';
comment on column jobs_internal.job.lane_id is 'Lane, once it was in one';
comment on column jobs_internal.job.msg_id is 'Queued: its message';
comment on column jobs_internal.job.session_id is 'Running: its session';
comment on column jobs_internal.job.child_pid is 'Running in a child session: its pid';
comment on column jobs_internal.job.child_start is 'backend_start of the child session';
comment on column jobs_internal.job.verify
  is 'An attempt ended unseen: the post-condition is asked before anything is run again';
comment on column jobs_internal.job.crash_ran
  is 'How long it had run when the server crashed the last time';
comment on column jobs_internal.job.publication_id
  is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.job.enqueued_by
  is 'That other role: it sees the state, and may cancel';
comment on column jobs_internal.job.unique_key is 'At most one unfinished job per owner, queue and '
  'key; each enqueuer by a publication has keys of its own';
comment on column jobs_internal.job.former_key
  is 'The unique_key that it gave up for a job that it enqueued itself, for its history';
comment on column jobs_internal.job.args is 'Arguments, canonical; null: none';
comment on column jobs_internal.job.settings is 'Settings for this job alone; null: none';
comment on column jobs_internal.job.note is 'What a person wants beside the job; null: nothing';
comment on column jobs_internal.job.options
  is 'Options that the job keeps: repeatable, title, notify (jobs.options); null: none';
comment on column jobs_internal.job.error is 'Error of the last attempt';
create table jobs_internal.statement (
  job_id bigint primary key,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  rollback_sql text,
  path text,
  object text,
  target jsonb,
  identity jsonb
);
comment on table jobs_internal.statement is 'Statements of live jobs made by jobs.enqueue_sql';
comment on column jobs_internal.statement.job_id is 'Job';
comment on column jobs_internal.statement.body is 'The statement';
comment on column jobs_internal.statement.command
  is 'Its first words: what it does, without names and values';
comment on column jobs_internal.statement.top_level
  is 'It runs outside a transaction, in a child session';
comment on column jobs_internal.statement.done_when
  is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.statement.rollback_sql is 'Statement that undoes it, for people';
comment on column jobs_internal.statement.path
  is 'search_path of its enqueuer: it runs with that, unless its settings name another';
comment on column jobs_internal.statement.object
  is 'What it works on, as written, for titles; null: not known for sure';
comment on column jobs_internal.statement.target
  is 'What it works on, as target_of read it; null: nothing that we know';
comment on column jobs_internal.statement.identity
  is 'OIDs of what it works on, as they were before its first attempt; null: not noted';
create table jobs_internal.made_index (
  index oid not null,
  job_id bigint not null,
  noted_at timestamptz not null default clock_timestamp(),
  primary key (index, job_id)
);
comment on table jobs_internal.made_index
  is 'Indexes that jobs built or dropped concurrently: those that stay invalid are in jobs.health';
comment on column jobs_internal.made_index.index is 'OID of the index';
comment on column jobs_internal.made_index.job_id is 'Job';
comment on column jobs_internal.made_index.noted_at is 'When it was seen';
create table jobs_internal.history_class (
  id integer generated always as identity primary key,
  retention interval unique,
  queue_id integer unique,
  owner oid unique,
  bucket integer,
  constraint history_class_kind_check check (num_nonnulls(retention, queue_id, owner) = 1)
) with (fillfactor = 50);
comment on table jobs_internal.history_class
  is 'Retention classes: queues whose finished jobs share partitions. Number 1 is always there';
comment on column jobs_internal.history_class.id is 'Number';
comment on column jobs_internal.history_class.retention
  is 'Longest retention of its queues, from a short list (jobs_internal.kept_in), '
  'so that 1,000 queues do not make 1,000 sets of partitions; '
  'null: the class of one queue or owner';
comment on column jobs_internal.history_class.queue_id
  is 'The one queue whose class it is, because its rows are limited; null: another kind of class';
comment on column jobs_internal.history_class.owner is 'The one owner whose class it is, because a '
  'quota limits its rows; its jobs of all queues go there. null: another kind of class';
comment on column jobs_internal.history_class.bucket is 'The open bucket, where finished jobs go '
  'now; null: none yet, or no queue uses the class any more';
insert into jobs_internal.history_class (retention, bucket) values ('7 days', 1);
create table jobs_internal.history_bucket (
  id integer generated always as identity primary key,
  class_id integer not null,
  made_at timestamptz not null default clock_timestamp(),
  made_by xid8 not null default pg_current_xact_id(),
  awaits text[],
  opened_at timestamptz,
  left_at timestamptz,
  left_by xid8,
  closed_at timestamptz,
  rows bigint,
  expired_at timestamptz,
  constraint history_bucket_order_check check (
    (left_at is null) = (left_by is null)
    and (left_at is null or opened_at is not null)
    and (closed_at is null or left_at is not null)
    and (expired_at is null or closed_at is not null))
) with (fillfactor = 50);
create index history_bucket_class_idx on jobs_internal.history_bucket (class_id);
comment on table jobs_internal.history_bucket is 'Buckets: one stretch of time of one class, a '
  'partition of each finished table. Made, opened, left, closed, expired, gone';
comment on column jobs_internal.history_bucket.id
  is 'Number: the value of bucket in its partitions, and in their names';
comment on column jobs_internal.history_bucket.class_id is 'Class';
comment on column jobs_internal.history_bucket.made_at is 'When its partitions were attached';
comment on column jobs_internal.history_bucket.made_by is 'Transaction that attached them';
comment on column jobs_internal.history_bucket.awaits is 'Virtual transactions that may not know '
  'its partitions yet: it is opened when they have ended; null: not looked yet';
comment on column jobs_internal.history_bucket.opened_at
  is 'From then on finished jobs went here; null: made, not open yet';
comment on column jobs_internal.history_bucket.left_at
  is 'From then on they went elsewhere, but for statements that had begun before; null: open';
comment on column jobs_internal.history_bucket.left_by
  is 'Transaction that said so: a session that sees it writes here no more';
comment on column jobs_internal.history_bucket.closed_at
  is 'No session writes here any more; its jobs '
  'finished before. Retention counts from here; null: a session might';
comment on column jobs_internal.history_bucket.rows is 'Jobs that finished in it, at least; '
  'counted once when it is closed, for a class whose rows are limited; null: not counted';
comment on column jobs_internal.history_bucket.expired_at
  is 'Retention has passed: its partitions go as soon as no session reads them; null: kept';
insert into jobs_internal.history_bucket (class_id, opened_at) values (1, clock_timestamp());
create table jobs_internal.history_use (
  bucket integer not null,
  queue_id integer not null,
  primary key (bucket, queue_id)
);
comment on table jobs_internal.history_use is 'Queues whose jobs may have finished in a bucket: '
  'the longest of their present retentions says when it goes';
comment on column jobs_internal.history_use.bucket is 'Bucket';
comment on column jobs_internal.history_use.queue_id is 'Queue, dropped or not';
insert into jobs_internal.history_use (bucket, queue_id) select 1, q.id
  from jobs_internal.queue as q;
create table jobs_internal.finished (
  id bigint not null,
  run_at timestamptz not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  bucket integer not null,
  queue_id integer not null,
  owner oid not null,
  call_template_id integer,
  attempt integer not null,
  max_attempts integer not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  publication_id integer,
  enqueued_by oid,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  priority smallint not null,
  state text not null check (state in ('succeeded', 'failed', 'cancelled', 'in_doubt')),
  outcome text check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost',
        'in_doubt')),
  timeout interval,
  unique_key text,
  args jsonb,
  settings jsonb,
  note jsonb,
  options jsonb,
  result jsonb,
  error jsonb,
  dismissed_at timestamptz,
  dismissed_by text,
  primary key (id, bucket)
) partition by list (bucket);
create index finished_at_idx on jobs_internal.finished ((finished_at::timestamptz(0)), finished_at);
create index finished_failed_idx on jobs_internal.finished ((finished_at::timestamptz(0)),
    finished_at, queue_id, owner, state, dismissed_at)
where state <> 'succeeded';
comment on table jobs_internal.finished is 'Finished jobs, each with its last attempt; one '
  'partition per bucket. Numbers are unique across buckets because one sequence gives them';
comment on column jobs_internal.finished.id is 'Number of the job';
comment on column jobs_internal.finished.bucket
  is 'Bucket: the stretch of history that it goes with';
comment on column jobs_internal.finished.queue_id is 'Queue';
comment on column jobs_internal.finished.owner is 'Owner';
comment on column jobs_internal.finished.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.finished.state is 'succeeded; failed: no attempt left or no retry '
  'worth it; cancelled: on request; in_doubt: ended unseen and nothing can tell how';
comment on column jobs_internal.finished.call_template_id
  is 'How its function was called; null: a statement';
comment on column jobs_internal.finished.attempt is 'Attempts made';
comment on column jobs_internal.finished.max_attempts is 'Attempts allowed';
comment on column jobs_internal.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs_internal.finished.run_at is 'Not before this time, as enqueued';
comment on column jobs_internal.finished.created_at is 'Start of the transaction that enqueued it';
comment on column jobs_internal.finished.started_at is 'Start of the last attempt; null: never ran';
comment on column jobs_internal.finished.finished_at
  is 'End of the last attempt, or time of the cancel';
comment on column jobs_internal.finished.pid is 'Worker session of the last attempt';
comment on column jobs_internal.finished.child_pid is 'Child session of the last attempt';
comment on column jobs_internal.finished.publication_id
  is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.finished.enqueued_by is 'That other role';
comment on column jobs_internal.finished.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.finished.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.finished.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.finished.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.finished.buffers_read is 'Buffers that it read';
comment on column jobs_internal.finished.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.finished.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.finished.timeout is 'Timeout of the job';
comment on column jobs_internal.finished.unique_key is 'Its unique key';
comment on column jobs_internal.finished.args is 'Arguments';
comment on column jobs_internal.finished.settings is 'Settings for this job alone';
comment on column jobs_internal.finished.note is 'Note';
comment on column jobs_internal.finished.options is 'Options, as of the job';
comment on column jobs_internal.finished.result
  is 'What the function returned; of a statement its rows and command tag';
comment on column jobs_internal.finished.error is 'Error of the last attempt';
comment on column jobs_internal.finished.dismissed_at
  is 'When its failure was dismissed; null: not';
comment on column jobs_internal.finished.dismissed_by is 'Login that dismissed it';
create table jobs_internal.attempt (
  job_id bigint not null,
  attempt integer not null,
  outcome text not null check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost',
        'in_doubt')),
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt)
);
comment on table jobs_internal.attempt is 'Closed attempts of live jobs';
comment on column jobs_internal.attempt.job_id is 'Job';
comment on column jobs_internal.attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.attempt.outcome is 'How it ended';
comment on column jobs_internal.attempt.owner is 'Owner of the job';
comment on column jobs_internal.attempt.started_at is 'Start';
comment on column jobs_internal.attempt.finished_at is 'End';
comment on column jobs_internal.attempt.pid is 'Worker session';
comment on column jobs_internal.attempt.child_pid is 'Child session';
comment on column jobs_internal.attempt.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.attempt.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.attempt.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.attempt.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.attempt.result is 'Result';
comment on column jobs_internal.attempt.error is 'Error';
create table jobs_internal.log_line (
  job_id bigint not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n)
);
comment on table jobs_internal.log_line is 'Lines that live jobs wrote with jobs.log';
comment on column jobs_internal.log_line.job_id is 'Job';
comment on column jobs_internal.log_line.attempt is 'Attempt';
comment on column jobs_internal.log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.log_line.owner is 'Owner of the job';
comment on column jobs_internal.log_line.at is 'When it was written';
comment on column jobs_internal.log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.log_line.message is 'Text';
comment on column jobs_internal.log_line.fields is 'More facts';
create table jobs_internal.finished_attempt (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  outcome text not null,
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_attempt
  is 'Attempts of finished jobs before their last one, '
  'in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_attempt.job_id is 'Job';
comment on column jobs_internal.finished_attempt.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.finished_attempt.outcome is 'How it ended';
comment on column jobs_internal.finished_attempt.owner is 'Owner of the job';
comment on column jobs_internal.finished_attempt.started_at is 'Start';
comment on column jobs_internal.finished_attempt.finished_at is 'End';
comment on column jobs_internal.finished_attempt.pid is 'Worker session';
comment on column jobs_internal.finished_attempt.child_pid is 'Child session';
comment on column jobs_internal.finished_attempt.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.finished_attempt.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.finished_attempt.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.finished_attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.finished_attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.finished_attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.finished_attempt.temp_bytes
  is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.finished_attempt.result is 'Result';
comment on column jobs_internal.finished_attempt.error is 'Error';
create table jobs_internal.finished_log_line (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_log_line
  is 'Lines that finished jobs wrote with jobs.log, in '
  'the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_log_line.job_id is 'Job';
comment on column jobs_internal.finished_log_line.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_log_line.attempt is 'Attempt';
comment on column jobs_internal.finished_log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.finished_log_line.owner is 'Owner of the job';
comment on column jobs_internal.finished_log_line.at is 'When it was written';
comment on column jobs_internal.finished_log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.finished_log_line.message is 'Text';
comment on column jobs_internal.finished_log_line.fields is 'More facts';
create table jobs_internal.finished_statement (
  job_id bigint not null,
  bucket integer not null,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  rollback_sql text,
  path text,
  object text,
  target jsonb,
  identity jsonb,
  primary key (job_id, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_statement
  is 'Statements of finished jobs, in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_statement.job_id is 'Job';
comment on column jobs_internal.finished_statement.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_statement.body is 'The statement';
comment on column jobs_internal.finished_statement.command
  is 'Its first words: what it does, without names and values';
comment on column jobs_internal.finished_statement.top_level
  is 'It ran outside a transaction, in a child session';
comment on column jobs_internal.finished_statement.done_when
  is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.finished_statement.rollback_sql
  is 'Statement that undoes it, for people';
comment on column jobs_internal.finished_statement.path is 'search_path of its enqueuer';
comment on column jobs_internal.finished_statement.object
  is 'What it worked on, as written; null: not known for sure';
comment on column jobs_internal.finished_statement.target
  is 'What it worked on, as target_of read it';
comment on column jobs_internal.finished_statement.identity
  is 'OIDs of what it worked on, as they were before its first attempt';
do $$
declare
  v_table text;
begin
  foreach v_table in array array['finished', 'finished_attempt', 'finished_log_line',
      'finished_statement'] loop
    execute pg_catalog.format(
        'create table jobs_internal.%1$I (like jobs_internal.%2$I including all)', v_table || '_1',
          v_table);
    execute pg_catalog.format('comment on table jobs_internal.%I is %L', v_table || '_1',
        'Bucket 1 of ' || v_table);
    execute pg_catalog.format(
        'alter table jobs_internal.%2$I attach partition jobs_internal.%1$I for values in (1)',
          v_table || '_1', v_table);
  end loop;
  alter table jobs_internal.finished_1 set (autovacuum_vacuum_scale_factor = 0.02,
      autovacuum_vacuum_insert_scale_factor = 0.05);
end
$$;
create table jobs_internal.session (
  id bigint generated always as identity primary key,
  owner oid not null,
  pid integer not null,
  backend_start timestamptz not null,
  epoch timestamptz not null,
  postmaster timestamptz not null default pg_postmaster_start_time(),
  started_at timestamptz not null default clock_timestamp(),
  jobs bigint not null default 0,
  lane_id integer,
  msg_ids bigint[],
  lease timestamptz,
  last_msg_id bigint,
  full_scan_at timestamptz,
  job_id bigint,
  attempt integer,
  crash_attribution text check (crash_attribution in ('not_charged', 'charged')),
  hidden_signal_at timestamptz,
  new_template_ids integer[],
  waits_for integer,
  waits_since timestamptz,
  asked_at timestamptz,
  schema_version integer
) with (fillfactor = 50);
create unique index session_pid_idx on jobs_internal.session (pid, backend_start);
comment on table jobs_internal.session
  is 'Worker sessions: those that live, and dead ones until a rescue has seen to their jobs';
comment on column jobs_internal.session.id is 'Number';
comment on column jobs_internal.session.owner is 'Role that it runs as';
comment on column jobs_internal.session.pid is 'Process; with backend_start its identity';
comment on column jobs_internal.session.backend_start is 'Start of the process';
comment on column jobs_internal.session.epoch is 'Epoch of the server in which it lived';
comment on column jobs_internal.session.postmaster
  is 'Start of the postmaster under which it lived';
comment on column jobs_internal.session.started_at is 'When it registered';
comment on column jobs_internal.session.jobs is 'Jobs done, as of its last claim';
comment on column jobs_internal.session.lane_id is 'Lane of its claim';
comment on column jobs_internal.session.msg_ids is 'Messages of its claim';
comment on column jobs_internal.session.lease is 'Token of its claim: the vt of those messages';
comment on column jobs_internal.session.last_msg_id
  is 'The next claim of this lane starts behind this message';
comment on column jobs_internal.session.full_scan_at
  is 'Last claim that read the lane from its scan_start on';
comment on column jobs_internal.session.job_id is 'Job that it runs alone; null: none, or a chunk';
comment on column jobs_internal.session.attempt is 'Attempt of that job';
comment on column jobs_internal.session.new_template_ids
  is 'Call templates that it has run and that have no call_stats yet: '
  'only of those it may say how long they take';
comment on column jobs_internal.session.hidden_signal_at
  is 'Last signal because it could not be seen which job of its chunk it runs';
comment on column jobs_internal.session.waits_for
  is 'Queue that it found due work in, and no slot; null: it waits for none';
comment on column jobs_internal.session.waits_since is 'Since when';
comment on column jobs_internal.session.asked_at is 'Its last claim that found nothing for it, '
  'half a second old at most while it waits for a slot';
comment on column jobs_internal.session.crash_attribution
  is 'The server stopped under it: whether that is charged to its job; '
  'null: it died, if at all, by itself';
comment on column jobs_internal.session.schema_version
  is 'Version of the schema that its loop was written for; null: of one before 1';
create table jobs_internal.progress_message (
  job_id bigint primary key,
  attempt integer not null,
  message text not null,
  at timestamptz not null default clock_timestamp()
);
comment on table jobs_internal.progress_message is 'What a running job says of its progress; '
  'written by a session of its own, so that it is seen at once';
comment on column jobs_internal.progress_message.job_id is 'Job';
comment on column jobs_internal.progress_message.attempt is 'Attempt';
comment on column jobs_internal.progress_message.message is 'Text';
comment on column jobs_internal.progress_message.at is 'When it was written';
create table jobs_internal.stop_request (
  job_id bigint not null,
  attempt integer not null,
  reason text not null check (reason in ('timed_out', 'cancelled')),
  requested_by text not null,
  requested_at timestamptz not null default clock_timestamp(),
  signals_sent integer not null default 0,
  signalled_at timestamptz,
  primary key (job_id, attempt)
) with (fillfactor = 50);
comment on table jobs_internal.stop_request
  is 'Reasons to stop a running attempt, committed before '
  'a session is signalled; no foreign key, so that writing one waits for nothing';
comment on column jobs_internal.stop_request.job_id is 'Job';
comment on column jobs_internal.stop_request.attempt is 'Attempt';
comment on column jobs_internal.stop_request.reason is 'timed_out or cancelled';
comment on column jobs_internal.stop_request.requested_by
  is 'Login that asked for it; the supervisor for a timeout';
comment on column jobs_internal.stop_request.requested_at is 'When';
comment on column jobs_internal.stop_request.signals_sent
  is 'Signals sent so far: cancel, cancel, terminate';
comment on column jobs_internal.stop_request.signalled_at is 'Last signal';
create table jobs_internal.supervisor (
  id bigint generated always as identity primary key,
  name text not null,
  host text not null,
  os_pid integer not null,
  version text not null,
  pid integer not null,
  backend_start timestamptz not null,
  started_at timestamptz not null default clock_timestamp(),
  asleep boolean not null default false,
  horizon_xid xid8,
  serves text[]
) with (fillfactor = 50);
comment on table jobs_internal.supervisor
  is 'Supervisors that are connected, and dead ones until another has noticed';
comment on column jobs_internal.supervisor.id is 'Number';
comment on column jobs_internal.supervisor.name is 'Its name';
comment on column jobs_internal.supervisor.host is 'Host that it runs on';
comment on column jobs_internal.supervisor.os_pid is 'Its process there';
comment on column jobs_internal.supervisor.version is 'Version of pyworker';
comment on column jobs_internal.supervisor.pid is 'Server process of its control connection';
comment on column jobs_internal.supervisor.backend_start is 'Start of that process';
comment on column jobs_internal.supervisor.started_at is 'When it registered';
comment on column jobs_internal.supervisor.asleep
  is 'It waits for a NOTIFY: enqueuers should send one';
comment on column jobs_internal.supervisor.serves
  is 'Owners whose jobs it runs; null: every login member of jobs_runner that it can connect as';
comment on column jobs_internal.supervisor.horizon_xid
  is 'Asleep: transactions from this number on are sure to have seen that; '
  'null: not looked yet';
create table jobs_internal.outbox (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  bytes integer not null,
  body jsonb not null
);
comment on table jobs_internal.outbox
  is 'Outcomes that no supervisor has logged yet: one row per commit of a session';
comment on column jobs_internal.outbox.id is 'Number';
comment on column jobs_internal.outbox.at is 'When it was written';
comment on column jobs_internal.outbox.bytes is 'Size of body in memory: a supervisor reads by it';
comment on column jobs_internal.outbox.body is 'The outcomes of that commit';
create table jobs_internal.duty (
  name text primary key
);
comment on table jobs_internal.duty is 'What sessions of our own do item by item; its row is '
  'locked, with skip locked, by the one that keeps failures, and never by a tenant';
comment on column jobs_internal.duty.name is 'Duty, as in duty_failure';
insert into jobs_internal.duty (name) values
  ('dispatch'), ('history'), ('lanes'), ('overdue'), ('repair'), ('rescue'), ('round'),
    ('signal'), ('upkeep');
create table jobs_internal.duty_failure (
  duty text not null,
  item text not null,
  queue_id integer,
  owner oid,
  error jsonb not null,
  failures integer not null default 1,
  since timestamptz not null default clock_timestamp(),
  retry_at timestamptz not null,
  logged boolean not null default false,
  primary key (duty, item)
) with (fillfactor = 50);
comment on table jobs_internal.duty_failure is 'Items of a supervisor''s round that failed when '
  'they were tried last: all else went on without them';
comment on column jobs_internal.duty_failure.duty is 'lanes: a lane is made; dispatch: jobs go '
  'into their lane; rescue: jobs of a dead session; overdue: a timeout; '
  'signal: a job is signalled; history: a bucket; repair: a lane; upkeep: the tables; '
  'round: a whole part of a round';
comment on column jobs_internal.duty_failure.item is 'Which one: its number, or its name';
comment on column jobs_internal.duty_failure.queue_id
  is 'Queue whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.owner
  is 'Owner whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.error is 'Error of the last try';
comment on column jobs_internal.duty_failure.failures is 'Tries that failed in a row';
comment on column jobs_internal.duty_failure.since is 'First of them';
comment on column jobs_internal.duty_failure.retry_at
  is 'It is not tried again before; much later than that, it is not there any more';
comment on column jobs_internal.duty_failure.logged is 'A supervisor has taken it for its log';
create table jobs_internal.known_role (
  role oid not null,
  name name not null,
  gone boolean not null default false
);
alter table jobs_internal.known_role replica identity full;
comment on table jobs_internal.known_role is 'Names of the roles that own jobs or their functions: '
  'what says in another cluster who they were; not unique on purpose: enqueuers would wait for '
  'each other';
comment on column jobs_internal.known_role.role
  is 'Role; a number from 10000 to 11999 stands for a role that this cluster lacks';
comment on column jobs_internal.known_role.name is 'Its name, as of the last tick of a supervisor';
comment on column jobs_internal.known_role.gone
  is 'It was dropped: another role of that name is another owner';
create table jobs_internal.admitted_role (
  role oid primary key,
  admitted_by text not null,
  admitted_at timestamptz not null default now()
);
comment on table jobs_internal.admitted_role
  is 'Privileged roles whose jobs an administrator has switched on by name';
comment on column jobs_internal.admitted_role.role is 'Role';
comment on column jobs_internal.admitted_role.admitted_by is 'Login that switched it on';
comment on column jobs_internal.admitted_role.admitted_at is 'When';
create table jobs_internal.unreached_owner (
  owner oid not null,
  supervisor_id bigint not null,
  reason text not null,
  since timestamptz not null default clock_timestamp(),
  primary key (owner, supervisor_id)
);
comment on table jobs_internal.unreached_owner
  is 'Owners that a supervisor could not connect as when it tried last';
comment on column jobs_internal.unreached_owner.owner is 'Owner';
comment on column jobs_internal.unreached_owner.supervisor_id
  is 'Supervisor; what one said counts while its connection lives';
comment on column jobs_internal.unreached_owner.reason is 'What the server, or the network, said';
comment on column jobs_internal.unreached_owner.since is 'First time in a row';
create table jobs_internal.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  login text not null,
  login_oid oid not null,
  action text not null,
  object text not null,
  before jsonb,
  after jsonb
);
create index audit_login_idx on jobs_internal.audit (login_oid, at);
comment on table jobs_internal.audit is 'What operators and administrators did through the '
  'functions of schema jobs; no function changes or removes a row';
comment on column jobs_internal.audit.id is 'Number';
comment on column jobs_internal.audit.at is 'When';
comment on column jobs_internal.audit.login is 'Login, by name';
comment on column jobs_internal.audit.login_oid is 'Login, by number';
comment on column jobs_internal.audit.action is 'Function that was called';
comment on column jobs_internal.audit.object is 'What it was called for';
comment on column jobs_internal.audit.before is 'How it was before; null: not there';
comment on column jobs_internal.audit.after is 'How it is now; null: gone';
create table jobs_internal.quota (
  owner oid primary key,
  pending bigint check (pending >= 0),
  running integer check (running >= 0),
  args_bytes integer check (args_bytes >= 0),
  result_bytes integer check (result_bytes >= 1000),
  per_minute integer check (per_minute >= 1),
  history_rows bigint check (history_rows >= 1),
  over_rate text not null default 'refuse' check (over_rate in ('refuse', 'wait'))
);
comment on table jobs_internal.quota is 'Limits of one owner; owners without a row have none';
comment on column jobs_internal.quota.owner is 'Owner';
comment on column jobs_internal.quota.pending
  is 'Unfinished jobs at most; null: no limit, as in all that follow';
comment on column jobs_internal.quota.running is 'Worker sessions at once at most';
comment on column jobs_internal.quota.args_bytes is 'What one job carries at most, bytes of text: '
  'arguments, settings, note, options, and the texts of a statement';
comment on column jobs_internal.quota.result_bytes is 'Result of one job at most, bytes of text';
comment on column jobs_internal.quota.per_minute is 'Jobs enqueued in any 60 seconds at most';
comment on column jobs_internal.quota.history_rows
  is 'So many finished jobs are kept at least, then older ones go, in steps of a quarter';
comment on column jobs_internal.quota.over_rate
  is 'What becomes of a job over per_minute: refuse (PW072), or wait until there is room';
create table jobs_internal.rate_use (
  owner oid not null,
  publication_id integer not null default 0,
  at timestamptz not null,
  jobs bigint not null
);
create index rate_use_idx on jobs_internal.rate_use (owner, at);
alter table jobs_internal.rate_use replica identity full;
comment on table jobs_internal.rate_use is 'Jobs enqueued under a limit per minute: rows of the '
  'enqueuer''s own, so that none waits for another';
comment on column jobs_internal.rate_use.owner is 'Owner of the jobs';
comment on column jobs_internal.rate_use.publication_id is 'Publication; 0: none';
comment on column jobs_internal.rate_use.at
  is 'Time that they count for: of the enqueue, or later where they wait';
comment on column jobs_internal.rate_use.jobs is 'How many';
create table jobs_internal.publication (
  id integer generated always as identity primary key,
  publisher oid not null,
  to_role oid not null,
  func oid not null,
  task text not null,
  signature text not null,
  queue_id integer not null,
  timeout interval,
  per_minute integer check (per_minute >= 1),
  pending bigint check (pending >= 1),
  published_at timestamptz not null default now(),
  revoked_at timestamptz
);
create unique index publication_key on jobs_internal.publication (publisher, to_role, func)
  where revoked_at is null;
comment on table jobs_internal.publication
  is 'Functions that their owner lets another role enqueue, to run as the owner';
comment on column jobs_internal.publication.id is 'Number';
comment on column jobs_internal.publication.publisher
  is 'Owner of the function; its jobs run as this role';
comment on column jobs_internal.publication.to_role is 'Role whose members may enqueue it';
comment on column jobs_internal.publication.func is 'The function';
comment on column jobs_internal.publication.task is 'Its qualified name when it was published';
comment on column jobs_internal.publication.signature is 'Its name with argument types';
comment on column jobs_internal.publication.queue_id is 'Queue of its jobs';
comment on column jobs_internal.publication.timeout
  is 'Longest timeout of its jobs; null: the queue''s';
comment on column jobs_internal.publication.per_minute
  is 'Jobs enqueued in any 60 seconds at most; null: no limit of its own';
comment on column jobs_internal.publication.pending
  is 'Unfinished jobs at most; null: no limit of its own';
comment on column jobs_internal.publication.published_at is 'When it was published';
comment on column jobs_internal.publication.revoked_at is 'When it was revoked; null: it counts';
create table jobs_internal.call_stats (
  call_template_id integer not null,
  owner oid not null,
  runs bigint not null,
  avg_ms double precision not null,
  renames boolean not null default false,
  seen_at timestamptz not null default now(),
  primary key (call_template_id, owner)
) with (fillfactor = 50);
comment on table jobs_internal.call_stats
  is 'How long calls of each template take, for each owner: '
  'what one says, and what its open transaction locks, is its own alone';
comment on column jobs_internal.call_stats.call_template_id is 'Call template';
comment on column jobs_internal.call_stats.owner is 'Owner of the jobs';
comment on column jobs_internal.call_stats.runs is 'Runs seen';
comment on column jobs_internal.call_stats.avg_ms is 'Moving average, ms';
comment on column jobs_internal.call_stats.seen_at is 'Last run seen';
comment on column jobs_internal.call_stats.renames
  is 'A run set application_name, by which a job in a chunk is known: it runs alone';
create table jobs_internal.queue_minute_stats (
  queue_id integer not null,
  minute timestamptz not null,
  session_id bigint not null,
  succeeded bigint not null,
  failed bigint not null,
  primary key (queue_id, minute, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.queue_minute_stats
  is 'Attempts that ended per queue, minute and session, for '
  'the rate in jobs.queues; kept for an hour';
comment on column jobs_internal.queue_minute_stats.queue_id is 'Queue';
comment on column jobs_internal.queue_minute_stats.minute is 'Start of the minute';
comment on column jobs_internal.queue_minute_stats.session_id
  is 'Session: each writes rows of its own, so '
  'that none waits for another; 0: sessions that are gone, together';
comment on column jobs_internal.queue_minute_stats.succeeded is 'Attempts that succeeded';
comment on column jobs_internal.queue_minute_stats.failed is 'Attempts that did not';
create table jobs_internal.daily_cost (
  day date not null,
  queue_id integer not null,
  owner oid not null,
  task text not null,
  session_id bigint not null,
  attempts numeric not null,
  failed numeric not null,
  ms numeric not null,
  waited_ms numeric not null,
  measured numeric not null,
  rows numeric not null,
  wal_bytes numeric not null,
  buffers_hit numeric not null,
  buffers_read numeric not null,
  buffers_dirtied numeric not null,
  temp_bytes numeric not null,
  primary key (day, queue_id, owner, task, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.daily_cost
  is 'What attempts cost, per day, queue, owner and task; kept for a year';
comment on column jobs_internal.daily_cost.day is 'Day, UTC';
comment on column jobs_internal.daily_cost.queue_id is 'Queue';
comment on column jobs_internal.daily_cost.owner is 'Owner';
comment on column jobs_internal.daily_cost.task is 'Function, or the first words of a statement';
comment on column jobs_internal.daily_cost.session_id
  is 'Session that writes the row; 0: sessions that are gone, together';
comment on column jobs_internal.daily_cost.attempts is 'Attempts';
comment on column jobs_internal.daily_cost.failed is 'Those that did not succeed';
comment on column jobs_internal.daily_cost.ms is 'Their time, ms';
comment on column jobs_internal.daily_cost.waited_ms
  is 'Time that they waited in their lane for a session, ms';
comment on column jobs_internal.daily_cost.measured
  is 'Attempts that were measured: what follows are their sums';
comment on column jobs_internal.daily_cost.rows is 'Rows; known of all';
comment on column jobs_internal.daily_cost.wal_bytes is 'WAL, bytes';
comment on column jobs_internal.daily_cost.buffers_hit is 'Buffers found in memory';
comment on column jobs_internal.daily_cost.buffers_read is 'Buffers read';
comment on column jobs_internal.daily_cost.buffers_dirtied is 'Buffers dirtied';
comment on column jobs_internal.daily_cost.temp_bytes is 'Temporary files written, bytes';
create table jobs_internal.server (
  id boolean primary key default true check (id),
  epoch timestamptz,
  clock timestamptz,
  call_templates_swept_at timestamptz,
  isolated_session bigint,
  isolated_job bigint,
  isolated_attempt integer,
  isolated_until timestamptz
) with (fillfactor = 50);
comment on table jobs_internal.server is 'One row: the life of the server that was seen last, and '
  'the one suspect of its crashes that runs isolated from the others';
comment on column jobs_internal.server.id is 'Always true: there is one row';
comment on column jobs_internal.server.epoch is 'Start of its checkpointer: another one means that '
  'it was restarted, or crashed and came up again by itself';
comment on column jobs_internal.server.clock
  is 'When a session last looked for messages that the clock hides; in the future: it was set back';
comment on column jobs_internal.server.call_templates_swept_at
  is 'When call templates without jobs were last removed';
comment on column jobs_internal.server.isolated_session is 'Session that runs the suspect';
comment on column jobs_internal.server.isolated_job is 'The suspect';
comment on column jobs_internal.server.isolated_attempt is 'Its attempt';
comment on column jobs_internal.server.isolated_until
  is 'No other suspect starts before this time, unless this one has ended';
insert into jobs_internal.server default values;
create table jobs_internal.installation (
  id boolean primary key default true check (id),
  system bigint not null,
  database oid not null,
  database_name name not null,
  table_oid oid not null,
  postmaster timestamptz not null,
  quotas boolean not null default false,
  since timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table jobs_internal.installation
  is 'One row: the server and database of this installation; a database '
  'in which it names another is a copy, and nothing runs there';
comment on column jobs_internal.installation.id is 'Always true: there is one row';
comment on column jobs_internal.installation.system is 'The server: its system identifier';
comment on column jobs_internal.installation.database is 'The database';
comment on column jobs_internal.installation.quotas
  is 'An owner was given a quota once: each enqueue looks whether its owner has one';
comment on column jobs_internal.installation.database_name
  is 'Its name as of the last look, for people';
comment on column jobs_internal.installation.table_oid
  is 'OID of this table: a restored one has another';
comment on column jobs_internal.installation.postmaster
  is 'Start of the postmaster that was seen last: as '
  'long as it is the same, the server need not be asked who it is';
comment on column jobs_internal.installation.since is 'When it was recorded';
insert into jobs_internal.installation (system, database, database_name, table_oid, postmaster)
select c.system_identifier, d.oid, d.datname, 'jobs_internal.installation'::regclass,
  pg_postmaster_start_time()
from pg_control_system() as c
join pg_database as d on d.datname = current_database();
insert into jobs_internal.schema_migration (version, name) values (0, 'base');
insert into jobs_internal.schema_migration (version, name) values (1, 'session_version');
insert into jobs_internal.schema_migration (version, name) values (2, 'worker_state');
insert into jobs_internal.schema_migration (version, name) values (3, 'chunk_call');
insert into jobs_internal.schema_migration (version, name) values (4, 'sixteen_sessions');
\endif
\if :pyworker_fresh
\else
select exists (select from jobs_internal.schema_migration where version = 1) as pyworker_done \gset
\if :pyworker_done
\else
alter table jobs_internal.session add column schema_version integer;
comment on column jobs_internal.session.schema_version
  is 'Version of the schema that its loop was written for; null: of one before 1';
insert into jobs_internal.schema_migration (version, name) values (1, 'session_version');
\endif
\endif
\if :pyworker_fresh
\else
select exists (select from jobs_internal.schema_migration where version = 2) as pyworker_done \gset
\if :pyworker_done
\else
create type jobs_internal.worker_state as (
  session_id bigint,
  backend integer,       -- its number among the server's backends
  path text,             -- the search_path of the owner, with which jobs run
  baseline jsonb,        -- what is set again after each RESET ALL; null: nothing
  linger_ms integer,     -- how long it waits for more work before it ends
  margin_ms bigint,      -- these and the following: settings
  short_ms double precision,
  chunk_jobs integer,
  chunk_ms bigint,
  measure_cost boolean,
  lifetime interval,
  max_jobs bigint,
  ends_at timestamptz,
  jobs bigint,           -- that have ended in it
  leave boolean,         -- it takes no further job
  abandons boolean,      -- it leaves a child session behind, and writes nothing any more
  lane_id integer,       -- null: nothing was claimed
  msg_ids bigint[],
  lease timestamptz,
  waiting boolean,       -- as in claim
  full_up boolean,       -- as in claim
  surplus boolean,       -- as in claim
  claim_open boolean,    -- the claim is not committed yet
  next integer,          -- place in msg_ids of the message that is opened next
  give_back boolean,     -- messages were passed over, or are too many: the next claim gives them back
  stats_written boolean, -- the claim has written what was learned before it
  defers boolean,        -- each job needs a commit of its own (has_deferrable_constraints)
  measured integer[],
  claim_limit integer,   -- messages that the next claim asks for
  chunk_size integer,    -- messages that the next chunk opens
  one_by_one boolean,    -- a chunk failed: the next job answers for itself
  small_claims integer,  -- claims of a few messages, one right after the other
  stats jobs_internal.run_stats[],      -- null: no attempt has ended
  last_ms double precision,      -- how long the last of its jobs took
  in_a_row boolean,      -- its jobs had no subtransactions of their own
  needs_savepoint integer,       -- as in chunk_run
  idle_since timestamptz,        -- null: it has work
  slots_settled boolean, -- no session was in the middle of a claim when it last waited for a slot
  looked_at timestamptz, -- its last claim that found nothing; null: none yet
  high_water_mark numeric,       -- of its lanes, before the claim
  seen_mark numeric,     -- and before the one before
  eager_until timestamptz,       -- a message is on its way until then, and not committed yet
  defers_asked_at timestamptz,
  stats_written_at timestamptz
);
create type jobs_internal.worker_trust as (
  call_template_ids integer[],
  successes bigint[],    -- of each, in a row; negative: it failed once
  trusted integer[]      -- those that may run without subtransactions
);
create type jobs_internal.child_report as (
  completed boolean,
  has_error boolean,
  command_tag text,
  sqlstate text,         -- this and the following: of its error
  message text,
  detail text,
  hint text,
  context text,
  table_name text,
  constraint_name text
);
create type jobs_internal.child_state as (
  path text,             -- the search_path of the statement, and of its post-condition
  statement text,        -- what it runs
  columns text,          -- of the row that a CALL sends; null: none is read
  figures jsonb,         -- what the statement had cost before; null: that is not known
  pid integer,
  cookie bigint,
  started_at timestamptz,        -- its backend_start; null: it has not connected yet
  lost boolean,          -- a signal came between its start and our knowledge of it
  noted boolean,         -- its job knows its pid and start
  let_go boolean,        -- it is detached, and how it ends is not read
  sent jsonb,            -- the row that a CALL has sent
  has_sent boolean,      -- that was read while it lived: it has done its work
  stop_reason text       -- why it was to stop, when it had ended
);
insert into jobs_internal.schema_migration (version, name) values (2, 'worker_state');
\endif
\endif
\if :pyworker_fresh
\else
select exists (select from jobs_internal.schema_migration where version = 3) as pyworker_done \gset
\if :pyworker_done
\else
alter table jobs_internal.call_template add column chunk_call text;
comment on column jobs_internal.call_template.chunk_call
  is 'Expression that calls it for a row pyworker_item of a chunk, in one statement for many of them; '
  'null: each call is a statement of its own';
update jobs_internal.call_template set retired_by = pg_current_xact_id()
where retired_by is null and not procedure;
alter type jobs_internal.work_item add attribute chunk_call text;
insert into jobs_internal.schema_migration (version, name) values (3, 'chunk_call');
\endif
\endif
\if :pyworker_fresh
\else
select exists (select from jobs_internal.schema_migration where version = 4) as pyworker_done \gset
\if :pyworker_done
\else
update jobs_internal.setting as s
set value = '16'
where s.name = 'sessions_per_owner' and s.value = '8'
  and not exists (select from jobs_internal.audit as a
    where a.action = 'configure' and a.object = 'setting sessions_per_owner');
with followed as (
  update jobs_internal.queue as q
  set concurrency = 16
  where q.name = 'default' and q.concurrency = 8
    and not exists (select from jobs_internal.audit as a
      where a.action = 'alter_queue' and a.object = 'queue default'
        and a.before -> 'concurrency' is distinct from a.after -> 'concurrency')
  returning q.id
)
insert into jobs_internal.slot (queue_id, n)
select f.id, g from followed as f, generate_series(1, 16) as g
on conflict do nothing;
insert into jobs_internal.schema_migration (version, name) values (4, 'sixteen_sessions');
\endif
\endif
create or replace function jobs_internal.setting(p_name text)
returns text
language sql stable strict security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.value from jobs_internal.setting as s where s.name = p_name;
end;
create or replace function jobs_internal.all_settings()
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_object_agg(s.name, s.value) from jobs_internal.setting as s;
end;
create or replace function jobs_internal.error_object(
  p_sqlstate text,
  p_message text,
  p_detail text default null,
  p_hint text default null,
  p_context text default null,
  p_constraint text default null,
  p_table text default null
)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object(
    'sqlstate', p_sqlstate,
    'message', left(p_message, 8000),
    'detail', nullif(left(p_detail, 8000), ''),
    'hint', nullif(left(p_hint, 8000), ''),
    'context', nullif(left(regexp_replace(p_context,
      E'\n?((PL/pgSQL function jobs_internal\\.run_statement[^\n]*\n)?'
      'SQL statement "explain \\(analyze, buffers, wal,'
      '|SQL statement "select pg_catalog\\.array_agg\\(jobs_internal\\.end_in_a_row'
      '|PL/pgSQL function jobs_internal\\.(run_in_savepoint|run_without_savepoint|run_call|run_sql'
      '|before_analyze|after_analyze)\\().*$', ''), 8000), '')
  ) || jsonb_strip_nulls(jsonb_build_object(
    'constraint', nullif(p_constraint, ''), 'table', nullif(p_table, '')));
end;
create or replace function jobs_internal.worth_retry(p_sqlstate text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select r.retry
    from jobs_internal.retry_rule as r
    where r.pattern in (p_sqlstate, left(p_sqlstate, 2), '*')
    order by length(r.pattern) desc
    limit 1), false);
end;
create or replace function jobs_internal.counted(p_count bigint, p_one text,
    p_many text default null)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_count || ' ' || case when p_count = 1 then p_one else coalesce(p_many, p_one || 's') end;
end;
create or replace function jobs_internal.is_asked_by_login()
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cursor refcursor;
begin
  open v_cursor for select;
  execute 'close ' || quote_ident(v_cursor::text);
  return true;
end
$$;
create or replace function jobs_internal.caller()
returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when jobs_internal.is_asked_by_login()
    then quote_ident(session_user)::regrole::oid end;
end
$$;
create or replace function jobs_internal.caller_is(p_role text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.is_asked_by_login() and pg_has_role(session_user, p_role, 'member');
end;
create or replace function jobs_internal.assert_member(p_role text, p_function text,
    p_or text default null)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_not_inherited text;
begin
  if pg_has_role(current_user, p_role, 'usage') or pg_has_role(current_user, p_or, 'usage')
    or pg_has_role(current_user, 'jobs_owner', 'usage')
  then
    if current_setting('transaction_read_only') = 'off'
      or p_function in ('wait', 'await', 'progress', 'log')
    then
      return;
    end if;
    raise exception using errcode = '25006',
      message = format('jobs.%s writes, and this %s', p_function, case when pg_is_in_recovery()
          then 'server is a standby' else 'transaction is read-only' end),
      detail = case when pg_is_in_recovery()
        then 'Jobs are enqueued, changed and run on the primary.'
        else 'It was begun so, or default_transaction_read_only is on for the session, its role or '
          'its database.' end,
      hint = case when pg_is_in_recovery()
        then 'Retry on the primary (libpq: target_session_attrs=read-write).'
        else 'Retry in a transaction that may write: begin read write;' end;
  end if;
  select r.name into v_not_inherited from unnest(array[p_role, p_or]) with ordinality as r(name, n)
  where pg_has_role(current_user, r.name, 'set') order by r.n limit 1;
  raise exception using errcode = '42501',
    message = format('permission denied for function %s', p_function),
    detail = case when v_not_inherited is not null
      then format('It is for those who act as %s. Role "%s" may, but does not inherit its rights.',
        v_not_inherited, current_user)
      else format('It is for %s, and role "%s" is not.', case p_role when 'jobs_owner'
          then 'administrators: superusers, and who may act as jobs_owner'
          else 'members of ' || concat_ws(' or ', p_role, p_or) end, current_user) end,
    hint = case when v_not_inherited is not null
      then format('A retry helps after: set role %s;', v_not_inherited)
      when p_role = 'jobs_owner'
      then 'Connect as an administrator. A retry as this role cannot help.'
      else format('A retry helps once an administrator has run: grant %s to %s;', p_role,
        quote_ident(current_user)) end;
end
$$;
create or replace function jobs_internal.assert_behind(p_func oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from pg_proc as d
    join pg_proc as i on i.proname = d.proname and i.proargtypes = d.proargtypes
    where d.oid = p_func and i.pronamespace = 'jobs_internal'::regnamespace
      and not has_function_privilege(session_user, i.oid, 'EXECUTE'))
  then
    raise exception using errcode = 'PW006', message = format('%s may not execute %s', session_user,
        p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint = 'See which role it is for: docs/reference/sql.md. A retry helps after that role was '
        'granted.';
  end if;
end
$$;
create or replace function jobs_internal.epoch()
returns timestamptz
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select a.backend_start from pg_stat_get_activity(null) as a where a.backend_type = 'checkpointer';
end;
create or replace function jobs_internal.alive(p_pid integer, p_backend_start timestamptz)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_stat_get_activity(p_pid) as a
    where a.backend_start = p_backend_start
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database()));
end;
create or replace function jobs_internal.shutting_down()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from pg_stat_get_activity(null) as a
      where a.backend_type = 'walwriter');
end;
create or replace function jobs_internal.record_audit(p_action text, p_object text, p_before jsonb,
    p_after jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.audit (login, login_oid, action, object, before, after)
  values (session_user, jobs_internal.caller(), p_action, p_object, p_before, p_after);
end;
create or replace function jobs_internal.record_control(p_action text, p_job bigint, p_owner oid,
    p_before jsonb, p_after jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_owner is distinct from jobs_internal.caller() then
    perform jobs_internal.record_audit(p_action, 'job ' || p_job, p_before, p_after);
  end if;
end
$$;
create or replace function jobs_internal.current_job()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (regexp_match(current_setting('pyworker.job', true), '^([0-9]{1,18})/'))[1]::bigint;
end;
create or replace function jobs_internal.current_attempt()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (regexp_match(current_setting('pyworker.job', true), '^[0-9]{1,18}/([0-9]{1,9})( |$)'))[
      1]::integer;
end;
create or replace function jobs_internal.privileged_roles()
returns name[]
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select array['pg_create_subscription', 'pg_execute_server_program', 'pg_maintain',
      'pg_read_all_data', 'pg_read_server_files',
    'pg_signal_backend', 'pg_write_all_data', 'pg_write_server_files', 'jobs_owner',
    'jobs_supervisor']::name[];
end;
create or replace function jobs_internal.privileges_of(p_role oid)
returns table (privilege text, via name)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with recursive reached (role) as (
    select p_role
    union
    select m.roleid from reached as r join pg_auth_members as m on m.member = r.role
  )
  select coalesce(w.privilege, r.rolname::text), case when w.privilege is null or r.oid <> p_role
    then r.rolname end
  from reached as m
  join pg_roles as r on r.oid = m.role
  cross join lateral (values (1, 'SUPERUSER', r.rolsuper), (2, 'REPLICATION', r.rolreplication),
      (3, 'CREATEROLE', r.rolcreaterole),
    (4, 'BYPASSRLS', r.rolbypassrls), (5, null, r.rolname = any (jobs_internal.privileged_roles())))
    as w (n, privilege, has)
  where w.has
  order by r.oid <> p_role, w.n, r.rolname;
end;
create or replace function jobs_internal.privileges_seen(p_role oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(
    case when p.via is null or p.privilege = p.via then p.privilege
      else format('%s by membership in %s', p.privilege, p.via) end, ', ')
  from jobs_internal.privileges_of(p_role) as p;
end;
create or replace function jobs_internal.is_refused(p_role oid)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_roles oid[] := array[p_role];
  v_more oid[] := v_roles;
begin
  while cardinality(v_more) > 0 loop
    v_more := array(select m.roleid from pg_auth_members as m
      where m.member = any (v_more) and m.roleid <> all (v_roles));
    v_roles := v_roles || v_more;
  end loop;
  return exists (
    select from pg_roles as r
    where r.oid = any (v_roles) and (r.rolsuper or r.rolreplication or r.rolcreaterole
      or r.rolbypassrls or r.rolname = any (jobs_internal.privileged_roles())))
    and not exists (select from jobs_internal.admitted_role as a where a.role = p_role);
end
$$;
create or replace function jobs_internal.is_runner(p_role oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_has_role(p_role, 'jobs_runner', 'member');
end;
create or replace function jobs_internal.assert_admitted(p_role oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if jobs_internal.is_refused(p_role) then
    raise exception using errcode = 'PW019',
      message = format('jobs of %s are refused', pg_get_userbyid(p_role)),
      detail
        = format('A job runs with all rights of its owner, and this one has more than its own: %s.',
            jobs_internal.privileges_seen(p_role)),
      hint = format('Enqueue as an ordinary role, or have an administrator run: select '
        'jobs.admit_role(%L). A retry cannot help before that.',
        pg_get_userbyid(p_role));
  end if;
end
$$;
create or replace function jobs_internal.note_unreached(p_supervisor bigint, p_reasons jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
  delete from jobs_internal.unreached_owner as u
  where u.supervisor_id = p_supervisor
    and not exists (select from pg_roles as r where r.oid = u.owner
        and p_reasons ? r.rolname::text);
  insert into jobs_internal.unreached_owner as u (owner, supervisor_id, reason)
  select r.oid, p_supervisor, left(e.value, 300)
  from jsonb_each_text(p_reasons) as e
  join pg_roles as r on r.rolname = e.key
  where exists (select from jobs_internal.supervisor as s where s.id = p_supervisor)
  on conflict (owner, supervisor_id) do update set reason = excluded.reason
    where u.reason <> excluded.reason;
end
$$;
create or replace function jobs_internal.note_refused()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refused oid[];
begin
  with recursive mighty (role) as (
    select r.oid from pg_roles as r
    where r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls
      or r.rolname = any (jobs_internal.privileged_roles())
    union
    select m.member from mighty as r join pg_auth_members as m on m.roleid = r.role
  )
  select array_agg(m.role) into v_refused
  from mighty as m
  where m.role in (select l.owner from jobs_internal.lane as l)
    and not exists (select from jobs_internal.admitted_role as a where a.role = m.role);
  v_refused := coalesce(v_refused, '{}');
  if exists (select from jobs_internal.lane as l where l.refused <> (l.owner = any (v_refused)))
    then
    update jobs_internal.lane as l set refused = not l.refused
    where l.id in (
      select o.id from jobs_internal.lane as o where o.refused <> (o.owner = any (v_refused))
      for no key update skip locked);
  end if;
end
$$;
create or replace function jobs_internal.takes_duty(p_duty text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from jobs_internal.duty as d where d.name = p_duty for no key update skip locked;
  return found;
end
$$;
create or replace function jobs_internal.is_future(p_retry_at timestamptz)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p_retry_at between clock_timestamp() and clock_timestamp() + interval '6 minutes';
end;
create or replace function jobs_internal.is_put_off(p_duty text, p_item text)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.duty_failure as f
    where f.duty = p_duty and f.item = p_item and jobs_internal.is_future(f.retry_at));
end;
create or replace function jobs_internal.note_failure(
  p_duty text,
  p_item text,
  p_error jsonb,
  p_queue integer default null,
  p_owner oid default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first interval := case p_error ->> 'sqlstate' when '55P03' then interval '0.2 seconds'
    else interval '1 second' end;
begin
  if not jobs_internal.takes_duty(p_duty) then
    return;
  end if;
  insert into jobs_internal.duty_failure as f (duty, item, queue_id, owner, error, retry_at)
  values (p_duty, p_item, p_queue, p_owner, p_error, clock_timestamp() + v_first)
  on conflict (duty, item) do update set
    queue_id = excluded.queue_id, owner = excluded.owner, error = excluded.error,
      failures = least(f.failures + 1, 1000000),
    retry_at = clock_timestamp() + least(v_first * (2 ^ least(f.failures, 12)),
        interval '5 minutes'),
    logged = f.logged and f.error ->> 'sqlstate' = excluded.error ->> 'sqlstate'
  where not jobs_internal.is_future(f.retry_at);
end
$$;
create or replace function jobs_internal.clear_failure(p_duty text, p_item text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure as f where f.duty = p_duty and f.item = p_item)
    then
    delete from jobs_internal.duty_failure as d
    where d.ctid = (select f.ctid from jobs_internal.duty_failure as f where f.duty = p_duty
        and f.item = p_item for update skip locked);
  end if;
end
$$;
create or replace function jobs_internal.sweep_failures()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure) then
    delete from jobs_internal.duty_failure as d
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f
      where f.retry_at < clock_timestamp() - interval '1 minute'
        or f.duty = 'lanes' and exists (
          select from jobs_internal.lane as l
          where l.queue_id = f.queue_id and l.owner = f.owner
            and l.priority::text = nullif(split_part(f.item, '/', 3), ''))
        or f.duty = 'rescue' and f.item not in (select s.id::text from jobs_internal.session as s)
      for update skip locked));
  end if;
end
$$;
create or replace function jobs_internal.lasting_failures()
returns setof jobs_internal.duty_failure
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select f.* from jobs_internal.duty_failure as f where f.failures >= 3
    or f.error ->> 'sqlstate' <> '55P03';
end;
create or replace function jobs_internal.failure_text(p_failure jobs_internal.duty_failure)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%s%s since %s (%s: %s)',
    case p_failure.duty
      when 'lanes' then 'lane' when 'dispatch' then 'dispatch into lane' when 'rescue'
        then 'rescue of session' when 'overdue' then 'timeout of job'
      when 'signal' then 'signal for job' when 'history' then 'history:' when 'repair'
        then 'repair of lane' else 'part' end || ' ' || p_failure.item,
    coalesce(' of ' || pg_get_userbyid(p_failure.owner), '')
      || coalesce(' in ' || (select q.name from jobs_internal.queue as q
            where q.id = p_failure.queue_id), ''),
    p_failure.since::timestamptz(0), p_failure.error ->> 'sqlstate', p_failure.error ->> 'message');
end;
create or replace function jobs_internal.has_room(p_until timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();
  return clock_timestamp() < p_until and not exists (
    select from pg_stat_get_backend_idset() as b
    cross join lateral pg_stat_get_backend_subxact(b) as s
    where pg_stat_get_backend_pid(b) = pg_backend_pid()
      and (s.subxact_count >= 40 or s.subxact_overflowed));
end
$$;
create or replace function jobs_internal.unlogged_failures()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_logged jsonb;
begin
  if not exists (select from jobs_internal.lasting_failures() as f where not f.logged) then
    return '[]';
  end if;
  with logged as (
    update jobs_internal.duty_failure as d set logged = true
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f
      where not f.logged and (f.duty, f.item) in (select l.duty, l.item
          from jobs_internal.lasting_failures() as l where not l.logged)
      order by f.since limit 50 for no key update skip locked))
    returning d.*
  )
  select jsonb_agg(jsonb_build_object('duty', t.duty, 'item', t.item,
    'queue', (select q.name from jobs_internal.queue as q where q.id = t.queue_id), 'owner',
      pg_get_userbyid(t.owner),
    'sqlstate', t.error ->> 'sqlstate', 'message', t.error ->> 'message', 'hint',
      t.error ->> 'hint', 'failures', t.failures,
    'retry_at', t.retry_at) order by t.since)
  into v_logged
  from logged as t;
  return coalesce(v_logged, '[]');
end
$$;
create or replace function jobs_internal.send_messages(p_pgmq_queue text, p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_msg_ids bigint[] := array(
    select nextval(to_regclass('pgmq.q_' || p_pgmq_queue || '_msg_id_seq'))
    from generate_series(1, cardinality(p_jobs)));
begin
  execute format('insert into pgmq.%I (msg_id, read_ct, enqueued_at, vt, message) '
    'overriding system value select u.m, 0, $3, $4, jsonb_build_object(''job'', u.j)'
    ' from unnest($1, $2) as u(m, j)', 'q_' || p_pgmq_queue)
  using v_msg_ids, p_jobs, now(), clock_timestamp();
  return v_msg_ids;
end
$$;
create or replace function jobs_internal.background(p_function text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%s.%I', e.extnamespace::regnamespace, 'pg_background_' || p_function)
  from pg_extension as e
  where e.extname = 'pg_background';
end;
create or replace function jobs_internal.run_in_background(p_statement text, p_label text,
    p_wait_ms integer default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_handle record;
begin
  execute format('select h.pid, h.cookie from %s($1, 0, $2) as h',
      jobs_internal.background('submit'))
  into v_handle using p_statement, p_label;
  if p_wait_ms is not null then
    execute format('select %s($1, $2, $3)', jobs_internal.background('wait'))
      using v_handle.pid, v_handle.cookie, p_wait_ms;
  end if;
  execute format('select %s($1, $2)', jobs_internal.background('detach'))
    using v_handle.pid, v_handle.cookie;
end
$$;
create or replace function jobs_internal.assert_own_login()
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_user <> session_user and (current_user <> current_setting('role')
    or current_user is distinct from (
      select substr(c.setting, 6)
      from pg_db_role_setting as d
      cross join lateral unnest(d.setconfig) as c (setting)
      where c.setting like 'role=%' and d.setrole in (0, quote_ident(session_user)::regrole)
        and d.setdatabase in (0, (select b.oid from pg_database as b
              where b.datname = current_database()))
      order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
      limit 1))
  then
    raise exception using errcode = 'PW051', message = 'a worker session must run as its own login',
      detail = format('session_user is %s, current_user is %s.', session_user, current_user),
      hint = 'First: set role none. A retry cannot help before that.';
  end if;
end
$$;
create or replace function jobs_internal.launch(p_sessions integer, p_linger interval)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
set transaction_timeout = 0
set lock_timeout = 0
set idle_in_transaction_session_timeout = 0
set default_transaction_isolation = 'read committed'
set default_transaction_read_only = off
set client_min_messages = error
set exit_on_error = off
as $$
declare
  v_handle record;
  v_role text := current_user;
  v_count integer := 0;
  v_submit text := format('select h.pid, h.cookie from %s($1, 65536, %L) as h',
      jobs_internal.background('submit'), 'pyworker worker');
  v_detach text := format('select %s($1, $2)', jobs_internal.background('detach'));
  v_call text := format('call jobs_internal.work(%s, %L)',
      (extract(epoch from p_linger) * 1000)::integer,
    pg_current_xact_id_if_assigned());
begin
  if v_role <> session_user then
    perform jobs_internal.assert_own_login(), set_config('role', 'none', true);
  end if;
  perform set_config('pg_background.worker_timeout', '0', true);
  for v_i in 1 .. p_sessions loop
    begin
      execute v_submit into v_handle using v_call;
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        if sqlerrm like '%without postmaster%' then
          raise exception using errcode = '57P02',
            message = 'the server is ending: no session was started',
            detail = format('PostgreSQL says: %s.', sqlerrm),
            hint = 'Try again when the server is back; a supervisor does so by itself, and no job '
              'is lost.';
        end if;
        if v_count = 0 then
          raise exception using errcode = sqlstate,
            message = 'no worker slot is free: no session was started',
            detail = format('PostgreSQL says: %s. The server has %s worker slots '
              '(max_worker_processes), for everything that'
              ' runs in the background; this session may have %s of them '
              '(pg_background.max_workers).', sqlerrm,
              current_setting('max_worker_processes'),
                current_setting('pg_background.max_workers', true)),
            hint = 'Try again when a session has ended; a supervisor does so by itself, and no job '
              'is lost. Where it stays so, '
              '`pyworker check` tells how many slots are needed.';
        end if;
        exit;
    end;
    execute v_detach using v_handle.pid, v_handle.cookie;
    v_count := v_count + 1;
  end loop;
  if v_role <> session_user then
    perform set_config('role', v_role, true);
  end if;
  return v_count;
end
$$;
create or replace function jobs_internal.launch_child(p_statement text, p_label text,
    out pid integer, out cookie bigint)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, $2, $3) as h',
      jobs_internal.background('submit'))
  into pid, cookie using p_statement, jobs_internal.setting('child_queue_bytes')::integer,
    'pyworker ' operator(pg_catalog.||) p_label;
end
$$;
create or replace function jobs_internal.launch_call(p_call text, p_label text, out pid integer,
    out cookie bigint)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, $2, $3) as h',
      jobs_internal.background('launch'))
  into pid, cookie using p_call, jobs_internal.setting('child_queue_bytes')::integer,
    'pyworker ' operator(pg_catalog.||) p_label;
end
$$;
create or replace function jobs_internal.wait_child(p_pid integer, p_cookie bigint, p_ms integer)
returns boolean
language plpgsql volatile
as $$
declare
  v_ended boolean;
begin
  execute pg_catalog.format('select %s($1, $2, $3)', jobs_internal.background('wait')) into v_ended
    using p_pid, p_cookie, p_ms;
  return v_ended;
end
$$;
create or replace function jobs_internal.child_outcome(
  p_pid integer,
  p_cookie bigint,
  out completed boolean,
  out has_error boolean,
  out command_tag text,
  out sqlstate text,
  out message text,
  out detail text,
  out hint text,
  out context text,
  out table_name text,
  out constraint_name text
)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select r.completed, r.has_error, r.command_tag from %s($1, $2) as r',
      jobs_internal.background('result_info'))
  into completed, has_error, command_tag using p_pid, p_cookie;
  if has_error then
    execute pg_catalog.format('select e.sqlstate, e.message, e.detail, e.hint, e.context, '
      'e.table_name, e.constraint_name from %s($1, $2) as e',
      jobs_internal.background('error_info'))
    into sqlstate, message, detail, hint, context, table_name, constraint_name using p_pid,
      p_cookie;
  end if;
end
$$;
create or replace function jobs_internal.read_call(p_pid integer, p_cookie bigint, p_columns text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_row pg_catalog.jsonb;
begin
  execute pg_catalog.format('select pg_catalog.to_jsonb(r) from %s($1, $2) as r(%s)',
      jobs_internal.background('result'), p_columns)
  into v_row using p_pid, p_cookie;
  if pg_catalog.octet_length(v_row::pg_catalog.text)
    operator(pg_catalog.>) jobs_internal.result_limit() then
    return pg_catalog.jsonb_build_object('unread',
        pg_catalog.format('it has more than %s bytes', jobs_internal.result_limit()));
  end if;
  return v_row;
exception
  when others then
    perform jobs_internal.detach_child(h.pid, p_cookie)
      from pg_catalog.unnest(array[p_pid]) as h(pid)
    where exists (select from pg_catalog.pg_stat_get_activity(p_pid));
    return pg_catalog.jsonb_build_object('unread', pg_catalog.left(sqlerrm, 1000));
end
$$;
create or replace function jobs_internal.detach_child(p_pid integer, p_cookie bigint)
returns void
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using p_pid,
    p_cookie;
end
$$;
create or replace function jobs_internal.is_original()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.installation as h
    where h.table_oid = h.tableoid
      and h.database = (select d.oid from pg_database as d where d.datname = current_database())
      and (h.postmaster = pg_postmaster_start_time()
        or h.system = (select c.system_identifier from pg_control_system() as c)));
end;
create or replace function jobs_internal.is_unused()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from jobs_internal.lane)
    and not exists (select from jobs_internal.job)
    and not exists (select from jobs_internal.finished);
end;
create or replace function jobs_internal.adopt_installation()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into jobs_internal.installation as h (system, database, database_name, table_oid,
    postmaster,
      quotas)
  select c.system_identifier, d.oid, d.datname, 'jobs_internal.installation'::regclass,
    pg_postmaster_start_time(),
    exists (select from jobs_internal.quota)
  from pg_control_system() as c
  join pg_database as d on d.datname = current_database()
  on conflict (id) do update set system = excluded.system, database = excluded.database,
    database_name = excluded.database_name,
    table_oid = excluded.table_oid, postmaster = excluded.postmaster, since = clock_timestamp();
end
$$;
create or replace function jobs_internal.record_installation()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.installation as h
      where h.postmaster <> pg_postmaster_start_time()
      or h.database_name <> current_database())
    and jobs_internal.is_original()
  then
    update jobs_internal.installation as h set postmaster = pg_postmaster_start_time(),
      database_name = current_database()
    where h.id = (select o.id from jobs_internal.installation as o for update skip locked);
  end if;
end
$$;
create or replace function jobs_internal.assert_not_copy()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.installation as h where h.table_oid = h.tableoid
      and h.postmaster = pg_postmaster_start_time()
    and split_part(pg_relation_filepath(h.tableoid), '/', -2) = h.database::text)
    or jobs_internal.is_original()
  then
    return;
  end if;
  if jobs_internal.is_unused() then
    perform from jobs_internal.installation as h for update skip locked;
    if found or not exists (select from jobs_internal.installation) then
      perform jobs_internal.adopt_installation();
    end if;
    return;
  end if;
  raise exception using errcode = 'PW060', message = format('this is %s', jobs_internal.copy_of()),
    detail = 'A copy runs and accepts no jobs until an operator says so: the original may be '
      'running the same ones, and the numbers of roles, functions and '
      'sessions in it belong to the other server.',
    hint = 'Where the jobs in it are to run here: select jobs.reconcile();  as a member of '
      'jobs_operator. A retry helps after that.';
end
$$;
create or replace function jobs_internal.copy_of()
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('a copy of %s', coalesce((
    select format('database "%s" of %s', h.database_name,
      case when h.system = (select c.system_identifier from pg_control_system() as c)
        then 'this server' else 'server ' || h.system end)
    from jobs_internal.installation as h), 'an unknown database'));
end;
create or replace function jobs_internal.viewer()
returns oid
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when jobs_internal.is_original() then jobs_internal.caller() else 0::oid end;
end;
create or replace function jobs_internal.reads(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.caller_is('jobs_owner')
    or (jobs_internal.viewer() <> 0::oid and jobs_internal.caller_is('jobs_operator')
        and pg_has_role(session_user, p_owner, 'member'));
end;
create or replace function jobs_internal.record_role_name(p_role oid)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.known_role (role, name)
  select r.oid, r.rolname from pg_roles as r
  where r.oid = p_role and not exists (select from jobs_internal.known_role as k
      where k.role = p_role);
end;
create or replace function jobs_internal.follow_roles()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobs_internal.known_role as k
    left join pg_roles as r on r.oid = k.role
    where not k.gone and not jobs_internal.is_placeholder_role(k.role)
      and r.rolname is distinct from k.name)
  then
    update jobs_internal.known_role as k
    set name = coalesce((select r.rolname from pg_roles as r where r.oid = k.role), k.name),
      gone = not exists (select from pg_roles as r where r.oid = k.role)
    where k.ctid = any (array(
      select o.ctid from jobs_internal.known_role as o
      where not o.gone and not jobs_internal.is_placeholder_role(o.role)
        and o.name is distinct from (select r.rolname from pg_roles as r where r.oid = o.role)
      for update skip locked));
  end if;
end
$$;
create or replace function jobs_internal.is_placeholder_role(p_role oid)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_role >= 10000::oid and p_role < 12000::oid;
end;
create or replace function jobs_internal.repair_lanes()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'  -- any role may hold pgmq's advisory locks
set enable_nestloop = off
as $$
declare
  v_lane integer;
  v_queue text;
  v_n bigint;
  v_made bigint := 0;
  v_due bigint := 0;
  v_messages bigint := 0;
  v_queues bigint := 0;
  v_failed integer := 0;
begin
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id in (select o.id from jobs_internal.lane as o
      where o.idle_state <> 'active' for no key update skip locked);
  for v_lane in
    select l.id from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where q.removed_at is null and not exists (
      select from pg_class as c
      where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = 'pgmq')
        and c.relname = 'q_pyworker_' || l.id)
    order by l.id
  loop
    exit when v_failed > 20;
    begin
      perform jobs_internal.make_lane_queue(v_lane);
      v_made := v_made + 1;
      perform jobs_internal.clear_failure('repair', v_lane::text);
    exception
      when others or query_canceled then  -- the next repair makes it
        perform jobs_internal.note_failure('repair', l.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
        v_failed := v_failed + 1;
    end;
  end loop;
  for v_lane in select l.id from jobs_internal.lane as l order by l.id loop
    begin
      execute format(
        'update jobs_internal.job as j set state = ''scheduled'', due_at = '
        'pg_catalog.clock_timestamp(), msg_id = null'
        ' where j.state = ''queued'' and j.id in ('
        '   select o.id from jobs_internal.job as o'
        '   where o.state = ''queued'' and o.lane_id = $1 and not exists (select from pgmq.%I as m '
        'where m.msg_id = o.msg_id)'
        '   for update of o skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_due := v_due + v_n;
      execute format(
        'delete from pgmq.%1$I as d where d.msg_id in ('
        '  select m.msg_id from pgmq.%1$I as m'
        '  where not exists (select from jobs_internal.job as j'
        '    where j.id = (m.message ->> ''job'')::bigint and j.msg_id = m.msg_id and j.lane_id = '
        '$1)'
        '  for update of m skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_messages := v_messages + v_n;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
      when others then
        perform jobs_internal.note_failure('repair', l.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
    end;
  end loop;
  update jobs_internal.job as j set state = 'scheduled', due_at = clock_timestamp(), msg_id = null
  where j.state = 'queued' and j.id in (
    select o.id from jobs_internal.job as o
    where o.state = 'queued' and not exists (select from jobs_internal.lane as l
        where l.id = o.lane_id)
    for update skip locked);
  get diagnostics v_n = row_count;
  v_due := v_due + v_n;
  for v_queue in
    select m.queue_name from pgmq.meta as m
    where m.queue_name ~ '^pyworker_[0-9]+$' and not exists (select from jobs_internal.lane as l
        where l.pgmq_queue = m.queue_name)
  loop
    exit when v_failed > 20;
    begin
      perform pgmq.drop_queue(v_queue);
      v_queues := v_queues + 1;
      perform jobs_internal.clear_failure('repair', v_queue);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('repair', v_queue,
            jobs_internal.error_object(sqlstate, sqlerrm));
        v_failed := v_failed + 1;
    end;
  end loop;
  return jsonb_build_object('lanes_made', v_made, 'jobs_due_again', v_due, 'messages_removed',
      v_messages, 'queues_removed', v_queues);
end
$$;
create or replace function jobs_internal.leave_sessions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_sessions bigint := 0;
  v_running bigint;
  v_lane text;
begin
  v_running := (select count(*) from jobs_internal.job as j where j.state = 'running');
  delete from jobs_internal.stop_request where reason = 'timed_out';
  update jobs_internal.stop_request set signals_sent = 0, signalled_at = null,
    requested_at = clock_timestamp();
  update jobs_internal.job set child_start = null where child_start is not null;
  for v_session in
    select s.* from jobs_internal.session as s order by s.id
  loop
    v_session.msg_ids := null;
    v_session.crash_attribution := 'not_charged';
    perform jobs_internal.rescue_one(v_session);
    v_sessions := v_sessions + 1;
  end loop;
  for v_session.id, v_session.job_id, v_session.attempt in
    select j.session_id, j.id, j.attempt from jobs_internal.job as j where j.state = 'running'
    order by j.id
  loop
    v_session.pid := null;
    v_session.crash_attribution := 'not_charged';
    perform jobs_internal.rescue_one(v_session);  -- its session's row is not there
  end loop;
  update jobs_internal.slot set session_id = null where session_id is not null;
  update jobs_internal.lane set quarantine = null where quarantine is not null;
  update jobs_internal.server set epoch = null, isolated_session = null, isolated_job = null,
    isolated_attempt = null, isolated_until = null;
  delete from jobs_internal.supervisor;
  delete from jobs_internal.progress_message;
  delete from jobs_internal.queue_minute_stats;
  delete from jobs_internal.outbox;  -- the original logs it
  delete from jobs_internal.rate_use;
  delete from jobs_internal.unreached_owner;
  delete from jobs_internal.admitted_role;
  for v_lane in select 'q_' || l.pgmq_queue from jobs_internal.lane as l loop
    begin
      execute format('update pgmq.%I set vt = pg_catalog.clock_timestamp() where vt > '
        'pg_catalog.clock_timestamp()', v_lane);
    exception
      when undefined_table then
        null;  -- made again by repair_lanes
    end;
  end loop;
  return jsonb_build_object('sessions_cleared', v_sessions, 'jobs_interrupted', v_running);
end
$$;
create or replace function jobs_internal.move_limits(p_copy boolean, p_old oid[], p_via oid[],
    p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.call_stats as d where d.owner = any (p_old || p_new);
  delete from jobs_internal.quota as u using unnest(p_old, p_new) as m(old, new)
  where not p_copy and u.owner = m.old
    and exists (select from jobs_internal.quota as o where o.owner = m.new);
  update jobs_internal.quota as u set owner = m.via from unnest(p_old, p_via) as m(old, via)
    where u.owner = m.old;
  update jobs_internal.quota as u set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where u.owner = m.via;
  update jobs_internal.history_class as c set owner = m.via
    from unnest(p_old, p_via, p_new) as m(old, via, new)
  where c.owner = m.old and (p_copy or not exists (select from jobs_internal.history_class as o
        where o.owner = m.new));
  update jobs_internal.history_class as c set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where c.owner = m.via;
  update jobs_internal.publication as p set revoked_at = clock_timestamp()
    from unnest(p_old, p_new) as m(old, new)
  where not p_copy and p.publisher = m.old and p.revoked_at is null
    and exists (select from jobs_internal.publication as o where o.publisher = m.new
        and o.signature = p.signature and o.revoked_at is null);
  update jobs_internal.publication as p set publisher = m.via
    from unnest(p_old, p_via) as m(old, via) where p.publisher = m.old;
  update jobs_internal.publication as p set publisher = m.new
    from unnest(p_via, p_new) as m(via, new) where p.publisher = m.via;
  update jobs_internal.publication as p set to_role = m.via from unnest(p_old, p_via) as m(old, via)
    where p.to_role = m.old;
  update jobs_internal.publication as p set to_role = m.new from unnest(p_via, p_new) as m(via, new)
    where p.to_role = m.via;
end
$$;
create or replace function jobs_internal.move_owners(p_copy boolean)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v record;
  v_old oid[] := '{}';
  v_via oid[] := '{}';
  v_new oid[] := '{}';
  v_to oid;
  v_next bigint;
  v_missing text[];
  v_lane record;
begin
  if p_copy then
    insert into jobs_internal.known_role (role, name, gone)
    select o.owner, 'role ' || o.owner, true
    from (
      select l.owner from jobs_internal.lane as l
      union
      select j.owner from jobs_internal.job as j
      union
      select f.owner from jobs_internal.finished as f
      union
      select s.func_owner from jobs_internal.call_template as s
      union
      select u.owner from jobs_internal.quota as u
      union
      select x.role from jobs_internal.publication as p,
        unnest(array[p.publisher, p.to_role]) as x(role)
      union
      select x.enqueued_by from (select j.enqueued_by from jobs_internal.job as j
          union select f.enqueued_by from jobs_internal.finished as f) as x
      where x.enqueued_by is not null
    ) as o
    where not exists (select from jobs_internal.known_role as k where k.role = o.owner);
  end if;
  v_next := greatest(10000, (select max(k.role::bigint) + 1 from jobs_internal.known_role as k
        where jobs_internal.is_placeholder_role(k.role)));
  for v in
    select distinct on (k.role) k.role, k.name, k.gone from jobs_internal.known_role as k
    where p_copy or jobs_internal.is_placeholder_role(k.role)
    order by k.role, k.gone desc
  loop
    v_to := (select r.oid from pg_roles as r where r.rolname = v.name and not v.gone);
    if v_to is null and jobs_internal.is_placeholder_role(v.role) then
      v_to := v.role;
    elsif v_to is null then
      v_to := v_next::oid;
      v_next := v_next + 1;
    end if;
    if v_to <> v.role then
      v_old := v_old || v.role;
      v_via := v_via || (4294960000 - cardinality(v_old))::oid;
      v_new := v_new || v_to;
    end if;
  end loop;
  if v_next > 12000 then
    raise exception using errcode = '54000',
      message = 'more than 2000 owners of jobs are missing here',
      detail = 'Each takes one of the numbers that the server gives to no role.',
        hint = 'Create the roles first (pg_dumpall --roles-only).';
  end if;
  if cardinality(v_old) > 0 then
    for v_lane in
      delete from jobs_internal.lane as l
      where not p_copy and l.owner = any (v_old)
      returning l.id, l.pgmq_queue
    loop
      update jobs_internal.job set state = 'scheduled', due_at = clock_timestamp(), msg_id = null
      where lane_id = v_lane.id and state = 'queued';
      perform pgmq.drop_queue(v_lane.pgmq_queue);
    end loop;
    update jobs_internal.job as j set unique_key = null
    from jobs_internal.job as k
    left join unnest(v_old, v_new) as m(old, new) on m.old = k.owner
    left join unnest(v_old, v_new) as e(old, new) on e.old = k.enqueued_by
    where not p_copy and j.id = k.id and k.unique_key is not null
      and (m.old is not null or e.old is not null)
      and exists (select from jobs_internal.job as o
        where o.owner = coalesce(m.new, k.owner) and o.queue_id = k.queue_id
          and o.unique_key = k.unique_key
          and o.publication_id is not distinct from k.publication_id
          and o.enqueued_by is not distinct from coalesce(e.new, k.enqueued_by));
    update jobs_internal.lane as l set owner = m.via from unnest(v_old, v_via) as m(old, via)
      where l.owner = m.old;
    update jobs_internal.lane as l set owner = m.new from unnest(v_via, v_new) as m(via, new)
      where l.owner = m.via;
    update jobs_internal.job as j set owner = m.via from unnest(v_old, v_via) as m(old, via)
      where j.owner = m.old;
    update jobs_internal.job as j set owner = m.new from unnest(v_via, v_new) as m(via, new)
      where j.owner = m.via;
    update jobs_internal.finished as f set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where f.owner = m.old;
    update jobs_internal.attempt as a set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where a.owner = m.old;
    update jobs_internal.log_line as l set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where l.owner = m.old;
    update jobs_internal.job as j set enqueued_by = m.via from unnest(v_old, v_via) as m(old, via)
      where j.enqueued_by = m.old;
    update jobs_internal.job as j set enqueued_by = m.new from unnest(v_via, v_new) as m(via, new)
      where j.enqueued_by = m.via;
    update jobs_internal.finished as f set enqueued_by = m.new
      from unnest(v_old, v_new) as m(old, new) where f.enqueued_by = m.old;
    perform jobs_internal.move_daily_cost(v_old, v_new),
      jobs_internal.move_limits(p_copy, v_old, v_via, v_new);
    update jobs_internal.finished_attempt as a set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where a.owner = m.old;
    update jobs_internal.finished_log_line as l set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where l.owner = m.old;
    update jobs_internal.call_template as s set func_owner = m.new
      from unnest(v_old, v_new) as m(old, new)
      where s.func_owner = m.old;
    update jobs_internal.call_template as s set maker = m.new
      from unnest(v_old, v_new) as m(old, new)
      where s.maker = m.old;
    update jobs_internal.known_role as k set role = m.new from unnest(v_old, v_new) as m(old, new)
      where k.role = m.old;
  end if;
  v_missing := array(select distinct k.name::text from jobs_internal.known_role as k
      where jobs_internal.is_placeholder_role(k.role) order by 1);
  return jsonb_build_object('roles_moved', cardinality(v_old), 'roles_missing',
      to_jsonb(v_missing));
end
$$;
create or replace function jobs_internal.find_functions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_template jobs_internal.call_template;
  v_now jobs_internal.call_template;
  v_func oid;
  v_owner oid;
  v_version xid;
  v_ctid tid;
  v_found bigint := 0;
  v_missing text[] := '{}';
begin
  update jobs_internal.publication as p set revoked_at = clock_timestamp()
  where p.revoked_at is null and not exists (select from pg_proc as f
      where f.oid::regprocedure::text = p.signature and f.proowner = p.publisher);
  update jobs_internal.publication as p set func = f.oid
  from pg_proc as f
  where p.revoked_at is null and f.oid::regprocedure::text = p.signature
    and f.proowner = p.publisher;
  update jobs_internal.call_template set func = 0, version = '0', fit = case when whole then 0
    else hash_array(keys) end;
  for v_template in select s.* from jobs_internal.call_template as s order by s.id loop
    select p.oid, p.proowner into v_func, v_owner
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
    if not found then
      v_missing := v_missing || v_template.signature;
      continue;
    end if;
    v_version := '0';
    v_ctid := '(0,0)';
    if v_owner = v_template.func_owner
      and jobs_internal.argument_mismatch(v_func, v_template.keys) is null then
      begin
        v_now := jobs_internal.make_call_template(v_func, v_template.keys);
        delete from jobs_internal.call_template where id = v_now.id;
        if v_now.call = v_template.call
          and v_now.cast_query is not distinct from v_template.cast_query
          then
          v_version := v_now.version;
          v_ctid := v_now.func_ctid;
        end if;
      exception
        when others then
          v_version := '0';  -- its jobs will say what is wrong with it
      end;
    end if;
    update jobs_internal.call_template set func = v_func, version = v_version, func_ctid = v_ctid
      where id = v_template.id;
    v_found := v_found + 1;
  end loop;
  return jsonb_build_object('functions_found', v_found,
    'functions_missing', to_jsonb(array(select distinct m from unnest(v_missing) as m order by 1)));
end
$$;
create or replace function jobs_internal.cut_parameters(p_list text)
returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token text;
  v_part text := '';
  v_parts text[] := '{}';
  v_depth integer := 0;
  v_default boolean := false;
begin
  for v_token in
    select m[1]
    from regexp_matches(p_list,
        $r$("(?:[^"]|"")*"|'(?:[^']|'')*'|[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*|.)$r$, 'g') as m
  loop
    v_depth := v_depth + case when v_token in ('(', '[') then 1 when v_token in (')', ']') then -1
      else 0 end;
    if v_token = ',' and v_depth = 0 then
      v_parts := v_parts || v_part;
      v_part := '';
      v_default := false;
    else
      v_default := v_default or v_depth = 0 and lower(v_token) in ('default', '=');
      v_part := v_part || case when v_default then '' else v_token end;
    end if;
  end loop;
  return case when v_parts = '{}' and btrim(v_part, E' \t\n\r') = '' then v_parts
    else v_parts || v_part end;
end
$$;
create or replace function jobs_internal.type_of(p_text text)
returns oid
language plpgsql stable
set exit_on_error = off
as $$
begin
  return pg_catalog.to_regtype(p_text)::pg_catalog.oid;
exception
  when others then
    return null;  -- a syntax error, or a schema that is closed to the caller
end
$$;
create or replace function jobs_internal.signature_types(p_list text)
returns oid[]
language plpgsql stable
as $$
declare
  v_name constant pg_catalog.text := $r$^\s*(?:"(?:[^"]|"")+"|[^\s"]+)\s+$r$;
  v_part pg_catalog.text;
  v_mode pg_catalog.text;
  v_type pg_catalog.oid;
  v_types pg_catalog.oid[] := '{}';
begin
  foreach v_part in array jobs_internal.cut_parameters(p_list) loop
    v_mode := pg_catalog.lower((pg_catalog.regexp_match(v_part,
          $r$^\s*(in\s+out|inout|in|out|variadic)\s$r$, 'i'))[1]);
    v_type := jobs_internal.type_of(v_part);
    if v_type is null and v_mode is not null then
      v_part := pg_catalog.substr(pg_catalog.ltrim(v_part, E' \t\n\r'),
          pg_catalog.length(v_mode) operator(pg_catalog.+) 1);
      v_type := jobs_internal.type_of(v_part);
    end if;
    if v_type is null then
      v_type := jobs_internal.type_of(pg_catalog.regexp_replace(v_part, v_name, ''));
    end if;
    if v_type is null then
      return null;
    end if;
    if coalesce(v_mode, '') operator(pg_catalog.<>) 'out' then
      v_types := v_types operator(pg_catalog.||) v_type;
    end if;
  end loop;
  return v_types;
end
$$;
create or replace function jobs_internal.type_name(p_type oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%I.%I', n.nspname, t.typname)
  from pg_type as t
  join pg_namespace as n on n.oid = t.typnamespace
  where t.oid = p_type;
end;
create or replace function jobs_internal.parameters(p_func oid)
returns table (n integer, name text, key text, type_id oid, type text, mode text, required boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with p as (
    select p.*, p.proallargtypes is not null as has_out
    from pg_proc as p
    where p.oid = p_func
  ), a as (
    select
      u.n::integer as n, nullif(p.proargnames[u.n], '') as name, u.type_id,
      case when p.has_out then p.proargmodes[u.n]::text else 'i' end as mode,
      p.pronargdefaults as defaults, p.provariadic
    from p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type_id,
        n)
  ), i as (
    select a.*,
      row_number() over (partition by a.mode in ('i', 'b', 'v') order by a.n) as place,
      count(*) over (partition by a.mode in ('i', 'b', 'v')) as places
    from a
    where a.mode <> 't'
  )
  select
    i.n, i.name,
    case when i.mode in ('i', 'b', 'v') then coalesce(i.name, '$' || i.place) end,
    i.type_id, format_type(i.type_id, -1), i.mode,  -- -1: bpchar, not char(1)
    i.mode in ('i', 'b') and i.place <= i.places - i.defaults
  from i
  order by i.n;
end;
create or replace function jobs_internal.argument_mismatch(p_func oid, p_keys text[])
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := p_func::regprocedure::text;
  v_unknown text[];
  v_missing text[];
  v_bad text;
  v_proc record;
begin
  select p.prokind, p.prorettype, p.proretset, p.proargmodes, p.pronargs, p.provariadic,
    t.typtype as ret_type
  into v_proc
  from pg_proc as p
  join pg_type as t on t.oid = p.prorettype
  where p.oid = p_func;
  v_bad := case
    when v_proc.prokind = 'a' then 'It is an aggregate.'
    when v_proc.prokind = 'w' then 'It is a window function.'
    when v_proc.prorettype in ('trigger'::regtype, 'event_trigger'::regtype)
      then 'It is a trigger function.'
    when v_proc.provariadic = '"any"'::regtype then 'It has a VARIADIC "any" parameter.'
    when v_proc.ret_type = 'p' and v_proc.prorettype not in ('void'::regtype, 'record'::regtype)
      then format('It returns the pseudo-type %s.', v_proc.prorettype::regtype)
    when v_proc.prorettype = 'record'::regtype and v_proc.prokind = 'f'
      and not coalesce(v_proc.proargmodes && array['o', 'b', 't']::"char"[], false)
      then 'It returns record without a list of columns.'
  end;
  if v_bad is null then
    select format('Parameter %s has the pseudo-type %s.', p.key, p.type) into v_bad
    from jobs_internal.parameters(p_func) as p
    join pg_type as t on t.oid = p.type_id
    where t.typtype = 'p' and p.mode <> 'o'
    limit 1;
  end if;
  if v_bad is not null then
    return jsonb_build_object('code', 'PW016', 'message', format('%s cannot be a job', v_name),
        'detail', v_bad,
      'hint', 'Write a function with declared types that calls it. A retry cannot help.');
  end if;
  if jobs_internal.takes_whole(p_func) then
    return null;
  end if;
  v_unknown := array(select k from unnest(p_keys) as k
    where not exists (select from jobs_internal.parameters(p_func) as p where p.key = k));
  v_missing := array(select p.key || ' ' || p.type from jobs_internal.parameters(p_func) as p
    where p.required and p.key <> all (p_keys) order by p.n);
  if cardinality(v_unknown) > 0 then
    return jsonb_build_object('code', 'PW003',
      'message', format('%s has no parameter "%s"', v_name, left(v_unknown[1], 200)),
      'detail', format('Unknown: %s. Its parameters: %s.', left(array_to_string(v_unknown, ', '),
            1000),
        coalesce((select string_agg(p.key || ' ' || p.type, ', ' order by p.n)
              from jobs_internal.parameters(p_func) as p where p.key is not null), 'none')),
      'hint', 'The keys of args are the names of parameters. A retry cannot help.');
  end if;
  if cardinality(v_missing) > 0 then
    return jsonb_build_object('code', 'PW004',
      'message', format('%s needs the argument %s', v_name, v_missing[1]),
      'detail', format('Missing: %s.', array_to_string(v_missing, ', ')),
      'hint', 'Give it in args; JSON null passes NULL. A retry cannot help.');
  end if;
  return null;
end
$$;
create or replace function jobs_internal.takes_whole(p_func oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select p.pronargs = 1 and p.proargtypes[0] = 'jsonb'::regtype
    and not coalesce(p.proargmodes && array['b', 'v']::"char"[], false)
  from pg_proc as p
  where p.oid = p_func;
end;
create or replace function jobs_internal.functions_by_name(p_task text)
returns oid[]
language plpgsql stable
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text := pg_catalog.btrim(pg_catalog.left(p_task, 50001));
  v_parts pg_catalog.text[];
  v_found pg_catalog.oid[];
  v_closed pg_catalog.name;
  v_signature pg_catalog.text[];
  v_types pg_catalog.oid[];
begin
  if v_name is null or v_name operator(pg_catalog.=) '' then
    raise exception using errcode = 'PW001', message = 'no function is named',
      detail = 'The task is null or empty.',
        hint = 'Pass the name of a function or procedure. A retry cannot help.';
  end if;
  if pg_catalog.length(v_name) operator(pg_catalog.>) 50000 then
    raise exception using errcode = 'PW018', message = 'the task is too long',
      detail = 'It has more than 50000 characters.',
        hint = 'Pass the name of a function or procedure. A retry cannot help.';
  end if;
  if pg_catalog.right(v_name, 1) operator(pg_catalog.=) ')' then
    begin
      v_parts := pg_catalog.parse_ident(v_name, false);
      v_found := array[pg_catalog.to_regprocedure(v_name)::pg_catalog.oid];
    exception when others then
      v_found := null;  -- too many dots, or a schema that is closed to the caller
    end;
    v_found := pg_catalog.array_remove(v_found, null);
    if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 0 then
      return v_found;
    end if;
    v_signature := pg_catalog.regexp_match(v_name, $r$^((?:"(?:[^"]|"")+"|[^"(])+)\((.*)\)\Z$r$);
    v_types := jobs_internal.signature_types(v_signature[2]);
  end if;
  if v_types is not null or v_signature is null
    and pg_catalog.right(v_name, 1) operator(pg_catalog.<>) ')' then
    begin
      v_parts := pg_catalog.parse_ident(coalesce(v_signature[1], v_name));
    exception when others then
      v_parts := null;
    end;
    if exists (select from pg_catalog.unnest(v_parts) as p
        where pg_catalog.octet_length(p) operator(pg_catalog.>) 63) then
      raise exception using errcode = 'PW015',
        message = 'a name in the task is longer than 63 bytes',
        detail = pg_catalog.format('Task: %s', pg_catalog.left(v_name, 200)),
        hint = 'PostgreSQL would cut it silently. Pass the name as it stands in the catalog.';
    end if;
    if pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 1 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      where p.proname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
        and pg_catalog.pg_function_is_visible(p.oid);
    elsif pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) p.pronamespace
      where p.proname operator(pg_catalog.=) v_parts[2]::pg_catalog.name
        and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
        and pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    end if;
    if v_types is not null then
      v_found := array(select p.oid from pg_catalog.pg_proc as p
        where p.oid operator(pg_catalog.=) any (v_found)
          and p.proargtypes::pg_catalog.text
            operator(pg_catalog.=) pg_catalog.array_to_string(v_types, ' '));
    end if;
  end if;
  if v_found is null or pg_catalog.cardinality(v_found) operator(pg_catalog.=) 0 then
    select n.nspname into v_closed
    from pg_catalog.pg_namespace as n
    where pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2
      and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
      and not pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    if found then
      raise exception using errcode = 'PW006',
        message = pg_catalog.format('the schema %I is closed to %s', v_closed, current_user),
        detail = pg_catalog.format('What %s is cannot be seen without USAGE.',
            pg_catalog.left(v_name, 200)),
        hint
          = pg_catalog.format(
              'Ask its owner for: grant usage on schema %I to %I. A retry helps after that.',
                v_closed, current_user);
    end if;
    raise exception using errcode = 'PW001',
      message = pg_catalog.format('function %s does not exist', pg_catalog.left(v_name, 200)),
      detail = case when pg_catalog.right(v_name, 1) operator(pg_catalog.=) ')'
        then 'No function or procedure of that name has just these argument types.'
        else
          pg_catalog.format('No function or procedure of that name is visible with search_path %s.',
              pg_catalog.current_setting('search_path')) end,
      hint = 'Check the name, or qualify it with its schema; a statement goes into '
        'jobs.enqueue_sql. A retry cannot help.';
  end if;
  return v_found;
end
$$;
create or replace function jobs_internal.resolve(p_task text, p_args jsonb)
returns jobs_internal.call_template
language plpgsql volatile
as $$
declare
  v_keys pg_catalog.text[];
  v_func pg_catalog.oid;
  v_found pg_catalog.oid[];
  v_fit pg_catalog.oid[];
  v_misfit pg_catalog.jsonb;
begin
  if p_args operator(pg_catalog.=) '{}' then
    v_keys := '{}';
  elsif pg_catalog.jsonb_typeof(p_args) operator(pg_catalog.<>) 'object' then
    raise exception using errcode = 'PW011', message = 'args must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_args)),
      hint = 'Pass {"parameter": value, ...}. A retry cannot help.';
  else
    v_keys := array(select k from pg_catalog.jsonb_object_keys(p_args) as k
        order by k collate pg_catalog."C");
  end if;
  v_func := case
    when pg_catalog.octet_length(p_task) operator(pg_catalog.<) 64
      and p_task operator(pg_catalog.~) '^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$'
      and (pg_catalog.strpos(p_task, '.') operator(pg_catalog.=) 0
        or pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace(pg_catalog.split_part(p_task,
              '.', 1))::pg_catalog.oid, 'USAGE'))
    then pg_catalog.to_regproc(p_task) end;
  if v_func is null then
    v_found := jobs_internal.functions_by_name(p_task);
    if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 1 then
      v_fit := array(select f from pg_catalog.unnest(v_found) as f
          where jobs_internal.argument_mismatch(f, v_keys) is null);
      if pg_catalog.cardinality(v_fit) operator(pg_catalog.<>) 1 then
        select pg_catalog.jsonb_build_object('detail',
            pg_catalog.string_agg(distinct m operator(pg_catalog.->>) 'detail', ' '), 'hint',
              pg_catalog.min(m operator(pg_catalog.->>) 'hint'))
        into v_misfit
        from pg_catalog.unnest(v_found) as f,
          lateral jobs_internal.argument_mismatch(f, v_keys) as m
        having pg_catalog.count(*) filter (where m operator(pg_catalog.->>) 'code'
            operator(pg_catalog.=) 'PW016') operator(pg_catalog.=) pg_catalog.cardinality(v_found);
        if found then
          raise exception using errcode = 'PW016',
            message = pg_catalog.format('%s cannot be a job', pg_catalog.left(p_task, 200)),
            detail = pg_catalog.left(v_misfit operator(pg_catalog.->>) 'detail', 1000),
              hint = v_misfit operator(pg_catalog.->>) 'hint';
        end if;
        raise exception using errcode = 'PW002',
          message = pg_catalog.format('%s names %s functions', pg_catalog.left(p_task, 200),
              pg_catalog.cardinality(v_found)),
          detail = pg_catalog.format('%s of them fit these arguments. Candidates: %s.',
              pg_catalog.cardinality(v_fit),
            (select pg_catalog.string_agg(f::pg_catalog.regprocedure::pg_catalog.text, '; ')
                from pg_catalog.unnest(v_found) as f)),
          hint = 'Give the argument types: schema.name(type, ...). A retry cannot help.';
      end if;
      v_found := v_fit;
    end if;
    v_func := v_found[1];
  end if;
  return jobs_internal.call_template_of(v_func, v_keys);
end
$$;
create or replace function jobs_internal.result_query(p_func oid, p_arguments text, p_columns text,
    p_args text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
  v_proc record;
  v_from text := case when p_columns is null then ''
    else format(' from pg_catalog.jsonb_to_record(%s) as pyworker_args(%s)', p_args, p_columns) end;
  v_expr text;
  v_single_out text;
begin
  select n.nspname, p.proname, p.prorettype = 'void'::regtype as is_void, p.proretset,
    p.proargmodes, p.proargnames
  into strict v_proc
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  v_expr := format('%I.%I(%s)', v_proc.nspname, v_proc.proname, p_arguments);
  if v_proc.is_void and not v_proc.proretset then
    return format('select pg_catalog.to_jsonb(nullif(%s::pg_catalog.text, %L))%s', v_expr, '',
        v_from);
  end if;
  select min(v_proc.proargnames[u.n]) into v_single_out
  from unnest(v_proc.proargmodes) with ordinality as u(mode, n)
  where u.mode in ('o', 'b', 't')
  having count(*) = 1;
  if v_proc.proretset then
    return format(
      'select jobs_internal.limit_rows(pg_catalog.count(*), pg_catalog.jsonb_agg(s.v)) from '
      '(select %s as v%s limit 1 + jobs_internal.setting(''result_rows'')::pg_catalog.int8) as '
      's',
      case when v_single_out is not null
        then format('pg_catalog.jsonb_build_object(%L, pyworker_row.*)', v_single_out)
        when v_proc.is_void then 'null::pg_catalog.jsonb'
        else 'pg_catalog.to_jsonb(pyworker_row.*)' end,
      case when v_from = '' then format(' from %s as pyworker_row', v_expr)
        else format('%s, lateral %s as pyworker_row', v_from, v_expr) end);
  elsif v_single_out is not null then
    return format('select pg_catalog.jsonb_build_object(%L, %s)%s', v_single_out, v_expr, v_from);
  end if;
  return format('select pg_catalog.to_jsonb(%s)%s', v_expr, v_from);
end
$$;
create or replace function jobs_internal.chunk_call(p_func oid, p_keys text[], p_arguments text,
    p_columns text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proc record;
  v_query text;
  v_whole boolean := jobs_internal.takes_whole(p_func);
begin
  select p.proretset, p.proargdefaults::text as defaults,
    p.provolatile = 'v' and p.prokind = 'f' and (l.lanname = 'plpgsql'
      or l.lanname = 'sql' and (p.prosecdef or p.proconfig is not null)) as is_opaque
  into strict v_proc
  from pg_proc as p
  join pg_language as l on l.oid = p.prolang
  where p.oid = p_func;
  if not v_proc.is_opaque
    or (v_proc.proretset and p_columns is null and not v_whole)
    or not jobs_internal.has_plain_types(p_func)
    or (v_proc.defaults ~ '\{(?!CONST )' and not v_whole and exists (
        select from jobs_internal.parameters(p_func) as p
        where p.key <> all (p_keys)))
  then
    return null;
  end if;
  v_query := jobs_internal.result_query(p_func,
    case when v_whole then 'pyworker_item.args' else p_arguments end, p_columns,
    'pyworker_item.args');
  return case when v_proc.proretset or p_columns is not null then format('(%s)', v_query)
    else substr(v_query, length('select ') + 1) end;
end
$$;
create or replace function jobs_internal.has_plain_types(p_func oid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select bool_and(t.oid < 16384 and (t.typtype in ('b', 'r', 'm') or t.oid = 'void'::regtype)
      and t.typnamespace = 'pg_catalog'::regnamespace)
  from pg_proc as p
  cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype)
    as u(type_id)
  join pg_type as t on t.oid = u.type_id
  where p.oid = p_func;
end;
create or replace function jobs_internal.make_call_template(p_func oid, p_keys text[])
returns jobs_internal.call_template
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = postgres
set extra_float_digits = 1
set bytea_output = hex
set timezone = 'UTC'
set lc_monetary = 'C'
set quote_all_identifiers = off
as $$
declare
  v_proc record;
  v_template jobs_internal.call_template;
  v_columns text;
  v_render text;
  v_arguments text;
  v_name text;
begin
  select p.xmin as version, p.ctid, p.proowner, p.proname, n.nspname, p.prokind into strict v_proc
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  v_name := format('%I.%I', v_proc.nspname, v_proc.proname);
  v_template.func := p_func;
  v_template.version := v_proc.version;
  v_template.func_ctid := v_proc.ctid;
  v_template.func_owner := v_proc.proowner;
  v_template.keys := p_keys;
  v_template.maker := jobs_internal.caller();
  v_template.signature := p_func::regprocedure::text;
  v_template.task := v_name;
  v_template.whole := jobs_internal.takes_whole(p_func);
  v_template.procedure := v_proc.prokind = 'p';
  v_template.fit := case when v_template.whole then 0 else hash_array(p_keys) end;
  if v_template.whole then
    v_arguments := '$1';
  else
    select string_agg(format('%I %s', p.key, jobs_internal.type_name(p.type_id)), ', ' order by p.n),
      case when bool_and(p.type_id = any (array['boolean', 'smallint', 'integer', 'bigint', 'numeric',
              'text', 'uuid', 'jsonb']::regtype[]))
        then 'pg_catalog.to_jsonb' else 'jobs_internal.to_canonical_jsonb' end
    into v_columns, v_render
    from jobs_internal.parameters(p_func) as p
    where p.key = any (p_keys);
    if v_columns is not null then
      v_template.cast_query := format(
        'select %s(pyworker_args.*) from '
        'pg_catalog.jsonb_to_record($1) as '
        'pyworker_args(%s)', v_render, v_columns);
    end if;
    select string_agg(
      case when p.mode = 'v' then 'variadic ' else '' end
      || case
        when p.key = any (p_keys) and v_template.procedure
          then format('jobs_internal.argument(%L, null::%s)', p.key,
              jobs_internal.type_name(p.type_id))
        when p.key = any (p_keys) then format('pyworker_args.%I', p.key)
        when p.mode = 'o' then format('null::%s', jobs_internal.type_name(p.type_id))
        else format('(%s)::%s', coalesce(pg_get_function_arg_default(p_func, p.n), '''{}'''),
            jobs_internal.type_name(p.type_id))
      end, ', ' order by p.n)
    into v_arguments
    from jobs_internal.parameters(p_func) as p
    where p.key is not null or v_template.procedure;
  end if;
  if v_template.procedure then
    if v_template.whole then
      v_arguments := 'jobs_internal.argument(null, null::pg_catalog.jsonb)';
    end if;
    v_template.call := format('call %s(%s)', v_name, coalesce(v_arguments, ''));
  else
    v_template.call := jobs_internal.result_query(p_func, v_arguments, v_columns, '$1');
    v_template.chunk_call := jobs_internal.chunk_call(p_func, p_keys, v_arguments, v_columns);
  end if;
  insert into jobs_internal.call_template (func, version, func_ctid, func_owner, maker, keys, fit,
      signature,
      task, whole, procedure, cast_query, call, chunk_call)
  values (v_template.func, v_template.version, v_template.func_ctid, v_template.func_owner,
      v_template.maker,
      v_template.keys, v_template.fit, v_template.signature, v_template.task, v_template.whole,
    v_template.procedure, v_template.cast_query, v_template.call, v_template.chunk_call)
  returning * into v_template;
  perform jobs_internal.record_role_name(v_template.func_owner);
  return v_template;
end
$$;
create or replace function jobs_internal.call_template_of(p_func oid, p_keys text[])
returns jobs_internal.call_template
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_template jobs_internal.call_template;
begin
  if not has_function_privilege(session_user, p_func, 'EXECUTE') then
    raise exception using errcode = 'PW006', message = format('%s may not execute %s', session_user,
        p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint
        = format('Ask its owner for: grant execute on routine %s to %I. A retry helps after that.',
            p_func::regprocedure, session_user);
  end if;
  select s.* into v_template
  from jobs_internal.call_template as s
  where s.func = p_func and s.fit = any (array[0, hash_array(p_keys)])
    and (s.keys = p_keys or s.whole) and s.retired_by is null
    and exists (select from pg_proc as p where p.oid = s.func and p.xmin = s.version
        and p.ctid = s.func_ctid
      and starts_with(s.task, p.pronamespace::regnamespace::text || '.') offset 0);
  if not found then
    v_template := jobs_internal.find_call_template(p_func, p_keys);
  end if;
  if starts_with(v_template.task, 'jobs.') then
    perform jobs_internal.assert_behind(p_func);
  end if;
  return v_template;
end
$$;
create or replace function jobs_internal.find_call_template(p_func oid, p_keys text[])
returns jobs_internal.call_template
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_template jobs_internal.call_template;
  v_misfit jsonb;
  v_twin regprocedure;
begin
  p_keys := array(select distinct k collate "C" from unnest(p_keys) as k order by 1);
  select s.* into v_template
  from jobs_internal.call_template as s
  join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
    and p.oid::regprocedure::text = s.signature
  where s.func = p_func and s.fit = any (array[0, hash_array(p_keys)])
    and (s.keys = p_keys or s.whole) and s.retired_by is null
  limit 1;
  if found then
    return v_template;
  end if;
  v_misfit := jobs_internal.argument_mismatch(p_func, p_keys);
  if v_misfit is not null then
    raise exception using errcode = v_misfit ->> 'code', message = v_misfit ->> 'message',
      detail = v_misfit ->> 'detail',
      hint = v_misfit ->> 'hint';
  end if;
  select o.oid into v_twin
  from pg_proc as p
  join pg_proc as o on o.pronamespace = p.pronamespace and o.proname = p.proname
    and o.pronargs > p.pronargs
  where p.oid = p_func and p.provariadic = 0 and o.pronargs - o.pronargdefaults <= p.pronargs
    and (o.proargtypes::oid[])[0:p.pronargs - 1] = (p.proargtypes::oid[])[0:p.pronargs - 1]
  limit 1;
  if found then
    raise exception using errcode = 'PW002',
      message = format('%s cannot be distinguished from %s', p_func::regprocedure, v_twin),
      detail = 'The other one has defaults for what it has more, so a call with these arguments '
        'fits both.',
      hint = 'Rename one of them. A retry cannot help.';
  end if;
  perform jobs_internal.assert_few_call_templates(p_func);
  return jobs_internal.make_call_template(p_func, p_keys);
end
$$;
create or replace function jobs_internal.assert_few_call_templates(p_func oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_me oid := jobs_internal.caller();
begin
  if (select count(*) from (
      select from jobs_internal.call_template as s
      join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
      where s.maker = v_me and s.func = p_func and s.retired_by is null
      limit 1000) as f) = 1000
    or (select count(*) from (select from jobs_internal.call_template as s where s.maker = v_me
          limit 100000) as a) = 100000
  then
    raise exception using errcode = 'PW079',
      message = format('%s has called %s with too many sets of argument names', session_user,
          p_func::regprocedure),
      detail = '1000 sets of one function, and 100000 in all, are allowed to one login; each is '
        'kept while there are jobs of it.',
      hint = 'Pass the same names each time, with null where there is no value. A retry helps when '
        'unused ones were removed, in a day.';
  end if;
end
$$;
create or replace function jobs_internal.sweep_call_templates()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_newest xid8;
  v_gone integer[];
begin
  with gone as (
    delete from jobs_internal.call_template as d
    where d.horizon_xid <= pg_snapshot_xmin(pg_current_snapshot())
      and not exists (select from jobs_internal.job as j where j.call_template_id = d.id)
      and not exists (select from jobs_internal.finished as f where f.call_template_id = d.id)
    returning d.id
  )
  select array_agg(g.id) into v_gone from gone as g;
  if v_gone is not null then
    delete from jobs_internal.call_stats as d where d.call_template_id = any (v_gone);
  end if;
  select max(s.retired_by) into v_newest
  from jobs_internal.call_template as s where s.retired_by is not null and s.horizon_xid is null;
  if v_newest is not null and not jobs_internal.is_older_snapshot(v_newest::xid) then
    update jobs_internal.call_template set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
    where retired_by is not null and horizon_xid is null;
  end if;
  update jobs_internal.call_template as s set retired_by = pg_current_xact_id()
  where s.retired_by is null and s.made_at < clock_timestamp() - interval '1 day'
    and not exists (select from jobs_internal.call_stats as d
      where d.call_template_id = s.id and d.seen_at > clock_timestamp() - interval '1 day')
    and not exists (select from jobs_internal.job as j where j.call_template_id = s.id)
    and not exists (select from jobs_internal.finished as f where f.call_template_id = s.id);
  return coalesce(cardinality(v_gone), 0);
end
$$;
create or replace function jobs_internal.launch_call_template_sweep()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.server as s set call_templates_swept_at = clock_timestamp()
  where s.id = (select v.id from jobs_internal.server as v for update skip locked)
    and coalesce(s.call_templates_swept_at
        not between clock_timestamp() - interval '6 hours' and clock_timestamp(), true);
  if found then
    perform jobs_internal.launch_upkeep('select jobs_internal.sweep_call_templates()',
        'pyworker call templates');
  end if;
end
$$;
create or replace function jobs_internal.to_canonical_jsonb(p_values record)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = postgres
set extra_float_digits = 1
set bytea_output = hex
set timezone = 'UTC'
as $$
begin
  return to_jsonb(p_values);
end
$$;
create or replace function jobs_internal.canonical(p_template jobs_internal.call_template,
    p_args jsonb)
returns jsonb
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb;
  v_parameter record;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if p_template.cast_query is null then
    return case when p_template.whole then p_args end;
  end if;
  begin
    execute p_template.cast_query into v_args using p_args;
    return v_args;
  exception when others then
    get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
  end;
  for v_parameter in
    select p.key, p.type, jobs_internal.type_name(p.type_id) as full_type
    from jobs_internal.parameters(p_template.func) as p
    where p.key operator(pg_catalog.=) any (p_template.keys) order by p.n
  loop
    begin
      execute pg_catalog.format('select pg_catalog.to_jsonb(pyworker_args.*) from '
        'pg_catalog.jsonb_to_record($1) as pyworker_args(%I %s)', v_parameter.key,
        v_parameter.full_type)
      using p_args;
    exception when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      raise exception using errcode = 'PW005',
        message = pg_catalog.format('argument "%s" cannot be cast to %s', v_parameter.key,
            v_parameter.type),
        detail = pg_catalog.format('Value: %s. PostgreSQL says (%s): %s',
            pg_catalog.left((p_args operator(pg_catalog.->) v_parameter.key)::pg_catalog.text, 200),
              v_state,
          pg_catalog.left(v_message, 1000)),
        hint = 'Pass a value of that type. A retry cannot help.';
    end;
  end loop;
  raise exception using errcode = 'PW005', message = 'the arguments cannot be cast',
    detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state,
        pg_catalog.left(v_message, 1000)),
    hint = 'Pass values of the declared types.';
end
$$;
create or replace function jobs_internal.canonical_many(p_template jobs_internal.call_template,
    p_args jsonb[])
returns jsonb[]
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb[];
  v_one pg_catalog.jsonb;
begin
  if p_template.cast_query is null then
    return case when p_template.whole then p_args
      else pg_catalog.array_fill(null::pg_catalog.jsonb, array[pg_catalog.cardinality(p_args)]) end;
  end if;
  begin
    execute pg_catalog.format('select jobs_internal.to_canonical_jsonb(row(pg_catalog.array_agg('
      'pyworker_args.* order by u.n))) from pg_catalog.unnest($1) with ordinality as u(a, n), '
      'lateral pg_catalog.jsonb_to_record(u.a)%s',
      pg_catalog.substr(p_template.cast_query,
        pg_catalog.strpos(p_template.cast_query, '($1)') operator(pg_catalog.+) 4))
    into v_one using p_args;
    return array(select r.value
      from pg_catalog.jsonb_array_elements(v_one operator(pg_catalog.->) 'f1')
        with ordinality as r(value, n)
      order by r.n);
  exception when others then
    null;
  end;
  foreach v_one in array p_args loop
    v_args := v_args operator(pg_catalog.||) jobs_internal.canonical(p_template, v_one);
  end loop;
  return v_args;
end
$$;
create or replace function jobs_internal.limit_rows(p_rows bigint, p_set jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_rows > jobs_internal.setting('result_rows')::bigint then
    raise exception using errcode = 'PW040', message = format('the function returned more than %s',
        jobs_internal.counted(jobs_internal.setting('result_rows')::bigint, 'row')),
      detail = 'A job keeps what it returns; it is no way to carry a table.',
      hint = 'Write the rows into a table, or raise the setting result_rows. A retry cannot help.';
  end if;
  return coalesce(p_set, '[]');
end
$$;
create or replace function jobs_internal.checked_options(p_options jsonb, p_function text,
    p_call boolean)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_given record;
  v_option record;
  v_wrong text;
begin
  if jsonb_typeof(p_options) <> 'object' then
    raise exception using errcode = 'PW011', message = 'options must be a JSON object',
      detail = format('It is of type %s.', jsonb_typeof(p_options)),
      hint = 'Pass {"title": "...", ...}; jobs.options lists them. A retry cannot help.';
  end if;
  for v_given in select e.key, e.value, e.value #>> '{}' as text
    from jsonb_each(p_options) as e loop
    select o.* into v_option from jobs.options as o where o.key = v_given.key;
    v_wrong := case
      when not found then format('there is no option "%s"', left(v_given.key, 100))
      when not p_function = any (v_option.functions)
        then format('the option "%s" is not for jobs.%s', v_given.key, p_function)
      when jsonb_typeof(v_given.value) <> case v_option.type when 'text' then 'string'
        else v_option.type end
        then format('the option "%s" must be a JSON %s, not %s', v_given.key,
          case v_option.type when 'text' then 'string' else v_option.type end,
            jsonb_typeof(v_given.value))
      when v_given.key = 'repeatable' and not p_call
        then 'the option "repeatable" is not for functions, whose work and end are one commit: '
          'they are always run again'
      when v_given.key = 'title' and (v_given.text !~ '[^[:space:]]' or v_given.text ~ '[[:cntrl:]]'
          or length(v_given.text) > 200)
        then 'the option "title" must be one line of 1 to 200 characters'
      when v_given.key = 'notify' and octet_length(v_given.text) not between 1 and 63
        then 'the option "notify" must be the name of a channel, of 1 to 63 bytes'
    end;
    if v_wrong is not null then
      raise exception using errcode = 'PW029', message = v_wrong,
        detail = format('Options of jobs.%s: %s.', p_function,
          (select string_agg(format('%s (%s)', o.key, o.type), ', ' order by o.key)
              from jobs.options as o
            where p_function = any (o.functions))),
        hint = 'See jobs.options. A retry cannot help.';
    end if;
  end loop;
  return nullif(p_options - array['done_when', 'rollback'], '{}');
end
$$;
create or replace function jobs_internal.is_repeatable(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((j.options ->> 'repeatable')::boolean,
    s.command ~ '^(vacuum|analyze|analyse|reindex|refresh|cluster|checkpoint|alter system)\M',
      false)
  from jobs_internal.job as j
  left join jobs_internal.statement as s on s.job_id = j.id
  where j.id = p_job;
end;
create or replace function jobs_internal.try_settings(p_settings jsonb)
returns void
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text;
  v_value pg_catalog.text;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if pg_catalog.jsonb_typeof(p_settings) operator(pg_catalog.<>) 'object' then
    raise exception using errcode = 'PW011', message = 'settings must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_settings)),
      hint = 'Pass {"work_mem": "64MB", ...}. A retry cannot help.';
  end if;
  perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(p_settings) as s loop
    if pg_catalog.lower(v_name collate "C")
      operator(pg_catalog.=) any (array['role', 'session_authorization', 'application_name',
            'statement_timeout',
      'transaction_timeout', 'idle_in_transaction_session_timeout', 'default_transaction_isolation',
      'transaction_isolation',
      'default_transaction_read_only', 'transaction_read_only', 'default_transaction_deferrable',
      'transaction_deferrable', 'client_min_messages',
      'exit_on_error'])
      or pg_catalog.lower(v_name collate "C") operator(pg_catalog.~) '^(pyworker|pg_background)[.]'
        then
      raise exception using errcode = 'PW013',
        message = pg_catalog.format('the setting "%s" belongs to the worker',
            pg_catalog.left(v_name, 100)),
        detail = 'The worker session sets it itself.',
          hint = 'For a time limit use the option timeout. A retry cannot help.';
    end if;
    if v_value is null then
      raise exception using errcode = 'PW013',
        message = pg_catalog.format('the setting "%s" is null', pg_catalog.left(v_name, 100)),
        detail = 'A setting needs a value.',
          hint = 'Leave it out to keep the default. A retry cannot help.';
    end if;
    begin
      perform pg_catalog.set_config(v_name, v_value, true);
      raise exception using errcode = 'PW000', message = 'undo';
    exception
      when sqlstate 'PW000' then
        null;
      when undefined_object or invalid_name then
        raise exception using errcode = 'PW012',
          message = pg_catalog.format('there is no setting "%s"', pg_catalog.left(v_name, 100)),
          detail = 'It is not in pg_settings, and a setting of one''s own has a dot in its name.',
          hint = 'Check the name. A retry cannot help.';
      when others then
        get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
        raise exception using errcode = 'PW013',
          message = pg_catalog.format('%s may not set "%s" to that value', session_user,
              pg_catalog.left(v_name, 100)),
          detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state,
              pg_catalog.left(v_message, 1000)),
          hint = 'Use a setting that the role may set in its session, and a valid value. A retry '
            'cannot help.';
    end;
  end loop;
end
$$;
create or replace function jobs_internal.check_options(
  p_queue text,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_note jsonb,
  out owner oid,
  out queue_id integer,
  out priority smallint,
  out timeout interval,
  out max_attempts integer,
  out lane_id integer,
  out pgmq_queue text,
  out limited boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_privileged boolean;
  v_accepting boolean;
  v_is_original boolean;
begin
  priority := case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0 when 'low'
    then 2 end;
  select r.oid, r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls
    or coalesce(l.refused, false), q.id, coalesce(p_timeout, q.timeout),
    coalesce(p_max_attempts, q.max_attempts), q.accepting, l.id, l.pgmq_queue, h.id, h.quotas
  into owner, v_privileged, queue_id, timeout, max_attempts, v_accepting, lane_id, pgmq_queue,
    v_is_original, limited
  from pg_roles as r
  left join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default')
    and q.dropped_at is null
  left join jobs_internal.installation as h on h.table_oid = h.tableoid
    and h.postmaster = pg_postmaster_start_time()
    and split_part(pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  left join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid
    and l.priority = check_options.priority
  where r.rolname = session_user;
  if v_privileged or lane_id is null then
    perform jobs_internal.assert_admitted(owner);
  end if;
  if lane_id is null and owner is not null and not jobs_internal.is_runner(owner) then
    raise notice using message =
      format('jobs of %s do not run: it is no login member of jobs_runner', session_user),
      hint = format('grant jobs_runner to %I;', session_user);
  end if;
  if p_timeout is not null or p_max_attempts is not null or p_unique_key is not null
    or p_priority <> 'normal' or p_note <> '{}'
    or octet_length(p_queue) > 63
  then
    if priority is null then
      raise exception using errcode = 'PW020',
        message = format('there is no priority "%s"', left(p_priority, 100)),
        detail = 'Priorities are high, normal and low.',
          hint = 'Use one of them. A retry cannot help.';
    end if;
    if extract(epoch from p_timeout) <= 0 then
      raise exception using errcode = 'PW009',
        message = format('timeout must be longer than zero, not %s', p_timeout),
        detail = format('It is the longest time that one attempt may take; this is %s s.',
            extract(epoch from p_timeout)),
        hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_max_attempts < 1 then
      raise exception using errcode = 'PW010',
        message = format('max_attempts must be at least 1, not %s', p_max_attempts),
        detail = 'The first try counts.',
          hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_unique_key = '' or octet_length(p_unique_key) > 512 then
      raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
        detail = format('It has %s.', octet_length(p_unique_key)),
          hint = 'Shorten it, or use a digest. A retry cannot help.';
    end if;
    if octet_length(p_queue) > 63 then
      raise exception using errcode = 'PW015', message = 'a queue name has at most 63 bytes',
        detail = format('It has %s.', octet_length(p_queue)),
          hint = 'See jobs.queues. A retry cannot help.';
    end if;
    if jsonb_typeof(p_note) <> 'object' then
      raise exception using errcode = 'PW011', message = 'note must be a JSON object',
        detail = format('It is of type %s.', jsonb_typeof(p_note)),
        hint = 'Pass {"ticket": "OPS-1", ...}. A retry cannot help.';
    end if;
    if p_note <> '{}' then
      perform jobs_internal.assert_size(p_note, 'note', 65536);
    end if;
  end if;
  limited := coalesce(limited, true);
  if v_accepting and v_is_original then
    if timeout is null then
      return;
    end if;
  elsif queue_id is null then
    raise exception using errcode = 'PW007', message = format('there is no queue "%s"', p_queue),
      detail = 'Queues are made by an operator.',
        hint = 'See jobs.queues, or: select jobs.create_queue(...). A retry cannot help.';
  else
    if v_is_original is null then
      perform jobs_internal.assert_not_copy();
    end if;
    if not v_accepting then
      raise exception using errcode = 'PW008', message = format('queue "%s" does not accept jobs',
          p_queue),
        detail = 'An operator closed it for enqueue.',
          hint = 'Retry after: select jobs.alter_queue(name, accepting => true).';
    end if;
  end if;
  if not isfinite(timeout) or timeout > interval '1000 years' then
    timeout := null;  -- no limit; and a start and a timeout always have a sum
  else
    timeout := make_interval(secs => extract(epoch from timeout)::double precision);
  end if;
end
$$;
create or replace function jobs_internal.assert_size(p_value jsonb, p_what text, p_limit integer)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bytes bigint;
begin
  if pg_column_size(p_value) <= 16 * p_limit::bigint then  -- a byte of text is never so much
    begin
      v_bytes := octet_length(p_value::text);  -- a short number may be a very long text
    exception when program_limit_exceeded then
      null;
    end;
  end if;
  if v_bytes <= p_limit then
    return;
  end if;
  raise exception using errcode = 'PW018', message = format('%s is too long', p_what),
    detail = format('It has %s bytes as text; %s are allowed.',
        coalesce(v_bytes::text, 'many more'), p_limit),
    hint = 'Keep the data in a table, and pass its key. A retry cannot help.';
end
$$;
create or replace function jobs_internal.gives_up_key(p_job bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_until timestamptz := clock_timestamp() + interval '5 seconds';
begin
  if p_job is distinct from jobs_internal.current_job() then
    return false;
  end if;
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_job
      and j.owner = jobs_internal.caller();
    exit when v_job.child_pid = pg_backend_pid()
      or exists (select from jobs_internal.session as s
        where s.pid = pg_backend_pid() and jobs_internal.alive(s.pid, s.backend_start)
          and (s.job_id = p_job or s.job_id is null and v_job.msg_id = any (s.msg_ids)));
    if v_job.state is distinct from 'running' or v_job.child_pid is not null
      or current_setting('pyworker.child', true) is distinct from 'on'
      or clock_timestamp() > v_until
    then
      return false;
    end if;
    perform pg_sleep(0.005);
  end loop;
  update jobs_internal.job set former_key = unique_key, unique_key = null where id = p_job;
  return true;
end
$$;
create or replace function jobs_internal.refuse_taken_key(p_job jobs_internal.finished)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW032',
    message = format('another unfinished job has the unique_key of job %s', p_job.id),
    detail = format('unique_key: %s.', p_job.unique_key),
      hint = 'Retry when that job is finished, or cancel it.';
end
$$;
create or replace function jobs_internal.pending_jobs(p_owner oid, p_limit bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
as $$
declare
  v_lane text;
  v_lanes text[] := '{}';
  v_width bigint;
  v_upper bigint := 0;
  v_count bigint;
  v_more bigint;
begin
  v_count := (select count(*) from (select from jobs_internal.job as j where j.owner = p_owner
        and j.due_at is not null limit p_limit) as s)
    + (select count(s.job_id) from jobs_internal.session as s where s.owner = p_owner);
  for v_lane in select l.pgmq_queue from jobs_internal.lane as l where l.owner = p_owner
    and l.idle_state <> 'idle'
    or l.owner = p_owner and l.id in (select n.lane_id from jobs_internal.wakeup_request as n)
  loop
    begin
      execute format('select (select m.msg_id from pgmq.%1$I as m order by m.msg_id desc limit 1)'
        ' - (select m.msg_id from pgmq.%1$I as m order by m.msg_id limit 1) + 1', 'q_' || v_lane)
        into v_width;
    exception
      when undefined_table then
        v_width := null;  -- its queue was dropped meanwhile
    end;
    continue when v_width is null;
    v_upper := v_upper + v_width;
    v_lanes := v_lanes || v_lane;
  end loop;
  if v_count + v_upper < p_limit then
    return v_count + v_upper;
  end if;
  foreach v_lane in array v_lanes loop
    exit when v_count >= p_limit;
    execute format('select count(*) from (select from pgmq.%I limit $1) as m', 'q_' || v_lane)
      into v_more using p_limit - v_count;
    v_count := v_count + v_more;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.recent_jobs(p_owner oid, p_publication integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select coalesce(sum(u.jobs), 0)::bigint
  from jobs_internal.rate_use as u
  where u.owner = p_owner and u.at > clock_timestamp() - interval '1 minute'
    and (p_publication = 0 or u.publication_id = p_publication);
end;
create or replace function jobs_internal.text_bytes(p_args jsonb, p_settings jsonb, p_note jsonb,
    p_options jsonb)
returns bigint
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(octet_length(nullif(p_args, '{}')::text), 0)::bigint
    + coalesce(octet_length(nullif(p_settings, '{}')::text), 0)
    + coalesce(octet_length(nullif(p_note, '{}')::text), 0)
    + coalesce(octet_length(nullif(p_options, '{}')::text), 0);
end;
create or replace function jobs_internal.charge(p_owner oid, p_jobs bigint, p_bytes bigint,
    p_publication integer default 0)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota jobs_internal.quota;
  v_publication jobs_internal.publication;
  v_name text := pg_get_userbyid(p_owner);
  v_used bigint;
  v_now timestamptz := clock_timestamp();
  v_at timestamptz := v_now;
begin
  select u.* into v_quota from jobs_internal.quota as u where u.owner = p_owner;
  if not found and p_publication = 0 then
    return null;
  end if;
  if p_bytes > v_quota.args_bytes then
    raise exception using errcode = 'PW070',
      message = format('the job carries more than the quota of %s allows', v_name),
      detail = format('Its arguments, settings, note, options and texts have %s bytes as text; %s '
        'are allowed.', p_bytes, v_quota.args_bytes),
      hint = 'Keep the data in a table, and pass its key. A retry cannot help.';
  end if;
  if v_quota.pending is not null then
    v_used := jobs_internal.pending_jobs(p_owner, greatest(v_quota.pending - p_jobs + 1, 0));
    if v_used + p_jobs > v_quota.pending then
      raise exception using errcode = 'PW071',
        message = format('%s has as many unfinished jobs as its quota allows', v_name),
        detail = format('%s allowed, and %s to come.',
            jobs_internal.counted(v_quota.pending, 'is', 'are'),
              jobs_internal.counted(p_jobs, 'more was', 'more were')),
        hint = 'Retry when some of them are finished; see jobs.quotas.';
    end if;
  end if;
  if v_quota.per_minute is not null then
    v_used := jobs_internal.recent_jobs(p_owner, 0);
    if v_used + p_jobs > v_quota.per_minute then
      if v_quota.over_rate = 'refuse' then
        raise exception using errcode = 'PW072',
          message = format('%s enqueues more jobs a minute than its quota allows', v_name),
          detail = format('%s in the last minute and %s more; %s allowed.', v_used, p_jobs,
              jobs_internal.counted(v_quota.per_minute, 'is', 'are')),
          hint = 'Retry in a minute; see jobs.quotas.';
      end if;
      v_at := v_at + (v_used + p_jobs - 1) / v_quota.per_minute * interval '1 minute';
    end if;
  end if;
  if p_publication <> 0 then
    select p.* into v_publication from jobs_internal.publication as p where p.id = p_publication;
    if v_publication.pending <= (select count(*) from (
      select from jobs_internal.job as j where j.publication_id = p_publication
      limit v_publication.pending) as j)
    then
      raise exception using errcode = 'PW074',
        message = format('%s has as many unfinished jobs as its publisher allows',
            v_publication.task),
        detail = format('%s allowed to %s.', jobs_internal.counted(v_publication.pending, 'is',
              'are'), pg_get_userbyid(v_publication.to_role)),
              hint = 'Retry when one of them is finished.';
    elsif v_publication.per_minute < p_jobs + jobs_internal.recent_jobs(p_owner, p_publication) then
      raise exception using errcode = 'PW074',
        message = format('%s is enqueued more often than its publisher allows', v_publication.task),
        detail = format('%s a minute allowed to %s.',
            jobs_internal.counted(v_publication.per_minute, 'job is', 'jobs are'),
              pg_get_userbyid(v_publication.to_role)), hint = 'Retry in a minute.';
    end if;
  end if;
  if coalesce(v_quota.per_minute, v_publication.per_minute) is not null then
    insert into jobs_internal.rate_use (owner, publication_id, at, jobs)
      values (p_owner, p_publication, v_at, p_jobs);
  end if;
  return nullif(v_at, v_now);
end
$$;
create or replace function jobs_internal.charge_hurry(p_owner oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most integer := (select u.per_minute from jobs_internal.quota as u where u.owner = p_owner
      and u.over_rate = 'wait');
  v_used bigint;
begin
  if v_most is null then
    return;
  end if;
  v_used := jobs_internal.recent_jobs(p_owner, 0);
  if v_used >= v_most then
    raise exception using errcode = 'PW072',
      message = format('jobs of %s wait for its quota', pg_get_userbyid(p_owner)),
      detail = format('%s for a later one; %s allowed.',
          jobs_internal.counted(v_used, 'counts for this minute or waits',
              'count for this minute or wait'),
        jobs_internal.counted(v_most, 'is', 'are')),
      hint = 'It runs when there is room; see jobs.quotas.';
  end if;
  insert into jobs_internal.rate_use (owner, publication_id, at, jobs)
    values (p_owner, 0, clock_timestamp(), 1);
end
$$;
create or replace function jobs_internal.result_limit()
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select least(jobs_internal.setting('result_bytes')::bigint,
    (select u.result_bytes from jobs_internal.quota as u where u.owner = jobs_internal.caller()));
end;
create or replace function jobs_internal.why_not_published(p_job bigint)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p.revoked_at is not null then format('the publication of %s to %s was revoked', p.task,
        pg_get_userbyid(p.to_role))
    when not exists (select from pg_roles as r where r.oid = j.enqueued_by)
        or not pg_has_role(j.enqueued_by, p.to_role, 'member')
      then format('%s, who enqueued it, is no member of %s any more',
          pg_get_userbyid(j.enqueued_by),
        pg_get_userbyid(p.to_role))
    end
  from jobs_internal.job as j
  join jobs_internal.publication as p on p.id = j.publication_id
  where j.id = p_job;
end;
create or replace function jobs_internal.find_publication(p_task text, p_publisher text)
returns jobs_internal.publication
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found jobs_internal.publication[];
  v_task text := btrim(left(p_task, 100000));  -- no signature is longer
begin
  v_found := array(
    select p from jobs_internal.publication as p
    where p.revoked_at is null
      and (v_task = p.signature or starts_with(v_task, p.task)
        and v_task in (p.task, p.task || '(' || pg_get_function_arguments(p.func) || ')',
          p.task || '(' || pg_get_function_identity_arguments(p.func) || ')'))
      and (p_publisher is null or pg_get_userbyid(p.publisher) = p_publisher)
      and exists (select from pg_roles as r where r.oid = p.to_role)
      and pg_has_role(session_user, p.to_role, 'member'));
  if cardinality(v_found) = 0 then
    raise exception using errcode = 'PW076',
      message = format('%s is not published to %s', coalesce(left(p_task, 200), 'null'),
          session_user),
      detail = 'Or the publication was revoked.',
        hint = 'See jobs.publications, and write the task as it stands there. A retry cannot help.';
  elsif cardinality(v_found) > 1 and (select count(distinct f.func) from unnest(v_found) as f) > 1
    then
    raise exception using errcode = 'PW002',
      message = format('%s is published %s times to %s', left(p_task, 200), cardinality(v_found),
          session_user),
      detail = format('As: %s.', (select
            string_agg(format('%s by %s', f.signature, pg_get_userbyid(f.publisher)), '; ')
        from unnest(v_found) as f)),
      hint = 'Give the argument types, as jobs.publications shows them, or the publisher. A retry '
        'cannot help.';
  end if;
  return v_found[1];
end
$$;
create or replace function jobs_internal.published_args(p_template jobs_internal.call_template,
    p_args jsonb)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobs_internal.parameters(p_template.func) as p
    join pg_type as t on t.oid = p.type_id
    left join pg_type as e on e.oid = t.typelem and t.typcategory = 'A'
    where p.key = any (p_template.keys)
      and not (t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b'
          and t.typname !~ '^_?reg'
        and (e.oid is null or e.typnamespace = 'pg_catalog'::regnamespace and e.typtype = 'b')))
  then
    return p_args;
  end if;
  return jobs_internal.canonical(p_template, p_args);
end
$$;
create or replace function jobs_internal.store_publication(
  p_func oid,
  p_to_role text,
  p_queue text,
  p_timeout interval,
  p_per_minute integer,
  p_pending bigint
)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_func record;
  v_role oid;
  v_queue integer;
  v_before jobs_internal.publication;
  v_after jobs_internal.publication;
begin
  perform jobs_internal.assert_not_copy(), jobs_internal.assert_admitted(jobs_internal.caller());
  select p.proowner, format('%I.%I', n.nspname, p.proname) as task,
    p.oid::regprocedure::text as signature, p.prokind
  into v_func
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  if v_func.proowner is distinct from jobs_internal.caller() then
    raise exception using errcode = 'PW006', message = format('%s does not own %s', session_user,
        p_func::regprocedure),
      detail = 'Only the owner of a function publishes it: it runs with the owner''s rights.',
        hint = 'Write a function of your own that calls it. A retry cannot help.';
  elsif v_func.prokind not in ('f', 'p') then
    raise exception using errcode = 'PW016',
      message = format('%s cannot be a job', v_func.signature),
      detail = 'It is no function or procedure.',
        hint = 'Write a function that calls it. A retry cannot help.';
  end if;
  select r.oid into v_role from pg_roles as r where r.rolname = p_to_role;
  if v_role is null or v_role = jobs_internal.caller() then
    raise exception using errcode = 'PW075', message = format('%s cannot be published to "%s"',
        v_func.signature, left(p_to_role, 63)),
      detail = case when v_role is null then 'There is no such role; PUBLIC is none.'
        else 'It is the publisher itself.' end,
      hint = 'Name another role. A retry cannot help.';
  end if;
  if extract(epoch from p_timeout) <= 0 then
    raise exception using errcode = 'PW009',
      message = format('timeout must be longer than zero, not %s', p_timeout),
      detail = 'It is the longest time that an attempt of its jobs may take.',
        hint = 'Leave it out for the queue''s. A retry cannot help.';
  elsif p_per_minute < 1 or p_pending < 1 then
    raise exception using errcode = 'PW026',
      message = format('a limit of a publication cannot be %s', least(p_per_minute, p_pending)),
      detail = 'The range of per_minute and pending: 1 and more; null for no limit of its own.',
        hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  v_queue := jobs_internal.queue_id(coalesce(p_queue, 'default'));
  if (select count(*) from (select from jobs_internal.audit as a
      where a.login_oid = jobs_internal.caller() and a.at > clock_timestamp() - interval '1 day'
        and a.action = 'publish' limit 500) as d) = 500
    or (select count(*) from (select from jobs_internal.publication as p
      where p.publisher = jobs_internal.caller() and p.revoked_at is null limit 500) as d) = 500
      and not exists (select from jobs_internal.publication as p
        where p.publisher = jobs_internal.caller() and p.to_role = v_role and p.func = p_func
          and p.revoked_at is null)
  then
    raise exception using errcode = 'PW080',
      message = format('%s has published as much as one login may', session_user),
      detail = '500 publications at a time are allowed to one login, and 500 calls of jobs.publish '
        'a day; each is kept in jobs.audit.',
      hint = 'Revoke those that are not needed (jobs.unpublish). A retry helps in a day.';
  end if;
  select p.* into v_before from jobs_internal.publication as p
  where p.publisher = jobs_internal.caller() and p.to_role = v_role and p.func = p_func
    and p.revoked_at is null
  for update;
  insert into jobs_internal.publication (publisher, to_role, func, task, signature, queue_id,
      timeout, per_minute, pending)
  values (jobs_internal.caller(), v_role, p_func, v_func.task, v_func.signature, v_queue,
    case when p_timeout <= interval '1000 years'
      then make_interval(secs => extract(epoch from p_timeout)::double precision) end, p_per_minute,
        p_pending)
  on conflict (publisher, to_role, func) where revoked_at is null
  do update set task = excluded.task, signature = excluded.signature, queue_id = excluded.queue_id,
    timeout = excluded.timeout,
    per_minute = excluded.per_minute, pending = excluded.pending
  returning * into v_after;
  perform jobs_internal.record_role_name(v_after.publisher), jobs_internal.record_role_name(v_role);
  perform jobs_internal.record_audit('publish', format('%s to %s', v_func.signature, p_to_role),
    case when v_before.id is not null then to_jsonb(v_before) end, to_jsonb(v_after));
  return v_after.id;
end
$$;
create or replace function jobs_internal.unpublish(publication integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before jobs_internal.publication;
  v_job bigint;
  v_count bigint := 0;
begin
  select p.* into v_before from jobs_internal.publication as p
  where p.id = unpublish.publication
    and (p.publisher = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator'))
  for update;
  if not found then
    raise exception using errcode = 'PW077',
      message = format('there is no publication %s', coalesce(unpublish.publication::text, 'null')),
      detail = 'Or it belongs to another role.',
        hint = 'See jobs.publications. A retry cannot help.';
  end if;
  update jobs_internal.publication as p set revoked_at = clock_timestamp() where p.id = v_before.id
    and p.revoked_at is null;
  if found then
    perform jobs_internal.record_audit('unpublish',
        format('%s to %s', v_before.signature, pg_get_userbyid(v_before.to_role)),
      to_jsonb(v_before), null);
  end if;
  for v_job in select j.id from jobs_internal.job as j where j.publication_id = v_before.id
    order by j.id loop
    v_count := v_count + jobs_internal.cancel_waiting(v_job, session_user)::integer;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.enqueue_published(
  task text,
  args jsonb default '{}',
  publisher text default null,
  run_at timestamptz default now(),
  timeout interval default null,
  unique_key text default null,
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_publication jobs_internal.publication := jobs_internal.find_publication(enqueue_published.task,
      enqueue_published.publisher);
  v_owner oid := v_publication.publisher;
  v_me oid := jobs_internal.caller();
  v_template jobs_internal.call_template;
  v_args jsonb := coalesce(enqueue_published.args, '{}');
  v_queue jobs_internal.queue;
  v_run_at timestamptz := coalesce(enqueue_published.run_at, now());
  v_timeout interval;
  v_options jsonb;
  v_charged boolean := false;
  v_id bigint;
begin
  perform jobs_internal.hold_queues((select q.name from jobs_internal.queue as q
        where q.id = v_publication.queue_id)),
    jobs_internal.assert_not_copy(),
    jobs_internal.assert_admitted(v_owner);
  if jsonb_typeof(v_args) <> 'object' or jsonb_typeof(note) <> 'object' then
    raise exception using errcode = 'PW011',
      message = format('%s must be a JSON object', case when jsonb_typeof(v_args) <> 'object'
          then 'args' else 'note' end),
      detail = format('It is of type %s.', jsonb_typeof(case when jsonb_typeof(v_args) <> 'object'
            then v_args else note end)),
      hint = 'Pass {"parameter": value, ...}. A retry cannot help.';
  end if;
  perform jobs_internal.assert_size(v_args, 'args', 134217728),
    jobs_internal.assert_size(coalesce(note, '{}'), 'note', 65536);
  if extract(epoch from enqueue_published.timeout) <= 0 then
    raise exception using errcode = 'PW009',
      message = format('timeout must be longer than zero, not %s', enqueue_published.timeout),
      detail = 'It is the longest time that one attempt may take.',
        hint = 'Leave it out for the publication''s. A retry cannot help.';
  elsif enqueue_published.unique_key = '' or octet_length(enqueue_published.unique_key) > 512 then
    raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
      detail = format('It has %s.', octet_length(enqueue_published.unique_key)),
        hint = 'Shorten it, or use a digest. A retry cannot help.';
  end if;
  select q.* into v_queue from jobs_internal.queue as q where q.id = v_publication.queue_id
    and q.dropped_at is null;
  if not found or not v_queue.accepting then
    raise exception using errcode = case when found then 'PW008' else 'PW007' end,
      message = format('the queue of %s does not accept jobs', v_publication.task),
      detail = 'It was closed or dropped.', hint = 'Ask its publisher, or an operator.';
  end if;
  if not exists (select from pg_proc as p where p.oid = v_publication.func and p.proowner = v_owner)
    then
    raise exception using errcode = 'PW042',
      message = format('function %s is not its publisher''s any more', v_publication.signature),
      detail = 'It was dropped, made anew, or has another owner.',
        hint = 'Its owner publishes it again. A retry cannot help.';
  end if;
  v_template := jobs_internal.find_call_template(v_publication.func,
      array(select k from jsonb_object_keys(v_args) as k order by k collate "C"));
  v_args := jobs_internal.published_args(v_template, v_args);
  if options <> '{}' then
    v_options := jobs_internal.checked_options(options, 'enqueue_published', v_template.procedure);
  end if;
  v_timeout := least(coalesce(enqueue_published.timeout, v_queue.timeout),
      coalesce(v_publication.timeout, v_queue.timeout));
  if v_timeout > interval '1000 years' then
    v_timeout := null;
  end if;
  perform jobs_internal.record_role_name(v_owner), jobs_internal.record_role_name(v_me);
  loop
    select j.id into v_id from jobs_internal.job as j
    where j.owner = v_owner and j.queue_id = v_queue.id
      and j.unique_key = enqueue_published.unique_key
      and j.publication_id = v_publication.id and j.enqueued_by = v_me;
    if found then
      raise notice using message =
        format('job %s has this unique_key and is not finished: nothing was enqueued', v_id);
      return v_id;
    end if;
    if not v_charged then
      v_run_at := greatest(v_run_at,
          jobs_internal.charge(v_owner, 1, jobs_internal.text_bytes(v_args, null, note, options),
              v_publication.id));
      v_charged := true;
    end if;
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
        max_attempts,
        run_at, due_at, created_at, timeout,
      args, note, options, unique_key, publication_id, enqueued_by)
    values (nextval('jobs_internal.job_id_seq'), v_queue.id, v_owner, 1, 'scheduled', v_template.id,
        v_queue.max_attempts, v_run_at, v_run_at,
      now(), make_interval(secs => extract(epoch from v_timeout)::double precision), v_args,
      nullif(coalesce(note, '{}'), '{}'), v_options, enqueue_published.unique_key, v_publication.id,
        v_me)
    on conflict do nothing
    returning id into v_id;
    exit when found;
    if current_setting('transaction_isolation') <> 'read committed' then
      raise exception using errcode = '40001',
        message = 'a job with this unique_key was enqueued by a concurrent transaction',
        detail = 'It is not visible to this transaction''s snapshot.',
          hint = 'Retry the transaction.';
    end if;
  end loop;
  if v_run_at <= clock_timestamp() then
    perform jobs_internal.enter_lane(v_id);
  else
    perform jobs_internal.wake(null);
  end if;
  return v_id;
end
$$;
create or replace function jobs_internal.hold_queues(p_queue text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  lock table jobs_internal.job in row exclusive mode;
  if current_setting('transaction_isolation') <> 'read committed' then
    begin
      perform from jobs_internal.queue as q where q.name = coalesce(p_queue, 'default')
        and q.dropped_at is null for key share skip locked;
      raise exception using errcode = 'PW000', message = 'undo';
    exception
      when sqlstate 'PW000' then
        null;
    end;
  end if;
end
$$;
create or replace function jobs_internal.store_job(
  p_template_id integer,
  p_args jsonb,
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_options jsonb,
  p_text_bytes bigint default 0,
  out job_id bigint,
  out created boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v record;
  v_run_at timestamptz := coalesce(p_run_at, now());
  v_due boolean := v_run_at <= clock_timestamp();
  v_msg_id bigint;
  v_committed boolean := current_setting('transaction_isolation') = 'read committed';
  v_wakes boolean;
  v_options jsonb;
  v_cursor refcursor;
begin
  open v_cursor for select;  -- this and the next as is_asked_by_login
  execute 'close ' || quote_ident(v_cursor::text);
  if v_committed then
    lock table jobs_internal.job in row exclusive mode;  -- as hold_queues
  else
    perform jobs_internal.hold_queues(p_queue);
  end if;
  select l.owner, l.queue_id, l.priority, null::interval as timeout, q.max_attempts,
    l.id as lane_id, l.pgmq_queue, h.quotas as limited
  into v
  from pg_roles as r
  join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default') and q.dropped_at is null
    and q.accepting and q.timeout is null
  join jobs_internal.installation as h on h.table_oid = h.tableoid
    and h.postmaster = pg_postmaster_start_time()
    and split_part(pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid and not l.refused
    and l.priority = case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0
      when 'low' then 2 end
  where r.rolname = session_user and not (r.rolsuper or r.rolreplication or r.rolcreaterole
      or r.rolbypassrls)
    and p_timeout is null and p_max_attempts is null and p_unique_key is null
    and coalesce(p_note, '{}') = '{}';
  if not found then
    v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, p_unique_key, p_priority,
        p_note);
  end if;
  if pg_column_size(p_args) > 200 then
    perform jobs_internal.assert_size(p_args, 'args', 134217728);
  end if;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, case when p_template_id is null
        then 'enqueue_sql' else 'enqueue' end,
      not exists (select from jobs_internal.call_template as s where s.id = p_template_id
          and not s.procedure));
  end if;
  if v.limited then
    if p_unique_key is null or not exists (select from jobs_internal.job as j
      where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key
        and j.publication_id is null
        and j.id is distinct from jobs_internal.current_job())
    then
      v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, 1,
        p_text_bytes + jobs_internal.text_bytes(p_args, p_settings, p_note, p_options)));
      v_due := v_run_at <= clock_timestamp();
    end if;
  end if;
  created := true;
  job_id := nextval('jobs_internal.job_id_seq');
  if p_unique_key is null and v_due and v.lane_id is not null then
    v_msg_id := nextval(to_regclass('pgmq.q_' || v.pgmq_queue || '_msg_id_seq'));
    execute 'insert into pgmq.q_' || v.pgmq_queue || ' (msg_id, read_ct, enqueued_at, vt, message) '
      'overriding system value values ($1, 0, $2, $3, $4)'
    using v_msg_id, now(), clock_timestamp(), jsonb_build_object('job', job_id);
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
        max_attempts,
        run_at, created_at, timeout,
      lane_id, msg_id, args, settings, note, options)
    values (job_id, v.queue_id, v.owner, v.priority, 'queued', p_template_id, v.max_attempts,
      v_run_at,
        now(), v.timeout,
      v.lane_id, v_msg_id, p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options)
    returning exists (select from jobs_internal.supervisor as s where s.asleep)
      or exists (select from jobs_internal.lane as l
        where l.id = v.lane_id and l.idle_state <> 'active')
        into v_wakes;
  else
    if v.lane_id is null then
      perform jobs_internal.record_role_name(v.owner);  -- who has a lane is known
    end if;
    loop
      if p_unique_key is not null then
        declare
          v_existing bigint;
        begin
          select j.id into v_existing from jobs_internal.job as j
          where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key
            and j.publication_id is null;
          if found and not jobs_internal.gives_up_key(v_existing) then
            raise notice using message =
              format('job %s has this unique_key and is not finished: nothing was enqueued',
                  v_existing);
            job_id := v_existing;
            created := false;
            return;
          end if;
        end;
      end if;
      insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
          max_attempts,
          run_at, due_at, created_at, timeout,
        args, settings, note, options, unique_key)
      values (job_id, v.queue_id, v.owner, v.priority, 'scheduled', p_template_id, v.max_attempts,
          v_run_at, v_run_at, now(), v.timeout,
        p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options, p_unique_key)
      on conflict do nothing;
      exit when found;
      if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = '40001',
          message = 'a job with this unique_key was enqueued by a concurrent transaction',
          detail = 'It is not visible to this transaction''s snapshot.',
            hint = 'Retry the transaction.';
      end if;
    end loop;
    if v_due and v.lane_id is not null then
      v_msg_id := pgmq.send(v.pgmq_queue, jsonb_build_object('job', job_id), null::jsonb,
          clock_timestamp());
      update jobs_internal.job as j set state = 'queued', due_at = null, lane_id = v.lane_id,
        msg_id = v_msg_id where j.id = job_id;
    end if;
  end if;
  if v_wakes is not false or not v_committed then
    perform jobs_internal.wake(v.lane_id);
  end if;
end
$$;
create or replace function jobs_internal.store_jobs(
  p_template_id integer,
  p_args jsonb[],
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_options jsonb
)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_run_at timestamptz := coalesce(p_run_at, now());
  v_due boolean := v_run_at <= clock_timestamp();
  v_settings jsonb := nullif(p_settings, '{}');
  v_note jsonb := nullif(p_note, '{}');
  v_options jsonb;
  v_ids bigint[];
  v_msg_ids bigint[];
begin
  perform jobs_internal.is_asked_by_login(), jobs_internal.hold_queues(p_queue);
  v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, null, p_priority, p_note);
  perform jobs_internal.assert_size(u.args, 'args', 134217728) from unnest(p_args) as u(args)
    where pg_column_size(u.args) > 200;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, 'enqueue_many',
      not exists (select from jobs_internal.call_template as s where s.id = p_template_id
          and not s.procedure));
  end if;
  if v.lane_id is null then
    perform jobs_internal.record_role_name(v.owner);  -- who has a lane is known
  end if;
  if v.limited then
    v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, cardinality(p_args),
      jobs_internal.text_bytes(null, p_settings, p_note, p_options)
        + (select coalesce(max(octet_length(u.args::text)), 0) from unnest(p_args) as u(args))));
    v_due := v_run_at <= clock_timestamp();
  end if;
  v_ids := array(select nextval('jobs_internal.job_id_seq')
      from generate_series(1, cardinality(p_args)));
  if v_due and v.lane_id is not null then
    v_msg_ids := jobs_internal.send_messages(v.pgmq_queue, v_ids);
  end if;
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
      max_attempts,
      run_at, due_at, created_at, timeout,
    lane_id, msg_id, args, settings, note, options)
  select u.id, v.queue_id, v.owner, v.priority, case when u.msg_id is null then 'scheduled'
    else 'queued' end, p_template_id, v.max_attempts,
    v_run_at, case when u.msg_id is null then v_run_at end, now(), v.timeout,
    case when u.msg_id is not null then v.lane_id end, u.msg_id, u.args, v_settings, v_note,
      v_options
  from unnest(v_ids, v_msg_ids, p_args) as u(id, msg_id, args);
  perform jobs_internal.wake(v.lane_id);
  return v_ids;
end
$$;
create or replace function jobs_internal.lex(p_text text, out words text[], out raw text[],
    out statements integer, out finished boolean,
  out makes_table boolean)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $body$
declare
  v_state text := 'plain';  -- plain, string, escape (E''), ident, line, block, dollar
  v_closed text := '';
  v_escaped boolean := false;
  v_line text := '';
  v_star boolean := false;  -- in a block comment: a * stands just before
  v_depth integer := 0;     -- of nested comments
  v_parens integer := 0;
  v_atomic integer := 0;    -- inside BEGIN ATOMIC ... END, semicolons do not end the statement
  v_open text := '';        -- the beginning of what may be a dollar tag
  v_tag text;
  v_token text;
  v_upper text;
  v_previous text := '';    -- the word before, upper case
  v_word boolean := false;  -- a word ends just before, so that $ is part of it, and E a prefix
  v_fresh boolean := true;  -- nothing of the present statement seen yet
  v_quoted text := '';
  v_kept boolean := false;  -- the word before is the last of words
  v_rule boolean := false;  -- the statement makes a rule, whose actions are ( ; )
  v_starts integer := 0;
  v_work bigint := 0;       -- characters that it reads again
begin
  words := '{}';
  raw := '{}';
  statements := 0;
  makes_table := false;
  for v_token in
    select m[1]
    from regexp_matches(p_text,
      '--|/\*|[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*|[0-9][0-9A-Za-z_.]*|[ '
      '\t\n\r\f\v]+|.', 'g') as m
  loop
    if v_starts > 0 then
      if v_token ~ '^[-+*/<>=~!@#%^&|`?]' then
        v_work := v_work + v_starts * length(v_token);
        if v_work > 100000000 then
          raise exception using errcode = 'PW018',
            message = 'a run of operator characters or comments is too long',
            detail = format('It begins %s comments or operators with nothing between them, which '
              'PostgreSQL reads again and again.', v_starts),
            hint = 'Put white space between them. A retry cannot help.';
        end if;
      else
        v_starts := 0;
      end if;
    end if;
    if v_token = '/*' and v_state in ('plain', 'block') then
      v_starts := v_starts + 1;
    end if;
    case v_state
      when 'line' then
        if v_token ~ '[\n\r]' then
          v_state := 'plain';
          v_line := case v_line when '' then '' else 'newline' end;
        end if;
        continue;
      when 'block' then
        if v_star and v_token in ('/', '/*') then
          v_depth := v_depth - 1;
          v_star := v_token = '/*';  -- its * may be the first of the next */
          if v_depth = 0 then v_state := 'plain'; end if;
          continue when v_depth > 0 or v_token = '/';
          v_token := '*';
        else
          v_depth := v_depth + (v_token = '/*')::integer;
          v_star := v_token = '*';
          continue;
        end if;
      when 'string' then
        if v_token = '''' then v_state := 'plain'; v_closed := 'string'; end if;
        continue;
      when 'escape' then
        if v_escaped then
          v_escaped := false;
        elsif v_token = '\' then
          v_escaped := true;
        elsif v_token = '''' then
          v_state := 'plain';
          v_closed := 'escape';
          v_line := 'ended';
        end if;
        continue;
      when 'ident' then
        if v_token = '"' then
          v_state := 'plain';
          v_closed := 'ident';
        else
          if length(v_quoted) < 1000 then
            v_quoted := v_quoted || left(v_token, 1000);
          end if;
        end if;
        continue;
      when 'dollar' then
        if v_token = '$' then
          if v_open || '$' = v_tag then
            v_state := 'plain';
            v_open := '';
          else
            v_open := '$';
          end if;
        else
          v_open := case when v_open = '$' then '$' || v_token else '' end;
        end if;
        continue;
      else
        null;
    end case;
    if v_closed <> '' then
      if v_token = (case v_closed when 'ident' then '"' else '''' end) then
        v_state := v_closed;
        v_line := '';
        if v_state = 'ident' and length(v_quoted) < 1000 then
          v_quoted := v_quoted || '""';
        end if;
        v_closed := '';
        continue;
      end if;
      if v_closed = 'ident' and cardinality(raw) < cardinality(words) then
        raw := raw || ('"' || v_quoted || '"');
      end if;
      v_closed := '';
    end if;
    if v_open <> '' then
      if v_token = '$' then
        v_state := 'dollar';
        v_tag := v_open || '$';
        v_open := '';
        v_previous := '''';
        if cardinality(words) < 400 then
          words := words || ''''::text;
          raw := raw || ''''::text;
        end if;
        continue;
      elsif v_open = '$' and v_token ~ '^[A-Za-z_\u0080-\U0010ffff]' then
        v_open := '$' || v_token;
        continue;
      end if;
      v_open := '';  -- $1
    end if;
    v_upper := upper(v_token);
    if v_token ~ '^[ \t\n\r\f\v]' then
      v_word := false;
      if v_line <> '' and v_token ~ '[\n\r]' then v_line := 'newline'; end if;
      continue;
    elsif v_token = '''' and v_line = 'newline' then
      v_state := 'escape';
      v_line := '';
      continue;
    elsif v_token = '--' then
      v_state := 'line';
      v_word := false;
      continue;
    end if;
    v_line := '';
    if v_token = '/*' then
      v_state := 'block';
      v_depth := 1;
      v_star := false;
      v_word := false;
      continue;
    elsif v_token = ';' and v_atomic = 0 and (v_parens = 0 or not v_rule) then
      v_fresh := true;
      v_word := false;
      v_previous := ';';
      continue;
    end if;
    if v_fresh then
      statements := statements + 1;
      v_fresh := false;
    end if;
    if v_word and (v_token = '$' or v_token ~ '^[A-Za-z_0-9\u0080-\U0010ffff]') then
      if length(v_previous) < 1000 then
        v_previous := v_previous || v_upper;
        if v_kept then
          words[cardinality(words)] := v_previous;
          raw[cardinality(raw)] := raw[cardinality(raw)] || v_token;
        end if;
      end if;
      continue;
    elsif v_token = '$' then
      v_open := '$';
      continue;
    elsif v_token = '''' then
      v_state := case when v_word and v_previous = 'E' then 'escape' else 'string' end;
    elsif v_token = '"' then
      v_state := 'ident';
      v_quoted := '';
    elsif v_token = '(' then
      v_parens := v_parens + 1;
    elsif v_token = ')' then
      v_parens := greatest(v_parens - 1, 0);
    elsif v_upper = 'ATOMIC' and v_previous = 'BEGIN' and words[1] = 'CREATE'
      and (case when words[2] = 'OR' then words[4] else words[2] end) in ('FUNCTION', 'PROCEDURE')
    then
      v_atomic := greatest(v_atomic, 1);
    elsif v_upper = 'INTO' and v_parens = 0 and v_previous not in ('INSERT', 'MERGE', 'AS', '.')
      then
      makes_table := true;
    elsif v_upper = 'CASE' and v_atomic > 0
      and (v_previous ~ '^[(,=<>+*/%^~!@#&|-]$'
          or v_previous in ('SELECT', 'DISTINCT', 'ALL', 'RETURN', 'RETURNING',
      'WHEN', 'THEN', 'ELSE', 'CASE', 'AND', 'OR', 'NOT', 'BY', 'WHERE', 'HAVING', 'ON', 'BETWEEN',
      'LIKE', 'ILIKE', 'TO', 'FROM', 'FOR', 'LIMIT',
      'OFFSET', 'ZONE', 'IN', 'ESCAPE'))
    then
      v_atomic := v_atomic + 1;
    elsif v_upper = 'END' and v_atomic > 0 then
      v_atomic := v_atomic - 1;
    end if;
    if v_token in ('+', '-') then
      v_starts := v_starts + 1;
    end if;
    v_word := v_token ~ '^[A-Za-z_\u0080-\U0010ffff]';
    v_previous := v_upper;
    v_kept := cardinality(words) < 400
      or (v_upper in ('STDIN', 'STDOUT') and not v_upper = any (words));
    if v_kept then
      words := words || v_upper;
      if v_token <> '"' then
        raw := raw || v_token;
      end if;
      v_rule := v_rule or (v_upper = 'RULE' and cardinality(words) between 2 and 4);
    end if;
  end loop;
  if v_closed = 'ident' and cardinality(raw) < cardinality(words) then
    raw := raw || ('"' || v_quoted || '"');
  end if;
  finished := v_state in ('plain', 'line') and v_atomic = 0;
end
$body$;
create or replace function jobs_internal.assert_readable(p_text text, p_what text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- as in the worker
set exit_on_error = off
as $$
declare
  v_message text;
begin
  begin
    execute 'select 1 operator(pg_catalog./) 0; ' || p_text;
    v_message := 'it was run';
  exception
    when syntax_error then
      raise exception using errcode = 'PW017', message = format('%s has a syntax error', p_what),
        detail = format('PostgreSQL says (42601): %s', left(sqlerrm, 1000)),
        hint = 'Correct it. What does not exist yet is no error here, only what PostgreSQL cannot '
          'read. A retry cannot help.';
    when others then
      return;  -- what else there is to say is said when it runs
  end;
  raise exception using errcode = 'XX000', message = v_message;
end
$$;
create or replace function jobs_internal.classify(
  p_text text,
  out command text,
  out top_level boolean,
  out target jsonb
)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_words text[];
  v_raw text[];
  v_statements integer;
  v_finished boolean;
  v_makes_table boolean;
  v_bad text;
  v_w text;
begin
  if octet_length(p_text) > 1000000 then
    raise exception using errcode = 'PW018', message = 'the statement is too long',
      detail = format('It has %s bytes; 1000000 are allowed.', octet_length(p_text)),
      hint = 'Keep the data in a table, or write a function. A retry cannot help.';
  end if;
  select l.words, l.raw, l.statements, l.finished, l.makes_table
  into v_words, v_raw, v_statements, v_finished, v_makes_table
  from jobs_internal.lex(p_text) as l;
  if coalesce(v_statements, 0) = 0 then
    raise exception using errcode = 'PW014', message = 'the statement is empty',
      detail = 'There is nothing in it but white space and comments.',
        hint = 'Pass one SQL statement. A retry cannot help.';
  end if;
  if not v_finished then
    raise exception using errcode = 'PW017', message = 'the statement does not end',
      detail = 'A quote or a comment is not closed.',
        hint = 'Pass one complete SQL statement. A retry cannot help.';
  end if;
  if v_statements > 1 then
    raise exception using errcode = 'PW017', message = format('one statement is expected, not %s',
        v_statements),
      detail = 'Only a text of one statement can run at top level.',
      hint = 'Enqueue one job each, or write a function. A retry cannot help.';
  end if;
  v_w := v_words[1];
  v_bad := case
    when v_w in ('BEGIN', 'START', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE')
      or (v_w = 'PREPARE' and v_words[2] = 'TRANSACTION')
      then 'Transaction control belongs to the worker.'
    when v_w in ('SET', 'RESET') then 'Settings of a job go into the option settings.'
    when v_w in ('LISTEN', 'UNLISTEN') then 'A background session cannot listen.'
    when v_w in ('PREPARE', 'EXECUTE', 'DEALLOCATE', 'DECLARE', 'FETCH', 'MOVE', 'CLOSE', 'DISCARD',
        'LOAD')
      then 'It acts on a session, and the session of a job is not the caller''s.'
    when v_w = 'COPY' and 'STDIN' = any (v_words)
      then 'No client sends rows to a background session.'
    when v_w = 'COPY' and 'STDOUT' = any (v_words)
      then 'No client reads rows from a background session: they would be lost.'
    when v_w in ('SELECT', 'WITH', 'VALUES', 'TABLE', '(') and v_makes_table
      then 'SELECT INTO is written as CREATE TABLE AS.'
    when v_w is null or not v_w ~ '^[A-Z(]' then 'It does not begin with a word of SQL.'
  end;
  if v_bad is not null then
    raise exception using errcode = 'PW021',
      message = format('%s cannot be a job', left(coalesce(v_w, btrim(p_text)), 100)),
        detail = v_bad,
      hint = 'See docs/reference/sql.md for what jobs.enqueue_sql takes. A retry cannot help.';
  end if;
  target := jobs_internal.target_of(v_words, v_raw);
  command := lower(case
    when target ->> 'kind' in ('create_index', 'drop_index') and (target -> 'concurrently')::boolean
      then v_w || ' INDEX CONCURRENTLY'
    when v_w in ('CREATE', 'DROP', 'ALTER') then v_w || ' ' || array_to_string(array(
      select u.w from unnest(v_words[2:4]) with ordinality as u(w, n)
      where u.w in ('TABLE', 'INDEX', 'UNIQUE', 'VIEW', 'MATERIALIZED', 'DATABASE', 'SYSTEM',
          'TYPE', 'SCHEMA', 'SEQUENCE', 'FUNCTION', 'PROCEDURE',
        'TRIGGER', 'EXTENSION', 'SUBSCRIPTION', 'PUBLICATION', 'TABLESPACE', 'STATISTICS', 'POLICY',
        'ROLE', 'DOMAIN') order by u.n), ' ')
    when v_w = 'REFRESH' then 'REFRESH MATERIALIZED VIEW'
    when v_w = 'REINDEX' then 'REINDEX' || case when (target -> 'concurrently')::boolean
      then ' CONCURRENTLY' else '' end
    when v_w = 'INSERT' then 'INSERT'
    when v_w = '(' then 'SELECT'
    else v_w
  end);
  top_level := v_w in ('VACUUM', 'CALL', 'DO', 'CHECKPOINT')
    or coalesce((target -> 'concurrently')::boolean and target ->> 'kind' <> 'refresh', false)
    or coalesce(target ->> 'kind' in ('create', 'drop', 'move')
        or target ->> 'scope' in ('schema', 'database', 'system'), false)
    or (v_w = 'ALTER' and v_words[2] = 'SYSTEM')
    or (v_w = 'ALTER' and v_words[2] = 'SUBSCRIPTION'
        and v_words && array['REFRESH', 'PUBLICATION'])
    or (v_w in ('CLUSTER', 'ANALYZE', 'ANALYSE') and cardinality(v_words) = 1);
end
$$;
create or replace function jobs_internal.columns_at(p_words text[], p_raw text[], p_place integer)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_next integer := p_place + case when p_words[p_place] = 'USING' then 2 else 0 end;
  v_columns text[] := '{}';
begin
  if p_words[v_next] is distinct from '(' then
    return null;
  end if;
  loop
    if not coalesce(p_words[v_next + 1] = '"' or p_raw[v_next + 1] ~ '^[A-Za-z_\u0080-\U0010ffff]',
        false)
      or length(p_raw[v_next + 1]) > 1000
    then
      return null;
    end if;
    v_columns := v_columns || (parse_ident(p_raw[v_next + 1]))[1]::name::text;
    v_next := v_next + 2;
    exit when p_words[v_next] is distinct from ',';
  end loop;
  return case when p_words[v_next] = ')' and p_words[v_next + 1] is null
    then to_jsonb(v_columns) end;
end
$$;
create or replace function jobs_internal.name_at(p_words text[], p_raw text[], p_place integer,
    out name text, out next integer)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts integer := 0;
begin
  next := p_place;
  loop
    if p_words[next] is null or (p_words[next] = 'U' and p_words[next + 1] = '&')
      or not (p_words[next] = '"' or p_raw[next] ~ '^[A-Za-z_\u0080-\U0010ffff]')
      or length(p_raw[next]) > 1000 or next >= 390
    then
      name := null;
      return;
    end if;
    name := concat(name, p_raw[next]);
    v_parts := v_parts + 1;
    next := next + 1;
    exit when p_words[next] is distinct from '.';
    name := name || '.';
    next := next + 1;
  end loop;
  if v_parts > 3 then
    name := null;
  end if;
end
$$;
create or replace function jobs_internal.option_at(p_words text[], p_place integer, p_option text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
      when o.value in (',', ')', 'TRUE', 'ON', '1') then 'on'
      when o.value in ('FALSE', 'OFF', '0') then 'off'
      else 'unsure' end
  from (
    select w.n, w.word, p_words[p_place + w.n::integer - 2] as before,
      p_words[p_place + w.n::integer] as value
    from unnest(p_words[p_place : coalesce(array_position(p_words, ')', p_place),
          cardinality(p_words))]) with ordinality as w(word, n)
  ) as o
  where p_words[p_place] = '(' and o.word = p_option and o.before in ('(', ',')
  order by o.n desc
  limit 1;
end;
create or replace function jobs_internal.behind_parentheses(p_words text[], p_place integer)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_depth integer := 0;
  v_place integer := p_place;
begin
  loop
    v_depth := v_depth + case p_words[v_place] when '(' then 1 when ')' then -1 else 0 end;
    exit when v_depth = 0 and p_words[v_place] is distinct from ')';
    v_place := v_place + 1;
    exit when v_depth = 0 or p_words[v_place] is null;
  end loop;
  return v_place;
end
$$;
create or replace function jobs_internal.tables_at(p_words text[], p_raw text[], p_place integer)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables jsonb := '[]';
  v_next integer := p_place;
  v_only boolean;
  v_open boolean;
  v_at record;
begin
  while p_words[v_next] is not null loop
    v_only := p_words[v_next] = 'ONLY';
    v_next := v_next + v_only::integer;
    v_open := v_only and p_words[v_next] = '(';
    v_at := jobs_internal.name_at(p_words, p_raw, v_next + v_open::integer);
    if v_at.name is null then
      return null;
    end if;
    v_tables := v_tables || jsonb_build_object('name', v_at.name, 'only', v_only);
    v_next := v_at.next + v_open::integer;
    v_next := v_next + (p_words[v_next] is not distinct from '*')::integer;
    v_next := jobs_internal.behind_parentheses(p_words, v_next);  -- its columns
    exit when p_words[v_next] is null;
    if p_words[v_next] <> ',' then
      return null;
    end if;
    v_next := v_next + 1;
  end loop;
  return v_tables;
end
$$;
create or replace function jobs_internal.target_of(p_words text[], p_raw text[])
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first text := case p_words[1] when 'ANALYSE' then 'ANALYZE' else p_words[1] end;
  v_next integer := 2;
  v_at record;
  v_option text;
  v_flag boolean;
  v_target jsonb;
  v_list jsonb;
  v_index text;
  v_scope text;
  v_unsure constant jsonb := '{"unsure": "its text cannot be read for sure"}';
begin
  if v_first = 'CREATE' and p_words[2 + (p_words[2] = 'UNIQUE')::integer] = 'INDEX' then
    v_next := 3 + (p_words[2] = 'UNIQUE')::integer;
    v_flag := p_words[v_next] = 'CONCURRENTLY';
    v_target := jsonb_build_object('kind', 'create_index', 'concurrently', v_flag);
    v_next := v_next + v_flag::integer;
    v_flag := p_words[v_next] = 'IF' and p_words[v_next + 1] = 'NOT';
    v_next := v_next + case when v_flag then 3 else 0 end;
    if p_words[v_next] is distinct from 'ON' then
      v_at := jobs_internal.name_at(p_words, p_raw, v_next);
      v_index := v_at.name;
      v_next := v_at.next;
      if v_index is null or p_words[v_next] is distinct from 'ON' then
        return v_target || v_unsure;
      end if;
    end if;
    v_next := v_next + 1;
    v_at := jobs_internal.name_at(p_words, p_raw,
        v_next + (p_words[v_next] is not distinct from 'ONLY')::integer);
    if v_at.name is null then
      return v_target || v_unsure;
    end if;
    return v_target || jsonb_build_object('table', v_at.name, 'index', v_index, 'exists', v_flag,
        'unique', p_words[2] = 'UNIQUE',
      'columns', jobs_internal.columns_at(p_words, p_raw, v_at.next), 'object',
      case when v_index is null then 'on ' || v_at.name
        else coalesce(substring(v_at.name from '^(.*\.)(?:"(?:[^"]|"")*"|[^".]*)$'), '')
          || v_index end);
  elsif v_first = 'DROP' and p_words[2] = 'INDEX' and p_words[3] = 'CONCURRENTLY' then
    v_flag := p_words[4] = 'IF' and p_words[5] = 'EXISTS';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 6 else 4 end);
    return jsonb_build_object('kind', 'drop_index', 'concurrently', true, 'index', v_at.name,
        'object', v_at.name, 'exists', v_flag)
      || case when v_at.name is null or p_words[v_at.next] = ',' then v_unsure else '{}' end;
  elsif v_first = 'REINDEX' then
    v_option := jobs_internal.option_at(p_words, v_next, 'CONCURRENTLY');
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    v_scope := lower(p_words[v_next]);
    v_next := v_next + 1;
    v_flag := p_words[v_next] = 'CONCURRENTLY';
    if v_flag then
      v_option := 'on';
      v_next := v_next + 1;
    end if;
    v_target := jsonb_build_object('kind', 'reindex', 'scope', v_scope, 'concurrently',
        coalesce(v_option, 'off') <> 'off');
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if v_at.name is not null then
      v_target := v_target || jsonb_build_object('object', v_scope || ' ' || v_at.name);
    elsif p_words[v_next] is null and v_scope in ('database', 'system') then
      v_target := v_target || jsonb_build_object('object', v_scope);
    end if;
    return v_target || jsonb_build_object('name', v_at.name)
      || case when v_option = 'unsure'
        or (v_at.name is null and v_scope not in ('database', 'system')) then v_unsure
          else '{}' end;
  elsif v_first in ('VACUUM', 'ANALYZE') then
    v_option := jobs_internal.option_at(p_words, 2, 'FULL');
    v_flag := v_first = 'VACUUM' and coalesce(jobs_internal.option_at(p_words, 2, 'PROCESS_MAIN'),
        'on') = 'on'
      and jobs_internal.option_at(p_words, 2, 'ONLY_DATABASE_STATS') is null;
    v_target := jsonb_build_object('kind', lower(v_first), 'vacuums', v_flag,
      'analyzes', v_first = 'ANALYZE'
        or coalesce(jobs_internal.option_at(p_words, 2, 'ANALYZE'),
            jobs_internal.option_at(p_words, 2, 'ANALYSE'), 'off') = 'on',
      'skips', coalesce(jobs_internal.option_at(p_words, 2, 'SKIP_LOCKED'), 'off') <> 'off');
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    while p_words[v_next] in ('FULL', 'FREEZE', 'VERBOSE', 'ANALYZE', 'ANALYSE') loop
      if p_words[v_next] = 'FULL' then
        v_option := 'on';
      elsif p_words[v_next] in ('ANALYZE', 'ANALYSE') then
        v_target := v_target || '{"analyzes": true}';
      end if;
      v_next := v_next + 1;
    end loop;
    v_list := jobs_internal.tables_at(p_words, p_raw, v_next);
    v_target := v_target || jsonb_build_object('full', coalesce(v_option, 'off') <> 'off', 'tables',
        v_list,
      'object', (select string_agg(case when (t.v -> 'only')::boolean then 'only '
            else '' end || (t.v ->> 'name'), ', ' order by t.n)
        from jsonb_array_elements(v_list) with ordinality as t(v, n)));
    return v_target || case when v_list is null or v_option = 'unsure' then v_unsure else '{}' end;
  elsif v_first = 'CLUSTER' then
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    v_next := v_next + (p_words[v_next] is not distinct from 'VERBOSE')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if p_words[v_at.next] = 'ON' then
      v_at := jobs_internal.name_at(p_words, p_raw, v_at.next + 1);
    end if;
    return jsonb_build_object('kind', 'cluster', 'table', v_at.name, 'object', v_at.name)
      || case when v_at.name is null and p_words[v_next] is not null then v_unsure else '{}' end;
  elsif v_first = 'REFRESH' then
    v_next := 4 + (p_words[4] is not distinct from 'CONCURRENTLY')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    return jsonb_build_object('kind', 'refresh', 'concurrently', v_next = 5, 'table', v_at.name,
        'object', v_at.name);
  elsif v_first = 'ALTER' and p_words[2] = 'TABLE' then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS';
    v_next := case when v_flag then 5 else 3 end;
    v_next := v_next + (p_words[v_next] is not distinct from 'ONLY')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    v_target := jsonb_build_object('kind', 'other', 'table', v_at.name, 'object', v_at.name);
    if v_at.name is null then
      v_next := case when array_position(p_words, 'DETACH') > 0
        and p_words[cardinality(p_words)] = 'CONCURRENTLY'
          then array_position(p_words, 'DETACH') end;
    else
      v_next := v_at.next + (p_words[v_at.next] is not distinct from '*')::integer;
    end if;
    if p_words[v_next] = 'DETACH' and p_words[v_next + 1] = 'PARTITION'
      and p_words[cardinality(p_words)] = 'CONCURRENTLY' then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := jsonb_build_object('kind', 'detach', 'concurrently', true, 'table', v_index,
          'partition', v_at.name,
        'object', v_index || ' detach ' || v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;
  elsif v_first = 'CALL' or v_first = 'UPDATE'
    or p_words[1] || ' ' || p_words[2] in ('INSERT INTO', 'DELETE FROM', 'MERGE INTO') then
    v_next := case when v_first in ('CALL', 'UPDATE') then 2 else 3 end;
    v_at := jobs_internal.name_at(p_words, p_raw,
        v_next + (v_first <> 'CALL' and p_words[v_next] is not distinct from 'ONLY')::integer);
    return case when v_at.name is not null
      then jsonb_build_object('kind', 'other', 'object', v_at.name) end;
  elsif v_first in ('CREATE', 'DROP') and p_words[2] in ('DATABASE', 'TABLESPACE', 'SUBSCRIPTION')
    then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS' and v_first = 'DROP';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 5 else 3 end);
    return jsonb_build_object('kind', lower(v_first), 'class', lower(p_words[2]), 'name', v_at.name,
        'object', v_at.name, 'exists', v_flag,
      'force', v_first = 'DROP' and 'FORCE' = any (p_words[v_at.next:])) || case
      when v_at.name is null then v_unsure else '{}' end;
  elsif v_first = 'ALTER' and p_words[2] = 'DATABASE' then
    v_at := jobs_internal.name_at(p_words, p_raw, 3);
    v_target := jsonb_build_object('kind', 'other', 'name', v_at.name, 'object', v_at.name);
    v_next := coalesce(v_at.next, 4);
    if array_position(p_words, 'TABLESPACE') > 0
      and (v_at.name is null or p_words[v_next : v_next + 1] = array['SET', 'TABLESPACE']) then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := v_target || jsonb_build_object('kind', 'move', 'class', 'database', 'tablespace',
          v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;
  elsif v_first in ('CREATE', 'DROP', 'ALTER')
    and p_words[2] in ('TABLE', 'INDEX', 'VIEW', 'SEQUENCE', 'SCHEMA', 'TYPE', 'DOMAIN',
        'MATERIALIZED',
      'SUBSCRIPTION', 'STATISTICS', 'EXTENSION')
    or v_first = 'TRUNCATE'
  then
    v_next := 2 + (v_first <> 'TRUNCATE' or p_words[2] = 'TABLE')::integer
      + (p_words[2] = 'MATERIALIZED')::integer;
    v_next := v_next + case when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'NOT' then 3
      when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'EXISTS' then 2
        when p_words[v_next] = 'ONLY' then 1 else 0 end;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    return case when v_at.name is not null and p_words[v_at.next] is distinct from ','
      then jsonb_build_object('kind', 'other', 'object', v_at.name) end;
  end if;
  return null;
end
$$;
create or replace function jobs_internal.callers_path()
returns text
language sql stable
begin atomic
  select case when current_user operator(pg_catalog.=) session_user
    then pg_catalog.current_setting('search_path')
    else pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '"?\$user"?',
      pg_catalog.replace(pg_catalog.quote_ident(current_user), '\', '\\'), 'g') end;
end;
create or replace function jobs_internal.store_statement(
  p_statement text,
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_done_when text,
  p_rollback text,
  p_options jsonb,
  p_path text default null
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind record;
  v_job record;
  v_done_when text := nullif(btrim(p_done_when), '');
  v_rollback text := nullif(btrim(p_rollback), '');
  v_twice text;
begin
  if p_options <> '{}' then
    perform jobs_internal.checked_options(p_options, 'enqueue_sql', true);
    v_twice := case when p_done_when is not null and p_options ? 'done_when' then 'done_when'
      when p_rollback is not null and p_options ? 'rollback' then 'rollback' end;
    if v_twice is not null then
      raise exception using errcode = 'PW029', message = format('%s is given twice', v_twice),
        detail = 'As a parameter, and as a key of options.',
          hint = 'Give it once. A retry cannot help.';
    end if;
    v_done_when := coalesce(v_done_when, nullif(btrim(p_options ->> 'done_when'), ''));
    v_rollback := coalesce(v_rollback, nullif(btrim(p_options ->> 'rollback'), ''));
  end if;
  if octet_length(p_path) > 8000 then
    raise exception using errcode = 'PW018', message = 'the search_path is too long',
      detail = format('It has %s bytes; 8000 are allowed, for the statement keeps it.',
          octet_length(p_path)),
      hint = 'Name fewer schemas, or qualify the names. A retry cannot help.';
  end if;
  v_kind := jobs_internal.classify(coalesce(p_statement, ''));
  perform jobs_internal.assert_readable(p_statement, 'the statement');
  if v_done_when is not null then
    if (select l.words[1] from jobs_internal.lex(left(v_done_when, 10000)) as l) not in ('SELECT',
        'WITH', 'VALUES') then
      v_done_when := 'select (' || v_done_when || E'\n)::boolean';  -- it may end with a comment
    end if;
    perform jobs_internal.classify(v_done_when),
      jobs_internal.assert_readable(v_done_when, 'done_when');
  end if;
  if v_rollback is not null then
    perform jobs_internal.classify(v_rollback),
      jobs_internal.assert_readable(v_rollback, 'rollback');
  end if;
  v_job := jobs_internal.store_job(null, null, p_queue, p_run_at, p_timeout, p_max_attempts,
      p_unique_key, p_priority, p_settings, p_note,
    p_options, octet_length(p_statement) + coalesce(octet_length(p_done_when), 0)
      + coalesce(octet_length(p_rollback), 0)::bigint);
  if v_job.created then
    insert into jobs_internal.statement (job_id, body, command, top_level, done_when, rollback_sql,
        path, object, target)
    values (v_job.job_id, p_statement, v_kind.command, v_kind.top_level,
      coalesce(v_done_when, case when v_kind.top_level
          then jobs_internal.built_in_condition(v_kind.target) end), v_rollback, p_path,
      case when not v_kind.target ? 'unsure' then left(v_kind.target ->> 'object', 200) end,
        v_kind.target);
  end if;
  return v_job.job_id;
end
$$;
create or replace function jobs_internal.make_lane_queue(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'
as $$
begin
  perform pgmq.create('pyworker_' || p_lane);
  execute format('drop index if exists pgmq.%I', 'q_pyworker_' || p_lane || '_vt_idx');
  execute format('alter table pgmq.%I set (autovacuum_vacuum_scale_factor = 0.02, '
    'autovacuum_vacuum_threshold = 2000, fillfactor = 45)',
    'q_pyworker_' || p_lane);
end
$$;
create or replace function jobs_internal.make_lane(p_queue integer, p_owner oid,
    p_priority smallint, p_served_at timestamptz default now())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '50ms'
as $$
declare
  v_lane integer;
begin
  for v_try in 1 .. 100000 loop
    v_lane := nextval('jobs_internal.lane_id_seq');
    exit when pg_try_advisory_xact_lock(hashtext('pgmq.queue_pyworker_' || v_lane));
  end loop;
  insert into jobs_internal.lane (id, queue_id, owner, priority, pgmq_queue, served_at)
  overriding system value
  values (v_lane, p_queue, p_owner, p_priority, 'pyworker_' || v_lane, p_served_at)
  on conflict do nothing;
  if not found then
    return null;
  end if;
  perform jobs_internal.record_role_name(p_owner), jobs_internal.make_lane_queue(v_lane);
  return v_lane;
end
$$;
create or replace function jobs_internal.make_lane_or_note(p_queue integer, p_owner oid,
    p_priority smallint, p_served_at timestamptz default now())
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_item text := format('%s/%s/%s', p_queue, p_owner, p_priority);
  v_made boolean;
begin
  begin
    v_made := jobs_internal.make_lane(p_queue, p_owner, p_priority, p_served_at) is not null;
  exception
    when others or query_canceled then
      perform jobs_internal.note_failure('lanes', v_item,
          jobs_internal.error_object(sqlstate, sqlerrm), p_queue, p_owner);
      return false;
  end;
  perform jobs_internal.clear_failure('lanes', v_item);
  return v_made;
end
$$;
create or replace function jobs_internal.first_due()
returns table (owner oid, due_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with recursive f (owner, due_at) as (
    (select j.owner, j.due_at from jobs_internal.job as j where j.due_at is not null
        order by j.owner, j.due_at limit 1)
    union all
    select n.owner, n.due_at
    from f
    cross join lateral (
      select j.owner, j.due_at from jobs_internal.job as j
      where j.due_at is not null and j.owner > f.owner
      order by j.owner, j.due_at limit 1) as n
  )
  select f.owner, f.due_at from f;
end;
create or replace function jobs_internal.make_lanes(p_owner oid default null)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_but text[] := '{}';
begin
  if p_owner is null and not jobs_internal.takes_duty('lanes') then
    return 0;
  end if;
  if p_owner is null then
    v_but := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes'
        and jobs_internal.is_future(f.retry_at));
  end if;
  for v in
    select m.*, format('%s/%s/%s', m.queue_id, m.owner, m.priority) as item
    from (
      select distinct j.queue_id, f.owner, j.priority
      from jobs_internal.first_due() as f
      cross join lateral (
        select o.queue_id, o.priority
        from jobs_internal.job as o
        where o.owner = f.owner and o.due_at <= clock_timestamp()
          and (v_but = '{}' or format('%s/%s/%s', o.queue_id, o.owner, o.priority) <> all (v_but))
        order by o.due_at
        limit 5000
      ) as j
      where f.due_at <= clock_timestamp() and (p_owner is null or f.owner = p_owner)
        and not exists (select from jobs_internal.lane as l where l.queue_id = j.queue_id
            and l.owner = f.owner and l.priority = j.priority)
    ) as m
    left join jobs_internal.duty_failure as f on f.duty = 'lanes'
      and f.item = format('%s/%s/%s', m.queue_id, m.owner, m.priority)
    where p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at)
    order by f.retry_at nulls first, row_number() over (partition by m.owner order by m.queue_id,
        m.priority), m.queue_id, m.owner
  loop
    if p_owner is null then
      exit when not jobs_internal.has_room(v_until);
      v_count := v_count + jobs_internal.make_lane_or_note(v.queue_id, v.owner,
          v.priority)::integer;
      continue;
    end if;
    begin
      v_count := v_count + (jobs_internal.make_lane(v.queue_id, v.owner,
            v.priority) is not null)::integer;
    exception
      when others then
        raise warning using message = format('a lane cannot be made now: %s', sqlerrm);
    end;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.enter_lane(p_id bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v_lane record;
  v_msg_id bigint;
begin
  select l.id, l.pgmq_queue into v_lane
  from jobs_internal.job as j
  join jobs_internal.lane as l on l.queue_id = j.queue_id and l.owner = j.owner
    and l.priority = j.priority
  where j.id = p_id;
  if found then
    v_msg_id := pgmq.send(v_lane.pgmq_queue, jsonb_build_object('job', p_id), null::jsonb,
        clock_timestamp());
    update jobs_internal.job set state = 'queued', due_at = null, lane_id = v_lane.id,
      msg_id = v_msg_id where id = p_id;
  end if;
  perform jobs_internal.wake(v_lane.id);
end
$$;
create or replace function jobs_internal.few_runners(p_most integer)
returns oid[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_roles oid[];
begin
  with recursive member (role) as (
    select r.oid from pg_roles as r where r.rolname = 'jobs_runner'
    union
    select m.member from member as g join pg_auth_members as m on m.roleid = g.role
  )
  select array_agg(f.oid) into v_roles
  from (
    select r.oid
    from (
      (select a.role from jobs_internal.admitted_role as a limit p_most + 1)
      union
      (select m.role from member as m limit p_most * 4)
    ) as c
    join pg_roles as r on r.oid = c.role and r.rolcanlogin
  ) as f;
  if cardinality(v_roles) > p_most then
    return '{}';
  end if;
  return coalesce(v_roles, '{}');
end
$$;
create or replace function jobs_internal.may_need_lane(p_role oid)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return jobs_internal.is_runner(p_role)
    and (pg_has_role(p_role, 'jobs_producer', 'member')
      or exists (select from jobs_internal.publication as p
        where p.publisher = p_role and p.revoked_at is null))
    and has_database_privilege(p_role, current_database(), 'connect')
    and not jobs_internal.is_refused(p_role);
end
$$;
create or replace function jobs_internal.try_lane(p_queue integer, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return jobs_internal.make_lane(p_queue, p_owner, 1::smallint, '-infinity') is not null;
exception
  when others then
    return false;
end
$$;
create or replace function jobs_internal.make_lanes_ahead(p_round boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_settled timestamptz := clock_timestamp() - interval '5 seconds';
  v_most integer := 50;
  v_owners oid[] := jobs_internal.few_runners(v_most);
  v_everywhere boolean;
begin
  if v_owners = '{}' then
    return 0;
  end if;
  v_everywhere := cardinality(v_owners) * (
    select count(*) from jobs_internal.queue as q where q.dropped_at is null) <= v_most;
  for v in
    select q.id as queue_id, o.id as owner
    from unnest(v_owners) as o(id)
    join jobs_internal.queue as q on q.dropped_at is null and (v_everywhere or q.name = 'default')
    where not exists (select from jobs_internal.lane as l
        where l.queue_id = q.id and l.owner = o.id and l.priority = 1)
      and jobs_internal.may_need_lane(o.id)
      and not (p_round and (jobs_internal.is_put_off('lanes', format('%s/%s/1', q.id, o.id))
          or q.created_at > v_settled))
      and not exists (select from jobs_internal.supervisor as s
        where s.pid = pg_backend_pid()
          and (pg_get_userbyid(o.id)::text <> all (s.serves)
            or p_round and s.started_at > v_settled))
    order by q.name <> 'default', q.id, o.id
  loop
    if p_round then
      exit when not (jobs_internal.takes_duty('lanes') and jobs_internal.has_room(v_until));
      v_count := v_count + jobs_internal.make_lane_or_note(v.queue_id, v.owner, 1::smallint,
          '-infinity')::integer;
    else
      v_count := v_count + jobs_internal.try_lane(v.queue_id, v.owner)::integer;
    end if;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.make_own_lane(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_login oid := jobs_internal.caller();
begin
  if jobs_internal.may_need_lane(v_login) then
    perform jobs_internal.try_lane(p_queue, v_login);
  end if;
end
$$;
create or replace function jobs_internal.remove_dropped_queues()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '50ms'
as $$
declare
  v record;
  v_lane record;
  v_steps integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  update jobs_internal.queue as q set dropped_by = pg_current_xact_id(), horizon_xid = null
  where q.removed_at is null and greatest(q.dropped_by, q.horizon_xid) > pg_current_xact_id();
  for v in
    select q.id, q.dropped_by, q.horizon_xid from jobs_internal.queue as q
    where q.dropped_at is not null and q.removed_at is null
      and q.dropped_by <> pg_current_xact_id()
    order by q.id
    for no key update skip locked
  loop
    if v.horizon_xid is null then
      continue when jobs_internal.is_older_snapshot(v.dropped_by::xid);
      update jobs_internal.queue as q set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
      where q.id = v.id;
      v_steps := v_steps + 1;
      continue;
    end if;
    continue when v.horizon_xid > pg_snapshot_xmin(pg_current_snapshot())
      or exists (select from jobs_internal.job as j where j.queue_id = v.id);
    for v_lane in
      select l.id, l.pgmq_queue, l.owner from jobs_internal.lane as l
      where l.queue_id = v.id and not jobs_internal.is_put_off('lanes', l.id::text)
      order by l.id
    loop
      exit when not jobs_internal.has_room(v_until);
      begin
        delete from jobs_internal.lane as l
        where l.ctid = (select o.ctid from jobs_internal.lane as o where o.id = v_lane.id
            for update skip locked);
        continue when not found;
        perform pgmq.drop_queue(v_lane.pgmq_queue);
        v_steps := v_steps + 1;
        perform jobs_internal.clear_failure('lanes', v_lane.id::text);
      exception
        when others or query_canceled then
          perform jobs_internal.note_failure('lanes', v_lane.id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v.id, v_lane.owner);
      end;
    end loop;
    delete from jobs_internal.slot as s
    where s.ctid = any (array(select f.ctid from jobs_internal.slot as f where f.queue_id = v.id
          for update skip locked));
    if not exists (select from jobs_internal.lane as l where l.queue_id = v.id)
      and not exists (select from jobs_internal.slot as s where s.queue_id = v.id) then
      update jobs_internal.queue as q set removed_at = clock_timestamp() where q.id = v.id;
      v_steps := v_steps + 1;
    end if;
  end loop;
  return v_steps;
end
$$;
create or replace function jobs_internal.move_due_of(p_owner oid, p_lane integer, p_but integer[],
    p_limit integer, p_duty boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_lane record;
  v_msg_ids bigint[];
  v_count integer := 0;
  v_places bigint[] := array(
    select o.queue_id::bigint * 4 + o.priority from jobs_internal.lane as o
    where o.owner = p_owner and o.id <> all (p_but) and (p_lane is null or o.id = p_lane));
begin
  for v_lane in
    with due as (
      select j.id, j.queue_id, j.priority
      from jobs_internal.job as j
      where j.due_at <= clock_timestamp() and j.owner = p_owner
        and j.queue_id::bigint * 4 + j.priority = any (v_places)
      order by j.due_at
      limit p_limit
      for update skip locked
    )
    select l.id, l.pgmq_queue, d.ids
    from (select a.queue_id, a.priority, array_agg(a.id order by a.id) as ids from due as a
        group by a.queue_id, a.priority) as d
    join jobs_internal.lane as l on l.queue_id = d.queue_id and l.owner = p_owner
      and l.priority = d.priority
  loop
    v_msg_ids := jobs_internal.send_messages(v_lane.pgmq_queue, v_lane.ids);
    update jobs_internal.job as j
    set state = 'queued', due_at = null, lane_id = v_lane.id, msg_id = u.msg_id
    from unnest(v_lane.ids, v_msg_ids) as u(id, msg_id)
    where j.id = u.id;
    perform jobs_internal.wake(v_lane.id);
    if p_duty then
      perform jobs_internal.clear_failure('dispatch', v_lane.id::text);
    end if;
    v_count := v_count + cardinality(v_lane.ids);
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.move_due(p_owner oid, p_lane integer, p_but integer[],
    p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_owners oid[] := array(
    select f.owner from jobs_internal.first_due() as f
    where f.due_at <= clock_timestamp() and (p_owner is null or f.owner = p_owner)
    order by f.due_at);
  v_more oid[];
  v_share integer;
  v_moved integer;
  v_count integer := 0;
begin
  while cardinality(v_owners) > 0 and v_count < p_limit loop
    v_share := greatest(1, (p_limit - v_count) / cardinality(v_owners));
    v_more := '{}';
    foreach v_owner in array v_owners loop
      exit when v_count >= p_limit;
      v_moved := jobs_internal.move_due_of(v_owner, p_lane, p_but, v_share, p_owner is null);
      v_count := v_count + v_moved;
      if v_moved >= v_share then
        v_more := v_more || v_owner;
      end if;
    end loop;
    v_owners := v_more;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.dispatch(p_owner oid default null,
    p_limit integer default 5000)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane record;
  v_count integer := 0;
  v_but integer[];
  v_until timestamptz;
begin
  if not exists (select from jobs_internal.first_due() as f where f.due_at <= clock_timestamp())
    then
    return 0;
  end if;
  perform jobs_internal.make_lanes(p_owner);
  if p_owner is not null then
    return jobs_internal.move_due(p_owner, null, '{}', p_limit);
  end if;
  v_but := array(select f.item::integer from jobs_internal.duty_failure as f
      where f.duty = 'dispatch' and jobs_internal.is_future(f.retry_at));
  begin
    return jobs_internal.move_due(null, null, v_but, p_limit);
  exception
    when others or query_canceled then
      null;  -- which lane it was is seen below
  end;
  v_until := clock_timestamp() + interval '0.5 seconds';
  for v_lane in
    select l.id, l.queue_id, l.owner from jobs_internal.lane as l
    left join jobs_internal.duty_failure as f on f.duty = 'dispatch' and f.item = l.id::text
    where l.id <> all (v_but) and l.id in (
      select o.id from jobs_internal.job as j
      join jobs_internal.lane as o on o.queue_id = j.queue_id and o.owner = j.owner
        and o.priority = j.priority
      where j.due_at <= clock_timestamp())
    order by f.retry_at nulls first, l.id
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      v_count := v_count + jobs_internal.move_due(null, v_lane.id, '{}', p_limit);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('dispatch', v_lane.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_lane.owner);
    end;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.dispatch_mine()
returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.dispatch(jobs_internal.caller(), 1000000);
end;
create or replace function jobs_internal.may_notify()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('max_prepared_transactions') = '0';
end;
create or replace function jobs_internal.wake(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.supervisor where asleep) and jobs_internal.may_notify() then
    perform pg_notify('pyworker', '');
  end if;
  if p_lane is not null and (exists (select from jobs_internal.lane as l where l.id = p_lane
        and l.idle_state <> 'active')
    or current_setting('transaction_isolation') <> 'read committed')
  then
    insert into jobs_internal.wakeup_request (lane_id) values (p_lane) on conflict do nothing;
  end if;
end
$$;
create or replace function jobs_internal.wake_lanes(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.wakeup_request) then
    return;
  end if;
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.idle_state <> 'active' and (p_owner is null or o.owner = p_owner)
      and o.id in (select n.lane_id from jobs_internal.wakeup_request as n)
    for no key update skip locked);
  delete from jobs_internal.wakeup_request as d
  where d.ctid = any (array(
    select n.ctid from jobs_internal.wakeup_request as n
    where not exists (select from jobs_internal.lane as l where l.id = n.lane_id
        and (l.idle_state <> 'active' or l.owner <> p_owner))
    for update skip locked));
end
$$;
create or replace function jobs_internal.set_lane_idle(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane jobs_internal.lane;
  v_empty boolean;
begin
  select l.* into v_lane from jobs_internal.lane as l
  where l.id = p_lane for no key update skip locked;
  if not found or v_lane.idle_state = 'idle' then
    return;
  end if;
  execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue) into v_empty;
  if not v_empty then
    update jobs_internal.lane set idle_state = 'active', horizon_xid = null
    where id = p_lane and idle_state <> 'active';
  elsif v_lane.idle_state = 'active' then
    update jobs_internal.lane set idle_state = 'going_idle', horizon_xid = null where id = p_lane;
  elsif v_lane.horizon_xid is null then
    update jobs_internal.lane set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
    where id = p_lane;
  elsif pg_snapshot_xmin(pg_current_snapshot()) >= v_lane.horizon_xid then
    execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue)
      into v_empty;
    if v_empty then
      update jobs_internal.lane set idle_state = 'idle' where id = p_lane;
    end if;
  end if;
exception
  when undefined_table then
    null;  -- its queue was dropped meanwhile
end
$$;
create or replace function jobs_internal.must_poll(p_supervisor bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.supervisor set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
  where id = p_supervisor and asleep and horizon_xid is null;
  return found or exists (
    select from jobs_internal.supervisor as s
    where s.id = p_supervisor and s.asleep
      and (pg_snapshot_xmin(pg_current_snapshot()) < s.horizon_xid
        or not jobs_internal.may_notify()));
end
$$;
create or replace function jobs_internal.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if sessions is null or sessions not between 1 and 100 then
    raise exception using errcode = 'PW025', message = 'sessions must be between 1 and 100',
      detail = format('It is %s.', coalesce(sessions::text, 'null')),
        hint = 'Start one or two; more do not drain faster than the server has processors. A retry '
          'cannot help.';
  end if;
  perform jobs_internal.assert_not_copy(), jobs_internal.dispatch_mine();
  return jobs_internal.launch(least(sessions, jobs_internal.my_free_sessions())::integer,
      interval '0');
end
$$;
create or replace function jobs_internal.await_crash_noted()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  loop
    if exists (select from jobs_internal.server as s where s.epoch = jobs_internal.epoch()) then
      return;
    end if;
    if v_until is null and jobs_internal.launch_upkeep('select jobs_internal.note_crash()',
        'pyworker crash') then
      v_until := clock_timestamp() + interval '5 seconds';
    end if;
    if v_until is null or clock_timestamp() not between v_until - interval '5 seconds' and v_until
      then
      raise exception using errcode = 'PW078',
        message = 'the server has just started, and its last end is not looked into yet',
        detail = 'A session of pyworker''s own does that, in a background worker slot; or a '
          'supervisor.', hint = 'Retry in a moment, or start pyworker run.';
    end if;
    perform pg_sleep(0.002);
  end loop;
end
$$;
create or replace function jobs_internal.schema_version()
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select 4;
end;
create or replace function jobs_internal.assert_version(p_version integer)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_version is distinct from jobs_internal.schema_version() then
    raise exception using errcode = 'PW052',
      message = 'pyworker was upgraded while this worker session began',
      detail = format('The session was written for version %s of the schema, which is %s now.',
          coalesce(p_version::text, '0'), jobs_internal.schema_version()),
      hint = 'It ends, and has done nothing; the next one takes its jobs.';
  end if;
end
$$;
create or replace function jobs_internal.open_session(p_version integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_me oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_version(p_version), jobs_internal.assert_not_copy(),
    jobs_internal.assert_admitted(v_me), jobs_internal.assert_session_allowed(v_me);
  perform jobs_internal.await_crash_noted();
  if exists (select from jobs_internal.session as s where s.owner = v_me
      and not jobs_internal.alive(s.pid, s.backend_start)) then
    perform jobs_internal.rescue(v_me);
  end if;
  perform jobs_internal.lift_quarantine(v_me);
  insert into jobs_internal.session (owner, pid, backend_start, epoch, schema_version)
  select v_me, a.pid, a.backend_start, jobs_internal.epoch(), p_version
  from pg_stat_get_activity(pg_backend_pid()) as a
  returning id into v_id;
  return v_id;
end
$$;
create or replace function jobs_internal.assert_between_jobs(p_session jobs_internal.session)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_session.job_id is not null then
    raise exception using errcode = 'PW050',
      message = format('this session runs job %s', p_session.job_id),
      detail = 'It ends that job first.', hint = 'Use the functions of schema jobs.';
  end if;
end
$$;
create or replace function jobs_internal.my_session(p_session bigint)
returns jobs_internal.session
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
begin
  select s.* into v_session from jobs_internal.session as s
  where s.id = p_session and s.pid = pg_backend_pid() and s.owner = jobs_internal.caller()
  for update;
  if not found then
    raise exception using errcode = 'PW050', message = 'this backend is not that worker session',
      detail = 'Only a worker session calls this.', hint = 'Use the functions of schema jobs.';
  end if;
  return v_session;
end
$$;
create or replace function jobs_internal.assert_my_lane(p_lane integer)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.id = p_lane
      and l.owner = jobs_internal.caller()) then
    raise exception using errcode = 'PW050',
      message = format('lane %s is not the caller''s', p_lane),
      detail = 'Only a worker session of its owner works on a lane.',
        hint = 'Use the functions of schema jobs.';
  end if;
end
$$;
create or replace function jobs_internal.release(p_session jobs_internal.session, p_suspect boolean)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_back text;
begin
  if p_session.msg_ids is not null then
    v_back := format(
      'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - $3 where '
      'm.msg_id = any ($1) and m.vt = $2',
      'q_pyworker_' || p_session.lane_id);
    update jobs_internal.session set msg_ids = null, lease = null,
      last_msg_id = p_session.msg_ids[1] - 1 where id = p_session.id;
    begin
      execute v_back using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    exception
      when lock_not_available then
        execute v_back || format(' and m.msg_id in (select q.msg_id from pgmq.%I as q where '
          'q.msg_id = any ($1) for update skip locked)',
          'q_pyworker_' || p_session.lane_id)
        using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    end;
  end if;
exception
  when undefined_table then
    null;  -- the queue was dropped meanwhile, and its lanes with it
end
$$;
create or replace function jobs_internal.close_session(p_session bigint,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  perform jobs_internal.assert_between_jobs(v_session);
  perform jobs_internal.release(v_session, false);
  perform jobs_internal.record_run_stats(v_session, p_run_stats);
  perform jobs_internal.free_slots(p_session);
  delete from jobs_internal.session where id = p_session;
  perform jobs_internal.wake(null);
end
$$;
create or replace function jobs_internal.most_sessions(p_owner oid)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select u.running from jobs_internal.quota as u where u.owner = p_owner;
end;
create or replace function jobs_internal.live_sessions(p_owner oid)
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from jobs_internal.session as s where s.owner = p_owner
    and jobs_internal.alive(s.pid, s.backend_start);
end;
create or replace function jobs_internal.assert_session_allowed(p_owner oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most integer;
  v_live bigint;
begin
  if not exists (select from jobs_internal.installation as h where h.quotas) then
    return;
  end if;
  select u.running into v_most from jobs_internal.quota as u where u.owner = p_owner;
  if v_most is null then
    return;
  end if;
  perform from jobs_internal.lane as l where l.owner = p_owner order by l.id
    limit 1 for no key update;
  v_live := jobs_internal.live_sessions(p_owner);
  if v_live >= v_most then
    raise exception using errcode = 'PW073',
      message = format('%s has as many worker sessions as its quota allows',
          pg_get_userbyid(p_owner)),
      detail = format('%s, %s allowed.', jobs_internal.counted(v_live, 'lives', 'live'),
          jobs_internal.counted(v_most, 'is', 'are')),
          hint = 'Retry when one has ended; see jobs.quotas.';
  end if;
end
$$;
create or replace function jobs_internal.my_free_sessions()
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_admitted(v_me);
  return (
    select greatest(0, u.running - jobs_internal.live_sessions(v_me))
    from jobs_internal.quota as u
    where u.owner = v_me and u.running is not null);
end
$$;
create or replace function jobs_internal.fit_slots(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_concurrency integer := (select q.concurrency from jobs_internal.queue as q
      where q.id = p_queue);
begin
  delete from jobs_internal.slot as s
  where s.queue_id = p_queue and s.n in (
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n > coalesce(v_concurrency, 0)
    for update skip locked
  );
  insert into jobs_internal.slot (queue_id, n) select p_queue, g
    from generate_series(1, v_concurrency) as g on conflict do nothing;
end
$$;
create or replace function jobs_internal.free_slots(p_session bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.slot as s where s.session_id = p_session) then
    update jobs_internal.slot as s set session_id = null
    from (select f.queue_id, f.n from jobs_internal.slot as f
    where f.session_id = p_session for update skip locked) as f
    where s.queue_id = f.queue_id and s.n = f.n;
  end if;
end
$$;
create or replace function jobs_internal.sweep_slots()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session bigint;
begin
  for v_session in
    select distinct s.session_id from jobs_internal.slot as s
    where s.session_id is not null and not exists (select from jobs_internal.session as o
        where o.id = s.session_id)
  loop
    perform jobs_internal.free_slots(v_session);
  end loop;
end
$$;
create or replace function jobs_internal.slots_settled()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_ids bigint[];
  v_count bigint;
begin
  v_ids := array(
    select s.id from jobs_internal.session as s
    where s.pid <> pg_backend_pid() and s.owner in (
      select o.owner
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id and q.concurrency is not null
      join jobs_internal.lane as o on o.queue_id = l.queue_id
      where l.owner = jobs_internal.caller() and l.idle_state <> 'idle'));
  begin
    select count(*) into v_count
    from (select from jobs_internal.session as s where s.id = any (v_ids) for key share skip locked)
      as f;
    raise exception using errcode = 'PW000', message = 'undo';
  exception
    when sqlstate 'PW000' then
      null;
  end;
  return v_count = cardinality(v_ids);
end
$$;
create or replace function jobs_internal.reclaim_slots()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_id bigint;
  v_session jobs_internal.session;
  v_before timestamptz := clock_timestamp() - interval '2 seconds'
    + make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
  v_free boolean;
  v_count integer := 0;
begin
  if not exists (select from jobs_internal.session as w where w.waits_for is not null) then
    return 0;
  end if;
  for v_id in
    select s.id
    from jobs_internal.slot as t
    join jobs_internal.session as s on s.id = t.session_id
    where s.job_id is null and (s.lease is null or s.lease < v_before)
      and exists (select from jobs_internal.waiters(t.queue_id))
  loop
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id and s.job_id is null and (s.lease is null or s.lease < v_before)
    for update skip locked;
    continue when not found;
    v_free := true;
    begin
      if v_session.msg_ids is not null then
        execute format(
            'select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
          ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt '
          '= $2 for update skip locked) as f)',
          'q_pyworker_' || v_session.lane_id)
        into v_free using v_session.msg_ids, v_session.lease;
        if v_free then
          execute format(
              'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1'
            ' where m.msg_id = any ($1) and m.vt = $2', 'q_pyworker_' || v_session.lane_id)
          using v_session.msg_ids, v_session.lease;
        end if;
      end if;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
    end;
    continue when not v_free;
    update jobs_internal.session as s set msg_ids = null, lease = null, lane_id = null
      where s.id = v_id;
    perform jobs_internal.free_slots(v_id);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.unused_slots(p_queue integer, p_concurrency integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(0, least(p_concurrency, count(*)) - count(s.session_id))
  from jobs_internal.slot as s
  where s.queue_id = p_queue;
end;
create or replace function jobs_internal.end_idle_holders()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_before timestamptz := clock_timestamp()
    - make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
  v_count integer := 0;
begin
  if not exists (select from jobs_internal.session as w where w.waits_for is not null
      and w.waits_since < v_before) then
    return 0;
  end if;
  for v in
    select a.pid, a.usesysid, s.id
    from jobs_internal.slot as t
    join jobs_internal.session as s on s.id = t.session_id
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.state like 'idle%' and a.state_change < v_before
      and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> s.owner)
      and not exists (select from jobs_internal.job as j where j.id = s.job_id
          and jobs_internal.alive(j.child_pid, j.child_start))
    union all
    select a.pid, a.usesysid, null
    from jobs_internal.slot as t
    join pg_locks as l on l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock'
      and l.transactionid = t.xmax
    join pg_stat_get_activity(null) as a on a.pid = l.pid
    where t.xmax <> '0' and a.xact_start < v_before
      and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> a.usesysid)
      and exists (select from jobs_internal.lane as o where o.queue_id = t.queue_id
          and o.owner = a.usesysid)
      and (exists (select from jobs_internal.session as s where s.pid = a.pid
            and s.backend_start = a.backend_start)
        or not pg_has_role(a.usesysid, 'jobs_operator', 'member'))
  loop
    if v.id is not null then
      perform from jobs_internal.session as s where s.id = v.id for update skip locked;
      continue when not found;
      perform pg_stat_clear_snapshot();
      continue when not exists (select from pg_stat_get_activity(v.pid) as a
          where a.state like 'idle%' and a.state_change < v_before);
    end if;
    v_count := v_count + jobs_internal.signal(v.pid, true, 'process ' || v.pid,
        v.usesysid)::integer;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.waiters(p_queue integer)
returns setof jobs_internal.session
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.* from jobs_internal.session as s where s.waits_for = p_queue
    and s.asked_at > clock_timestamp() - interval '2 seconds';
end;
create or replace function jobs_internal.slotless_owners(p_session bigint, p_queue integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.session as w where w.waits_for = p_queue
      and w.id <> p_session) then
    return 0;
  end if;
  return (
    select count(distinct w.owner)
    from jobs_internal.waiters(p_queue) as w
    join jobs_internal.session as i on i.id = p_session and i.owner <> w.owner
    where (i.waits_for is distinct from p_queue or w.waits_since < i.waits_since)
      and jobs_internal.alive(w.pid, w.backend_start)
      and not exists (
        select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
        where s.queue_id = p_queue and h.owner = w.owner));
end
$$;
create or replace function jobs_internal.is_shared(p_queue integer, p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.lane as l where l.queue_id = p_queue
      and l.owner <> p_owner and l.served_at > '-infinity');
end;
create or replace function jobs_internal.slot_is_owned(p_queue integer, p_n integer, p_owner oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
    where s.queue_id = p_queue and s.n = p_n and h.owner = p_owner);
end;
create or replace function jobs_internal.takes_edge(p_queue integer, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  perform from jobs_internal.lane as l
  where l.id = (select min(o.id) from jobs_internal.lane as o where o.queue_id = p_queue
      and o.owner = p_owner)
  for no key update skip locked;
  return found;
end
$$;
create or replace function jobs_internal.take_slot(p_session bigint, p_queue integer,
    p_concurrency integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slotless bigint;
  v_owner oid;
  v_n integer;
  v_shared boolean := false;
begin
  if p_concurrency is null then
    perform jobs_internal.free_slots(p_session);
    return true;
  end if;
  v_slotless := jobs_internal.slotless_owners(p_session, p_queue);
  select s.n into v_n from jobs_internal.slot as s where s.queue_id = p_queue
    and s.session_id = p_session and s.n <= p_concurrency;
  if found then
    if v_n = p_concurrency and v_n > 1 then
      v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
      v_shared := jobs_internal.is_shared(p_queue, v_owner)
        and jobs_internal.slot_is_owned(p_queue, 1, v_owner);
    end if;
    if not v_shared and (v_slotless = 0
        or v_slotless <= jobs_internal.unused_slots(p_queue, p_concurrency)) then
      return true;
    end if;
    perform jobs_internal.free_slots(p_session);
    return false;
  end if;
  perform jobs_internal.free_slots(p_session);
  if jobs_internal.unused_slots(p_queue, p_concurrency) <= v_slotless then
    return false;
  end if;
  if p_concurrency > 1 then
    v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
    v_shared := jobs_internal.is_shared(p_queue, v_owner);
  end if;
  if not v_shared then
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.queue_id, f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
      order by f.n limit 1 for update skip locked
    ) as f
    where s.queue_id = f.queue_id and s.n = f.n;
    return found;
  end if;
  for v_n in
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
    order by f.n in (1, p_concurrency), f.n
  loop
    continue when v_n in (1, p_concurrency) and not jobs_internal.takes_edge(p_queue, v_owner);
    continue when v_n in (1, p_concurrency)
      and jobs_internal.slot_is_owned(p_queue, 1 + p_concurrency - v_n, v_owner);
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.n = v_n and f.session_id is null for update skip locked
    ) as f
    where s.queue_id = p_queue and s.n = f.n;
    if found then
      return true;
    end if;
  end loop;
  return false;
end
$$;
create or replace function jobs_internal.find_scan_start(p_lane integer, p_scan_start bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_began timestamptz := clock_timestamp();
  v_scan_start bigint;
begin
  perform from jobs_internal.lane as l where l.id = p_lane for no key update skip locked;
  if not found then
    return p_scan_start;
  end if;
  execute format('select m.msg_id - 1 from pgmq.%I as m order by m.msg_id limit 1', 'q_pyworker_'
      || p_lane) into v_scan_start;
  if clock_timestamp() - v_began < interval '2 milliseconds' then
    v_scan_start := 0;
  elsif v_scan_start is null then
    v_scan_start := pg_sequence_last_value(pg_get_serial_sequence(format('pgmq.%I', 'q_pyworker_'
          || p_lane), 'msg_id')::regclass);
  end if;
  v_scan_start := coalesce(v_scan_start, 0);
  update jobs_internal.lane set scan_start = v_scan_start, scan_start_at = clock_timestamp()
  where id = p_lane;
  return v_scan_start;
exception
  when undefined_table then
    return 0;  -- its queue was dropped meanwhile
end
$$;
create or replace function jobs_internal.high_water_mark()
returns numeric
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when (select count(*) from jobs_internal.lane as o
      where o.owner = jobs_internal.caller()
      and o.idle_state <> 'idle') <= 10 then (
    select sum(coalesce(pg_sequence_last_value(to_regclass('pgmq.q_' || l.pgmq_queue
          || '_msg_id_seq')), 0))
    from jobs_internal.lane as l
    where l.owner = jobs_internal.caller() and l.idle_state <> 'idle') + (select count(*)
    from jobs_internal.wakeup_request) end;
end;
create or replace function jobs_internal.claim(p_session bigint, p_jobs bigint,
    p_run_stats jobs_internal.run_stats[], p_release boolean, p_limit integer)
returns jobs_internal.claim
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_claim jobs_internal.claim;
  v_lane record;
  v_now timestamptz := clock_timestamp();
  v_limit integer;
  v_after bigint;
  v_full_scan_at timestamptz;
  v_due boolean;
  v_scan_start bigint;
  v_began timestamptz;
  v_waits_for integer;
begin
  if v_session.schema_version is distinct from jobs_internal.schema_version() then
    perform jobs_internal.assert_version(v_session.schema_version);
  end if;
  if p_release and v_session.msg_ids is not null then
    perform jobs_internal.release(v_session, false);
    v_session.last_msg_id := v_session.msg_ids[1] - 1;
    v_now := clock_timestamp();  -- what was given back is due for us too
  end if;
  v_claim.waiting := false;
  perform jobs_internal.wake_lanes(v_session.owner);
  if not (select s.paused from jobs_internal.switch as s)
    and not jobs_internal.is_refused(v_session.owner) then
    for v_lane in
      select l.id, l.queue_id, l.pgmq_queue, l.avg_ms, l.scan_start, l.scan_start_at, q.concurrency
      from (
        select o.* from jobs_internal.lane as o
        where o.owner = v_session.owner and o.idle_state <> 'idle' and o.quarantine is null
        order by o.priority, o.served_at, o.id
      ) as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where not q.paused and q.removed_at is null
      order by l.priority, l.served_at, l.id
    loop
      v_scan_start := v_lane.scan_start;
      if v_scan_start > 0
        and v_lane.scan_start_at not between v_now - interval '1 second' and v_now then
        v_scan_start := jobs_internal.find_scan_start(v_lane.id, v_scan_start);
      end if;
      v_began := clock_timestamp();
      v_due := v_lane.concurrency is null
        and coalesce(v_session.lane_id = v_lane.id
            and v_session.full_scan_at > v_now - interval '1 second', false);
      if not v_due then
        begin
          execute format('select exists (select from pgmq.%I as m where m.msg_id > $2 and m.vt <= '
            '$1 order by m.msg_id limit 1)',
            'q_' || v_lane.pgmq_queue) into v_due using v_now, v_scan_start;
        exception
          when undefined_table then
            v_due := false;  -- its queue was dropped meanwhile
        end;
      end if;
      if v_scan_start = 0 and clock_timestamp() - v_began > interval '5 milliseconds'
        and pg_relation_size(to_regclass('pgmq.q_' || v_lane.pgmq_queue)) > 1000000
      then
        v_scan_start := jobs_internal.find_scan_start(v_lane.id, 0);
      end if;
      continue when not v_due;
      if not jobs_internal.take_slot(p_session, v_lane.queue_id, v_lane.concurrency) then
        v_claim.waiting := true;
        v_waits_for := coalesce(v_waits_for, v_lane.queue_id);
        continue;
      end if;
      v_limit := 1;
      if p_limit > 1 then
        if v_lane.avg_ms is not null then
          v_limit := least(p_limit, jobs_internal.setting('claim_jobs')::integer,
            greatest(1, jobs_internal.setting('claim_ms')::double precision
              / greatest(v_lane.avg_ms, 0.01)));
        elsif (select max(l.avg_ms) from jobs_internal.lane as l where l.owner = v_session.owner)
          < 1 then
          v_limit := least(p_limit, 10);
        end if;
      end if;
      v_after := v_scan_start;
      v_full_scan_at := v_now;
      if v_session.lane_id = v_lane.id and v_session.full_scan_at > v_now - interval '1 second' then
        v_after := greatest(v_session.last_msg_id, v_scan_start);
        v_full_scan_at := v_session.full_scan_at;
      end if;
      v_claim.lease := v_now + make_interval(secs =>
          jobs_internal.setting('lease_seconds')::double precision);
      loop
        begin
          execute format(
            'select array_agg(c.msg_id) from ('
            '  select m.msg_id from pgmq.%I as m where m.msg_id > $1 and m.vt <= $2 order by '
            'm.msg_id limit $3 for update skip locked'
            ') as c', 'q_' || v_lane.pgmq_queue)
          into v_claim.msg_ids using v_after, v_now, v_limit;
          if v_claim.msg_ids is not null then
            execute format('update pgmq.%I as m set vt = $2, read_ct = m.read_ct + 1, last_read_at '
              '= $3 where m.msg_id = any ($1)',
              'q_' || v_lane.pgmq_queue)
            using v_claim.msg_ids, v_claim.lease, v_now;
          end if;
        exception
          when undefined_table then
            null;  -- as above
        end;
        exit when v_claim.msg_ids is not null or v_after = v_scan_start;
        v_after := v_scan_start;
        v_full_scan_at := v_now;
      end loop;
      if v_claim.msg_ids is not null then
        v_claim.lane_id := v_lane.id;
        v_claim.full_up := cardinality(v_claim.msg_ids) >= v_limit;
        update jobs_internal.lane set served_at = v_now
        where id = (select l.id from jobs_internal.lane as l
            where l.id = v_lane.id for no key update skip locked);
        exit;
      end if;
    end loop;
  end if;
  if v_claim.lane_id is null then
    v_claim.lease := null;
    v_claim.surplus := exists (select from jobs_internal.session as s
      where s.owner = v_session.owner and s.id < p_session and s.msg_ids is null
        and s.job_id is null and jobs_internal.alive(s.pid, s.backend_start));
    perform jobs_internal.free_slots(p_session);
    if v_session.msg_ids is not null or v_session.jobs <> p_jobs
      or v_session.waits_for is distinct from v_waits_for
      or p_run_stats is not null and v_session.new_template_ids is not null
      or v_waits_for is not null and v_session.asked_at not between v_now
        - interval '0.5 seconds' and v_now
    then
      update jobs_internal.session
      set msg_ids = null, lane_id = null, lease = null, jobs = p_jobs, waits_for = v_waits_for,
        asked_at = v_now,
        new_template_ids = case when p_run_stats is null then new_template_ids end,
        waits_since = case when v_session.waits_for = v_waits_for then v_session.waits_since
          when v_waits_for is not null then v_now end
      where id = p_session;
    end if;
  else
    v_claim.suspects := exists (select from jobs_internal.job as j where j.crashes > 0);
    update jobs_internal.session
    set lane_id = v_claim.lane_id, msg_ids = v_claim.msg_ids, lease = v_claim.lease, jobs = p_jobs,
      full_scan_at = v_full_scan_at,
      waits_for = null, waits_since = null,
      new_template_ids = case when p_run_stats is null then new_template_ids end,
      last_msg_id = v_claim.msg_ids[cardinality(v_claim.msg_ids)]
    where id = p_session;
  end if;
  if p_run_stats is not null then
    perform jobs_internal.record_run_stats(v_session, p_run_stats);
  end if;
  return v_claim;
end
$$;
create or replace procedure jobs_internal.work(p_linger_ms integer, p_wait_xid text)
language plpgsql
as $$
declare
  v_state jobs_internal.worker_state;
  v_items jobs_internal.work_item[];
  v_stats jobs_internal.run_stats[];  -- since the last claim that has written them
  v_trust jobs_internal.worker_trust := row('{}'::integer[], '{}'::bigint[], '{}'::integer[]);
  v_slice bigint[];
begin
  reset all;
  v_state.path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  v_state.linger_ms := p_linger_ms;
  call jobs_internal.open_worker(4, p_wait_xid, v_state);
  loop
    v_state.ends_at := least(v_state.ends_at, pg_catalog.clock_timestamp() + v_state.lifetime);
    exit when v_state.leave or pg_catalog.clock_timestamp() > v_state.ends_at
      or v_state.jobs > v_state.max_jobs;
    v_state := jobs_internal.claim_work(v_state, v_stats);
    if v_state.stats_written then
      v_stats := null;
    end if;
    if not v_state.claim_open then
      commit;
    end if;
    if v_state.lane_id is null then
      call jobs_internal.wait_for_work(v_state);
      continue;
    end if;
    v_state := jobs_internal.begin_claim(v_state);
    while v_state.next <= pg_catalog.cardinality(v_state.msg_ids) and not v_state.leave
      and not v_state.give_back loop
      v_slice := v_state.msg_ids[v_state.next : v_state.next + case when v_state.one_by_one then 0
          else least(v_state.chunk_size, v_state.chunk_jobs) - 1 end];
      v_items := jobs_internal.open_chunk(v_state.lane_id, v_slice, v_state.lease,
          case when v_state.one_by_one then -1 else v_state.short_ms end, v_state.defers);
      if v_state.claim_open and pg_catalog.cardinality(v_items) = 1
        and v_items[1].mode <> 'alone' then
        commit;  -- what it was opened for is not committed with the claim
        v_state.claim_open := false;
        continue;
      elsif pg_catalog.cardinality(v_items) = 0 then
        v_state.give_back := true;
        commit;
        continue;
      elsif v_items[1].mode in ('alone', 'child') then
        call jobs_internal.work_alone(v_items[1], v_state);
        if v_state.abandons then
          return;
        end if;
        continue when v_state.stats is null;
      else
        call jobs_internal.work_chunk(v_items, v_trust.trusted, v_state);
      end if;
      if pg_catalog.cardinality(v_state.stats) > 0 then
        v_stats := v_stats || v_state.stats;
        if v_state.needs_savepoint is not null or not v_state.in_a_row then
          v_trust := jobs_internal.trust_after(v_trust, v_state.stats, v_state.needs_savepoint);
        end if;
      end if;
      exit when v_state.claim_limit = 1;
      if v_state.last_ms > 1000 or pg_catalog.clock_timestamp() > v_state.ends_at then
        v_state.give_back := true;
      end if;
    end loop;
    if v_state.small_claims > 3 and v_state.claim_limit > 1 and not v_state.leave then
      call jobs_internal.wait_for_more(v_state);
    end if;
  end loop;
  perform pg_catalog.set_config('application_name', 'pw end', false);
  perform jobs_internal.close_session(v_state.session_id, v_stats);
  commit;
end
$$;
create or replace procedure jobs_internal.open_worker(
  p_version integer,
  p_wait_xid text,
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_role jsonb;  -- what ALTER ROLE and ALTER DATABASE say
  v_began timestamptz := pg_catalog.clock_timestamp();
begin
  if current_user <> session_user then
    perform jobs_internal.assert_own_login();
    set role none;  -- for as long as it lives: what ALTER ROLE says is for sessions of people
  end if;
  v_role := jobs_internal.role_settings();
  p_state.path := coalesce(v_role ->> 'search_path', p_state.path);
  p_state.baseline := jobs_internal.baseline(v_role);
  perform jobs_internal.reset_session(p_state.baseline);
  commit;
  while p_wait_xid is not null
    and pg_catalog.pg_xact_status(p_wait_xid::pg_catalog.xid8) = 'in progress'
    and pg_catalog.clock_timestamp() < v_began + interval '60 seconds'
  loop
    commit;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
  p_state.session_id := jobs_internal.open_session(p_version);
  p_state := jobs_internal.worker_settings(p_state);
  if pg_catalog.current_setting('synchronous_commit') <> 'off' then
    perform pg_catalog.set_config('synchronous_commit', 'local', true);
  end if;
  commit;
end
$$;
create or replace function jobs_internal.worker_settings(p_state jobs_internal.worker_state)
returns jobs_internal.worker_state
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settings jsonb := jobs_internal.all_settings();
begin
  select (select b from pg_stat_get_backend_idset() as b
      where pg_stat_get_backend_pid(b) = pg_backend_pid()),
    (v_settings ->> 'timeout_margin_ms')::bigint, v_settings ->> 'measure_cost' = 'on',
    (v_settings ->> 'short_ms')::double precision, (v_settings ->> 'chunk_jobs')::integer,
    (v_settings ->> 'chunk_ms')::bigint,
    (v_settings ->> 'session_seconds')::integer * interval '1 second',
    (v_settings ->> 'session_jobs')::bigint, 0, false, false, 50, 40, false, 0, false, false,
    clock_timestamp()
  into p_state.backend, p_state.margin_ms, p_state.measure_cost, p_state.short_ms,
    p_state.chunk_jobs, p_state.chunk_ms, p_state.lifetime, p_state.max_jobs, p_state.jobs,
    p_state.leave, p_state.abandons, p_state.claim_limit, p_state.chunk_size, p_state.one_by_one,
    p_state.small_claims, p_state.give_back, p_state.slots_settled, p_state.stats_written_at;
  p_state.ends_at := clock_timestamp() + p_state.lifetime;
  return p_state;
end
$$;
create or replace function jobs_internal.claim_work(p_state jobs_internal.worker_state,
    p_stats jobs_internal.run_stats[])
returns jobs_internal.worker_state
language plpgsql volatile
as $$
declare
  v_claim jobs_internal.claim;
begin
  perform set_config('application_name', 'pw idle', false);
  if p_state.looked_at is not null then
    p_state.high_water_mark := jobs_internal.high_water_mark();
  end if;
  if p_state.high_water_mark is distinct from p_state.seen_mark then
    p_state.eager_until := clock_timestamp() + interval '20 milliseconds';
    p_state.seen_mark := p_state.high_water_mark;
  end if;
  p_state.stats_written := p_state.jobs < 50 or clock_timestamp()
    not between p_state.stats_written_at and p_state.stats_written_at + interval '1 second';
  v_claim := jobs_internal.claim(p_state.session_id, p_state.jobs,
      case when p_state.stats_written then p_stats end, p_state.give_back, p_state.claim_limit);
  if p_state.stats_written then
    p_state.stats_written_at := clock_timestamp();
  end if;
  p_state.lane_id := v_claim.lane_id;
  p_state.msg_ids := v_claim.msg_ids;
  p_state.lease := v_claim.lease;
  p_state.waiting := v_claim.waiting;
  p_state.full_up := v_claim.full_up;
  p_state.surplus := v_claim.surplus;
  p_state.give_back := false;
  p_state.claim_open := cardinality(v_claim.msg_ids) is not distinct from 1
    and not v_claim.suspects;
  return p_state;
end
$$;
create or replace function jobs_internal.begin_claim(p_state jobs_internal.worker_state)
returns jobs_internal.worker_state
language plpgsql volatile
as $$
begin
  p_state.idle_since := null;
  p_state.slots_settled := false;
  p_state.small_claims := case
    when not p_state.full_up and cardinality(p_state.msg_ids) < 20 then p_state.small_claims + 1
    else 0 end;
  if p_state.defers_asked_at is null or clock_timestamp()
    not between p_state.defers_asked_at and p_state.defers_asked_at + interval '1 second' then
    p_state.defers := jobs_internal.has_deferrable_constraints();
    p_state.defers_asked_at := clock_timestamp();
  end if;
  p_state.measured := case when p_state.measure_cost then '{}'::integer[] end;
  p_state.next := 1;
  return p_state;
end
$$;
create or replace procedure jobs_internal.wait_for_work(inout p_state jobs_internal.worker_state)
language plpgsql
as $$
begin
  p_state.small_claims := 0;
  p_state.idle_since := least(p_state.idle_since, pg_catalog.clock_timestamp());
  if p_state.waiting and p_state.linger_ms = 0 then
    p_state.leave := p_state.slots_settled
      or pg_catalog.clock_timestamp() > p_state.idle_since + interval '10 seconds';
    p_state.slots_settled := p_state.leave or jobs_internal.slots_settled();
  elsif not p_state.waiting and pg_catalog.clock_timestamp()
      > p_state.idle_since + p_state.linger_ms * interval '1 ms'
    or p_state.surplus and pg_catalog.clock_timestamp()
      > p_state.idle_since + p_state.linger_ms * interval '0.1 ms'
  then
    p_state.leave := true;
  end if;
  if p_state.leave or jobs_internal.shutting_down() then
    p_state.leave := true;
    return;
  end if;
  commit;
  p_state.looked_at := pg_catalog.clock_timestamp();
  begin
    loop
      perform pg_catalog.pg_sleep(0.002);
      exit when pg_catalog.clock_timestamp()
        not between p_state.looked_at and p_state.looked_at + interval '50 milliseconds'
        or pg_catalog.clock_timestamp()
          between p_state.eager_until - interval '20 milliseconds' and p_state.eager_until;
      if jobs_internal.high_water_mark() is distinct from p_state.high_water_mark then
        p_state.eager_until := pg_catalog.clock_timestamp() + interval '20 milliseconds';
        exit;
      end if;
    end loop;
  exception
    when query_canceled then
      p_state.leave := pg_catalog.clock_timestamp() >= p_state.looked_at;
  end;
  commit;
end
$$;
create or replace procedure jobs_internal.wait_for_more(inout p_state jobs_internal.worker_state)
language plpgsql
as $$
declare
  v_began timestamptz := pg_catalog.clock_timestamp();
begin
  perform pg_catalog.set_config('application_name', 'pw nap', false);
  begin
    perform pg_catalog.pg_sleep(0.005);
  exception
    when query_canceled then
      p_state.leave := pg_catalog.clock_timestamp() >= v_began;  -- as in wait_for_work
  end;
  commit;
end
$$;
create or replace function jobs_internal.run_mode(
  is_queued boolean,
  is_cancelled boolean,
  is_top_level boolean,
  is_statement boolean,
  is_current boolean,
  avg_ms double precision,
  short_ms double precision,
  renames boolean,
  args_bytes integer,
  has_settings boolean,
  is_published boolean,
  may_have_run boolean,
  shares_commits boolean
)
returns text
language sql immutable
begin atomic
  select case
    when not is_queued then 'gone'
    when is_cancelled then 'stop'
    when is_top_level then 'child'
    when is_statement or args_bytes > 8000 or has_settings or may_have_run or not shares_commits
      or is_published or avg_ms is null or avg_ms > short_ms or renames or not is_current
      then 'alone'
    else 'chunk'
  end;
end;
create or replace function jobs_internal.has_deferrable_constraints()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_trigger as t where t.tgdeferrable);
end;
create or replace function jobs_internal.open_chunk(
  p_lane integer,
  p_msg_ids bigint[],
  p_lease timestamptz,
  p_short_ms double precision,
  p_defers boolean default null
)
returns jobs_internal.work_item[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_items jobs_internal.work_item[];
  v_msg_ids bigint[];
  v_read_cts integer[];
  v_job_ids bigint[];
  v_queued timestamptz[];
  v_constraints boolean := coalesce(p_defers, jobs_internal.has_deferrable_constraints());
  v_i integer;
  v_owner oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if cardinality(p_msg_ids) = 1 then  -- cheaper to plan, as it is each time
    execute format(
      'select array[q.msg_id], array[q.read_ct], array[(q.message ->> ''job'')::bigint], '
      'array[q.enqueued_at] from pgmq.%I as q'
      ' where q.msg_id = $1 and q.vt = $2 for update skip locked', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids[1], p_lease;
  else
    execute format(
      'select array_agg(m.msg_id), array_agg(m.read_ct), array_agg((m.message ->> '
      '''job'')::bigint), array_agg(m.enqueued_at) from ('
      '  select q.msg_id, q.read_ct, q.message, q.enqueued_at from pgmq.%I as q where q.msg_id = '
      'any ($1) and q.vt = $2 order by q.msg_id for update skip locked'
      ') as m', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids, p_lease;
  end if;
  select array_agg(i::jobs_internal.work_item order by i.msg_id) into v_items
  from (
    select m.msg_id, m.job_id, j.attempt + 1 as attempt, j.call_template_id, t.call,
      case when pg_column_size(j.args) <= 8000 then j.args end as args,
      case when pg_column_size(s.body) <= 8000 then s.body end as statement,
      jobs_internal.run_mode(
        is_queued => j.id is not null,
        is_cancelled => x.job_id is not null,
        is_top_level => coalesce(t.procedure, s.top_level),
        is_statement => j.call_template_id is null,
        is_current => p.oid is not null,
        avg_ms => d.avg_ms,
        short_ms => p_short_ms,
        renames => d.renames,
        args_bytes => pg_column_size(j.args),
        has_settings => j.settings is not null,
        is_published => j.publication_id is not null,
        may_have_run => m.read_ct > 1 or j.verify or j.interruptions > 0 or j.crashes > 0,
        shares_commits => q.share_commits) as mode,
      (extract(epoch from j.timeout) * 1000)::bigint as timeout_ms, j.settings, s.done_when,
      coalesce(j.verify, false) as verify,
      coalesce(d.avg_ms <= abs(p_short_ms), false) as quick,
      v_constraints as constraints, m.queued_at, s.command as task, s.path,
      t.chunk_call
    from unnest(v_msg_ids, v_read_cts, v_job_ids, v_queued) as m(msg_id, read_ct, job_id, queued_at)
    left join lateral (
      select o.id, o.owner, o.queue_id, o.call_template_id, o.attempt, o.args, o.settings,
        o.timeout, o.verify, o.interruptions, o.crashes, o.publication_id
      from jobs_internal.job as o
      where o.id = m.job_id and o.msg_id = m.msg_id and o.state = 'queued' and o.owner = v_owner
      offset 0
    ) as j on true
    left join lateral (select o.paused, o.share_commits from jobs_internal.queue as o
        where o.id = j.queue_id offset 0) as q on true
    left join lateral (
      select o.task, o.call, o.chunk_call, o.procedure, o.func, o.version, o.func_ctid, o.func_owner
      from jobs_internal.call_template as o where o.id = j.call_template_id offset 0
    ) as t on true
    left join lateral (
      select o.avg_ms, o.renames from jobs_internal.call_stats as o
      where o.call_template_id = j.call_template_id
        and o.owner = j.owner offset 0
    ) as d on true
    left join lateral (
      select o.oid from pg_proc as o
      where o.oid = t.func and o.xmin = t.version and o.ctid = t.func_ctid
        and o.proowner = t.func_owner
        and starts_with(t.task, o.pronamespace::regnamespace::text || '.')
      offset 0
    ) as p on true
    left join lateral (
      select o.body, o.top_level, o.done_when, o.command, o.path from jobs_internal.statement as o
      where o.job_id = j.id and j.call_template_id is null offset 0
    ) as s on true
    left join lateral (
      select o.job_id from jobs_internal.stop_request as o where o.job_id = j.id
        and o.attempt = j.attempt + 1
        and o.reason = 'cancelled' offset 0
    ) as x on true
    where not coalesce(q.paused, false) and not (select w.paused from jobs_internal.switch as w)
  ) as i;
  if v_items is null then
    return '{}';
  end if;
  for v_i in 1 .. cardinality(v_items) loop
    if v_items[v_i].mode in ('alone', 'child') or (v_constraints and v_i > 1) then
      return v_items[1:greatest(v_i - 1, 1)];
    end if;
  end loop;
  return v_items;
end
$$;
create or replace procedure jobs_internal.work_alone(
  p_item jobs_internal.work_item,
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_item jobs_internal.work_item;
  v_result jobs_internal.attempt_result;
  v_child boolean := p_item.mode = 'child';  -- what it did is done
begin
  p_state.stats := null;
  v_item := jobs_internal.begin_alone(p_state.session_id, p_state.lane_id, p_item);
  commit;
  p_state.claim_open := false;
  p_state.chunk_size := 1;
  p_state.one_by_one := false;
  p_state.give_back := p_state.give_back or v_item.msg_id <> p_state.msg_ids[p_state.next];
  p_state.next := pg_catalog.array_position(p_state.msg_ids, v_item.msg_id) + 1;
  p_state.claim_limit := case when v_item.quick then least(p_state.claim_limit * 2, 1000)
    else 1 end;
  if v_item.mode in ('gone', 'held') then
    return;
  end if;
  if p_item.mode = 'alone' then
    v_result := jobs_internal.run_alone(v_item, p_state.session_id, p_state.path, p_state.margin_ms,
        p_state.baseline, p_state.measure_cost);
    if v_result.outcome = 'failed' and v_item.statement is not null
      and v_result.error ->> 'sqlstate' in ('25001', '2D000') then
      v_item.done_when := jobs_internal.mark_top_level(v_item.job_id);
      commit;
      v_result := null;
      v_child := true;
    end if;
  end if;
  if v_result.outcome is null then
    call jobs_internal.run_top_level(p_state.session_id, v_item, p_state.path, p_state.margin_ms,
        p_state.baseline, v_result);
  end if;
  p_state.abandons := v_result.outcome = 'left';
  if p_state.abandons then
    commit;
    return;
  end if;
  p_state.leave := v_result.outcome in ('interrupted', 'no_slot');
  if v_result.outcome = 'no_slot'
    or (coalesce(v_result.error ->> 'sqlstate' in ('3F000', '42883', '42725', '42809'), false)
      and not jobs_internal.call_templates_are_current(array[v_item.call_template_id]))
  then
    perform jobs_internal.requeue_uncharged(p_state.session_id, v_item.job_id, v_item.attempt);
    commit;
    return;
  end if;
  call jobs_internal.write_end(p_state.session_id, p_state.lane_id, v_child, p_state.baseline,
      v_result, p_state.leave);
  if v_result.outcome is not null then
    p_state.in_a_row := false;
    p_state.needs_savepoint := null;
    p_state.jobs := p_state.jobs + 1;
    p_state.stats := jobs_internal.run_stats_of(p_state.lane_id, array[v_result]);
    p_state.last_ms := coalesce(extract(epoch from v_result.finished_at - v_result.started_at)
      * 1000, 0);
    p_state.leave := p_state.leave or p_state.last_ms > 100 and jobs_internal.shutting_down();
  end if;
end
$$;
create or replace function jobs_internal.run_alone(
  p_item jobs_internal.work_item,
  p_session bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  return jobs_internal.run_in_savepoint(p_item, p_session, p_path, p_margin_ms, p_baseline,
      p_measure);
exception
  when query_canceled then
    v_result := jobs_internal.interrupted_result(p_item, pg_catalog.clock_timestamp(), null);
    perform jobs_internal.reset_session(p_baseline);
    return v_result;
end
$$;
create or replace function jobs_internal.begin_alone(p_session bigint, p_lane integer,
    p_item jobs_internal.work_item)
returns jobs_internal.work_item
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_item jobs_internal.work_item := p_item;
  v_template jobs_internal.call_template;
  v_new jobs_internal.call_template;
  v_func oid;
  v_why text;
  v_beside boolean;
  v_hold interval;
  v_publication integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  perform jobs_internal.assert_between_jobs(v_session);
  select j.attempt + 1 into v_item.attempt from jobs_internal.job as j where j.id = p_item.job_id
    and j.owner = v_session.owner;
  if not found or v_session.msg_ids is null or p_item.msg_id <> all (v_session.msg_ids) then
    v_item.mode := 'gone';
    return v_item;
  end if;
  if p_item.mode = 'child' and jobs_internal.builds_index(p_item.job_id) then
    perform from jobs_internal.lane as l where l.owner = v_session.owner order by l.id
      limit 1 for no key update;
    v_beside := jobs_internal.is_built_beside(p_item.job_id);
  end if;
  v_hold := case
    when v_beside then interval '1 second'
    when not jobs_internal.start_isolated_run(p_session, p_item.job_id, v_item.attempt)
      then interval '0.2 seconds' end;
  if v_hold is not null then
    execute format('update pgmq.%I set vt = pg_catalog.clock_timestamp() + $2 where msg_id = $1',
        'q_pyworker_' || p_lane)
    using p_item.msg_id, v_hold;
    v_item.mode := 'held';
    return v_item;
  end if;
  if not p_item.quick and cardinality(v_session.msg_ids) > 1 then
    perform jobs_internal.release(v_session, false);
  end if;
  execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || p_lane)
    using p_item.msg_id;
  update jobs_internal.job
  set state = 'running', msg_id = null, session_id = p_session, attempt = v_item.attempt,
    started_at = clock_timestamp(),
    child_pid = null, child_start = null
  where id = p_item.job_id and state = 'queued' and msg_id = p_item.msg_id
    and owner = v_session.owner and attempt = v_item.attempt - 1
  returning publication_id into v_publication;
  if not found then
    v_item.mode := 'gone';
    return v_item;
  end if;
  delete from jobs_internal.stop_request where job_id = p_item.job_id and attempt = v_item.attempt
    and reason = 'timed_out';
  update jobs_internal.session
  set job_id = p_item.job_id, attempt = v_item.attempt, msg_ids = case when p_item.quick
    then msg_ids end, lease = case when p_item.quick then lease end
  where id = p_session;
  if p_item.call_template_id is null then
    if v_item.statement is null then
      v_item.statement := (select s.body from jobs_internal.statement as s
          where s.job_id = p_item.job_id);
    end if;
    if p_item.settings is not null then
      v_item.path := jobs_internal.path_for(p_item.settings, p_item.path, null);
    end if;
    return v_item;
  end if;
  if v_publication is not null then
    v_why := jobs_internal.why_not_published(p_item.job_id);
  end if;
  if v_item.args is null then
    v_item.args := (select j.args from jobs_internal.job as j where j.id = p_item.job_id);
  end if;
  select s.* into v_template from jobs_internal.call_template as s
  where s.id = p_item.call_template_id;
  select p.oid into v_func from pg_proc as p where p.oid = v_template.func;
  if v_func is null then
    select p.oid into v_func
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
  end if;
  if v_why is not null then
    null;
  elsif v_func is null then
    v_why := format('function %s does not exist any more', v_template.signature);
  elsif not exists (select from pg_proc as p where p.oid = v_func
      and p.proowner = v_template.func_owner) then
    v_why := format('function %s has another owner than when the job was enqueued',
        v_template.signature);
  elsif exists (select from pg_proc as p where p.oid = v_func
      and (p.prokind = 'p') <> v_template.procedure) then
    v_why := format('%s is a %s now', v_template.signature,
        case when v_template.procedure then 'function' else 'procedure' end);
  elsif not exists (select from pg_proc as p where p.oid = v_func and p.oid = v_template.func
      and p.xmin = v_template.version
    and p.ctid = v_template.func_ctid and p.oid::regprocedure::text = v_template.signature)
  then
    v_why := jobs_internal.argument_mismatch(v_func, v_template.keys) ->> 'message';
    if v_why is null then
      select s.* into v_new
      from jobs_internal.call_template as s
      join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
        and p.oid::regprocedure::text = s.signature
      where s.func = v_func and s.fit = v_template.fit and s.keys = v_template.keys
        and s.retired_by is null
      limit 1;
      if not found then
        v_new := jobs_internal.make_call_template(v_func, v_template.keys);
      end if;
      v_item.call_template_id := v_new.id;
      v_item.call := v_new.call;
      update jobs_internal.job set call_template_id = v_new.id where id = p_item.job_id;
    end if;
  end if;
  if v_why is not null then
    v_item.mode := 'refused';
    v_item.call := v_why;
  end if;
  return v_item;
end
$$;
create or replace function jobs_internal.call_templates_are_current(p_call_template_ids integer[])
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select not exists (
    select from jobs_internal.call_template as s
    left join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
      and p.proowner = s.func_owner
      and p.oid::regprocedure::text = s.signature  -- nor has its schema another name
    where s.id = any (p_call_template_ids) and p.oid is null);
end;
create or replace function jobs_internal.argument(p_name text, p_type anyelement)
returns anyelement
language plpgsql stable
as $$
declare
  v_args pg_catalog.jsonb := jobs_internal.my_arguments();  -- compiled with the owner's path
  v_value alias for $0;
begin
  if p_name is null then
    return coalesce(v_args, '{}');
  end if;
  execute pg_catalog.format('select %s from '
    'pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''v'', $1)) as r(v %s)',
    case when (select t.typtype from pg_catalog.pg_type as t
        where t.oid operator(pg_catalog.=) pg_catalog.pg_typeof(p_type)::pg_catalog.oid)
      operator(pg_catalog.=) 'c' then '(r.v).*' else 'r.v' end,
    jobs_internal.type_name(pg_catalog.pg_typeof(p_type)::pg_catalog.oid))
  into v_value using v_args operator(pg_catalog.->) p_name;
  return v_value;
end
$$;
create or replace function jobs_internal.my_arguments()
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.args from jobs_internal.job as j where j.id = jobs_internal.current_job()
    and j.owner = jobs_internal.caller();
end;
create or replace procedure jobs_internal.write_end(
  p_session bigint,
  p_lane integer,
  p_child boolean,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result,
  inout p_leave boolean
)
language plpgsql
as $$
declare
  v_state text;
  v_message text;
begin
  begin
    perform jobs_internal.finish_alone(p_session, p_lane, p_result);
  exception
    when query_canceled then
      perform jobs_internal.finish_alone(p_session, p_lane, p_result);
      p_leave := true;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
  end;
  if v_state is null then
    commit;
    return;
  end if;
  rollback;
  perform jobs_internal.reset_session(p_baseline);
  if v_state !~ '^(PW|53|55|57|58|40)' then
    p_result := jobs_internal.unwritable_result(p_result, v_state, v_message);
    call jobs_internal.write_end_later(p_session, p_lane, p_child, true, p_result);
  else
    call jobs_internal.write_end_later(p_session, p_lane, p_child, false, p_result);
  end if;
end
$$;
create or replace procedure jobs_internal.write_end_later(
  p_session bigint,
  p_lane integer,
  p_child boolean,
  p_unwritable boolean,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_unwritable boolean := p_unwritable;
  v_written boolean := false;
begin
  while not v_written loop
    begin
      if p_child or v_unwritable then
        perform jobs_internal.finish_alone(p_session, p_lane, p_result);
      else
        perform jobs_internal.requeue_uncharged(p_session, p_result.job_id, p_result.attempt);
      end if;
      v_written := true;
    exception
      when others then
        if sqlstate like 'PW%' or jobs_internal.shutting_down() then
          raise;
        end if;
        if not v_unwritable and sqlstate !~ '^(53|55|57|58|40)' then
          v_unwritable := true;
          p_result := jobs_internal.unwritable_result(p_result, sqlstate, sqlerrm);
        end if;
    end;
    commit;
    if not v_written then
      perform pg_catalog.pg_sleep(1);
    end if;
  end loop;
  if not (p_child or v_unwritable) then
    p_result := null;
  end if;
end
$$;
create or replace procedure jobs_internal.work_chunk(
  p_items jobs_internal.work_item[],
  p_trusted integer[],
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_run jobs_internal.chunk_run;
  v_results jobs_internal.attempt_result[];
  v_last jobs_internal.attempt_result;
  v_next integer;
begin
  v_run := jobs_internal.run_chunk(p_items,
      not p_items[1].constraints and not exists (select from unnest(p_items) as i
        where i.mode = 'chunk' and i.call_template_id <> all (p_trusted)),
      40, p_state.chunk_ms, p_state.path, p_state.margin_ms, p_state.baseline, p_state.measured,
      p_state.backend);
  v_results := v_run.attempt_results;
  p_state.in_a_row := v_run.plain;
  p_state.needs_savepoint := v_run.needs_savepoint;
  if p_state.measure_cost then
    p_state.measured := p_state.measured || v_run.call_template_ids;
  end if;
  if jobs_internal.call_templates_are_current(v_run.call_template_ids)
    and jobs_internal.finish_chunk(p_state.session_id, p_state.lane_id, v_run.msg_ids, v_results)
  then
    commit;
  else
    rollback;
    perform jobs_internal.reset_session(p_state.baseline);
    commit;
    p_state.one_by_one := true;
    p_state.stats := '{}';
    p_state.last_ms := 0;
    return;
  end if;
  p_state.one_by_one := false;
  p_state.leave := v_run.leave;
  p_state.claim_limit := least(p_state.claim_limit * 4, 1000);
  v_next := pg_catalog.array_position(p_state.msg_ids,
      v_run.msg_ids[pg_catalog.cardinality(v_run.msg_ids)]) + 1;
  p_state.give_back := p_state.give_back
    or v_next - p_state.next > pg_catalog.cardinality(v_run.msg_ids);
  p_state.next := v_next;
  p_state.chunk_size := case
    when not v_run.plain then least(p_state.chunk_size * 4, 40)
    when pg_catalog.cardinality(v_run.msg_ids) < pg_catalog.cardinality(p_items)
      then greatest(pg_catalog.cardinality(v_run.msg_ids), 20)
    else least(p_state.chunk_size * 2, p_state.chunk_jobs) end;
  p_state.jobs := p_state.jobs + pg_catalog.cardinality(v_results);
  p_state.stats := jobs_internal.run_stats_of(p_state.lane_id, v_results);
  v_last := v_results[pg_catalog.cardinality(v_results)];
  p_state.last_ms := coalesce(extract(epoch from v_last.finished_at - v_last.started_at) * 1000, 0);
  p_state.leave := p_state.leave or p_state.last_ms > 100 and jobs_internal.shutting_down();
end
$$;
create or replace function jobs_internal.run_chunk(
  p_items jobs_internal.work_item[],
  p_plain boolean,
  p_most integer,
  p_ms bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measured integer[],
  p_backend integer
)
returns jobs_internal.chunk_run
language plpgsql volatile
as $$
declare
  v_run jobs_internal.chunk_run;
  v_item jobs_internal.work_item;
  v_result jobs_internal.attempt_result;
  v_results jobs_internal.attempt_result[];
  v_msg_ids bigint[];
  v_call_template_ids integer[];
  v_joint jobs_internal.work_item[];         -- side by side, for one statement
  v_joint_msg_ids bigint[];
  v_joint_ids integer[];     -- their functions, each once
  v_joint_calls text;
  v_joins boolean;
  v_may_join boolean;        -- enough of them stand side by side
  v_some jobs_internal.attempt_result[];
  v_at_work jobs_internal.work_item[];       -- one of these runs
  v_stopped jobs_internal.attempt_result[];  -- a signal of the first try was for these
  v_suspects jobs_internal.work_item[];      -- one of these failed at the first try
  v_until timestamptz;
  v_began timestamptz;
  v_n integer;
  v_first boolean;
  v_measure boolean;
  v_context text;
  v_message text;
  v_void text;
begin
  v_run.plain := p_plain;
  v_run.leave := false;
  loop
    v_until := pg_catalog.clock_timestamp() + p_ms * interval '1 ms';
    v_results := '{}';
    v_msg_ids := '{}';
    v_call_template_ids := '{}';
    v_joint := '{}';
    v_joint_msg_ids := '{}';
    v_joint_ids := '{}';
    v_joint_calls := '';
    v_may_join := v_run.plain and pg_catalog.cardinality(p_items) >= 8;
    v_n := 0;
    begin
      foreach v_item in array p_items || null::jobs_internal.work_item loop
        v_first := v_item.mode = 'chunk' and v_item.call_template_id <> all (v_call_template_ids);
        v_measure := v_first and p_measured is not null
          and v_item.call_template_id <> all (p_measured);
        v_joins := v_may_join and v_item.mode = 'chunk' and not v_measure
          and v_item.chunk_call is not null;
        if v_joint_calls <> '' and (v_joins is not true
            or v_first and pg_catalog.cardinality(v_joint_ids) >= 16) then
          v_at_work := v_joint;
          v_began := pg_catalog.clock_timestamp();
          v_some := jobs_internal.run_together(v_joint, v_joint_calls, v_until, p_path, p_margin_ms,
              p_baseline, p_backend);
          v_result := v_some[pg_catalog.cardinality(v_some)];
          v_results := v_results || v_some;
          v_msg_ids := v_msg_ids || v_joint_msg_ids[1 : pg_catalog.cardinality(v_some)];
          exit when pg_catalog.cardinality(v_some) < pg_catalog.cardinality(v_joint)
            or v_result.last or pg_catalog.clock_timestamp() > v_until;
          v_may_join := pg_catalog.cardinality(v_joint) >= 5;
          v_joint := '{}';
          v_joint_msg_ids := '{}';
          v_joint_ids := '{}';
          v_joint_calls := '';
        end if;
        exit when v_item.mode is null;
        if v_first then
          v_call_template_ids := v_call_template_ids || v_item.call_template_id;
        end if;
        if v_joins then
          v_joint := v_joint || v_item;
          v_joint_msg_ids := v_joint_msg_ids || v_item.msg_id;
          if v_item.call_template_id <> all (v_joint_ids) then
            v_joint_ids := v_joint_ids || v_item.call_template_id;
            v_joint_calls := pg_catalog.concat(v_joint_calls, ' when ', v_item.call_template_id,
                ' then ', v_item.chunk_call);
          end if;
          continue;
        end if;
        v_result := null;
        if v_item.mode = 'chunk' then
          v_n := v_n + 1;
          if v_run.plain then
            v_at_work := array[v_item];
            v_began := pg_catalog.clock_timestamp();
            v_result := jobs_internal.run_without_savepoint(v_item, p_path, p_margin_ms, p_baseline,
                v_measure);
          else
            if v_stopped is not null then
              v_result := jobs_internal.result_of(v_stopped, v_item.job_id);
            end if;
            if v_result.job_id is null then
              v_result := jobs_internal.run_in_savepoint(v_item, null, p_path, p_margin_ms,
                  p_baseline, v_measure);
            end if;
          end if;
        elsif v_item.mode = 'stop' then
          v_result.job_id := v_item.job_id;
          v_result.attempt := v_item.attempt;
          v_result.outcome := 'cancelled';
          v_result.finished_at := pg_catalog.clock_timestamp();
          v_result.error := jobs_internal.error_object('PWC01', 'cancelled on request',
              'It had not started.');
        end if;
        v_msg_ids := v_msg_ids || v_item.msg_id;
        if v_result.job_id is not null then
          v_results := v_results || v_result;
          v_run.leave := v_result.outcome = 'interrupted';
        end if;
        exit when v_run.leave or v_result.last or pg_catalog.clock_timestamp() > v_until;
        if v_run.plain then
          if v_n % 20 = 0 then
            v_void := pg_catalog.pg_stat_clear_snapshot();
            exit when (select s.subxact_count > 40
                from pg_catalog.pg_stat_get_backend_subxact(p_backend) as s);
          end if;
        else
          exit when v_n >= p_most;
        end if;
      end loop;
      exit;
    exception
      when query_canceled then
        if not v_run.plain then
          raise;
        end if;
        get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
        v_stopped := jobs_internal.stopped_results(v_at_work, v_began, v_context, v_message);
        if coalesce(v_stopped[1].outcome, 'interrupted') = 'interrupted' then
          v_results := v_stopped;
          v_msg_ids := array(select i.msg_id from pg_catalog.unnest(v_at_work) as i);
          v_call_template_ids := '{}';
          v_run.leave := true;
          exit;
        end if;
      when others or assert_failure then
        if not v_run.plain then
          raise;
        end if;
        v_suspects := v_at_work;
    end;
    v_run.plain := false;
    v_void := jobs_internal.reset_session(p_baseline);
  end loop;
  v_run.needs_savepoint := jobs_internal.distrusted(v_suspects, v_results);
  v_run.attempt_results := v_results;
  v_run.msg_ids := v_msg_ids;
  v_run.call_template_ids := v_call_template_ids;
  return v_run;
end
$$;
create or replace function jobs_internal.result_of(p_results jobs_internal.attempt_result[],
    p_job bigint)
returns jobs_internal.attempt_result
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select r::jobs_internal.attempt_result from unnest(p_results) as r where r.job_id = p_job limit 1;
end;
create or replace function jobs_internal.distrusted(p_suspects jobs_internal.work_item[],
    p_results jobs_internal.attempt_result[])
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_suspects[1].call_template_id
  where cardinality(p_suspects) = 1
    or not exists (
      select from unnest(p_suspects) as i
      where not exists (select from unnest(p_results) as r
        where r.job_id = i.job_id and r.outcome = 'succeeded'));
end;
create or replace function jobs_internal.run_in_savepoint(
  p_item jobs_internal.work_item,
  p_fence bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result := jobs_internal.begin_attempt(p_item, p_margin_ms);
  v_ran jobs_internal.attempt_result := v_result;
  v_void text;
  v_name text;
  v_value text;
  v_state text;
  v_message text;
  v_detail text;
  v_hint text;
  v_context text;
  v_constraint text;
  v_table text;
  v_done boolean;
  v_asked boolean := false;
begin
  v_void := pg_catalog.set_config('search_path', coalesce(p_item.path, p_path), false);
  begin
    if p_item.settings is not null then
      for v_name, v_value in select s.key, s.value
        from pg_catalog.jsonb_each_text(p_item.settings) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
    end if;
    if p_item.mode operator(pg_catalog.=) 'refused' then
      raise exception using errcode = 'PW042', message = p_item.call,
        detail = 'It was otherwise when the job was enqueued.',
        hint = 'Enqueue the job again for the function as it is now.';
    end if;
    if p_item.verify then
      v_asked := true;
      execute p_item.done_when into v_done;
      v_asked := false;
    end if;
    if v_done then
      v_ran.result := '{"verified": true}';
    elsif p_item.statement is null then
      v_ran := jobs_internal.run_call(p_item, v_ran, p_measure);
    else
      v_ran := jobs_internal.run_sql(p_item, v_ran, p_fence, p_measure);
      if p_item.done_when is not null then
        v_asked := true;
        execute p_item.done_when into v_done;
        v_asked := false;
        if v_done is not true then
          raise exception using errcode = 'PW043',
            message = 'the statement ran, but its post-condition is not true',
            detail = p_item.done_when, hint = 'What it did was undone. Check done_when.';
        end if;
      end if;
    end if;
    v_result.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
    if v_result.last then
      v_result.last := exists (select from pg_catalog.pg_class as c
          where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    end if;
    if p_item.constraints or p_fence is not null or v_result.last then
      set constraints all immediate;
    end if;
    if p_fence is not null then
      perform jobs_internal.fence(p_fence, p_item.job_id, p_item.attempt);
    end if;
    v_ran.last := v_result.last;
    v_ran.outcome := 'succeeded';
    v_result := v_ran;
  exception
    when query_canceled then
      get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
      v_result := jobs_internal.interrupted_result(p_item, v_result.started_at, v_context,
          v_message);
    when others or assert_failure then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text,
        v_detail := pg_exception_detail, v_hint := pg_exception_hint,
        v_context := pg_exception_context, v_constraint := constraint_name, v_table := table_name;
      v_result.outcome := 'failed';
      v_result.error := jobs_internal.error_object(v_state, v_message,
        case when v_asked then pg_catalog.concat_ws(' ',
            pg_catalog.format('Raised by its post-condition: %s.', p_item.done_when),
          case when v_detail operator(pg_catalog.<>) '' then v_detail end) else v_detail end,
        v_hint, v_context, v_constraint, v_table);
  end;
  v_result.finished_at := pg_catalog.clock_timestamp();
  return jobs_internal.end_of_attempt(v_result, p_fence is null, p_baseline);
end
$$;
create or replace function jobs_internal.begin_attempt(p_item jobs_internal.work_item,
    p_margin_ms bigint)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
  v_name text;
  v_void text;
begin
  v_result.job_id := p_item.job_id;
  v_result.attempt := p_item.attempt;
  v_result.call_template_id := p_item.call_template_id;
  v_result.queued_at := p_item.queued_at;
  v_result.task := p_item.task;
  v_result.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from v_result.started_at) * 1000)::bigint;
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout',
        least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  return v_result;
end
$$;
create or replace function jobs_internal.run_call(p_item jobs_internal.work_item,
    p_result jobs_internal.attempt_result, p_measure boolean)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_value pg_catalog.jsonb;
  v_plan pg_catalog.json;
begin
  if p_measure then
    execute jobs_internal.measured(p_item.call) into v_plan using p_item.args;
  else
    execute p_item.call into v_value using p_item.args;
  end if;
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  if p_measure then
    v_value := jobs_internal.saved_result();
    p_result := jobs_internal.with_cost(p_result, v_plan);
  end if;
  if pg_catalog.starts_with(p_item.call, 'select jobs_internal.limit_rows(') then
    p_result.rows := pg_catalog.jsonb_array_length(v_value);
  end if;
  if v_value is not null and pg_catalog.pg_column_size(v_value) operator(pg_catalog.>) 500
    and pg_catalog.octet_length(v_value::pg_catalog.text)
      operator(pg_catalog.>) jobs_internal.result_limit() then
    raise exception using errcode = 'PW040',
      message = 'the result is larger than the setting result_bytes, or the quota of its owner',
      detail = pg_catalog.format('It has %s bytes.',
          pg_catalog.octet_length(v_value::pg_catalog.text)),
      hint = 'Write large results into a table. A retry cannot help.';
  end if;
  p_result.result := v_value;
  return p_result;
end
$$;
create or replace function jobs_internal.run_sql(p_item jobs_internal.work_item,
    p_result jobs_internal.attempt_result, p_session bigint, p_measure boolean)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_plan pg_catalog.json;
  v_void pg_catalog.text;
  v_analyzes boolean := p_item.task operator(pg_catalog.=) any (array['analyze', 'analyse']);
begin
  if v_analyzes then
    v_void := jobs_internal.before_analyze(p_session, p_item.job_id);
  end if;
  v_void := pg_catalog.set_config('standard_conforming_strings', 'on', false);
  if p_measure then
    execute jobs_internal.measured('select jobs_internal.run_statement($1)', true) into v_plan
      using p_item.statement;
    set role none;  -- what follows is for the owner only
    p_result.rows := pg_catalog.current_setting('pyworker.result')::pg_catalog.int8;
    p_result := jobs_internal.with_cost(p_result, v_plan);
  else
    execute p_item.statement;
    get diagnostics p_result.rows := row_count;
    set role none;
  end if;
  p_result.result := pg_catalog.jsonb_build_object('rows', p_result.rows);
  if v_analyzes then
    p_result.result := p_result.result
      operator(pg_catalog.||) jobs_internal.after_analyze(p_item.job_id);
  end if;
  return p_result;
end
$$;
create or replace function jobs_internal.before_analyze(p_session bigint, p_job bigint)
returns void
language plpgsql volatile
as $$
declare
  v_path pg_catalog.text := pg_catalog.current_setting('search_path');
  v_skipped pg_catalog.jsonb := jobs_internal.first_skipped_table(
      (jobs_internal.noted(p_job)).target, v_path);
  v_void pg_catalog.text;
begin
  if v_skipped is null then
    perform jobs_internal.note_identity(p_session, p_job, v_path);
  end if;
  v_void := pg_catalog.set_config('search_path', v_path, false);
  if v_skipped is not null then
    raise exception using errcode = v_skipped operator(pg_catalog.->>) 'sqlstate',
      message = v_skipped operator(pg_catalog.->>) 'message',
      detail = v_skipped operator(pg_catalog.->>) 'detail',
      hint = v_skipped operator(pg_catalog.->>) 'hint';
  end if;
end
$$;
create or replace function jobs_internal.after_analyze(p_job bigint)
returns jsonb
language plpgsql volatile
as $$
declare
  v_verdict pg_catalog.jsonb := jobs_internal.judge(p_job);
begin
  if pg_catalog.jsonb_exists(v_verdict, 'skipped') then
    return '{"verified": false}'
      operator(pg_catalog.||) (v_verdict operator(pg_catalog.-) 'done');
  elsif v_verdict operator(pg_catalog.->>) 'done' operator(pg_catalog.=) 'false' then
    raise exception using errcode = 'PW043',
      message = 'the statement ran, but its post-condition is not true',
      detail = v_verdict operator(pg_catalog.->>) 'why',
      hint = 'What it did was undone. Name the tables and partitions that it can work on. A retry '
        'cannot help.';
  end if;
  return '{}';
end
$$;
create or replace function jobs_internal.end_of_attempt(p_result jobs_internal.attempt_result,
    p_chunk boolean, p_baseline jsonb)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_renames boolean;
  v_void pg_catalog.text;
begin
  if p_result.outcome operator(pg_catalog.<>) 'succeeded'
    or pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    begin
      p_result.logs := jobs_internal.collect_log();
    exception
      when data_exception then
        null;  -- the job prepared statements of that name itself, and they are no lines
    end;
  end if;
  v_renames := p_chunk
    and not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline);
  if v_renames then
    p_result.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return p_result;
end
$$;
create or replace function jobs_internal.run_without_savepoint(
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_call text := case when p_measure then jobs_internal.measured(p_item.call) else p_item.call end;
  v_began timestamptz := jobs_internal.begin_in_a_row(1, p_item.job_id, p_item.attempt,
      p_item.timeout_ms, null, p_path, p_margin_ms, null);
  v_value jsonb;
  v_plan json;
  v_result jobs_internal.attempt_result;
begin
  if p_measure then
    execute v_call into v_plan using p_item.args;
    if current_user operator(pg_catalog.<>) session_user then
      set role none;  -- what follows is for the owner only
    end if;
    v_value := jobs_internal.saved_result();
  else
    execute v_call into v_value using p_item.args;
  end if;
  v_result := jobs_internal.end_in_a_row(p_item.job_id, p_item.attempt, p_item.call_template_id,
      p_item.queued_at, p_item.call, v_began, v_value, p_baseline, 'pg_catalog, pg_temp');
  if p_measure then
    v_result := jobs_internal.with_cost(v_result, v_plan);
  end if;
  if v_result.last then
    perform pg_catalog.set_config('pyworker.chunk_over', '', false);
  end if;
  return v_result;
end
$$;
create or replace function jobs_internal.run_together(
  p_items jobs_internal.work_item[],
  p_calls text,
  p_until timestamptz,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_backend integer
)
returns jobs_internal.attempt_result[]
language plpgsql volatile
as $$
declare
  v_results jobs_internal.attempt_result[];
  v_void text;
begin
  execute 'select pg_catalog.array_agg(jobs_internal.end_in_a_row(pyworker_item.job_id, '
    'pyworker_item.attempt, pyworker_item.call_template_id, pyworker_item.queued_at, '
    'pyworker_item.call, pyworker_begin.at, '
    'case when pyworker_begin.at is not null then case pyworker_item.call_template_id'
    || p_calls || ' end end, $6, $3)) '
    'filter (where pyworker_begin.at is not null) '
    'from pg_catalog.unnest($1) with ordinality as pyworker_item '
    'cross join lateral (select jobs_internal.begin_in_a_row(pyworker_item.ordinality, '
    'pyworker_item.job_id, pyworker_item.attempt, pyworker_item.timeout_ms, $2, $3, $4, $5) '
    'as at offset 0) as pyworker_begin'
  into v_results using p_items, p_until, p_path, p_margin_ms, p_backend, p_baseline;
  v_void := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if pg_catalog.current_setting('pyworker.chunk_over', true) = 'on' then
    v_void := pg_catalog.set_config('pyworker.chunk_over', '', false);
  end if;
  return v_results;
end
$$;
create or replace function jobs_internal.begin_in_a_row(
  p_n bigint,
  p_job bigint,
  p_attempt integer,
  p_timeout_ms bigint,
  p_until timestamptz,
  p_path text,
  p_margin_ms bigint,
  p_backend integer
)
returns timestamptz
language plpgsql volatile
as $$
declare
  v_now pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  v_name pg_catalog.text;
  v_void pg_catalog.text;
  v_over pg_catalog.bool;
begin
  if p_n operator(pg_catalog.>) 1 then
    v_over := v_now operator(pg_catalog.>) p_until
      or coalesce(pg_catalog.current_setting('pyworker.chunk_over', true), '')
        operator(pg_catalog.=) 'on';
    if not v_over and p_n operator(pg_catalog.%) 20 operator(pg_catalog.=) 0 then
      v_void := pg_catalog.pg_stat_clear_snapshot();
      v_over := (select s.subxact_count operator(pg_catalog.>) 40
          from pg_catalog.pg_stat_get_backend_subxact(p_backend) as s);
    end if;
    if v_over then
      v_void := pg_catalog.set_config('pyworker.chunk_over', 'on', false);
      return null;
    end if;
  end if;
  v_name := pg_catalog.concat(p_job, '/', p_attempt, ' ',
      (pg_catalog.date_part('epoch', v_now) operator(pg_catalog.*) 1000)::pg_catalog.int8);
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', pg_catalog.concat('pw ', v_name), false);
  if p_timeout_ms is not null then
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout', least(
          p_timeout_ms operator(pg_catalog.+) p_margin_ms, 2147483647)::pg_catalog.text, false);
  end if;
  if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) p_path then
    v_void := pg_catalog.set_config('search_path', p_path, false);
  end if;
  return v_now;
end
$$;
create or replace function jobs_internal.end_in_a_row(
  p_job bigint,
  p_attempt integer,
  p_call_template_id integer,
  p_queued_at timestamptz,
  p_call text,
  p_began timestamptz,
  p_value jsonb,
  p_baseline jsonb,
  p_path text
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
  v_renames pg_catalog.bool;
  v_void pg_catalog.text;
begin
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  v_result.job_id := p_job;
  v_result.attempt := p_attempt;
  v_result.outcome := 'succeeded';
  v_result.started_at := p_began;
  v_result.finished_at := pg_catalog.clock_timestamp();
  v_result.result := p_value;
  v_result.call_template_id := p_call_template_id;
  v_result.queued_at := p_queued_at;
  if p_value is not null then
    if pg_catalog.pg_column_size(p_value) operator(pg_catalog.>) 500
      and pg_catalog.octet_length(p_value::pg_catalog.text)
        operator(pg_catalog.>) jobs_internal.result_limit() then
      raise exception using errcode = 'PW040',
        message = 'the result is larger than the setting result_bytes, or the quota of its owner';
    end if;
    if pg_catalog.starts_with(p_call, 'select jobs_internal.limit_rows(') then
      v_result.rows := pg_catalog.jsonb_array_length(p_value);
    end if;
  end if;
  v_result.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
  if v_result.last then
    v_result.last := exists (select from pg_catalog.pg_class as c
        where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    if v_result.last then
      set constraints all immediate;
    end if;
  end if;
  if pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    v_result.logs := jobs_internal.collect_log();
  end if;
  v_renames := not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline, p_path);
  if v_renames then
    v_result.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  if v_result.last then
    v_void := pg_catalog.set_config('pyworker.chunk_over', 'on', false);
  end if;
  return v_result;
end
$$;
create or replace function jobs_internal.why_stopped(p_job bigint, p_attempt integer)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '1 second';
  v_reason text;
begin
  loop
    v_reason := jobs_internal.stop_reason(p_job, p_attempt);
    exit when v_reason is not null or jobs_internal.shutting_down() or clock_timestamp() > v_until;
    perform pg_sleep(0.02);
  end loop;
  return v_reason;
exception
  when query_canceled then
    return jobs_internal.stop_reason(p_job, p_attempt);
end
$$;
create or replace function jobs_internal.interrupted_result(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_context text,
  p_message text default null,
  p_reason text default null
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  v_result.job_id := p_item.job_id;
  v_result.attempt := p_item.attempt;
  v_result.started_at := p_started_at;
  v_result.finished_at := clock_timestamp();
  v_result.call_template_id := p_item.call_template_id;
  v_result.queued_at := p_item.queued_at;
  v_result.task := p_item.task;
  v_result.outcome := coalesce(p_reason,
      jobs_internal.why_stopped(p_item.job_id, p_item.attempt), 'interrupted');
  v_result.error := jobs_internal.stop_error(v_result.outcome, p_item.timeout_ms * interval '1 ms',
    case v_result.outcome when 'timed_out' then 'The supervisor cancelled its session.' end,
      p_context);
  if v_result.outcome = 'interrupted' and p_message is not null then
    v_result.error := jobs_internal.error_object('57014', p_message, null, null, p_context);
  end if;
  return v_result;
end
$$;
create or replace function jobs_internal.stopped_results(
  p_items jobs_internal.work_item[],
  p_began timestamptz,
  p_context text,
  p_message text
)
returns jobs_internal.attempt_result[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '1 second';
  v_signalled boolean := false;
  v_results jobs_internal.attempt_result[];
begin
  loop
    v_results := array(
      select jobs_internal.interrupted_result(i.item, p_began, p_context, p_message, r.reason)
      from (select u::jobs_internal.work_item as item from unnest(p_items) as u) as i
      cross join lateral (
        select jobs_internal.stop_reason((i.item).job_id, (i.item).attempt) as reason offset 0
      ) as r
      where r.reason is not null);
    if cardinality(v_results) > 0 then
      return v_results;
    end if;
    exit when v_signalled or jobs_internal.shutting_down() or clock_timestamp() > v_until;
    begin
      perform pg_sleep(0.02);
    exception
      when query_canceled then
        v_signalled := true;  -- once more: its reason may be there by now
    end;
  end loop;
  return array(
    select jobs_internal.interrupted_result(u::jobs_internal.work_item, p_began, p_context,
        p_message, 'interrupted')
    from unnest(p_items) as u);
end
$$;
create or replace function jobs_internal.unwritable_result(p_result jobs_internal.attempt_result,
    p_sqlstate text,
    p_message text)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  p_result.outcome := case when p_result.child_pid is null then 'failed' else 'in_doubt' end;
  p_result.result := null;
  p_result.logs := null;
  p_result.error := jobs_internal.error_object(p_sqlstate, 'its end cannot be written down: '
      || left(p_message, 500),
    case when p_result.child_pid is null then 'What it did was undone.'
      else 'What the statement did was not undone.' end,
    'Let it return and log less. A retry cannot help.');
  return p_result;
end
$$;
create or replace function jobs_internal.run_stats_of(p_lane integer,
    p_results jobs_internal.attempt_result[])
returns jobs_internal.run_stats[]
language plpgsql volatile
as $$
begin
  if current_setting('pyworker.renames', true) = 'on' then
    perform set_config('pyworker.renames', '', false);
    return jobs_internal.collect_run_stats(p_lane, p_results, true);
  end if;
  return jobs_internal.collect_run_stats(p_lane, p_results, false);
end
$$;
create or replace function jobs_internal.trust_after(p_trust jobs_internal.worker_trust,
    p_stats jobs_internal.run_stats[], p_needs_savepoint integer)
returns jobs_internal.worker_trust
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one jobs_internal.run_stats;
  v_at integer;
  v_was_trusted boolean;
  v_successes bigint;
begin
  foreach v_one in array p_stats loop
    continue when v_one.call_template_id is null;
    v_at := array_position(p_trust.call_template_ids, v_one.call_template_id);
    if v_at is null then
      p_trust.call_template_ids := p_trust.call_template_ids || v_one.call_template_id;
      p_trust.successes := p_trust.successes || 0::bigint;
      v_at := cardinality(p_trust.call_template_ids);
    end if;
    v_successes := p_trust.successes[v_at];
    v_was_trusted := v_successes >= 20;
    v_successes := case
      when v_one.failed > 0 or v_one.call_template_id = p_needs_savepoint or v_successes < 0 then -1
      else v_successes + v_one.runs end;
    p_trust.successes[v_at] := v_successes;
    if v_was_trusted and v_successes < 0 then
      p_trust.trusted := array_remove(p_trust.trusted, v_one.call_template_id);
    elsif not v_was_trusted and v_successes >= 20 then
      p_trust.trusted := p_trust.trusted || v_one.call_template_id;
    end if;
  end loop;
  return p_trust;
end
$$;
create or replace function jobs_internal.save_result(p_result jsonb)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('pyworker.result', coalesce(p_result::text, ''), false);
end
$$;
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
create or replace function jobs_internal.saved_result()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(current_setting('pyworker.result'), '')::jsonb;
end
$$;
create or replace function jobs_internal.measured(p_call text, p_statement boolean default false)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'explain (analyze, buffers, wal, timing off, costs off, summary off, format json) '
    || case when p_statement then p_call else 'select jobs_internal.save_result((' || p_call
      || '))' end;
end
$$;
create or replace function jobs_internal.with_cost(p_result jobs_internal.attempt_result,
    p_plan json)
returns jobs_internal.attempt_result
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_top jsonb := p_plan::jsonb -> 0 -> 'Plan';
begin
  p_result.wal_bytes := (v_top ->> 'WAL Bytes')::numeric::bigint;
  p_result.buffers_hit := (v_top ->> 'Shared Hit Blocks')::bigint
    + (v_top ->> 'Local Hit Blocks')::bigint;
  p_result.buffers_read := (v_top ->> 'Shared Read Blocks')::bigint
    + (v_top ->> 'Local Read Blocks')::bigint;
  p_result.buffers_dirtied := (v_top ->> 'Shared Dirtied Blocks')::bigint
    + (v_top ->> 'Local Dirtied Blocks')::bigint;
  p_result.temp_bytes := (v_top ->> 'Temp Written Blocks')::bigint
    * current_setting('block_size')::bigint;
  return p_result;
end
$$;
create or replace function jobs_internal.waited(p_result jobs_internal.attempt_result)
returns integer
language sql immutable
begin atomic
  select least(greatest(extract(epoch from p_result.started_at - p_result.queued_at) * 1000, 0),
      2147483647)::integer;
end;
create or replace function jobs_internal.reset_session(p_baseline jsonb,
    p_path text default 'pg_catalog, pg_temp')
returns void
language plpgsql volatile
as $$
declare
  v_void text;
begin
  execute 'close all';  -- CLOSE is a statement of PL/pgSQL's own otherwise
  if pg_catalog.current_setting('role') operator(pg_catalog.<>) 'none' then
    set role none;  -- RESET ROLE goes back to what ALTER ROLE says
  end if;
  reset all;
  unlisten *;
  deallocate all;
  discard temp;
  discard sequences;
  v_void := pg_catalog.pg_advisory_unlock_all();
  if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) p_path then
    v_void := pg_catalog.set_config('search_path', p_path, false);
  end if;
  if p_baseline is not null then
    perform pg_catalog.set_config(s.key, s.value, false)
      from pg_catalog.jsonb_each_text(p_baseline) as s;
  end if;
end
$$;
create or replace function jobs_internal.role_settings()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := quote_ident(session_user)::regrole;
begin
  if not exists (select from pg_db_role_setting as d where d.setrole in (0, v_me)) then
    return null;
  end if;
  return (
    select jsonb_object_agg(r.name, r.value)
    from (
      select distinct on (c.setting[1]) c.setting[1] as name, c.setting[2] as value
      from pg_db_role_setting as d
      cross join lateral (select regexp_match(e, '^([^=]+)=(.*)$') as setting
          from unnest(d.setconfig) as e) as c
      where d.setrole in (0, v_me)
        and exists (select from pg_settings as g where g.name = c.setting[1])
        and d.setdatabase in (0, (select b.oid from pg_database as b
              where b.datname = current_database()))
      order by c.setting[1], d.setrole <> 0 desc, d.setdatabase <> 0 desc
    ) as r);
end
$$;
create or replace function jobs_internal.baseline(p_role jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_wished jsonb := coalesce(p_role - 'search_path', '{}') ||
    '{"statement_timeout": "0", "lock_timeout": "0", "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0", "default_transaction_isolation": "read committed", '
  '"default_transaction_read_only": "off",
    "default_transaction_deferrable": "off", "exit_on_error": "off", '
  '"pg_background.worker_timeout": "0"}';
  v_baseline jsonb;
  v record;
begin
  if not exists (select from jsonb_each_text(v_wished) as w
      where current_setting(w.key, true) <> w.value) then
    return null;
  end if;
  v_baseline := (
    select jsonb_object_agg(w.key, w.value)
    from jsonb_each_text(v_wished) as w
    join pg_settings as g on g.name = w.key
    where current_setting(w.key, true) is distinct from w.value
      and g.context in ('user', 'superuser')
      and (g.context = 'user' or has_parameter_privilege(session_user, w.key, 'SET')));
  begin
    perform set_config(s.key, s.value, false) from jsonb_each_text(v_baseline) as s;
  exception
    when others then
      for v in select s.key, s.value from jsonb_each_text(v_baseline) as s loop
        begin
          perform set_config(v.key, v.value, false);
        exception
          when others then
            v_baseline := v_baseline - v.key::text;
        end;
      end loop;
  end;
  return v_baseline;
end
$$;
create or replace function jobs_internal.store_progress(p_job bigint, p_attempt integer,
    p_message text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.progress_message (job_id, attempt, message)
  select j.id, p_attempt, left(p_message, 1000) from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.caller() and p_attempt = case j.state
    when 'running'
    then j.attempt when 'queued' then j.attempt + 1 end
  on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message,
    at = excluded.at;
end;
create or replace function jobs_internal.cut_line(p_most integer)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('at', clock_timestamp(), 'level', 'warning',
    'message', format('cut: more than %s in one attempt', jobs_internal.counted(p_most, 'line')));
end;
create or replace function jobs_internal.store_log_lines(p_job bigint, p_attempt integer,
    p_owner oid,
    p_logs jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select p_job, p_attempt,
    l.n + coalesce((select max(o.n) from jobs_internal.log_line as o where o.job_id = p_job
          and o.attempt = p_attempt), 0),
    p_owner,
    case when pg_input_is_valid(l.v ->> 'at', 'timestamptz') then (l.v ->> 'at')::timestamptz
      else clock_timestamp() end,
    case when l.v ->> 'level' in ('debug', 'info', 'warning', 'error') then l.v ->> 'level'
      else 'info' end,
    left(coalesce(l.v ->> 'message', ''), 8000),
    case when pg_column_size(l.v -> 'fields') > 64000
      then '{"cut": "fields had more than 8000 bytes"}'::jsonb
      when octet_length((l.v -> 'fields')::text) > 8000
        then '{"cut": "fields had more than 8000 bytes"}'
      else nullif(l.v -> 'fields', 'null') end
  from jsonb_array_elements(case when jsonb_typeof(p_logs) = 'array' then p_logs else '[]' end)
    with ordinality as l(v, n)
  where l.n <= jobs_internal.setting('log_lines')::integer + 1;
end;
create or replace function jobs_internal.store_log_line(p_job bigint, p_attempt integer,
    p_line jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.store_log_lines(j.id, p_attempt, j.owner, jsonb_build_array(
    case when l.kept < b.most then p_line else jobs_internal.cut_line(b.most) end))
  from jobs_internal.job as j
  cross join (select jobs_internal.setting('log_lines')::integer as most) as b
  cross join lateral (select count(*) as kept from jobs_internal.log_line as o where o.job_id = j.id
      and o.attempt = p_attempt) as l
  where j.id = p_job and j.owner = jobs_internal.caller() and l.kept <= b.most
    and p_attempt = case j.state when 'running' then j.attempt when 'queued' then j.attempt + 1 end;
end;
create or replace function jobs_internal.collect_log()
returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(p.line::jsonb order by p.name)
  from (
    select s.name, convert_from(decode(m.parts[1], 'base64'), 'UTF8') as line
    from pg_prepared_statements as s
    cross join lateral regexp_match(s.statement,
        '^prepare pyworker_log_\d{9} as select ''pyworker:([A-Za-z0-9+/=]+)''$') as m(parts)
    where s.name like 'pyworker\_log\_%' and m.parts is not null
    offset 0
  ) as p
  where pg_input_is_valid(p.line, 'jsonb');
end;
create or replace procedure jobs_internal.run_top_level(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_path text := coalesce(p_item.path, p_path);
  v_left text[] := '{}';
  v_skipped jsonb;
  v_builds boolean := false;
  v_again boolean := true;
begin
  p_result := null;
  if p_item.statement is not null then
    v_skipped := case when p_item.task = any (array['vacuum', 'analyze', 'analyse'])
      and not p_item.verify
      then jobs_internal.first_skipped_table((jobs_internal.noted(p_item.job_id)).target,
          v_path) end;
    perform jobs_internal.note_identity(p_session, p_item.job_id, v_path);
    commit;
    v_builds := jobs_internal.builds_index(p_item.job_id);
    if v_builds and (p_item.attempt > 1 or p_item.verify)
      and (jobs_internal.judge(p_item.job_id) ->> 'done') is distinct from 'true' then
      call jobs_internal.clear_leftover(p_session, p_item, null, p_baseline, p_result);
      v_left := array(select l.name from jobs_internal.leftovers(p_item.job_id) as l
          where l.droppable);
    end if;
  end if;
  if p_result.outcome is not null then
    null;  -- it was stopped before it began
  elsif v_left = '{}' and v_skipped is null then
    call jobs_internal.run_child(p_session, p_item, p_path, p_margin_ms, p_baseline, p_result);
  else
    p_result.job_id := p_item.job_id;
    p_result.attempt := p_item.attempt;
    p_result.outcome := 'failed';
    p_result.error := coalesce(v_skipped,
        jobs_internal.error_object('55006', 'what an earlier attempt left could not be dropped'));
    p_result.finished_at := pg_catalog.clock_timestamp();
    v_again := false;  -- to drop it was tried just now
  end if;
  if not v_builds or p_result.outcome in ('left', 'no_slot') then
    return;
  end if;
  if v_again and p_result.outcome in ('succeeded', 'failed') then
    call jobs_internal.clear_leftover(p_session, p_item, 1800, p_baseline, p_result);
  end if;
  v_left := array(select l.name from jobs_internal.leftovers(p_item.job_id) as l where l.droppable);
  if v_left <> '{}' and p_result.error is not null then
    p_result.error := p_result.error || pg_catalog.jsonb_build_object(
      'detail', pg_catalog.concat_ws(' ', p_result.error ->> 'detail', 'It left invalid: index '
          || pg_catalog.array_to_string(v_left, ', index ') || '.'),
      'hint', pg_catalog.concat_ws(' ', p_result.error ->> 'hint',
      'Another attempt, or jobs.retry, drops that first.'));
  end if;
  perform jobs_internal.store_made_index(p_session, p_item.job_id);
end
$$;
create or replace procedure jobs_internal.run_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_child jobs_internal.child_state;
begin
  p_result := null;
  p_result.job_id := p_item.job_id;
  p_result.attempt := p_item.attempt;
  p_result.call_template_id := p_item.call_template_id;
  p_result.queued_at := p_item.queued_at;
  p_result.task := p_item.task;
  p_result.started_at := pg_catalog.clock_timestamp();
  v_child.path := coalesce(p_item.path, p_path);
  call jobs_internal.start_child(p_item, p_margin_ms, p_result, v_child);
  perform jobs_internal.reset_session(p_baseline);
  perform pg_catalog.set_config('application_name',
      'pw ' || jobs_internal.attempt_name(p_result), false);
  if v_child.lost then
    call jobs_internal.find_lost_child(p_session, p_result, v_child);
  elsif p_result.outcome is null then
    call jobs_internal.note_started_child(p_session, p_item, v_child);
  end if;
  commit;
  if p_result.outcome is null then
    p_result.child_pid := v_child.pid;
    call jobs_internal.watch_child(p_session, p_item, p_margin_ms, p_result, v_child);
  end if;
  if p_result.outcome is null then
    p_result := jobs_internal.child_result(p_item, p_margin_ms, p_baseline, v_child, p_result);
  end if;
  p_result.finished_at := coalesce(p_result.finished_at, pg_catalog.clock_timestamp());
  if p_result.outcome operator(pg_catalog.=) 'succeeded' and v_child.figures is not null then
    begin
      p_result := jobs_internal.with_child_cost(p_result, v_child.figures,
          jobs_internal.child_figures(v_child.statement));
    exception
      when query_canceled then
        null;  -- it has ended: what it cost is worth no more
    end;
  end if;
end
$$;
create or replace function jobs_internal.attempt_name(p_result jobs_internal.attempt_result)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_result.job_id || '/' || p_result.attempt || ' '
    || (extract(epoch from p_result.started_at) * 1000)::bigint;
end;
create or replace function jobs_internal.end_before_start(
  p_item jobs_internal.work_item,
  p_path text,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_said jsonb;
begin
  if p_item.done_when is not null and (p_item.attempt > 1 or p_item.verify)
    and (p_item.verify or coalesce(p_item.task not in ('vacuum', 'analyze', 'analyse'), true))
  then
    v_said := jobs_internal.ask(p_item, p_path);
  end if;
  if (v_said -> 'done')::boolean then
    p_result.outcome := 'succeeded';
    p_result.result := '{"verified": true}';
  elsif p_item.verify and v_said is not null
    and not jobs_internal.runs_again(p_item.job_id, v_said) then
    p_result.outcome := 'in_doubt';
    p_result.error := jobs_internal.error_object('PWD01', 'it ended unseen',
        pg_catalog.format('Its post-condition says: %s. It is not to be repeated.',
          v_said operator(pg_catalog.->>) 'why'),
        'Look whether it did its work; then select jobs.retry(id), or leave it.');
  elsif p_item.mode operator(pg_catalog.=) 'refused' then
    p_result.outcome := 'failed';
    p_result.error := jobs_internal.error_object('PW042', p_item.call,
        'It was otherwise when the job was enqueued.',
        'Enqueue the job again for the function as it is now.');
  end if;
  return p_result;
end
$$;
create or replace procedure jobs_internal.start_child(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_label text := p_item.job_id || '/' || p_item.attempt;
  v_state text;
  v_message text;
begin
  p_child.statement := coalesce(p_item.statement, p_item.call);
  p_child.columns := jobs_internal.out_columns(p_item.call_template_id);
  p_child.lost := false;
  p_child.noted := true;
  p_child.let_go := false;
  p_child.has_sent := false;
  begin
    perform pg_catalog.set_config('pyworker.job', jobs_internal.attempt_name(p_result), false),
      pg_catalog.set_config('pyworker.child', 'on', false),
      pg_catalog.set_config('application_name', 'pw ' || jobs_internal.attempt_name(p_result),
        false);
    p_result := jobs_internal.end_before_start(p_item, p_child.path, p_result);
    if p_result.outcome is null then
      p_child := jobs_internal.prepare_child(p_item, p_margin_ms, p_child);
      if p_child.columns is null then
        select h.pid, h.cookie into p_child.pid, p_child.cookie
        from jobs_internal.launch_child(p_child.statement, v_label) as h;
      else
        select h.pid, h.cookie into p_child.pid, p_child.cookie
        from jobs_internal.launch_call(p_child.statement, v_label) as h;
      end if;
    end if;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      p_result.outcome := 'no_slot';
    when query_canceled then
      p_child.lost := p_child.pid is null;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      p_result.outcome := 'failed';
      p_result.error := jobs_internal.error_object(v_state, v_message);
  end;
end
$$;
create or replace function jobs_internal.prepare_child(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_child jobs_internal.child_state
)
returns jobs_internal.child_state
language plpgsql volatile
as $$
declare
  v_called text;
begin
  perform pg_catalog.set_config('client_min_messages', 'error', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false);
  perform pg_catalog.set_config('statement_timeout',
    case when p_item.timeout_ms is null then 0
      else least(p_item.timeout_ms + p_margin_ms, 2147483647) end::text, false);
  if (p_item.attempt > 1 or p_item.verify) and p_item.statement is not null then
    p_child.statement := coalesce(jobs_internal.text_now(p_item.job_id), p_child.statement);
  end if;
  if p_child.statement ~ ' finalize$' then
    perform pg_catalog.set_config('lock_timeout', '1800', false);
  end if;
  p_child.figures := jobs_internal.child_figures(p_child.statement);
  v_called := case when p_item.task operator(pg_catalog.=) 'call'
    then jobs_internal.called_name(p_child.statement) end;
  perform pg_catalog.set_config('search_path', p_child.path, false);
  if v_called is not null then
    p_child.columns := jobs_internal.columns_of(
        pg_catalog.to_regproc(v_called)::pg_catalog.oid, pg_catalog.current_schemas(true));
  end if;
  perform pg_catalog.set_config(s.key, s.value, false)
  from pg_catalog.jsonb_each_text(coalesce(p_item.settings, '{}')) as s;
  return p_child;
end
$$;
create or replace procedure jobs_internal.find_lost_child(
  p_session bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '2 seconds';
  v_reason text;
begin
  loop
    begin
      v_reason := jobs_internal.stop_reason(p_result.job_id, p_result.attempt);
      select f.pid, f.child_start into p_child.pid, p_child.started_at
      from jobs_internal.find_child(p_session, p_result.job_id, p_result.attempt) as f;
      exit when p_child.pid is not null or jobs_internal.shutting_down()
        or pg_catalog.clock_timestamp() not between v_until - interval '2 seconds' and v_until;
      perform pg_catalog.pg_sleep(0.02);
    exception
      when query_canceled then
        null;
    end;
  end loop;
  if p_child.pid is null then
    p_result.outcome := coalesce(v_reason, 'interrupted');
  else
    p_child.let_go := true;
  end if;
end
$$;
create or replace procedure jobs_internal.note_started_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_looked timestamptz;
begin
  loop
    begin
      p_child.started_at := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt,
          p_child.pid);
    exception
      when insufficient_resources or io_error or system_error then
        p_child.noted := false;
    end;
    commit;
    exit when p_child.started_at is not null or not p_child.noted;
    v_looked := pg_catalog.clock_timestamp();
    begin
      exit when jobs_internal.wait_child(p_child.pid, p_child.cookie, 1);
      perform pg_catalog.pg_sleep(0.001);
    exception
      when query_canceled then
        if pg_catalog.clock_timestamp() >= v_looked then
          raise;
        end if;
    end;
  end loop;
end
$$;
create or replace function jobs_internal.may_connect()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_roles as r where r.oid = jobs_internal.caller() and r.rolcanlogin
    and has_database_privilege(r.oid, current_database(), 'CONNECT'));
end;
create or replace function jobs_internal.note_child(p_session bigint, p_job bigint,
    p_attempt integer, p_pid integer)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_start timestamptz;
begin
  perform jobs_internal.my_session(p_session), pg_stat_clear_snapshot();
  select a.backend_start into v_start from pg_stat_get_activity(p_pid) as a
  where a.usesysid = jobs_internal.caller() and a.backend_type <> 'client backend';
  update jobs_internal.job set child_pid = p_pid, child_start = v_start
  where id = p_job and attempt = p_attempt and session_id = p_session and v_start is not null;
  return v_start;
end
$$;
create or replace function jobs_internal.find_child(p_session bigint, p_job bigint,
    p_attempt integer, out pid integer, out child_start timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_job jobs_internal.job;
begin
  perform pg_stat_clear_snapshot();
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session and j.state = 'running';
  if found then
    v_job := jobs_internal.find_orphan(v_job, v_session);
    pid := v_job.child_pid;
    child_start := v_job.child_start;
  end if;
end
$$;
create or replace function jobs_internal.requeue_uncharged(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  update jobs_internal.job
  set state = 'scheduled', due_at = clock_timestamp() + interval '1 second', session_id = null,
    started_at = null, attempt = p_attempt - 1
  where id = p_job and attempt = p_attempt and session_id = p_session and state = 'running';
  update jobs_internal.session set job_id = null, attempt = null where id = p_session
    and job_id = p_job and attempt = p_attempt;
end
$$;
create or replace function jobs_internal.signal_late_child(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  if exists (select from jobs_internal.stop_request as x where x.job_id = p_job
      and x.attempt = p_attempt)
    then
    perform jobs_internal.send_stop_signals(p_job) from jobs_internal.session as s
      where s.id = p_session
      and s.job_id = p_job and s.attempt = p_attempt;
  else
    insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
    select j.id, j.attempt, 'timed_out', session_user
    from jobs_internal.job as j
    where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session
      and j.state = 'running'
      and j.started_at + j.timeout <= clock_timestamp()
    on conflict do nothing;
  end if;
end
$$;
create or replace function jobs_internal.child_is_stuck(p_pid integer)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_stat_get_activity(p_pid) as a
    where a.wait_event in ('MessageQueueSend', 'MessageQueuePutMessage')
      and a.usesysid = jobs_internal.caller());
end;
create or replace procedure jobs_internal.watch_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_gone boolean := false;
  v_looked timestamptz;
  v_seconds double precision := 0.002;
  v_learns boolean := p_item.task is not distinct from 'create index concurrently';
begin
  while not v_gone loop
    v_looked := pg_catalog.clock_timestamp();
    begin
      v_gone := jobs_internal.await_child(p_child, v_seconds);
      if v_learns and not v_gone then
        v_learns := not jobs_internal.note_index(p_session, p_item.job_id, p_child.pid);
      end if;
      if not v_gone and v_seconds >= 0.05 then
        if not p_child.noted then
          p_child := jobs_internal.note_watched_child(p_session, p_item, p_child);
        end if;
        if pg_catalog.clock_timestamp() > p_result.started_at
          + (p_item.timeout_ms + p_margin_ms) * interval '1 ms' then
          perform jobs_internal.signal_late_child(p_session, p_item.job_id, p_item.attempt);
        end if;
        if not p_child.let_go and p_child.noted and jobs_internal.child_is_stuck(p_child.pid) then
          p_child.let_go := true;
          if p_child.columns is null then
            perform jobs_internal.detach_child(p_child.pid, p_child.cookie);
          else
            p_child.sent := jobs_internal.read_call(p_child.pid, p_child.cookie, p_child.columns);
            p_child.has_sent := not pg_catalog.jsonb_exists(p_child.sent, 'unread')
              or p_child.sent ->> 'unread' ~ '^it has more than [0-9]+ bytes$';
          end if;
        end if;
      end if;
    exception
      when query_canceled then
        if pg_catalog.clock_timestamp() >= v_looked
          and jobs_internal.why_stopped(p_item.job_id, p_item.attempt) is null then
          p_result.outcome := 'left';
          v_gone := true;
        end if;
    end;
    v_seconds := least(v_seconds * 1.5, 0.05);
    commit;
  end loop;
end
$$;
create or replace function jobs_internal.await_child(p_child jobs_internal.child_state,
    p_seconds double precision)
returns boolean
language plpgsql volatile
as $$
begin
  if p_child.let_go then
    if not jobs_internal.alive(p_child.pid, p_child.started_at) then
      return true;
    end if;
    perform pg_catalog.pg_sleep(p_seconds);
    return false;
  end if;
  if jobs_internal.wait_child(p_child.pid, p_child.cookie, (p_seconds * 1000)::integer + 1) then
    return true;
  end if;
  if p_seconds >= 0.05 then
    perform pg_catalog.pg_sleep(0.001);
  end if;
  return false;
end
$$;
create or replace function jobs_internal.note_index(p_session bigint, p_job bigint, p_pid integer)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_index oid := jobs_internal.index_of_child(p_pid);
begin
  if v_index is not null then
    perform jobs_internal.store_made_index(p_session, p_job, v_index);
  end if;
  return v_index is not null;
end
$$;
create or replace function jobs_internal.note_watched_child(p_session bigint,
    p_item jobs_internal.work_item, p_child jobs_internal.child_state)
returns jobs_internal.child_state
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  p_child.started_at := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt,
      p_child.pid);
  p_child.noted := p_child.started_at is not null;
  return p_child;
exception
  when insufficient_resources or io_error or system_error then
    return p_child;
end
$$;
create or replace function jobs_internal.child_result(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_report jobs_internal.child_report;
begin
  p_child.stop_reason := jobs_internal.stop_reason(p_item.job_id, p_item.attempt);
  if not p_child.let_go then
    select o.* into v_report from jobs_internal.child_outcome(p_child.pid, p_child.cookie) as o;
    if p_child.columns is not null and v_report.completed and not v_report.has_error
      and v_report.command_tag <> '' then
      p_child.sent := jobs_internal.read_call(p_child.pid, p_child.cookie, p_child.columns);
    else
      perform jobs_internal.detach_child(p_child.pid, p_child.cookie);
    end if;
  end if;
  p_result.finished_at := pg_catalog.clock_timestamp();
  if v_report.completed and v_report.has_error then
    return jobs_internal.child_error(p_item, p_margin_ms, p_baseline, p_child, v_report, p_result);
  end if;
  if p_child.has_sent or v_report.completed and coalesce(v_report.command_tag, '') <> '' then
    p_result.outcome := 'succeeded';
    p_result.result := coalesce(p_child.sent,
        pg_catalog.jsonb_build_object('command_tag', v_report.command_tag));
  end if;
  if p_item.done_when is not null then
    p_result := jobs_internal.child_verdict(p_item, p_baseline, p_child, p_result);
  elsif p_result.outcome is not null and p_item.statement is not null then
    p_result.result := p_result.result
      operator(pg_catalog.||) coalesce(jobs_internal.unverified(p_item.job_id), '{}');
  end if;
  if p_result.outcome is null then
    p_result := jobs_internal.child_unseen(p_item, p_child, p_result);
  end if;
  return p_result;
end
$$;
create or replace function jobs_internal.child_error(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_report jobs_internal.child_report,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
begin
  p_result.outcome := case
    when p_report.sqlstate = '57014' then coalesce(p_child.stop_reason, case
      when p_item.timeout_ms is not null and p_result.finished_at
        >= p_result.started_at + (p_item.timeout_ms + p_margin_ms) * interval '1 ms'
      then 'timed_out' else 'interrupted' end)
    when p_report.sqlstate = '22023' and pg_catalog.strpos(p_report.message,
        '"' || pg_catalog.current_setting('session_authorization') || '"') > 0 then 'no_slot'
    else 'failed' end;
  if p_result.outcome in ('timed_out', 'cancelled') then
    p_result.error := jobs_internal.stop_error(p_result.outcome,
        p_item.timeout_ms * interval '1 ms', 'Its session was cancelled.', p_report.context);
  else
    p_result.error := jobs_internal.error_object(p_report.sqlstate, p_report.message,
        p_report.detail, p_report.hint, p_report.context, p_report.constraint_name,
        p_report.table_name);
  end if;
  if p_item.done_when is not null and p_result.outcome <> 'no_slot'
    and (p_result.outcome = 'failed' or p_item.done_when = 'select jobs_internal.is_done()')
  then
    perform pg_catalog.set_config('pyworker.job',
        pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
    begin
      if (jobs_internal.ask(p_item, p_child.path) -> 'done')::boolean then
        p_result.outcome := 'succeeded';
        p_result.result := pg_catalog.jsonb_build_object('verified', true, 'despite',
            pg_catalog.format('%s: %s', p_report.sqlstate,
              pg_catalog.left(p_report.message, 500)));
        p_result.error := null;
      end if;
    exception when others then
      null;  -- then its error stands
    end;
    perform jobs_internal.reset_session(p_baseline);
  end if;
  return p_result;
end
$$;
create or replace function jobs_internal.child_verdict(
  p_item jobs_internal.work_item,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_said jsonb;
  v_seen boolean := p_result.outcome is not null;  -- the child reported a success
  v_state text;
  v_message text;
begin
  perform pg_catalog.set_config('pyworker.job',
      pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
  begin
    v_said := jobs_internal.ask(p_item, p_child.path);
    if (v_said -> 'done')::boolean or (v_seen and v_said ? 'only') then
      p_result.outcome := 'succeeded';
      p_result.result := coalesce(p_result.result, '{}')
        operator(pg_catalog.||) '{"verified": true}';
    elsif v_seen and (v_said ->> 'done' is null or v_said ?| array['made', 'skipped']) then
      p_result.result := p_result.result operator(pg_catalog.||) '{"verified": false}'
        operator(pg_catalog.||) (v_said - 'done');
    elsif v_said ->> 'done' is not null and (v_seen or p_child.let_go) then
      p_result.outcome := 'failed';
      p_result.error := jobs_internal.error_object('PW043',
          'the statement ended, but its post-condition is not true',
          v_said operator(pg_catalog.->>) 'why', 'Look at what it left behind.');
    end if;
  exception when others then
    get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
    p_result.error := jobs_internal.error_object(v_state, v_message,
        pg_catalog.format('%s, but its post-condition could not be asked: %s.',
          case when p_result.outcome is null then 'It ended unseen'
            else 'It ran without an error' end, p_item.done_when),
        'Look whether it did its work. A retry helps only where the condition can be asked then; '
        'else select jobs.dismiss(id).');
    p_result.outcome := 'in_doubt';
  end;
  perform jobs_internal.reset_session(p_baseline);
  return p_result;
end
$$;
create or replace function jobs_internal.child_unseen(
  p_item jobs_internal.work_item,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_sleep(0.2);
  p_result.outcome := case
    when p_child.let_go then 'in_doubt'
    when p_child.stop_reason is not null then p_child.stop_reason
    when jobs_internal.shutting_down() then 'interrupted'
    when p_child.started_at is null and not jobs_internal.may_connect() then 'no_slot'
    else 'lost' end;
  p_result.error := case p_result.outcome
    when 'in_doubt' then jobs_internal.error_object('PWD01', 'the statement ended unseen',
        'It sent more messages than its queue holds.',
        'Look whether it did its work; give it done_when the next time.')
    when 'lost' then jobs_internal.error_object('PWL01', 'the child session died',
        'It ended without an error of its own (FATAL).', 'Look in the server log.')
    else jobs_internal.stop_error(p_result.outcome, p_item.timeout_ms * interval '1 ms',
        'Its session was ended.') end;
  return p_result;
end
$$;
create or replace function jobs_internal.columns_of(p_func oid, p_path name[] default null)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('%I %s', o.name, jobs_internal.type_name(o.type_id)), ', ' order by o.n)
  from (
    select p.n, p.type_id, coalesce(p.name, 'column' || row_number() over (order by p.n)) as name
    from jobs_internal.parameters(p_func) as p
    where p.mode in ('o', 'b')
  ) as o
  join pg_type as t on t.oid = o.type_id
  where exists (select from pg_proc as f where f.oid = p_func and f.prokind = 'p' and not exists (
    select from pg_proc as g
    join pg_namespace as n on n.oid = g.pronamespace
    where g.proname = f.proname and g.prokind = 'p' and g.oid <> f.oid and p_path is not null
      and (g.pronamespace = f.pronamespace or n.nspname = any (p_path))))
  having bool_and(t.typtype <> 'p');
end;
create or replace function jobs_internal.called_name(p_statement text)
returns text
language sql immutable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select n.name
  from jobs_internal.lex(p_statement) as l
  cross join lateral jobs_internal.name_at(l.words, l.raw, 2) as n
  where l.words[1] = 'CALL' and l.words[n.next] = '(';
end;
create or replace function jobs_internal.out_columns(p_call_template_id integer)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.columns_of(s.func) from jobs_internal.call_template as s
  where s.id = p_call_template_id and s.procedure;
end;
create or replace function jobs_internal.statement_statistics()
returns name
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select n.nspname
  from pg_extension as e
  join pg_namespace as n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements' and current_setting('pg_stat_statements.track', true)
    <> 'none'
    and current_setting('pg_stat_statements.track_utility', true) = 'on';
end;
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
      return null;
  end;
  return v_figures;
end
$$;
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
create or replace function jobs_internal.measures_no_cost()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.setting('measure_cost') <> 'on';
end;
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
create or replace function jobs_internal.path_for(p_settings jsonb, p_path text, p_default text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select max(s.value) from jsonb_each_text(p_settings) as s
        where lower(s.key collate "C") = 'search_path'), p_path, p_default);
end;
create or replace function jobs_internal.found_by(p_target jsonb)
returns jsonb
language sql volatile
begin atomic
  select case p_target operator(pg_catalog.->>) 'kind'
    when 'create_index' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8)
    when 'cluster' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8)
    when 'drop_index' then pg_catalog.jsonb_build_object(
      'index', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'index')::pg_catalog.oid::pg_catalog.int8)
    when 'detach' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8,
      'partition', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'partition')::pg_catalog.oid::pg_catalog.int8)
    when 'reindex' then case
        when p_target operator(pg_catalog.->>) 'scope'
          operator(pg_catalog.=) any (array['index', 'table']) then pg_catalog.jsonb_build_object(
          'relation', pg_catalog.to_regclass(p_target
              operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8)
        when p_target operator(pg_catalog.->>) 'scope' operator(pg_catalog.=) 'schema'
          then pg_catalog.jsonb_build_object(
          'schema', pg_catalog.to_regnamespace(p_target
              operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8)
        else '{}'::pg_catalog.jsonb end
    else (
      select pg_catalog.jsonb_build_object('tables',
          coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
        'table', pg_catalog.to_regclass(t.v
            operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8,
        'only', t.v operator(pg_catalog.->) 'only') order by t.n), '[]'))
      from pg_catalog.jsonb_array_elements(case
          when pg_catalog.jsonb_typeof(p_target operator(pg_catalog.->) 'tables')
            operator(pg_catalog.=) 'array'
        then p_target operator(pg_catalog.->) 'tables' else '[]' end) with ordinality as t(v, n))
    end;
end;
create or replace function jobs_internal.index_definition(p_index oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select md5(row(i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text,
        i.indoption::text, i.indisunique, i.indnullsnotdistinct,
    pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid), c.relam,
      c.reloptions)::text)
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indexrelid = p_index;
end;
create or replace function jobs_internal.members(p_table oid, p_only boolean)
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  with recursive m(id) as (
    select p_table
    union
    select h.inhrelid from m join pg_inherits as h on h.inhparent = m.id
    where not p_only and not h.inhdetachpending
      and (current_setting('server_version_num')::integer >= 180000
        or exists (select from pg_class as c where c.oid = m.id and c.relkind in ('p', 'I')))
  )
  select m.id from m;
end;
create or replace function jobs_internal.rebuilt_indexes(p_target jsonb, p_found jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_scope text := p_target ->> 'scope';
  v_concurrently boolean := (p_target -> 'concurrently')::boolean;
  v_tables oid[];
  v_indexes oid[];
begin
  if v_scope = 'index' then
    v_indexes := array(select m
        from jobs_internal.members((p_found ->> 'relation')::oid, false) as m);
  else
    v_tables := case when v_scope = 'table'
      then array(select m from jobs_internal.members((p_found ->> 'relation')::oid, false) as m
        where m = (p_found ->> 'relation')::oid
          or exists (select from pg_class as p where p.oid = (p_found ->> 'relation')::oid
              and p.relkind = 'p'))
      else array(
        select c.oid from pg_class as c
        where c.relkind in ('r', 'm') and c.relpersistence <> 't'
          and case when v_scope = 'schema' then c.relnamespace = (p_found ->> 'schema')::oid
            when v_scope = 'system' then c.oid < 16384 and not v_concurrently else c.oid >= 16384
              or not v_concurrently end
          and has_table_privilege(c.oid, 'MAINTAIN')
        limit 3001) end;
    if cardinality(v_tables) > 3000 then
      return null;
    end if;
    v_tables := v_tables || array(select c.reltoastrelid from pg_class as c
        where c.oid = any (v_tables) and c.reltoastrelid <> 0);
    v_indexes := array(select i.indexrelid from pg_index as i where i.indrelid = any (v_tables));
  end if;
  return (
    select jsonb_build_object('tables', coalesce(jsonb_agg(distinct i.indrelid::bigint), '[]'),
      'before', coalesce(jsonb_agg(i.indexrelid::bigint), '[]'),
      'leaves', coalesce(jsonb_agg(jsonb_build_object('oid', i.indexrelid::bigint, 'name',
            c.relname, 'table', i.indrelid::bigint,
          'file', pg_relation_filenode(i.indexrelid)::bigint, 'definition',
            jobs_internal.index_definition(i.indexrelid)) order by i.indexrelid)
        filter (where not v_concurrently or (i.indisvalid and not i.indisexclusion)), '[]'))
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relkind = 'i' and i.indexrelid = any (v_indexes));
end
$$;
create or replace function jobs_internal.maintenance_targets(p_found jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(jsonb_agg(distinct jsonb_build_object('oid', m.id::bigint, 'kind', c.relkind,
        'file', pg_relation_filenode(m.id)::bigint,
    'vacuums', pg_stat_get_vacuum_count(m.id), 'analyzes', pg_stat_get_analyze_count(m.id))), '[]')
  from jsonb_array_elements(p_found -> 'tables') as t
  cross join lateral jobs_internal.members((t ->> 'table')::oid, (t -> 'only')::boolean) as m(id)
  join pg_class as c on c.oid = m.id;
end;
create or replace function jobs_internal.identity_of(p_target jsonb, p_found jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
  v_table oid := (p_found ->> 'table')::oid;
  v_name name;
  v_leaves jsonb;
begin
  perform pg_stat_clear_snapshot();
  if v_kind = 'create_index' then
    v_name := (parse_ident(p_target ->> 'index'))[1]::name;
    return case when v_table is null then '{"missing": true}'
      else jsonb_build_object('table', v_table::bigint, 'name', v_name,
      'schema', (select c.relnamespace::bigint from pg_class as c where c.oid = v_table),
      'before', (select coalesce(jsonb_agg(i.indexrelid::bigint), '[]') from pg_index as i
          where i.indrelid = v_table),
      'taken', exists (select from pg_class as t
          join pg_class as c on c.relnamespace = t.relnamespace where t.oid = v_table
            and c.relname = v_name)) end;
  elsif v_kind = 'drop_index' then
    return case when p_found ->> 'index' is null then '{"missing": true}'::jsonb else p_found end;
  elsif v_kind = 'detach' then
    return case when exists (
        select from pg_inherits as h where h.inhparent = v_table
          and h.inhrelid = (p_found ->> 'partition')::oid)
      then p_found else '{"missing": true}' end;
  elsif v_kind = 'reindex' then
    if (p_target ->> 'scope' in ('index', 'table') and p_found ->> 'relation' is null)
      or (p_target ->> 'scope' = 'schema' and p_found ->> 'schema' is null)
    then
      return '{"missing": true}';
    end if;
    return coalesce(jobs_internal.rebuilt_indexes(p_target, p_found),
        '{"unsure": "it rebuilds the indexes of more than 3000 tables"}');
  elsif v_kind in ('vacuum', 'analyze', 'cluster') then
    if v_kind = 'cluster' then
      p_found := jsonb_build_object('tables',
          jsonb_build_array(jsonb_build_object('table', p_found -> 'table', 'only', false)));
    end if;
    if exists (select from jsonb_array_elements(p_found -> 'tables') as t
        where t ->> 'table' is null) then
      return '{"missing": true}';
    end if;
    v_leaves := jobs_internal.maintenance_targets(p_found);
    return case when v_leaves = '[]'
      then '{"unsure": "it names no table: PostgreSQL chooses them itself"}'::jsonb
      when jsonb_array_length(v_leaves) > 3000
        then '{"unsure": "it works on more than 3000 tables"}'
      else jsonb_build_object('leaves', v_leaves) end;
  elsif v_kind in ('create', 'drop', 'move') then
    return jsonb_build_object('oid',
        jobs_internal.named_object(p_target ->> 'class', p_target ->> 'name')::bigint,
      'tablespace', jobs_internal.named_object('tablespace', p_target ->> 'tablespace')::bigint);
  end if;
  return null;
end
$$;
create or replace function jobs_internal.named_object(p_class text, p_name text)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_class
    when 'database' then (select d.oid from pg_database as d
        where d.datname = (parse_ident(p_name))[1]::name)
    when 'tablespace' then (select t.oid from pg_tablespace as t
        where t.spcname = (parse_ident(p_name))[1]::name)
    when 'subscription' then (
      select s.oid from pg_subscription as s
      where s.subname = (parse_ident(p_name))[1]::name
        and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database()))
    end;
end;
create or replace function jobs_internal.noted(p_job bigint, out target jsonb, out identity jsonb)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.target, s.identity
  from jobs_internal.statement as s
  join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
  where s.job_id = p_job;
end;
create or replace function jobs_internal.store_identity(p_session bigint, p_job bigint,
    p_identity jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  update jobs_internal.statement
  set identity = case when octet_length(p_identity::text) <= 4000000 then p_identity
    else '{"unsure": "it works on too much"}' end
  where job_id = p_job and job_id = v_session.job_id;
end
$$;
create or replace function jobs_internal.note_identity(p_session bigint, p_job bigint, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_noted record;
  v_found jsonb;
  v_identity jsonb;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  if v_noted.target is null or pg_catalog.jsonb_exists(v_noted.target, 'unsure')
    or (v_noted.identity is not null
        and not pg_catalog.jsonb_exists_any(v_noted.identity, array['missing', 'unsure']))
  then
    return v_noted.identity;
  end if;
  begin
    perform pg_catalog.set_config('search_path', p_path, false);
    v_found := jobs_internal.found_by(v_noted.target);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    v_identity := jobs_internal.identity_of(v_noted.target, v_found);
  exception
    when query_canceled then
      raise;
    when others then
      v_identity := pg_catalog.jsonb_build_object('unsure', pg_catalog.left(sqlerrm, 300));
  end;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if v_identity is not null then
    perform jobs_internal.store_identity(p_session, p_job, v_identity);
  end if;
  return v_identity;
end
$$;
create or replace function jobs_internal.first_skipped_table(p_target jsonb, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_found jsonb;
  v_error jsonb;
begin
  if p_target is null or pg_catalog.jsonb_exists(p_target, 'unsure')
    or not coalesce(p_target operator(pg_catalog.->>) 'kind'
        operator(pg_catalog.=) any (array['vacuum', 'analyze']), false)
  then
    return null;
  end if;
  begin
    perform pg_catalog.set_config('search_path', p_path, false);
    v_found := jobs_internal.found_by(p_target);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    v_error := jobs_internal.skip_error(p_target, v_found);
  exception
    when query_canceled then
      raise;
    when others then
      v_error := null;  -- it will say so itself
  end;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  return v_error;
end
$$;
create or replace function jobs_internal.skip_error(p_target jsonb, p_found jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
      when t.kind = 'no table' then jobs_internal.error_object('42809',
        format('%s is no table that %s works on: PostgreSQL would skip it with a warning', t.name,
            upper(p_target ->> 'kind')),
        'Nothing was done.',
        'Name the tables and partitions that it is meant for. A retry cannot help.')
      else jobs_internal.error_object('42501',
        format('permission denied to maintain %s: PostgreSQL would skip it with a warning', t.name),
        'Nothing was done.', format(
        'Ask its owner for: grant maintain on %s to %I. A retry helps after that.', t.name,
          session_user)) end
  from (
    select c.oid::regclass::text as name, m.place,
      case when not (
          c.relkind in ('r', 'm') or c.relkind = 't' and p_target ->> 'kind' = 'vacuum'
          or c.relkind = 'p' and ((p_target -> 'analyzes')::boolean or not (l.v -> 'only')::boolean)
          or c.relkind = 'f' and p_target ->> 'kind' = 'analyze')
        or c.relpersistence = 't' and c.relnamespace <> pg_my_temp_schema() then 'no table'
        when not has_table_privilege(c.oid, 'MAINTAIN')
          and (c.relisshared or not pg_has_role((
            select d.datdba from pg_database as d where d.datname = current_database()), 'USAGE'))
            then 'no right' end as kind
    from jsonb_array_elements(p_found -> 'tables') with ordinality as l(v, n)
    cross join lateral jobs_internal.members((l.v ->> 'table')::oid, (l.v -> 'only')::boolean)
      with ordinality as m(id, place)
    join pg_class as c on c.oid = m.id
  ) as t
  where t.kind is not null
  order by t.place
  limit 1;
end;
create or replace function jobs_internal.judge(p_job bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
  v_target jsonb;
  v_identity jsonb;
  v_kind text;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  v_target := v_noted.target;
  v_identity := v_noted.identity;
  v_kind := v_target ->> 'kind';
  perform pg_stat_clear_snapshot();
  if v_target is null or v_target ? 'unsure' or v_identity is null or v_identity ? 'unsure' then
    return jsonb_build_object('done', null, 'why',
        coalesce(v_target ->> 'unsure', v_identity ->> 'unsure',
            'nothing was noted before it ran'));
  elsif v_identity ? 'missing' then
    return case when (v_target -> 'exists')::boolean and v_kind = 'drop_index'
      then '{"done": true, "why": "nothing bore that name before it ran"}'::jsonb
      else '{"done": null, "why": "nothing bore its name before it ran"}' end;
  end if;
  return case v_kind
    when 'create_index' then jobs_internal.judge_create_index(v_target, v_identity)
    when 'drop_index' then jsonb_build_object('done', not exists (select from pg_class as c
          where c.oid = (v_identity ->> 'index')::oid),
      'why', 'the index is still there, as ' || (v_identity ->> 'index')::oid::regclass::text)
    when 'detach' then jsonb_build_object('done', not exists (
        select from pg_inherits as h where h.inhrelid = (v_identity ->> 'partition')::oid
          and h.inhparent = (v_identity ->> 'table')::oid),
      'why', 'it is still a partition')
    when 'reindex' then jobs_internal.judge_reindex(v_target, v_identity)
    when 'create' then jsonb_build_object('done',
        jobs_internal.named_object(v_target ->> 'class', v_target ->> 'name')
      is distinct from (v_identity ->> 'oid')::oid
        and jobs_internal.named_object(v_target ->> 'class', v_target ->> 'name') is not null,
      'why', 'there is no new ' || (v_target ->> 'class') || ' of that name')
    when 'drop' then case
        when v_identity ->> 'oid' is null and not (v_target -> 'exists')::boolean
          then '{"done": null, "why": "nothing bore its name before it ran"}'::jsonb
        else jsonb_build_object('done',
            not jobs_internal.is_there(v_target ->> 'class', (v_identity ->> 'oid')::oid), 'why',
              'it is still there') end
    when 'move' then jsonb_build_object('done', exists (select from pg_database as d
      where d.oid = (v_identity ->> 'oid')::oid
        and d.dattablespace = (v_identity ->> 'tablespace')::oid), 'why',
        'it is in another tablespace')
    else jobs_internal.judge_maintenance(v_target, v_identity) end;
end
$$;
create or replace function jobs_internal.is_there(p_class text, p_oid oid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_class
    when 'database' then exists (select from pg_database as d where d.oid = p_oid)
    when 'tablespace' then exists (select from pg_tablespace as t where t.oid = p_oid)
    else exists (select from pg_subscription as s where s.oid = p_oid) end;
end;
create or replace function jobs_internal.made_indexes(p_identity jsonb)
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select i.indexrelid
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indrelid = (p_identity ->> 'table')::oid
    and not p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
    and (coalesce(p_identity -> 'built' @> to_jsonb(i.indexrelid::bigint), false)
        or c.relname = (p_identity ->> 'name')::name);
end;
create or replace function jobs_internal.likely_indexes(p_target jsonb, p_identity jsonb)
returns table (index oid, sure boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select i.indexrelid, p_target ->> 'columns' is not null and count(*) over () = 1
    and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass
        and d.objid = i.indexrelid and d.deptype = 'i')
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
  where p_target ->> 'kind' = 'create_index' and p_identity ->> 'name' is null
    and not exists (select from jobs_internal.made_indexes(p_identity))
    and i.indrelid = (p_identity ->> 'table')::oid
    and not p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
    and c.relname ~ '_idx[0-9]*$'
    and (p_target ->> 'columns' is null or i.indisunique = (p_target -> 'unique')::boolean
        and i.indpred is null and i.indexprs is null
      and p_target -> 'columns' = (
        select jsonb_agg(a.attname order by k.n)
        from unnest(i.indkey::smallint[]) with ordinality as k(attnum, n)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum));
end;
create or replace function jobs_internal.judge_create_index(p_target jsonb, p_identity jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_valid oid;
  v_made oid;
  v_name text := coalesce(p_identity ->> 'name', '');
begin
  select min(m) filter (where i.indisvalid and i.indisready and i.indislive), min(m) into v_valid,
    v_made
  from jobs_internal.made_indexes(p_identity) as m
  join pg_index as i on i.indexrelid = m;
  if v_valid is not null then
    return jsonb_build_object('done', true, 'made', v_valid::regclass::text);
  elsif v_made is not null then
    return jsonb_build_object('done', false, 'why',
        format('index %s is there and not valid', v_made::regclass));
  elsif exists (
    select from jobs_internal.likely_indexes(p_target, p_identity) as l
    join pg_index as i on i.indexrelid = l.index where i.indisvalid)
  then
    return (
      select jsonb_build_object('done', null, 'why',
          'its table has a new index, and the statement names none')
        || case when count(*) = 1 and bool_and(i.indisvalid and i.indisready and i.indislive)
          then '{"only": true}'::jsonb else '{}' end
      from jobs_internal.likely_indexes(p_target, p_identity) as l
      join pg_index as i on i.indexrelid = l.index);
  elsif exists (select from jobs_internal.likely_indexes(p_target, p_identity)) then
    return '{"done": false, "why": "its table has no new index that is valid"}';
  elsif (p_target -> 'exists')::boolean and exists (
    select from pg_class as c
    join pg_index as i on i.indexrelid = c.oid and i.indrelid = (p_identity ->> 'table')::oid
      and i.indisvalid and i.indisready and i.indislive
    where c.relname = v_name::name and p_identity -> 'before' @> to_jsonb(c.oid::bigint))
  then
    return jsonb_build_object('done', false, 'made', null, 'why',
        format('an index %s was there before: nothing was made', quote_ident(v_name)));
  elsif (p_identity -> 'taken')::boolean then
    return jsonb_build_object('done', false, 'why',
        format('what bears the name %s was there before, or is no valid index of this table',
            quote_ident(v_name)));
  end if;
  return '{"done": false, "why": "its table has no new index"}';
end
$$;
create or replace function jobs_internal.judge_reindex(p_target jsonb, p_identity jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_identity -> 'leaves' = '[]'
    then '{"done": null, "why": "there was no index that it rebuilds"}'::jsonb
    else jsonb_build_object('done', count(*) = 0, 'why', 'not rebuilt: '
        || left(string_agg(l.v ->> 'name', ', '), 1000)) end
  from jsonb_array_elements(p_identity -> 'leaves') as l(v)
  where exists (select from pg_class as t where t.oid = (l.v ->> 'table')::oid)
    and case when (p_target -> 'concurrently')::boolean then
        not exists (
          select from pg_index as i join pg_class as c on c.oid = i.indexrelid
          where i.indrelid = (l.v ->> 'table')::oid and c.relname = (l.v ->> 'name')::name
            and i.indexrelid <> (l.v ->> 'oid')::oid
            and i.indisvalid and i.indisready and i.indislive
            and jobs_internal.index_definition(i.indexrelid) = l.v ->> 'definition')
        or exists (
          select from pg_index as i join pg_class as c on c.oid = i.indexrelid
          where i.indexrelid = (l.v ->> 'oid')::oid
            and not (c.relname ~ '_ccold[0-9]*$' and not i.indisvalid))
      else exists (
        select from pg_class as c
        where c.oid = (l.v ->> 'oid')::oid
          and pg_relation_filenode(c.oid)::bigint = (l.v ->> 'file')::bigint) end;
end;
create or replace function jobs_internal.judge_maintenance(p_target jsonb, p_identity jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rewrites boolean := p_target ->> 'kind' = 'cluster'
    or coalesce((p_target -> 'full')::boolean, false);
  v_vacuums boolean := not v_rewrites and coalesce((p_target -> 'vacuums')::boolean, false);
  v_analyzes boolean := coalesce((p_target -> 'analyzes')::boolean, false);
  v_left text;
begin
  if not v_rewrites and current_setting('track_counts') = 'off' then
    return '{"done": null, "why": "nothing is counted: track_counts is off"}';
  elsif not v_rewrites and not v_vacuums and not v_analyzes then
    return '{"done": null, "why": "with these options nothing shows what it did"}';
  end if;
  select left(string_agg((l.v ->> 'oid')::oid::regclass::text, ', '), 1000) into v_left
  from jsonb_array_elements(p_identity -> 'leaves') as l(v)
  where exists (select from pg_class as t where t.oid = (l.v ->> 'oid')::oid)
    and (v_rewrites and l.v ->> 'kind' in ('r', 'm', 't')
        and pg_relation_filenode((l.v ->> 'oid')::oid)::bigint = (l.v ->> 'file')::bigint
      or v_vacuums and l.v ->> 'kind' in ('r', 'm', 't')
      and pg_stat_get_vacuum_count((l.v ->> 'oid')::oid) <= (l.v ->> 'vacuums')::bigint
      or v_analyzes and l.v ->> 'kind' in ('r', 'm', 'p', 'f')
      and pg_stat_get_analyze_count((l.v ->> 'oid')::oid) <= (l.v ->> 'analyzes')::bigint);
  return jsonb_build_object('done', v_left is null, 'why', 'PostgreSQL passed over ' || v_left)
    || case when v_left is not null and coalesce((p_target -> 'skips')::boolean, false)
      then jsonb_build_object('skipped', v_left) else '{}' end;
end
$$;
create or replace function jobs_internal.is_done()
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select (jobs_internal.judge(jobs_internal.current_job()) -> 'done')::boolean;
end;
create or replace function jobs_internal.built_in_condition(p_target jsonb)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select 'select jobs_internal.is_done()'
  where not p_target ? 'unsure'
    and p_target ->> 'kind' in ('create_index', 'drop_index', 'detach', 'reindex', 'create', 'drop',
        'move', 'vacuum', 'analyze', 'cluster')
    and coalesce(p_target -> 'tables', 'null') <> '[]'
    and not (p_target ->> 'kind' = 'cluster' and p_target ->> 'table' is null);
end;
create or replace function jobs_internal.mark_top_level(p_job bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.statement as s
  set top_level = true, done_when = coalesce(s.done_when,
      jobs_internal.built_in_condition(s.target))
  from jobs_internal.job as j
  where s.job_id = p_job and j.id = p_job and j.owner = jobs_internal.caller()
  returning s.done_when;
end;
create or replace function jobs_internal.ask(p_item jobs_internal.work_item, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_done boolean;
  v_void text;
begin
  if p_item.done_when is null
    or p_item.done_when operator(pg_catalog.=) 'select jobs_internal.is_done()' then
    return jobs_internal.judge(p_item.job_id);
  end if;
  v_void := pg_catalog.set_config('search_path', p_path, false);
  execute p_item.done_when into v_done;
  v_void := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  return pg_catalog.jsonb_build_object('done', coalesce(v_done, false), 'why', p_item.done_when);
end
$$;
create or replace function jobs_internal.runs_again(p_job bigint, p_said jsonb)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((j.options ->> 'repeatable')::boolean, jobs_internal.is_repeatable(p_job)
      or p_said ->> 'done' = 'false', false)
  from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.caller();
end;
create or replace function jobs_internal.text_now(p_job bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
  v_kind text;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  v_kind := v_noted.target ->> 'kind';
  if v_noted.identity is null or v_noted.target ? 'unsure'
    or v_noted.identity ?| array['missing', 'unsure'] then
    return null;
  elsif v_kind = 'drop_index' then
    return (
      select format('drop index concurrently %I.%I', n.nspname, c.relname)
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where c.oid = (v_noted.identity ->> 'index')::oid);
  elsif v_kind = 'detach' then
    return (
      select format('alter table %I.%I detach partition %I.%I finalize', pn.nspname, p.relname,
          cn.nspname, c.relname)
      from pg_inherits as h
      join pg_class as p on p.oid = h.inhparent
      join pg_namespace as pn on pn.oid = p.relnamespace
      join pg_class as c on c.oid = h.inhrelid
      join pg_namespace as cn on cn.oid = c.relnamespace
      where h.inhparent = (v_noted.identity ->> 'table')::oid
        and h.inhrelid = (v_noted.identity ->> 'partition')::oid and h.inhdetachpending);
  elsif v_kind = 'drop' then
    return case v_noted.target ->> 'class'
      when 'database' then (select format('drop database %I', d.datname) from pg_database as d
          where d.oid = (v_noted.identity ->> 'oid')::oid)
        || case when (v_noted.target -> 'force')::boolean then ' with (force)' else '' end
      when 'tablespace' then (select format('drop tablespace %I', t.spcname) from pg_tablespace as t
          where t.oid = (v_noted.identity ->> 'oid')::oid)
      else (select format('drop subscription %I', s.subname) from pg_subscription as s
          where s.oid = (v_noted.identity ->> 'oid')::oid) end;
  end if;
  return null;
end
$$;
create or replace function jobs_internal.unverified(p_job bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  return case when exists (select from jobs_internal.statement as s
      join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
      where s.job_id = p_job and s.command = 'alter system') then
      '{"verified": false, "why": "nothing that we may read shows what it wrote; select '
      'pg_reload_conf() puts it in force"}'::jsonb
    when v_noted.target ->> 'kind' <> 'other' then jsonb_build_object('verified', false,
    'why', coalesce(v_noted.target ->> 'unsure', v_noted.identity ->> 'unsure',
    'it names no table: PostgreSQL chooses them itself')) end;
end
$$;
create or replace function jobs_internal.is_built_now(p_index oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_stat_progress_create_index as p
    join pg_index as i on i.indexrelid = p_index
    where p.index_relid = p_index or (p.relid = i.indrelid and p.command = 'REINDEX CONCURRENTLY'));
end;
create or replace function jobs_internal.left_by(p_job bigint, p_target jsonb, p_identity jsonb)
returns table (index oid, name text, droppable boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
begin
  if p_identity is null or p_identity ?| array['missing', 'unsure'] or p_target ? 'unsure'
    or v_kind not in ('create_index', 'drop_index', 'reindex')
    or not (p_target -> 'concurrently')::boolean
  then
    return;
  end if;
  return query
  select i.indexrelid, format('%I.%I', n.nspname, c.relname), v_kind <> 'drop_index'
    and n.nspname <> 'pg_toast'
    and coalesce(l.sure and not exists (
      select from jobs_internal.made_index as m where m.index = i.indexrelid and m.job_id <> p_job),
      true)
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  left join jobs_internal.likely_indexes(p_target, p_identity) as l on l.index = i.indexrelid
  join pg_namespace as n on n.oid = c.relnamespace
  where not i.indisvalid and c.relkind = 'i'
    and case v_kind
      when 'create_index' then l.index is not null
        or i.indexrelid in (select jobs_internal.made_indexes(p_identity))
      when 'drop_index' then i.indexrelid = (p_identity ->> 'index')::oid
      else p_identity -> 'tables' @> to_jsonb(i.indrelid::bigint) and case
          when p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
            then c.relname ~ '_ccold[0-9]*$'
            and exists (select from jsonb_array_elements(p_identity -> 'leaves') as l
              where (l ->> 'oid')::oid = i.indexrelid and l ->> 'name' <> c.relname)
          else c.relname ~ '_cc(new|old)[0-9]*$' end
      end
    and not jobs_internal.is_built_now(i.indexrelid)
  order by i.indexrelid;
end
$$;
create or replace function jobs_internal.leftovers(p_job bigint)
returns table (index oid, name text, droppable boolean)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select l.index, l.name, l.droppable
  from jobs_internal.noted(p_job) as n
  cross join lateral jobs_internal.left_by(p_job, n.target, n.identity) as l;
end;
create or replace function jobs_internal.store_leftover(p_job bigint, p_owner oid, p_target jsonb,
    p_identity jsonb)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.made_index (index, job_id)
  select l.index, p_job
  from jobs_internal.left_by(p_job, p_target, p_identity) as l
  join pg_class as c on c.oid = l.index and pg_has_role(p_owner, c.relowner, 'usage')
  on conflict do nothing;
end;
create or replace function jobs_internal.store_made_index(p_session bigint, p_job bigint,
    p_built oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_statement record;
begin
  if v_session.job_id is distinct from p_job then
    return;
  end if;
  select s.target, s.identity into v_statement from jobs_internal.statement as s
  where s.job_id = p_job for no key update;
  if p_built is not null then
    update jobs_internal.statement as s
    set identity = jsonb_set(s.identity, '{built}', coalesce(s.identity -> 'built', '[]')
        || to_jsonb(p_built::bigint))
    where s.job_id = p_job and jsonb_array_length(coalesce(s.identity -> 'built', '[]')) < 100;
  end if;
  delete from jobs_internal.made_index as d
  where (d.index, d.job_id) in (
    select m.index, m.job_id from jobs_internal.made_index as m
    where not exists (select from pg_index as i where i.indexrelid = m.index and not i.indisvalid)
    limit 100 for update skip locked);
  insert into jobs_internal.made_index (index, job_id)
  select c.oid, p_job from pg_class as c where c.oid = p_built
    and pg_has_role(v_session.owner, c.relowner, 'usage')
  on conflict do nothing;
  perform jobs_internal.store_leftover(p_job, v_session.owner, v_statement.target,
      v_statement.identity);
end
$$;
create or replace function jobs_internal.index_of_child(p_pid integer)
returns oid
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p.index_relid from pg_stat_progress_create_index as p where p.pid = p_pid
    and p.command = 'CREATE INDEX CONCURRENTLY'
    and exists (select from pg_index as i where i.indexrelid = p.index_relid);
end;
create or replace function jobs_internal.left_indexes(out count bigint, out names text,
    out remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*),
    left(string_agg(format('%I.%I (job %s)', n.nspname, c.relname, m.job_id), ', '
          order by m.index), 2000),
    left(string_agg(case when n.nspname = 'pg_toast'
        then format('as a superuser: drop index %I.%I;', n.nspname, c.relname)
        else format('drop index concurrently %I.%I;', n.nspname, c.relname) end, ' '
          order by m.index), 2000)
  from (select d.index, max(d.job_id) as job_id from jobs_internal.made_index as d group by d.index)
    as m
  join pg_index as i on i.indexrelid = m.index and not i.indisvalid
  join pg_class as c on c.oid = m.index
  join pg_namespace as n on n.oid = c.relnamespace
  where not jobs_internal.is_built_now(m.index)
    and (jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
        or jobs_internal.caller_is('jobs_supervisor')
      or c.relowner = jobs_internal.viewer());
end;
create or replace function jobs_internal.builds_index(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.statement as s
      join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
    where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently',
        'drop index concurrently'));
end;
create or replace function jobs_internal.is_built_beside(p_job bigint)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with work as (
    select j.id, j.owner, (case when s.target ->> 'kind' = 'create_index'
        then parse_ident(s.target ->> 'table')
      when s.target ->> 'scope' = 'table' then parse_ident(s.target ->> 'name') end) as names
    from (select p_job union all select r.job_id from jobs_internal.session as r
    where r.job_id <> p_job) as w(id)
    join jobs_internal.job as j on j.id = w.id
    join jobs_internal.statement as s on s.job_id = w.id
    where s.command in ('create index concurrently', 'reindex concurrently',
        'drop index concurrently')
  )
  select exists (
    select from work as mine
    join work as other on other.id <> mine.id and other.owner = mine.owner
    where mine.id = p_job
      and coalesce(other.names[cardinality(other.names)] = mine.names[cardinality(mine.names)],
          true))
$$;
create or replace function jobs_internal.in_the_way(p_index oid)
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select left(string_agg(distinct format('%s %s %s on %s',
        coalesce('pid ' || l.pid, 'a prepared transaction'),
    case when l.granted then 'holds' else 'waits for' end, l.mode, l.relation::regclass), ', '),
    1000)
  from pg_locks as l
  join pg_index as i on i.indexrelid = p_index and l.relation = i.indrelid
  where l.locktype = 'relation' and l.database = (select d.oid from pg_database as d
      where d.datname = current_database())
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
end;
create or replace function jobs_internal.say_wait(p_session bigint, p_job bigint, p_attempt integer,
    p_message text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  if v_session.job_id is distinct from p_job then
    return;
  elsif p_message is null then
    delete from jobs_internal.progress_message as m where m.job_id = p_job;
  else
    insert into jobs_internal.progress_message (job_id, attempt, message)
      values (p_job, p_attempt, left(p_message, 1000))
    on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message,
      at = excluded.at;
  end if;
end
$$;
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_started timestamptz := pg_catalog.clock_timestamp();
  v_looked timestamptz;
  v_drops text[];
  v_drop text;
  v_ways text;
  v_said text;
  v_nap double precision;
  v_gone boolean;
  v_leave boolean := false;
  v_pid integer;
  v_cookie bigint;
begin
  for v_try in 1 .. case when p_lock_ms is null then 3 else 1 end loop
    v_nap := 0.02;
    loop
      select pg_catalog.array_agg('drop index concurrently ' operator(pg_catalog.||) l.name
          order by l.index) filter (where w.ways is null or p_lock_ms is null),
        pg_catalog.max(w.ways)
      into v_drops, v_ways
      from jobs_internal.leftovers(p_item.job_id) as l
      cross join lateral (select jobs_internal.in_the_way(l.index) as ways) as w
      where l.droppable;
      exit when v_ways is null or p_lock_ms is not null;
      begin
        v_looked := pg_catalog.clock_timestamp();
        if v_said is distinct from v_ways then
          v_said := v_ways;
          perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt,
            pg_catalog.format('before it drops what an earlier attempt left invalid, it waits: %s',
                v_ways));
        end if;
        perform pg_catalog.pg_sleep(v_nap);
      exception
        when query_canceled then
          if pg_catalog.clock_timestamp() >= v_looked then
            p_result := jobs_internal.interrupted_result(p_item, v_started, null);
          end if;
      end;
      commit;
      v_nap := least(v_nap * 1.5, 0.25);
      if p_result.outcome is null
        and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_result := jobs_internal.interrupted_result(p_item, v_started, null);
      elsif p_result.outcome is null and p_item.timeout_ms is not null
        and pg_catalog.clock_timestamp() > v_started + p_item.timeout_ms * interval '1 ms'
      then
        p_result.job_id := p_item.job_id;
        p_result.attempt := p_item.attempt;
        p_result.started_at := v_started;
        p_result.finished_at := pg_catalog.clock_timestamp();
        p_result.outcome := 'timed_out';
        p_result.error := jobs_internal.stop_error('timed_out', p_item.timeout_ms * interval '1 ms',
            pg_catalog.format('It waited: %s.', v_ways));
      end if;
      exit when p_result.outcome is not null;
    end loop;
    if v_said is not null then
      perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, null);
      commit;
      v_said := null;
    end if;
    exit when v_drops is null or (p_lock_ms is null and p_result.outcome is not null);
    foreach v_drop in array v_drops loop
      v_gone := false;
      begin
        perform pg_catalog.set_config('application_name',
            pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('lock_timeout', coalesce(p_lock_ms, 0)::text, false),
          pg_catalog.set_config('statement_timeout',
              least(coalesce(p_item.timeout_ms, 600000), case when p_lock_ms is not null
                  then 10000 end, 2147483647)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_drop, p_item.job_id || '/' || p_item.attempt) as h;
      exception
        when insufficient_resources or configuration_limit_exceeded or too_many_connections then
          v_pid := null;
      end;
      perform jobs_internal.reset_session(p_baseline);
      commit;
      while v_pid is not null and not v_gone loop
        v_looked := pg_catalog.clock_timestamp();
        begin
          v_gone := jobs_internal.wait_child(v_pid, v_cookie, 20);
          if not v_gone then
            perform jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
          end if;
        exception
          when query_canceled then
            v_gone := pg_catalog.clock_timestamp() >= v_looked;
            v_leave := v_gone;
            if v_gone and p_lock_ms is null then
              p_result := jobs_internal.interrupted_result(p_item, v_started, null);
            end if;
        end;
        commit;
      end loop;
      if v_pid is not null then
        perform jobs_internal.detach_child(v_pid, v_cookie);
      end if;
      commit;
      if p_lock_ms is null and p_result.outcome is null
        and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_result := jobs_internal.interrupted_result(p_item, v_started, null);
      end if;
      exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
    end loop;
    exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
  end loop;
end
$$;
create or replace function jobs_internal.backoff(p_queue integer, p_attempt integer)
returns interval
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select least(extract(epoch from q.backoff_cap),
      extract(epoch from q.backoff) * power(2, least(p_attempt - 1, 30)))::double precision
    * interval '1 second' * (0.75 + random() * 0.5)
  from jobs_internal.queue as q
  where q.id = p_queue;
end;
create or replace function jobs_internal.brief_note(p_note jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_note is null then '{}'::jsonb when length(p_note::text) <= 900 then p_note
    else jsonb_build_object('cut', left(p_note::text, 900)) end;
end;
create or replace function jobs_internal.brief_error(p_error jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_error - array['context', 'detail']
    || jsonb_build_object('message', left(p_error ->> 'message', 1000),
    'hint', left(p_error ->> 'hint', 500));
end;
create or replace function jobs_internal.plain_error(p_error jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case coalesce(jsonb_typeof(p_error), 'null')
    when 'object' then jobs_internal.error_object(left(p_error ->> 'sqlstate', 5),
        p_error ->> 'message', p_error ->> 'detail',
      p_error ->> 'hint', p_error ->> 'context', left(p_error ->> 'constraint',
          200), left(p_error ->> 'table', 200))
    when 'null' then null
    else jobs_internal.error_object('XX000', p_error::text) end;
end;
create or replace function jobs_internal.task_name(p_job bigint, p_template_id integer)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select s.task from jobs_internal.call_template as s where s.id = p_template_id),
    (select s.command || coalesce(' ' || s.object, '') from jobs_internal.statement as s
        where s.job_id = p_job),
    (select s.command || coalesce(' ' || s.object, '') from jobs_internal.finished_statement as s
        where s.job_id = p_job));
end;
create or replace function jobs_internal.is_small(p_result jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_result is null or pg_column_size(p_result) <= 500
    or octet_length(p_result::text) <= jobs_internal.result_limit();
end;
create or replace function jobs_internal.end_attempt(p_pid integer, p_state text,
    p_expected integer,
    p_result jobs_internal.attempt_result)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job jobs_internal.job;
  v_state text;
  v_due timestamptz;
  v_error jsonb := jobs_internal.plain_error(p_result.error);
  v_retry boolean;
  v_outcome text := p_result.outcome;
  v_cancelled boolean;
  v_top_level boolean;
  v_excused boolean;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_result.job_id and j.state = p_state and j.attempt = p_expected
  for update;
  if not found then
    return null;
  end if;
  p_result.started_at := coalesce(v_job.started_at, p_result.started_at);
  v_cancelled := exists (select from jobs_internal.stop_request as x
      where x.job_id = p_result.job_id
      and x.attempt = p_result.attempt and x.reason = 'cancelled');
  if v_cancelled and v_outcome = 'interrupted' then
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  end if;
  delete from jobs_internal.stop_request where job_id = p_result.job_id;
  delete from jobs_internal.progress_message where job_id = p_result.job_id;
  if p_result.logs is not null then
    perform jobs_internal.store_log_lines(p_result.job_id, p_result.attempt, v_job.owner,
        p_result.logs);
  end if;
  v_top_level := p_state = 'running' and exists (select from jobs_internal.statement as s
      where s.job_id = v_job.id and s.top_level);
  if v_outcome = 'interrupted' then
    v_excused := v_error ->> 'sqlstate' = 'PWL01' or jobs_internal.shutting_down();
    if v_job.interruptions < 2 or v_excused then
      update jobs_internal.job
      set state = 'scheduled', due_at = clock_timestamp(), session_id = null, msg_id = null,
        started_at = null, child_pid = null,
        child_start = null, attempt = p_result.attempt - 1, verify = nullif(coalesce(verify, false)
            or v_top_level, false),
        interruptions = interruptions + (v_excused is not true)::integer
      where id = v_job.id;
      return jsonb_build_object('job_id', v_job.id, 'task',
          jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', 'interrupted',
        'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', 'scheduled');
    end if;
    v_outcome := 'cancelled';
    v_state := 'failed';
    v_error := jobs_internal.error_object('PWC02', 'interrupted three times without a known reason',
      concat_ws(' ', 'Its session was signalled each time (pg_cancel_backend, '
        'pg_terminate_backend), or it raises that error itself.',
        'The last time it said: ' || (v_error ->> 'message') || '.', v_error ->> 'detail'),
        'Look in the server log; then select jobs.retry(id).', v_error ->> 'context');
  end if;
  p_result.outcome := v_outcome;
  p_result.error := v_error;
  v_retry := v_outcome in ('failed', 'timed_out', 'lost') and p_result.attempt < v_job.max_attempts
    and jobs_internal.worth_retry(v_error ->> 'sqlstate');
  if v_retry and v_cancelled then
    v_retry := false;
    v_state := 'cancelled';
  end if;
  if v_retry then
    v_state := 'scheduled';
    v_due := clock_timestamp() + jobs_internal.backoff(v_job.queue_id, p_result.attempt);
    update jobs_internal.job
    set state = 'scheduled', due_at = v_due, session_id = null, msg_id = null, started_at = null,
      child_pid = null, child_start = null,
      attempt = p_result.attempt, error = v_error,
        verify = nullif(v_top_level and v_outcome = 'lost', false)
    where id = v_job.id;
    perform jobs_internal.store_attempt(v_job.owner, p_pid, p_result);
  else
    v_state := coalesce(v_state, case v_outcome when 'succeeded' then 'succeeded' when 'cancelled'
        then 'cancelled' when 'in_doubt' then 'in_doubt' else 'failed' end);
    perform jobs_internal.archive_jobs(v_job.queue_id, v_job.owner, p_state,
        p_result.attempt - p_expected, v_state, p_pid, array[p_result]);
  end if;
  return jsonb_build_object('job_id', v_job.id, 'task',
      jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', v_outcome,
    'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', v_state, 'retry_at',
      v_due,
    'ms', round((extract(epoch from p_result.finished_at - p_result.started_at) * 1000)::numeric,
        3),
    'error', jobs_internal.brief_error(v_error), 'note', jobs_internal.brief_note(v_job.note));
end
$$;
create or replace function jobs_internal.store_attempt(p_owner oid, p_pid integer,
    p_result jobs_internal.attempt_result)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
    child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
    result, error)
  values (p_result.job_id, p_result.attempt, p_result.outcome, p_owner, p_result.started_at,
    p_result.finished_at, p_pid, p_result.child_pid, jobs_internal.waited(p_result), p_result.rows,
    p_result.wal_bytes, p_result.buffers_hit, p_result.buffers_read, p_result.buffers_dirtied,
    p_result.temp_bytes, p_result.result, p_result.error);
end;
create or replace function jobs_internal.has_earlier_attempts(p_jobs bigint[])
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.attempt as a where a.job_id = any (p_jobs))
    or exists (select from jobs_internal.log_line as l where l.job_id = any (p_jobs));
end;
create or replace function jobs_internal.archive_attempts(p_jobs bigint[], p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.attempt as a where a.job_id = any (p_jobs) returning a.*
  )
  insert into jobs_internal.finished_attempt (job_id, bucket, attempt, outcome, owner, started_at,
      finished_at, pid, child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result,
      error)
  select g.job_id, p_bucket, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid,
    g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes, g.result, g.error
  from gone as g;
  with gone as (
    delete from jobs_internal.log_line as l where l.job_id = any (p_jobs) returning l.*
  )
  insert into jobs_internal.finished_log_line (job_id, bucket, attempt, n, owner, at, level,
      message,
      fields)
  select g.job_id, p_bucket, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields
  from gone as g;
  with gone as (
    delete from jobs_internal.statement as s where s.job_id = any (p_jobs) returning s.*
  )
  insert into jobs_internal.finished_statement (job_id, bucket, body, command, top_level, done_when,
      rollback_sql, path, object, target,
    identity)
  select g.job_id, p_bucket, g.body, g.command, g.top_level, g.done_when, g.rollback_sql, g.path,
    g.object, g.target, g.identity from gone as g;
end;
create or replace function jobs_internal.archive_jobs(p_queue integer, p_owner oid, p_live text,
    p_uncounted integer, p_state text, p_pid integer, p_results jobs_internal.attempt_result[],
    out finished bigint, out per_task jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_ids bigint[] := array(select e.job_id from unnest(p_results) as e);
  v_bucket integer;
  v_statements boolean;
  v_asked boolean;
begin
  with dropped as (
    delete from jobs_internal.job as j
    where j.id = any (v_ids) and j.state = p_live and j.owner = p_owner
    returning j.*
  ), kept as (
    insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state,
      call_template_id, attempt, max_attempts, outcome, run_at, created_at, started_at,
      finished_at, pid, child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read,
      buffers_dirtied, temp_bytes, publication_id, enqueued_by, timeout, unique_key, args,
      settings, note, options, result, error)
    select j.id, (select jobs_internal.bucket_of(p_queue, p_owner)), j.queue_id, j.owner,
      j.priority, p_state, j.call_template_id, e.attempt, j.max_attempts, e.outcome, j.run_at,
      j.created_at, e.started_at, e.finished_at, p_pid, e.child_pid, jobs_internal.waited(e),
      e.rows, e.wal_bytes, e.buffers_hit, e.buffers_read, e.buffers_dirtied, e.temp_bytes,
      j.publication_id, j.enqueued_by, j.timeout, coalesce(j.unique_key, j.former_key), j.args,
      j.settings, j.note, j.options, e.result, e.error
    from dropped as j
    join unnest(p_results) as e on e.job_id = j.id and e.attempt = j.attempt + p_uncounted
    returning id, bucket, call_template_id, started_at, finished_at, options
  ), tasks as (
    select s.task, jsonb_agg(k.id) as job_ids,
      jsonb_agg(round((extract(epoch from k.finished_at - k.started_at) * 1000)::numeric, 3))
        as ms,
      count(*) as n, bool_or(k.options is not null) as asked, min(k.bucket) as bucket
    from kept as k
    left join jobs_internal.call_template as s on s.id = k.call_template_id
    group by s.task
  )
  select jsonb_agg(jsonb_build_object('task', t.task, 'job_ids', t.job_ids, 'ms', t.ms)),
    coalesce(sum(t.n), 0), bool_or(t.asked), min(t.bucket), bool_or(t.task is null)
  into per_task, finished, v_asked, v_bucket, v_statements
  from tasks as t;
  if v_statements or jobs_internal.has_earlier_attempts(v_ids) then
    perform jobs_internal.archive_attempts(v_ids, v_bucket);
  end if;
  if v_asked then
    perform jobs_internal.notify_of_end(f.options, f.id, f.state,
        jobs_internal.task_name(f.id, f.call_template_id))
    from jobs_internal.finished as f
    where f.id = any (v_ids) and f.options is not null
    order by f.id;
  end if;
end
$$;
create or replace function jobs_internal.restore_attempts(p_job bigint, p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.finished_attempt as a where a.job_id = p_job and a.bucket = p_bucket
      returning a.*
  )
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
      child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result,
      error)
  select g.job_id, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid, g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes, g.result, g.error
  from gone as g;
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
    child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
    result, error)
  select f.id, f.attempt, f.outcome, f.owner, f.started_at, f.finished_at, f.pid, f.child_pid,
    f.waited_ms, f.rows, f.wal_bytes, f.buffers_hit, f.buffers_read, f.buffers_dirtied,
    f.temp_bytes, f.result, f.error
  from jobs_internal.finished as f
  where f.id = p_job and f.bucket = p_bucket and f.outcome is not null
  on conflict do nothing;
  with gone as (
    delete from jobs_internal.finished_log_line as l where l.job_id = p_job and l.bucket = p_bucket
      returning l.*
  )
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select g.job_id, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields from gone as g;
  with gone as (
    delete from jobs_internal.finished_statement as s where s.job_id = p_job and s.bucket = p_bucket
      returning s.*
  )
  insert into jobs_internal.statement (job_id, body, command, top_level, done_when, rollback_sql,
      path,
      object, target, identity)
  select g.job_id, g.body, g.command, g.top_level, g.done_when, g.rollback_sql, g.path, g.object,
    g.target, g.identity from gone as g;
end;
create or replace function jobs_internal.finish_chunk(p_session bigint, p_lane integer,
    p_msg_ids bigint[], p_results jobs_internal.attempt_result[])
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_pid integer := pg_backend_pid();
  v_owner oid := jobs_internal.caller();
  v_queue integer;
  v_done jsonb;
  v_n bigint;
  v_expected bigint;
  v_result jobs_internal.attempt_result;
  v_other jsonb;
  v_others jsonb := '[]';
begin
  perform jobs_internal.assert_my_lane(p_lane);
  v_queue := (select l.queue_id from jobs_internal.lane as l where l.id = p_lane);
  if exists (select from unnest(p_results) as e where pg_column_size(e.result) > 500
      and not jobs_internal.is_small(e.result)) then
    return false;
  end if;
  execute format('delete from pgmq.%I where msg_id = any ($1)', 'q_pyworker_' || p_lane)
    using p_msg_ids;
  v_expected := (select count(*) from unnest(p_results) as e where e.outcome = 'succeeded'
      and e.logs is null);
  if v_expected > 0 then
    select a.finished, a.per_task into v_n, v_done
    from jobs_internal.archive_jobs(v_queue, v_owner, 'queued', 1, 'succeeded', v_pid,
      case v_expected when cardinality(p_results) then p_results
        else array(select e from unnest(p_results) as e where e.outcome = 'succeeded'
          and e.logs is null) end) as a;
    if v_n <> v_expected then
      return false;
    end if;
  end if;
  if v_expected < cardinality(p_results) then
    foreach v_result in array p_results loop
      continue when v_result.outcome = 'succeeded' and v_result.logs is null;
      if not exists (select from jobs_internal.job as j where j.id = v_result.job_id
          and j.owner = v_owner) then
        return false;
      end if;
      v_other := jobs_internal.end_attempt(v_pid, 'queued', v_result.attempt - 1, v_result);
      if v_other is null then
        return false;
      end if;
      v_others := v_others || v_other;
    end loop;
  end if;
  if cardinality(p_results) > 0 then
    perform jobs_internal.put_in_outbox(v_queue, v_owner, p_session, v_pid, v_done, v_others);
  end if;
  return true;
end
$$;
create or replace function jobs_internal.fence(p_session bigint, p_job bigint, p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from jobs_internal.job as j
    join jobs_internal.session as s on s.id = j.session_id and s.job_id = j.id
    where j.id = p_job and j.attempt = p_attempt and j.state = 'running'
      and j.session_id = p_session and j.owner = jobs_internal.caller())
  then
    raise exception using errcode = 'PW041', message = format('job %s ended itself while it ran',
        p_job),
      detail = 'Its row is not the running attempt of this session any more. What the job did was '
        'undone.',
      hint = 'A job must not cancel, retry or finish itself through the functions of pyworker. A '
        'retry cannot help.';
  end if;
end
$$;
create or replace function jobs_internal.finish_alone(p_session bigint, p_lane integer,
    p_result jobs_internal.attempt_result)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_other jsonb;
  v_template integer;
  v_queue integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if not jobs_internal.is_small(p_result.result) then
    raise exception using errcode = 'PW040',
      message = 'the result is larger than the setting result_bytes, or the quota of its owner',
      hint = 'Write large results into a table. A retry cannot help.';
  end if;
  select j.call_template_id, j.queue_id into v_template, v_queue
  from jobs_internal.job as j where j.id = p_result.job_id
    and j.session_id = p_session;
  if not found then
    p_result.job_id := null;
  elsif v_template = any (v_session.new_template_ids) or v_template is not null and exists (
      select from jobs_internal.call_stats as d where d.call_template_id = v_template
        and d.owner = v_session.owner)
  then
    v_template := null;  -- known
  end if;
  v_other := jobs_internal.end_attempt(v_session.pid, 'running', p_result.attempt, p_result);
  update jobs_internal.session
  set job_id = null, attempt = null, new_template_ids = case when v_template is null
    then new_template_ids else new_template_ids || v_template end
  where id = p_session;
  if v_other is null then
    raise exception using errcode = 'PW041',
      message = format('job %s is not this session''s running attempt any more', p_result.job_id),
      detail = 'Its row was changed while it ran. What the job did is undone.',
        hint = 'Look at jobs.job and jobs.attempts for it.';
  end if;
  if p_result.outcome = 'succeeded' then
    perform jobs_internal.put_in_outbox(v_queue, v_session.owner, p_session, v_session.pid,
        jsonb_build_array(jsonb_build_object('task', v_other -> 'task', 'job_ids',
          jsonb_build_array(v_other -> 'job_id'), 'ms', jsonb_build_array(v_other -> 'ms'))), '[]');
  else
    perform jobs_internal.put_in_outbox(v_queue, v_session.owner, p_session, v_session.pid, null,
        jsonb_build_array(v_other));
  end if;
end
$$;
create or replace function jobs_internal.put_in_outbox(p_queue integer, p_owner oid,
    p_session bigint, p_pid integer, p_succeeded jsonb, p_others jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.outbox (body, bytes)
  select b.body, pg_column_size(b.body)  -- it is not compressed yet
  from (
    select jsonb_build_object('queue', q.name, 'owner', pg_get_userbyid(p_owner), 'session',
      p_session, 'pid', p_pid, 'succeeded', coalesce(p_succeeded, '[]'), 'others',
      coalesce(p_others, '[]')) as body
    from jobs_internal.queue as q
    where q.id = p_queue
    offset 0  -- made once
  ) as b;
end;
create or replace function jobs_internal.notify_of_end(p_options jsonb, p_job bigint, p_state text,
    p_task text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_options ? 'notify' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify(p_options ->> 'notify',
        jsonb_build_object('id', p_job, 'state', p_state, 'task', p_task)::text);
  end if;
end
$$;
create or replace function jobs_internal.take_outcomes(p_limit integer)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  return query
  with seen as (
    select o.id, o.bytes from jobs_internal.outbox as o order by o.id
    limit p_limit for update skip locked
  ), taken as (
    select r.id
    from (select s.id, sum(s.bytes) over (order by s.id) - s.bytes as before from seen as s) as r
    where r.before < 4000000  -- the first one always
  )
  delete from jobs_internal.outbox as f
  where f.id in (select t.id from taken as t)
  returning f.body || jsonb_build_object('at', f.at);
  perform jobs_internal.clear_failure('round', 'outcomes');
exception
  when lock_not_available then
    perform jobs_internal.note_failure('round', 'outcomes',
        jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;
create or replace function jobs_internal.collect_run_stats(p_lane integer,
    p_results jobs_internal.attempt_result[],
    p_renames boolean)
returns jobs_internal.run_stats[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one jobs_internal.attempt_result;
begin
  if cardinality(p_results) = 1 then
    v_one := p_results[1];
    return array[row(p_lane, v_one.call_template_id, v_one.task, 1,
          case when v_one.outcome <> 'succeeded'
          then 1 else 0 end,
      coalesce(extract(epoch from v_one.finished_at - v_one.started_at)::double precision * 1000,
          0),
      coalesce(greatest(extract(epoch from v_one.started_at - v_one.queued_at)::double precision
            * 1000, 0), 0),
      coalesce(p_renames and v_one.last, false), case when v_one.wal_bytes is null then 0
        else 1 end, v_one.rows, v_one.wal_bytes, v_one.buffers_hit,
      v_one.buffers_read, v_one.buffers_dirtied, v_one.temp_bytes)::jobs_internal.run_stats];
  end if;
  return array(
    select row(p_lane, e.call_template_id, e.task, count(*),
        count(*) filter (where e.outcome <> 'succeeded'),
      coalesce(sum(extract(epoch from e.finished_at - e.started_at)::double precision * 1000), 0),
      coalesce(sum(greatest(extract(epoch from e.started_at - e.queued_at)::double precision * 1000,
            0)), 0),
      coalesce(p_renames and bool_or(e.last), false), count(e.wal_bytes), sum(e.rows),
        sum(e.wal_bytes), sum(e.buffers_hit), sum(e.buffers_read),
      sum(e.buffers_dirtied), sum(e.temp_bytes))::jobs_internal.run_stats
    from unnest(p_results) as e
    group by e.call_template_id, e.task);
end
$$;
create or replace function jobs_internal.record_run_stats(p_session jobs_internal.session,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  if p_run_stats is null then
    return;
  end if;
  p_run_stats := p_run_stats[1:1000];  -- there is one for each function of a claim at most
  insert into jobs_internal.call_stats as d (call_template_id, owner, runs, avg_ms, renames)
  select h.id, p_session.owner, sum(m.runs), sum(m.ms) / sum(m.runs),
    coalesce(bool_or(l.renames), false)
  from unnest(p_run_stats) as l
  cross join lateral (select o.id, o.func from jobs_internal.call_template as o
      where o.id = l.call_template_id offset 0) as h
  cross join lateral (select least(l.runs, 1000000000) as runs,
      least(greatest(l.ms, 0.001), 1e12) as ms) as m
  where m.runs > 0 and has_function_privilege(p_session.owner, h.func, 'EXECUTE')
    and (h.id = any (p_session.new_template_ids)
      or exists (select from jobs_internal.call_stats as o
          where o.call_template_id = h.id and o.owner = p_session.owner))
  group by h.id
  order by h.id
  on conflict (call_template_id, owner) do update set
    runs = d.runs + excluded.runs,
    avg_ms = d.avg_ms * 0.7 + excluded.avg_ms * 0.3,
    renames = d.renames or excluded.renames,
    seen_at = excluded.seen_at;
  update jobs_internal.lane as l set avg_ms = coalesce(l.avg_ms * 0.7 + m.avg_ms * 0.3, m.avg_ms)
  from (
    select o.lane_id, sum(least(greatest(o.ms, 0.001), 1e12)) / sum(least(o.runs, 1000000000))
      as avg_ms
    from unnest(p_run_stats) as o where o.runs > 0
    group by o.lane_id
  ) as m
  where l.id = m.lane_id and l.id in (
    select o.id from jobs_internal.lane as o
    where o.owner = p_session.owner and o.id in (select e.lane_id from unnest(p_run_stats) as e)
    for no key update skip locked);
  insert into jobs_internal.queue_minute_stats as m (queue_id, minute, session_id, succeeded,
      failed)
  select l.queue_id, date_trunc('minute', clock_timestamp()), p_session.id,
    sum(greatest(least(o.runs, 1000000000) - greatest(least(o.failed, 1000000000), 0), 0)),
    sum(greatest(least(o.failed, 1000000000), 0))
  from unnest(p_run_stats) as o
  join jobs_internal.lane as l on l.id = o.lane_id and l.owner = p_session.owner
  group by l.queue_id
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
  perform jobs_internal.add_daily_cost(p_session, p_run_stats);
end
$$;
create or replace function jobs_internal.clamped_stats(p_stats jobs_internal.run_stats)
returns jobs_internal.run_stats
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  p_stats.runs := least(greatest(p_stats.runs, 0), 1e15);
  p_stats.failed := least(greatest(p_stats.failed, 0), 1e15);
  p_stats.ms := least(greatest(p_stats.ms, 0), 1e15);
  p_stats.waited_ms := least(greatest(p_stats.waited_ms, 0), 1e15);
  p_stats.measured := least(greatest(p_stats.measured, 0), 1e15);
  p_stats.rows := least(greatest(p_stats.rows, 0), 1e15);
  p_stats.wal_bytes := least(greatest(p_stats.wal_bytes, 0), 1e15);
  p_stats.buffers_hit := least(greatest(p_stats.buffers_hit, 0), 1e15);
  p_stats.buffers_read := least(greatest(p_stats.buffers_read, 0), 1e15);
  p_stats.buffers_dirtied := least(greatest(p_stats.buffers_dirtied, 0), 1e15);
  p_stats.temp_bytes := least(greatest(p_stats.temp_bytes, 0), 1e15);
  return p_stats;
end
$$;
create or replace function jobs_internal.add_costs(p_rows jobs_internal.daily_cost[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row jobs_internal.daily_cost;
begin
  if cardinality(p_rows) > 1 then
    p_rows := array(
      select row(a.day, a.queue_id, a.owner, a.task, a.session_id, sum(a.attempts), sum(a.failed),
        sum(a.ms), sum(a.waited_ms), sum(a.measured), sum(a.rows), sum(a.wal_bytes),
        sum(a.buffers_hit), sum(a.buffers_read), sum(a.buffers_dirtied),
        sum(a.temp_bytes))::jobs_internal.daily_cost
      from unnest(p_rows) as a
      group by a.day, a.queue_id, a.owner, a.task, a.session_id
      order by a.day, a.queue_id, a.owner, a.task, a.session_id);
  end if;
  foreach v_row in array coalesce(p_rows, '{}') loop
    insert into jobs_internal.daily_cost as s
    select v_row.*
    on conflict (day, queue_id, owner, task, session_id) do update set
      attempts = s.attempts + excluded.attempts, failed = s.failed + excluded.failed,
      ms = s.ms + excluded.ms, waited_ms = s.waited_ms + excluded.waited_ms,
      measured = s.measured + excluded.measured, rows = s.rows + excluded.rows,
      wal_bytes = s.wal_bytes + excluded.wal_bytes,
      buffers_hit = s.buffers_hit + excluded.buffers_hit,
      buffers_read = s.buffers_read + excluded.buffers_read,
      buffers_dirtied = s.buffers_dirtied + excluded.buffers_dirtied,
      temp_bytes = s.temp_bytes + excluded.temp_bytes;
  end loop;
end
$$;
create or replace function jobs_internal.statement_task(p_day date, p_queue integer, p_owner oid,
    p_task text, p_place bigint)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_task is null then null
    when exists (select from jobs_internal.daily_cost as s
      where s.day = p_day and s.queue_id = p_queue and s.owner = p_owner
        and s.task = left(p_task, 200)) then left(p_task, 200)
    when p_place + (select count(*) from (
      select distinct s.task from jobs_internal.daily_cost as s where s.day = p_day
        and s.queue_id = p_queue and s.owner = p_owner) as d) <= 200
      then left(p_task, 200)
    else '(other statements)'
  end;
end;
create or replace function jobs_internal.add_daily_cost(p_session jobs_internal.session,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_day date := (clock_timestamp() at time zone 'UTC')::date;
  v_one jobs_internal.run_stats;
  v_row jobs_internal.daily_cost;
  v_rows jobs_internal.daily_cost[];
  v_place bigint := 0;
begin
  foreach v_one in array p_run_stats loop
    v_place := v_place + 1;
    if least(v_one.runs, v_one.failed, v_one.ms, v_one.waited_ms, v_one.measured, v_one.rows,
        v_one.wal_bytes, v_one.buffers_hit, v_one.buffers_read, v_one.buffers_dirtied,
        v_one.temp_bytes) < 0
      or greatest(v_one.runs, v_one.failed, v_one.ms, v_one.waited_ms, v_one.measured, v_one.rows,
        v_one.wal_bytes, v_one.buffers_hit, v_one.buffers_read, v_one.buffers_dirtied,
        v_one.temp_bytes) > 1e15
    then
      v_one := jobs_internal.clamped_stats(v_one);
    end if;
    select v_day, l.queue_id, l.owner, coalesce(h.task, case when h.id is null
        then jobs_internal.statement_task(v_day, l.queue_id, l.owner, v_one.task, v_place) end),
      p_session.id, coalesce(v_one.runs, 0), coalesce(v_one.failed, 0), coalesce(v_one.ms, 0),
      coalesce(v_one.waited_ms, 0), coalesce(v_one.measured, 0), coalesce(v_one.rows, 0),
      coalesce(v_one.wal_bytes, 0), coalesce(v_one.buffers_hit, 0),
      coalesce(v_one.buffers_read, 0), coalesce(v_one.buffers_dirtied, 0),
      coalesce(v_one.temp_bytes, 0)
    into v_row
    from jobs_internal.lane as l
    left join jobs_internal.call_template as h on h.id = v_one.call_template_id
    where l.id = v_one.lane_id and l.owner = p_session.owner;
    if v_row.task is not null then
      v_rows := v_rows || v_row;
    end if;
  end loop;
  perform jobs_internal.add_costs(v_rows);
end
$$;
create or replace function jobs_internal.compact_daily_cost()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.daily_cost[];
begin
  delete from jobs_internal.daily_cost as d
  where d.ctid = any (array(
    select o.ctid from jobs_internal.daily_cost as o
    where o.day < (clock_timestamp() at time zone 'UTC')::date - 366 for update skip locked));
  with gone as (
    delete from jobs_internal.daily_cost as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.daily_cost as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s
          where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  select array_agg(row(g.day, g.queue_id, g.owner, g.task, 0, g.attempts, g.failed, g.ms,
        g.waited_ms, g.measured, g.rows, g.wal_bytes,
    g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes)::jobs_internal.daily_cost)
  into v_rows
  from gone as g;
  perform jobs_internal.add_costs(v_rows);
  with gone as (
    delete from jobs_internal.queue_minute_stats as d
    where d.ctid = any (array(
      select o.ctid from jobs_internal.queue_minute_stats as o
      where o.session_id <> 0 and not exists (select from jobs_internal.session as s
          where s.id = o.session_id)
      limit 20000
      for update skip locked))
    returning d.*
  )
  insert into jobs_internal.queue_minute_stats as m (queue_id, minute, session_id, succeeded,
      failed)
  select g.queue_id, g.minute, 0, sum(g.succeeded), sum(g.failed)
  from gone as g
  group by g.queue_id, g.minute
  order by g.queue_id, g.minute
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
end
$$;
create or replace function jobs_internal.move_daily_cost(p_old oid[], p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows jobs_internal.daily_cost[];
begin
  with gone as (
    delete from jobs_internal.daily_cost as d using unnest(p_old, p_new) as m(old, new)
      where d.owner = m.old returning d.*, m.new
  )
  select array_agg(row(g.day, g.queue_id, g.new, g.task, g.session_id, g.attempts, g.failed, g.ms,
        g.waited_ms, g.measured, g.rows,
    g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes)::jobs_internal.daily_cost)
  into v_rows
  from gone as g;
  perform jobs_internal.add_costs(v_rows);
end
$$;
create or replace function jobs_internal.stop_reason(p_job bigint, p_attempt integer)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.reason from jobs_internal.stop_request as s
  where s.job_id = p_job and s.attempt = p_attempt
    and exists (select from jobs_internal.job as j where j.id = p_job
        and j.owner = jobs_internal.caller());
end;
create or replace function jobs_internal.stop_error(p_reason text, p_timeout interval,
    p_detail text, p_context text default null)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_reason
    when 'timed_out' then jobs_internal.error_object('PWT01',
      format('timed out after %s ms', (extract(epoch from p_timeout) * 1000)::bigint), p_detail,
      'Give it a longer timeout, or look at what it waited for. A retry may be faster.', p_context)
    when 'cancelled' then jobs_internal.error_object('PWC01', 'cancelled on request', p_detail,
        'select jobs.retry(id) runs it again.', p_context)
    end;
end;
create or replace function jobs_internal.assert_controls(p_id bigint, p_owner oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  if p_owner is null or not (p_owner = jobs_internal.caller()
      or jobs_internal.caller_is('jobs_operator'))
    then
    raise exception using errcode = 'PW030',
      message = format('there is no job %s', coalesce(p_id::text, 'null')),
      detail = 'Or it belongs to another role: who enqueued it by a publication may cancel it and '
        'wait for it, no more.',
      hint = 'See jobs.job for the jobs that you may see. A retry cannot help.';
  end if;
end
$$;
create or replace function jobs_internal.cancel_waiting(p_id bigint, p_by text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_locked boolean;
  v_result jobs_internal.attempt_result;  -- of no attempt: it never ran
  v_task text;
begin
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_id;
    if not found or v_job.state = 'running' or p_id = jobs_internal.current_job() then
      return false;
    end if;
    if v_job.state = 'queued' then
      execute format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked',
          'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        execute format('select exists (select from pgmq.%I as m where m.msg_id = $1)', 'q_pyworker_'
            || v_job.lane_id)
        into v_locked using v_job.msg_id;
        if v_locked then
          return false;
        end if;
      end if;
      execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id)
        using v_job.msg_id;
    end if;
    perform from jobs_internal.job as j
    where j.id = p_id and j.state = v_job.state and j.attempt = v_job.attempt
      and j.msg_id is not distinct from v_job.msg_id
    for update;
    continue when not found;  -- it moved on between the look and the lock
    delete from jobs_internal.stop_request where job_id = p_id;
    v_result.job_id := p_id;
    v_result.attempt := v_job.attempt;
    v_result.finished_at := clock_timestamp();
    v_result.error := jobs_internal.error_object('PWC01', format('cancelled by %s', p_by),
        'It was not running.', 'select jobs.retry(id) runs it again.');
    v_task := jobs_internal.task_name(v_job.id, v_job.call_template_id);
    perform jobs_internal.archive_jobs(v_job.queue_id, v_job.owner, v_job.state, 0, 'cancelled',
        null, array[v_result]);
    perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, null, pg_backend_pid(), null,
        jsonb_build_array(jsonb_build_object('job_id', v_job.id, 'task', v_task,
          'attempt', v_job.attempt, 'max_attempts', v_job.max_attempts, 'outcome', 'cancelled',
          'state', 'cancelled', 'retry_at', null, 'ms', null, 'error', null, 'note',
          jobs_internal.brief_note(v_job.note))));
    return true;
  end loop;
end
$$;
create or replace procedure jobs_internal.stop_job(p_job bigint, p_attempt integer, p_by text)
language plpgsql
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '15 seconds';
  v_jobs bigint[];
  v_job bigint;
  v_left bigint;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
    values (p_job, p_attempt, 'cancelled', p_by) on conflict do nothing;
  commit;
  loop
    select array_agg(x.job_id order by x.job_id = p_job desc, x.signalled_at nulls first),
      count(*)
    into v_jobs, v_left
    from jobs_internal.stop_request as x
    join jobs_internal.job as j on j.id = x.job_id and j.attempt <= x.attempt
    where x.reason = 'cancelled' and x.requested_by = p_by
      and x.requested_at > clock_timestamp() - interval '15 seconds';
    commit;
    exit when v_left = 0 or clock_timestamp() > v_until;
    foreach v_job in array v_jobs[1:8] loop
      if not jobs_internal.cancel_waiting(v_job, p_by) then
        perform jobs_internal.send_stop_signals(v_job);
      end if;
      commit;
    end loop;
    perform jobs_internal.rescue();
    commit;
    perform pg_sleep(0.02);
    commit;
  end loop;
end
$$;
create or replace function jobs_internal.stop_sessions()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();
  return (select count(*) from pg_stat_get_activity(null) as a
    where a.backend_type = 'pg_background' and coalesce(a.usesysid, jobs_internal.caller())
        = jobs_internal.caller()
      and (coalesce(a.query, '') = '' or starts_with(a.query, 'call jobs_internal.stop_job(')));
end
$$;
create or replace function jobs_internal.launch_stop(p_job bigint, p_attempt integer, p_by text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
set transaction_timeout = 0
set lock_timeout = 0
set idle_in_transaction_session_timeout = 0
set default_transaction_isolation = 'read committed'
set default_transaction_read_only = off
set default_transaction_deferrable = off
as $$
begin
  perform jobs_internal.run_in_background(format('call jobs_internal.stop_job(%s, %s, %L)', p_job,
      p_attempt, p_by), 'pyworker cancel');
end
$$;
create or replace function jobs_internal.active_sessions()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  backend_start timestamptz,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  child_pid integer,
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer,
  alone boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.id, s.owner, s.pid, s.backend_start,
    coalesce(s.job_id, n.job_id), coalesce(s.attempt, n.attempt),
    coalesce(j.started_at, to_timestamp(n.started_ms / 1000.0)),
    c.done, c.total, j.child_pid, s.started_at, s.jobs, s.lane_id, s.job_id is not null
  from jobs_internal.session as s
  join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  left join lateral (
    select m[1]::bigint as job_id, m[2]::integer as attempt, m[3]::bigint as started_ms,
      m[4]::numeric as done, m[5]::numeric as total
    from regexp_match(a.application_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: '
      '([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?)?$') as m
    where m is not null
  ) as n on true
  left join lateral (
    select o.owner, o.started_at, o.child_pid, o.child_start
    from jobs_internal.job as o
    where o.id = coalesce(s.job_id, n.job_id)
    offset 0
  ) as j on true
  left join pg_stat_get_activity(j.child_pid) as ca on j.child_pid is not null
    and ca.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from regexp_match(coalesce(ca.application_name, a.application_name),
        '^pw [0-9/]+ [0-9]+ ([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: '
        '[0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where n.job_id is null or s.job_id is not null or j.owner = s.owner
$$;
create or replace function jobs_internal.orphaned_children()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  backend_start timestamptz,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  child_pid integer,
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer,
  alone boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.id, s.owner, null::integer, null::timestamptz, j.id, j.attempt, j.started_at, c.done, c.total,
      j.child_pid, s.started_at, s.jobs, s.lane_id, true
  from jobs_internal.session as s
  cross join lateral (
    select o.id, o.attempt, o.started_at, o.child_pid, o.child_start
    from jobs_internal.job as o
    where o.id = s.job_id and o.attempt = s.attempt and o.session_id = s.id and o.state = 'running'
    offset 0
  ) as j
  join pg_stat_get_activity(null) as a on a.pid = j.child_pid and a.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from regexp_match(a.application_name, '^pw [0-9/]+ [0-9]+ '
      '([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where not jobs_internal.alive(s.pid, s.backend_start)
$$;
create or replace function jobs_internal.is_watched(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(t.top_level, h.procedure, false)
  from jobs_internal.job as j
  left join jobs_internal.statement as t on t.job_id = j.id
  left join jobs_internal.call_template as h on h.id = j.call_template_id
  where j.id = p_job;
end;
create or replace function jobs_internal.signal(p_pid integer, p_terminate boolean, p_item text,
    p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terminate then
    perform pg_terminate_backend(p_pid);
  else
    perform pg_cancel_backend(p_pid);
  end if;
  return true;
exception
  when others then
    if p_owner is not null then
      perform jobs_internal.note_failure('signal', p_item,
          jobs_internal.error_object(sqlstate, sqlerrm), null, p_owner);
    end if;
    return false;
end
$$;
create or replace function jobs_internal.send_stop_signals(p_job bigint default null)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_age interval;
  v_signal text;
  v_pid integer;
begin
  delete from jobs_internal.stop_request as o
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop_request as x
    where not exists (select from jobs_internal.job as j
        where j.id = x.job_id and x.attempt >= case j.state when 'running' then j.attempt
          else j.attempt + 1 end)
      and x.requested_at < clock_timestamp() - interval '5 seconds'
    for update skip locked));
  for v in
    select x.job_id, x.attempt, x.reason, x.signals_sent, x.signalled_at, x.requested_at,
      l.session_id, l.pid, l.alone, j.child_pid, j.child_start, j.lane_id,
      pg_get_userbyid(j.owner) as owner, j.owner as owner_id,
      j.state = 'running' and jobs_internal.is_watched(j.id) as watches
    from jobs_internal.stop_request as x
    cross join lateral (
      select o.id, o.owner, o.state, o.lane_id, o.child_pid, o.child_start
      from jobs_internal.job as o
      where o.id = x.job_id
      offset 0
    ) as j
    left join jobs_internal.active_sessions() as l on l.job_id = x.job_id and l.attempt = x.attempt
    where (p_job is null or x.job_id = p_job)
      and (l.pid is not null or (j.child_pid is not null
            and jobs_internal.alive(j.child_pid, j.child_start)))
  loop
    v_age := clock_timestamp() - v.requested_at;
    continue when v.watches and v.child_pid is null
      and v_age between interval '0' and interval '2 seconds';
    v_signal := case
      when v.signals_sent = 0 then 'cancel'
      when v.signals_sent = 1 and v_age > interval '1 second' then 'cancel'
      when v.signals_sent >= 2 and v_age > interval '3 seconds'
        and v.signalled_at < clock_timestamp() - interval '2 seconds' then 'terminate'
    end;
    if v_age > interval '10 seconds' and v.lane_id is not null then
      update jobs_internal.lane
      set quarantine = jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'pid',
          coalesce(v.child_pid, v.pid), 'since', clock_timestamp())
      where id = (select l.id from jobs_internal.lane as l where l.id = v.lane_id
          and l.quarantine is null for no key update skip locked);
    end if;
    continue when v_signal is null;
    v_pid := case when v.child_pid is not null and jobs_internal.alive(v.child_pid, v.child_start)
      then v.child_pid else v.pid end;
    continue when v_pid is null;  -- its child has just ended, and its watcher before it
    if v_pid = v.pid then
      perform from jobs_internal.session as s
      where s.id = v.session_id and case when v.alone then s.job_id = v.job_id
        and s.attempt = v.attempt else s.job_id is null end
      for update skip locked;
      continue when not found;
    end if;
    update jobs_internal.stop_request
    set signals_sent = signals_sent + 1, signalled_at = clock_timestamp()
    where ctid = (select x.ctid from jobs_internal.stop_request as x
      where x.job_id = v.job_id and x.attempt = v.attempt
        and x.signals_sent = v.signals_sent for update skip locked);
    continue when not found;
    continue when not jobs_internal.signal(v_pid, v_signal = 'terminate', v.job_id::text,
        case when p_job is null then v.owner_id end);
    return next jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'owner', v.owner,
        'pid', v_pid, 'signal', v_signal, 'reason', v.reason);
  end loop;
  perform jobs_internal.lift_quarantine();
end
$$;
create or replace function jobs_internal.note_overdue()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  for v in
    select l.job_id, l.attempt, l.session_id, l.owner, j.queue_id
    from jobs_internal.active_sessions() as l
    cross join lateral (
      select o.queue_id, o.timeout from jobs_internal.job as o
      where o.id = l.job_id
        and l.attempt = case o.state when 'running' then o.attempt else o.attempt + 1 end
      offset 0
    ) as j
    where j.timeout is not null and l.started_at + j.timeout <= clock_timestamp()
      and not exists (select from jobs_internal.stop_request as x where x.job_id = l.job_id
          and x.attempt = l.attempt)
    union all
    select j.id, j.attempt, s.id, j.owner, j.queue_id
    from jobs_internal.session as s
    cross join lateral (
      select o.id, o.attempt, o.owner, o.queue_id, o.child_pid, o.timeout, o.started_at
      from jobs_internal.job as o
      where o.id = s.job_id and o.attempt = s.attempt and o.session_id = s.id
        and o.state = 'running'
      offset 0
    ) as j
    where j.child_pid is not null and j.timeout is not null
      and j.started_at + j.timeout <= clock_timestamp()
      and not exists (select from jobs_internal.stop_request as x where x.job_id = j.id
          and x.attempt = j.attempt)
      and not jobs_internal.alive(s.pid, s.backend_start)
    order by 1, 2
  loop
    exit when v_count = 0 and not jobs_internal.takes_duty('overdue');
    perform from jobs_internal.session as s where s.id = v.session_id for key share skip locked;
    if found then
      insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
        values (v.job_id, v.attempt, 'timed_out', session_user)
      on conflict do nothing;
      v_count := v_count + 1;
    elsif not jobs_internal.is_put_off('overdue', v.job_id::text)
      and jobs_internal.has_room(v_until) then
      begin
        insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
          values (v.job_id, v.attempt, 'timed_out', session_user)
        on conflict do nothing;
        v_count := v_count + 1;
      exception
        when lock_not_available then  -- the tick's own limit
          perform jobs_internal.note_failure('overdue', v.job_id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
      end;
    end if;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.lift_quarantine(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.quarantine is not null) then
    return;
  end if;
  update jobs_internal.lane as l set quarantine = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.quarantine is not null and (p_owner is null or o.owner = p_owner)
      and not exists (select from jobs_internal.stop_request as x
          join jobs_internal.job as j on j.id = x.job_id
        where x.job_id = (o.quarantine ->> 'job_id')::bigint
          and x.attempt = (o.quarantine ->> 'attempt')::integer
          and x.attempt >= case j.state when 'running' then j.attempt else j.attempt + 1 end)
    for no key update skip locked);
end
$$;
create or replace function jobs_internal.rescue(p_owner oid default null)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_count integer := 0;
  v_dead bigint[];
  v_found timestamptz;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_id bigint;
  v_seen_to boolean;
  v_error jsonb;
begin
  if p_owner is null then
    begin
      perform jobs_internal.note_crash();
      if exists (select from jobs_internal.server as s where s.epoch <> jobs_internal.epoch()) then
        return 0;  -- another session finds out just now what to blame
      end if;
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('round', 'crash',
            jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end if;
  v_dead := array(
    select s.id from jobs_internal.session as s
    left join jobs_internal.duty_failure as f on f.duty = 'rescue' and f.item = s.id::text
    where not jobs_internal.alive(s.pid, s.backend_start) and (p_owner is null or s.owner = p_owner)
      and (p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at))
    order by f.retry_at nulls first, s.id);
  v_found := clock_timestamp();
  foreach v_id in array v_dead loop
    exit when p_owner is null and not jobs_internal.has_room(v_until);
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id for update skip locked;
    continue when not found;
    perform pg_stat_clear_snapshot();
    continue when jobs_internal.alive(v_session.pid, v_session.backend_start);
    v_error := null;
    begin
      v_seen_to := jobs_internal.rescue_one(v_session, v_found);
      if v_seen_to is null then
        v_error := jobs_internal.error_object('55P03', 'messages of a dead session are locked',
            'Another transaction of the same owner holds them.',
          'They are taken back when it ends, or when their lease does.');
      end if;
    exception
      when others then
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
      when query_canceled then
        if p_owner is not null then
          raise;
        end if;
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
    end;
    v_count := v_count + (v_error is null and v_seen_to)::integer;
    if v_error is not null and p_owner is not null then
      raise warning using message = format('session %s cannot be rescued now: %s', v_session.id,
          v_error ->> 'message');
    elsif v_error is not null then
      perform jobs_internal.note_failure('rescue', v_id::text, v_error,
        (select l.queue_id from jobs_internal.lane as l where l.id = v_session.lane_id),
          v_session.owner);
      if not exists (select from jobs_internal.job as j
        where j.id = v_session.job_id and j.session_id = v_id and j.state = 'running'
          and jobs_internal.alive(j.child_pid, j.child_start))
      then
        perform jobs_internal.free_slots(v_id);
      end if;
    elsif p_owner is null then
      perform jobs_internal.clear_failure('rescue', v_id::text);
    end if;
  end loop;
  if p_owner is null then
    perform jobs_internal.sweep_slots();
  end if;
  return v_count;
end
$$;
create or replace function jobs_internal.rescue_one(p_session jobs_internal.session,
    p_found timestamptz default clock_timestamp())
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_statement jobs_internal.statement;
  v_result jobs_internal.attempt_result;
  v_lost jobs_internal.attempt_result;
  v_top_level boolean;
  v_reason text;
  v_revoked boolean;
  v_other jsonb;
  v_left bigint[];
begin
  if p_session.msg_ids is not null then
    v_left := jobs_internal.hand_on(p_session, p_session.crash_attribution is null);
  end if;
  if p_session.job_id is not null then
    select j.* into v_job from jobs_internal.job as j
    where j.id = p_session.job_id and j.attempt = p_session.attempt and j.session_id = p_session.id
      and j.state = 'running'
    for update skip locked;
    if not found then
      select j.* into v_job from jobs_internal.job as j
      where j.id = p_session.job_id and j.attempt = p_session.attempt
        and j.session_id = p_session.id and j.state = 'running';
      if found and jobs_internal.alive(v_job.child_pid, v_job.child_start) then
        return false;
      elsif found then
        raise exception using errcode = '55P03', message = format('job %s is locked', v_job.id),
          detail = 'Another transaction, of its owner or of an operator, holds its row.',
            hint = 'It is tried again.';
      end if;
    end if;
    if v_job.id is not null then
      select s.* into v_statement from jobs_internal.statement as s
      where s.job_id = v_job.id for update nowait;
      perform from jobs_internal.stop_request as x where x.job_id = v_job.id for update nowait;
      perform from jobs_internal.progress_message as m where m.job_id = v_job.id for update nowait;
      v_top_level := coalesce(v_statement.top_level, false)
        or exists (select from jobs_internal.call_template as s where s.id = v_job.call_template_id
            and s.procedure);
      if v_top_level and v_job.child_pid is null then
        v_job := jobs_internal.find_orphan(v_job, p_session);
      end if;
      if v_job.child_pid is not null and jobs_internal.alive(v_job.child_pid, v_job.child_start)
        then
        return false;
      end if;
      begin
        perform jobs_internal.store_leftover(v_job.id, v_job.owner, v_statement.target,
            v_statement.identity);
      exception
        when others then
          null;  -- an identity that its owner made up does not keep the session from being seen to
      end;
      v_reason := (select x.reason from jobs_internal.stop_request as x where x.job_id = v_job.id
          and x.attempt = v_job.attempt);
      v_result.job_id := v_job.id;
      v_result.attempt := v_job.attempt;
      v_result.started_at := v_job.started_at;
      v_result.finished_at := clock_timestamp();
      v_result.child_pid := v_job.child_pid;
      if v_reason is null and p_session.crash_attribution is null and v_job.timeout is not null
        and v_job.started_at + v_job.timeout <= v_result.finished_at then
        v_reason := 'timed_out';
      end if;
      if v_reason is not null then
        v_result.outcome := v_reason;
        v_result.error := jobs_internal.stop_error(v_reason, v_job.timeout,
            'Its session was ended.');
      else
        if p_session.crash_attribution is null then
          perform pg_sleep(least(extract(epoch
                from p_found + interval '0.2 seconds' - clock_timestamp()), 0.2)::double precision);
        end if;
        v_revoked := p_session.crash_attribution is null and not exists (
          select from pg_roles as r where r.oid = p_session.owner
            and pg_has_role(r.oid, 'jobs_runner', 'member'));
        v_result.outcome := case
          when p_session.crash_attribution = 'not_charged' or v_revoked then 'interrupted'
          else 'lost' end;
        v_result.error := case
          when p_session.crash_attribution = 'charged' and v_job.crashes >= v_job.max_attempts then
            jobs_internal.error_object('PWL02',
                format('the server crashed %s while it ran',
                    jobs_internal.counted(v_job.crashes, 'time')),
              format('The last time it ran isolated from other suspects: worker session %s, '
                  'pid %s.', p_session.id, p_session.pid),
              'Look in the server log for what ended that pid. A retry crashes the server again, '
              'unless its cause is gone.')
          when p_session.crash_attribution = 'charged' then
            jobs_internal.error_object('PWL01', 'the server crashed while it ran',
              format('It ran isolated from other suspects: worker session %s, pid %s.',
                  p_session.id, p_session.pid),
              'Look in the server log for what ended that pid. A retry runs apart from other '
              'suspects.')
          when v_revoked then
            jobs_internal.error_object('PWL01', 'its owner lost the right to run jobs while it ran',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid), 'It is not charged for that, and waits until its owner '
                'is a member of jobs_runner again.')
          when p_session.crash_attribution = 'not_charged' then
            jobs_internal.error_object('PWL01', 'the server stopped while it ran',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid), 'It is not charged for that.')
          else
            jobs_internal.error_object('PWL01', 'the session that ran it died',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid),
              'Look in the server log for that pid. A retry may live.')
        end;
        if v_result.error ->> 'sqlstate' = 'PWL02' then
          null;  -- whatever it did: it is not run again
        elsif v_top_level then
          if v_statement.done_when is null and not jobs_internal.is_repeatable(v_job.id) then
            v_result.outcome := 'in_doubt';
            v_result.error := jobs_internal.error_object('PWD01', 'it ended unseen',
                'The session that watched it died, it has no post-condition, and it is not said to '
                'be repeatable.',
              'Look whether it did its work; then select jobs.retry(id), or leave it.');
          else
            update jobs_internal.job
            set state = 'scheduled', due_at = clock_timestamp(), session_id = null, verify = true,
              child_pid = null, child_start = null,
              started_at = null, attempt = attempt
                - (p_session.crash_attribution is not distinct from 'not_charged')::integer,
              error = v_result.error,
              max_attempts = greatest(max_attempts,
                  attempt + (p_session.crash_attribution is distinct from 'not_charged')::integer)
            where id = v_job.id;
            if p_session.crash_attribution is distinct from 'not_charged' then
              v_lost := v_result;
              v_lost.outcome := 'lost';
              perform jobs_internal.store_attempt(v_job.owner, p_session.pid, v_lost);
            end if;
            perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, p_session.id,
                p_session.pid, null, jsonb_build_array(jsonb_build_object(
              'job_id', v_job.id, 'task', jobs_internal.task_name(v_job.id, v_job.call_template_id),
              'outcome', v_result.outcome, 'attempt', v_job.attempt,
              'max_attempts', v_job.max_attempts, 'state', 'scheduled', 'retry_at',
                clock_timestamp(),
              'ms', round((extract(epoch from v_result.finished_at - v_job.started_at)
                    * 1000)::numeric, 3),
              'error', v_result.error - 'context' - 'detail', 'note',
                jobs_internal.brief_note(v_job.note))));
            v_result.outcome := null;
          end if;
        end if;
      end if;
      if v_result.outcome is not null then
        v_other := jobs_internal.end_attempt(p_session.pid, 'running', v_job.attempt, v_result);
        perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, p_session.id, p_session.pid,
            null, jsonb_build_array(v_other));
      end if;
    end if;
  end if;
  perform jobs_internal.free_slots(p_session.id);
  if v_left is not null then
    update jobs_internal.session set msg_ids = v_left where id = p_session.id;
    return null;
  end if;
  delete from jobs_internal.session where id = p_session.id;
  return true;
end
$$;
create or replace function jobs_internal.find_orphan(p_job jobs_internal.job,
    p_session jobs_internal.session)
returns jobs_internal.job
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  select a.pid, a.backend_start into p_job.child_pid, p_job.child_start
  from pg_stat_get_activity(null) as a
  where a.usesysid = p_job.owner and a.backend_type <> 'client backend' and a.pid <> p_session.pid
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
    and starts_with(a.application_name, format('pw %s/%s ', p_job.id, p_job.attempt))
  order by a.backend_start  -- what it launched itself has the same name
  limit 1;
  if found then
    update jobs_internal.job set child_pid = p_job.child_pid, child_start = p_job.child_start
      where id = p_job.id;
  end if;
  return p_job;
end
$$;
create or replace function jobs_internal.hand_on(p_session jobs_internal.session, p_suspect boolean)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint[];
begin
  if to_regclass('pgmq.q_pyworker_' || p_session.lane_id) is null then
    return null;  -- the queue was dropped meanwhile, and its lanes with it
  end if;
  execute format(
    'update pgmq.%1$I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - $3 where '
    'm.msg_id in ('
    '  select q.msg_id from pgmq.%1$I as q where q.msg_id = any ($1) and q.vt = $2 for update skip '
    'locked)', 'q_pyworker_' || p_session.lane_id)
  using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
  if p_session.lease > clock_timestamp() then
    execute format('select array_agg(m.msg_id order by m.msg_id) from pgmq.%I as m where m.msg_id '
      '= any ($1) and m.vt = $2',
      'q_pyworker_' || p_session.lane_id)
    into v_left using p_session.msg_ids, p_session.lease;
  end if;
  return v_left;
end
$$;
create or replace function jobs_internal.chunk_of(p_session jobs_internal.session)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs bigint[];
begin
  if p_session.msg_ids is null then
    return '{}';
  end if;
  execute format(
    'select array_agg(c.job) from ('
    '  select (m.message ->> ''job'')::bigint as job from pgmq.%I as m where m.msg_id = any ($1) '
    'and m.vt = $2 order by m.msg_id limit $3) as c',
    'q_pyworker_' || p_session.lane_id)
  into v_jobs using p_session.msg_ids, p_session.lease,
    jobs_internal.setting('chunk_jobs')::integer;
  return coalesce(v_jobs, '{}');
exception
  when undefined_table then
    return '{}';  -- the queue was dropped meanwhile
end
$$;
create or replace function jobs_internal.note_crash()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_epoch timestamptz := jobs_internal.epoch();
  v_server jobs_internal.server;
  v_ran jobs_internal.session[];
  v_suspects bigint[];
  v_isolated record;
  v_cause bigint;
begin
  if v_epoch is null or exists (select from jobs_internal.server as s where s.epoch = v_epoch) then
    return;
  end if;
  select s.* into v_server from jobs_internal.server as s for update skip locked;
  if not found then
    return;
  end if;
  perform pg_stat_clear_snapshot();  -- before we had that row, the server may have come up anew
  v_epoch := jobs_internal.epoch();
  if v_epoch is null or v_server.epoch = v_epoch then
    return;
  end if;
  update jobs_internal.session set crash_attribution = 'not_charged' where epoch <> v_epoch;
  v_ran := array(
    select s from jobs_internal.session as s where s.epoch <> v_epoch
      and s.postmaster = pg_postmaster_start_time());
  v_suspects := array(
    select s.job_id from unnest(v_ran) as s where s.job_id is not null
    union
    select j.id
    from unnest(v_ran) as s
    cross join lateral unnest(jobs_internal.chunk_of(s)) as c
    join jobs_internal.job as j on j.id = c and j.crashes = 0
    where s.job_id is null);
  select s.id, j.id as job, j.isolated_crashes into v_isolated
  from unnest(v_ran) as s
  join jobs_internal.job as j on j.id = s.job_id
  where s.id = v_server.isolated_session and s.job_id = v_server.isolated_job
    and s.attempt = v_server.isolated_attempt
    and s.epoch = v_server.epoch and v_epoch < v_server.isolated_until + interval '1 second';
  if v_isolated.id is not null
    and (v_isolated.isolated_crashes > 0 or v_suspects = array[v_isolated.job]) then
    v_cause := v_isolated.id;
    v_suspects := array[v_isolated.job];
  end if;
  update jobs_internal.job
  set crashes = least(crashes + 1, 32767),
    crash_ran = coalesce(greatest(v_epoch - started_at, interval '0'), interval '0'),
    isolated_crashes = isolated_crashes + (id is not distinct from v_isolated.job)::integer
  where id = any (array(select j.id from jobs_internal.job as j
        where j.id = any (v_suspects) for no key update skip locked));
  if v_cause is null and cardinality(v_suspects) = 1 then
    select s.id into v_cause
    from unnest(v_ran) as s
    join jobs_internal.job as j on j.id = s.job_id
    where s.job_id = v_suspects[1] and j.crashes >= j.max_attempts;
  end if;
  update jobs_internal.session set crash_attribution = 'charged' where id = v_cause;
  update jobs_internal.server set epoch = v_epoch, isolated_session = null, isolated_job = null,
    isolated_attempt = null, isolated_until = null;
  perform jobs_internal.record_installation();
end
$$;
create or replace function jobs_internal.start_isolated_run(p_session bigint, p_job bigint,
    p_attempt integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_server jobs_internal.server;
  v_now timestamptz;
begin
  select j.crashes, j.crash_ran into v_job from jobs_internal.job as j where j.id = p_job;
  if not found or v_job.crashes = 0 then
    return true;
  end if;
  select s.* into v_server from jobs_internal.server as s for update skip locked;
  if not found then
    return exists (
      select from jobs_internal.server as s
      join pg_stat_get_activity(null) as a on a.backend_xid = s.xmax
      where a.xact_start < clock_timestamp() - interval '5 seconds');
  end if;
  perform pg_stat_clear_snapshot();
  v_now := clock_timestamp();
  if v_now < v_server.isolated_until and exists (
    select from jobs_internal.session as s
    where s.id = v_server.isolated_session and s.id <> p_session
      and s.job_id = v_server.isolated_job and s.attempt = v_server.isolated_attempt
      and jobs_internal.alive(s.pid, s.backend_start))
  then
    return false;
  end if;
  update jobs_internal.server
  set isolated_session = p_session, isolated_job = p_job, isolated_attempt = p_attempt,
    isolated_until = v_now + case when v_job.crashes = 1
      then least(greatest(v_job.crash_ran * 2, interval '1 second'), interval '5 seconds')
      else greatest(v_job.crash_ran * 2, interval '5 seconds') end;
  return true;
end
$$;
create or replace function jobs_internal.repair_clock_step()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_lane record;
  v_looked_at timestamptz := (select v.clock from jobs_internal.server as v);
  v_until timestamptz := clock_timestamp() + interval '0.5 seconds';
  v_latest timestamptz := clock_timestamp()
    + make_interval(secs => jobs_internal.setting('lease_seconds')::double precision + 60);
  v_came_to text[] := string_to_array(current_setting('pyworker.clock_lane', true), '|');
  v_after integer := case when v_came_to[2] = v_looked_at::text then v_came_to[1] else '0' end;
  v_count integer;
  v_more boolean := false;
  v_locked boolean := false;
begin
  update jobs_internal.stop_request as o
  set requested_at = clock_timestamp(), signalled_at = least(o.signalled_at, clock_timestamp())
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop_request as x
    where x.requested_at > clock_timestamp() + interval '1 minute' for update skip locked));
  if v_looked_at between clock_timestamp() - interval '10 seconds' and clock_timestamp() then
    return;
  end if;
  update jobs_internal.server set clock = clock_timestamp()
    where id = (select v.id from jobs_internal.server as v for update skip locked);
  if not found  -- another supervisor looks
    or v_looked_at between clock_timestamp() - interval '1 minute' and clock_timestamp()
  then
    return;
  end if;
  for v_lane in
    select l.id, l.pgmq_queue from jobs_internal.lane as l
    where l.idle_state <> 'idle' and l.id > v_after
      and to_regclass('pgmq.q_' || l.pgmq_queue) is not null
    order by l.id
  loop
    v_more := not jobs_internal.has_room(v_until);
    exit when v_more;
    begin
      execute format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp() where m.msg_id = any (array('
        '  select q.msg_id from pgmq.%1$I as q where q.vt > $1 limit 5000 for update skip locked))',
        'q_' || v_lane.pgmq_queue)
      using v_latest;
      get diagnostics v_count = row_count;
      v_more := v_count = 5000;
      exit when v_more;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
      when lock_not_available then
        v_locked := true;  -- as a whole, by another session: it keeps no other lane waiting
    end;
    v_after := v_lane.id;
  end loop;
  if v_more or v_locked then
    update jobs_internal.server set clock = clock_timestamp() + interval '1 day'
    returning clock into v_looked_at;
    perform set_config('pyworker.clock_lane',
        case when v_more then v_after || '|' || v_looked_at end, false);
  end if;
end
$$;
create or replace function jobs_internal.wake_after_clock_step()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_pid integer;
  v_count integer := 0;
begin
  for v_id in
    select s.id from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.xact_start > clock_timestamp() + interval '1 second'
  loop
    perform from jobs_internal.session as s where s.id = v_id for update skip locked;
    continue when not found;
    perform pg_stat_clear_snapshot();
    select s.pid into v_pid
    from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.id = v_id and a.xact_start > clock_timestamp() + interval '1 second'
      and (s.job_id is null and (s.msg_ids is null or a.application_name = 'pw nap')
        or exists (select from jobs_internal.job as j where j.id = s.job_id
          and (j.child_pid is not null or jobs_internal.is_watched(j.id))));
    if found then
      v_count := v_count + jobs_internal.signal(v_pid, false, 'session ' || v_id, null)::integer;
    end if;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.reclaim_unstarted()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  for v_session in
    select s.* from jobs_internal.session as s
    join jobs_internal.active_sessions() as l on l.session_id = s.id
    where s.msg_ids is not null and l.started_at < clock_timestamp() - interval '1 second'
  loop
    continue when to_regclass('pgmq.q_pyworker_' || v_session.lane_id) is null;
    exit when not jobs_internal.has_room(v_until);
    begin
      execute format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1 where '
        'm.msg_id in ('
        '  select q.msg_id from pgmq.%1$I as q where q.msg_id = any ($1) and q.vt = $2 for update '
        'skip locked)',
        'q_pyworker_' || v_session.lane_id)
      using v_session.msg_ids, v_session.lease;
    exception
      when lock_not_available or undefined_table then
        null;  -- another session has locked the whole table: the next round looks again
    end;
  end loop;
end
$$;
create or replace function jobs_internal.reports_its_job(p_session jobs_internal.session,
    p_name text,
    p_xact_start timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_named text[] := regexp_match(p_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: |$)');
  v_idle boolean := p_name = 'pw idle';
begin
  if v_idle then
    execute format(
        'select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
      ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = '
      '$2 for key share skip locked) as f)',
      'q_pyworker_' || p_session.lane_id)
    into v_idle using p_session.msg_ids, p_session.lease;
    return v_idle;
  end if;
  return v_named is not null
    and exists (
      select from jobs_internal.job as j
      where j.id = v_named[1]::bigint and j.owner = p_session.owner and j.state = 'queued'
        and j.attempt + 1 = v_named[2]::integer
        and j.lane_id = p_session.lane_id and j.msg_id = any (p_session.msg_ids))
    and to_timestamp(v_named[3]::bigint / 1000.0) between p_xact_start - interval '1 second'
      and p_xact_start + jobs_internal.setting('chunk_ms')::bigint * interval '1 millisecond'
        + interval '1 second';
exception
  when undefined_table then
    return true;  -- its queue was dropped meanwhile
end
$$;
create or replace function jobs_internal.cancel_hidden_chunks()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_session jobs_internal.session;
  v_count integer := 0;
begin
  for v in
    select s as session, s.id, s.pid, a.application_name, a.xact_start,
      s.hidden_signal_at > a.xact_start as signalled
    from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.job_id is null and s.msg_ids is not null
      and a.xact_start < clock_timestamp() - interval '2 seconds'
      and (s.hidden_signal_at is null or s.hidden_signal_at < greatest(a.xact_start,
            clock_timestamp() - interval '3 seconds'))
  loop
    continue when jobs_internal.reports_its_job(v.session, v.application_name, v.xact_start);
    select s.* into v_session from jobs_internal.session as s where s.id = v.id and s.job_id is null
      and s.msg_ids is not null for update skip locked;
    continue when not found;
    perform pg_stat_clear_snapshot();
    continue when not exists (select from pg_stat_get_activity(v.pid) as a
      where a.xact_start = v.xact_start
        and not jobs_internal.reports_its_job(v_session, a.application_name, a.xact_start));
    update jobs_internal.session as s set hidden_signal_at = clock_timestamp() where s.id = v.id;
    v_count := v_count + jobs_internal.signal(v.pid, v.signalled, 'session ' || v.id,
        (v.session).owner)::integer;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.kept_in(p_retention interval)
returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select k.retention
  from (values
    (interval '1 hour'), (interval '6 hours'), (interval '1 day'), (interval '3 days'),
      (interval '7 days'), (interval '30 days'),
    (interval '90 days'), (interval '1 year'), (interval 'infinity')) as k (retention)
  where k.retention >= p_retention
  order by k.retention
  limit 1;
end;
create or replace function jobs_internal.fitting_class(p_queue integer)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select c.id
  from jobs_internal.queue as q
  join jobs_internal.history_class as c
    on case when q.retention_rows is null then c.retention = jobs_internal.kept_in(q.retention)
      else c.queue_id = q.id end
  where q.id = p_queue;
end;
create or replace function jobs_internal.is_wanted(p_class jobs_internal.history_class)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.quota as u where u.owner = p_class.owner
      and u.history_rows is not null) or exists (
    select from jobs_internal.queue as q
    where q.removed_at is null and p_class.owner is null and (
      q.class_id = p_class.id
      or case when p_class.queue_id is not null then q.id = p_class.queue_id
      and q.retention_rows is not null
        else q.retention_rows is null
          and jobs_internal.kept_in(q.retention) = p_class.retention end));
end;
create or replace function jobs_internal.enter_class(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_class integer := coalesce(jobs_internal.fitting_class(p_queue), 1);
  v_bucket integer;
begin
  select c.bucket into v_bucket from jobs_internal.history_class as c
  where c.id = v_class for key share;
  if v_bucket is null then
    v_class := 1;
    select c.bucket into v_bucket from jobs_internal.history_class as c
    where c.id = 1 for key share;
  end if;
  insert into jobs_internal.history_use (bucket, queue_id)
    values (v_bucket, p_queue) on conflict do nothing;
  update jobs_internal.queue as q set class_id = v_class where q.id = p_queue
    and q.class_id <> v_class;
end
$$;
create or replace function jobs_internal.move_queues()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_class jobs_internal.history_class;
  v_count integer := 0;
begin
  insert into jobs_internal.history_class (owner)
  select u.owner from jobs_internal.quota as u where u.history_rows is not null
  on conflict do nothing;
  for v in
    select q.id, q.retention_rows, k.retention, f.id as class_id
    from jobs_internal.queue as q
    cross join lateral (select case when q.retention_rows is null
        then jobs_internal.kept_in(q.retention) end) as k (retention)
    left join jobs_internal.history_class as f
      on case when k.retention is null then f.queue_id = q.id
      else f.retention = k.retention end
    where q.removed_at is null and q.class_id is distinct from f.id
  loop
    if v.class_id is null then
      insert into jobs_internal.history_class (retention, queue_id)
        values (v.retention, case when v.retention is null then v.id end) on conflict do nothing;
      continue;  -- it has no bucket yet
    end if;
    select c.* into v_class from jobs_internal.history_class as c
    where c.id = v.class_id for key share skip locked;
    continue when v_class.bucket is null;
    perform from jobs_internal.queue as q where q.id = v.id
      and q.removed_at is null for no key update skip locked;
    continue when not found;
    insert into jobs_internal.history_use (bucket, queue_id)
      values (v_class.bucket, v.id) on conflict do nothing;
    update jobs_internal.queue as q set class_id = v_class.id where q.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.leave_classes()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_class;
  v_count integer := 0;
begin
  for v in select c.* from jobs_internal.history_class as c where c.id <> 1 order by c.id loop
    continue when jobs_internal.is_wanted(v);
    select c.* into v from jobs_internal.history_class as c
    where c.id = v.id for update skip locked;
    continue when not found;
    continue when jobs_internal.is_wanted(v);
    if v.bucket is not null then
      update jobs_internal.history_bucket as b set left_at = clock_timestamp(),
        left_by = pg_current_xact_id() where b.id = v.bucket;
      update jobs_internal.history_class as c set bucket = null where c.id = v.id;
      v_count := v_count + 1;
    elsif not exists (select from jobs_internal.history_bucket as b where b.class_id = v.id) then
      delete from jobs_internal.history_class as c where c.id = v.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.history_tables()
returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select array['finished', 'finished_attempt', 'finished_log_line', 'finished_statement'];
end;
create or replace function jobs_internal.make_bucket(p_class integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_id integer;
  v_table text;
  v_partition text;
begin
  insert into jobs_internal.history_bucket (class_id) values (p_class) returning id into v_id;
  foreach v_table in array jobs_internal.history_tables() loop
    v_partition := v_table || '_' || v_id;
    execute format('create table jobs_internal.%I (like jobs_internal.%I including all)',
        v_partition, v_table);
    execute format('comment on table jobs_internal.%I is %L', v_partition,
        format('Bucket %s of %s', v_id, v_table));
    if v_table = 'finished' then
      execute format('alter table jobs_internal.%I set (autovacuum_vacuum_scale_factor = 0.02, '
        'autovacuum_vacuum_insert_scale_factor = 0.05)',
        v_partition);
    end if;
    execute format(
        'alter table jobs_internal.%I attach partition jobs_internal.%I for values in (%s)',
          v_table, v_partition, v_id);
  end loop;
  return v_id;
end
$$;
create or replace function jobs_internal.about_rows(p_bucket integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select (pg_relation_size(c.oid) / 8192.0
    * case when c.relpages > 0 and c.reltuples > 0 then c.reltuples / c.relpages
      else 55 end)::bigint
  from pg_class as c
  where c.oid = to_regclass('jobs_internal.finished_' || p_bucket);
end;
create or replace function jobs_internal.is_full(p_class jobs_internal.history_class)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_retention interval;
  v_most bigint;
  v_age interval;
  v_lasts interval;
  v_rows bigint;
begin
  if not exists (select from jobs_internal.finished as f where f.bucket = p_class.bucket) then
    return false;
  end if;
  select q.retention, q.retention_rows into v_retention, v_most from jobs_internal.queue as q
  where q.id = p_class.queue_id;
  if p_class.owner is not null then
    v_retention := (select max(q.retention) from jobs_internal.queue as q);
    v_most := (select u.history_rows from jobs_internal.quota as u where u.owner = p_class.owner);
  end if;
  v_retention := coalesce(v_retention, p_class.retention);
  v_age := clock_timestamp() - (select b.opened_at from jobs_internal.history_bucket as b
      where b.id = p_class.bucket);
  v_lasts := case when v_retention > interval '240 days' then interval '30 days'
    else greatest(v_retention / 8, interval '10 minutes') end;
  if v_age >= v_lasts then
    return true;
  end if;
  v_rows := jobs_internal.about_rows(p_class.bucket);
  return coalesce(v_rows >= v_most / 4 and (v_rows >= 1000 or v_age >= interval '10 minutes'),
      false);
end
$$;
create or replace function jobs_internal.bucket_of(p_queue integer, p_owner oid)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select o.bucket from jobs_internal.history_class as o where o.owner = p_owner),
      c.bucket)
  from jobs_internal.queue as q
  join jobs_internal.history_class as c on c.id = q.class_id
  where q.id = p_queue;
end;
create or replace function jobs_internal.make_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_class;
  v_count integer := 0;
begin
  for v in
    select c.* from jobs_internal.history_class as c
    where not exists (select from jobs_internal.history_bucket as b where b.class_id = c.id
        and b.opened_at is null)
    order by c.id
  loop
    exit when v_count >= 10;
    continue when case
      when v.bucket is not null then not jobs_internal.is_full(v)
      else not jobs_internal.is_wanted(v) end;
    continue when jobs_internal.is_put_off('history', 'make class ' || v.id);
    begin
      perform jobs_internal.make_bucket(v.id);
      v_count := v_count + 1;
      perform jobs_internal.clear_failure('history', 'make class ' || v.id);
    exception
      when lock_not_available or deadlock_detected then
        exit;  -- a detach is under way: the next round makes it
      when others or query_canceled then  -- a trigger on DDL, say
        perform jobs_internal.note_failure('history', 'make class ' || v.id,
            jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
    end;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.history_writers()
returns text[]
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(array_agg(distinct l.virtualtransaction), '{}')
  from pg_locks as l
  where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.pid is distinct from pg_backend_pid()
    and l.relation = any (array(
      select to_regclass('jobs_internal.' || t)::oid
      from unnest(jobs_internal.history_tables()) as t));
end;
create or replace function jobs_internal.is_older_snapshot(p_than xid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();  -- what we know may be older than that commit
  return exists (
    select from pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and age(a.backend_xmin) >= age(p_than));
end
$$;
create or replace function jobs_internal.open_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_bucket;
  v_writers text[];
  v_old integer;
  v_count integer := 0;
begin
  for v in
    select b.* from jobs_internal.history_bucket as b
    where b.opened_at is null and b.made_by <> pg_current_xact_id()
    order by b.id
  loop
    v_writers := coalesce(v_writers, jobs_internal.history_writers());
    v.awaits := case when v.awaits is null then v_writers
      else array(select w from unnest(v.awaits) as w where w = any (v_writers)) end;
    update jobs_internal.history_bucket as b set awaits = v.awaits where b.id = v.id
      and b.awaits is distinct from v.awaits;
    continue when v.awaits <> '{}';
    select c.bucket into v_old from jobs_internal.history_class as c
    where c.id = v.class_id for update skip locked;
    continue when not found;
    update jobs_internal.history_bucket as b set left_at = clock_timestamp(),
      left_by = pg_current_xact_id() where b.id = v_old;
    update jobs_internal.history_bucket as b set opened_at = clock_timestamp() where b.id = v.id;
    update jobs_internal.history_class as c set bucket = v.id where c.id = v.class_id;
    insert into jobs_internal.history_use (bucket, queue_id)
    select v.id, q.id from jobs_internal.queue as q where q.class_id = v.class_id
      and q.removed_at is null
    on conflict do nothing;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.close_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_bucket;
  v_rows bigint;
  v_count integer := 0;
begin
  update jobs_internal.history_bucket as b set left_by = pg_current_xact_id()
  where b.left_by > pg_current_xact_id();
  for v in
    select b.* from jobs_internal.history_bucket as b
    where b.left_at is not null and b.closed_at is null and b.left_by <> pg_current_xact_id()
    order by b.id
  loop
    continue when jobs_internal.is_older_snapshot(v.left_by::xid);
    v_rows := null;
    if exists (select from jobs_internal.history_class as c where c.id = v.class_id
        and c.retention is null) then
      v_rows := (select count(*) from jobs_internal.finished as f where f.bucket = v.id);
    end if;
    update jobs_internal.history_bucket as b set closed_at = clock_timestamp(), rows = v_rows
      where b.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.expire_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  update jobs_internal.history_bucket as b set expired_at = clock_timestamp()
  where b.closed_at is not null and b.expired_at is null
    and (
      b.closed_at < clock_timestamp() - coalesce((
        select max(q.retention) from jobs_internal.queue as q
        where q.id in (select u.queue_id from jobs_internal.history_use as u where u.bucket = b.id)
          or exists (select from jobs_internal.history_class as c where c.id = b.class_id
              and c.owner is not null)), interval '0')
      or (select coalesce(q.retention_rows, u.history_rows) from jobs_internal.history_class as c
          left join jobs_internal.queue as q on q.id = c.queue_id
          left join jobs_internal.quota as u on u.owner = c.owner where c.id = b.class_id)
        <= (select sum(n.rows) from jobs_internal.history_bucket as n where n.class_id = b.class_id
            and n.id > b.id));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
create or replace function jobs_internal.detach_next()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
begin
  if exists (select from pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> pg_backend_pid()
      and a.query like 'alter table jobs\_internal.% detach partition %' and a.state = 'active')
  then
    return false;
  end if;
  select t.name, t.name || '_' || b.id as part, i.inhdetachpending as pending, i.xmin as since
  into v
  from jobs_internal.history_bucket as b
  cross join lateral unnest(jobs_internal.history_tables()) with ordinality as t (name, n)
  join pg_inherits as i on i.inhrelid = to_regclass('jobs_internal.' || t.name || '_' || b.id)
  where b.expired_at is not null
  order by i.inhdetachpending desc, b.id, t.n
  limit 1;
  if not found or (v.pending and jobs_internal.is_older_snapshot(v.since)) then
    return false;
  end if;
  return jobs_internal.launch_upkeep(
      format('alter table jobs_internal.%I detach partition jobs_internal.%I %s', v.name, v.part,
    case when v.pending then 'finalize' else 'concurrently' end), 'pyworker history');
end
$$;
create or replace function jobs_internal.drop_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_bucket integer;
  v_partition text;
  v_left boolean;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '1 second';
begin
  for v_bucket in select b.id from jobs_internal.history_bucket as b where b.expired_at is not null
    order by b.id loop
    v_left := false;
    for v_partition in
      select format('jobs_internal.%I', t || '_' || v_bucket)
      from unnest(jobs_internal.history_tables()) as t
    loop
      continue when to_regclass(v_partition) is null;
      if exists (select from pg_inherits as i where i.inhrelid = to_regclass(v_partition)) then
        v_left := true;
        exit;  -- those behind it are attached too
      end if;
      if jobs_internal.is_put_off('history', 'drop ' || v_partition)
        or not jobs_internal.has_room(v_until) then
        v_left := true;
        exit;
      end if;
      begin
        execute 'drop table ' || v_partition;
        perform jobs_internal.clear_failure('history', 'drop ' || v_partition);
      exception
        when lock_not_available or undefined_table then
          v_left := true;
        when others or query_canceled then  -- a trigger on DDL, say
          perform jobs_internal.note_failure('history', 'drop ' || v_partition,
              jobs_internal.error_object(sqlstate, sqlerrm));
          v_left := true;
      end;
    end loop;
    if not v_left then
      delete from jobs_internal.history_use as u where u.bucket = v_bucket;
      delete from jobs_internal.history_bucket as b where b.id = v_bucket;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$;
create or replace function jobs_internal.launch_upkeep(p_statement text, p_label text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1h'
set statement_timeout = 0
as $$
begin
  perform jobs_internal.run_in_background(p_statement, p_label);
  return true;
exception
  when insufficient_resources or configuration_limit_exceeded or too_many_connections then
    return false;
end
$$;
create or replace function jobs_internal.step_history()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dropped integer;
  v_steps integer;
begin
  perform from jobs_internal.history_class as c where c.id = 1 for no key update skip locked;
  if not found then
    return '{"dropped": 0, "more": false}';
  end if;
  v_dropped := jobs_internal.drop_buckets();
  v_steps := v_dropped + jobs_internal.open_buckets() + jobs_internal.close_buckets()
    + jobs_internal.expire_buckets()
    + jobs_internal.detach_next()::integer + jobs_internal.move_queues()
      + jobs_internal.make_buckets() + jobs_internal.leave_classes();
  return jsonb_build_object('dropped', v_dropped, 'more', v_steps > 0);
end
$$;
create or replace function jobs_internal.assert_program_fits(p_schema integer)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  if p_schema > jobs_internal.schema_version() then
    raise exception using errcode = 'PW053',
      message = format('the schema in database "%s" is older than this program',
        current_database()),
      detail = format('The database has version %s, and this program needs version %s.',
          jobs_internal.schema_version(), p_schema),
      hint = 'Run `pyworker upgrade`, then start it again.';
  end if;
end
$$;
create or replace function jobs_internal.supervisor_open(p_name text, p_host text, p_os_pid integer,
    p_version text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '1s'
as $$
declare
  v_id bigint;
begin
  if pg_is_in_recovery() then
    raise exception using errcode = '25006', message = 'this server is a standby',
      detail = 'Jobs run on the primary.', hint = 'Connect to the primary.';
  end if;
  perform jobs_internal.assert_not_copy();
  if (select count(*) from (select from jobs_internal.job limit 100001) as j)
    * (select count(*) from jobs_internal.lane) <= 1000000
      and (select count(*) from jobs_internal.lane) <= 200
  then
    begin
      perform jobs_internal.repair_lanes();
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('round', 'repair',
            jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end if;
  delete from jobs_internal.supervisor as d
  where d.ctid = any (array(
    select s.ctid from jobs_internal.supervisor as s
    where s.pid = pg_backend_pid() or not jobs_internal.alive(s.pid, s.backend_start)
    for update skip locked));
  delete from jobs_internal.unreached_owner as d
  where d.ctid = any (array(
    select u.ctid from jobs_internal.unreached_owner as u
    where not exists (select from jobs_internal.supervisor as s where s.id = u.supervisor_id)
    for update skip locked));
  insert into jobs_internal.supervisor (name, host, os_pid, version, pid, backend_start)
  select p_name, p_host, p_os_pid, p_version, a.pid, a.backend_start
  from pg_stat_get_activity(pg_backend_pid()) as a
  returning id into v_id;
  return v_id;
exception
  when lock_not_available then
    raise exception using errcode = '55P03',
      message = format('a supervisor cannot register while a table of pyworker is locked: %s',
        coalesce(jobs_internal.locked_tables(interval '0'), 'it is free again')),
      detail = 'It has waited for a second.',
      hint = 'It tries again by itself. Who holds the table commits, or is ended: select '
        'pg_terminate_backend(pid);';
end
$$;
create or replace function jobs_internal.supervisor_serves(p_supervisor bigint, p_owners text[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  update jobs_internal.supervisor as s set serves = p_owners where s.id = p_supervisor
$$;
create or replace function jobs_internal.supervisor_close(p_supervisor bigint)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  delete from jobs_internal.supervisor as s where s.id = p_supervisor
$$;
create or replace function jobs_internal.sessions_at_work()
returns table (
  owner oid,
  active integer,
  alone integer,
  occupied integer,
  working integer,
  moving integer,
  lane_ids integer[],
  claimed integer[]
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.owner, count(*)::integer, count(s.job_id)::integer,
    (count(*) filter (where j.started_at < clock_timestamp() - interval '1 second'))::integer,
    (count(*) filter (where b.samples))::integer,
    (count(*) filter (where b.samples and a.wait_event is null))::integer,
    array_agg(s.lane_id) filter (where b.claims),
    array_agg(cardinality(s.msg_ids)) filter (where b.claims)
  from jobs_internal.session as s
  join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  left join lateral (
    select o.started_at, o.child_pid from jobs_internal.job as o where o.id = s.job_id offset 0
  ) as j on true
  cross join lateral (
    select s.msg_ids is not null and s.job_id is null as claims,
      (s.msg_ids is not null or s.job_id is not null) and j.child_pid is null
        and a.state is not null as samples
  ) as b
  group by s.owner;
end;
create or replace function jobs_internal.session_demand()
returns table (
  owner name,
  session_demand integer,
  active_sessions integer,
  alone integer,
  occupied integer,
  working integer,
  moving integer,
  in_chunks integer,
  lanes integer,
  new_lanes integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_owner record;
  v_lane record;
  v_due bigint;
  v_first bigint;
  v_claimed bigint;
  v_busy bigint;
  v_lanes integer[];  -- those where something is due
  v_sum integer;
  v_free integer;
  v_limit integer := jobs_internal.setting('sessions_per_owner')::integer;
  v_short double precision := jobs_internal.setting('short_ms')::double precision;
  v_most integer;
  v_but text[] := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes'
      and jobs_internal.is_future(f.retry_at));
  v_rested integer := 0;
begin
  if (select s.paused from jobs_internal.switch as s) then
    return;
  end if;
  perform jobs_internal.wake_lanes();
  for v_owner in
    select r.oid, r.rolname, least(v_limit, jobs_internal.most_sessions(r.oid)) as most,
      coalesce(w.active, 0) as active, coalesce(w.alone, 0) as alone,
      coalesce(w.occupied, 0) as occupied, coalesce(w.working, 0) as working,
      coalesce(w.moving, 0) as moving, w.lane_ids, w.claimed
    from pg_roles as r
    left join jobs_internal.sessions_at_work() as w on w.owner = r.oid
    where r.oid in (select l.owner from jobs_internal.lane as l) and jobs_internal.is_runner(r.oid)
      and not jobs_internal.is_refused(r.oid)
  loop
    v_most := v_owner.most;
    v_sum := 0;
    v_lanes := '{}';
    new_lanes := 0;
    for v_lane in
      select l.id, l.pgmq_queue, l.avg_ms, l.scan_start, l.scan_start_at, l.served_at,
        q.concurrency, q.id as queue_id
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where l.owner = v_owner.oid and l.idle_state <> 'idle' and l.quarantine is null
        and not q.paused and q.removed_at is null
        and l.id::text <> all (v_but)
    loop
      if v_lane.scan_start > 0 and v_rested < 12
        and v_lane.scan_start_at
          not between clock_timestamp() - interval '1 second' and clock_timestamp() then
        v_lane.scan_start := jobs_internal.find_scan_start(v_lane.id, v_lane.scan_start);
        v_rested := v_rested + 1;  -- each is a subtransaction
      end if;
      begin
        execute format('select count(*), min(d.msg_id) from (select m.msg_id from pgmq.%I as m '
          'where m.msg_id > $1 and m.vt <= clock_timestamp() order by m.msg_id limit 200) as d',
          'q_' || v_lane.pgmq_queue)
        into v_due, v_first using v_lane.scan_start;
      exception
        when undefined_table then
          v_due := 0;  -- its queue was dropped meanwhile
        when lock_not_available then
          perform jobs_internal.note_failure('lanes', v_lane.id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_owner.oid);
          continue;
      end;
      if v_but <> '{}' or exists (select from jobs_internal.duty_failure as f where f.duty = 'lanes'
          and f.item = v_lane.id::text) then
        perform jobs_internal.clear_failure('lanes', v_lane.id::text);
      end if;
      if v_due = 200 then
        v_due := greatest(v_due, pg_sequence_last_value(to_regclass('pgmq.q_' || v_lane.pgmq_queue
                || '_msg_id_seq')) - v_first + 1);
      end if;
      if v_due = 0 then
        if v_lane.served_at < clock_timestamp() - interval '5 seconds' and v_rested < 12 then
          perform jobs_internal.set_lane_idle(v_lane.id);
          v_rested := v_rested + 1;
        end if;
        continue;
      end if;
      v_lanes := v_lanes || v_lane.id;
      new_lanes := new_lanes + (v_lane.avg_ms is null)::integer;
      select coalesce(sum(c.jobs), 0), count(*) into v_claimed, v_busy
      from unnest(v_owner.lane_ids, v_owner.claimed) as c(lane_id, jobs)
      where c.lane_id = v_lane.id;
      v_due := case when v_lane.avg_ms is null then v_busy + 1
        else greatest(1, least(v_due + v_claimed, ceil((v_due + v_claimed)
                * (v_lane.avg_ms + case when v_lane.avg_ms < v_short then 0.06 else 1 end)
                / 100))) end;
      if v_lane.concurrency is not null then
        v_free := jobs_internal.unused_slots(v_lane.queue_id, v_lane.concurrency);
        if v_free > 0 and v_lane.concurrency > 1
          and jobs_internal.is_shared(v_lane.queue_id, v_owner.oid) then
          v_free := greatest(0, least(v_free, v_lane.concurrency - 1 - (
            select count(*) from jobs_internal.slot as t
            join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)));
        end if;
        if v_free = 0 and v_busy = 0 and not exists (
            select from jobs_internal.slot as t
            join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)
          and v_lane.concurrency > (select count(*) from jobs_internal.waiters(v_lane.queue_id) as w
              where w.owner <> v_owner.oid)
        then
          v_free := 1;
        end if;
        v_due := least(v_due, v_free + v_busy);
      end if;
      v_sum := v_sum + least(v_due, v_most)::integer;
      exit when v_sum >= v_most;
    end loop;
    owner := v_owner.rolname;
    active_sessions := v_owner.active;
    alone := v_owner.alone;
    occupied := v_owner.occupied;
    working := v_owner.working;
    moving := v_owner.moving;
    in_chunks := coalesce(cardinality(v_owner.lane_ids), 0);
    lanes := cardinality(v_lanes);
    session_demand := least(v_most, v_sum + v_owner.alone + (
        select count(*) from unnest(v_owner.lane_ids) as c(lane_id)
        where c.lane_id <> all (v_lanes)))::integer;
    if v_sum = 0 then
      session_demand := 0;
    end if;
    if v_sum > 0 or active_sessions > 0 then
      return next;
    end if;
  end loop;
end
$$;
create or replace function jobs_internal.count_queued()
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_lane record;
  v_looks integer := 0;
  v_here bigint;
  v_count bigint := 0;
begin
  for v_lane in
    select l.pgmq_queue, l.scan_start from jobs_internal.lane as l
    where l.idle_state <> 'idle' and not jobs_internal.is_put_off('lanes', l.id::text)
    order by l.served_at desc
    limit 101
  loop
    v_looks := v_looks + 1;
    exit when v_count >= 1000;
    if v_looks > 100 then
      return greatest(v_count, 1);
    end if;
    continue when to_regclass('pgmq.q_' || v_lane.pgmq_queue) is null;
    execute format('select count(*) from (select from pgmq.%I as m where m.msg_id > $1 '
      'order by m.msg_id limit $2) as d', 'q_' || v_lane.pgmq_queue)
    into v_here using v_lane.scan_start, 1000 - v_count;
    v_count := v_count + v_here;
  end loop;
  return v_count;
exception
  when undefined_table or lock_not_available then
    return greatest(v_count, 1);
end
$$;
create or replace function jobs_internal.runners()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
begin atomic
  select r.rolname::text
  from pg_roles as r
  where r.rolcanlogin and jobs_internal.is_runner(r.oid) and not jobs_internal.is_refused(r.oid)
  order by r.rolname;
end;
create or replace function jobs_internal.do_part(p_part text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jsonb;
begin
  if exists (select from jobs_internal.duty_failure as f
    where f.duty = 'round' and f.item = p_part and f.error ->> 'sqlstate' = '57014'
      and jobs_internal.is_future(f.retry_at))
  then
    return null;
  end if;
  begin
    case p_part
      when 'roles' then perform jobs_internal.record_installation(), jobs_internal.follow_roles(),
        jobs_internal.note_refused();
      when 'quarantine' then perform jobs_internal.lift_quarantine();
      when 'rescue' then v_result := to_jsonb(jobs_internal.rescue());
      when 'slots' then perform jobs_internal.sweep_slots();
      when 'overdue' then perform jobs_internal.note_overdue();
      when 'claims' then perform jobs_internal.reclaim_unstarted(), jobs_internal.reclaim_slots(),
        jobs_internal.end_idle_holders();
      when 'nameless' then perform jobs_internal.cancel_hidden_chunks(),
        jobs_internal.wake_after_clock_step();
      when 'clock' then perform jobs_internal.repair_clock_step();
      when 'lanes_ahead' then perform jobs_internal.make_lanes_ahead(true);
      when 'dispatch' then v_result := to_jsonb(jobs_internal.dispatch());
      when 'owners' then
        v_result := (select jsonb_agg(to_jsonb(w)) from jobs_internal.session_demand() as w);
      when 'failures' then
        perform jobs_internal.sweep_failures();
        v_result := jobs_internal.unlogged_failures();
      when 'sums' then perform jobs_internal.compact_daily_cost();
      when 'counters' then perform jobs_internal.sweep_counters();
      when 'call_templates' then perform jobs_internal.launch_call_template_sweep();
      when 'queues' then v_result := to_jsonb(jobs_internal.remove_dropped_queues());
      when 'vacuum' then v_result := to_jsonb(jobs_internal.launch_vacuum());
      when 'history' then v_result := jobs_internal.step_history();
    end case;
  exception
    when others or query_canceled or assert_failure then
      perform jobs_internal.note_failure('round', p_part,
          jobs_internal.error_object(sqlstate, sqlerrm));
      return null;
  end;
  perform jobs_internal.clear_failure('round', p_part);
  return v_result;
end
$$;
create or replace function jobs_internal.supervisor_tick(p_supervisor bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
declare
  v_paused boolean := (select s.paused from jobs_internal.switch as s);
  v_must_poll boolean := jobs_internal.must_poll(p_supervisor);
  v_opened bigint := coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0);
  v_rescued integer := 0;
  v_dispatched integer := 0;
  v_sessions integer;
  v_running integer := 0;
  v_deadline timestamptz;
  v_owners jsonb;
begin
  perform jobs_internal.assert_not_copy();
  perform jobs_internal.do_part('roles'), jobs_internal.do_part('quarantine');
  if exists (select from jobs_internal.session) then
    v_rescued := coalesce(jobs_internal.do_part('rescue')::integer, 0);
    perform jobs_internal.do_part('overdue'), jobs_internal.do_part('claims'),
      jobs_internal.do_part('nameless');
  else
    perform jobs_internal.do_part('slots');
  end if;
  if not v_paused then
    perform jobs_internal.do_part('clock');
    v_dispatched := coalesce(jobs_internal.do_part('dispatch')::integer, 0);
    if v_dispatched = 0 and not exists (select from jobs_internal.session) then
      perform jobs_internal.do_part('lanes_ahead');  -- while jobs run, maintain does it
    end if;
  end if;
  v_owners := jobs_internal.do_part('owners');
  v_sessions := (select count(*) from jobs_internal.session);
  if v_sessions > 0 then
    select count(l.job_id), min(l.started_at + j.timeout) filter (where x.job_id is null)
    into v_running, v_deadline
    from jobs_internal.active_sessions() as l
    left join lateral (
      select o.timeout from jobs_internal.job as o
      where o.id = l.job_id and l.attempt = case o.state when 'running' then o.attempt
        else o.attempt + 1 end
      offset 0
    ) as j on true
    left join jobs_internal.stop_request as x on x.job_id = l.job_id and x.attempt = l.attempt;
  end if;
  return jsonb_build_object(
    'paused', v_paused,
    'must_poll', v_must_poll,
    'dispatched', v_dispatched,
    'rescued', v_rescued,
    'stopping', (select count(*) from jobs_internal.stop_request),
    'sessions', v_sessions,
    'opened', v_opened,
    'running', v_running,
    'queued', jobs_internal.count_queued(),
    'next_due_ms', (select greatest(0,
          ceil(extract(epoch from j.due_at - clock_timestamp()) * 1000))::bigint
      from jobs_internal.first_due() as j where isfinite(j.due_at) order by j.due_at limit 1),
    'next_deadline_ms', case when isfinite(v_deadline)
      then least(greatest(0, ceil(extract(epoch from v_deadline - clock_timestamp()) * 1000)),
          86400000)::bigint end,
    'outbox', (select count(*) from (select from jobs_internal.outbox limit 1000) as d),
    'owners', coalesce(v_owners, '[]'),
    'failures', coalesce(jobs_internal.do_part('failures'), '[]'),
    'problems', coalesce((select jsonb_agg(jsonb_build_object('problem', 'lane_quarantined',
    'owner', pg_get_userbyid(l.owner)) || l.quarantine)
      from jobs_internal.lane as l where l.quarantine is not null), '[]'));
end
$$;
create or replace function jobs_internal.supervisor_send_stop_signals(p_supervisor bigint)
returns setof jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
begin atomic
  select p from jobs_internal.send_stop_signals(null) as p;
end;
create or replace function jobs_internal.supervisor_sleep(p_supervisor bigint, p_asleep boolean)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  update jobs_internal.supervisor set asleep = p_asleep, horizon_xid = null where id = p_supervisor
    and asleep <> p_asleep;
  return p_asleep and (exists (select from jobs_internal.first_due() as f
        where f.due_at <= clock_timestamp())
    or exists (select from jobs_internal.session_demand() as w
      where w.session_demand > w.active_sessions));
end
$$;
create or replace function jobs_internal.sweep_counters()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.queue_minute_stats as d
  where d.ctid = any (array(
    select m.ctid from jobs_internal.queue_minute_stats as m
    where m.minute < now() - interval '1 hour'
    for update skip locked));
  delete from jobs_internal.outbox as d
  where d.ctid = any (array(select f.ctid from jobs_internal.outbox as f
        where f.at < now() - interval '7 days' for update skip locked));
  delete from jobs_internal.rate_use as d
  where d.ctid = any (array(select u.ctid from jobs_internal.rate_use as u
        where u.at < now() - interval '1 minute' for update skip locked));
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id = any (array(
    select o.id from jobs_internal.lane as o
    where o.idle_state = 'idle' and o.id in (select j.lane_id from jobs_internal.job as j
        where j.state = 'queued')
    for no key update skip locked));
  delete from jobs_internal.progress_message as d
  where d.ctid = any (array(
    select p.ctid from jobs_internal.progress_message as p
    where not exists (select from jobs_internal.job as j where j.id = p.job_id)
    for update skip locked));
end
$$;
create or replace function jobs_internal.launch_vacuum()
returns text[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables text;
begin
  select string_agg(format('%I.%I', n.nspname, c.relname), ', ' order by c.relname)
  into v_tables
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relowner = quote_ident(current_user)::regrole::oid
    and ((n.nspname = 'jobs_internal'
          and c.relname in ('job', 'attempt', 'log_line', 'statement', 'wakeup_request', 'rate_use',
            'session', 'slot', 'lane', 'call_stats', 'stop_request', 'outbox',
            'queue_minute_stats', 'daily_cost', 'supervisor', 'progress_message', 'duty_failure'))
      or (n.nspname = 'pgmq' and c.relname like 'q\_pyworker\_%'))
    and not exists (select from pg_locks as l
      where l.relation = c.oid and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
        and l.granted
        and l.database = (select d.oid from pg_database as d where d.datname = current_database()))
    and pg_table_size(c.oid) > 65536;
  if v_tables is null or not jobs_internal.launch_upkeep(
      'vacuum (skip_locked, analyze, truncate false, parallel 0) ' || v_tables, 'pyworker vacuum')
      then
    return null;
  end if;
  return string_to_array(v_tables, ', ');
end
$$;
create or replace function jobs_internal.maintain()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '100ms'
as $$
declare
  v_history jsonb;
  v_vacuumed jsonb;
  v_queues integer;
begin
  if jobs_internal.takes_duty('upkeep') then
    perform jobs_internal.do_part('sums'), jobs_internal.do_part('counters'),
      jobs_internal.do_part('call_templates');
    v_queues := jobs_internal.do_part('queues')::integer;
    perform jobs_internal.do_part('lanes_ahead');
    v_vacuumed := jobs_internal.do_part('vacuum');
    v_history := jobs_internal.do_part('history');
  end if;
  return jsonb_build_object('removed', coalesce(v_history -> 'dropped', '0'), 'more',
      coalesce((v_history ->> 'more')::boolean, false) or coalesce(v_queues > 0, false),
    'vacuumed', v_vacuumed);
end
$$;
create or replace function jobs_internal.activity()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  child_pid integer,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  message text,
  wait_event text,
  blocked_by integer[],
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer,
  first_done numeric,
  first_at timestamptz
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with live as materialized (
    select l.*
    from (select o.* from jobs_internal.active_sessions() as o union all select c.*
        from jobs_internal.orphaned_children() as c) as l
    where l.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_reader')
      or jobs_internal.caller_is('jobs_operator') or jobs_internal.caller_is('jobs_supervisor')
  ), native as (
    select p.pid, p.phase,
      case when p.blocks_total > 0 then p.blocks_done when p.tuples_total > 0 then p.tuples_done
        when p.lockers_total > 0 then p.lockers_done end::numeric as done,
      case when p.blocks_total > 0 then p.blocks_total when p.tuples_total > 0 then p.tuples_total
        when p.lockers_total > 0 then p.lockers_total end::numeric as total
    from pg_stat_progress_create_index as p
    union all
    select p.pid, p.phase, p.heap_blks_scanned, p.heap_blks_total from pg_stat_progress_vacuum as p
    union all
    select p.pid, p.phase, p.sample_blks_scanned, p.sample_blks_total
    from pg_stat_progress_analyze as p
    union all
    select p.pid, p.phase, p.heap_blks_scanned, p.heap_blks_total from pg_stat_progress_cluster as p
    union all
    select p.pid, 'copying', p.bytes_processed, nullif(p.bytes_total, 0)
    from pg_stat_progress_copy as p
  )
  select
    l.session_id, l.owner, l.pid, l.child_pid, l.job_id, l.attempt, l.started_at,
    coalesce(l.done, n.done), coalesce(l.total, n.total),
    coalesce(case when l.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_operator')
        then m.message end, n.phase),
    case when a.wait_event_type is null then null else a.wait_event_type || ':' || a.wait_event end,
    case when l.job_id is not null then (select array_agg(distinct b.pid order by b.pid)
      from unnest(pg_blocking_pids(coalesce(l.child_pid, l.pid))) as b(pid)) end,
    l.session_started_at, l.jobs, l.lane_id,
    f.done, l.started_at + f.ms * interval '1 ms'
  from live as l
  left join pg_stat_get_activity(null) as a on a.pid = coalesce(l.child_pid, l.pid)
  left join native as n on n.pid = coalesce(l.child_pid, l.pid)
  left join lateral (
    select m[1]::numeric as done, m[2]::bigint as ms
    from regexp_match(a.application_name,
        '^pw [0-9/]+ [0-9]+ [0-9./]+ ([0-9]{1,19}[.]?[0-9]{0,2})@([0-9]{1,13})$') as m
  ) as f on l.done is not null
  left join jobs_internal.progress_message as m on m.job_id = l.job_id and m.attempt = l.attempt
$$;
create or replace function jobs_internal.eta(
  p_started_at timestamptz, p_done numeric, p_total numeric, p_first_done numeric,
    p_first_at timestamptz, p_fresh boolean
)
returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_total > 0 and p_done > b.done
    then (clock_timestamp() + make_interval(secs => least(1e10,
      greatest(extract(epoch from clock_timestamp() - b.at), 0)
        * (greatest(p_total - p_done, 0) / (p_done - b.done)))::double precision))::timestamptz(0)
  end
  from (
    select case when from_zero then 0 else p_first_done end as done, case when from_zero
      then p_started_at else p_first_at end as at
    from (select p_first_at is null or (p_fresh and p_done <= p_first_done) as from_zero) as k
  ) as b;
end;
create or replace function jobs_internal.live_supervisors()
returns table (
  id bigint, name text, host text, os_pid integer, version text, pid integer,
    started_at timestamptz, last_seen timestamptz, asleep boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.id, s.name, s.host, s.os_pid, s.version, s.pid, s.started_at,
    case when a.state <> 'disabled' then greatest(a.query_start, a.state_change) end, s.asleep
  from jobs_internal.supervisor as s
  join pg_stat_activity as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datname = current_database()
$$;
create or replace function jobs_internal.cancel(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_job jobs_internal.job;
  v_owner oid;
  v_by text := session_user;
begin
  select jobs_internal.visible_owner(j.owner, j.enqueued_by) into v_owner
  from jobs_internal.job as j
  where j.id = cancel.id;
  if not found then
    select f.owner into v_owner from jobs_internal.finished as f where f.id = cancel.id;
  end if;
  perform jobs_internal.assert_controls(cancel.id, v_owner);
  if jobs_internal.cancel_waiting(cancel.id, v_by) then
    perform jobs_internal.record_control('cancel', cancel.id, v_owner, null,
        '{"state": "cancelled"}');
    return 'cancelled';
  end if;
  select j.* into v_job from jobs_internal.job as j where j.id = cancel.id;
  if not found then
    if exists (select from jobs_internal.finished as f where f.id = cancel.id
        and f.state = 'in_doubt') then
      update jobs_internal.finished as f set state = 'cancelled' where f.id = cancel.id
        and f.state = 'in_doubt';
      perform jobs_internal.notify_of_end(f.options, f.id, f.state,
          jobs_internal.task_name(f.id, f.call_template_id))
      from jobs_internal.finished as f where f.id = cancel.id and f.options is not null;
      perform jobs_internal.record_control('cancel', cancel.id, v_owner, '{"state": "in_doubt"}',
          '{"state": "cancelled"}');
    end if;
    return (select f.state from jobs_internal.finished as f where f.id = cancel.id);
  end if;
  perform jobs_internal.record_control('cancel', cancel.id, v_owner, '{"state": "running"}',
      '{"state": "cancelling"}');
  if exists (
    select from jobs_internal.stop_request as x
    where x.job_id = cancel.id and x.attempt = case v_job.state when 'running' then v_job.attempt
      else v_job.attempt + 1 end and x.reason = 'cancelled'
      and coalesce(x.signalled_at, x.requested_at) between clock_timestamp()
        - interval '5 seconds' and clock_timestamp())
  then
    return 'cancelling';
  end if;
  begin
    if jobs_internal.stop_sessions() >= 4 then
      raise exception using errcode = 'PW000', message = 'it has enough of them';
    end if;
    perform jobs_internal.launch_stop(cancel.id, case v_job.state when 'running' then v_job.attempt
        else v_job.attempt + 1 end, v_by);
  exception
    when sqlstate 'PW000' or insufficient_resources or configuration_limit_exceeded
      or too_many_connections then
      insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
      values (cancel.id, case v_job.state when 'running' then v_job.attempt
          else v_job.attempt + 1 end, 'cancelled', v_by)
      on conflict do nothing;
      perform jobs_internal.wake(null);
  end;
  return 'cancelling';
end
$$;
create or replace function jobs_internal.retry(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_job jobs_internal.finished;
  v_due_at timestamptz;
begin
  select f.* into v_job from jobs_internal.finished as f where f.id = retry.id for update;
  if not found then
    perform jobs_internal.assert_controls(retry.id, (select j.owner from jobs_internal.job as j
          where j.id = retry.id));
    return (select j.state from jobs_internal.job as j where j.id = retry.id);
  end if;
  perform jobs_internal.assert_controls(retry.id, v_job.owner);
  if v_job.state = 'succeeded' then
    raise exception using errcode = 'PW031', message = format('job %s has succeeded', retry.id),
      detail = 'Its effect is there; running it again would be another job.',
        hint = 'Enqueue a new job. A retry cannot help.';
  end if;
  if exists (select from jobs_internal.queue as q where q.id = v_job.queue_id
      and q.dropped_at is not null) then
    raise exception using errcode = 'PW007', message = 'its queue was dropped',
      detail = format('Job %s.', retry.id),
      hint = 'Enqueue it again in another queue.';
  end if;
  if v_job.unique_key is not null and exists (select from jobs_internal.job as j
    where j.owner = v_job.owner and j.queue_id = v_job.queue_id and j.unique_key = v_job.unique_key
      and j.publication_id is not distinct from v_job.publication_id
      and j.enqueued_by is not distinct from v_job.enqueued_by)
  then
    perform jobs_internal.refuse_taken_key(v_job);
  end if;
  v_due_at := greatest(now(),
      jobs_internal.charge(v_job.owner, 1, null, coalesce(v_job.publication_id, 0)));
  perform jobs_internal.restore_attempts(v_job.id, v_job.bucket);
  delete from jobs_internal.finished as f where f.id = retry.id and f.bucket = v_job.bucket;
  begin
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id, attempt,
        max_attempts, run_at, due_at, created_at, timeout,
      publication_id, enqueued_by, unique_key, args, settings, note, options, error)
    values (v_job.id, v_job.queue_id, v_job.owner, v_job.priority, 'scheduled',
        v_job.call_template_id,
        v_job.attempt,
      greatest(v_job.max_attempts, v_job.attempt + 1), v_job.run_at, v_due_at, v_job.created_at,
        v_job.timeout, v_job.publication_id,
      v_job.enqueued_by, v_job.unique_key, v_job.args, v_job.settings, v_job.note, v_job.options,
        v_job.error);
  exception
    when unique_violation then  -- another session was quicker
      perform jobs_internal.refuse_taken_key(v_job);
  end;
  if v_due_at <= clock_timestamp() then
    perform jobs_internal.enter_lane(retry.id);
  else
    perform jobs_internal.wake(null);
  end if;
  perform jobs_internal.record_control('retry', retry.id, v_job.owner,
      jsonb_build_object('state', v_job.state), '{"state": "scheduled"}');
  return 'retrying';
end
$$;
create or replace function jobs_internal.run_now(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
begin
  select j.* into v_job from jobs_internal.job as j where j.id = run_now.id;
  if v_job.state = 'scheduled'
    and (v_job.owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator')) then
    select j.* into v_job from jobs_internal.job as j where j.id = run_now.id for update;
  end if;
  if v_job.id is null then
    perform jobs_internal.assert_controls(run_now.id,
        (select f.owner from jobs_internal.finished as f
          where f.id = run_now.id));
    return (select f.state from jobs_internal.finished as f where f.id = run_now.id);
  end if;
  perform jobs_internal.assert_controls(run_now.id, v_job.owner);
  if v_job.state <> 'scheduled' then
    return v_job.state;
  end if;
  perform jobs_internal.charge_hurry(v_job.owner);
  update jobs_internal.job as j set due_at = now() where j.id = run_now.id;
  perform jobs_internal.enter_lane(run_now.id),
    jobs_internal.record_control('run_now', run_now.id, v_job.owner,
        jsonb_build_object('due_at', v_job.due_at), '{"due_at": "now"}');
  return 'queued';
end
$$;
create or replace function jobs_internal.set_priority(id bigint, priority text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_new smallint := case set_priority.priority when 'high' then 0 when 'normal' then 1 when 'low'
    then 2 end;
  v_locked boolean;
begin
  if v_new is null then
    raise exception using errcode = 'PW020',
      message = format('there is no priority "%s"', coalesce(left(priority, 100), 'null')),
      detail = 'Priorities are high, normal and low.',
        hint = 'Use one of them. A retry cannot help.';
  end if;
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = set_priority.id;
    if not found then
      perform jobs_internal.assert_controls(set_priority.id,
          (select f.owner from jobs_internal.finished as f where f.id = set_priority.id));
      return (select f.state from jobs_internal.finished as f where f.id = set_priority.id);
    end if;
    perform jobs_internal.assert_controls(set_priority.id, v_job.owner);
    if v_job.state = 'running' or v_job.priority = v_new then
      return v_job.state;
    end if;
    if v_job.state = 'queued' then
      execute format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked',
          'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        return 'running';
      end if;
      execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id)
        using v_job.msg_id;
    end if;
    update jobs_internal.job as j
    set priority = v_new, state = 'scheduled', due_at = coalesce(j.due_at, now()), lane_id = null,
      msg_id = null
    where j.id = set_priority.id and j.state = v_job.state and j.attempt = v_job.attempt
      and j.msg_id is not distinct from v_job.msg_id;
    exit when found;  -- else it moved on between the look and the lock
  end loop;
  perform jobs_internal.record_control('set_priority', set_priority.id, v_job.owner,
    jsonb_build_object('priority', v_job.priority), jsonb_build_object('priority', v_new));
  if v_job.state = 'scheduled' and v_job.due_at > clock_timestamp() then
    return 'scheduled';
  end if;
  perform jobs_internal.enter_lane(set_priority.id);
  return 'queued';
end
$$;
create or replace function jobs_internal.dismiss(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_state text;
  v_dismissed_at timestamptz;
begin
  select f.owner, f.state, f.dismissed_at into v_owner, v_state, v_dismissed_at
  from jobs_internal.finished as f where f.id = dismiss.id for no key update;
  if not found then
    select j.owner, j.state into v_owner, v_state from jobs_internal.job as j
    where j.id = dismiss.id;
  end if;
  perform jobs_internal.assert_controls(dismiss.id, v_owner);
  if v_state not in ('failed', 'in_doubt') then
    return v_state;
  end if;
  if v_dismissed_at is null then
    update jobs_internal.finished as f set dismissed_at = clock_timestamp(),
      dismissed_by = session_user where f.id = dismiss.id;
    perform jobs_internal.record_control('dismiss', dismiss.id, v_owner,
        jsonb_build_object('state', v_state), '{"dismissed": true}');
  end if;
  return 'dismissed';
end
$$;
create or replace function jobs_internal.dismiss_failed(queue text default null,
    until timestamptz default now())
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue integer;
  v_others bigint;
  v_count bigint;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  if queue is not null then
    v_queue := jobs_internal.queue_id(queue);
  end if;
  with looked_at as (
    select f.id, f.bucket from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state in ('failed', 'in_doubt') and f.dismissed_at is null
      and f.finished_at <= dismiss_failed.until and (v_queue is null or f.queue_id = v_queue)
      and (f.owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator'))
    for no key update skip locked
  ), dismissed as (
    update jobs_internal.finished as f set dismissed_at = clock_timestamp(),
      dismissed_by = session_user
    from looked_at as l where f.id = l.id and f.bucket = l.bucket
    returning f.owner
  )
  select count(*), count(*) filter (where d.owner is distinct from jobs_internal.caller())
  into v_count,
    v_others
  from dismissed as d;
  if v_others > 0 then
    perform jobs_internal.record_audit('dismiss',
        coalesce('failures of queue ' || queue, 'failures of all queues'), null,
      jsonb_build_object('dismissed', v_count));
  end if;
  return v_count;
end
$$;
create or replace function jobs_internal.wait(id bigint, timeout interval)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := clock_timestamp()
    + least(greatest(coalesce(timeout, interval '1000 years'), interval '0'),
        interval '1000 years');
  v_state text := jobs_internal.state_of(wait.id);
  v_nap double precision := 0.002;
begin
  if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
    return v_state;
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PW033',
      message = format('jobs.wait cannot see the end of a job in a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot stays the same.',
        hint = 'Use READ COMMITTED, or: call jobs.await(id, timeout).';
  end if;
  if exists (select from jobs_internal.statement as s where s.job_id = wait.id and s.top_level)
    or exists (select from jobs_internal.job as j join jobs_internal.call_template as s
        on s.id = j.call_template_id
        where j.id = wait.id and s.procedure)
  then
    raise exception using errcode = 'PW034', message = format('jobs.wait does not wait for job %s',
        wait.id),
      detail = 'It runs at top level and might wait for this very snapshot, for ever (CREATE INDEX '
        'CONCURRENTLY does).',
      hint = 'Use: call jobs.await(id, timeout).';
  end if;
  if jobs_internal.written_by_this_xact(wait.id) then
    raise exception using errcode = 'PW035',
      message = format('job %s was enqueued by this very transaction', wait.id),
      detail = 'It cannot start before the transaction commits.', hint = 'Commit, then wait.';
  end if;
  loop
    v_state := jobs_internal.state_of(wait.id);
    if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
      return v_state;
    end if;
    if clock_timestamp() > v_until then
      raise exception using errcode = 'PW036', message = format('job %s is not finished after %s',
          wait.id, timeout),
        detail = format('Its state is %s.', v_state),
          hint = jobs_internal.waiting_reason(wait.id);
    end if;
    perform pg_sleep(v_nap);
    v_nap := least(v_nap * 1.5, 0.1);
  end loop;
end
$$;
create or replace function jobs_internal.queue_id(p_queue text)
returns integer
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  select q.id into v_id from jobs_internal.queue as q where q.name = p_queue
    and q.dropped_at is null;
  if not found then
    raise exception using errcode = 'PW007',
      message = format('there is no queue "%s"', left(p_queue, 100)),
      detail = 'Or it was dropped.', hint = 'See jobs.queues. A retry cannot help.';
  end if;
  return v_id;
end
$$;
create or replace function jobs_internal.check_queue(p_queue jobs_internal.queue)
returns jobs_internal.queue
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_longest constant interval := interval '1000 years';
  v_option text;
  v_value text;
  v_range text;
begin
  if p_queue.concurrency not between 1 and 1000 then
    v_option := 'concurrency';
    v_value := p_queue.concurrency;
    v_range := '1 to 1000; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif p_queue.timeout <= interval '0' or extract(epoch from p_queue.timeout) <= 0 then
    v_option := 'timeout';
    v_value := p_queue.timeout;
    v_range := 'over zero, in seconds; infinity for none';
  elsif p_queue.max_attempts is null or p_queue.max_attempts < 1 then
    v_option := 'max_attempts';
    v_value := p_queue.max_attempts;
    v_range := '1 to 2147483647';
  elsif p_queue.backoff is null or p_queue.backoff not between interval '0' and v_longest
    or extract(epoch from p_queue.backoff) < 0 then
    v_option := 'backoff';
    v_value := p_queue.backoff;
    v_range := '0 to 1000 years, and not over backoff_cap';
  elsif p_queue.backoff_cap is null or p_queue.backoff_cap not between interval '0' and v_longest
    or extract(epoch from p_queue.backoff_cap) < 0 then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := '0 to 1000 years, and not less than backoff';
  elsif extract(epoch from p_queue.backoff_cap) < extract(epoch from p_queue.backoff) then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := format('not less than backoff, which is %s, to 1000 years', p_queue.backoff);
  elsif p_queue.retention is null or extract(epoch from p_queue.retention) < 0
    or not (p_queue.retention between interval '0' and v_longest or p_queue.retention = 'infinity')
  then
    v_option := 'retention';
    v_value := p_queue.retention;
    v_range := '0 to 1000 years; infinity for ever';
  elsif p_queue.retention_rows < 1 then
    v_option := 'retention_rows';
    v_value := p_queue.retention_rows;
    v_range :=
      '1 to 9223372036854775807; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif p_queue.share_commits is null then
    v_option := 'share_commits';
    v_range := 'true or false';
  end if;
  if v_option is not null then
    raise exception using errcode = 'PW026',
      message = format('%s of queue "%s" cannot be %s', v_option, p_queue.name,
          coalesce(v_value, 'null')),
      detail = format('The range of %s: %s.', v_option, v_range),
        hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  if p_queue.timeout > v_longest then
    p_queue.timeout := null;
  end if;
  p_queue.timeout := make_interval(secs => extract(epoch from p_queue.timeout)::double precision);
  return p_queue;
end
$$;
create or replace function jobs_internal.queue_options(p_queue integer)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select to_jsonb(q) - array['id', 'name', 'class_id', 'created_by', 'created_at', 'dropped_at',
    'dropped_by', 'horizon_xid', 'removed_at']
  from jobs_internal.queue as q where q.id = p_queue;
end;
create or replace function jobs_internal.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  share_commits boolean default true,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new jobs_internal.queue;
  v_id integer;
begin
  if name is null or octet_length(name) > 63 or name !~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$' then
    raise exception using errcode = 'PW015',
      message = format('"%s" is no name for a queue', left(name, 100)),
      detail = 'A name has 1 to 63 letters, digits, or one of _ . : - and begins with a letter, a '
        'digit or _.', hint = 'Choose another. A retry cannot help.';
  end if;
  v_new.name := create_queue.name;
  v_new.concurrency := create_queue.concurrency;
  v_new.timeout := create_queue.timeout;
  v_new.max_attempts := create_queue.max_attempts;
  v_new.backoff := create_queue.backoff;
  v_new.backoff_cap := create_queue.backoff_cap;
  v_new.retention := create_queue.retention;
  v_new.share_commits := create_queue.share_commits;
  v_new.retention_rows := create_queue.retention_rows;
  v_new := jobs_internal.check_queue(v_new);
  insert into jobs_internal.queue (name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, retention_rows, share_commits)
  values (v_new.name, v_new.concurrency, v_new.timeout, v_new.max_attempts, v_new.backoff,
      v_new.backoff_cap, v_new.retention,
    v_new.retention_rows, v_new.share_commits)
  on conflict do nothing
  returning id into v_id;
  if not found then
    raise notice using message = format('queue "%s" exists already: nothing was changed', name);
    return false;
  end if;
  perform jobs_internal.fit_slots(v_id), jobs_internal.enter_class(v_id),
    jobs_internal.make_own_lane(v_id),
    jobs_internal.record_audit('create_queue', 'queue ' || create_queue.name, null,
        jobs_internal.queue_options(v_id));
  return true;
end
$$;
create or replace function jobs_internal.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  share_commits boolean default null,
  accepting boolean default null,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer := jobs_internal.queue_id(name);
  v_new jobs_internal.queue;
  v_before jsonb := jobs_internal.queue_options(v_id);
begin
  select q.* into v_new from jobs_internal.queue as q where q.id = v_id for no key update;
  v_new.concurrency := case when alter_queue.concurrency = 0 then null
    else coalesce(alter_queue.concurrency, v_new.concurrency) end;
  v_new.timeout := coalesce(alter_queue.timeout, v_new.timeout);
  v_new.max_attempts := coalesce(alter_queue.max_attempts, v_new.max_attempts);
  v_new.backoff := coalesce(alter_queue.backoff, v_new.backoff);
  v_new.backoff_cap := coalesce(alter_queue.backoff_cap, v_new.backoff_cap);
  v_new.retention := coalesce(alter_queue.retention, v_new.retention);
  v_new.share_commits := coalesce(alter_queue.share_commits, v_new.share_commits);
  v_new.retention_rows := case when alter_queue.retention_rows = 0 then null
    else coalesce(alter_queue.retention_rows, v_new.retention_rows) end;
  v_new := jobs_internal.check_queue(v_new);
  update jobs_internal.queue as q
  set concurrency = v_new.concurrency, timeout = v_new.timeout, max_attempts = v_new.max_attempts,
    backoff = v_new.backoff,
    backoff_cap = v_new.backoff_cap, retention = v_new.retention,
      retention_rows = v_new.retention_rows, share_commits = v_new.share_commits,
    accepting = coalesce(alter_queue.accepting, q.accepting)
  where q.id = v_id;
  perform jobs_internal.fit_slots(v_id),
    jobs_internal.record_audit('alter_queue', 'queue ' || alter_queue.name, v_before,
        jobs_internal.queue_options(v_id));
  return true;
end
$$;
create or replace function jobs_internal.drop_queue(queue text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer := jobs_internal.queue_id(queue);
  v_before jsonb := jobs_internal.queue_options(v_id);
  v_count bigint;
begin
  if queue = 'default' then
    raise exception using errcode = 'PW027', message = 'queue "default" stays',
      detail = 'It is where jobs go that name no queue.',
      hint = 'Close it instead: select jobs.alter_queue(''default'', accepting => false).';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000',
      message = format('jobs.drop_queue is not for a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show the jobs that came meanwhile.',
        hint = 'Use READ COMMITTED.';
  end if;
  update jobs_internal.queue as q set dropped_at = now(), dropped_by = pg_current_xact_id(),
    paused = false
  where q.id = v_id and q.dropped_at is null;
  if not found then
    return jobs_internal.drop_queue(queue);  -- another transaction dropped it meanwhile
  end if;
  v_count := (select count(*) from jobs_internal.job as j where j.queue_id = v_id);
  if v_count > 0 then
    raise exception using errcode = 'PW028', message = format('queue "%s" has unfinished jobs',
        queue),
      detail = format('There are %s.', v_count),
      hint = 'Let them finish or cancel them, then drop it.';
  end if;
  perform jobs_internal.record_audit('drop_queue', 'queue ' || queue, v_before, null);
  return true;
end
$$;
create or replace function jobs_internal.pause(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  if queue is null then
    update jobs_internal.switch set paused = true, changed_by = session_user, changed_at = now()
      where not paused;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = true where q.id = v_id and not q.paused;
  end if;
  if found then
    perform jobs_internal.record_audit('pause', coalesce('queue ' || queue, 'everything'),
        '{"paused": false}', '{"paused": true}');
    return true;
  end if;
  return false;
end
$$;
create or replace function jobs_internal.resume(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
  v_changed boolean;
begin
  if queue is null then
    update jobs_internal.switch set paused = false, changed_by = session_user, changed_at = now()
      where paused;
    v_changed := found;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = false where q.id = v_id and q.paused;
    v_changed := found;
  end if;
  if v_changed then
    perform jobs_internal.record_audit('resume', coalesce('queue ' || queue, 'everything'),
        '{"paused": true}', '{"paused": false}');
  end if;
  perform jobs_internal.wake(null);
  return v_changed;
end
$$;
create or replace function jobs_internal.configure(name text, value text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old text;
  v_least integer := case when name in ('chunk_jobs', 'claim_jobs', 'claim_ms', 'lease_seconds',
      'session_seconds', 'session_jobs',
    'sessions_per_owner') then 1 else 0 end;
  v_most integer := case when name = 'chunk_jobs' then 1000 else 999999999 end;
  v_switch boolean := name = 'measure_cost';
  v_good boolean;
begin
  select s.value into v_old from jobs_internal.setting as s
  where s.name = configure.name for update;
  if not found then
    raise exception using errcode = 'PW012',
      message = format('pyworker has no setting "%s"', left(name, 100)),
      detail = 'See jobs.settings.', hint = 'Check the name. A retry cannot help.';
  end if;
  v_good := case when value is null then false when v_switch then value in ('on', 'off')
    when value !~ '^[0-9]{1,9}$' then false
    else value::integer between v_least and v_most end;
  if not v_good then
    raise exception using errcode = 'PW026',
      message = format('%s is no value for %s', coalesce('"' || left(value, 100) || '"', 'null'),
          name),
      detail = (select format('%s, in %s.', s.description, s.unit) from jobs_internal.setting as s
          where s.name = configure.name),
      hint = format('The range of %s: %s. A retry cannot help.', name,
        case when v_switch then 'on or off'
          else format('a whole number from %s to %s', v_least, v_most) end);
  end if;
  update jobs_internal.setting as s set value = configure.value where s.name = configure.name;
  perform jobs_internal.record_audit('configure', 'setting ' || name, to_jsonb(v_old),
      to_jsonb(configure.value));
  return v_old;
end
$$;
create or replace function jobs_internal.set_retry_rule(pattern text, retry boolean,
    why text default '')
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if pattern is null or octet_length(pattern) > 5 or pattern !~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|[*])$'
    or (pattern = '*' and retry is null) then
    raise exception using errcode = 'PW026',
      message = format('"%s" is no pattern of a retry rule', left(pattern, 100)),
      detail = 'A pattern is an SQLSTATE, a class of two characters, or *.',
        hint = 'See jobs.retry_rules. A retry cannot help.';
  end if;
  perform jobs_internal.record_audit('set_retry_rule', 'pattern ' || set_retry_rule.pattern,
    (select to_jsonb(r) from jobs_internal.retry_rule as r
        where r.pattern = set_retry_rule.pattern),
    case when set_retry_rule.retry is not null
      then jsonb_build_object('retry', set_retry_rule.retry, 'why', set_retry_rule.why) end);
  if retry is null then
    delete from jobs_internal.retry_rule as r where r.pattern = set_retry_rule.pattern;
  else
    insert into jobs_internal.retry_rule (pattern, retry, why)
      values (set_retry_rule.pattern, set_retry_rule.retry, coalesce(set_retry_rule.why, ''))
    on conflict on constraint retry_rule_pkey do update set retry = excluded.retry,
      why = excluded.why;
  end if;
  return true;
end
$$;
create or replace function jobs_internal.role_id(p_role text)
returns oid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid;
begin
  select r.oid into v_role from pg_roles as r where r.rolname = p_role;
  if not found then
    raise exception using errcode = 'PW075',
      message = format('there is no role "%s"', coalesce(left(p_role, 63), 'null')),
      detail = 'Roles are written as pg_roles has them, without quotes.',
        hint = 'Check the name. A retry cannot help.';
  end if;
  return v_role;
end
$$;
create or replace function jobs_internal.set_quota(
  role text,
  pending bigint default null,
  running integer default null,
  args_bytes integer default null,
  result_bytes integer default null,
  per_minute integer default null,
  history_rows bigint default null,
  over_rate text default 'refuse'
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid := jobs_internal.role_id(role);
  v_before jobs_internal.quota;
  v_after jobs_internal.quota;
  v_limit text;
  v_value text;
  v_least integer;
begin
  select l.name, l.given, l.least into v_limit, v_value, v_least
  from (values ('pending', pending, 0), ('running', running, 0), ('args_bytes', args_bytes, 0),
      ('result_bytes', result_bytes, 1000),
    ('per_minute', per_minute, 1), ('history_rows', history_rows, 1)) as l (name, given, least)
  where l.given < l.least
  limit 1;
  if not found and over_rate = 'wait' and per_minute is null then
    raise exception using errcode = 'PW026',
      message = format('over_rate in the quota of %s cannot be wait without per_minute', role),
      detail = 'It says what happens to what is over per_minute. What is not given in a call has '
        'no limit after it.',
      hint = 'Give per_minute, and all other limits that are to hold, in the same call. A retry '
        'cannot help.';
  end if;
  if v_limit is not null or over_rate is null or over_rate not in ('refuse', 'wait') then
    raise exception using errcode = 'PW026',
      message = format('%s in the quota of %s cannot be %s', coalesce(v_limit, 'over_rate'), role,
          coalesce(v_value, left(over_rate, 100), 'null')),
      detail = case when v_limit is null then 'It is refuse or wait.'
        else format('Its range: %s and more; null for no limit.', v_least) end,
      hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  select q.* into v_before from jobs_internal.quota as q where q.owner = v_owner for update;
  if num_nonnulls(pending, running, args_bytes, result_bytes, per_minute, history_rows) = 0 then
    delete from jobs_internal.quota as q where q.owner = v_owner;
  else
    insert into jobs_internal.quota (owner, pending, running, args_bytes, result_bytes, per_minute,
        history_rows, over_rate)
    values (v_owner, set_quota.pending, set_quota.running, set_quota.args_bytes,
        set_quota.result_bytes, set_quota.per_minute,
      set_quota.history_rows, set_quota.over_rate)
    on conflict on constraint quota_pkey do update set pending = excluded.pending,
      running = excluded.running, args_bytes = excluded.args_bytes,
      result_bytes = excluded.result_bytes, per_minute = excluded.per_minute,
        history_rows = excluded.history_rows, over_rate = excluded.over_rate
    returning * into v_after;
  end if;
  update jobs_internal.installation as h set quotas = true where not h.quotas;
  if coalesce(v_before.owner, v_after.owner) is null or v_before is not distinct from v_after then
    return false;
  end if;
  perform jobs_internal.record_role_name(v_owner);
  perform jobs_internal.record_audit('set_quota', 'role ' || role,
      case when v_before.owner is not null
      then to_jsonb(v_before) end,
    case when v_after.owner is not null then to_jsonb(v_after) end);
  return true;
end
$$;
create or replace function jobs_internal.admit_role(role text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid := jobs_internal.role_id(role);
begin
  insert into jobs_internal.admitted_role (role, admitted_by)
    values (v_role, session_user) on conflict on constraint admitted_role_pkey do nothing;
  if not found then
    return false;
  end if;
  perform jobs_internal.record_role_name(v_role),
    jobs_internal.record_audit('admit_role', 'role ' || role,
      null, jsonb_build_object('powers', jobs_internal.privileges_seen(v_role)));
  return true;
end
$$;
create or replace function jobs_internal.dismiss_role(role text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid := jobs_internal.role_id(role);
begin
  delete from jobs_internal.admitted_role as a where a.role = v_role;
  if not found then
    return false;
  end if;
  perform jobs_internal.record_audit('dismiss_role', 'role ' || role,
      jsonb_build_object('powers', jobs_internal.privileges_seen(v_role)), null);
  return true;
end
$$;
create or replace function jobs_internal.reconcile()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
as $$
declare
  v_copy boolean;
  v_of text := jobs_internal.copy_of();
  v_facts jsonb;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000',
      message = format('jobs.reconcile is not for a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show what happened meanwhile.', hint = 'Use READ COMMITTED.';
  end if;
  perform from jobs_internal.installation for update;  -- one at a time
  v_copy := not jobs_internal.is_original();
  v_facts := jsonb_build_object('was', case when v_copy then v_of else 'at home' end);
  if v_copy then
    lock table jobs_internal.job in share row exclusive mode;
    v_facts := v_facts || jobs_internal.leave_sessions() || jobs_internal.move_owners(true)
      || jobs_internal.find_functions();
    perform jobs_internal.adopt_installation();
  else
    perform jobs_internal.assert_not_copy(), jobs_internal.follow_roles();
    v_facts := v_facts || jsonb_build_object('sessions_cleared', jobs_internal.rescue())
      || jobs_internal.move_owners(false);
  end if;
  v_facts := v_facts || jobs_internal.repair_lanes();
  if not v_copy then
    v_facts := v_facts || jsonb_build_object('lanes_ahead', jobs_internal.make_lanes_ahead(false));
  end if;
  perform jobs_internal.wake(null);
  return v_facts;
end
$$;
create or replace function jobs_internal.wait_codes()
returns table (n integer, code text, meaning text, remedy text)
language sql immutable
set search_path = pg_catalog, pg_temp
rows 30
as $$
  values
  (10,
      'not_there',
      'there is no such job, it was removed by retention, or it belongs to another role',
      'see jobs.job for the jobs that you may see'),
  (20, 'finished', 'the job is finished',
      'select jobs.retry(id);  -- runs one again that did not succeed; see jobs.attempts'),
  (30, 'session_lost', 'its session died, and has not been seen to yet',
      'select jobs.start();  -- as its owner; or start a supervisor: pyworker run'),
  (31, 'child_alone', 'its session died, and its child session goes on alone',
      'select jobs.cancel(id);  -- stops it; or wait for it to end'),
  (32, 'lock', 'it runs, and waits for a lock that another process holds',
      'see what those processes do; end or cancel them, or wait'),
  (33,
      'snapshot', 'it runs, and waits for older transactions to end, as statements CONCURRENTLY do',
    'end the transactions of those processes; an idle one should be committed'),
  (34, 'standby', 'it runs, and its commit waits for a synchronous standby',
      'bring the standby back, or change synchronous_standby_names'),
  (35, 'sleep', 'it runs, and sleeps by its own will (pg_sleep)', null),
  (36, 'running', 'it runs', 'see jobs.running'),
  (40, 'time', 'it is not due yet', 'select jobs.run_now(id);  -- or wait'),
  (50, 'retry', 'an attempt failed, and the next one is not due yet',
      'select jobs.run_now(id);  -- once what failed is corrected (last_error); or wait'),
  (60, 'copy', 'this database is a copy of another installation: nothing runs here',
    'select jobs.reconcile();  -- as a member of jobs_operator, where its jobs are to run here'),
  (70, 'paused_all', 'everything is paused',
      'select jobs.resume();  -- as a member of jobs_operator'),
  (71, 'paused_queue', 'its queue is paused',
      'select jobs.resume(queue);  -- as a member of jobs_operator'),
  (75,
      'standby_session', 'a session of its owner waits for a synchronous standby at a commit; what '
        'it has taken is not seen before',
      'bring the standby back, or change synchronous_standby_names'),
  (80, 'quota', 'its owner has as many worker sessions as its quota allows, and all of them work',
    'select jobs.set_quota(role, running => ...);  -- as a member of jobs_operator, with what it '
    'has of other limits (jobs.quotas); or wait for one to end'),
  (90, 'concurrency', 'all slots of its queue are held',
      'select jobs.alter_queue(queue, concurrency => ...);  -- as a member of jobs_operator; or '
      'wait for one of those jobs'),
  (91,
      'owner_sessions', 'its owner has as many worker sessions as sessions_per_owner allows, and '
        'all of them work',
    'select jobs.configure(''sessions_per_owner'', ...);  -- as a member of jobs_operator; or '
    'wait for one of those jobs'),
  (100, 'owner_gone', 'its owner does not exist any more',
      'select jobs.cancel(id);  -- as a member of jobs_operator; or, where a restore did not bring '
      'the role, create it and select jobs.reconcile()'),
  (101, 'owner_no_login', 'its owner may not log in',
      'alter role ... login;  -- as a superuser, or who administers the role'),
  (102, 'owner_no_runner', 'its owner is no member of jobs_runner',
      'grant jobs_runner to ...;  -- as a superuser, or who may grant jobs_runner'),
  (103, 'owner_refused', 'its owner is privileged, and no administrator has admitted it',
    'select jobs.admit_role(role);  -- as an administrator: a superuser, or who may act as '
    'jobs_owner; or take the rights from the role'),
  (104, 'owner_unreached', 'a supervisor cannot connect as its owner',
    'let the supervisor connect as it: docs/operations.md, How the supervisor connects as each '
    'owner'),
  (110, 'no_supervisor', 'no supervisor is connected, and no session of its owner lives',
      'select jobs.start();  -- as its owner; or start a supervisor: pyworker run'),
  (111, 'not_served', 'supervisors are connected, but none serves its owner',
      'select jobs.start();  -- as its owner; or start a supervisor that serves it: pyworker run '
      '--owner ...'),
  (120, 'no_worker_slot', 'the server has no free worker slot for another session',
    'wait for a session to end; raise max_worker_processes (restart), or lower concurrency and '
    'sessions_per_owner'),
  (130, 'lane_failed', 'its lane cannot be made or filled: a supervisor tried, and got an error',
      'remove the cause of the error; it is tried again by itself'),
  (140,
      'quarantined',
      'its lane is quarantined: a job in it was cancelled and terminated, and goes on',
      'see jobs.health, unstoppable jobs'),
  (145, 'function_gone',
      'its function, or the right to call it, is not what it was: it fails with PW042 at its turn',
      'select jobs.cancel(id);  -- or its owner makes the function again, before its turn'),
  (150, 'suspect', 'it ran when the server crashed: it runs by itself, one such job at a time',
      'wait; see jobs.health, crashes'),
  (160, 'turn', 'nothing hinders it: it is its turn soon, or after the jobs before it in its lane',
      null)
$$;
create or replace function jobs_internal.larger_quota(p_owner oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('select jobs.set_quota(%L, %s);  -- as a member of jobs_operator; or wait for one '
      'of its sessions to end', pg_get_userbyid(q.owner), string_agg(format('%s => %L', l.key,
      case l.key when 'running' then (q.running + 1)::text else l.value end), ', ' order by l.key))
  from jobs_internal.quota as q
  cross join lateral jsonb_each_text(jsonb_strip_nulls(to_jsonb(q)) - 'owner') as l
  where q.owner = p_owner
  group by q.owner;
end;
create or replace function jobs_internal.free_worker_slots()
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('max_worker_processes')::integer - count(*)
  from pg_stat_get_activity(null) as a
  where a.backend_type not in ('client backend', 'autovacuum launcher', 'autovacuum worker',
      'background writer', 'checkpointer', 'startup',
    'walreceiver', 'walsender', 'walwriter', 'archiver', 'walsummarizer', 'slotsync worker',
    'io worker', 'standalone backend');
end;
create or replace function jobs_internal.hindrances(
  p_queue integer default null,
  p_owner oid default null,
  p_priority smallint default null
)
returns table (
  queue_id integer, owner oid, priority smallint, n integer, code text, reason text,
    since timestamptz, until timestamptz, pids integer[],
  jobs bigint[], remedy text
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
rows 20
as $$
  with viewer as materialized (
    select jobs_internal.viewer() as me, jobs_internal.caller_is('jobs_reader')
      or jobs_internal.caller_is('jobs_operator') as sees_all
  ), everywhere as materialized (
    select 'copy' as code, format('this is %s: nothing runs here', jobs_internal.copy_of())
      as reason, null::timestamptz as since
    where not jobs_internal.is_original() and not jobs_internal.is_unused()
    union all
    select 'paused_all', 'everything is paused', s.changed_at from jobs_internal.switch as s
    where s.paused
  ), due as materialized (
    select f.owner from jobs_internal.first_due() as f where p_queue is null
      and f.due_at <= statement_timestamp()
  ), lanes as materialized (
    select l.queue_id, l.owner, l.priority, l.quarantine from jobs_internal.lane as l
    where p_queue is null or (l.queue_id = p_queue and l.owner = p_owner
        and l.priority = p_priority)
    union all
    select m.queue_id, m.owner, m.priority, null
    from (
      select q.id as queue_id, d.owner, p.priority from due as d
      cross join jobs_internal.queue as q
      cross join (values (0::smallint), (1), (2)) as p(priority)
      where (select count(*) from due) * (select count(*) from jobs_internal.queue) <= 1000
      union all
      select j.queue_id, j.owner, j.priority from jobs_internal.job as j
      where p_queue is null and j.due_at <= statement_timestamp()
        and (select count(*) from due) * (select count(*) from jobs_internal.queue) > 1000
      group by j.queue_id, j.owner, j.priority
      union all
      select p_queue, p_owner, p_priority where p_queue is not null
    ) as m
    where not exists (select from jobs_internal.lane as l where l.queue_id = m.queue_id
        and l.owner = m.owner and l.priority = m.priority)
  ), sessions as materialized (
    select s.id, s.owner, s.pid, s.job_id is not null or s.msg_ids is not null as works, l.job_id,
      v.sees_all or s.owner = v.me as seen
    from jobs_internal.active_sessions() as l
    join jobs_internal.session as s on s.id = l.session_id
    cross join viewer as v
  ), supervisors as materialized (
    select s.id, s.name, s.serves from jobs_internal.supervisor as s
    where jobs_internal.alive(s.pid, s.backend_start)
  ), queues as materialized (
    select q.id, q.name, q.paused, q.concurrency, t.held, t.pids, t.jobs,
      format('select jobs.alter_queue(%L, concurrency => %s);  -- as a member of jobs_operator; or '
        'wait for one of those jobs', q.name, least(q.concurrency + 1, 1000)) as remedy
    from jobs_internal.queue as q
    left join (
      select f.queue_id, count(f.session_id) as held,
        array_agg(s.pid order by s.pid) filter (where s.seen and s.works) as pids,
        array_agg(s.job_id order by s.job_id) filter (where s.seen and s.job_id is not null) as jobs
      from jobs_internal.slot as f
      left join sessions as s on s.id = f.session_id
      group by f.queue_id
    ) as t on t.queue_id = q.id
    where q.id in (select l.queue_id from lanes as l)
  ), owners as materialized (
    select o.owner, pg_get_userbyid(o.owner)::text as name, r.oid is not null as is_there,
      r.rolcanlogin,
      coalesce(s.live, 0) as live, coalesce(s.works, 0) as works, s.pids, s.jobs,
      (select u.running from jobs_internal.quota as u where u.owner = o.owner) as quota
    from (select l.owner from lanes as l group by l.owner) as o
    left join pg_roles as r on r.oid = o.owner
    left join (
      select c.owner, count(*) as live, count(*) filter (where c.works) as works,
        array_agg(c.pid order by c.pid) filter (where c.seen and c.works) as pids,
        array_agg(c.job_id order by c.job_id) filter (where c.seen and c.job_id is not null) as jobs
      from sessions as c
      group by c.owner
    ) as s on s.owner = o.owner
  ), committing as materialized (
    select a.usesysid as owner, min(a.xact_start) as since,
      array_agg(a.pid order by a.pid) filter (where v.sees_all or a.usesysid = v.me) as pids
    from pg_stat_get_activity(null) as a
    cross join viewer as v
    where a.wait_event = 'SyncRep' and a.backend_type = 'pg_background'
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
    group by a.usesysid
  ), slots as materialized (
    select jobs_internal.free_worker_slots() as free
  ), of_owners as (
    select o.owner, x.code, x.reason, null::timestamptz as since, x.pids, x.jobs, x.remedy
    from owners as o
    cross join lateral (
      select 'quota' as code,
        case when o.quota = 0 then format('the quota of its owner %s allows no worker session',
            o.name)
          else format('its owner %s has the %s', o.name, jobs_internal.counted(o.quota,
            'worker session that its quota allows, and it works',
            'worker sessions that its quota allows, and all work')) end as reason,
        o.pids, o.jobs, jobs_internal.larger_quota(o.owner) as remedy
      where o.quota <= o.works
      union all
      select 'owner_sessions', format('its owner %s has the %s', o.name,
          jobs_internal.counted(o.works,
          'worker session that sessions_per_owner allows, and it works',
          'worker sessions that sessions_per_owner allows, and all work')),
        o.pids, o.jobs, format('select jobs.configure(''sessions_per_owner'', ''%s'');  -- as a '
          'member of jobs_operator; or wait for one of those jobs', o.works + 1)
      where o.works >= jobs_internal.setting('sessions_per_owner')::bigint
      union all
      select 'owner_gone', format('its owner %s does not exist any more', o.name), null, null, null
      where not o.is_there
      union all
      select 'owner_no_login', format('its owner %s may not log in', o.name), null, null,
        format('alter role %I login;  -- as a superuser, or who administers the role', o.name)
      where o.is_there and not o.rolcanlogin
      union all
      select 'owner_no_runner', format('its owner %s is no member of jobs_runner', o.name), null,
        null,
        format('grant jobs_runner to %I;  -- as a superuser, or who may grant jobs_runner', o.name)
      where case when o.is_there then not jobs_internal.is_runner(o.owner) end
      union all
      select 'owner_refused',
        format('jobs of %s are refused: it has %s, and no administrator has admitted it', o.name,
            jobs_internal.privileges_seen(o.owner)), null, null,
        format('select jobs.admit_role(%L);  -- as an administrator: a superuser, or who may act '
          'as jobs_owner; or take the rights from the role', o.name)
      where o.is_there and jobs_internal.is_refused(o.owner)
      union all
      select 'no_supervisor', 'no supervisor is connected', null, null, null where o.live = 0
        and not exists (select from supervisors)
      union all
      select 'not_served', format('no supervisor that is connected serves its owner %s', o.name),
        null, null,
        format('select jobs.start();  -- as %s; or start a supervisor that serves it: pyworker '
          'run --owner %1$s', o.name)
      where o.live = 0 and exists (select from supervisors)
        and not exists (select from supervisors as s where s.serves is null
            or o.name = any (s.serves))
      union all
      select 'no_worker_slot',
        format('the server has no free worker slot: max_worker_processes is %s, and all are used',
            current_setting('max_worker_processes')),
        null, null, null
      from slots as s
      where s.free <= 0 and o.live = o.works
    ) as x
    union all
    select c.owner, 'standby_session',
      format('a session of its owner %s waits for a synchronous standby at a commit',
          pg_get_userbyid(c.owner)), c.since, c.pids, null, null
    from committing as c
    union all
    select u.owner, 'owner_unreached',
      format(case when u.reason like 'launch refused: %'
          then 'supervisor %s cannot start a session of its owner %s: %s'
        else 'supervisor %s cannot connect as its owner %s: %s' end, u.name,
          pg_get_userbyid(u.owner), u.reason), u.since, null, null, null
    from (
      select distinct on (u.owner) u.owner, u.reason, u.since, s.name
      from jobs_internal.unreached_owner as u
      join supervisors as s on s.id = u.supervisor_id
      join owners as o on o.owner = u.owner and o.live = 0
      order by u.owner, u.since
    ) as u
  ), found as (
    select l.queue_id, l.owner, l.priority, e.code, e.reason, e.since, null::timestamptz as until,
      null::integer[] as pids, null::bigint[] as jobs,
      null::text as remedy
    from lanes as l
    cross join everywhere as e
    union all
    select l.queue_id, l.owner, l.priority, 'paused_queue', 'its queue is paused',
      (select a.at from jobs_internal.audit as a where a.action = 'pause'
          and a.object = 'queue ' || q.name order by a.id desc limit 1), null, null, null,
      format('select jobs.resume(%L);  -- as a member of jobs_operator', q.name)
    from lanes as l
    join queues as q on q.id = l.queue_id and q.paused
    union all
    select l.queue_id, l.owner, l.priority, 'concurrency', case when q.concurrency = 1
      then format('the one slot of its queue %s is held', q.name)
        else format('all %s slots of its queue %s are held', q.concurrency, q.name) end, null, null,
          q.pids,
            q.jobs, q.remedy
    from lanes as l
    join queues as q on q.id = l.queue_id and q.held >= q.concurrency
    union all
    select l.queue_id, l.owner, l.priority, 'concurrency',
      format(
          'its owner holds %s of the %s slots of its queue %s, and the last one is left to others',
            q.concurrency - 1, q.concurrency, q.name),
      null, null, q.pids, q.jobs, q.remedy
    from lanes as l
    join queues as q on q.id = l.queue_id and q.concurrency > 1 and q.held = q.concurrency - 1
    where jobs_internal.is_shared(l.queue_id, l.owner)
      and (select count(*) from jobs_internal.slot as t
          join jobs_internal.session as s on s.id = t.session_id
        where t.queue_id = l.queue_id and s.owner = l.owner) = q.concurrency - 1
    union all
    select l.queue_id, l.owner, l.priority, o.code, o.reason, o.since, null, o.pids, o.jobs,
      o.remedy
    from lanes as l
    join of_owners as o on o.owner = l.owner
    union all
    select l.queue_id, l.owner, l.priority, 'lane_failed',
      format('its lane cannot be made or filled: %s (%s)', f.error ->> 'message',
          f.error ->> 'sqlstate'), f.since, f.retry_at, null, null, null
    from lanes as l
    join jobs_internal.duty_failure as f on f.queue_id = l.queue_id and f.owner = l.owner
      or f.owner is null and f.queue_id is null and f.duty = 'round'
      and f.item in ('dispatch', 'lanes')
    union all
    select l.queue_id, l.owner, l.priority, 'quarantined',
      'its lane is quarantined: a job in it was cancelled and terminated, and goes on',
        (l.quarantine ->> 'since')::timestamptz, null,
      case when v.sees_all or l.owner = v.me then array[(l.quarantine ->> 'pid')::integer] end,
      case when v.sees_all or l.owner = v.me then array[(l.quarantine ->> 'job_id')::bigint] end,
        null
    from lanes as l
    cross join viewer as v
    where l.quarantine is not null
  )
  select f.queue_id, f.owner, f.priority, c.n, f.code, f.reason, f.since, f.until, f.pids, f.jobs,
    coalesce(f.remedy, c.remedy)
  from found as f
  join jobs_internal.wait_codes() as c on c.code = f.code
$$;
create or replace function jobs_internal.lane_waits()
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_object_agg(w.queue_id || ' ' || w.owner || ' ' || w.priority, w.reason),
      '{}')
  from (
    select distinct on (h.queue_id, h.owner, h.priority) h.queue_id, h.owner, h.priority, h.reason
    from jobs_internal.hindrances() as h
    where h.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator'))
      or h.owner in (select j.owner from jobs_internal.job as j where j.publication_id is not null
          and j.enqueued_by = (select jobs_internal.viewer()))
    order by h.queue_id, h.owner, h.priority, h.n, h.since
  ) as w
$$;
create or replace function jobs_internal.why_function_gone(p_template integer)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
  v_template jobs_internal.call_template;
  v_now pg_proc;
begin
  select t.* into v_template from jobs_internal.call_template as t where t.id = p_template;
  if not found then
    return null;
  end if;
  select p.* into v_now from pg_proc as p where p.oid = v_template.func;
  if not found then  -- one that was made again is found by its signature
    select p.* into v_now
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
  end if;
  return case
    when v_now.oid is null then format('function %s does not exist any more', v_template.signature)
    when v_now.proowner <> v_template.func_owner
      then format('function %s has another owner than when the job was enqueued',
        v_template.signature)
    when (v_now.prokind = 'p') <> v_template.procedure
      then format('%s is a %s now', v_template.signature, case when v_template.procedure
        then 'function' else 'procedure' end) end;
end
$$;
create or replace function jobs_internal.functions_gone()
returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with suspects as materialized (
    select array_agg(t.id) as ids
    from jobs_internal.call_template as t
    where not exists (select from pg_proc as p where p.oid = t.func and p.proowner = t.func_owner
        and (p.prokind = 'p') = t.procedure)
    group by t.func, t.func_owner, t.procedure, t.signature, t.task
  )
  select array(select u.id from suspects as s cross join lateral unnest(s.ids) as u(id)
    where jobs_internal.why_function_gone(s.ids[1]) is not null);
end;
create or replace function jobs_internal.at_work(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz,
    pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 3
as $$
begin
  return query
  with live as materialized (
    select l.pid, l.child_pid, l.started_at from jobs_internal.active_sessions() as l
    where l.job_id = p_job.id
    union all
    select c.pid, c.child_pid, c.started_at from jobs_internal.orphaned_children() as c
    where c.job_id = p_job.id
  ), active as materialized (
    select a.pid, a.child_pid, a.wait_event, a.blocked_by,
      (select min(k.waitstart) from pg_locks as k where k.pid = coalesce(a.child_pid, a.pid)
          and not k.granted) as waits_since,
      (select array_agg(o.job_id order by o.job_id) from jobs_internal.activity() as o
        where o.job_id is not null and (o.pid = any (a.blocked_by)
            or o.child_pid = any (a.blocked_by))) as jobs
    from jobs_internal.activity() as a
    where a.job_id = p_job.id
  )
  select 31, 'child_alone', 'its session died, and its child session goes on alone', l.started_at,
    null::timestamptz, array[l.child_pid], null::bigint[]
  from live as l where l.pid is null
  union all
  select 32, 'lock', format('it waits for a lock of process %s',
      array_to_string(a.blocked_by, ', ')), a.waits_since, null,
    a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event <> 'Lock:virtualxid'
  union all
  select 33, 'snapshot', format('it waits for the transaction of process %s to end',
      array_to_string(a.blocked_by, ', ')),
    a.waits_since, null, a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event = 'Lock:virtualxid'
  union all
  select 34, 'standby', 'its commit waits for a synchronous standby', null, null, null, null
  from active as a where a.wait_event = 'IPC:SyncRep'
  union all
  select 35, 'sleep', 'it sleeps (pg_sleep)', null, null, null, null from active as a
  where a.wait_event = 'Timeout:PgSleep'
  union all
  select 36, 'running', 'it runs', coalesce(l.started_at, p_job.started_at),
    l.started_at + p_job.timeout, null, null from live as l
  union all
  select 30, 'session_lost', 'its session died, and has not been seen to yet', p_job.started_at,
    null, null, null
  where p_job.state = 'running' and not exists (select from live);
end
$$;
create or replace function jobs_internal.turn_of(p_job jobs_internal.job)
returns table (reason text, until timestamptz, pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue text := 'q_pyworker_' || p_job.lane_id;
  v_before bigint;
  v_vt timestamptz;
  v_taken_by xid;  -- a transaction that has changed the message, and may not be committed yet
  v_ms double precision;
  v_sessions bigint;
  v_holders integer[];  -- who keeps the session that has taken it from starting anything
begin
  if p_job.state <> 'queued' or to_regclass('pgmq.' || v_queue) is null then
    reason := 'it is due: the next round of a supervisor puts it into its lane';
    return next;
    return;
  end if;
  execute format('select (select count(*) from (select from pgmq.%1$I as m where m.msg_id < $1 '
    'limit 100001) as b),'
    ' m.vt, m.xmax from (select) as one left join pgmq.%1$I as m on m.msg_id = $1', v_queue)
  into v_before, v_vt, v_taken_by using p_job.msg_id;
  select array_agg(l.pid order by l.pid),
    array_agg(l.job_id order by l.job_id) filter (where l.job_id is not null)
  into pids, jobs
  from jobs_internal.active_sessions() as l
  join jobs_internal.session as s on s.id = l.session_id
  where s.lane_id = p_job.lane_id and p_job.msg_id = any (s.msg_ids);
  if pids is null and v_taken_by <> '0' then
    select array_agg(distinct s.pid order by s.pid) into pids
    from pg_locks as k
    join jobs_internal.session as s on s.pid = k.pid
      and jobs_internal.alive(s.pid, s.backend_start)
    where k.locktype = 'transactionid' and k.granted and age(k.transactionid) >= age(v_taken_by)
      and s.owner = p_job.owner and s.msg_ids is null and s.job_id is null
      and cardinality(pg_blocking_pids(s.pid)) > 0;
  end if;
  if pids is not null then
    reason := 'a session has taken it, with those before it';
    if jobs is null then
      select array_agg(distinct b.pid order by b.pid) into v_holders
      from unnest(pids) as s(pid)
      cross join unnest(pg_blocking_pids(s.pid)) as b(pid);
      if v_holders is not null then
        pids := v_holders;
        reason := format('a session has taken it, and waits for a lock of process %s',
            array_to_string(pids, ', '));
      end if;
    end if;
    return next;
    return;
  end if;
  if v_vt > clock_timestamp() then
    until := v_vt;
    reason := 'it was given back, and is looked at again a little later';
    return next;
    return;
  end if;
  v_ms := (select l.avg_ms from jobs_internal.lane as l where l.id = p_job.lane_id);
  v_sessions := (select count(*) from jobs_internal.session as s where s.lane_id = p_job.lane_id
      and s.msg_ids is not null);
  reason := case
    when v_before = 0 then 'it is the next of its lane'
    when v_before > 100000 then 'its turn comes after more than 100000 jobs of its lane'
    else format('its turn comes after %s of its lane', jobs_internal.counted(v_before, 'job')) end;
  if v_before > 0 and v_sessions > 0 and v_ms is not null then
    v_ms := least(v_before * v_ms / v_sessions, 1e13);
    until := clock_timestamp() + make_interval(secs => v_ms / 1000);
    reason := reason || format(', in about %s s', ceil(v_ms / 1000));
  end if;
  return next;
end
$$;
create or replace function jobs_internal.reasons_of(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz,
    pids integer[], jobs bigint[], remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_hindered boolean;
  v_gone text := coalesce(jobs_internal.why_function_gone(p_job.call_template_id),
    case when p_job.publication_id is not null then jobs_internal.why_not_published(p_job.id) end);
begin
  return query select a.n, a.code, a.reason, a.since, a.until, a.pids, a.jobs, null::text
    from jobs_internal.at_work(p_job) as a;
  if found then
    return query
      select 39, 'running', format('it was asked to stop (%s)', x.reason), x.requested_at,
        null::timestamptz, null::integer[], null::bigint[], null::text
      from jobs_internal.stop_request as x
      where x.job_id = p_job.id and x.attempt = case p_job.state when 'running' then p_job.attempt
        else p_job.attempt + 1 end;
    return;
  end if;
  if p_job.due_at > v_now and p_job.attempt > 0 then
    return query select 50, 'retry',
      format('attempt %s of %s %s; the next one is due at %s', p_job.attempt, p_job.max_attempts,
        coalesce('ended with ' || (p_job.error ->> 'sqlstate'), 'did not succeed'),
          p_job.due_at::timestamptz(0)),
      null::timestamptz, p_job.due_at, null::integer[], null::bigint[], null::text;
  elsif p_job.due_at > v_now then
    return query select 40, 'time',
      case when p_job.due_at = 'infinity' then 'it has no time: it waits for jobs.run_now(id)'
        else format('it is not due before %s', p_job.due_at::timestamptz(0)) end,
      p_job.created_at, p_job.due_at, null::integer[], null::bigint[], null::text;
  end if;
  return query
    select h.n, h.code, h.reason, h.since, h.until, h.pids, h.jobs, h.remedy
    from jobs_internal.hindrances(p_job.queue_id, p_job.owner, p_job.priority) as h;
  v_hindered := found;
  if v_gone is not null then
    v_hindered := true;
    return query select 145, 'function_gone', format('it will fail at its turn: %s', v_gone),
      null::timestamptz, null::timestamptz, null::integer[], null::bigint[], null::text;
  end if;
  if p_job.crashes > 0 then
    return query select 150, 'suspect',
      'it ran when the server crashed, so it runs by itself, one such job at a time',
        null::timestamptz,
      s.isolated_until, null::integer[],
      case when s.isolated_job <> p_job.id then array[s.isolated_job] end,
        null::text
    from jobs_internal.server as s;
  end if;
  if not v_hindered and p_job.crashes = 0 and (p_job.due_at is null or p_job.due_at <= v_now) then
    return query select 160, 'turn', t.reason, null::timestamptz, t.until, t.pids, t.jobs,
      null::text from jobs_internal.turn_of(p_job) as t;
  end if;
end
$$;
create or replace function jobs_internal.visible_owner(p_owner oid, p_enqueued_by oid)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_enqueued_by = jobs_internal.caller() then p_enqueued_by else p_owner end;
end;
create or replace function jobs_internal.state_of(p_id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_state text;
begin
  select jobs_internal.visible_owner(j.owner, j.enqueued_by), j.state into v_owner, v_state
  from jobs_internal.job as j where j.id = p_id;
  if not found then
    select jobs_internal.visible_owner(f.owner, f.enqueued_by), f.state into v_owner, v_state
    from jobs_internal.finished as f where f.id = p_id;
  end if;
  if v_owner is null or not (v_owner = jobs_internal.caller()
      or jobs_internal.caller_is('jobs_operator')
      or jobs_internal.caller_is('jobs_reader')) then
    perform jobs_internal.assert_controls(p_id, null);
  end if;
  return v_state;
end
$$;
create or replace function jobs_internal.written_by_this_xact(p_id bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me bigint := pg_current_xact_id_if_assigned()::text::bigint;
  v_ahead bigint;
begin
  select (j.xmin::text::bigint - v_me % 4294967296 + 4294967296) % 4294967296 into v_ahead
  from jobs_internal.job as j where j.id = p_id;
  return coalesce(v_ahead < 1000000
      and pg_xact_status((v_me + v_ahead)::text::xid8) = 'in progress', false);
end
$$;
create or replace function jobs_internal.waiting_reason(p_id bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when jobs_internal.state_of(p_id) is null then null
    when (select s.paused from jobs_internal.switch as s)
      then 'Everything is paused: an operator resumes it (select jobs.resume()).'
    when (select q.paused from jobs_internal.job as j
        join jobs_internal.queue as q on q.id = j.queue_id where j.id = p_id)
      then 'Its queue is paused: an operator resumes it (select jobs.resume(queue)).'
    when exists (select from jobs_internal.orphaned_children() as c where c.job_id = p_id)
      then 'Its session is gone, and its child session goes on alone (jobs.running shows it): wait '
        'for that to end.'
    when exists (select from jobs_internal.job as j
        join jobs_internal.session as s on s.id = j.session_id
      where j.id = p_id and not jobs_internal.alive(s.pid, s.backend_start))
      then 'Its session is gone: a supervisor, or select jobs.start(), sees to it.'
    when not exists (select from jobs_internal.job as j where j.id = p_id and j.state = 'running')
      and not exists (select from jobs_internal.supervisor as v
          where jobs_internal.alive(v.pid, v.backend_start))
      then 'It has not started, and no supervisor runs: start one (pyworker run), or select '
        'jobs.start().'
    else 'Wait again; the job goes on.'
  end
$$;
create or replace function jobs_internal.refusal_of_commit()
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  begin
    commit;
  exception
    when invalid_transaction_termination then
      return sqlerrm;
  end;
  return null;
end
$$;
create or replace function jobs_internal.health_installation(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when c.found is null then 'ok' else 'critical' end,
    coalesce(c.found, 'no copy of another installation'),
    case when c.found is not null then 'select jobs.reconcile();  where its jobs are to run here; '
      'see docs/operations.md: Backup, restore, copies' end
  from (select case when not jobs_internal.is_original() and not jobs_internal.is_unused()
      then 'this is ' || jobs_internal.copy_of() || ': nothing runs here' end) as c (found);
end;
create or replace function jobs_internal.health_switch(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.paused then 'warning' else 'ok' end,
    case when s.paused then format('EVERYTHING IS PAUSED by %s since %s', s.changed_by,
        s.changed_at::timestamptz(0))
      else 'not paused' end,
    case when s.paused then 'select jobs.resume();' end
  from jobs_internal.switch as s;
end;
create or replace function jobs_internal.health_queues(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when q.names is null then 'ok' else 'warning' end,
    coalesce('paused: ' || q.names, 'none is paused'),
    case when q.names is not null then 'select jobs.resume(queue);' end
  from (select string_agg(q.name, ', ' order by q.name) from jobs_internal.queue as q
    where q.paused and q.dropped_at is null) as q (names);
end;
create or replace function jobs_internal.locked_tables(p_for interval)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('%s by process %s of role %s (%s, its transaction is %s old)',
        l.relation::regclass, l.pid, pg_get_userbyid(a.usesysid), l.mode,
        date_trunc('second', clock_timestamp() - a.xact_start)), '; ' order by a.xact_start, l.pid)
  from pg_locks as l
  join pg_class as c on c.oid = l.relation
  join pg_stat_get_activity(l.pid) as a on true
  where l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.granted and l.pid <> pg_backend_pid()
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    and c.relkind in ('r', 'p')
    and c.relnamespace in (select n.oid from pg_namespace as n
      where n.nspname in ('jobs_internal', 'pgmq'))
    and a.xact_start < clock_timestamp() - p_for;
end;
create or replace function jobs_internal.health_locked_tables(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when t.said is null then 'ok' else 'critical' end,
    coalesce('jobs wait for what is locked: ' || t.said, 'none'),
    case when t.said is not null
      then 'end that transaction: select pg_terminate_backend(pid);' end
  from jobs_internal.locked_tables(interval '5 seconds') as t (said);
end;
create or replace function jobs_internal.awake_supervisors()
returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from jobs_internal.live_supervisors() as s
  where coalesce(s.last_seen > clock_timestamp() - interval '30 seconds', true);
end;
create or replace function jobs_internal.health_supervisors(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.awake > 0 and s.unseen = 0 then 'ok' else 'warning' end,
    format('%s connected', s.connected)
      || case when s.awake < s.connected
        then format(', %s of them silent for 30 s', s.connected - s.awake) else '' end
      || case when s.unseen > 0
        then ', track_activities is off: whether they make their rounds is not known' else '' end,
    case when s.connected = 0 then 'start one: pyworker run; or: select jobs.start()'
      when s.awake = 0
        then 'look what its process does; another pyworker run may be started beside it'
      when s.unseen > 0 then 'as a superuser: alter system set track_activities = on;  select '
        'pg_reload_conf();  (or where else it was set: alter role, alter database)' end
  from (
    select count(*), count(*) filter (where l.last_seen is null),
      jobs_internal.awake_supervisors()
    from jobs_internal.live_supervisors() as l
  ) as s (connected, unseen, awake);
end;
create or replace function jobs_internal.health_versions(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when v.versions > 1 then 'warning' else 'ok' end,
    case v.versions when 0 then 'no supervisor' when 1 then 'all supervisors are of one version'
      else 'supervisors of different versions: ' || v.said end,
    case when v.versions > 1
      then 'end those of the older version, and start them with the newer one' end
  from (
    select count(distinct s.version),
      string_agg(format('%s (%s)', s.version, s.name), ', ' order by s.version, s.name)
    from jobs_internal.live_supervisors() as s
  ) as v (versions, said);
end;
create or replace function jobs_internal.health_unreached_owners(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when u.said is null then 'ok' else 'warning' end,
    coalesce(u.said, 'none that a supervisor tried'),
    case when u.said is not null then 'let the supervisor connect as them, and them start '
      'sessions: see docs/operations.md: How the supervisor connects as each owner; '
      '`pyworker check`' end
  from (
    select string_agg(o.said, '; ' order by o.refused)
    from (
      select e.refused, case when e.refused then 'a supervisor cannot start a session of: '
        else 'a supervisor cannot connect as: ' end
        || string_agg(format('%s since %s (%s says: %s)', pg_get_userbyid(u.owner),
              u.since::timestamptz(0), s.name, u.reason), ', ' order by u.since) as said
      from jobs_internal.unreached_owner as u
      join jobs_internal.supervisor as s on s.id = u.supervisor_id
        and jobs_internal.alive(s.pid, s.backend_start)
      cross join lateral (select u.reason like 'launch refused: %' as refused) as e
      group by e.refused
    ) as o
  ) as u (said);
end;
create or replace function jobs_internal.health_rounds(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.failing > 0 then 'warning' else 'ok' end,
    case when f.failing > 0 then format('%s tried again, all else goes on: %s',
        jobs_internal.counted(f.failing, 'item of a supervisor''s round fails and is',
          'items of a supervisor''s round fail and are'), f.said)
      else 'nothing in them fails' end,
    case when f.failing > 0
      then 'remove what the error names: end the transaction that holds a row or table '
      '(pg_stat_activity), drop or correct the event trigger; '
      'see docs/operations.md: What fails in a round' end
  from (
    select count(*),
      string_agg(jobs_internal.failure_text(o.failure), '; ' order by o.n) filter (where o.n <= 5)
    from (select l as failure, row_number() over (order by l.since, l.duty, l.item) as n
      from jobs_internal.lasting_failures() as l) as o
  ) as f (failing, said);
end;
create or replace function jobs_internal.health_unlogged_outcomes(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when o.commits > 100000 then 'warning' else 'ok' end,
    jobs_internal.counted(o.commits, 'commit'),
    case when o.commits > 100000
      then 'a supervisor logs them; they are dropped after 7 days' end
  from (select count(*) from (select from jobs_internal.outbox limit 100001) as l) as o (commits);
end;
create or replace function jobs_internal.is_no_runner(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_roles as r where r.oid = p_owner)
    and not jobs_internal.is_runner(p_owner);
end;
create or replace function jobs_internal.unserved_owners(p_for interval)
returns table (owner name, lanes bigint, idle interval)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_lane record;
  v_since timestamptz;
  v_now timestamptz := clock_timestamp();
  v_most bigint := jobs_internal.setting('sessions_per_owner')::bigint;
begin
  if (select s.paused from jobs_internal.switch as s) then
    return;
  end if;
  lanes := 1;
  for v_lane in
    select l.pgmq_queue, l.served_at, pg_get_userbyid(l.owner) as owner
    from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where (l.idle_state <> 'idle'
      or l.id in (select n.lane_id from jobs_internal.wakeup_request as n))
      and l.quarantine is null and not q.paused and q.removed_at is null
      and l.served_at < v_now - p_for
      and not jobs_internal.is_no_runner(l.owner)
      and (q.concurrency is null or q.concurrency > (select count(*) from jobs_internal.slot as t
        join jobs_internal.session as s on s.id = t.session_id
        where t.queue_id = q.id and (s.job_id is not null or s.msg_ids is not null)
          and jobs_internal.alive(s.pid, s.backend_start)))
      and least(v_most, (select u.running from jobs_internal.quota as u where u.owner = l.owner))
        > (select count(*) from jobs_internal.session as s
        where s.owner = l.owner and (s.job_id is not null or s.msg_ids is not null)
          and jobs_internal.alive(s.pid, s.backend_start))
    order by l.id
  loop
    begin
      execute format('select greatest(m.vt, m.enqueued_at) from pgmq.%I as m where m.vt <= $1 '
        'order by m.msg_id limit 1', 'q_' || v_lane.pgmq_queue)
      into v_since using v_now;
    exception
      when undefined_table then
        v_since := null;  -- its queue was dropped meanwhile
    end;
    if greatest(v_since, v_lane.served_at) < v_now - p_for and v_since is not null then
      owner := v_lane.owner;
      idle := v_now - greatest(v_since, v_lane.served_at);
      return next;
    end if;
  end loop;
  return query
    select pg_get_userbyid(f.owner), 1::bigint, v_now - o.due_at
    from jobs_internal.first_due() as f
    cross join lateral (
      select j.due_at from jobs_internal.job as j
      where j.owner = f.owner and j.due_at < v_now - p_for
        and j.queue_id <> all (array(select q.id from jobs_internal.queue as q where q.paused))
      order by j.due_at limit 1
    ) as o
    where f.due_at < v_now - p_for and not exists (select from jobs_internal.quota as u
        where u.owner = f.owner and u.running = 0)
      and not jobs_internal.is_no_runner(f.owner);
end
$$;
create or replace function jobs_internal.health_due_jobs(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when u.lanes > 0 then 'critical' else 'ok' end,
    case when u.lanes > 0 then format('nothing picks up jobs that are due, for %s, of: %s',
        date_trunc('second', u.idle), u.owners)
      else 'all are picked up, or wait for a session that works' end,
    case when u.lanes > 0 then 'start pyworker run, for these owners too (--owner, or grant '
      'jobs_runner); its log says what hinders it '
      '(jobs_stuck, owner_unreachable, launch_failed, no_worker_slot)' end
  from (
    select sum(o.lanes), max(o.idle), string_agg(distinct o.owner::text, ', ')
    from jobs_internal.unserved_owners(interval '30 seconds') as o
  ) as u (lanes, idle, owners);
end;
create or replace function jobs_internal.health_unstoppable_jobs(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when q.lanes > 0 then 'critical' else 'ok' end,
    case when q.lanes > 0 then format(
        'lanes quarantined: %s; cancelled and terminated, it goes on: %s', q.lanes, q.processes)
      else 'none' end,
    case when q.lanes > 0 then format(
      '1. select pid, child_pid, wait_event, blocked_by from jobs.running where id in (%s); and '
      'end what blocks it. 2. %s '
      '3. Or leave it: other lanes go on, and its own comes back when it has ended; correct its '
      'function meanwhile. '
      '4. The last resort, planned: pg_ctl stop -m immediate. Never kill -9. See '
      'docs/operations.md: A job that will not stop', q.jobs, q.terminations) end
  from (
    select count(*),
      string_agg(format('job %s in process %s', l.quarantine ->> 'job_id', l.quarantine ->> 'pid'),
          ', ' order by l.id),
      string_agg(l.quarantine ->> 'job_id', ', ' order by l.id),
      string_agg(format('select pg_terminate_backend(%s);', l.quarantine ->> 'pid'), ' '
          order by l.id)
    from jobs_internal.lane as l where l.quarantine is not null
  ) as q (lanes, processes, jobs, terminations);
end;
create or replace function jobs_internal.health_in_doubt(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.jobs > 0 then 'warning' else 'ok' end,
    jobs_internal.counted(f.jobs, 'job'),
    case when f.jobs > 0 then 'see jobs.failed where state = ''in_doubt''; look, then '
      'jobs.retry(id), or jobs.cancel(id) to leave it at that' end
  from (select count(*) from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state = 'in_doubt' and f.dismissed_at is null) as f (jobs);
end;
create or replace function jobs_internal.health_crashes(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when j.suspects > 0 then 'warning' else 'ok' end,
    case when j.suspects > 0 then jobs_internal.counted(j.suspects,
        'unfinished job ran when the server crashed; it runs by itself',
        'unfinished jobs ran when the server crashed; they run one at a time')
      else 'no unfinished job ran when the server crashed' end,
    case when j.suspects > 0 then 'look in the server log for what was ended by a signal; a job '
      'that crashes the server is set aside by itself' end
  from (select count(*) from jobs_internal.job as j where j.crashes > 0) as j (suspects);
end;
create or replace function jobs_internal.health_failures(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.jobs > 0 then 'warning' else 'ok' end,
    case when f.jobs > 0 then format('%s, the oldest since %s',
        jobs_internal.counted(f.jobs, 'job'), f.oldest::timestamptz(0))
      else 'none that is not dismissed' end,
    case when f.jobs > 0
      then 'see jobs.failed; remove the cause and jobs.retry(id), or jobs.dismiss(id); of '
      'a whole queue: select jobs.dismiss_failed(queue);' end
  from (select count(*), min(f.finished_at) from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state = 'failed' and f.dismissed_at is null)
    as f (jobs, oldest);
end;
create or replace function jobs_internal.health_invalid_indexes(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when l.count > 0 then 'warning' else 'ok' end,
    case when l.count > 0 then format('%s left by jobs: %s', l.count, l.names)
      else 'none that a job left' end,
    l.remedy
  from jobs_internal.left_indexes() as l;
end;
create or replace function jobs_internal.health_dead_sessions(out status text, out detail text,
    out remedy text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dead bigint[] := array(select s.id from jobs_internal.session as s
      where not jobs_internal.alive(s.pid, s.backend_start));
  v_count bigint;
  v_holding bigint;
  v_with_child bigint;
begin
  if v_dead <> '{}' then
    perform pg_stat_clear_snapshot();
  end if;
  v_with_child := (select count(*) from jobs_internal.orphaned_children());
  select count(*), count(*) filter (where s.job_id is not null or s.msg_ids is not null)
  into v_count, v_holding
  from jobs_internal.session as s
  where s.id = any (v_dead) and not jobs_internal.alive(s.pid, s.backend_start)
    and s.id not in (select c.session_id from jobs_internal.orphaned_children() as c);
  status := case when v_count = 0 then 'ok'
    when v_holding > 0 and jobs_internal.awake_supervisors() = 0 then 'critical'
    else 'warning' end;
  detail := jobs_internal.counted(v_count, 'waits for a rescue', 'wait for a rescue')
    || case when v_with_child > 0 then '; '
      || jobs_internal.counted(v_with_child, 'more has a child session that goes on alone',
          'more have child sessions that go on alone') || ': see jobs.running' else '' end;
  remedy := case when v_count > 0
    then 'a supervisor sees to them, or the next jobs.start() of their owner' end;
end
$$;
create or replace function jobs_internal.health_free_worker_slots(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.free <= 0 then 'critical' when s.few then 'warning' else 'ok' end,
    format('%s of %s %s free', s.free, current_setting('max_worker_processes'),
        case when s.free = 1 then 'is' else 'are' end)
      || coalesce('; launched by hand: ' || case when s.few then (
        select string_agg(format('%s (%s)', pg_get_userbyid(o.role), o.n), ', ' order by o.n desc)
        from (
          select a.usesysid, count(*)
          from pg_stat_get_activity(null) as a
          where a.backend_type like 'pg\_background%'
            and not exists (
              select from jobs_internal.session as s
              left join jobs_internal.job as j on j.id = s.job_id
              where s.pid = a.pid and s.backend_start = a.backend_start or j.child_pid = a.pid
                and j.child_start = a.backend_start)
          group by a.usesysid
        ) as o (role, n)) end, ''),
    case when s.few
      then 'raise max_worker_processes (restart), or lower concurrency and sessions_per_owner' end
  from (select f.free, f.free < jobs_internal.setting('worker_slot_reserve')::bigint
    from jobs_internal.free_worker_slots() as f (free)) as s (free, few);
end;
create or replace function jobs_internal.possible_owners()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select l.owner from jobs_internal.lane as l
  union
  select f.owner from jobs_internal.first_due() as f;
end;
create or replace function jobs_internal.health_owners(out status text, out detail text,
    out remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_no_runner text;
  v_no_session text;
begin
  select string_agg(distinct coalesce(
    (select format('%s (there is no such role here)', k.name) from jobs_internal.known_role as k
        where k.role = o.owner and jobs_internal.is_placeholder_role(k.role) limit 1),
    pg_get_userbyid(o.owner)::text), ', ') into v_no_runner
  from jobs_internal.possible_owners() as o (owner)
  where case when not exists (select from pg_roles as r
      where r.oid = o.owner and r.rolcanlogin and pg_has_role(r.oid, 'jobs_runner', 'member'))
    then exists (select from jobs_internal.job as j where j.owner = o.owner) end;
  select string_agg(pg_get_userbyid(u.owner)::text, ', ') into v_no_session
  from jobs_internal.quota as u
  where case when u.running = 0
    then exists (select from jobs_internal.job as j where j.owner = u.owner) end;
  status := case when v_no_runner is null and v_no_session is null then 'ok' else 'warning' end;
  detail := coalesce(nullif(concat_ws('; ',
      'not a login member of jobs_runner, their jobs do not run: ' || v_no_runner,
      'their quota allows no worker session: ' || v_no_session), ''), 'all can run');
  remedy := nullif(concat_ws('; ',
    case when v_no_runner is not null then 'grant jobs_runner to role; or cancel their jobs; a '
      'role that is missing: create it, then select jobs.reconcile()' end,
    case when v_no_session is not null
      then 'select jobs.set_quota(role, running => ...); see jobs.quotas' end), '') || ';';
end
$$;
create or replace function jobs_internal.health_privileged_owners(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when r.names is null then 'ok' else 'warning' end,
    coalesce('their jobs are refused: ' || r.names,
        'no owner of jobs is privileged without being admitted'),
    case when r.names is not null then 'take the rights from the role, or cancel its jobs; or an '
      'administrator: select jobs.admit_role(role);' end
  from (
    select string_agg(format('%s (%s)', pg_get_userbyid(o.owner),
          jobs_internal.privileges_seen(o.owner)), ', ')
    from jobs_internal.possible_owners() as o (owner)
    where case when jobs_internal.is_refused(o.owner)  -- "case": the jobs are looked at last
      then exists (select from jobs_internal.job as j where j.owner = o.owner) end
  ) as r (names);
end;
create or replace function jobs_internal.health_old_snapshots(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.age > interval '1 hour' then 'warning' else 'ok' end,
    case when s.age is null then 'none'
      else format('the oldest is %s old', date_trunc('second', s.age)) end,
    case when s.age > interval '1 hour'
      then 'dead rows cannot be removed behind it: see pg_stat_activity.backend_xmin' end
  from (
    select max(clock_timestamp() - a.xact_start) from pg_stat_get_activity(null) as a
    where a.backend_xmin is not null
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  ) as s (age);
end;
create or replace function jobs_internal.health_commits(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when c.waiting > 0 and c.age > interval '10 seconds' then 'critical' else 'ok' end,
    case when c.waiting = 0 then 'none waits for a standby'
      else format('%s for a synchronous standby (SyncRep), the longest for %s',
        jobs_internal.counted(c.waiting, 'waits', 'wait'), date_trunc('second', c.age)) end,
    case when c.waiting > 0
      then 'bring the standby back, or change synchronous_standby_names (now: '
        || current_setting('synchronous_standby_names') || ') and reload' end
  from (
    select count(*), max(clock_timestamp() - a.query_start) from pg_stat_get_activity(null) as a
    where a.wait_event = 'SyncRep'
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  ) as c (waiting, age);
end;
create or replace function jobs_internal.health_costs(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select 'ok', case when c.unknown is null
    then 'statements at top level are measured, by pg_stat_statements'
    else 'of statements at top level WAL and buffers are not known: '
      || regexp_replace(c.unknown, '^it ran at top level, and ', '') end, null::text
  from (select case when jobs_internal.statement_statistics() is null
      or jobs_internal.measures_no_cost() then jobs_internal.why_child_costs_are_unknown() end)
    as c (unknown);
end;
create or replace function jobs_internal.health()
returns table (n integer, "check" text, status text, detail text, remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select 10, 'installation', h.* from jobs_internal.health_installation() as h
  union all select 20, 'switch', h.* from jobs_internal.health_switch() as h
  union all select 30, 'queues', h.* from jobs_internal.health_queues() as h
  union all select 35, 'locked tables', h.* from jobs_internal.health_locked_tables() as h
  union all select 40, 'supervisors', h.* from jobs_internal.health_supervisors() as h
  union all select 45, 'versions', h.* from jobs_internal.health_versions() as h
  union all select 50, 'due jobs', h.* from jobs_internal.health_due_jobs() as h
  union all select 60, 'unstoppable jobs', h.* from jobs_internal.health_unstoppable_jobs() as h
  union all select 70, 'in doubt', h.* from jobs_internal.health_in_doubt() as h
  union all select 80, 'dead sessions', h.* from jobs_internal.health_dead_sessions() as h
  union all select 90, 'free worker slots', h.* from jobs_internal.health_free_worker_slots() as h
  union all select 100, 'old snapshots', h.* from jobs_internal.health_old_snapshots() as h
  union all select 110, 'unlogged outcomes', h.* from jobs_internal.health_unlogged_outcomes() as h
  union all select 120, 'owners', h.* from jobs_internal.health_owners() as h
  union all select 130, 'crashes', h.* from jobs_internal.health_crashes() as h
  union all select 140, 'privileged owners', h.* from jobs_internal.health_privileged_owners() as h
  union all select 150, 'unreached owners', h.* from jobs_internal.health_unreached_owners() as h
  union all select 160, 'rounds', h.* from jobs_internal.health_rounds() as h
  union all select 170, 'commits', h.* from jobs_internal.health_commits() as h
  union all select 180, 'failures', h.* from jobs_internal.health_failures() as h
  union all select 190, 'costs', h.* from jobs_internal.health_costs() as h
  union all select 200, 'invalid indexes', h.* from jobs_internal.health_invalid_indexes() as h;
end;
create or replace function jobs_internal.look_at_health()
returns table (n integer, "check" text, status text, detail text, remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
set exit_on_error = off
as $$
begin
  return query select c.* from jobs_internal.health() as c;
exception
  when lock_not_available then
    return query select 1, 'checks', 'critical',
      format('none can be made, because of tables that are locked: %s',
          coalesce(jobs_internal.locked_tables(interval '0'), 'not any more')),
      'end that transaction: select pg_terminate_backend(pid);  then look again';
end
$$;
create or replace function jobs.enqueue(
  task text,
  args jsonb default '{}',
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_template jobs_internal.call_template;
  v_args pg_catalog.jsonb := coalesce(args, '{}');
begin
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue');
  end if;
  v_template := jobs_internal.resolve(task, v_args);
  v_args := case when v_template.cast_query is not null or v_template.whole
    then jobs_internal.canonical(v_template, v_args) end;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  return (jobs_internal.store_job(v_template.id, v_args, queue, run_at, timeout, max_attempts,
        unique_key, priority, settings, note, options)).job_id;
end
$$;
comment on function jobs.enqueue(text, jsonb, text, timestamptz, interval, integer, text, text,
    jsonb, jsonb, jsonb) is
'Enqueues a call of a function or procedure, in the caller''s transaction; returns the id of the '
'job.
task: name, qualified or not, or with its arguments as \df prints them. args: {"parameter": '
'value}. run_at: not before. timeout: longest time of an attempt.
max_attempts: tries in all. unique_key: at most one unfinished job per owner, queue and key; then '
'the existing id is returned, with a NOTICE.
priority: high, normal, low. settings: GUCs for this job alone. note: what a person wants beside '
'it (64 kB).
options: {"title": ..., "notify": ..., "repeatable": ...}; jobs.options lists them all.
Errors: PW001 to PW020 and PW029 (see jobs.errors), each with DETAIL and HINT.';
create or replace function jobs.enqueue_many(
  task text,
  args jsonb[],
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  options jsonb default '{}'
)
returns setof bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_keys pg_catalog.text[];
  v_alike boolean;
  v_ids bigint[];
  v_order integer[] := '{}';
  v_group record;
  v_template jobs_internal.call_template;
  v_args pg_catalog.jsonb[];
  v_one pg_catalog.jsonb;
begin
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue_many');
  end if;
  if unique_key is not null then
    raise exception using errcode = 'PW022', message = 'unique_key is not for many jobs',
      detail = 'At most one unfinished job can have it.',
        hint = 'Call jobs.enqueue for each key. A retry cannot help.';
  end if;
  v_keys := array(select k from pg_catalog.jsonb_object_keys(
      case when pg_catalog.jsonb_typeof(args[1]) operator(pg_catalog.=) 'object'
        then args[1] end) as k);
  v_alike := pg_catalog.cardinality(v_keys) operator(pg_catalog.<=) 20
    and (select pg_catalog.bool_and(case
        when pg_catalog.jsonb_typeof(u.args) operator(pg_catalog.=) 'object'
          then u.args operator(pg_catalog.?&) v_keys
            and u.args operator(pg_catalog.-) v_keys operator(pg_catalog.=) '{}'
        else false end)
      from pg_catalog.unnest(args) as u(args));
  if v_alike is not true then
    foreach v_one in array coalesce(args, '{}') loop
      if v_one is not null and pg_catalog.jsonb_typeof(v_one) operator(pg_catalog.<>) 'object' then
        perform jobs_internal.resolve(task, v_one);
      end if;
    end loop;
  end if;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  if v_alike then
    v_template := jobs_internal.resolve(task, coalesce(args[1], '{}'));
    return query select u.id from unnest(jobs_internal.store_jobs(v_template.id,
        jobs_internal.canonical_many(v_template, args), queue, run_at, timeout, max_attempts,
        priority, settings, note, options)) as u(id);
    return;
  end if;
  for v_group in
    select g.keys, pg_catalog.array_agg(g.args order by g.n) as args,
      pg_catalog.array_agg(g.n::integer order by g.n) as places
    from (
      select coalesce(u.args, '{}') as args, u.n,
        array(select k from pg_catalog.jsonb_object_keys(coalesce(u.args, '{}')) as k) as keys
      from pg_catalog.unnest(args) with ordinality as u(args, n)
    ) as g
    group by g.keys
  loop
    v_template := jobs_internal.resolve(task, v_group.args[1]);
    v_args := jobs_internal.canonical_many(v_template, v_group.args);
    v_ids := v_ids operator(pg_catalog.||) jobs_internal.store_jobs(v_template.id, v_args, queue,
        run_at, timeout, max_attempts, priority, settings, note,
      options);
    v_order := v_order operator(pg_catalog.||) v_group.places;
  end loop;
  return query select u.id from unnest(v_ids, v_order) as u(id, place) order by u.place;
end
$$;
comment on function jobs.enqueue_many(text, jsonb[], text, timestamptz, interval, integer, text,
    text, jsonb, jsonb, jsonb) is
'Enqueues a call of one function with each of many arguments, with the same options, in the '
'caller''s transaction.
Returns the ids in the order of args. unique_key is not allowed (PW022). Errors: as jobs.enqueue; '
'one bad argument refuses them all.';
create or replace function jobs.enqueue_sql(
  statement text,
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  done_when text default null,
  rollback text default null,
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue_sql');
  end if;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  v_id := jobs_internal.store_statement(statement, queue, run_at, timeout, max_attempts, unique_key,
      priority, settings, note, done_when, rollback,
    options, jobs_internal.callers_path());
  return v_id;
end
$$;
comment on function jobs.enqueue_sql(text, text, timestamptz, interval, integer, text, text, jsonb,
    jsonb, text, text, jsonb) is
'Enqueues one SQL statement, in the caller''s transaction; returns the id of the job. Options as '
'in jobs.enqueue, and
done_when: a boolean expression or a query that is true once it is done; rollback: the statement '
'that undoes it, kept for people; both may be given in options instead.
It runs with the search_path that is set where this is called, and so do done_when and what tidies '
'up after it; one in settings wins.
A statement that cannot run in a transaction (VACUUM, CREATE INDEX CONCURRENTLY, CALL, ...) runs '
'in a session of its own: at least once.
Errors: PW007 to PW022 and PW029, among them PW014 empty, PW017 not one statement or a syntax '
'error, PW018 too long, PW021 not allowed.';
create or replace function jobs.publish(
  task text,
  to_role text,
  queue text default 'default',
  timeout interval default null,
  per_minute integer default null,
  pending bigint default null
)
returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_found pg_catalog.oid[];
begin
  perform jobs_internal.assert_member('jobs_producer', 'publish');
  v_found := jobs_internal.functions_by_name(task);
  if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 1 then
    raise exception using errcode = 'PW002', message = pg_catalog.format('%s names %s functions',
        pg_catalog.left(task, 200), pg_catalog.cardinality(v_found)),
      detail = 'One publication is for one function.',
        hint = 'Give the argument types: schema.name(type, ...). A retry cannot help.';
  end if;
  return jobs_internal.store_publication(v_found[1], to_role, queue, timeout, per_minute, pending);
end
$$;
comment on function jobs.publish(text, text, text, interval, integer, bigint) is
'Lets the members of to_role enqueue one function of the caller''s (jobs.enqueue_published), to '
'run as the caller. Returns the number of the
publication. task: as in jobs.enqueue; queue: where its jobs go; timeout: the longest that they '
'may take, null for the queue''s; per_minute and
pending: jobs enqueued in 60 seconds, and unfinished, at most; null for no limit but the caller''s '
'own quota. Each enqueuer has unique keys of its
own. Again for the same function and role: the limits are changed. Errors: PW001, PW002, PW006 not '
'the caller''s function, PW007, PW009, PW016, PW019, PW026, PW075 no such role, PW080 as
much as one login may publish.';
create or replace function jobs.unpublish(publication integer)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'unpublish', 'jobs_operator');
  return jobs_internal.unpublish(publication);
end
$$;
comment on function jobs.unpublish(integer) is
'Revokes a publication. Its jobs that have not started are cancelled, and none starts any more, '
'also none that is being enqueued at this moment
(it fails with PW042); what runs goes on. Returns how many were cancelled. For the publisher and '
'operators. Errors: PW077.';
create or replace function jobs.enqueue_published(
  task text,
  args jsonb default '{}',
  publisher text default null,
  run_at timestamptz default now(),
  timeout interval default null,
  unique_key text default null,
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'enqueue_published');
  return jobs_internal.enqueue_published(task, args, publisher, run_at, timeout, unique_key, note,
    options);
end
$$;
comment on function jobs.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb,
    jsonb) is
'Enqueues a function that its owner has published to the caller (jobs.publications); it runs as '
'its owner. Returns the id of the job: the caller
sees its state, waits for it and may cancel it; its result, errors and log lines are the '
'publisher''s. task: name, or name with argument types, as
jobs.publications shows it; publisher: where several have published it; unique_key: at most one '
'unfinished job of the caller''s own per publication
and key; the other options as in jobs.enqueue, timeout no longer than the publication''s. Errors: '
'PW002 to PW005, PW007 to PW009, PW011, PW015, PW018, PW029, PW042, PW070 to PW072 over a quota, '
'PW074 over a limit of the
publication, PW076 not published to the caller.';
create or replace function jobs.current_id()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.current_job();
end;
comment on function jobs.current_id() is 'Inside a job its id; null elsewhere.';
create or replace function jobs.progress(done numeric, total numeric, message text default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job text := nullif(current_setting('pyworker.job', true), '');
  v_said text := current_setting('pyworker.said', true);
  v_now double precision := extract(epoch from clock_timestamp());
  v_message text := left(message, 1000);
  v_name text;
  v_done text;
  v_begun text := current_setting('pyworker.begun', true);
begin
  if not pg_has_role('jobs_runner', 'usage') then
    perform jobs_internal.assert_member('jobs_runner', 'progress', 'jobs_producer');
  end if;
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    return;
  end if;
  if done < 0 or total < 0 or done = 'NaN' or total = 'NaN' or done > 1e18 or total > 1e18 then
    raise exception using errcode = 'PW023', message = 'progress must be between 0 and 1e18',
      detail = format('done is %s, total is %s.', left(done::text, 40), left(total::text, 40)),
        hint = 'Pass how much is done, and of how much. A retry cannot help.';
  end if;
  if done is not null and total is not null then
    v_done := left(trim_scale(round(done, 2))::text, 19);
    v_name := format('pw %s %s/%s', v_job, v_done, left(trim_scale(round(total, 2))::text, 19));
    if not coalesce(starts_with(v_begun, v_job || ' '), false)
      or v_done::numeric < (regexp_match(v_begun, ' ([0-9]{1,19}[.]?[0-9]{0,2})@[0-9]{1,13}$'))[
          1]::numeric
    then
      v_begun := format('%s %s@%s', v_job, v_done,
        greatest((v_now * 1000)::bigint - (regexp_match(v_job, ' ([0-9]{1,13})$'))[1]::bigint, 0));
      perform set_config('pyworker.begun', v_begun, false);
    end if;
    v_begun := v_name || substr(v_begun, length(v_job) + 1);
    perform set_config('application_name', case when octet_length(v_begun) < 64 then v_begun
        else v_name end, false);
  end if;
  if v_message is not null and v_message is distinct from substr(v_said, strpos(v_said, ' ') + 1)
    and v_now - coalesce((regexp_match(v_said, '^([0-9]{1,12}([.][0-9]{1,9})?) '))[
          1]::double precision, 0) >= 1
  then
    perform set_config('pyworker.said', v_now || ' ' || v_message, false);
    begin
      perform jobs_internal.run_in_background(
        format('select jobs_internal.store_progress(%s, %s, %L)', jobs_internal.current_job(),
          jobs_internal.current_attempt(), v_message), 'pyworker progress');
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        null;  -- no free worker slot: the text is not worth an error
    end;
  end if;
end
$$;
comment on function jobs.progress(numeric, numeric, text) is
'Inside a job: says how much is done of how much, seen by other sessions at once in jobs.running; '
'elsewhere does nothing.
message: a text, at most one a second, written by a short session of its own (one worker slot, '
'some 5 ms). Errors: PW023.';
create or replace function jobs.log(message text, level text default 'info',
    fields jsonb default '{}')
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
  v_line jsonb;
  v_most integer;
begin
  if not pg_has_role('jobs_runner', 'usage') then
    perform jobs_internal.assert_member('jobs_runner', 'log', 'jobs_producer');
  end if;
  if coalesce(level, '') not in ('debug', 'info', 'warning', 'error') then
    raise exception using errcode = 'PW024',
      message = format('there is no level "%s"', left(level, 100)),
      detail = 'Levels are debug, info, warning and error.',
        hint = 'Use one of them. A retry cannot help.';
  end if;
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    raise notice using message = left(coalesce(message, ''), 8000);
    return;
  end if;
  if current_setting('pyworker.log_full', true) = current_setting('pyworker.job', true) then
    return;
  end if;
  v_line := jsonb_build_object('at', clock_timestamp(), 'level', level,
      'message', left(coalesce(message, ''), 8000),
    'fields', case when pg_column_size(fields) > 64000
      then '{"cut": "fields had more than 8000 bytes"}'
      when coalesce(octet_length(fields::text), 0) <= 8000 then nullif(fields, '{}')
        else '{"cut": "fields had more than 8000 bytes"}' end);
  if current_setting('pyworker.child', true) = 'on' then
    begin
      perform jobs_internal.run_in_background(
        format('select jobs_internal.store_log_line(%s, %s, %L)', jobs_internal.current_job(),
          jobs_internal.current_attempt(), v_line), 'pyworker log', 1000);
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        perform jobs_internal.store_log_line(jobs_internal.current_job(),
            jobs_internal.current_attempt(), v_line);
    end;
    return;
  end if;
  v_most := jobs_internal.setting('log_lines')::integer;
  select count(*) into v_count from pg_prepared_statements as p
  where p.name like 'pyworker\_log\_%';
  if v_count > v_most then
    perform set_config('pyworker.log_full', current_setting('pyworker.job'), false);
    return;
  end if;
  if v_count = v_most then
    v_line := jobs_internal.cut_line(v_most);
  end if;
  perform set_config('pyworker.logged', 'on', false);
  execute format('prepare %I as select ''pyworker:%s''', 'pyworker_log_'
      || lpad(v_count::text, 9, '0'),
    translate(encode(convert_to(v_line::text, 'UTF8'), 'base64'), E'\n', ''));
end
$$;
comment on function jobs.log(text, text, jsonb) is
'Inside a job: keeps a line with the attempt, also when the job fails and rolls back; elsewhere '
'raises it as a NOTICE. level: debug, info,
warning, error. Bounded by the setting log_lines per attempt, 8000 characters a line; the cut is '
'marked. A line costs some 20 us, in a
child session (CALL, DO) some 5 ms and a worker slot. Lines of an attempt whose session died are '
'lost. Errors: PW024.';
create or replace function jobs.cancel(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'cancel', 'jobs_operator');
  return jobs_internal.cancel(id);
end
$$;
comment on function jobs.cancel(bigint) is
'Cancels a job. Returns what it did: cancelled (it had not started; undone if the caller rolls '
'back), cancelling (it runs: its session is
told to stop, at once and whatever the caller''s transaction does), or the state of a job that is '
'finished already. A job that is in_doubt
becomes cancelled: a person has looked, and it is not run again. Errors: PW030.';
create or replace function jobs.retry(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'retry', 'jobs_operator');
  return jobs_internal.retry(id);
end
$$;
comment on function jobs.retry(bigint) is
'Runs a failed, cancelled or in_doubt job again, under its id, with at least one more attempt. '
'Returns retrying, or the state of a job that
is not finished. It counts under the quota of its owner, and the limits of its publication, as an '
'enqueue does. Errors: PW030 not there or not
yours, PW031 it has succeeded, PW032 its unique_key is taken, PW007 its queue is gone, PW071, '
'PW072, PW074 over a limit.';
create or replace function jobs.run_now(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'run_now', 'jobs_operator');
  return jobs_internal.run_now(id);
end
$$;
comment on function jobs.run_now(bigint) is
'Makes a scheduled or retrying job due now. Returns queued, or the state of a job that is not '
'scheduled. Errors: PW030, PW072 jobs of its owner wait
for a quota per minute.';
create or replace function jobs.set_priority(id bigint, priority text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'set_priority', 'jobs_operator');
  return jobs_internal.set_priority(id, priority);
end
$$;
comment on function jobs.set_priority(bigint, text) is
'Gives a job that has not started another priority: high, normal or low. Returns its state: '
'queued, scheduled, running (it has started, nothing was
changed), or that of a finished job. Errors: PW020, PW030.';
create or replace function jobs.dismiss(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'dismiss', 'jobs_operator');
  return jobs_internal.dismiss(id);
end
$$;
comment on function jobs.dismiss(bigint) is
'Dismisses a job that failed or is in doubt: jobs.failed, jobs.queues and jobs.health leave it out '
'from now on, and jobs.job says who
dismissed it and when. Its state stays, and jobs.retry(id) runs it again. Returns dismissed, or '
'the state of a job that has not failed.
Errors: PW030.';
create or replace function jobs.dismiss_failed(queue text default null,
    until timestamptz default now())
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'dismiss_failed', 'jobs_operator');
  return jobs_internal.dismiss_failed(queue, until);
end
$$;
comment on function jobs.dismiss_failed(text, timestamptz) is
'Dismisses, as jobs.dismiss does, the jobs of a queue that failed or are in doubt; queue null: of '
'all queues. An owner dismisses its own, an
operator those of all owners. until: those that ended up to this time, by default the start of the '
'caller''s transaction, so that none is
dismissed that cannot have been seen yet. Returns how many. Errors: PW007 no such queue.';
create or replace function jobs.wait(id bigint, timeout interval)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'wait', 'jobs_operator');
  return jobs_internal.wait(id, timeout);
end
$$;
comment on function jobs.wait(bigint, interval) is
'Waits until a job is finished and returns its state: succeeded, failed, cancelled or in_doubt. '
'Holds the caller''s snapshot, so it refuses
jobs that run at top level. Errors: PW030, PW033 isolation, PW034 top level, PW035 enqueued by '
'this transaction, PW036 not finished in time.';
create or replace procedure jobs.await(id bigint, timeout interval)
language plpgsql
as $$
declare
  v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp()
    operator(pg_catalog.+) least(greatest(coalesce(timeout, interval '1000 years'), interval '0'),
        interval '1000 years');
  v_state pg_catalog.text;
  v_nap double precision := 0.002;
  v_refusal pg_catalog.text;
begin
  perform jobs_internal.assert_member('jobs_producer', 'await', 'jobs_operator');
  perform pg_catalog.set_config('exit_on_error', 'off', true);
  begin
    commit;
  exception
    when invalid_transaction_termination then
      v_refusal := sqlerrm;
  end;
  if v_refusal operator(pg_catalog.=) jobs_internal.refusal_of_commit() then
    raise exception using errcode = 'PW037',
      message = 'jobs.await cannot run inside a transaction block',
      detail = 'It commits between two looks, so that it holds no snapshot. Here that is not '
        'possible: in a transaction block, in a function, or'
        ' beside other statements in one text.',
      hint
        = 'Commit first (a driver: autocommit) and call it alone, or use jobs.wait(id, timeout).';
  end if;
  loop
    v_state := jobs_internal.state_of(await.id);
    commit;
    exit when v_state operator(pg_catalog.=) any (array['succeeded', 'failed', 'cancelled',
          'in_doubt']);
    if pg_catalog.clock_timestamp() operator(pg_catalog.>) v_until then
      raise exception using errcode = 'PW036',
        message = pg_catalog.format('job %s is not finished after %s', await.id, timeout),
        detail = pg_catalog.format('Its state is %s.', v_state),
          hint = jobs_internal.waiting_reason(await.id);
    end if;
    perform pg_catalog.pg_sleep(v_nap);
    v_nap := least(v_nap operator(pg_catalog.*) 1.5, 0.1);
    commit;
  end loop;
  raise notice using message = pg_catalog.format('job %s: %s', await.id, v_state);
end
$$;
comment on procedure jobs.await(bigint, interval) is
'Waits until a job is finished, as jobs.wait, but commits between two looks and so holds no '
'snapshot; says the state in a NOTICE.
Not inside a transaction block. Errors: PW030, PW036, PW037 inside a transaction block.';
create or replace function jobs.explain(id bigint)
returns table (
  state text, reason text, code text, since timestamptz, until timestamptz,
  blocked_by_pids integer[], blocked_by_jobs bigint[], remedy text, also text[]
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
declare
  v_job jobs_internal.job;
  v_finished record;
  v_me oid := jobs_internal.viewer();
  v_all boolean := jobs_internal.caller_is('jobs_reader')
    or jobs_internal.caller_is('jobs_operator');
  v_first boolean := true;
  v record;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = explain.id and (v_all or v_me in (j.owner, j.enqueued_by));
  if not found then
    select f.state, f.outcome, f.finished_at into v_finished from jobs_internal.finished as f
    where f.id = explain.id and (v_all or v_me in (f.owner, f.enqueued_by));
    if found then
      state := v_finished.state;
      code := 'finished';
      reason := format('it is finished: %s',
          concat_ws(', outcome ', v_finished.state, nullif(v_finished.outcome, v_finished.state)));
      since := v_finished.finished_at;
    else
      code := 'not_there';
      reason := format('there is no job %s, or you may not see it',
          coalesce(explain.id::text, 'null'));
    end if;
    if state is distinct from 'succeeded' then
      remedy := replace((select c.remedy from jobs_internal.wait_codes() as c
          where c.code = explain.code), '(id)', format('(%s)', explain.id));
    end if;
    return next;
    return;
  end if;
  state := v_job.state;
  for v in select r.* from jobs_internal.reasons_of(v_job) as r order by r.n, r.since loop
    if not v_first then
      if v.n <> 36 then  -- that it runs is said where nothing else is
        also := also || v.reason;
      end if;
      continue;
    end if;
    v_first := false;
    also := '{}';
    code := v.code;
    reason := v.reason;
    since := v.since;
    until := nullif(v.until, 'infinity');  -- a time that no client library reads
    blocked_by_pids := v.pids;
    blocked_by_jobs := (select array_agg(u.id order by u.id) from unnest(v.jobs) as u(id)
      where u.id <> v_job.id and (v_all
          or exists (select from jobs_internal.job as j where j.id = u.id
              and v_me in (j.owner, j.enqueued_by))));
    remedy := replace(coalesce(v.remedy, (select c.remedy from jobs_internal.wait_codes() as c
          where c.code = v.code)), '(id)', format('(%s)', explain.id));
    if v.n between 30 and 39 then
      state := 'running';
    end if;
  end loop;
  if v_job.call_template_id is null and (v_job.owner = v_me or jobs_internal.reads(v_job.owner))
    then
    also := also || array(
      select 'its search_path is ' || coalesce(v_job.settings ->> 'search_path', s.path)
      from jobs_internal.statement as s
      where s.job_id = v_job.id and coalesce(v_job.settings ->> 'search_path', s.path) is not null);
  end if;
  return next;
end
$$;
comment on function jobs.explain(bigint) is
'Says why a job waits, or what it is at: state; reason, in words; code, the first that holds of '
'jobs.wait_reasons; since and until, where they are
known; the processes and the jobs that are in the way, as far as the caller may see them; remedy; '
'and what else holds (also), with the
search_path of a statement. One row, always.';
create or replace function jobs.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_runner', 'start');
  return jobs_internal.start(sessions);
end
$$;
comment on function jobs.start(integer) is
'Launches worker sessions of the caller now; they run what is due and end. Needs no supervisor; a '
'supervisor does the same by itself.
Returns how many were launched: fewer where the quota of the caller allows no more. Errors: PW019, '
'PW025, PW051 under SET ROLE, PW060 in a copy, 53000 or 53400 when the server has no free worker '
'slot: retry later.';
create or replace function jobs.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  share_commits boolean default true,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'create_queue');
  return jobs_internal.create_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, share_commits, retention_rows);
end
$$;
comment on function jobs.create_queue(text, integer, interval, integer, interval, interval,
    interval, boolean, bigint) is
'Makes a queue; returns false, with a NOTICE, when it exists. concurrency: jobs that run at once, '
'null for no limit; timeout and max_attempts:
for jobs that name none; backoff: wait before the second attempt, doubled each time up to '
'backoff_cap, which is not less; retention: finished
jobs are kept so long at least; share_commits: short jobs may share a transaction; '
'retention_rows: a finished job goes earlier once so many others have
finished after it, null for no limit. For operators. Errors: PW015, PW026.';
create or replace function jobs.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  share_commits boolean default null,
  accepting boolean default null,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'alter_queue');
  return jobs_internal.alter_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, share_commits, accepting, retention_rows);
end
$$;
comment on function jobs.alter_queue(text, integer, interval, integer, interval, interval, interval,
    boolean, boolean, bigint) is
'Changes options of a queue; what is not given stays. concurrency 0: no limit; timeout infinity: '
'none; accepting false: closed for enqueue;
retention_rows 0: no limit. Jobs that run when concurrency is lowered run on, and count until they '
'end. Another retention counts for what is
finished already, too. For operators. Errors: PW007, PW026.';
create or replace function jobs.drop_queue(queue text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'drop_queue');
  return jobs_internal.drop_queue(queue);
end
$$;
comment on function jobs.drop_queue(text) is
'Drops a queue that has no unfinished job; its history stays. It waits for no transaction, and '
'none waits for it: one that was enqueuing
just then may still bring a job, which runs as any other. For operators. Errors: PW007, PW027 it '
'is default, PW028 unfinished jobs.';
create or replace function jobs.pause(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'pause');
  return jobs_internal.pause(queue);
end
$$;
comment on function jobs.pause(text) is
'Pauses a queue; without a name, everything: no job starts until jobs.resume(). Running jobs go '
'on, enqueue goes on. Returns whether that
was a change. For operators. Errors: PW007.';
create or replace function jobs.resume(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'resume');
  return jobs_internal.resume(queue);
end
$$;
comment on function jobs.resume(text) is
'Resumes a queue; without a name, turns the switch of jobs.pause() back on (queues that were '
'paused by name stay paused). Returns whether
that was a change. For operators. Errors: PW007.';
create or replace function jobs.configure(name text, value text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'configure');
  return jobs_internal.configure(name, value);
end
$$;
comment on function jobs.configure(text, text) is 'Changes a setting of this installation '
  '(jobs.settings); returns the old value. New worker sessions use it. For operators. Errors: '
  'PW012, PW026.';
create or replace function jobs.set_retry_rule(pattern text, retry boolean, why text default '')
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_retry_rule');
  return jobs_internal.set_retry_rule(pattern, retry, why);
end
$$;
comment on function jobs.set_retry_rule(text, boolean, text) is
'Says whether an error is worth another attempt: pattern is an SQLSTATE, a class of two '
'characters, or * for all others; the longest pattern
that fits decides. retry null removes the rule. For operators. Errors: PW026.';
create or replace function jobs.set_quota(
  role text,
  pending bigint default null,
  running integer default null,
  args_bytes integer default null,
  result_bytes integer default null,
  per_minute integer default null,
  history_rows bigint default null,
  over_rate text default 'refuse'
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_quota');
  return jobs_internal.set_quota(role, pending, running, args_bytes, result_bytes, per_minute,
      history_rows, over_rate);
end
$$;
comment on function jobs.set_quota(text, bigint, integer, integer, integer, integer, bigint,
    text) is
'Says what one owner may have: pending: unfinished jobs; running: worker sessions at once; '
'args_bytes: all that one job carries, as text
(arguments, settings, note, options, the texts of a statement); result_bytes: of one job;
per_minute: jobs enqueued, or run again by jobs.retry, in any 60 seconds; history_rows: so many '
'finished jobs are kept, then older ones go, in steps of a quarter; over_rate:
what is over per_minute is refused, or waits until there is room. What is not given has no limit; '
'with nothing given the quota is gone. Returns
whether that was a change. For operators. Errors: PW026, PW075.';
create or replace function jobs.admit_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'admit_role');
  return jobs_internal.admit_role(role);
end
$$;
comment on function jobs.admit_role(text) is
'Switches on the jobs of one role that has more than its own rights (SUPERUSER, CREATEROLE, '
'REPLICATION, BYPASSRLS, or a privileged predefined role).
A role that can make it enqueue has its rights. Returns whether that was a change. For '
'administrators: superusers, and who may act as jobs_owner.
Errors: PW075.';
create or replace function jobs.dismiss_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'dismiss_role');
  return jobs_internal.dismiss_role(role);
end
$$;
comment on function jobs.dismiss_role(text) is
'Takes back jobs.admit_role: its jobs wait from then on; what runs goes on. Returns whether that '
'was a change. For administrators. Errors: PW075.';
create or replace function jobs.reconcile()
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'reconcile');
  return jobs_internal.reconcile();
end
$$;
comment on function jobs.reconcile() is
'Makes a copy of an installation (a restored dump, a database made from a template, the new '
'cluster after pg_upgrade) an installation of its own, where its
jobs run: do it only where they are to run, the original may be running the same ones. Owners and '
'functions are found again by name, jobs that
ran when the copy was made go back uncharged (top-level statements end by their post-condition, or '
'in_doubt), what the original''s sessions
held is freed. In the original it repairs: jobs whose message was lost are due again, messages '
'without a job go, missing queues are made, roles that
were missing are looked for again, lanes are made ahead where few roles may run jobs. '
'May be repeated at any time. Returns what it did. For '
'operators. Errors: 0A000 above READ COMMITTED.';
create or replace function jobs.help(name text default null)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := regexp_replace(lower(btrim(name)), '^jobs[.]|\(.*$', '', 'g');
  v_func oid;
  v_view oid;
  v_kind text;
  v_row record;
  v_found boolean := false;
begin
  for v_func in
    select p.oid from pg_proc as p where p.pronamespace = 'jobs'::regnamespace
      and p.proname = v_name order by p.oid
  loop
    if v_found then
      return next '';
    end if;
    v_found := true;
    return query select h from jobs_internal.help_of_function(v_func) as h;
  end loop;
  select c.oid into v_view from pg_class as c
  where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v' and c.relname = v_name;
  if found then
    if v_found then
      return next '';
    end if;
    v_found := true;
    return query select h from jobs_internal.help_of_view(v_view) as h;
  end if;
  if v_found then
    return;
  end if;
  if v_name <> '' then
    raise exception using errcode = 'PW038',
      message = format('schema jobs has no "%s"', left(name, 100)),
      detail = 'It has no function, procedure or view of that name.',
      hint = 'select jobs.help() lists all of them. A retry cannot help.';
  end if;
  for v_row in
    select o.kind, rpad('  ' || o.name, greatest(22, length(o.name) + 4))
      || regexp_replace(o.comment, '([.:;](\s|$)|\n).*$', '') as said
    from (
      select 1 as place, 'Functions' as kind, p.proname::text as name,
        obj_description(p.oid, 'pg_proc') as comment
      from pg_proc as p where p.pronamespace = 'jobs'::regnamespace
      union all
      select 2, 'Views', c.relname::text, obj_description(c.oid, 'pg_class')
      from pg_class as c where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v'
    ) as o
    order by o.place, o.name
  loop
    if v_kind is distinct from v_row.kind then
      if v_kind is not null then
        return next '';
      end if;
      v_kind := v_row.kind;
      return next v_kind || ' of schema jobs; select jobs.help(''name'') says all about one:';
    end if;
    return next case when length(v_row.said) > 78 then left(v_row.said, 75) || '...'
      else v_row.said end;
  end loop;
end
$$;
comment on function jobs.help(text) is
'The manual, on 80 columns: of a function or view of schema jobs its parameters or columns, what '
'it does and its errors; without a name the list
of all. Errors: PW038 no such function or view.';
create or replace view jobs.job with (security_barrier) as
with active as materialized (
  select a.job_id, a.attempt, a.started_at from jobs_internal.activity() as a
  where a.job_id is not null
)
select
  j.id,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  pg_get_userbyid(j.owner)::text as owner,
  case when j.call_template_id is null then case when j.bucket is null
      then (select st.command || coalesce(' ' || st.object, '') from jobs_internal.statement as st
          where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.finished_statement as st where st.job_id = j.id
            and st.bucket = j.bucket) end
    else (select s.task from jobs_internal.call_template as s where s.id = j.call_template_id) end
      as task,
  case when j.state = 'queued' and j.id in (select a.job_id from active as a) then 'running'
    else j.state end as state,
  case when j.state = 'queued'
    then coalesce((select a.attempt from active as a where a.job_id = j.id), j.attempt)
      else j.attempt end as attempt,
  j.max_attempts,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.run_at,
  j.created_at,
  case when j.state = 'queued' then (select a.started_at from active as a where a.job_id = j.id)
    else j.started_at end as started_at,
  j.finished_at,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner)
    then j.result end as result,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner) then j.error
    when (select jobs_internal.caller_is('jobs_operator'))
      then j.error - 'detail' - 'context' end as error,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
    or (select jobs_internal.caller_is('jobs_operator'))
    then coalesce(j.note, '{}') end as note,
  j.timeout,
  j.unique_key,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
    or jobs_internal.reads(j.owner)
    then coalesce(j.args, '{}') end as args,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner)
    then coalesce(j.settings, '{}') end as settings,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.body from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.body from jobs_internal.finished_statement as st where st.job_id = j.id
          and st.bucket = j.bucket) end end as statement,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.done_when from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.done_when from jobs_internal.finished_statement as st where st.job_id = j.id
          and st.bucket = j.bucket) end end as done_when,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.rollback_sql from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.rollback_sql from jobs_internal.finished_statement as st
          where st.job_id = j.id
          and st.bucket = j.bucket) end end as rollback,
  pg_get_userbyid(coalesce(j.enqueued_by, j.owner))::text as enqueued_by,
  case
    when j.bucket is not null or j.state not in ('scheduled', 'queued') then null
    when j.state = 'queued' and j.id in (select a.job_id from active as a) then null
    when j.due_at > (select clock_timestamp()) then case when j.attempt > 0 then 'its next attempt'
      else 'its time' end
    else coalesce((select jobs_internal.lane_waits()) ->> (j.queue_id || ' ' || j.owner || ' '
          || j.priority),
      case when j.call_template_id = any ((select jobs_internal.functions_gone())::integer[])
        then 'its turn, to fail: its function is not what it was'
      when j.crashes > 0 then 'a run by itself, because it ran when the server crashed'
        else 'its turn' end)
  end as waits_for,
  j.dismissed_at,
  j.dismissed_by,
  coalesce(
    case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
      or (select jobs_internal.caller_is('jobs_operator'))
      then j.options ->> 'title' end,
    case when j.call_template_id is not null
      then (select s.task from jobs_internal.call_template as s where s.id = j.call_template_id)
      when j.bucket is null then (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.finished_statement as st
        where st.job_id = j.id and st.bucket = j.bucket)
    end) as title
from (
  select l.id, null::integer as bucket, l.queue_id, l.owner, l.state, l.call_template_id, l.attempt,
    l.max_attempts, l.priority, l.run_at, l.created_at,
    l.started_at,
    null::timestamptz as finished_at, null::jsonb as result, l.error, l.note, l.timeout,
      l.unique_key, l.args, l.settings, l.enqueued_by, l.due_at,
    l.crashes,
    null::timestamptz as dismissed_at, null::text as dismissed_by, l.options
  from jobs_internal.job as l
  union all
  select f.id, f.bucket, f.queue_id, f.owner, f.state, f.call_template_id, f.attempt,
    f.max_attempts,
    f.priority, f.run_at, f.created_at,
    f.started_at, f.finished_at, f.result, f.error, f.note, f.timeout, f.unique_key, f.args,
      f.settings, f.enqueued_by, null, 0::smallint,
    f.dismissed_at, f.dismissed_by, f.options
  from jobs_internal.finished as f
) as j
where (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
  or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by j.id desc;
comment on view jobs.job is 'Every job, live or finished, the latest first';
comment on column jobs.job.id is 'Number of the job';
comment on column jobs.job.queue is 'Queue';
comment on column jobs.job.owner is 'Role that it runs as';
comment on column jobs.job.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.job.state is 'scheduled (waits for run_at or for its lane), queued, '
  'running, succeeded, failed, cancelled, in_doubt';
comment on column jobs.job.attempt is 'Attempts made or under way, count';
comment on column jobs.job.max_attempts is 'Attempts allowed, count';
comment on column jobs.job.priority is 'high, normal or low';
comment on column jobs.job.run_at is 'Not before this time, as enqueued';
comment on column jobs.job.created_at is 'Start of the transaction that enqueued it';
comment on column jobs.job.started_at is 'Start of the present or last attempt';
comment on column jobs.job.finished_at is 'End of the last attempt; null: not finished';
comment on column jobs.job.result is 'What the function returned; of a statement {"rows": count} '
  'or {"command_tag": text}, of a CALL its OUT values';
comment on column jobs.job.error is 'Error of the last attempt: sqlstate, message, detail, hint, '
  'context; the detail and context for those who see the arguments';
comment on column jobs.job.note is 'What a person wants beside the job';
comment on column jobs.job.timeout is 'Longest time that an attempt may take; null: no limit';
comment on column jobs.job.unique_key is 'At most one unfinished job per owner, queue and key; '
  'each enqueuer by a publication has keys of its own';
comment on column jobs.job.args is 'Arguments, as cast at enqueue';
comment on column jobs.job.settings is 'Settings for this job alone';
comment on column jobs.job.statement is 'The statement of jobs.enqueue_sql';
comment on column jobs.job.done_when
  is 'Post-condition of the statement: given, or known by pyworker';
comment on column jobs.job.rollback is 'Statement that undoes it, kept for people';
comment on column jobs.job.enqueued_by
  is 'Role that enqueued it: its owner, or another by a publication';
comment on column jobs.job.waits_for is 'Why it does not start, in short: the first that holds of '
  'jobs.wait_reasons; null: it runs, or is finished. jobs.explain(id) says more';
comment on column jobs.job.dismissed_at
  is 'When its failure was dismissed (jobs.dismiss); null: not, or it has been retried since';
comment on column jobs.job.title is 'Title, as in jobs.running';
comment on column jobs.job.dismissed_by is 'Login that dismissed it';
create or replace view jobs.queued with (security_barrier) as
select
  j.id,
  q.name as queue,
  pg_get_userbyid(j.owner)::text as owner,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  j.state,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.attempt,
  j.max_attempts,
  coalesce(j.due_at, j.run_at)::timestamptz(0) as due_at,
  date_trunc('second', now() - j.created_at) as age,
  case when j.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_operator'))
    then j.error ->> 'message' end as last_error,
  case
    when j.due_at > (select clock_timestamp()) then case when j.attempt > 0 then 'its next attempt'
      else 'its time' end
    else coalesce((select jobs_internal.lane_waits()) ->> (j.queue_id || ' ' || j.owner || ' '
          || j.priority),
      case when j.call_template_id = any ((select jobs_internal.functions_gone())::integer[])
        then 'its turn, to fail: its function is not what it was'
      when j.crashes > 0 then 'a run by itself, because it ran when the server crashed'
        else 'its turn' end)
  end as waits_for,
  coalesce(case when j.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.job as j
left join jobs_internal.queue as q on q.id = j.queue_id
left join jobs_internal.call_template as s on s.id = j.call_template_id
left join jobs_internal.statement as st on st.job_id = j.id and j.call_template_id is null
where j.state in ('scheduled', 'queued')
  and j.id not in (select a.job_id from jobs_internal.activity() as a where a.job_id is not null)
  and (j.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by j.id;
comment on view jobs.queued is 'Jobs that wait, in the order of their ids';
comment on column jobs.queued.id is 'Number of the job';
comment on column jobs.queued.queue is 'Queue';
comment on column jobs.queued.owner is 'Owner';
comment on column jobs.queued.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.queued.state is 'queued: next in its lane; scheduled: waits for due_at';
comment on column jobs.queued.priority is 'high, normal or low';
comment on column jobs.queued.attempt is 'Attempts made, count';
comment on column jobs.queued.max_attempts is 'Attempts allowed, count';
comment on column jobs.queued.due_at is 'When it may start';
comment on column jobs.queued.age is 'Time since it was enqueued';
comment on column jobs.queued.waits_for is 'Why it does not start, as in jobs.job; never null';
comment on column jobs.queued.title is 'Title, as in jobs.running';
comment on column jobs.queued.last_error is 'Message of the last attempt''s error';
create or replace view jobs.running with (security_barrier) as
select
  a.job_id as id,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  pg_get_userbyid(a.owner)::text as owner,
  a.pid,
  a.child_pid,
  a.started_at::timestamptz(0) as started_at,
  a.done,
  a.total,
  case when a.total > 0 then round(100 * least(a.done / a.total, 1), 1) end as percent,
  jobs_internal.eta(a.started_at, a.done, a.total, a.first_done, a.first_at, a.attempt = 1
      and j.interruptions = 0 and j.crashes = 0) as eta,
  a.message,
  a.wait_event,
  a.blocked_by,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  a.attempt,
  date_trunc('second', clock_timestamp() - a.started_at) as elapsed,
  (a.started_at + j.timeout)::timestamptz(0) as deadline,
  coalesce(case when a.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.activity() as a
left join jobs_internal.job as j on j.id = a.job_id
left join jobs_internal.call_template as s on s.id = j.call_template_id
left join jobs_internal.statement as st on st.job_id = j.id and j.call_template_id is null
where a.job_id is not null and j.id is not null
order by a.started_at, a.job_id;
comment on view jobs.running is 'Jobs that run now, the oldest first, live';
comment on column jobs.running.id is 'Number of the job';
comment on column jobs.running.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.running.owner is 'Owner';
comment on column jobs.running.pid
  is 'Process of the worker session; null: it died, and the child session goes on alone';
comment on column jobs.running.child_pid
  is 'Process of the child session that runs a top-level statement';
comment on column jobs.running.started_at is 'Start of this attempt';
comment on column jobs.running.done is 'How much is done: of jobs.progress, else of the server''s '
  'own progress (blocks, tuples or lockers)';
comment on column jobs.running.total
  is 'Of how much, in the same unit; of VACUUM and CREATE INDEX within the present phase';
comment on column jobs.running.percent is 'done of total, in percent';
comment on column jobs.running.eta is 'When it ends if it goes on as since the first report of '
  'this attempt; null: not known yet; within the present phase for VACUUM and CREATE INDEX';
comment on column jobs.running.message
  is 'Text of jobs.progress, else the phase of the server''s own progress';
comment on column jobs.running.wait_event
  is 'What its session waits for, type:event; null: it works';
comment on column jobs.running.blocked_by is 'Processes whose locks it waits for';
comment on column jobs.running.queue is 'Queue';
comment on column jobs.running.attempt is 'Number of this attempt, from 1';
comment on column jobs.running.elapsed is 'Time since its start';
comment on column jobs.running.deadline is 'When its timeout ends it; null: no limit';
comment on column jobs.running.title is 'Title that it was given (option title; for the owner and '
  'operators), else its task, of a statement with what it works on';
create or replace view jobs.failed with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_get_userbyid(f.owner)::text as owner,
  case when f.call_template_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.finished_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.call_template as s where s.id = f.call_template_id) end
      as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  f.error ->> 'sqlstate' as sqlstate,
  case when f.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_operator'))
    then case when length(f.error ->> 'message') > 40 then left(f.error ->> 'message', 37) || '...'
      else f.error ->> 'message' end
  end as message
from jobs_internal.finished as f
where f.state in ('failed', 'in_doubt') and f.dismissed_at is null
  and (f.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.failed is 'Jobs that failed or are in doubt and were not dismissed, the '
  'latest first; jobs.retry(id) runs one again, jobs.dismiss(id) takes it off this list';
comment on column jobs.failed.id is 'Number of the job';
comment on column jobs.failed.queue is 'Queue';
comment on column jobs.failed.owner is 'Owner';
comment on column jobs.failed.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.failed.state is 'failed or in_doubt';
comment on column jobs.failed.outcome
  is 'Outcome of the last attempt: failed, timed_out, lost, in_doubt';
comment on column jobs.failed.attempt is 'Attempts made, count';
comment on column jobs.failed.finished_at is 'End of the last attempt';
comment on column jobs.failed.sqlstate is 'SQLSTATE of its error';
comment on column jobs.failed.message
  is 'Message of its error, cut at 40 characters; all of it is in jobs.job.error';
create or replace view jobs.finished with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_get_userbyid(f.owner)::text as owner,
  case when f.call_template_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.finished_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.call_template as s where s.id = f.call_template_id) end
      as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  round((extract(epoch from f.started_at - greatest(f.created_at, f.run_at)) * 1000)::numeric,
      1) as wait_ms,
  round((extract(epoch from f.finished_at - f.started_at) * 1000)::numeric, 1) as run_ms
from jobs_internal.finished as f
where f.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.finished
  is 'Finished jobs, the latest first, until their queue''s retention removes them';
comment on column jobs.finished.id is 'Number of the job';
comment on column jobs.finished.queue is 'Queue';
comment on column jobs.finished.owner is 'Owner';
comment on column jobs.finished.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.finished.state is 'succeeded, failed, cancelled or in_doubt';
comment on column jobs.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs.finished.attempt is 'Attempts made, count';
comment on column jobs.finished.finished_at is 'End of the last attempt, or time of the cancel';
comment on column jobs.finished.wait_ms
  is 'From due (or enqueued) to the start of the last attempt, ms';
comment on column jobs.finished.run_ms is 'Duration of the last attempt, ms';
create or replace view jobs.cost with (security_barrier) as
select
  s.day, q.name as queue, pg_get_userbyid(s.owner) as owner, s.task,
  s.attempts, s.failed, round(s.ms, 1) as run_ms, round(s.waited_ms, 1) as waited_ms, s.rows,
    s.measured,
  round(s.wal_bytes * f.share) as wal_bytes, round(s.buffers_hit * f.share) as buffers_hit,
  round(s.buffers_read * f.share) as buffers_read,
    round(s.buffers_dirtied * f.share) as buffers_dirtied,
  round(s.temp_bytes * f.share) as temp_bytes
from (
  select o.day, o.queue_id, o.owner, o.task, sum(o.attempts) as attempts, sum(o.failed) as failed,
    sum(o.ms) as ms,
    sum(o.waited_ms) as waited_ms, sum(o.rows) as rows, sum(o.measured) as measured,
    sum(o.wal_bytes) as wal_bytes, sum(o.buffers_hit) as buffers_hit,
      sum(o.buffers_read) as buffers_read,
    sum(o.buffers_dirtied) as buffers_dirtied, sum(o.temp_bytes) as temp_bytes
  from jobs_internal.daily_cost as o
  where o.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
    or (select jobs_internal.caller_is('jobs_operator'))
  group by o.day, o.queue_id, o.owner, o.task
) as s
join jobs_internal.queue as q on q.id = s.queue_id
cross join lateral (select (s.attempts - s.failed) / nullif(s.measured, 0) as share) as f
order by s.day desc, s.ms desc;
comment on view jobs.cost is 'What jobs cost, per day, queue, owner and task: select task, '
  'sum(wal_bytes) from jobs.cost group by task order by 2 desc;';
comment on column jobs.cost.day is 'Day, UTC; kept for a year';
comment on column jobs.cost.queue is 'Queue';
comment on column jobs.cost.owner is 'Owner';
comment on column jobs.cost.task is 'Function, or the first words of the statement';
comment on column jobs.cost.attempts is 'Attempts, count';
comment on column jobs.cost.failed is 'Those that did not succeed, count';
comment on column jobs.cost.run_ms is 'Their wall time, ms';
comment on column jobs.cost.waited_ms is 'Time that they waited in their lane for a session, ms';
comment on column jobs.cost.rows
  is 'Rows that their statements changed or returned, or their functions returned as sets';
comment on column jobs.cost.measured is 'Attempts that were measured; from them the following '
  'columns are reckoned for all that succeeded; 0: those are null';
comment on column jobs.cost.wal_bytes is 'WAL written, bytes';
comment on column jobs.cost.buffers_hit is 'Buffers found in memory';
comment on column jobs.cost.buffers_read is 'Buffers read';
comment on column jobs.cost.buffers_dirtied is 'Buffers dirtied';
comment on column jobs.cost.temp_bytes is 'Temporary files written, bytes';
create or replace view jobs.attempts with (security_barrier) as
with active as materialized (
  select r.job_id, r.attempt, r.owner, r.started_at, r.pid, r.child_pid
  from jobs_internal.activity() as r
  where r.job_id is not null and exists (select from jobs_internal.job as j where j.id = r.job_id)
)
select
  a.job_id, a.attempt, a.outcome, a.started_at, a.finished_at, a.pid, a.child_pid,
  round((extract(epoch from a.finished_at - a.started_at) * 1000)::numeric, 1) as run_ms,
  a.waited_ms, a.rows, a.wal_bytes, a.buffers_hit, a.buffers_read, a.buffers_dirtied, a.temp_bytes,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner)
    then a.result end as result,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner) then a.error
    when (select jobs_internal.caller_is('jobs_operator'))
      then a.error - 'detail' - 'context' end as error,
  case
    when a.wal_bytes is not null or a.outcome is null then null
    when a.outcome <> 'succeeded' then 'it did not succeed'
    when a.child_pid is not null then (select jobs_internal.why_child_costs_are_unknown())
    when (select jobs_internal.measures_no_cost()) then 'measure_cost is off'
    else 'it shared a transaction with short jobs, of which a sample is measured: jobs.cost'
  end as not_measured
from (
  select f.id as job_id, f.attempt, f.outcome, f.owner, f.started_at, f.finished_at, f.pid,
    f.child_pid,
    f.waited_ms, f.rows, f.wal_bytes, f.buffers_hit, f.buffers_read, f.buffers_dirtied,
      f.temp_bytes, f.result, f.error, false as live
  from jobs_internal.finished as f
  union all
  select t.job_id, t.attempt, t.outcome, t.owner, t.started_at, t.finished_at, t.pid, t.child_pid,
    t.waited_ms, t.rows, t.wal_bytes, t.buffers_hit, t.buffers_read, t.buffers_dirtied,
      t.temp_bytes, t.result, t.error, false
  from jobs_internal.attempt as t
  union all
  select p.job_id, p.attempt, p.outcome, p.owner, p.started_at, p.finished_at, p.pid, p.child_pid,
    p.waited_ms, p.rows, p.wal_bytes, p.buffers_hit, p.buffers_read, p.buffers_dirtied,
      p.temp_bytes, p.result, p.error, false
  from jobs_internal.finished_attempt as p
  union all
  select r.job_id, r.attempt, null, r.owner, r.started_at, null, r.pid, r.child_pid, null, null,
    null, null, null, null, null, null, null, true
  from active as r
) as a
where (a.live or a.outcome is not null)
  and (a.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by a.job_id desc, a.attempt;
comment on view jobs.attempts is 'Attempts, each with its session and outcome; the latest job '
  'first, its attempts in their order';
comment on column jobs.attempts.job_id is 'Job';
comment on column jobs.attempts.attempt is 'Number of the attempt, from 1';
comment on column jobs.attempts.outcome
  is 'succeeded, failed, timed_out, cancelled, lost, in_doubt; null: it runs';
comment on column jobs.attempts.started_at is 'Start';
comment on column jobs.attempts.finished_at is 'End';
comment on column jobs.attempts.pid
  is 'Process of the worker session; null while only its child session is left';
comment on column jobs.attempts.child_pid is 'Process of the child session';
comment on column jobs.attempts.run_ms is 'Wall time, ms';
comment on column jobs.attempts.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs.attempts.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs.attempts.wal_bytes is 'WAL that it wrote, bytes. This and the following '
  'columns are null where it was not measured: not_measured says why. Of a statement at top level '
  'they come from pg_stat_statements, where that is installed';
comment on column jobs.attempts.buffers_hit is 'Buffers that it found in memory';
comment on column jobs.attempts.buffers_read is 'Buffers that it read';
comment on column jobs.attempts.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs.attempts.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs.attempts.result is 'Result';
comment on column jobs.attempts.error is 'Error: sqlstate, message, detail, hint, context; the '
  'detail and context for those who see the arguments';
comment on column jobs.attempts.not_measured is 'Why wal_bytes and the figures beside it are null, '
  'as far as the present settings say; null: they are measured, or it runs';
create or replace view jobs.log_lines with (security_barrier) as
select l.job_id, l.attempt, l.n, l.at, l.level, l.message, coalesce(l.fields, '{}') as fields
from (
  select o.job_id, o.attempt, o.n, o.owner, o.at, o.level, o.message, o.fields
  from jobs_internal.log_line as o
  union all
  select p.job_id, p.attempt, p.n, p.owner, p.at, p.level, p.message, p.fields
  from jobs_internal.finished_log_line as p
) as l
where l.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_operator'))
order by l.job_id desc, l.attempt desc, l.n;
comment on view jobs.log_lines is 'Lines that jobs wrote with jobs.log';
comment on column jobs.log_lines.job_id is 'Job';
comment on column jobs.log_lines.attempt is 'Attempt';
comment on column jobs.log_lines.n is 'Number of the line in its attempt';
comment on column jobs.log_lines.at is 'When it was written';
comment on column jobs.log_lines.level is 'debug, info, warning or error';
comment on column jobs.log_lines.message is 'Text';
comment on column jobs.log_lines.fields is 'More facts';
create or replace function jobs_internal.waiting_figures(p_owner oid)
returns table (queue_id integer, queued bigint, scheduled bigint, oldest timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_lane record;
begin
  scheduled := 0;
  for v_lane in
    select l.queue_id, l.pgmq_queue
    from jobs_internal.lane as l
    where (p_owner is null or l.owner = p_owner)
      and (l.idle_state <> 'idle'
        or l.id in (select n.lane_id from jobs_internal.wakeup_request as n))
  loop
    begin
      execute format('select (select count(*) from pgmq.%1$I), (select case when j.attempt = 0 '
        'then greatest(j.run_at, j.created_at) else m.enqueued_at end '
        'from (select f.message, f.enqueued_at from pgmq.%1$I as f order by f.msg_id limit 1) as m '
        'cross join lateral (select o.attempt, o.run_at, o.created_at '
        'from jobs_internal.job as o where o.id = (m.message ->> ''job'')::bigint offset 0) as j)',
        'q_' || v_lane.pgmq_queue)
      into queued, oldest;
    exception
      when undefined_table then
        continue;  -- its queue was dropped meanwhile
    end;
    queue_id := v_lane.queue_id;
    return next;
  end loop;
  return query
    select j.queue_id, 0::bigint, count(*), min(j.due_at) filter (where j.due_at <= now())
    from jobs_internal.job as j
    where j.due_at is not null and (p_owner is null or j.owner = p_owner)
    group by j.queue_id;
end
$$;
create or replace function jobs_internal.queue_figures()
returns table (queue_id integer, queued bigint, running bigint, scheduled bigint, oldest interval,
    failed bigint, rate numeric, slots_used bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with seen as (
    select jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
      or jobs_internal.caller_is('jobs_supervisor') as everything, jobs_internal.viewer() as me
  ), active as (
    select j.queue_id, count(*) as n,
      count(*) filter (where j.state = 'queued') as in_chunk
    from jobs_internal.activity() as a
    join jobs_internal.job as j on j.id = a.job_id
    group by j.queue_id
  ), waiting as (
    select w.queue_id, sum(w.queued)::bigint as queued, sum(w.scheduled)::bigint as scheduled,
      min(w.oldest) as oldest
    from seen
    cross join lateral jobs_internal.waiting_figures(case when not seen.everything then seen.me end)
      as w
    group by w.queue_id
  ), broken as (
    select f.queue_id, count(*) as failed
    from jobs_internal.finished as f, seen
    where f.state <> 'succeeded' and f.state in ('failed', 'in_doubt') and f.dismissed_at is null
      and (seen.everything or f.owner = seen.me)
    group by f.queue_id
  ), rates as (
    select m.queue_id,
      round(sum(m.succeeded + m.failed) / greatest(60, extract(epoch from now() - min(m.minute))),
          2) as rate
    from jobs_internal.queue_minute_stats as m
    where m.minute > now() - interval '5 minutes'
    group by m.queue_id
  ), slots as (
    select s.queue_id, count(s.session_id) as used from jobs_internal.slot as s group by s.queue_id
  )
  select q.id, greatest(coalesce(w.queued, 0) - coalesce(a.in_chunk, 0), 0), coalesce(a.n, 0),
    coalesce(w.scheduled, 0), date_trunc('second', now() - w.oldest),
    coalesce(b.failed, 0), coalesce(r.rate, 0), coalesce(s.used, 0)
  from jobs_internal.queue as q
  left join active as a on a.queue_id = q.id
  left join waiting as w on w.queue_id = q.id
  left join broken as b on b.queue_id = q.id
  left join rates as r on r.queue_id = q.id
  left join slots as s on s.queue_id = q.id
  where q.dropped_at is null
$$;
create or replace view jobs.queues with (security_barrier) as
select
  q.name as queue,
  q.paused or (select s.paused from jobs_internal.switch as s) as paused,
  q.concurrency,
  f.queued,
  f.running,
  f.scheduled,
  f.oldest,
  f.failed,
  f.rate,
  f.slots_used as slots,
  q.accepting,
  q.timeout,
  q.max_attempts,
  q.retention,
  q.share_commits,
  q.retention_rows
from jobs_internal.queue as q
join jobs_internal.queue_figures() as f on f.queue_id = q.id
order by q.name;
comment on view jobs.queues is 'Queues, with the figures of the jobs that you may see';
comment on column jobs.queues.queue is 'Name';
comment on column jobs.queues.paused is 'Its jobs do not start (it, or everything, is paused)';
comment on column jobs.queues.concurrency is 'Jobs that run at once at most, count; null: no limit';
comment on column jobs.queues.queued is 'Jobs that wait in their lanes, count';
comment on column jobs.queues.running is 'Jobs that run, count';
comment on column jobs.queues.scheduled is 'Jobs that wait for their time or a retry, count';
comment on column jobs.queues.oldest is 'How long the job that is due longest waits';
comment on column jobs.queues.failed
  is 'Jobs kept that failed or are in doubt and were not dismissed, count';
comment on column jobs.queues.rate
  is 'Attempts that ended per second, over the last 5 minutes, of all owners';
comment on column jobs.queues.slots is 'Slots that sessions hold, count, of concurrency';
comment on column jobs.queues.accepting is 'It accepts new jobs';
comment on column jobs.queues.timeout is 'Timeout of jobs that name none; null: none';
comment on column jobs.queues.max_attempts is 'Attempts of jobs that name no number, count';
comment on column jobs.queues.retention is 'Finished jobs are kept so long at least';
comment on column jobs.queues.share_commits is 'Short jobs may share a transaction';
comment on column jobs.queues.retention_rows
  is 'So many finished jobs are kept at least, count; older ones go; null: no limit';
create or replace view jobs.sessions with (security_barrier) as
select
  a.session_id as id,
  pg_get_userbyid(a.owner)::text as owner,
  a.pid,
  a.session_started_at::timestamptz(0) as started_at,
  a.jobs,
  q.name as queue,
  a.job_id,
  a.attempt,
  a.child_pid,
  a.wait_event
from jobs_internal.activity() as a
left join jobs_internal.lane as l on l.id = a.lane_id
left join jobs_internal.queue as q on q.id = l.queue_id
where a.pid is not null
order by a.session_started_at, a.session_id;
comment on view jobs.sessions is 'Worker sessions that live, with what they run';
comment on column jobs.sessions.id is 'Number of the session';
comment on column jobs.sessions.owner is 'Role that it runs as';
comment on column jobs.sessions.pid is 'Process';
comment on column jobs.sessions.started_at is 'Start';
comment on column jobs.sessions.jobs is 'Jobs done as of its last claim, count';
comment on column jobs.sessions.queue is 'Queue that it works for';
comment on column jobs.sessions.job_id is 'Job that it runs; null: none at this moment';
comment on column jobs.sessions.attempt is 'Attempt of that job';
comment on column jobs.sessions.child_pid is 'Process of its child session';
comment on column jobs.sessions.wait_event is 'What it waits for, type:event';
create or replace view jobs.supervisors with (security_barrier) as
select s.id, s.name, s.host, s.os_pid, s.version, s.pid, s.started_at::timestamptz(0) as started_at,
  s.last_seen::timestamptz(0) as last_seen, s.asleep
from jobs_internal.live_supervisors() as s
order by s.started_at;
comment on view jobs.supervisors is 'Supervisors that are connected';
comment on column jobs.supervisors.id is 'Number';
comment on column jobs.supervisors.name is 'Its name';
comment on column jobs.supervisors.host is 'Host that it runs on';
comment on column jobs.supervisors.os_pid is 'Its process there';
comment on column jobs.supervisors.version is 'Version of pyworker';
comment on column jobs.supervisors.pid is 'Server process of its control connection';
comment on column jobs.supervisors.started_at is 'Start of the connection';
comment on column jobs.supervisors.last_seen is 'Its last call; null: track_activities is off';
comment on column jobs.supervisors.asleep is 'It waits: enqueuers wake it with a NOTIFY';
create or replace view jobs.health with (security_barrier) as
select h."check", h.status, h.detail, h.remedy
from jobs_internal.look_at_health() as h
order by h.n;
comment on view jobs.health is 'One row per check: is everything well, and if not, what to do';
comment on column jobs.health."check" is 'What is checked';
comment on column jobs.health.status is 'ok, warning or critical';
comment on column jobs.health.detail is 'What was found';
comment on column jobs.health.remedy is 'What to do; null: nothing';
create or replace view jobs.settings with (security_barrier) as
select s.name, s.value, s.unit, s.description from jobs_internal.setting as s order by s.name;
comment on view jobs.settings
  is 'Settings of this installation; an operator changes them with jobs.configure(name, value)';
comment on column jobs.settings.name is 'Name';
comment on column jobs.settings.value is 'Value';
comment on column jobs.settings.unit is 'Unit of the value';
comment on column jobs.settings.description is 'What it does';
create or replace view jobs.retry_rules with (security_barrier) as
select r.pattern, r.retry, r.why from jobs_internal.retry_rule as r order by r.pattern;
comment on view jobs.retry_rules is 'Which errors are worth another attempt; the longest pattern '
  'that fits decides; jobs.set_retry_rule changes them';
comment on column jobs.retry_rules.pattern
  is 'SQLSTATE, class of two characters, or * for all others';
comment on column jobs.retry_rules.retry is 'Another attempt is worth it';
comment on column jobs.retry_rules.why is 'Reason';
create or replace view jobs.audit with (security_barrier) as
select a.id, a.at, a.login, a.action, a.object, a.before, a.after
from jobs_internal.audit as a
where (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
order by a.id desc;
comment on view jobs.audit is 'What operators and administrators did, the latest first; no '
  'function changes or removes a row';
comment on column jobs.audit.id is 'Number';
comment on column jobs.audit.at is 'When';
comment on column jobs.audit.login is 'Who: the login';
comment on column jobs.audit.action is 'What: the function that was called';
comment on column jobs.audit.object is 'For what';
comment on column jobs.audit.before is 'How it was; null: not there';
comment on column jobs.audit.after is 'How it is; null: gone';
create or replace function jobs_internal.quota_figures()
returns table (owner oid, jobs_pending bigint, sessions bigint, last_minute bigint)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select u.owner, jobs_internal.pending_jobs(u.owner, coalesce(u.pending, 1000000)),
    jobs_internal.live_sessions(u.owner),
    jobs_internal.recent_jobs(u.owner, 0)
  from jobs_internal.quota as u
  where u.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_operator')
    or jobs_internal.caller_is('jobs_reader');
end;
create or replace view jobs.quotas with (security_barrier) as
select
  pg_get_userbyid(u.owner)::text as owner, u.pending, f.jobs_pending, u.running, f.sessions,
    u.per_minute, f.last_minute, u.over_rate,
  u.args_bytes, u.result_bytes, u.history_rows
from jobs_internal.quota as u
join jobs_internal.quota_figures() as f on f.owner = u.owner
order by 1;
comment on view jobs.quotas is 'Quotas of owners, and what they have of them; an owner sees its '
  'own; an operator changes them with jobs.set_quota';
comment on column jobs.quotas.owner is 'Owner';
comment on column jobs.quotas.pending
  is 'Unfinished jobs at most; null: no limit, as in the other limits';
comment on column jobs.quotas.jobs_pending
  is 'Unfinished jobs now, counted to the limit, or to a million';
comment on column jobs.quotas.running is 'Worker sessions at once at most';
comment on column jobs.quotas.sessions is 'Worker sessions now';
comment on column jobs.quotas.per_minute is 'Jobs enqueued in any 60 seconds at most';
comment on column jobs.quotas.last_minute is 'Jobs that count for the last 60 seconds or later; of '
  'owners without that limit only published ones';
comment on column jobs.quotas.over_rate is 'What becomes of a job over per_minute: refuse or wait';
comment on column jobs.quotas.args_bytes is 'What one job carries at most, bytes of text: '
  'arguments, settings, note, options, and the texts of a statement';
comment on column jobs.quotas.result_bytes is 'Result of one job at most, bytes of text';
comment on column jobs.quotas.history_rows is 'Finished jobs that are kept';
create or replace view jobs.publications with (security_barrier) as
select
  p.id, p.task, p.signature, pg_get_userbyid(p.publisher)::text as publisher,
    pg_get_userbyid(p.to_role)::text as to_role,
  (select q.name from jobs_internal.queue as q where q.id = p.queue_id) as queue,
  p.timeout, p.per_minute, p.pending,
  (select count(*) from jobs_internal.job as j where j.publication_id = p.id) as jobs_pending,
  p.published_at, p.revoked_at
from jobs_internal.publication as p
where p.publisher = (select jobs_internal.viewer())
  or (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
  or p.revoked_at is null and exists (select from pg_roles as r where r.oid = p.to_role)
    and pg_has_role(session_user, p.to_role, 'member')
order by p.task, p.id;
comment on view jobs.publications is 'Functions that their owner lets other roles enqueue: one''s '
  'own, and those that one may enqueue with jobs.enqueue_published';
comment on column jobs.publications.id is 'Number, for jobs.unpublish';
comment on column jobs.publications.task is 'Name of the function';
comment on column jobs.publications.signature is 'Its name with argument types';
comment on column jobs.publications.publisher is 'Owner of the function; its jobs run as this role';
comment on column jobs.publications.to_role is 'Role whose members may enqueue it';
comment on column jobs.publications.queue is 'Queue of its jobs';
comment on column jobs.publications.timeout is 'Longest timeout of its jobs; null: the queue''s';
comment on column jobs.publications.per_minute
  is 'Jobs enqueued in any 60 seconds at most; null: no limit of its own';
comment on column jobs.publications.pending is 'Unfinished jobs at most; null: no limit of its own';
comment on column jobs.publications.jobs_pending is 'Unfinished jobs now';
comment on column jobs.publications.published_at is 'When it was published';
comment on column jobs.publications.revoked_at is 'When it was revoked; null: it counts';
create or replace view jobs.admitted_roles with (security_barrier) as
select
  pg_get_userbyid(a.role)::text as role, jobs_internal.privileges_seen(a.role) as powers,
    a.admitted_by,
  a.admitted_at::timestamptz(0) as admitted_at
from jobs_internal.admitted_role as a
where a.role = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
order by 1;
comment on view jobs.admitted_roles
  is 'Privileged roles whose jobs an administrator has switched on by name (jobs.admit_role)';
comment on column jobs.admitted_roles.role is 'Role';
comment on column jobs.admitted_roles.powers is 'What makes it privileged; null: nothing any more';
comment on column jobs.admitted_roles.admitted_by is 'Login that switched it on';
comment on column jobs.admitted_roles.admitted_at is 'When';
create or replace view jobs.errors with (security_barrier) as
select e.sqlstate, e.retry, e.meaning
from (values
  ('PW001', false, 'the task names no function that the caller sees'),
  ('PW002', false, 'the task names several functions, and the arguments do not decide'),
  ('PW003', false, 'args has a key that is no parameter of the function'),
  ('PW004', false, 'args lacks a parameter that has no default'),
  ('PW005', false, 'an argument cannot be cast to its declared type'),
  ('PW006', false, 'the owner may not execute the function, or its schema is closed to it'),
  ('PW007', false, 'there is no such queue, or it was dropped'),
  ('PW008', true, 'the queue does not accept jobs: an operator closed it'),
  ('PW009', false, 'timeout is zero or negative'),
  ('PW010', false, 'max_attempts is less than 1'),
  ('PW011', false, 'args, settings, note or options is no JSON object'),
  ('PW012', false, 'there is no such setting'),
  ('PW013', false, 'the owner may not set this setting to that value, or it belongs to the worker'),
  ('PW014', false, 'the statement is empty'),
  ('PW015', false, 'a name is too long or not allowed'),
  ('PW016', false, 'this kind of function cannot be a job'),
  ('PW017', false, 'not exactly one complete statement, or a syntax error in it'),
  ('PW018', false, 'a text, name, note, settings or arguments are larger than allowed'),
  ('PW019', false, 'jobs of this role are refused: it has more than its own rights'),
  ('PW020', false, 'there is no such priority'),
  ('PW021', false, 'this kind of statement cannot be a job'),
  ('PW022', false, 'unique_key is not for many jobs'),
  ('PW023', false, 'progress is out of range'),
  ('PW024', false, 'there is no such log level'),
  ('PW025', false, 'sessions is out of range'),
  ('PW026', false, 'an option or setting is out of range'),
  ('PW027', false, 'the queue "default" cannot be dropped'),
  ('PW028', true, 'the queue has unfinished jobs'),
  ('PW029', false, 'options has a key that there is not, that is not for this function, or whose '
    'value is not allowed'),
  ('PW030', false, 'there is no such job, or it belongs to another role'),
  ('PW031', false, 'the job has succeeded and is not run again'),
  ('PW032', true, 'another unfinished job has the same unique_key'),
  ('PW033', false, 'jobs.wait cannot see the end of a job at this isolation level'),
  ('PW034', false, 'jobs.wait does not wait for jobs that run at top level; jobs.await does'),
  ('PW035', false, 'the job was enqueued by the transaction that waits for it'),
  ('PW036', true, 'the job is not finished in that time'),
  ('PW037', false, 'jobs.await commits and cannot run inside a transaction block'),
  ('PW038', false, 'schema jobs has no function or view of that name'),
  ('PW040', false, 'the result of the job is larger than allowed'),
  ('PW041', false, 'the job ended itself while it ran; what it did was undone'),
  ('PW042', false, 'the function was dropped or has another owner than at enqueue, or its '
    'publication was revoked'),
  ('PW043', false, 'the statement ran, but its post-condition is not true'),
  ('PW050', false, 'only a worker session calls this'),
  ('PW051', false, 'a worker session must run as its own login'),
  ('PW052', true, 'pyworker was upgraded while the worker session began'),
  ('PW053', false, 'the supervisor''s program was made for a newer schema: pyworker upgrade'),
  ('PW060',
      true, 'the database is a copy of another installation: nothing runs until jobs.reconcile()'),
  ('PW070', false, 'the job carries more than the quota of the owner allows'),
  ('PW071', true, 'the owner has as many unfinished jobs as its quota allows'),
  ('PW072', true, 'the owner enqueues more jobs a minute than its quota allows'),
  ('PW073', true, 'the owner has as many worker sessions as its quota allows'),
  ('PW074', true, 'over a limit of the publication'),
  ('PW075', false, 'there is no such role'),
  ('PW076', false, 'no such task is published to the caller'),
  ('PW077', false, 'there is no such publication, or it belongs to another role'),
  ('PW079', true, 'the login has called functions with as many sets of argument names as one may'),
  ('PW080', true, 'the login has published as much as one may'),
  ('PW078', true, 'the server has just started, and its last end is not looked into yet'),
  ('PWC01', false, 'outcome: cancelled on request'),
  ('PWC02', false, 'outcome: interrupted three times without a known reason'),
  ('PWD01', false, 'outcome: ended unseen, and nothing can tell how'),
  ('PWL01', true, 'outcome: the session that ran it died'),
  ('PWL02', false, 'outcome: the server crashed whenever it ran'),
  ('PWT01', true, 'outcome: timed out')
) as e(sqlstate, retry, meaning)
order by e.sqlstate;
comment on view jobs.errors is 'The errors of pyworker; each is raised with DETAIL and HINT';
comment on column jobs.errors.sqlstate is 'SQLSTATE';
comment on column jobs.errors.retry is 'The same call may succeed later';
comment on column jobs.errors.meaning is 'What it means';
create or replace view jobs.options with (security_barrier) as
select o.key, o.type, o.functions, o.default_value, o.meaning
from (values
  ('done_when', 'text', array['enqueue_sql'], null,
    'a boolean expression or a query that is true once the statement is done; as the parameter of '
    'that name'),
  ('notify', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'], null,
    'a channel: the end of the job is sent there (NOTIFY), as {"id": ..., "state": ..., "task": '
    '...}'),
  ('repeatable', 'boolean', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'],
    'true for VACUUM, ANALYZE, REINDEX, REFRESH, CLUSTER, CHECKPOINT and ALTER SYSTEM, else false',
    'a statement or procedure that ended unseen is run again, instead of in_doubt; functions '
    'always are'),
  ('rollback', 'text', array['enqueue_sql'], null,
    'the statement that undoes it, kept for people; as the parameter of that name'),
  ('title', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'], null,
    'what the job is called in jobs.running: one line of up to 200 characters')
) as o(key, type, functions, default_value, meaning)
order by o.key;
comment on view jobs.options is 'What the parameter options of the enqueue functions may hold: '
  'checked keys of one JSON object';
comment on column jobs.options.key is 'Key';
comment on column jobs.options.type
  is 'Type of its value: text is a JSON string, boolean is true or false';
comment on column jobs.options.functions is 'Functions of schema jobs that take it';
comment on column jobs.options.default_value is 'What holds without it; null: nothing';
comment on column jobs.options.meaning is 'What it does';
create or replace view jobs.wait_reasons with (security_barrier) as
select c.code, c.meaning, c.remedy from jobs_internal.wait_codes() as c order by c.n;
comment on view jobs.wait_reasons is 'The codes of jobs.explain, in the order in which they are '
  'looked for: the first that holds is the reason';
comment on column jobs.wait_reasons.code is 'Code';
comment on column jobs.wait_reasons.meaning is 'What it means';
comment on column jobs.wait_reasons.remedy is 'What to do; null: nothing';
create or replace function jobs_internal.wrapped(p_text text, p_indent text default '',
    p_width integer default 78)
returns setof text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_room integer := p_width - length(p_indent);
  v_line text := '';
  v_word text;
begin
  foreach v_word in array coalesce(regexp_split_to_array(btrim(p_text, E' \n'), '\s+'), '{}') loop
    if v_line <> '' and length(v_line) + 1 + length(v_word) > v_room then
      return next p_indent || v_line;
      v_line := '';
    end if;
    v_line := v_line || case when v_line = '' then '' else ' ' end || v_word;
    while length(v_line) > v_room loop  -- one word that is longer than a line
      return next p_indent || left(v_line, v_room);
      v_line := substr(v_line, v_room + 1);
    end loop;
  end loop;
  if v_line <> '' then
    return next p_indent || v_line;
  end if;
end
$$;
create or replace function jobs_internal.errors_named(p_comment text)
returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with said as (
    select p_comment as comment
    union all
    select obj_description(p.oid, 'pg_proc')
    from pg_proc as p
    where p.pronamespace = 'jobs'::regnamespace
      and p.proname = (regexp_match(p_comment, 'Errors: as jobs[.]([a-z_]+)'))[1]
  ), spans as (
    select m[1] as first, coalesce(m[2], m[1]) as last
    from said, regexp_matches(said.comment, '(PW[0-9A-Z]{3})(?:\s+to\s+(PW[0-9A-Z]{3}))?', 'g') as m
  )
  select array(
    select distinct e.sqlstate from jobs.errors as e
    join spans as s on e.sqlstate collate "C" >= s.first and e.sqlstate collate "C" <= s.last
    order by e.sqlstate)
$$;
create or replace function jobs_internal.help_of_function(p_func oid)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proc pg_proc;
  v_comment text := obj_description(p_func, 'pg_proc');
  v_args integer;
  v_line text;
  v_errors text[] := jobs_internal.errors_named(v_comment);
  v_row record;
begin
  select p.* into strict v_proc from pg_proc as p where p.oid = p_func;
  v_args := v_proc.pronargs;
  v_line := case when v_proc.prokind = 'p' then 'call '
    else '' end || format('jobs.%I(', v_proc.proname);
  return query select w from jobs_internal.wrapped(v_line || case when v_args = 0 then ')'
      else '' end) as w;
  for v_row in
    select format('%s %s%s%s', v_proc.proargnames[a.n],
        replace(format_type(a.type_id, null), 'timestamp with time zone', 'timestamptz'),
        coalesce(' default ' || regexp_replace(pg_get_function_arg_default(p_func, a.n::integer),
              '::[a-z ]+(\[\])?$', ''), ''),
        case when a.n < v_args then ',' else '' end) as said
    from unnest(v_proc.proargtypes::oid[]) with ordinality as a(type_id, n)
    order by a.n
  loop
    return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
  end loop;
  if v_args > 0 then
    return next ')';
  end if;
  if v_proc.prokind = 'f' then
    return query select w from jobs_internal.wrapped('returns ' || pg_get_function_result(p_func))
      as w;
  end if;
  return next '';
  return query select w from jobs_internal.wrapped(v_comment) as w;
  if exists (select from jobs.options as o where v_proc.proname = any (o.functions)) then
    return next '';
    return next 'Keys of options (jobs.options):';
    for v_row in
      select format('%s (%s): %s%s', o.key, o.type, o.meaning,
          coalesce('; default: ' || o.default_value, '')) as said
      from jobs.options as o where v_proc.proname = any (o.functions) order by o.key
    loop
      return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
    end loop;
  end if;
  if v_errors <> '{}' then
    return next '';
    return next 'Errors (jobs.errors):';
    for v_row in
      select format('%s: %s%s', e.sqlstate, e.meaning, case when e.retry
          then ' (a retry may succeed)' else '' end) as said
      from jobs.errors as e where e.sqlstate = any (v_errors) order by e.sqlstate
    loop
      return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
    end loop;
  end if;
end
$$;
create or replace function jobs_internal.help_of_view(p_view oid)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
begin
  return query select w from jobs_internal.wrapped('jobs.' || (select c.relname from pg_class as c
        where c.oid = p_view)) as w;
  return next '';
  return query select w from jobs_internal.wrapped(obj_description(p_view, 'pg_class')) as w;
  return next '';
  return next 'Columns:';
  for v_row in
    select format('%s (%s): %s', a.attname,
        replace(format_type(a.atttypid, a.atttypmod), 'timestamp(0) with time zone',
            'timestamptz(0)'),
        col_description(p_view, a.attnum)) as said
    from pg_attribute as a
    where a.attrelid = p_view and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  loop
    return query select w from jobs_internal.wrapped(
      replace(v_row.said, 'timestamp with time zone', 'timestamptz'), '  ') as w;
  end loop;
end
$$;
create or replace function jobs_internal.shortened(p_text text, p_length integer)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when length(t.line) > p_length then left(t.line, greatest(p_length - 3, 0)) || '...'
    else t.line end
  from (select regexp_replace(p_text, '\s+', ' ', 'g') as line) as t;
end;
create or replace view jobs.job_list with (security_barrier) as
select
  j.id,
  jobs_internal.shortened(j.queue, 12) as queue,
  jobs_internal.shortened(j.owner, 12) as owner,
  jobs_internal.shortened(j.title, 40) as title,
  j.state,
  j.attempt || '/' || j.max_attempts as tries,
  to_char(coalesce(j.finished_at, j.started_at, greatest(j.run_at, j.created_at)),
      'MM-DD HH24:MI:SS') as at,
  jobs_internal.shortened(coalesce(j.waits_for, j.error ->> 'message', j.result::text), 36) as says
from jobs.job as j
order by j.id desc;
comment on view jobs.job_list
  is 'jobs.job in 160 columns: every job, live or finished, the latest first';
comment on column jobs.job_list.id is 'Number of the job';
comment on column jobs.job_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.job_list.owner is 'Role that it runs as, cut at 12 characters';
comment on column jobs.job_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.job_list.state is 'State, as in jobs.job';
comment on column jobs.job_list.tries is 'Attempts made or under way, of those allowed';
comment on column jobs.job_list.at
  is 'Month, day and time of its end, else of its start, else when it may start';
comment on column jobs.job_list.says
  is 'Why it waits, else its last error''s message, else its result; cut at 36 characters';
create or replace view jobs.queued_list with (security_barrier) as
select
  q.id,
  jobs_internal.shortened(q.queue, 12) as queue,
  jobs_internal.shortened(q.owner, 12) as owner,
  jobs_internal.shortened(q.title, 40) as title,
  q.priority,
  q.attempt || '/' || q.max_attempts as tries,
  to_char(q.due_at, 'MM-DD HH24:MI:SS') as due,
  jobs_internal.shortened(q.waits_for, 36) as waits_for
from jobs.queued as q;
comment on view jobs.queued_list
  is 'jobs.queued in 160 columns: jobs that have not started, in the order of jobs.queued';
comment on column jobs.queued_list.id is 'Number of the job';
comment on column jobs.queued_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.queued_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.queued_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.queued_list.priority is 'high, normal or low';
comment on column jobs.queued_list.tries is 'Attempts made, of those allowed';
comment on column jobs.queued_list.due is 'Month, day and time when it may start';
comment on column jobs.queued_list.waits_for is 'Why it does not start, cut at 36 characters';
create or replace view jobs.running_list with (security_barrier) as
select
  r.id,
  jobs_internal.shortened(r.queue, 12) as queue,
  jobs_internal.shortened(r.owner, 12) as owner,
  jobs_internal.shortened(r.title, 40) as title,
  r.pid,
  r.elapsed,
  r.percent,
  to_char(r.eta, 'MM-DD HH24:MI') as eta,
  jobs_internal.shortened(r.wait_event, 24) as wait_event,
  jobs_internal.shortened(array_to_string(r.blocked_by, ' '), 12) as blocked_by
from jobs.running as r;
comment on view jobs.running_list is 'jobs.running in 160 columns: jobs that run now';
comment on column jobs.running_list.id is 'Number of the job';
comment on column jobs.running_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.running_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.running_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.running_list.pid is 'Process of its worker session';
comment on column jobs.running_list.elapsed is 'Time since its start';
comment on column jobs.running_list.percent is 'Percent done, as far as it tells';
comment on column jobs.running_list.eta is 'Month, day and time when it may be done';
comment on column jobs.running_list.wait_event is 'What it waits for, cut at 24 characters';
comment on column jobs.running_list.blocked_by is 'Processes that block it, cut at 12 characters';
create or replace view jobs.failed_list with (security_barrier) as
select
  f.id,
  jobs_internal.shortened(f.queue, 12) as queue,
  jobs_internal.shortened(f.owner, 12) as owner,
  jobs_internal.shortened(f.task, 28) as task,
  coalesce(f.outcome, f.state) as outcome,
  f.attempt as tries,
  to_char(f.finished_at, 'MM-DD HH24:MI:SS') as at,
  f.sqlstate,
  jobs_internal.shortened(f.message, 36) as message
from jobs.failed as f
order by f.finished_at desc;
comment on view jobs.failed_list
  is 'jobs.failed in 160 columns: jobs that failed or are in doubt, the latest first';
comment on column jobs.failed_list.id is 'Number of the job';
comment on column jobs.failed_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.failed_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.failed_list.task is 'Function, or the first words of the statement, with '
  'its object where it can be read, cut at 28 characters';
comment on column jobs.failed_list.outcome is 'Outcome of the last attempt';
comment on column jobs.failed_list.tries is 'Attempts made, count';
comment on column jobs.failed_list.at is 'Month, day and time of its end';
comment on column jobs.failed_list.sqlstate is 'SQLSTATE of its error';
comment on column jobs.failed_list.message is 'Message of its error, cut at 36 characters';
create or replace view jobs.attempt_list with (security_barrier) as
select
  a.job_id,
  a.attempt,
  a.outcome,
  to_char(a.started_at, 'MM-DD HH24:MI:SS') as started,
  to_char(a.finished_at, 'MM-DD HH24:MI:SS') as finished,
  coalesce(a.child_pid, a.pid) as pid,
  a.run_ms,
  a.waited_ms,
  a.rows,
  jobs_internal.shortened(coalesce(a.error ->> 'sqlstate' || ' ' || (a.error ->> 'message'),
        a.result::text), 44) as says
from jobs.attempts as a
order by a.job_id desc, a.attempt;
comment on view jobs.attempt_list
  is 'jobs.attempts in 160 columns: attempts, the latest job first, its attempts in their order';
comment on column jobs.attempt_list.job_id is 'Job';
comment on column jobs.attempt_list.attempt is 'Number of the attempt, from 1';
comment on column jobs.attempt_list.outcome is 'Outcome; null: it runs';
comment on column jobs.attempt_list.started is 'Month, day and time of its start';
comment on column jobs.attempt_list.finished is 'Month, day and time of its end';
comment on column jobs.attempt_list.pid
  is 'Process of its child session, else of its worker session';
comment on column jobs.attempt_list.run_ms is 'Wall time, ms';
comment on column jobs.attempt_list.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs.attempt_list.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs.attempt_list.says is 'Its error, else its result; cut at 44 characters';
create or replace view jobs.queue_list with (security_barrier) as
select jobs_internal.shortened(q.queue, 24) as queue, q.paused, q.accepting, q.concurrency, q.slots,
  q.queued, q.running, q.scheduled, q.oldest,
  q.failed, q.rate
from jobs.queues as q
order by q.queue;
comment on view jobs.queue_list is 'jobs.queues in 160 columns: queues, with the figures of the '
  'jobs that you may see, and without their defaults';
comment on column jobs.queue_list.queue is 'Name, cut at 24 characters';
comment on column jobs.queue_list.paused is 'Its jobs do not start';
comment on column jobs.queue_list.accepting is 'It accepts new jobs';
comment on column jobs.queue_list.concurrency
  is 'Jobs that run at once at most, count; null: no limit';
comment on column jobs.queue_list.slots is 'Slots that sessions hold, count, of concurrency';
comment on column jobs.queue_list.queued is 'Jobs that wait in their lanes, count';
comment on column jobs.queue_list.running is 'Jobs that run, count';
comment on column jobs.queue_list.scheduled is 'Jobs that wait for their time or a retry, count';
comment on column jobs.queue_list.oldest is 'How long the job that is due longest waits';
comment on column jobs.queue_list.failed is 'Jobs kept that failed or are in doubt, count';
comment on column jobs.queue_list.rate
  is 'Attempts that ended per second, over the last 5 minutes, of all owners';
create or replace view jobs.health_list with (security_barrier) as
select
  h."check",
  h.status,
  (select string_agg(w.line, E'\n')
      from jobs_internal.wrapped(coalesce(h.detail, ''), '', 56) as w(line)) as detail,
  (select string_agg(w.line, E'\n')
      from jobs_internal.wrapped(coalesce(h.remedy, ''), '', 56) as w(line)) as remedy
from jobs.health as h
order by array_position(array['critical', 'warning', 'ok'], h.status);
comment on view jobs.health_list
  is 'jobs.health in 160 columns, the worst first: long texts are in lines';
comment on column jobs.health_list."check" is 'What is checked';
comment on column jobs.health_list.status is 'ok, warning or critical';
comment on column jobs.health_list.detail is 'What was found';
comment on column jobs.health_list.remedy is 'What to do; null: nothing';
create or replace function jobs_internal.folded(p_text text, p_width integer)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(w.line, E'\n' order by w.n) from jobs_internal.wrapped(p_text, '', p_width)
    with ordinality as w(line, n);
end;
create or replace view jobs.finished_list with (security_barrier) as
select
  f.id,
  jobs_internal.shortened(f.queue, 12) as queue,
  jobs_internal.shortened(f.owner, 12) as owner,
  jobs_internal.shortened(f.task, 40) as task,
  f.state,
  f.outcome,
  f.attempt as tries,
  to_char(f.finished_at, 'MM-DD HH24:MI:SS') as at,
  round(f.wait_ms) as wait_ms,
  round(f.run_ms) as run_ms
from jobs.finished as f;
comment on view jobs.finished_list
  is 'jobs.finished in 160 columns: jobs that are finished, in the order of jobs.finished';
comment on column jobs.finished_list.id is 'Number of the job';
comment on column jobs.finished_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.finished_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.finished_list.task is 'Task, as in jobs.job, cut at 40 characters';
comment on column jobs.finished_list.state is 'succeeded, failed, cancelled or in_doubt';
comment on column jobs.finished_list.outcome is 'Outcome of the last attempt';
comment on column jobs.finished_list.tries is 'Attempts made, count';
comment on column jobs.finished_list.at is 'Month, day and time of its end';
comment on column jobs.finished_list.wait_ms is 'As in jobs.finished, whole ms';
comment on column jobs.finished_list.run_ms is 'As in jobs.finished, whole ms';
create or replace view jobs.cost_list with (security_barrier) as
select
  c.day,
  jobs_internal.shortened(c.queue, 12) as queue,
  jobs_internal.shortened(c.owner::text, 12) as owner,
  jobs_internal.shortened(c.task, 32) as task,
  c.attempts,
  c.failed,
  round(c.run_ms) as run_ms,
  c.rows,
  pg_size_pretty(c.wal_bytes) as wal,
  pg_size_pretty((c.buffers_hit + c.buffers_read) * current_setting('block_size')::bigint)
    as buffers,
  pg_size_pretty(c.temp_bytes) as temp
from jobs.cost as c;
comment on view jobs.cost_list
  is 'jobs.cost in 160 columns: what jobs cost, in the order of jobs.cost';
comment on column jobs.cost_list.day is 'Day, UTC; kept for a year';
comment on column jobs.cost_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.cost_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.cost_list.task
  is 'Function, or the first words of the statement, cut at 32 characters';
comment on column jobs.cost_list.attempts is 'Attempts, count';
comment on column jobs.cost_list.failed is 'Those that did not succeed, count';
comment on column jobs.cost_list.run_ms is 'Their wall time, whole ms';
comment on column jobs.cost_list.rows
  is 'Rows that their statements changed or returned, or their functions returned as sets';
comment on column jobs.cost_list.wal is 'WAL written; null: not known';
comment on column jobs.cost_list.buffers
  is 'Buffers found in memory and read, as bytes; null: not known';
comment on column jobs.cost_list.temp is 'Temporary files written; null: not known';
create or replace view jobs.session_list with (security_barrier) as
select
  s.id,
  jobs_internal.shortened(s.owner, 16) as owner,
  s.pid,
  to_char(s.started_at, 'MM-DD HH24:MI:SS') as started,
  s.jobs,
  jobs_internal.shortened(s.queue, 16) as queue,
  s.job_id,
  s.attempt,
  s.child_pid,
  jobs_internal.shortened(s.wait_event, 24) as wait_event
from jobs.sessions as s;
comment on view jobs.session_list is 'jobs.sessions in 160 columns: worker sessions';
comment on column jobs.session_list.id is 'Number of the session';
comment on column jobs.session_list.owner is 'Role that it runs as, cut at 16 characters';
comment on column jobs.session_list.pid is 'Its process';
comment on column jobs.session_list.started is 'Month, day and time of its start';
comment on column jobs.session_list.jobs is 'Jobs that it ran, count';
comment on column jobs.session_list.queue is 'Queue of its lane, cut at 16 characters';
comment on column jobs.session_list.job_id is 'Job that it runs; null: none';
comment on column jobs.session_list.attempt is 'Attempt of that job';
comment on column jobs.session_list.child_pid is 'Process of its child session; null: none';
comment on column jobs.session_list.wait_event is 'What it waits for, cut at 24 characters';
create or replace view jobs.supervisor_list with (security_barrier) as
select
  s.id,
  jobs_internal.shortened(s.name, 40) as name,
  s.version,
  s.pid,
  to_char(s.started_at, 'MM-DD HH24:MI:SS') as started,
  to_char(s.last_seen, 'MM-DD HH24:MI:SS') as last_seen,
  s.asleep
from jobs.supervisors as s;
comment on view jobs.supervisor_list is 'jobs.supervisors in 160 columns: supervisors';
comment on column jobs.supervisor_list.id is 'Number of the supervisor';
comment on column jobs.supervisor_list.name
  is 'Its name, of its own host and process where it was not given one, cut at 40 characters';
comment on column jobs.supervisor_list.version is 'Version of the program';
comment on column jobs.supervisor_list.pid is 'Process of its connection';
comment on column jobs.supervisor_list.started is 'Month, day and time of its start';
comment on column jobs.supervisor_list.last_seen is 'Month, day and time of its last round';
comment on column jobs.supervisor_list.asleep is 'It sleeps until it is woken';
create or replace view jobs.log_list with (security_barrier) as
select
  l.job_id,
  l.attempt,
  to_char(l.at, 'MM-DD HH24:MI:SS') as at,
  l.level,
  jobs_internal.folded(l.message, 60) as message,
  jobs_internal.folded(l.fields::text, 40) as fields
from jobs.log_lines as l;
comment on view jobs.log_list
  is 'jobs.log_lines in 160 columns, in the order of jobs.log_lines: long texts are in lines';
comment on column jobs.log_list.job_id is 'Job';
comment on column jobs.log_list.attempt is 'Attempt';
comment on column jobs.log_list.at is 'Month, day and time';
comment on column jobs.log_list.level is 'debug, info, warning or error';
comment on column jobs.log_list.message is 'Message, in lines of 60 characters';
comment on column jobs.log_list.fields is 'Fields, in lines of 40 characters';
create or replace view jobs.audit_list with (security_barrier) as
select
  a.id,
  to_char(a.at, 'MM-DD HH24:MI:SS') as at,
  jobs_internal.shortened(a.login, 16) as login,
  a.action,
  jobs_internal.shortened(a.object, 30) as object,
  jobs_internal.folded(a.before::text, 28) as before,
  jobs_internal.folded(a.after::text, 28) as after
from jobs.audit as a;
comment on view jobs.audit_list
  is 'jobs.audit in 160 columns, in the order of jobs.audit: long texts are in lines';
comment on column jobs.audit_list.id is 'Number of the entry';
comment on column jobs.audit_list.at is 'Month, day and time';
comment on column jobs.audit_list.login is 'Login, cut at 16 characters';
comment on column jobs.audit_list.action is 'What was done';
comment on column jobs.audit_list.object is 'To what, cut at 30 characters';
comment on column jobs.audit_list.before is 'What was there before, in lines of 28 characters';
comment on column jobs.audit_list.after is 'What is there since, in lines of 28 characters';
create or replace view jobs.publication_list with (security_barrier) as
select
  p.id,
  jobs_internal.shortened(p.task, 30) as task,
  jobs_internal.shortened(p.publisher, 16) as publisher,
  jobs_internal.shortened(p.to_role, 16) as to_role,
  jobs_internal.shortened(p.queue, 12) as queue,
  p.timeout,
  p.per_minute,
  p.pending,
  p.jobs_pending as jobs,
  to_char(p.revoked_at, 'MM-DD HH24:MI:SS') as revoked
from jobs.publications as p;
comment on view jobs.publication_list
  is 'jobs.publications in 160 columns: functions that others may enqueue';
comment on column jobs.publication_list.id is 'Number of the publication';
comment on column jobs.publication_list.task is 'Function, cut at 30 characters';
comment on column jobs.publication_list.publisher is 'Owner of the jobs, cut at 16 characters';
comment on column jobs.publication_list.to_role is 'Role that may enqueue it, cut at 16 characters';
comment on column jobs.publication_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.publication_list.timeout is 'As in jobs.publications';
comment on column jobs.publication_list.per_minute is 'As in jobs.publications';
comment on column jobs.publication_list.pending is 'As in jobs.publications';
comment on column jobs.publication_list.jobs is 'Unfinished jobs of it, count';
comment on column jobs.publication_list.revoked
  is 'Month, day and time when it was revoked; null: not';
create or replace view jobs.option_list with (security_barrier) as
select
  o.key,
  o.type,
  array_to_string(o.functions, E'\n') as functions,
  jobs_internal.folded(o.default_value, 40) as default_value,
  jobs_internal.folded(o.meaning, 60) as meaning
from jobs.options as o;
comment on view jobs.option_list is 'jobs.options in 160 columns: long texts are in lines';
comment on column jobs.option_list.key is 'Key';
comment on column jobs.option_list.type is 'Type of its value';
comment on column jobs.option_list.functions is 'Functions of schema jobs that take it, one a line';
comment on column jobs.option_list.default_value is 'What holds without it; null: nothing';
comment on column jobs.option_list.meaning is 'What it does';
create or replace view jobs.wait_reason_list with (security_barrier) as
select w.code, jobs_internal.folded(w.meaning, 60) as meaning,
  jobs_internal.folded(w.remedy, 60) as remedy from jobs.wait_reasons as w;
comment on view jobs.wait_reason_list
  is 'jobs.wait_reasons in 160 columns: long texts are in lines';
comment on column jobs.wait_reason_list.code is 'Code';
comment on column jobs.wait_reason_list.meaning is 'What it means';
comment on column jobs.wait_reason_list.remedy is 'What to do; null: nothing';
revoke all on schema jobs, jobs_internal from public;
revoke all on all tables in schema jobs, jobs_internal from public;
revoke all on all routines in schema jobs, jobs_internal from public;
grant usage on schema jobs, jobs_internal to jobs_producer, jobs_runner, jobs_operator, jobs_reader,
  jobs_supervisor;
grant select on jobs.job, jobs.queued, jobs.running, jobs.failed, jobs.finished, jobs.attempts,
  jobs.cost, jobs.queues,
  jobs.sessions, jobs.supervisors,
  jobs.health, jobs.job_list, jobs.queued_list, jobs.running_list, jobs.failed_list,
    jobs.attempt_list, jobs.queue_list,
  jobs.health_list, jobs.wait_reasons, jobs.finished_list, jobs.cost_list, jobs.session_list,
    jobs.supervisor_list, jobs.publication_list,
  jobs.option_list, jobs.wait_reason_list,
  jobs.settings, jobs.retry_rules, jobs.errors, jobs.options, jobs.quotas, jobs.publications,
    jobs.admitted_roles
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant select on jobs.audit, jobs.audit_list to jobs_operator, jobs_reader;
grant select on jobs.log_lines, jobs.log_list to jobs_producer, jobs_runner, jobs_operator;
grant execute on function
  jobs_internal.is_asked_by_login(),
  jobs_internal.caller(), jobs_internal.viewer(), jobs_internal.caller_is(text),
    jobs_internal.activity(),
    jobs_internal.queue_figures(),
  jobs_internal.live_supervisors(), jobs_internal.look_at_health(), jobs_internal.quota_figures(),
    jobs_internal.privileges_seen(oid),
  jobs_internal.lane_waits(), jobs_internal.functions_gone(),
    jobs_internal.shortened(text, integer), jobs.explain(bigint),
    jobs_internal.wait_codes(), jobs_internal.reads(oid),
  jobs_internal.measures_no_cost(), jobs_internal.why_child_costs_are_unknown(),
  jobs_internal.eta(timestamptz, numeric, numeric, numeric, timestamptz, boolean),
  jobs.help(text), jobs_internal.help_of_function(oid), jobs_internal.help_of_view(oid),
    jobs_internal.errors_named(text),
  jobs_internal.wrapped(text, text, integer), jobs_internal.folded(text, integer),
    jobs_internal.counted(bigint, text, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function
  jobs_internal.resolve(text, jsonb), jobs_internal.functions_by_name(text),
    jobs_internal.cut_parameters(text), jobs_internal.type_of(text),
  jobs_internal.signature_types(text), jobs_internal.argument_mismatch(oid, text[]),
    jobs_internal.parameters(oid),
  jobs_internal.type_name(oid),
  jobs_internal.call_template_of(oid, text[]), jobs_internal.to_canonical_jsonb(record),
    jobs_internal.canonical(jobs_internal.call_template, jsonb),
  jobs_internal.canonical_many(jobs_internal.call_template, jsonb[]),
    jobs_internal.try_settings(jsonb),
  jobs_internal.assert_size(jsonb, text, integer),
  jobs_internal.store_job(integer, jsonb, text, timestamptz, interval, integer, text, text, jsonb,
      jsonb, jsonb, bigint),
  jobs_internal.store_jobs(integer, jsonb[], text, timestamptz, interval, integer, text, jsonb,
      jsonb, jsonb),
  jobs_internal.store_statement(text, text, timestamptz, interval, integer, text, text, jsonb,
      jsonb, text, text, jsonb, text),
  jobs_internal.callers_path()
to jobs_producer;
grant execute on function
  jobs_internal.cancel(bigint), jobs_internal.retry(bigint), jobs_internal.run_now(bigint),
  jobs_internal.set_priority(bigint, text), jobs_internal.wait(bigint, interval),
  jobs_internal.dismiss(bigint), jobs_internal.dismiss_failed(text, timestamptz),
  jobs_internal.unpublish(integer)
to jobs_producer, jobs_operator;
grant execute on function
  jobs_internal.store_publication(oid, text, text, interval, integer, bigint),
  jobs_internal.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb, jsonb)
to jobs_producer;
grant execute on function jobs_internal.waiting_reason(bigint),
  jobs_internal.refusal_of_commit() to jobs_producer, jobs_operator;
grant execute on function jobs_internal.state_of(bigint),
  jobs_internal.assert_controls(bigint, oid),
  jobs_internal.setting(text),
  jobs_internal.is_original(), jobs_internal.assert_not_copy()
to jobs_producer, jobs_runner, jobs_operator, jobs_supervisor;
grant execute on function jobs_internal.current_attempt(), jobs_internal.background(text),
  jobs_internal.run_in_background(text, text, integer),
  jobs_internal.store_progress(bigint, integer, text),
    jobs_internal.store_log_line(bigint, integer, jsonb),
  jobs_internal.cut_line(integer)
to jobs_producer, jobs_runner;
grant execute on function jobs_internal.start(integer), jobs_internal.launch(integer, interval),
  jobs_internal.assert_own_login(),
  jobs_internal.dispatch_mine(), jobs_internal.my_free_sessions() to jobs_runner;
grant execute on procedure
  jobs_internal.work(integer, text),
  jobs_internal.open_worker(integer, text, jobs_internal.worker_state),
  jobs_internal.wait_for_work(jobs_internal.worker_state),
  jobs_internal.wait_for_more(jobs_internal.worker_state),
  jobs_internal.work_alone(jobs_internal.work_item, jobs_internal.worker_state),
  jobs_internal.work_chunk(jobs_internal.work_item[], integer[], jobs_internal.worker_state),
  jobs_internal.write_end(bigint, integer, boolean, jsonb, jobs_internal.attempt_result, boolean),
  jobs_internal.write_end_later(bigint, integer, boolean, boolean, jobs_internal.attempt_result),
  jobs_internal.clear_leftover(bigint, jobs_internal.work_item, integer, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.run_top_level(bigint, jobs_internal.work_item, text, bigint, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.run_child(bigint, jobs_internal.work_item, text, bigint, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.start_child(jobs_internal.work_item, bigint, jobs_internal.attempt_result,
      jobs_internal.child_state),
  jobs_internal.find_lost_child(bigint, jobs_internal.attempt_result, jobs_internal.child_state),
  jobs_internal.note_started_child(bigint, jobs_internal.work_item, jobs_internal.child_state),
  jobs_internal.watch_child(bigint, jobs_internal.work_item, bigint, jobs_internal.attempt_result,
      jobs_internal.child_state)
to jobs_runner;
grant execute on function
  jobs_internal.reset_session(jsonb, text), jobs_internal.role_settings(),
  jobs_internal.baseline(jsonb),
  jobs_internal.worker_settings(jobs_internal.worker_state), jobs_internal.all_settings(),
  jobs_internal.claim_work(jobs_internal.worker_state, jobs_internal.run_stats[]),
  jobs_internal.begin_claim(jobs_internal.worker_state),
  jobs_internal.run_stats_of(integer, jobs_internal.attempt_result[]),
  jobs_internal.trust_after(jobs_internal.worker_trust, jobs_internal.run_stats[], integer),
  jobs_internal.run_alone(jobs_internal.work_item, bigint, text, bigint, jsonb, boolean),
  jobs_internal.run_in_savepoint(jobs_internal.work_item, bigint, text, bigint, jsonb, boolean),
  jobs_internal.begin_attempt(jobs_internal.work_item, bigint),
  jobs_internal.run_call(jobs_internal.work_item, jobs_internal.attempt_result, boolean),
  jobs_internal.run_sql(jobs_internal.work_item, jobs_internal.attempt_result, bigint, boolean),
  jobs_internal.before_analyze(bigint, bigint), jobs_internal.after_analyze(bigint),
  jobs_internal.end_of_attempt(jobs_internal.attempt_result, boolean, jsonb),
  jobs_internal.save_result(jsonb), jobs_internal.run_statement(text),
    jobs_internal.measured(text, boolean), jobs_internal.saved_result(),
  jobs_internal.run_without_savepoint(jobs_internal.work_item, text, bigint, jsonb, boolean),
  jobs_internal.run_together(jobs_internal.work_item[], text, timestamptz, text, bigint, jsonb,
      integer),
  jobs_internal.begin_in_a_row(bigint, bigint, integer, bigint, timestamptz, text, bigint, integer),
  jobs_internal.end_in_a_row(bigint, integer, integer, timestamptz, text, timestamptz, jsonb,
      jsonb, text),
  jobs_internal.result_of(jobs_internal.attempt_result[], bigint),
  jobs_internal.distrusted(jobs_internal.work_item[], jobs_internal.attempt_result[]),
  jobs_internal.stopped_results(jobs_internal.work_item[], timestamptz, text, text),
  jobs_internal.collect_run_stats(integer, jobs_internal.attempt_result[], boolean),
    jobs_internal.has_deferrable_constraints(),
  jobs_internal.run_chunk(jobs_internal.work_item[], boolean, integer, bigint, text, bigint, jsonb,
      integer[], integer),
  jobs_internal.with_cost(jobs_internal.attempt_result, json),
  jobs_internal.collect_log(), jobs_internal.why_stopped(bigint, integer),
    jobs_internal.stop_reason(bigint, integer),
  jobs_internal.call_templates_are_current(integer[]),
    jobs_internal.stop_error(text, interval, text, text),
  jobs_internal.interrupted_result(jobs_internal.work_item, timestamptz, text, text, text),
    jobs_internal.unwritable_result(jobs_internal.attempt_result, text, text),
  jobs_internal.shutting_down(), jobs_internal.high_water_mark(), jobs_internal.slots_settled(),
    jobs_internal.open_session(integer), jobs_internal.schema_version(),
  jobs_internal.close_session(bigint, jobs_internal.run_stats[]),
  jobs_internal.claim(bigint, bigint, jobs_internal.run_stats[], boolean, integer),
  jobs_internal.open_chunk(integer, bigint[], timestamptz, double precision, boolean),
  jobs_internal.begin_alone(bigint, integer, jobs_internal.work_item),
    jobs_internal.finish_chunk(bigint, integer, bigint[], jobs_internal.attempt_result[]),
  jobs_internal.finish_alone(bigint, integer, jobs_internal.attempt_result),
    jobs_internal.fence(bigint, bigint, integer),
  jobs_internal.error_object(text, text, text, text, text, text, text),
    jobs_internal.limit_rows(bigint, jsonb),
  jobs_internal.argument(text, anyelement), jobs_internal.type_name(oid),
    jobs_internal.my_arguments(), jobs_internal.found_by(jsonb),
  jobs_internal.index_definition(oid), jobs_internal.members(oid, boolean),
    jobs_internal.rebuilt_indexes(jsonb, jsonb),
  jobs_internal.maintenance_targets(jsonb), jobs_internal.named_object(text, text),
    jobs_internal.identity_of(jsonb, jsonb),
  jobs_internal.noted(bigint), jobs_internal.store_identity(bigint, bigint, jsonb),
    jobs_internal.note_identity(bigint, bigint, text),
  jobs_internal.judge(bigint), jobs_internal.is_done(),
    jobs_internal.ask(jobs_internal.work_item, text), jobs_internal.unverified(bigint),
  jobs_internal.runs_again(bigint, jsonb), jobs_internal.text_now(bigint),
    jobs_internal.leftovers(bigint),
  jobs_internal.builds_index(bigint), jobs_internal.store_made_index(bigint, bigint, oid),
    jobs_internal.index_of_child(integer),
  jobs_internal.in_the_way(oid), jobs_internal.say_wait(bigint, bigint, integer, text),
  jobs_internal.first_skipped_table(jsonb, text), jobs_internal.skip_error(jsonb, jsonb),
  jobs_internal.attempt_name(jobs_internal.attempt_result),
  jobs_internal.end_before_start(jobs_internal.work_item, text, jobs_internal.attempt_result),
  jobs_internal.prepare_child(jobs_internal.work_item, bigint, jobs_internal.child_state),
  jobs_internal.await_child(jobs_internal.child_state, double precision),
  jobs_internal.note_index(bigint, bigint, integer),
  jobs_internal.note_watched_child(bigint, jobs_internal.work_item, jobs_internal.child_state),
  jobs_internal.child_result(jobs_internal.work_item, bigint, jsonb, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.child_error(jobs_internal.work_item, bigint, jsonb, jobs_internal.child_state,
      jobs_internal.child_report, jobs_internal.attempt_result),
  jobs_internal.child_verdict(jobs_internal.work_item, jsonb, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.child_unseen(jobs_internal.work_item, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.launch_child(text, text), jobs_internal.launch_call(text, text),
  jobs_internal.out_columns(integer), jobs_internal.columns_of(oid, name[]),
    jobs_internal.called_name(text),
  jobs_internal.read_call(integer, bigint, text),
    jobs_internal.note_child(bigint, bigint, integer, integer),
  jobs_internal.wait_child(integer, bigint, integer),
    jobs_internal.find_child(bigint, bigint, integer),
  jobs_internal.signal_late_child(bigint, bigint, integer), jobs_internal.may_connect(),
  jobs_internal.child_outcome(integer, bigint), jobs_internal.detach_child(integer, bigint),
    jobs_internal.child_is_stuck(integer),
  jobs_internal.child_figures(text), jobs_internal.with_child_cost(jobs_internal.attempt_result,
      jsonb,
      jsonb),
  jobs_internal.result_limit(), jobs_internal.alive(integer, timestamptz),
    jobs_internal.mark_top_level(bigint),
  jobs_internal.requeue_uncharged(bigint, bigint, integer)
to jobs_runner;
grant execute on function
  jobs_internal.create_queue(text, integer, interval, integer, interval, interval, interval,
      boolean, bigint),
  jobs_internal.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean,
      boolean, bigint),
  jobs_internal.drop_queue(text), jobs_internal.pause(text), jobs_internal.resume(text),
    jobs_internal.configure(text, text),
  jobs_internal.set_retry_rule(text, boolean, text), jobs_internal.reconcile(),
  jobs_internal.set_quota(text, bigint, integer, integer, integer, integer, bigint, text),
  jobs_internal.maintain()
to jobs_operator;
grant execute on function
  jobs.cancel(bigint), jobs.retry(bigint), jobs.run_now(bigint), jobs.set_priority(bigint, text),
  jobs.wait(bigint, interval), jobs.dismiss(bigint), jobs.dismiss_failed(text, timestamptz),
  jobs.publish(text, text, text, interval, integer, bigint), jobs.unpublish(integer),
  jobs.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb, jsonb),
  jobs.progress(numeric, numeric, text), jobs.log(text, text, jsonb),
  jobs.current_id(), jobs_internal.current_job(),
  jobs.create_queue(text, integer, interval, integer, interval, interval, interval, boolean,
      bigint),
  jobs.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean, boolean,
      bigint),
  jobs.drop_queue(text), jobs.pause(text), jobs.resume(text), jobs.configure(text, text),
    jobs.set_retry_rule(text, boolean, text), jobs.reconcile(),
  jobs.set_quota(text, bigint, integer, integer, integer, integer, bigint, text),
  jobs.enqueue(text, jsonb, text, timestamptz, interval, integer, text, text, jsonb, jsonb, jsonb),
  jobs.enqueue_many(text, jsonb[], text, timestamptz, interval, integer, text, text, jsonb, jsonb,
      jsonb),
  jobs.enqueue_sql(text, text, timestamptz, interval, integer, text, text, jsonb, jsonb, text, text,
      jsonb),
  jobs.admit_role(text), jobs.dismiss_role(text), jobs.start(integer),
    jobs_internal.assert_member(text, text, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on procedure jobs.await(bigint, interval)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function
  jobs_internal.assert_program_fits(integer),
  jobs_internal.supervisor_open(text, text, integer, text),
    jobs_internal.supervisor_serves(bigint, text[]),
  jobs_internal.supervisor_close(bigint), jobs_internal.supervisor_tick(bigint),
  jobs_internal.supervisor_send_stop_signals(bigint),
    jobs_internal.supervisor_sleep(bigint, boolean),
    jobs_internal.take_outcomes(integer),
  jobs_internal.runners(), jobs_internal.maintain(), jobs_internal.note_unreached(bigint, jsonb)
to jobs_supervisor;
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
commit;
