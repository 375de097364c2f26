-- Queues, for operators. Each function names the role that it is for, where the caller is not a
-- member, and calls the function of the same name in engine/admin, which does the work and is
-- granted to that role alone: what is let through here by mistake is refused there. They run with
-- the caller's rights.

create or replace function jobs.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  share_commits boolean default true,
  retention_rows bigint default null,
  window_name text default null,
  rate_limit integer default null,
  rate_period interval default null,
  rate_by text default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'create_queue');
  return jobs_internal.create_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, share_commits, retention_rows, window_name, rate_limit, rate_period,
      rate_by);
end
$$;
comment on function jobs.create_queue(text, integer, interval, integer, interval, interval,
    interval, boolean, bigint, text, integer, interval, text) is
'Makes a queue; returns false, with a NOTICE, when it exists. concurrency: jobs that run at once, '
'null for no limit; timeout and max_attempts:
for jobs that name none; backoff: wait before the second attempt, doubled each time up to '
'backoff_cap, which is not less; retention: finished
jobs are kept so long at least; share_commits: short jobs may share a transaction; '
'retention_rows: a finished job goes earlier once so many others have
finished after it, null for no limit; window_name: its jobs start while that maintenance window is '
'open, null for at any time; rate_limit: so many of its jobs start in a rate_period, which is '
'1 second where none is given, null for no limit; rate_by: the name of an argument, each value of '
'which has that limit of its own. For operators. '
'Errors: PW015, PW026, PW111, PW121, PW122.';

create or replace function jobs.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  share_commits boolean default null,
  accepting boolean default null,
  retention_rows bigint default null,
  window_name text default null,
  rate_limit integer default null,
  rate_period interval default null,
  rate_by text default null
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'alter_queue');
  return jobs_internal.alter_queue(name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, share_commits, accepting, retention_rows, window_name, rate_limit, rate_period,
      rate_by);
end
$$;
comment on function jobs.alter_queue(text, integer, interval, integer, interval, interval, interval,
    boolean, boolean, bigint, text, integer, interval, text) is
'Changes options of a queue; what is not given stays. concurrency 0: no limit; timeout infinity: '
'none; accepting false: closed for enqueue;
retention_rows 0: no limit; window_name, empty: no window; rate_limit 0: no limit; '
'rate_by, empty: none. '
'Jobs that run when concurrency is lowered run on, and count until they '
'end. Another retention counts for what is
finished already, too. For operators. Errors: PW007, PW026, PW111, PW121, PW122.';

create or replace function jobs.drop_queue(queue text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'drop_queue');
  return jobs_internal.drop_queue(queue);
end
$$;
comment on function jobs.drop_queue(text) is
'Drops a queue that has no unfinished job; its history stays. It waits for no transaction, and '
'none waits for it: one that was enqueuing
just then may still bring a job, which runs as any other. For operators. Errors: PW007, PW027 it '
'is default, PW028 unfinished jobs.';

create or replace function jobs.pause(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'pause');
  return jobs_internal.pause(queue);
end
$$;
comment on function jobs.pause(text) is
'Pauses a queue; without a name, everything: no job starts until jobs.resume(). Running jobs go '
'on, enqueue goes on. Returns whether that
was a change. For operators. Errors: PW007.';

create or replace function jobs.resume(queue text default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'resume');
  return jobs_internal.resume(queue);
end
$$;
comment on function jobs.resume(text) is
'Resumes a queue; without a name, turns the switch of jobs.pause() back on (queues that were '
'paused by name stay paused). Returns whether
that was a change. For operators. Errors: PW007.';
