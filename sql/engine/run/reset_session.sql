-- Resetting the session between two jobs: nothing of one may be seen by the next.
--
-- These run as the owner, in the worker session. The search_path is ours when they are called, or,
-- of reset_session, that of a job; it is ours when they end, unless reset_session is told another.

-- Put the session back to its baseline after a job. Nothing of a job may be seen by the next one.
-- Costs some 4 us.
-- p_path: the search_path afterwards; ours, where no other is given.
create or replace function jobs_internal.reset_session(p_baseline jsonb,
    p_path text default 'pg_catalog, pg_temp')
returns void
language plpgsql volatile
as $$
declare
  v_void text;
begin
  execute 'close all';  -- CLOSE is a statement of PL/pgSQL's own otherwise
  if pg_catalog.current_setting('role') operator(pg_catalog.<>) 'none' then
    set role none;  -- RESET ROLE goes back to what ALTER ROLE says
  end if;
  reset all;
  unlisten *;
  deallocate all;
  discard temp;
  discard sequences;
  -- an expression without a query costs a third of a query
  v_void := pg_catalog.pg_advisory_unlock_all();
  if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) p_path then
    v_void := pg_catalog.set_config('search_path', p_path, false);
  end if;
  if p_baseline is not null then
    perform pg_catalog.set_config(s.key, s.value, false)
      from pg_catalog.jsonb_each_text(p_baseline) as s;
  end if;
end
$$;

-- What ALTER ROLE and ALTER DATABASE say for the login in this database. Returns setting -> value;
-- null: nothing.
create or replace function jobs_internal.role_settings()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := quote_ident(session_user)::regrole;
begin
  -- Most roles have none, and a new session plans what it asks for the first time.
  if not exists (select from pg_db_role_setting as d where d.setrole in (0, v_me)) then
    return null;
  end if;
  return (
    select jsonb_object_agg(r.name, r.value)
    from (
      select distinct on (c.setting[1]) c.setting[1] as name, c.setting[2] as value
      from pg_db_role_setting as d
      cross join lateral (select regexp_match(e, '^([^=]+)=(.*)$') as setting
          from unnest(d.setconfig) as e) as c
      where d.setrole in (0, v_me)
        -- What the login may not see (session_preload_libraries, say) is an error to ask for, and
        -- nothing that a session sets again.
        and exists (select from pg_settings as g where g.name = c.setting[1])
        and d.setdatabase in (0, (select b.oid from pg_database as b
              where b.datname = current_database()))
      order by c.setting[1], d.setrole <> 0 desc, d.setdatabase <> 0 desc
    ) as r);
end
$$;

-- What must be set again after each RESET ALL, asked right after one. Two things: the worker's own
-- time limits and isolation, which are the jobs' and not the role's; and what ALTER ROLE and ALTER
-- DATABASE say, where RESET ALL does not bring it back because the session that launched this one
-- had set it. p_role: the latter, as role_settings gives it. A value that cannot be set, of a
-- tablespace that is not there any more say, is left out, as PostgreSQL itself passes over it at a
-- login. Returns setting -> value; null when RESET ALL alone does, so that a job need not pay for
-- it.
create or replace function jobs_internal.baseline(p_role jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_wished jsonb := coalesce(p_role - 'search_path', '{}') ||
    '{"statement_timeout": "0", "lock_timeout": "0", "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0", "default_transaction_isolation": "read committed", '
  '"default_transaction_read_only": "off",
    "default_transaction_deferrable": "off", "exit_on_error": "off", '
  '"pg_background.worker_timeout": "0"}';
  v_baseline jsonb;
  v record;
begin
  -- What the server does not know, as pg_background's before its library is loaded, is nothing to
  -- set. pg_settings, which lists all there is, is read only where something differs.
  if not exists (select from jsonb_each_text(v_wished) as w
      where current_setting(w.key, true) <> w.value) then
    return null;
  end if;
  v_baseline := (
    select jsonb_object_agg(w.key, w.value)
    from jsonb_each_text(v_wished) as w
    join pg_settings as g on g.name = w.key
    where current_setting(w.key, true) is distinct from w.value
      and g.context in ('user', 'superuser')
      and (g.context = 'user' or has_parameter_privilege(session_user, w.key, 'SET')));
  begin
    perform set_config(s.key, s.value, false) from jsonb_each_text(v_baseline) as s;
  exception
    when others then
      for v in select s.key, s.value from jsonb_each_text(v_baseline) as s loop
        begin
          perform set_config(v.key, v.value, false);
        exception
          when others then
            v_baseline := v_baseline - v.key::text;
        end;
      end loop;
  end;
  return v_baseline;
end
$$;
