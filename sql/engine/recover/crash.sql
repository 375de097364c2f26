-- What a crash of the server means for the jobs that it met. It cannot be told from inside which
-- session brought the server down, so no job is blamed at first: every job that may have been
-- running is a suspect from then on. A suspect runs alone, its start committed, and suspects run
-- isolated, one at a time. A crash during an isolated run is charged to that job, if nothing else
-- ran; otherwise the second time. No other job is charged. After max_attempts crashes the job is a
-- poison job and set aside.

-- The jobs that a dead session may have been running in a chunk: the next ones of its claim, up to
-- the size of a chunk.
create or replace function jobs_internal.chunk_of(p_session jobs_internal.session)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs bigint[];
begin
  if p_session.msg_ids is null then
    return '{}';
  end if;
  execute format(
    'select array_agg(c.job) from ('
    '  select (m.message ->> ''job'')::bigint as job from pgmq.%I as m where m.msg_id = any ($1) '
    'and m.vt = $2 order by m.msg_id limit $3) as c',
    'q_pyworker_' || p_session.lane_id)
  into v_jobs using p_session.msg_ids, p_session.lease,
    jobs_internal.setting('chunk_jobs')::integer;
  return coalesce(v_jobs, '{}');
exception
  when undefined_table then
    return '{}';  -- the queue was dropped meanwhile
end
$$;

-- After the server stopped under sessions: once for each of its lives, find out who is to blame.
-- Rescue does the rest. Who comes while another session of ours is at it does nothing. The row of a
-- suspect that its owner's open transaction holds (a cancel, say) is not waited for either: its
-- crash is not counted, the next one is.
-- Locks: server, job (skip locked). Writes: job.crashes, session.crash_attribution, server.
create or replace function jobs_internal.note_crash()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_epoch timestamptz := jobs_internal.epoch();
  v_server jobs_internal.server;
  v_ran jobs_internal.session[];
  v_suspects bigint[];
  v_isolated record;
  v_cause bigint;
begin
  if v_epoch is null or exists (select from jobs_internal.server as s where s.epoch = v_epoch) then
    return;
  end if;
  select s.* into v_server from jobs_internal.server as s for update skip locked;
  if not found then
    return;
  end if;
  perform pg_stat_clear_snapshot();  -- before we had that row, the server may have come up anew
  v_epoch := jobs_internal.epoch();
  if v_epoch is null or v_server.epoch = v_epoch then
    return;
  end if;
  update jobs_internal.session set crash_attribution = 'not_charged' where epoch <> v_epoch;
  -- A postmaster that was started anew was stopped from outside.
  v_ran := array(
    select s from jobs_internal.session as s where s.epoch <> v_epoch
      and s.postmaster = pg_postmaster_start_time());
  -- What ran alone, and what may have run in a chunk: suspects never do.
  v_suspects := array(
    select s.job_id from unnest(v_ran) as s where s.job_id is not null
    union
    select j.id
    from unnest(v_ran) as s
    cross join lateral unnest(jobs_internal.chunk_of(s)) as c
    join jobs_internal.job as j on j.id = c and j.crashes = 0
    where s.job_id is null);
  -- The one in its isolated run. It takes a moment from the crash to the next start.
  select s.id, j.id as job, j.isolated_crashes into v_isolated
  from unnest(v_ran) as s
  join jobs_internal.job as j on j.id = s.job_id
  where s.id = v_server.isolated_session and s.job_id = v_server.isolated_job
    and s.attempt = v_server.isolated_attempt
    and s.epoch = v_server.epoch and v_epoch < v_server.isolated_until + interval '1 second';
  if v_isolated.id is not null
    and (v_isolated.isolated_crashes > 0 or v_suspects = array[v_isolated.job]) then
    v_cause := v_isolated.id;
    v_suspects := array[v_isolated.job];
  end if;
  update jobs_internal.job
  set crashes = least(crashes + 1, 32767),
    crash_ran = coalesce(greatest(v_epoch - started_at, interval '0'), interval '0'),
    isolated_crashes = isolated_crashes + (id is not distinct from v_isolated.job)::integer
  where id = any (array(select j.id from jobs_internal.job as j
        where j.id = any (v_suspects) for no key update skip locked));
  -- The only one that ran is to blame at once, where it has no second try left to run isolated.
  if v_cause is null and cardinality(v_suspects) = 1 then
    select s.id into v_cause
    from unnest(v_ran) as s
    join jobs_internal.job as j on j.id = s.job_id
    where s.job_id = v_suspects[1] and j.crashes >= j.max_attempts;
  end if;
  update jobs_internal.session set crash_attribution = 'charged' where id = v_cause;
  update jobs_internal.server set epoch = v_epoch, isolated_session = null, isolated_job = null,
    isolated_attempt = null, isolated_until = null;
  perform jobs_internal.record_installation();
end
$$;

-- Before a job starts alone: begin its isolated run, if it is a suspect. False when another suspect
-- has one: this one has to wait. It lasts until the job has ended, or has run well past the
-- moment at which the server crashed the last time; the first is kept short, because nearly all
-- suspects are not to blame, and none shall wait long for a long one.
-- Locks: server (for suspects only, to the commit of the start; skip locked: the session that holds
--   it is about to begin an isolated run, for five seconds).
create or replace function jobs_internal.start_isolated_run(p_session bigint, p_job bigint,
    p_attempt integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_server jobs_internal.server;
  v_now timestamptz;
begin
  select j.crashes, j.crash_ran into v_job from jobs_internal.job as j where j.id = p_job;
  if not found or v_job.crashes = 0 then
    return true;
  end if;
  select s.* into v_server from jobs_internal.server as s for update skip locked;
  if not found then
    -- A start takes no time. An owner's transaction that stays open holds up no suspect but its
    -- own: the others start without an isolated run.
    return exists (
      select from jobs_internal.server as s
      join pg_stat_get_activity(null) as a on a.backend_xid = s.xmax
      where a.xact_start < clock_timestamp() - interval '5 seconds');
  end if;
  perform pg_stat_clear_snapshot();
  v_now := clock_timestamp();
  if v_now < v_server.isolated_until and exists (
    select from jobs_internal.session as s
    where s.id = v_server.isolated_session and s.id <> p_session
      and s.job_id = v_server.isolated_job and s.attempt = v_server.isolated_attempt
      and jobs_internal.alive(s.pid, s.backend_start))
  then
    return false;
  end if;
  update jobs_internal.server
  set isolated_session = p_session, isolated_job = p_job, isolated_attempt = p_attempt,
    isolated_until = v_now + case when v_job.crashes = 1
      then least(greatest(v_job.crash_ran * 2, interval '1 second'), interval '5 seconds')
      else greatest(v_job.crash_ran * 2, interval '5 seconds') end;
  return true;
end
$$;
