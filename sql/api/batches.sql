-- Batches. jobs.create_batch is an invoker function without a pinned path, as the enqueue functions
-- are, and for the same reasons.

create or replace function jobs.create_batch(
  name text,
  on_finish text default null,
  on_success text default null,
  on_failure text default null,
  args jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_kind pg_catalog.text;
  v_task pg_catalog.text;
  v_template jobs_internal.call_template;
  v_kinds pg_catalog.text[] := '{}';
  v_templates pg_catalog.int4[] := '{}';
  v_args pg_catalog.jsonb[] := '{}';
begin
  perform jobs_internal.assert_member('jobs_producer', 'create_batch');
  for v_kind, v_task in
    select c.kind, c.task
    from (values ('finish', on_finish), ('success', on_success), ('failure', on_failure))
      as c(kind, task)
    where c.task is not null
  loop
    v_template := jobs_internal.resolve(v_task, coalesce(args, '{}'));
    v_kinds := pg_catalog.array_append(v_kinds, v_kind);
    v_templates := pg_catalog.array_append(v_templates, v_template.id);
    v_args := pg_catalog.array_append(v_args, case
        when v_template.cast_query is not null or v_template.whole
          then jobs_internal.canonical(v_template, coalesce(args, '{}')) end);
  end loop;
  perform jobs_internal.try_schedule_settings(options);
  return jobs_internal.store_batch(name, v_kinds, v_templates, v_args, options);
end
$$;
comment on function jobs.create_batch(text, text, text, text, jsonb, jsonb) is
'Makes a batch of jobs; returns its number, which is the option "batch" of the enqueue functions. '
'When it is closed (jobs.close_batch) and all its jobs have ended, its callbacks are enqueued, as '
'jobs of its owner, each once: on_finish in any case, on_success if all jobs succeeded, on_failure '
'if one failed or was cancelled.
on_finish, on_success, on_failure, args: task and arguments as of jobs.enqueue, looked up and cast '
'now; args are those of each of them. In a callback jobs.current_run() tells its batch.
options: of the callbacks: queue, priority, timeout, max_attempts, settings, note, title, notify.
Errors: those of jobs.enqueue; PW117.';

create or replace function jobs.close_batch(id bigint)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'close_batch', 'jobs_operator');
  return jobs_internal.close_batch(id);
end
$$;
comment on function jobs.close_batch(bigint) is
'Says that no more jobs come into a batch: its callbacks are enqueued when all of them have ended, '
'at once where they have. Returns false when it was closed before.
Errors: PW115.';

create or replace function jobs.cancel_batch(id bigint)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'cancel_batch', 'jobs_operator');
  return jobs_internal.cancel_batch(id);
end
$$;
comment on function jobs.cancel_batch(bigint) is
'Closes a batch, and cancels those of its jobs that have not ended, as jobs.cancel does; returns '
'how many. Then its callbacks come.
Errors: PW115.';

create or replace function jobs.retry_batch(id bigint)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'retry_batch', 'jobs_operator');
  return jobs_internal.retry_batch(id);
end
$$;
comment on function jobs.retry_batch(bigint) is
'Runs the failed jobs of a batch again, as jobs.retry does; returns how many. Where its callbacks '
'were enqueued already, they are enqueued once more when these jobs have ended.
Errors: PW115; PW071, PW072, PW074 over a limit.';

create or replace function jobs.batch_jobs(id bigint)
returns setof bigint
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select j from jobs_internal.batch_jobs_seen(id) as j;
end;
comment on function jobs.batch_jobs(bigint) is
'The numbers of the jobs of a batch, live or finished, in order; none for a batch that the caller '
'does not see: select * from jobs.job where id = any (array(select jobs.batch_jobs(7)));';
