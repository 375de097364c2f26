-- Which server and database this installation belongs to, so that a copy of its database (pg_dump
-- and restore, CREATE DATABASE ... TEMPLATE, pg_upgrade) is known for one. In a copy nothing runs
-- and nothing is enqueued until jobs.reconcile() makes it an installation of its own: its role and
-- function numbers mean something else there, its session rows name processes of another server,
-- and the original goes on running the same jobs.
--
-- An installation is a server (system identifier), a database (oid) and the table
-- jobs_internal.installation itself (oid). A standby that is promoted, a restart and a crash change
-- none of these. The check costs a look at one row as long as the server has not been restarted;
-- the first supervisor after a restart, or the session of ours that looks into its last end
-- (note_crash), notes the new start.

-- Whether this database is the original. Returns false in a copy. Locks and writes: nothing.
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

-- Whether there is no job here, no lane and no schedule: nothing could run twice, and a copy is as
-- good as an installation.
create or replace function jobs_internal.is_unused()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from jobs_internal.lane)
    and not exists (select from jobs_internal.job)
    and not exists (select from jobs_internal.finished)
    and not exists (select from jobs_internal.schedule);
end;

-- Record that the installation is here. Locks: installation (the caller waits for another that does
-- the same). Writes: installation.
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

-- Note the start of a server that was restarted, and a new name of the database, so that each
-- enqueue need not look further. For transactions of our own, which end at once: an owner would
-- hold up a session that waits for that row. Locks: installation (skip locked). Writes:
-- installation.
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

-- Refuse to go on in a copy. A copy of an installation that was never used adopts it.
-- Errors: PW060. Locks: installation (skip locked). Writes: installation (of an unused copy).
create or replace function jobs_internal.assert_not_copy()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- As long as the server runs, this is enough; a new session plans nothing else for it.
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

-- What a copy is a copy of, for people.
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
