-- Lanes: one pgmq queue for each queue, owner and priority; and requests to wake a supervisor.

create table jobs_internal.lane (
  id integer generated always as identity primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null check (priority between 0 and 2),
  pgmq_queue text not null,
  avg_ms double precision,
  served_at timestamptz not null default now(),
  scan_start bigint not null default 0,
  scan_start_at timestamptz,
  idle_state text not null default 'active'
    check (idle_state in ('active', 'going_idle', 'idle')),
  horizon_xid xid8,
  quarantine jsonb,
  refused boolean not null default false,
  turn_start double precision,
  turn_end double precision,
  unique (queue_id, owner, priority)
) with (fillfactor = 50);
comment on table jobs_internal.lane
  is 'Lanes: the jobs of one owner in one queue at one priority; each is one pgmq queue';
comment on column jobs_internal.lane.id is 'Number';
comment on column jobs_internal.lane.queue_id is 'Queue';
comment on column jobs_internal.lane.owner is 'Owner';
comment on column jobs_internal.lane.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.lane.pgmq_queue is 'Name of the pgmq queue';
comment on column jobs_internal.lane.avg_ms
  is 'Moving average of the time that a job takes, ms; null: unknown';
comment on column jobs_internal.lane.served_at
  is 'Last claim; the lane that waited longest is next';
comment on column jobs_internal.lane.scan_start
  is 'Up to this message there was none when a session looked at scan_start_at; '
  '0: a scan from the beginning costs nothing';
comment on column jobs_internal.lane.scan_start_at is 'When a session looked';
comment on column jobs_internal.lane.idle_state
  is 'idle: it is empty, and no session looks until a wakeup request names it; '
  'going_idle: on its way there';
comment on column jobs_internal.lane.horizon_xid
  is 'Going idle: transactions from this number on are sure to have seen that; '
  'null: not looked yet';
comment on column jobs_internal.lane.quarantine
  is 'Why nothing of it is started: the job and session that cannot be stopped; null: in use';
comment on column jobs_internal.lane.refused
  is 'Its owner''s jobs were refused when a supervisor looked last: an enqueue looks itself';
comment on column jobs_internal.lane.turn_start
  is 'How far the virtual clock of its owner had come at the last turn that this row counts, ms; '
  'null: another lane of its priority counts, or there was none';
comment on column jobs_internal.lane.turn_end
  is 'Where on that clock the time ends that its priority has leased, ms; '
  'null: it starts ahead of the others';

create table jobs_internal.wakeup_request (
  lane_id integer not null,
  made_by xid8 not null default pg_current_xact_id(),
  primary key (lane_id, made_by)
);
comment on table jobs_internal.wakeup_request is 'Idle lanes that got a message: a row of the '
  'enqueuer''s own, so that none waits for another';
comment on column jobs_internal.wakeup_request.lane_id is 'Lane';
comment on column jobs_internal.wakeup_request.made_by
  is 'Transaction that left it: one row for all of its messages';
