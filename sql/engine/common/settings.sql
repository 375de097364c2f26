-- Settings of the installation.

-- One setting. Returns its text; null when unknown.
create or replace function jobs_internal.setting(p_name text)
returns text
language sql stable strict security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.value from jobs_internal.setting as s where s.name = p_name;
end;

-- All of them at once, name -> text: what a worker session asks for when it opens.
create or replace function jobs_internal.all_settings()
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_object_agg(s.name, s.value) from jobs_internal.setting as s;
end;
