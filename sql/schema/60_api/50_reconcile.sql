-- Reconcile: makes a copy a home, and puts right what was lost.

create or replace function jobs_internal.reconcile()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
as $$
declare
  v_copy boolean;
  v_of text := jobs_internal.copy_of();
  v_facts jsonb;
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000', message = pg_catalog.format('jobs.reconcile is not for a %s transaction', pg_catalog.current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show what happened meanwhile.', hint = 'Use READ COMMITTED.';
  end if;
  perform from jobs_internal.home for update;  -- one at a time
  v_copy := not jobs_internal.is_home();
  v_facts := pg_catalog.jsonb_build_object('was', case when v_copy then v_of else 'at home' end);
  if v_copy then
    lock table jobs_internal.job in share row exclusive mode;
    v_facts := v_facts || jobs_internal.leave_sessions() || jobs_internal.move_owners(true) || jobs_internal.find_functions();
    perform jobs_internal.settle_here();
  else
    perform jobs_internal.assert_home(), jobs_internal.follow_roles();
    v_facts := v_facts || pg_catalog.jsonb_build_object('sessions_cleared', jobs_internal.rescue()) || jobs_internal.move_owners(false);
  end if;
  v_facts := v_facts || jobs_internal.mend_lanes();
  perform jobs_internal.wake(null);
  return v_facts;
end
$$;
comment on function jobs_internal.reconcile() is 'Does the work of jobs.reconcile';
comment on function jobs.reconcile() is
'Makes a copy of an installation (a restored dump, a database made from a template, the new cluster after pg_upgrade) a home of its own, where its
jobs run: do it only where they are to run, the original may be running the same ones. Owners and functions are found again by name, jobs that
ran when the copy was made go back uncharged (top-level statements end by their post-condition, or in_doubt), what the original''s sessions
held is freed. At home it repairs: jobs whose message was lost are due again, messages without a job go, missing queues are made, roles that
were missing are looked for again. May be repeated at any time. Returns what it did. For operators. Errors: 0A000 above READ COMMITTED.';
