-- The server that runs, and the installation: how a copy is told from the original.

create table jobs_internal.server (
  id boolean primary key default true check (id),
  epoch timestamptz,
  clock timestamptz,
  call_templates_swept_at timestamptz,
  isolated_session bigint,
  isolated_job bigint,
  isolated_attempt integer,
  isolated_until timestamptz
) with (fillfactor = 50);
comment on table jobs_internal.server is 'One row: the life of the server that was seen last, and '
  'the one suspect of its crashes that runs isolated from the others';
comment on column jobs_internal.server.id is 'Always true: there is one row';
comment on column jobs_internal.server.epoch is 'Start of its checkpointer: another one means that '
  'it was restarted, or crashed and came up again by itself';
comment on column jobs_internal.server.clock
  is 'When a session last looked for messages that the clock hides; in the future: it was set back';
comment on column jobs_internal.server.call_templates_swept_at
  is 'When call templates without jobs were last removed';
comment on column jobs_internal.server.isolated_session is 'Session that runs the suspect';
comment on column jobs_internal.server.isolated_job is 'The suspect';
comment on column jobs_internal.server.isolated_attempt is 'Its attempt';
comment on column jobs_internal.server.isolated_until
  is 'No other suspect starts before this time, unless this one has ended';
insert into jobs_internal.server default values;

create table jobs_internal.installation (
  id boolean primary key default true check (id),
  system bigint not null,
  database oid not null,
  database_name name not null,
  table_oid oid not null,
  postmaster timestamptz not null,
  quotas boolean not null default false,
  since timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table jobs_internal.installation
  is 'One row: the server and database of this installation; a database '
  'in which it names another is a copy, and nothing runs there';
comment on column jobs_internal.installation.id is 'Always true: there is one row';
comment on column jobs_internal.installation.system is 'The server: its system identifier';
comment on column jobs_internal.installation.database is 'The database';
comment on column jobs_internal.installation.quotas
  is 'An owner was given a quota once: each enqueue looks whether its owner has one';
comment on column jobs_internal.installation.database_name
  is 'Its name as of the last look, for people';
comment on column jobs_internal.installation.table_oid
  is 'OID of this table: a restored one has another';
comment on column jobs_internal.installation.postmaster
  is 'Start of the postmaster that was seen last: as '
  'long as it is the same, the server need not be asked who it is';
comment on column jobs_internal.installation.since is 'When it was recorded';
insert into jobs_internal.installation (system, database, database_name, table_oid, postmaster)
select c.system_identifier, d.oid, d.datname, 'jobs_internal.installation'::regclass,
  pg_postmaster_start_time()
from pg_control_system() as c
join pg_database as d on d.datname = current_database();
