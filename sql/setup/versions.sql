-- What is installed: the migrations that were applied, and the definitions as they were applied.
--
-- Runs as jobs_owner, after the roles and schemas (roles.sql) and before everything else;
-- repeatable. Written by the installer only: `pyworker install`, `pyworker upgrade`, or
-- sql/install.sql and sql/upgrade.sql by psql. `pyworker check` reads it.

create table if not exists jobs_internal.schema_migration (
  version int not null,
  name text not null,
  applied_at timestamptz not null default clock_timestamp(),
  applied_by text not null default session_user,
  constraint schema_migration_pkey primary key (version)
);

comment on table jobs_internal.schema_migration is
  'One row for each migration that this database holds. The highest version is the version of the '
  'schema.';
comment on column jobs_internal.schema_migration.version is
  'Number of the migration; 0 is the first installation.';
comment on column jobs_internal.schema_migration.name is
  'Name of its file without number and suffix; "base" for version 0.';
comment on column jobs_internal.schema_migration.applied_at is
  'When it was applied; a fresh installation holds all of them at once.';
comment on column jobs_internal.schema_migration.applied_by is
  'The login that applied it.';

create table if not exists jobs_internal.schema_object (
  kind text not null,
  identity text not null,
  md5 text not null,
  constraint schema_object_pkey primary key (kind, identity),
  constraint schema_object_kind_check check (kind in ('function', 'view', 'files'))
);

comment on table jobs_internal.schema_object is
  'The functions and views as they were applied last, so that `pyworker check` can name those '
  'changed by hand.';
comment on column jobs_internal.schema_object.kind is
  'function, view, or files: the checksum of the SQL files, where the installer knew it.';
comment on column jobs_internal.schema_object.identity is
  'Schema, name and argument types.';
comment on column jobs_internal.schema_object.md5 is
  'md5 of the definition as the server renders it.';
