-- jobs.measurements: what long operations gained.

-- The figures of queries, as pg_stat_statements has them of the login that asks: {query id: {calls,
-- ms, since}}; null: it has none.
create or replace function jobs_internal.traffic_now()
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_object_agg(t.query_id, jsonb_build_object('calls', t.calls, 'ms', t.ms, 'since',
      t.since))
  from jobs_internal.own_traffic(5000) as t;
end;

create or replace view jobs.measurements with (security_barrier) as
select
  m.job_id as id,
  m.label,
  m.unit,
  round(m.value_before, 3) as before,
  round(m.value_after, 3) as after,
  round(m.value_after / nullif(m.value_before, 0), 3) as ratio,
  (m.figures_before ->> 'buffers')::bigint as buffers_before,
  (m.figures_after ->> 'buffers')::bigint as buffers_after,
  m.figures_before ->> 'plan_hash' <> m.figures_after ->> 'plan_hash' as plan_changed,
  case when m.kind in ('query', 'plan') and m.made is not null
    then m.figures_after -> 'indexes' ? m.made end as uses_index,
  coalesce(m.figures_after ->> 'error', m.figures_before ->> 'error') as error,
  m.figures_before -> 'plan' as plan_before,
  m.figures_after -> 'plan' as plan_after
from (
  select k.job_id, k.n, k.label, k.kind, k.before as figures_before, k.after as figures_after,
    case k.kind when 'query' then 'ms' when 'plan' then 'cost' else 'ms a call' end as unit,
    case k.kind when 'query' then (k.before ->> 'ms')::numeric
      when 'plan' then (k.before ->> 'cost')::numeric
      else (k.before ->> 'ms')::numeric / nullif((k.before ->> 'calls')::numeric, 0) end
      as value_before,
    -- of traffic what was counted since the end, where it is still the same entry
    case
      when k.kind = 'query' then (k.after ->> 'ms')::numeric
      when k.kind = 'plan' then (k.after ->> 'cost')::numeric
      when coalesce(t.figures ->> 'since', '') = coalesce(k.after ->> 'since', '')
        then ((t.figures ->> 'ms')::numeric - (k.after ->> 'ms')::numeric)
          / nullif((t.figures ->> 'calls')::numeric - (k.after ->> 'calls')::numeric, 0) end
      as value_after,
    (select c.relname from pg_class as c
      where o.kind in ('create index', 'create index concurrently')
        and c.oid = (o.before #>> '{way_back,index}')::oid) as made
  from jobs_internal.measurement as k
  join jobs_internal.operation as o on o.job_id = k.job_id
  -- asked once, and only where a row is shown that needs them
  cross join lateral (
    select case when k.kind = 'traffic' and o.owner = (select jobs_internal.viewer())
      then (select jobs_internal.traffic_now()) -> k.statement end as figures
  ) as t
  -- whose they may read is asked once, of those who may read those of others at all
  where o.owner = (select jobs_internal.viewer())
    or case when (select jobs_internal.caller_is('jobs_owner')
        or jobs_internal.caller_is('jobs_operator'))
      then o.owner = any (array(select r.oid from pg_roles as r
          where jobs_internal.reads(r.oid))) else false end
) as m
order by m.job_id desc, m.n;
comment on view jobs.measurements is 'What was measured before and after long operations: queries '
  'that their option measure names, else the owner''s costliest ones that use the table; '
  'the latest operation first';
comment on column jobs.measurements.id is 'Job of the operation';
comment on column jobs.measurements.label is 'The query';
comment on column jobs.measurements.unit
  is 'ms: median time of three warm runs; cost: the planner''s, of a query that was planned only; '
  'ms a call: live traffic, as pg_stat_statements counts it for its owner';
comment on column jobs.measurements.before is 'Before the first attempt';
comment on column jobs.measurements.after is 'After its end; of traffic: since its end';
comment on column jobs.measurements.ratio is 'after / before';
comment on column jobs.measurements.buffers_before
  is 'Blocks that a run read before, cached or not';
comment on column jobs.measurements.buffers_after is 'The same, after';
comment on column jobs.measurements.plan_changed is 'The plan has another shape than before';
comment on column jobs.measurements.uses_index
  is 'Whether the plan uses the index that was built; null: none was';
comment on column jobs.measurements.error is 'Why it could not be measured';
comment on column jobs.measurements.plan_before is 'EXPLAIN (FORMAT JSON), before';
comment on column jobs.measurements.plan_after is 'EXPLAIN (FORMAT JSON), after';

create or replace view jobs.measurement_list with (security_barrier) as
select
  m.id,
  jobs_internal.shortened(m.label, 36) as label,
  m.unit,
  m.before,
  m.after,
  m.ratio,
  m.buffers_before || ' > ' || m.buffers_after as buffers,
  m.plan_changed as plan,
  m.uses_index as uses,
  jobs_internal.shortened(m.error, 20) as error
from jobs.measurements as m;
comment on view jobs.measurement_list is 'jobs.measurements in 160 columns';
comment on column jobs.measurement_list.id is 'Job of the operation';
comment on column jobs.measurement_list.label is 'The query, cut at 36 characters';
comment on column jobs.measurement_list.unit is 'As in jobs.measurements';
comment on column jobs.measurement_list.before is 'Before the first attempt';
comment on column jobs.measurement_list.after is 'After its end';
comment on column jobs.measurement_list.ratio is 'after / before';
comment on column jobs.measurement_list.buffers is 'Blocks that a run read, before > after';
comment on column jobs.measurement_list.plan is 'The plan has another shape than before';
comment on column jobs.measurement_list.uses is 'The plan uses the index that was built';
comment on column jobs.measurement_list.error
  is 'Why it could not be measured, cut at 20 characters';
