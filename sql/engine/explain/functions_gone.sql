-- Functions that are not what they were when their jobs were enqueued.

-- Why the jobs of a call template will fail with PW042 at their turn, as begin_alone finds it then;
-- null: they will not.
create or replace function jobs_internal.why_function_gone(p_template integer)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
  v_template jobs_internal.call_template;
  v_now pg_proc;
begin
  select t.* into v_template from jobs_internal.call_template as t where t.id = p_template;
  if not found then
    return null;
  end if;
  select p.* into v_now from pg_proc as p where p.oid = v_template.func;
  if not found then  -- one that was made again is found by its signature
    select p.* into v_now
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
  end if;
  return case
    when v_now.oid is null then format('function %s does not exist any more', v_template.signature)
    when v_now.proowner <> v_template.func_owner
      then format('function %s has another owner than when the job was enqueued',
        v_template.signature)
    when (v_now.prokind = 'p') <> v_template.procedure
      then format('%s is a %s now', v_template.signature, case when v_template.procedure
        then 'function' else 'procedure' end) end;
end
$$;

-- The call templates of which that holds, for views: found once a query. One login may make 100,000
-- templates, so why is asked after the join, whatever the statistics say, and once for all
-- templates of a function.
create or replace function jobs_internal.functions_gone()
returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with suspects as materialized (
    select array_agg(t.id) as ids
    from jobs_internal.call_template as t
    where not exists (select from pg_proc as p where p.oid = t.func and p.proowner = t.func_owner
        and (p.prokind = 'p') = t.procedure)
    group by t.func, t.func_owner, t.procedure, t.signature, t.task
  )
  select array(select u.id from suspects as s cross join lateral unnest(s.ids) as u(id)
    where jobs_internal.why_function_gone(s.ids[1]) is not null);
end;
