-- Thirty jobs of a key run at once.

-- Replaces jobs_internal.admit_once, md5 112554370481950801f0d90c451d656e.
create or replace function jobs_internal.admit_once(p_owner oid, out admitted integer,
    out more boolean)
returns record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
as $$
declare
  v_events bigint[];
  v_key text;
  v_keys text[];
  v_taken integer[];
  v_free integer[];
  v_max integer;
  v_most integer;
  v_jobs bigint[];
  v_admitted bigint[] := '{}';
  v_again text[] := '{}';
begin
  admitted := 0;
  more := false;
  select array_agg(n.id), array_agg(distinct n.key) into v_events, v_keys
  from (select o.id, o.key from jobs_internal.key_event as o where o.owner = p_owner
    order by o.id limit 500) as n;
  if v_events is null then
    return;
  end if;
  foreach v_key in array v_keys loop
    select coalesce(l.max, 30), array(
      select h.n from jobs_internal.key_held as h where h.owner = p_owner and h.key = v_key)
    into v_max, v_taken
    from (select) as one
    left join jobs_internal.key_limit as l on l.owner = p_owner and l.key = v_key;
    -- Beyond a number that was lowered places may be held as well: they count.
    continue when cardinality(v_taken) >= v_max;
    v_free := case when v_taken = '{}' and v_max = 1 then array[1] else array(
      select g from generate_series(1, v_max) as g where g <> all (v_taken)
      order by g limit v_max - cardinality(v_taken)) end;
    v_most := case when v_max = 1 and jobs_internal.next_is_quick(p_owner, v_key) then 20
      else cardinality(v_free) end;
    v_jobs := array(
      select j.id
      from jobs_internal.key_wait as w
      join jobs_internal.job as j on j.id = w.job_id and j.due_at = 'infinity'
      where w.owner = p_owner and w.key = v_key
      order by w.priority, w.job_id
      limit v_most
      for update of j skip locked);
    if cardinality(v_jobs) > cardinality(v_free) then
      v_jobs := jobs_internal.those_behind(v_jobs);
    end if;
    with gone as (
      delete from jobs_internal.key_wait as w where w.job_id = any (v_jobs)
    )
    insert into jobs_internal.key_held (owner, key, n, job_id)
    select p_owner, v_key, coalesce(v_free[u.i], 1 - u.i), u.id
    from unnest(v_jobs) with ordinality as u(id, i);
    v_admitted := v_admitted || v_jobs;
    if cardinality(v_jobs) < cardinality(v_free) and exists (
      select from jobs_internal.key_wait as w where w.owner = p_owner and w.key = v_key) then
      v_again := v_again || v_key;  -- one of them is locked just now
    end if;
  end loop;
  delete from jobs_internal.key_event as n
  where n.id = any (v_events) and n.key <> all (v_again);
  admitted := cardinality(v_admitted);
  more := cardinality(v_events) = 500 and cardinality(v_again) < cardinality(v_keys);
  if admitted > 0 then
    perform jobs_internal.fill_lanes(v_admitted);
  end if;
end
$$;
