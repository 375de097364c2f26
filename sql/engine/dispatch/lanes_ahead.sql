-- Lanes made before the first job of their owner, so that a first backlog is written once: a job
-- whose lane is not there is stored without a message, and written again when it goes there.
--
-- A lane is a table, so it is not made for each role that might enqueue one day. Where no more than
-- fifty roles may run jobs, each has its lane in the queue `default`, and where they times the
-- queues are no more than fifty, in every queue; always at normal priority. Where there are more,
-- the first job makes the lane, as any other is made.

-- The roles whose lanes are made ahead: login members of jobs_runner and roles that an
-- administrator has admitted, whether they can enqueue or not. None where there are more than
-- p_most: of a server with thousands of members no more are looked at.
create or replace function jobs_internal.few_runners(p_most integer)
returns oid[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_roles oid[];
begin
  -- Groups are passed through, and may be many too.
  with recursive member (role) as (
    select r.oid from pg_roles as r where r.rolname = 'jobs_runner'
    union
    select m.member from member as g join pg_auth_members as m on m.roleid = g.role
  )
  select array_agg(f.oid) into v_roles
  from (
    select r.oid
    from (
      (select a.role from jobs_internal.admitted_role as a limit p_most + 1)
      union
      (select m.role from member as m limit p_most * 4)
    ) as c
    join pg_roles as r on r.oid = c.role and r.rolcanlogin
  ) as f;
  if cardinality(v_roles) > p_most then
    return '{}';
  end if;
  return coalesce(v_roles, '{}');
end
$$;

-- Whether a role could have a job here that runs: it can enqueue, or others for it; it can connect;
-- and its jobs are not refused.
create or replace function jobs_internal.may_need_lane(p_role oid)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return jobs_internal.is_runner(p_role)
    and (pg_has_role(p_role, 'jobs_producer', 'member')
      or exists (select from jobs_internal.publication as p
        where p.publisher = p_role and p.revoked_at is null))
    and has_database_privilege(p_role, current_database(), 'connect')
    and not jobs_internal.is_refused(p_role);
end
$$;

-- Make one lane in a transaction that is not ours, and may stay open. Where it cannot be made now,
-- a supervisor makes it later. Returns whether it was made. Locks: pgmq's queue lock. Writes: lane.
create or replace function jobs_internal.try_lane(p_queue integer, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return jobs_internal.make_lane(p_queue, p_owner, 1::smallint, '-infinity') is not null;
exception
  when others then
    return false;
end
$$;

-- Make the lanes that owners will want, in a supervisor's round: of the owners that it serves.
-- Those that failed a moment ago are left out, and one session makes lanes at a time. A queue, and
-- a supervisor, are five seconds old by then: who makes a queue enqueues next, and a job that is
-- enqueued while its lane is made comes behind those that find the lane. p_round false: in
-- another's transaction, which takes no duty and notes no failure. Returns how many. Locks: duty
-- (skip locked), pgmq's queue lock. Writes: lane.
create or replace function jobs_internal.make_lanes_ahead(p_round boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_settled timestamptz := clock_timestamp() - interval '5 seconds';
  v_most integer := 50;
  v_owners oid[] := jobs_internal.few_runners(v_most);
  v_everywhere boolean;
begin
  if v_owners = '{}' then
    return 0;
  end if;
  v_everywhere := cardinality(v_owners) * (
    select count(*) from jobs_internal.queue as q where q.dropped_at is null) <= v_most;
  for v in
    select q.id as queue_id, o.id as owner
    from unnest(v_owners) as o(id)
    join jobs_internal.queue as q on q.dropped_at is null and (v_everywhere or q.name = 'default')
    where not exists (select from jobs_internal.lane as l
        where l.queue_id = q.id and l.owner = o.id and l.priority = 1)
      and jobs_internal.may_need_lane(o.id)
      and not (p_round and (jobs_internal.is_put_off('lanes', format('%s/%s/1', q.id, o.id))
          or q.created_at > v_settled))
      and not exists (select from jobs_internal.supervisor as s
        where s.pid = pg_backend_pid()
          and (pg_get_userbyid(o.id)::text <> all (s.serves)
            or p_round and s.started_at > v_settled))
    order by q.name <> 'default', q.id, o.id
  loop
    if p_round then
      exit when not (jobs_internal.takes_duty('lanes') and jobs_internal.has_room(v_until));
      v_count := v_count + jobs_internal.make_lane_or_note(v.queue_id, v.owner, 1::smallint,
          '-infinity')::integer;
    else
      v_count := v_count + jobs_internal.try_lane(v.queue_id, v.owner)::integer;
    end if;
  end loop;
  return v_count;
end
$$;

-- The lane of the login that makes a queue, in that queue: no other transaction sees the queue yet,
-- so none waits for the lane's key. Writes: lane.
create or replace function jobs_internal.make_own_lane(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_login oid := jobs_internal.caller();
begin
  if jobs_internal.may_need_lane(v_login) then
    perform jobs_internal.try_lane(p_queue, v_login);
  end if;
end
$$;
