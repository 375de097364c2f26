-- What is kept of the progress of a long operation while it runs.

-- Keep in which phase an operation is, and since when. p_pid: the process that runs it.
-- Writes: operation, phase.
create or replace function jobs_internal.note_progress(p_job bigint, p_attempt integer,
    p_pid integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_phase text;
  v_operation jobs_internal.operation;
begin
  select o.* into v_operation from jobs_internal.operation as o
  where o.job_id = p_job and o.attempt = p_attempt;
  if not found then
    return;
  end if;
  v_phase := jobs_internal.phase_of(p_pid, v_operation.kind);
  if v_phase is distinct from v_operation.phase then
    update jobs_internal.phase as h set finished_at = clock_timestamp()
    where h.job_id = p_job and h.attempt = p_attempt and h.finished_at is null;
    if v_phase is not null then
      insert into jobs_internal.phase (job_id, attempt, n, phase, started_at)
      select p_job, p_attempt, coalesce(max(h.n), 0) + 1, v_phase, clock_timestamp()
      from jobs_internal.phase as h
      where h.job_id = p_job and h.attempt = p_attempt;
    end if;
    update jobs_internal.operation as o
    set phase = v_phase, looked_at = clock_timestamp()
    where o.job_id = p_job;
  end if;
end
$$;

-- The phase in which a process is, as the server's progress shows it; null: none is shown. DROP
-- INDEX CONCURRENTLY and DETACH CONCURRENTLY have no progress: they wait for transactions of
-- others, or work for milliseconds.
create or replace function jobs_internal.phase_of(p_pid integer, p_kind text)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select c.phase from pg_stat_progress_create_index as c where c.pid = p_pid limit 1),
    (select v.phase from pg_stat_progress_vacuum as v where v.pid = p_pid limit 1),
    (select a.phase from pg_stat_progress_analyze as a where a.pid = p_pid limit 1),
    (select u.phase from pg_stat_progress_cluster as u where u.pid = p_pid limit 1),
    (select 'copying' from pg_stat_progress_copy as y where y.pid = p_pid limit 1),
    (select 'waiting for transactions of others'
      from pg_stat_get_activity(p_pid) as a
      where p_kind in ('drop index concurrently', 'detach partition concurrently')
        and a.wait_event_type = 'Lock' and a.wait_event in ('virtualxid', 'transactionid')));
end;
