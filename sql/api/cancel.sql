-- Cancelling jobs. An owner controls its own jobs; an operator all.

create or replace function jobs.cancel(id bigint)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'cancel', 'jobs_operator');
  return jobs_internal.cancel(id);
end
$$;
comment on function jobs.cancel(bigint) is
'Cancels a job. Returns what it did: cancelled (it had not started; undone if the caller rolls '
'back), cancelling (it runs: its session is
told to stop, at once and whatever the caller''s transaction does), or the state of a job that is '
'finished already. A job that is in_doubt
becomes cancelled: a person has looked, and it is not run again. Errors: PW030.';
