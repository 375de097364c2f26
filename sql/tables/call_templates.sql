-- Call templates: how to call a function with the argument names that were given.

create table jobs_internal.call_template (
  id integer generated always as identity primary key,
  func oid not null,
  version xid not null,
  func_ctid tid not null,
  func_owner oid not null,
  maker oid not null,
  made_at timestamptz not null default clock_timestamp(),
  keys text[] not null,
  fit integer not null,
  signature text not null,
  task text not null,
  whole boolean not null,
  procedure boolean not null,
  cast_query text,
  call text not null,
  retired_by xid8,
  horizon_xid xid8,
  chunk_call text
);
create index call_template_func_idx on jobs_internal.call_template (func, fit);
create index call_template_maker_idx on jobs_internal.call_template (maker, func);
comment on table jobs_internal.call_template
  is 'How a function is called with a set of argument names; '
  'not unique on purpose: a unique index would make enqueuers wait for each other';
comment on column jobs_internal.call_template.id is 'Number';
comment on column jobs_internal.call_template.func is 'The function';
comment on column jobs_internal.call_template.version
  is 'xmin of the function''s catalog row: a replaced function gets a new template';
comment on column jobs_internal.call_template.func_ctid
  is 'ctid of that row: a transaction may replace a function that it made or replaced itself';
comment on column jobs_internal.call_template.func_owner
  is 'Owner of the function when the template was made';
comment on column jobs_internal.call_template.maker
  is 'Login that called it so first: one login makes a limited number';
comment on column jobs_internal.call_template.made_at is 'When it was made';
comment on column jobs_internal.call_template.keys is 'Argument names given, sorted';
comment on column jobs_internal.call_template.fit
  is 'Hash of keys, 0 where they do not matter (whole): by it a template is found among a million';
comment on column jobs_internal.call_template.signature
  is 'Qualified name with argument types, to find '
  'the function again after it was dropped and made anew';
comment on column jobs_internal.call_template.task is 'Qualified name, as the views show it';
comment on column jobs_internal.call_template.whole
  is 'Its only parameter is jsonb and gets the arguments whole';
comment on column jobs_internal.call_template.procedure
  is 'A procedure: it runs at top level, in a child session';
comment on column jobs_internal.call_template.cast_query
  is 'Query that casts the arguments in $1 to the '
  'declared types and gives them back as jsonb; null: nothing to cast';
comment on column jobs_internal.call_template.call
  is 'Query that calls it with the arguments in $1 and gives its result as jsonb';
comment on column jobs_internal.call_template.retired_by
  is 'Transaction that found no job of it: enqueues make a new one; null: in use';
comment on column jobs_internal.call_template.horizon_xid
  is 'Retired: transactions from this number on are sure '
  'to have seen that; null: an enqueuer may still use it';
comment on column jobs_internal.call_template.chunk_call
  is 'Expression that calls it for a row pyworker_item of a chunk, in one statement for many of '
  'them; null: each call is a statement of its own';
