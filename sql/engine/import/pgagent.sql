-- Jobs of pgAgent: its tables pgagent.pga_job, pga_jobstep, pga_schedule and pga_exception, as of
-- version 4.

-- A field of a schedule, from a row of booleans that says which numbers match, from p_first on;
-- none: any does. p_last: the last of them is the last day of the month.
create or replace function jobs_internal.pgagent_field(p_flags jsonb, p_first integer,
    p_last boolean default false)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when count(*) filter (where e.value::boolean) in (0, count(*)) then '*'
    else string_agg(case when p_last and e.n = 32 then 'L' else (e.n - 1 + p_first)::text end, ','
      order by e.n) filter (where e.value::boolean) end
  from jsonb_array_elements(p_flags) with ordinality as e(value, n);
end;

-- The jobs, one for each of their schedules, as item.sql says. Each step is a transaction of its
-- own. Errors: those of reading the tables.
create or replace function jobs_internal.jobs_of_pgagent()
returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jsonb;
  v_schedule jsonb;
  v_steps jsonb;
  v_off bigint;
  v_exceptions bigint;
  v_schedules bigint;
  v_zone text := current_setting('TimeZone');
begin
  for v_job, v_schedule, v_steps, v_off, v_exceptions, v_schedules in
    execute 'select to_jsonb(j), to_jsonb(s), coalesce((select jsonb_agg(to_jsonb(t) order by '
      't.jstname, t.jstid) from pgagent.pga_jobstep as t where t.jstjobid = j.jobid'
      ' and t.jstenabled), ''[]''),'
      ' (select count(*) from pgagent.pga_jobstep as t where t.jstjobid = j.jobid'
      ' and not t.jstenabled),'
      ' (select count(*) from pgagent.pga_exception as x where x.jexscid = s.jscid),'
      ' count(s.jscid) over (partition by j.jobid)'
      ' from pgagent.pga_job as j left join pgagent.pga_schedule as s on s.jscjobid = j.jobid'
      ' order by j.jobid, s.jscid'
  loop
    return next jsonb_build_object(
      'name', v_job ->> 'jobname' || case when v_schedules > 1
        then format(' (%s)', v_schedule ->> 'jscname') else '' end,
      'schedule', concat_ws(' ',
        jobs_internal.pgagent_field(v_schedule -> 'jscminutes', 0),
        jobs_internal.pgagent_field(v_schedule -> 'jschours', 0),
        jobs_internal.pgagent_field(v_schedule -> 'jscmonthdays', 1, true),
        jobs_internal.pgagent_field(v_schedule -> 'jscmonths', 1),
        jobs_internal.pgagent_field(v_schedule -> 'jscweekdays', 0)),
      'timezone', v_zone,
      'overlap', 'skip',
      'missed', 'last',
      'starts_at', v_schedule ->> 'jscstart',
      'ends_at', v_schedule ->> 'jscend',
      'steps', (select jsonb_agg(jsonb_build_object('statement', t ->> 'jstcode', 'goes_on',
          t ->> 'jstonerror' <> 'f') order by n)
        from jsonb_array_elements(v_steps) with ordinality as e(t, n)),
      'separate', true,
      'differences', to_jsonb(array_remove(array[
        format('the zone is that of this session, %s: pgAgent goes by that of its own', v_zone),
        case when jobs_internal.pgagent_field(v_schedule -> 'jscmonthdays', 1, true) <> '*'
            and jobs_internal.pgagent_field(v_schedule -> 'jscweekdays', 0) <> '*'
          then 'day and weekday must both match there; here one of them is enough' end,
        case when jsonb_array_length(v_steps) > 1
          then 'its steps are jobs that wait for one another; the next run does not wait for the '
            'last of them' end,
        case when v_off > 0 then format('%s, which are not enabled, are left out',
          jobs_internal.counted(v_off, 'step')) end,
        case when v_exceptions > 0 then format('%s, at which it does not run, are left out',
          jobs_internal.counted(v_exceptions, 'date')) end,
        case when nullif(v_job ->> 'jobhostagent', '') is not null
          then format('only the agent on "%s" runs it there', v_job ->> 'jobhostagent') end,
        case when not (v_job -> 'jobenabled')::boolean or not (v_schedule -> 'jscenabled')::boolean
          then 'it is not enabled there' end], null)),
      'refused', case
        when jsonb_typeof(coalesce(v_schedule, 'null')) = 'null' then 'it has no schedule'
        when v_steps = '[]' then 'it has no step that is enabled'
        when exists (select from jsonb_array_elements(v_steps) as t where t ->> 'jstkind' <> 's')
          then 'a step of it is no SQL: a database runs no programs'
        when exists (select from jsonb_array_elements(v_steps) as t
            where nullif(t ->> 'jstconnstr', '') is not null)
          then 'a step of it is for another server'
        when exists (select from jsonb_array_elements(v_steps) as t
            where nullif(t ->> 'jstdbname', '') <> current_database())
          then format('a step of it is for another database than "%s"', current_database()) end);
  end loop;
end
$$;
