-- Checks of jobs.health: schedules that do not do what their owner expects.

-- Schedules whose runs fail one after the other, that are paused because of that, or of which
-- occurrences were missed or could not be enqueued within a day. Of what the caller may see.
create or replace function jobs_internal.health_schedules(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  with seen as (
    select s.id, s.paused_at, s.paused_why,
      format(case when o.other then '%1$s of %2$s' else '%1$s' end, s.name, o.owner) as name,
      format(case when o.other then '%1$L, owner => %2$L' else '%1$L' end, s.name, o.owner)
        as arguments,
      format(case when o.other then 'name = %1$L and owner = %2$L' else 'name = %1$L' end, s.name,
        o.owner) as condition
    from jobs_internal.schedule as s
    cross join lateral (select pg_get_userbyid(s.owner)::text as owner,
      s.owner <> (select jobs_internal.viewer()) as other) as o
    where s.dropped_at is null
      and (s.owner = (select jobs_internal.viewer())
        or (select jobs_internal.caller_is('jobs_reader'))
        or (select jobs_internal.caller_is('jobs_operator'))
        or (select jobs_internal.caller_is('jobs_supervisor')))
  ), trouble as (
    select s.name, format('paused: %s', s.paused_why) as what,
      format('select jobs.resume_schedule(%s);', s.arguments) as cure
    from seen as s
    where s.paused_at is not null and s.paused_why is not null
    union all
    select s.name, format('its last %s runs failed', f.count),
      'select * from jobs.failed;'
    from seen as s
    join (select t.schedule_id, t.last_job from jobs_internal.schedule_state as t
      where t.last_job is not null order by t.last_job desc limit 2000) as l on l.schedule_id = s.id
    join jobs_internal.finished as j on j.id = l.last_job and j.state in ('failed', 'in_doubt')
    cross join lateral jobs_internal.failures_in_a_row(s.id) as f(count)
    where s.paused_at is null and f.count >= 3
    union all
    select s.name, format('%s since %s: %s', r.outcome, min(r.due_at)::timestamptz(0),
        (array_agg(r.reason order by r.due_at desc))[1]),
      format('select * from jobs.schedule_runs where %s;', s.condition)
    from seen as s
    join jobs_internal.schedule_run as r on r.schedule_id = s.id
      and r.fired_at > now() - interval '1 day'
    where r.outcome in ('missed', 'skipped')
      and (r.outcome = 'missed' or r.reason ~ '[(]PW[0-9]+[)]$')
    group by s.name, s.condition, r.outcome
  )
  select case when count(*) > 0 then 'warning' else 'ok' end,
    case when count(*) > 0 then left(string_agg(format('%s: %s', t.name, t.what), '; '
        order by t.name, t.what), 2000) else 'all run' end,
    left(string_agg(distinct t.cure, ' '), 2000)
  from trouble as t;
end;
