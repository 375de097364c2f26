-- Priorities.

create or replace function jobs.set_priority(id bigint, priority text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'set_priority', 'jobs_operator');
  return jobs_internal.set_priority(id, priority);
end
$$;
comment on function jobs.set_priority(bigint, text) is
'Gives a job that has not started another priority: high, normal or low. Returns its state: '
'queued, scheduled, running (it has started, nothing was
changed), or that of a finished job. Errors: PW020, PW030.';
