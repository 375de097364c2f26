-- Reading another scheduler's jobs, and who may have them.

-- Why the caller cannot have a job of another scheduler; null: it can. p_owner: its role there.
create or replace function jobs_internal.import_refusal(p_name text, p_owner text)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_owner is not null and not exists (select from pg_roles as r where r.rolname = p_owner)
      then format('its role "%s" does not exist', p_owner)
    when (select r.rolsuper from pg_roles as r where r.rolname = p_owner)
      then format('it belongs to the superuser "%s", and jobs of superusers are not run: make it '
        'as an ordinary role that may do what it does', p_owner)
    when p_owner <> session_user
      then format('it is for its role "%s": connect as that', p_owner)
    when exists (select from jobs_internal.schedule as s
      where s.owner = jobs_internal.caller() and s.name = p_name and s.dropped_at is null)
      then 'there is a schedule of this name, which the call would replace' end;
end;

-- The jobs of another scheduler, as item.sql says, with statement and options, and refused where
-- the caller cannot have them. Two of one name get numbers. Errors: PW123, those of reading.
create or replace function jobs_internal.read_import(p_source text)
returns jsonb[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_items jsonb[];
begin
  case p_source
    when 'pg_cron' then v_items := array(select i from jobs_internal.jobs_of_pg_cron() as i);
    when 'pg_timetable' then
      v_items := array(select i from jobs_internal.jobs_of_pg_timetable() as i);
    when 'pgagent' then v_items := array(select i from jobs_internal.jobs_of_pgagent() as i);
    else
      raise exception using errcode = 'PW123',
        message = format('there is no source "%s"', left(p_source, 100)),
        detail = 'Expected: pg_cron, pg_timetable or pgagent.',
        hint = 'Use one of them. A retry cannot help.';
  end case;
  return array(
    select i.item || jsonb_build_object(
      'name', i.name,
      'statement', case when i.item ->> 'refused' is null then
        jobs_internal.statement_of_steps(i.item -> 'steps', (i.item -> 'separate')::boolean) end,
      'options', jsonb_strip_nulls(
        jsonb_build_object('max_attempts', 1, 'timeout', i.item ->> 'timeout')),
      'refused', coalesce(i.item ->> 'refused',
        jobs_internal.not_in_one_transaction(i.item -> 'steps', (i.item -> 'separate')::boolean),
        jobs_internal.import_refusal(i.name, i.item ->> 'owner')))
    from (
      select u.item, u.n, (u.item ->> 'name') || case when row_number() over same > 1
        then format(' (%s)', row_number() over same) else '' end as name
      from unnest(v_items) with ordinality as u(item, n)
      window same as (partition by u.item ->> 'name' order by u.n)
    ) as i
    order by i.n);
end
$$;
