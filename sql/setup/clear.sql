-- Clears the way for the functions and views that follow, so that what a new version leaves out is
-- gone and what changed its result or its columns can be made again. On a fresh database there is
-- nothing to clear.
--
-- Nothing that depends on them is ever dropped along: a function that a trigger, a default, an
-- index or an object of others needs stays and is replaced in place, and so are views that
-- a view of others reads. Sessions that run one of the functions go on with what they have and
-- find the new ones by name at their next call. Runs before migrations and before the functions, in
-- the same transaction; locks the views exclusively until commit.

do $$
declare
  v_views text;
begin
  select string_agg(format('%I.%I', n.nspname, c.relname), ', ')
  into v_views
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('jobs', 'jobs_internal') and c.relkind = 'v'
    and pg_get_userbyid(c.relowner) = 'jobs_owner';

  if v_views is not null then
    begin
      execute format('drop view %s restrict', v_views);
    exception when dependent_objects_still_exist then
      null;  -- views are replaced in place
    end;
  end if;
end
$$;

do $$
declare
  v_left int := -1;
  v_before int;
  v_function regprocedure;
begin
  -- Functions may need one another; each round drops those that nothing needs any more.
  loop
    v_before := v_left;
    v_left := 0;
    for v_function in
      select p.oid
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('jobs', 'jobs_internal') and pg_get_userbyid(p.proowner) = 'jobs_owner'
      order by p.oid desc
    loop
      begin
        execute format('drop routine %s restrict', v_function);
      exception when dependent_objects_still_exist then
        v_left := v_left + 1;
      end;
    end loop;
    exit when v_left in (0, v_before);
  end loop;
end
$$;
