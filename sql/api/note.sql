-- Notes of jobs.

create or replace function jobs.note(id bigint, note jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'note', 'jobs_operator');
  return jobs_internal.note(id, note);
end
$$;
comment on function jobs.note(bigint, jsonb) is
'Adds to the note of a job, finished or not: keys that it has get the new value. Returns the whole '
'note, 64 kB at most. An operator''s is kept in jobs.audit. A job that runs can end only after the '
'transaction that calls this: commit soon. Errors: PW011, PW018, PW030.';
