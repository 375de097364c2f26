-- The errors of pyworker, as a view, so that the manual is in the database.
-- docs/reference/errors.md is made from it.

create or replace view jobs.errors with (security_barrier) as
select e.sqlstate, e.retry, e.meaning
from (values
  ('PW001', false, 'the task names no function that the caller sees'),
  ('PW002', false, 'the task names several functions, and the arguments do not decide'),
  ('PW003', false, 'args has a key that is no parameter of the function'),
  ('PW004', false, 'args lacks a parameter that has no default'),
  ('PW005', false, 'an argument cannot be cast to its declared type'),
  ('PW006', false, 'the owner may not execute the function, or its schema is closed to it'),
  ('PW007', false, 'there is no such queue, or it was dropped'),
  ('PW008', true, 'the queue does not accept jobs: an operator closed it'),
  ('PW009', false, 'timeout is zero or negative'),
  ('PW010', false, 'max_attempts is less than 1'),
  ('PW011', false, 'args, settings, note or options is no JSON object'),
  ('PW012', false, 'there is no such setting'),
  ('PW013', false, 'the owner may not set this setting to that value, or it belongs to the worker'),
  ('PW014', false, 'the statement is empty'),
  ('PW015', false, 'a name is too long or not allowed'),
  ('PW016', false, 'this kind of function cannot be a job'),
  ('PW017', false, 'not exactly one complete statement, or a syntax error in it'),
  ('PW018', false, 'a text, name, note, settings or arguments are larger than allowed'),
  ('PW019', false, 'jobs of this role are refused: it has more than its own rights'),
  ('PW020', false, 'there is no such priority'),
  ('PW021', false, 'this kind of statement cannot be a job'),
  ('PW022', false, 'unique_key is not for many jobs'),
  ('PW023', false, 'progress is out of range'),
  ('PW024', false, 'there is no such log level'),
  ('PW025', false, 'sessions is out of range'),
  ('PW026', false, 'an option or setting is out of range'),
  ('PW027', false, 'the queue "default" cannot be dropped'),
  ('PW028', true, 'the queue has unfinished jobs'),
  ('PW029', false, 'options has a key that there is not, that is not for this function, or whose '
    'value is not allowed'),
  ('PW030', false, 'there is no such job, or it belongs to another role'),
  ('PW031', false, 'the job has succeeded and is not run again'),
  ('PW032', true, 'another unfinished job has the same unique_key'),
  ('PW033', false, 'jobs.wait cannot see the end of a job at this isolation level'),
  ('PW034', false, 'jobs.wait does not wait for jobs that run at top level; jobs.await does'),
  ('PW035', false, 'the job was enqueued by the transaction that waits for it'),
  ('PW036', true, 'the job is not finished in that time'),
  ('PW037', false, 'jobs.await commits and cannot run inside a transaction block'),
  ('PW038', false, 'schema jobs has no function or view of that name'),
  ('PW040', false, 'the result of the job is larger than allowed'),
  ('PW041', false, 'the job ended itself while it ran; what it did was undone'),
  ('PW042', false, 'the function was dropped or has another owner than at enqueue, or its '
    'publication was revoked'),
  ('PW043', false, 'the statement ran, but its post-condition is not true'),
  ('PW050', false, 'only a worker session calls this'),
  ('PW051', false, 'a worker session must run as its own login'),
  ('PW052', true, 'pyworker was upgraded while the worker session began'),
  ('PW053', false, 'the supervisor''s program was made for a newer schema: pyworker upgrade'),
  ('PW060',
      true, 'the database is a copy of another installation: nothing runs until jobs.reconcile()'),
  ('PW070', false, 'the job carries more than the quota of the owner allows'),
  ('PW071', true, 'the owner has as many unfinished jobs as its quota allows'),
  ('PW072', true, 'the owner enqueues more jobs a minute than its quota allows'),
  ('PW073', true, 'the owner has as many worker sessions as its quota allows'),
  ('PW074', true, 'over a limit of the publication'),
  ('PW075', false, 'there is no such role'),
  ('PW076', false, 'no such task is published to the caller'),
  ('PW077', false, 'there is no such publication, or it belongs to another role'),
  ('PW079', true, 'the login has called functions with as many sets of argument names as one may'),
  ('PW080', true, 'the login has published as much as one may'),
  ('PW078', true, 'the server has just started, and its last end is not looked into yet'),
  ('PWC01', false, 'outcome: cancelled on request'),
  ('PWC02', false, 'outcome: interrupted three times without a known reason'),
  ('PWD01', false, 'outcome: ended unseen, and nothing can tell how'),
  ('PWL01', true, 'outcome: the session that ran it died'),
  ('PWL02', false, 'outcome: the server crashed whenever it ran'),
  ('PWT01', true, 'outcome: timed out')
) as e(sqlstate, retry, meaning)
order by e.sqlstate;
comment on view jobs.errors is 'The errors of pyworker; each is raised with DETAIL and HINT';
comment on column jobs.errors.sqlstate is 'SQLSTATE';
comment on column jobs.errors.retry is 'The same call may succeed later';
comment on column jobs.errors.meaning is 'What it means';
