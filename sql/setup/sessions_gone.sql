-- Before tables change: no worker session of the older version is at work, and none begins before
-- the commit. Such a session keeps the body of the procedure that it runs, and would call functions
-- that it was not written for.
--
-- Ends no session: `pyworker upgrade` has sent them home before, and psql alone pauses by hand. One
-- that is launched meanwhile waits for the commit, and is refused when it opens or claims. Runs as
-- jobs_owner; holds the table of sessions until the commit. Errors: PW088; 55P03.
do $$
declare
  v_new int := nullif(current_setting('pyworker.schema_version', true), '')::int;
  v_old int := (select max(m.version) from jobs_internal.schema_migration as m);
  v_left text;
begin
  if v_old is null or v_old >= v_new then
    return;
  end if;
  set local lock_timeout = '10s';
  -- Not a weaker mode: a session that has read the table already, and waits to write to it, would
  -- keep a migration from changing it.
  lock table jobs_internal.session in access exclusive mode;
  set local lock_timeout to default;
  select string_agg(format('process %s of role %s', s.pid, pg_get_userbyid(s.owner))
      || coalesce(', job ' || s.job_id, ''), '; ' order by s.id)
  into v_left
  from jobs_internal.session as s
  join pg_stat_get_activity(s.pid) as a on a.backend_start = s.backend_start;
  if v_left is not null then
    raise exception using
      errcode = 'PW088',
      message = 'worker sessions of the older version are at work',
      detail = format('They are: %s.', v_left),
      hint = 'Run `pyworker upgrade`, which waits for them. By psql: select jobs.pause(); wait '
        'until jobs.sessions is empty, run this again, select jobs.resume(); Nothing was changed.';
  end if;
end
$$;
