-- Storing a statement job.

-- Check one statement, with its post-condition and its way back, as far as that can be done before
-- it runs. Returns: what a row of statement holds of it, and operation, as operation_of.
-- Errors: PW014, PW017, PW018, PW021.
create or replace function jobs_internal.checked_statement(
  p_statement text,
  p_done_when text,
  p_rollback text,
  out command text,
  out top_level boolean,
  out done_when text,
  out rollback_sql text,
  out object text,
  out target jsonb,
  out operation jsonb
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  select c.* into command, top_level, target, operation
  from jobs_internal.classify(coalesce(p_statement, '')) as c;
  perform jobs_internal.assert_readable(p_statement, 'the statement');
  done_when := nullif(btrim(p_done_when), '');
  if done_when is not null then
    if (select l.words[1] from jobs_internal.lex(left(done_when, 10000)) as l) not in ('SELECT',
        'WITH', 'VALUES') then
      done_when := 'select (' || done_when || E'\n)::boolean';  -- it may end with a comment
    end if;
    perform jobs_internal.classify(done_when),
      jobs_internal.assert_readable(done_when, 'done_when');
  elsif top_level then
    done_when := jobs_internal.built_in_condition(target);
  end if;
  rollback_sql := nullif(btrim(p_rollback), '');
  if rollback_sql is not null then
    perform jobs_internal.classify(rollback_sql),
      jobs_internal.assert_readable(rollback_sql, 'rollback');
  end if;
  object := case when not target ? 'unsure' then left(target ->> 'object', 200) end;
end
$$;

-- Refuse a path that is too long to be kept with a statement. Errors: PW018.
create or replace function jobs_internal.assert_path(p_path text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(p_path) > 8000 then
    raise exception using errcode = 'PW018', message = 'the search_path is too long',
      detail = format('It has %s bytes; 8000 are allowed, for the statement keeps it.',
          octet_length(p_path)),
      hint = 'Name fewer schemas, or qualify the names. A retry cannot help.';
  end if;
end
$$;

-- Check and store a statement job. done_when and rollback may be options as well as parameters.
-- Writes: statement, operation. Errors: PW014, PW017, PW018, PW021, PW029 and those of store_job.
create or replace function jobs_internal.store_statement(
  p_statement text,
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_done_when text,
  p_rollback text,
  p_options jsonb,
  p_path text default null
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_checked record;
  v_job record;
  v_done_when text := nullif(btrim(p_done_when), '');
  v_rollback text := nullif(btrim(p_rollback), '');
  v_twice text;
begin
  if p_options <> '{}' then
    perform jobs_internal.checked_options(p_options, 'enqueue_sql', true);
    v_twice := case when p_done_when is not null and p_options ? 'done_when' then 'done_when'
      when p_rollback is not null and p_options ? 'rollback' then 'rollback' end;
    if v_twice is not null then
      raise exception using errcode = 'PW029', message = format('%s is given twice', v_twice),
        detail = 'As a parameter, and as a key of options.',
          hint = 'Give it once. A retry cannot help.';
    end if;
    v_done_when := coalesce(v_done_when, nullif(btrim(p_options ->> 'done_when'), ''));
    v_rollback := coalesce(v_rollback, nullif(btrim(p_options ->> 'rollback'), ''));
  end if;
  perform jobs_internal.assert_path(p_path);
  v_checked := jobs_internal.checked_statement(p_statement, v_done_when, v_rollback);
  if p_options <> '{}' then
    perform jobs_internal.assert_operation_options(p_options, v_checked.operation ->> 'kind');
  end if;
  v_job := jobs_internal.store_job(null, null, p_queue, p_run_at, p_timeout, p_max_attempts,
      p_unique_key, p_priority, p_settings, p_note,
    p_options, octet_length(p_statement) + coalesce(octet_length(p_done_when), 0)
      -- where these are options, they count with those
      + coalesce(octet_length(p_rollback), 0)::bigint);
  if v_job.created then
    insert into jobs_internal.statement (job_id, body, command, top_level, done_when, rollback_sql,
        path, object, target)
    values (v_job.job_id, p_statement, v_checked.command, v_checked.top_level, v_checked.done_when,
      v_checked.rollback_sql, p_path, v_checked.object, v_checked.target);
    if v_checked.operation is not null then
      perform jobs_internal.store_operation(v_job.job_id, jobs_internal.caller(),
          v_checked.operation, v_checked.target ->> 'object', v_checked.rollback_sql);
    end if;
  end if;
  return v_job.job_id;
end
$$;
