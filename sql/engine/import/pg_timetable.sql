-- Chains of pg_timetable: its tables timetable.chain, task and parameter, as of version 5.

-- The chains, as item.sql says. A chain is one transaction, but for its autonomous tasks.
-- Errors: those of reading the tables.
create or replace function jobs_internal.jobs_of_pg_timetable()
returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v jsonb;
  v_tasks jsonb;
  v_schedule text;
  v_zone text := current_setting('TimeZone');
begin
  for v, v_tasks in
    execute 'select to_jsonb(c), coalesce((select jsonb_agg(to_jsonb(t) || jsonb_build_object('
      '''parameters'', (select count(*) from timetable.parameter as p where p.task_id = t.task_id'
      ' and p.value not in (''[]'', ''{}'', ''null''))) order by t.task_order, t.task_id)'
      ' from timetable.task as t where t.chain_id = c.chain_id), ''[]'')'
      ' from timetable.chain as c order by c.chain_id'
  loop
    v_schedule := regexp_replace(coalesce(v ->> 'run_at', '* * * * *'), '^@(every|after)\y', '\1');
    return next jsonb_build_object(
      'name', v ->> 'chain_name',
      'schedule', v_schedule,
      'timezone', v_zone,
      'overlap', case when (v ->> 'max_instances')::integer = 1 then 'skip' else 'parallel' end,
      'missed', 'none',
      'timeout', case when (v ->> 'timeout')::bigint > 0
        then make_interval(secs => (v ->> 'timeout')::bigint / 1000.0)::text end,
      'steps', (select jsonb_agg(jsonb_build_object('statement', t ->> 'command', 'goes_on',
          coalesce((t -> 'ignore_error')::boolean, false)) order by n)
        from jsonb_array_elements(v_tasks) with ordinality as e(t, n)),
      'separate', exists (select from jsonb_array_elements(v_tasks) as t
        where (t -> 'autonomous')::boolean),
      'differences', to_jsonb(array_remove(array[
        format('the zone is that of this session, %s: pg_timetable goes by that of its own',
          v_zone),
        case when split_part(v_schedule, ' ', 3) !~ '^\*'
            and split_part(v_schedule, ' ', 5) !~ '^\*' and v_schedule !~ '^[@ae]'
          then 'day and weekday must both match there; here one of them is enough' end,
        case when (v ->> 'max_instances')::integer > 1
          then format('no more than %s at once there; here as many as are due',
            v ->> 'max_instances') end,
        case when jsonb_array_length(v_tasks) > 1 and exists (
            select from jsonb_array_elements(v_tasks) as t where (t -> 'autonomous')::boolean)
          then 'its tasks are jobs that wait for one another, each a transaction of its own; the '
            'next run does not wait for the last of them' end,
        case when (v -> 'self_destruct')::boolean
          then 'it goes there when it has succeeded once: jobs.unschedule it then' end,
        case when (v -> 'exclusive_execution')::boolean
          then 'all other chains wait for it there; here they do not' end,
        case when v ->> 'client_name' is not null
          then format('only the client "%s" runs it there', v ->> 'client_name') end,
        case when v ->> 'on_error' is not null
          then 'what it runs after an error (on_error) is left out' end,
        case when exists (select from jsonb_array_elements(v_tasks) as t
            where (t ->> 'timeout')::bigint > 0)
          then 'the timeouts of single tasks are left out' end,
        case when not (v -> 'live')::boolean then 'it is not live there' end], null)),
      'refused', case
        when v_tasks = '[]' then 'it has no task'
        when exists (select from jsonb_array_elements(v_tasks) as t where t ->> 'kind' <> 'SQL')
          then 'a task of it is no SQL: a database runs no programs'
        when exists (select from jsonb_array_elements(v_tasks) as t
            where nullif(t ->> 'database_connection', '') is not null)
          then 'a task of it is for another database'
        when exists (select from jsonb_array_elements(v_tasks) as t
            where nullif(t ->> 'run_as', '') is not null)
          then 'a task of it runs as another role: a job has one owner'
        when exists (select from jsonb_array_elements(v_tasks) as t
            where (t ->> 'parameters')::bigint > 0)
          then 'a task of it has parameters: write them into the statement' end);
  end loop;
end
$$;
