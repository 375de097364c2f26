-- Dismissing failures: a person has looked, and no list or check brings them up again. Nothing else
-- about the job changes: its history stays as long as its queue keeps it, and jobs.retry runs it
-- again. An owner dismisses its own, an operator all.

create or replace function jobs.dismiss(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'dismiss', 'jobs_operator');
  return jobs_internal.dismiss(id);
end
$$;
comment on function jobs.dismiss(bigint) is
'Dismisses a job that failed or is in doubt: jobs.failed, jobs.queues and jobs.health leave it out '
'from now on, and jobs.job says who
dismissed it and when. Its state stays, and jobs.retry(id) runs it again. Returns dismissed, or '
'the state of a job that has not failed.
Errors: PW030.';

create or replace function jobs.dismiss_failed(queue text default null,
    until timestamptz default now())
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'dismiss_failed', 'jobs_operator');
  return jobs_internal.dismiss_failed(queue, until);
end
$$;
comment on function jobs.dismiss_failed(text, timestamptz) is
'Dismisses, as jobs.dismiss does, the jobs of a queue that failed or are in doubt; queue null: of '
'all queues. An owner dismisses its own, an
operator those of all owners. until: those that ended up to this time, by default the start of the '
'caller''s transaction, so that none is
dismissed that cannot have been seen yet. Returns how many. Errors: PW007 no such queue.';
