-- Jobs that wait for other jobs: how they are enqueued. The protocol: docs/order.md.

-- What is wrong with the option after; null: nothing.
create or replace function jobs_internal.wrong_parents(p_after jsonb)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when jsonb_array_length(p_after) > 20000
      then format('the option "after" names %s; 20000 are allowed',
        jobs_internal.counted(jsonb_array_length(p_after), 'job'))
    when exists (
      select from jsonb_array_elements(p_after) as e
      where jsonb_typeof(e) <> 'number' or e #>> '{}' !~ '^[0-9]{1,18}$')
      then 'the option "after" must be an array of numbers of jobs' end;
end;

-- What a dependency makes of the state of its parent. p_wants as in the table dependency; p_state:
-- that of a finished job, 'alive', or 'gone': its history is.
-- Returns: met, unmet (it cannot be any more), or waits.
create or replace function jobs_internal.verdict_of(p_wants smallint, p_state text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_state in ('alive', 'in_doubt') then 'waits'
    when p_wants = 2 or p_wants = 0 and p_state = 'succeeded'
      or p_wants = 1 and p_state in ('failed', 'cancelled') then 'met'
    else 'unmet' end;
end;

-- The parents that a job with these options, which were checked, has to wait for.
-- Returns: wants, as in dependency; parents, null: none has to be waited for; looks: those of them
--   that another transaction may end, or has ended, before this one commits.
-- Locks: nothing. Errors: PW104.
create or replace function jobs_internal.unmet_parents(p_options jsonb, out wants smallint,
    out parents bigint[], out looks bigint[])
returns record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_material = off
set enable_mergejoin = off
as $$
declare
  v_me oid := jobs_internal.caller();
  v_xid xid := pg_current_xact_id_if_assigned()::xid;
  v_issued bigint := coalesce(pg_sequence_last_value('jobs_internal.job_id_seq'), 0);
  v_unknown bigint[];
begin
  wants := case p_options ->> 'after_state' when 'failed' then 1 when 'finished' then 2 else 0 end;
  -- One statement: a job is in one of the two tables, and moves between them.
  select array_agg(g.id) filter (where g.state is null),
    array_agg(g.id) filter (where jobs_internal.verdict_of(unmet_parents.wants, g.state) <> 'met'),
    array_agg(g.id) filter (where jobs_internal.verdict_of(unmet_parents.wants, g.state) <> 'met'
      and not coalesce(g.written_by = v_xid, false))
  into v_unknown, parents, looks
  from (
    select a.id, coalesce(case when j.id is not null then 'alive' end, f.state) as state,
      j.xmin as written_by
    from (select distinct e::bigint as id
      from jsonb_array_elements_text(p_options -> 'after') as e) as a
    left join jobs_internal.job as j on j.id = a.id and v_me in (j.owner, j.enqueued_by)
    left join lateral (
      select h.state from jobs_internal.finished as h
      where h.id = a.id and j.id is null and v_me in (h.owner, h.enqueued_by)
      limit 1
    ) as f on true
    order by a.id
  ) as g;
  if v_unknown is not null
    and (wants < 2 or v_issued < (select max(u) from unnest(v_unknown) as u)) then
    raise exception using errcode = 'PW104',
      message = format('there is no job %s that it could wait for', (
        select u from unnest(v_unknown) as u
        where unmet_parents.wants < 2 or u > v_issued order by u limit 1)),
      detail = 'A job waits for jobs of its own owner, and for those that its owner enqueued by a '
        'publication, as long as their history is kept.',
      hint = 'See jobs.job for your jobs. A retry cannot help.';
  end if;
  if v_unknown is not null then
    raise notice using message = format('not known any more, or not yours, and so taken for '
        'finished: %s, the first is %s', jobs_internal.counted(cardinality(v_unknown), 'job'),
        v_unknown[1]);
  end if;
end
$$;

-- Have new jobs wait for their parents: as unmet_parents returned them. Writes: dependency,
-- parent_event. Errors: PW029.
create or replace function jobs_internal.add_dependencies(p_children bigint[], p_owner oid,
    p_wants smallint, p_parents bigint[], p_looks bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_children)::bigint * cardinality(p_parents) > 200000 then
    raise exception using errcode = 'PW029',
      message = 'too many dependencies in one call',
      detail = format('New are %s, to wait for %s; 200000 dependencies are allowed.',
          jobs_internal.counted(cardinality(p_children), 'job'),
          jobs_internal.counted(cardinality(p_parents), 'job')),
      hint = 'Let one job wait for all of these, and the new ones for that. A retry cannot help.';
  end if;
  insert into jobs_internal.dependency (parent, child, owner, wants)
  select p.id, c.id, p_owner, p_wants
  from unnest(p_parents) as p(id)
  cross join unnest(p_children) as c(id);
  insert into jobs_internal.parent_event (parent, owner)
  select p.id, p_owner from unnest(p_looks) as p(id);
end
$$;
