-- Starting worker sessions without a supervisor.

-- jobs.start is its door (api/start.sql).
create or replace function jobs_internal.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if sessions is null or sessions not between 1 and 100 then
    raise exception using errcode = 'PW025', message = 'sessions must be between 1 and 100',
      detail = format('It is %s.', coalesce(sessions::text, 'null')),
        hint = 'Start one or two; more do not drain faster than the server has processors. A retry '
          'cannot help.';
  end if;
  perform jobs_internal.assert_not_copy(), jobs_internal.dispatch_mine();
  return jobs_internal.launch(least(sessions, jobs_internal.my_free_sessions())::integer,
      interval '0');
end
$$;
