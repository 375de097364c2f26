-- Supervisors: registered with their control connection.

-- Refuse a supervisor whose program was made for a newer schema, p_schema: it would call functions
-- that are not there, or that do something else. One that is older goes on where it can. Errors:
-- PW053.
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

-- Register a supervisor's control connection. Returns its number. Jobs whose message was lost are
-- due again. Errors: PW060 in a copy; 55P03 while a table of ours is locked.
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
  -- A second for 100,000 jobs, and as much for each further lane with so many; where there is more,
  -- that is for a person to ask for (jobs.reconcile).
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
  begin
    perform jobs_internal.follow_zones();
  exception
    when others or query_canceled then
      perform jobs_internal.note_failure('round', 'zones',
          jobs_internal.error_object(sqlstate, sqlerrm));
  end;
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

-- A supervisor says whose jobs it runs, where it runs only some. Writes: supervisor.
create or replace function jobs_internal.supervisor_serves(p_supervisor bigint, p_owners text[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  update jobs_internal.supervisor as s set serves = p_owners where s.id = p_supervisor
$$;

-- The end of a supervisor.
create or replace function jobs_internal.supervisor_close(p_supervisor bigint)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  delete from jobs_internal.supervisor as s where s.id = p_supervisor
$$;
