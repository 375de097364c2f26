-- The queues of pgmq are unlogged, and no supervisor looks for what they have lost.

-- Replaces jobs_internal.make_lane_queue, md5 9982954c55fe7c30c4e320dd2c5641df.
create or replace function jobs_internal.make_lane_queue(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'
as $$
begin
  perform pgmq.create_unlogged('pyworker_' || p_lane);
  execute format('drop index if exists pgmq.%I', 'q_pyworker_' || p_lane || '_vt_idx');
  execute format('alter table pgmq.%I set (autovacuum_vacuum_scale_factor = 0.02, '
    'autovacuum_vacuum_threshold = 2000, fillfactor = 45)',
    'q_pyworker_' || p_lane);
end
$$;

-- Replaces jobs_internal.supervisor_open, md5 64228a9862d7910e69d815a8fc84bcec.
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
      null;
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
