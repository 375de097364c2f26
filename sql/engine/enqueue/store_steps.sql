-- Storing a job of several statements: its steps are checked one by one, as those of
-- jobs.enqueue_sql are, and kept in jobs_internal.step; the current one is the statement of the job
-- (operations/steps.sql).

-- Refuse what is no list of steps. Errors: PW084.
create or replace function jobs_internal.assert_steps(p_steps jsonb)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step record;
  v_key text;
  v_wrong text;
  v_known constant text[] := array['statement', 'done_when', 'rollback', 'lock_timeout'];
begin
  if p_steps is null or jsonb_typeof(p_steps) <> 'array' then
    v_wrong := format('steps must be a JSON array, not %s',
        coalesce(jsonb_typeof(p_steps), 'null'));
  elsif jsonb_array_length(p_steps) not between 1 and 50 then
    v_wrong := format('a job has 1 to 50 steps, not %s', jsonb_array_length(p_steps));
  else
    for v_step in select t.v, t.n from jsonb_array_elements(p_steps) with ordinality as t(v, n) loop
      if jsonb_typeof(v_step.v) = 'object' then
        select k into v_key from jsonb_object_keys(v_step.v) as k
        where k <> all (v_known) order by k limit 1;
        v_wrong := case
          when v_key is not null
            then format('step %s has the key "%s", which there is not', v_step.n, left(v_key, 100))
          when v_step.v ->> 'statement' is null
            then format('step %s has no statement', v_step.n)
          else (
            select format('step %s: %s must be a JSON string, not %s', v_step.n, e.key,
                jsonb_typeof(e.value))
            from jsonb_each(v_step.v) as e
            where jsonb_typeof(e.value) <> 'string'
              and not (jsonb_typeof(e.value) = 'null' and e.key <> 'statement')
            order by e.key limit 1) end;
      elsif jsonb_typeof(v_step.v) <> 'string' then
        v_wrong := format('step %s must be a statement or an object, not %s', v_step.n,
            jsonb_typeof(v_step.v));
      end if;
      exit when v_wrong is not null;
    end loop;
  end if;
  if v_wrong is not null then
    raise exception using errcode = 'PW084', message = v_wrong,
      detail = 'A step is a text, or {"statement": ..., "done_when": ..., "rollback": ..., '
        '"lock_timeout": ...}.',
      hint = 'Pass ["statement", {"statement": "..."}, ...]. A retry cannot help.';
  end if;
end
$$;

-- Check all steps of a job, and the options that hold for all of them: each option must be of use
-- to one of the steps. Returns: the steps, without the number of a job.
-- Errors: PW084, PW029, and those of checked_statement, which name the step.
create or replace function jobs_internal.checked_steps(p_steps jsonb, p_options jsonb)
returns jobs_internal.step[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_given jsonb;
  v_n integer := 0;
  v_read record;
  v_step jobs_internal.step;
  v_steps jobs_internal.step[] := '{}';
  v_kinds text[] := '{}';
  v_detail text;
  v_hint text;
begin
  perform jobs_internal.assert_steps(p_steps);
  for v_given in
    select case jsonb_typeof(t.v) when 'string' then jsonb_build_object('statement', t.v)
      else t.v end
    from jsonb_array_elements(p_steps) with ordinality as t(v, n) order by t.n
  loop
    v_n := v_n + 1;
    begin
      v_read := jobs_internal.checked_statement(v_given ->> 'statement', v_given ->> 'done_when',
          v_given ->> 'rollback');
      if v_given ->> 'lock_timeout' is not null then
        perform jobs_internal.assert_operation_options(
          jsonb_build_object('lock_timeout', v_given -> 'lock_timeout'),
          v_read.operation ->> 'kind');
      end if;
    exception
      when others then
        get stacked diagnostics v_detail := pg_exception_detail, v_hint := pg_exception_hint;
        raise exception using errcode = sqlstate, message = format('step %s: %s', v_n, sqlerrm),
          detail = v_detail, hint = v_hint;
    end;
    v_step := null;
    v_step.n := v_n;
    v_step.body := v_given ->> 'statement';
    v_step.command := v_read.command;
    v_step.top_level := v_read.top_level;
    v_step.done_when := v_read.done_when;
    v_step.rollback_sql := v_read.rollback_sql;
    v_step.lock_timeout := v_given ->> 'lock_timeout';
    v_step.object := v_read.object;
    v_step.target := v_read.target;
    v_steps := v_steps || v_step;
    v_kinds := v_kinds || (v_read.operation ->> 'kind');
  end loop;
  perform jobs_internal.assert_options_of_steps(p_options, v_kinds);
  return v_steps;
end
$$;

-- Refuse an option that none of the kinds has a use for; a null among them is no long operation.
-- Errors: PW029.
create or replace function jobs_internal.assert_options_of_steps(p_options jsonb, p_kinds text[])
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_option record;
  v_kind text;
  v_fits boolean;
  v_message text;
  v_hint text;
begin
  for v_option in select e.key, e.value from jsonb_each(p_options) as e order by e.key loop
    v_fits := false;
    foreach v_kind in array p_kinds loop
      begin
        perform jobs_internal.assert_operation_options(
          jsonb_build_object(v_option.key, v_option.value), v_kind);
        v_fits := true;
      exception
        when sqlstate 'PW029' then
          get stacked diagnostics v_message := message_text, v_hint := pg_exception_hint;
      end;
      exit when v_fits;
    end loop;
    if not v_fits then
      raise exception using errcode = 'PW029', message = v_message,
        detail = format('None of the steps has a use for the option "%s". Their kinds: %s.',
          v_option.key, array_to_string(p_kinds, ', ', 'no long operation')),
        hint = v_hint;
    end if;
  end loop;
end
$$;

-- Check and store a job of several statements. Writes: step, statement, operation.
-- Errors: those of checked_steps, checked_options and store_job.
create or replace function jobs_internal.store_steps(
  p_steps jsonb,
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_options jsonb,
  p_path text
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_steps jobs_internal.step[];
  v_job record;
begin
  if p_options <> '{}' then
    perform jobs_internal.checked_options(p_options, 'enqueue_steps', true);
  end if;
  perform jobs_internal.assert_path(p_path);
  v_steps := jobs_internal.checked_steps(p_steps, coalesce(p_options, '{}'));
  v_job := jobs_internal.store_job(null, null, p_queue, p_run_at, p_timeout, p_max_attempts,
      p_unique_key, p_priority, p_settings, p_note, p_options,
      octet_length(p_steps::text)::bigint);
  if v_job.created then
    insert into jobs_internal.step (job_id, n, body, command, top_level, done_when, rollback_sql,
      lock_timeout, object, target)
    select v_job.job_id, s.n, s.body, s.command, s.top_level, s.done_when, s.rollback_sql,
      s.lock_timeout, s.object, s.target
    from unnest(v_steps) as s;
    insert into jobs_internal.statement (job_id, body, command, top_level, path)
    values (v_job.job_id, v_steps[1].body, v_steps[1].command, v_steps[1].top_level, p_path);
    perform jobs_internal.load_step(v_job.job_id, 1);
  end if;
  return v_job.job_id;
end
$$;
