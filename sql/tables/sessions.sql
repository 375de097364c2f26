-- Worker sessions, and the reasons to stop what they run.

create table jobs_internal.session (
  id bigint generated always as identity primary key,
  owner oid not null,
  pid integer not null,
  backend_start timestamptz not null,
  epoch timestamptz not null,
  postmaster timestamptz not null default pg_postmaster_start_time(),
  started_at timestamptz not null default clock_timestamp(),
  jobs bigint not null default 0,
  lane_id integer,
  msg_ids bigint[],
  lease timestamptz,
  last_msg_id bigint,
  full_scan_at timestamptz,
  job_id bigint,
  attempt integer,
  crash_attribution text check (crash_attribution in ('not_charged', 'charged')),
  hidden_signal_at timestamptz,
  new_template_ids integer[],
  waits_for integer,
  waits_since timestamptz,
  asked_at timestamptz,
  schema_version integer,
  owed double precision[]
) with (fillfactor = 50);
create unique index session_pid_idx on jobs_internal.session (pid, backend_start);
comment on table jobs_internal.session
  is 'Worker sessions: those that live, and dead ones until a rescue has seen to their jobs';
comment on column jobs_internal.session.id is 'Number';
comment on column jobs_internal.session.owner is 'Role that it runs as';
comment on column jobs_internal.session.pid is 'Process; with backend_start its identity';
comment on column jobs_internal.session.backend_start is 'Start of the process';
comment on column jobs_internal.session.epoch is 'Epoch of the server in which it lived';
comment on column jobs_internal.session.postmaster
  is 'Start of the postmaster under which it lived';
comment on column jobs_internal.session.started_at is 'When it registered';
comment on column jobs_internal.session.jobs is 'Jobs done, as of its last claim';
comment on column jobs_internal.session.lane_id is 'Lane of its claim';
comment on column jobs_internal.session.msg_ids is 'Messages of its claim';
comment on column jobs_internal.session.lease is 'Token of its claim: the vt of those messages';
comment on column jobs_internal.session.last_msg_id
  is 'The next claim of this lane starts behind this message';
comment on column jobs_internal.session.full_scan_at
  is 'Last claim that read the lane from its scan_start on';
comment on column jobs_internal.session.job_id is 'Job that it runs alone; null: none, or a chunk';
comment on column jobs_internal.session.attempt is 'Attempt of that job';
comment on column jobs_internal.session.new_template_ids
  is 'Call templates that it has run and that have no call_stats yet: '
  'only of those it may say how long they take';
comment on column jobs_internal.session.hidden_signal_at
  is 'Last signal because it could not be seen which job of its chunk it runs';
comment on column jobs_internal.session.waits_for
  is 'Queue that it found due work in, and no slot, or no start of its rate_limit; null: it waits '
  'for none';
comment on column jobs_internal.session.waits_since is 'Since when';
comment on column jobs_internal.session.asked_at is 'Its last claim that found nothing for it, '
  'half a second old at most while it waits for a slot';
comment on column jobs_internal.session.crash_attribution
  is 'The server stopped under it: whether that is charged to its job; '
  'null: it died, if at all, by itself';
comment on column jobs_internal.session.schema_version
  is 'Version of the schema that its loop was written for; null: of one before 1';
comment on column jobs_internal.session.owed
  is 'Virtual ms of high, normal and low jobs that it has leased and not yet charged to the turn '
  'of that priority; null: none';

create table jobs_internal.progress_message (
  job_id bigint primary key,
  attempt integer not null,
  message text not null,
  at timestamptz not null default clock_timestamp()
);
comment on table jobs_internal.progress_message is 'What a running job says of its progress; '
  'written by a session of its own, so that it is seen at once';
comment on column jobs_internal.progress_message.job_id is 'Job';
comment on column jobs_internal.progress_message.attempt is 'Attempt';
comment on column jobs_internal.progress_message.message is 'Text';
comment on column jobs_internal.progress_message.at is 'When it was written';

create table jobs_internal.stop_request (
  job_id bigint not null,
  attempt integer not null,
  reason text not null check (reason in ('timed_out', 'cancelled', 'window_closed')),
  requested_by text not null,
  requested_at timestamptz not null default clock_timestamp(),
  signals_sent integer not null default 0,
  signalled_at timestamptz,
  primary key (job_id, attempt)
) with (fillfactor = 50);
comment on table jobs_internal.stop_request
  is 'Reasons to stop a running attempt, committed before '
  'a session is signalled; no foreign key, so that writing one waits for nothing';
comment on column jobs_internal.stop_request.job_id is 'Job';
comment on column jobs_internal.stop_request.attempt is 'Attempt';
comment on column jobs_internal.stop_request.reason is 'timed_out, cancelled or window_closed';
comment on column jobs_internal.stop_request.requested_by
  is 'Login that asked for it; the supervisor for a timeout, or a window';
comment on column jobs_internal.stop_request.requested_at is 'When';
comment on column jobs_internal.stop_request.signals_sent
  is 'Signals sent so far: cancel, cancel, terminate';
comment on column jobs_internal.stop_request.signalled_at is 'Last signal';
