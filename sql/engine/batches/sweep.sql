-- Batches go with the history of their jobs.

-- Remove batches that have ended a day ago, and of which no job and no callback is left in history:
-- twenty are looked at, each time others; and see to jobs in doubt whose history has gone.
-- Locks: batch (skip locked).
-- Writes: batch, batch_callback, batch_call, batch_count, batch_jobs, batch_delta.
create or replace function jobs_internal.sweep_batches()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v jobs_internal.batch;
begin
  for v in
    select b.* from jobs_internal.batch as b
    where b.called and b.finished_at < clock_timestamp() - interval '1 day'
    order by random() limit 20
  loop
    continue when exists (
      select from jobs_internal.batch_call as c
      where c.batch_id = v.id
        and (exists (select from jobs_internal.job as j where j.id = c.job_id)
          or exists (select from jobs_internal.finished as f where f.id = c.job_id)));
    continue when exists (
      select from jobs_internal.batch_jobs as r
      where r.batch_id = v.id
        and (exists (select from jobs_internal.job as j
            where j.id between r.first_job and r.last_job and j.options ->> 'batch' = v.id::text)
          or exists (select from jobs_internal.finished as f
            where f.id between r.first_job and r.last_job and f.options ->> 'batch' = v.id::text)));
    perform from jobs_internal.batch as b
    where b.id = v.id and b.called and b.finished_at = v.finished_at for update skip locked;
    continue when not found;
    delete from jobs_internal.batch_jobs as r where r.batch_id = v.id;
    delete from jobs_internal.batch_count as c where c.batch_id = v.id;
    delete from jobs_internal.batch_call as c where c.batch_id = v.id;
    delete from jobs_internal.batch as b where b.id = v.id;
  end loop;
  -- A job in doubt of which no history is left counts as cancelled: it is never decided any more.
  perform jobs_internal.count_end(u.id, 'in_doubt', u.known - u.counted),
    jobs_internal.count_end(u.id, 'cancelled', u.counted - u.known)
  from (
    select l.id, l.in_doubt as counted, cardinality(jobs_internal.jobs_of_batch(l.id, l.owner,
        false, '{in_doubt}')) as known
    from (
      select b.id, b.owner, c.in_doubt
      from jobs_internal.batch as b
      join jobs_internal.batch_count as c on c.batch_id = b.id and c.in_doubt > 0
      where not b.called
        and not exists (select from jobs_internal.batch_delta as d
          where d.owner = b.owner and d.batch_id = b.id)
      order by random() limit 20
      for no key update of b skip locked
    ) as l
  ) as u
  where u.known < u.counted;
end
$$;

-- Owners of batches that get other numbers, as in move_owners: of one that is moved, numbers may be
-- swapped, so that all of them move at once. Writes: batch, batch_delta.
create or replace function jobs_internal.move_batches(p_old oid[], p_new oid[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.batch as b set owner = m.new
  from unnest(p_old, p_new) as m(old, new) where b.owner = m.old;
  update jobs_internal.batch_delta as d set owner = m.new
  from unnest(p_old, p_new) as m(old, new) where d.owner = m.old;
end;
