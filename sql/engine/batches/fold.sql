-- Folding: what changed in batches is summed up, and a batch that has ended calls back. A worker
-- session does it before it claims, for batches of its owner, a supervisor in its rounds for all.
-- The protocol: docs/batches.md.

-- One pass for one batch: up to 1,000 changes.
-- Returns: called: how many callbacks were enqueued; more: there is more to do at once.
-- Locks: batch (skip locked). Writes: batch_delta, batch_count, batch_jobs; see end_batch.
create or replace function jobs_internal.fold_once(p_owner oid, p_batch bigint, out called integer,
    out more boolean)
returns record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_limit constant integer := 1000;
  v jobs_internal.batch;
  v_sum record;
  v_count jobs_internal.batch_count;
begin
  called := 0;
  more := false;
  select b.* into v from jobs_internal.batch as b
  where b.id = p_batch for no key update skip locked;
  if not found then
    if not exists (select from jobs_internal.batch as b where b.id = p_batch) then
      delete from jobs_internal.batch_delta as d where d.owner = p_owner and d.batch_id = p_batch;
    end if;
    return;
  end if;
  with gone as (
    delete from jobs_internal.batch_delta as d
    where d.id = any (array(
      select o.id from jobs_internal.batch_delta as o
      where o.owner = p_owner and o.batch_id = p_batch
      order by o.id limit v_limit))
    returning d.*
  ), added as (
    select g.first_job, g.last_job,
      max(g.last_job) over (order by g.first_job
        rows between unbounded preceding and 1 preceding) as before
    from gone as g where g.first_job is not null
  ), islands as (
    select a.first_job, a.last_job,
      count(*) filter (where a.first_job - a.before > 64) over (order by a.first_job) as island
    from added as a
  ), kept as (
    insert into jobs_internal.batch_jobs (batch_id, first_job, last_job)
    select p_batch, min(i.first_job), max(i.last_job) from islands as i group by i.island
    on conflict do nothing
  )
  select count(*) as n, sum(g.total) as total, sum(g.succeeded) as succeeded,
    sum(g.failed) as failed, sum(g.cancelled) as cancelled, sum(g.in_doubt) as in_doubt
  into v_sum from gone as g;
  if v_sum.n > 0 then
    update jobs_internal.batch_count as c
    set total = c.total + v_sum.total, succeeded = c.succeeded + v_sum.succeeded,
      failed = c.failed + v_sum.failed, cancelled = c.cancelled + v_sum.cancelled,
      in_doubt = c.in_doubt + v_sum.in_doubt, changed_at = clock_timestamp(),
      first_end_at = case when e.ended > 0 then coalesce(c.first_end_at, clock_timestamp()) end,
      first_ended = case when e.ended > 0 then coalesce(c.first_ended, e.ended) end
    from (
      select o.succeeded + o.failed + o.cancelled + v_sum.succeeded + v_sum.failed
        + v_sum.cancelled as ended
      from jobs_internal.batch_count as o where o.batch_id = p_batch
    ) as e
    where c.batch_id = p_batch;
  end if;
  if v_sum.n = v_limit then
    more := true;
  elsif v.closed_at is not null and not v.called then
    select c.* into v_count from jobs_internal.batch_count as c where c.batch_id = p_batch;
    if v_count.total = v_count.succeeded + v_count.failed + v_count.cancelled then
      called := jobs_internal.end_batch(v);
      more := called is null;
      called := coalesce(called, 0);
    elsif v.retry_at is not null then
      update jobs_internal.batch as b set retry_at = null where b.id = p_batch;
    end if;
  end if;
end
$$;

-- Fold batches of one owner that have changed, and look again at those whose time for that has
-- come, twenty at most of each, for so many seconds. Returns how many callbacks were enqueued.
create or replace function jobs_internal.fold_owner(p_owner oid, p_seconds double precision)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_batch bigint;
  v_pass record;
  v_called integer := 0;
begin
  for v_batch in
    with recursive changed (batch_id) as (
      (select d.batch_id from jobs_internal.batch_delta as d where d.owner = p_owner
        order by d.batch_id limit 1)
      union all
      select n.batch_id
      from changed as c
      cross join lateral (
        select d.batch_id from jobs_internal.batch_delta as d
        where d.owner = p_owner and d.batch_id > c.batch_id
        order by d.batch_id limit 1) as n
    )
    (select l.batch_id from (select c.batch_id from changed as c limit 1000) as l
      order by random() limit 20)
    union
    (select b.id from jobs_internal.batch as b
      where b.owner = p_owner and b.retry_at <= clock_timestamp()
      order by b.retry_at limit 20)
  loop
    loop
      v_pass := jobs_internal.fold_once(p_owner, v_batch);
      v_called := v_called + v_pass.called;
      exit when not v_pass.more or clock_timestamp() > v_until;
    end loop;
    exit when not jobs_internal.has_room(v_until);
  end loop;
  return v_called;
end
$$;

-- Before a claim: fold for the session's owner, and put callbacks into its lanes. Returns whether
-- there were any. What cannot be done now is left to a supervisor's round.
create or replace function jobs_internal.fold_mine(p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_called integer;
begin
  begin
    v_called := jobs_internal.fold_owner(p_owner, 0.1);
    if v_called > 0 then
      perform jobs_internal.move_due_of(p_owner, null, '{}', v_called, false);
    end if;
  exception
    when others then
      return false;
  end;
  return v_called > 0;
end
$$;

-- Whether a round has something to fold, or to look at again.
create or replace function jobs_internal.has_changed_batches()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.batch_delta)
    or exists (select from jobs_internal.batch as b where b.retry_at <= clock_timestamp());
end;

-- In a supervisor's round: fold for all owners. Returns how many callbacks were enqueued. Writes:
-- duty_failure; see fold_owner.
create or replace function jobs_internal.fold_batches()
returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with recursive owners (owner) as (
    (select d.owner from jobs_internal.batch_delta as d order by d.owner limit 1)
    union all
    select n.owner
    from owners as o
    cross join lateral (
      select d.owner from jobs_internal.batch_delta as d where d.owner > o.owner
      order by d.owner limit 1) as n
  ), changed as (
    select o.owner from owners as o
    union
    select b.owner from jobs_internal.batch as b where b.retry_at <= clock_timestamp()
  )
  select jobs_internal.serve_owners('batch', array_agg(c.owner)) from changed as c;
end;
