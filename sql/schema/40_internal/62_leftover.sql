-- What an interrupted or failed CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves: invalid indexes, in the way of the next attempt or
-- of everybody who writes. An attempt after the first drops them before it builds, and the error of the attempt that left them says so.

-- Purpose: what a job of the calling login builds concurrently, as it stands in its statement; no row for other jobs.
create or replace function jobs_internal.index_made(p_job bigint)
returns table (command text, index_schema text, index_table text, index_name text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.command, c.index_schema, c.index_table, c.index_name
  from jobs_internal.statement as s
  join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.me()
  cross join lateral jobs_internal.classify(s.body) as c
  where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently')
$$;
comment on function jobs_internal.index_made(bigint) is 'What a job of the calling login builds concurrently';

-- Purpose: whether somebody builds this index at this moment: then it is invalid because it is not ready. REINDEX makes all new indexes of a
-- table first, and shows one at a time.
create or replace function jobs_internal.is_built_now(p_index oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_catalog.pg_stat_progress_create_index as p
    join pg_catalog.pg_index as i on i.indexrelid = p_index
    where p.index_relid = p_index or (p.relid = i.indrelid and p.command = 'REINDEX CONCURRENTLY'));
end;
comment on function jobs_internal.is_built_now(oid) is 'Somebody builds this index now';

-- Purpose: whether a job builds or drops an index concurrently.
create or replace function jobs_internal.builds_index(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.statement as s
    where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently'));
end;
comment on function jobs_internal.builds_index(bigint) is 'The job builds or drops an index concurrently';

-- Purpose: whether another job of the same owner builds or drops an index of the same table concurrently. Two of them wait for each other's
-- snapshots until one is a deadlock's victim and leaves an invalid index. A courtesy, from what their statements name: an index that another
-- session builds is not looked for. One table has many names (with its schema or by the path, quoted or not), so only the last part counts: two
-- tables of that name in two schemas merely wait for each other. What cannot be read for sure may be any table.
create or replace function jobs_internal.is_built_beside(p_job bigint)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with work as (
    select j.id, j.owner,
      case when last.part ~ '^"[^"]+"$' then pg_catalog.btrim(last.part, '"')
        -- Of U&"..." only the U is read: that may be any table.
        when last.part ~ '^[A-Za-z_0-9$]+$' and pg_catalog.lower(last.part) <> 'u' then pg_catalog.lower(last.part) end as table_name
    from (select p_job union all select r.job_id from jobs_internal.session as r where r.job_id <> p_job) as w(id)
    join jobs_internal.job as j on j.id = w.id
    join jobs_internal.statement as s on s.job_id = w.id
    cross join lateral jobs_internal.classify(s.body) as c
    cross join lateral (select pg_catalog.regexp_replace(c.index_table, '^.*[.]', '') as part) as last
    where s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently')
  )
  select exists (
    select from work as mine
    join work as other on other.id <> mine.id and other.owner = mine.owner
    where mine.id = p_job and coalesce(other.table_name = mine.table_name, true))
$$;
comment on function jobs_internal.is_built_beside(bigint) is 'Another job of the same owner builds or drops an index of the same table concurrently';

-- Purpose: the invalid indexes that such a statement left, as far as the caller may drop them and nobody builds them now; qualified. Names are
-- looked up with the caller's path: invoker on purpose. A REINDEX leaves indexes of its own making only: their names end in _ccnew or _ccold.
create or replace function jobs_internal.invalid_indexes(p_command text, p_schema text, p_table text, p_index text)
returns text[]
language sql volatile
begin atomic
  select pg_catalog.array_agg(pg_catalog.format('%I.%I', n.nspname, c.relname) order by c.oid)
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid operator(pg_catalog.=) i.indexrelid
  join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) c.relnamespace
  -- The indexed table; of a TOAST table the one that it serves.
  join pg_catalog.pg_class as t on t.oid operator(pg_catalog.=) i.indrelid or t.reltoastrelid operator(pg_catalog.=) i.indrelid
  where not i.indisvalid
    and t.relkind operator(pg_catalog.<>) 't'::"char"
    -- The copy of a TOAST index is out of an ordinary role's reach: it may not look into pg_toast.
    and pg_catalog.pg_has_role(c.relowner, 'USAGE') and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    and case when p_command operator(pg_catalog.=) 'create index concurrently' then
        t.oid operator(pg_catalog.=) pg_catalog.to_regclass(p_table)::oid
          and c.relname operator(pg_catalog.=) (pg_catalog.parse_ident(p_index))[1]::name
      else
        c.relname operator(pg_catalog.~) '_cc(new|old)[0-9]*$'
          and (p_table is null or t.oid operator(pg_catalog.=) pg_catalog.to_regclass(p_table)::oid)
          and (p_schema is null or t.relnamespace operator(pg_catalog.=) pg_catalog.to_regnamespace(p_schema)::oid)
          and (p_index is null or i.indrelid operator(pg_catalog.=) (
            select o.indrelid from pg_catalog.pg_index as o where o.indexrelid operator(pg_catalog.=) pg_catalog.to_regclass(p_index)::oid))
      end
    and not jobs_internal.is_built_now(c.oid);
end;
comment on function jobs_internal.invalid_indexes(text, text, text, text) is 'The invalid indexes that such a statement left and that the caller may drop';

-- Purpose: what is left of an earlier attempt of this job: qualified names, or null. Leaves the session with our path.
create or replace function jobs_internal.leftover(p_job bigint, p_path text)
returns text[]
language plpgsql volatile
as $$
declare
  v_made record;
  v_indexes text[];
begin
  select m.* into v_made from jobs_internal.index_made(p_job) as m;
  if found then
    perform pg_catalog.set_config('search_path', p_path, false);
    v_indexes := jobs_internal.invalid_indexes(v_made.command, v_made.index_schema, v_made.index_table, v_made.index_name);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  end if;
  return v_indexes;
end
$$;
comment on function jobs_internal.leftover(bigint, text) is 'The invalid indexes that an earlier attempt of this job left; null: none';

-- Purpose: drop them, each in a child session, before the next attempt builds. Commits. What goes wrong here shows when the attempt itself runs.
create or replace procedure jobs_internal.clear_leftover(p_session bigint, p_item jobs_internal.work_item, p_path text, p_baseline jsonb)
language plpgsql
as $$
declare
  v_indexes text[];
  v_pid integer;
  v_cookie bigint;
begin
  for v_try in 1 .. 3 loop  -- a drop may be a deadlock's victim, as the build was
    v_indexes := jobs_internal.leftover(p_item.job_id, p_path);
    exit when v_indexes is null;
    for v_i in 1 .. pg_catalog.cardinality(v_indexes) loop
      begin
        -- By this name it is found, should this session die before it has noted it.
        perform pg_catalog.set_config('application_name', pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('statement_timeout', coalesce(p_item.timeout_ms, 600000)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child('drop index concurrently ' || v_indexes[v_i], p_item.job_id || '/' || p_item.attempt) as h;
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
    end loop;
  end loop;
end
$$;
comment on procedure jobs_internal.clear_leftover(bigint, jobs_internal.work_item, text, jsonb) is 'Drops the invalid indexes that an earlier attempt of this job left';

-- Purpose: before REINDEX INDEX CONCURRENTLY runs: keep in its post-condition which index is there now. An attempt that asks the
-- post-condition first has it from the attempt that ended unseen. Commits. The name is looked up with the owner's path.
create or replace procedure jobs_internal.note_before(p_session bigint, inout p_item jobs_internal.work_item, p_path text)
language plpgsql
as $$
declare
  v_made record;
begin
  if not p_item.verify and pg_catalog.starts_with(p_item.done_when, 'select jobs_internal.index_is_rebuilt(') then
    select m.* into v_made from jobs_internal.index_made(p_item.job_id) as m;
    perform pg_catalog.set_config('search_path', p_path, false);
    p_item.done_when := pg_catalog.format('select jobs_internal.index_is_rebuilt(%L, %L)', v_made.index_name,
      pg_catalog.to_regclass(v_made.index_name)::pg_catalog.oid);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    perform jobs_internal.keep_post_condition(p_session, p_item.job_id, p_item.done_when);
    commit;
  end if;
end
$$;
comment on procedure jobs_internal.note_before(bigint, jobs_internal.work_item, text) is 'Keeps in a post-condition which index is there before REINDEX runs';

-- Purpose: write the post-condition of the job that the calling session runs.
create or replace function jobs_internal.keep_post_condition(p_session bigint, p_job bigint, p_done_when text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  update jobs_internal.statement set done_when = p_done_when where job_id = p_job and job_id = v_session.job_id;
end
$$;
comment on function jobs_internal.keep_post_condition(bigint, bigint, text) is 'Writes the post-condition of the job that the calling session runs';
