-- Whether a top-level statement has done its work: judged by the identity that was noted before its
-- first attempt, never by a name of its text. One function for each kind of statement.

-- Whether the work of a statement is done, by what was noted of it.
-- Returns: done (true, false, null: it cannot be known), why (what is missing, or why it cannot be
--   known), made (of CREATE INDEX; a JSON null: its name was there before, and IF NOT EXISTS made
--   nothing: no failure), skipped (tables that SKIP_LOCKED passed over: no failure), only (an
--   unnamed index: it is done if the session that made it said so).
create or replace function jobs_internal.judge_noted(p_target jsonb, p_identity jsonb)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
begin
  perform pg_stat_clear_snapshot();
  if p_target is null or p_target ? 'unsure' or p_identity is null or p_identity ? 'unsure' then
    return jsonb_build_object('done', null, 'why',
        coalesce(p_target ->> 'unsure', p_identity ->> 'unsure',
            'nothing was noted before it ran'));
  elsif p_identity ? 'elsewhere' then
    return '{"done": null, "why": "it ran in the database that this is a copy of"}';
  elsif p_identity ? 'missing' then
    return case when (p_target -> 'exists')::boolean and v_kind = 'drop_index'
      then '{"done": true, "why": "nothing bore that name before it ran"}'::jsonb
      else '{"done": null, "why": "nothing bore its name before it ran"}' end;
  end if;
  return case v_kind
    when 'create_index' then jobs_internal.judge_create_index(p_target, p_identity)
    when 'drop_index' then jsonb_build_object('done', not exists (select from pg_class as c
          where c.oid = (p_identity ->> 'index')::oid),
      'why', 'the index is still there, as ' || (p_identity ->> 'index')::oid::regclass::text)
    when 'detach' then jsonb_build_object('done', not exists (
        select from pg_inherits as h where h.inhrelid = (p_identity ->> 'partition')::oid
          and h.inhparent = (p_identity ->> 'table')::oid),
      'why', 'it is still a partition')
    when 'reindex' then jobs_internal.judge_reindex(p_target, p_identity)
    when 'create' then jsonb_build_object('done',
        jobs_internal.named_object(p_target ->> 'class', p_target ->> 'name')
      is distinct from (p_identity ->> 'oid')::oid
        and jobs_internal.named_object(p_target ->> 'class', p_target ->> 'name') is not null,
      'why', 'there is no new ' || (p_target ->> 'class') || ' of that name')
    when 'drop' then case
        when p_identity ->> 'oid' is null and not (p_target -> 'exists')::boolean
          then '{"done": null, "why": "nothing bore its name before it ran"}'::jsonb
        else jsonb_build_object('done',
            not jobs_internal.is_there(p_target ->> 'class', (p_identity ->> 'oid')::oid), 'why',
              'it is still there') end
    when 'move' then jsonb_build_object('done', exists (select from pg_database as d
      where d.oid = (p_identity ->> 'oid')::oid
        and d.dattablespace = (p_identity ->> 'tablespace')::oid), 'why',
        'it is in another tablespace')
    else jobs_internal.judge_maintenance(p_target, p_identity) end;
end
$$;

-- Whether the work of a statement job of the calling login is done: an object as of judge_noted.
create or replace function jobs_internal.judge(p_job bigint)
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.judge_noted(n.target, n.identity) from jobs_internal.noted(p_job) as n;
end;

-- Whether a database, tablespace or subscription of that OID exists.
create or replace function jobs_internal.is_there(p_class text, p_oid oid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_class
    when 'database' then exists (select from pg_database as d where d.oid = p_oid)
    when 'tablespace' then exists (select from pg_tablespace as t where t.oid = p_oid)
    else exists (select from pg_subscription as s where s.oid = p_oid) end;
end;

-- The indexes that a CREATE INDEX CONCURRENTLY made: what its watcher saw it build, else what bears
-- its name now and did not stand on the table before.
create or replace function jobs_internal.made_indexes(p_identity jsonb)
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select i.indexrelid
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indrelid = (p_identity ->> 'table')::oid
    and not p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
    and (coalesce(p_identity -> 'built' @> to_jsonb(i.indexrelid::bigint), false)
        or c.relname = (p_identity ->> 'name')::name);
end;

-- The indexes that may be of a CREATE INDEX CONCURRENTLY without a name, of which its watcher saw
-- none that is still there: new ones of its table, under a name as PostgreSQL gives them, of its
-- columns where these could be read.
-- Returns: sure: of all that there are it can be this one only; an invalid one that is not sure is
--   shown and never dropped.
create or replace function jobs_internal.likely_indexes(p_target jsonb, p_identity jsonb)
returns table (index oid, sure boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select i.indexrelid, p_target ->> 'columns' is not null and count(*) over () = 1
    and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass
        and d.objid = i.indexrelid and d.deptype = 'i')
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
  where p_target ->> 'kind' = 'create_index' and p_identity ->> 'name' is null
    and not exists (select from jobs_internal.made_indexes(p_identity))
    and i.indrelid = (p_identity ->> 'table')::oid
    and not p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint)
    and c.relname ~ '_idx[0-9]*$'
    and (p_target ->> 'columns' is null or i.indisunique = (p_target -> 'unique')::boolean
        and i.indpred is null and i.indexprs is null
      and p_target -> 'columns' = (
        select jsonb_agg(a.attname order by k.n)
        from unnest(i.indkey::smallint[]) with ordinality as k(attnum, n)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum));
end;

-- Judge, of CREATE INDEX CONCURRENTLY.
create or replace function jobs_internal.judge_create_index(p_target jsonb, p_identity jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_valid oid;
  v_made oid;
  v_name text := coalesce(p_identity ->> 'name', '');
begin
  select min(m) filter (where i.indisvalid and i.indisready and i.indislive), min(m) into v_valid,
    v_made
  from jobs_internal.made_indexes(p_identity) as m
  join pg_index as i on i.indexrelid = m;
  if v_valid is not null then
    return jsonb_build_object('done', true, 'made', v_valid::regclass::text);
  elsif v_made is not null then
    return jsonb_build_object('done', false, 'why',
        format('index %s is there and not valid', v_made::regclass));
  elsif exists (
    select from jobs_internal.likely_indexes(p_target, p_identity) as l
    join pg_index as i on i.indexrelid = l.index where i.indisvalid)
  then
    -- Its watcher may have missed a short build. Where its session noted that it was made, the only
    -- new index is the one.
    return (
      select jsonb_build_object('done', null, 'why',
          'its table has a new index, and the statement names none')
        || case when count(*) = 1 and bool_and(i.indisvalid and i.indisready and i.indislive)
          then '{"only": true}'::jsonb else '{}' end
      from jobs_internal.likely_indexes(p_target, p_identity) as l
      join pg_index as i on i.indexrelid = l.index);
  elsif exists (select from jobs_internal.likely_indexes(p_target, p_identity)) then
    return '{"done": false, "why": "its table has no new index that is valid"}';
  elsif (p_target -> 'exists')::boolean and exists (
    select from pg_class as c
    join pg_index as i on i.indexrelid = c.oid and i.indrelid = (p_identity ->> 'table')::oid
      and i.indisvalid and i.indisready and i.indislive
    where c.relname = v_name::name and p_identity -> 'before' @> to_jsonb(c.oid::bigint))
  then
    return jsonb_build_object('done', false, 'made', null, 'why',
        format('an index %s was there before: nothing was made', quote_ident(v_name)));
  elsif (p_identity -> 'taken')::boolean then
    return jsonb_build_object('done', false, 'why',
        format('what bears the name %s was there before, or is no valid index of this table',
            quote_ident(v_name)));
  end if;
  return '{"done": false, "why": "its table has no new index"}';
end
$$;

-- Judge, of REINDEX: each index that there was.
create or replace function jobs_internal.judge_reindex(p_target jsonb, p_identity jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_identity -> 'leaves' = '[]'
    then '{"done": null, "why": "there was no index that it rebuilds"}'::jsonb
    else jsonb_build_object('done', count(*) = 0, 'why', 'not rebuilt: '
        || left(string_agg(l.v ->> 'name', ', '), 1000)) end
  from jsonb_array_elements(p_identity -> 'leaves') as l(v)
  where exists (select from pg_class as t where t.oid = (l.v ->> 'table')::oid)
    and case when (p_target -> 'concurrently')::boolean then
        not exists (
          select from pg_index as i join pg_class as c on c.oid = i.indexrelid
          where i.indrelid = (l.v ->> 'table')::oid and c.relname = (l.v ->> 'name')::name
            and i.indexrelid <> (l.v ->> 'oid')::oid
            and i.indisvalid and i.indisready and i.indislive
            and jobs_internal.index_definition(i.indexrelid) = l.v ->> 'definition')
        or exists (
          select from pg_index as i join pg_class as c on c.oid = i.indexrelid
          where i.indexrelid = (l.v ->> 'oid')::oid
            and not (c.relname ~ '_ccold[0-9]*$' and not i.indisvalid))
      else exists (
        select from pg_class as c
        where c.oid = (l.v ->> 'oid')::oid
          and pg_relation_filenode(c.oid)::bigint = (l.v ->> 'file')::bigint) end;
end;

-- Judge, of VACUUM, ANALYZE and CLUSTER: each table. A new file shows VACUUM FULL and CLUSTER; the
-- others are counted for each table; a lower count was reset meanwhile, and counts from zero.
create or replace function jobs_internal.judge_maintenance(p_target jsonb, p_identity jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rewrites boolean := p_target ->> 'kind' = 'cluster'
    or coalesce((p_target -> 'full')::boolean, false);
  v_vacuums boolean := not v_rewrites and coalesce((p_target -> 'vacuums')::boolean, false);
  v_analyzes boolean := coalesce((p_target -> 'analyzes')::boolean, false);
  v_left text;
begin
  if not v_rewrites and current_setting('track_counts') = 'off' then
    return '{"done": null, "why": "nothing is counted: track_counts is off"}';
  elsif not v_rewrites and not v_vacuums and not v_analyzes then
    return '{"done": null, "why": "with these options nothing shows what it did"}';
  end if;
  select left(string_agg((l.v ->> 'oid')::oid::regclass::text, ', '), 1000) into v_left
  from jsonb_array_elements(p_identity -> 'leaves') as l(v)
  where exists (select from pg_class as t where t.oid = (l.v ->> 'oid')::oid)
    and (v_rewrites and l.v ->> 'kind' in ('r', 'm', 't')
        and pg_relation_filenode((l.v ->> 'oid')::oid)::bigint = (l.v ->> 'file')::bigint
      or v_vacuums and l.v ->> 'kind' in ('r', 'm', 't')
      and pg_stat_get_vacuum_count((l.v ->> 'oid')::oid) in (0, (l.v ->> 'vacuums')::bigint)
      or v_analyzes and l.v ->> 'kind' in ('r', 'm', 'p', 'f')
      and pg_stat_get_analyze_count((l.v ->> 'oid')::oid) in (0, (l.v ->> 'analyzes')::bigint));
  return jsonb_build_object('done', v_left is null, 'why', 'PostgreSQL passed over ' || v_left)
    || case when v_left is not null and coalesce((p_target -> 'skips')::boolean, false)
      then jsonb_build_object('skipped', v_left) else '{}' end;
end
$$;
