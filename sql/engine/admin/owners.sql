-- What is behind the functions that decide about owners.

-- The number of a role by name. Errors: PW075.
create or replace function jobs_internal.role_id(p_role text)
returns oid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid;
begin
  select r.oid into v_role from pg_roles as r where r.rolname = p_role;
  if not found then
    raise exception using errcode = 'PW075',
      message = format('there is no role "%s"', coalesce(left(p_role, 63), 'null')),
      detail = 'Roles are written as pg_roles has them, without quotes.',
        hint = 'Check the name. A retry cannot help.';
  end if;
  return v_role;
end
$$;

-- The whole quota is given each time: so what stands there is what the last call says.
create or replace function jobs_internal.set_quota(
  role text,
  pending bigint default null,
  running integer default null,
  args_bytes integer default null,
  result_bytes integer default null,
  per_minute integer default null,
  history_rows bigint default null,
  over_rate text default 'refuse'
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid := jobs_internal.role_id(role);
  v_before jobs_internal.quota;
  v_after jobs_internal.quota;
  v_limit text;
  v_value text;
  v_least integer;
begin
  select l.name, l.given, l.least into v_limit, v_value, v_least
  from (values ('pending', pending, 0), ('running', running, 0), ('args_bytes', args_bytes, 0),
      ('result_bytes', result_bytes, 1000),
    ('per_minute', per_minute, 1), ('history_rows', history_rows, 1)) as l (name, given, least)
  where l.given < l.least
  limit 1;
  if not found and over_rate = 'wait' and per_minute is null then
    raise exception using errcode = 'PW026',
      message = format('over_rate in the quota of %s cannot be wait without per_minute', role),
      detail = 'It says what happens to what is over per_minute. What is not given in a call has '
        'no limit after it.',
      hint = 'Give per_minute, and all other limits that are to hold, in the same call. A retry '
        'cannot help.';
  end if;
  if v_limit is not null or over_rate is null or over_rate not in ('refuse', 'wait') then
    raise exception using errcode = 'PW026',
      message = format('%s in the quota of %s cannot be %s', coalesce(v_limit, 'over_rate'), role,
          coalesce(v_value, left(over_rate, 100), 'null')),
      detail = case when v_limit is null then 'It is refuse or wait.'
        else format('Its range: %s and more; null for no limit.', v_least) end,
      hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  select q.* into v_before from jobs_internal.quota as q where q.owner = v_owner for update;
  if num_nonnulls(pending, running, args_bytes, result_bytes, per_minute, history_rows) = 0 then
    delete from jobs_internal.quota as q where q.owner = v_owner;
  else
    insert into jobs_internal.quota (owner, pending, running, args_bytes, result_bytes, per_minute,
        history_rows, over_rate)
    values (v_owner, set_quota.pending, set_quota.running, set_quota.args_bytes,
        set_quota.result_bytes, set_quota.per_minute,
      set_quota.history_rows, set_quota.over_rate)
    on conflict on constraint quota_pkey do update set pending = excluded.pending,
      running = excluded.running, args_bytes = excluded.args_bytes,
      result_bytes = excluded.result_bytes, per_minute = excluded.per_minute,
        history_rows = excluded.history_rows, over_rate = excluded.over_rate
    returning * into v_after;
  end if;
  -- for ever: an enqueuer that looked at it may be about to give another quota
  update jobs_internal.installation as h set quotas = true where not h.quotas;
  if coalesce(v_before.owner, v_after.owner) is null or v_before is not distinct from v_after then
    return false;
  end if;
  perform jobs_internal.record_role_name(v_owner);
  perform jobs_internal.record_audit('set_quota', 'role ' || role,
      case when v_before.owner is not null
      then to_jsonb(v_before) end,
    case when v_after.owner is not null then to_jsonb(v_after) end);
  return true;
end
$$;

-- Does the work of jobs.admit_role.
create or replace function jobs_internal.admit_role(role text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid := jobs_internal.role_id(role);
begin
  insert into jobs_internal.admitted_role (role, admitted_by)
    values (v_role, session_user) on conflict on constraint admitted_role_pkey do nothing;
  if not found then
    return false;
  end if;
  perform jobs_internal.record_role_name(v_role),
    jobs_internal.record_audit('admit_role', 'role ' || role,
      null, jsonb_build_object('powers', jobs_internal.privileges_seen(v_role)));
  return true;
end
$$;

-- Does the work of jobs.dismiss_role.
create or replace function jobs_internal.dismiss_role(role text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role oid := jobs_internal.role_id(role);
begin
  delete from jobs_internal.admitted_role as a where a.role = v_role;
  if not found then
    return false;
  end if;
  perform jobs_internal.record_audit('dismiss_role', 'role ' || role,
      jsonb_build_object('powers', jobs_internal.privileges_seen(v_role)), null);
  return true;
end
$$;
