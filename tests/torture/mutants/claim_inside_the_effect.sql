-- The claim is committed with the chunk, not before it: who crashes the server has claimed nothing.

-- Replaces jobs_internal.claim_work, md5 699448d27c5b15b3c4e2a3613fc04487.
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
  -- A suspect's start waits for a lock, which must not be with a claim.
  p_state.claim_open := true;
  return p_state;
end
$$;
