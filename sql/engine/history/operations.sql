-- What is kept of long operations goes when the history of their jobs has gone.

-- Remove the operations whose bucket is gone, some at a time; what another transaction has locked
-- stays for the next round, and keeps nothing else from going. Returns how many. Writes: operation,
-- phase, step, measurement. Locks: operation, phase, step, measurement (nowait).
create or replace function jobs_internal.drop_operations()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_count integer := 0;
  v_id bigint;
begin
  for v_id in
    select o.job_id from jobs_internal.operation as o
    where o.bucket is not null and o.bucket not in (
      select b.id from jobs_internal.history_bucket as b)
    -- not always the same ones first, should some be locked for long
    order by random()
    limit 200
  loop
    begin
      perform from jobs_internal.operation as o where o.job_id = v_id for update nowait;
      perform from jobs_internal.phase as d where d.job_id = v_id for update nowait;
      perform from jobs_internal.step as d where d.job_id = v_id for update nowait;
      perform from jobs_internal.measurement as d where d.job_id = v_id for update nowait;
      delete from jobs_internal.phase as d where d.job_id = v_id;
      delete from jobs_internal.step as d where d.job_id = v_id;
      delete from jobs_internal.measurement as d where d.job_id = v_id;
      delete from jobs_internal.operation as d where d.job_id = v_id;
      v_count := v_count + 1;
    exception
      when lock_not_available then
        null;
    end;
  end loop;
  return v_count;
end
$$;
