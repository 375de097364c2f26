-- The manual, on 80 columns.

create or replace function jobs.help(name text default null)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := regexp_replace(lower(btrim(name)), '^jobs[.]|\(.*$', '', 'g');
  v_func oid;
  v_view oid;
  v_kind text;
  v_row record;
  v_found boolean := false;
begin
  for v_func in
    select p.oid from pg_proc as p where p.pronamespace = 'jobs'::regnamespace
      and p.proname = v_name order by p.oid
  loop
    if v_found then
      return next '';
    end if;
    v_found := true;
    return query select h from jobs_internal.help_of_function(v_func) as h;
  end loop;
  select c.oid into v_view from pg_class as c
  where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v' and c.relname = v_name;
  if found then
    if v_found then
      return next '';
    end if;
    v_found := true;
    return query select h from jobs_internal.help_of_view(v_view) as h;
  end if;
  if v_found then
    return;
  end if;
  if v_name <> '' then
    raise exception using errcode = 'PW038',
      message = format('schema jobs has no "%s"', left(name, 100)),
      detail = 'It has no function, procedure or view of that name.',
      hint = 'select jobs.help() lists all of them. A retry cannot help.';
  end if;
  for v_row in
    -- The first sentence of the comment, as far as there is room.
    select o.kind, rpad('  ' || o.name, greatest(22, length(o.name) + 4))
      || regexp_replace(o.comment, '([.:;](\s|$)|\n).*$', '') as said
    from (
      select 1 as place, 'Functions' as kind, p.proname::text as name,
        obj_description(p.oid, 'pg_proc') as comment
      from pg_proc as p where p.pronamespace = 'jobs'::regnamespace
      union all
      select 2, 'Views', c.relname::text, obj_description(c.oid, 'pg_class')
      from pg_class as c where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v'
    ) as o
    order by o.place, o.name
  loop
    if v_kind is distinct from v_row.kind then
      if v_kind is not null then
        return next '';
      end if;
      v_kind := v_row.kind;
      return next v_kind || ' of schema jobs; select jobs.help(''name'') says all about one:';
    end if;
    return next case when length(v_row.said) > 78 then left(v_row.said, 75) || '...'
      else v_row.said end;
  end loop;
end
$$;
comment on function jobs.help(text) is
'The manual, on 80 columns: of a function or view of schema jobs its parameters or columns, what '
'it does and its errors; without a name the list
of all. Errors: PW038 no such function or view.';
