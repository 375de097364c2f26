-- The outbox: outcomes for the logs of supervisors, and notifications of ends.

-- Put outcomes of jobs of one owner in one queue where a supervisor finds them for its log. No
-- other function does. p_succeeded: per task, as archive_jobs returns them; p_others: one object
-- each.
create or replace function jobs_internal.put_in_outbox(p_queue integer, p_owner oid,
    p_session bigint, p_pid integer, p_succeeded jsonb, p_others jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.outbox (body, bytes)
  select b.body, pg_column_size(b.body)  -- it is not compressed yet
  from (
    select jsonb_build_object('queue', q.name, 'owner', pg_get_userbyid(p_owner), 'session',
      p_session, 'pid', p_pid, 'succeeded', coalesce(p_succeeded, '[]'), 'others',
      coalesce(p_others, '[]')) as body
    from jobs_internal.queue as q
    where q.id = p_queue
    offset 0  -- made once
  ) as b;
end;

-- Notify that a job has ended, where its option notify asks for it: in the transaction that writes
-- its end, so that it is heard after that is seen, and never of an end that was rolled back. Every
-- session of the database may listen: nothing is sent but number, state and task. NOTIFY takes a
-- lock of the whole database at commit, so it is sent for jobs that ask for it only; and while the
-- server's queue of messages is half full, because a listener does not read, it is left out: a
-- queue that is full would let no job end.
create or replace function jobs_internal.notify_of_end(p_options jsonb, p_job bigint, p_state text,
    p_task text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_options ? 'notify' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify(p_options ->> 'notify',
        jsonb_build_object('id', p_job, 'state', p_state, 'task', p_task)::text);
  end if;
end
$$;

-- Take outcomes for the log, as many as p_limit and some megabytes allow: the caller asks until
-- there are none. They are gone when it commits: a crash before that repeats lines and loses none.
-- None where another session has locked the whole table: they stay for the next round.
-- Locks: outbox (skip locked).
create or replace function jobs_internal.take_outcomes(p_limit integer)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  return query
  with seen as (
    select o.id, o.bytes from jobs_internal.outbox as o order by o.id
    limit p_limit for update skip locked
  ), taken as (
    select r.id
    from (select s.id, sum(s.bytes) over (order by s.id) - s.bytes as before from seen as s) as r
    where r.before < 4000000  -- the first one always
  )
  delete from jobs_internal.outbox as f
  where f.id in (select t.id from taken as t)
  returning f.body || jsonb_build_object('at', f.at);
  perform jobs_internal.clear_failure('round', 'outcomes');
exception
  when lock_not_available then
    perform jobs_internal.note_failure('round', 'outcomes',
        jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;
