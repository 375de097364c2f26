-- What another scheduler has, as a call of jobs.schedule_sql.
--
-- Each source (pg_cron.sql, pg_timetable.sql, pgagent.sql) gives what it has as jsonb objects:
--   name, owner (null: the caller), schedule, timezone, overlap, missed, starts_at, ends_at,
--   timeout, steps (an array of {statement, goes_on: an error of it is ignored}), separate (each
--   step is a transaction of its own), differences (an array of texts), refused (why it cannot be
--   had; null: it can).

-- Whether a text is more than one statement, or has none.
create or replace function jobs_internal.is_several(p_statement text)
returns boolean
language sql immutable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select l.statements from jobs_internal.lex(p_statement) as l), 0) > 1;
end;

-- A text as a literal, between dollars where that can be read. The text may have such literals.
create or replace function jobs_internal.dollar_quoted(p_text text, p_tag text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select format('$%1$s$%2$s$%1$s$', t.tag, p_text)
    from generate_series(1, 20) as n
    cross join lateral (
      select case when n = 1 then p_tag else p_tag || '_' || n end as tag) as t
    where strpos(p_text, '$' || t.tag || '$') = 0 and right(p_text, 1) <> '$'
    order by n limit 1), quote_literal(p_text));
end;

-- Why the statements of the steps cannot run as one transaction, which they become where a step has
-- several, or where the steps are not separate; null: they can, as far as their first words say.
create or replace function jobs_internal.not_in_one_transaction(p_steps jsonb, p_separate boolean)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('"%s" cannot run together with other statements in one transaction: make a '
    'schedule of each of them, or of a function that calls jobs.enqueue_steps', upper(f.words))
  from (
    -- what stands between quotes or in a comment is no statement of its own
    select regexp_replace((regexp_match(regexp_replace(e.value ->> 'statement',
      '\$(\w*)\$.*?\$\1\$|''[^'']*''|--[^\n]*', '_', 'g'), replace('(?:^|;)\s*(begin'
      '|start transaction|commit|rollback|abort|savepoint|vacuum|checkpoint|alter system'
      '|(?:create|drop) (?:database|tablespace)|(?:create (?:unique )?|drop )index concurrently'
      '|reindex (?:[(][^)]*[)]\s*)?(?:database|system|schema|(?:table|index) concurrently))\M',
      ' ', '\s+'), 'i'))[1], '\s+', ' ', 'g') as words
    from jsonb_array_elements(p_steps) as e
    where jobs_internal.is_several(e.value ->> 'statement')
      or jsonb_array_length(p_steps) > 1 and not p_separate
  ) as f
  where f.words is not null
  limit 1;
end;

-- The one statement that does the steps of a job: itself, where it is one; several as one
-- transaction; or each as a job that waits for the one before. p_steps: as above.
create or replace function jobs_internal.statement_of_steps(p_steps jsonb, p_separate boolean)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step record;
  v_body text := '';
  v_previous_goes_on boolean;
begin
  if jsonb_array_length(p_steps) = 1 and not jobs_internal.is_several(p_steps -> 0 ->> 'statement')
    and not coalesce((p_steps -> 0 -> 'goes_on')::boolean, false) then
    return p_steps -> 0 ->> 'statement';
  end if;
  for v_step in
    select e.value ->> 'statement' as text, coalesce((e.value -> 'goes_on')::boolean, false)
      as goes_on, e.n
    from jsonb_array_elements(p_steps) with ordinality as e(value, n) order by e.n
  loop
    if p_separate and jsonb_array_length(p_steps) > 1 then
      v_body := v_body || format(E'  v := jobs.enqueue_sql(%s, max_attempts => 1%s);\n',
        jobs_internal.dollar_quoted(case when jobs_internal.is_several(v_step.text)
          then jobs_internal.statement_of_steps(jsonb_build_array(
            jsonb_build_object('statement', v_step.text)), false)
          else v_step.text end, 'step'),
        case when v_step.n > 1 then E',\n    options => jsonb_build_object(''after'', array[v]'
          || case when v_previous_goes_on then ', ''after_state'', ''finished''' else '' end || ')'
        else '' end);
      v_previous_goes_on := v_step.goes_on;
    elsif v_step.goes_on then
      v_body := v_body || format(E'  begin\n    execute %s;\n  exception when others then\n'
        || E'    raise warning ''%%: ignored, as it was before'', sqlerrm;\n  end;\n',
        jobs_internal.dollar_quoted(v_step.text, 'sql'));
    else
      v_body := v_body || format(E'  execute %s;\n',
        jobs_internal.dollar_quoted(v_step.text, 'sql'));
    end if;
  end loop;
  return 'do ' || jobs_internal.dollar_quoted(format(E'\n%sbegin\n%send\n',
    case when p_separate and jsonb_array_length(p_steps) > 1 then E'declare\n  v bigint;\n' else ''
      end, v_body), 'job');
end
$$;

-- The call that makes a schedule of it, for people to read and run.
create or replace function jobs_internal.import_call(p_item jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_item ->> 'statement' is not null then format(
    E'select jobs.schedule_sql(\n  name => %L,\n  schedule => %L,\n  statement => %s,\n'
      || E'  timezone => %L, overlap => %L, missed => %L%s%s,\n  options => %L);',
    p_item ->> 'name', p_item ->> 'schedule',
    jobs_internal.dollar_quoted(p_item ->> 'statement', 'statement'),
    p_item ->> 'timezone', p_item ->> 'overlap', p_item ->> 'missed',
    E',\n  starts_at => ' || quote_literal(p_item ->> 'starts_at'),
    E',\n  ends_at => ' || quote_literal(p_item ->> 'ends_at'),
    p_item -> 'options') end;
end;

-- Make a schedule of it, paused, or only see whether that could be done. The caller's rights count:
-- the schedule is its own. Returns what came of it. Errors: none; what is refused is told.
-- No pinned path: the schedule keeps the caller's.
create or replace function jobs_internal.try_import(p_item jsonb, p_apply boolean)
returns text
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  begin
    perform jobs.schedule_sql(
      name => p_item operator(pg_catalog.->>) 'name',
      schedule => p_item operator(pg_catalog.->>) 'schedule',
      statement => p_item operator(pg_catalog.->>) 'statement',
      timezone => p_item operator(pg_catalog.->>) 'timezone',
      overlap => p_item operator(pg_catalog.->>) 'overlap',
      missed => p_item operator(pg_catalog.->>) 'missed',
      starts_at => (p_item operator(pg_catalog.->>) 'starts_at')::pg_catalog.timestamptz,
      ends_at => (p_item operator(pg_catalog.->>) 'ends_at')::pg_catalog.timestamptz,
      options => p_item operator(pg_catalog.->) 'options');
    perform jobs.pause_schedule(p_item operator(pg_catalog.->>) 'name');
    if not p_apply then
      raise exception using errcode = 'PW999', message = 'undo';
    end if;
    return 'imported, paused';
  exception
    when sqlstate 'PW999' then
      return 'ready';
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      return pg_catalog.format('refused: %s (%s)', v_message, v_state);
  end;
end
$$;
