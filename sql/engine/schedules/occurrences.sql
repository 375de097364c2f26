-- The occurrences of a schedule between two moments. Pure: they read no table.

-- The next occurrence of a schedule after a moment, within its time; null: none.
create or replace function jobs_internal.next_due(p_schedule jobs_internal.schedule,
    p_after timestamptz)
returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select n.at
  from (select jobs_internal.next_time((p_schedule).timetable, (p_schedule).timezone,
      greatest(p_after, (p_schedule).starts_at - interval '1 microsecond'),
      (p_schedule).anchor) as at) as n
  where (p_schedule).ends_at is null or n.at < (p_schedule).ends_at;
end;

-- The last occurrence of a schedule from one of its occurrences to a moment. First a stretch is
-- found that holds one, by doubling; then the last one in it, by halving.
create or replace function jobs_internal.last_due(p_schedule jobs_internal.schedule,
    p_first timestamptz, p_until timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_back interval := interval '1 minute';
  v_low timestamptz;   -- an occurrence that is not later than p_until
  v_high timestamptz := p_until;  -- none lies after it, up to p_until
  v_middle timestamptz;
  v_found timestamptz;
begin
  loop
    v_low := case when p_until - v_back <= p_first then p_first
      else jobs_internal.next_due(p_schedule, p_until - v_back) end;
    exit when v_low <= p_until;
    v_high := p_until - v_back;
    v_back := v_back * 2;
  end loop;
  for v_round in 1 .. 200 loop
    v_found := jobs_internal.next_due(p_schedule, v_low);
    if v_found is null or v_found > p_until then
      return v_low;
    end if;
    v_low := v_found;
    v_middle := v_low + (v_high - v_low) / 2;
    v_found := case when v_high > v_low
      then jobs_internal.next_due(p_schedule, v_middle) end;
    if v_found <= p_until then
      v_low := v_found;
    else
      v_high := greatest(v_middle, v_low);
    end if;
  end loop;
  return v_low;
end
$$;

-- How many occurrences a schedule has from one of them to another; null: more than 1000.
create or replace function jobs_internal.count_due(p_schedule jobs_internal.schedule,
    p_first timestamptz, p_last timestamptz)
returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := p_first;
begin
  for v_count in 1 .. 1000 loop
    if v_at >= p_last then
      return v_count;
    end if;
    v_at := jobs_internal.next_due(p_schedule, v_at);
  end loop;
  return null;
end
$$;

-- By how much an occurrence is put off: by chance, and the same whichever supervisor asks. It never
-- comes after the next one.
create or replace function jobs_internal.jitter_of(p_schedule jobs_internal.schedule,
    p_due timestamptz)
returns interval
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when (p_schedule).jitter = '0' then interval '0'
    else least((p_schedule).jitter, (jobs_internal.next_due(p_schedule, p_due) - p_due) / 2)
      * (((hashtextextended((p_schedule).id || ' ' || extract(epoch from p_due), 0) & 1048575)
        ::double precision) / 1048576) end;
end;
