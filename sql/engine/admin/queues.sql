-- What is behind the functions of operators for queues.

-- Does the work of jobs.create_queue.
create or replace function jobs_internal.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  share_commits boolean default true,
  retention_rows bigint default null,
  window_name text default null,
  rate_limit integer default null,
  rate_period interval default null,
  rate_by text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new jobs_internal.queue;
  v_id integer;
begin
  if name is null or octet_length(name) > 63 or name !~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$' then
    raise exception using errcode = 'PW015',
      message = format('"%s" is no name for a queue', left(name, 100)),
      detail = 'A name has 1 to 63 letters, digits, or one of _ . : - and begins with a letter, a '
        'digit or _.', hint = 'Choose another. A retry cannot help.';
  end if;
  v_new.name := create_queue.name;
  v_new.concurrency := create_queue.concurrency;
  v_new.timeout := create_queue.timeout;
  v_new.max_attempts := create_queue.max_attempts;
  v_new.backoff := create_queue.backoff;
  v_new.backoff_cap := create_queue.backoff_cap;
  v_new.retention := create_queue.retention;
  v_new.share_commits := create_queue.share_commits;
  v_new.retention_rows := create_queue.retention_rows;
  v_new.window_name := nullif(create_queue.window_name, '');
  v_new.rate_limit := create_queue.rate_limit;
  v_new.rate_period := coalesce(create_queue.rate_period,
    case when create_queue.rate_limit is not null then interval '1 second' end);
  v_new.rate_by := nullif(create_queue.rate_by, '');
  v_new := jobs_internal.check_queue(v_new);
  perform jobs_internal.hold_window(v_new.window_name);
  insert into jobs_internal.queue (name, concurrency, timeout, max_attempts, backoff, backoff_cap,
      retention, retention_rows, share_commits, window_name, rate_limit,
      rate_period, rate_by)
  values (v_new.name, v_new.concurrency, v_new.timeout, v_new.max_attempts, v_new.backoff,
      v_new.backoff_cap, v_new.retention,
    v_new.retention_rows, v_new.share_commits, v_new.window_name, v_new.rate_limit,
    v_new.rate_period, v_new.rate_by)
  on conflict do nothing
  returning id into v_id;
  if not found then
    raise notice using message = format('queue "%s" exists already: nothing was changed', name);
    return false;
  end if;
  if v_new.rate_limit is not null then
    perform jobs_internal.make_rate(v_id);
  end if;
  perform jobs_internal.fit_slots(v_id), jobs_internal.enter_class(v_id),
    jobs_internal.make_own_lane(v_id),
    jobs_internal.record_audit('create_queue', 'queue ' || create_queue.name, null,
        jobs_internal.queue_options(v_id));
  return true;
end
$$;

-- A null option stays as it is; "no timeout" is 'infinity', "no limit" of concurrency, of
-- retention_rows and of rate_limit is 0, "no window" and "no argument" (rate_by) are ''. The next
-- round of the upkeep finds the queue the partitions that fit another retention.
create or replace function jobs_internal.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  share_commits boolean default null,
  accepting boolean default null,
  retention_rows bigint default null,
  window_name text default null,
  rate_limit integer default null,
  rate_period interval default null,
  rate_by text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer := jobs_internal.queue_id(name);
  v_new jobs_internal.queue;
  v_before jsonb := jobs_internal.queue_options(v_id);
  v_window text;
begin
  select q.* into v_new from jobs_internal.queue as q where q.id = v_id for no key update;
  v_new.concurrency := case when alter_queue.concurrency = 0 then null
    else coalesce(alter_queue.concurrency, v_new.concurrency) end;
  v_new.timeout := coalesce(alter_queue.timeout, v_new.timeout);
  v_new.max_attempts := coalesce(alter_queue.max_attempts, v_new.max_attempts);
  v_new.backoff := coalesce(alter_queue.backoff, v_new.backoff);
  v_new.backoff_cap := coalesce(alter_queue.backoff_cap, v_new.backoff_cap);
  v_new.retention := coalesce(alter_queue.retention, v_new.retention);
  v_new.share_commits := coalesce(alter_queue.share_commits, v_new.share_commits);
  v_new.retention_rows := case when alter_queue.retention_rows = 0 then null
    else coalesce(alter_queue.retention_rows, v_new.retention_rows) end;
  v_window := v_new.window_name;
  v_new.window_name := nullif(coalesce(alter_queue.window_name, v_window), '');
  v_new.rate_limit := case when alter_queue.rate_limit = 0 then null
    else coalesce(alter_queue.rate_limit, v_new.rate_limit) end;
  v_new.rate_period := coalesce(alter_queue.rate_period,
    case when v_new.rate_limit is not null
      then coalesce(v_new.rate_period, interval '1 second') end);
  v_new.rate_by := nullif(coalesce(alter_queue.rate_by,
    case when v_new.rate_limit is not null then v_new.rate_by end), '');
  v_new := jobs_internal.check_queue(v_new);
  perform jobs_internal.hold_window(v_new.window_name);
  update jobs_internal.queue as q
  set concurrency = v_new.concurrency, timeout = v_new.timeout, max_attempts = v_new.max_attempts,
    backoff = v_new.backoff,
    backoff_cap = v_new.backoff_cap, retention = v_new.retention,
      retention_rows = v_new.retention_rows, share_commits = v_new.share_commits,
    window_name = v_new.window_name, rate_limit = v_new.rate_limit,
    rate_period = v_new.rate_period, rate_by = v_new.rate_by,
    accepting = coalesce(alter_queue.accepting, q.accepting)
  where q.id = v_id;
  if v_window is distinct from v_new.window_name then
    perform jobs_internal.release_queue(v_id, v_window), jobs_internal.wake(null);
  end if;
  if v_new.rate_limit is not null then
    perform jobs_internal.make_rate(v_id);
  end if;
  if coalesce(alter_queue.rate_limit::text, alter_queue.rate_period::text, alter_queue.rate_by)
    is not null then
    perform jobs_internal.release_rate_by(v_id), jobs_internal.wake(null);
  end if;
  perform jobs_internal.fit_slots(v_id),
    jobs_internal.record_audit('alter_queue', 'queue ' || alter_queue.name, v_before,
        jobs_internal.queue_options(v_id));
  return true;
end
$$;

-- Does the work of jobs.drop_queue: it marks the queue, and waits for no session that enqueues, as
-- none waits for it. Its lanes go when no job of it can come any more (remove_dropped_queues).
-- Locks: queue.
create or replace function jobs_internal.drop_queue(queue text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer := jobs_internal.queue_id(queue);
  v_before jsonb := jobs_internal.queue_options(v_id);
  v_count bigint;
begin
  if queue = 'default' then
    raise exception using errcode = 'PW027', message = 'queue "default" stays',
      detail = 'It is where jobs go that name no queue.',
      hint = 'Close it instead: select jobs.alter_queue(''default'', accepting => false).';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000',
      message = format('jobs.drop_queue is not for a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show the jobs that came meanwhile.',
        hint = 'Use READ COMMITTED.';
  end if;
  -- Paused, or outside a window, it would keep a job that still comes for ever: no other call
  -- finds it by its name.
  update jobs_internal.queue as q set dropped_at = now(), dropped_by = pg_current_xact_id(),
    paused = false, window_name = null
  where q.id = v_id and q.dropped_at is null;
  if not found then
    return jobs_internal.drop_queue(queue);  -- another transaction dropped it meanwhile
  end if;
  v_count := (select count(*) from jobs_internal.job as j where j.queue_id = v_id);
  if v_count > 0 then
    raise exception using errcode = 'PW028', message = format('queue "%s" has unfinished jobs',
        queue),
      detail = format('There are %s.', v_count),
      hint = 'Let them finish or cancel them, then drop it.';
  end if;
  perform jobs_internal.record_audit('drop_queue', 'queue ' || queue, v_before, null);
  return true;
end
$$;

-- Does the work of jobs.pause.
create or replace function jobs_internal.pause(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  if queue is null then
    update jobs_internal.switch set paused = true, changed_by = session_user, changed_at = now()
      where not paused;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = true where q.id = v_id and not q.paused;
  end if;
  if found then
    perform jobs_internal.record_audit('pause', coalesce('queue ' || queue, 'everything'),
        '{"paused": false}', '{"paused": true}');
    return true;
  end if;
  return false;
end
$$;

-- Does the work of jobs.resume.
create or replace function jobs_internal.resume(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
  v_changed boolean;
begin
  if queue is null then
    update jobs_internal.switch set paused = false, changed_by = session_user, changed_at = now()
      where paused;
    v_changed := found;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = false where q.id = v_id and q.paused;
    v_changed := found;
  end if;
  if v_changed then
    perform jobs_internal.record_audit('resume', coalesce('queue ' || queue, 'everything'),
        '{"paused": true}', '{"paused": false}');
  end if;
  perform jobs_internal.wake(null);
  return v_changed;
end
$$;
