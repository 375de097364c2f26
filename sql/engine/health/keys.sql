-- Checks of jobs.health: keys of concurrency.

-- Places that are held by jobs that are not there any more, and jobs that wait though a place is
-- free: neither can be, and upkeep puts it right.
create or replace function jobs_internal.health_keys(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.strays + f.keys > 0 then 'warning' else 'ok' end,
    case when s.strays + f.keys = 0 then 'every place of a key is held by a job that is there'
      else concat_ws('; ',
        case when s.strays > 0 then jobs_internal.counted(s.strays, 'place of a key is held by a '
          'job that is not there any more', 'places of keys are held by jobs that are not there '
          'any more') end,
        case when f.keys > 0 then 'jobs wait for '
          || jobs_internal.counted(f.keys, 'key that has a free place', 'keys that have free '
          'places') end) end,
    case when s.strays + f.keys > 0 then 'a supervisor puts it right within some minutes; please '
      'report it, with what was stopped or restored before' end
  from (select count(*) as strays from jobs_internal.stray_holders()) as s
  cross join (select count(*) as keys from jobs_internal.forgotten_keys()) as f;
end;
