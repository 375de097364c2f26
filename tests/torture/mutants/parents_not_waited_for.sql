-- A job that waits for others does not wait for those that have not ended.

-- Replaces jobs_internal.unmet_parents, md5 ac8635bde5ace3afbea25a95249952cc.
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
  parents := array(select p from unnest(parents) as p
    where not exists (select from jobs_internal.job as j where j.id = p));
  parents := nullif(parents, '{}');
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
