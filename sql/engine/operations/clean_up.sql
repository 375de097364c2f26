-- Cleaning up after the end of a job. What its attempts left, and no further attempt will remove,
-- an invalid index, a partition that is half detached, gets a job of its own in the same queue, of
-- the same owner. It is made in the transaction that writes the end, works by what was noted of the
-- job that ended (target and identity are copied), and has nothing to do where jobs.retry, or a
-- person, came first. A DROP INDEX or a DETACH that was cut off is brought to its end: there is no
-- way back.

-- What a statement leaves that was cut off: the statement that removes it, and the condition that
-- it is gone; null: nothing. DROP INDEX CONCURRENTLY and DETACH CONCURRENTLY are finished.
create or replace function jobs_internal.left_to_do(p_job bigint, p_target jsonb, p_identity jsonb,
  out kind text, out object text, out body text, out done_when text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_identity ?| array['missing', 'unsure', 'elsewhere'] or p_target ? 'unsure' then
    return;
  elsif p_target ->> 'kind' = 'detach' then
    select 'detach partition concurrently', format('table %I.%I', pn.nspname, p.relname),
      format('alter table %I.%I detach partition %I.%I finalize', pn.nspname, p.relname,
        cn.nspname, c.relname),
      format('select not exists (select from pg_catalog.pg_inherits as h where h.inhparent = %s '
        'and h.inhrelid = %s and h.inhdetachpending)', h.inhparent, h.inhrelid)
    into kind, object, body, done_when
    from pg_inherits as h
    join pg_class as p on p.oid = h.inhparent
    join pg_namespace as pn on pn.oid = p.relnamespace
    join pg_class as c on c.oid = h.inhrelid
    join pg_namespace as cn on cn.oid = c.relnamespace
    where h.inhparent = (p_identity ->> 'table')::oid
      and h.inhrelid = (p_identity ->> 'partition')::oid and h.inhdetachpending;
  else
    select 'drop index concurrently', 'index ' || string_agg(l.name, ', ' order by l.index),
      'drop index concurrently ' || min(l.name),
      format('select not exists (select from pg_catalog.pg_index as i where not i.indisvalid and '
        'i.indexrelid = any (''%s''))', array_agg(l.index order by l.index))
    into kind, object, body, done_when
    from jobs_internal.left_by(p_job, p_target, p_identity) as l
    where l.droppable or p_target ->> 'kind' = 'drop_index' and l.name !~ '^pg_toast[.]'
    having count(*) > 0;
  end if;
end
$$;

-- Make the jobs that clean up after these, whose ends are being written. What goes wrong here keeps
-- no end from being written: health shows what is left. Writes: job, statement, operation.
create or replace function jobs_internal.store_clean_ups(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v record;
  v_left record;
  v_id bigint;
begin
  for v in
    select s.job_id, s.target, s.identity, s.path, f.queue_id, f.owner, f.priority,
      f.settings
    from jobs_internal.statement as s
    join jobs_internal.finished as f on f.id = s.job_id
    join jobs_internal.operation as o on o.job_id = s.job_id and o.cleans_up is null
    where s.job_id = any (p_jobs) and s.identity is not null
      and s.target ->> 'kind' in ('create_index', 'reindex', 'drop_index', 'detach')
  loop
    begin
      v_left := jobs_internal.left_to_do(v.job_id, v.target, v.identity);
      continue when v_left.body is null;
      v_id := nextval('jobs_internal.job_id_seq');
      insert into jobs_internal.job (id, queue_id, owner, priority, state, max_attempts, run_at,
        due_at, created_at, verify, settings, options)
      values (v_id, v.queue_id, v.owner, v.priority, 'scheduled', 20, now(), clock_timestamp(),
        now(), true, v.settings, jsonb_build_object('repeatable', true, 'title',
          format('clean-up of %s', v.job_id)));
      insert into jobs_internal.statement (job_id, body, command, top_level, done_when, path,
        object, target, identity)
      values (v_id, v_left.body, case when v_left.kind like 'drop%' then v_left.kind
          else 'alter table' end, true, v_left.done_when, v.path,
        left(v_left.object, 200), v.target, v.identity);
      perform jobs_internal.store_operation(v_id, v.owner, jsonb_build_object('kind', v_left.kind),
          v_left.object, null);
      update jobs_internal.operation as o
      set cleans_up = v.job_id, before = jsonb_build_object('way_back', jsonb_build_object(
          'missing', format('it removes what job %s left', v.job_id)))
      where o.job_id = v_id;
      perform jobs_internal.wake(null);
    exception
      when query_canceled then
        raise;
      when others then
        null;
    end;
  end loop;
end
$$;

-- Whether a job drops what a build left, and does nothing else.
create or replace function jobs_internal.only_drops(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.operation as o
    join jobs_internal.statement as s on s.job_id = o.job_id
      and s.target ->> 'kind' in ('create_index', 'reindex')
    where o.job_id = p_job and o.cleans_up is not null and o.owner = jobs_internal.caller());
end;
