-- Storing a job: the part of enqueue that needs our rights.

-- Purpose: what a caller asked of settings, tried with the caller's rights and undone. Errors: PW011, PW012, PW013.
-- Invoker on purpose: whether a role may set something is its own right.
create or replace function jobs_internal.try_settings(p_settings jsonb)
returns void
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text;
  v_value pg_catalog.text;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if pg_catalog.jsonb_typeof(p_settings) operator(pg_catalog.<>) 'object' then
    raise exception using errcode = 'PW011', message = 'settings must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_settings)),
      hint = 'Pass {"work_mem": "64MB", ...}. A retry cannot help.';
  end if;
  perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(p_settings) as s loop
    if pg_catalog.lower(v_name collate "C") operator(pg_catalog.=) any (array['role', 'session_authorization', 'application_name', 'statement_timeout',
      'transaction_timeout', 'idle_in_transaction_session_timeout', 'default_transaction_isolation', 'transaction_isolation',
      'default_transaction_read_only', 'transaction_read_only', 'default_transaction_deferrable', 'transaction_deferrable', 'client_min_messages',
      'exit_on_error'])
      or pg_catalog.lower(v_name collate "C") operator(pg_catalog.~) '^(pyworker|pg_background)[.]' then
      raise exception using errcode = 'PW013', message = pg_catalog.format('the setting "%s" belongs to the worker', pg_catalog.left(v_name, 100)),
        detail = 'The worker session sets it itself.', hint = 'For a time limit use the option timeout. A retry cannot help.';
    end if;
    if v_value is null then
      raise exception using errcode = 'PW013', message = pg_catalog.format('the setting "%s" is null', pg_catalog.left(v_name, 100)),
        detail = 'A setting needs a value.', hint = 'Leave it out to keep the default. A retry cannot help.';
    end if;
    begin
      perform pg_catalog.set_config(v_name, v_value, true);
      raise exception using errcode = 'PW000', message = 'undo';
    exception
      when sqlstate 'PW000' then
        null;
      when undefined_object or invalid_name then
        raise exception using errcode = 'PW012', message = pg_catalog.format('there is no setting "%s"', pg_catalog.left(v_name, 100)),
          detail = 'It is not in pg_settings, and a setting of one''s own has a dot in its name.',
          hint = 'Check the name. A retry cannot help.';
      when others then
        get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
        raise exception using errcode = 'PW013', message = pg_catalog.format('%s may not set "%s" to that value', session_user, pg_catalog.left(v_name, 100)),
          detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state, pg_catalog.left(v_message, 1000)),
          hint = 'Use a setting that the role may set in its session, and a valid value. A retry cannot help.';
    end;
  end loop;
end
$$;
comment on function jobs_internal.try_settings(jsonb) is 'Tries a job''s settings with the caller''s rights and undoes them; invoker on purpose';

-- Purpose: check the options that every kind of job has, and find its queue and lane.
-- Returns: one row; timeout and max_attempts with the queue's defaults; timeout in seconds alone, so that a start and a timeout have the same
-- sum on every day of every calendar; limited: the owner may have a quota. Errors: PW007, PW008, PW009, PW010, PW011, PW014, PW015, PW018, PW019,
-- PW020, PW060 in a copy, whose owners' numbers are those of another cluster.
create or replace function jobs_internal.check_options(
  p_queue text,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_note jsonb,
  out owner oid,
  out queue_id integer,
  out priority smallint,
  out timeout interval,
  out max_attempts integer,
  out lane_id integer,
  out pgmq_queue text,
  out limited boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_powerful boolean;
  v_accepting boolean;
  v_home boolean;
begin
  priority := case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0 when 'low' then 2 end;
  -- One query for all that must be looked up, and one expression for the common case, instead of all that follow: PL/pgSQL and the executor
  -- prepare each anew in each transaction.
  select r.oid, r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls or coalesce(l.refused, false), q.id, coalesce(p_timeout, q.timeout),
    coalesce(p_max_attempts, q.max_attempts), q.accepting, l.id, l.pgmq_queue, h.id, h.quotas
  into owner, v_powerful, queue_id, timeout, max_attempts, v_accepting, lane_id, pgmq_queue, v_home, limited
  from pg_catalog.pg_roles as r
  left join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default') and q.dropped_at is null
  -- What is_home asks, as far as it is free: the files of each database lie in a directory that is called by its number.
  left join jobs_internal.home as h on h.place = h.tableoid and h.postmaster = pg_catalog.pg_postmaster_start_time()
    and pg_catalog.split_part(pg_catalog.pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  left join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid and l.priority = check_options.priority
  where r.rolname = session_user;
  -- Memberships are asked for where the role has no lane yet, or a supervisor has found one that counts (note_refused), and again whenever a
  -- session of it begins (open_session).
  if v_powerful or lane_id is null then
    perform jobs_internal.assert_admitted(owner);
  end if;
  if lane_id is null and owner is not null and not jobs_internal.is_runner(owner) then  -- not in the way of an ordinary enqueue
    raise notice using message = pg_catalog.format('jobs of %s do not run: it is no login member of jobs_runner', session_user),
      hint = pg_catalog.format('grant jobs_runner to %I;', session_user);
  end if;
  if p_timeout is not null or p_max_attempts is not null or p_unique_key is not null or p_priority <> 'normal' or p_note <> '{}'
    or pg_catalog.octet_length(p_queue) > 63
  then
    if priority is null then
      raise exception using errcode = 'PW020', message = pg_catalog.format('there is no priority "%s"', pg_catalog.left(p_priority, 100)),
        detail = 'Priorities are high, normal and low.', hint = 'Use one of them. A retry cannot help.';
    end if;
    if extract(epoch from p_timeout) <= 0 then
      raise exception using errcode = 'PW009', message = pg_catalog.format('timeout must be longer than zero, not %s', p_timeout),
        detail = pg_catalog.format('It is the longest time that one attempt may take; this is %s s.', extract(epoch from p_timeout)),
        hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_max_attempts < 1 then
      raise exception using errcode = 'PW010', message = pg_catalog.format('max_attempts must be at least 1, not %s', p_max_attempts),
        detail = 'The first try counts.', hint = 'Leave it out for the queue''s default. A retry cannot help.';
    end if;
    if p_unique_key = '' or pg_catalog.octet_length(p_unique_key) > 512 then
      raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
        detail = pg_catalog.format('It has %s.', pg_catalog.octet_length(p_unique_key)), hint = 'Shorten it, or use a digest. A retry cannot help.';
    end if;
    if pg_catalog.octet_length(p_queue) > 63 then
      raise exception using errcode = 'PW015', message = 'a queue name has at most 63 bytes',
        detail = pg_catalog.format('It has %s.', pg_catalog.octet_length(p_queue)), hint = 'See jobs.queues. A retry cannot help.';
    end if;
    if pg_catalog.jsonb_typeof(p_note) <> 'object' then
      raise exception using errcode = 'PW011', message = 'note must be a JSON object',
        detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_note)),
        hint = 'Pass {"ticket": "OPS-1", ...}. A retry cannot help.';
    end if;
    if p_note <> '{}' then
      perform jobs_internal.assert_size(p_note, 'note', 65536);
    end if;
  end if;
  limited := coalesce(limited, true);  -- the server was restarted, and that is not noted yet: charge looks
  if v_accepting and v_home then
    if timeout is null then
      return;
    end if;
  elsif queue_id is null then
    raise exception using errcode = 'PW007', message = pg_catalog.format('there is no queue "%s"', p_queue),
      detail = 'Queues are made by an operator.', hint = 'See jobs.queues, or: select jobs.create_queue(...). A retry cannot help.';
  else
    if v_home is null then
      perform jobs_internal.assert_home();
    end if;
    if not v_accepting then
      raise exception using errcode = 'PW008', message = pg_catalog.format('queue "%s" does not accept jobs', p_queue),
        detail = 'An operator closed it for enqueue.', hint = 'Retry after: select jobs.alter_queue(name, accepting => true).';
    end if;
  end if;
  if not pg_catalog.isfinite(timeout) or timeout > interval '1000 years' then
    timeout := null;  -- no limit; and a start and a timeout always have a sum
  else
    timeout := pg_catalog.make_interval(secs => extract(epoch from timeout)::double precision);
  end if;
end
$$;
comment on function jobs_internal.check_options(text, interval, integer, text, text, jsonb) is 'Checks the options of a job and finds its queue and lane';

-- Purpose: refuse what is larger than a limit, in bytes of text. What a job is given goes through a jsonb of 256 MB and a text of 1 GB at
-- most, into its history, the feed and the views: where one of them breaks, a job could never end. p_what: what it is. Errors: PW018.
create or replace function jobs_internal.assert_size(p_value jsonb, p_what text, p_limit integer)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bytes bigint;
begin
  if pg_catalog.pg_column_size(p_value) <= 16 * p_limit::bigint then  -- a byte of text is never so much
    begin
      v_bytes := pg_catalog.octet_length(p_value::text);  -- a short number may be a very long text
    exception when program_limit_exceeded then
      null;
    end;
  end if;
  if v_bytes <= p_limit then
    return;
  end if;
  raise exception using errcode = 'PW018', message = pg_catalog.format('%s is too long', p_what),
    detail = pg_catalog.format('It has %s bytes as text; %s are allowed.', coalesce(v_bytes::text, 'many more'), p_limit),
    hint = 'Keep the data in a table, and pass its key. A retry cannot help.';
end
$$;
comment on function jobs_internal.assert_size(jsonb, text, integer) is 'PW018 for a value that is longer as text than allowed';

-- Purpose: keep queues from being dropped until this transaction ends, before one looks for one. Locks: job (as every write of it does),
-- which waits for nobody but jobs.drop_queue. A transaction with an older snapshot may not see that a queue was dropped: it is told so by a lock
-- FOR KEY SHARE of its row, which a drop conflicts with and no other change (queue_dropped_key), so that an operator's open transaction makes
-- no enqueuer wait. It is given back at once. Errors: 40001.
create or replace function jobs_internal.hold_queues(p_queue text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  lock table jobs_internal.job in row exclusive mode;
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    begin
      perform from jobs_internal.queue as q where q.name = coalesce(p_queue, 'default') and q.dropped_at is null for key share;
      raise exception using errcode = 'PW000', message = 'undo';
    exception
      when sqlstate 'PW000' then
        null;
    end;
  end if;
end
$$;
comment on function jobs_internal.hold_queues(text) is 'Keeps queues from being dropped until this transaction ends';

-- Purpose: store one job, in the caller's transaction. p_shape null: a statement, stored by the caller in jobs_internal.statement; its texts have
-- p_text_bytes.
-- Returns: its id and whether it is new; with a unique_key that an unfinished job has, that job's id and a NOTICE: but a job that enqueues
-- another one under its own key gives it up.
-- Locks: with a unique_key, waits for a transaction that holds the same key. Writes: job, the lane's pgmq queue. Errors: those of
-- check_options, checked_options and charge, PW018 for args and settings.
create or replace function jobs_internal.store_job(
  p_shape integer,
  p_args jsonb,
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_unique_key text,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_options jsonb,
  p_text_bytes bigint default 0,
  out job_id bigint,
  out created boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v record;
  v_run_at timestamptz := coalesce(p_run_at, pg_catalog.now());
  v_due boolean := v_run_at <= pg_catalog.clock_timestamp();
  v_msg_id bigint;
  v_committed boolean := pg_catalog.current_setting('transaction_isolation') = 'read committed';
  v_wakes boolean;
  v_options jsonb;
  v_cursor refcursor;
begin
  -- This function is in the way of every enqueue: what it needs in the common case stands here, and calls are for the other cases.
  open v_cursor for select;  -- this and the next as is_asked_by_login
  execute 'close ' || pg_catalog.quote_ident(v_cursor::text);
  if v_committed then
    lock table jobs_internal.job in row exclusive mode;  -- as hold_queues
  else
    perform jobs_internal.hold_queues(p_queue);
  end if;
  -- An ordinary job for a lane that is there; of all that check_options looks at only what must hold at each enqueue.
  select l.owner, l.queue_id, l.priority, null::interval as timeout, q.max_attempts, l.id as lane_id, l.pgmq_queue, h.quotas as limited
  into v
  from pg_catalog.pg_roles as r
  join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default') and q.dropped_at is null and q.accepting and q.timeout is null
  join jobs_internal.home as h on h.place = h.tableoid and h.postmaster = pg_catalog.pg_postmaster_start_time()
    and pg_catalog.split_part(pg_catalog.pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid and not l.refused
    and l.priority = case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0 when 'low' then 2 end
  where r.rolname = session_user and not (r.rolsuper or r.rolreplication or r.rolcreaterole or r.rolbypassrls)
    and p_timeout is null and p_max_attempts is null and p_unique_key is null and coalesce(p_note, '{}') = '{}';
  if not found then
    v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, p_unique_key, p_priority, p_note);
  end if;
  if pg_catalog.pg_column_size(p_args) > 200 then
    perform jobs_internal.assert_size(p_args, 'args', 134217728);
  end if;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, case when p_shape is null then 'enqueue_sql' else 'enqueue' end,
      not exists (select from jobs_internal.shape as s where s.id = p_shape and not s.procedure));
  end if;
  if v.limited then
    if p_unique_key is null or not exists (select from jobs_internal.job as j
      where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key and j.publication_id is null
        and j.id is distinct from jobs_internal.current_job())
    then
      v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, 1,
        p_text_bytes + jobs_internal.text_bytes(p_args, p_settings, p_note, p_options)));
      v_due := v_run_at <= pg_catalog.clock_timestamp();
    end if;
  end if;
  created := true;
  job_id := pg_catalog.nextval('jobs_internal.job_id_seq');
  if p_unique_key is null and v_due and v.lane_id is not null then
    -- As pgmq.send, which takes twice as long. Planned anew each time, so its text is as short as it can be, and the number is a parameter too.
    v_msg_id := pg_catalog.nextval(pg_catalog.to_regclass('pgmq.q_' || v.pgmq_queue || '_msg_id_seq'));
    execute 'insert into pgmq.q_' || v.pgmq_queue || ' (msg_id, read_ct, enqueued_at, vt, message) overriding system value values ($1, 0, $2, $3, $4)'
    using v_msg_id, pg_catalog.now(), pg_catalog.clock_timestamp(), pg_catalog.jsonb_build_object('job', job_id);
    insert into jobs_internal.job (id, queue_id, owner, priority, state, shape_id, max_attempts, run_at, created_at, timeout,
      lane_id, msg_id, args, settings, note, options)
    values (job_id, v.queue_id, v.owner, v.priority, 'queued', p_shape, v.max_attempts, v_run_at, pg_catalog.now(), v.timeout,
      v.lane_id, v_msg_id, p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options)
    -- Asked after the message was written: see wake.
    returning exists (select from jobs_internal.supervisor as s where s.asleep)
      or exists (select from jobs_internal.lane as l where l.id = v.lane_id and l.rest <> 'awake') into v_wakes;
  else
    if v.lane_id is null then
      perform jobs_internal.know_role(v.owner);  -- who has a lane is known
    end if;
    loop
      if p_unique_key is not null then
        declare
          v_existing bigint;
        begin
          select j.id into v_existing from jobs_internal.job as j
          where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key and j.publication_id is null;
          if found and not jobs_internal.gives_up_key(v_existing) then
            raise notice using message = pg_catalog.format('job %s has this unique_key and is not finished: nothing was enqueued', v_existing);
            job_id := v_existing;
            created := false;
            return;
          end if;
        end;
      end if;
      insert into jobs_internal.job (id, queue_id, owner, priority, state, shape_id, max_attempts, run_at, due_at, created_at, timeout,
        args, settings, note, options, unique_key)
      values (job_id, v.queue_id, v.owner, v.priority, 'scheduled', p_shape, v.max_attempts, v_run_at, v_run_at, pg_catalog.now(), v.timeout,
        p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options, p_unique_key)
      on conflict do nothing;
      exit when found;
      if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = '40001', message = 'a job with this unique_key was enqueued by a concurrent transaction',
          detail = 'It is not visible to this transaction''s snapshot.', hint = 'Retry the transaction.';
      end if;
    end loop;
    if v_due and v.lane_id is not null then
      v_msg_id := pgmq.send(v.pgmq_queue, pg_catalog.jsonb_build_object('job', job_id), null::jsonb, pg_catalog.clock_timestamp());
      update jobs_internal.job as j set state = 'queued', due_at = null, lane_id = v.lane_id, msg_id = v_msg_id where j.id = job_id;
    end if;
  end if;
  if v_wakes is not false or not v_committed then
    perform jobs_internal.wake(v.lane_id);
  end if;
end
$$;
comment on function jobs_internal.store_job(integer, jsonb, text, timestamptz, interval, integer, text, text, jsonb, jsonb, jsonb, bigint) is 'Stores one job in the caller''s transaction';

-- Purpose: store many jobs of one shape with the same options. Returns their ids in the order of p_args. unique_key is not for many.
create or replace function jobs_internal.store_jobs(
  p_shape integer,
  p_args jsonb[],
  p_queue text,
  p_run_at timestamptz,
  p_timeout interval,
  p_max_attempts integer,
  p_priority text,
  p_settings jsonb,
  p_note jsonb,
  p_options jsonb
)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v record;
  v_run_at timestamptz := coalesce(p_run_at, pg_catalog.now());
  v_due boolean := v_run_at <= pg_catalog.clock_timestamp();
  v_settings jsonb := nullif(p_settings, '{}');
  v_note jsonb := nullif(p_note, '{}');
  v_options jsonb;
  v_ids bigint[];
  v_msg_ids bigint[];
begin
  perform jobs_internal.is_asked_by_login(), jobs_internal.hold_queues(p_queue);
  v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, null, p_priority, p_note);
  perform jobs_internal.assert_size(u.args, 'args', 134217728) from pg_catalog.unnest(p_args) as u(args) where pg_catalog.pg_column_size(u.args) > 200;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, 'enqueue_many',
      not exists (select from jobs_internal.shape as s where s.id = p_shape and not s.procedure));
  end if;
  if v.lane_id is null then
    perform jobs_internal.know_role(v.owner);  -- who has a lane is known
  end if;
  if v.limited then
    v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, pg_catalog.cardinality(p_args),
      jobs_internal.text_bytes(null, p_settings, p_note, p_options)
        + (select coalesce(pg_catalog.max(pg_catalog.octet_length(u.args::text)), 0) from pg_catalog.unnest(p_args) as u(args))));
    v_due := v_run_at <= pg_catalog.clock_timestamp();
  end if;
  v_ids := array(select pg_catalog.nextval('jobs_internal.job_id_seq') from pg_catalog.generate_series(1, pg_catalog.cardinality(p_args)));
  if v_due and v.lane_id is not null then
    v_msg_ids := array(select m from pgmq.send_batch(v.pgmq_queue,
      array(select pg_catalog.jsonb_build_object('job', u.id) from pg_catalog.unnest(v_ids) with ordinality as u(id, n) order by u.n)) as m);
  end if;
  insert into jobs_internal.job (id, queue_id, owner, priority, state, shape_id, max_attempts, run_at, due_at, created_at, timeout,
    lane_id, msg_id, args, settings, note, options)
  select u.id, v.queue_id, v.owner, v.priority, case when u.msg_id is null then 'scheduled' else 'queued' end, p_shape, v.max_attempts,
    v_run_at, case when u.msg_id is null then v_run_at end, pg_catalog.now(), v.timeout,
    case when u.msg_id is not null then v.lane_id end, u.msg_id, u.args, v_settings, v_note, v_options
  from unnest(v_ids, v_msg_ids, p_args) as u(id, msg_id, args);
  perform jobs_internal.wake(v.lane_id);
  return v_ids;
end
$$;
comment on function jobs_internal.store_jobs(integer, jsonb[], text, timestamptz, interval, integer, text, jsonb, jsonb, jsonb) is 'Stores many jobs of one shape with the same options';
