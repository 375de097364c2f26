-- Storing a statement job, and casting many arguments at once.

-- Purpose: the canonical arguments of many jobs of one shape. Invoker on purpose, as canonical.
create or replace function jobs_internal.canonical_many(p_shape jobs_internal.shape, p_args jsonb[])
returns jsonb[]
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb[];
  v_one pg_catalog.jsonb;
begin
  if p_shape.cast_query is null then
    return case when p_shape.whole then p_args
      else pg_catalog.array_fill(null::pg_catalog.jsonb, array[pg_catalog.cardinality(p_args)]) end;
  end if;
  begin
    -- The parameter stands in it before any name: what follows may look like one.
    execute pg_catalog.format('select pg_catalog.array_agg((%s) order by u.n) from pg_catalog.unnest($1) with ordinality as u(a, n)',
      pg_catalog.overlay(p_shape.cast_query, '(u.a)', pg_catalog.strpos(p_shape.cast_query, '($1)'), 4))
    into v_args using p_args;
    return v_args;
  exception when others then
    null;
  end;
  -- One of them is wrong: find it, for its error.
  foreach v_one in array p_args loop
    v_args := v_args operator(pg_catalog.||) jobs_internal.canonical(p_shape, v_one);
  end loop;
  return v_args;
end
$$;
comment on function jobs_internal.canonical_many(jobs_internal.shape, jsonb[]) is 'Arguments of many jobs cast to the declared types with the caller''s rights; invoker on purpose';

-- Purpose: the post-condition that we know ourselves, of a statement that runs at top level; null: none.
create or replace function jobs_internal.built_in_condition(p_target jsonb)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select 'select jobs_internal.is_done()'
  where not p_target ? 'unsure'
    and p_target ->> 'kind' in ('create_index', 'drop_index', 'detach', 'reindex', 'create', 'drop', 'move', 'vacuum', 'analyze', 'cluster')
    and coalesce(p_target -> 'tables', 'null') <> '[]'  -- without a name PostgreSQL chooses the tables
    and not (p_target ->> 'kind' = 'cluster' and p_target ->> 'table' is null);
end;
comment on function jobs_internal.built_in_condition(jsonb) is 'The post-condition that we know ourselves; null: none';

-- Purpose: check and store a statement job. done_when and rollback may be options as well as parameters. Errors: PW014, PW017, PW018, PW021,
-- PW029 and those of store_job.
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
  v_kind record;
  v_job record;
  v_done_when text := nullif(pg_catalog.btrim(p_done_when), '');
  v_rollback text := nullif(pg_catalog.btrim(p_rollback), '');
  v_twice text;
begin
  if p_options <> '{}' then
    perform jobs_internal.checked_options(p_options, 'enqueue_sql', true);
    v_twice := case when p_done_when is not null and p_options ? 'done_when' then 'done_when'
      when p_rollback is not null and p_options ? 'rollback' then 'rollback' end;
    if v_twice is not null then
      raise exception using errcode = 'PW029', message = pg_catalog.format('%s is given twice', v_twice),
        detail = 'As a parameter, and as a key of options.', hint = 'Give it once. A retry cannot help.';
    end if;
    v_done_when := coalesce(v_done_when, nullif(pg_catalog.btrim(p_options ->> 'done_when'), ''));
    v_rollback := coalesce(v_rollback, nullif(pg_catalog.btrim(p_options ->> 'rollback'), ''));
  end if;
  if pg_catalog.octet_length(p_path) > 8000 then
    raise exception using errcode = 'PW018', message = 'the search_path is too long',
      detail = pg_catalog.format('It has %s bytes; 8000 are allowed, for the statement keeps it.', pg_catalog.octet_length(p_path)),
      hint = 'Name fewer schemas, or qualify the names. A retry cannot help.';
  end if;
  v_kind := jobs_internal.classify(coalesce(p_statement, ''));
  perform jobs_internal.assert_readable(p_statement, 'the statement');
  if v_done_when is not null then
    if (select l.words[1] from jobs_internal.lex(pg_catalog.left(v_done_when, 10000)) as l) not in ('SELECT', 'WITH', 'VALUES') then
      v_done_when := 'select (' || v_done_when || E'\n)::boolean';  -- it may end with a comment
    end if;
    perform jobs_internal.classify(v_done_when), jobs_internal.assert_readable(v_done_when, 'done_when');
  end if;
  if v_rollback is not null then
    perform jobs_internal.classify(v_rollback), jobs_internal.assert_readable(v_rollback, 'rollback');
  end if;
  v_job := jobs_internal.store_job(null, null, p_queue, p_run_at, p_timeout, p_max_attempts, p_unique_key, p_priority, p_settings, p_note,
    p_options, pg_catalog.octet_length(p_statement) + coalesce(pg_catalog.octet_length(p_done_when), 0)
      + coalesce(pg_catalog.octet_length(p_rollback), 0)::bigint);  -- where these are options, they count with those
  if v_job.created then
    insert into jobs_internal.statement (job_id, body, command, top_level, done_when, way_back, path, object, target)
    values (v_job.job_id, p_statement, v_kind.command, v_kind.top_level,
      coalesce(v_done_when, case when v_kind.top_level then jobs_internal.built_in_condition(v_kind.target) end), v_rollback, p_path,
      case when not v_kind.target ? 'unsure' then pg_catalog.left(v_kind.target ->> 'object', 200) end, v_kind.target);
  end if;
  return v_job.job_id;
end
$$;
comment on function jobs_internal.store_statement(text, text, timestamptz, interval, integer, text, text, jsonb, jsonb, text, text, jsonb, text) is 'Checks and stores a statement job';
