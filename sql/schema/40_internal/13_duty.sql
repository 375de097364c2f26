-- Failures of single items. What a supervisor does in a round it does for many: lanes, sessions, buckets. One of them may fail for as long as
-- somebody holds a row, a trigger on DDL raises, or a table is locked. It is tried in a savepoint of its own, noted here with its error, left alone for
-- a while that doubles, and tried again; everything else goes on.
--
-- No note waits: the row of the duty (jobs_internal.duty) is the lock of its failures. Where another session of ours has it, that one is about to note
-- the same. Only sessions of our own come here; a tenant's transaction, which may stay open, notes nothing.

-- Purpose: be the one that does a duty, or keeps its failures, until the transaction ends. False: another session of ours is.
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
comment on function jobs_internal.takes_duty(text) is 'Be the one that does a duty until the transaction ends; false: another session is';

-- Purpose: whether an item failed and is not to be tried yet. A clock that was set back puts nothing off.
create or replace function jobs_internal.is_put_off(p_duty text, p_item text)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.duty_failure as f
    where f.duty = p_duty and f.item = p_item
      and f.retry_at between clock_timestamp() and clock_timestamp() + interval '6 minutes');
end;
comment on function jobs_internal.is_put_off(text, text) is 'The item failed and is not to be tried yet';

-- Purpose: note that an item failed, and put it off: one second, doubling, five minutes at most. A failure with another SQLSTATE is told anew.
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
begin
  if not jobs_internal.takes_duty(p_duty) then
    return;
  end if;
  insert into jobs_internal.duty_failure as f (duty, item, queue_id, owner, error, retry_at)
  values (p_duty, p_item, p_queue, p_owner, p_error, pg_catalog.clock_timestamp() + interval '1 second')
  on conflict (duty, item) do update set
    queue_id = excluded.queue_id, owner = excluded.owner, error = excluded.error, failures = least(f.failures + 1, 1000000),
    retry_at = pg_catalog.clock_timestamp() + least(interval '1 second' * (2 ^ least(f.failures, 10)), interval '5 minutes'),
    told = f.told and f.error ->> 'sqlstate' = excluded.error ->> 'sqlstate';
end
$$;
comment on function jobs_internal.note_failure(text, text, jsonb, integer, oid) is 'Notes that an item of a round failed, and puts it off';

-- Purpose: an item went well: what was noted goes. Locks: duty_failure (skip locked), only where something is noted.
create or replace function jobs_internal.clear_failure(p_duty text, p_item text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure as f where f.duty = p_duty and f.item = p_item) then
    delete from jobs_internal.duty_failure as d
    where d.ctid = (select f.ctid from jobs_internal.duty_failure as f where f.duty = p_duty and f.item = p_item for update skip locked);
  end if;
end
$$;
comment on function jobs_internal.clear_failure(text, text) is 'An item of a round went well: its failure is forgotten';

-- Purpose: forget failures of items that are not there any more: tried again they would have been noted anew, or cleared.
-- Locks: duty_failure (skip locked).
create or replace function jobs_internal.sweep_failures()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.duty_failure as f where f.retry_at < pg_catalog.clock_timestamp() - interval '1 minute') then
    delete from jobs_internal.duty_failure as d
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f where f.retry_at < pg_catalog.clock_timestamp() - interval '1 minute'
      for update skip locked));
  end if;
end
$$;
comment on function jobs_internal.sweep_failures() is 'Forgets failures of items that are not there any more';

-- Purpose: failures for the log that no supervisor has taken yet, some at a time. Locks: duty_failure (skip locked). Writes: duty_failure.
create or replace function jobs_internal.untold_failures()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_told jsonb;
begin
  if not exists (select from jobs_internal.duty_failure as f where not f.told) then
    return '[]';
  end if;
  with told as (
    update jobs_internal.duty_failure as d set told = true
    where d.ctid = any (array(
      select f.ctid from jobs_internal.duty_failure as f where not f.told order by f.since limit 50 for no key update skip locked))
    returning d.*
  )
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('duty', t.duty, 'item', t.item,
    'queue', (select q.name from jobs_internal.queue as q where q.id = t.queue_id), 'owner', pg_catalog.pg_get_userbyid(t.owner),
    'sqlstate', t.error ->> 'sqlstate', 'message', t.error ->> 'message', 'hint', t.error ->> 'hint', 'failures', t.failures,
    'retry_at', t.retry_at) order by t.since)
  into v_told
  from told as t;
  return coalesce(v_told, '[]');
end
$$;
comment on function jobs_internal.untold_failures() is 'Failures of items that no supervisor has logged yet';
