-- What a worker session learns from the attempts that it has run.

-- Sums of attempts that ran in a lane, for each call template. Not in the state of the session,
-- which would be copied for each job that runs alone.
create or replace function jobs_internal.run_stats_of(p_lane integer,
    p_results jobs_internal.attempt_result[])
returns jobs_internal.run_stats[]
language plpgsql volatile
as $$
begin
  if current_setting('pyworker.renames', true) = 'on' then
    perform set_config('pyworker.renames', '', false);
    return jobs_internal.collect_run_stats(p_lane, p_results, true);
  end if;
  return jobs_internal.collect_run_stats(p_lane, p_results, false);
end
$$;

-- Which functions may run without subtransactions: those that succeeded twenty times in this
-- session, and never failed in it.
-- p_stats: of jobs that each had a subtransaction. p_needs_savepoint: a function that was trusted,
--   and failed.
create or replace function jobs_internal.trust_after(p_trust jobs_internal.worker_trust,
    p_stats jobs_internal.run_stats[], p_needs_savepoint integer)
returns jobs_internal.worker_trust
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one jobs_internal.run_stats;
  v_at integer;
  v_was_trusted boolean;
  v_successes bigint;
begin
  foreach v_one in array p_stats loop
    continue when v_one.call_template_id is null;
    v_at := array_position(p_trust.call_template_ids, v_one.call_template_id);
    if v_at is null then
      p_trust.call_template_ids := p_trust.call_template_ids || v_one.call_template_id;
      p_trust.successes := p_trust.successes || 0::bigint;
      v_at := cardinality(p_trust.call_template_ids);
    end if;
    v_successes := p_trust.successes[v_at];
    v_was_trusted := v_successes >= 20;
    v_successes := case
      when v_one.failed > 0 or v_one.call_template_id = p_needs_savepoint or v_successes < 0 then -1
      else v_successes + v_one.runs end;
    p_trust.successes[v_at] := v_successes;
    -- A session may see thousands of functions once each: the list is not made anew for those.
    if v_was_trusted and v_successes < 0 then
      p_trust.trusted := array_remove(p_trust.trusted, v_one.call_template_id);
    elsif not v_was_trusted and v_successes >= 20 then
      p_trust.trusted := p_trust.trusted || v_one.call_template_id;
    end if;
  end loop;
  return p_trust;
end
$$;
