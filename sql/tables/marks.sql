-- Marks in time: deployments and other changes, and the beginnings and ends of long operations, to
-- compare what was before with what came after.

create table jobs_internal.mark (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  name text not null,
  owner oid not null,
  set_by text not null,
  job_id bigint,
  note jsonb
);
create index mark_owner_idx on jobs_internal.mark (owner, id);
comment on table jobs_internal.mark is 'Marks: when something was changed. The latest thousand of '
  'each owner are kept, for 90 days';
comment on column jobs_internal.mark.id is 'Number of the mark';
comment on column jobs_internal.mark.at
  is 'When it was set; of an operation: its start, or its end';
comment on column jobs_internal.mark.kind is 'deploy, operation_start, operation_end, or any other';
comment on column jobs_internal.mark.name is 'What was changed';
comment on column jobs_internal.mark.owner is 'Role that set it; of an operation: owner of the job';
comment on column jobs_internal.mark.set_by is 'Login that set it; of an operation: its owner';
comment on column jobs_internal.mark.job_id is 'Job of the operation; null: set by jobs.mark';
comment on column jobs_internal.mark.note is 'Note';
