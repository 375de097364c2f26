-- A batch enqueues its callbacks twice.

-- Replaces jobs_internal.end_batch, md5 1b456e74433cf5c2b9231b261aba793e.
create or replace function jobs_internal.end_batch(p_batch jobs_internal.batch)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_sum jobs_internal.batch_count;
  v_called integer;
begin
  -- A transaction that is still open may add to it: it has its lock for key share.
  perform from jobs_internal.batch as b where b.id = (p_batch).id for update skip locked;
  if not found
    -- or jobs of its owner that were cancelled for others may come back: what became of one of
    -- those is not followed yet
    or exists (select from jobs_internal.parent_event as e
      join jobs_internal.dependency as d on d.parent = e.parent and d.owner = e.owner and d.broken
      where e.owner = (p_batch).owner)
  then
    update jobs_internal.batch as b
    set retry_at = clock_timestamp() + interval '0.2 seconds' where b.id = (p_batch).id;
    perform jobs_internal.wake(null);
    return 0;
  end if;
  -- A new statement: it sees all that was added.
  if exists (select from jobs_internal.batch_delta as d
    where d.owner = (p_batch).owner and d.batch_id = (p_batch).id)
  then
    return null;
  end if;
  select c.* into v_sum from jobs_internal.batch_count as c where c.batch_id = (p_batch).id;
  begin
    v_called := jobs_internal.call_back(p_batch, v_sum.failed + v_sum.cancelled = 0)
      + jobs_internal.call_back(p_batch, v_sum.failed + v_sum.cancelled = 0);
    update jobs_internal.batch as b
    set called = true, ends = b.ends + 1, finished_at = clock_timestamp(), retry_at = null,
      failures = 0, error = null
    where b.id = (p_batch).id;
  exception
    when others then
      -- It is not lost: a round tries again, and jobs.health names it.
      update jobs_internal.batch as b
      set failures = least(b.failures + 1, 1000000), error = jobs_internal.error_object(sqlstate,
          sqlerrm),
        retry_at = clock_timestamp() + least(interval '1 second' * (2 ^ least(b.failures, 12)),
          interval '5 minutes')
      where b.id = (p_batch).id;
      perform jobs_internal.wake(null);
      return 0;
  end;
  return v_called;
end
$$;
