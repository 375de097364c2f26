-- Settings of the installation.

-- One setting. Returns its text; null when unknown.
create or replace function jobs_internal.setting(p_name text)
returns text
language sql stable strict security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.value from jobs_internal.setting as s where s.name = p_name;
end;
