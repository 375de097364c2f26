-- Claimed messages that their session does not get to.

-- Take back what sessions claimed and do not get to, because the job that they run takes longer
-- than anybody knew. Locked messages are in an open chunk and stay. The session finds its token
-- gone and leaves them to others. Locks: message (skip locked).
create or replace function jobs_internal.reclaim_unstarted()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_count integer;
begin
  for v_session in
    select s.* from jobs_internal.session as s
    join jobs_internal.active_sessions() as l on l.session_id = s.id
    where s.msg_ids is not null and l.started_at < clock_timestamp() - interval '1 second'
  loop
    -- it was dropped meanwhile
    continue when to_regclass('pgmq.q_pyworker_' || v_session.lane_id) is null;
    exit when not jobs_internal.has_room(v_until);
    begin
      execute format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1 where '
        'm.msg_id in ('
        '  select q.msg_id from pgmq.%1$I as q where q.msg_id = any ($1) and q.vt = $2 for update '
        'skip locked)',
        'q_pyworker_' || v_session.lane_id)
      using v_session.msg_ids, v_session.lease;
      get diagnostics v_count = row_count;
      perform jobs_internal.return_starts(v_session.lane_id, v_count);
    exception
      when lock_not_available or undefined_table then
        null;  -- another session has locked the whole table: the next round looks again
    end;
  end loop;
end
$$;
