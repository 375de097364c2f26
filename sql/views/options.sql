-- The options of jobs, as a view, so that the manual is in the database. The check of every enqueue
-- function reads it too.

create or replace view jobs.options with (security_barrier) as
select o.key, o.type, o.functions, o.default_value, o.meaning
from (values
  ('done_when', 'text', array['enqueue_sql'], null,
    'a boolean expression or a query that is true once the statement is done; as the parameter of '
    'that name'),
  ('notify', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'], null,
    'a channel: the end of the job is sent there (NOTIFY), as {"id": ..., "state": ..., "task": '
    '...}'),
  ('repeatable', 'boolean', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'],
    'true for VACUUM, ANALYZE, REINDEX, REFRESH, CLUSTER, CHECKPOINT and ALTER SYSTEM, else false',
    'a statement or procedure that ended unseen is run again, instead of in_doubt; functions '
    'always are'),
  ('rollback', 'text', array['enqueue_sql'], null,
    'the statement that undoes it, kept for people; as the parameter of that name'),
  ('title', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql'], null,
    'what the job is called in jobs.running: one line of up to 200 characters')
) as o(key, type, functions, default_value, meaning)
order by o.key;
comment on view jobs.options is 'What the parameter options of the enqueue functions may hold: '
  'checked keys of one JSON object';
comment on column jobs.options.key is 'Key';
comment on column jobs.options.type
  is 'Type of its value: text is a JSON string, boolean is true or false';
comment on column jobs.options.functions is 'Functions of schema jobs that take it';
comment on column jobs.options.default_value is 'What holds without it; null: nothing';
comment on column jobs.options.meaning is 'What it does';
