-- Checks of what enqueue functions are given beside the task. The keys of options stand in the view
-- jobs.options, which the check reads as well; an ordinary enqueue has none and never comes here.

-- Check what a caller gave as options. p_function: the enqueue function, without its schema;
-- p_call: the job is a call of a procedure, or a statement. Returns: what the job keeps of them,
-- null: nothing; done_when and rollback are kept with the statement.
-- Errors: PW011, PW029.
create or replace function jobs_internal.checked_options(p_options jsonb, p_function text,
    p_call boolean)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_given record;
  v_option record;
  v_wrong text;
begin
  if jsonb_typeof(p_options) <> 'object' then
    raise exception using errcode = 'PW011', message = 'options must be a JSON object',
      detail = format('It is of type %s.', jsonb_typeof(p_options)),
      hint = 'Pass {"title": "...", ...}; jobs.options lists them. A retry cannot help.';
  end if;
  for v_given in select e.key, e.value, e.value #>> '{}' as text
    from jsonb_each(p_options) as e loop
    select o.* into v_option from jobs.options as o where o.key = v_given.key;
    v_wrong := case
      when not found then format('there is no option "%s"', left(v_given.key, 100))
      when not p_function = any (v_option.functions)
        then format('the option "%s" is not for jobs.%s', v_given.key, p_function)
      when jsonb_typeof(v_given.value) <> case v_option.type when 'text' then 'string'
        else v_option.type end
        then format('the option "%s" must be a JSON %s, not %s', v_given.key,
          case v_option.type when 'text' then 'string' else v_option.type end,
            jsonb_typeof(v_given.value))
      when v_given.key = 'after' then jobs_internal.wrong_parents(v_given.value)
      when v_given.key = 'batch' and v_given.text !~ '^[0-9]{1,18}$'
        then 'the option "batch" must be the number of a batch'
      when v_given.key = 'after_state' and v_given.text not in ('succeeded', 'failed', 'finished')
        then 'the option "after_state" must be succeeded, failed or finished'
      when v_given.key = 'after_state' and not p_options ? 'after'
        then 'the option "after_state" says nothing without "after"'
      when v_option.type = 'array' and (jsonb_array_length(v_given.value) > 20 or exists (
          select from jsonb_array_elements(v_given.value) as e where jsonb_typeof(e) <> 'string'))
        then format('the option "%s" must be an array of up to 20 strings', v_given.key)
      when v_given.key = 'repeatable' and not p_call
        then 'the option "repeatable" is not for functions, whose work and end are one commit: '
          'they are always run again'
      when v_given.key = 'title' and (v_given.text !~ '[^[:space:]]' or v_given.text ~ '[[:cntrl:]]'
          or length(v_given.text) > 200)
        then 'the option "title" must be one line of 1 to 200 characters'
      when v_given.key = 'notify' and octet_length(v_given.text) not between 1 and 63
        then 'the option "notify" must be the name of a channel, of 1 to 63 bytes'
      when v_given.key = 'concurrency_key' and octet_length(v_given.text) not between 1 and 512
        then format('the option "concurrency_key" must have 1 to 512 bytes, not %s',
          octet_length(v_given.text))
      when v_given.key in ('deadline', 'reuse_for')
        then jobs_internal.time_option_error(v_given.key, v_given.text)
    end;
    if v_wrong is not null then
      raise exception using errcode = 'PW029', message = v_wrong,
        detail = format('Options of jobs.%s: %s.', p_function,
          (select string_agg(format('%s (%s)', o.key, o.type), ', ' order by o.key)
              from jobs.options as o
            where p_function = any (o.functions))),
        hint = 'See jobs.options. A retry cannot help.';
    end if;
  end loop;
  return nullif(jobs_internal.canonical_options(p_options - array['done_when', 'rollback']), '{}');
end
$$;

-- What a caller asked of settings, tried with the caller's rights and undone. Errors: PW011, PW012,
-- PW013. Invoker on purpose: whether a role may set something is its own right.
create or replace function jobs_internal.try_settings(p_settings jsonb)
returns void
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text;
  v_value pg_catalog.text;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if pg_catalog.jsonb_typeof(p_settings) operator(pg_catalog.<>) 'object' then
    raise exception using errcode = 'PW011', message = 'settings must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_settings)),
      hint = 'Pass {"work_mem": "64MB", ...}. A retry cannot help.';
  end if;
  perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(p_settings) as s loop
    if pg_catalog.lower(v_name collate "C")
      operator(pg_catalog.=) any (array['role', 'session_authorization', 'application_name',
            'statement_timeout',
      'transaction_timeout', 'idle_in_transaction_session_timeout', 'default_transaction_isolation',
      'transaction_isolation',
      'default_transaction_read_only', 'transaction_read_only', 'default_transaction_deferrable',
      'transaction_deferrable', 'client_min_messages',
      'exit_on_error'])
      or pg_catalog.lower(v_name collate "C") operator(pg_catalog.~) '^(pyworker|pg_background)[.]'
        then
      raise exception using errcode = 'PW013',
        message = pg_catalog.format('the setting "%s" belongs to the worker',
            pg_catalog.left(v_name, 100)),
        detail = 'The worker session sets it itself.',
          hint = 'For a time limit use the option timeout. A retry cannot help.';
    end if;
    if v_value is null then
      raise exception using errcode = 'PW013',
        message = pg_catalog.format('the setting "%s" is null', pg_catalog.left(v_name, 100)),
        detail = 'A setting needs a value.',
          hint = 'Leave it out to keep the default. A retry cannot help.';
    end if;
    begin
      perform pg_catalog.set_config(v_name, v_value, true);
      raise exception using errcode = 'PW999', message = 'undo';
    exception
      when sqlstate 'PW999' then
        null;
      when undefined_object or invalid_name then
        raise exception using errcode = 'PW012',
          message = pg_catalog.format('there is no setting "%s"', pg_catalog.left(v_name, 100)),
          detail = 'It is not in pg_settings, and a setting of one''s own has a dot in its name.',
          hint = 'Check the name. A retry cannot help.';
      when others then
        get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
        raise exception using errcode = 'PW013',
          message = pg_catalog.format('%s may not set "%s" to that value', session_user,
              pg_catalog.left(v_name, 100)),
          detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state,
              pg_catalog.left(v_message, 1000)),
          hint = 'Use a setting that the role may set in its session, and a valid value. A retry '
            'cannot help.';
    end;
  end loop;
end
$$;

-- Check the options that every kind of job has, and find its queue and lane.
-- Returns: one row; timeout and max_attempts with the queue's defaults; timeout in seconds alone,
--   so that a start and a timeout have the same sum on every day of every calendar; limited: the
--   owner may have a quota. Errors: PW007, PW008, PW009, PW010, PW011, PW014, PW015, PW018, PW019,
--   PW020, PW060 in a copy, whose owners' numbers are those of another cluster.
create or replace function jobs_internal.check_options(
  p_queue text,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_note jsonb,
  out owner oid,
  out queue_id integer,
  out priority smallint,
  out timeout interval,
  out max_attempts integer,
  out lane_id integer,
  out pgmq_queue text,
  out limited boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_privileged boolean;
  v_accepting boolean;
  v_is_original boolean;
begin
  priority := case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0 when 'low'
    then 2 end;
  -- One query for all that must be looked up, and one expression for the common case, instead of
  -- all that follow: PL/pgSQL and the executor prepare each anew in each transaction.
  select r.oid, r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls
    or coalesce(l.refused, false), q.id, coalesce(p_timeout, q.timeout),
    coalesce(p_max_attempts, q.max_attempts), q.accepting, l.id, l.pgmq_queue, h.id, h.quotas
  into owner, v_privileged, queue_id, timeout, max_attempts, v_accepting, lane_id, pgmq_queue,
    v_is_original, limited
  from pg_roles as r
  left join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default')
    and q.dropped_at is null
  -- What is_original asks, as far as it is free: the files of each database lie in a directory that
  -- is called by its number.
  left join jobs_internal.installation as h on h.table_oid = h.tableoid
    and h.postmaster = pg_postmaster_start_time()
    and split_part(pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  left join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid
    and l.priority = check_options.priority
  where r.rolname = session_user;
  -- Memberships are asked for where the role has no lane yet, or a supervisor has found one that
  -- counts (note_refused), and again whenever a session of it begins (open_session).
  if v_privileged or lane_id is null then
    perform jobs_internal.assert_admitted(owner);
  end if;
  -- not in the way of an ordinary enqueue
  if lane_id is null and owner is not null and not jobs_internal.is_runner(owner) then
    raise notice using message =
      format('jobs of %s do not run: it is no login member of jobs_runner', session_user),
      hint = format('grant jobs_runner to %I;', session_user);
  end if;
  if p_timeout is not null or p_max_attempts is not null or p_unique_key is not null
    or p_priority <> 'normal' or p_note <> '{}'
    or octet_length(p_queue) > 63
  then
    if priority is null then
      raise exception using errcode = 'PW020',
        message = format('there is no priority "%s"', left(p_priority, 100)),
        detail = 'Priorities are high, normal and low.',
          hint = 'Use one of them. A retry cannot help.';
    end if;
    if extract(epoch from p_timeout) <= 0 then
      raise exception using errcode = 'PW009',
        message = format('timeout must be longer than zero, not %s', p_timeout),
        detail = format('It is the longest time that one attempt may take; this is %s s.',
            extract(epoch from p_timeout)),
        hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_max_attempts < 1 then
      raise exception using errcode = 'PW010',
        message = format('max_attempts must be at least 1, not %s', p_max_attempts),
        detail = 'The first try counts.',
          hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_unique_key = '' or octet_length(p_unique_key) > 512 then
      raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
        detail = format('It has %s.', octet_length(p_unique_key)),
          hint = 'Shorten it, or use a digest. A retry cannot help.';
    end if;
    if octet_length(p_queue) > 63 then
      raise exception using errcode = 'PW015', message = 'a queue name has at most 63 bytes',
        detail = format('It has %s.', octet_length(p_queue)),
          hint = 'See jobs.queues. A retry cannot help.';
    end if;
    if jsonb_typeof(p_note) <> 'object' then
      raise exception using errcode = 'PW011', message = 'note must be a JSON object',
        detail = format('It is of type %s.', jsonb_typeof(p_note)),
        hint = 'Pass {"ticket": "OPS-1", ...}. A retry cannot help.';
    end if;
    if p_note <> '{}' then
      perform jobs_internal.assert_size(p_note, 'note', 65536);
    end if;
  end if;
  -- the server was restarted, and that is not noted yet: charge looks
  limited := coalesce(limited, true);
  if v_accepting and v_is_original then
    if timeout is null then
      return;
    end if;
  elsif queue_id is null then
    raise exception using errcode = 'PW007', message = format('there is no queue "%s"', p_queue),
      detail = 'Queues are made by an operator.',
        hint = 'See jobs.queues, or: select jobs.create_queue(...). A retry cannot help.';
  else
    if v_is_original is null then
      perform jobs_internal.assert_not_copy();
    end if;
    if not v_accepting then
      raise exception using errcode = 'PW008', message = format('queue "%s" does not accept jobs',
          p_queue),
        detail = 'An operator closed it for enqueue.',
          hint = 'Retry after: select jobs.alter_queue(name, accepting => true).';
    end if;
  end if;
  if not isfinite(timeout) or timeout > interval '1000 years' then
    timeout := null;  -- no limit; and a start and a timeout always have a sum
  else
    timeout := make_interval(secs => extract(epoch from timeout)::double precision);
  end if;
end
$$;

-- Refuse what is larger than a limit, in bytes of text. What a job is given goes through a jsonb of
-- 256 MB and a text of 1 GB at most, into its history, the outbox and the views: where one of them
-- breaks, a job could never end. p_what: what it is. Errors: PW018.
create or replace function jobs_internal.assert_size(p_value jsonb, p_what text, p_limit integer)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bytes bigint;
begin
  if pg_column_size(p_value) <= 16 * p_limit::bigint then  -- a byte of text is never so much
    begin
      v_bytes := octet_length(p_value::text);  -- a short number may be a very long text
    exception when program_limit_exceeded then
      null;
    end;
  end if;
  if v_bytes <= p_limit then
    return;
  end if;
  raise exception using errcode = 'PW018', message = format('%s is too long', p_what),
    detail = format('It has %s bytes as text; %s are allowed.',
        coalesce(v_bytes::text, 'many more'), p_limit),
    hint = 'Keep the data in a table, and pass its key. A retry cannot help.';
end
$$;
