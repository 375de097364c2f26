-- What an interrupted or failed CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves: invalid indexes, in the way of the next attempt or
-- of everything that writes. They are known by OID (61_identity.sql). An attempt after the first drops them before it builds, one that ended
-- well although it left something drops that; the error of the attempt that left them says so, and jobs.health, until they are gone.

-- Purpose: whether a session builds this index at this moment: then it is invalid because it is not ready. REINDEX makes all new indexes of a
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
comment on function jobs_internal.is_built_now(oid) is 'A session builds this index now';

-- Purpose: whether a job builds or drops an index concurrently.
create or replace function jobs_internal.builds_index(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.statement as s join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.me()
    where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently'));
end;
comment on function jobs_internal.builds_index(bigint) is 'The job builds or drops an index concurrently';

-- Purpose: whether another job of the same owner builds or drops an index of the same table concurrently. Two of them wait for each other's
-- snapshots until one is a deadlock's victim and leaves an invalid index. A courtesy, from what their statements name: an index that another
-- role builds is not looked for. One of them may name the schema and the other not, so that the last part of the name decides.
create or replace function jobs_internal.is_built_beside(p_job bigint)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with work as (
    select j.id, j.owner, (case when s.target ->> 'kind' = 'create_index' then pg_catalog.parse_ident(s.target ->> 'table')
      when s.target ->> 'scope' = 'table' then pg_catalog.parse_ident(s.target ->> 'name') end) as names
    from (select p_job union all select r.job_id from jobs_internal.session as r where r.job_id <> p_job) as w(id)
    join jobs_internal.job as j on j.id = w.id
    join jobs_internal.statement as s on s.job_id = w.id
    where s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently')
  )
  select exists (
    select from work as mine
    join work as other on other.id <> mine.id and other.owner = mine.owner
    where mine.id = p_job
      and coalesce(other.names[pg_catalog.cardinality(other.names)] = mine.names[pg_catalog.cardinality(mine.names)], true))
$$;
comment on function jobs_internal.is_built_beside(bigint) is 'Another job of the same owner builds or drops an index of the same table concurrently';

-- Purpose: the invalid indexes that a statement job of the calling login left and that no session builds now.
-- Returns: index, name (qualified), droppable: its owner may drop it. What a rebuild of a TOAST index leaves needs a superuser.
create or replace function jobs_internal.leftovers(p_job bigint)
returns table (index oid, name text, droppable boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_noted record;
  v_kind text;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  v_kind := v_noted.target ->> 'kind';
  if v_noted.identity is null or v_noted.identity ?| array['missing', 'unsure'] or v_noted.target ? 'unsure'
    or v_kind not in ('create_index', 'drop_index', 'reindex') or not (v_noted.target -> 'concurrently')::boolean
  then
    return;
  end if;
  return query
  select i.indexrelid, format('%I.%I', n.nspname, c.relname), v_kind <> 'drop_index' and n.nspname <> 'pg_toast'
    and coalesce(l.sure and not exists (
      select from jobs_internal.made_index as m where m.index = i.indexrelid and m.job_id <> p_job), true)
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  left join jobs_internal.likely_indexes(v_noted.target, v_noted.identity) as l on l.index = i.indexrelid
  join pg_namespace as n on n.oid = c.relnamespace
  where not i.indisvalid and c.relkind = 'i'
    and case v_kind
      when 'create_index' then l.index is not null or i.indexrelid in (select jobs_internal.made_indexes(v_noted.identity))
      when 'drop_index' then i.indexrelid = (v_noted.identity ->> 'index')::oid
      else v_noted.identity -> 'tables' @> to_jsonb(i.indrelid::bigint) and case
          when v_noted.identity -> 'before' @> to_jsonb(i.indexrelid::bigint) then c.relname ~ '_ccold[0-9]*$'
            and exists (select from jsonb_array_elements(v_noted.identity -> 'leaves') as l
              where (l ->> 'oid')::oid = i.indexrelid and l ->> 'name' <> c.relname)
          else c.relname ~ '_cc(new|old)[0-9]*$' end
      end
    and not jobs_internal.is_built_now(i.indexrelid)
  order by i.indexrelid;
end
$$;
comment on function jobs_internal.leftovers(bigint) is 'The invalid indexes that a statement job of the calling login left';

-- Purpose: keep which indexes a job has made or dropped, so that jobs.health can tell of those that stay invalid; those that are gone or valid are
-- forgotten. p_learned: the one that its watcher saw it build. Writes: made_index, statement.
create or replace function jobs_internal.keep_made(p_session bigint, p_job bigint, p_learned oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  if v_session.job_id is distinct from p_job then
    return;
  end if;
  if p_learned is not null then
    update jobs_internal.statement as s
    set identity = jsonb_set(s.identity, '{learned}', coalesce(s.identity -> 'learned', '[]') || to_jsonb(p_learned::bigint))
    where s.job_id = p_job and jsonb_array_length(coalesce(s.identity -> 'learned', '[]')) < 100;
  end if;
  delete from jobs_internal.made_index as d
  where d.index in (
    select m.index from jobs_internal.made_index as m
    where not exists (select from pg_index as i where i.indexrelid = m.index and not i.indisvalid)
    limit 100 for update skip locked);
  insert into jobs_internal.made_index (index, job_id)
  select o.index, p_job
  from (
    select l.index from jobs_internal.leftovers(p_job) as l
    union
    select p_learned where p_learned is not null
  ) as o
  join pg_class as c on c.oid = o.index and pg_has_role(v_session.owner, c.relowner, 'usage')
  on conflict do nothing;
end
$$;
comment on function jobs_internal.keep_made(bigint, bigint, oid) is 'Keeps which indexes a job has made or dropped';

-- Purpose: the index that a child session builds at this moment, once it is known and committed.
create or replace function jobs_internal.index_of_child(p_pid integer)
returns oid
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p.index_relid from pg_stat_progress_create_index as p where p.pid = p_pid and p.command = 'CREATE INDEX CONCURRENTLY'
    and exists (select from pg_index as i where i.indexrelid = p.index_relid);
end;
comment on function jobs_internal.index_of_child(integer) is 'The index that a child session builds at this moment';

-- Purpose: drop what is left of a job, each index in a child session. Commits. What goes wrong here shows when the attempt itself runs.
-- p_lock_ms: how long each waits for a lock; null: as long as the job may run.
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb
)
language plpgsql
as $$
declare
  v_drops text[];
  v_pid integer;
  v_cookie bigint;
begin
  for v_try in 1 .. case when p_lock_ms is null then 3 else 1 end loop  -- a drop may be a deadlock's victim, as the build was
    v_drops := array(select 'drop index concurrently ' operator(pg_catalog.||) l.name from jobs_internal.leftovers(p_item.job_id) as l where l.droppable);
    exit when v_drops = '{}';
    for v_i in 1 .. pg_catalog.cardinality(v_drops) loop
      begin
        -- By this name it is found, should this session die before it has noted it.
        perform pg_catalog.set_config('application_name', pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('lock_timeout', coalesce(p_lock_ms, 0)::text, false),
          pg_catalog.set_config('statement_timeout', coalesce(p_item.timeout_ms, 600000)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_drops[v_i], p_item.job_id || '/' || p_item.attempt) as h;
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
comment on procedure jobs_internal.clear_leftover(bigint, jobs_internal.work_item, integer, jsonb) is 'Drops the invalid indexes that a job left';

-- Purpose: the invalid indexes that jobs left, as far as the caller may know of them, for jobs.health: how many, their names, and the statements that remove them.
create or replace function jobs_internal.left_indexes(out count bigint, out names text, out remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.count(*),
    pg_catalog.left(string_agg(pg_catalog.format('%I.%I (job %s)', n.nspname, c.relname, m.job_id), ', ' order by m.index), 2000),
    pg_catalog.left(string_agg(case when n.nspname = 'pg_toast'
        then pg_catalog.format('as a superuser: drop index %I.%I;', n.nspname, c.relname)
        else pg_catalog.format('drop index concurrently %I.%I;', n.nspname, c.relname) end, ' ' order by m.index), 2000)
  from jobs_internal.made_index as m
  join pg_catalog.pg_index as i on i.indexrelid = m.index and not i.indisvalid
  join pg_catalog.pg_class as c on c.oid = m.index
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where not jobs_internal.is_built_now(m.index)
    and (jobs_internal.may('jobs_reader') or jobs_internal.may('jobs_operator') or jobs_internal.may('jobs_supervisor')
      or c.relowner = jobs_internal.viewer());
end;
comment on function jobs_internal.left_indexes() is 'The invalid indexes that jobs left, and the statements that remove them';
