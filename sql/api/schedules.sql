-- Schedules: jobs.schedule, jobs.schedule_sql and what changes them. The two are invoker functions
-- without a pinned path, as the enqueue functions are, and for the same reasons.

create or replace function jobs.schedule(
  name text,
  schedule text,
  task text,
  args jsonb default '{}',
  timezone text default null,
  overlap text default 'skip',
  missed text default 'last',
  missed_within interval default null,
  jitter interval default '0',
  starts_at timestamptz default null,
  ends_at timestamptz default null,
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v jobs_internal.schedule;
  v_template jobs_internal.call_template;
begin
  perform jobs_internal.assert_member('jobs_producer', 'schedule');
  v_template := jobs_internal.resolve(task, coalesce(args, '{}'));
  v.name := name;
  v.expression := schedule;
  v.call_template_id := v_template.id;
  v.args := case when v_template.cast_query is not null or v_template.whole
    then jobs_internal.canonical(v_template, coalesce(args, '{}')) end;
  perform jobs_internal.tell_frozen(args, v.args);
  v.timezone := timezone;
  v.overlap := overlap;
  v.missed := missed;
  v.missed_within := missed_within;
  v.jitter := jitter;
  v.starts_at := starts_at;
  v.ends_at := ends_at;
  perform jobs_internal.try_schedule_settings(options);
  return jobs_internal.store_schedule(v, options, null, null);
end
$$;
comment on function jobs.schedule(text, text, text, jsonb, text, text, text, interval, interval,
    timestamptz, timestamptz, jsonb) is
'Enqueues a call of a function or procedure again and again; returns the number of the schedule. '
'One of the same name, of the same owner, is replaced, with a NOTICE, and keeps its history; one '
'that is paused stays paused.
schedule: "30 2 * * mon-fri" (minute, hour, day, month, weekday), "@hourly", "every 15 minutes", '
'"after 15 minutes" (from the end of the last run). timezone: in which that is meant; null: UTC.
task, args: as of jobs.enqueue, looked up and cast now. overlap: what happens while a job of an '
'earlier occurrence is unfinished: skip, queue_one, queue, parallel, replace (it is cancelled).
missed: what is made up for after a time without a supervisor: last, all (a hundred at most), '
'none; missed_within: how old that may be (the time between two occurrences, at most a day). '
'jitter: it is put off by up to that.
options: those of jobs.enqueue, also queue, timeout, max_attempts, unique_key, priority, settings '
'and note; and pause_after: so many failures in a row pause it.
Errors: those of jobs.enqueue; PW100 the schedule, PW101 the time zone, PW102 another parameter.';

create or replace function jobs.schedule_sql(
  name text,
  schedule text,
  statement text,
  timezone text default null,
  overlap text default 'skip',
  missed text default 'last',
  missed_within interval default null,
  jitter interval default '0',
  starts_at timestamptz default null,
  ends_at timestamptz default null,
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v jobs_internal.schedule;
begin
  perform jobs_internal.assert_member('jobs_producer', 'schedule_sql');
  v.name := name;
  v.expression := schedule;
  v.timezone := timezone;
  v.overlap := overlap;
  v.missed := missed;
  v.missed_within := missed_within;
  v.jitter := jitter;
  v.starts_at := starts_at;
  v.ends_at := ends_at;
  perform jobs_internal.try_schedule_settings(options);
  return jobs_internal.store_schedule(v, options, coalesce(statement, ''),
    jobs_internal.callers_path());
end
$$;
comment on function jobs.schedule_sql(text, text, text, text, text, text, interval, interval,
    timestamptz, timestamptz, jsonb) is
'Enqueues one SQL statement again and again, as jobs.enqueue_sql does; the rest as jobs.schedule. '
'done_when and rollback are options. It runs with the search_path of now.
Errors: those of jobs.enqueue_sql and jobs.schedule.';

create or replace function jobs.alter_schedule(
  name text,
  schedule text default null,
  timezone text default null,
  overlap text default null,
  missed text default null,
  missed_within interval default null,
  jitter interval default null,
  starts_at timestamptz default null,
  ends_at timestamptz default null,
  pause_after integer default null,
  owner text default null
)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v jobs_internal.schedule;
begin
  perform jobs_internal.assert_member('jobs_producer', 'alter_schedule', 'jobs_operator');
  v.name := name;
  v.expression := schedule;
  v.timezone := timezone;
  v.overlap := overlap;
  v.missed := missed;
  v.missed_within := missed_within;
  v.jitter := jitter;
  v.starts_at := starts_at;
  v.ends_at := ends_at;
  v.pause_after := pause_after;
  perform jobs_internal.alter_schedule(v, owner);
end
$$;
comment on function jobs.alter_schedule(text, text, text, text, text, interval, interval,
    timestamptz, timestamptz, integer, text) is
'Changes when and how a schedule fires; what is null stays. starts_at => ''-infinity'', ends_at => '
'''infinity'' and pause_after => 0 take back what was given. What it runs is changed by '
'jobs.schedule with the same name. owner: of another role, for operators; that is audited.
Errors: PW100 to PW103.';

create or replace function jobs.unschedule(name text, owner text default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'unschedule', 'jobs_operator');
  perform jobs_internal.unschedule(name, owner);
end
$$;
comment on function jobs.unschedule(text, text) is
'Removes a schedule. Its unfinished jobs go on, its history stays. owner: of another role, for '
'operators.
Errors: PW103.';

create or replace function jobs.pause_schedule(name text, owner text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'pause_schedule', 'jobs_operator');
  return jobs_internal.pause_schedule(name, owner);
end
$$;
comment on function jobs.pause_schedule(text, text) is
'Lets a schedule fire nothing until jobs.resume_schedule. Returns false when it was paused before. '
'owner: of another role, for operators.
Errors: PW103.';

create or replace function jobs.resume_schedule(name text, owner text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'resume_schedule', 'jobs_operator');
  return jobs_internal.resume_schedule(name, owner);
end
$$;
comment on function jobs.resume_schedule(text, text) is
'Lets a paused schedule go on. What was due meanwhile is kept as paused, and not made up for: '
'jobs.rerun_schedule does. Returns false when it was not paused. owner: of another role, for '
'operators.
Errors: PW103.';

create or replace function jobs.run_schedule(name text, owner text default null)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'run_schedule', 'jobs_operator');
  return jobs_internal.run_schedule(name, owner);
end
$$;
comment on function jobs.run_schedule(text, text) is
'Enqueues the job of a schedule once, now, in the caller''s transaction, also while it is paused, '
'and whatever its overlap says; returns its id. owner: of another role, for operators.
Errors: PW103; those that would skip an occurrence.';

create or replace function jobs.rerun_schedule(name text, since timestamptz, until timestamptz,
    owner text default null)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'rerun_schedule', 'jobs_operator');
  return jobs_internal.rerun_schedule(name, since, until, owner);
end
$$;
comment on function jobs.rerun_schedule(text, timestamptz, timestamptz, text) is
'Runs the occurrences from one moment (included) to another (excluded) once more, whatever became '
'of them, one after the other, the oldest first; returns how many. jobs.current_run tells a job '
'which occurrence it is. owner: of another role, for operators.
Errors: PW102, PW103.';
