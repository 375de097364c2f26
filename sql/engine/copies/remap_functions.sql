-- Call templates get the numbers that their functions have in this database.

-- Functions by name and signature. A call template whose function is here, belongs to the same role
-- and is called in the same way goes on as it was, with its call_stats; any other loses its number,
-- and its jobs look for the function when they run, and fail with PW042 where it is gone.
-- Returns: {functions_found, functions_missing: [signatures]}. Writes: call_template.
create or replace function jobs_internal.find_functions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_template jobs_internal.call_template;
  v_now jobs_internal.call_template;
  v_func oid;
  v_owner oid;
  v_version xid;
  v_ctid tid;
  v_found bigint := 0;
  v_missing text[] := '{}';
begin
  -- A publication without its function here, or with one of another owner, is revoked: it has to
  -- be said again.
  update jobs_internal.publication as p set revoked_at = clock_timestamp()
  where p.revoked_at is null and not exists (select from pg_proc as f
      where f.oid::regprocedure::text = p.signature and f.proowner = p.publisher);
  update jobs_internal.publication as p set func = f.oid
  from pg_proc as f
  where p.revoked_at is null and f.oid::regprocedure::text = p.signature
    and f.proowner = p.publisher;
  -- How names are hashed is this server's affair.
  update jobs_internal.call_template set func = 0, version = '0', fit = case when whole then 0
    else hash_array(keys) end;
  for v_template in select s.* from jobs_internal.call_template as s order by s.id loop
    select p.oid, p.proowner into v_func, v_owner
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
    if not found then
      v_missing := v_missing || v_template.signature;
      continue;
    end if;
    v_version := '0';
    v_ctid := '(0,0)';
    if v_owner = v_template.func_owner
      and jobs_internal.argument_mismatch(v_func, v_template.keys) is null then
      begin
        v_now := jobs_internal.make_call_template(v_func, v_template.keys);
        delete from jobs_internal.call_template where id = v_now.id;
        if v_now.call = v_template.call
          and v_now.cast_query is not distinct from v_template.cast_query
          then
          v_version := v_now.version;
          v_ctid := v_now.func_ctid;
        end if;
      exception
        when others then
          v_version := '0';  -- its jobs will say what is wrong with it
      end;
    end if;
    update jobs_internal.call_template set func = v_func, version = v_version, func_ctid = v_ctid
      where id = v_template.id;
    v_found := v_found + 1;
  end loop;
  return jsonb_build_object('functions_found', v_found,
    'functions_missing', to_jsonb(array(select distinct m from unnest(v_missing) as m order by 1)));
end
$$;
