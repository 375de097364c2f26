-- Where pg_background is installed.

-- A function of pg_background, wherever the extension was installed: its qualified name.
create or replace function jobs_internal.background(p_function text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%s.%I', e.extnamespace::regnamespace, 'pg_background_' || p_function)
  from pg_extension as e
  where e.extname = 'pg_background';
end;
