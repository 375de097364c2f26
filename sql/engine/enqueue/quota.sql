-- Quotas: what one owner may have of the system, and what one publication may. As long as none was
-- ever given, enqueues do not look (installation.quotas); then each looks for its owner's. It is
-- not noted on their lanes: an owner can keep a lane's row locked for as long as it likes.
--
-- No transaction waits for another: a limit is compared with what is committed and with what the
-- caller's own transaction did. So transactions that are open at the same moment may pass it
-- together, each by what it has enqueued itself.

-- Unfinished jobs of an owner, counted no further than to a limit: scheduled ones, running ones,
-- and messages. The messages of a lane are counted only where the distance from its first to its
-- last says that it matters.
create or replace function jobs_internal.pending_jobs(p_owner oid, p_limit bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set enable_seqscan = off
as $$
declare
  v_lane text;
  v_lanes text[] := '{}';
  v_width bigint;
  v_upper bigint := 0;
  v_count bigint;
  v_more bigint;
begin
  v_count := (select count(*) from (select from jobs_internal.job as j where j.owner = p_owner
        and j.due_at is not null limit p_limit) as s)
    + (select count(s.job_id) from jobs_internal.session as s where s.owner = p_owner);
  for v_lane in select l.pgmq_queue from jobs_internal.lane as l where l.owner = p_owner
    and l.idle_state <> 'idle'
    or l.owner = p_owner and l.id in (select n.lane_id from jobs_internal.wakeup_request as n)
  loop
    begin
      execute format('select (select m.msg_id from pgmq.%1$I as m order by m.msg_id desc limit 1)'
        ' - (select m.msg_id from pgmq.%1$I as m order by m.msg_id limit 1) + 1', 'q_' || v_lane)
        into v_width;
    exception
      when undefined_table then
        v_width := null;  -- its queue was dropped meanwhile
    end;
    continue when v_width is null;
    v_upper := v_upper + v_width;
    v_lanes := v_lanes || v_lane;
  end loop;
  if v_count + v_upper < p_limit then
    return v_count + v_upper;
  end if;
  foreach v_lane in array v_lanes loop
    exit when v_count >= p_limit;
    execute format('select count(*) from (select from pgmq.%I limit $1) as m', 'q_' || v_lane)
      into v_more using p_limit - v_count;
    v_count := v_count + v_more;
  end loop;
  return v_count;
end
$$;

-- Jobs that count for the last minute, or for later, under a limit per minute. p_publication 0: all
-- of the owner's.
create or replace function jobs_internal.recent_jobs(p_owner oid, p_publication integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select coalesce(sum(u.jobs), 0)::bigint
  from jobs_internal.rate_use as u
  where u.owner = p_owner and u.at > clock_timestamp() - interval '1 minute'
    and (p_publication = 0 or u.publication_id = p_publication);
end;

-- Bytes of what a job carries, as text.
create or replace function jobs_internal.text_bytes(p_args jsonb, p_settings jsonb, p_note jsonb,
    p_options jsonb)
returns bigint
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(octet_length(nullif(p_args, '{}')::text), 0)::bigint
    + coalesce(octet_length(nullif(p_settings, '{}')::text), 0)
    + coalesce(octet_length(nullif(p_note, '{}')::text), 0)
    + coalesce(octet_length(nullif(p_options, '{}')::text), 0);
end;

-- Hold jobs that come, or come back, against their owner's quota, and against the limits of a
-- publication, and note them where there is a limit per minute. Every door leads here: each enqueue
-- function, and jobs.retry.
-- p_bytes: of all that the largest of them carries, null: it was held against the quota before;
--   p_publication 0: none.
-- Returns: when they may run at the earliest, all of them as the last one, where they wait for the
--   limit per minute; null: at once.
-- Writes: rate_use. Errors: PW070, PW071, PW072, PW074.
create or replace function jobs_internal.charge(p_owner oid, p_jobs bigint, p_bytes bigint,
    p_publication integer default 0)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota jobs_internal.quota;
  v_publication jobs_internal.publication;
  v_name text := pg_get_userbyid(p_owner);
  v_used bigint;
  v_now timestamptz := clock_timestamp();
  v_at timestamptz := v_now;
begin
  select u.* into v_quota from jobs_internal.quota as u where u.owner = p_owner;
  if not found and p_publication = 0 then
    return null;
  end if;
  if p_bytes > v_quota.args_bytes then
    raise exception using errcode = 'PW070',
      message = format('the job carries more than the quota of %s allows', v_name),
      detail = format('Its arguments, settings, note, options and texts have %s bytes as text; %s '
        'are allowed.', p_bytes, v_quota.args_bytes),
      hint = 'Keep the data in a table, and pass its key. A retry cannot help.';
  end if;
  if v_quota.pending is not null then
    v_used := jobs_internal.pending_jobs(p_owner, greatest(v_quota.pending - p_jobs + 1, 0));
    if v_used + p_jobs > v_quota.pending then
      raise exception using errcode = 'PW071',
        message = format('%s has as many unfinished jobs as its quota allows', v_name),
        detail = format('%s allowed, and %s to come.',
            jobs_internal.counted(v_quota.pending, 'is', 'are'),
              jobs_internal.counted(p_jobs, 'more was', 'more were')),
        hint = 'Retry when some of them are finished; see jobs.quotas.';
    end if;
  end if;
  if v_quota.per_minute is not null then
    v_used := jobs_internal.recent_jobs(p_owner, 0);
    if v_used + p_jobs > v_quota.per_minute then
      if v_quota.over_rate = 'refuse' then
        raise exception using errcode = 'PW072',
          message = format('%s enqueues more jobs a minute than its quota allows', v_name),
          detail = format('%s in the last minute and %s more; %s allowed.', v_used, p_jobs,
              jobs_internal.counted(v_quota.per_minute, 'is', 'are')),
          hint = 'Retry in a minute; see jobs.quotas.';
      end if;
      v_at := v_at + (v_used + p_jobs - 1) / v_quota.per_minute * interval '1 minute';
    end if;
  end if;
  if p_publication <> 0 then
    select p.* into v_publication from jobs_internal.publication as p where p.id = p_publication;
    if v_publication.pending <= (select count(*) from (
      select from jobs_internal.job as j where j.publication_id = p_publication
      limit v_publication.pending) as j)
    then
      raise exception using errcode = 'PW074',
        message = format('%s has as many unfinished jobs as its publisher allows',
            v_publication.task),
        detail = format('%s allowed to %s.', jobs_internal.counted(v_publication.pending, 'is',
              'are'), pg_get_userbyid(v_publication.to_role)),
              hint = 'Retry when one of them is finished.';
    elsif v_publication.per_minute < p_jobs + jobs_internal.recent_jobs(p_owner, p_publication) then
      raise exception using errcode = 'PW074',
        message = format('%s is enqueued more often than its publisher allows', v_publication.task),
        detail = format('%s a minute allowed to %s.',
            jobs_internal.counted(v_publication.per_minute, 'job is', 'jobs are'),
              pg_get_userbyid(v_publication.to_role)), hint = 'Retry in a minute.';
    end if;
  end if;
  if coalesce(v_quota.per_minute, v_publication.per_minute) is not null then
    insert into jobs_internal.rate_use (owner, publication_id, at, jobs)
      values (p_owner, p_publication, v_at, p_jobs);
  end if;
  return nullif(v_at, v_now);
end
$$;

-- Refuse to run a job before its time where others of its owner wait because of a limit per minute,
-- or would have to; else it counts for this minute. Writes: rate_use. Errors: PW072.
create or replace function jobs_internal.charge_hurry(p_owner oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most integer := (select u.per_minute from jobs_internal.quota as u where u.owner = p_owner
      and u.over_rate = 'wait');
  v_used bigint;
begin
  if v_most is null then
    return;
  end if;
  v_used := jobs_internal.recent_jobs(p_owner, 0);
  if v_used >= v_most then
    raise exception using errcode = 'PW072',
      message = format('jobs of %s wait for its quota', pg_get_userbyid(p_owner)),
      detail = format('%s for a later one; %s allowed.',
          jobs_internal.counted(v_used, 'counts for this minute or waits',
              'count for this minute or wait'),
        jobs_internal.counted(v_most, 'is', 'are')),
      hint = 'It runs when there is room; see jobs.quotas.';
  end if;
  insert into jobs_internal.rate_use (owner, publication_id, at, jobs)
    values (p_owner, 0, clock_timestamp(), 1);
end
$$;

-- Bytes of text that a result of the calling login may have.
create or replace function jobs_internal.result_limit()
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select least(jobs_internal.setting('result_bytes')::bigint,
    (select u.result_bytes from jobs_internal.quota as u where u.owner = jobs_internal.caller()));
end;
