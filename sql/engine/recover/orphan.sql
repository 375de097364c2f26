-- Child sessions whose worker session died: found, and watched on.

-- Find the child of a session that died after it had launched one and before it had noted that. The
-- child carries its job and attempt in application_name, from its launch on; only the owner's own
-- sessions could claim the same. Returns the job, with its child.
create or replace function jobs_internal.find_orphan(p_job jobs_internal.job,
    p_session jobs_internal.session)
returns jobs_internal.job
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  select a.pid, a.backend_start into p_job.child_pid, p_job.child_start
  from pg_stat_get_activity(null) as a
  where a.usesysid = p_job.owner and a.backend_type <> 'client backend' and a.pid <> p_session.pid
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
    and starts_with(a.application_name, format('pw %s/%s ', p_job.id, p_job.attempt))
  order by a.backend_start  -- what it launched itself has the same name
  limit 1;
  if found then
    update jobs_internal.job set child_pid = p_job.child_pid, child_start = p_job.child_start
      where id = p_job.id;
  end if;
  return p_job;
end
$$;

-- Hand on what a dead session had claimed. Returns: the messages that another transaction has
-- locked while their lease lasts, null when there are none: a claim whose snapshot is older locks
-- them for a moment, only to find that they are taken. Their token stays on the session's row for
-- the next round. Locks: message (skip locked).
create or replace function jobs_internal.hand_on(p_session jobs_internal.session, p_suspect boolean)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint[];
begin
  if to_regclass('pgmq.q_pyworker_' || p_session.lane_id) is null then
    return null;  -- the queue was dropped meanwhile, and its lanes with it
  end if;
  execute format(
    'update pgmq.%1$I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - $3 where '
    'm.msg_id in ('
    '  select q.msg_id from pgmq.%1$I as q where q.msg_id = any ($1) and q.vt = $2 for update skip '
    'locked)', 'q_pyworker_' || p_session.lane_id)
  using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
  if p_session.lease > clock_timestamp() then
    execute format('select array_agg(m.msg_id order by m.msg_id) from pgmq.%I as m where m.msg_id '
      '= any ($1) and m.vt = $2',
      'q_pyworker_' || p_session.lane_id)
    into v_left using p_session.msg_ids, p_session.lease;
  end if;
  return v_left;
end
$$;
