-- What an interrupted or failed CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves: invalid indexes, in the way of the next attempt or
-- of everything that writes. They are known by OID (61_identity.sql). An attempt after the first drops them before it builds, one that ended by
-- itself drops what it left; where that cannot be, the error of the attempt says so, and jobs.health, until they are gone.

-- Purpose: whether a session builds this index at this moment: then it is invalid because it is not ready. REINDEX makes all new indexes of a
-- table first, and shows one at a time.
create or replace function jobs_internal.is_built_now(p_index oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_catalog.pg_stat_progress_create_index as p
    join pg_catalog.pg_index as i on i.indexrelid = p_index
    where p.index_relid = p_index or (p.relid = i.indrelid and p.command = 'REINDEX CONCURRENTLY'));
end;
comment on function jobs_internal.is_built_now(oid) is 'A session builds this index now';

-- Purpose: whether a job builds or drops an index concurrently.
create or replace function jobs_internal.builds_index(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.statement as s join jobs_internal.job as j on j.id = s.job_id and j.owner = jobs_internal.me()
    where s.job_id = p_job and s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently'));
end;
comment on function jobs_internal.builds_index(bigint) is 'The job builds or drops an index concurrently';

-- Purpose: whether another job of the same owner builds or drops an index of the same table concurrently. Two of them wait for each other's
-- snapshots until one is a deadlock's victim and leaves an invalid index. A courtesy, from what their statements name: an index that another
-- role builds is not looked for. One of them may name the schema and the other not, so that the last part of the name decides.
create or replace function jobs_internal.is_built_beside(p_job bigint)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with work as (
    select j.id, j.owner, (case when s.target ->> 'kind' = 'create_index' then pg_catalog.parse_ident(s.target ->> 'table')
      when s.target ->> 'scope' = 'table' then pg_catalog.parse_ident(s.target ->> 'name') end) as names
    from (select p_job union all select r.job_id from jobs_internal.session as r where r.job_id <> p_job) as w(id)
    join jobs_internal.job as j on j.id = w.id
    join jobs_internal.statement as s on s.job_id = w.id
    where s.command in ('create index concurrently', 'reindex concurrently', 'drop index concurrently')
  )
  select exists (
    select from work as mine
    join work as other on other.id <> mine.id and other.owner = mine.owner
    where mine.id = p_job
      and coalesce(other.names[pg_catalog.cardinality(other.names)] = mine.names[pg_catalog.cardinality(mine.names)], true))
$$;
comment on function jobs_internal.is_built_beside(bigint) is 'Another job of the same owner builds or drops an index of the same table concurrently';

-- Purpose: the invalid indexes that a statement job left and that no session builds now, by what was noted of it.
-- Returns: index, name (qualified), droppable: its owner may drop it. What a rebuild of a TOAST index leaves needs a superuser.
create or replace function jobs_internal.left_by(p_job bigint, p_target jsonb, p_identity jsonb)
returns table (index oid, name text, droppable boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
begin
  if p_identity is null or p_identity ?| array['missing', 'unsure'] or p_target ? 'unsure'
    or v_kind not in ('create_index', 'drop_index', 'reindex') or not (p_target -> 'concurrently')::boolean
  then
    return;
  end if;
  return query
  select i.indexrelid, format('%I.%I', n.nspname, c.relname), v_kind <> 'drop_index' and n.nspname <> 'pg_toast'
    and coalesce(l.sure and not exists (
      select from jobs_internal.made_index as m where m.index = i.indexrelid and m.job_id <> p_job), true)
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  left join jobs_internal.likely_indexes(p_target, p_identity) as l on l.index = i.indexrelid
  join pg_namespace as n on n.oid = c.relnamespace
  where not i.indisvalid and c.relkind = 'i'
    and case v_kind
      when 'create_index' then l.index is not null or i.indexrelid in (select jobs_internal.made_indexes(p_identity))
      when 'drop_index' then i.indexrelid = (p_identity ->> 'index')::oid
      else p_identity -> 'tables' @> to_jsonb(i.indrelid::bigint) and case
          when p_identity -> 'before' @> to_jsonb(i.indexrelid::bigint) then c.relname ~ '_ccold[0-9]*$'
            and exists (select from jsonb_array_elements(p_identity -> 'leaves') as l
              where (l ->> 'oid')::oid = i.indexrelid and l ->> 'name' <> c.relname)
          else c.relname ~ '_cc(new|old)[0-9]*$' end
      end
    and not jobs_internal.is_built_now(i.indexrelid)
  order by i.indexrelid;
end
$$;
comment on function jobs_internal.left_by(bigint, jsonb, jsonb) is 'The invalid indexes that a statement job left, by what was noted of it';

-- Purpose: the same, of a job of the calling login.
create or replace function jobs_internal.leftovers(p_job bigint)
returns table (index oid, name text, droppable boolean)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select l.index, l.name, l.droppable
  from jobs_internal.noted(p_job) as n
  cross join lateral jobs_internal.left_by(p_job, n.target, n.identity) as l;
end;
comment on function jobs_internal.leftovers(bigint) is 'The invalid indexes that a statement job of the calling login left';

-- Purpose: who keeps an invalid index from being dropped now: sessions and prepared transactions that hold its table at SHARE or stronger, or
-- wait for that. Such a one may make the index valid itself, as TRUNCATE, CLUSTER and REINDEX do. Null: nobody.
create or replace function jobs_internal.in_the_way(p_index oid)
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select left(string_agg(distinct format('%s %s %s on %s', coalesce('pid ' || l.pid, 'a prepared transaction'),
    case when l.granted then 'holds' else 'waits for' end, l.mode, l.relation::regclass), ', '), 1000)
  from pg_locks as l
  join pg_index as i on i.indexrelid = p_index and l.relation = i.indrelid
  where l.locktype = 'relation' and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
end;
comment on function jobs_internal.in_the_way(oid) is 'Who keeps an invalid index from being dropped now; null: nobody';

-- Purpose: say in jobs.running what the clean-up of a job waits for; null: it goes on.
create or replace function jobs_internal.say_wait(p_session bigint, p_job bigint, p_attempt integer, p_message text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  if v_session.job_id is distinct from p_job then
    return;
  elsif p_message is null then
    delete from jobs_internal.progress_message as m where m.job_id = p_job;
  else
    insert into jobs_internal.progress_message (job_id, attempt, message) values (p_job, p_attempt, left(p_message, 1000))
    on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message, at = excluded.at;
  end if;
end
$$;
comment on function jobs_internal.say_wait(bigint, bigint, integer, text) is 'Says in jobs.running what the clean-up of a job waits for';

-- Purpose: keep what a job left, so that jobs.health can tell of it; the caller has locked its row of statement, as has everybody who writes of this
-- job here, so that this waits for nobody. Writes: made_index.
create or replace function jobs_internal.keep_left(p_job bigint, p_owner oid, p_target jsonb, p_identity jsonb)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.made_index (index, job_id)
  select l.index, p_job
  from jobs_internal.left_by(p_job, p_target, p_identity) as l
  join pg_class as c on c.oid = l.index and pg_has_role(p_owner, c.relowner, 'usage')
  on conflict do nothing;
end;
comment on function jobs_internal.keep_left(bigint, oid, jsonb, jsonb) is 'Keeps what a job left';

-- Purpose: keep which indexes a job has made or dropped, so that jobs.health can tell of those that stay invalid; those that are gone or valid are
-- forgotten. p_learned: the one that its watcher saw it build. Writes: made_index, statement.
create or replace function jobs_internal.keep_made(p_session bigint, p_job bigint, p_learned oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_statement record;
begin
  if v_session.job_id is distinct from p_job then
    return;
  end if;
  select s.target, s.identity into v_statement from jobs_internal.statement as s where s.job_id = p_job for no key update;
  if p_learned is not null then
    update jobs_internal.statement as s
    set identity = jsonb_set(s.identity, '{learned}', coalesce(s.identity -> 'learned', '[]') || to_jsonb(p_learned::bigint))
    where s.job_id = p_job and jsonb_array_length(coalesce(s.identity -> 'learned', '[]')) < 100;
  end if;
  delete from jobs_internal.made_index as d
  where (d.index, d.job_id) in (
    select m.index, m.job_id from jobs_internal.made_index as m
    where not exists (select from pg_index as i where i.indexrelid = m.index and not i.indisvalid)
    limit 100 for update skip locked);
  insert into jobs_internal.made_index (index, job_id)
  select c.oid, p_job from pg_class as c where c.oid = p_learned and pg_has_role(v_session.owner, c.relowner, 'usage')
  on conflict do nothing;
  perform jobs_internal.keep_left(p_job, v_session.owner, v_statement.target, v_statement.identity);
end
$$;
comment on function jobs_internal.keep_made(bigint, bigint, oid) is 'Keeps which indexes a job has made or dropped';

-- Purpose: the index that a child session builds at this moment, once it is known and committed.
create or replace function jobs_internal.index_of_child(p_pid integer)
returns oid
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select p.index_relid from pg_stat_progress_create_index as p where p.pid = p_pid and p.command = 'CREATE INDEX CONCURRENTLY'
    and exists (select from pg_index as i where i.indexrelid = p.index_relid);
end;
comment on function jobs_internal.index_of_child(integer) is 'The index that a child session builds at this moment';

-- Purpose: drop what is left of a job, each index in a child session. Commits. What goes wrong here shows when the attempt itself runs.
-- p_lock_ms: how long each waits for a lock, and one that somebody is in the way of stays; null: all wait as long as the job may run.
-- p_ending: with an outcome, if the attempt was stopped, or its time was over, while it waited; what it says already stands.
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb,
  inout p_ending jobs_internal.ending
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
  for v_try in 1 .. case when p_lock_ms is null then 3 else 1 end loop  -- a drop may be a deadlock's victim, as the build was
    v_nap := 0.02;
    loop
      select pg_catalog.array_agg('drop index concurrently ' operator(pg_catalog.||) l.name order by l.index) filter (where w.ways is null or p_lock_ms is null),
        pg_catalog.max(w.ways)
      into v_drops, v_ways
      from jobs_internal.leftovers(p_item.job_id) as l
      cross join lateral (select jobs_internal.in_the_way(l.index) as ways) as w
      where l.droppable;
      exit when v_ways is null or p_lock_ms is not null;
      begin
        v_looked := pg_catalog.clock_timestamp();
        if v_said is distinct from v_ways then
          v_said := v_ways;
          perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt,
            pg_catalog.format('before it drops what an earlier attempt left invalid, it waits: %s', v_ways));
        end if;
        perform pg_catalog.pg_sleep(v_nap);
      exception
        when query_canceled then
          if pg_catalog.clock_timestamp() >= v_looked then  -- as in run_child: else it was only woken up
            p_ending := jobs_internal.cut_off(p_item, v_started, null);
          end if;
      end;
      commit;
      v_nap := least(v_nap * 1.5, 0.25);
      if p_ending.outcome is null and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_ending := jobs_internal.cut_off(p_item, v_started, null);
      elsif p_ending.outcome is null and p_item.timeout_ms is not null
        and pg_catalog.clock_timestamp() > v_started + p_item.timeout_ms * interval '1 ms'
      then
        p_ending.job_id := p_item.job_id;
        p_ending.attempt := p_item.attempt;
        p_ending.started_at := v_started;
        p_ending.finished_at := pg_catalog.clock_timestamp();
        p_ending.outcome := 'timed_out';
        p_ending.error := jobs_internal.stop_error('timed_out', p_item.timeout_ms * interval '1 ms', pg_catalog.format('It waited: %s.', v_ways));
      end if;
      exit when p_ending.outcome is not null;
    end loop;
    if v_said is not null then
      perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, null);
      commit;
      v_said := null;
    end if;
    exit when v_drops is null or (p_lock_ms is null and p_ending.outcome is not null);
    foreach v_drop in array v_drops loop
      v_gone := false;
      begin
        -- By this name it is found, should this session die before it has noted it.
        perform pg_catalog.set_config('application_name', pg_catalog.format('pw %s/%s %s', p_item.job_id, p_item.attempt,
          (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), false),
          pg_catalog.set_config('client_min_messages', 'error', false),
          pg_catalog.set_config('lock_timeout', coalesce(p_lock_ms, 0)::text, false),
          pg_catalog.set_config('statement_timeout', least(coalesce(p_item.timeout_ms, 600000), case when p_lock_ms is not null then 10000 end, 2147483647)::text, false);
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_drop, p_item.job_id || '/' || p_item.attempt) as h;
      exception
        when insufficient_resources or configuration_limit_exceeded or too_many_connections then
          v_pid := null;
      end;
      perform jobs_internal.wash(p_baseline);
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
            v_gone := pg_catalog.clock_timestamp() >= v_looked;  -- this session is to leave: the drop goes on by itself
            v_leave := v_gone;
            if v_gone and p_lock_ms is null then
              p_ending := jobs_internal.cut_off(p_item, v_started, null);
            end if;
        end;
        commit;
      end loop;
      if v_pid is not null then
        perform jobs_internal.detach_child(v_pid, v_cookie);
      end if;
      commit;
      if p_lock_ms is null and p_ending.outcome is null and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
        p_ending := jobs_internal.cut_off(p_item, v_started, null);
      end if;
      exit when v_leave or (p_lock_ms is null and p_ending.outcome is not null);
    end loop;
    exit when v_leave or (p_lock_ms is null and p_ending.outcome is not null);
  end loop;
end
$$;
comment on procedure jobs_internal.clear_leftover(bigint, jobs_internal.work_item, integer, jsonb, jobs_internal.ending) is 'Drops the invalid indexes that a job left';

-- Purpose: the invalid indexes that jobs left, as far as the caller may know of them, for jobs.health: how many, their names, and the statements that remove them.
create or replace function jobs_internal.left_indexes(out count bigint, out names text, out remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.count(*),
    pg_catalog.left(string_agg(pg_catalog.format('%I.%I (job %s)', n.nspname, c.relname, m.job_id), ', ' order by m.index), 2000),
    pg_catalog.left(string_agg(case when n.nspname = 'pg_toast'
        then pg_catalog.format('as a superuser: drop index %I.%I;', n.nspname, c.relname)
        else pg_catalog.format('drop index concurrently %I.%I;', n.nspname, c.relname) end, ' ' order by m.index), 2000)
  from (select d.index, pg_catalog.max(d.job_id) as job_id from jobs_internal.made_index as d group by d.index) as m
  join pg_catalog.pg_index as i on i.indexrelid = m.index and not i.indisvalid
  join pg_catalog.pg_class as c on c.oid = m.index
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where not jobs_internal.is_built_now(m.index)
    and (jobs_internal.may('jobs_reader') or jobs_internal.may('jobs_operator') or jobs_internal.may('jobs_supervisor')
      or c.relowner = jobs_internal.viewer());
end;
comment on function jobs_internal.left_indexes() is 'The invalid indexes that jobs left, and the statements that remove them';
