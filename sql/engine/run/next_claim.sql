-- A worker session's next claim. The search_path is ours already, closed by `work`; a SET clause
-- would be felt by each job that runs alone.

-- Claim messages. What was learned since the last claim that has written it (p_stats) is written
-- once a second, and at once at the beginning: sessions write the same rows. The caller commits; of
-- one message the claim and the start of its job may be one commit (claim_open).
create or replace function jobs_internal.claim_work(p_state jobs_internal.worker_state,
    p_stats jobs_internal.run_stats[])
returns jobs_internal.worker_state
language plpgsql volatile
as $$
declare
  v_claim jobs_internal.claim;
begin
  perform set_config('application_name', 'pw idle', false);
  -- what it is compared with is of use only once a claim has found nothing
  if p_state.looked_at is not null then
    p_state.high_water_mark := jobs_internal.high_water_mark();
  end if;
  if p_state.high_water_mark is distinct from p_state.seen_mark then
    -- An enqueuer has a message in hand, and may commit it after the claim below has looked:
    -- another look comes soon.
    p_state.eager_until := clock_timestamp() + interval '20 milliseconds';
    p_state.seen_mark := p_state.high_water_mark;
  end if;
  p_state.stats_written := p_state.jobs < 50 or clock_timestamp()
    not between p_state.stats_written_at and p_state.stats_written_at + interval '1 second';
  v_claim := jobs_internal.claim(p_state.session_id, p_state.jobs,
      case when p_state.stats_written then p_stats end, p_state.give_back, p_state.claim_limit);
  if p_state.stats_written then
    p_state.stats_written_at := clock_timestamp();
  end if;
  p_state.lane_id := v_claim.lane_id;
  p_state.msg_ids := v_claim.msg_ids;
  p_state.lease := v_claim.lease;
  p_state.waiting := v_claim.waiting;
  p_state.start_at := v_claim.start_at;
  p_state.full_up := v_claim.full_up;
  p_state.surplus := v_claim.surplus;
  p_state.give_back := false;
  -- A suspect's start waits for a lock, which must not be with a claim. Of one that is likely to be
  -- in a chunk again, as those before it, the claim would only be committed later.
  p_state.claim_open := cardinality(v_claim.msg_ids) is not distinct from 1
    and not v_claim.suspects
    and not (v_claim.full_up and p_state.claim_limit > 1 and coalesce(p_state.in_a_row, false));
  return p_state;
end
$$;

-- Begin with a claim that is committed, or is to be with the start of its only job.
create or replace function jobs_internal.begin_claim(p_state jobs_internal.worker_state)
returns jobs_internal.worker_state
language plpgsql volatile
as $$
begin
  p_state.idle_since := null;
  p_state.slots_settled := false;
  p_state.small_claims := case
    when not p_state.full_up and cardinality(p_state.msg_ids) < 20 then p_state.small_claims + 1
    else 0 end;
  if p_state.defers_asked_at is null or clock_timestamp()
    not between p_state.defers_asked_at and p_state.defers_asked_at + interval '1 second' then
    p_state.defers := jobs_internal.has_deferrable_constraints();
    p_state.defers_asked_at := clock_timestamp();
  end if;
  p_state.measured := case when p_state.measure_cost then '{}'::integer[] end;
  p_state.next := 1;
  return p_state;
end
$$;
