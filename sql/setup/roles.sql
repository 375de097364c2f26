-- Roles and schemas.
--
-- Roles belong to the cluster, so they may be there already (another database uses pyworker too):
-- each is made only when missing. None of them can log in. jobs_owner owns every object and is the
-- only role with a right on a table; it may read all statistics (to tell which sessions live) and
-- signal sessions (to stop jobs). Everything after this file is made as jobs_owner.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['jobs_owner', 'jobs_producer', 'jobs_runner', 'jobs_operator',
      'jobs_reader', 'jobs_supervisor'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      begin
        execute pg_catalog.format('create role %I nologin', v_role);
      exception
        -- an install into another database of this server has made it in this moment
        when duplicate_object or unique_violation then null;
      end;
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
-- Only now: who installs need not inherit what is the owner's.
comment
  on schema jobs
    is 'pyworker, the public part: functions to enqueue and control jobs, views to see them';
comment on schema jobs_internal
  is 'pyworker, the private part: tables and helpers; use schema jobs';
-- A function is closed from the moment that it exists; grants.sql opens the ones that are for
-- a role.
alter default privileges for role jobs_owner in schema jobs revoke execute on routines from public;
alter default privileges for role jobs_owner revoke execute on routines from public;
