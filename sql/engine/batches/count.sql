-- What is counted of a batch, in the transaction that enqueues its jobs or ends them. The protocol:
-- docs/batches.md.

-- Refuse to add jobs to a batch that is closed, or another's; p_options name it, and were checked.
-- It cannot end before this transaction does. Locks: batch (for key share: it waits only for the
-- one that finds that it has ended). Errors: PW115, PW116, 40001.
create or replace function jobs_internal.join_batch(p_options jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint := (p_options ->> 'batch')::bigint;
  v_closed_at timestamptz;
begin
  select b.closed_at into v_closed_at from jobs_internal.batch as b
  where b.id = v_id and b.owner = jobs_internal.caller()
  for key share;
  if not found then
    perform jobs_internal.refuse_unknown_batch(v_id);
  elsif v_closed_at is not null then
    raise exception using errcode = 'PW116', message = format('batch %s is closed', v_id),
      detail = format('No job can be added to it since %s.', v_closed_at::timestamptz(0)),
      hint = 'Make another one: jobs.create_batch. A retry cannot help.';
  end if;
end
$$;

-- Errors: PW115.
create or replace function jobs_internal.refuse_unknown_batch(p_id bigint)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW115',
    message = format('there is no batch %s', coalesce(p_id::text, 'null')),
    detail = 'Or it belongs to another role.',
    hint = 'See jobs.batches for those that you may see. A retry cannot help.';
end
$$;

-- Count jobs that were added to the batch that their options name, with one number or with
-- ascending ones. Writes: batch_delta.
create or replace function jobs_internal.add_to_batch(p_options jsonb, p_jobs bigint[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.batch_delta (owner, batch_id, total, first_job, last_job)
  select b.owner, b.id, cardinality(p_jobs), p_jobs[1], p_jobs[cardinality(p_jobs)]
  from jobs_internal.batch as b
  where b.id = (p_options ->> 'batch')::bigint and cardinality(p_jobs) > 0;
end;

-- Count ends of jobs of a batch: p_count of them in that state, less than zero: no more.
-- Writes: batch_delta.
create or replace function jobs_internal.count_end(p_batch bigint, p_state text, p_count bigint)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.batch_delta (owner, batch_id, succeeded, failed, cancelled, in_doubt)
  select b.owner, b.id, case p_state when 'succeeded' then p_count else 0 end,
    case p_state when 'failed' then p_count else 0 end,
    case p_state when 'cancelled' then p_count else 0 end,
    case p_state when 'in_doubt' then p_count else 0 end
  from jobs_internal.batch as b where b.id = p_batch;
end;

-- Count the ends of jobs that have just ended, in the transaction that ended them: those that
-- belong to a batch. Writes: batch_delta.
create or replace function jobs_internal.count_ends(p_jobs bigint[], p_bucket integer,
    p_state text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  perform jobs_internal.count_end(e.batch, p_state, e.n)
  from (
    select (f.options ->> 'batch')::bigint as batch, count(*) as n
    from jobs_internal.finished as f
    where f.id = any (p_jobs) and f.bucket = p_bucket and f.options ? 'batch'
    group by 1
  ) as e;
  if found then
    perform jobs_internal.wake(null);  -- no session of the batch's owner may be there
  end if;
end
$$;
