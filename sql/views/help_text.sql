-- The text of jobs.help: the manual on a screen of 80 columns. All of it comes from the catalog,
-- jobs.errors and jobs.options: the comments stay the one place where a function explains itself,
-- and \df+ is many times as wide.

-- A text as lines of so many characters at most, each with an indent that counts; no line of null.
create or replace function jobs_internal.wrapped(p_text text, p_indent text default '',
    p_width integer default 78)
returns setof text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_room integer := p_width - length(p_indent);
  v_line text := '';
  v_word text;
begin
  foreach v_word in array coalesce(regexp_split_to_array(btrim(p_text, E' \n'), '\s+'), '{}') loop
    if v_line <> '' and length(v_line) + 1 + length(v_word) > v_room then
      return next p_indent || v_line;
      v_line := '';
    end if;
    v_line := v_line || case when v_line = '' then '' else ' ' end || v_word;
    while length(v_line) > v_room loop  -- one word that is longer than a line
      return next p_indent || left(v_line, v_room);
      v_line := substr(v_line, v_room + 1);
    end loop;
  end loop;
  if v_line <> '' then
    return next p_indent || v_line;
  end if;
end
$$;

-- The codes of errors that a comment names, ranges (PW001 to PW020) spread out; "as jobs.x" means
-- those of that function too.
create or replace function jobs_internal.errors_named(p_comment text)
returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with said as (
    select p_comment as comment
    union all
    select obj_description(p.oid, 'pg_proc')
    from pg_proc as p
    where p.pronamespace = 'jobs'::regnamespace
      and p.proname = (regexp_match(p_comment, 'Errors: as jobs[.]([a-z_]+)'))[1]
  ), spans as (
    select m[1] as first, coalesce(m[2], m[1]) as last
    from said, regexp_matches(said.comment, '(PW[0-9A-Z]{3})(?:\s+to\s+(PW[0-9A-Z]{3}))?', 'g') as m
  )
  select array(
    select distinct e.sqlstate from jobs.errors as e
    join spans as s on e.sqlstate collate "C" >= s.first and e.sqlstate collate "C" <= s.last
    order by e.sqlstate)
$$;

-- The manual of one function or procedure of schema jobs.
create or replace function jobs_internal.help_of_function(p_func oid)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proc pg_proc;
  v_comment text := obj_description(p_func, 'pg_proc');
  v_args integer;
  v_line text;
  v_errors text[] := jobs_internal.errors_named(v_comment);
  v_row record;
begin
  select p.* into strict v_proc from pg_proc as p where p.oid = p_func;
  v_args := v_proc.pronargs;
  v_line := case when v_proc.prokind = 'p' then 'call '
    else '' end || format('jobs.%I(', v_proc.proname);
  return query select w from jobs_internal.wrapped(v_line || case when v_args = 0 then ')'
      else '' end) as w;
  for v_row in
    select format('%s %s%s%s', v_proc.proargnames[a.n],
        replace(format_type(a.type_id, null), 'timestamp with time zone', 'timestamptz'),
        -- A default as people write it, without the cast that the server adds.
        coalesce(' default ' || regexp_replace(pg_get_function_arg_default(p_func, a.n::integer),
              '::[a-z ]+(\[\])?$', ''), ''),
        case when a.n < v_args then ',' else '' end) as said
    from unnest(v_proc.proargtypes::oid[]) with ordinality as a(type_id, n)
    order by a.n
  loop
    return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
  end loop;
  if v_args > 0 then
    return next ')';
  end if;
  if v_proc.prokind = 'f' then
    return query select w from jobs_internal.wrapped('returns ' || pg_get_function_result(p_func))
      as w;
  end if;
  return next '';
  return query select w from jobs_internal.wrapped(v_comment) as w;
  if exists (select from jobs.options as o where v_proc.proname = any (o.functions)) then
    return next '';
    return next 'Keys of options (jobs.options):';
    for v_row in
      select format('%s (%s): %s%s', o.key, o.type, o.meaning,
          coalesce('; default: ' || o.default_value, '')) as said
      from jobs.options as o where v_proc.proname = any (o.functions) order by o.key
    loop
      return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
    end loop;
  end if;
  if v_errors <> '{}' then
    return next '';
    return next 'Errors (jobs.errors):';
    for v_row in
      select format('%s: %s%s', e.sqlstate, e.meaning, case when e.retry
          then ' (a retry may succeed)' else '' end) as said
      from jobs.errors as e where e.sqlstate = any (v_errors) order by e.sqlstate
    loop
      return query select w from jobs_internal.wrapped(v_row.said, '  ') as w;
    end loop;
  end if;
end
$$;

-- The manual of one view of schema jobs.
create or replace function jobs_internal.help_of_view(p_view oid)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
begin
  return query select w from jobs_internal.wrapped('jobs.' || (select c.relname from pg_class as c
        where c.oid = p_view)) as w;
  return next '';
  return query select w from jobs_internal.wrapped(obj_description(p_view, 'pg_class')) as w;
  return next '';
  return next 'Columns:';
  for v_row in
    select format('%s (%s): %s', a.attname,
        replace(format_type(a.atttypid, a.atttypmod), 'timestamp(0) with time zone',
            'timestamptz(0)'),
        col_description(p_view, a.attnum)) as said
    from pg_attribute as a
    where a.attrelid = p_view and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  loop
    return query select w from jobs_internal.wrapped(
      replace(v_row.said, 'timestamp with time zone', 'timestamptz'), '  ') as w;
  end loop;
end
$$;
