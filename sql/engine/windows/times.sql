-- When a window is open. The protocol, with its states and commits: docs/windows.md.

-- The opening of a window by its schedule at a moment, and the next one. Nulls: it is closed then;
-- it does not open any more. Reads no table.
create or replace function jobs_internal.window_opening(p_window jobs_internal.run_window,
    p_now timestamptz, out opened_at timestamptz, out closes_at timestamptz,
    out next_opens_at timestamptz)
returns record
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- from the first occurrence on that is open still
  next_opens_at := jobs_internal.next_time((p_window).timetable, (p_window).timezone,
      p_now - (p_window).duration);
  while next_opens_at <= p_now loop
    opened_at := next_opens_at;
    closes_at := opened_at + (p_window).duration;
    next_opens_at := jobs_internal.next_time((p_window).timetable, (p_window).timezone, opened_at);
  end loop;
end
$$;

-- The shortest time from one occurrence of a timetable to the next, of four hundred of them and
-- where no clock is set: so that what is refused does not depend on the day. Null: there is one.
create or replace function jobs_internal.shortest_period(p_timetable jobs_internal.timetable)
returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := '2027-01-01 00:00+00';
  v_next timestamptz;
  v_shortest interval;
begin
  if (p_timetable).every is not null then
    return (p_timetable).every;
  end if;
  for v_i in 0 .. 400 loop
    v_next := jobs_internal.next_time(p_timetable, 'UTC', v_at);
    exit when v_next is null or v_shortest <= interval '1 minute';
    if v_i > 0 then
      v_shortest := least(v_shortest, make_interval(secs =>
          extract(epoch from v_next - v_at)::double precision));
    end if;
    v_at := v_next;
  end loop;
  return v_shortest;
end
$$;

-- Whether a window is open now, by its row: it closes in time whether a round has closed it or not.
-- Stable, though it asks the clock: see is_late.
create or replace function jobs_internal.window_is_open(p_name text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.window_state as s
    where s.name = p_name and s.opened_at <= clock_timestamp() and s.closes_at > clock_timestamp());
end;

-- Whether a window of a job closes before a chunk that begins now may have come to it: such a job
-- starts alone, and its start is looked at by itself.
create or replace function jobs_internal.window_closes_soon(p_option text, p_of_queue text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.window_state as s
    where s.name in (p_option, p_of_queue)
      and s.closes_at < clock_timestamp() + interval '1 second'
        + jobs_internal.setting('chunk_ms')::integer * interval '1 ms');
end;

-- When a round has something to do for a window the next time: it opens, it closes, or jobs wait
-- that an opening has not looked at. Null: never.
create or replace function jobs_internal.next_window_change()
returns timestamptz
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select min(least(s.next_opens_at, s.closes_at, case
      when s.opened_at <= clock_timestamp() and s.closes_at > clock_timestamp() and (
        exists (select from jobs_internal.window_wait as w
          where w.name = s.name and w.closes_at < s.closes_at)
        or exists (select from jobs_internal.window_wait as w
          where w.name = s.name and w.closes_at > s.closes_at))
      then clock_timestamp() end))
  from jobs_internal.window_state as s;
end;
