-- Whose jobs run: roles without rights that reach beyond their own objects, and those that an
-- administrator has switched on by name. A job may do all that its owner may, so a role that can
-- make a privileged role enqueue something has its rights.

-- The roles whose members are privileged. pg_monitor and its parts only read statistics;
-- pg_checkpoint and pg_use_reserved_connections reach no data.
create or replace function jobs_internal.privileged_roles()
returns name[]
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select array['pg_create_subscription', 'pg_execute_server_program', 'pg_maintain',
      'pg_read_all_data', 'pg_read_server_files',
    'pg_signal_backend', 'pg_write_all_data', 'pg_write_server_files', 'jobs_owner',
    'jobs_supervisor']::name[];
end;

-- What makes a role privileged: attributes, its own and those of roles that it is a member of,
-- directly or not, and predefined roles. Whether it inherits from them, may only SET ROLE, or only
-- administers them is the same: who may SET ROLE has the attributes of that role, and who
-- administers it can make itself one. jobs_owner and jobs_supervisor count: who is one of them has
-- everybody's jobs. Returns a row for each privilege; via: the role that has it, null where it is
-- an attribute of its own.
create or replace function jobs_internal.privileges_of(p_role oid)
returns table (privilege text, via name)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with recursive reached (role) as (
    select p_role
    union
    select m.roleid from reached as r join pg_auth_members as m on m.member = r.role
  )
  select coalesce(w.privilege, r.rolname::text), case when w.privilege is null or r.oid <> p_role
    then r.rolname end
  from reached as m
  join pg_roles as r on r.oid = m.role
  cross join lateral (values (1, 'SUPERUSER', r.rolsuper), (2, 'REPLICATION', r.rolreplication),
      (3, 'CREATEROLE', r.rolcreaterole),
    (4, 'BYPASSRLS', r.rolbypassrls), (5, null, r.rolname = any (jobs_internal.privileged_roles())))
    as w (n, privilege, has)
  where w.has
  order by r.oid <> p_role, w.n, r.rolname;
end;

-- The same in words; null: nothing.
create or replace function jobs_internal.privileges_seen(p_role oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(
    case when p.via is null or p.privilege = p.via then p.privilege
      else format('%s by membership in %s', p.privilege, p.via) end, ', ')
  from jobs_internal.privileges_of(p_role) as p;
end;

-- Whether the jobs of a role are refused: it is privileged, and no administrator has switched it on
-- by name.
create or replace function jobs_internal.is_refused(p_role oid)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_roles oid[] := array[p_role];
  v_more oid[] := v_roles;
begin
  -- As privileges_seen, which says more: each claim asks this. From the role upwards, so that it
  -- costs what its own memberships cost, however many roles the server has; step by step, as a
  -- recursive query is planned for longer than all of this takes.
  while cardinality(v_more) > 0 loop
    v_more := array(select m.roleid from pg_auth_members as m
      where m.member = any (v_more) and m.roleid <> all (v_roles));
    v_roles := v_roles || v_more;
  end loop;
  return exists (
    select from pg_roles as r
    where r.oid = any (v_roles) and (r.rolsuper or r.rolreplication or r.rolcreaterole
      or r.rolbypassrls or r.rolname = any (jobs_internal.privileged_roles())))
    and not exists (select from jobs_internal.admitted_role as a where a.role = p_role);
end
$$;

-- Whether a role is a member of jobs_runner. A superuser counts as a member of every role: its jobs
-- run where it was admitted by name.
create or replace function jobs_internal.is_runner(p_role oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_has_role(p_role, 'jobs_runner', 'member');
end;

-- Refuse the jobs of such a role. Errors: PW019.
create or replace function jobs_internal.assert_admitted(p_role oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if jobs_internal.is_refused(p_role) then
    raise exception using errcode = 'PW019',
      message = format('jobs of %s are refused', pg_get_userbyid(p_role)),
      detail
        = format('A job runs with all rights of its owner, and this one has more than its own: %s.',
            jobs_internal.privileges_seen(p_role)),
      hint = format('Enqueue as an ordinary role, or have an administrator run: select '
        'jobs.admit_role(%L). A retry cannot help before that.',
        pg_get_userbyid(p_role));
  end if;
end
$$;

-- A supervisor says as which owners, of those with due jobs, it cannot connect: {name:
-- why}; or, where that begins with "launch refused: ", it can, and the database starts no session.
-- As those that it does not name any more it can, or nothing of theirs is due. A name that is no
-- role's counts for nothing here. Writes: unreached_owner.
create or replace function jobs_internal.note_unreached(p_supervisor bigint, p_reasons jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
  delete from jobs_internal.unreached_owner as u
  where u.supervisor_id = p_supervisor
    and not exists (select from pg_roles as r where r.oid = u.owner
        and p_reasons ? r.rolname::text);
  insert into jobs_internal.unreached_owner as u (owner, supervisor_id, reason)
  select r.oid, p_supervisor, left(e.value, 300)
  from jsonb_each_text(p_reasons) as e
  join pg_roles as r on r.rolname = e.key
  where exists (select from jobs_internal.supervisor as s where s.id = p_supervisor)
  on conflict (owner, supervisor_id) do update set reason = excluded.reason
    where u.reason <> excluded.reason;
end
$$;

-- Note on the lanes of owners whether their jobs are refused, for those who enqueue: from the
-- privileged roles downwards, all at once. A note that is not true any more does no harm: the
-- session that finds one asks is_refused, and where it is missing, jobs wait and say why.
-- Locks: lane (skip locked; only where something has changed). Writes: lane.
create or replace function jobs_internal.note_refused()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refused oid[];
begin
  with recursive mighty (role) as (
    select r.oid from pg_roles as r
    where r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls
      or r.rolname = any (jobs_internal.privileged_roles())
    union
    select m.member from mighty as r join pg_auth_members as m on m.roleid = r.role
  )
  select array_agg(m.role) into v_refused
  from mighty as m
  where m.role in (select l.owner from jobs_internal.lane as l)
    and not exists (select from jobs_internal.admitted_role as a where a.role = m.role);
  v_refused := coalesce(v_refused, '{}');
  if exists (select from jobs_internal.lane as l where l.refused <> (l.owner = any (v_refused)))
    then
    update jobs_internal.lane as l set refused = not l.refused
    where l.id in (
      select o.id from jobs_internal.lane as o where o.refused <> (o.owner = any (v_refused))
      for no key update skip locked);
  end if;
end
$$;
