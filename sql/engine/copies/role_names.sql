-- Names of the roles that own jobs, followed when they change.

-- Keep the name of a role that owns jobs or their functions: in another cluster only the name says
-- who that was. No unique key on purpose: enqueuers would wait for each other. Writes: known_role.
create or replace function jobs_internal.record_role_name(p_role oid)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.known_role (role, name)
  select r.oid, r.rolname from pg_roles as r
  where r.oid = p_role and not exists (select from jobs_internal.known_role as k
      where k.role = p_role);
end;

-- Follow roles that were renamed or dropped, and owners of lanes that are not known yet. Not called
-- in a copy. A number below 12000 stands for a role that this cluster lacks (see jobs.reconcile).
-- Locks: known_role (skip locked; only where one was renamed or dropped).
create or replace function jobs_internal.follow_roles()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobs_internal.known_role as k
    left join pg_roles as r on r.oid = k.role
    where not k.gone and not jobs_internal.is_placeholder_role(k.role)
      and r.rolname is distinct from k.name)
  then
    update jobs_internal.known_role as k
    set name = coalesce((select r.rolname from pg_roles as r where r.oid = k.role), k.name),
      gone = not exists (select from pg_roles as r where r.oid = k.role)
    where k.ctid = any (array(
      select o.ctid from jobs_internal.known_role as o
      where not o.gone and not jobs_internal.is_placeholder_role(o.role)
        and o.name is distinct from (select r.rolname from pg_roles as r where r.oid = o.role)
      for update skip locked));
  end if;
end
$$;

-- Whether a number stands for a role that this cluster lacks. The server gives none of these to a
-- role: CREATE ROLE begins at 12000 (at 16384 but in single-user mode), and the roles that every
-- cluster has are below 10000.
create or replace function jobs_internal.is_placeholder_role(p_role oid)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_role >= 10000::oid and p_role < 12000::oid;
end;
