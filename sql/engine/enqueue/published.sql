-- What is behind the functions of delegation.

-- Does the work of jobs.unpublish.
create or replace function jobs_internal.unpublish(publication integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before jobs_internal.publication;
  v_job bigint;
  v_count bigint := 0;
begin
  select p.* into v_before from jobs_internal.publication as p
  where p.id = unpublish.publication
    and (p.publisher = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator'))
  for update;
  if not found then
    raise exception using errcode = 'PW077',
      message = format('there is no publication %s', coalesce(unpublish.publication::text, 'null')),
      detail = 'Or it belongs to another role.',
        hint = 'See jobs.publications. A retry cannot help.';
  end if;
  update jobs_internal.publication as p set revoked_at = clock_timestamp() where p.id = v_before.id
    and p.revoked_at is null;
  if found then
    perform jobs_internal.record_audit('unpublish',
        format('%s to %s', v_before.signature, pg_get_userbyid(v_before.to_role)),
      to_jsonb(v_before), null);
  end if;
  for v_job in select j.id from jobs_internal.job as j where j.publication_id = v_before.id
    order by j.id loop
    v_count := v_count + jobs_internal.cancel_waiting(v_job, session_user)::integer;
  end loop;
  return v_count;
end
$$;

-- Does the work of jobs.enqueue_published.
create or replace function jobs_internal.enqueue_published(
  task text,
  args jsonb default '{}',
  publisher text default null,
  run_at timestamptz default now(),
  timeout interval default null,
  unique_key text default null,
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_publication jobs_internal.publication := jobs_internal.find_publication(enqueue_published.task,
      enqueue_published.publisher);
  v_owner oid := v_publication.publisher;
  v_me oid := jobs_internal.caller();
  v_template jobs_internal.call_template;
  v_args jsonb := coalesce(enqueue_published.args, '{}');
  v_queue jobs_internal.queue;
  v_run_at timestamptz := coalesce(enqueue_published.run_at, now());
  v_timeout interval;
  v_options jsonb;
  v_charged boolean := false;
  v_id bigint;
begin
  perform jobs_internal.hold_queues((select q.name from jobs_internal.queue as q
        where q.id = v_publication.queue_id)),
    jobs_internal.assert_not_copy(),
    jobs_internal.assert_admitted(v_owner);
  if jsonb_typeof(v_args) <> 'object' or jsonb_typeof(note) <> 'object' then
    raise exception using errcode = 'PW011',
      message = format('%s must be a JSON object', case when jsonb_typeof(v_args) <> 'object'
          then 'args' else 'note' end),
      detail = format('It is of type %s.', jsonb_typeof(case when jsonb_typeof(v_args) <> 'object'
            then v_args else note end)),
      hint = 'Pass {"parameter": value, ...}. A retry cannot help.';
  end if;
  perform jobs_internal.assert_size(v_args, 'args', 134217728),
    jobs_internal.assert_size(coalesce(note, '{}'), 'note', 65536);
  if extract(epoch from enqueue_published.timeout) <= 0 then
    raise exception using errcode = 'PW009',
      message = format('timeout must be longer than zero, not %s', enqueue_published.timeout),
      detail = 'It is the longest time that one attempt may take.',
        hint = 'Leave it out for the publication''s. A retry cannot help.';
  elsif enqueue_published.unique_key = '' or octet_length(enqueue_published.unique_key) > 512 then
    raise exception using errcode = 'PW015', message = 'unique_key must have 1 to 512 bytes',
      detail = format('It has %s.', octet_length(enqueue_published.unique_key)),
        hint = 'Shorten it, or use a digest. A retry cannot help.';
  end if;
  select q.* into v_queue from jobs_internal.queue as q where q.id = v_publication.queue_id
    and q.dropped_at is null;
  if not found or not v_queue.accepting then
    raise exception using errcode = case when found then 'PW008' else 'PW007' end,
      message = format('the queue of %s does not accept jobs', v_publication.task),
      detail = 'It was closed or dropped.', hint = 'Ask its publisher, or an operator.';
  end if;
  if not exists (select from pg_proc as p where p.oid = v_publication.func and p.proowner = v_owner)
    then
    raise exception using errcode = 'PW042',
      message = format('function %s is not its publisher''s any more', v_publication.signature),
      detail = 'It was dropped, made anew, or has another owner.',
        hint = 'Its owner publishes it again. A retry cannot help.';
  end if;
  v_template := jobs_internal.find_call_template(v_publication.func,
      array(select k from jsonb_object_keys(v_args) as k order by k collate "C"));
  v_args := jobs_internal.published_args(v_template, v_args);
  if options <> '{}' then
    v_options := jobs_internal.checked_options(options, 'enqueue_published', v_template.procedure);
    if v_options ? 'batch' then
      perform jobs_internal.join_batch(v_options);
    end if;
    perform jobs_internal.hold_window(v_options ->> 'window');
  end if;
  -- Whichever is shortest; an endless one is none.
  v_timeout := least(coalesce(enqueue_published.timeout, v_queue.timeout),
      coalesce(v_publication.timeout, v_queue.timeout));
  if v_timeout > interval '1000 years' then
    v_timeout := null;
  end if;
  perform jobs_internal.record_role_name(v_owner), jobs_internal.record_role_name(v_me);
  loop
    -- The keys are the enqueuer's own, for each publication: those of others, and the publisher's,
    -- are no concern of its.
    select j.id into v_id from jobs_internal.job as j
    where j.owner = v_owner and j.queue_id = v_queue.id
      and j.unique_key = enqueue_published.unique_key
      and j.publication_id = v_publication.id and j.enqueued_by = v_me;
    if found then
      raise notice using message =
        format('job %s has this unique_key and is not finished: nothing was enqueued', v_id);
      return v_id;
    end if;
    if not v_charged then
      v_run_at := greatest(v_run_at,
          jobs_internal.charge(v_owner, 1, jobs_internal.text_bytes(v_args, null, note, options),
              v_publication.id));
      v_charged := true;
    end if;
    insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
        max_attempts,
        run_at, due_at, created_at, timeout,
      args, note, options, unique_key, publication_id, enqueued_by)
    values (nextval('jobs_internal.job_id_seq'), v_queue.id, v_owner, 1, 'scheduled', v_template.id,
        v_queue.max_attempts, v_run_at, v_run_at,
      now(), make_interval(secs => extract(epoch from v_timeout)::double precision), v_args,
      nullif(coalesce(note, '{}'), '{}'), v_options, enqueue_published.unique_key, v_publication.id,
        v_me)
    on conflict do nothing
    returning id into v_id;
    exit when found;
    if current_setting('transaction_isolation') <> 'read committed' then
      raise exception using errcode = '40001',
        message = 'a job with this unique_key was enqueued by a concurrent transaction',
        detail = 'It is not visible to this transaction''s snapshot.',
          hint = 'Retry the transaction.';
    end if;
  end loop;
  if v_options is not null then
    perform jobs_internal.store_deadline(array[v_id], v_options, enqueue_published.run_at);
    if v_options ? 'batch' then
      perform jobs_internal.add_to_batch(v_options, array[v_id]);
    end if;
  end if;
  if v_run_at <= clock_timestamp() then
    perform jobs_internal.enter_lane(v_id);
  else
    perform jobs_internal.wake(null);
  end if;
  return v_id;
end
$$;
