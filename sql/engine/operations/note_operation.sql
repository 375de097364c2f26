-- What is known of a long operation before it runs: its row, and the object that it works on.

-- Make the row of a statement job that is a long operation. p_operation: as operation_of; null:
-- it is none. Writes: operation.
create or replace function jobs_internal.store_operation(p_job bigint, p_owner oid,
    p_operation jsonb, p_object text, p_undo text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.operation (job_id, owner, kind, object_name, lock_mode, undo_sql)
  select p_job, p_owner, k.kind, left(p_object, 200), coalesce(k.lock_mode,
      p_operation ->> 'lock_mode'), p_undo
  from jobs_internal.operation_kinds() as k
  where k.kind = p_operation ->> 'kind'
  -- the next step of a job
  on conflict (job_id) do update set kind = excluded.kind, object_name = excluded.object_name,
    lock_mode = excluded.lock_mode, percent = null;
end;

-- The names that a statement writes, looked up with the caller's path and rights: invoker on
-- purpose. {object, other: []}: OIDs; null: nothing bears the name, or it cannot be looked up.
-- p_target, p_operation: as target_of and operation_of read them.
create or replace function jobs_internal.look_up(p_target jsonb, p_operation jsonb)
returns jsonb
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text := coalesce(p_target operator(pg_catalog.->>) 'table',
      p_target operator(pg_catalog.->>) 'index', p_target operator(pg_catalog.->>) 'name',
      case when p_target operator(pg_catalog.->>) 'kind' operator(pg_catalog.=) 'other'
        then p_target operator(pg_catalog.->>) 'object' end,
      (p_target operator(pg_catalog.#>>) '{tables, 0, name}'));
  v_other pg_catalog.text;
  v_found pg_catalog.jsonb;
begin
  if p_operation is null or v_name is null
    or pg_catalog.jsonb_exists(p_target, 'unsure')
    or p_target operator(pg_catalog.->>) 'scope'
      operator(pg_catalog.=) any (array['schema', 'database', 'system']) then
    return null;
  end if;
  v_found := pg_catalog.jsonb_build_object('object',
      pg_catalog.to_regclass(v_name)::pg_catalog.oid::pg_catalog.int8);
  foreach v_other in array array[p_operation operator(pg_catalog.->>) 'references',
      p_operation operator(pg_catalog.->>) 'partition'] loop
    if v_other is not null then
      v_found := pg_catalog.jsonb_set(v_found, '{other}', coalesce(
          v_found operator(pg_catalog.->) 'other', '[]') operator(pg_catalog.||)
          pg_catalog.to_jsonb(pg_catalog.to_regclass(v_other)::pg_catalog.oid::pg_catalog.int8));
    end if;
  end loop;
  for v_other in select t.v operator(pg_catalog.->>) 'name'
    from pg_catalog.jsonb_array_elements(case when pg_catalog.jsonb_typeof(
          p_target operator(pg_catalog.->) 'tables') operator(pg_catalog.=) 'array'
      then p_target operator(pg_catalog.->) 'tables' else '[]' end) with ordinality as t(v, n)
    where t.n operator(pg_catalog.>) 1 loop
    v_found := pg_catalog.jsonb_set(v_found, '{other}', coalesce(
        v_found operator(pg_catalog.->) 'other', '[]') operator(pg_catalog.||)
        pg_catalog.to_jsonb(pg_catalog.to_regclass(v_other)::pg_catalog.oid::pg_catalog.int8));
  end loop;
  return v_found;
exception
  when query_canceled then
    raise;
  when others then
    return null;  -- no right to look into a schema, another database: it will say so itself
end
$$;

-- The statement and the operation of a job of the calling login, as they are read from its text;
-- null: it is no long operation.
create or replace function jobs_internal.operation_text(p_job bigint, out target jsonb,
    out operation jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_body text;
  v_words text[];
  v_raw text[];
begin
  select s.target, s.body into target, v_body
  from jobs_internal.statement as s
  join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
  join jobs_internal.operation as o on o.job_id = s.job_id
  where s.job_id = p_job;
  if found then
    select l.words, l.raw into v_words, v_raw from jobs_internal.lex(v_body) as l;
    operation := jobs_internal.operation_of(v_words, v_raw, target);
  end if;
end
$$;

-- The objects that an operation works on, as its names mean them now (as look_up); null: it is no
-- long operation, or that cannot be told. Invoker on purpose. Writes nothing, and leaves the
-- session with the path that it has. p_path: that of the statement; null: that of now.
create or replace function jobs_internal.objects_of(p_job bigint, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_read record;
  v_path pg_catalog.text := pg_catalog.current_setting('search_path');
  v_found pg_catalog.jsonb;
begin
  v_read := jobs_internal.operation_text(p_job);
  if v_read.operation is null then
    return null;
  end if;
  if p_path is not null then
    perform pg_catalog.set_config('search_path', p_path, false);
  end if;
  v_found := jobs_internal.look_up(v_read.target, v_read.operation);
  if p_path is not null then
    perform pg_catalog.set_config('search_path', v_path, false);
  end if;
  return v_found;
end
$$;

-- Note the objects of an operation that this transaction has enqueued, and of no other: where its
-- unique key was taken, the job is an older one. Invoker on purpose. Writes: operation.
create or replace function jobs_internal.note_object(p_job bigint)
returns void
language plpgsql volatile
as $$
declare
  v_found pg_catalog.jsonb := jobs_internal.objects_of(p_job, null);
begin
  if v_found is not null then
    perform jobs_internal.store_object(p_job, v_found, true);
  end if;
end
$$;

-- The tables that an operation on these relations works on: the relations themselves, of an index
-- its table, and the partitions of each. Two operations that have one of them in common do not run
-- at once where their locks exclude each other. So only those count that p_owner may lock itself:
-- else one tenant could keep the operations of another from starting. Sorted; some thousands at
-- most.
create or replace function jobs_internal.locked_relations(p_found jsonb, p_owner oid)
returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select array(
    select distinct coalesce(m.relid, r.id)
    from (
      select coalesce(i.indrelid, f.id) as id
      from (
        select (p_found ->> 'object')::oid as id
        union
        select (e #>> '{}')::oid from jsonb_array_elements(coalesce(p_found -> 'other', '[]')) as e
      ) as f
      left join pg_index as i on i.indexrelid = f.id
      where f.id is not null
    ) as r
    join pg_class as c on c.oid = r.id and (pg_has_role(p_owner, c.relowner, 'usage')
        or has_table_privilege(p_owner, c.oid,
            'maintain, update, delete, truncate, references'))
    -- from the catalog: pg_partition_tree would wait for the lock of each
    left join lateral jobs_internal.members(r.id, c.relkind <> 'p') as m(relid) on true
    order by 1
    limit 10000);
end;

-- Keep the objects of an operation of the calling login. p_new: only if this transaction enqueued
-- it.
-- Writes: operation.
create or replace function jobs_internal.store_object(p_job bigint, p_found jsonb,
    p_new boolean default false)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.operation as o
  set object = coalesce(c.oid, o.object),
    object_name = coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), o.object_name),
    relations = jobs_internal.locked_relations(p_found, o.owner)
  from (select (p_found ->> 'object')::oid as id) as f
  left join pg_class as c on c.oid = f.id
  left join pg_namespace as n on n.oid = c.relnamespace
  where o.job_id = p_job and o.owner = jobs_internal.caller()
    and (not p_new or o.created_at = now())
    -- no write, and no lock, where nothing is new
    and (o.object, o.relations) is distinct from (coalesce(c.oid, o.object),
        jobs_internal.locked_relations(p_found, o.owner));
end;
