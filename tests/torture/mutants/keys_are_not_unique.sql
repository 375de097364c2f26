-- A unique_key keeps no second job away.

-- Replaces jobs_internal.store_job, md5 db9af832f4a279caa913411a933ae575.
create or replace function jobs_internal.store_job(
  p_template_id integer,
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
  v_run_at timestamptz := coalesce(p_run_at, now());
  v_due boolean := v_run_at <= clock_timestamp();
  v_msg_id bigint;
  v_committed boolean := current_setting('transaction_isolation') = 'read committed';
  v_wakes boolean;
  v_options jsonb;
  v_reuse_for interval;
  v_reused bigint;
  v_after record;
  v_due_at timestamptz;
  v_gated boolean := false;
  v_cursor refcursor;
begin
  -- This function is in the way of every enqueue: what it needs in the common case stands here, and
  -- calls are for the other cases.
  open v_cursor for select;  -- this and the next as is_asked_by_login
  execute 'close ' || quote_ident(v_cursor::text);
  if v_committed then
    lock table jobs_internal.job in row exclusive mode;  -- as hold_queues
  else
    perform jobs_internal.hold_queues(p_queue);
  end if;
  -- An ordinary job for a lane that is there; of all that check_options looks at only what must
  -- hold at each enqueue.
  select l.owner, l.queue_id, l.priority, null::interval as timeout, q.max_attempts,
    l.id as lane_id, l.pgmq_queue, h.quotas as limited
  into v
  from pg_roles as r
  join jobs_internal.queue as q on q.name = coalesce(p_queue, 'default') and q.dropped_at is null
    and q.accepting and q.timeout is null
  join jobs_internal.installation as h on h.table_oid = h.tableoid
    and h.postmaster = pg_postmaster_start_time()
    and split_part(pg_relation_filepath(h.tableoid), '/', -2) = h.database::text
  join jobs_internal.lane as l on l.queue_id = q.id and l.owner = r.oid and not l.refused
    and l.priority = case coalesce(p_priority, 'normal') when 'normal' then 1 when 'high' then 0
      when 'low' then 2 end
  where r.rolname = session_user and not (r.rolsuper or r.rolreplication or r.rolcreaterole
      or r.rolbypassrls)
    and p_timeout is null and p_max_attempts is null and p_unique_key is null
    and coalesce(p_note, '{}') = '{}';
  if not found then
    v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, p_unique_key, p_priority,
        p_note);
  end if;
  if pg_column_size(p_args) > 200 then
    perform jobs_internal.assert_size(p_args, 'args', 134217728);
  end if;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, case when p_template_id is null
        then 'enqueue_sql' else 'enqueue' end,
      not exists (select from jobs_internal.call_template as s where s.id = p_template_id
          and not s.procedure));
    if v_options ? 'batch' then
      perform jobs_internal.join_batch(v_options);
    end if;
    v_reuse_for := (v_options ->> 'reuse_for')::interval;
    if v_reuse_for is not null then
      perform jobs_internal.assert_may_reuse(v.queue_id, v_reuse_for,
        p_template_id is not null or p_unique_key is not null);
      p_unique_key := coalesce(p_unique_key, jobs_internal.key_of_call(p_template_id, p_args));
      created := false;
      job_id := jobs_internal.reuse_result(v.owner, v.queue_id, p_unique_key, v_reuse_for);
      if job_id is not null then
        return;
      end if;
    end if;
    if v_options ? 'after' then
      v_after := jobs_internal.unmet_parents(v_options);
      v_due_at := case when v_after.parents is not null then 'infinity'::timestamptz end;
    end if;
    v_gated := coalesce(jobs_internal.is_gated(v_options), false);
    perform jobs_internal.hold_window(v_options ->> 'window');
  end if;
  if v.limited then
    if p_unique_key is null or not exists (select from jobs_internal.job as j
      where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key
        and j.publication_id is null
        and j.id is distinct from jobs_internal.current_job())
    then
      v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, 1,
        p_text_bytes + jobs_internal.text_bytes(p_args, p_settings, p_note, p_options)));
      v_due := v_run_at <= clock_timestamp();
    end if;
  end if;
  v_due := v_due and v_due_at is null;
  created := true;
  job_id := nextval('jobs_internal.job_id_seq');
  if p_unique_key is null and v_due and v.lane_id is not null and not v_gated then
    -- As pgmq.send, which takes twice as long. Planned anew each time, so its text is as short as
    -- it can be, and the number is a parameter too.
    v_msg_id := nextval(to_regclass('pgmq.q_' || v.pgmq_queue || '_msg_id_seq'));
    execute 'insert into pgmq.q_' || v.pgmq_queue || ' (msg_id, read_ct, enqueued_at, vt, message) '
      'overriding system value values ($1, 0, $2, $3, $4)'
    using v_msg_id, now(), clock_timestamp(), jsonb_build_object('job', job_id);
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
        max_attempts, run_at, created_at, timeout,
      lane_id, msg_id, args, settings, note, options)
    values (job_id, v.queue_id, v.owner, v.priority, 'queued', p_template_id, v.max_attempts,
        v_run_at, now(), v.timeout,
      v.lane_id, v_msg_id, p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options)
    -- Asked after the message was written: see wake.
    returning exists (select from jobs_internal.supervisor as s where s.asleep)
      or exists (select from jobs_internal.lane as l
        where l.id = v.lane_id and l.idle_state <> 'active')
        into v_wakes;
  else
    if v.lane_id is null then
      perform jobs_internal.record_role_name(v.owner);  -- who has a lane is known
    end if;
    loop
      if p_unique_key is not null then
        declare
          v_existing bigint;
        begin
          select j.id into v_existing from jobs_internal.job as j
          where j.owner = v.owner and j.queue_id = v.queue_id and j.unique_key = p_unique_key
            and j.publication_id is null;
          if false then
            raise notice using message =
              format('job %s has this unique_key and is not finished: nothing was enqueued',
                  v_existing);
            job_id := v_existing;
            created := false;
            return;
          end if;
        end;
      end if;
      insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
          max_attempts, run_at, due_at, created_at, timeout,
        args, settings, note, options, unique_key)
      values (job_id, v.queue_id, v.owner, v.priority, 'scheduled', p_template_id, v.max_attempts,
          v_run_at, coalesce(v_due_at, v_run_at), now(), v.timeout,
        p_args, nullif(p_settings, '{}'), nullif(p_note, '{}'), v_options, p_unique_key)
      on conflict do nothing;
      exit when found;
      if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = '40001',
          message = 'a job with this unique_key was enqueued by a concurrent transaction',
          detail = 'It is not visible to this transaction''s snapshot.',
            hint = 'Retry the transaction.';
      end if;
    end loop;
    if v_reuse_for is not null then
      -- A job with the key may have ended since the first look: see reuse.sql.
      v_reused := jobs_internal.reuse_result(v.owner, v.queue_id, p_unique_key, v_reuse_for);
      if v_reused is not null then
        delete from jobs_internal.job as j where j.id = job_id;
        job_id := v_reused;
        created := false;
        return;
      end if;
    end if;
    if v_due_at is not null then
      perform jobs_internal.add_dependencies(array[job_id], v.owner, v_after.wants,
          v_after.parents, v_after.looks);
    end if;
    if v_due and v_gated and v.lane_id is not null then
      perform jobs_internal.enter_lanes(array[job_id]);
    elsif v_due and v.lane_id is not null then
      v_msg_id := pgmq.send(v.pgmq_queue, jsonb_build_object('job', job_id), null::jsonb,
          clock_timestamp());
      update jobs_internal.job as j set state = 'queued', due_at = null, lane_id = v.lane_id,
        msg_id = v_msg_id where j.id = job_id;
    end if;
  end if;
  if v_options is not null then
    perform jobs_internal.store_deadline(array[job_id], v_options, p_run_at);
  end if;
  if v_wakes is not false or not v_committed then
    perform jobs_internal.wake(v.lane_id);
  end if;
end
$$;

drop index jobs_internal.job_unique_key;
