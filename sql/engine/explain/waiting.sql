-- What jobs.wait and jobs.await look at.

-- The owner that a job counts as for those who may see its end and cancel it: the role that
-- enqueued it by a publication, if that is who asks.
create or replace function jobs_internal.visible_owner(p_owner oid, p_enqueued_by oid)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_enqueued_by = jobs_internal.caller() then p_enqueued_by else p_owner end;
end;

-- The state of a job for a waiter; refuses what cannot be waited for. Errors: PW030.
create or replace function jobs_internal.state_of(p_id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_state text;
begin
  select jobs_internal.visible_owner(j.owner, j.enqueued_by), j.state into v_owner, v_state
  from jobs_internal.job as j where j.id = p_id;
  if not found then
    select jobs_internal.visible_owner(f.owner, f.enqueued_by), f.state into v_owner, v_state
    from jobs_internal.finished as f where f.id = p_id;
  end if;
  if v_owner is null or not (v_owner = jobs_internal.caller()
      or jobs_internal.caller_is('jobs_operator')
      or jobs_internal.caller_is('jobs_reader')) then
    perform jobs_internal.assert_controls(p_id, null);
  end if;
  return v_state;
end
$$;

-- Whether the present transaction wrote the job's row: we see it although its writer, we or a
-- subtransaction of ours, goes on. xmin has 32 bits: it is completed from the number of the present
-- transaction, which is not younger than its subtransactions.
create or replace function jobs_internal.written_by_this_xact(p_id bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me bigint := pg_current_xact_id_if_assigned()::text::bigint;
  v_ahead bigint;
begin
  select (j.xmin::text::bigint - v_me % 4294967296 + 4294967296) % 4294967296 into v_ahead
  from jobs_internal.job as j where j.id = p_id;
  return coalesce(v_ahead < 1000000
      and pg_xact_status((v_me + v_ahead)::text::xid8) = 'in progress', false);
end
$$;

-- What a waiter should know of a job that is not finished in time. Errors: PW030.
create or replace function jobs_internal.waiting_reason(p_id bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when jobs_internal.state_of(p_id) is null then null
    when (select s.paused from jobs_internal.switch as s)
      then 'Everything is paused: an operator resumes it (select jobs.resume()).'
    when (select q.paused from jobs_internal.job as j
        join jobs_internal.queue as q on q.id = j.queue_id where j.id = p_id)
      then 'Its queue is paused: an operator resumes it (select jobs.resume(queue)).'
    when exists (select from jobs_internal.window_wait as w
        join jobs_internal.job as j on j.id = w.job_id and j.due_at = 'infinity'
      where w.job_id = p_id)
      then format('It waits for its window: select jobs.explain(%s) says when that opens.', p_id)
    when exists (select from jobs_internal.orphaned_children() as c where c.job_id = p_id)
      then 'Its session is gone, and its child session goes on alone (jobs.running shows it): wait '
        'for that to end.'
    when exists (select from jobs_internal.job as j
        join jobs_internal.session as s on s.id = j.session_id
      where j.id = p_id and not jobs_internal.alive(s.pid, s.backend_start))
      then 'Its session is gone: a supervisor, or select jobs.start(), sees to it.'
    when not exists (select from jobs_internal.job as j where j.id = p_id and j.state = 'running')
      and not exists (select from jobs_internal.supervisor as v
          where jobs_internal.alive(v.pid, v.backend_start))
      then 'It has not started, and no supervisor runs: start one (pyworker run), or select '
        'jobs.start().'
    else 'Wait again; the job goes on.'
  end
$$;

-- What COMMIT says where nothing may be committed, in the language of the session's messages. A
-- function is such a place always.
create or replace function jobs_internal.refusal_of_commit()
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  begin
    commit;
  exception
    when invalid_transaction_termination then
      return sqlerrm;
  end;
  return null;
end
$$;
