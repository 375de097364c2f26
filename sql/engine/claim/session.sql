-- Worker sessions: opening, closing, claiming. All are definer functions that a worker session of
-- the owner calls; each checks that the caller is that session (pid and backend_start).

-- Wait until a session has found out what the last end of the server means (note_crash): in this
-- life of it no job starts before. A session of our own does that and commits at once; the caller,
-- whose transaction may stay open, would hold up everybody. Errors: PW078.
create or replace function jobs_internal.await_crash_noted()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  loop
    if exists (select from jobs_internal.server as s where s.epoch = jobs_internal.epoch()) then
      return;
    end if;
    if v_until is null and jobs_internal.launch_upkeep('select jobs_internal.note_crash()',
        'pyworker crash') then
      v_until := clock_timestamp() + interval '5 seconds';
    end if;
    if v_until is null or clock_timestamp() not between v_until - interval '5 seconds' and v_until
      then
      raise exception using errcode = 'PW078',
        message = 'the server has just started, and its last end is not looked into yet',
        detail = 'A session of pyworker''s own does that, in a background worker slot; or a '
          'supervisor.', hint = 'Retry in a moment, or start pyworker run.';
    end if;
    perform pg_sleep(0.002);
  end loop;
end
$$;

-- The version of this schema: that of the last migration. A worker session that was written for
-- another one does no job here.
create or replace function jobs_internal.schema_version()
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select 9;
end;

-- Refuse a worker session that was written for another version: it began before an upgrade, and
-- keeps the body of the procedure that it runs. Errors: PW052.
create or replace function jobs_internal.assert_version(p_version integer)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_version is distinct from jobs_internal.schema_version() then
    raise exception using errcode = 'PW052',
      message = 'pyworker was upgraded while this worker session began',
      detail = format('The session was written for version %s of the schema, which is %s now.',
          coalesce(p_version::text, '0'), jobs_internal.schema_version()),
      hint = 'It ends, and has done nothing; the next one takes its jobs.';
  end if;
end
$$;

-- Register the calling backend as a worker session of its login. Returns its number. Sees to the
-- dead ones of its owner first, so that jobs go on with no supervisor at all. p_version: of the
-- schema that the caller was written for. Locks: nothing that others wait for. Writes: session.
-- Errors: PW019, PW052, PW060, PW073, PW078.
create or replace function jobs_internal.open_session(p_version integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_me oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_version(p_version), jobs_internal.assert_not_copy(),
    jobs_internal.assert_admitted(v_me), jobs_internal.assert_session_allowed(v_me);
  perform jobs_internal.await_crash_noted();
  -- Nearly always none is dead: then a new session need not compile and plan what helps them.
  if exists (select from jobs_internal.session as s where s.owner = v_me
      and not jobs_internal.alive(s.pid, s.backend_start)) then
    perform jobs_internal.rescue(v_me);
  end if;
  perform jobs_internal.lift_quarantine(v_me);
  insert into jobs_internal.session (owner, pid, backend_start, epoch, schema_version)
  select v_me, a.pid, a.backend_start, jobs_internal.epoch(), p_version
  from pg_stat_get_activity(pg_backend_pid()) as a
  returning id into v_id;
  return v_id;
end
$$;

-- Refuse what only a session between two jobs may do: its job would be running for ever. Errors:
-- PW050.
create or replace function jobs_internal.assert_between_jobs(p_session jobs_internal.session)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_session.job_id is not null then
    raise exception using errcode = 'PW050',
      message = format('this session runs job %s', p_session.job_id),
      detail = 'It ends that job first.', hint = 'Use the functions of schema jobs.';
  end if;
end
$$;

-- The session row of the calling backend, locked. Errors: PW050 when it is no worker session of
-- ours.
create or replace function jobs_internal.my_session(p_session bigint)
returns jobs_internal.session
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
begin
  select s.* into v_session from jobs_internal.session as s
  where s.id = p_session and s.pid = pg_backend_pid() and s.owner = jobs_internal.caller()
  for update;
  if not found then
    raise exception using errcode = 'PW050', message = 'this backend is not that worker session',
      detail = 'Only a worker session calls this.', hint = 'Use the functions of schema jobs.';
  end if;
  return v_session;
end
$$;

-- Refuse a lane that is not the caller's: its messages would be within reach otherwise. Errors:
-- PW050.
create or replace function jobs_internal.assert_my_lane(p_lane integer)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.id = p_lane
      and l.owner = jobs_internal.caller()) then
    raise exception using errcode = 'PW050',
      message = format('lane %s is not the caller''s', p_lane),
      detail = 'Only a worker session of its owner works on a lane.',
        hint = 'Use the functions of schema jobs.';
  end if;
end
$$;

-- Give back what a session has claimed and not worked off. Messages that carry another token belong
-- to others.
-- p_suspect: the session died; what it had is delivered again and counts as such (read_ct), so that
--   each job runs alone. Otherwise nothing happened, and the delivery is not counted. A claim whose
--   snapshot is older than ours locks our messages for a moment, only to find that they are taken:
--   for a message that is locked we wait, because a token that no session remembers would hold its
--   job up until the lease ends. The caller holds no lock yet that a claim waits for (lane,
--   call_stats, queue_minute_stats), and an open chunk that holds ours for longer is given up on.
create or replace function jobs_internal.release(p_session jobs_internal.session, p_suspect boolean)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_back text;
  v_count integer;
begin
  if p_session.msg_ids is not null then
    v_back := format(
      'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - $3 where '
      'm.msg_id = any ($1) and m.vt = $2',
      'q_pyworker_' || p_session.lane_id);
    -- The next claim begins where this one did: what comes behind it does not overtake.
    update jobs_internal.session set msg_ids = null, lease = null,
      last_msg_id = p_session.msg_ids[1] - 1 where id = p_session.id;
    begin
      execute v_back using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    exception
      when lock_not_available then
        execute v_back || format(' and m.msg_id in (select q.msg_id from pgmq.%I as q where '
          'q.msg_id = any ($1) for update skip locked)',
          'q_pyworker_' || p_session.lane_id)
        using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    end;
    get diagnostics v_count = row_count;
    if not p_suspect then
      perform jobs_internal.return_starts(p_session.lane_id, v_count);
    end if;
  end if;
exception
  when undefined_table then
    null;  -- the queue was dropped meanwhile, and its lanes with it
end
$$;

-- End of a worker session: its last figures, its claim and slot given back, its row removed.
create or replace function jobs_internal.close_session(p_session bigint,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  perform jobs_internal.assert_between_jobs(v_session);
  perform jobs_internal.release(v_session, false);
  perform jobs_internal.record_run_stats(v_session, p_run_stats);
  perform jobs_internal.free_slots(p_session);
  delete from jobs_internal.session where id = p_session;
  perform jobs_internal.wake(null);
end
$$;
