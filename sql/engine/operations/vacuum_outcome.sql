-- What VACUUM did, and why it could not remove all dead rows. Its VERBOSE lines cannot be had by
-- the session that watches it: the counters of the table before and after are kept instead, and who
-- kept the server from removing rows, as things stood when it began: VACUUM decides by that.

-- What keeps dead rows of this database: the sessions, prepared transactions and replication slots
-- with the oldest transactions, five at most, the oldest first: [{why, pid, name, role, age}]; age
-- in transactions. Autovacuum and lazy VACUUM keep none, nor does the session that asks.
create or replace function jobs_internal.row_keepers()
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(jsonb_strip_nulls(to_jsonb(k)) order by k.age desc)
  from (
    select 'snapshot' as why, a.pid, null::text as name, pg_get_userbyid(a.usesysid)::text as role,
      greatest(age(a.backend_xmin), age(a.backend_xid)) as age, a.backend_start as since
    from pg_stat_get_activity(null) as a
    where (a.datid = (select d.oid from pg_database as d where d.datname = current_database())
        or a.backend_type = 'walsender')
      and coalesce(a.backend_xmin, a.backend_xid) is not null and a.pid <> pg_backend_pid()
      and a.backend_type <> 'autovacuum worker'
      and not exists (select from pg_stat_progress_vacuum as v where v.pid = a.pid)
    union all
    select 'prepared transaction', null, x.gid, x.owner::text, age(x.transaction), x.prepared
    from pg_prepared_xacts as x where x.database = current_database()
    union all
    select 'replication slot', null, s.slot_name::text, null, age(s.xmin), null
    from pg_replication_slots as s where s.xmin is not null
    order by 5 desc
    limit 5
  ) as k;
end;

-- The counters of the tables that an operation works on, all together: {dead_rows, live_rows,
-- pages, frozen_age}; null: it is not known which they are.
create or replace function jobs_internal.vacuum_counters(p_relations oid[])
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('dead_rows', sum(pg_stat_get_dead_tuples(c.oid)),
    'live_rows', sum(pg_stat_get_live_tuples(c.oid)), 'pages', sum(greatest(c.relpages, 0)),
    'frozen_age', max(age(c.relfrozenxid)))
  from pg_class as c
  where c.oid = any (p_relations) and c.relkind in ('r', 'm', 't')
  having count(*) > 0;
end;

-- Note how things stand before VACUUM begins, for the attempt of the calling session. Does nothing
-- for other operations. Writes: operation.
create or replace function jobs_internal.before_vacuum(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session), pg_stat_clear_snapshot();
  update jobs_internal.operation as o
  set output = coalesce(o.output, '{}') || jsonb_build_object('vacuum', jsonb_build_object(
    'attempt', p_attempt, 'before', jobs_internal.vacuum_counters(o.relations),
    'keepers', jobs_internal.row_keepers()))
  where o.job_id = p_job and o.kind in ('vacuum', 'vacuum full')
    and o.owner = jobs_internal.caller();
end
$$;

-- Note how things stand after VACUUM, and say why dead rows stayed. Returns what the result of the
-- job gets: {dead_rows, pages, frozen_age: [before, after], not_removed_because}; null: no VACUUM,
-- or it is not known of which table. Writes: operation.
create or replace function jobs_internal.after_vacuum(p_session bigint, p_job bigint,
    p_attempt integer)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_operation jobs_internal.operation;
  v_before jsonb;
  v_after jsonb;
  v_there jsonb;
  v_said text;
begin
  perform jobs_internal.my_session(p_session), pg_stat_clear_snapshot();
  select o.* into v_operation from jobs_internal.operation as o
  where o.job_id = p_job and o.kind in ('vacuum', 'vacuum full')
    and o.owner = jobs_internal.caller()
    and (o.output #>> '{vacuum, attempt}')::integer = p_attempt;
  if not found then
    return null;
  end if;
  v_before := v_operation.output #> '{vacuum, before}';
  v_after := jobs_internal.vacuum_counters(v_operation.relations);
  -- VACUUM FULL counts no dead rows; what it could not remove it has copied
  if v_operation.kind = 'vacuum' and (v_after ->> 'dead_rows')::bigint > 0 then
    v_there := coalesce(jobs_internal.row_keepers(), '[]');
    select format('%s of %s: %s', jobs_internal.counted((v_after ->> 'dead_rows')::bigint,
        'dead row', 'dead rows'), coalesce(v_operation.object_name, 'its tables'),
      coalesce(string_agg(format('%s (%s transactions old)', concat_ws(' ', k ->> 'why',
        case when k ? 'pid' then format('of pid %s', k ->> 'pid') end, k ->> 'name',
        case when k ? 'role' then format('of role %s', k ->> 'role') end), k ->> 'age'), ', '
          order by (k ->> 'age')::bigint desc),
        'transactions that have ended meanwhile, or rows that died meanwhile'))
    into v_said
    from jsonb_array_elements(v_operation.output #> '{vacuum, keepers}') as k
    where exists (
      select from jsonb_array_elements(v_there) as t
      where (t -> 'why', t -> 'since') is not distinct from (k -> 'why', k -> 'since')
        and coalesce(t ->> 'name', t ->> 'pid') = coalesce(k ->> 'name', k ->> 'pid')
        -- a session that has another snapshot now held up nothing
        and (t ->> 'age')::bigint >= (k ->> 'age')::bigint);
  end if;
  update jobs_internal.operation as o
  set output = jsonb_set(o.output, '{vacuum}', (o.output -> 'vacuum') || jsonb_strip_nulls(
        jsonb_build_object('after', v_after, 'not_removed_because', v_said)))
  where o.job_id = p_job;
  if v_after is null then
    return null;
  end if;
  return (
    select jsonb_object_agg(f.name, jsonb_build_array(v_before -> f.name, v_after -> f.name))
    from unnest(array['dead_rows', 'pages', 'frozen_age']) as f(name))
    || jsonb_strip_nulls(jsonb_build_object('not_removed_because', v_said));
end
$$;
