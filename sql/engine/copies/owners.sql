-- Owners and their limits get the numbers that their names have in this cluster.

-- Quotas, classes of owners and publications for owners that get other numbers. Where the role has
-- something of its own already, made since it was missing, that counts. How long
-- calls take is measured again. Writes: quota, history_class, publication, call_stats, task_run,
-- rate_value.
create or replace function jobs_internal.move_limits(p_copy boolean, p_old oid[], p_via oid[],
    p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.call_stats as d where d.owner = any (p_old || p_new);
  delete from jobs_internal.task_run as d where d.owner = any (p_old || p_new);
  delete from jobs_internal.rate_value;
  delete from jobs_internal.quota as u using unnest(p_old, p_new) as m(old, new)
  where not p_copy and u.owner = m.old
    and exists (select from jobs_internal.quota as o where o.owner = m.new);
  update jobs_internal.quota as u set owner = m.via from unnest(p_old, p_via) as m(old, via)
    where u.owner = m.old;
  update jobs_internal.quota as u set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where u.owner = m.via;
  -- A class that stays behind has no quota any more, so the upkeep leaves it.
  update jobs_internal.history_class as c set owner = m.via
    from unnest(p_old, p_via, p_new) as m(old, via, new)
  where c.owner = m.old and (p_copy or not exists (select from jobs_internal.history_class as o
        where o.owner = m.new));
  update jobs_internal.history_class as c set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where c.owner = m.via;
  update jobs_internal.publication as p set revoked_at = clock_timestamp()
    from unnest(p_old, p_new) as m(old, new)
  where not p_copy and p.publisher = m.old and p.revoked_at is null
    and exists (select from jobs_internal.publication as o where o.publisher = m.new
        and o.signature = p.signature and o.revoked_at is null);
  update jobs_internal.publication as p set publisher = m.via
    from unnest(p_old, p_via) as m(old, via) where p.publisher = m.old;
  update jobs_internal.publication as p set publisher = m.new
    from unnest(p_via, p_new) as m(via, new) where p.publisher = m.via;
  update jobs_internal.publication as p set to_role = m.via from unnest(p_old, p_via) as m(old, via)
    where p.to_role = m.old;
  update jobs_internal.publication as p set to_role = m.new from unnest(p_via, p_new) as m(via, new)
    where p.to_role = m.via;
end
$$;

-- Owners by name. Each role that owned something gets the number that its name has here; one that
-- this cluster lacks, or that was dropped before, gets a number that no role has, and its jobs
-- wait. Numbers may be swapped, so all of them move at once.
-- p_copy: the numbers are those of another cluster; false: only roles that were missing are looked
--   for again.
-- Returns: {roles_moved, roles_missing: [names]}. Locks: job (all of it, by the caller, in a copy).
--   Writes: all tables with an owner.
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
    perform jobs_internal.forget_statements();
    insert into jobs_internal.known_role (role, name, gone)
    select o.owner, 'role ' || o.owner, true
    from (
      select l.owner from jobs_internal.lane as l
      union
      select j.owner from jobs_internal.job as j
      union
      select o.owner from jobs_internal.operation as o
      union
      select s.owner from jobs_internal.schedule as s
      union
      select b.owner from jobs_internal.batch as b
      union
      select m.owner from jobs_internal.mark as m
      union
      select f.owner from jobs_internal.finished as f
      union
      select s.func_owner from jobs_internal.call_template as s
      union
      select u.owner from jobs_internal.quota as u
      union
      select x.role from jobs_internal.publication as p,
        unnest(array[p.publisher, p.to_role]) as x(role)
      union
      select x.enqueued_by from (select j.enqueued_by from jobs_internal.job as j
          union select f.enqueued_by from jobs_internal.finished as f) as x
      where x.enqueued_by is not null
    ) as o
    where not exists (select from jobs_internal.known_role as k where k.role = o.owner);
  end if;
  v_next := greatest(10000, (select max(k.role::bigint) + 1 from jobs_internal.known_role as k
        where jobs_internal.is_placeholder_role(k.role)));
  for v in
    select distinct on (k.role) k.role, k.name, k.gone from jobs_internal.known_role as k
    where p_copy or jobs_internal.is_placeholder_role(k.role)
    order by k.role, k.gone desc
  loop
    v_to := (select r.oid from pg_roles as r where r.rolname = v.name and not v.gone);
    if v_to is null and jobs_internal.is_placeholder_role(v.role) then
      v_to := v.role;
    elsif v_to is null then
      v_to := v_next::oid;
      v_next := v_next + 1;
    end if;
    if v_to <> v.role then
      v_old := v_old || v.role;
      v_via := v_via || (4294960000 - cardinality(v_old))::oid;
      v_new := v_new || v_to;
    end if;
  end loop;
  if v_next > 12000 then
    raise exception using errcode = '54000',
      message = 'more than 2000 owners of jobs are missing here',
      detail = 'Each takes one of the numbers that the server gives to no role.',
        hint = 'Create the roles first (pg_dumpall --roles-only).';
  end if;
  if cardinality(v_old) > 0 then
    -- The lanes of a role that was missing may be there a second time, made since for the role
    -- itself: its jobs go there.
    for v_lane in
      delete from jobs_internal.lane as l
      where not p_copy and l.owner = any (v_old)
      returning l.id, l.pgmq_queue
    loop
      update jobs_internal.job set state = 'scheduled', due_at = clock_timestamp(), msg_id = null
      where lane_id = v_lane.id and state = 'queued';
      perform pgmq.drop_queue(v_lane.pgmq_queue);
    end loop;
    update jobs_internal.job as j set unique_key = null
    from jobs_internal.job as k
    left join unnest(v_old, v_new) as m(old, new) on m.old = k.owner
    left join unnest(v_old, v_new) as e(old, new) on e.old = k.enqueued_by
    where not p_copy and j.id = k.id and k.unique_key is not null
      and (m.old is not null or e.old is not null)
      and exists (select from jobs_internal.job as o
        where o.owner = coalesce(m.new, k.owner) and o.queue_id = k.queue_id
          and o.unique_key = k.unique_key
          and o.publication_id is not distinct from k.publication_id
          and o.enqueued_by is not distinct from coalesce(e.new, k.enqueued_by));
    update jobs_internal.lane as l set owner = m.via from unnest(v_old, v_via) as m(old, via)
      where l.owner = m.old;
    update jobs_internal.lane as l set owner = m.new from unnest(v_via, v_new) as m(via, new)
      where l.owner = m.via;
    update jobs_internal.job as j set owner = m.via from unnest(v_old, v_via) as m(old, via)
      where j.owner = m.old;
    update jobs_internal.job as j set owner = m.new from unnest(v_via, v_new) as m(via, new)
      where j.owner = m.via;
    update jobs_internal.finished as f set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where f.owner = m.old;
    update jobs_internal.schedule as s set owner = m.via from unnest(v_old, v_via) as m(old, via)
      where s.owner = m.old;
    update jobs_internal.schedule as s set owner = m.new from unnest(v_via, v_new) as m(via, new)
      where s.owner = m.via;
    update jobs_internal.dependency as d set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where d.owner = m.old;
    update jobs_internal.parent_event as e set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where e.owner = m.old;
    delete from jobs_internal.follower;
    perform jobs_internal.move_batches(v_old, v_new);
    perform jobs_internal.move_keys(v_old, v_via, v_new);
    update jobs_internal.fresh_result as r set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where r.owner = m.old;
    update jobs_internal.operation as o set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where o.owner = m.old;
    update jobs_internal.mark as k set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where k.owner = m.old;
    update jobs_internal.attempt as a set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where a.owner = m.old;
    update jobs_internal.log_line as l set owner = m.new from unnest(v_old, v_new) as m(old, new)
      where l.owner = m.old;
    update jobs_internal.job as j set enqueued_by = m.via from unnest(v_old, v_via) as m(old, via)
      where j.enqueued_by = m.old;
    update jobs_internal.job as j set enqueued_by = m.new from unnest(v_via, v_new) as m(via, new)
      where j.enqueued_by = m.via;
    update jobs_internal.finished as f set enqueued_by = m.new
      from unnest(v_old, v_new) as m(old, new) where f.enqueued_by = m.old;
    perform jobs_internal.move_daily_cost(v_old, v_new),
      jobs_internal.move_limits(p_copy, v_old, v_via, v_new);
    update jobs_internal.finished_attempt as a set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where a.owner = m.old;
    update jobs_internal.finished_log_line as l set owner = m.new
      from unnest(v_old, v_new) as m(old, new) where l.owner = m.old;
    update jobs_internal.call_template as s set func_owner = m.new
      from unnest(v_old, v_new) as m(old, new)
      where s.func_owner = m.old;
    update jobs_internal.call_template as s set maker = m.new
      from unnest(v_old, v_new) as m(old, new)
      where s.maker = m.old;
    update jobs_internal.known_role as k set role = m.new from unnest(v_old, v_new) as m(old, new)
      where k.role = m.old;
  end if;
  v_missing := array(select distinct k.name::text from jobs_internal.known_role as k
      where jobs_internal.is_placeholder_role(k.role) order by 1);
  return jsonb_build_object('roles_moved', cardinality(v_old), 'roles_missing',
      to_jsonb(v_missing));
end
$$;
