-- Dismissing failures: a person has looked, and no list or check brings them up again. Nothing else
-- about the job changes: its history stays as long as its queue keeps it, and jobs.retry runs it
-- again. An owner dismisses its own, an operator all.

-- Does the work of jobs.dismiss.
create or replace function jobs_internal.dismiss(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_state text;
  v_dismissed_at timestamptz;
begin
  select f.owner, f.state, f.dismissed_at into v_owner, v_state, v_dismissed_at
  from jobs_internal.finished as f where f.id = dismiss.id for no key update;
  if not found then
    select j.owner, j.state into v_owner, v_state from jobs_internal.job as j
    where j.id = dismiss.id;
  end if;
  perform jobs_internal.assert_controls(dismiss.id, v_owner);
  if v_state not in ('failed', 'in_doubt') then
    return v_state;
  end if;
  if v_dismissed_at is null then
    update jobs_internal.finished as f set dismissed_at = clock_timestamp(),
      dismissed_by = session_user where f.id = dismiss.id;
    perform jobs_internal.record_control('dismiss', dismiss.id, v_owner,
        jsonb_build_object('state', v_state), '{"dismissed": true}');
  end if;
  return 'dismissed';
end
$$;

-- Does the work of jobs.dismiss_failed. Locks: finished (skip locked: what another transaction
-- retries or cancels is no failure any more).
create or replace function jobs_internal.dismiss_failed(queue text default null,
    until timestamptz default now())
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue integer;
  v_others bigint;
  v_count bigint;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  if queue is not null then
    v_queue := jobs_internal.queue_id(queue);
  end if;
  with looked_at as (
    select f.id, f.bucket from jobs_internal.finished as f
    where f.state <> 'succeeded' and f.state in ('failed', 'in_doubt') and f.dismissed_at is null
      and f.finished_at <= dismiss_failed.until and (v_queue is null or f.queue_id = v_queue)
      and (f.owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator'))
    for no key update skip locked
  ), dismissed as (
    update jobs_internal.finished as f set dismissed_at = clock_timestamp(),
      dismissed_by = session_user
    from looked_at as l where f.id = l.id and f.bucket = l.bucket
    returning f.owner
  )
  select count(*), count(*) filter (where d.owner is distinct from jobs_internal.caller())
  into v_count,
    v_others
  from dismissed as d;
  if v_others > 0 then
    perform jobs_internal.record_audit('dismiss',
        coalesce('failures of queue ' || queue, 'failures of all queues'), null,
      jsonb_build_object('dismissed', v_count));
  end if;
  return v_count;
end
$$;
