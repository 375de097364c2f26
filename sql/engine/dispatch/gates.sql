-- What makes a due job wait outside its lane. A job with such an option comes into its lane by one
-- of two ways, move_due_of and enter_lanes, and both ask here; one without is not looked at.

-- Of due jobs that the caller has locked, or made, and that have an option which may hold them
-- back: those that may enter their lane now. The others wait from here on (wait_for_keys). Writes:
-- job.
create or replace function jobs_internal.pass_gates(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wait bigint[] := jobs_internal.wait_for_keys(p_jobs);
begin
  return array(select u.id from unnest(p_jobs) as u(id) where u.id <> all (v_wait) order by u.id);
end
$$;
