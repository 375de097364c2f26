-- What a schedule missed while none fired it is not recorded.

-- Replaces jobs_internal.record_stretch, md5 9fa2750c8adb4f8be9df90eabf740d65.
create or replace function jobs_internal.record_stretch(p_schedule jobs_internal.schedule,
    p_first timestamptz, p_last timestamptz, p_outcome text, p_reason text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from timestamptz := p_first;
  v_to timestamptz;
  v_next timestamptz;
begin
  while v_from < p_first loop
    v_to := jobs_internal.recorded_until((p_schedule).id, v_from);
    if v_to is null then
      v_next := (select min(r.due_at) from jobs_internal.schedule_run as r
        where r.schedule_id = (p_schedule).id and r.rerun = 0 and r.due_at > v_from);
      v_to := case when v_next > p_last or v_next is null then p_last
        else jobs_internal.last_due(p_schedule, v_from, v_next - interval '1 microsecond') end;
      insert into jobs_internal.schedule_run (schedule_id, due_at, until, occurrences, outcome,
        reason)
      values ((p_schedule).id, v_from, nullif(v_to, v_from),
        jobs_internal.count_due(p_schedule, v_from, v_to), p_outcome, p_reason);
    end if;
    v_from := jobs_internal.next_due(p_schedule, v_to);
  end loop;
end
$$;
