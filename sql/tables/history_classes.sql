-- Retention classes and their buckets: which partition a finished job goes into.

create table jobs_internal.history_class (
  id integer generated always as identity primary key,
  retention interval unique,
  queue_id integer unique,
  owner oid unique,
  bucket integer,
  constraint history_class_kind_check check (num_nonnulls(retention, queue_id, owner) = 1)
) with (fillfactor = 50);
comment on table jobs_internal.history_class
  is 'Retention classes: queues whose finished jobs share partitions. Number 1 is always there';
comment on column jobs_internal.history_class.id is 'Number';
comment on column jobs_internal.history_class.retention
  is 'Longest retention of its queues, from a short list (jobs_internal.kept_in), '
  'so that 1,000 queues do not make 1,000 sets of partitions; '
  'null: the class of one queue or owner';
comment on column jobs_internal.history_class.queue_id
  is 'The one queue whose class it is, because its rows are limited; null: another kind of class';
comment on column jobs_internal.history_class.owner is 'The one owner whose class it is, because a '
  'quota limits its rows; its jobs of all queues go there. null: another kind of class';
comment on column jobs_internal.history_class.bucket is 'The open bucket, where finished jobs go '
  'now; null: none yet, or no queue uses the class any more';
insert into jobs_internal.history_class (retention, bucket) values ('7 days', 1);

create table jobs_internal.history_bucket (
  id integer generated always as identity primary key,
  class_id integer not null,
  made_at timestamptz not null default clock_timestamp(),
  made_by xid8 not null default pg_current_xact_id(),
  awaits text[],
  opened_at timestamptz,
  left_at timestamptz,
  left_by xid8,
  closed_at timestamptz,
  rows bigint,
  expired_at timestamptz,
  constraint history_bucket_order_check check (
    (left_at is null) = (left_by is null)
    and (left_at is null or opened_at is not null)
    and (closed_at is null or left_at is not null)
    and (expired_at is null or closed_at is not null))
) with (fillfactor = 50);
create index history_bucket_class_idx on jobs_internal.history_bucket (class_id);
comment on table jobs_internal.history_bucket is 'Buckets: one stretch of time of one class, a '
  'partition of each finished table. Made, opened, left, closed, expired, gone';
comment on column jobs_internal.history_bucket.id
  is 'Number: the value of bucket in its partitions, and in their names';
comment on column jobs_internal.history_bucket.class_id is 'Class';
comment on column jobs_internal.history_bucket.made_at is 'When its partitions were attached';
comment on column jobs_internal.history_bucket.made_by is 'Transaction that attached them';
comment on column jobs_internal.history_bucket.awaits is 'Virtual transactions that may not know '
  'its partitions yet: it is opened when they have ended; null: not looked yet';
comment on column jobs_internal.history_bucket.opened_at
  is 'From then on finished jobs went here; null: made, not open yet';
comment on column jobs_internal.history_bucket.left_at
  is 'From then on they went elsewhere, but for statements that had begun before; null: open';
comment on column jobs_internal.history_bucket.left_by
  is 'Transaction that said so: a session that sees it writes here no more';
comment on column jobs_internal.history_bucket.closed_at
  is 'No session writes here any more; its jobs '
  'finished before. Retention counts from here; null: a session might';
comment on column jobs_internal.history_bucket.rows is 'Jobs that finished in it, at least; '
  'counted once when it is closed, for a class whose rows are limited; null: not counted';
comment on column jobs_internal.history_bucket.expired_at
  is 'Retention has passed: its partitions go as soon as no session reads them; null: kept';
insert into jobs_internal.history_bucket (class_id, opened_at) values (1, clock_timestamp());

create table jobs_internal.history_use (
  bucket integer not null,
  queue_id integer not null,
  primary key (bucket, queue_id)
);
comment on table jobs_internal.history_use is 'Queues whose jobs may have finished in a bucket: '
  'the longest of their present retentions says when it goes';
comment on column jobs_internal.history_use.bucket is 'Bucket';
comment on column jobs_internal.history_use.queue_id is 'Queue, dropped or not';
insert into jobs_internal.history_use (bucket, queue_id) select 1, q.id
  from jobs_internal.queue as q;
