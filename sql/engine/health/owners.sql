-- Checks of jobs.health: owners whose jobs may not run.

-- Roles that may have unfinished jobs, without a look at the jobs: there may be a million.
create or replace function jobs_internal.possible_owners()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select l.owner from jobs_internal.lane as l
  union
  select f.owner from jobs_internal.first_due() as f;
end;

-- Owners of jobs that are no login member of jobs_runner, or whose quota is no session at all.
create or replace function jobs_internal.health_owners(out status text, out detail text,
    out remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_no_runner text;
  v_no_session text;
begin
  -- "case": the jobs are looked at last.
  select string_agg(distinct coalesce(
    (select format('%s (there is no such role here)', k.name) from jobs_internal.known_role as k
        where k.role = o.owner and jobs_internal.is_placeholder_role(k.role) limit 1),
    pg_get_userbyid(o.owner)::text), ', ') into v_no_runner
  from jobs_internal.possible_owners() as o (owner)
  where case when not exists (select from pg_roles as r
      where r.oid = o.owner and r.rolcanlogin and pg_has_role(r.oid, 'jobs_runner', 'member'))
    then exists (select from jobs_internal.job as j where j.owner = o.owner) end;
  select string_agg(pg_get_userbyid(u.owner)::text, ', ') into v_no_session
  from jobs_internal.quota as u
  where case when u.running = 0
    then exists (select from jobs_internal.job as j where j.owner = u.owner) end;

  status := case when v_no_runner is null and v_no_session is null then 'ok' else 'warning' end;
  detail := coalesce(nullif(concat_ws('; ',
      'not a login member of jobs_runner, their jobs do not run: ' || v_no_runner,
      'their quota allows no worker session: ' || v_no_session), ''), 'all can run');
  remedy := nullif(concat_ws('; ',
    case when v_no_runner is not null then 'grant jobs_runner to role; or cancel their jobs; a '
      'role that is missing: create it, then select jobs.reconcile()' end,
    case when v_no_session is not null
      then 'select jobs.set_quota(role, running => ...); see jobs.quotas' end), '') || ';';
end
$$;

-- Owners of jobs that are privileged, and that no administrator has admitted.
create or replace function jobs_internal.health_privileged_owners(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when r.names is null then 'ok' else 'warning' end,
    coalesce('their jobs are refused: ' || r.names,
        'no owner of jobs is privileged without being admitted'),
    case when r.names is not null then 'take the rights from the role, or cancel its jobs; or an '
      'administrator: select jobs.admit_role(role);' end
  from (
    select string_agg(format('%s (%s)', pg_get_userbyid(o.owner),
          jobs_internal.privileges_seen(o.owner)), ', ')
    from jobs_internal.possible_owners() as o (owner)
    where case when jobs_internal.is_refused(o.owner)  -- "case": the jobs are looked at last
      then exists (select from jobs_internal.job as j where j.owner = o.owner) end
  ) as r (names);
end;
