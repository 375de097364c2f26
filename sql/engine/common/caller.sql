-- Who calls: the login, and its roles.

-- Refuse to take the login for the one who asks while the server runs code of another role on
-- its behalf: an expression of an index, say, while the login analyzes that table. The server
-- forbids such code all that would outlast it, the SQL command CLOSE among it, and says so;
-- elsewhere this leaves nothing behind. (UNLISTEN is a little cheaper, but in a session that ever
-- listened no transaction can be prepared after it.) Returns true. Errors: 42501.
create or replace function jobs_internal.is_asked_by_login()
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cursor refcursor;
begin
  open v_cursor for select;
  -- CLOSE is a statement of PL/pgSQL's own otherwise, and not forbidden
  execute 'close ' || quote_ident(v_cursor::text);
  return true;
end
$$;

-- The login that talks to us. A definer function changes current_user but not session_user; a
-- client that used SET ROLE acts as its login. Errors: 42501.
create or replace function jobs_internal.caller()
returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Asked some ten times for a job that runs alone: not a query.
  return case when jobs_internal.is_asked_by_login()
    then quote_ident(session_user)::regrole::oid end;
end
$$;

-- Whether the login may see or control all jobs, and not only its own. p_role: jobs_operator
-- (control)
-- or jobs_reader (see).
create or replace function jobs_internal.caller_is(p_role text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.is_asked_by_login() and pg_has_role(session_user, p_role, 'member');
end;

-- Refuse with the name of the role that is missing. p_role: jobs_producer, jobs_operator,
-- jobs_runner, or jobs_owner for administrators; p_or: another role that may call it too. Refuse,
-- too, to write where nothing can be written. Errors: 42501, 25006.
create or replace function jobs_internal.assert_member(p_role text, p_function text,
    p_or text default null)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_not_inherited text;
begin
  if pg_has_role(current_user, p_role, 'usage') or pg_has_role(current_user, p_or, 'usage')
    or pg_has_role(current_user, 'jobs_owner', 'usage')
  then
    if current_setting('transaction_read_only') = 'off'
      or p_function in ('wait', 'await', 'progress', 'log', 'plan')
    then
      return;
    end if;
    raise exception using errcode = '25006',
      message = format('jobs.%s writes, and this %s', p_function, case when pg_is_in_recovery()
          then 'server is a standby' else 'transaction is read-only' end),
      detail = case when pg_is_in_recovery()
        then 'Jobs are enqueued, changed and run on the primary.'
        else 'It was begun so, or default_transaction_read_only is on for the session, its role or '
          'its database.' end,
      hint = case when pg_is_in_recovery()
        then 'Retry on the primary (libpq: target_session_attrs=read-write).'
        else 'Retry in a transaction that may write: begin read write;' end;
  end if;
  select r.name into v_not_inherited from unnest(array[p_role, p_or]) with ordinality as r(name, n)
  where pg_has_role(current_user, r.name, 'set') order by r.n limit 1;
  raise exception using errcode = '42501',
    message = format('permission denied for function %s', p_function),
    detail = case when v_not_inherited is not null
      then format('It is for those who act as %s. Role "%s" may, but does not inherit its rights.',
        v_not_inherited, current_user)
      else format('It is for %s, and role "%s" is not.', case p_role when 'jobs_owner'
          then 'administrators: superusers, and who may act as jobs_owner'
          else 'members of ' || concat_ws(' or ', p_role, p_or) end, current_user) end,
    hint = case when v_not_inherited is not null
      then format('A retry helps after: set role %s;', v_not_inherited)
      when p_role = 'jobs_owner'
      then 'Connect as an administrator. A retry as this role cannot help.'
      else format('A retry helps once an administrator has run: grant %s to %s;', p_role,
        quote_ident(current_user)) end;
end
$$;

-- Whether the login may execute what is behind a door, for jobs: a door lets each of our roles in
-- only to be told. Errors: PW006.
create or replace function jobs_internal.assert_behind(p_func oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from pg_proc as d
    join pg_proc as i on i.proname = d.proname and i.proargtypes = d.proargtypes
    where d.oid = p_func and i.pronamespace = 'jobs_internal'::regnamespace
      and not has_function_privilege(session_user, i.oid, 'EXECUTE'))
  then
    raise exception using errcode = 'PW006', message = format('%s may not execute %s', session_user,
        p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint = 'See which role it is for: docs/reference/sql.md. A retry helps after that role was '
        'granted.';
  end if;
end
$$;
