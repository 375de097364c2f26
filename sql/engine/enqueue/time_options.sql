-- Options of a job that are times: deadline, and reuse_for.

-- What is wrong with the value of such an option; null: nothing, or it is another one. A time
-- without a zone is one of the caller's TimeZone.
create or replace function jobs_internal.time_option_error(p_key text, p_value text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_key = 'deadline' then
    if not pg_input_is_valid(p_value, 'timestamptz') then
      return format('the option "deadline" must be a time, such as "2030-01-31 06:00+01", not "%s"',
        left(p_value, 100));
    elsif not isfinite(p_value::timestamptz) then
      return 'the option "deadline" must be a time that comes: without it there is none';
    end if;
  elsif p_key = 'reuse_for' then
    if not pg_input_is_valid(p_value, 'interval') then
      return format('the option "reuse_for" must be a time, such as "10 minutes", not "%s"',
        left(p_value, 100));
    elsif not isfinite(p_value::interval) or p_value::interval > interval '1000 years'
      or extract(epoch from p_value::interval) <= 0 then
      return 'the option "reuse_for" must be longer than zero, and 1000 years at most';
    end if;
  end if;
  return null;
end
$$;

-- Options of a job as they are kept: a time is the same whatever is set when it is read.
create or replace function jobs_internal.canonical_options(p_options jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_options
    || case when p_options ? 'deadline' then jsonb_build_object('deadline',
        (p_options ->> 'deadline')::timestamptz) else '{}' end
    || case when p_options ? 'reuse_for' then jsonb_build_object('reuse_for', make_interval(
        secs => extract(epoch from (p_options ->> 'reuse_for')::interval)::double precision))
        else '{}' end;
end;
