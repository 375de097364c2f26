-- What worker sessions measure of the functions that they call.

-- The statistics of some attempts: one row for each function and kind of statement.
create or replace function jobs_internal.collect_run_stats(p_lane integer,
    p_results jobs_internal.attempt_result[],
    p_renames boolean)
returns jobs_internal.run_stats[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one jobs_internal.attempt_result;
begin
  if cardinality(p_results) = 1 then
    v_one := p_results[1];
    return array[row(p_lane, v_one.call_template_id, v_one.task, 1,
          case when v_one.outcome not in ('succeeded', 'snoozed')
          then 1 else 0 end,
      coalesce(extract(epoch from v_one.finished_at - v_one.started_at)::double precision * 1000,
          0),
      coalesce(greatest(extract(epoch from v_one.started_at - v_one.queued_at)::double precision
            * 1000, 0), 0),
      coalesce(p_renames and v_one.last, false), case when v_one.wal_bytes is null then 0
        else 1 end, v_one.rows, v_one.wal_bytes, v_one.buffers_hit,
      v_one.buffers_read, v_one.buffers_dirtied, v_one.temp_bytes)::jobs_internal.run_stats];
  end if;
  return array(
    select row(p_lane, e.call_template_id, e.task, count(*),
        count(*) filter (where e.outcome not in ('succeeded', 'snoozed')),
      coalesce(sum(extract(epoch from e.finished_at - e.started_at)::double precision * 1000), 0),
      coalesce(sum(greatest(extract(epoch from e.started_at - e.queued_at)::double precision * 1000,
            0)), 0),
      coalesce(p_renames and bool_or(e.last), false), count(e.wal_bytes), sum(e.rows),
        sum(e.wal_bytes), sum(e.buffers_hit), sum(e.buffers_read),
      sum(e.buffers_dirtied), sum(e.temp_bytes))::jobs_internal.run_stats
    from unnest(p_results) as e
    group by e.call_template_id, e.task);
end
$$;

-- Add what a session measured since its last claim. Several sessions write the same rows of
-- call_stats; each holds them for the moment of a claim only, and in the same order. The figures
-- come from a session of the owner's: only functions that it may execute are measured, something
-- new only of what it has run alone (finish_alone), as all is that nothing is known of, and no
-- figure is so large, or so small, that what is reckoned with it overflows.
create or replace function jobs_internal.record_run_stats(p_session jobs_internal.session,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  if p_run_stats is null then
    return;
  end if;
  p_run_stats := p_run_stats[1:1000];  -- there is one for each function of a claim at most
  insert into jobs_internal.call_stats as d (call_template_id, owner, runs, avg_ms, renames)
  select h.id, p_session.owner, sum(m.runs), sum(m.ms) / sum(m.runs),
    coalesce(bool_or(l.renames), false)
  from unnest(p_run_stats) as l
  cross join lateral (select o.id, o.func from jobs_internal.call_template as o
      where o.id = l.call_template_id offset 0) as h
  cross join lateral (select least(l.runs, 1000000000) as runs,
      least(greatest(l.ms, 0.001), 1e12) as ms) as m
  where m.runs > 0 and has_function_privilege(p_session.owner, h.func, 'EXECUTE')
    and (h.id = any (p_session.new_template_ids)
      or exists (select from jobs_internal.call_stats as o
          where o.call_template_id = h.id and o.owner = p_session.owner))
  group by h.id
  order by h.id
  on conflict (call_template_id, owner) do update set
    runs = d.runs + excluded.runs,
    avg_ms = d.avg_ms * 0.7 + excluded.avg_ms * 0.3,
    renames = d.renames or excluded.renames,
    seen_at = excluded.seen_at;
  -- No session waits for a lane's row: sessions that go from lane to lane would wait for each other
  -- in a circle. The session that holds it keeps a measurement of its own.
  update jobs_internal.lane as l set avg_ms = coalesce(l.avg_ms * 0.7 + m.avg_ms * 0.3, m.avg_ms)
  from (
    select o.lane_id, sum(least(greatest(o.ms, 0.001), 1e12)) / sum(least(o.runs, 1000000000))
      as avg_ms
    from unnest(p_run_stats) as o where o.runs > 0
    group by o.lane_id
  ) as m
  where l.id = m.lane_id and l.id in (
    select o.id from jobs_internal.lane as o
    where o.owner = p_session.owner and o.id in (select e.lane_id from unnest(p_run_stats) as e)
    for no key update skip locked);
  insert into jobs_internal.queue_minute_stats as m (queue_id, minute, session_id, succeeded,
      failed)
  select l.queue_id, date_trunc('minute', clock_timestamp()), p_session.id,
    sum(greatest(least(o.runs, 1000000000) - greatest(least(o.failed, 1000000000), 0), 0)),
    sum(greatest(least(o.failed, 1000000000), 0))
  from unnest(p_run_stats) as o
  join jobs_internal.lane as l on l.id = o.lane_id and l.owner = p_session.owner
  group by l.queue_id
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
  perform jobs_internal.add_daily_cost(p_session, p_run_stats);
end
$$;
