-- Jobs that wait for other jobs: docs/order.md.

create table jobs_internal.dependency (
  parent bigint not null,
  child bigint not null,
  owner oid not null,
  wants smallint not null,
  broken boolean not null default false,
  primary key (parent, child)
);
-- With the parent too: where statistics are old, a pair is found by either index.
create index dependency_child_idx on jobs_internal.dependency (child, parent);
-- A job with thousands of children, or parents, does not make the others likely to have as many:
-- by what a sample says, all rows of a parent would be looked for by their child.
alter table jobs_internal.dependency
  alter column parent set (n_distinct = -0.5), alter column child set (n_distinct = -0.5);
comment on table jobs_internal.dependency is 'Jobs that wait for the end of others';
comment on column jobs_internal.dependency.parent is 'Job whose end is waited for';
comment on column jobs_internal.dependency.child is 'Job that waits';
comment on column jobs_internal.dependency.owner is 'Owner of the child';
comment on column jobs_internal.dependency.wants
  is '0: the parent must succeed, 1: it must fail, or be cancelled, 2: it must end';
comment on column jobs_internal.dependency.broken
  is 'It has ended otherwise: the child was cancelled';

create table jobs_internal.parent_event (
  id bigint generated always as identity primary key,
  parent bigint not null,
  owner oid,
  state text
);
create index parent_event_owner_idx on jobs_internal.parent_event (owner, id);
comment on table jobs_internal.parent_event
  is 'Ends of jobs that others wait for, and parents that '
  'are to be looked at, until the consequences are drawn: rows are only added and deleted';
comment on column jobs_internal.parent_event.id
  is 'Number: of the ends of one job the last is true';
comment on column jobs_internal.parent_event.parent is 'Job';
comment on column jobs_internal.parent_event.owner
  is 'For the children of this owner; null: of all';
comment on column jobs_internal.parent_event.state is 'What it ended in; null: look at it';

create table jobs_internal.follower (
  owner oid primary key
);
comment on table jobs_internal.follower
  is 'Owners of jobs that wait for others: a row is locked by '
  'the one transaction that draws the consequences for them';
comment on column jobs_internal.follower.owner is 'Owner';

insert into jobs_internal.duty (name) values ('follow');
