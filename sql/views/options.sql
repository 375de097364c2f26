-- The options of jobs, as a view, so that the manual is in the database. The check of every enqueue
-- function reads it too.

create or replace view jobs.options with (security_barrier) as
select o.key, o.type, o.functions, o.default_value, o.meaning
from (values
  ('after', 'array', array['enqueue', 'enqueue_many', 'enqueue_sql', 'enqueue_steps'], null,
    'numbers of jobs, up to 20000: it waits until all of them have ended'),
  ('after_state', 'text', array['enqueue', 'enqueue_many', 'enqueue_sql', 'enqueue_steps'],
    'succeeded',
    'the end of those jobs that it waits for: succeeded, failed (or cancelled), finished (any); '
    'when one of them ends otherwise, it is cancelled'),
  ('batch', 'number', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql',
      'enqueue_steps'], null,
    'the number of a batch that is open (jobs.create_batch): the job belongs to it'),
  ('concurrency_key', 'text', array['enqueue', 'enqueue_many', 'enqueue_sql', 'enqueue_steps',
      'schedule', 'schedule_sql'], null,
    'jobs of their owner with the same key run one at a time, or as many as '
    'jobs.set_concurrency(key, max) allows'),
  ('deadline', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql',
      'enqueue_steps'], null,
    'a time: no attempt of the job begins later; one that has not begun by then is cancelled, with '
    'PWC03'),
  ('done_when', 'text', array['enqueue_sql', 'schedule_sql'], null,
    'a boolean expression or a query that is true once the statement is done; as the parameter of '
    'that name'),
  ('lock_attempts', 'number', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'], '100',
    'how often an operation gives up waiting for its locks and comes back, before that counts as a '
    'failed attempt'),
  ('lock_timeout', 'text', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'],
    '1.8 s, at most 1.8 times deadlock_timeout',
    'how long an operation that others would queue behind waits for all its locks together, before '
    'it gives up and comes back'),
  ('measure', 'array', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'],
    'the three costliest statements of the owner that use the table, where pg_stat_statements is '
    'installed',
    'queries that are run and timed before and after; an empty array: none'),
  ('notify', 'text', array['create_batch', 'enqueue', 'enqueue_many', 'enqueue_published',
      'enqueue_sql', 'enqueue_steps', 'schedule', 'schedule_sql'], null,
    'a channel: the end of the job is sent there (NOTIFY), as {"id": ..., "state": ..., "task": '
    '...}'),
  ('on_deadlock_risk', 'text', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'], 'warn',
    'what a concurrent build does when another session will make it the victim of a deadlock: '
    'warn, cancel_waiter or step_aside'),
  ('repeatable', 'boolean', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql',
      'enqueue_steps', 'schedule', 'schedule_sql'],
    'true for VACUUM, ANALYZE, REINDEX, REFRESH, CLUSTER, CHECKPOINT and ALTER SYSTEM, else false',
    'a statement or procedure that ended unseen is run again, instead of in_doubt; functions '
    'always are'),
  ('reuse_for', 'text', array['enqueue', 'enqueue_sql', 'enqueue_steps'], null,
    'a time: where the same unique_key, or without one the same task with the same arguments, has '
    'succeeded so recently, that job is the answer and nothing is enqueued; statements need a '
    'unique_key'),
  ('rollback', 'text', array['enqueue_sql', 'schedule_sql'], null,
    'the statement that undoes it, which jobs.undo runs; as the parameter of that name'),
  ('title', 'text', array['create_batch', 'enqueue', 'enqueue_many', 'enqueue_published',
      'enqueue_sql', 'enqueue_steps', 'schedule', 'schedule_sql'], null,
    'what the job is called in jobs.running: one line of up to 200 characters'),
  ('wait_for_snapshots', 'boolean', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'], 'false',
    'a concurrent build begins only when no transaction of more than a minute is open that it '
    'would wait for'),
  ('wait_timeout', 'text', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'], null,
    'how long a concurrent build waits for transactions of others in each of its phases, before it '
    'is given up'),
  ('max_attempts', 'number', array['create_batch', 'schedule', 'schedule_sql'], 'the queue''s',
    'attempts of each of its jobs at most; of a batch, as the next ones: of its callbacks'),
  ('note', 'object', array['create_batch', 'schedule', 'schedule_sql'], null,
    'what a person wants beside each of its jobs'),
  ('pause_after', 'number', array['schedule', 'schedule_sql'], null,
    'so many runs that failed one after the other pause the schedule'),
  ('priority', 'text', array['create_batch', 'schedule', 'schedule_sql'], 'normal',
    'priority of its jobs: high, normal, low'),
  ('queue', 'text', array['create_batch', 'schedule', 'schedule_sql'], 'default',
    'queue of its jobs'),
  ('settings', 'object', array['create_batch', 'schedule', 'schedule_sql'], null,
    'settings for its jobs alone'),
  ('timeout', 'text', array['create_batch', 'schedule', 'schedule_sql'], 'the queue''s',
    'longest time of an attempt'),
  ('unique_key', 'text', array['schedule', 'schedule_sql'], null,
    'unique key of its jobs: where an unfinished job has it, an occurrence is skipped'),
  ('window', 'text', array['enqueue', 'enqueue_many', 'enqueue_published', 'enqueue_sql',
      'enqueue_steps', 'schedule', 'schedule_sql'], null,
    'a maintenance window (jobs.windows): the job starts while that is open, if it is expected to '
    'end before it closes'),
  ('yield', 'boolean', array['enqueue_sql', 'enqueue_steps', 'schedule_sql'],
    'true for VACUUM and ANALYZE, else false',
    'it gives way, and comes back, when another session has waited for its lock for a second; ten '
    'times at most')
) as o(key, type, functions, default_value, meaning)
order by o.key;
comment on view jobs.options is 'What the parameter options of the enqueue functions may hold: '
  'checked keys of one JSON object';
comment on column jobs.options.key is 'Key';
comment on column jobs.options.type
  is 'Type of its value: text is a JSON string, boolean is true or false, number a JSON number, '
  'object a JSON object, array a JSON array of strings, of after one of numbers';
comment on column jobs.options.functions is 'Functions of schema jobs that take it';
comment on column jobs.options.default_value is 'What holds without it; null: nothing';
comment on column jobs.options.meaning is 'What it does';
