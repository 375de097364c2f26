-- Refusing what a caller gave.

-- Refuse it: what is wrong with it, and what it is or must be. Errors: p_code, always.
create or replace function jobs_internal.refuse(p_code text, p_message text, p_detail text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = p_code, message = p_message, detail = p_detail,
    hint = 'Correct it. A retry cannot help.';
end
$$;
