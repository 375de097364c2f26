-- Repairing lanes (after a restore, or a hand that deleted a message), and ending what the original
-- of a copy ran.
--
-- A job and its message change in one transaction, so one look at both, with one snapshot, finds
-- only what is truly out of step, however many sessions work meanwhile. What is put right is looked
-- at again under its lock.

-- Lanes and messages put right: a lane without its pgmq queue gets one, a queued job without its
-- message is scheduled and due, a message without its job and a queue without its lane go. Safe at
-- any time, by anybody, at once.
-- Returns: {lanes_made, jobs_due_again, messages_removed, queues_removed}. Locks: job, messages
--   (skip locked), pgmq's queue lock (where it makes or drops queues). Writes: job, pgmq.
create or replace function jobs_internal.repair_lanes()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'  -- any role may hold pgmq's advisory locks
-- tables that were analyzed while they were empty may be full now: each row would be compared with
-- each
set enable_nestloop = off
as $$
declare
  v_lane integer;
  v_queue text;
  v_n bigint;
  v_made bigint := 0;
  v_due bigint := 0;
  v_messages bigint := 0;
  v_queues bigint := 0;
  v_failed integer := 0;
begin
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id in (select o.id from jobs_internal.lane as o
      where o.idle_state <> 'active' for no key update skip locked);
  for v_lane in
    select l.id from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where q.removed_at is null and not exists (
      select from pg_class as c
      where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = 'pgmq')
        and c.relname = 'q_pyworker_' || l.id)
    order by l.id
  loop
    exit when v_failed > 20;
    begin
      perform jobs_internal.make_lane_queue(v_lane);
      v_made := v_made + 1;
      perform jobs_internal.clear_failure('repair', v_lane::text);
    exception
      when others or query_canceled then  -- the next repair makes it
        perform jobs_internal.note_failure('repair', l.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
        v_failed := v_failed + 1;
    end;
  end loop;
  for v_lane in select l.id from jobs_internal.lane as l order by l.id loop
    begin
      execute format(
        'update jobs_internal.job as j set state = ''scheduled'', due_at = '
        'pg_catalog.clock_timestamp(), msg_id = null'
        ' where j.state = ''queued'' and j.id in ('
        '   select o.id from jobs_internal.job as o'
        '   where o.state = ''queued'' and o.lane_id = $1 and not exists (select from pgmq.%I as m '
        'where m.msg_id = o.msg_id)'
        '   for update of o skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_due := v_due + v_n;
      execute format(
        'delete from pgmq.%1$I as d where d.msg_id in ('
        '  select m.msg_id from pgmq.%1$I as m'
        '  where not exists (select from jobs_internal.job as j'
        '    where j.id = (m.message ->> ''job'')::bigint and j.msg_id = m.msg_id and j.lane_id = '
        '$1)'
        '  for update of m skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_messages := v_messages + v_n;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
      when others then
        perform jobs_internal.note_failure('repair', l.id::text,
            jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
    end;
  end loop;
  update jobs_internal.job as j set state = 'scheduled', due_at = clock_timestamp(), msg_id = null
  where j.state = 'queued' and j.id in (
    select o.id from jobs_internal.job as o
    where o.state = 'queued' and not exists (select from jobs_internal.lane as l
        where l.id = o.lane_id)
    for update skip locked);
  get diagnostics v_n = row_count;
  v_due := v_due + v_n;
  for v_queue in
    select m.queue_name from pgmq.meta as m
    where m.queue_name ~ '^pyworker_[0-9]+$' and not exists (select from jobs_internal.lane as l
        where l.pgmq_queue = m.queue_name)
  loop
    exit when v_failed > 20;
    begin
      perform pgmq.drop_queue(v_queue);
      v_queues := v_queues + 1;
      perform jobs_internal.clear_failure('repair', v_queue);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('repair', v_queue,
            jobs_internal.error_object(sqlstate, sqlerrm));
        v_failed := v_failed + 1;
    end;
  end loop;
  return jsonb_build_object('lanes_made', v_made, 'jobs_due_again', v_due, 'messages_removed',
      v_messages, 'queues_removed', v_queues);
end
$$;

-- End what was at work in the original when it was copied. Nothing of it runs here: what a function
-- did was not committed in what was copied, so it runs again and is not charged; a top-level
-- statement ends by its post-condition, or in doubt.
-- Returns: {sessions_cleared, jobs_interrupted}. Locks: job (all of it, by the caller).
-- Writes: session, job, finished, slot, lane, stop_request, server, supervisor, progress_message,
--   queue_minute_stats, outbox, rate_use, unreached_owner, admitted_role, the lane's pgmq queue.
create or replace function jobs_internal.leave_sessions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_sessions bigint := 0;
  v_running bigint;
  v_lane text;
begin
  v_running := (select count(*) from jobs_internal.job as j where j.state = 'running');
  delete from jobs_internal.stop_request where reason = 'timed_out';
  update jobs_internal.stop_request set signals_sent = 0, signalled_at = null,
    requested_at = clock_timestamp();
  -- a process of another server, or database
  update jobs_internal.job set child_start = null where child_start is not null;
  for v_session in
    select s.* from jobs_internal.session as s order by s.id
  loop
    v_session.msg_ids := null;
    v_session.crash_attribution := 'not_charged';
    perform jobs_internal.rescue_one(v_session);
    v_sessions := v_sessions + 1;
  end loop;
  for v_session.id, v_session.job_id, v_session.attempt in
    select j.session_id, j.id, j.attempt from jobs_internal.job as j where j.state = 'running'
    order by j.id
  loop
    v_session.pid := null;
    v_session.crash_attribution := 'not_charged';
    perform jobs_internal.rescue_one(v_session);  -- its session's row is not there
  end loop;
  update jobs_internal.slot set session_id = null where session_id is not null;
  update jobs_internal.lane set quarantine = null where quarantine is not null;
  update jobs_internal.server set epoch = null, isolated_session = null, isolated_job = null,
    isolated_attempt = null, isolated_until = null;
  delete from jobs_internal.supervisor;
  delete from jobs_internal.progress_message;
  delete from jobs_internal.queue_minute_stats;
  delete from jobs_internal.outbox;  -- the original logs it
  delete from jobs_internal.rate_use;
  delete from jobs_internal.unreached_owner;
  -- by number, and of another cluster: an administrator of this one decides anew
  delete from jobs_internal.admitted_role;
  -- What sessions of the original had claimed is for ours, whatever the clock of that server said.
  for v_lane in select 'q_' || l.pgmq_queue from jobs_internal.lane as l loop
    begin
      execute format('update pgmq.%I set vt = pg_catalog.clock_timestamp() where vt > '
        'pg_catalog.clock_timestamp()', v_lane);
    exception
      when undefined_table then
        null;  -- made again by repair_lanes
    end;
  end loop;
  return jsonb_build_object('sessions_cleared', v_sessions, 'jobs_interrupted', v_running);
end
$$;
