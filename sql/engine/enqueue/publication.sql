-- Delegation: an owner publishes one function, and another role may enqueue exactly that, to run as
--   the owner. States, commits and races are in docs/architecture.md.

-- Why a job that was enqueued by a publication must not start; null: it may, or it is its owner's
-- own. Asked in the transaction that starts it, so a publication that was revoked before that, or a
-- role that lost its membership, starts nothing.
create or replace function jobs_internal.why_not_published(p_job bigint)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p.revoked_at is not null then format('the publication of %s to %s was revoked', p.task,
        pg_get_userbyid(p.to_role))
    when not exists (select from pg_roles as r where r.oid = j.enqueued_by)
        or not pg_has_role(j.enqueued_by, p.to_role, 'member')
      then format('%s, who enqueued it, is no member of %s any more',
          pg_get_userbyid(j.enqueued_by),
        pg_get_userbyid(p.to_role))
    end
  from jobs_internal.job as j
  join jobs_internal.publication as p on p.id = j.publication_id
  where j.id = p_job;
end;

-- What the caller may enqueue under that name. Errors: PW076 nothing, PW002 several.
create or replace function jobs_internal.find_publication(p_task text, p_publisher text)
returns jobs_internal.publication
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found jobs_internal.publication[];
  v_task text := btrim(left(p_task, 100000));  -- no signature is longer
begin
  v_found := array(
    select p from jobs_internal.publication as p
    where p.revoked_at is null
      -- The cheap look first: others may have published many.
      and (v_task = p.signature or starts_with(v_task, p.task)
        and v_task in (p.task, p.task || '(' || pg_get_function_arguments(p.func) || ')',
          p.task || '(' || pg_get_function_identity_arguments(p.func) || ')'))
      and (p_publisher is null or pg_get_userbyid(p.publisher) = p_publisher)
      and exists (select from pg_roles as r where r.oid = p.to_role)
      and pg_has_role(session_user, p.to_role, 'member'));
  if cardinality(v_found) = 0 then
    raise exception using errcode = 'PW076',
      message = format('%s is not published to %s', coalesce(left(p_task, 200), 'null'),
          session_user),
      detail = 'Or the publication was revoked.',
        hint = 'See jobs.publications, and write the task as it stands there. A retry cannot help.';
  elsif cardinality(v_found) > 1 and (select count(distinct f.func) from unnest(v_found) as f) > 1
    then
    raise exception using errcode = 'PW002',
      message = format('%s is published %s times to %s', left(p_task, 200), cardinality(v_found),
          session_user),
      detail = format('As: %s.', (select
            string_agg(format('%s by %s', f.signature, pg_get_userbyid(f.publisher)), '; ')
        from unnest(v_found) as f)),
      hint = 'Give the argument types, as jobs.publications shows them, or the publisher. A retry '
        'cannot help.';
  end if;
  return v_found[1];
end
$$;

-- The arguments of a publication, checked: cast where only the server's own types are involved. A
-- type of the publisher's would run its code here, with other rights than the publisher's; one that
-- looks names up would look with ours: such arguments are cast when the job runs.
-- Errors: PW005.
create or replace function jobs_internal.published_args(p_template jobs_internal.call_template,
    p_args jsonb)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobs_internal.parameters(p_template.func) as p
    join pg_type as t on t.oid = p.type_id
    left join pg_type as e on e.oid = t.typelem and t.typcategory = 'A'
    where p.key = any (p_template.keys)
      and not (t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b'
          and t.typname !~ '^_?reg'
        and (e.oid is null or e.typnamespace = 'pg_catalog'::regnamespace and e.typtype = 'b')))
  then
    return p_args;
  end if;
  return jobs_internal.canonical(p_template, p_args);
end
$$;

-- Publish a function, or change the limits of its publication. Returns its number. Errors: PW006,
-- PW007, PW009, PW026, PW075, PW080.
create or replace function jobs_internal.store_publication(
  p_func oid,
  p_to_role text,
  p_queue text,
  p_timeout interval,
  p_per_minute integer,
  p_pending bigint
)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_func record;
  v_role oid;
  v_queue integer;
  v_before jobs_internal.publication;
  v_after jobs_internal.publication;
begin
  perform jobs_internal.assert_not_copy(), jobs_internal.assert_admitted(jobs_internal.caller());
  select p.proowner, format('%I.%I', n.nspname, p.proname) as task,
    p.oid::regprocedure::text as signature, p.prokind
  into v_func
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  if v_func.proowner is distinct from jobs_internal.caller() then
    raise exception using errcode = 'PW006', message = format('%s does not own %s', session_user,
        p_func::regprocedure),
      detail = 'Only the owner of a function publishes it: it runs with the owner''s rights.',
        hint = 'Write a function of your own that calls it. A retry cannot help.';
  elsif v_func.prokind not in ('f', 'p') then
    raise exception using errcode = 'PW016',
      message = format('%s cannot be a job', v_func.signature),
      detail = 'It is no function or procedure.',
        hint = 'Write a function that calls it. A retry cannot help.';
  end if;
  select r.oid into v_role from pg_roles as r where r.rolname = p_to_role;
  if v_role is null or v_role = jobs_internal.caller() then
    raise exception using errcode = 'PW075', message = format('%s cannot be published to "%s"',
        v_func.signature, left(p_to_role, 63)),
      detail = case when v_role is null then 'There is no such role; PUBLIC is none.'
        else 'It is the publisher itself.' end,
      hint = 'Name another role. A retry cannot help.';
  end if;
  if extract(epoch from p_timeout) <= 0 then
    raise exception using errcode = 'PW009',
      message = format('timeout must be longer than zero, not %s', p_timeout),
      detail = 'It is the longest time that an attempt of its jobs may take.',
        hint = 'Leave it out for the queue''s. A retry cannot help.';
  elsif p_per_minute < 1 or p_pending < 1 then
    raise exception using errcode = 'PW026',
      message = format('a limit of a publication cannot be %s', least(p_per_minute, p_pending)),
      detail = 'The range of per_minute and pending: 1 and more; null for no limit of its own.',
        hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  v_queue := jobs_internal.queue_id(coalesce(p_queue, 'default'));
  -- Each leaves a row that is not removed, and those that count are looked through by a session
  -- that enqueues one.
  if (select count(*) from (select from jobs_internal.audit as a
      where a.login_oid = jobs_internal.caller() and a.at > clock_timestamp() - interval '1 day'
        and a.action = 'publish' limit 500) as d) = 500
    or (select count(*) from (select from jobs_internal.publication as p
      where p.publisher = jobs_internal.caller() and p.revoked_at is null limit 500) as d) = 500
      and not exists (select from jobs_internal.publication as p
        where p.publisher = jobs_internal.caller() and p.to_role = v_role and p.func = p_func
          and p.revoked_at is null)
  then
    raise exception using errcode = 'PW080',
      message = format('%s has published as much as one login may', session_user),
      detail = '500 publications at a time are allowed to one login, and 500 calls of jobs.publish '
        'a day; each is kept in jobs.audit.',
      hint = 'Revoke those that are not needed (jobs.unpublish). A retry helps in a day.';
  end if;
  select p.* into v_before from jobs_internal.publication as p
  where p.publisher = jobs_internal.caller() and p.to_role = v_role and p.func = p_func
    and p.revoked_at is null
  for update;
  insert into jobs_internal.publication (publisher, to_role, func, task, signature, queue_id,
      timeout, per_minute, pending)
  values (jobs_internal.caller(), v_role, p_func, v_func.task, v_func.signature, v_queue,
    case when p_timeout <= interval '1000 years'
      then make_interval(secs => extract(epoch from p_timeout)::double precision) end, p_per_minute,
        p_pending)
  on conflict (publisher, to_role, func) where revoked_at is null
  do update set task = excluded.task, signature = excluded.signature, queue_id = excluded.queue_id,
    timeout = excluded.timeout,
    per_minute = excluded.per_minute, pending = excluded.pending
  returning * into v_after;
  perform jobs_internal.record_role_name(v_after.publisher), jobs_internal.record_role_name(v_role);
  perform jobs_internal.record_audit('publish', format('%s to %s', v_func.signature, p_to_role),
    case when v_before.id is not null then to_jsonb(v_before) end, to_jsonb(v_after));
  return v_after.id;
end
$$;
