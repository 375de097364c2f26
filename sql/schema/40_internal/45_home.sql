-- Where this installation is at home, so that a copy of its database (pg_dump and restore, CREATE DATABASE ... TEMPLATE, pg_upgrade) is known
-- for one. In a copy nothing runs and nothing is enqueued until jobs.reconcile() makes it a home of its own: its role and function numbers
-- mean something else there, its session rows name processes of another server, and the original goes on running the same jobs.
--
-- Home is a server (system identifier), a database (oid) and the table jobs_internal.home itself (oid). A standby that is promoted, a
-- restart and a crash change none of these. The check costs a look at one row as long as the server has not been restarted; the first
-- supervisor after a restart, or the session of ours that looks into its last end (note_crash), notes the new start.

-- Purpose: whether this is the installation's home. Returns false in a copy. Locks and writes: nothing.
create or replace function jobs_internal.is_home()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.home as h
    where h.place = h.tableoid
      and h.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
      and (h.postmaster = pg_catalog.pg_postmaster_start_time()
        or h.system = (select c.system_identifier from pg_catalog.pg_control_system() as c)));
end;
comment on function jobs_internal.is_home() is 'This is the installation''s home and no copy of it';

-- Purpose: whether there is no job here and no lane: nothing could run twice, and a copy is as good as an installation.
create or replace function jobs_internal.is_unused()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from jobs_internal.lane)
    and not exists (select from jobs_internal.job)
    and not exists (select from jobs_internal.finished);
end;
comment on function jobs_internal.is_unused() is 'There is no job here and no lane';

-- Purpose: note that home is here. Locks: home (the caller waits for another one who does the same). Writes: home.
create or replace function jobs_internal.settle_here()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into jobs_internal.home as h (system, database, database_name, place, postmaster, quotas)
  select c.system_identifier, d.oid, d.datname, 'jobs_internal.home'::regclass, pg_catalog.pg_postmaster_start_time(),
    exists (select from jobs_internal.quota)
  from pg_catalog.pg_control_system() as c
  join pg_catalog.pg_database as d on d.datname = pg_catalog.current_database()
  on conflict (id) do update set system = excluded.system, database = excluded.database, database_name = excluded.database_name,
    place = excluded.place, postmaster = excluded.postmaster, since = pg_catalog.clock_timestamp();
end
$$;
comment on function jobs_internal.settle_here() is 'Notes that the installation''s home is here';

-- Purpose: note the start of a server that was restarted, and a new name of the database, so that each enqueue need not look further. For
-- transactions of our own, which end at once: an owner would hold up whoever waits for that row. Locks: home (skip locked). Writes: home.
create or replace function jobs_internal.note_home()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.home as h where h.postmaster <> pg_catalog.pg_postmaster_start_time() or h.database_name <> pg_catalog.current_database())
    and jobs_internal.is_home()
  then
    update jobs_internal.home as h set postmaster = pg_catalog.pg_postmaster_start_time(), database_name = pg_catalog.current_database()
    where h.id = (select o.id from jobs_internal.home as o for update skip locked);
  end if;
end
$$;
comment on function jobs_internal.note_home() is 'Notes the start of a server that was restarted, and a new name of the database';

-- Purpose: refuse to go on in a copy. A copy of an installation that was never used makes itself a home.
-- Errors: PW060. Locks: home (skip locked). Writes: home, where an unused copy is at home from now on.
create or replace function jobs_internal.assert_home()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- As long as the server runs, this is enough; a new session plans nothing else for it.
  if exists (select from jobs_internal.home as h where h.place = h.tableoid and h.postmaster = pg_catalog.pg_postmaster_start_time()
    and pg_catalog.split_part(pg_catalog.pg_relation_filepath(h.tableoid), '/', -2) = h.database::text)
    or jobs_internal.is_home()
  then
    return;
  end if;
  if jobs_internal.is_unused() then
    perform from jobs_internal.home as h for update skip locked;
    if found or not exists (select from jobs_internal.home) then
      perform jobs_internal.settle_here();
    end if;
    return;
  end if;
  raise exception using errcode = 'PW060', message = pg_catalog.format('this is %s', jobs_internal.copy_of()),
    detail = 'A copy runs and accepts no jobs until somebody says so: the original may be running the same ones, and the numbers of roles, functions and '
      'sessions in it belong to the other server.',
    hint = 'Where the jobs in it are to run here: select jobs.reconcile();  as a member of jobs_operator. A retry helps after that.';
end
$$;
comment on function jobs_internal.assert_home() is 'PW060 in a copy of an installation; an unused copy makes itself a home';

-- Purpose: what a copy is a copy of, for people.
create or replace function jobs_internal.copy_of()
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.format('a copy of %s', coalesce((
    select pg_catalog.format('database "%s" of %s', h.database_name,
      case when h.system = (select c.system_identifier from pg_catalog.pg_control_system() as c) then 'this server' else 'server ' || h.system end)
    from jobs_internal.home as h), 'an unknown database'));
end;
comment on function jobs_internal.copy_of() is 'What this database is a copy of, for people';

-- Purpose: the login that looks, as an owner of jobs. In a copy nobody owns any: the numbers are those of the original's roles.
create or replace function jobs_internal.viewer()
returns oid
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when jobs_internal.is_home() then jobs_internal.me() else 0::oid end;
end;
comment on function jobs_internal.viewer() is 'The login that looks, as an owner of jobs; 0 in a copy, where nobody owns any';

-- Purpose: whether the login that looks may read arguments, statements and results of an owner who is somebody else: an administrator, and an
-- operator who is a member of that role (grant app to alice), and so could act as it anyway. Not in a copy: the numbers mean other roles there.
create or replace function jobs_internal.reads(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.may('jobs_owner')
    or (jobs_internal.viewer() <> 0::oid and jobs_internal.may('jobs_operator') and pg_catalog.pg_has_role(session_user, p_owner, 'member'));
end;
comment on function jobs_internal.reads(oid) is 'The login that looks may read arguments, statements and results of that owner, who is somebody else';

-- Purpose: keep the name of a role that owns jobs or their functions: in another cluster only the name says who that was.
-- No unique key on purpose: enqueuers would wait for each other. Writes: known_role.
create or replace function jobs_internal.know_role(p_role oid)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.known_role (role, name)
  select r.oid, r.rolname from pg_catalog.pg_roles as r
  where r.oid = p_role and not exists (select from jobs_internal.known_role as k where k.role = p_role);
end;
comment on function jobs_internal.know_role(oid) is 'Keeps the name of a role that owns jobs or their functions';

-- Purpose: follow roles that were renamed or dropped, and owners of lanes that are not known yet. Called at home only. A number below 12000
-- stands for a role that this cluster lacks (see jobs.reconcile). Locks: known_role (skip locked), where one was renamed or dropped.
create or replace function jobs_internal.follow_roles()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobs_internal.known_role as k
    left join pg_catalog.pg_roles as r on r.oid = k.role
    where not k.gone and not jobs_internal.is_stand_in(k.role) and r.rolname is distinct from k.name)
  then
    update jobs_internal.known_role as k
    set name = coalesce((select r.rolname from pg_catalog.pg_roles as r where r.oid = k.role), k.name),
      gone = not exists (select from pg_catalog.pg_roles as r where r.oid = k.role)
    where k.ctid = any (array(
      select o.ctid from jobs_internal.known_role as o
      where not o.gone and not jobs_internal.is_stand_in(o.role)
        and o.name is distinct from (select r.rolname from pg_catalog.pg_roles as r where r.oid = o.role)
      for update skip locked));
  end if;
end
$$;
comment on function jobs_internal.follow_roles() is 'Follows roles that were renamed or dropped';

-- Purpose: whether a number stands for a role that this cluster lacks. The server gives none of these to a role: CREATE ROLE begins at 12000
-- (at 16384 but in single-user mode), and the roles that every cluster has are below 10000.
create or replace function jobs_internal.is_stand_in(p_role oid)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_role >= 10000::oid and p_role < 12000::oid;
end;
comment on function jobs_internal.is_stand_in(oid) is 'The number stands for a role that this cluster lacks';
