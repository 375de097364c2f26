-- Small helpers that everything else uses: settings, who asks, error objects.

-- Purpose: one setting. Returns its text; null when unknown.
create or replace function jobs_internal.setting(p_name text)
returns text
language sql stable strict security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.value from jobs_internal.setting as s where s.name = p_name;
end;
comment on function jobs_internal.setting(text) is 'One setting, as text';

-- Purpose: a count with its word, as people say it: 1 job, 2 jobs. A word whose plural is more than an s comes with it.
create or replace function jobs_internal.counted(p_count bigint, p_one text, p_many text default null)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_count || ' ' || case when p_count = 1 then p_one else coalesce(p_many, p_one || 's') end;
end;
comment on function jobs_internal.counted(bigint, text, text) is 'A count with its word: 1 job, 2 jobs';

-- Purpose: refuse to take the login for the one who asks while the server runs code of somebody else's on its behalf: an expression of an index,
-- say, while the login analyzes that table. The server forbids such code all that would outlast it, the SQL command CLOSE among it, and says
-- so; elsewhere this leaves nothing behind. (UNLISTEN is a little cheaper, but in a session that ever listened no transaction can be prepared
-- after it.) Returns true. Errors: 42501.
create or replace function jobs_internal.is_asked_by_login()
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cursor refcursor;
begin
  open v_cursor for select;
  execute 'close ' || pg_catalog.quote_ident(v_cursor::text);  -- CLOSE is a statement of PL/pgSQL's own otherwise, and not forbidden
  return true;
end
$$;
comment on function jobs_internal.is_asked_by_login() is 'True; 42501 while the server runs code of somebody else''s for the login';

-- Purpose: the login that talks to us. A definer function changes current_user but not session_user; a client that used SET ROLE acts as
-- its login. Errors: 42501.
create or replace function jobs_internal.me()
returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Asked some ten times for a job that runs alone: not a query.
  return case when jobs_internal.is_asked_by_login() then pg_catalog.quote_ident(session_user)::regrole::oid end;
end
$$;
comment on function jobs_internal.me() is 'The login that talks to us (session_user)';

-- Purpose: whether the login may see or steer all jobs, and not only its own. p_role: jobs_operator (steer) or jobs_reader (see).
create or replace function jobs_internal.may(p_role text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.is_asked_by_login() and pg_catalog.pg_has_role(session_user, p_role, 'member');
end;
comment on function jobs_internal.may(text) is 'The login is a member of that role of ours';

-- Purpose: the error object that attempts keep. Absent parts are left out.
create or replace function jobs_internal.error_object(
  p_sqlstate text,
  p_message text,
  p_detail text default null,
  p_hint text default null,
  p_context text default null,
  p_constraint text default null,
  p_table text default null
)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.jsonb_build_object(
    'sqlstate', p_sqlstate,
    'message', pg_catalog.left(p_message, 8000),
    'detail', nullif(pg_catalog.left(p_detail, 8000), ''),
    'hint', nullif(pg_catalog.left(p_hint, 8000), ''),
    -- The lines of the worker itself, at the end, say nothing about the job.
    'context', nullif(pg_catalog.left(pg_catalog.regexp_replace(p_context,
      E'\n?((PL/pgSQL function jobs_internal\\.run_statement[^\n]*\n)?SQL statement "explain \\(analyze, buffers, wal,'
      '|PL/pgSQL function jobs_internal\\.run_(one|plain)).*$', ''), 8000), '')
  ) || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'constraint', nullif(p_constraint, ''), 'table', nullif(p_table, '')));
end;
comment on function jobs_internal.error_object(text, text, text, text, text, text, text) is 'The error object that attempts keep; texts are cut at 8000 characters';

-- Purpose: whether an error is worth another attempt.
create or replace function jobs_internal.worth_retry(p_sqlstate text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select r.retry
    from jobs_internal.retry_rule as r
    where r.pattern in (p_sqlstate, pg_catalog.left(p_sqlstate, 2), '*')
    order by pg_catalog.length(r.pattern) desc
    limit 1), false);
end;
comment on function jobs_internal.worth_retry(text) is 'Another attempt is worth it after this SQLSTATE, says the longest rule that fits';

-- Purpose: whether a session is still there. Identity is (pid, backend_start): pids are used again.
create or replace function jobs_internal.alive(p_pid integer, p_backend_start timestamptz)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_catalog.pg_stat_get_activity(p_pid) as a
    where a.backend_start = p_backend_start
      -- Of this database: a copy beside the original names the same sessions, and they are not the copy's.
      and a.datid = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()));
end;
comment on function jobs_internal.alive(integer, timestamptz) is 'The session with this pid and backend_start lives';
