-- Asking a post-condition, and what follows. One precedence everywhere: its end is true: succeeded,
-- and it is not run again; else it may be repeated: it is; else it is in doubt.

-- The built-in post-condition: what the views show as done_when, and what a statement job without
-- one of its own is judged by.
create or replace function jobs_internal.is_done()
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select (jobs_internal.judge(jobs_internal.current_job()) -> 'done')::boolean;
end;

-- The post-condition that we know ourselves, of a statement that runs at top level; null: none.
create or replace function jobs_internal.built_in_condition(p_target jsonb)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select 'select jobs_internal.is_done()'
  where not p_target ? 'unsure'
    and p_target ->> 'kind' in ('create_index', 'drop_index', 'detach', 'reindex', 'create', 'drop',
        'move', 'vacuum', 'analyze', 'cluster')
    -- without a name PostgreSQL chooses the tables
    and coalesce(p_target -> 'tables', 'null') <> '[]'
    and not (p_target ->> 'kind' = 'cluster' and p_target ->> 'table' is null);
end;

-- Whether a statement that ended unseen has done its work, by our own post-condition: one that was
-- given may be asked by its owner only. For a rescue, which no identity that its owner made up may
-- keep from seeing to the session.
create or replace function jobs_internal.was_done(p_statement jobs_internal.statement)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return p_statement.done_when = 'select jobs_internal.is_done()' and coalesce((
    jobs_internal.judge_noted(p_statement.target, p_statement.identity) -> 'done')::boolean, false);
exception
  when query_canceled then
    raise;
  when others then
    return false;
end
$$;

-- A statement that refused to run in a transaction runs at top level from now on. Returns: its
-- post-condition.
create or replace function jobs_internal.mark_top_level(p_job bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.statement as s
  set top_level = true, done_when = coalesce(s.done_when,
      jobs_internal.built_in_condition(s.target))
  from jobs_internal.job as j
  where s.job_id = p_job and j.id = p_job and j.owner = jobs_internal.caller()
  returning s.done_when;
end;

-- Ask the post-condition of an item: an object as judge returns. One that was given runs in the
-- path of the statement, as its owner: invoker on purpose. An error of it is raised. Leaves the
-- session with our path.
create or replace function jobs_internal.ask(p_item jobs_internal.work_item, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_done boolean;
  v_void text;
begin
  if p_item.done_when is null
    or p_item.done_when operator(pg_catalog.=) 'select jobs_internal.is_done()' then
    return jobs_internal.judge(p_item.job_id);
  end if;
  v_void := pg_catalog.set_config('search_path', p_path, false);
  execute p_item.done_when into v_done;
  v_void := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  return pg_catalog.jsonb_build_object('done', coalesce(v_done, false), 'why', p_item.done_when);
end
$$;

-- Whether a job that ended unseen may simply be run again: it says so, or its statement is of a
-- kind that always may.
-- Null: there is no such live job.
create or replace function jobs_internal.is_repeatable(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((j.options ->> 'repeatable')::boolean,
    s.command ~ '^(vacuum|analyze|analyse|reindex|refresh|cluster|checkpoint|alter system)\M',
      false)
  from jobs_internal.job as j
  left join jobs_internal.statement as s on s.job_id = j.id
  where j.id = p_job;
end;

-- Whether a statement whose attempt ended unseen, and whose end is not known to be true, is run
-- again. What its job says counts; else its kind, else a post-condition that is known to be false:
-- then another attempt is what brings it about.
create or replace function jobs_internal.runs_again(p_job bigint, p_said jsonb)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((j.options ->> 'repeatable')::boolean, jobs_internal.is_repeatable(p_job)
      or p_said ->> 'done' = 'false', false)
  from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.caller();
end;

-- What another attempt of a job of the calling login runs instead of its text; null: the text. What
-- a DROP named at first is dropped by the name that it bears now; a DETACH that was cut off is
-- finished.
create or replace function jobs_internal.text_now(p_job bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
  v_kind text;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  v_kind := v_noted.target ->> 'kind';
  if v_noted.identity is null or v_noted.target ? 'unsure'
    or v_noted.identity ?| array['missing', 'unsure'] then
    return null;
  elsif v_kind = 'drop_index' then
    return (
      select format('drop index concurrently %I.%I', n.nspname, c.relname)
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where c.oid = (v_noted.identity ->> 'index')::oid);
  elsif v_kind = 'detach' then
    return (
      select format('alter table %I.%I detach partition %I.%I finalize', pn.nspname, p.relname,
          cn.nspname, c.relname)
      from pg_inherits as h
      join pg_class as p on p.oid = h.inhparent
      join pg_namespace as pn on pn.oid = p.relnamespace
      join pg_class as c on c.oid = h.inhrelid
      join pg_namespace as cn on cn.oid = c.relnamespace
      where h.inhparent = (v_noted.identity ->> 'table')::oid
        and h.inhrelid = (v_noted.identity ->> 'partition')::oid and h.inhdetachpending);
  elsif v_kind = 'drop' then
    return case v_noted.target ->> 'class'
      when 'database' then (select format('drop database %I', d.datname) from pg_database as d
          where d.oid = (v_noted.identity ->> 'oid')::oid)
        || case when (v_noted.target -> 'force')::boolean then ' with (force)' else '' end
      when 'tablespace' then (select format('drop tablespace %I', t.spcname) from pg_tablespace as t
          where t.oid = (v_noted.identity ->> 'oid')::oid)
      else (select format('drop subscription %I', s.subname) from pg_subscription as s
          where s.oid = (v_noted.identity ->> 'oid')::oid) end;
  end if;
  return null;
end
$$;

-- What the result of a statement without post-condition says of that; null: of its kind nothing is
-- expected. The file that ALTER SYSTEM writes may be read by superusers only, and pg_settings shows
-- a value when it is in force.
create or replace function jobs_internal.unverified(p_job bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  return case when exists (select from jobs_internal.statement as s
      join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
      where s.job_id = p_job and s.command = 'alter system') then
      '{"verified": false, "why": "nothing that we may read shows what it wrote; select '
      'pg_reload_conf() puts it in force"}'::jsonb
    when v_noted.target ->> 'kind' <> 'other' then jsonb_build_object('verified', false,
    'why', coalesce(v_noted.target ->> 'unsure', v_noted.identity ->> 'unsure',
    'it names no table: PostgreSQL chooses them itself')) end;
end
$$;
