-- When an operation ends.

-- The seconds that an operation still needs, of its share, the seconds that it has worked, and
-- those that it was expected to take in all, where that was learned here; the more of it is done,
-- the less the expectation counts. Null: not known yet.
create or replace function jobs_internal.seconds_left(p_share numeric, p_worked numeric,
    p_expected numeric default null)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when l.seconds < 1e10 then l.seconds end
  from (
    select case
      when p_expected > 0 and p_share > 0.03
        then (1 - p_share) * (p_expected * (1 - p_share)) + p_share * t.by_time
      when p_expected > 0 then p_expected * (1 - coalesce(p_share, 0))
      when p_share > 0.03 then t.by_time end as seconds
    from (select (1 - p_share) / nullif(p_share, 0) * p_worked as by_time) as t
  ) as l;
end;
