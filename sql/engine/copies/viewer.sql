-- Who looks: the login, and what it may see; in a copy it owns nothing.

-- The login that looks, as an owner of jobs. In a copy no role owns any: the numbers are those of
-- the original's roles.
create or replace function jobs_internal.viewer()
returns oid
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when jobs_internal.is_original() then jobs_internal.caller() else 0::oid end;
end;

-- Whether the login that looks may read arguments, statements and results of an owner who is
-- another role: an administrator, and an operator who is a member of that role (grant app to
-- alice), and so could act as it anyway. Not in a copy: the numbers mean other roles there.
create or replace function jobs_internal.reads(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.caller_is('jobs_owner')
    or (jobs_internal.viewer() <> 0::oid and jobs_internal.caller_is('jobs_operator')
        and pg_has_role(session_user, p_owner, 'member'));
end;
