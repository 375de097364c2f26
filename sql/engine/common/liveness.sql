-- Whether a session lives, and which life of the server this is.

-- Which life of the server this is. Its checkpointer starts anew at each start and after each
-- crash, which the start time of the postmaster does not tell. Null when it cannot be seen (the
-- server is about to stop).
create or replace function jobs_internal.epoch()
returns timestamptz
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select a.backend_start from pg_stat_get_activity(null) as a where a.backend_type = 'checkpointer';
end;

-- Whether a session is still there. Identity is (pid, backend_start): pids are used again.
create or replace function jobs_internal.alive(p_pid integer, p_backend_start timestamptz)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_stat_get_activity(p_pid) as a
    where a.backend_start = p_backend_start
      -- Of this database: a copy beside the original names the same sessions, and they are not the
      -- copy's.
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database()));
end;

-- Whether the server shuts down: the walwriter goes first. Asked after long jobs and while idle; a
-- job may have swallowed the signal.
create or replace function jobs_internal.shutting_down()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from pg_stat_get_activity(null) as a
      where a.backend_type = 'walwriter');
end;
