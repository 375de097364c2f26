-- What is behind jobs.close_batch, jobs.retry_batch and jobs.batch_jobs.

-- Lock a batch that the caller controls: its owner's, or as an operator any. Nothing is folded of
-- it meanwhile, and it does not end. Locks: batch (for no key update). Errors: PW115, PW060.
create or replace function jobs_internal.hold_batch(p_id bigint)
returns jobs_internal.batch
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.batch;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  select b.* into v from jobs_internal.batch as b
  where b.id = p_id
    and (b.owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator'))
  for no key update;
  if not found then
    perform jobs_internal.refuse_unknown_batch(p_id);
  end if;
  return v;
end
$$;

-- Have a round look at a batch. Writes: batch_delta.
create or replace function jobs_internal.look_at_batch(p_batch jobs_internal.batch)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into jobs_internal.batch_delta (owner, batch_id) values ((p_batch).owner, (p_batch).id);
  perform jobs_internal.wake(null);
end
$$;

-- Keep that an operator acted on a batch of another role. Writes: audit.
create or replace function jobs_internal.audit_batch(p_action text, p_batch jobs_internal.batch,
    p_after jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (p_batch).owner is distinct from jobs_internal.caller() then
    perform jobs_internal.record_audit(p_action, 'batch ' || (p_batch).id,
      jsonb_build_object('closed', (p_batch).closed_at is not null), p_after);
  end if;
end
$$;

-- Does the work of jobs.close_batch. Locks: batch. Writes: batch, batch_delta, audit.
create or replace function jobs_internal.close_batch(id bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.batch := jobs_internal.hold_batch(close_batch.id);
begin
  if v.closed_at is not null then
    return false;
  end if;
  update jobs_internal.batch as b set closed_at = clock_timestamp() where b.id = v.id;
  perform jobs_internal.look_at_batch(v),
    jobs_internal.audit_batch('close_batch', v, '{"closed": true}');
  return true;
end
$$;

-- The jobs of a batch that are in one of these states, in order. live: unfinished ones count.
create or replace function jobs_internal.jobs_of_batch(p_batch bigint, p_owner oid, p_live boolean,
    p_states text[])
returns bigint[]
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select array(
    select j.id
    from (
      select r.first_job, r.last_job from jobs_internal.batch_jobs as r where r.batch_id = p_batch
      union all
      select d.first_job, d.last_job from jobs_internal.batch_delta as d
      where d.owner = p_owner and d.batch_id = p_batch and d.first_job is not null
    ) as r
    cross join lateral (
      select l.id from jobs_internal.job as l
      where p_live and l.id between r.first_job and r.last_job
        and l.options ->> 'batch' = p_batch::text
      union all
      select f.id from jobs_internal.finished as f
      where f.id between r.first_job and r.last_job and f.state = any (p_states)
        and f.options ->> 'batch' = p_batch::text
    ) as j
    order by j.id);
end;

-- Does the work of jobs.retry_batch. What cannot run again (its unique_key is taken, its queue was
-- dropped, it was taken back, it is another's) is left as it is, with a NOTICE.
-- Locks: batch; see retry. Writes: batch, batch_delta, audit.
create or replace function jobs_internal.retry_batch(id bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v jobs_internal.batch := jobs_internal.hold_batch(retry_batch.id);
  v_job bigint;
  v_count bigint := 0;
  v_left bigint := 0;
begin
  foreach v_job in array jobs_internal.jobs_of_batch(v.id, v.owner, false, '{failed}') loop
    begin
      v_count := v_count + (jobs_internal.retry(v_job) = 'retrying')::integer;
    exception
      when sqlstate 'PW007' or sqlstate 'PW030' or sqlstate 'PW032' or sqlstate 'PW065' then
        v_left := v_left + 1;
    end;
  end loop;
  if v_count > 0 then
    -- another end is to come, which has its own callbacks
    update jobs_internal.batch as b set called = false, finished_at = null
    where b.id = v.id and b.called;
  end if;
  if v_left > 0 then
    raise notice using message = format('%s of the batch cannot run again, and stay failed: '
      'jobs.retry of one says why', jobs_internal.counted(v_left, 'job'));
  end if;
  perform jobs_internal.look_at_batch(v),
    jobs_internal.audit_batch('retry_batch', v, jsonb_build_object('retried', v_count));
  return v_count;
end
$$;

-- Does the work of jobs.batch_jobs.
create or replace function jobs_internal.batch_jobs_seen(p_batch bigint)
returns setof bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.id
  from jobs_internal.batch as b
  cross join lateral unnest(jobs_internal.jobs_of_batch(b.id, b.owner, true,
      '{succeeded, failed, cancelled, in_doubt}')) as j(id)
  where b.id = p_batch and (b.owner = jobs_internal.viewer()
    or jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator'))
  order by j.id;
end;
