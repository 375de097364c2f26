-- Drawing the consequences of what became of jobs that others wait for. The protocol, with its
-- locks and what could come in between: docs/order.md.

-- Be the one that follows for the children of an owner, to the end of the transaction. False:
-- another session does. Locks: follower (skip locked; what the first transactions of an owner
-- insert at once is waited for). Writes: follower.
create or replace function jobs_internal.become_follower(p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from jobs_internal.follower as f where f.owner = p_owner for update skip locked;
  if found then
    return true;
  elsif exists (select from jobs_internal.follower as f where f.owner = p_owner) then
    return false;
  end if;
  insert into jobs_internal.follower (owner) values (p_owner) on conflict do nothing;
  return found;
end
$$;

-- Those jobs that no transaction is ending just now: a session that ends one later sees all that is
-- committed by now. Locks: job (skip locked; given back at once).
create or replace function jobs_internal.not_ending(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
as $$
declare
  v_free bigint[];
begin
  begin
    v_free := array(
      select j.id from jobs_internal.job as j where j.id = any (p_jobs) for key share skip locked);
    raise exception using errcode = 'PW999', message = 'undo';
  exception
    when sqlstate 'PW999' then
      null;
  end;
  return v_free;
end
$$;

-- The parents of events, each with what it is: alive, busy (it may be ending), the state that it
-- ended in, or gone.
create or replace function jobs_internal.read_parents(p_events bigint[], out parents bigint[],
    out states text[])
returns record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_bitmapscan = off
set enable_material = off
set enable_mergejoin = off
as $$
declare
  v_free bigint[];
begin
  -- One statement: a job is in one of the two tables, and moves between them.
  select array_agg(p.parent),
    array_agg(case when j.id is not null then 'alive' else coalesce(f.state, p.state, 'gone') end)
  into parents, states
  from (
    select e.parent, (array_agg(e.state order by e.id desc) filter (where e.state is not null))[1]
        as state, bool_or(e.state is null) as looks
    from jobs_internal.parent_event as e
    where e.id = any (p_events)
    group by e.parent
  ) as p
  left join jobs_internal.job as j on j.id = p.parent
  left join lateral (
    select h.state from jobs_internal.finished as h
    where h.id = p.parent and j.id is null and p.looks
    limit 1
  ) as f on true;
  if 'alive' = any (states) then
    v_free := jobs_internal.not_ending(array(
      select u.parent from unnest(parents, states) as u(parent, state) where u.state = 'alive'));
    states := array(
      select case when u.state = 'alive' and u.parent <> all (v_free) then 'busy' else u.state end
      from unnest(parents, states) with ordinality as u(parent, state, n) order by u.n);
  end if;
end
$$;

-- Lock children, wherever they are. Locks: job, finished (skip locked). Returns those in job, those
-- in finished, and those that are in neither.
create or replace function jobs_internal.lock_children(p_children bigint[], out live bigint[],
    out done bigint[], out gone bigint[])
returns record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_bitmapscan = off
set enable_material = off
set enable_mergejoin = off
as $$
declare
  v_rest bigint[];
begin
  live := array(
    select j.id from jobs_internal.job as j where j.id = any (p_children)
    order by j.id for update skip locked);
  done := '{}';
  gone := '{}';
  if cardinality(live) < cardinality(p_children) then
    v_rest := array(select c from unnest(p_children) as c where c <> all (live));
    done := array(
      select f.id from jobs_internal.finished as f where f.id = any (v_rest)
      order by f.id for update skip locked);
    v_rest := array(select c from unnest(v_rest) as c where c <> all (done));
    gone := array(
      select c from unnest(v_rest) as c
      where not exists (select from jobs_internal.job as j where j.id = c)
        and not exists (select from jobs_internal.finished as f where f.id = c));
  end if;
end
$$;

-- One pass for the children of one owner: up to 500 events, up to 2,000 dependencies.
-- Returns: how many dependencies were changed; released: how many jobs have become due; more: there
--   is more to do at once.
-- Locks: job, finished (skip locked). Writes: dependency, parent_event, job; see cancel_children
-- and bring_back.
create or replace function jobs_internal.follow_once(p_owner oid, out changed integer,
    out released integer, out more boolean)
returns record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_bitmapscan = off
set enable_material = off
set enable_mergejoin = off
as $$
declare
  v_max_events constant integer := 500;
  -- Of one parent those that were changed before are read again: the more at a time, the less.
  v_limit constant integer := 2000;
  v_events bigint[];
  v_parents bigint[];
  v_states text[];
  v_from bigint[];  -- of each dependency that is to be changed: the parent, the child, why
  v_to bigint[];
  v_verdicts text[];
  v_children record;
  v_locked bigint[];
  v_broken bigint[];
  v_back bigint[];
begin
  changed := 0;
  released := 0;
  more := false;
  v_events := array(
    select e.id from jobs_internal.parent_event as e where e.owner = p_owner
    order by e.id limit v_max_events);
  if v_events = '{}' then
    return;
  end if;
  select r.parents, r.states into v_parents, v_states
  from jobs_internal.read_parents(v_events) as r;
  select array_agg(c.parent), array_agg(c.child), array_agg(c.verdict)
  into v_from, v_to, v_verdicts
  from (
    select s.parent, d.child, d.verdict
    from unnest(v_parents, v_states) as s(parent, state)
    cross join lateral (
      select o.child, o.broken,
        -- as verdict_of, which is a call for each
        case when s.state in ('alive', 'in_doubt') then 'waits'
          when o.wants = 2 or o.wants = 0 and s.state = 'succeeded'
            or o.wants = 1 and s.state in ('failed', 'cancelled') then 'met'
          else 'unmet' end as verdict
      from jobs_internal.dependency as o
      where o.parent = s.parent and o.owner = p_owner
      offset 0
    ) as d
    where s.state <> 'busy'
      and (d.verdict = 'met' or d.verdict = 'unmet' and not d.broken
        or d.verdict = 'waits' and d.broken)
    limit v_limit
  ) as c;
  if v_to is not null then
    v_children := jobs_internal.lock_children(array(select distinct c from unnest(v_to) as c));
    v_locked := v_children.live || v_children.done || v_children.gone;
    delete from jobs_internal.dependency as d
    using unnest(v_from, v_to, v_verdicts) as u(parent, child, verdict)
    where d.parent = u.parent and d.child = u.child
      and (u.child = any (v_children.gone) or u.verdict = 'met' and u.child = any (v_locked));
    get diagnostics changed = row_count;
    update jobs_internal.dependency as d set broken = u.verdict = 'unmet'
    from unnest(v_from, v_to, v_verdicts) as u(parent, child, verdict)
    where d.parent = u.parent and d.child = u.child and u.verdict <> 'met'
      and u.child = any (v_locked);
    more := cardinality(v_to) = v_limit and changed > 0 or found;
    v_broken := array(
      select c from unnest(v_children.live) as c
      -- asked for each: a join might begin with all jobs
      where (select bool_or(d.broken) from jobs_internal.dependency as d where d.child = c)
        and (select not isfinite(j.due_at) from jobs_internal.job as j where j.id = c));
    if v_broken <> '{}' then
      perform jobs_internal.cancel_children(p_owner, v_broken, v_parents, v_states);
    end if;
    v_back := jobs_internal.bring_back(v_children.done);
    update jobs_internal.job as j set due_at = greatest(j.run_at, clock_timestamp())
    where j.id = any (v_children.live || v_back) and not isfinite(j.due_at)
      and not exists (select from jobs_internal.dependency as d where d.child = j.id);
    get diagnostics released = row_count;
    if cardinality(v_to) = v_limit then
      return;  -- there may be more children of these parents
    end if;
  end if;
  more := more or cardinality(v_events) = v_max_events;
  delete from jobs_internal.parent_event as e
  where e.id = any (v_events) and e.parent <> all (array(
    select s.parent from unnest(v_parents, v_states) as s(parent, state) where s.state = 'busy'
    union
    select u.parent from unnest(v_from, v_to) as u(parent, child)
    where u.child <> all (v_locked)));
  if not found and changed = 0 then
    more := false;
  end if;
end
$$;
