-- Buckets: the partitions of one class for one stretch of time.

-- The tables that are partitioned, in the order in which a bucket's partitions go: a job first,
-- then what it left behind, so that a retry takes back either everything or nothing.
create or replace function jobs_internal.history_tables()
returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select array['finished', 'finished_attempt', 'finished_log_line', 'finished_statement'];
end;

-- Make a bucket with its partitions. CREATE TABLE ... PARTITION OF would lock the parents
-- exclusively; this does not. Returns its number. Errors: 55P03 when another one attaches or
-- detaches just now. Locks: finished, finished_attempt,
-- finished_log_line, finished_statement (share update exclusive, to the end).
create or replace function jobs_internal.make_bucket(p_class integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_id integer;
  v_table text;
  v_partition text;
begin
  insert into jobs_internal.history_bucket (class_id) values (p_class) returning id into v_id;
  foreach v_table in array jobs_internal.history_tables() loop
    v_partition := v_table || '_' || v_id;
    execute format('create table jobs_internal.%I (like jobs_internal.%I including all)',
        v_partition, v_table);
    execute format('comment on table jobs_internal.%I is %L', v_partition,
        format('Bucket %s of %s', v_id, v_table));
    if v_table = 'finished' then
      -- Rows come, and hardly any changes: mostly the visibility map is what vacuum is for.
      execute format('alter table jobs_internal.%I set (autovacuum_vacuum_scale_factor = 0.02, '
        'autovacuum_vacuum_insert_scale_factor = 0.05)',
        v_partition);
    end if;
    execute format(
        'alter table jobs_internal.%I attach partition jobs_internal.%I for values in (%s)',
          v_table, v_partition, v_id);
  end loop;
  return v_id;
end
$$;

-- About how many rows a partition has, from its size: a count would cost more than it is worth.
create or replace function jobs_internal.about_rows(p_bucket integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select (pg_relation_size(c.oid) / 8192.0
    * case when c.relpages > 0 and c.reltuples > 0 then c.reltuples / c.relpages
      else 55 end)::bigint
  from pg_class as c
  where c.oid = to_regclass('jobs_internal.finished_' || p_bucket);
end;

-- Whether the open bucket of a class has lasted long enough: an eighth of what is kept, between ten
-- minutes and thirty days; for limited rows a quarter of them, though no more often than every ten
-- minutes until it has a thousand. An empty one lasts for ever.
create or replace function jobs_internal.is_full(p_class jobs_internal.history_class)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_retention interval;
  v_most bigint;
  v_age interval;
  v_lasts interval;
  v_rows bigint;
begin
  if not exists (select from jobs_internal.finished as f where f.bucket = p_class.bucket) then
    return false;
  end if;
  select q.retention, q.retention_rows into v_retention, v_most from jobs_internal.queue as q
  where q.id = p_class.queue_id;
  if p_class.owner is not null then
    v_retention := (select max(q.retention) from jobs_internal.queue as q);
    v_most := (select u.history_rows from jobs_internal.quota as u where u.owner = p_class.owner);
  end if;
  v_retention := coalesce(v_retention, p_class.retention);
  v_age := clock_timestamp() - (select b.opened_at from jobs_internal.history_bucket as b
      where b.id = p_class.bucket);
  -- An endless interval has no eighth.
  v_lasts := case when v_retention > interval '240 days' then interval '30 days'
    else greatest(v_retention / 8, interval '10 minutes') end;
  if v_age >= v_lasts then
    return true;
  end if;
  v_rows := jobs_internal.about_rows(p_class.bucket);
  return coalesce(v_rows >= v_most / 4 and (v_rows >= 1000 or v_age >= interval '10 minutes'),
      false);
end
$$;

-- The bucket that a job goes to when it finishes: that of its owner where a quota limits its
-- history, else that of its queue. Called by the statement that writes the row, so that both have
-- one snapshot (history/steps.sql).
create or replace function jobs_internal.bucket_of(p_queue integer, p_owner oid)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select o.bucket from jobs_internal.history_class as o where o.owner = p_owner),
      c.bucket)
  from jobs_internal.queue as q
  join jobs_internal.history_class as c on c.id = q.class_id
  where q.id = p_queue;
end;

-- Buckets for the classes that want one: those with none that a queue is to enter, and those whose
-- open one is full. Some at a time: each takes many locks. Returns how many were made. Writes:
-- history_bucket.
create or replace function jobs_internal.make_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_class;
  v_count integer := 0;
begin
  for v in
    select c.* from jobs_internal.history_class as c
    where not exists (select from jobs_internal.history_bucket as b where b.class_id = c.id
        and b.opened_at is null)
    order by c.id
  loop
    exit when v_count >= 10;
    continue when case
      when v.bucket is not null then not jobs_internal.is_full(v)
      else not jobs_internal.is_wanted(v) end;
    continue when jobs_internal.is_put_off('history', 'make class ' || v.id);
    begin
      perform jobs_internal.make_bucket(v.id);
      v_count := v_count + 1;
      perform jobs_internal.clear_failure('history', 'make class ' || v.id);
    exception
      when lock_not_available or deadlock_detected then
        exit;  -- a detach is under way: the next round makes it
      when others or query_canceled then  -- a trigger on DDL, say
        perform jobs_internal.note_failure('history', 'make class ' || v.id,
            jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
    end;
  end loop;
  return v_count;
end
$$;
