-- The options of long operations: which kinds take which, and what they are without them.

-- Refuse options that a statement of this kind has no use for, or whose value is none; p_kind null:
-- it is no long operation. The type of each was checked before (checked_options). Errors: PW029.
create or replace function jobs_internal.assert_operation_options(p_options jsonb, p_kind text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_kind record;
  v_longest interval := jobs_internal.longest_lock_timeout();
  v_key text;
  v_span interval;
  v_wrong text;
  v_hint text := 'See jobs.options. A retry cannot help.';
begin
  if p_options ? 'measure' then
    perform jobs_internal.assert_measurable(p_options -> 'measure');
  end if;
  select k.* into v_kind from jobs_internal.operation_kinds() as k where k.kind = p_kind;
  foreach v_key in array array['lock_timeout', 'wait_timeout'] loop
    continue when not p_options ? v_key;
    begin
      v_span := (p_options ->> v_key)::interval;
    exception
      when data_exception then
        v_span := null;
    end;
    if v_span is null or not isfinite(v_span)
      or extract(epoch from v_span) not between 0.001 and 315360000 then
      v_wrong := format('the option "%s" must be a time from 1 ms to 10 years, as "1.5 s"', v_key);
    elsif v_key = 'lock_timeout' and v_span > v_longest then
      v_wrong := format('the option "lock_timeout" must be %s ms at most: 1.8 times '
        'deadlock_timeout', (extract(epoch from v_longest) * 1000)::bigint);
      v_hint := 'Sessions behind it wait for so long. For more patience give it more '
        'lock_attempts. A retry cannot help.';
    end if;
  end loop;
  v_wrong := coalesce(v_wrong, case
    when p_options ?| array['lock_timeout', 'lock_attempts'] and v_kind.polite is not true
      then format('%s has no lock_timeout and no lock_attempts', coalesce(upper(p_kind),
          'this statement'))
    when (p_options ->> 'lock_attempts')::numeric not between 1 and 100000
      or (p_options ->> 'lock_attempts')::numeric % 1 <> 0
      then 'the option "lock_attempts" must be a whole number from 1 to 100000'
    when p_options ?| array['wait_timeout', 'wait_for_snapshots', 'on_deadlock_risk']
      and v_kind.waits is not true
      then format('%s does not wait for transactions of others as concurrent builds do: it has no '
        'wait_timeout, wait_for_snapshots or on_deadlock_risk', coalesce(upper(p_kind),
          'this statement'))
    when p_options ->> 'on_deadlock_risk' not in ('warn', 'cancel_waiter', 'step_aside')
      then 'the option "on_deadlock_risk" must be warn, cancel_waiter or step_aside'
    when p_options ? 'yield' and v_kind.runs_apart is not true
      then format('%s cannot give way: it runs in one transaction of its job',
          coalesce(upper(p_kind), 'this statement'))
    when p_options ? 'measure' and p_kind is null
      then 'the option "measure" is for DDL and maintenance'
    end);
  if v_wrong is not null then
    raise exception using errcode = 'PW029', message = v_wrong,
      detail = format('Kind of the statement: %s.', coalesce(p_kind, 'no long operation')),
      hint = v_hint;
  end if;
end
$$;

-- deadlock_timeout of this session.
create or replace function jobs_internal.deadlock_timeout()
returns interval
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('deadlock_timeout')::interval;  -- at each look: pg_settings reads all
end;

-- The longest time that a statement of ours may wait for locks: a deadlock is looked for after
-- deadlock_timeout, and who waits less than twice as long kills no build.
create or replace function jobs_internal.longest_lock_timeout()
returns interval
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select 1.8 * jobs_internal.deadlock_timeout();
end;

-- How a job of the calling login behaves: its kind, and its options with what holds without them.
-- Null: it is no long operation.
create or replace function jobs_internal.manners(
  p_job bigint,
  out kind text,
  out lock_ms integer,
  out lock_attempts integer,
  out wait_ms bigint,
  out wait_for_snapshots boolean,
  out on_deadlock_risk text,
  out yields boolean
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select o.kind,
    case when k.polite then (extract(epoch from least(
        coalesce(coalesce(s.lock_timeout, j.options ->> 'lock_timeout')::interval,
          interval '1.8 s'),
        jobs_internal.longest_lock_timeout())) * 1000)::integer end,
    case when k.polite then coalesce((j.options ->> 'lock_attempts')::integer, 100) end,
    case when k.waits then (extract(epoch from (j.options ->> 'wait_timeout')::interval)
      * 1000)::bigint end,
    k.waits and coalesce((j.options ->> 'wait_for_snapshots')::boolean, false),
    case when k.waits then coalesce(j.options ->> 'on_deadlock_risk', 'warn') end,
    k.runs_apart and coalesce((j.options ->> 'yield')::boolean, k.yields)
  from jobs_internal.operation as o
  join jobs_internal.operation_kinds() as k on k.kind = o.kind
  join jobs_internal.job as j on j.id = o.job_id
  left join jobs_internal.step as s on s.job_id = o.job_id and s.state = 'current'
  where o.job_id = p_job and j.owner = jobs_internal.caller();
end;
