-- The identity of what a top-level statement works on: the OIDs that its names meant when its first
-- attempt began, and how things stood then. It is noted once, before that attempt, and everything
-- later is judged by it (condition.sql), whatever names and paths say by then.
--
-- Two steps: names become OIDs with the path of the statement and the rights of its owner
-- (found_by: invoker); the rest is read by OID.

-- The columns that make an index what it is, for comparison with another one of the same table.
-- Expressions and the condition as they are stored: pg_get_expr would lock the table, and wait.
create or replace function jobs_internal.index_definition(p_index oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select md5(row(i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text,
        i.indoption::text, i.indisunique, i.indnullsnotdistinct,
    i.indexprs::text, i.indpred::text, c.relam, c.reloptions)::text)
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indexrelid = p_index;
end;

-- A table and what PostgreSQL does with it: its partitions and, from PostgreSQL 18 on, the tables
-- that inherit from it.
create or replace function jobs_internal.members(p_table oid, p_only boolean)
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  with recursive m(id) as (
    select p_table
    union
    select h.inhrelid from m join pg_inherits as h on h.inhparent = m.id
    where not p_only and not h.inhdetachpending
      and (current_setting('server_version_num')::integer >= 180000
        or exists (select from pg_class as c where c.oid = m.id and c.relkind in ('p', 'I')))
  )
  select m.id from m;
end;

-- The indexes that a REINDEX rebuilds: each with its table, its name, its file and its definition.
-- It leaves out what PostgreSQL leaves out: invalid ones and those of exclusion constraints where
-- it works concurrently, tables that the caller may not maintain in a whole schema.
-- Null: more than we keep.
create or replace function jobs_internal.rebuilt_indexes(p_target jsonb, p_found jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_scope text := p_target ->> 'scope';
  v_concurrently boolean := (p_target -> 'concurrently')::boolean;
  v_tables oid[];
  v_indexes oid[];
begin
  if v_scope = 'index' then
    v_indexes := array(select m
        from jobs_internal.members((p_found ->> 'relation')::oid, false) as m);
  else
    v_tables := case when v_scope = 'table'
      then array(select m from jobs_internal.members((p_found ->> 'relation')::oid, false) as m
        where m = (p_found ->> 'relation')::oid
          or exists (select from pg_class as p where p.oid = (p_found ->> 'relation')::oid
              and p.relkind = 'p'))
      else array(
        select c.oid from pg_class as c
        where c.relkind in ('r', 'm') and c.relpersistence <> 't'
          and case when v_scope = 'schema' then c.relnamespace = (p_found ->> 'schema')::oid
            when v_scope = 'system' then c.oid < 16384 and not v_concurrently else c.oid >= 16384
              or not v_concurrently end
          and has_table_privilege(c.oid, 'MAINTAIN')
        limit 3001) end;
    if cardinality(v_tables) > 3000 then
      return null;
    end if;
    v_tables := v_tables || array(select c.reltoastrelid from pg_class as c
        where c.oid = any (v_tables) and c.reltoastrelid <> 0);
    v_indexes := array(select i.indexrelid from pg_index as i where i.indrelid = any (v_tables));
  end if;
  return (
    select jsonb_build_object('tables', coalesce(jsonb_agg(distinct i.indrelid::bigint), '[]'),
      -- all of the tables: what another session left there is not ours
      'before', (select coalesce(jsonb_agg(a.indexrelid::bigint), '[]') from pg_index as a
        where a.indrelid in (select b.indrelid from pg_index as b
          where b.indexrelid = any (v_indexes))),
      'leaves', coalesce(jsonb_agg(jsonb_build_object('oid', i.indexrelid::bigint, 'name',
            c.relname, 'table', i.indrelid::bigint,
          'file', pg_relation_filenode(i.indexrelid)::bigint, 'definition',
            jobs_internal.index_definition(i.indexrelid)) order by i.indexrelid)
        filter (where not v_concurrently or (i.indisvalid and not i.indisexclusion)), '[]'))
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relkind = 'i' and i.indexrelid = any (v_indexes));
end
$$;

-- What VACUUM, ANALYZE or CLUSTER does something to: each table with its file and how often it was
-- vacuumed and analyzed.
create or replace function jobs_internal.maintenance_targets(p_found jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(jsonb_agg(distinct jsonb_build_object('oid', m.id::bigint, 'kind', c.relkind,
        'file', pg_relation_filenode(m.id)::bigint,
    'vacuums', pg_stat_get_vacuum_count(m.id), 'analyzes', pg_stat_get_analyze_count(m.id))), '[]')
  from jsonb_array_elements(p_found -> 'tables') as t
  cross join lateral jobs_internal.members((t ->> 'table')::oid, (t -> 'only')::boolean) as m(id)
  join pg_class as c on c.oid = m.id;
end;

-- The identity of a target, of the OIDs that its names mean. Reads only; p_found: of found_by.
-- Returns: an object; missing: nothing bears its name; unsure: why it says nothing.
create or replace function jobs_internal.identity_of(p_target jsonb, p_found jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
  v_table oid := (p_found ->> 'table')::oid;
  v_name name;
  v_leaves jsonb;
begin
  perform pg_stat_clear_snapshot();
  if v_kind = 'create_index' then
    v_name := (parse_ident(p_target ->> 'index'))[1]::name;
    return case when v_table is null then '{"missing": true}'
      else jsonb_build_object('table', v_table::bigint, 'name', v_name,
      'schema', (select c.relnamespace::bigint from pg_class as c where c.oid = v_table),
      'before', (select coalesce(jsonb_agg(i.indexrelid::bigint), '[]') from pg_index as i
          where i.indrelid = v_table),
      'taken', exists (select from pg_class as t
          join pg_class as c on c.relnamespace = t.relnamespace where t.oid = v_table
            and c.relname = v_name)) end;
  elsif v_kind = 'drop_index' then
    return case when p_found ->> 'index' is null then '{"missing": true}'::jsonb
      else p_found || jsonb_build_object('was_invalid', exists (select from pg_index as i
          where i.indexrelid = (p_found ->> 'index')::oid and not i.indisvalid)) end;
  elsif v_kind = 'detach' then
    return case when exists (
        select from pg_inherits as h where h.inhparent = v_table
          and h.inhrelid = (p_found ->> 'partition')::oid)
      then p_found else '{"missing": true}' end;
  elsif v_kind = 'reindex' then
    if (p_target ->> 'scope' in ('index', 'table') and p_found ->> 'relation' is null)
      or (p_target ->> 'scope' = 'schema' and p_found ->> 'schema' is null)
    then
      return '{"missing": true}';
    end if;
    return coalesce(jobs_internal.rebuilt_indexes(p_target, p_found),
        '{"unsure": "it rebuilds the indexes of more than 3000 tables"}');
  elsif v_kind in ('vacuum', 'analyze', 'cluster') then
    if v_kind = 'cluster' then
      p_found := jsonb_build_object('tables',
          jsonb_build_array(jsonb_build_object('table', p_found -> 'table', 'only', false)));
    end if;
    if exists (select from jsonb_array_elements(p_found -> 'tables') as t
        where t ->> 'table' is null) then
      return '{"missing": true}';
    end if;
    v_leaves := jobs_internal.maintenance_targets(p_found);
    return case when v_leaves = '[]'
      then '{"unsure": "it names no table: PostgreSQL chooses them itself"}'::jsonb
      when jsonb_array_length(v_leaves) > 3000
        then '{"unsure": "it works on more than 3000 tables"}'
      else jsonb_build_object('leaves', v_leaves) end;
  elsif v_kind in ('create', 'drop', 'move') then
    return jsonb_build_object('oid',
        jobs_internal.named_object(p_target ->> 'class', p_target ->> 'name')::bigint,
      'tablespace', jobs_internal.named_object('tablespace', p_target ->> 'tablespace')::bigint);
  end if;
  return null;
end
$$;

-- The OID of a database, tablespace or subscription of this database; null: there is none of that
-- name.
create or replace function jobs_internal.named_object(p_class text, p_name text)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_class
    when 'database' then (select d.oid from pg_database as d
        where d.datname = (parse_ident(p_name))[1]::name)
    when 'tablespace' then (select t.oid from pg_tablespace as t
        where t.spcname = (parse_ident(p_name))[1]::name)
    when 'subscription' then (
      select s.oid from pg_subscription as s
      where s.subname = (parse_ident(p_name))[1]::name
        and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database()))
    end;
end;

-- The target and the identity of a statement job of the calling login, as noted.
create or replace function jobs_internal.noted(p_job bigint, out target jsonb, out identity jsonb)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.target, s.identity
  from jobs_internal.statement as s
  join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
  where s.job_id = p_job;
end;

-- Keep the identity of the statement that the calling session runs. Writes: statement.
create or replace function jobs_internal.store_identity(p_session bigint, p_job bigint,
    p_identity jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  update jobs_internal.statement
  set identity = case when octet_length(p_identity::text) <= 4000000 then p_identity
    else '{"unsure": "it works on too much"}' end
  where job_id = p_job and job_id = v_session.job_id;
end
$$;

-- Note the identity of what a job works on, unless an earlier attempt did; to be committed before
-- it runs. An identity that says nothing is noted anew. Leaves the session with our path. Invoker
-- on purpose: names are looked up with the owner's rights.
create or replace function jobs_internal.note_identity(p_session bigint, p_job bigint, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_noted record;
  v_found jsonb;
  v_identity jsonb;
begin
  select n.target, n.identity into v_noted from jobs_internal.noted(p_job) as n;
  if v_noted.target is null or pg_catalog.jsonb_exists(v_noted.target, 'unsure')
    or (v_noted.identity is not null
        and not pg_catalog.jsonb_exists_any(v_noted.identity, array['missing', 'unsure']))
  then
    return v_noted.identity;
  end if;
  begin
    perform pg_catalog.set_config('search_path', p_path, false);
    v_found := jobs_internal.found_by(v_noted.target);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    v_identity := jobs_internal.identity_of(v_noted.target, v_found);
  exception
    when query_canceled then
      raise;
    when others then
      v_identity := pg_catalog.jsonb_build_object('unsure', pg_catalog.left(sqlerrm, 300));
  end;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if v_identity is not null then
    perform jobs_internal.store_identity(p_session, p_job, v_identity);
  end if;
  return v_identity;
end
$$;

-- Count anew how often the tables of a job of the calling session were vacuumed and analyzed, right
-- before it runs: what an attempt before it counted may be of before a crash, which resets the
-- counts. To be committed before it runs. Does nothing where no counts are noted. Writes:
-- statement.
create or replace function jobs_internal.count_anew(p_session bigint, p_job bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  perform pg_stat_clear_snapshot();
  update jobs_internal.statement as s
  set identity = jsonb_set(s.identity, '{leaves}', n.leaves)
  from (
    select s.job_id, jsonb_agg(l.v || jsonb_build_object(
        'vacuums', pg_stat_get_vacuum_count((l.v ->> 'oid')::oid),
        'analyzes', pg_stat_get_analyze_count((l.v ->> 'oid')::oid)) order by l.n) as leaves
    from jobs_internal.statement as s
    cross join lateral jsonb_array_elements(case
      when jsonb_typeof(s.identity -> 'leaves') = 'array' then s.identity -> 'leaves'
      else '[]' end) with ordinality as l(v, n)
    where s.job_id = p_job and s.job_id = v_session.job_id and l.v ? 'vacuums'
    group by s.job_id
  ) as n
  where s.job_id = n.job_id and s.identity -> 'leaves' is distinct from n.leaves;
end
$$;
