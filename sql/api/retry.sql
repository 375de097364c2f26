-- Running a finished job again, or a scheduled one now.

create or replace function jobs.retry(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'retry', 'jobs_operator');
  return jobs_internal.retry(id);
end
$$;
comment on function jobs.retry(bigint) is
'Runs a failed, cancelled or in_doubt job again, under its id, with at least one more attempt. '
'Returns retrying, or the state of a job that
is not finished. It counts under the quota of its owner, and the limits of its publication, as an '
'enqueue does. Errors: PW030 not there or not
yours, PW031 it has succeeded, PW032 its unique_key is taken, PW007 its queue is gone, PW071, '
'PW072, PW074 over a limit.';

create or replace function jobs.run_now(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'run_now', 'jobs_operator');
  return jobs_internal.run_now(id);
end
$$;
comment on function jobs.run_now(bigint) is
'Makes a scheduled or retrying job due now. Returns queued, or the state of a job that is not '
'scheduled. Errors: PW030, PW072 jobs of its owner wait
for a quota per minute.';
