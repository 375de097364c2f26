-- What an interrupted or failed CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves: invalid
-- indexes, in the way of the next attempt or of everything that writes. They are known by OID
-- (identity.sql). An attempt after the first drops them before it builds, one that ended by itself
-- drops what it left (clear_leftover.sql); where that cannot be, the error of the attempt says so,
-- and jobs.health, until they are gone.

-- Whether a session builds this index at this moment: then it is invalid because it is not ready.
-- REINDEX makes all new indexes of a table first, and shows one at a time.
create or replace function jobs_internal.is_built_now(p_index oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_stat_progress_create_index as p
    join pg_index as i on i.indexrelid = p_index
    where p.index_relid = p_index or (p.relid = i.indrelid and p.command = 'REINDEX CONCURRENTLY'));
end;

-- The job whose work a job looks after: of one that cleans up the one that left it; else itself.
create or replace function jobs_internal.whose_work(p_job bigint)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select o.cleans_up from jobs_internal.operation as o where o.job_id = p_job),
    p_job);
end;

-- The invalid indexes that a statement job left and that no session builds now, by what was noted
-- of it. Of a drop that did not get far one that was invalid before is not left by it.
-- Returns: index, name (qualified), droppable: its owner may drop it. What a rebuild of a TOAST
--   index leaves needs a superuser.
create or replace function jobs_internal.left_by(p_job bigint, p_target jsonb, p_identity jsonb)
returns table (index oid, name text, droppable boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
begin
  if p_identity is null or p_identity ?| array['missing', 'unsure', 'elsewhere']
    or p_target ? 'unsure' or (p_identity -> 'was_invalid')::boolean
    or v_kind not in ('create_index', 'drop_index', 'reindex')
    or not (p_target -> 'concurrently')::boolean
  then
    return;
  end if;
  return query
  select i.indexrelid, format('%I.%I', n.nspname, c.relname), v_kind <> 'drop_index'
    and n.nspname <> 'pg_toast'
    and (l.index is null or l.sure and not exists (
      select from jobs_internal.made_index as m
      where m.index = i.indexrelid and m.job_id <> jobs_internal.whose_work(p_job)))
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  left join jobs_internal.likely_indexes(p_target, p_identity) as l on l.index = i.indexrelid
  join pg_namespace as n on n.oid = c.relnamespace
  where not i.indisvalid and c.relkind = 'i'
    and case v_kind
      when 'create_index' then l.index is not null
        or i.indexrelid in (select jobs_internal.made_indexes(p_identity))
      when 'drop_index' then i.indexrelid = (p_identity ->> 'index')::oid
      else p_identity -> 'tables' @> to_jsonb(i.indrelid::bigint) and case
          when p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
            then c.relname ~ '_ccold[0-9]*$'
            and exists (select from jsonb_array_elements(p_identity -> 'leaves') as l
              where (l ->> 'oid')::oid = i.indexrelid and l ->> 'name' <> c.relname)
          else c.relname ~ '_cc(new|old)[0-9]*$' end
      end
    and not jobs_internal.is_built_now(i.indexrelid)
  order by i.indexrelid;
end
$$;

-- The same, of a job of the calling login.
create or replace function jobs_internal.leftovers(p_job bigint)
returns table (index oid, name text, droppable boolean)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select l.index, l.name, l.droppable
  from jobs_internal.noted(p_job) as n
  cross join lateral jobs_internal.left_by(p_job, n.target, n.identity) as l;
end;

-- Keep what a job left, so that jobs.health can list it; the caller has locked its row of
-- statement, as has each session that writes of this job here, so that this waits for none. Writes:
-- made_index.
create or replace function jobs_internal.store_leftover(p_job bigint, p_owner oid, p_target jsonb,
    p_identity jsonb)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.made_index (index, job_id)
  select l.index, jobs_internal.whose_work(p_job)
  from jobs_internal.left_by(p_job, p_target, p_identity) as l
  join pg_class as c on c.oid = l.index and pg_has_role(p_owner, c.relowner, 'usage')
  on conflict do nothing;
end;

-- Keep which indexes a job has made or dropped, so that jobs.health can list those that stay
-- invalid; those that are gone or valid are forgotten. p_built: the one that its watcher saw it
-- build. Writes: made_index, statement.
create or replace function jobs_internal.store_made_index(p_session bigint, p_job bigint,
    p_built oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_statement record;
begin
  if v_session.job_id is distinct from p_job then
    return;
  end if;
  select s.target, s.identity into v_statement from jobs_internal.statement as s
  where s.job_id = p_job for no key update;
  if p_built is not null then
    update jobs_internal.statement as s
    set identity = jsonb_set(s.identity, '{built}', coalesce(s.identity -> 'built', '[]')
        || to_jsonb(p_built::bigint))
    where s.job_id = p_job and jsonb_array_length(coalesce(s.identity -> 'built', '[]')) < 100;
  end if;
  delete from jobs_internal.made_index as d
  where (d.index, d.job_id) in (
    select m.index, m.job_id from jobs_internal.made_index as m
    where not exists (select from pg_index as i where i.indexrelid = m.index and not i.indisvalid)
    limit 100 for update skip locked);
  insert into jobs_internal.made_index (index, job_id)
  select c.oid, p_job from pg_class as c where c.oid = p_built
    and pg_has_role(v_session.owner, c.relowner, 'usage')
  on conflict do nothing;
  perform jobs_internal.store_leftover(p_job, v_session.owner, v_statement.target,
      v_statement.identity);
end
$$;

-- The index that a child session builds at this moment, once it is known and committed.
create or replace function jobs_internal.index_of_child(p_pid integer)
returns oid
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p.index_relid from pg_stat_progress_create_index as p where p.pid = p_pid
    and p.command = 'CREATE INDEX CONCURRENTLY'
    and exists (select from pg_index as i where i.indexrelid = p.index_relid);
end;

-- The invalid indexes that jobs left, as far as the caller may know of them, for jobs.health: how
-- many, their names, and the statements that remove them.
create or replace function jobs_internal.left_indexes(out count bigint, out names text,
    out remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*),
    left(string_agg(format('%I.%I (job %s)', n.nspname, c.relname, m.job_id), ', '
          order by m.index), 2000),
    left(string_agg(case when n.nspname = 'pg_toast'
        then format('as a superuser: drop index %I.%I;', n.nspname, c.relname)
        else format('drop index concurrently %I.%I;', n.nspname, c.relname) end, ' '
          order by m.index), 2000)
  from (select d.index, max(d.job_id) as job_id from jobs_internal.made_index as d group by d.index)
    as m
  join pg_index as i on i.indexrelid = m.index and not i.indisvalid
  join pg_class as c on c.oid = m.index
  join pg_namespace as n on n.oid = c.relnamespace
  where not jobs_internal.is_built_now(m.index)
    and (jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
        or jobs_internal.caller_is('jobs_supervisor')
      or c.relowner = jobs_internal.viewer());
end;
