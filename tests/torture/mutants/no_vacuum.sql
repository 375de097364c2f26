-- The upkeep does not vacuum the hot tables.

-- Replaces jobs_internal.do_part, md5 26389b1b01d1761cbe13981cca213b32.
create or replace function jobs_internal.do_part(p_part text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jsonb;
begin
  -- What was cut off takes as long the next time: it waits its turn, as single items do.
  if exists (select from jobs_internal.duty_failure as f
    where f.duty = 'round' and f.item = p_part and f.error ->> 'sqlstate' = '57014'
      and jobs_internal.is_future(f.retry_at))
  then
    return null;
  end if;
  begin
    case p_part
      when 'roles' then perform jobs_internal.record_installation(), jobs_internal.follow_roles(),
        jobs_internal.note_refused();
      when 'quarantine' then perform jobs_internal.lift_quarantine();
      when 'rescue' then v_result := to_jsonb(jobs_internal.rescue());
      when 'slots' then perform jobs_internal.sweep_slots();
      when 'overdue' then perform jobs_internal.note_overdue();
      when 'claims' then perform jobs_internal.give_back_starts(),
        jobs_internal.reclaim_unstarted(), jobs_internal.reclaim_slots(),
        jobs_internal.end_idle_holders();
      when 'nameless' then perform jobs_internal.cancel_hidden_chunks(),
        jobs_internal.wake_after_clock_step();
      when 'clock' then perform jobs_internal.repair_clock_step();
      when 'lanes_ahead' then perform jobs_internal.make_lanes_ahead(true);
      when 'deadlines' then perform jobs_internal.cancel_late_jobs();
      when 'windows' then perform jobs_internal.move_windows();
      when 'window_stops' then perform jobs_internal.stop_outside_windows();
      when 'schedules' then perform jobs_internal.fire_schedules();
      when 'follow' then perform jobs_internal.follow();
      when 'batches' then perform jobs_internal.fold_batches();
      when 'keys' then perform jobs_internal.admit_waiting();
      when 'dispatch' then v_result := to_jsonb(jobs_internal.dispatch());
      when 'owners' then
        v_result := (select jsonb_agg(to_jsonb(w)) from jobs_internal.session_demand() as w);
      when 'failures' then
        perform jobs_internal.sweep_failures();
        v_result := jobs_internal.unlogged_failures();
      when 'operations' then perform jobs_internal.note_operations();
      when 'risks' then v_result := jobs_internal.unlogged_risks();
      when 'statements' then perform jobs_internal.note_statements();
      when 'sums' then perform jobs_internal.compact_daily_cost();
      when 'counters' then perform jobs_internal.sweep_counters();
      when 'call_templates' then perform jobs_internal.launch_call_template_sweep();
      when 'queues' then v_result := to_jsonb(jobs_internal.remove_dropped_queues());
      when 'vacuum' then null;
      when 'history' then v_result := jobs_internal.step_history();
    end case;
  exception
    when others or query_canceled or assert_failure then
      perform jobs_internal.note_failure('round', p_part,
          jobs_internal.error_object(sqlstate, sqlerrm));
      return null;
  end;
  perform jobs_internal.clear_failure('round', p_part);
  return v_result;
end
$$;
