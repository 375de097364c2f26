-- Mending: what jobs and lanes look like when something was lost (a restore, a hand that deleted a message), and a copy made a home.
--
-- A job and its message change in one transaction, so one look at both, with one snapshot, finds only what is truly out of step, however
-- many sessions work meanwhile. What is put right is looked at again under its lock.

-- Purpose: lanes and messages put right: a lane without its pgmq queue gets one, a queued job without its message is scheduled and due, a
-- message without its job and a queue without its lane go. Safe at any time, by anybody, at once.
-- Returns: {lanes_made, jobs_due_again, messages_removed, queues_removed}. Locks: job and messages (skip locked), pgmq's where it makes or
-- drops queues. Writes: job, pgmq.
create or replace function jobs_internal.mend_lanes()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'  -- any role may hold pgmq's advisory locks
set enable_nestloop = off  -- tables that were analyzed while they were empty may be full now: each row would be compared with each
as $$
declare
  v_lane integer;
  v_queue text;
  v_n bigint;
  v_made bigint := 0;
  v_due bigint := 0;
  v_messages bigint := 0;
  v_queues bigint := 0;
  v_failed integer := 0;
begin
  update jobs_internal.lane as l set rest = 'awake', mark = null
  where l.id in (select o.id from jobs_internal.lane as o where o.rest <> 'awake' for no key update skip locked);
  for v_lane in
    select l.id from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where q.dropped_at is null and not exists (
      select from pg_catalog.pg_class as c
      where c.relnamespace = (select n.oid from pg_catalog.pg_namespace as n where n.nspname = 'pgmq') and c.relname = 'q_pyworker_' || l.id)
    order by l.id
  loop
    exit when v_failed > 20;
    begin
      perform jobs_internal.make_lane_queue(v_lane);
      v_made := v_made + 1;
      perform jobs_internal.clear_failure('mend', v_lane::text);
    exception
      when others or query_canceled then  -- the next mending makes it
        perform jobs_internal.note_failure('mend', l.id::text, jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
        v_failed := v_failed + 1;
    end;
  end loop;
  for v_lane in select l.id from jobs_internal.lane as l order by l.id loop
    begin
      execute pg_catalog.format(
        'update jobs_internal.job as j set state = ''scheduled'', due_at = pg_catalog.clock_timestamp(), msg_id = null'
        ' where j.state = ''queued'' and j.id in ('
        '   select o.id from jobs_internal.job as o'
        '   where o.state = ''queued'' and o.lane_id = $1 and not exists (select from pgmq.%I as m where m.msg_id = o.msg_id)'
        '   for update of o skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_due := v_due + v_n;
      execute pg_catalog.format(
        'delete from pgmq.%1$I as d where d.msg_id in ('
        '  select m.msg_id from pgmq.%1$I as m'
        '  where not exists (select from jobs_internal.job as j'
        '    where j.id = (m.message ->> ''job'')::bigint and j.msg_id = m.msg_id and j.lane_id = $1)'
        '  for update of m skip locked)',
        'q_pyworker_' || v_lane)
      using v_lane;
      get diagnostics v_n = row_count;
      v_messages := v_messages + v_n;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
      when others then
        perform jobs_internal.note_failure('mend', l.id::text, jobs_internal.error_object(sqlstate, sqlerrm), l.queue_id, l.owner)
        from jobs_internal.lane as l where l.id = v_lane;
    end;
  end loop;
  update jobs_internal.job as j set state = 'scheduled', due_at = pg_catalog.clock_timestamp(), msg_id = null
  where j.state = 'queued' and j.id in (
    select o.id from jobs_internal.job as o
    where o.state = 'queued' and not exists (select from jobs_internal.lane as l where l.id = o.lane_id)
    for update skip locked);
  get diagnostics v_n = row_count;
  v_due := v_due + v_n;
  for v_queue in
    select m.queue_name from pgmq.meta as m
    where m.queue_name ~ '^pyworker_[0-9]+$' and not exists (select from jobs_internal.lane as l where l.pgmq_queue = m.queue_name)
  loop
    exit when v_failed > 20;
    begin
      perform pgmq.drop_queue(v_queue);
      v_queues := v_queues + 1;
      perform jobs_internal.clear_failure('mend', v_queue);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('mend', v_queue, jobs_internal.error_object(sqlstate, sqlerrm));
        v_failed := v_failed + 1;
    end;
  end loop;
  return pg_catalog.jsonb_build_object('lanes_made', v_made, 'jobs_due_again', v_due, 'messages_removed', v_messages, 'queues_removed', v_queues);
end
$$;
comment on function jobs_internal.mend_lanes() is 'Puts right what jobs, messages and lanes have lost of each other; returns counts';

-- Purpose: end what was at work in the original when it was copied. Nothing of it runs here: what a function did was not committed in what
-- was copied, so it runs again and is not charged; a top-level statement ends by its post-condition, or in doubt.
-- Returns: {sessions_cleared, jobs_interrupted}. Locks: all of job, by the caller. Writes: session, job, finished, slot, stop, server, ...
create or replace function jobs_internal.leave_sessions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_sessions bigint := 0;
  v_running bigint;
  v_lane text;
begin
  v_running := (select pg_catalog.count(*) from jobs_internal.job as j where j.state = 'running');
  delete from jobs_internal.stop where reason = 'timed_out';
  update jobs_internal.stop set presses = 0, pressed_at = null, requested_at = pg_catalog.clock_timestamp();
  update jobs_internal.job set child_start = null where child_start is not null;  -- a process of another server, or database
  for v_session in
    select s.* from jobs_internal.session as s order by s.id
  loop
    v_session.msg_ids := null;
    v_session.fate := 'innocent';
    perform jobs_internal.rescue_one(v_session);
    v_sessions := v_sessions + 1;
  end loop;
  for v_session.id, v_session.job_id, v_session.attempt in
    select j.session_id, j.id, j.attempt from jobs_internal.job as j where j.state = 'running' order by j.id
  loop
    v_session.pid := null;
    v_session.fate := 'innocent';
    perform jobs_internal.rescue_one(v_session);  -- its session's row is not there
  end loop;
  update jobs_internal.slot set session_id = null where session_id is not null;
  update jobs_internal.lane set quarantine = null where quarantine is not null;
  update jobs_internal.server set epoch = null, trial_session = null, trial_job = null, trial_attempt = null, trial_until = null;
  delete from jobs_internal.supervisor;
  delete from jobs_internal.progress_message;
  delete from jobs_internal.minute;
  delete from jobs_internal.feed;  -- the original logs it
  delete from jobs_internal.rate_use;
  delete from jobs_internal.unreached_owner;
  delete from jobs_internal.admitted_role;  -- by number, and of another cluster: an administrator of this one decides anew
  -- What sessions of the original had claimed is for ours, whatever the clock of that server said.
  for v_lane in select 'q_' || l.pgmq_queue from jobs_internal.lane as l loop
    begin
      execute pg_catalog.format('update pgmq.%I set vt = pg_catalog.clock_timestamp() where vt > pg_catalog.clock_timestamp()', v_lane);
    exception
      when undefined_table then
        null;  -- made again by mend_lanes
    end;
  end loop;
  return pg_catalog.jsonb_build_object('sessions_cleared', v_sessions, 'jobs_interrupted', v_running);
end
$$;
comment on function jobs_internal.leave_sessions() is 'Ends what was at work in the original when it was copied; returns counts';

-- Purpose: quotas, classes of owners and publications for owners that get other numbers. Where the role has something of its own already, made
-- since it was missing, that counts. What was learned of durations is learned again. Writes: quota, history_class, publication, duration.
create or replace function jobs_internal.move_limits(p_copy boolean, p_old oid[], p_via oid[], p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.duration as d where d.owner = any (p_old || p_new);
  delete from jobs_internal.quota as u using unnest(p_old, p_new) as m(old, new)
  where not p_copy and u.owner = m.old and exists (select from jobs_internal.quota as o where o.owner = m.new);
  update jobs_internal.quota as u set owner = m.via from unnest(p_old, p_via) as m(old, via) where u.owner = m.old;
  update jobs_internal.quota as u set owner = m.new from unnest(p_via, p_new) as m(via, new) where u.owner = m.via;
  -- A class that stays behind has no quota any more, so the upkeep leaves it.
  update jobs_internal.history_class as c set owner = m.via from unnest(p_old, p_via, p_new) as m(old, via, new)
  where c.owner = m.old and (p_copy or not exists (select from jobs_internal.history_class as o where o.owner = m.new));
  update jobs_internal.history_class as c set owner = m.new from unnest(p_via, p_new) as m(via, new) where c.owner = m.via;
  update jobs_internal.publication as p set revoked_at = pg_catalog.clock_timestamp() from unnest(p_old, p_new) as m(old, new)
  where not p_copy and p.publisher = m.old and p.revoked_at is null
    and exists (select from jobs_internal.publication as o where o.publisher = m.new and o.signature = p.signature and o.revoked_at is null);
  update jobs_internal.publication as p set publisher = m.via from unnest(p_old, p_via) as m(old, via) where p.publisher = m.old;
  update jobs_internal.publication as p set publisher = m.new from unnest(p_via, p_new) as m(via, new) where p.publisher = m.via;
  update jobs_internal.publication as p set to_role = m.via from unnest(p_old, p_via) as m(old, via) where p.to_role = m.old;
  update jobs_internal.publication as p set to_role = m.new from unnest(p_via, p_new) as m(via, new) where p.to_role = m.via;
end
$$;
comment on function jobs_internal.move_limits(boolean, oid[], oid[], oid[]) is 'Gives quotas, classes and publications of owners the numbers that they have here';

-- Purpose: owners by name. Each role that owned something gets the number that its name has here; one that this cluster lacks, or that was
-- dropped before, gets a number that no role has, and its jobs wait. Numbers may be swapped, so all of them move at once.
-- p_copy: the numbers are those of another cluster; false: only roles that were missing are looked for again.
-- Returns: {roles_moved, roles_missing: [names]}. Locks: all of job, by the caller, in a copy. Writes: every table with an owner.
create or replace function jobs_internal.move_owners(p_copy boolean)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v record;
  v_old oid[] := '{}';
  v_via oid[] := '{}';
  v_new oid[] := '{}';
  v_to oid;
  v_next bigint;
  v_missing text[];
  v_lane record;
begin
  if p_copy then
    insert into jobs_internal.known_role (role, name, gone)
    select o.owner, 'role ' || o.owner, true
    from (
      select l.owner from jobs_internal.lane as l
      union
      select j.owner from jobs_internal.job as j
      union
      select f.owner from jobs_internal.finished as f
      union
      select s.func_owner from jobs_internal.shape as s
      union
      select u.owner from jobs_internal.quota as u
      union
      select x.role from jobs_internal.publication as p, pg_catalog.unnest(array[p.publisher, p.to_role]) as x(role)
      union
      select x.enqueued_by from (select j.enqueued_by from jobs_internal.job as j union select f.enqueued_by from jobs_internal.finished as f) as x
      where x.enqueued_by is not null
    ) as o
    where not exists (select from jobs_internal.known_role as k where k.role = o.owner);
  end if;
  v_next := greatest(10000, (select pg_catalog.max(k.role::bigint) + 1 from jobs_internal.known_role as k where jobs_internal.is_stand_in(k.role)));
  for v in
    select distinct on (k.role) k.role, k.name, k.gone from jobs_internal.known_role as k
    where p_copy or jobs_internal.is_stand_in(k.role)
    order by k.role, k.gone desc
  loop
    v_to := (select r.oid from pg_catalog.pg_roles as r where r.rolname = v.name and not v.gone);
    if v_to is null and jobs_internal.is_stand_in(v.role) then
      v_to := v.role;
    elsif v_to is null then
      v_to := v_next::oid;
      v_next := v_next + 1;
    end if;
    if v_to <> v.role then
      v_old := v_old || v.role;
      v_via := v_via || (4294960000 - pg_catalog.cardinality(v_old))::oid;
      v_new := v_new || v_to;
    end if;
  end loop;
  if v_next > 12000 then
    raise exception using errcode = '54000', message = 'more than 2000 owners of jobs are missing here',
      detail = 'Each takes one of the numbers that the server gives to no role.', hint = 'Create the roles first (pg_dumpall --roles-only).';
  end if;
  if pg_catalog.cardinality(v_old) > 0 then
    -- The lanes of a role that was missing may be there a second time, made since for the role itself: its jobs go there.
    for v_lane in
      delete from jobs_internal.lane as l
      where not p_copy and l.owner = any (v_old)
      returning l.id, l.pgmq_queue
    loop
      update jobs_internal.job set state = 'scheduled', due_at = pg_catalog.clock_timestamp(), msg_id = null
      where lane_id = v_lane.id and state = 'queued';
      perform pgmq.drop_queue(v_lane.pgmq_queue);
    end loop;
    update jobs_internal.job as j set unique_key = null
    from jobs_internal.job as k
    left join unnest(v_old, v_new) as m(old, new) on m.old = k.owner
    left join unnest(v_old, v_new) as e(old, new) on e.old = k.enqueued_by
    where not p_copy and j.id = k.id and k.unique_key is not null and (m.old is not null or e.old is not null)
      and exists (select from jobs_internal.job as o
        where o.owner = coalesce(m.new, k.owner) and o.queue_id = k.queue_id and o.unique_key = k.unique_key
          and o.publication_id is not distinct from k.publication_id
          and o.enqueued_by is not distinct from coalesce(e.new, k.enqueued_by));
    update jobs_internal.lane as l set owner = m.via from unnest(v_old, v_via) as m(old, via) where l.owner = m.old;
    update jobs_internal.lane as l set owner = m.new from unnest(v_via, v_new) as m(via, new) where l.owner = m.via;
    update jobs_internal.job as j set owner = m.via from unnest(v_old, v_via) as m(old, via) where j.owner = m.old;
    update jobs_internal.job as j set owner = m.new from unnest(v_via, v_new) as m(via, new) where j.owner = m.via;
    update jobs_internal.finished as f set owner = m.new from unnest(v_old, v_new) as m(old, new) where f.owner = m.old;
    update jobs_internal.attempt as a set owner = m.new from unnest(v_old, v_new) as m(old, new) where a.owner = m.old;
    update jobs_internal.log_line as l set owner = m.new from unnest(v_old, v_new) as m(old, new) where l.owner = m.old;
    update jobs_internal.job as j set enqueued_by = m.via from unnest(v_old, v_via) as m(old, via) where j.enqueued_by = m.old;
    update jobs_internal.job as j set enqueued_by = m.new from unnest(v_via, v_new) as m(via, new) where j.enqueued_by = m.via;
    update jobs_internal.finished as f set enqueued_by = m.new from unnest(v_old, v_new) as m(old, new) where f.enqueued_by = m.old;
    perform jobs_internal.move_spent(v_old, v_new), jobs_internal.move_limits(p_copy, v_old, v_via, v_new);
    update jobs_internal.past_attempt as a set owner = m.new from unnest(v_old, v_new) as m(old, new) where a.owner = m.old;
    update jobs_internal.past_log_line as l set owner = m.new from unnest(v_old, v_new) as m(old, new) where l.owner = m.old;
    update jobs_internal.shape as s set func_owner = m.new from unnest(v_old, v_new) as m(old, new) where s.func_owner = m.old;
    update jobs_internal.shape as s set maker = m.new from unnest(v_old, v_new) as m(old, new) where s.maker = m.old;
    update jobs_internal.known_role as k set role = m.new from unnest(v_old, v_new) as m(old, new) where k.role = m.old;
  end if;
  v_missing := array(select distinct k.name::text from jobs_internal.known_role as k where jobs_internal.is_stand_in(k.role) order by 1);
  return pg_catalog.jsonb_build_object('roles_moved', pg_catalog.cardinality(v_old), 'roles_missing', pg_catalog.to_jsonb(v_missing));
end
$$;
comment on function jobs_internal.move_owners(boolean) is 'Gives owners the numbers that their names have here; returns counts';

-- Purpose: functions by name and signature. A shape whose function is here, belongs to the same role and is called in the same way goes on as
-- it was, with what is known of its duration; any other loses its number, and its jobs look for the function when they run, and fail with
-- PW042 where it is gone. Returns: {functions_found, functions_missing: [signatures]}. Writes: shape.
create or replace function jobs_internal.find_functions()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_shape jobs_internal.shape;
  v_now jobs_internal.shape;
  v_func oid;
  v_owner oid;
  v_version xid;
  v_place tid;
  v_found bigint := 0;
  v_missing text[] := '{}';
begin
  -- A publication without its function here, or with one of somebody else's, is revoked: it has to be said again.
  update jobs_internal.publication as p set revoked_at = pg_catalog.clock_timestamp()
  where p.revoked_at is null and not exists (select from pg_catalog.pg_proc as f where f.oid::regprocedure::text = p.signature and f.proowner = p.publisher);
  update jobs_internal.publication as p set func = f.oid
  from pg_catalog.pg_proc as f
  where p.revoked_at is null and f.oid::regprocedure::text = p.signature and f.proowner = p.publisher;
  -- How names are hashed is this server's affair.
  update jobs_internal.shape set func = 0, version = '0', fit = case when whole then 0 else pg_catalog.hash_array(keys) end;
  for v_shape in select s.* from jobs_internal.shape as s order by s.id loop
    select p.oid, p.proowner into v_func, v_owner
    from pg_catalog.pg_namespace as n
    join pg_catalog.pg_proc as p on p.pronamespace = n.oid
    where n.nspname = (pg_catalog.parse_ident(v_shape.task))[1] and p.proname = (pg_catalog.parse_ident(v_shape.task))[2]
      and p.oid::regprocedure::text = v_shape.signature;
    if not found then
      v_missing := v_missing || v_shape.signature;
      continue;
    end if;
    v_version := '0';
    v_place := '(0,0)';
    if v_owner = v_shape.func_owner and jobs_internal.misfit(v_func, v_shape.keys) is null then
      begin
        v_now := jobs_internal.make_shape(v_func, v_shape.keys);
        delete from jobs_internal.shape where id = v_now.id;
        if v_now.call = v_shape.call and v_now.cast_query is not distinct from v_shape.cast_query then
          v_version := v_now.version;
          v_place := v_now.place;
        end if;
      exception
        when others then
          v_version := '0';  -- its jobs will say what is wrong with it
      end;
    end if;
    update jobs_internal.shape set func = v_func, version = v_version, place = v_place where id = v_shape.id;
    v_found := v_found + 1;
  end loop;
  return pg_catalog.jsonb_build_object('functions_found', v_found,
    'functions_missing', pg_catalog.to_jsonb(array(select distinct m from pg_catalog.unnest(v_missing) as m order by 1)));
end
$$;
comment on function jobs_internal.find_functions() is 'Gives shapes the numbers that their functions have here; returns counts';
