-- Upkeep of counters and hot tables.

-- Of a large table an upkeep looks at a part, some 10,000 rows, another one each time: how many
-- percent, for TABLESAMPLE SYSTEM.
create or replace function jobs_internal.percent_to_sweep(p_table regclass)
returns real
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select least(100, 100 * 10000 / greatest(1, c.reltuples)) from pg_class as c
  where c.oid = p_table;
end;

-- Counters older than an hour, outcomes that no supervisor logged for a week, and what else is of
-- no use any more, is removed. What another transaction has locked stays for the next time. Locks:
-- nothing that it waits for.
create or replace function jobs_internal.sweep_counters()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.queue_minute_stats as d
  where d.ctid = any (array(
    select m.ctid from jobs_internal.queue_minute_stats as m
    where m.minute < now() - interval '1 hour'
    for update skip locked));
  delete from jobs_internal.outbox as d
  where d.ctid = any (array(select f.ctid from jobs_internal.outbox as f
        where f.at < now() - interval '7 days' for update skip locked));
  delete from jobs_internal.rate_use as d
  where d.ctid = any (array(select u.ctid from jobs_internal.rate_use as u
        where u.at < now() - interval '1 minute' for update skip locked));
  perform jobs_internal.sweep_schedule_runs(), jobs_internal.sum_reuses(),
    jobs_internal.sweep_dependencies(), jobs_internal.sweep_batches(), jobs_internal.sweep_keys(),
    jobs_internal.sweep_rates(), jobs_internal.sweep_marks();
  -- An idle lane has no message. Should one have got there by a way that leaves no wakeup
  -- request, it does not wait longer than to here.
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id = any (array(
    select o.id from jobs_internal.lane as o
    where o.idle_state = 'idle' and o.id in (select j.lane_id from jobs_internal.job as j
        where j.state = 'queued')
    for no key update skip locked));
  delete from jobs_internal.progress_message as d
  where d.ctid = any (array(
    select p.ctid from jobs_internal.progress_message as p
    where not exists (select from jobs_internal.job as j where j.id = p.job_id)
    for update skip locked));
end
$$;

-- Vacuum of the hot tables in a session of its own, because long worker sessions hide their work
-- from autovacuum. Returns the tables.
create or replace function jobs_internal.launch_vacuum()
returns text[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables text;
begin
  select string_agg(format('%I.%I', n.nspname, c.relname), ', ' order by c.relname)
  into v_tables
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relowner = quote_ident(current_user)::regrole::oid
    and ((n.nspname = 'jobs_internal'
          and c.relname in ('job', 'attempt', 'log_line', 'statement', 'wakeup_request', 'rate_use',
            'session', 'slot', 'lane', 'call_stats', 'stop_request', 'outbox',
            'queue_minute_stats', 'daily_cost', 'supervisor', 'progress_message', 'duty_failure',
            'job_deadline', 'fresh_result', 'reuse', 'dependency', 'parent_event',
            'batch', 'batch_count', 'batch_delta',
            'key_held', 'key_wait', 'key_event', 'rate_value', 'rate_wait', 'rate_return',
            'window_state', 'window_wait', 'task_run'))
      or (n.nspname = 'pgmq' and c.relname like 'q\_pyworker\_%'))
    -- With what is toasted: the claims of sessions are. A table that another session has locked has
    -- no size now, and would be waited for.
    and not exists (select from pg_locks as l
      where l.relation = c.oid and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
        and l.granted
        and l.database = (select d.oid from pg_database as d where d.datname = current_database()))
    and pg_table_size(c.oid) > 65536;
  if v_tables is null or not jobs_internal.launch_upkeep(
      'vacuum (skip_locked, analyze, truncate false, parallel 0) ' || v_tables, 'pyworker vacuum')
      then
    return null;
  end if;
  return string_to_array(v_tables, ', ');
end
$$;

-- Upkeep: one round for the history (history/steps.sql), counters and sums, what dropped queues
-- left, vacuum of the hot tables. One session does it at a time, and each part is in a savepoint of
-- its own. Returns {removed: stretches of history that are gone, more: there is more to do at once,
-- vacuumed: [tables]}.
--   Locks: duty (skip locked).
create or replace function jobs_internal.maintain()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '100ms'
as $$
declare
  v_history jsonb;
  v_vacuumed jsonb;
  v_queues integer;
begin
  if jobs_internal.takes_duty('upkeep') then
    perform jobs_internal.do_part('sums'), jobs_internal.do_part('counters'),
      jobs_internal.do_part('call_templates');
    v_queues := jobs_internal.do_part('queues')::integer;
    perform jobs_internal.do_part('lanes_ahead');
    v_vacuumed := jobs_internal.do_part('vacuum');
    v_history := jobs_internal.do_part('history');
  end if;
  return jsonb_build_object('removed', coalesce(v_history -> 'dropped', '0'), 'more',
      coalesce((v_history ->> 'more')::boolean, false) or coalesce(v_queues > 0, false),
    'vacuumed', v_vacuumed);
end
$$;
