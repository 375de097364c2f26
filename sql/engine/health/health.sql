-- All checks of jobs.health, in the order in which they are shown. A check is a function
-- health_NAME in a file of its subject, and a line here. It returns one row: status (ok, warning or
-- critical), detail (what was found), and remedy (what to do; null: nothing). It names no job of
-- others, and costs the same for ten jobs as for a million.
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
  union all select 200, 'invalid indexes', h.* from jobs_internal.health_invalid_indexes() as h
  union all select 210, 'deadlock risks', h.* from jobs_internal.health_deadlock_risks() as h
  union all select 220, 'unused indexes', h.* from jobs_internal.health_unused_indexes() as h
  union all select 230, 'schedules', h.* from jobs_internal.health_schedules() as h
  union all select 240, 'dependencies', h.* from jobs_internal.health_dependencies() as h
  union all select 250, 'windows', h.* from jobs_internal.health_windows() as h
  union all select 260, 'batches', h.* from jobs_internal.health_batches() as h
  union all select 270, 'keys', h.* from jobs_internal.health_keys() as h;
end;

-- The same for a person who looks while a table is locked: one row that says what is in the way,
-- instead of a wait without an end.
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
