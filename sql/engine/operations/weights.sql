-- How long each phase of an operation is expected to take: a unit of work (a page, mostly) times
-- seconds, by default those of a small machine, else those learned here (learn.sql). Of the
-- defaults only the ratio counts. A part is what PostgreSQL does one after the other: a table of
-- VACUUM or ANALYZE, a table whose indexes REINDEX rebuilds; of most kinds there is one.
--
-- weights: {tuples: rows of the table, learned: whether rates of here were used,
--   parts: [{ids: [OIDs that the server's progress may name], seconds, phases: [{phase, seconds,
--   units, method, index, name}]}]}

-- The class of a key whose columns have these lengths, as pg_attribute.attlen has them.
create or replace function jobs_internal.key_width(p_lengths integer[])
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when coalesce(min(l), -1) < 0 then 'varying' when sum(l) <= 8 then 'narrow'
    else 'wide' end
  from unnest(p_lengths) as l;
end;

-- Access method of an index and the width of its key, which decide how long its phases take.
create or replace function jobs_internal.index_method(p_index oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select a.amname || ' ' || jobs_internal.key_width(array(
      select t.attlen::integer from pg_attribute as t
      where t.attrelid = p_index and t.attnum > 0 and t.attnum <= i.indnkeyatts))
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_am as a on a.oid = c.relam
  where i.indexrelid = p_index;
end;

-- The method of the index that a CREATE INDEX makes, by its text, where it cannot be seen yet: a
-- weight, and no more, hangs on it.
create or replace function jobs_internal.method_in_text(p_job bigint, p_table oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select a.amname from pg_am as a
      where a.amname = substring(lower(s.body) from '\susing\s+([a-z_]+)')), 'btree') || ' '
    || jobs_internal.key_width(array(
      select a.attlen::integer
      from jsonb_array_elements_text(case when jsonb_typeof(s.target -> 'columns') = 'array'
          then s.target -> 'columns' else '[]' end) as n
      join pg_attribute as a on a.attrelid = p_table and a.attname = n and a.attnum > 0))
  from jobs_internal.statement as s
  where s.job_id = p_job;
end;

-- The default seconds for a unit of each phase.
create or replace function jobs_internal.phase_defaults()
returns table (phase text, method text, seconds_per_unit double precision)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select d.phase, d.method, d.share * 1.1e-4 from (values
    ('building index: scanning table', 'btree', 0.33),
    ('building index: sorting live tuples', 'btree', 0.07),
    ('building index: loading tuples in tree', 'btree', 0.34),
    ('building index', '', 0.9),
    ('index validation: scanning index', '', 0.1),
    ('index validation: sorting tuples', '', 0.06),
    ('index validation: scanning table', '', 0.1),
    ('scanning heap', '', 0.33), ('vacuuming indexes', '', 0.46), ('vacuuming heap', '', 0.12),
    ('acquiring sample rows', '', 0.6), ('computing statistics', '', 0.35),
    ('computing extended statistics', '', 0.05),
    ('acquiring inherited sample rows', '', 0.6),
    ('seq scanning heap', '', 0.25), ('index scanning heap', '', 0.55),
    ('sorting tuples', '', 0.08), ('writing new heap', '', 0.2), ('rebuilding index', '', 1.0),
    ('copying', '', 1.0)
  ) as d(phase, method, share);
end;

-- The seconds for a unit of a phase: learned here, of this kind if there are such, else of another
-- that has the same phase; else the default, learned false.
create or replace function jobs_internal.phase_seconds(p_kind text, p_method text, p_phase text,
  out seconds double precision, out learned boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select f.s, f.learned
  from (
    select r.s, true as learned, 1 as place
    from (
      select r.seconds_per_unit as s from jobs_internal.phase_rate as r
      where r.method = p_method and r.phase = p_phase
      order by (r.kind = p_kind) desc, r.runs desc
      limit 1
    ) as r
    union all
    select d.seconds_per_unit, false, 2 from jobs_internal.phase_defaults() as d
    where d.phase = p_phase and (d.method = '' or p_method like d.method || ' %')
  ) as f
  order by f.place
  limit 1;
end;

-- The phases in which an index is built, in their order. p_units: pages of its table.
create or replace function jobs_internal.build_phases(p_kind text, p_method text, p_units numeric,
    p_index oid default null, p_name text default null)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(jsonb_build_object('phase', p.phase, 'units', p_units, 'method', p_method,
        'index', p_index::bigint, 'name', p_name) order by p.n)
  from unnest(case when p_method like 'btree %' then array['building index: scanning table',
        'building index: sorting live tuples', 'building index: loading tuples in tree']
      else array['building index'] end) with ordinality as p(phase, n);
end;

-- The phases in which a concurrent build of an index is brought up to date.
create or replace function jobs_internal.validate_phases(p_kind text, p_method text,
    p_units numeric, p_index oid default null, p_name text default null)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(jsonb_build_object('phase', p.phase, 'units', p_units, 'method', p_method,
        'index', p_index::bigint, 'name', p_name) order by p.n)
  from unnest(array['index validation: scanning index', 'index validation: sorting tuples',
      'index validation: scanning table', 'waiting for old snapshots']) with ordinality
    as p(phase, n);
end;

-- Parts with the seconds of each phase. Where some phases of a part were learned and others were
-- not, the defaults are scaled to what was learned.
create or replace function jobs_internal.weighted(p_kind text, p_parts jsonb, p_tuples numeric)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with phases as (
    select p.n as part, p.v -> 'ids' as ids, f.n, f.v as entry, s.learned,
      coalesce(s.seconds, 0) * coalesce((f.v ->> 'units')::double precision, 0) as seconds,
      coalesce((select d.seconds_per_unit from jobs_internal.phase_defaults() as d
          where d.phase = f.v ->> 'phase' limit 1), 0)
        * coalesce((f.v ->> 'units')::double precision, 0) as by_default
    from jsonb_array_elements(p_parts) with ordinality as p(v, n)
    cross join lateral jsonb_array_elements(p.v -> 'phases') with ordinality as f(v, n)
    left join lateral jobs_internal.phase_seconds(p_kind, coalesce(f.v ->> 'method', ''),
      f.v ->> 'phase') as s on not jobs_internal.is_wait(f.v ->> 'phase')
  ), scaled as (
    select x.part, x.ids, x.n, x.entry, x.learned, x.seconds * case when x.learned then 1
        else coalesce(sum(x.seconds) filter (where x.learned) over (partition by x.part)
          / nullif(sum(x.by_default) filter (where x.learned) over (partition by x.part), 0), 1)
        end as seconds
    from phases as x
  ), parts as (
    select s.part, s.ids, sum(s.seconds) as seconds, bool_or(s.learned) as learned,
      jsonb_agg(jsonb_strip_nulls(s.entry) || jsonb_build_object('seconds',
          round(s.seconds::numeric, 6)) order by s.n) as phases
    from scaled as s
    group by s.part, s.ids
  )
  select jsonb_build_object('tuples', p_tuples, 'learned', coalesce(bool_or(q.learned), false),
    'parts', coalesce(jsonb_agg(jsonb_build_object('ids', q.ids, 'seconds',
          round(q.seconds::numeric, 6), 'phases', q.phases) order by q.part), '[]'))
  from parts as q;
end;
