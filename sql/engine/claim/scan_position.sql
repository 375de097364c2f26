-- Where a claim begins to read a lane.

-- Look where a lane's messages begin. While an old snapshot keeps dead entries from being removed,
-- they gather before those that live, and each scan from the beginning walks over all of them.
-- So one session looks once a second, and the others begin where it found the first. A message that
-- is committed later with a lower number is found by the next look. Returns the scan start; 0 when
-- it costs nothing to begin at the beginning. p_scan_start: what is known. Locks: lane (skip
-- locked: another session looks). Writes: lane.
create or replace function jobs_internal.find_scan_start(p_lane integer, p_scan_start bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_began timestamptz := clock_timestamp();
  v_scan_start bigint;
begin
  perform from jobs_internal.lane as l where l.id = p_lane for no key update skip locked;
  if not found then
    return p_scan_start;
  end if;
  execute format('select m.msg_id - 1 from pgmq.%I as m order by m.msg_id limit 1', 'q_pyworker_'
      || p_lane) into v_scan_start;
  if clock_timestamp() - v_began < interval '2 milliseconds' then
    v_scan_start := 0;
  elsif v_scan_start is null then
    v_scan_start := pg_sequence_last_value(pg_get_serial_sequence(format('pgmq.%I', 'q_pyworker_'
          || p_lane), 'msg_id')::regclass);
  end if;
  v_scan_start := coalesce(v_scan_start, 0);
  update jobs_internal.lane set scan_start = v_scan_start, scan_start_at = clock_timestamp()
  where id = p_lane;
  return v_scan_start;
exception
  when undefined_table then
    return 0;  -- its queue was dropped meanwhile
end
$$;

-- A number that grows with each message that enters a lane of the calling login which is not
-- idle, committed or not, and with each wakeup request: a session without work asks for it every
-- few milliseconds, and claims when it has changed. Null where there are too many lanes to ask.
create or replace function jobs_internal.high_water_mark()
returns numeric
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when (select count(*) from jobs_internal.lane as o
      where o.owner = jobs_internal.caller()
      and o.idle_state <> 'idle') <= 10 then (
    select sum(coalesce(pg_sequence_last_value(to_regclass('pgmq.q_' || l.pgmq_queue
          || '_msg_id_seq')), 0))
    from jobs_internal.lane as l
    where l.owner = jobs_internal.caller() and l.idle_state <> 'idle') + (select count(*)
    from jobs_internal.wakeup_request) end;
end;
