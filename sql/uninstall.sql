-- Removes pyworker from this database: its schemas with every job in them, its pgmq queues, its
-- rights, and its roles where no other database and no member uses them; with the server's last
-- such database also what those roles may
-- do in the server (signal sessions, launch background sessions). The extensions stay. Usage: psql
-- -X -1 -v ON_ERROR_STOP=1 -f uninstall.sql DSN
--
-- `pyworker uninstall` runs this very text, after it has said what goes and asked. It is one
-- transaction; a lock that cannot be had in 10 s ends it and changes nothing. Raises PW089 while
-- another session holds the lock of installations, PW092 without the right, PW093 where the schemas
-- are not pyworker's, PW098 where objects of others need them (set pyworker.cascade = 'on' to
-- drop those along), PW099 while jobs run. Says as NOTICE which roles and queues went, and as
-- WARNING which roles and rights stay, why, and the lines that remove them.

set local search_path = pg_catalog, pg_temp;
set local statement_timeout = 0;
set local lock_timeout = '10s';
set local client_min_messages = notice;

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

do $$
declare
  v_running bigint := 0;
  v_foreign text;
  v_table text;
begin
  if exists (
    select from pg_namespace
    where nspname in ('jobs', 'jobs_internal') and pg_get_userbyid(nspowner) <> 'jobs_owner')
  then
    raise exception using
      errcode = 'PW093',
      message = 'schema jobs or jobs_internal is not pyworker''s',
      detail = 'It does not belong to role jobs_owner.',
      hint = 'Drop it by hand, if it may go.';
  end if;

  if exists (select from pg_roles where rolname = 'jobs_owner')
    and not pg_has_role('jobs_owner', 'USAGE') then
    raise exception using
      errcode = 'PW092',
      message = format('role %I may not uninstall pyworker', current_user),
      detail = 'It does not own pyworker''s schemas.',
      hint = format('Connect as a superuser, or have one run: grant jobs_owner to %I;',
          current_user);
  end if;

  -- Waits for the chunks at work now; nothing starts behind these locks. The order is that of the
  -- workers.
  for v_table in
    select format('%I.%I', n.nspname, c.relname)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p')
      and (n.nspname = 'jobs_internal' and c.relname in ('session', 'job', 'finished')
        or n.nspname = 'pgmq' and c.relname like 'q\_pyworker\_%')
    order by case c.relname when 'session' then 1 when 'job' then 3 when 'finished' then 4
      else 2 end, c.relname
  loop
    execute format('lock table %s in access exclusive mode', v_table);
  end loop;
  if to_regclass('jobs_internal.job') is not null then
    execute 'select count(*) from jobs_internal.job where state = ''running''' into v_running;
  end if;
  if v_running > 0 then
    raise exception using
      errcode = 'PW099',
      message = format('%s %s running', v_running, case v_running when 1 then 'job is'
          else 'jobs are' end),
      detail = 'Uninstalling would take the record of the outcome away from them.',
      hint = 'Stop the supervisors, run jobs.pause(), then wait, or cancel them: select id, '
        'jobs.cancel(id) from jobs.running;';
  end if;

  -- What would be dropped along: objects elsewhere that need one of ours.
  select string_agg(distinct o.what, ', ')
  into v_foreign
  from (
    select pg_describe_object(coalesce(nullif(r.classid, 0), d.classid), coalesce(r.objid, d.objid),
        0) as what,
      (pg_identify_object(coalesce(nullif(r.classid, 0), d.classid), coalesce(r.objid, d.objid),
            0)).schema as schema
    from pg_depend d
    left join lateral (
      select 'pg_class'::regclass::oid as classid, w.ev_class as objid
      from pg_rewrite w where d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    ) r on true
    where d.deptype in ('n', 'a')
      and exists (
        select from pg_namespace n
        where n.nspname in ('jobs', 'jobs_internal')
          and n.oid in (
            (select c.relnamespace from pg_class c where d.refclassid = 'pg_class'::regclass
                and c.oid = d.refobjid),
            (select p.pronamespace from pg_proc p where d.refclassid = 'pg_proc'::regclass
                and p.oid = d.refobjid),
            (select t.typnamespace from pg_type t where d.refclassid = 'pg_type'::regclass
                and t.oid = d.refobjid)))
  ) o
  where o.schema not in ('jobs', 'jobs_internal', 'pg_toast');
  if v_foreign is not null and coalesce(current_setting('pyworker.cascade', true), '') <> 'on' then
    raise exception using
      errcode = 'PW098',
      message = 'objects that are not pyworker''s need it',
      detail = format('These would be dropped along: %s.', v_foreign),
      hint = 'Drop or change them first, or use --cascade.';
  end if;
end
$$;

do $$
declare
  v_queue text;
  v_count int := 0;
begin
  if to_regclass('pgmq.meta') is null then
    return;
  end if;
  for v_queue in
    execute 'select queue_name from pgmq.meta where queue_name like ''pyworker\_%''' loop
    execute 'select pgmq.drop_queue($1)' using v_queue;
    v_count := v_count + 1;
  end loop;
  raise notice 'dropped % of pgmq''s queues', v_count;
end
$$;

set local client_min_messages = warning;
drop schema if exists jobs cascade;
drop schema if exists jobs_internal cascade;
set local client_min_messages = notice;

-- Roles belong to the server. With its last database that uses pyworker go the server's own
-- privileges that the installation granted to our roles, so that their members have none of it
-- left, whether the role itself can go or not. What others granted to them stays. What this role
-- may not revoke is printed, for one who may.
do $$
declare
  v_line text;
begin
  if exists (
    select from pg_shdepend s
    where s.refclassid = 'pg_authid'::regclass and s.refobjid = to_regrole('jobs_owner')
      and s.deptype = 'o'
      and s.dbid not in (0, (select oid from pg_database where datname = current_database())))
  then
    return;
  end if;
  for v_line in
    select format('revoke %s from %s granted by %s', m.roleid::regrole, m.member::regrole,
        m.grantor::regrole)
    from pg_auth_members m
    join pg_roles p on p.oid = m.roleid
    join pg_roles o on o.oid = m.member
    where (o.rolname, p.rolname) in (
      ('jobs_owner', 'pg_read_all_stats'), ('jobs_owner', 'pg_signal_backend'),
        ('jobs_owner', 'pgbackground_role'),
      ('jobs_supervisor', 'pg_read_all_stats'), ('jobs_supervisor', 'pg_signal_backend'),
        ('jobs_runner', 'pgbackground_role'))
  loop
    begin
      execute v_line;
    exception
      when insufficient_privilege or dependent_objects_still_exist then
        raise warning 'the last database is gone, and this right stays; as a superuser: %;', v_line;
    end;
  end loop;
end
$$;

-- Rights in this database go; a role goes too unless others use it.
do $$
declare
  v_names text[] := array['jobs_producer', 'jobs_runner', 'jobs_operator', 'jobs_reader',
      'jobs_supervisor', 'jobs_owner'];
  v_role text;
  v_why text;
begin
  foreach v_role in array v_names loop
    continue when not exists (select from pg_roles where rolname = v_role);

    select string_agg(pg_describe_object(s.classid, s.objid, s.objsubid), ', ')
    into v_why
    from pg_shdepend s
    where s.refclassid = 'pg_authid'::regclass and s.refobjid = v_role::regrole and s.deptype = 'o'
      and s.classid <> 'pg_default_acl'::regclass
      and (s.dbid = 0 or s.dbid = (select oid from pg_database where datname = current_database()));
    if v_why is not null then
      v_why := format('it owns %s', v_why);
    else
      begin
        -- each right that is not ours to revoke is a warning of its own
        set local client_min_messages = error;
        execute format('drop owned by %I', v_role);
      exception
        when insufficient_privilege then
          null;  -- as where it has passed over what is not ours to revoke
      end;
      set local client_min_messages = notice;
      if exists (
        select from pg_shdepend s
        where s.refclassid = 'pg_authid'::regclass and s.refobjid = v_role::regrole
          and s.dbid = (select oid from pg_database where datname = current_database()))
        or not pg_has_role(v_role, 'MEMBER')
      then
        v_why :=
          format('this role may not drop it; as a superuser: drop owned by %1$I; drop role %1$I;',
              v_role);
      end if;
    end if;

    if v_why is null then
      select 'other databases use it: ' || string_agg(distinct quote_ident(b.datname), ', ')
      into v_why
      from pg_shdepend s
      join pg_database b on b.oid = s.dbid
      where s.refclassid = 'pg_authid'::regclass and s.refobjid = v_role::regrole
        and b.datname <> current_database();
    end if;
    if v_why is null then
      select format('it has members: %s. It grants nothing any more; to remove it: drop role %I;',
        string_agg(distinct m.member::regrole::text, ', '), v_role)
      into v_why
      from pg_auth_members m
      where m.roleid = v_role::regrole and (m.inherit_option or m.set_option)
        and m.member::regrole::text <> all (v_names || current_user::text)
      having count(*) > 0;
    end if;

    if v_why is null then
      begin
        execute format('drop role %I', v_role);
        raise notice 'dropped role %', v_role;
      exception
        when insufficient_privilege or dependent_objects_still_exist then
          v_why := format('this role may not drop it; as a superuser: drop role %I;', v_role);
      end;
    end if;
    if v_why is not null then
      raise warning 'role % stays: %', v_role, v_why;
    end if;
  end loop;
end
$$;
