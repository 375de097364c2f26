-- Failures of single items. What a supervisor does in a round it does for many: lanes, sessions,
-- buckets. One of them may fail for as long as another session holds a row, a trigger on DDL
-- raises, or a table is locked. It is tried in a savepoint of its own, noted here with its error,
-- left alone for a while that doubles, and tried again; everything else goes on.
--
-- No note waits: the row of the duty (jobs_internal.duty) is the lock of its failures. Where
-- another session of ours has it, that one is about to note the same. Only sessions of our own come
-- here; a tenant's transaction, which may stay open, notes nothing.
--
-- A lock that is held for a moment is nothing to speak of: such a failure (55P03) is tried again
-- after 0.2 s, and shown from the third one on.

-- Be the one that does a duty, or keeps its failures, until the transaction ends. False: another
-- session of ours is.
-- Locks: duty (skip locked).
create or replace function jobs_internal.takes_duty(p_duty text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from jobs_internal.duty as d where d.name = p_duty for no key update skip locked;
  return found;
end
$$;

-- Whether a time of a next try is still to come. A clock that was set back puts nothing off.
create or replace function jobs_internal.is_future(p_retry_at timestamptz)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p_retry_at between clock_timestamp() and clock_timestamp() + interval '6 minutes';
end;

-- Whether an item failed and is not to be tried yet.
create or replace function jobs_internal.is_put_off(p_duty text, p_item text)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.duty_failure as f
    where f.duty = p_duty and f.item = p_item and jobs_internal.is_future(f.retry_at));
end;

-- Note that an item failed, and put it off: one second (0.2 where a lock was held), doubling, five
-- minutes at most. A failure with another SQLSTATE is logged anew. One that was noted a moment ago,
-- for a whole part of a round say, is noted once.
-- Locks: duty (skip locked). Writes: duty_failure.
create or replace function jobs_internal.note_failure(
  p_duty text,
  p_item text,
  p_error jsonb,
  p_queue integer default null,
  p_owner oid default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first interval := case p_error ->> 'sqlstate' when '55P03' then interval '0.2 seconds'
    else interval '1 second' end;
begin
  if not jobs_internal.takes_duty(p_duty) then
    return;
  end if;
  insert into jobs_internal.duty_failure as f (duty, item, queue_id, owner, error, retry_at)
  values (p_duty, p_item, p_queue, p_owner, p_error, clock_timestamp() + v_first)
  on conflict (duty, item) do update set
    queue_id = excluded.queue_id, owner = excluded.owner, error = excluded.error,
      failures = least(f.failures + 1, 1000000),
    retry_at = clock_timestamp() + least(v_first * (2 ^ least(f.failures, 12)),
        interval '5 minutes'),
    logged = f.logged and f.error ->> 'sqlstate' = excluded.error ->> 'sqlstate'
  where not jobs_internal.is_future(f.retry_at);
end
$$;

-- An item went well: what was noted goes. Locks: duty_failure (skip locked; only where something
-- is noted).
create or replace function jobs_internal.clear_failure(p_duty text, p_item text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure as f where f.duty = p_duty and f.item = p_item)
    then
    delete from jobs_internal.duty_failure as d
    where d.ctid = (select f.ctid from jobs_internal.duty_failure as f where f.duty = p_duty
        and f.item = p_item for update skip locked);
  end if;
end
$$;

-- Forget failures of items that are not there any more: tried again they would have been noted
-- anew, or cleared; of lanes that others have made, and of sessions that others have seen to.
-- Locks: duty_failure (skip locked).
create or replace function jobs_internal.sweep_failures()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure) then
    delete from jobs_internal.duty_failure as d
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f
      where f.retry_at < clock_timestamp() - interval '1 minute'
        or f.duty = 'lanes' and exists (
          select from jobs_internal.lane as l
          where l.queue_id = f.queue_id and l.owner = f.owner
            and l.priority::text = nullif(split_part(f.item, '/', 3), ''))
        or f.duty = 'rescue' and f.item not in (select s.id::text from jobs_internal.session as s)
      for update skip locked));
  end if;
end
$$;

-- The failures that are worth a word: a lock that was held for a moment is none.
create or replace function jobs_internal.lasting_failures()
returns setof jobs_internal.duty_failure
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select f.* from jobs_internal.duty_failure as f where f.failures >= 3
    or f.error ->> 'sqlstate' <> '55P03';
end;

-- A failure in words, for jobs.health.
create or replace function jobs_internal.failure_text(p_failure jobs_internal.duty_failure)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%s%s since %s (%s: %s)',
    case p_failure.duty
      when 'lanes' then 'lane' when 'dispatch' then 'dispatch into lane' when 'rescue'
        then 'rescue of session' when 'overdue' then 'timeout of job'
      when 'signal' then 'signal for job' when 'history' then 'history:' when 'repair'
        then 'repair of lane' when 'follow' then 'dependencies of owner'
      when 'deadline' then 'deadline of job' when 'schedule' then 'schedule'
      when 'batch' then 'batches of owner'
      when 'keys' then 'keys of owner'
      else 'part' end || ' ' || p_failure.item,
    coalesce(' of ' || pg_get_userbyid(p_failure.owner), '')
      || coalesce(' in ' || (select q.name from jobs_internal.queue as q
            where q.id = p_failure.queue_id), ''),
    p_failure.since::timestamptz(0), p_failure.error ->> 'sqlstate', p_failure.error ->> 'message');
end;

-- Whether a round may begin another item: no more than 40 subtransactions in its transaction (more
-- slow every session of the server), and no longer than it was given. What is left comes with the
-- next round.
create or replace function jobs_internal.has_room(p_until timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();
  return clock_timestamp() < p_until and not exists (
    select from pg_stat_get_backend_idset() as b
    cross join lateral pg_stat_get_backend_subxact(b) as s
    where pg_stat_get_backend_pid(b) = pg_backend_pid()
      and (s.subxact_count >= 40 or s.subxact_overflowed));
end
$$;

-- Failures for the log that no supervisor has taken yet, some at a time. Locks: duty_failure (skip
-- locked). Writes: duty_failure.
create or replace function jobs_internal.unlogged_failures()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_logged jsonb;
begin
  if not exists (select from jobs_internal.lasting_failures() as f where not f.logged) then
    return '[]';
  end if;
  with logged as (
    update jobs_internal.duty_failure as d set logged = true
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f
      where not f.logged and (f.duty, f.item) in (select l.duty, l.item
          from jobs_internal.lasting_failures() as l where not l.logged)
      order by f.since limit 50 for no key update skip locked))
    returning d.*
  )
  select jsonb_agg(jsonb_build_object('duty', t.duty, 'item', t.item,
    'queue', (select q.name from jobs_internal.queue as q where q.id = t.queue_id), 'owner',
      pg_get_userbyid(t.owner),
    'sqlstate', t.error ->> 'sqlstate', 'message', t.error ->> 'message', 'hint',
      t.error ->> 'hint', 'failures', t.failures,
    'retry_at', t.retry_at) order by t.since)
  into v_logged
  from logged as t;
  return coalesce(v_logged, '[]');
end
$$;
