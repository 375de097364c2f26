-- The doors of operators, runners and administrators. Each names the role that it is for, where the caller is not a member, and calls the function
-- of the same name in jobs_internal, which does the work and is granted to that role alone: what these doors let through by mistake is
-- refused there. They run with the caller's rights. What each does is in its comment, beside the function that does the work.

-- Purpose: refuse with the name of the role that is missing. p_role: jobs_operator, jobs_runner, or jobs_owner for administrators.
-- Errors: 42501.
create or replace function jobs_internal.assert_member(p_role text, p_function text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not (pg_catalog.pg_has_role(current_user, p_role, 'usage') or pg_catalog.pg_has_role(current_user, 'jobs_owner', 'usage')) then
    raise exception using errcode = '42501', message = pg_catalog.format('permission denied for function %s', p_function),
      detail = pg_catalog.format('It is for %s, and role "%s" is not.',
        case p_role when 'jobs_owner' then 'administrators: superusers, and who may act as jobs_owner' else 'members of ' || p_role end, current_user),
      hint = case p_role when 'jobs_owner' then 'Connect as an administrator.'
        else pg_catalog.format('An administrator may run: grant %s to %s;', p_role, pg_catalog.quote_ident(current_user)) end;
  end if;
end
$$;
comment on function jobs_internal.assert_member(text, text) is '42501 that names the role, where the caller is no member of it';

-- Purpose: whether the login may execute what is behind a door, for jobs: a door lets each of our roles in only to be told. Errors: PW006.
create or replace function jobs_internal.assert_behind(p_func oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from pg_catalog.pg_proc as d
    join pg_catalog.pg_proc as i on i.proname = d.proname and i.proargtypes = d.proargtypes
    where d.oid = p_func and i.pronamespace = 'jobs_internal'::regnamespace and not pg_catalog.has_function_privilege(session_user, i.oid, 'EXECUTE'))
  then
    raise exception using errcode = 'PW006', message = pg_catalog.format('%s may not execute %s', session_user, p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint = 'See which role it is for: docs/reference/sql.md. A retry helps after that role was granted.';
  end if;
end
$$;
comment on function jobs_internal.assert_behind(oid) is 'PW006 where the login may not execute what is behind a door of ours';

create or replace function jobs.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  batch boolean default true,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'create_queue');
  return jobs_internal.create_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap, retention, batch, retention_rows);
end
$$;

create or replace function jobs.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  batch boolean default null,
  accepting boolean default null,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'alter_queue');
  return jobs_internal.alter_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap, retention, batch, accepting, retention_rows);
end
$$;

create or replace function jobs.drop_queue(queue text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'drop_queue');
  return jobs_internal.drop_queue(queue);
end
$$;

create or replace function jobs.pause(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'pause');
  return jobs_internal.pause(queue);
end
$$;

create or replace function jobs.resume(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'resume');
  return jobs_internal.resume(queue);
end
$$;

create or replace function jobs.configure(name text, value text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'configure');
  return jobs_internal.configure(name, value);
end
$$;

create or replace function jobs.set_retry_rule(pattern text, retry boolean, why text default '')
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_retry_rule');
  return jobs_internal.set_retry_rule(pattern, retry, why);
end
$$;

create or replace function jobs.set_quota(
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
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_quota');
  return jobs_internal.set_quota(role, pending, running, args_bytes, result_bytes, per_minute, history_rows, over_rate);
end
$$;

create or replace function jobs.admit_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'admit_role');
  return jobs_internal.admit_role(role);
end
$$;

create or replace function jobs.dismiss_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'dismiss_role');
  return jobs_internal.dismiss_role(role);
end
$$;

create or replace function jobs.reconcile()
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'reconcile');
  return jobs_internal.reconcile();
end
$$;

create or replace function jobs.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_runner', 'start');
  return jobs_internal.start(sessions);
end
$$;
comment on function jobs.start(integer) is
'Launches worker sessions of the caller now; they run what is due and end. Needs no supervisor; a supervisor does the same by itself.
Returns how many were launched: fewer where the quota of the caller allows no more. Errors: PW019, PW025, PW051 under SET ROLE, PW060 in a copy, 53000 or 53400 when the server has no free worker slot: retry later.';
