-- Maintenance windows: when jobs may start that name one. The protocol: docs/windows.md.

create table jobs_internal.run_window (
  name text primary key,
  expression text not null,
  timetable jobs_internal.timetable not null,
  timezone text not null,
  duration interval not null,
  on_close text not null check (on_close in ('finish', 'stop', 'park')),
  created_by text not null default session_user,
  created_at timestamptz not null default now()
);
comment on table jobs_internal.run_window is 'Maintenance windows';
comment on column jobs_internal.run_window.name is 'Name';
comment on column jobs_internal.run_window.expression is 'When it opens, as it was written';
comment on column jobs_internal.run_window.timetable is 'When it opens, as it was read';
comment on column jobs_internal.run_window.timezone is 'Time zone in which that is meant';
comment on column jobs_internal.run_window.duration is 'How long it is open then: elapsed time';
comment on column jobs_internal.run_window.on_close
  is 'What becomes of its jobs when it closes: finish, stop, park';
comment on column jobs_internal.run_window.created_by is 'Login that made it';
comment on column jobs_internal.run_window.created_at is 'When it was made';

create table jobs_internal.window_state (
  name text primary key references jobs_internal.run_window on delete cascade,
  opened_at timestamptz,
  closes_at timestamptz,
  next_opens_at timestamptz
) with (fillfactor = 50);
comment on table jobs_internal.window_state is 'Maintenance windows: the present opening and the '
  'next one, moved by the rounds of supervisors';
comment on column jobs_internal.window_state.name is 'Window';
comment on column jobs_internal.window_state.opened_at
  is 'When it was opened; null: it is closed';
comment on column jobs_internal.window_state.closes_at
  is 'No job starts from then on, whether a round has closed it or not; null: it is closed';
comment on column jobs_internal.window_state.next_opens_at
  is 'When it opens next by its schedule; null: never';

create table jobs_internal.window_wait (
  job_id bigint primary key,
  name text not null,
  closes_at timestamptz not null default '-infinity',
  needs interval
);
create index window_wait_name_idx on jobs_internal.window_wait (name, closes_at);
create index window_wait_needs_idx on jobs_internal.window_wait (name, needs)
  where needs is not null;
comment on table jobs_internal.window_wait is 'Jobs that wait for a window, outside of their lane';
comment on column jobs_internal.window_wait.job_id is 'Job';
comment on column jobs_internal.window_wait.name is 'Window, which may have been dropped since';
comment on column jobs_internal.window_wait.closes_at is 'Closing of the opening that it does not '
  'fit: it is looked at again in another one; -infinity: the window was closed';
comment on column jobs_internal.window_wait.needs
  is 'How long it was expected to run, where it does not fit; null: not known';

create table jobs_internal.task_run (
  id bigint generated always as identity primary key,
  owner oid not null,
  task text not null,
  ms double precision not null
);
create index task_run_task_idx on jobs_internal.task_run (owner, task, id);
comment on table jobs_internal.task_run is 'How long the last runs of jobs took that have a '
  'window, by owner and task: twenty of each; rows are only added and deleted';
comment on column jobs_internal.task_run.id is 'Number: the later the run, the higher';
comment on column jobs_internal.task_run.owner is 'Owner of the jobs';
comment on column jobs_internal.task_run.task is 'Task, as in jobs.job';
comment on column jobs_internal.task_run.ms is 'How long it ran, ms';
