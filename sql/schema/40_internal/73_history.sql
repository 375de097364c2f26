-- History by time: finished jobs go into buckets, and retention drops buckets.
--
-- A bucket is one stretch of time of one retention class, and one partition of jobs_internal.finished and of each past_ table (what finished
-- jobs left behind: earlier attempts, log lines, statements). It goes as a whole, however many rows it has. So a job is kept at least as long
-- as its queue says, and longer by up to one stretch (an eighth of what the class keeps, ten minutes at least) and a few rounds of upkeep, or as
-- long as another queue of the class says.
--
-- Live work never waits for any of this. A partition is made apart and attached, and detached concurrently: both lock the parents in share
-- update exclusive mode, which nobody else wants. Whatever is stronger is asked for on tables that no statement can see, and not for long.
-- The price is that nobody may be stopped while a bucket changes, so each step waits until those who began before it have ended:
--   made     partitions are attached. A session learns of that with its next lock of the parent; one that holds that lock already might not.
--   opened   nobody is left who held it at that time: jobs that finish go here from now on. The statement that writes a job's row reads the
--            number of the bucket itself (queue, history_class), so that both have one snapshot.
--   left     jobs go to the next bucket. Statements with an older snapshot still come here.
--   closed   no such snapshot is left. Retention counts from here.
--   expired  retention has passed. Its partitions are detached, finished first, one at a time, each in a session of its own because it waits
--            for who reads or writes history; then they are dropped, and the bucket is gone.
-- Each round (keep_history) takes every bucket one step further where it can. What a crash leaves half done, a detach above all, is found in
-- the catalog by the next round: there is no other memory of it.
--
-- Lock order: history_class (number 1 is the mutex of the rounds), then queue. Nothing here locks a job or a row of history.

-- Purpose: what the classes keep that queues share: the shortest of these that is not less than a retention.
create or replace function jobs_internal.kept_in(p_retention interval)
returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select k.keeps
  from (values
    (interval '1 hour'), (interval '6 hours'), (interval '1 day'), (interval '3 days'), (interval '7 days'), (interval '30 days'),
    (interval '90 days'), (interval '1 year'), (interval 'infinity')) as k (keeps)
  where k.keeps >= p_retention
  order by k.keeps
  limit 1;
end;
comment on function jobs_internal.kept_in(interval) is 'What the class keeps that a queue with this retention shares with others';

-- Purpose: the class that fits a queue's options; null when there is none yet. A queue with a row limit has one of its own: others' rows in
-- the same partitions would be in the way.
create or replace function jobs_internal.fitting_class(p_queue integer)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select c.id
  from jobs_internal.queue as q
  join jobs_internal.history_class as c
    on case when q.retention_rows is null then c.keeps = jobs_internal.kept_in(q.retention) else c.queue_id = q.id end
  where q.id = p_queue;
end;
comment on function jobs_internal.fitting_class(integer) is 'The class that fits a queue''s options; null: there is none yet';

-- Purpose: whether a queue, or the quota of an owner, uses a class, or is to use it.
create or replace function jobs_internal.is_wanted(p_class jobs_internal.history_class)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.quota as u where u.owner = p_class.owner and u.history_rows is not null) or exists (
    select from jobs_internal.queue as q
    where q.dropped_at is null and p_class.owner is null and (
      q.class_id = p_class.id
      or case when p_class.queue_id is not null then q.id = p_class.queue_id and q.retention_rows is not null
        else q.retention_rows is null and jobs_internal.kept_in(q.retention) = p_class.keeps end));
end;
comment on function jobs_internal.is_wanted(jobs_internal.history_class) is 'A queue or a quota uses the class, or is to use it';

-- Purpose: the class of a queue that is being made: the one that fits where it has an open bucket, else number 1 until a round has made one.
-- No partition is made here: the caller's transaction may stay open. Its lock keeps the round from opening the next bucket of that class,
-- which would not know of the queue, before the caller's transaction has ended.
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
  select c.bucket into v_bucket from jobs_internal.history_class as c where c.id = v_class for key share;
  if v_bucket is null then
    v_class := 1;
    select c.bucket into v_bucket from jobs_internal.history_class as c where c.id = 1 for key share;
  end if;
  insert into jobs_internal.history_use (bucket, queue_id) values (v_bucket, p_queue) on conflict do nothing;
  update jobs_internal.queue as q set class_id = v_class where q.id = p_queue and q.class_id <> v_class;
end
$$;
comment on function jobs_internal.enter_class(integer) is 'Gives a new queue its class: the one that fits, or number 1 for the time being';

-- Purpose: the tables that are partitioned, in the order in which a bucket's partitions go: a job first, then what it left behind, so that a
-- retry takes back either everything or nothing.
create or replace function jobs_internal.history_tables()
returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select array['finished', 'past_attempt', 'past_log_line', 'past_statement'];
end;
comment on function jobs_internal.history_tables() is 'The partitioned tables, in the order in which the partitions of a bucket go';

-- Purpose: make a bucket with its partitions. CREATE TABLE ... PARTITION OF would lock the parents exclusively; this does not.
-- Returns its number. Errors: 55P03 when another one attaches or detaches just now. Locks: the parents (share update exclusive, to the end).
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
    execute pg_catalog.format('create table jobs_internal.%I (like jobs_internal.%I including all)', v_partition, v_table);
    execute pg_catalog.format('comment on table jobs_internal.%I is %L', v_partition, pg_catalog.format('Bucket %s of %s', v_id, v_table));
    if v_table = 'finished' then
      -- Rows come, and hardly any changes: mostly the visibility map is what vacuum is for.
      execute pg_catalog.format('alter table jobs_internal.%I set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05)',
        v_partition);
    end if;
    execute pg_catalog.format('alter table jobs_internal.%I attach partition jobs_internal.%I for values in (%s)', v_table, v_partition, v_id);
  end loop;
  return v_id;
end
$$;
comment on function jobs_internal.make_bucket(integer) is 'Makes a bucket with its partitions; returns its number';

-- Purpose: about how many rows a partition has, from its size: a count would cost more than it is worth.
create or replace function jobs_internal.about_rows(p_bucket integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select (pg_catalog.pg_relation_size(c.oid) / 8192.0
    * case when c.relpages > 0 and c.reltuples > 0 then c.reltuples / c.relpages else 55 end)::bigint
  from pg_catalog.pg_class as c
  where c.oid = pg_catalog.to_regclass('jobs_internal.finished_' || p_bucket);
end;
comment on function jobs_internal.about_rows(integer) is 'About how many finished jobs a bucket holds';

-- Purpose: whether the open bucket of a class has lasted long enough: an eighth of what is kept, between ten minutes and thirty days; for
-- limited rows a quarter of them, though no more often than every ten minutes until it has a thousand. An empty one lasts for ever.
create or replace function jobs_internal.is_full(p_class jobs_internal.history_class)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_keeps interval;
  v_most bigint;
  v_age interval;
  v_lasts interval;
  v_rows bigint;
begin
  if not exists (select from jobs_internal.finished as f where f.bucket = p_class.bucket) then
    return false;
  end if;
  select q.retention, q.retention_rows into v_keeps, v_most from jobs_internal.queue as q where q.id = p_class.queue_id;
  if p_class.owner is not null then
    v_keeps := (select pg_catalog.max(q.retention) from jobs_internal.queue as q);
    v_most := (select u.history_rows from jobs_internal.quota as u where u.owner = p_class.owner);
  end if;
  v_keeps := coalesce(v_keeps, p_class.keeps);
  v_age := pg_catalog.clock_timestamp() - (select b.opened_at from jobs_internal.history_bucket as b where b.id = p_class.bucket);
  -- An endless interval has no eighth.
  v_lasts := case when v_keeps > interval '240 days' then interval '30 days' else greatest(v_keeps / 8, interval '10 minutes') end;
  if v_age >= v_lasts then
    return true;
  end if;
  v_rows := jobs_internal.about_rows(p_class.bucket);
  return coalesce(v_rows >= v_most / 4 and (v_rows >= 1000 or v_age >= interval '10 minutes'), false);
end
$$;
comment on function jobs_internal.is_full(jobs_internal.history_class) is 'The open bucket of a class has lasted long enough';

-- Purpose: transactions that may write history and could have locked its tables before a partition was attached.
create or replace function jobs_internal.history_writers()
returns text[]
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(pg_catalog.array_agg(distinct l.virtualtransaction), '{}')
  from pg_catalog.pg_locks as l
  where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
    and l.pid is distinct from pg_catalog.pg_backend_pid()
    and l.relation = any (array(
      select pg_catalog.to_regclass('jobs_internal.' || t)::oid from pg_catalog.unnest(jobs_internal.history_tables()) as t));
end;
comment on function jobs_internal.history_writers() is 'Transactions that hold the lock of a writer on the tables of history';

-- Purpose: whether a snapshot of this database may be older than what a transaction did, which has committed.
create or replace function jobs_internal.is_older_snapshot(p_than xid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_catalog.pg_stat_clear_snapshot();  -- what we know may be older than that commit
  return exists (
    select from pg_catalog.pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
      and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and pg_catalog.age(a.backend_xmin) >= pg_catalog.age(p_than));
end
$$;
comment on function jobs_internal.is_older_snapshot(xid) is 'A snapshot of this database may be older than what a committed transaction did';

-- Purpose: step 1, made to opened, and the bucket that was open is left. Returns how many. Writes: history_bucket, history_class, history_use.
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
    where b.opened_at is null and b.made_by <> pg_catalog.pg_current_xact_id()  -- committed, so that others can know of it
    order by b.id
  loop
    v_writers := coalesce(v_writers, jobs_internal.history_writers());
    -- At the first look all of them; then those that are left of these.
    v.awaits := case when v.awaits is null then v_writers
      else array(select w from pg_catalog.unnest(v.awaits) as w where w = any (v_writers)) end;
    update jobs_internal.history_bucket as b set awaits = v.awaits where b.id = v.id and b.awaits is distinct from v.awaits;
    continue when v.awaits <> '{}';
    -- Who makes a queue of this class just now comes first.
    select c.bucket into v_old from jobs_internal.history_class as c where c.id = v.class_id for update skip locked;
    continue when not found;
    update jobs_internal.history_bucket as b set left_at = pg_catalog.clock_timestamp(), left_by = pg_catalog.pg_current_xact_id() where b.id = v_old;
    update jobs_internal.history_bucket as b set opened_at = pg_catalog.clock_timestamp() where b.id = v.id;
    update jobs_internal.history_class as c set bucket = v.id where c.id = v.class_id;
    insert into jobs_internal.history_use (bucket, queue_id)
    select v.id, q.id from jobs_internal.queue as q where q.class_id = v.class_id and q.dropped_at is null
    on conflict do nothing;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.open_buckets() is 'Opens the buckets that every writer knows by now; returns how many';

-- Purpose: step 2, left to closed. Returns how many. Writes: history_bucket.
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
  update jobs_internal.history_bucket as b set left_by = pg_catalog.pg_current_xact_id()
  where b.left_by > pg_catalog.pg_current_xact_id();
  for v in
    select b.* from jobs_internal.history_bucket as b
    where b.left_at is not null and b.closed_at is null and b.left_by <> pg_catalog.pg_current_xact_id()
    order by b.id
  loop
    continue when jobs_internal.is_older_snapshot(v.left_by::xid);
    v_rows := null;
    if exists (select from jobs_internal.history_class as c where c.id = v.class_id and c.keeps is null) then
      v_rows := (select pg_catalog.count(*) from jobs_internal.finished as f where f.bucket = v.id);
    end if;
    update jobs_internal.history_bucket as b set closed_at = pg_catalog.clock_timestamp(), rows = v_rows where b.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.close_buckets() is 'Closes the buckets that nobody writes to any more; returns how many';

-- Purpose: step 3, closed to expired. By age: the longest retention, as it is now, of the queues that used the bucket; so a shorter one takes
-- effect on old buckets as soon as no other queue needs them. By rows: so many jobs of the queue, or owner, have finished in closed buckets after
-- it. An owner's bucket may hold jobs of any queue.
-- Returns how many. Writes: history_bucket.
create or replace function jobs_internal.expire_buckets()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  update jobs_internal.history_bucket as b set expired_at = pg_catalog.clock_timestamp()
  where b.closed_at is not null and b.expired_at is null
    and (
      b.closed_at < pg_catalog.clock_timestamp() - coalesce((
        select pg_catalog.max(q.retention) from jobs_internal.queue as q
        where q.id in (select u.queue_id from jobs_internal.history_use as u where u.bucket = b.id)
          or exists (select from jobs_internal.history_class as c where c.id = b.class_id and c.owner is not null)), interval '0')
      or (select coalesce(q.retention_rows, u.history_rows) from jobs_internal.history_class as c
          left join jobs_internal.queue as q on q.id = c.queue_id left join jobs_internal.quota as u on u.owner = c.owner where c.id = b.class_id)
        <= (select pg_catalog.sum(n.rows) from jobs_internal.history_bucket as n where n.class_id = b.class_id and n.id > b.id));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function jobs_internal.expire_buckets() is 'Notes the buckets whose retention has passed; returns how many';

-- Purpose: step 4, partitions of expired buckets are detached: one at a time, in a session of its own, because it has to be a statement at top
-- level and waits for every transaction that uses the parent. A detach that was cut off is finished first, once no snapshot can see that
-- partition any more: whoever still sees it would have to wait then. Returns whether one was launched.
create or replace function jobs_internal.detach_next()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
begin
  if exists (select from pg_catalog.pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
      and a.pid <> pg_catalog.pg_backend_pid() and a.query like 'alter table jobs\_internal.% detach partition %' and a.state = 'active')
  then
    return false;
  end if;
  select t.name, t.name || '_' || b.id as part, i.inhdetachpending as pending, i.xmin as since
  into v
  from jobs_internal.history_bucket as b
  cross join lateral pg_catalog.unnest(jobs_internal.history_tables()) with ordinality as t (name, n)
  join pg_catalog.pg_inherits as i on i.inhrelid = pg_catalog.to_regclass('jobs_internal.' || t.name || '_' || b.id)
  where b.expired_at is not null
  order by i.inhdetachpending desc, b.id, t.n
  limit 1;
  if not found or (v.pending and jobs_internal.is_older_snapshot(v.since)) then
    return false;
  end if;
  return jobs_internal.launch_upkeep(pg_catalog.format('alter table jobs_internal.%I detach partition jobs_internal.%I %s', v.name, v.part,
    case when v.pending then 'finalize' else 'concurrently' end), 'pyworker history');
end
$$;
comment on function jobs_internal.detach_next() is 'Launches the detach of the next partition of an expired bucket; false: none, or not now';

-- Purpose: step 5, detached partitions are dropped. Nobody but a dump or autovacuum could be there: they are not waited for.
-- Returns how many buckets are gone. Writes: history_bucket, history_use.
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
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '1 second';
begin
  for v_bucket in select b.id from jobs_internal.history_bucket as b where b.expired_at is not null order by b.id loop
    v_left := false;
    for v_partition in
      select pg_catalog.format('jobs_internal.%I', t || '_' || v_bucket) from pg_catalog.unnest(jobs_internal.history_tables()) as t
    loop
      continue when pg_catalog.to_regclass(v_partition) is null;
      if exists (select from pg_catalog.pg_inherits as i where i.inhrelid = pg_catalog.to_regclass(v_partition)) then
        v_left := true;
        exit;  -- those behind it are attached too
      end if;
      if jobs_internal.is_put_off('history', 'drop ' || v_partition) or not jobs_internal.has_room(v_until) then
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
          perform jobs_internal.note_failure('history', 'drop ' || v_partition, jobs_internal.error_object(sqlstate, sqlerrm));
          v_left := true;
      end;
    end loop;
    if not v_left then
      delete from jobs_internal.history_use as u where u.bucket = v_bucket;
      delete from jobs_internal.history_bucket as b where b.id = v_bucket;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.drop_buckets() is 'Drops the partitions that are detached; returns how many buckets are gone';

-- Purpose: queues whose options changed go to the class that fits, which is made where it is missing, as those of owners with limited rows are.
-- Until then their jobs go where they went: a bucket is kept for the longest retention of those who used it. Returns how many moved.
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
    select q.id, q.retention_rows, k.keeps, f.id as class_id
    from jobs_internal.queue as q
    cross join lateral (select case when q.retention_rows is null then jobs_internal.kept_in(q.retention) end) as k (keeps)
    left join jobs_internal.history_class as f on case when k.keeps is null then f.queue_id = q.id else f.keeps = k.keeps end
    where q.dropped_at is null and q.class_id is distinct from f.id
  loop
    if v.class_id is null then
      insert into jobs_internal.history_class (keeps, queue_id) values (v.keeps, case when v.keeps is null then v.id end) on conflict do nothing;
      continue;  -- it has no bucket yet
    end if;
    select c.* into v_class from jobs_internal.history_class as c where c.id = v.class_id for key share skip locked;
    continue when v_class.bucket is null;
    perform from jobs_internal.queue as q where q.id = v.id and q.dropped_at is null for no key update skip locked;
    continue when not found;
    insert into jobs_internal.history_use (bucket, queue_id) values (v_class.bucket, v.id) on conflict do nothing;
    update jobs_internal.queue as q set class_id = v_class.id where q.id = v.id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.move_queues() is 'Gives queues whose options changed the class that fits; returns how many';

-- Purpose: buckets for the classes that want one: those with none that a queue is to enter, and those whose open one is full. Some at a time:
-- each takes many locks. Returns how many were made. Writes: history_bucket.
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
    where not exists (select from jobs_internal.history_bucket as b where b.class_id = c.id and b.opened_at is null)
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
        perform jobs_internal.note_failure('history', 'make class ' || v.id, jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
    end;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.make_buckets() is 'Makes buckets for the classes that want one; returns how many';

-- Purpose: classes that no queue uses, or is to use, leave their bucket; one without buckets goes. Number 1 stays: new queues begin there.
-- Returns how many. Locks: history_class (skip locked). Writes: history_class, history_bucket.
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
    select c.* into v from jobs_internal.history_class as c where c.id = v.id for update skip locked;
    continue when not found;
    -- With the lock nobody enters; who entered before it is seen by now.
    continue when jobs_internal.is_wanted(v);
    if v.bucket is not null then
      update jobs_internal.history_bucket as b set left_at = pg_catalog.clock_timestamp(), left_by = pg_catalog.pg_current_xact_id() where b.id = v.bucket;
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
comment on function jobs_internal.leave_classes() is 'Leaves the buckets of classes that no queue uses; returns how many changed';

-- Purpose: launch one statement of the upkeep at top level, in a session of its own that nobody waits for. False: no worker slot is free.
-- It may wait for a lock for an hour, then it gives up: what it waits for are readers of history, which may be long; a later round tries again.
create or replace function jobs_internal.launch_upkeep(p_statement text, p_label text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1h'
set statement_timeout = 0
as $$
declare
  v_child record;
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, 0, $2) as h', jobs_internal.background('submit'))
  into v_child using p_statement, p_label;
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using v_child.pid, v_child.cookie;
  return true;
exception
  when insufficient_resources or configuration_limit_exceeded or too_many_connections then
    return false;
end
$$;
comment on function jobs_internal.launch_upkeep(text, text) is 'Launches one statement of the upkeep in a session of its own; false: no worker slot is free';

-- Purpose: one round: every bucket goes one step further where it can. Two rounds at once: the second does nothing.
-- Returns {dropped: buckets that are gone, more: there is more to do at once}. Locks: history_class 1 (skip locked).
create or replace function jobs_internal.keep_history()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dropped integer;
  v_steps integer;
begin
  perform from jobs_internal.history_class as c where c.id = 1 for no key update skip locked;
  if not found then
    return '{"dropped": 0, "more": false}';
  end if;
  v_dropped := jobs_internal.drop_buckets();
  v_steps := v_dropped + jobs_internal.open_buckets() + jobs_internal.close_buckets() + jobs_internal.expire_buckets()
    + jobs_internal.detach_next()::integer + jobs_internal.move_queues() + jobs_internal.make_buckets() + jobs_internal.leave_classes();
  return pg_catalog.jsonb_build_object('dropped', v_dropped, 'more', v_steps > 0);
end
$$;
comment on function jobs_internal.keep_history() is 'One round of the upkeep of history: every bucket goes one step further where it can';
