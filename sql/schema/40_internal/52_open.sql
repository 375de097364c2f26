-- From messages to jobs that can be run: the first half of a chunk, and the committed start of a job that runs alone.

-- Purpose: whether something in this database may be checked at the commit only: then each job needs a commit of its own. To ask takes as long as
-- the catalogs are large, so sessions ask once a second.
create or replace function jobs_internal.defers()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_catalog.pg_constraint as c where c.condeferrable)
    or exists (select from pg_catalog.pg_trigger as t where t.tgdeferrable);
end;
comment on function jobs_internal.defers() is 'Something in this database may be checked at the commit only';

-- Purpose: lock the next messages of a claim and read their jobs, in the transaction that will run them.
-- p_msg_ids: the messages to try, in order; p_lease: the token of the claim; p_defers: what defers() says, if the caller has asked.
-- Returns: the items to run now, in order: either jobs that may share a transaction, or one that may not. A message that carries another
--   token or is locked by another session is not ours any more and is left out. Items with mode 'gone' are stale messages, to be deleted.
-- Locks: messages (skip locked), held to the commit; that lock is what makes a job run once.
create or replace function jobs_internal.open_chunk(
  p_lane integer,
  p_msg_ids bigint[],
  p_lease timestamptz,
  p_short_ms double precision,
  p_defers boolean default null
)
returns jobs_internal.work_item[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_items jobs_internal.work_item[];
  v_msg_ids bigint[];
  v_read_cts integer[];
  v_job_ids bigint[];
  v_queued timestamptz[];
  v_constraints boolean := coalesce(p_defers, jobs_internal.defers());
  v_i integer;
  v_owner oid := jobs_internal.me();
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if pg_catalog.cardinality(p_msg_ids) = 1 then  -- cheaper to plan, as it is each time
    execute pg_catalog.format(
      'select array[q.msg_id], array[q.read_ct], array[(q.message ->> ''job'')::bigint], array[q.enqueued_at] from pgmq.%I as q'
      ' where q.msg_id = $1 and q.vt = $2 for update skip locked', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids[1], p_lease;
  else
    execute pg_catalog.format(
      'select array_agg(m.msg_id), array_agg(m.read_ct), array_agg((m.message ->> ''job'')::bigint), array_agg(m.enqueued_at) from ('
      '  select q.msg_id, q.read_ct, q.message, q.enqueued_at from pgmq.%I as q where q.msg_id = any ($1) and q.vt = $2 order by q.msg_id for update skip locked'
      ') as m', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids, p_lease;
  end if;
  -- LATERAL with OFFSET 0: jobs, and what belongs to them, are looked up one by one by their keys, whatever the planner believes of tables that
  -- grew or shrank a thousandfold since they were analyzed.
  select pg_catalog.array_agg(row(
    m.msg_id, m.job_id, j.attempt + 1, j.shape_id, s.call, case when pg_catalog.pg_column_size(j.args) <= 8000 then j.args end, case when pg_catalog.pg_column_size(st.body) <= 8000 then st.body end,
    case
      when j.id is null then 'gone'
      when x.job_id is not null then 'stop'
      when coalesce(s.procedure, st.top_level) then 'child'
      -- Large arguments run alone, and are read at their start, as large statements are: those of a whole claim might be more than an array
      -- holds, and the session would be away for as long as nobody may be whose job cannot be seen (end_nameless).
      when j.shape_id is null or pg_catalog.pg_column_size(j.args) > 8000 or j.settings is not null or m.read_ct > 1 or j.verify or j.interruptions > 0 or j.crashes > 0 or not q.batch
        or j.publication_id is not null or d.avg_ms is null or d.avg_ms > p_short_ms or d.renames or p.oid is null then 'alone'
      else 'chunk'
    end,
    (extract(epoch from j.timeout) * 1000)::bigint, j.settings, st.done_when, coalesce(j.verify, false),
    coalesce(d.avg_ms <= abs(p_short_ms), false), v_constraints, m.queued_at, st.command, st.path
  )::jobs_internal.work_item order by m.msg_id)
  into v_items
  from unnest(v_msg_ids, v_read_cts, v_job_ids, v_queued) as m(msg_id, read_ct, job_id, queued_at)
  left join lateral (
    select o.id, o.owner, o.queue_id, o.shape_id, o.attempt, o.args, o.settings, o.timeout, o.verify, o.interruptions, o.crashes, o.publication_id
    from jobs_internal.job as o where o.id = m.job_id and o.msg_id = m.msg_id and o.state = 'queued' and o.owner = v_owner offset 0
  ) as j on true
  left join lateral (select o.paused, o.batch from jobs_internal.queue as o where o.id = j.queue_id offset 0) as q on true
  left join lateral (
    select o.task, o.call, o.procedure, o.func, o.version, o.place, o.func_owner from jobs_internal.shape as o where o.id = j.shape_id offset 0
  ) as s on true
  left join lateral (
    select o.avg_ms, o.renames from jobs_internal.duration as o where o.shape_id = j.shape_id and o.owner = j.owner offset 0
  ) as d on true
  left join lateral (
    select o.oid from pg_catalog.pg_proc as o
    where o.oid = s.func and o.xmin = s.version and o.ctid = s.place and o.proowner = s.func_owner
      and pg_catalog.starts_with(s.task, o.pronamespace::regnamespace::text || '.')  -- a schema may be renamed, and another have its name
    offset 0
  ) as p on true
  left join lateral (
    select o.body, o.top_level, o.done_when, o.command, o.path from jobs_internal.statement as o where o.job_id = j.id and j.shape_id is null offset 0
  ) as st on true
  left join lateral (
    select o.job_id from jobs_internal.stop as o where o.job_id = j.id and o.attempt = j.attempt + 1 and o.reason = 'cancelled' offset 0
  ) as x on true
  where not coalesce(q.paused, false) and not (select w.paused from jobs_internal.switch as w);
  if v_items is null then
    return '{}';
  end if;
  -- Everything up to the first job that may not share; it alone when it stands first, or when each job needs a transaction of its own.
  for v_i in 1 .. pg_catalog.cardinality(v_items) loop
    if v_items[v_i].mode in ('alone', 'child') or (v_constraints and v_i > 1) then
      return v_items[1:greatest(v_i - 1, 1)];
    end if;
  end loop;
  return v_items;
end
$$;
comment on function jobs_internal.open_chunk(integer, bigint[], timestamptz, double precision, boolean) is 'Locks the next messages of a claim and reads their jobs';

-- Purpose: commit-to-be of the start of a job that runs alone: its message goes, it is running, its session is known.
-- Also makes sure that the function is still the one that was enqueued: replaced by its owner is fine, dropped and made anew by the same
-- owner is found again by its signature; anything else is an error of the job.
-- Returns: the item with the call to make; mode 'refused' with the reason in call, when it cannot run at all; mode 'held' when another
-- suspect of a crash is on trial, or another index of the same table is being built: its message comes back in a moment.
create or replace function jobs_internal.begin_alone(p_session bigint, p_lane integer, p_item jobs_internal.work_item)
returns jobs_internal.work_item
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_item jobs_internal.work_item := p_item;
  v_shape jobs_internal.shape;
  v_new jobs_internal.shape;
  v_func oid;
  v_why text;
  v_beside boolean;
  v_hold interval;
  v_publication integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  perform jobs_internal.assert_between_jobs(v_session);
  -- Which attempt it is, the row says; and only what this session has claimed, on whatever slot that took, is started.
  select j.attempt + 1 into v_item.attempt from jobs_internal.job as j where j.id = p_item.job_id and j.owner = v_session.owner;
  if not found or v_session.msg_ids is null or p_item.msg_id <> all (v_session.msg_ids) then
    v_item.mode := 'gone';
    return v_item;
  end if;
  if p_item.mode = 'child' and jobs_internal.builds_index(p_item.job_id) then
    -- One after the other, to the commit of the start: two that start in the same moment would not see each other. By a row of this owner's:
    -- nobody else waits for it.
    perform from jobs_internal.lane as l where l.owner = v_session.owner order by l.id limit 1 for no key update;
    v_beside := jobs_internal.is_built_beside(p_item.job_id);
  end if;
  v_hold := case
    when v_beside then interval '1 second'
    when not jobs_internal.take_trial(p_session, p_item.job_id, v_item.attempt) then interval '0.2 seconds' end;
  if v_hold is not null then
    execute pg_catalog.format('update pgmq.%I set vt = pg_catalog.clock_timestamp() + $2 where msg_id = $1', 'q_pyworker_' || p_lane)
    using p_item.msg_id, v_hold;
    v_item.mode := 'held';
    return v_item;
  end if;
  if not p_item.quick and pg_catalog.cardinality(v_session.msg_ids) > 1 then
    -- Nobody knows how long it takes: what else was claimed goes back first, for other sessions to take.
    perform jobs_internal.release(v_session, false);
  end if;
  execute pg_catalog.format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || p_lane) using p_item.msg_id;
  update jobs_internal.job
  set state = 'running', msg_id = null, session_id = p_session, attempt = v_item.attempt, started_at = pg_catalog.clock_timestamp(),
    child_pid = null, child_start = null
  where id = p_item.job_id and state = 'queued' and msg_id = p_item.msg_id and owner = v_session.owner and attempt = v_item.attempt - 1
  returning publication_id into v_publication;
  if not found then
    v_item.mode := 'gone';
    return v_item;
  end if;
  -- A run of this attempt that died with its chunk may have been overdue: this is another one.
  delete from jobs_internal.stop where job_id = p_item.job_id and attempt = v_item.attempt and reason = 'timed_out';
  update jobs_internal.session
  set job_id = p_item.job_id, attempt = v_item.attempt, msg_ids = case when p_item.quick then msg_ids end, lease = case when p_item.quick then lease end
  where id = p_session;
  if p_item.shape_id is null then
    if v_item.statement is null then
      v_item.statement := (select s.body from jobs_internal.statement as s where s.job_id = p_item.job_id);
    end if;
    if p_item.settings is not null then
      v_item.path := jobs_internal.path_for(p_item.settings, p_item.path, null);
    end if;
    return v_item;
  end if;
  if v_publication is not null then
    v_why := jobs_internal.why_not_published(p_item.job_id);
  end if;
  if v_item.args is null then
    v_item.args := (select j.args from jobs_internal.job as j where j.id = p_item.job_id);
  end if;

  select s.* into v_shape from jobs_internal.shape as s where s.id = p_item.shape_id;
  select p.oid into v_func from pg_catalog.pg_proc as p where p.oid = v_shape.func;
  if v_func is null then
    -- From the catalog, not by to_regprocedure: we may not look into the schemas of others.
    select p.oid into v_func
    from pg_catalog.pg_namespace as n
    join pg_catalog.pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (pg_catalog.parse_ident(v_shape.task))[1] and p.proname = (pg_catalog.parse_ident(v_shape.task))[2]
      and p.oid::regprocedure::text = v_shape.signature;
  end if;
  if v_why is not null then
    null;
  elsif v_func is null then
    v_why := pg_catalog.format('function %s does not exist any more', v_shape.signature);
  elsif not exists (select from pg_catalog.pg_proc as p where p.oid = v_func and p.proowner = v_shape.func_owner) then
    v_why := pg_catalog.format('function %s has another owner than when the job was enqueued', v_shape.signature);
  elsif exists (select from pg_catalog.pg_proc as p where p.oid = v_func and (p.prokind = 'p') <> v_shape.procedure) then
    v_why := pg_catalog.format('%s is a %s now', v_shape.signature, case when v_shape.procedure then 'function' else 'procedure' end);
  elsif not exists (select from pg_catalog.pg_proc as p where p.oid = v_func and p.oid = v_shape.func and p.xmin = v_shape.version
    and p.ctid = v_shape.place and p.oid::regprocedure::text = v_shape.signature)
  then
    v_why := jobs_internal.misfit(v_func, v_shape.keys) ->> 'message';
    if v_why is null then
      select s.* into v_new
      from jobs_internal.shape as s
      join pg_catalog.pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.place and p.oid::regprocedure::text = s.signature
      where s.func = v_func and s.fit = v_shape.fit and s.keys = v_shape.keys and s.retired_by is null
      limit 1;
      if not found then
        v_new := jobs_internal.make_shape(v_func, v_shape.keys);
      end if;
      v_item.shape_id := v_new.id;
      v_item.call := v_new.call;
      update jobs_internal.job set shape_id = v_new.id where id = p_item.job_id;
    end if;
  end if;
  if v_why is not null then
    v_item.mode := 'refused';
    v_item.call := v_why;
  end if;
  return v_item;
end
$$;
comment on function jobs_internal.begin_alone(bigint, integer, jobs_internal.work_item) is 'Starts a job that runs alone; to be committed before it runs';

-- Purpose: whether these functions are still those that the calls were made for; nulls are no functions. A call goes by name, and the name may
-- have changed hands since the chunk was opened.
create or replace function jobs_internal.shapes_are_current(p_shapes integer[])
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  select not exists (
    select from jobs_internal.shape as s
    left join pg_catalog.pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.place and p.proowner = s.func_owner
      and p.oid::regprocedure::text = s.signature  -- nor has its schema another name
    where s.id = any (p_shapes) and p.oid is null);
end;
comment on function jobs_internal.shapes_are_current(integer[]) is 'These functions are still those that the calls were made for';

-- Purpose: the reason to stop this attempt of a job of the calling login that was committed, null when there is none.
create or replace function jobs_internal.stop_reason(p_job bigint, p_attempt integer)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.reason from jobs_internal.stop as s
  where s.job_id = p_job and s.attempt = p_attempt
    and exists (select from jobs_internal.job as j where j.id = p_job and j.owner = jobs_internal.me());
end;
comment on function jobs_internal.stop_reason(bigint, integer) is 'The committed reason to stop this attempt of the calling login''s; null: none';

-- Purpose: the error of an attempt that was stopped for that reason; null where it says nothing (interrupted).
create or replace function jobs_internal.stop_error(p_reason text, p_timeout interval, p_detail text, p_context text default null)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case p_reason
    when 'timed_out' then jobs_internal.error_object('PWT01',
      pg_catalog.format('timed out after %s ms', (extract(epoch from p_timeout) * 1000)::bigint), p_detail,
      'Give it a longer timeout, or look at what it waited for. A retry may be faster.', p_context)
    when 'cancelled' then jobs_internal.error_object('PWC01', 'cancelled on request', p_detail, 'select jobs.retry(id) runs it again.', p_context)
    end;
end;
comment on function jobs_internal.stop_error(text, interval, text, text) is 'The error of an attempt that was stopped for that reason';

-- Purpose: an argument of the job that the calling child session runs, with its type; p_name null: all of them.
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
  execute pg_catalog.format('select %s from pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''v'', $1)) as r(v %s)',
    case when (select t.typtype from pg_catalog.pg_type as t where t.oid operator(pg_catalog.=) pg_catalog.pg_typeof(p_type)::pg_catalog.oid)
      operator(pg_catalog.=) 'c' then '(r.v).*' else 'r.v' end,
    jobs_internal.type_name(pg_catalog.pg_typeof(p_type)::pg_catalog.oid))
  into v_value using v_args operator(pg_catalog.->) p_name;
  return v_value;
end
$$;
comment on function jobs_internal.argument(text, anyelement) is 'An argument of the job that this child session runs; invoker on purpose: it casts';

-- Purpose: the arguments of the running job of the calling login.
create or replace function jobs_internal.my_arguments()
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.args from jobs_internal.job as j where j.id = jobs_internal.current_job() and j.owner = jobs_internal.me();
end;
comment on function jobs_internal.my_arguments() is 'Arguments of the job that the calling session runs';
