-- Starting worker sessions without a supervisor.

create or replace function jobs.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_runner', 'start');
  return jobs_internal.start(sessions);
end
$$;
comment on function jobs.start(integer) is
'Launches worker sessions of the caller now; they run what is due and end. Needs no supervisor; a '
'supervisor does the same by itself.
Returns how many were launched: fewer where the quota of the caller allows no more. Errors: PW019, '
'PW025, PW051 under SET ROLE or SET SESSION AUTHORIZATION, PW060 in a copy, 53000 or 53400 when '
'the server has no free worker slot: retry later.';
