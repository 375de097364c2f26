-- Jobs of several statements (jobs.enqueue_steps): one step after the other, each as a statement of
-- jobs.enqueue_sql is run.
--
-- States and commits: the rows of step are waiting, current or done, in that order, and one of an
-- unfinished job is current: that one is the row of statement of its job, so all that is known of
-- statements holds for it as it is. The transaction that ends the attempt of a step well
-- (end_attempt) also makes it done and the next one current, and puts the job back into its lane,
-- uncharged. A step that ran in a transaction has its effect in that same commit: it is never run
-- twice. One at top level that ended unseen is judged by its post-condition, as ever, and only then
-- done. A step that fails stays current: the next attempt, or jobs.retry, goes on there.

-- Make a step the current one: the statement of its job, and what its operation is.
-- Writes: statement, step, operation.
create or replace function jobs_internal.load_step(p_job bigint, p_n integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step jobs_internal.step;
  v_operation jsonb;
begin
  update jobs_internal.step as s
  set state = 'current', started_at = clock_timestamp()
  where s.job_id = p_job and s.n = p_n
  returning s.* into v_step;
  update jobs_internal.statement as s
  set body = v_step.body, command = v_step.command, top_level = v_step.top_level,
    done_when = v_step.done_when, rollback_sql = v_step.rollback_sql, object = v_step.object,
    target = v_step.target, identity = null
  where s.job_id = p_job;
  v_operation := (
    select jobs_internal.operation_of(l.words, l.raw, v_step.target)
    from jobs_internal.lex(v_step.body) as l);
  -- always a row: the next step may be a long operation where this one is none
  insert into jobs_internal.operation (job_id, owner, kind, object_name, lock_mode)
  select j.id, j.owner, coalesce(k.kind, 'steps'), left(v_step.target ->> 'object', 200),
    coalesce(k.lock_mode, v_operation ->> 'lock_mode')
  from jobs_internal.job as j
  left join jobs_internal.operation_kinds() as k on k.kind = v_operation ->> 'kind'
  where j.id = p_job
  on conflict (job_id) do update
  set kind = excluded.kind, object_name = excluded.object_name, lock_mode = excluded.lock_mode,
    -- looked up by the start of the step
    object = null, relations = null,
    -- each step has its own lock attempts, and gives way as often
    lock_attempts = 0, yields = 0, step_asides = 0, held = null, gives_way = null;
end
$$;

-- The step at which a job ended well is done, and the next one is the current one.
-- What takes a statement back is completed here, of any job.
-- p_unseen: the attempt before this one ended unseen, at top level.
-- Returns: {step, steps, next: its number, null after the last one}; null: it is no job of steps.
-- Writes: step, operation; see load_step.
create or replace function jobs_internal.end_step(p_job bigint,
    p_result jobs_internal.attempt_result, p_unseen boolean)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_n integer;
  v_steps integer;
begin
  perform jobs_internal.complete_way_back(p_job, p_result, p_unseen);
  update jobs_internal.step as s
  set state = 'done', finished_at = clock_timestamp(), result = p_result.result,
    way_back = coalesce(s.way_back, '{"missing": "what it made could not be noted"}'),
    identity = (select t.identity from jobs_internal.statement as t where t.job_id = p_job)
  where s.job_id = p_job and s.state = 'current'
  returning s.n into v_n;
  if v_n is null then
    return null;
  end if;
  v_steps := (select max(s.n) from jobs_internal.step as s where s.job_id = p_job);
  if v_n < v_steps then
    perform jobs_internal.load_step(p_job, v_n + 1);
  end if;
  return jsonb_build_object('step', v_n, 'steps', v_steps,
    'next', case when v_n < v_steps then v_n + 1 end);
end
$$;

-- Whether a job of the calling login has steps: then a post-condition that was given is asked
-- before its statement runs, also the first time, and what is done already is not run.
create or replace function jobs_internal.has_steps(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.step as s
    join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
    where s.job_id = p_job);
end;
