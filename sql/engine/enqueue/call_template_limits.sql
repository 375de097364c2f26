-- How many call templates one login may make, and how those go that no job has any more. They are
-- shared: what one login makes, others find.

-- Refuse a login one more template of a function, or at all. Two transactions that are open at once
-- may pass the limit together. Old versions of a function do not count among its templates: they
-- go with the next sweeps. Errors: PW079.
create or replace function jobs_internal.assert_few_call_templates(p_func oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_me oid := jobs_internal.caller();
begin
  if (select count(*) from (
      select from jobs_internal.call_template as s
      join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
      where s.maker = v_me and s.func = p_func and s.retired_by is null
      limit 1000) as f) = 1000
    or (select count(*) from (select from jobs_internal.call_template as s where s.maker = v_me
          limit 100000) as a) = 100000
  then
    raise exception using errcode = 'PW079',
      message = format('%s has called %s with too many sets of argument names', session_user,
          p_func::regprocedure),
      detail = '1000 sets of one function, and 100000 in all, are allowed to one login; each is '
        'kept while there are jobs of it.',
      hint = 'Pass the same names each time, with null where there is no value. A retry helps when '
        'unused ones were removed, in a day.';
  end if;
end
$$;

-- Remove templates that no job has, neither a live one nor one in history, and that were not used
-- for a day. In three rounds, each of which has committed before the next one looks, because an
-- enqueuer may have read a template and not yet committed its job:
--   retired: no enqueue whose snapshot sees that takes it; a new one is made instead
--   marked: no snapshot is left that does not see it; an enqueuer that took it has a transaction
--     number below horizon_xid
--   gone: all of those have ended, and still no job has it; else it stays retired until its jobs
--     are gone
-- No session waits for it, and it locks nothing that others want. Returns how many are gone.
-- Writes: call_template, call_stats.
create or replace function jobs_internal.sweep_call_templates()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_newest xid8;
  v_gone integer[];
begin
  with gone as (
    delete from jobs_internal.call_template as d
    where d.horizon_xid <= pg_snapshot_xmin(pg_current_snapshot())
      and not exists (select from jobs_internal.job as j where j.call_template_id = d.id)
      and not exists (select from jobs_internal.finished as f where f.call_template_id = d.id)
      and not exists (select from jobs_internal.schedule as s where s.call_template_id = d.id)
      and not exists (select from jobs_internal.batch_callback as b where b.call_template_id = d.id)
    returning d.id
  )
  select array_agg(g.id) into v_gone from gone as g;
  if v_gone is not null then
    delete from jobs_internal.call_stats as d where d.call_template_id = any (v_gone);
  end if;
  select max(s.retired_by) into v_newest
  from jobs_internal.call_template as s where s.retired_by is not null and s.horizon_xid is null;
  if v_newest is not null and not jobs_internal.is_older_snapshot(v_newest::xid) then
    update jobs_internal.call_template set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
    where retired_by is not null and horizon_xid is null;
  end if;
  update jobs_internal.call_template as s set retired_by = pg_current_xact_id()
  where s.retired_by is null and s.made_at < clock_timestamp() - interval '1 day'
    and not exists (select from jobs_internal.call_stats as d
      where d.call_template_id = s.id and d.seen_at > clock_timestamp() - interval '1 day')
    and not exists (select from jobs_internal.job as j where j.call_template_id = s.id)
    and not exists (select from jobs_internal.finished as f where f.call_template_id = s.id);
  return coalesce(cardinality(v_gone), 0);
end
$$;

-- Launch a sweep, four times a day: it reads all of history, so it has a session of its own. Locks:
-- server (skip locked).
create or replace function jobs_internal.launch_call_template_sweep()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.server as s set call_templates_swept_at = clock_timestamp()
  where s.id = (select v.id from jobs_internal.server as v for update skip locked)
    and coalesce(s.call_templates_swept_at
        not between clock_timestamp() - interval '6 hours' and clock_timestamp(), true);
  if found then
    perform jobs_internal.launch_upkeep('select jobs_internal.sweep_call_templates()',
        'pyworker call templates');
  end if;
end
$$;
