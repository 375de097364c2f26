-- The codes of reasons to wait, in order.

-- The codes of jobs.explain, in the order in which they are looked for: the first that holds is the
-- reason. n has gaps for more.
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
      'see jobs.job and jobs.attempts; jobs.retry(id) runs one again that did not succeed'),
  (30, 'session_lost', 'its session died, and has not been seen to yet',
      'a supervisor sees to it: pyworker run; or, as its owner, select jobs.start();'),
  (31, 'child_alone', 'its session died, and its child session goes on alone',
      'wait for it to end; jobs.cancel(id) stops it'),
  (32, 'lock', 'it runs, and waits for a lock that another process holds',
      'see what those processes do; end or cancel them, or wait'),
  (33,
      'snapshot', 'it runs, and waits for older transactions to end, as statements CONCURRENTLY do',
    'end the transactions of those processes; an idle one should be committed'),
  (34, 'standby', 'it runs, and its commit waits for a synchronous standby',
      'bring the standby back, or change synchronous_standby_names'),
  (35, 'sleep', 'it runs, and sleeps by its own will (pg_sleep)', null),
  (36, 'running', 'it runs', 'see jobs.running'),
  (40, 'time', 'it is not due yet', 'wait, or select jobs.run_now(id);'),
  (50, 'retry', 'an attempt failed, and the next one is not due yet',
      'correct what failed (last_error); wait, or select jobs.run_now(id);'),
  (60, 'copy', 'this database is a copy of another installation: nothing runs here',
    'select jobs.reconcile();  where its jobs are to run here, as a member of jobs_operator'),
  (70, 'paused_all', 'everything is paused', 'select jobs.resume();  as a member of jobs_operator'),
  (71, 'paused_queue', 'its queue is paused',
      'select jobs.resume(queue);  as a member of jobs_operator'),
  (75,
      'standby_session', 'a session of its owner waits for a synchronous standby at a commit; what '
        'it has taken is not seen before',
      'bring the standby back, or change synchronous_standby_names'),
  (80, 'quota', 'its owner has as many worker sessions as its quota allows, and all of them work',
    'wait for one to end, or select jobs.set_quota(role, running => ...);  see jobs.quotas'),
  (90, 'concurrency', 'all slots of its queue are held',
      'wait for one of those jobs, or select jobs.alter_queue(queue, concurrency => ...);'),
  (91,
      'owner_sessions', 'its owner has as many worker sessions as sessions_per_owner allows, and '
        'all of them work',
    'wait for one of those jobs, or select jobs.configure(''sessions_per_owner'', ...);'),
  (100, 'owner_gone', 'its owner does not exist any more',
      'create the role again, then select jobs.reconcile(); or select jobs.cancel(id);'),
  (101, 'owner_no_login', 'its owner may not log in', 'alter role ... login;'),
  (102, 'owner_no_runner', 'its owner is no member of jobs_runner',
      'grant jobs_runner to the owner;'),
  (103, 'owner_refused', 'its owner is privileged, and no administrator has admitted it',
    'take the rights from the role; or, as an administrator: select jobs.admit_role(role);'),
  (104, 'owner_unreached', 'a supervisor cannot connect as its owner',
    'let the supervisor connect as it: docs/operations.md, How the supervisor connects as each '
    'owner'),
  (110, 'no_supervisor', 'no supervisor is connected, and no session of its owner lives',
      'start one: pyworker run; or, as its owner: select jobs.start();'),
  (111, 'not_served', 'supervisors are connected, but none serves its owner',
      'start one that does: pyworker run --owner ...; or leave --owner out'),
  (120, 'no_worker_slot', 'the server has no free worker slot for another session',
    'wait for a session to end; raise max_worker_processes (restart), or lower concurrency and '
    'sessions_per_owner'),
  (130, 'lane_failed', 'its lane cannot be made or filled: a supervisor tried, and got an error',
      'remove the cause of the error; it is tried again by itself'),
  (140,
      'quarantined',
      'its lane is quarantined: a job in it was cancelled and terminated, and goes on',
      'see jobs.health, unstoppable jobs'),
  (150, 'suspect', 'it ran when the server crashed: it runs by itself, one such job at a time',
      'wait; see jobs.health, crashes'),
  (160, 'turn', 'nothing hinders it: it is its turn soon, or after the jobs before it in its lane',
      null)
$$;
