-- Options of a job: the checked keys of the last parameter of every enqueue function. What there is stands in the view jobs.options, which
-- the check reads as well. An ordinary enqueue has none and never comes here.

-- Purpose: check what a caller gave as options. p_function: the enqueue function, without its schema; p_call: the job is a call of a
-- procedure, or a statement. Returns: what the job keeps of them, null: nothing; done_when and rollback are kept with the statement.
-- Errors: PW011, PW029.
create or replace function jobs_internal.checked_options(p_options jsonb, p_function text, p_call boolean)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_given record;
  v_option record;
  v_wrong text;
begin
  if pg_catalog.jsonb_typeof(p_options) <> 'object' then
    raise exception using errcode = 'PW011', message = 'options must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_options)),
      hint = 'Pass {"title": "...", ...}; jobs.options lists them. A retry cannot help.';
  end if;
  for v_given in select e.key, e.value, e.value #>> '{}' as text from pg_catalog.jsonb_each(p_options) as e loop
    select o.* into v_option from jobs.options as o where o.key = v_given.key;
    v_wrong := case
      when not found then pg_catalog.format('there is no option "%s"', pg_catalog.left(v_given.key, 100))
      when not p_function = any (v_option.functions) then pg_catalog.format('the option "%s" is not for jobs.%s', v_given.key, p_function)
      when pg_catalog.jsonb_typeof(v_given.value) <> case v_option.type when 'text' then 'string' else v_option.type end
        then pg_catalog.format('the option "%s" must be a JSON %s, not %s', v_given.key,
          case v_option.type when 'text' then 'string' else v_option.type end, pg_catalog.jsonb_typeof(v_given.value))
      when v_given.key = 'repeatable' and not p_call
        then 'the option "repeatable" is not for functions, whose work and end are one commit: they are always run again'
      when v_given.key = 'title' and (v_given.text !~ '[^[:space:]]' or v_given.text ~ '[[:cntrl:]]' or pg_catalog.length(v_given.text) > 200)
        then 'the option "title" must be one line of 1 to 200 characters'
      when v_given.key = 'notify' and pg_catalog.octet_length(v_given.text) not between 1 and 63
        then 'the option "notify" must be the name of a channel, of 1 to 63 bytes'
    end;
    if v_wrong is not null then
      raise exception using errcode = 'PW029', message = v_wrong,
        detail = pg_catalog.format('Options of jobs.%s: %s.', p_function,
          (select pg_catalog.string_agg(pg_catalog.format('%s (%s)', o.key, o.type), ', ' order by o.key) from jobs.options as o
            where p_function = any (o.functions))),
        hint = 'See jobs.options. A retry cannot help.';
    end if;
  end loop;
  return nullif(p_options - array['done_when', 'rollback'], '{}');
end
$$;
comment on function jobs_internal.checked_options(jsonb, text, boolean) is 'Checks the options of a job, and returns what the job keeps of them';

-- Purpose: whether a job that ended unseen may simply be run again: it says so, or its statement is of a kind that always may.
-- Null: there is no such live job.
create or replace function jobs_internal.is_repeatable(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((j.options ->> 'repeatable')::boolean,
    s.command ~ '^(vacuum|analyze|analyse|reindex|refresh|cluster|checkpoint|alter system)\M', false)
  from jobs_internal.job as j
  left join jobs_internal.statement as s on s.job_id = j.id
  where j.id = p_job;
end;
comment on function jobs_internal.is_repeatable(bigint) is 'A job that ended unseen may simply be run again';

-- Purpose: tell that a job has ended, where its option notify asks for it: in the transaction that writes its end, so that it is heard after
-- that is seen, and never of an end that was rolled back. Every session of the database may listen: nothing is told but number, state and task.
-- NOTIFY takes a lock of the whole database at commit, so it is sent for jobs that ask for it only; and while the server's queue of messages is
-- half full, because a listener does not read, it is left out: a queue that is full would let no job end.
create or replace function jobs_internal.tell_end(p_options jsonb, p_job bigint, p_state text, p_task text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_options ? 'notify' and pg_catalog.pg_notification_queue_usage() < 0.5 then
    perform pg_catalog.pg_notify(p_options ->> 'notify', pg_catalog.jsonb_build_object('id', p_job, 'state', p_state, 'task', p_task)::text);
  end if;
end
$$;
comment on function jobs_internal.tell_end(jsonb, bigint, text, text) is 'Tells the channel of its option notify that a job has ended';
