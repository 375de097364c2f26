-- What an interrupted or failed CREATE INDEX CONCURRENTLY leaves: an invalid index of that name, in the way of the next attempt. An attempt
-- after the first drops it before it builds, and the error of the attempt that left it says so.

-- Purpose: table and index that a job of the calling login creates concurrently, as they stand in its statement; nulls for other jobs.
create or replace function jobs_internal.index_made(p_job bigint, out index_table text, out index_name text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.index_table, c.index_name
  from jobs_internal.statement as s
  join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.me()
  cross join lateral jobs_internal.classify(s.body) as c
  where s.job_id = p_job and s.command = 'create index concurrently'
$$;
comment on function jobs_internal.index_made(bigint) is 'Table and index that a job of the calling login creates concurrently';

-- Purpose: whether somebody builds this index at this moment: then it is invalid because it is not ready.
create or replace function jobs_internal.is_built_now(p_index oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_catalog.pg_stat_progress_create_index as p where p.index_relid = p_index);
end;
comment on function jobs_internal.is_built_now(oid) is 'Somebody builds this index now';

-- Purpose: the invalid index of that name on that table, if the caller may drop it and nobody builds it now; qualified. Names are looked up
-- with the caller's path: invoker on purpose.
create or replace function jobs_internal.invalid_index(p_table text, p_index text)
returns text
language sql volatile
begin atomic
  select pg_catalog.format('%I.%I', n.nspname, c.relname)
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid operator(pg_catalog.=) i.indexrelid
  join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) c.relnamespace
  where i.indrelid operator(pg_catalog.=) pg_catalog.to_regclass(p_table)::oid
    and c.relname operator(pg_catalog.=) (pg_catalog.parse_ident(p_index))[1]::name
    and not i.indisvalid
    and pg_catalog.pg_has_role(c.relowner, 'USAGE')
    and not jobs_internal.is_built_now(c.oid);
end;
comment on function jobs_internal.invalid_index(text, text) is 'The invalid index of that name on that table that the caller may drop';

-- Purpose: what is left of an earlier attempt of this job: a qualified name, or null. Leaves the session with our path.
create or replace function jobs_internal.leftover(p_job bigint, p_path text)
returns text
language plpgsql volatile
as $$
declare
  v_made record;
  v_index text;
begin
  select m.index_table, m.index_name into v_made from jobs_internal.index_made(p_job) as m;
  if v_made.index_name is not null then
    perform pg_catalog.set_config('search_path', p_path, false);
    v_index := jobs_internal.invalid_index(v_made.index_table, v_made.index_name);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  end if;
  return v_index;
end
$$;
comment on function jobs_internal.leftover(bigint, text) is 'The invalid index that an earlier attempt of this job left; null: none';

-- Purpose: drop it, in a child session, before the next attempt builds. Commits. What goes wrong here shows when the attempt itself runs.
create or replace procedure jobs_internal.clear_leftover(p_session bigint, p_item jobs_internal.work_item, p_path text, p_baseline jsonb)
language plpgsql
as $$
declare
  v_index text := jobs_internal.leftover(p_item.job_id, p_path);
  v_pid integer;
  v_cookie bigint;
begin
  if v_index is null then
    return;
  end if;
  begin
    perform pg_catalog.set_config('client_min_messages', 'error', false),
      pg_catalog.set_config('statement_timeout', coalesce(p_item.timeout_ms, 600000)::text, false);
    select h.pid, h.cookie into v_pid, v_cookie
    from jobs_internal.launch_child('drop index concurrently ' || v_index, p_item.job_id || '/' || p_item.attempt) as h;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      v_pid := null;
  end;
  perform jobs_internal.wash(p_baseline);
  commit;
  while v_pid is not null and not jobs_internal.wait_child(v_pid, v_cookie, 20) loop
    perform jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
    commit;
  end loop;
  if v_pid is not null then
    perform jobs_internal.detach_child(v_pid, v_cookie);
  end if;
  commit;
end
$$;
comment on procedure jobs_internal.clear_leftover(bigint, jobs_internal.work_item, text, jsonb) is 'Drops the invalid index that an earlier attempt of this job left';
