-- Chunks in which it cannot be seen which job runs.

-- Whether a session in a chunk says truly which of its jobs runs, as far as anybody can tell: one
-- of those that it has claimed, begun while the chunk was young enough to begin one. "pw idle" is
-- true while none of its messages is locked: an open chunk holds them.
-- Locks: message (skip locked).
create or replace function jobs_internal.reports_its_job(p_session jobs_internal.session,
    p_name text,
    p_xact_start timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_named text[] := regexp_match(p_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: |$)');
  v_idle boolean := p_name = 'pw idle';
begin
  if v_idle then
    execute format(
        'select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
      ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = '
      '$2 for key share skip locked) as f)',
      'q_pyworker_' || p_session.lane_id)
    into v_idle using p_session.msg_ids, p_session.lease;
    return v_idle;
  end if;
  return v_named is not null
    and exists (
      select from jobs_internal.job as j
      where j.id = v_named[1]::bigint and j.owner = p_session.owner and j.state = 'queued'
        and j.attempt + 1 = v_named[2]::integer
        and j.lane_id = p_session.lane_id and j.msg_id = any (p_session.msg_ids))
    and to_timestamp(v_named[3]::bigint / 1000.0) between p_xact_start - interval '1 second'
      and p_xact_start + jobs_internal.setting('chunk_ms')::bigint * interval '1 millisecond'
        + interval '1 second';
exception
  when undefined_table then
    return true;  -- its queue was dropped meanwhile
end
$$;

-- Shake off a chunk in which it cannot be seen which job runs, because that job has set
-- application_name: no timeout and no cancel would reach it, nor what waits behind it. Its
-- session is cancelled without a reason after two seconds, and terminated later: what the others of
-- the chunk did is kept where it can be, the job is run again, alone and uncharged, and is seen
-- from then on. Returns how many were signalled.
-- Locks: session (skip locked), message (skip locked). Writes: session.
create or replace function jobs_internal.cancel_hidden_chunks()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_session jobs_internal.session;
  v_count integer := 0;
begin
  for v in
    select s as session, s.id, s.pid, a.application_name, a.xact_start,
      s.hidden_signal_at > a.xact_start as signalled
    from jobs_internal.session as s
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.job_id is null and s.msg_ids is not null
      and a.xact_start < clock_timestamp() - interval '2 seconds'
      and (s.hidden_signal_at is null or s.hidden_signal_at < greatest(a.xact_start,
            clock_timestamp() - interval '3 seconds'))
  loop
    continue when jobs_internal.reports_its_job(v.session, v.application_name, v.xact_start);
    select s.* into v_session from jobs_internal.session as s where s.id = v.id and s.job_id is null
      and s.msg_ids is not null for update skip locked;
    continue when not found;
    -- What we know of the processes may be older than that row: it may be in another chunk by now,
    -- which is no job's fault.
    perform pg_stat_clear_snapshot();
    continue when not exists (select from pg_stat_get_activity(v.pid) as a
      where a.xact_start = v.xact_start
        and not jobs_internal.reports_its_job(v_session, a.application_name, a.xact_start));
    update jobs_internal.session as s set hidden_signal_at = clock_timestamp() where s.id = v.id;
    v_count := v_count + jobs_internal.signal(v.pid, v.signalled, 'session ' || v.id,
        (v.session).owner)::integer;
  end loop;
  return v_count;
end
$$;
