-- The option reuse_for: where the same call has succeeded a short while ago, its job is the answer.
--
-- Such a job always has a unique_key: the one that is given, or one made of its function and its
-- canonical arguments. An enqueuer looks for a fresh result, then for an unfinished job with the
-- key (unique_key as ever), inserts its own, and looks for a fresh result once more: a job with the
-- key that ended in between has written its result in the commit in which its row went, and the
-- unique index let the new row in only after that. So of two callers at once one job is made, and a
-- result that is there is not made again. The second look needs a new snapshot: READ COMMITTED.

-- The key of a call without one. p_args: as they are stored.
create or replace function jobs_internal.key_of_call(p_template integer, p_args jsonb)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select 'reuse ' || encode(sha256(convert_to(
    concat_ws(' ', t.signature, coalesce(nullif(p_args, '{}')::text, '-')), 'UTF8')), 'hex')
  from jobs_internal.call_template as t where t.id = p_template;
end;

-- Refuse what cannot be had. p_known: what is the same is known, by a key or a call. Errors: PW029,
-- PW108, PW109.
create or replace function jobs_internal.assert_may_reuse(p_queue integer, p_within interval,
    p_known boolean)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kept interval := (select q.retention from jobs_internal.queue as q where q.id = p_queue);
begin
  if not p_known then
    raise exception using errcode = 'PW029',
      message = 'the option "reuse_for" of a statement needs a unique_key',
      detail = 'Two texts may do the same, and the same text another thing later.',
      hint = 'Pass a unique_key that says what is the same. A retry cannot help.';
  elsif p_within > v_kept then
    raise exception using errcode = 'PW108',
      message = 'the option "reuse_for" is longer than results are kept',
      detail = format('It is %s; the queue keeps finished jobs for %s.', p_within, v_kept),
      hint = 'Pass a shorter time, or: select jobs.alter_queue(name, retention => ...). A retry '
        'cannot help.';
  elsif current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PW109',
      message = format('the option "reuse_for" cannot see new results in a %s transaction',
        current_setting('transaction_isolation')),
      detail = 'Its snapshot stays the same, so that a result might be made twice.',
      hint = 'Use READ COMMITTED. A retry cannot help.';
  end if;
end
$$;

-- The job whose result is reused, noted and told; null: there is none that is fresh. Writes: reuse.
create or replace function jobs_internal.reuse_result(p_owner oid, p_queue integer, p_key text,
    p_within interval)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job bigint;
  v_bucket integer;
  v_finished_at timestamptz;
begin
  select r.job_id, r.bucket, r.finished_at into v_job, v_bucket, v_finished_at
  from jobs_internal.fresh_result as r
  cross join lateral (select from jobs_internal.finished as f
    where f.id = r.job_id and f.bucket = r.bucket and f.owner = p_owner offset 0) as f
  where r.owner = p_owner and r.queue_id = p_queue and r.key = p_key
    and r.finished_at > clock_timestamp() - p_within
  order by r.finished_at desc
  limit 1;
  if found then
    insert into jobs_internal.reuse (job_id, bucket) values (v_job, v_bucket);
    raise notice using message = format('job %s has succeeded at %s: its result is reused, and '
      'nothing was enqueued', v_job, v_finished_at::timestamptz(0));
  end if;
  return v_job;
end
$$;

-- Keep the results of jobs that have just succeeded, in the commit that ends them. Writes:
-- fresh_result.
create or replace function jobs_internal.store_fresh_results(p_jobs bigint[], p_bucket integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  insert into jobs_internal.fresh_result (job_id, bucket, owner, queue_id, key, finished_at)
  select f.id, f.bucket, f.owner, f.queue_id, f.unique_key, f.finished_at
  from jobs_internal.finished as f
  where f.id = any (p_jobs) and f.bucket = p_bucket and f.options ? 'reuse_for'
  on conflict do nothing;
end
$$;

-- Forget results of the calling login. p_key null: that of a call. Returns how many were fresh: one
-- for each queue. Writes: fresh_result.
create or replace function jobs_internal.forget_results(p_key text, p_template integer,
    p_args jsonb)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_count integer;
begin
  with gone as (
    delete from jobs_internal.fresh_result as r
    where r.owner = jobs_internal.caller()
      and r.key = coalesce(p_key, jobs_internal.key_of_call(p_template, p_args))
    returning r.queue_id
  )
  select count(distinct g.queue_id) into v_count from gone as g;
  return v_count;
end
$$;

-- What is known of the results in a bucket goes with it; what is locked stays, and says nothing any
-- more. Locks: fresh_result, reuse (skip locked).
create or replace function jobs_internal.forget_bucket(p_bucket integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.reuse as d
  where d.id = any (array(
    select u.id from jobs_internal.reuse as u where u.bucket = p_bucket for update skip locked));
  delete from jobs_internal.fresh_result as d
  where d.job_id = any (array(
    select r.job_id from jobs_internal.fresh_result as r where r.bucket = p_bucket
    for update skip locked));
end
$$;

-- Sum up how often results were reused, some jobs at a time, and drop the counts of jobs that are
-- gone. Locks: reuse (skip locked).
create or replace function jobs_internal.sum_reuses()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  with gone as (
    delete from jobs_internal.reuse as d
    where d.id = any (array(
      select u.id from jobs_internal.reuse as u
      where u.job_id in (select r.job_id from jobs_internal.reuse as r
          group by r.job_id having count(*) > 1 order by r.job_id limit 1000)
      order by u.id
      limit 10000
      for update skip locked))
    returning d.job_id, d.bucket, d.times
  )
  insert into jobs_internal.reuse (job_id, bucket, times)
  select g.job_id, max(g.bucket), sum(g.times) from gone as g
  where exists (select from jobs_internal.finished as f where f.id = g.job_id)
  group by g.job_id;
end
$$;
