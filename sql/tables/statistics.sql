-- Counts and sums: per call, per minute and per day.

create table jobs_internal.call_stats (
  call_template_id integer not null,
  owner oid not null,
  runs bigint not null,
  avg_ms double precision not null,
  renames boolean not null default false,
  seen_at timestamptz not null default now(),
  primary key (call_template_id, owner)
) with (fillfactor = 50);
comment on table jobs_internal.call_stats
  is 'How long calls of each template take, for each owner: '
  'what one says, and what its open transaction locks, is its own alone';
comment on column jobs_internal.call_stats.call_template_id is 'Call template';
comment on column jobs_internal.call_stats.owner is 'Owner of the jobs';
comment on column jobs_internal.call_stats.runs is 'Runs seen';
comment on column jobs_internal.call_stats.avg_ms is 'Moving average, ms';
comment on column jobs_internal.call_stats.seen_at is 'Last run seen';
comment on column jobs_internal.call_stats.renames
  is 'A run set application_name, by which a job in a chunk is known: it runs alone';

create table jobs_internal.queue_minute_stats (
  queue_id integer not null,
  minute timestamptz not null,
  session_id bigint not null,
  succeeded bigint not null,
  failed bigint not null,
  primary key (queue_id, minute, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.queue_minute_stats
  is 'Attempts that ended per queue, minute and session, for '
  'the rate in jobs.queues; kept for an hour';
comment on column jobs_internal.queue_minute_stats.queue_id is 'Queue';
comment on column jobs_internal.queue_minute_stats.minute is 'Start of the minute';
comment on column jobs_internal.queue_minute_stats.session_id
  is 'Session: each writes rows of its own, so '
  'that none waits for another; 0: sessions that are gone, together';
comment on column jobs_internal.queue_minute_stats.succeeded is 'Attempts that succeeded';
comment on column jobs_internal.queue_minute_stats.failed is 'Attempts that did not';

create table jobs_internal.daily_cost (
  day date not null,
  queue_id integer not null,
  owner oid not null,
  task text not null,
  session_id bigint not null,
  attempts numeric not null,
  failed numeric not null,
  ms numeric not null,
  waited_ms numeric not null,
  measured numeric not null,
  rows numeric not null,
  wal_bytes numeric not null,
  buffers_hit numeric not null,
  buffers_read numeric not null,
  buffers_dirtied numeric not null,
  temp_bytes numeric not null,
  primary key (day, queue_id, owner, task, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.daily_cost
  is 'What attempts cost, per day, queue, owner and task; kept for a year';
comment on column jobs_internal.daily_cost.day is 'Day, UTC';
comment on column jobs_internal.daily_cost.queue_id is 'Queue';
comment on column jobs_internal.daily_cost.owner is 'Owner';
comment on column jobs_internal.daily_cost.task is 'Function, or the first words of a statement';
comment on column jobs_internal.daily_cost.session_id
  is 'Session that writes the row; 0: sessions that are gone, together';
comment on column jobs_internal.daily_cost.attempts is 'Attempts';
comment on column jobs_internal.daily_cost.failed is 'Those that did not succeed';
comment on column jobs_internal.daily_cost.ms is 'Their time, ms';
comment on column jobs_internal.daily_cost.waited_ms
  is 'Time that they waited in their lane for a session, ms';
comment on column jobs_internal.daily_cost.measured
  is 'Attempts that were measured: what follows are their sums';
comment on column jobs_internal.daily_cost.rows is 'Rows; known of all';
comment on column jobs_internal.daily_cost.wal_bytes is 'WAL, bytes';
comment on column jobs_internal.daily_cost.buffers_hit is 'Buffers found in memory';
comment on column jobs_internal.daily_cost.buffers_read is 'Buffers read';
comment on column jobs_internal.daily_cost.buffers_dirtied is 'Buffers dirtied';
comment on column jobs_internal.daily_cost.temp_bytes is 'Temporary files written, bytes';
