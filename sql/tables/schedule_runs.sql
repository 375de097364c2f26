-- Schedules: what is enqueued again and again, when the next time is, and what became of each
-- occurrence.

create table jobs_internal.schedule (
  id integer generated always as identity primary key,
  owner oid not null,
  name text not null,
  expression text not null,
  timetable jobs_internal.timetable not null,
  timezone text not null,
  anchor timestamptz not null,
  task text not null,
  call_template_id integer,
  args jsonb,
  statement jsonb,
  queue_id integer not null,
  priority smallint not null,
  timeout interval,
  max_attempts integer,
  unique_key text,
  settings jsonb,
  note jsonb,
  options jsonb,
  bytes bigint not null,
  overlap text not null,
  missed text not null,
  missed_within interval,
  jitter interval not null default '0',
  starts_at timestamptz,
  ends_at timestamptz,
  pause_after integer,
  paused_at timestamptz,
  paused_by text,
  paused_why text,
  counts_from timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default now(),
  dropped_at timestamptz
);
create unique index schedule_name_key on jobs_internal.schedule (owner, name)
  where dropped_at is null;
create index schedule_call_template_idx on jobs_internal.schedule (call_template_id)
  where call_template_id is not null;
comment on table jobs_internal.schedule is 'Schedules: what is to be enqueued, and when';
comment on column jobs_internal.schedule.id is 'Number';
comment on column jobs_internal.schedule.owner is 'Role that its jobs run as';
comment on column jobs_internal.schedule.name is 'Name, one of its owner''s';
comment on column jobs_internal.schedule.expression is 'When, as it was written';
comment on column jobs_internal.schedule.timetable is 'When, as it was read';
comment on column jobs_internal.schedule.timezone is 'Time zone in which that is meant';
comment on column jobs_internal.schedule.anchor is 'From when an interval counts';
comment on column jobs_internal.schedule.task is 'Function, or what the statement does';
comment on column jobs_internal.schedule.call_template_id is 'How it is called; null: a statement';
comment on column jobs_internal.schedule.args is 'Arguments, as of a job';
comment on column jobs_internal.schedule.statement is 'Statement: columns of the table statement, '
  'and operation, as operation_of; null: a call';
comment on column jobs_internal.schedule.queue_id is 'Queue of its jobs';
comment on column jobs_internal.schedule.priority is 'Priority of its jobs';
comment on column jobs_internal.schedule.timeout is 'Timeout of its jobs; null: the queue''s';
comment on column jobs_internal.schedule.max_attempts is 'Attempts of its jobs; null: the queue''s';
comment on column jobs_internal.schedule.unique_key is 'Unique key of its jobs';
comment on column jobs_internal.schedule.settings is 'Settings of its jobs';
comment on column jobs_internal.schedule.note is 'Note of its jobs';
comment on column jobs_internal.schedule.options is 'Options of its jobs';
comment on column jobs_internal.schedule.bytes is 'Bytes that each of its jobs carries';
comment on column jobs_internal.schedule.overlap is 'What happens to an occurrence while a job of '
  'an earlier one is not finished: skip, queue_one, queue, parallel, replace';
comment on column jobs_internal.schedule.missed is 'Which occurrences are made up for that could '
  'not be fired in time: last, all, none';
comment on column jobs_internal.schedule.missed_within is 'How old one may be that is made up for; '
  'null: the time from one to the next, at most a day';
comment on column jobs_internal.schedule.jitter is 'Longest time by which an occurrence is put off';
comment on column jobs_internal.schedule.starts_at is 'No occurrence before; null: none';
comment on column jobs_internal.schedule.ends_at is 'No occurrence from then on; null: none';
comment on column jobs_internal.schedule.pause_after is 'So many failures in a row pause it';
comment on column jobs_internal.schedule.paused_at is 'When it was paused; null: it is not';
comment on column jobs_internal.schedule.paused_by is 'Login that paused it';
comment on column jobs_internal.schedule.paused_why is 'Why it paused itself';
comment on column jobs_internal.schedule.counts_from is 'Runs before do not count as failures in a '
  'row: it was made, replaced or resumed then';
comment on column jobs_internal.schedule.created_at is 'When it was made';
comment on column jobs_internal.schedule.dropped_at is 'When it was removed; its history stays';

create table jobs_internal.schedule_state (
  schedule_id integer primary key references jobs_internal.schedule on delete cascade,
  next_due timestamptz,
  next_at timestamptz,
  last_due timestamptz,
  last_job bigint,
  waits boolean not null default false
) with (fillfactor = 50);
create index schedule_state_next_idx on jobs_internal.schedule_state (next_at)
  where next_at is not null;
create index schedule_state_waits_idx on jobs_internal.schedule_state (schedule_id) where waits;
comment on table jobs_internal.schedule_state is 'Schedules: the next occurrence and the last one';
comment on column jobs_internal.schedule_state.schedule_id is 'Schedule';
comment on column jobs_internal.schedule_state.next_due
  is 'Next occurrence; null: none is to come, '
  'it is paused, or it counts from the end of the last run';
comment on column jobs_internal.schedule_state.next_at is 'When that is fired: with its jitter';
comment on column jobs_internal.schedule_state.last_due is 'Last occurrence that was fired';
comment on column jobs_internal.schedule_state.last_job is 'Its job';
comment on column jobs_internal.schedule_state.waits is 'It waits for the end of its last job: an '
  'occurrence is queued, or the next one counts from there';

create table jobs_internal.schedule_run (
  schedule_id integer not null references jobs_internal.schedule on delete cascade,
  due_at timestamptz not null,
  rerun integer not null default 0,
  until timestamptz,
  occurrences integer default 1,
  fired_at timestamptz not null default clock_timestamp(),
  outcome text not null,
  reason text,
  job_id bigint,
  primary key (schedule_id, due_at, rerun)
);
create index schedule_run_queued_idx on jobs_internal.schedule_run (schedule_id, due_at, rerun)
  where outcome = 'queued';
create index schedule_run_job_idx on jobs_internal.schedule_run (job_id) where job_id is not null;
create index schedule_run_jobs_idx on jobs_internal.schedule_run (schedule_id, job_id)
  where job_id is not null;
create index schedule_run_fired_idx on jobs_internal.schedule_run (fired_at);
create index schedule_run_due_idx on jobs_internal.schedule_run (due_at, rerun);
create index schedule_run_trouble_idx on jobs_internal.schedule_run (fired_at)
  where outcome in ('missed', 'skipped');
comment on table jobs_internal.schedule_run is 'Occurrences of schedules, and what became of them: '
  'each one alone, or a stretch of them';
comment on column jobs_internal.schedule_run.schedule_id is 'Schedule';
comment on column jobs_internal.schedule_run.due_at is 'Occurrence; of a stretch the first';
comment on column jobs_internal.schedule_run.rerun is 'How often it had been asked for before by '
  'run_schedule and rerun_schedule; 0: it came by itself';
comment on column jobs_internal.schedule_run.until
  is 'Last occurrence of a stretch; null: it is one';
comment on column jobs_internal.schedule_run.occurrences is 'How many; null: more than 1000';
comment on column jobs_internal.schedule_run.fired_at is 'When that was decided';
comment on column jobs_internal.schedule_run.outcome is 'fired, queued (its job is enqueued when '
  'the one before has ended), skipped, coalesced, missed, paused, outside window';
comment on column jobs_internal.schedule_run.reason is 'Why it was not fired, or who asked '
  'for it';
comment on column jobs_internal.schedule_run.job_id is 'Job that was enqueued for it';

create table jobs_internal.zones_seen (
  id boolean primary key default true check (id),
  hash text
);
insert into jobs_internal.zones_seen default values;
comment on table jobs_internal.zones_seen
  is 'One row: the time zones by which the next occurrences '
  'of schedules were found';
comment on column jobs_internal.zones_seen.id is 'Always true: there is one row';
comment on column jobs_internal.zones_seen.hash is 'Digest of the zones; null: of none yet';

insert into jobs_internal.duty (name) values ('schedule'), ('deadline');
