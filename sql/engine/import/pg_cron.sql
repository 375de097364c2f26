-- Jobs of pg_cron: its table cron.job, as of version 1.4 to 1.6. Its owners see their own rows.

-- The time zone that pg_cron goes by; null: this login may not see it.
create or replace function jobs_internal.pg_cron_zone()
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return coalesce(current_setting('cron.timezone', true), 'GMT');
exception
  when insufficient_privilege then
    return null;
end
$$;

-- The jobs, as item.sql says. Errors: those of reading the table.
create or replace function jobs_internal.jobs_of_pg_cron()
returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_zone text := jobs_internal.pg_cron_zone();
  v jsonb;
  v_schedule text;
begin
  for v in execute 'select to_jsonb(j) from cron.job as j order by j.jobid' loop
    v_schedule := regexp_replace(btrim(v ->> 'schedule'), '^([0-9]+) seconds?$', 'every \1 seconds',
        'i');
    return next jsonb_build_object(
      'name', coalesce(nullif(v ->> 'jobname', ''), 'pg_cron ' || (v ->> 'jobid')),
      'owner', v ->> 'username',
      'schedule', v_schedule,
      'timezone', coalesce(v_zone, 'GMT'),
      'overlap', case when v_schedule ~ '^every' then 'skip' else 'queue' end,
      'missed', 'none',
      'steps', jsonb_build_array(jsonb_build_object('statement', v ->> 'command')),
      'separate', false,
      'differences', to_jsonb(array_remove(array[
        case when v_zone is null then 'the zone of pg_cron (cron.timezone) may not be read by this '
          'login: GMT is taken' end,
        case when v_schedule !~ '^every' and upper(coalesce(v_zone, 'GMT')) not in ('GMT', 'UTC')
          then 'a fixed time that a change of clock leaves out runs at its end, and one that comes '
            'twice runs once: pg_cron may leave out the one, and run the other twice' end,
        case when jobs_internal.is_several(v ->> 'command')
          then 'several statements: one transaction, as there' end,
        case when not (v -> 'active')::boolean then 'it is not active there' end], null)),
      'refused', case
        when v ->> 'database' <> current_database()
          then format('it is for the database "%s": import it there', v ->> 'database') end);
  end loop;
end
$$;
