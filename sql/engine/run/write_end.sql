-- Writing how a job that ran alone has ended, whatever comes in between.

-- Write how an attempt ended, in the transaction of its work. Commits.
-- p_child: it ran in a child session: what it did is done. p_result: without an outcome afterwards
--   when it could not be written, what the job did was undone, and it runs again, uncharged.
-- p_leave: true afterwards when a signal came.
create or replace procedure jobs_internal.write_end(
  p_session bigint,
  p_lane integer,
  p_child boolean,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result,
  inout p_leave boolean
)
language plpgsql
as $$
declare
  v_state text;
  v_message text;
begin
  begin
    perform jobs_internal.finish_alone(p_session, p_lane, p_result);
  exception
    -- It came too late for this job, and is not meant for another: write down how it ended, and
    -- leave.
    when query_canceled then
      perform jobs_internal.finish_alone(p_session, p_lane, p_result);
      p_leave := true;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
  end;
  if v_state is null then
    commit;
    return;
  end if;
  -- A full disk, say: that is no fault of the job's. What a function did is undone, and it runs
  -- again, uncharged; how a statement ended is kept until it can be written down.
  rollback;
  perform jobs_internal.reset_session(p_baseline);
  if v_state !~ '^(PW|53|55|57|58|40)' then
    p_result := jobs_internal.unwritable_result(p_result, v_state, v_message);
    call jobs_internal.write_end_later(p_session, p_lane, p_child, true, p_result);
  else
    call jobs_internal.write_end_later(p_session, p_lane, p_child, false, p_result);
  end if;
end
$$;

-- Once a second, until it succeeds: write how an attempt ended, or put the job back. Commits.
-- Raises what is no trouble of the surroundings, and all while the server shuts down.
-- p_unwritable: p_result says already that the job's own end cannot be kept.
-- p_result: without an outcome afterwards when the job was put back.
create or replace procedure jobs_internal.write_end_later(
  p_session bigint,
  p_lane integer,
  p_child boolean,
  p_unwritable boolean,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_unwritable boolean := p_unwritable;
  v_written boolean := false;
begin
  while not v_written loop
    begin
      if p_child or v_unwritable then
        perform jobs_internal.finish_alone(p_session, p_lane, p_result);
      else
        perform jobs_internal.requeue_uncharged(p_session, p_result.job_id, p_result.attempt);
      end if;
      v_written := true;
    exception
      when others then
        if sqlstate like 'PW%' or jobs_internal.shutting_down() then
          raise;
        end if;
        -- What the end itself says cannot be kept, now or later: the job has failed of that.
        if not v_unwritable and sqlstate !~ '^(53|55|57|58|40)' then
          v_unwritable := true;
          p_result := jobs_internal.unwritable_result(p_result, sqlstate, sqlerrm);
        end if;
    end;
    commit;
    if not v_written then
      perform pg_catalog.pg_sleep(1);
    end if;
  end loop;
  if not (p_child or v_unwritable) then
    p_result := null;
  end if;
end
$$;
