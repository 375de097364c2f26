-- Jobs that are cancelled because one that they waited for did not end as wanted, and that come
-- back when it can after all.

-- Cancel children that have a broken dependency, and all that wait for their success, one after the
-- other: up to 5,000 dependencies, for the others events are left. The caller has locked the
-- children. p_parents, p_states: what is known of parents.
-- Locks: job (skip locked). Writes: dependency, parent_event, stop_request, outbox; see
-- archive_jobs.
create or replace function jobs_internal.cancel_children(p_owner oid, p_children bigint[],
    p_parents bigint[], p_states text[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set enable_hashjoin = off
set enable_material = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_from bigint[];  -- of each dependency that does it: the parent, the child
  v_to bigint[];
  v_children bigint[];
  v_locked bigint[];
begin
  with recursive chain (parent, child) as (
    select d.parent, d.child
    from unnest(p_children) as c(id)
    join jobs_internal.dependency as d on d.child = c.id and d.broken
    union
    select d.parent, d.child
    from chain as c
    cross join lateral (
      select o.parent, o.child from jobs_internal.dependency as o
      where o.parent = c.child and o.wants = 0 and o.owner = p_owner and not o.broken
        and (select not isfinite(j.due_at) from jobs_internal.job as j where j.id = o.child)
      offset 0  -- looked up for each: a join would begin with all jobs
    ) as d
  )
  select array_agg(c.parent), array_agg(c.child) into v_from, v_to
  from (select r.parent, r.child from chain as r limit 5000) as c;
  v_children := array(select distinct c from unnest(v_to) as c);
  v_locked := array(
    select j.id from jobs_internal.job as j where j.id = any (v_children) and not isfinite(j.due_at)
    order by j.id for update skip locked);
  if cardinality(v_locked) < cardinality(v_children) then
    -- A person has one of them just now: those behind it wait for what becomes of it.
    v_locked := p_children;
    select array_agg(u.parent), array_agg(u.child) into v_from, v_to
    from unnest(v_from, v_to) as u(parent, child) where u.child = any (p_children);
  else
    update jobs_internal.dependency as d set broken = true
    from unnest(v_from, v_to) as u(parent, child)
    where d.parent = u.parent and d.child = u.child and not d.broken;
  end if;
  perform jobs_internal.archive_children(p_owner, v_locked, v_from, v_to, p_parents, p_states);
end
$$;

-- The end of those jobs: archived, and told to the log. p_from, p_to: the dependencies that do it,
-- one at least of each.
create or replace function jobs_internal.archive_children(p_owner oid, p_jobs bigint[],
    p_from bigint[], p_to bigint[], p_parents bigint[], p_states text[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set enable_hashjoin = on
set enable_material = on
set enable_bitmapscan = off
as $$
declare
  v_queue integer;
  v_results jobs_internal.attempt_result[];  -- of no attempt: they never ran
  v_told jsonb;
  v_before bigint := coalesce((select max(e.id) from jobs_internal.parent_event as e
    where e.owner = p_owner), 0);
begin
  delete from jobs_internal.stop_request as x using unnest(p_jobs) as c(id) where x.job_id = c.id;
  -- archive_jobs joins its jobs with its results, which is a loop: a few at a time.
  for v_queue, v_results, v_told in
    select s.queue_id, array_agg(s.result), jsonb_agg(s.told)
    from (
      select j.queue_id,
        (row_number() over (partition by j.queue_id order by j.id) - 1) / 200 as slice,
        row(j.id, j.attempt, null, null, clock_timestamp(), null, null,
          -- as error_object, which is a call for each
          jsonb_build_object('sqlstate', 'PW105', 'message', format(w.message, w.parent),
            'detail', 'It was not started.', 'hint', format(w.hint, j.id, w.parent),
            'context', null),
          null, null, null, null, null, null, null, null, null, null, null, null)
          ::jobs_internal.attempt_result as result,
        jsonb_build_object('job_id', j.id, 'task',
          coalesce((select k.task from jobs_internal.call_template as k
              where k.id = j.call_template_id), jobs_internal.task_name(j.id, null)),
          'attempt', j.attempt,
          'max_attempts', j.max_attempts, 'outcome', 'cancelled', 'state', 'cancelled',
          'retry_at', null, 'ms', null, 'error', null, 'note',
          case when j.note is null then '{}' else jobs_internal.brief_note(j.note) end) as told
      from (
        select distinct on (u.child) u.child, u.parent,
          case s.state
            when 'succeeded' then 'job %s, whose failure it waited for, has succeeded'
            when 'gone' then 'job %s, which it waited for, is not known any more'
            when 'failed' then 'job %s, which it waited for, has failed'
            else 'job %s, which it waited for, was cancelled' end as message,
          case when s.state in ('succeeded', 'gone') then ''
            else 'select jobs.retry(%2$s) brings it back too; ' end
            || 'select jobs.retry(%1$s) runs it all the same.' as hint
        from unnest(p_from, p_to) as u(parent, child)
        left join unnest(p_parents, p_states) as s(parent, state) on s.parent = u.parent
        order by u.child, u.parent
      ) as w
      cross join lateral (
        select l.* from jobs_internal.job as l where l.id = w.child offset 0) as j
    ) as s
    group by s.queue_id, s.slice
    order by s.queue_id, s.slice
  loop
    perform jobs_internal.archive_jobs(v_queue, p_owner, 'scheduled', 0, 'cancelled', null,
        v_results);
    perform jobs_internal.put_in_outbox(v_queue, p_owner, null, pg_backend_pid(), null, v_told);
  end loop;
  -- None is needed where all that waited are cancelled already.
  delete from jobs_internal.parent_event as e
  where e.owner = p_owner and e.id > v_before and e.state = 'cancelled'
    and not (select exists (select from jobs_internal.dependency as d
      where d.parent = e.parent and d.owner = p_owner and not (d.broken and d.wants = 0)));
end
$$;

-- Bring back those of the jobs that were cancelled for a parent and have no broken dependency any
-- more; they wait, until follow_once finds that they need not. The caller has locked their rows of
-- finished. One whose queue was dropped, or whose unique_key another job has now, stays as it is.
-- Their deadlines count again. Returns those that came back. Writes: job_deadline, parent_event;
-- see relive.
create or replace function jobs_internal.bring_back(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job jobs_internal.finished;
  v_back bigint[] := '{}';
begin
  for v_job in
    select f.* from jobs_internal.finished as f
    where f.id = any (p_jobs) and f.state = 'cancelled' and f.error ->> 'sqlstate' = 'PW105'
      and not exists (select from jobs_internal.dependency as d where d.child = f.id and d.broken)
      and exists (select from jobs_internal.queue as q where q.id = f.queue_id
        and q.dropped_at is null)
    order by f.id
  loop
    if jobs_internal.relive(v_job, 'infinity') then
      v_back := v_back || v_job.id;
      -- no person said that it may be late
      insert into jobs_internal.job_deadline (job_id, at)
      select v_job.id, (v_job.options ->> 'deadline')::timestamptz
      where v_job.options ? 'deadline'
      on conflict do nothing;
      insert into jobs_internal.parent_event (parent, owner)
      select distinct d.parent, d.owner from jobs_internal.dependency as d
      where d.parent = v_job.id;
    end if;
  end loop;
  return v_back;
end
$$;
