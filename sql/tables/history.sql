-- Finished jobs, attempts and log lines, partitioned by bucket, so that retention drops partitions
-- (engine/history). The last attempt of a finished job is part of its row.

-- Columns in the order of their alignment: nothing is lost between them, in the one table that may
-- grow to millions of rows.
create table jobs_internal.finished (
  id bigint not null,
  run_at timestamptz not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  bucket integer not null,
  queue_id integer not null,
  owner oid not null,
  call_template_id integer,
  attempt integer not null,
  max_attempts integer not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  publication_id integer,
  enqueued_by oid,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  priority smallint not null,
  state text not null check (state in ('succeeded', 'failed', 'cancelled', 'in_doubt')),
  outcome text check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost',
        'in_doubt')),
  timeout interval,
  unique_key text,
  args jsonb,
  settings jsonb,
  note jsonb,
  options jsonb,
  result jsonb,
  error jsonb,
  dismissed_at timestamptz,
  dismissed_by text,
  snoozes integer,
  primary key (id, bucket)
) partition by list (bucket);

-- To the second first, as the views show it: so that a query that orders by it walks the index.
-- Then exactly, as the views themselves are ordered: tens of thousands finish within one second,
-- and would be sorted each time.
create index finished_at_idx on jobs_internal.finished ((finished_at::timestamptz(0)), finished_at);
create index finished_failed_idx on jobs_internal.finished ((finished_at::timestamptz(0)),
    finished_at, queue_id, owner, state, dismissed_at)
where state <> 'succeeded';
comment on table jobs_internal.finished is 'Finished jobs, each with its last attempt; one '
  'partition per bucket. Numbers are unique across buckets because one sequence gives them';
comment on column jobs_internal.finished.id is 'Number of the job';
comment on column jobs_internal.finished.bucket
  is 'Bucket: the stretch of history that it goes with';
comment on column jobs_internal.finished.queue_id is 'Queue';
comment on column jobs_internal.finished.owner is 'Owner';
comment on column jobs_internal.finished.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.finished.state is 'succeeded; failed: no attempt left or no retry '
  'worth it; cancelled: on request; in_doubt: ended unseen and nothing can tell how';
comment on column jobs_internal.finished.call_template_id
  is 'How its function was called; null: a statement';
comment on column jobs_internal.finished.attempt is 'Attempts made';
comment on column jobs_internal.finished.max_attempts is 'Attempts allowed';
comment on column jobs_internal.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs_internal.finished.run_at is 'Not before this time, as enqueued';
comment on column jobs_internal.finished.created_at is 'Start of the transaction that enqueued it';
comment on column jobs_internal.finished.started_at is 'Start of the last attempt; null: never ran';
comment on column jobs_internal.finished.finished_at
  is 'End of the last attempt, or time of the cancel';
comment on column jobs_internal.finished.pid is 'Worker session of the last attempt';
comment on column jobs_internal.finished.child_pid is 'Child session of the last attempt';
comment on column jobs_internal.finished.publication_id
  is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.finished.enqueued_by is 'That other role';
comment on column jobs_internal.finished.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.finished.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.finished.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.finished.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.finished.buffers_read is 'Buffers that it read';
comment on column jobs_internal.finished.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.finished.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.finished.timeout is 'Timeout of the job';
comment on column jobs_internal.finished.unique_key is 'Its unique key';
comment on column jobs_internal.finished.args is 'Arguments';
comment on column jobs_internal.finished.settings is 'Settings for this job alone';
comment on column jobs_internal.finished.note is 'Note';
comment on column jobs_internal.finished.options is 'Options, as of the job';
comment on column jobs_internal.finished.result
  is 'What the function returned; of a statement its rows and command tag';
comment on column jobs_internal.finished.error is 'Error of the last attempt';
comment on column jobs_internal.finished.dismissed_at
  is 'When its failure was dismissed; null: not';
comment on column jobs_internal.finished.dismissed_by is 'Login that dismissed it';
comment on column jobs_internal.finished.snoozes
  is 'Runs that ended with jobs.snooze; null: none';

create table jobs_internal.attempt (
  job_id bigint not null,
  attempt integer not null,
  outcome text not null check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost',
        'in_doubt')),
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt)
);
comment on table jobs_internal.attempt is 'Closed attempts of live jobs';
comment on column jobs_internal.attempt.job_id is 'Job';
comment on column jobs_internal.attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.attempt.outcome is 'How it ended';
comment on column jobs_internal.attempt.owner is 'Owner of the job';
comment on column jobs_internal.attempt.started_at is 'Start';
comment on column jobs_internal.attempt.finished_at is 'End';
comment on column jobs_internal.attempt.pid is 'Worker session';
comment on column jobs_internal.attempt.child_pid is 'Child session';
comment on column jobs_internal.attempt.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.attempt.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.attempt.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.attempt.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.attempt.result is 'Result';
comment on column jobs_internal.attempt.error is 'Error';

create table jobs_internal.log_line (
  job_id bigint not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n)
);
comment on table jobs_internal.log_line is 'Lines that live jobs wrote with jobs.log';
comment on column jobs_internal.log_line.job_id is 'Job';
comment on column jobs_internal.log_line.attempt is 'Attempt';
comment on column jobs_internal.log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.log_line.owner is 'Owner of the job';
comment on column jobs_internal.log_line.at is 'When it was written';
comment on column jobs_internal.log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.log_line.message is 'Text';
comment on column jobs_internal.log_line.fields is 'More facts';

create table jobs_internal.finished_attempt (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  outcome text not null,
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_attempt
  is 'Attempts of finished jobs before their last one, '
  'in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_attempt.job_id is 'Job';
comment on column jobs_internal.finished_attempt.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.finished_attempt.outcome is 'How it ended';
comment on column jobs_internal.finished_attempt.owner is 'Owner of the job';
comment on column jobs_internal.finished_attempt.started_at is 'Start';
comment on column jobs_internal.finished_attempt.finished_at is 'End';
comment on column jobs_internal.finished_attempt.pid is 'Worker session';
comment on column jobs_internal.finished_attempt.child_pid is 'Child session';
comment on column jobs_internal.finished_attempt.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.finished_attempt.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.finished_attempt.wal_bytes
  is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.finished_attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.finished_attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.finished_attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.finished_attempt.temp_bytes
  is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.finished_attempt.result is 'Result';
comment on column jobs_internal.finished_attempt.error is 'Error';

create table jobs_internal.finished_log_line (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_log_line
  is 'Lines that finished jobs wrote with jobs.log, in '
  'the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_log_line.job_id is 'Job';
comment on column jobs_internal.finished_log_line.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_log_line.attempt is 'Attempt';
comment on column jobs_internal.finished_log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.finished_log_line.owner is 'Owner of the job';
comment on column jobs_internal.finished_log_line.at is 'When it was written';
comment on column jobs_internal.finished_log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.finished_log_line.message is 'Text';
comment on column jobs_internal.finished_log_line.fields is 'More facts';

create table jobs_internal.finished_statement (
  job_id bigint not null,
  bucket integer not null,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  rollback_sql text,
  path text,
  object text,
  target jsonb,
  identity jsonb,
  primary key (job_id, bucket)
) partition by list (bucket);
comment on table jobs_internal.finished_statement
  is 'Statements of finished jobs, in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.finished_statement.job_id is 'Job';
comment on column jobs_internal.finished_statement.bucket is 'Bucket of the job';
comment on column jobs_internal.finished_statement.body is 'The statement';
comment on column jobs_internal.finished_statement.command
  is 'Its first words: what it does, without names and values';
comment on column jobs_internal.finished_statement.top_level
  is 'It ran outside a transaction, in a child session';
comment on column jobs_internal.finished_statement.done_when
  is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.finished_statement.rollback_sql
  is 'Statement that undoes it, for people';
comment on column jobs_internal.finished_statement.path is 'search_path of its enqueuer';
comment on column jobs_internal.finished_statement.object
  is 'What it worked on, as written; null: not known for sure';
comment on column jobs_internal.finished_statement.target
  is 'What it worked on, as target_of read it';
comment on column jobs_internal.finished_statement.identity
  is 'OIDs of what it worked on, as they were before its first attempt';

-- The partitions of the first bucket, made as jobs_internal.make_bucket makes all others.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['finished', 'finished_attempt', 'finished_log_line',
      'finished_statement'] loop
    execute pg_catalog.format(
        'create table jobs_internal.%1$I (like jobs_internal.%2$I including all)', v_table || '_1',
          v_table);
    execute pg_catalog.format('comment on table jobs_internal.%I is %L', v_table || '_1',
        'Bucket 1 of ' || v_table);
    execute pg_catalog.format(
        'alter table jobs_internal.%2$I attach partition jobs_internal.%1$I for values in (1)',
          v_table || '_1', v_table);
  end loop;
  alter table jobs_internal.finished_1 set (autovacuum_vacuum_scale_factor = 0.02,
      autovacuum_vacuum_insert_scale_factor = 0.05);
end
$$;
