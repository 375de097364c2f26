-- Retention classes of queues.

-- What the classes keep that queues share: the shortest of these that is not less than a retention.
create or replace function jobs_internal.kept_in(p_retention interval)
returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select k.retention
  from (values
    (interval '1 hour'), (interval '6 hours'), (interval '1 day'), (interval '3 days'),
      (interval '7 days'), (interval '30 days'),
    (interval '90 days'), (interval '1 year'), (interval 'infinity')) as k (retention)
  where k.retention >= p_retention
  order by k.retention
  limit 1;
end;

-- The class that fits a queue's options; null when there is none yet. A queue with a row limit has
-- one of its own: others' rows in the same partitions would be in the way.
create or replace function jobs_internal.fitting_class(p_queue integer)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select c.id
  from jobs_internal.queue as q
  join jobs_internal.history_class as c
    on case when q.retention_rows is null then c.retention = jobs_internal.kept_in(q.retention)
      else c.queue_id = q.id end
  where q.id = p_queue;
end;

-- Whether a queue, or the quota of an owner, uses a class, or is to use it.
create or replace function jobs_internal.is_wanted(p_class jobs_internal.history_class)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.quota as u where u.owner = p_class.owner
      and u.history_rows is not null) or exists (
    select from jobs_internal.queue as q
    where q.removed_at is null and p_class.owner is null and (
      q.class_id = p_class.id
      or case when p_class.queue_id is not null then q.id = p_class.queue_id
      and q.retention_rows is not null
        else q.retention_rows is null
          and jobs_internal.kept_in(q.retention) = p_class.retention end));
end;

-- The class of a queue that is being made: the one that fits where it has an open bucket, else
-- number 1 until a round has made one. No partition is made here: the caller's transaction may stay
-- open. Its lock keeps the round from opening the next bucket of that class, which would not know
-- of the queue, before the caller's transaction has ended.
-- Locks: history_class (key share). Writes: queue, history_use.
create or replace function jobs_internal.enter_class(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_class integer := coalesce(jobs_internal.fitting_class(p_queue), 1);
  v_bucket integer;
begin
  select c.bucket into v_bucket from jobs_internal.history_class as c
  where c.id = v_class for key share;
  if v_bucket is null then
    v_class := 1;
    select c.bucket into v_bucket from jobs_internal.history_class as c
    where c.id = 1 for key share;
  end if;
  insert into jobs_internal.history_use (bucket, queue_id)
    values (v_bucket, p_queue) on conflict do nothing;
  update jobs_internal.queue as q set class_id = v_class where q.id = p_queue
    and q.class_id <> v_class;
end
$$;

-- Queues whose options changed go to the class that fits, which is made where it is missing, as
-- those of owners with limited rows are. Until then their jobs go where they went: a bucket is kept
-- for the longest retention of those who used it. Returns how many moved.
-- Locks: history_class (key share), queue (skip locked). Writes: history_class, queue, history_use.
create or replace function jobs_internal.move_queues()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_class jobs_internal.history_class;
  v_count integer := 0;
begin
  insert into jobs_internal.history_class (owner)
  select u.owner from jobs_internal.quota as u where u.history_rows is not null
  on conflict do nothing;
  for v in
    select q.id, q.retention_rows, k.retention, f.id as class_id
    from jobs_internal.queue as q
    cross join lateral (select case when q.retention_rows is null
        then jobs_internal.kept_in(q.retention) end) as k (retention)
    left join jobs_internal.history_class as f
      on case when k.retention is null then f.queue_id = q.id
      else f.retention = k.retention end
    where q.removed_at is null and q.class_id is distinct from f.id
  loop
    if v.class_id is null then
      insert into jobs_internal.history_class (retention, queue_id)
        values (v.retention, case when v.retention is null then v.id end) on conflict do nothing;
      continue;  -- it has no bucket yet
    end if;
    select c.* into v_class from jobs_internal.history_class as c
    where c.id = v.class_id for key share skip locked;
    continue when v_class.bucket is null;
    perform from jobs_internal.queue as q where q.id = v.id
      and q.removed_at is null for no key update skip locked;
    continue when not found;
    insert into jobs_internal.history_use (bucket, queue_id)
      values (v_class.bucket, v.id) on conflict do nothing;
    update jobs_internal.queue as q set class_id = v_class.id where q.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- Classes that no queue uses, or is to use, leave their bucket; one without buckets goes. Number 1
-- stays: new queues begin there. Returns how many. Locks: history_class (skip locked). Writes:
-- history_class, history_bucket.
create or replace function jobs_internal.leave_classes()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_class;
  v_count integer := 0;
begin
  for v in select c.* from jobs_internal.history_class as c where c.id <> 1 order by c.id loop
    continue when jobs_internal.is_wanted(v);
    select c.* into v from jobs_internal.history_class as c
    where c.id = v.id for update skip locked;
    continue when not found;
    -- With the lock no writer enters; one that entered before it is seen by now.
    continue when jobs_internal.is_wanted(v);
    if v.bucket is not null then
      update jobs_internal.history_bucket as b set left_at = clock_timestamp(),
        left_by = pg_current_xact_id() where b.id = v.bucket;
      update jobs_internal.history_class as c set bucket = null where c.id = v.id;
      v_count := v_count + 1;
    elsif not exists (select from jobs_internal.history_bucket as b where b.class_id = v.id) then
      delete from jobs_internal.history_class as c where c.id = v.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$;
