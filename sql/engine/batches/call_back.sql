-- Enqueuing the callbacks of a batch that has ended.

-- Enqueue the callbacks of an end: data only. The caller has locked the batch against all others.
-- p_succeeded: all its jobs have. Returns how many. Writes: job, batch_call, rate_use.
-- Errors: PW007, PW008, PW019, PW070 to PW072.
create or replace function jobs_internal.call_back(p_batch jobs_internal.batch,
    p_succeeded boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kinds text[] := array(
    select c.kind from jobs_internal.batch_callback as c
    where c.batch_id = (p_batch).id
      and c.kind in ('finish', case when p_succeeded then 'success' else 'failure' end)
    order by c.kind <> 'finish');
  v_queue jobs_internal.queue;
  v_run_at timestamptz := clock_timestamp();
  v_kind text;
  v_job bigint;
begin
  if v_kinds = '{}' then
    return 0;
  end if;
  if not exists (select from pg_roles as r where r.oid = (p_batch).owner) then
    raise exception using errcode = 'PW019', message = 'its owner is gone';
  end if;
  perform jobs_internal.assert_admitted((p_batch).owner);
  select q.* into v_queue from jobs_internal.queue as q
  where q.name = (p_batch).queue and q.dropped_at is null;
  if not found then
    raise exception using errcode = 'PW007', message = 'the queue of its callbacks was dropped';
  elsif not v_queue.accepting then
    raise exception using errcode = 'PW008', message = 'the queue of its callbacks takes no jobs';
  end if;
  v_run_at := greatest(v_run_at,
    jobs_internal.charge((p_batch).owner, cardinality(v_kinds), (p_batch).bytes));
  foreach v_kind in array v_kinds loop
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
        max_attempts, run_at, due_at, created_at, timeout, args, settings, note, options)
    select nextval('jobs_internal.job_id_seq'), v_queue.id, (p_batch).owner, (p_batch).priority,
      'scheduled', c.call_template_id, coalesce((p_batch).max_attempts, v_queue.max_attempts),
      v_run_at, v_run_at, now(), coalesce((p_batch).timeout, v_queue.timeout), c.args,
      (p_batch).settings, (p_batch).note, (p_batch).options
    from jobs_internal.batch_callback as c
    where c.batch_id = (p_batch).id and c.kind = v_kind
    returning id into v_job;
    -- its key says that there is one of a kind for each end
    insert into jobs_internal.batch_call (batch_id, n, kind, job_id)
    values ((p_batch).id, (p_batch).ends + 1, v_kind, v_job);
  end loop;
  return cardinality(v_kinds);
end
$$;

-- A batch may have ended, as far as the caller has folded: find out, and call back if so. The
-- caller has locked it (for no key update), and folded what it sees.
-- Returns: how many callbacks were enqueued; null: there is more to fold first.
-- Locks: batch (for update, skip locked). Writes: batch; see call_back.
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
    v_called := jobs_internal.call_back(p_batch, v_sum.failed + v_sum.cancelled = 0);
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
