-- What is behind jobs.reconcile.

-- Does the work of jobs.reconcile.
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
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000',
      message = format('jobs.reconcile is not for a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show what happened meanwhile.', hint = 'Use READ COMMITTED.';
  end if;
  perform from jobs_internal.installation for update;  -- one at a time
  v_copy := not jobs_internal.is_original();
  v_facts := jsonb_build_object('was', case when v_copy then v_of else 'at home' end);
  if v_copy then
    lock table jobs_internal.job in share row exclusive mode;
    v_facts := v_facts || jobs_internal.leave_sessions() || jobs_internal.move_owners(true)
      || jobs_internal.find_functions();
    perform jobs_internal.forget_relations(), jobs_internal.skip_schedules(),
      jobs_internal.shut_windows();
    perform jobs_internal.adopt_installation();
  else
    perform jobs_internal.assert_not_copy(), jobs_internal.follow_roles();
    v_facts := v_facts || jsonb_build_object('sessions_cleared', jobs_internal.rescue())
      || jobs_internal.move_owners(false);
  end if;
  v_facts := v_facts || jobs_internal.repair_lanes();
  if not v_copy then
    -- A copy has the lanes of its original.
    v_facts := v_facts || jsonb_build_object('lanes_ahead', jobs_internal.make_lanes_ahead(false));
  end if;
  perform jobs_internal.wake(null);
  return v_facts;
end
$$;
