-- Taking a job back: its way back is enqueued as a job of its own.
--
-- The row of operation of the job that is taken back is locked, so that two calls at once make one
-- job.

-- The way back of a job, as things are now: the statements, and with which path and settings they
-- run. Of a job of several steps those of the steps that are done, the last one first; what needs
-- no way back (VALIDATE, VACUUM, ...), what is gone by itself, and what was done already when its
-- step came is left out there. Each is looked at for the state that it will find: those of later
-- steps have run by then. Reads catalogs only, and takes no lock of a table.
-- Returns: refusal: why there are none; came_later: because it would destroy what came later.
create or replace function jobs_internal.undo_statements(p_job bigint, out statements text[],
    out path text, out settings jsonb, out refusal text, out came_later boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement record;
  v_way jsonb;
  v_step record;
  v_now record;
  -- what those that run before leave gone, made or moved
  v_then jsonb := '{}';
  -- a statement of a person runs before this one, which may give things the names that they had
  v_given boolean := false;
begin
  select t.path, t.rollback_sql, f.settings into v_statement
  from jobs_internal.finished as f
  join jobs_internal.finished_statement as t on t.job_id = f.id and t.bucket = f.bucket
  where f.id = p_job;
  path := v_statement.path;
  settings := coalesce(v_statement.settings, '{}');
  came_later := false;
  statements := '{}';
  if exists (select from jobs_internal.step as s where s.job_id = p_job) then
    for v_step in
      select s.n, s.rollback_sql, s.way_back from jobs_internal.step as s
      where s.job_id = p_job and s.way_back is not null
      order by s.n desc
    loop
      if v_step.way_back ? 'skipped' then
        continue;  -- it did nothing
      elsif v_step.rollback_sql is not null then
        statements := statements || v_step.rollback_sql;
        v_given := true;
        continue;
      end if;
      v_way := v_step.way_back || jsonb_build_object('n', v_step.n, 'as_noted', v_given, 'then',
          v_then);
      v_now := jobs_internal.way_back_now(p_job, v_way);
      statements := statements || coalesce(v_now.statements, '{}');
      if v_now.refusal ~ '^(it|the index) is gone$'
        or v_step.way_back ->> 'kind' ~ '^(validate|reindex|vacuum|cluster|repack)' then
        continue;
      end if;
      came_later := v_now.refusal is not null and not v_step.way_back ? 'missing';
      if v_now.refusal is not null then
        refusal := format('step %s: %s', v_step.n, v_now.refusal);
        exit;
      end if;
      v_then := jobs_internal.way_back_leaves(v_way, v_then);
    end loop;
    refusal := coalesce(refusal, case when statements = '{}'
      then 'no step has anything to take back' end);
    return;
  end if;
  select o.before -> 'way_back' into v_way from jobs_internal.operation as o
  where o.job_id = p_job;
  if v_statement.rollback_sql is not null and not coalesce(v_way ? 'skipped', false) then
    statements := array[v_statement.rollback_sql];
    return;
  end if;
  v_now := jobs_internal.way_back_now(p_job, v_way);
  statements := v_now.statements;
  refusal := v_now.refusal;
  came_later := refusal is not null and coalesce(v_way ? 'kind' and not v_way ? 'missing', false);
  settings := '{}';
  path := null;
end
$$;

-- The job that takes a job back now, or has taken it back and was not taken back itself: its state;
-- nulls: none.
create or replace function jobs_internal.taken_back_by(p_job bigint, out id bigint, out state text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  select u.id, u.state into id, state
  from jobs_internal.operation as o
  cross join lateral (
    select j.id, j.state from jobs_internal.job as j where j.id = o.undone_by
    union all
    select f.id, f.state from jobs_internal.finished as f
    where f.id = o.undone_by and f.state = 'succeeded'
  ) as u
  where o.job_id = p_job;
  -- not as one condition: of nulls both sides are asked, without end
  if state = 'succeeded' then
    if (jobs_internal.taken_back_by(id)).state = 'succeeded' then
      id := null;
      state := null;
    end if;
  end if;
end
$$;

-- Refuse to take a job back: because of its state, or of a way back that goes on or is done.
-- Errors: PW064, PW065, PW066.
create or replace function jobs_internal.assert_undoable(p_job bigint, p_state text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_by record;
  v_left text;
begin
  if p_state in ('scheduled', 'queued', 'running') then
    raise exception using errcode = 'PW064', message = format('job %s has not ended', p_job),
      detail = format('It is %s; what is to be taken back is not there yet.', p_state),
      hint = 'Cancel it: jobs.cancel. Or retry when it has ended.';
  end if;
  v_by := jobs_internal.taken_back_by(p_job);
  if v_by.id is not null then
    raise exception using errcode = 'PW065',
      message = format('job %s is taken back already', p_job),
      detail = format('By job %s, which is %s.', v_by.id, v_by.state),
      hint = 'jobs.undo of that job brings it back. A retry cannot help.';
  end if;
  if p_state <> 'succeeded' and not exists (select from jobs_internal.step as s
    where s.job_id = p_job and s.way_back is not null)
  then
    v_left := (
      select string_agg(l.name, ', ')
      from jobs_internal.finished as f
      join jobs_internal.finished_statement as t on t.job_id = f.id and t.bucket = f.bucket
      cross join lateral jobs_internal.left_by(p_job, t.target, t.identity) as l
      where f.id = p_job);
    raise exception using errcode = 'PW066', message = format('job %s is %s', p_job, p_state),
      detail = case
        when v_left is not null then format('It left invalid: index %s.', v_left)
        when p_state = 'in_doubt' then 'Whether it was done is not known.'
        else 'It was not done: there is nothing to take back.' end,
      hint = case when v_left is not null
        then 'drop index concurrently drops that, and so does jobs.retry before it builds.'
        when p_state = 'in_doubt' then 'Look, and run what takes it back by hand.'
        else 'A retry cannot help.' end;
  end if;
end
$$;

-- Lock the row that links a job with the one that takes it back. Of a statement that is no long
-- operation there is none: it is made. Waits two seconds at most. Errors: 55P03.
-- Locks, and writes: operation.
create or replace function jobs_internal.lock_undone(p_job bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set exit_on_error = off
as $$
begin
  insert into jobs_internal.operation (job_id, owner, kind, object_name, lock_mode, ended_at,
    state)
  select f.id, f.owner, 'statement', t.object, 'AccessShareLock', f.finished_at, f.state
  from jobs_internal.finished as f
  join jobs_internal.finished_statement as t on t.job_id = f.id and t.bucket = f.bucket
  where f.id = p_job and t.rollback_sql is not null
  on conflict do nothing;
  perform from jobs_internal.operation as o where o.job_id = p_job for no key update;
exception
  when lock_not_available then
    raise exception using errcode = '55P03',
      message = format('job %s is being taken back, or written, by another session', p_job),
      detail = 'Its transaction is still open.',
      hint = 'A retry helps once that has ended.';
end
$$;

-- Does the work of jobs.undo. Locks: operation. Writes: operation; see store_statement and
-- store_steps.
create or replace function jobs_internal.undo(id bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_way record;
  v_queue text;
  v_id bigint;
  v_options jsonb := jsonb_build_object('title', format('undo of %s', undo.id));
begin
  select j.id, j.owner, j.state, j.queue_id into v_job
  from (
    select a.id, a.owner, a.state, a.queue_id from jobs_internal.job as a where a.id = undo.id
    union all
    select f.id, f.owner, f.state, f.queue_id from jobs_internal.finished as f
    where f.id = undo.id
  ) as j;
  perform jobs_internal.assert_controls(undo.id, v_job.owner);
  if v_job.owner <> jobs_internal.caller() then
    raise exception using errcode = 'PW030',
      message = format('job %s belongs to another role', undo.id),
      detail = format('Its way back would run as %s, not as %s.', session_user,
        pg_get_userbyid(v_job.owner)),
      hint = format('Call jobs.undo as %s. A retry cannot help.', pg_get_userbyid(v_job.owner));
  end if;
  perform jobs_internal.lock_undone(undo.id),
    jobs_internal.assert_undoable(undo.id, v_job.state);
  v_way := jobs_internal.undo_statements(undo.id);
  if v_way.refusal is not null then
    raise exception using errcode = case when v_way.came_later then 'PW067' else 'PW066' end,
      message = case when v_way.came_later
        then format('taking job %s back would destroy what came later', undo.id)
        else format('job %s has no way back', undo.id) end,
      detail = format('Why: %s.', v_way.refusal),
      hint = case when v_way.came_later then 'Look, and run what takes it back by hand.'
        else 'Give rollback when you enqueue it; jobs.plan says before whether that is needed.' end
        || ' A retry cannot help.';
  end if;
  v_queue := (select q.name from jobs_internal.queue as q where q.id = v_job.queue_id
    and q.dropped_at is null);
  v_id := case when cardinality(v_way.statements) = 1
    then jobs_internal.store_statement(v_way.statements[1], v_queue, null, null, null, null, null,
      v_way.settings, '{}', null, null, v_options, v_way.path)
    else jobs_internal.store_steps(to_jsonb(v_way.statements), v_queue, null, null, null, null,
      null, v_way.settings, '{}', v_options, v_way.path) end;
  insert into jobs_internal.operation (job_id, owner, kind, lock_mode)
  values (v_id, v_job.owner, 'statement', 'AccessShareLock')
  on conflict do nothing;
  update jobs_internal.operation as o set undo_of = undo.id where o.job_id = v_id;
  update jobs_internal.operation as o set undone_by = v_id where o.job_id = undo.id;
  return v_id;
end
$$;

-- Why a way back must not be run any more, or not yet, though it was enqueued: something came in
-- between. An error object; null: it may run. Asked before its first statement.
create or replace function jobs_internal.undo_error(p_job bigint)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set exit_on_error = off
as $$
declare
  v_of bigint := (select o.undo_of from jobs_internal.operation as o where o.job_id = p_job
    and o.owner = jobs_internal.caller());
  v_way record;
begin
  if v_of is null or exists (select from jobs_internal.step as s
    where s.job_id = p_job and s.state = 'done') then
    return null;
  elsif not exists (select from jobs_internal.finished as f where f.id = v_of) then
    return jobs_internal.error_object('PW066',
      format('what job %s did is not known any more', v_of),
      'Its history is gone, so what came later cannot be told from what it made.',
      'Look, and run what takes it back by hand.');
  end if;
  begin
    v_way := jobs_internal.undo_statements(v_of);
  exception
    when lock_not_available then
      return jobs_internal.error_object('55P03',
        format('whether job %s may be taken back cannot be seen now', v_of),
        format('What it made is locked: %s.', sqlerrm), 'Another attempt may help.');
  end;
  if v_way.refusal is null then
    return null;
  end if;
  return jobs_internal.error_object('PW067',
    format('taking job %s back would destroy what came later', v_of),
    format('Why: %s.', v_way.refusal), 'Look, and run what takes it back by hand.');
end
$$;

-- The same, as an error.
create or replace function jobs_internal.assert_still_undoable(p_job bigint)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_error jsonb := jobs_internal.undo_error(p_job);
begin
  if v_error is not null then
    raise exception using errcode = v_error ->> 'sqlstate', message = v_error ->> 'message',
      detail = v_error ->> 'detail', hint = v_error ->> 'hint';
  end if;
end
$$;
