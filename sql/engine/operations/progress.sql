-- How far an operation is: one share over all phases, by the seconds that each is expected to take.
-- Pure functions of a row of the server's progress, the weights (weights.sql) and the place where
-- it was seen last, so recorded rows can be fed to them.
--
-- place: {part, at: the part and the phase in it, from 0; passed: [parts that it has left]; phase,
--   index: as seen last; since: when that was first seen; worked, waited: seconds so far;
--   before: worked when the phase began; share: the largest share so far}

-- The place of an operation in its weights, of its last place and the row of now. An unknown phase
-- leaves it where it is.
create or replace function jobs_internal.next_place(p_weights jsonb, p_place jsonb, p_row jsonb)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part integer := coalesce((p_place ->> 'part')::integer, 0);
  v_at integer := coalesce((p_place ->> 'at')::integer, -1);
  v_passed jsonb := coalesce(p_place -> 'passed', '[]');
  v_found integer;
  v_same boolean;
begin
  v_found := (select p.n - 1
    from jsonb_array_elements(p_weights -> 'parts') with ordinality as p(v, n)
    where p.v -> 'ids' @> jsonb_build_array((p_row ->> 'relid')::bigint)
    order by p.n limit 1);
  if v_found is not null and v_found <> v_part then
    if v_at >= 0 and not v_passed @> to_jsonb(v_part) then
      v_passed := v_passed || to_jsonb(v_part);
    end if;
    v_part := v_found;
    v_at := -1;
  end if;
  v_same := v_at >= 0 and (p_place ->> 'phase', p_place ->> 'index')
    is not distinct from (p_row ->> 'phase', p_row ->> 'index');
  if not v_same then
    -- the entry of this index; else the next one of this name; else, where phases come again, the
    -- last one before
    v_at := coalesce((
      select f.n - 1
      from jsonb_array_elements(p_weights #> array['parts', v_part::text, 'phases'])
        with ordinality as f(v, n)
      where f.v ->> 'phase' = p_row ->> 'phase'
      order by coalesce(f.v ->> 'index' = p_row ->> 'index', false) desc, f.n - 1 <= v_at,
        case when f.n - 1 <= v_at then -f.n else f.n end
      limit 1), v_at);
  end if;
  return jsonb_build_object('part', v_part, 'at', v_at, 'passed', v_passed);
end
$$;

-- The share of indexes that are done, of whose sizes (pages) so many are over; of the next one by
-- time: p_time, the share of the time that all of them were expected to take.
create or replace function jobs_internal.counted_share(p_sizes jsonb, p_count integer,
    p_time numeric)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(c.done, least(coalesce(p_time, 0), c.done + 0.95 * (c.next - c.done)))
  from (
    select coalesce(sum(s.v::numeric) filter (where s.n <= p_count) / sum(s.v::numeric), 0) as done,
      coalesce(sum(s.v::numeric) filter (where s.n <= p_count + 1) / sum(s.v::numeric), 0) as next
    from jsonb_array_elements_text(case when jsonb_typeof(p_sizes) = 'array' then p_sizes
      else '[]' end) with ordinality as s(v, n)
  ) as c;
end;

-- The share of its present phase that is done, 0 to 1. p_phase: its entry in the weights;
-- p_seconds: since when it is in it; p_pace: how many seconds it took so far for each that was
-- expected. What nothing counts is reckoned by time, and stays below 0.95.
create or replace function jobs_internal.phase_share(p_phase jsonb, p_row jsonb, p_tuples numeric,
    p_seconds numeric, p_pace numeric)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when jobs_internal.is_wait(p_row ->> 'phase') then 0
    when p_row ->> 'phase' = 'rebuilding index' and jsonb_array_length(p_phase -> 'sizes') > 0
      then jobs_internal.counted_share(p_phase -> 'sizes',
        (p_row ->> 'index_rebuild_count')::integer, t.share)
    when c.total > 0 and p_row ->> 'phase' = 'building index'
      and (p_row ->> 'tuples_total')::numeric > 0
      -- its blocks first, then its rows
      then least(1, c.done / c.total) / 2 + case c.unit when 'tuples' then 0.5 else 0 end
    when c.total > 0 then least(1, greatest(0, c.done / c.total))
    else t.share end
  from jobs_internal.phase_counts(p_row, p_tuples) as c
  cross join lateral (
    select coalesce(least(0.95, p_seconds
        / nullif((p_phase ->> 'seconds')::numeric * coalesce(p_pace, 1), 0)), 0) as share
  ) as t;
end;

-- The share of the phases of VACUUM that come in turn, by the columns of each, which go on over all
-- passes. Null: it is past them. p_time: the share of the time that the present pass over the
-- indexes was expected to take.
create or replace function jobs_internal.vacuum_share(p_phase jsonb, p_row jsonb, p_time numeric)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select least(1, greatest(0, case p_phase ->> 'phase'
      when 'scanning heap' then v.scanned
      when 'vacuuming heap' then coalesce((p_row ->> 'heap_blks_vacuumed')::numeric
        / nullif((p_row ->> 'heap_blks_total')::numeric, 0), 0)
      when 'vacuuming indexes' then (v.passes + case
          when p_row ->> 'phase' <> 'vacuuming indexes' then 0
          when jsonb_array_length(p_phase -> 'sizes') = (p_row ->> 'indexes_total')::integer
            then jobs_internal.counted_share(p_phase -> 'sizes',
              (p_row ->> 'indexes_processed')::integer, p_time)
          else coalesce((p_row ->> 'indexes_processed')::numeric
            / nullif((p_row ->> 'indexes_total')::numeric, 0), 0) end)
        -- so many passes in all, by the dead rows found so far
        / greatest(1,
          v.passes + (p_row ->> 'phase' in ('scanning heap', 'vacuuming indexes'))::integer,
          ceil((v.passes + v.filled) / nullif(v.scanned, 0))) end))
  from (
    select coalesce((p_row ->> 'index_vacuum_count')::numeric, 0) as passes,
      coalesce((p_row ->> 'heap_blks_scanned')::numeric
        / nullif((p_row ->> 'heap_blks_total')::numeric, 0), 0) as scanned,
      -- of the pass that comes, or is under way; in the heap after it they count no more
      case when p_row ->> 'phase' = 'vacuuming heap' then 0
        else coalesce((p_row ->> 'dead_tuple_bytes')::numeric
          / nullif((p_row ->> 'max_dead_tuple_bytes')::numeric, 0), 0) end as filled
  ) as v
  where p_row ->> 'phase' in ('initializing', 'scanning heap', 'vacuuming indexes',
      'vacuuming heap');
end;

-- How far an operation is: {share: 0 to 1, over all phases; in_phase: the entry of the phase, and
-- its place: see above}. Null share: nothing is expected of it. p_seconds: how long it has been in
-- this phase; p_before: how long it had worked when the phase began.
create or replace function jobs_internal.progress_of(p_weights jsonb, p_place jsonb, p_row jsonb,
    p_seconds numeric default 0, p_before numeric default null)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_place jsonb := jobs_internal.next_place(p_weights, p_place, p_row);
  v_at integer := (v_place ->> 'at')::integer;
  v_part jsonb := p_weights #> array['parts', v_place ->> 'part'];
  v_entry jsonb := v_part #> array['phases', v_at::text];
  v_total numeric := (select sum((p.v ->> 'seconds')::numeric)
    from jsonb_array_elements(p_weights -> 'parts') as p(v));
  v_passed numeric := (select coalesce(sum((p.v ->> 'seconds')::numeric), 0)
    from jsonb_array_elements(p_weights -> 'parts') with ordinality as p(v, n)
    where v_place -> 'passed' @> to_jsonb(p.n - 1) and p.n - 1 <> (v_place ->> 'part')::integer);
  v_before numeric;
  v_done numeric;
  v_share numeric;
begin
  -- phases of other names in between count as nothing
  v_before := (select coalesce(sum((f.v ->> 'seconds')::numeric), 0)
    from jsonb_array_elements(v_part -> 'phases') with ordinality as f(v, n) where f.n - 1 < v_at);
  if v_entry ->> 'phase' is distinct from p_row ->> 'phase' then
    v_done := case when v_at < 0 then 0 else coalesce((v_entry ->> 'seconds')::numeric, 0) end;
    v_entry := null;
  else
    v_done := coalesce((v_entry ->> 'seconds')::numeric, 0) * jobs_internal.phase_share(v_entry,
        p_row, (p_weights ->> 'tuples')::numeric, p_seconds,
        p_before / nullif(v_passed + v_before, 0));
  end if;
  if p_row ->> 'view' = 'vacuum' then
    -- the pace so far, of the scan
    v_done := (select sum((f.v ->> 'seconds')::numeric * jobs_internal.vacuum_share(f.v, p_row, 0))
      from jsonb_array_elements(v_part -> 'phases') as f(v)
      where f.v ->> 'phase' = 'scanning heap');
    v_done := least(0.95, p_seconds / nullif((v_entry ->> 'seconds')::numeric
        * coalesce(p_before / nullif(v_passed + v_done, 0), 1), 0));
    v_share := (select sum((f.v ->> 'seconds')::numeric * coalesce(
          jobs_internal.vacuum_share(f.v, p_row, v_done), case
            when f.v ->> 'phase' in ('scanning heap', 'vacuuming indexes', 'vacuuming heap') then 1
            else 0 end))
      from jsonb_array_elements(v_part -> 'phases') as f(v));
    v_before := coalesce(v_share, 0);
    v_done := 0;
  end if;
  v_share := (v_passed + v_before + v_done) / nullif(v_total, 0);
  if (p_row ->> 'partitions_total')::numeric > 0 then
    v_share := (least((p_row ->> 'partitions_done')::numeric,
        (p_row ->> 'partitions_total')::numeric) + coalesce(v_share, 0))
      / (p_row ->> 'partitions_total')::numeric;
  end if;
  return v_place || jsonb_build_object('share', case when v_share is not null
    then round(least(1, greatest(0, v_share)), 6) end,
    'in_phase', v_entry);
end
$$;

-- Whether an operation of which the server shows nothing any more has left its last phase: no part
-- that counts is left but the one where it was seen last.
create or replace function jobs_internal.is_ending(p_weights jsonb, p_place jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((p_place ->> 'at')::integer >= 0 and coalesce(t.rest, 0) <= 0.01 * t.seconds,
    false)
  from (
    select sum((p.v ->> 'seconds')::numeric) as seconds,
      sum((p.v ->> 'seconds')::numeric) filter (where p.n - 1 <> (p_place ->> 'part')::integer
        and not p_place -> 'passed' @> to_jsonb(p.n - 1)) as rest
    from jsonb_array_elements(p_weights -> 'parts') with ordinality as p(v, n)
  ) as t;
end;

-- The percent that is shown of a share: below 100 until the outcome is written, and never below
-- what was shown.
create or replace function jobs_internal.shown_percent(p_share numeric, p_shown numeric)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(p_shown, case when p_share is not null
    then least(99.9, round(100 * p_share, 1)) end);
end;

-- The percent of an operation as it was noted, carried on to a time by the pace so far: between two
-- looks, a second apart, a short operation goes a long way. It goes on from what was really done,
-- for 1.2 seconds at most, and not while it waits. What is noted next is no less (note_progress),
-- so that what is shown never goes back.
create or replace function jobs_internal.carried_percent(p_operation jobs_internal.operation,
    p_at timestamptz)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p.share >= 0.03 and p.worked > 0 and not p.waits
    then greatest(p_operation.percent, least(99.0, round(100 * p.share
      * (1 + least(1.2, greatest(0, extract(epoch from p_at - p_operation.looked_at)))
        / p.worked), 1)))
    else p_operation.percent end
  from (
    select (p_operation.place ->> 'share')::numeric as share,
      (p_operation.place ->> 'worked')::numeric as worked,
      coalesce((p_operation.place -> 'wait')::boolean, false) as waits
  ) as p;
end;
