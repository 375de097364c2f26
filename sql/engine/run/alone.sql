-- The committed start of a job that runs alone.

-- Commit-to-be of the start of a job that runs alone: its message goes, it is running, its session
-- is known. Also makes sure that the function is still the one that was enqueued: replaced by its
-- owner is fine, dropped and made anew by the same owner is found again by its signature; anything
-- else is an error of the job.
-- p_objects: what a long operation works on now (objects_of).
-- Returns: the item with the call to make; mode 'refused' with the reason in call, when it cannot
--   run at all; mode 'held' when another suspect of a crash is on trial, or another operation works
--   on the same table: its message comes back in a moment.
create or replace function jobs_internal.begin_alone(p_session bigint, p_lane integer,
    p_item jobs_internal.work_item, p_objects jsonb default null)
returns jobs_internal.work_item
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_item jobs_internal.work_item := p_item;
  v_template jobs_internal.call_template;
  v_new jobs_internal.call_template;
  v_func oid;
  v_why text;
  v_hold interval;
  v_locked boolean;
  v_publication integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  perform jobs_internal.assert_between_jobs(v_session);
  -- Which attempt it is, the row says; and only what this session has claimed, on whatever slot
  -- that took, is started.
  select j.attempt + 1 into v_item.attempt from jobs_internal.job as j where j.id = p_item.job_id
    and j.owner = v_session.owner;
  if not found or v_session.msg_ids is null or p_item.msg_id <> all (v_session.msg_ids) then
    v_item.mode := 'gone';
    return v_item;
  end if;
  if p_item.call_template_id is null then
    -- the message first, as who cancels it does
    execute format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked',
        'q_pyworker_' || p_lane) into v_locked using p_item.msg_id;
    if v_locked is null then
      v_item.mode := 'gone';
      return v_item;
    end if;
    if p_objects is not null then
      perform jobs_internal.store_object(p_item.job_id, p_objects);
    end if;
  end if;
  -- what writes down that an operation starts comes last: nothing puts the start off after it
  if not jobs_internal.start_isolated_run(p_session, p_item.job_id, v_item.attempt) then
    v_hold := interval '0.2 seconds';
  elsif p_item.call_template_id is null then
    v_hold := jobs_internal.start_operation(p_item.job_id, v_item.attempt);
  end if;
  if v_hold is not null then
    execute format('update pgmq.%I set vt = pg_catalog.clock_timestamp() + $2 where msg_id = $1',
        'q_pyworker_' || p_lane)
    using p_item.msg_id, v_hold;
    v_item.mode := 'held';
    return v_item;
  end if;
  if not p_item.quick and cardinality(v_session.msg_ids) > 1 then
    -- It is not known how long it takes: what else was claimed goes back first, for other sessions
    -- to take.
    perform jobs_internal.release(v_session, false);
  end if;
  execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || p_lane)
    using p_item.msg_id;
  update jobs_internal.job
  set state = 'running', msg_id = null, session_id = p_session, attempt = v_item.attempt,
    started_at = clock_timestamp(),
    child_pid = null, child_start = null
  where id = p_item.job_id and state = 'queued' and msg_id = p_item.msg_id
    and owner = v_session.owner and attempt = v_item.attempt - 1
  returning publication_id into v_publication;
  if not found then
    v_item.mode := 'gone';
    return v_item;
  end if;
  -- A run of this attempt that died with its chunk may have been overdue: this is another one.
  delete from jobs_internal.stop_request where job_id = p_item.job_id and attempt = v_item.attempt
    and reason in ('timed_out', 'window_closed');
  update jobs_internal.session
  set job_id = p_item.job_id, attempt = v_item.attempt, msg_ids = case when p_item.quick
    then msg_ids end, lease = case when p_item.quick then lease end
  where id = p_session;
  if p_item.call_template_id is null then
    if v_item.statement is null then
      v_item.statement := (select s.body from jobs_internal.statement as s
          where s.job_id = p_item.job_id);
    end if;
    if p_item.settings is not null then
      v_item.path := jobs_internal.path_for(p_item.settings, p_item.path, null);
    end if;
    -- asked before it runs; of a statement at top level end_before_start does that
    v_item.verify := p_item.verify or p_item.mode = 'alone' and p_item.done_when is not null
      and jobs_internal.has_steps(p_item.job_id);
    return v_item;
  end if;
  if v_publication is not null then
    v_why := jobs_internal.why_not_published(p_item.job_id);
  end if;
  if v_item.args is null then
    v_item.args := (select j.args from jobs_internal.job as j where j.id = p_item.job_id);
  end if;

  select s.* into v_template from jobs_internal.call_template as s
  where s.id = p_item.call_template_id;
  select p.oid into v_func from pg_proc as p where p.oid = v_template.func;
  if v_func is null then
    -- From the catalog, not by to_regprocedure: we may not look into the schemas of others.
    select p.oid into v_func
    from pg_namespace as n
    join pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (parse_ident(v_template.task))[1]
      and p.proname = (parse_ident(v_template.task))[2]
      and p.oid::regprocedure::text = v_template.signature;
  end if;
  if v_why is not null then
    null;
  elsif v_func is null then
    v_why := format('function %s does not exist any more', v_template.signature);
  elsif not exists (select from pg_proc as p where p.oid = v_func
      and p.proowner = v_template.func_owner) then
    v_why := format('function %s has another owner than when the job was enqueued',
        v_template.signature);
  elsif exists (select from pg_proc as p where p.oid = v_func
      and (p.prokind = 'p') <> v_template.procedure) then
    v_why := format('%s is a %s now', v_template.signature,
        case when v_template.procedure then 'function' else 'procedure' end);
  elsif not exists (select from pg_proc as p where p.oid = v_func and p.oid = v_template.func
      and p.xmin = v_template.version
    and p.ctid = v_template.func_ctid and p.oid::regprocedure::text = v_template.signature)
  then
    v_why := jobs_internal.argument_mismatch(v_func, v_template.keys) ->> 'message';
    if v_why is null then
      select s.* into v_new
      from jobs_internal.call_template as s
      join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
        and p.oid::regprocedure::text = s.signature
      where s.func = v_func and s.fit = v_template.fit and s.keys = v_template.keys
        and s.retired_by is null
      limit 1;
      if not found then
        v_new := jobs_internal.make_call_template(v_func, v_template.keys);
      end if;
      v_item.call_template_id := v_new.id;
      v_item.call := v_new.call;
      update jobs_internal.job set call_template_id = v_new.id where id = p_item.job_id;
    end if;
  end if;
  if v_why is not null then
    v_item.mode := 'refused';
    v_item.call := v_why;
  end if;
  return v_item;
end
$$;

-- Whether these functions are still those that the calls were made for; nulls are no functions. A
-- call goes by name, and the name may have changed hands since the chunk was opened.
create or replace function jobs_internal.call_templates_are_current(p_call_template_ids integer[])
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select not exists (
    select from jobs_internal.call_template as s
    left join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
      and p.proowner = s.func_owner
      and p.oid::regprocedure::text = s.signature  -- nor has its schema another name
    where s.id = any (p_call_template_ids) and p.oid is null);
end;

-- An argument of the job that the calling child session runs, with its type; p_name null: all of
-- them.
create or replace function jobs_internal.argument(p_name text, p_type anyelement)
returns anyelement
language plpgsql stable
as $$
declare
  v_args pg_catalog.jsonb := jobs_internal.my_arguments();  -- compiled with the owner's path
  v_value alias for $0;
begin
  if p_name is null then
    return coalesce(v_args, '{}');
  end if;
  -- A composite value has to be spread: INTO takes columns.
  execute pg_catalog.format('select %s from '
    'pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''v'', $1)) as r(v %s)',
    case when (select t.typtype from pg_catalog.pg_type as t
        where t.oid operator(pg_catalog.=) pg_catalog.pg_typeof(p_type)::pg_catalog.oid)
      operator(pg_catalog.=) 'c' then '(r.v).*' else 'r.v' end,
    jobs_internal.type_name(pg_catalog.pg_typeof(p_type)::pg_catalog.oid))
  into v_value using v_args operator(pg_catalog.->) p_name;
  return v_value;
end
$$;

-- The arguments of the running job of the calling login.
create or replace function jobs_internal.my_arguments()
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.args from jobs_internal.job as j where j.id = jobs_internal.current_job()
    and j.owner = jobs_internal.caller();
end;
