-- Setting marks, and letting go of old ones.

-- Refuse what cannot be a mark. Errors: PW011, PW018, PW126.
create or replace function jobs_internal.assert_mark(p_name text, p_kind text, p_note jsonb)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(btrim(p_name), '') = '' or length(p_name) > 200 or p_name ~ '[[:cntrl:]]' then
    perform jobs_internal.refuse('PW126', 'the name of a mark cannot be like this', format(
        'It is %s long; 1 to 200 characters are allowed, not only spaces, on one line.',
        coalesce(length(p_name), 0)));
  elsif p_kind is null or p_kind !~ '^[a-z][a-z0-9_]{0,39}$' then
    perform jobs_internal.refuse('PW126', 'the kind of a mark cannot be like this', format(
        'It is %s. Kinds are words of small letters, digits and _, of 40 characters at most, like '
        'deploy.', coalesce(quote_literal(left(p_kind, 100)), 'null')));
  elsif jsonb_typeof(p_note) <> 'object' then
    perform jobs_internal.refuse('PW011', 'note must be a JSON object', format(
        'It is of type %s: pass {"key": value, ...}.', jsonb_typeof(p_note)));
  end if;
  if p_note is not null then
    perform jobs_internal.assert_size(p_note, 'note', 65536);
  end if;
end
$$;

-- Does the work of jobs.mark. An operator's is audited; that of others is its own record, or any
-- role that may enqueue could fill the audit. Writes: mark, audit.
create or replace function jobs_internal.mark(name text, kind text, note jsonb)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_owner oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_mark(mark.name, mark.kind, mark.note);
  insert into jobs_internal.mark (name, kind, note, owner, set_by)
    values (mark.name, mark.kind, mark.note, v_owner, session_user)
  returning id into v_id;
  perform jobs_internal.trim_marks(v_owner);
  if jobs_internal.caller_is('jobs_operator') then
    perform jobs_internal.record_audit('mark', 'mark ' || v_id, null,
        jsonb_build_object('name', mark.name, 'kind', mark.kind));
  end if;
  return v_id;
end
$$;

-- Let go of all marks of an owner but the latest thousand. Locks: mark (skip locked).
create or replace function jobs_internal.trim_marks(p_owner oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.mark as d
  where d.id = any (array(
    select m.id from jobs_internal.mark as m
    where m.owner = p_owner and m.id <= (
      select o.id from jobs_internal.mark as o where o.owner = p_owner
      order by o.id desc limit 1 offset 1000)
    limit 1000
    for update skip locked));
end
$$;

-- Mark the beginnings and ends of the long operations among jobs that end: those that ran for a
-- second. Both are set at the end, when it is known that it was one. Writes: mark.
create or replace function jobs_internal.mark_operations(p_jobs bigint[], p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.mark (at, kind, name, owner, set_by, job_id, note)
  select t.at, 'operation_' || t.edge, left(concat_ws(' ', o.kind, o.object_name), 200), o.owner,
    pg_get_userbyid(o.owner), f.id,
    case t.edge when 'end' then jsonb_build_object('state', f.state, 'seconds',
      round(extract(epoch from f.finished_at - f.started_at), 1)) end
  from jobs_internal.finished as f
  join jobs_internal.operation as o on o.job_id = f.id
  join jobs_internal.operation_kinds() as k on k.kind = o.kind
  cross join lateral (values (1, 'start', f.started_at), (2, 'end', f.finished_at))
    as t(n, edge, at)
  where f.id = any (p_jobs) and f.bucket = p_bucket
    and f.finished_at >= f.started_at + interval '1 second'
  order by f.id, t.n;
end;

-- Let go of old marks, and of those beyond the latest thousand of an owner. Part of upkeep.
-- Locks: mark (skip locked).
create or replace function jobs_internal.sweep_marks()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.mark as d
  where d.id = any (array(
    select m.id from jobs_internal.mark as m where m.at < now() - interval '90 days'
    limit 10000 for update skip locked));
  perform jobs_internal.trim_marks(o.owner)
  from (select m.owner from jobs_internal.mark as m group by m.owner having count(*) > 1000) as o;
end
$$;
