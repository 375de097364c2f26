-- A copy of an installation becomes one of its own.

create or replace function jobs.reconcile()
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'reconcile');
  return jobs_internal.reconcile();
end
$$;
comment on function jobs.reconcile() is
'Makes a copy of an installation (a restored dump, a database made from a template, the new '
'cluster after pg_upgrade) an installation of its own, where its
jobs run: do it only where they are to run, the original may be running the same ones. Owners and '
'functions are found again by name, jobs that
ran when the copy was made go back uncharged (top-level statements end by their post-condition, or '
'in_doubt), what the original''s sessions
held is freed. In the original it repairs: jobs whose message was lost are due again, messages '
'without a job go, missing queues are made, roles that
were missing are looked for again, lanes are made ahead where few roles may run jobs. '
'May be repeated at any time. Returns what it did. For '
'operators. Errors: 0A000 above READ COMMITTED.';
