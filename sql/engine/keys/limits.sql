-- How many jobs of a key run at once.

-- Does the work of jobs.set_concurrency. It waits for another transaction that sets the same key of
-- the same owner. Writes: key_limit, key_event. Errors: PW119, PW120.
create or replace function jobs_internal.set_concurrency(p_key text, p_max integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_not_copy(), jobs_internal.assert_admitted(v_me);
  if p_key is null or octet_length(p_key) not between 1 and 512 then
    raise exception using errcode = 'PW120', message = 'a key must have 1 to 512 bytes',
      detail = format('It %s.', coalesce('has ' || octet_length(p_key), 'is null')),
      hint = 'Pass the concurrency_key of the jobs. A retry cannot help.';
  elsif p_max not between 0 and 1000 then
    raise exception using errcode = 'PW119', message = 'max must be between 0 and 1000',
      detail = format('It is %s.', p_max),
      hint = '0 begins none of its jobs, null takes the limit back to 1. A retry cannot help.';
  end if;
  if p_max is null then
    delete from jobs_internal.key_limit as l where l.owner = v_me and l.key = p_key;
  else
    insert into jobs_internal.key_limit as l (owner, key, max) values (v_me, p_key, p_max)
    on conflict (owner, key) do update set max = excluded.max;
  end if;
  insert into jobs_internal.key_event (owner, key) values (v_me, p_key);
  perform jobs_internal.wake(null);
end
$$;

-- The places of a key: how many jobs at once.
create or replace function jobs_internal.max_of_key(p_owner oid, p_key text)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select coalesce((select l.max from jobs_internal.key_limit as l
    where l.owner = p_owner and l.key = p_key), 1);
end;

-- The keys for which jobs wait, of one owner or, null, of all: from one to the next in the index,
-- so that it costs what the keys are, however many jobs wait for each.
create or replace function jobs_internal.awaited_keys(p_owner oid)
returns table (owner oid, key text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
begin atomic
  with recursive f (owner, key) as (
    (select w.owner, w.key from jobs_internal.key_wait as w
      where p_owner is null or w.owner = p_owner
      order by w.owner, w.key limit 1)
    union all
    select n.owner, n.key
    from f
    cross join lateral (
      select w.owner, w.key from jobs_internal.key_wait as w
      where (w.owner, w.key) > (f.owner, f.key) and (p_owner is null or w.owner = p_owner)
      order by w.owner, w.key limit 1) as n
  )
  select f.owner, f.key from f;
end;

-- The keys that the caller may see: its own; an operator all.
create or replace function jobs_internal.seen_keys()
returns table (owner oid, key text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
rows 100
as $$
declare
  v_owner oid := case when not jobs_internal.caller_is('jobs_operator')
    then coalesce(jobs_internal.viewer(), 0) end;
begin
  return query
    select l.owner, l.key from jobs_internal.key_limit as l
    where v_owner is null or l.owner = v_owner
    union
    select h.owner, h.key from jobs_internal.key_held as h
    where v_owner is null or h.owner = v_owner
    union
    select a.owner, a.key from jobs_internal.awaited_keys(v_owner) as a;
end
$$;

-- Keys of which a place is free that a job waits for, and no event says so: there is none. Of two
-- thousand that are looked at.
create or replace function jobs_internal.forgotten_keys()
returns table (owner oid, key text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select k.owner, k.key
  from (select a.owner, a.key from jobs_internal.awaited_keys(null) as a limit 2000) as k
  where (select count(*) from jobs_internal.key_held as h where h.owner = k.owner and h.key = k.key)
      < jobs_internal.max_of_key(k.owner, k.key)
    and not exists (select from jobs_internal.key_event as n
      where n.owner = k.owner and n.key = k.key);
end;

-- Places that are held by jobs that have ended, or neither run nor are on the way: there are none.
-- Of ten thousand that are looked at.
create or replace function jobs_internal.stray_holders()
returns table (job_id bigint, gone boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
begin atomic
  select h.job_id, j.state is null
  from (select o.job_id from jobs_internal.key_held as o limit 10000) as h
  left join lateral (
    select o.state, o.due_at from jobs_internal.job as o where o.id = h.job_id offset 0) as j
    on true
  where j.state is null or j.state = 'scheduled' and j.due_at > clock_timestamp();
end;
