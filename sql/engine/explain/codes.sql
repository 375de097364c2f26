-- The codes of reasons to wait, in order.

-- The codes of jobs.explain, in the order in which they are looked for: the first that holds is the
-- reason. n has gaps for more. A remedy that is a command can be run as it is printed: what is to
-- be known beside it stands behind it, in a comment. jobs.explain puts the job, its queue and its
-- owner into it.
create or replace function jobs_internal.wait_codes()
returns table (n integer, code text, meaning text, remedy text)
language sql immutable
set search_path = pg_catalog, pg_temp
rows 30
as $$
  values
  (10,
      'not_there',
      'there is no such job, it was removed by retention, or it belongs to another role',
      'see jobs.job for the jobs that you may see'),
  (20, 'finished', 'the job is finished',
      'select jobs.retry(id);  -- runs one again that did not succeed; see jobs.attempts'),
  (21, 'batch_open', 'of a batch: it is not closed, and calls nothing back before',
      'select jobs.close_batch(id);  -- once no more jobs are to come'),
  (22, 'batch_jobs', 'of a batch: jobs of it have not ended',
      'see jobs.explain of those jobs'),
  (23, 'batch_calls', 'of a batch: its callbacks are about to be enqueued',
      'select jobs.start();  -- as its owner; or start a supervisor: pyworker run'),
  (25, 'deadline', 'its deadline has passed: it is cancelled at its turn, or by the next round of '
      'a supervisor', null),
  (30, 'session_lost', 'its session died, and has not been seen to yet',
      'select jobs.start();  -- as its owner; or start a supervisor: pyworker run'),
  (31, 'child_alone', 'its session died, and its child session goes on alone',
      'select jobs.cancel(id);  -- stops it; or wait for it to end'),
  (32, 'lock', 'it runs, and waits for a lock that another process holds',
      'see what those processes do; end or cancel them, or wait'),
  (33,
      'snapshot', 'it runs, and waits for older transactions to end, as statements CONCURRENTLY do',
    'end the transactions of those processes; an idle one should be committed'),
  (34, 'standby', 'it runs, and its commit waits for a synchronous standby',
      'bring the standby back, or change synchronous_standby_names'),
  (35, 'sleep', 'it runs, and sleeps by its own will (pg_sleep)', null),
  (36, 'running', 'it runs', 'see jobs.running'),
  (40, 'time', 'it is not due yet', 'select jobs.run_now(id);  -- or wait'),
  (42, 'snoozed', 'its function said that it comes back later (jobs.snooze), and is not due yet',
      'select jobs.run_now(id);  -- or wait'),
  (43, 'parent_in_doubt', 'a job that it waits for ended in doubt, which is no end',
      'see what that job did, then retry or cancel it'),
  (44, 'dependency', 'it waits for other jobs to end', 'wait; see jobs.explain of those jobs'),
  (46, 'window_closed', 'its maintenance window is closed',
      'select jobs.open_window(name, duration);  -- as a member of jobs_operator; or wait'),
  (47, 'key', 'as many jobs of its concurrency_key are there as are allowed at once',
      'wait for one of those jobs; see jobs.concurrency_keys'),
  (48, 'window_too_short', 'it is not expected to end before its maintenance window closes',
      'select jobs.open_window(name, duration);  -- as a member of jobs_operator; or wait'),
  (49, 'rate_by', 'as many jobs with its value of the argument rate_by have started as may',
      'select jobs.alter_queue(queue, rate_limit => ...);  -- as a member of jobs_operator; or '
      'wait'),
  (50, 'retry', 'an attempt failed, and the next one is not due yet',
      'select jobs.run_now(id);  -- once what failed is corrected (last_error); or wait'),
  (51, 'lock_attempt', 'it gave up waiting for a lock, and tries again later',
      'select jobs.run_now(id);  -- once those who hold the relation are gone; or wait'),
  (52, 'gave_way', 'it gave way to another session, and comes back',
      'select jobs.run_now(id);  -- or wait'),
  (53, 'operation', 'another operation works on the same relation',
      'wait for that job, or cancel it'),
  (60, 'copy', 'this database is a copy of another installation: nothing runs here',
    'select jobs.reconcile();  -- as a member of jobs_operator, where its jobs are to run here'),
  (70, 'paused_all', 'everything is paused',
      'select jobs.resume();  -- as a member of jobs_operator'),
  (71, 'paused_queue', 'its queue is paused',
      'select jobs.resume(queue);  -- as a member of jobs_operator'),
  (72, 'queue_window', 'the maintenance window of its queue is closed',
      'select jobs.open_window(name, duration);  -- as a member of jobs_operator; or wait'),
  (75,
      'standby_session', 'a session of its owner waits for a synchronous standby at a commit; what '
        'it has taken is not seen before',
      'bring the standby back, or change synchronous_standby_names'),
  (80, 'quota', 'its owner has as many worker sessions as its quota allows, and all of them work',
    'select jobs.set_quota(role, running => ...);  -- as a member of jobs_operator, with what it '
    'has of other limits (jobs.quotas); or wait for one to end'),
  (90, 'concurrency', 'all slots of its queue are held',
      'select jobs.alter_queue(queue, concurrency => ...);  -- as a member of jobs_operator; or '
      'wait for one of those jobs'),
  (91,
      'owner_sessions', 'its owner has as many worker sessions as sessions_per_owner allows, and '
        'all of them work',
    'select jobs.configure(''sessions_per_owner'', ...);  -- as a member of jobs_operator; or '
    'wait for one of those jobs'),
  (92, 'rate', 'as many jobs of its queue have started as its rate_limit allows',
      'select jobs.alter_queue(queue, rate_limit => ...);  -- as a member of jobs_operator; or '
      'wait'),
  (100, 'owner_gone', 'its owner does not exist any more',
      'select jobs.cancel(id);  -- as a member of jobs_operator; or, where a restore did not bring '
      'the role, create it and select jobs.reconcile()'),
  (101, 'owner_no_login', 'its owner may not log in',
      'alter role ... login;  -- as a superuser, or who administers the role'),
  (102, 'owner_no_runner', 'its owner is no member of jobs_runner',
      'grant jobs_runner to ...;  -- as a superuser, or who may grant jobs_runner'),
  (103, 'owner_refused', 'its owner is privileged, and no administrator has admitted it',
    'select jobs.admit_role(role);  -- as an administrator: a superuser, or who may act as '
    'jobs_owner; or take the rights from the role'),
  (104, 'owner_unreached', 'a supervisor cannot connect as its owner',
    'let the supervisor connect as it: docs/operations.md, How the supervisor connects as each '
    'owner'),
  (110, 'no_supervisor', 'no supervisor is connected, and no session of its owner lives',
      'select jobs.start();  -- as its owner; or start a supervisor: pyworker run'),
  (111, 'not_served', 'supervisors are connected, but none serves its owner',
      'select jobs.start();  -- as its owner; or start a supervisor that serves it: pyworker run '
      '--owner ...'),
  (120, 'no_worker_slot', 'the server has no free worker slot for another session',
    'wait for a session to end; raise max_worker_processes (restart), or lower concurrency and '
    'sessions_per_owner'),
  (130, 'lane_failed', 'its lane cannot be made or filled: a supervisor tried, and got an error',
      'remove the cause of the error; it is tried again by itself'),
  (140,
      'quarantined',
      'its lane is quarantined: a job in it was cancelled and terminated, and goes on',
      'see jobs.health, unstoppable jobs'),
  (145, 'function_gone',
      'its function, or the right to call it, is not what it was: it fails with PW042 at its turn',
      'select jobs.cancel(id);  -- or its owner makes the function again, before its turn'),
  (150, 'suspect', 'it ran when the server crashed: it runs by itself, one such job at a time',
      'wait; see jobs.health, crashes'),
  (160, 'turn', 'nothing hinders it: it is its turn soon, or after the jobs before it in its lane; '
    'lanes of high, normal and low that wait share the time as 4 : 2 : 1', null)
$$;

-- The call that allows an owner one worker session more, with the limits that it has beside: what
-- set_quota is not given has no limit afterwards.
create or replace function jobs_internal.larger_quota(p_owner oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('select jobs.set_quota(%L, %s);  -- as a member of jobs_operator; or wait for one '
      'of its sessions to end', pg_get_userbyid(q.owner), string_agg(format('%s => %L', l.key,
      case l.key when 'running' then (q.running + 1)::text else l.value end), ', ' order by l.key))
  from jobs_internal.quota as q
  cross join lateral jsonb_each_text(jsonb_strip_nulls(to_jsonb(q)) - 'owner') as l
  where q.owner = p_owner
  group by q.owner;
end;
