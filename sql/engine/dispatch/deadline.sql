-- The option deadline: the latest time at which an attempt of a job may begin.
--
-- A row of job_deadline says that the deadline counts; the option itself is kept for people. The
-- row comes with the job, in the enqueuer's transaction, and goes in the commit in which the job
-- ends, or in which a part of its work is kept (a step is done, a run that snoozed): such a job has
-- begun, and goes on. A retry by hand (jobs.retry) brings none back; where a job comes back because
-- one that it waited for does (bring_back), its deadline does too. Two look at it: the session
-- that opens the job, in the transaction that would run it, and each round of a supervisor. Both
-- cancel, by cancel_waiting; the round locks the job before, with skip locked.

-- Store the deadline of new jobs of one call, in the enqueuer's transaction. p_run_at: not before,
-- as asked for. Writes: job_deadline. Errors: PW029.
create or replace function jobs_internal.store_deadline(p_jobs bigint[], p_options jsonb,
    p_run_at timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := (p_options ->> 'deadline')::timestamptz;
begin
  if v_at is null then
    return;
  elsif v_at <= coalesce(p_run_at, now()) then
    raise exception using errcode = 'PW029',
      message = 'the option "deadline" must be later than run_at',
      detail = format('The job could never begin: not before %s, and not after %s.',
        coalesce(p_run_at, now()), v_at),
      hint = 'Pass a later deadline, or do not enqueue the job. A retry cannot help.';
  end if;
  insert into jobs_internal.job_deadline (job_id, at)
  select u.id, v_at from unnest(p_jobs) as u(id);
end
$$;

-- Whether an attempt of a job that began at a time would begin after its deadline.
create or replace function jobs_internal.misses_deadline(p_job bigint, p_at timestamptz)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select exists (select from jobs_internal.job_deadline as d
    where d.job_id = p_job and d.at < p_at);
end;

-- Whether the deadline of a job has passed. Stable, though it asks the clock: a volatile function
-- would keep open_chunk, which every job goes through, from the plan that it has without.
create or replace function jobs_internal.is_late(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select exists (select from jobs_internal.job_deadline as d
    where d.job_id = p_job and d.at < clock_timestamp());
end;

-- The deadline of some jobs does not count any more. Writes: job_deadline.
create or replace function jobs_internal.clear_deadline(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  delete from jobs_internal.job_deadline as d where d.job_id = any (p_jobs);
end
$$;

-- Cancel a job that waits and whose deadline has passed, as the caller has found: the clock is not
-- asked again, it may have been set back. False: it runs, a session holds its
-- message, its deadline does not count any more, or an attempt of it ended unseen: what that did is
-- asked for first. Locks, writes: as cancel_waiting.
create or replace function jobs_internal.cancel_late(p_job bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_at timestamptz := (select d.at from jobs_internal.job_deadline as d where d.job_id = p_job);
begin
  select j.* into v_job from jobs_internal.job as j where j.id = p_job;
  if v_at is null or v_job.id is null or v_job.verify then
    return false;
  end if;
  return jobs_internal.cancel_waiting(p_job, null, jobs_internal.error_object('PWC03',
      format('not started by its deadline, %s', v_at::timestamptz(0)),
      case when v_job.error is null then 'It had not begun.'
        else format('Attempt %s had ended with %s: %s', greatest(v_job.attempt, 1),
            v_job.error ->> 'sqlstate', left(v_job.error ->> 'message', 500)) end,
      format('select jobs.retry(%s) runs it all the same.', p_job)));
end
$$;

-- Cancel the jobs whose deadline has passed, the earliest first, and forget the deadlines of jobs
-- that are gone. What is locked by others is left to the next round. Returns how many.
-- Locks: job, messages (skip locked). Writes: job_deadline; see cancel_waiting.
create or replace function jobs_internal.cancel_late_jobs()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  for v in
    select d.job_id, j.id, j.queue_id, j.owner
    from jobs_internal.job_deadline as d
    left join lateral (select o.id, o.queue_id, o.owner, o.state, o.verify
        from jobs_internal.job as o where o.id = d.job_id offset 0) as j on true
    where d.at < clock_timestamp() and j.state is distinct from 'running'
      and j.verify is not true
      and not jobs_internal.is_put_off('deadline', d.job_id::text)
    order by d.at
    limit 1000
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      if v.id is null then
        delete from jobs_internal.job_deadline as d where d.ctid = any (array(
          select o.ctid from jobs_internal.job_deadline as o where o.job_id = v.job_id
          for update skip locked));
        continue;
      end if;
      perform from jobs_internal.job as j where j.id = v.job_id for update skip locked;
      if not found or not jobs_internal.cancel_late(v.job_id) then
        -- the lock of a job whose message a session holds goes back at once
        raise exception using errcode = 'PW999', message = 'undo';
      end if;
      v_count := v_count + 1;
    exception
      when sqlstate 'PW999' then
        null;
      when others then
        perform jobs_internal.note_failure('deadline', v.job_id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
    end;
  end loop;
  return v_count;
end
$$;

-- When the next deadline passes; null: none does.
create or replace function jobs_internal.next_deadline()
returns timestamptz
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select d.at from jobs_internal.job_deadline as d where d.at > clock_timestamp() order by d.at
  limit 1;
end;
