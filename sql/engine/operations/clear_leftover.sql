-- Dropping what an interrupted attempt left, before the next one.

-- Whether a job builds or drops an index concurrently.
create or replace function jobs_internal.builds_index(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.statement as s
      join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.caller()
    where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently',
        'drop index concurrently'));
end;

-- Who keeps an invalid index from being dropped now: sessions and prepared transactions that hold
-- its table at SHARE or stronger, or wait for that. Such a one may make the index valid itself, as
-- TRUNCATE, CLUSTER and REINDEX do. Null: none.
create or replace function jobs_internal.in_the_way(p_index oid)
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select left(string_agg(distinct format('%s %s %s on %s',
        coalesce('pid ' || l.pid, 'a prepared transaction'),
    case when l.granted then 'holds' else 'waits for' end, l.mode, l.relation::regclass), ', '),
    1000)
  from pg_locks as l
  join pg_index as i on i.indexrelid = p_index and l.relation = i.indrelid
  where l.locktype = 'relation' and l.database = (select d.oid from pg_database as d
      where d.datname = current_database())
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
end;

-- Drop what is left of a job, each index in a child session. Commits. What goes wrong here shows
-- when the attempt itself runs.
-- p_lock_ms: how long each waits for a lock, and one that another session is in the way of stays;
--   null: all wait as long as the job may run.
-- p_result: with an outcome, if the attempt was stopped, or its time was over, while it waited;
--   what it says already stands.
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_started timestamptz := pg_catalog.clock_timestamp();
  v_looked timestamptz;
  v_drops text[];
  v_drop text;
  v_ways text;
  v_said text;
  v_nap double precision;
  v_gone boolean;
  v_leave boolean := false;
  v_pid integer;
  v_cookie bigint;
begin
  -- a drop may be a deadlock's victim, as the build was
  for v_try in 1 .. case when p_lock_ms is null then 3 else 1 end loop
    v_nap := 0.02;
    loop
      select pg_catalog.array_agg('drop index concurrently ' operator(pg_catalog.||) l.name
          order by l.index) filter (where w.ways is null or p_lock_ms is null),
        pg_catalog.max(w.ways)
      into v_drops, v_ways
      from jobs_internal.leftovers(p_item.job_id) as l
      cross join lateral (select jobs_internal.in_the_way(l.index) as ways) as w
      where l.droppable;
      exit when v_ways is null or p_lock_ms is not null;
      call jobs_internal.nap_before_start(p_session, p_item, v_started,
        pg_catalog.format('before it drops what an earlier attempt left invalid, it waits: %s',
            v_ways),
        pg_catalog.format('It waited: %s.', v_ways), v_said, v_nap, p_result);
      exit when p_result.outcome is not null;
    end loop;
    if v_said is not null then
      perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, null);
      commit;
      v_said := null;
    end if;
    -- Read again: what was in the way may have made an index valid, and have let go of its lock
    -- after the leftovers were read and before the locks were.
    v_drops := (
      select pg_catalog.array_agg(d.text order by d.n)
      from pg_catalog.unnest(v_drops) with ordinality as d(text, n)
      where d.text in (select 'drop index concurrently ' operator(pg_catalog.||) l.name
        from jobs_internal.leftovers(p_item.job_id) as l where l.droppable));
    exit when v_drops is null or (p_lock_ms is null and p_result.outcome is not null);
    foreach v_drop in array v_drops loop
      v_gone := false;
      begin
        -- By this name it is found, should this session die before it has noted it.
        perform pg_catalog.set_config('application_name',
            pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('lock_timeout', coalesce(p_lock_ms, 0)::text, false),
          pg_catalog.set_config('statement_timeout',
              least(coalesce(p_item.timeout_ms, 600000), case when p_lock_ms is not null
                  then 10000 end, 2147483647)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_drop, p_item.job_id || '/' || p_item.attempt) as h;
      exception
        when insufficient_resources or configuration_limit_exceeded or too_many_connections then
          v_pid := null;
      end;
      perform jobs_internal.reset_session(p_baseline);
      commit;
      while v_pid is not null and not v_gone loop
        v_looked := pg_catalog.clock_timestamp();
        begin
          v_gone := jobs_internal.wait_child(v_pid, v_cookie, 20);
          if not v_gone then
            perform jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
          end if;
        exception
          when query_canceled then
            -- this session is to leave: the drop goes on by itself
            v_gone := pg_catalog.clock_timestamp() >= v_looked;
            v_leave := v_gone;
            if v_gone and p_lock_ms is null then
              p_result := jobs_internal.interrupted_result(p_item, v_started, null);
            end if;
        end;
        commit;
      end loop;
      if v_pid is not null then
        perform jobs_internal.detach_child(v_pid, v_cookie);
      end if;
      commit;
      if p_lock_ms is null and p_result.outcome is null
        and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_result := jobs_internal.interrupted_result(p_item, v_started, null);
      end if;
      exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
    end loop;
    exit when v_leave or (p_lock_ms is null and p_result.outcome is not null);
  end loop;
end
$$;
