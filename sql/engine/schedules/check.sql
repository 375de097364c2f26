-- Checks of what a schedule is given. What is to be run is looked up and cast when the schedule is
-- made, with the rights and the path of the caller; a round of a supervisor inserts data only, and
-- runs no code of an owner's.

-- Check how a schedule is to behave. Errors: PW102.
create or replace function jobs_internal.assert_schedule(p_schedule jobs_internal.schedule)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce((p_schedule).name, '') !~ '[^[:space:]]' or (p_schedule).name ~ '[[:cntrl:]]'
    or length((p_schedule).name) > 200 then
    perform jobs_internal.refuse('PW102', 'the name of a schedule must be one line of '
      '1 to 200 characters', format('It is: %s.',
        coalesce(quote_literal(left((p_schedule).name, 210)), 'null')));
  elsif (p_schedule).overlap is null or (p_schedule).overlap not in ('skip', 'queue_one', 'queue',
      'parallel', 'replace') then
    perform jobs_internal.refuse('PW102', format('overlap cannot be %s',
        coalesce(quote_literal(left((p_schedule).overlap, 100)), 'null')),
      'It is skip, queue_one, queue, parallel or replace.');
  elsif (p_schedule).missed is null or (p_schedule).missed not in ('last', 'all', 'none') then
    perform jobs_internal.refuse('PW102', format('missed cannot be %s',
        coalesce(quote_literal(left((p_schedule).missed, 100)), 'null')),
      'It is last, all or none.');
  elsif (p_schedule).missed_within < '0' or not isfinite((p_schedule).missed_within)
    or (p_schedule).missed_within > interval '10 years' then
    perform jobs_internal.refuse('PW102', 'missed_within must be a time from zero to '
      '10 years',
      format('It is %s.', (p_schedule).missed_within));
  elsif (p_schedule).jitter is null or (p_schedule).jitter < '0'
    or not isfinite((p_schedule).jitter) or (p_schedule).jitter > interval '1 day' then
    perform jobs_internal.refuse('PW102', 'jitter must be a time from zero to one day',
      format('It is %s.', coalesce((p_schedule).jitter::text, 'null')));
  elsif not isfinite((p_schedule).starts_at) or not isfinite((p_schedule).ends_at)
    or (p_schedule).ends_at <= (p_schedule).starts_at then
    perform jobs_internal.refuse('PW102', 'starts_at and ends_at must be moments, one '
      'after the other', format('They are %s and %s.',
        coalesce((p_schedule).starts_at::text, 'null'),
        coalesce((p_schedule).ends_at::text, 'null')));
  elsif (p_schedule).pause_after not between 1 and 100 then
    perform jobs_internal.refuse('PW102', 'pause_after must be a number from 1 to 100',
      format('It is %s.', (p_schedule).pause_after));
  end if;
end
$$;

-- Tell who gives "today" as an argument that it is read once, when the schedule is made.
create or replace function jobs_internal.tell_frozen(p_given jsonb, p_args jsonb)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found text := (select string_agg(format('%s is %s', g.key, p_args ->> g.key), ', ')
    from jsonb_each_text(case when jsonb_typeof(p_given) = 'object' then p_given else '{}' end) as g
    where lower(btrim(g.value)) in ('now', 'today', 'tomorrow', 'yesterday')
      and p_args ->> g.key <> g.value);
begin
  if v_found is not null then
    raise notice using
      message = 'arguments are read now, and are the same in all runs: ' || v_found,
      hint = 'In the job, jobs.current_run() says which occurrence it is for.';
  end if;
end
$$;

-- Refuse a schedule that has no occurrence any more. Errors: PW102.
create or replace function jobs_internal.assert_comes(p_schedule jobs_internal.schedule)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if ((p_schedule).timetable).after_end is null
    and jobs_internal.next_due(p_schedule, clock_timestamp()) is null then
    perform jobs_internal.refuse('PW102', 'the schedule never comes',
      'It has no occurrence from now on, within 41 years and before its end.');
  end if;
end
$$;

-- Try the settings among the options of a schedule. Invoker on purpose: whether a role may set
-- something is its own right. Errors: PW011, PW012, PW013.
create or replace function jobs_internal.try_schedule_settings(p_options jsonb)
returns void
language plpgsql volatile
as $$
begin
  if pg_catalog.jsonb_typeof(p_options) operator(pg_catalog.=) 'object'
    and pg_catalog.jsonb_exists(p_options, 'settings') then
    perform jobs_internal.try_settings(p_options operator(pg_catalog.->) 'settings');
  end if;
end
$$;

-- Read the options of a schedule: those that are parameters of jobs.enqueue are checked as there;
-- pause_after is the schedule's own. p_schedule: with name, overlap and the like, args and
-- statement. Returns: the same with owner, queue_id, priority, timeout, max_attempts, unique_key,
-- settings, note, options, pause_after, bytes. Errors: those of the enqueue functions, PW102.
create or replace function jobs_internal.checked_schedule(
  p_schedule jobs_internal.schedule,
  p_options jsonb,
  p_function text,
  p_call boolean
)
returns jobs_internal.schedule
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v jobs_internal.schedule := p_schedule;
  v_checked record;
  v_key text := 'timeout';
begin
  v.options := jobs_internal.checked_options(p_options, p_function, p_call);
  v.options := nullif(v.options - array['queue', 'priority', 'unique_key', 'timeout',
      'max_attempts', 'settings', 'note', 'pause_after'], '{}');
  begin
    v.timeout := (p_options ->> 'timeout')::interval;
    v_key := 'max_attempts';
    v.max_attempts := (p_options ->> 'max_attempts')::integer;
    v_key := 'pause_after';
    v.pause_after := (p_options ->> 'pause_after')::integer;
  exception
    when data_exception then
      perform jobs_internal.refuse('PW102', format('the option "%s" cannot be read', v_key),
        format('It is %s; expected is %s.', left(p_options ->> v_key, 100),
          case v_key when 'timeout' then 'an interval, as 5 minutes' else 'a whole number' end));
  end;
  v.unique_key := p_options ->> 'unique_key';
  v.settings := nullif(p_options -> 'settings', '{}');
  v.note := nullif(p_options -> 'note', '{}');
  v_checked := jobs_internal.check_options(p_options ->> 'queue', v.timeout, v.max_attempts,
      v.unique_key, p_options ->> 'priority', v.note);
  v.owner := v_checked.owner;
  v.queue_id := v_checked.queue_id;
  v.priority := v_checked.priority;
  perform jobs_internal.assert_size(g.value, g.name, g.bytes)
  from (values (v.settings, 'settings', 65536), (v.args, 'args', 1048576)) as g(value, name, bytes)
  where g.value is not null;
  v.bytes := jobs_internal.text_bytes(v.args, v.settings, v.note, v.options)
    + coalesce(octet_length(v.statement ->> 'body'), 0);
  perform jobs_internal.assert_schedule(v);
  return v;
end
$$;

-- A statement that is to be run again and again, checked as jobs.enqueue_sql does. Returns: columns
-- of the table statement, and operation, as operation_of.
-- Errors: PW014, PW017, PW018, PW021, PW029.
create or replace function jobs_internal.scheduled_statement(p_statement text, p_options jsonb,
    p_path text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_options jsonb := case when jsonb_typeof(p_options) = 'object' then p_options else '{}' end;
  v record;
begin
  perform jobs_internal.assert_path(p_path);
  v := jobs_internal.checked_statement(p_statement, v_options ->> 'done_when',
    v_options ->> 'rollback');
  if v_options <> '{}' then
    perform jobs_internal.assert_operation_options(v_options, v.operation ->> 'kind');
  end if;
  return to_jsonb(v) || jsonb_build_object('body', p_statement, 'path', p_path);
end
$$;
