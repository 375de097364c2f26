-- Storing many jobs at once.

-- Store many jobs of one template with the same options. Returns their ids in the order of p_args.
-- unique_key is not for many.
create or replace function jobs_internal.store_jobs(
  p_template_id integer,
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
as $$
declare
  v record;
  v_run_at timestamptz := coalesce(p_run_at, now());
  v_due boolean := v_run_at <= clock_timestamp();
  v_settings jsonb := nullif(p_settings, '{}');
  v_note jsonb := nullif(p_note, '{}');
  v_options jsonb;
  v_after record;
  v_due_at timestamptz;
  v_gated boolean := false;
  v_ids bigint[];
  v_msg_ids bigint[];
begin
  perform jobs_internal.is_asked_by_login(), jobs_internal.hold_queues(p_queue);
  v := jobs_internal.check_options(p_queue, p_timeout, p_max_attempts, null, p_priority, p_note);
  perform jobs_internal.assert_size(u.args, 'args', 134217728) from unnest(p_args) as u(args)
    where pg_column_size(u.args) > 200;
  if p_settings <> '{}' then
    perform jobs_internal.assert_size(p_settings, 'settings', 65536);
  end if;
  if p_options <> '{}' then
    v_options := jobs_internal.checked_options(p_options, 'enqueue_many',
      not exists (select from jobs_internal.call_template as s where s.id = p_template_id
          and not s.procedure));
    if v_options ? 'batch' then
      perform jobs_internal.join_batch(v_options);
    end if;
    if v_options ? 'after' then
      v_after := jobs_internal.unmet_parents(v_options);
      v_due_at := case when v_after.parents is not null then 'infinity'::timestamptz end;
    end if;
    v_gated := coalesce(jobs_internal.is_gated(v_options), false);
    perform jobs_internal.hold_window(v_options ->> 'window');
  end if;
  if v.lane_id is null then
    perform jobs_internal.record_role_name(v.owner);  -- who has a lane is known
  end if;
  if v.limited then
    v_run_at := greatest(v_run_at, jobs_internal.charge(v.owner, cardinality(p_args),
      jobs_internal.text_bytes(null, p_settings, p_note, p_options)
        + (select coalesce(max(octet_length(u.args::text)), 0) from unnest(p_args) as u(args))));
    v_due := v_run_at <= clock_timestamp();
  end if;
  v_ids := array(select nextval('jobs_internal.job_id_seq')
      from generate_series(1, cardinality(p_args)));
  v_due := v_due and v_due_at is null;
  if v_due and v.lane_id is not null and not v_gated then
    v_msg_ids := jobs_internal.send_messages(v.pgmq_queue, v_ids);
  end if;
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
      max_attempts,
      run_at, due_at, created_at, timeout,
    lane_id, msg_id, args, settings, note, options)
  select u.id, v.queue_id, v.owner, v.priority, case when u.msg_id is null then 'scheduled'
    else 'queued' end, p_template_id, v.max_attempts,
    v_run_at, case when u.msg_id is null then coalesce(v_due_at, v_run_at) end, now(), v.timeout,
    case when u.msg_id is not null then v.lane_id end, u.msg_id, u.args, v_settings, v_note,
      v_options
  from unnest(v_ids, v_msg_ids, p_args) as u(id, msg_id, args);
  if v_options is not null then
    perform jobs_internal.store_deadline(v_ids, v_options, p_run_at);
    if v_options ? 'batch' then
      perform jobs_internal.add_to_batch(v_options, v_ids);
    end if;
  end if;
  if v_due_at is not null then
    perform jobs_internal.add_dependencies(v_ids, v.owner, v_after.wants, v_after.parents,
        v_after.looks);
  end if;
  if v_due and v_gated and v.lane_id is not null then
    perform jobs_internal.enter_lanes(v_ids);
  end if;
  perform jobs_internal.wake(v.lane_id);
  return v_ids;
end
$$;
