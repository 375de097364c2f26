-- Between two jobs of a session: nothing of one may be seen by the next.
--
-- These run as the owner, in the worker session; the search_path is ours when they are called and when they end.

-- Purpose: put the session back to its baseline after a job. Nothing of a job may be seen by the next one. Costs some 4 us.
-- The caller's search_path afterwards is ours.
create or replace function jobs_internal.wash(p_baseline jsonb)
returns void
language plpgsql volatile
as $$
declare
  v_void text;
begin
  execute 'close all';  -- CLOSE is a statement of PL/pgSQL's own otherwise
  reset role;
  reset all;
  unlisten *;
  deallocate all;
  discard temp;
  discard sequences;
  v_void := pg_catalog.pg_advisory_unlock_all();  -- an expression without a query costs a third of a query
  v_void := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if p_baseline is not null then
    perform pg_catalog.set_config(s.key, s.value, false) from pg_catalog.jsonb_each_text(p_baseline) as s;
  end if;
end
$$;
comment on function jobs_internal.wash(jsonb) is 'Puts a worker session back to its baseline after a job';

-- Purpose: what must be set again after each RESET ALL, asked right after one. Two things: the worker's own time limits and isolation, which
-- are the jobs' and not the role's; and what ALTER ROLE and ALTER DATABASE say, where RESET ALL does not bring it back because the session
-- that launched this one had set it. Returns setting -> value; null when RESET ALL alone does, so that a job need not pay for it.
create or replace function jobs_internal.baseline()
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  with own (name, value) as (
    values ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
      ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', 'off'), ('default_transaction_deferrable', 'off'),
      ('pg_background.worker_timeout', '0')
  ), role (name, value) as (
    select distinct on (c.setting[1]) c.setting[1], c.setting[2]
    from pg_catalog.pg_db_role_setting as d
    cross join lateral (select pg_catalog.regexp_match(e, '^([^=]+)=(.*)$') as setting from pg_catalog.unnest(d.setconfig) as e) as c
    where d.setrole in (0, pg_catalog.quote_ident(session_user)::regrole::oid)
      and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database as b where b.datname = pg_catalog.current_database()))
    order by c.setting[1], d.setrole <> 0 desc, d.setdatabase <> 0 desc
  ), wished as (
    select o.name, o.value from own as o
    union all
    select r.name, r.value from role as r where r.name not in (select o.name from own as o) and r.name <> 'search_path'
  ), different as materialized (
    select w.name, w.value from wished as w where pg_catalog.current_setting(w.name, true) is distinct from w.value
  )
  select pg_catalog.jsonb_object_agg(w.name, w.value)
  from different as w
  -- Only where something is different: to list all settings takes two milliseconds.
  cross join lateral (select s.context from pg_catalog.pg_settings as s where s.name = w.name offset 0) as g
  where g.context in ('user', 'superuser')
    and (g.context = 'user' or pg_catalog.has_parameter_privilege(session_user, w.name, 'SET'));
end;
comment on function jobs_internal.baseline() is 'What a worker session sets again after each RESET ALL; null: nothing';

-- Purpose: the search_path that the login has of itself: ALTER ROLE, ALTER DATABASE, or p_reset, what it is after RESET ALL.
create or replace function jobs_internal.own_path(p_reset text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select pg_catalog.substr(e, 13)
    from pg_catalog.pg_db_role_setting as d
    cross join lateral pg_catalog.unnest(d.setconfig) as e
    where pg_catalog.starts_with(e, 'search_path=')
      and d.setrole in (0, pg_catalog.quote_ident(session_user)::regrole::oid)
      and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database as b where b.datname = pg_catalog.current_database()))
    order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
    limit 1), p_reset);
end;
comment on function jobs_internal.own_path(text) is 'The search_path that the login has of itself';

-- Purpose: collect the lines that the job wrote with jobs.log. They are kept as prepared statements, the one thing in a session that a
-- rollback leaves alone; in base64, so that no quoting rule touches them. A job may have prepared statements of such names itself.
-- Returns null when there are none.
create or replace function jobs_internal.collect_log()
returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.jsonb_agg(p.line::jsonb order by p.name)
  from (
    select s.name, pg_catalog.convert_from(pg_catalog.decode(m.parts[1], 'base64'), 'UTF8') as line
    from pg_catalog.pg_prepared_statements as s
    cross join lateral pg_catalog.regexp_match(s.statement, '^prepare pyworker_log_\d{9} as select ''pyworker:([A-Za-z0-9+/=]+)''$') as m(parts)
    where s.name like 'pyworker\_log\_%' and m.parts is not null
    offset 0
  ) as p
  where pg_catalog.pg_input_is_valid(p.line, 'jsonb');
end;
comment on function jobs_internal.collect_log() is 'The lines that the job wrote with jobs.log; null: none';
