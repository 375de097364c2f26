-- A worker session notes the version of the schema that its loop was written for.
--
-- The sessions that are there were written for none that is known: they are dead, as an upgrade
-- waits until the others have left.

alter table jobs_internal.session add column schema_version integer;
comment on column jobs_internal.session.schema_version
  is 'Version of the schema that its loop was written for; null: of one before 1';
