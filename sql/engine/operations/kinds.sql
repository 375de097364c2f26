-- The kinds of long operations, and what is true of each.

-- The kinds of long operations.
-- lock_mode: strongest lock on the object, as pg_locks names it; null: it depends on the statement.
-- polite: it waits for its locks for lock_timeout, gives up, and comes back (lock_attempts).
-- waits: it has phases in which it waits for transactions of others (wait_timeout).
-- yields: it gives way to a session that waits for its lock, unless its option yield says no.
-- runs_apart: it runs in a child session, whether or not PostgreSQL allows it in a transaction.
create or replace function jobs_internal.operation_kinds()
returns table (kind text, lock_mode text, polite boolean, waits boolean, yields boolean,
    runs_apart boolean)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select * from (values ('create index', 'ShareLock', true, false, false, false),
    ('create index concurrently', 'ShareUpdateExclusiveLock', false, true, false, true),
    ('reindex', 'AccessExclusiveLock', true, false, false, false),
    ('reindex concurrently', 'ShareUpdateExclusiveLock', false, true, false, true),
    ('drop index', 'AccessExclusiveLock', true, false, false, false),
    ('drop index concurrently', 'ShareUpdateExclusiveLock', false, true, false, true),
    ('vacuum', 'ShareUpdateExclusiveLock', false, false, true, true),
    ('vacuum full', 'AccessExclusiveLock', true, false, false, true),
    ('analyze', 'ShareUpdateExclusiveLock', true, false, true, true),
    ('cluster', 'AccessExclusiveLock', true, false, false, false),
    ('repack', 'AccessExclusiveLock', true, false, false, true),
    ('repack concurrently', 'ShareUpdateExclusiveLock', false, true, false, true),
    ('refresh materialized view', 'AccessExclusiveLock', true, false, false, false),
    ('refresh materialized view concurrently', 'ExclusiveLock', true, false, false, false),
    ('add constraint', null, true, false, false, false),
    ('validate constraint', 'ShareUpdateExclusiveLock', true, false, false, false),
    ('set not null', 'AccessExclusiveLock', true, false, false, false),
    ('attach partition', 'ShareUpdateExclusiveLock', true, false, false, false),
    ('detach partition', 'AccessExclusiveLock', true, false, false, false),
    ('detach partition concurrently', 'ShareUpdateExclusiveLock', false, true, false, true),
    ('alter table', null, true, false, false, false),
    ('truncate', 'AccessExclusiveLock', true, false, false, false),
    ('copy', null, false, false, false, false),
    ('ddl', null, true, false, false, false),
    ('steps', null, false, false, false, false)
  ) as k(kind, lock_mode, polite, waits, yields, runs_apart);
end;

-- The strength of a lock mode: 1 ACCESS SHARE to 8 ACCESS EXCLUSIVE; null counts as 8.
create or replace function jobs_internal.lock_strength(p_mode text)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(array_position(array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock',
        'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
        'AccessExclusiveLock'], p_mode), 8);
end;

-- Whether two lock modes, as pg_locks names them, exclude each other; null stands for the
-- strongest.
create or replace function jobs_internal.modes_conflict(p_one text, p_other text)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  -- as the server's own table of conflicts has it: strong modes meet each other, but SHARE, which
  -- allows itself, and forbids ROW EXCLUSIVE
  select case
    when s.one = 5 and s.other = 5 then false
    else s.one + s.other > 8 or (s.one, s.other) in ((4, 4), (3, 5), (5, 3)) end
  from (select jobs_internal.lock_strength(p_one) as one,
    jobs_internal.lock_strength(p_other) as other) as s;
end;
