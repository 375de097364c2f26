-- Maintenance windows, for operators: each names the role that it is for, and calls the function of
-- the same name in engine/windows, which does the work and is granted to that role alone.

create or replace function jobs.create_window(
  name text,
  schedule text,
  duration interval,
  timezone text default null,
  on_close text default 'finish'
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'create_window');
  return jobs_internal.create_window(name, schedule, duration, timezone, on_close);
end
$$;
comment on function jobs.create_window(text, text, interval, text, text) is
'Makes a maintenance window, which jobs, schedules and queues may name: their jobs start while it '
'is open, and if they are expected to end before it closes. It opens at each occurrence of
schedule, as in jobs.schedule, read in timezone (null: UTC), for duration. on_close: what becomes '
'of its jobs when it closes: finish (they go on), stop (those that run are stopped, nothing is
charged, and wait for the next opening), park (those that snooze do not begin another run). '
'Returns false, with a NOTICE, when it exists. For operators. Errors: PW100, PW101, PW112.';

create or replace function jobs.alter_window(
  name text,
  schedule text default null,
  duration interval default null,
  timezone text default null,
  on_close text default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'alter_window');
  return jobs_internal.alter_window(name, schedule, duration, timezone, on_close);
end
$$;
comment on function jobs.alter_window(text, text, interval, text, text) is
'Changes a maintenance window; what is not given stays. With another schedule, timezone or '
'duration it is open or closed by that at once, whatever was done by hand. For operators. Errors:
PW100, PW101, PW111, PW112.';

create or replace function jobs.drop_window(name text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'drop_window');
  return jobs_internal.drop_window(name);
end
$$;
comment on function jobs.drop_window(text) is
'Drops a maintenance window that no unfinished job, schedule or queue names. It waits for open '
'transactions that have enqueued a job with it. For operators. Errors: PW111, PW113.';

create or replace function jobs.open_window(name text, duration interval)
returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'open_window');
  return jobs_internal.open_window(name, duration);
end
$$;
comment on function jobs.open_window(text, interval) is
'Opens a maintenance window now, for so long at least; returns when it closes. Its schedule stays '
'as it is. For operators. Errors: PW111, PW112.';

create or replace function jobs.close_window(name text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'close_window');
  return jobs_internal.close_window(name);
end
$$;
comment on function jobs.close_window(text) is
'Closes a maintenance window now, until its next occurrence; what runs goes on, or is stopped, as '
'its on_close says. Returns whether it was open. For operators. Errors: PW111.';
