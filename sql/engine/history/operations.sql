-- What is kept of long operations goes when the history of their jobs has gone.

-- Remove the operations whose bucket is gone, some at a time; what another transaction has locked
-- stays for the next round. Returns how many. Writes: operation, phase, step, measurement.
create or replace function jobs_internal.drop_operations()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  v_ids := array(
    select o.job_id from jobs_internal.operation as o
    where o.bucket is not null and o.bucket not in (
      select b.id from jobs_internal.history_bucket as b)
    order by o.job_id
    limit 200
    for update skip locked);
  delete from jobs_internal.phase as d where d.job_id = any (v_ids);
  delete from jobs_internal.step as d where d.job_id = any (v_ids);
  delete from jobs_internal.measurement as d where d.job_id = any (v_ids);
  delete from jobs_internal.operation as d where d.job_id = any (v_ids);
  return cardinality(v_ids);
end
$$;
