-- A result is not to be reused.

-- Invoker without a pinned path, as jobs.enqueue, on purpose: the task is looked up and its
-- arguments are cast as for that.
create or replace function jobs.forget(
  task text default null,
  args jsonb default '{}',
  unique_key text default null
)
returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_template jobs_internal.call_template;
  v_args pg_catalog.jsonb := coalesce(args, '{}');
begin
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'forget');
  end if;
  if (task is null) operator(pg_catalog.=) (unique_key is null)
    or unique_key is not null and v_args operator(pg_catalog.<>) '{}' then
    raise exception using errcode = 'PW110',
      message = 'jobs.forget takes a task with its arguments, or a unique_key',
      detail = pg_catalog.format('task is %s, unique_key is %s.',
        coalesce(pg_catalog.left(task, 100), 'null'),
        coalesce(pg_catalog.left(unique_key, 100), 'null')),
      hint = 'Pass what the job was enqueued with. A retry cannot help.';
  end if;
  if pg_catalog.octet_length(unique_key) operator(pg_catalog.>) 512 then
    raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
      detail = pg_catalog.format('It has %s.', pg_catalog.octet_length(unique_key)),
      hint = 'No job can have it. A retry cannot help.';
  end if;
  if unique_key is null then
    v_template := jobs_internal.resolve(task, v_args);
    v_args := case when v_template.cast_query is not null or v_template.whole
      then jobs_internal.canonical(v_template, v_args) end;
  end if;
  return jobs_internal.forget_results(unique_key, v_template.id, v_args);
end
$$;
comment on function jobs.forget(text, jsonb, text) is
'Forgets a result that the option reuse_for would reuse: the next such jobs.enqueue runs. That of '
'a task with these arguments, or that of a unique_key; only the caller''s own, in all queues.
Returns how many there were: one for each queue, 0 where there was none. A job that runs meanwhile '
'is not forgotten. Errors: PW015, PW110, and those of jobs.enqueue about task and args.';
