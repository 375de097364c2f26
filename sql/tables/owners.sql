-- Owners: their names, quotas, publications, who was admitted, and the audit of what was decided.

create table jobs_internal.known_role (
  role oid not null,
  name name not null,
  gone boolean not null default false
);
alter table jobs_internal.known_role replica identity full;
comment on table jobs_internal.known_role is 'Names of the roles that own jobs or their functions: '
  'what says in another cluster who they were; not unique on purpose: enqueuers would wait for '
  'each other';
comment on column jobs_internal.known_role.role
  is 'Role; a number from 10000 to 11999 stands for a role that this cluster lacks';
comment on column jobs_internal.known_role.name is 'Its name, as of the last tick of a supervisor';
comment on column jobs_internal.known_role.gone
  is 'It was dropped: another role of that name is another owner';

create table jobs_internal.admitted_role (
  role oid primary key,
  admitted_by text not null,
  admitted_at timestamptz not null default now()
);
comment on table jobs_internal.admitted_role
  is 'Privileged roles whose jobs an administrator has switched on by name';
comment on column jobs_internal.admitted_role.role is 'Role';
comment on column jobs_internal.admitted_role.admitted_by is 'Login that switched it on';
comment on column jobs_internal.admitted_role.admitted_at is 'When';

create table jobs_internal.unreached_owner (
  owner oid not null,
  supervisor_id bigint not null,
  reason text not null,
  since timestamptz not null default clock_timestamp(),
  primary key (owner, supervisor_id)
);
comment on table jobs_internal.unreached_owner
  is 'Owners that a supervisor could not connect as when it tried last';
comment on column jobs_internal.unreached_owner.owner is 'Owner';
comment on column jobs_internal.unreached_owner.supervisor_id
  is 'Supervisor; what one said counts while its connection lives';
comment on column jobs_internal.unreached_owner.reason is 'What the server, or the network, said';
comment on column jobs_internal.unreached_owner.since is 'First time in a row';

create table jobs_internal.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  login text not null,
  login_oid oid not null,
  action text not null,
  object text not null,
  before jsonb,
  after jsonb
);
create index audit_login_idx on jobs_internal.audit (login_oid, at);
comment on table jobs_internal.audit is 'What operators and administrators did through the '
  'functions of schema jobs; no function changes or removes a row';
comment on column jobs_internal.audit.id is 'Number';
comment on column jobs_internal.audit.at is 'When';
comment on column jobs_internal.audit.login is 'Login, by name';
comment on column jobs_internal.audit.login_oid is 'Login, by number';
comment on column jobs_internal.audit.action is 'Function that was called';
comment on column jobs_internal.audit.object is 'What it was called for';
comment on column jobs_internal.audit.before is 'How it was before; null: not there';
comment on column jobs_internal.audit.after is 'How it is now; null: gone';

create table jobs_internal.quota (
  owner oid primary key,
  pending bigint check (pending >= 0),
  running integer check (running >= 0),
  args_bytes integer check (args_bytes >= 0),
  result_bytes integer check (result_bytes >= 1000),
  per_minute integer check (per_minute >= 1),
  history_rows bigint check (history_rows >= 1),
  over_rate text not null default 'refuse' check (over_rate in ('refuse', 'wait'))
);
comment on table jobs_internal.quota is 'Limits of one owner; owners without a row have none';
comment on column jobs_internal.quota.owner is 'Owner';
comment on column jobs_internal.quota.pending
  is 'Unfinished jobs at most; null: no limit, as in all that follow';
comment on column jobs_internal.quota.running is 'Worker sessions at once at most';
comment on column jobs_internal.quota.args_bytes is 'What one job carries at most, bytes of text: '
  'arguments, settings, note, options, and the texts of a statement';
comment on column jobs_internal.quota.result_bytes is 'Result of one job at most, bytes of text';
comment on column jobs_internal.quota.per_minute is 'Jobs enqueued in any 60 seconds at most';
comment on column jobs_internal.quota.history_rows
  is 'So many finished jobs are kept at least, then older ones go, in steps of a quarter';
comment on column jobs_internal.quota.over_rate
  is 'What becomes of a job over per_minute: refuse (PW072), or wait until there is room';

create table jobs_internal.rate_use (
  owner oid not null,
  publication_id integer not null default 0,
  at timestamptz not null,
  jobs bigint not null
);
create index rate_use_idx on jobs_internal.rate_use (owner, at);
alter table jobs_internal.rate_use replica identity full;
comment on table jobs_internal.rate_use is 'Jobs enqueued under a limit per minute: rows of the '
  'enqueuer''s own, so that none waits for another';
comment on column jobs_internal.rate_use.owner is 'Owner of the jobs';
comment on column jobs_internal.rate_use.publication_id is 'Publication; 0: none';
comment on column jobs_internal.rate_use.at
  is 'Time that they count for: of the enqueue, or later where they wait';
comment on column jobs_internal.rate_use.jobs is 'How many';

create table jobs_internal.publication (
  id integer generated always as identity primary key,
  publisher oid not null,
  to_role oid not null,
  func oid not null,
  task text not null,
  signature text not null,
  queue_id integer not null,
  timeout interval,
  per_minute integer check (per_minute >= 1),
  pending bigint check (pending >= 1),
  published_at timestamptz not null default now(),
  revoked_at timestamptz
);
create unique index publication_key on jobs_internal.publication (publisher, to_role, func)
  where revoked_at is null;
comment on table jobs_internal.publication
  is 'Functions that their owner lets another role enqueue, to run as the owner';
comment on column jobs_internal.publication.id is 'Number';
comment on column jobs_internal.publication.publisher
  is 'Owner of the function; its jobs run as this role';
comment on column jobs_internal.publication.to_role is 'Role whose members may enqueue it';
comment on column jobs_internal.publication.func is 'The function';
comment on column jobs_internal.publication.task is 'Its qualified name when it was published';
comment on column jobs_internal.publication.signature is 'Its name with argument types';
comment on column jobs_internal.publication.queue_id is 'Queue of its jobs';
comment on column jobs_internal.publication.timeout
  is 'Longest timeout of its jobs; null: the queue''s';
comment on column jobs_internal.publication.per_minute
  is 'Jobs enqueued in any 60 seconds at most; null: no limit of its own';
comment on column jobs_internal.publication.pending
  is 'Unfinished jobs at most; null: no limit of its own';
comment on column jobs_internal.publication.published_at is 'When it was published';
comment on column jobs_internal.publication.revoked_at is 'When it was revoked; null: it counts';
