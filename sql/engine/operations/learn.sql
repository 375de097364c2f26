-- What is kept of an operation that ends: the size of what it made, and how long its phases took
-- here.

-- Close the phases of operations whose jobs end, and learn from those that succeeded. A phase that
-- was not seen took less than the time between two looks: of what took less than three seconds in
-- all nothing is learned. Rates that another session changes at this moment stay as they are.
-- Writes: phase, phase_rate. Locks: phase_rate (skip locked).
create or replace function jobs_internal.end_phases(p_jobs bigint[], p_succeeded boolean)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.phase as h set finished_at = clock_timestamp()
  where h.job_id = any (p_jobs) and h.finished_at is null;
  with took as (
    select o.kind, coalesce(w.method, '') as method, w.phase, w.units,
      coalesce((select sum(extract(epoch from h.finished_at - h.started_at))
        from jobs_internal.phase as h
        where h.job_id = o.job_id and h.attempt = o.attempt and h.phase = w.phase
          and coalesce(h.method, '') = coalesce(w.method, '')
          and h.started_at >= (o.place ->> 'began')::timestamptz), 0) as seconds
    from jobs_internal.operation as o
    cross join lateral (
      select f.v ->> 'method' as method, f.v ->> 'phase' as phase,
        sum((f.v ->> 'units')::numeric) as units
      from jsonb_array_elements(o.weights -> 'parts') as p(v)
      cross join lateral jsonb_array_elements(p.v -> 'phases') as f(v)
      group by 1, 2
    ) as w
    where p_succeeded and o.job_id = any (p_jobs) and w.units > 0
      and not jobs_internal.is_wait(w.phase)
      and (o.place ->> 'worked')::numeric + extract(epoch from clock_timestamp() - o.looked_at) >= 3
  ), rate as (
    select t.kind, t.method, t.phase,
      greatest(avg(t.seconds / t.units), 1e-12)::double precision as seconds
    from took as t
    group by t.kind, t.method, t.phase
  ), mine as (
    select r.kind, r.method, r.phase
    from jobs_internal.phase_rate as r
    where (r.kind, r.method, r.phase) in (select t.kind, t.method, t.phase from rate as t)
    for no key update skip locked
  ), changed as (
    update jobs_internal.phase_rate as r
    set seconds_per_unit = 0.7 * r.seconds_per_unit + 0.3 * t.seconds, runs = r.runs + 1, at = now()
    from rate as t
    join mine as m on (m.kind, m.method, m.phase) = (t.kind, t.method, t.phase)
    where (r.kind, r.method, r.phase) = (t.kind, t.method, t.phase)
  )
  insert into jobs_internal.phase_rate (kind, method, phase, seconds_per_unit)
  select t.kind, t.method, t.phase, t.seconds from rate as t
  where not exists (select from jobs_internal.phase_rate as r
    where (r.kind, r.method, r.phase) = (t.kind, t.method, t.phase))
  on conflict do nothing;
end;

-- The bytes of what an operation made, as its end sees it: of the new index, of those rebuilt, else
-- of the tables that it worked on. By the pages that the catalog counts, which a build, a rewrite
-- and VACUUM bring up to date: to open the relations could wait for a lock. Null: it has no object.
create or replace function jobs_internal.bytes_made(p_operation jobs_internal.operation)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with noted as (
    select s.identity from jobs_internal.statement as s where s.job_id = p_operation.job_id
  ), roots as (
    select i.indexrelid as id from pg_index as i
    where case
      when p_operation.kind like 'create index%' then i.indrelid = p_operation.object
        and case when p_operation.kind = 'create index'
          -- of this transaction, which allows no other on the table
          then age(i.xmin) <= age(pg_current_xact_id()::xid)
          else i.indexrelid = (select max(m) from noted as n
            cross join lateral jobs_internal.made_indexes(n.identity) as m) end
      when p_operation.kind like 'reindex%' then i.indexrelid = p_operation.object
        or i.indrelid = any (p_operation.relations)
          and not exists (select from pg_index as o where o.indexrelid = p_operation.object)
      else false end
    union
    select r.id from unnest(p_operation.relations) as r(id)
    where p_operation.kind !~ '(index|reindex)'
    union
    select c.reltoastrelid from pg_class as c
    where c.oid = any (p_operation.relations) and c.reltoastrelid <> 0
      and p_operation.kind !~ '(index|reindex)'
  )
  -- REFRESH leaves no pages counted: the file, if it may be read
  select sum(case
      when c.relpages > 0 then c.relpages * current_setting('block_size')::bigint
      when jobs_internal.reads_files()
        then jobs_internal.size_of_file(pg_relation_filepath(c.oid)) end)::bigint
  from (select distinct m as id from roots as r
    cross join lateral jobs_internal.members(r.id, false) as m) as d
  join pg_class as c on c.oid = d.id;
end;

-- The same, for the end of a job, which no identity that a session made up may keep from being
-- written.
create or replace function jobs_internal.made_bytes(p_operation jobs_internal.operation)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return jobs_internal.bytes_made(p_operation);
exception
  when query_canceled then
    raise;
  when others then
    return null;
end
$$;
