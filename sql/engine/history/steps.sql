-- A bucket's steps: made, opened, left, closed, expired.
--
-- A bucket is one stretch of time of one retention class, and one partition of
-- jobs_internal.finished and of each finished_ table (what finished jobs left behind: earlier
-- attempts, log lines, statements). It goes as a whole, however many rows it has. So a job is kept
-- at least as long as its queue says, and longer by up to one stretch (an eighth of what the class
-- keeps, ten minutes at least) and a few rounds of upkeep, or as long as another queue of the class
-- says.
--
-- Live work never waits for any of this. A partition is made apart and attached, and detached
-- concurrently: both lock the parents in share update exclusive mode, which no worker session
-- wants. Stronger locks are asked for on tables that no statement can see, and not for long. The
-- price is that no session may be stopped while a bucket changes, so each step waits until the
-- transactions that began before it have ended:
--   made     partitions are attached. A session sees that with its next lock of the parent;
--            one that holds that lock already might not.
--   opened   no session is left that held it at that time: jobs that finish go here from now on.
--            The statement that writes a job's row reads the number of the bucket itself (queue,
--            history_class), so that both have one snapshot.
--   left     jobs go to the next bucket. Statements with an older snapshot still come here.
--   closed   no such snapshot is left. Retention counts from here.
--   expired  retention has passed. Its partitions are detached, finished first, one at a time, each
--            in a session of its own because it waits for readers and writers of history; then they
--            are dropped, and the bucket is gone.
-- Each round (step_history) takes every bucket one step further where it can. What a crash leaves
-- half done, a detach above all, is found in the catalog by the next round: there is no other
-- memory of it.
--
-- Lock order: history_class (number 1 is the mutex of the rounds), then queue. Nothing here locks a
-- job or a row of history.

-- Transactions that may write history and could have locked its tables before a partition was
-- attached.
create or replace function jobs_internal.history_writers()
returns text[]
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(array_agg(distinct l.virtualtransaction), '{}')
  from pg_locks as l
  where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.pid is distinct from pg_backend_pid()
    and l.relation = any (array(
      select to_regclass('jobs_internal.' || t)::oid
      from unnest(jobs_internal.history_tables()) as t));
end;

-- Whether a snapshot of this database may be older than what a transaction did, which has
-- committed.
create or replace function jobs_internal.is_older_snapshot(p_than xid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();  -- what we know may be older than that commit
  return exists (
    select from pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and age(a.backend_xmin) >= age(p_than));
end
$$;

-- Step 1, made to opened, and the bucket that was open is left. Returns how many. Writes:
-- history_bucket, history_class, history_use.
create or replace function jobs_internal.open_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_bucket;
  v_writers text[];
  v_old integer;
  v_count integer := 0;
begin
  for v in
    select b.* from jobs_internal.history_bucket as b
    -- committed, so that others can know of it
    where b.opened_at is null and b.made_by <> pg_current_xact_id()
    order by b.id
  loop
    v_writers := coalesce(v_writers, jobs_internal.history_writers());
    -- At the first look all of them; then those that are left of these.
    v.awaits := case when v.awaits is null then v_writers
      else array(select w from unnest(v.awaits) as w where w = any (v_writers)) end;
    update jobs_internal.history_bucket as b set awaits = v.awaits where b.id = v.id
      and b.awaits is distinct from v.awaits;
    continue when v.awaits <> '{}';
    -- Who makes a queue of this class just now comes first.
    select c.bucket into v_old from jobs_internal.history_class as c
    where c.id = v.class_id for update skip locked;
    continue when not found;
    update jobs_internal.history_bucket as b set left_at = clock_timestamp(),
      left_by = pg_current_xact_id() where b.id = v_old;
    update jobs_internal.history_bucket as b set opened_at = clock_timestamp() where b.id = v.id;
    update jobs_internal.history_class as c set bucket = v.id where c.id = v.class_id;
    insert into jobs_internal.history_use (bucket, queue_id)
    select v.id, q.id from jobs_internal.queue as q where q.class_id = v.class_id
      and q.removed_at is null
    on conflict do nothing;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- Step 2, left to closed. Returns how many. Writes: history_bucket.
create or replace function jobs_internal.close_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.history_bucket;
  v_rows bigint;
  v_count integer := 0;
begin
  -- A number of another cluster, in a restored dump, may be in the future.
  update jobs_internal.history_bucket as b set left_by = pg_current_xact_id()
  where b.left_by > pg_current_xact_id();
  for v in
    select b.* from jobs_internal.history_bucket as b
    where b.left_at is not null and b.closed_at is null and b.left_by <> pg_current_xact_id()
    order by b.id
  loop
    continue when jobs_internal.is_older_snapshot(v.left_by::xid);
    v_rows := null;
    if exists (select from jobs_internal.history_class as c where c.id = v.class_id
        and c.retention is null) then
      v_rows := (select count(*) from jobs_internal.finished as f where f.bucket = v.id);
    end if;
    update jobs_internal.history_bucket as b set closed_at = clock_timestamp(), rows = v_rows
      where b.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- Step 3, closed to expired. By age: the longest retention, as it is now, of the queues that used
-- the bucket; so a shorter one takes effect on old buckets as soon as no other queue needs them. By
-- rows: so many jobs of the queue, or owner, have finished in closed buckets after it. An owner's
-- bucket may hold jobs of any queue. Returns how many. Writes: history_bucket.
create or replace function jobs_internal.expire_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  update jobs_internal.history_bucket as b set expired_at = clock_timestamp()
  where b.closed_at is not null and b.expired_at is null
    and (
      b.closed_at < clock_timestamp() - coalesce((
        select max(q.retention) from jobs_internal.queue as q
        where q.id in (select u.queue_id from jobs_internal.history_use as u where u.bucket = b.id)
          or exists (select from jobs_internal.history_class as c where c.id = b.class_id
              and c.owner is not null)), interval '0')
      or (select coalesce(q.retention_rows, u.history_rows) from jobs_internal.history_class as c
          left join jobs_internal.queue as q on q.id = c.queue_id
          left join jobs_internal.quota as u on u.owner = c.owner where c.id = b.class_id)
        <= (select sum(n.rows) from jobs_internal.history_bucket as n where n.class_id = b.class_id
            and n.id > b.id));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Step 4, partitions of expired buckets are detached: one at a time, in a session of its own,
-- because it has to be a statement at top level and waits for every transaction that uses the
-- parent. A detach that was cut off is finished first, once no snapshot can see that partition any
-- more: a session that still sees it would have to wait then. Returns whether one was launched.
create or replace function jobs_internal.detach_next()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
begin
  if exists (select from pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> pg_backend_pid()
      and a.query like 'alter table jobs\_internal.% detach partition %' and a.state = 'active')
  then
    return false;
  end if;
  select t.name, t.name || '_' || b.id as part, i.inhdetachpending as pending, i.xmin as since
  into v
  from jobs_internal.history_bucket as b
  cross join lateral unnest(jobs_internal.history_tables()) with ordinality as t (name, n)
  join pg_inherits as i on i.inhrelid = to_regclass('jobs_internal.' || t.name || '_' || b.id)
  where b.expired_at is not null
  order by i.inhdetachpending desc, b.id, t.n
  limit 1;
  if not found or (v.pending and jobs_internal.is_older_snapshot(v.since)) then
    return false;
  end if;
  return jobs_internal.launch_upkeep(
      format('alter table jobs_internal.%I detach partition jobs_internal.%I %s', v.name, v.part,
    case when v.pending then 'finalize' else 'concurrently' end), 'pyworker history');
end
$$;

-- Step 5, detached partitions are dropped. Only a dump or autovacuum could be there: they are
-- not waited for. Returns how many buckets are gone. Writes: history_bucket, history_use.
create or replace function jobs_internal.drop_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_bucket integer;
  v_partition text;
  v_left boolean;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '1 second';
begin
  for v_bucket in select b.id from jobs_internal.history_bucket as b where b.expired_at is not null
    order by b.id loop
    v_left := false;
    for v_partition in
      select format('jobs_internal.%I', t || '_' || v_bucket)
      from unnest(jobs_internal.history_tables()) as t
    loop
      continue when to_regclass(v_partition) is null;
      if exists (select from pg_inherits as i where i.inhrelid = to_regclass(v_partition)) then
        v_left := true;
        exit;  -- those behind it are attached too
      end if;
      if jobs_internal.is_put_off('history', 'drop ' || v_partition)
        or not jobs_internal.has_room(v_until) then
        v_left := true;
        exit;
      end if;
      begin
        execute 'drop table ' || v_partition;
        perform jobs_internal.clear_failure('history', 'drop ' || v_partition);
      exception
        when lock_not_available or undefined_table then
          v_left := true;
        when others or query_canceled then  -- a trigger on DDL, say
          perform jobs_internal.note_failure('history', 'drop ' || v_partition,
              jobs_internal.error_object(sqlstate, sqlerrm));
          v_left := true;
      end;
    end loop;
    if not v_left then
      delete from jobs_internal.history_use as u where u.bucket = v_bucket;
      delete from jobs_internal.history_bucket as b where b.id = v_bucket;
      perform jobs_internal.forget_bucket(v_bucket);
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$;
