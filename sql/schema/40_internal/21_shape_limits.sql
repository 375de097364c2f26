-- How many shapes one login may make, and how those go that no job has any more. Shapes are shared: what one login makes, others find.

-- Purpose: refuse a login one more shape of a function, or at all. Two transactions that are open at once may pass the limit together.
-- Old versions of a function do not count among its shapes: they go with the next sweeps. Errors: PW079.
create or replace function jobs_internal.assert_few_shapes(p_func oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_me oid := jobs_internal.me();
begin
  if (select pg_catalog.count(*) from (
      select from jobs_internal.shape as s
      join pg_catalog.pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.place
      where s.maker = v_me and s.func = p_func and s.retired_by is null
      limit 1000) as f) = 1000
    or (select pg_catalog.count(*) from (select from jobs_internal.shape as s where s.maker = v_me limit 100000) as a) = 100000
  then
    raise exception using errcode = 'PW079',
      message = pg_catalog.format('%s has called %s with too many sets of argument names', session_user, p_func::regprocedure),
      detail = '1000 sets of one function, and 100000 in all, are allowed to one login; each is kept while there are jobs of it.',
      hint = 'Pass the same names each time, with null where there is no value. A retry helps when unused ones were swept, in a day.';
  end if;
end
$$;
comment on function jobs_internal.assert_few_shapes(oid) is 'PW079 for one more shape of a login that has too many';

-- Purpose: let shapes go that no job has, neither a live one nor one in history, and that were not used for a day. In three rounds, each of which
-- has committed before the next one looks, because an enqueuer may have read a shape and not yet committed its job:
--   retired   no enqueue whose snapshot sees that takes it; a new one is made instead
--   marked    no snapshot is left that does not see it: whoever took it has a transaction number below mark
--   gone      all of those have ended, and still no job has it; else it stays retired until its jobs are gone
-- Nobody waits for it, and it locks nothing that others want. Returns how many are gone. Writes: shape, duration.
create or replace function jobs_internal.sweep_shapes()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_newest xid8;
  v_gone integer[];
begin
  with gone as (
    delete from jobs_internal.shape as d
    where d.mark <= pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
      and not exists (select from jobs_internal.job as j where j.shape_id = d.id)
      and not exists (select from jobs_internal.finished as f where f.shape_id = d.id)
    returning d.id
  )
  select pg_catalog.array_agg(g.id) into v_gone from gone as g;
  if v_gone is not null then
    delete from jobs_internal.duration as d where d.shape_id = any (v_gone);
  end if;
  select pg_catalog.max(s.retired_by) into v_newest
  from jobs_internal.shape as s where s.retired_by is not null and s.mark is null;
  if v_newest is not null and not jobs_internal.is_older_snapshot(v_newest::xid) then
    update jobs_internal.shape set mark = pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    where retired_by is not null and mark is null;
  end if;
  update jobs_internal.shape as s set retired_by = pg_catalog.pg_current_xact_id()
  where s.retired_by is null and s.made_at < pg_catalog.clock_timestamp() - interval '1 day'
    and not exists (select from jobs_internal.duration as d
      where d.shape_id = s.id and d.seen_at > pg_catalog.clock_timestamp() - interval '1 day')
    and not exists (select from jobs_internal.job as j where j.shape_id = s.id)
    and not exists (select from jobs_internal.finished as f where f.shape_id = s.id);
  return coalesce(pg_catalog.cardinality(v_gone), 0);
end
$$;
comment on function jobs_internal.sweep_shapes() is 'Lets shapes go that no job has; returns how many are gone';

-- Purpose: launch a sweep, four times a day: it reads all of history, so it has a session of its own. Locks: server (skip locked).
create or replace function jobs_internal.launch_shape_sweep()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.server as s set shapes_at = pg_catalog.clock_timestamp()
  where s.id = (select v.id from jobs_internal.server as v for update skip locked)
    and coalesce(s.shapes_at not between pg_catalog.clock_timestamp() - interval '6 hours' and pg_catalog.clock_timestamp(), true);
  if found then
    perform jobs_internal.launch_upkeep('select jobs_internal.sweep_shapes()', 'pyworker shapes');
  end if;
end
$$;
comment on function jobs_internal.launch_shape_sweep() is 'Launches a sweep of shapes in a session of its own, four times a day';
