-- The time zones of schedules. Only names are taken that mean one thing: `at time zone 'CET'` is
-- an abbreviation, one hour off Brussels in July; 'IST' is what the session's TimeZone makes of it;
-- and the server takes 'Foo/Bar3' for a POSIX zone.

-- Note which zones the server has: at an install, and when a supervisor starts, because they are
-- files that come and go with upgrades of the host. Left out are abbreviations and POSIX forms (all
-- names without a small letter, but UTC and GMT), copies under posix/ and right/, and names that
-- stand for whatever the host has. Returns how many names came and went. Writes time_zone.
create or replace function jobs_internal.keep_zones()
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_names text[] := array(
    select z.name from pg_timezone_names as z
    where z.name in ('UTC', 'GMT')
      or z.name ~ '[a-z]' and z.name !~ '^(posix|right)/'
      and z.name not in ('Factory', 'Zulu', 'localtime', 'posixrules')
    order by z.name);
  v_gone integer;
  v_came integer;
begin
  delete from jobs_internal.time_zone as t where t.name <> all (v_names);
  get diagnostics v_gone = row_count;
  insert into jobs_internal.time_zone as t (folded, name)
  select lower(n collate "C"), n from unnest(v_names) as n
  on conflict (folded) do nothing;
  get diagnostics v_came = row_count;
  return v_gone + v_came;
end
$$;

-- What tells whether the zones changed: a digest of what each shows at noon of every second Monday
-- from 2024 to 2037. A rule that moves by a week moves across one of them in some of these years.
-- Takes 0.4 s. Reads time_zone.
create or replace function jobs_internal.zones_hash()
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select md5(string_agg(z.name || hash_array_extended(array(
          select timezone(z.name, at) from generate_series('2024-01-01 12:00:00+00'::timestamptz,
            '2037-12-28 12:00:00+00', '336 hours') as at), 0)::text, ' ' order by z.name))
  from jobs_internal.time_zone as z;
end;

-- What a person may have meant by a name that is no zone; null: not known. Reads time_zone.
create or replace function jobs_internal.zone_meant(p_zone text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select m.zones from (values
      ('CET CEST MET MEST', 'Europe/Brussels, Europe/Paris or Europe/Berlin'),
      ('EET EEST', 'Europe/Athens or Europe/Helsinki'),
      ('WET WEST', 'Europe/Lisbon'),
      ('BST GB GB-EIRE', 'Europe/London'),
      ('IST', 'Asia/Kolkata, Europe/Dublin or Asia/Jerusalem'),
      ('MSK W-SU', 'Europe/Moscow'),
      ('EST EDT EST5EDT', 'America/New_York'),
      ('CST CDT CST6CDT', 'America/Chicago or Asia/Shanghai'),
      ('MST MDT MST7MDT', 'America/Denver or America/Phoenix'),
      ('PST PDT PST8PDT', 'America/Los_Angeles'),
      ('HST', 'Pacific/Honolulu'),
      ('AKST AKDT', 'America/Anchorage'),
      ('AST ADT', 'America/Halifax'),
      ('BRT', 'America/Sao_Paulo'),
      ('SAST', 'Africa/Johannesburg'),
      ('JST', 'Asia/Tokyo'),
      ('KST ROK', 'Asia/Seoul'),
      ('PRC', 'Asia/Shanghai'),
      ('ROC', 'Asia/Taipei'),
      ('HKT', 'Asia/Hong_Kong'),
      ('SGT', 'Asia/Singapore'),
      ('AEST AEDT', 'Australia/Sydney or Australia/Brisbane'),
      ('ACST ACDT', 'Australia/Adelaide or Australia/Darwin'),
      ('AWST', 'Australia/Perth'),
      ('NZ NZST NZDT', 'Pacific/Auckland'),
      ('NZ-CHAT', 'Pacific/Chatham'),
      ('Z ZULU UCT GMT0 GMT+0 GMT-0', 'UTC')) as m(names, zones)
      where upper(p_zone collate "C") = any (string_to_array(m.names, ' '))),
    -- its last part, or without what stands before it
    (select string_agg(t.name, ' or ' order by t.name) from jobs_internal.time_zone as t
      where length(p_zone) between 4 and 40
        and (split_part(t.folded, '/', -1) = replace(lower(p_zone collate "C"), ' ', '_')
          or t.folded = regexp_replace(lower(p_zone collate "C"), '^(posix|right)/', ''))));
end;

-- The name of a zone as the server has it; upper and lower case are the same. Null is UTC. Reads
-- time_zone. Errors: PW101.
create or replace function jobs_internal.assert_zone(p_zone text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  if p_zone is null then
    return 'UTC';
  end if;
  select t.name into v_name from jobs_internal.time_zone as t
  where t.folded = lower(p_zone collate "C");
  if v_name is null then
    raise exception using errcode = 'PW101',
      message = format('"%s" is no time zone that a schedule may have', left(p_zone, 80)),
      detail = 'Expected: UTC, or the full name of a zone, as in pg_timezone_names. Abbreviations '
        'are fixed offsets, without daylight saving, or stand for several zones; POSIX forms, '
        'posix/ and right/ are not taken.',
      hint = coalesce('Write ' || jobs_internal.zone_meant(p_zone) || '.',
          'Write a name like Europe/Brussels.') || ' A retry cannot help.';
  end if;
  return v_name;
end
$$;
