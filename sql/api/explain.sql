-- Why a job waits, or why the callbacks of a batch have not come.

create or replace function jobs.explain(id bigint default null, batch bigint default null)
returns table (
  state text, reason text, code text, since timestamptz, until timestamptz,
  blocked_by_pids integer[], blocked_by_jobs bigint[], remedy text, also text[]
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
declare
  v_job jobs_internal.job;
  v_finished record;
  v_me oid := jobs_internal.viewer();
  v_all boolean := jobs_internal.caller_is('jobs_reader')
    or jobs_internal.caller_is('jobs_operator');
  v_first boolean := true;
  v record;
begin
  if explain.id is null and explain.batch is not null then
    return query select b.* from jobs_internal.explain_batch(explain.batch) as b;
    return;
  end if;
  select j.* into v_job from jobs_internal.job as j
  where j.id = explain.id and (v_all or v_me in (j.owner, j.enqueued_by));
  if not found then
    select f.state, f.outcome, f.finished_at into v_finished from jobs_internal.finished as f
    where f.id = explain.id and (v_all or v_me in (f.owner, f.enqueued_by));
    if found then
      state := v_finished.state;
      code := 'finished';
      reason := format('it is finished: %s',
          concat_ws(', outcome ', v_finished.state, nullif(v_finished.outcome, v_finished.state)));
      since := v_finished.finished_at;
    else
      code := 'not_there';
      reason := format('there is no job %s, or you may not see it',
          coalesce(explain.id::text, 'null'));
    end if;
    if state is distinct from 'succeeded' then
      remedy := replace((select c.remedy from jobs_internal.wait_codes() as c
          where c.code = explain.code), '(id)', format('(%s)', explain.id));
    end if;
    return next;
    return;
  end if;
  state := v_job.state;
  for v in select r.* from jobs_internal.reasons_of(v_job) as r order by r.n, r.since loop
    if not v_first then
      if v.n <> 36 then  -- that it runs is said where nothing else is
        also := also || v.reason;
      end if;
      continue;
    end if;
    v_first := false;
    also := '{}';
    code := v.code;
    reason := v.reason;
    since := v.since;
    until := nullif(v.until, 'infinity');  -- a time that no client library reads
    blocked_by_pids := v.pids;
    blocked_by_jobs := (select array_agg(u.id order by u.id) from unnest(v.jobs) as u(id)
      where u.id <> v_job.id and (v_all
          or exists (select from jobs_internal.job as j where j.id = u.id
              and v_me in (j.owner, j.enqueued_by))));
    remedy := replace(coalesce(v.remedy, (select c.remedy from jobs_internal.wait_codes() as c
          where c.code = v.code)), '(id)', format('(%s)', explain.id));
    if v.n between 30 and 39 then
      state := 'running';
    end if;
  end loop;
  if v_job.call_template_id is null and (v_job.owner = v_me or jobs_internal.reads(v_job.owner))
    then
    also := also || array(
      select 'its search_path is ' || coalesce(v_job.settings ->> 'search_path', s.path)
      from jobs_internal.statement as s
      where s.job_id = v_job.id and coalesce(v_job.settings ->> 'search_path', s.path) is not null);
  end if;
  return next;
end
$$;
comment on function jobs.explain(bigint, bigint) is
'Says why a job waits, or what it is at: state; reason, in words; code, the first that holds of '
'jobs.wait_reasons; since and until, where they are
known; the processes and the jobs that are in the way, as far as the caller may see them; remedy; '
'and what else holds (also), with the
search_path of a statement. batch, without id: why the callbacks of that batch have not come. One '
'row, always.';
