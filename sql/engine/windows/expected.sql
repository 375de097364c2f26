-- How long a job is expected to run: by its last runs, which are kept for that of jobs with a
-- window alone, or by what an operation is expected to take.

-- Keep how long runs of jobs took, each with its owner and task, in the commit that ends them.
-- Twenty of each are kept; those that other sessions remove just now are passed by.
-- Locks: task_run (skip locked). Writes: task_run.
create or replace function jobs_internal.keep_runs(p_owner oid, p_tasks text[],
    p_ms double precision[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  insert into jobs_internal.task_run (owner, task, ms)
  select p_owner, r.task, least(greatest(r.ms, 0), 1e12)
  from (
    select u.task, u.ms, u.n, row_number() over (partition by u.task order by u.n desc) as last
    from unnest(p_tasks, p_ms) with ordinality as u(task, ms, n)
    where u.task is not null and u.ms is not null
  ) as r
  where r.last <= 20
  order by r.n;
  delete from jobs_internal.task_run as d
  where d.id = any (array(
    select o.id
    from (select distinct u.task from unnest(p_tasks) as u(task)) as t
    cross join lateral (
      select r.id from jobs_internal.task_run as r
      where r.owner = p_owner and r.task = t.task order by r.id desc offset 20 limit 1) as f
    join jobs_internal.task_run as o on o.owner = p_owner and o.task = t.task and o.id <= f.id
    for update of o skip locked));
end
$$;

-- Keep the runs of jobs that have just succeeded. p_all: their queue has a window; else of those
-- that have one. Writes: task_run.
create or replace function jobs_internal.keep_runs_of(p_jobs bigint[], p_bucket integer,
    p_owner oid, p_all boolean)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_tasks text[];
  v_ms double precision[];
begin
  select array_agg(r.task order by r.at), array_agg(r.ms order by r.at) into v_tasks, v_ms
  from (
    select left(jobs_internal.task_name(f.id, f.call_template_id), 500) as task,
      f.finished_at as at, extract(epoch from f.finished_at - f.started_at) * 1000 as ms
    from jobs_internal.finished as f
    where f.id = any (p_jobs) and f.bucket = p_bucket and (p_all or f.options ? 'window')
    order by f.finished_at desc
    limit 200
  ) as r;
  if v_tasks is not null then
    perform jobs_internal.keep_runs(p_owner, v_tasks, v_ms);
  end if;
end
$$;

-- Keep one run of a job that goes on: it snoozed, or a step of it is done. Nothing where it has no
-- window. Writes: task_run.
create or replace function jobs_internal.keep_run(p_job jobs_internal.job, p_task text,
    p_result jobs_internal.attempt_result)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(p_job.options ? 'window', false) or exists (select from jobs_internal.queue as q
      where q.id = p_job.queue_id and q.window_name is not null) then
    perform jobs_internal.keep_runs(p_job.owner, array[left(p_task, 500)], array[(extract(epoch
        from p_result.finished_at - p_result.started_at) * 1000)::double precision]);
  end if;
end
$$;

-- How long an operation is expected to take: the middle of the last five of its kind on its
-- object, else by what was learned here of its kind. Null: it is none, or that is not known.
create or replace function jobs_internal.operation_expected(p_job bigint)
returns interval
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v jobs_internal.operation;
  v_past interval;
begin
  select o.* into v from jobs_internal.operation as o where o.job_id = p_job;
  if v.object is null then
    return null;
  end if;
  select percentile_cont(0.5) within group (order by p.took) into v_past
  from (
    select f.finished_at - f.started_at as took
    from jobs_internal.operation as e
    join jobs_internal.finished as f on f.id = e.job_id
    where e.object = v.object and e.kind = v.kind and e.owner = v.owner and e.state = 'succeeded'
    order by e.job_id desc
    limit 5
  ) as p;
  return coalesce(v_past, jobs_internal.learned_duration(v.kind, (
    select sum(c.relpages) from pg_class as c
    where c.oid = any (v.relations || v.object) and c.relkind in ('r', 'm', 't'))));
end
$$;

-- How long a run of a job is expected to take at most, and from what that is known. Nulls: it has
-- never run.
create or replace function jobs_internal.expected_run(p_job jobs_internal.job, out needs interval,
    out basis text)
returns record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_expected interval;
  v_p90 double precision;
  v_runs bigint;
begin
  if p_job.call_template_id is null then
    v_expected := jobs_internal.operation_expected(p_job.id);
  end if;
  if v_expected is not null then
    needs := 1.4 * v_expected;
    basis := format('1.4 times the %s that such an operation takes here',
        jobs_internal.elapsed(v_expected));
    return;
  end if;
  select percentile_disc(0.9) within group (order by r.ms), count(*) into v_p90, v_runs
  from (
    select o.ms from jobs_internal.task_run as o
    where o.owner = p_job.owner
      and o.task = left(jobs_internal.task_name(p_job.id, p_job.call_template_id), 500)
    order by o.id desc
    limit 20
  ) as r;
  if v_runs > 0 then
    needs := make_interval(secs => 1.2 * v_p90 / 1000);
    basis := format('1.2 times the %s that nine in ten of its last %s took at most',
        jobs_internal.elapsed(make_interval(secs => v_p90 / 1000)),
        jobs_internal.counted(v_runs, 'run'));
  end if;
end
$$;
