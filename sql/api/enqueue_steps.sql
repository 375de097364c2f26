-- jobs.enqueue_steps: several statements as one job.

-- An invoker function without a pinned path, as jobs.enqueue_sql is: names are looked up with the
-- caller's path.
create or replace function jobs.enqueue_steps(
  steps jsonb,
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  perform jobs_internal.assert_member('jobs_producer', 'enqueue_steps');
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  v_id := jobs_internal.store_steps(steps, queue, run_at, timeout, max_attempts, unique_key,
      priority, settings, note, options, jobs_internal.callers_path());
  perform jobs_internal.note_object(v_id);
  return v_id;
end
$$;
comment on function jobs.enqueue_steps(jsonb, text, timestamptz, interval, integer, text, text,
    jsonb, jsonb, jsonb) is
'Enqueues several statements as one job, in the caller''s transaction; returns the id of the job. '
'They run one after the other, each in a commit of its own, as jobs.enqueue_sql would run it.
steps: up to 50, each a text or {"statement": ..., "done_when": ..., "rollback": ..., '
'"lock_timeout": ...}. A step whose done_when is true already is not run.
An attempt goes on at the first step that is not done; so does jobs.retry. timeout is for each '
'step. The other parameters are as in jobs.enqueue_sql.
jobs.not_null_steps, constraint_steps, unique_steps and replace_index_steps return such steps.
Errors: PW084 no list of statements, and those of jobs.enqueue_sql, which name the step.';
