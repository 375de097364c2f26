-- A running job comes back later.

create or replace function jobs.snooze(pause interval, keep boolean default true)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_seconds numeric;
begin
  if not pg_has_role('jobs_runner', 'usage') then
    perform jobs_internal.assert_member('jobs_runner', 'snooze', 'jobs_producer');
  end if;
  perform jobs_internal.assert_may_snooze();
  if isfinite(pause) then
    v_seconds := extract(epoch from pause);
  end if;
  if v_seconds is null or v_seconds not between 0 and 315576000 or keep is null then
    raise exception using errcode = 'PW107',
      message = case when keep is null then 'keep must be true or false'
        else 'a job can snooze from no time at all to 10 years' end,
      detail = format('pause is %s, keep is %s.', coalesce(pause::text, 'null'),
        coalesce(keep::text, 'null')),
      hint = 'Pass how long it is to wait, such as ''10 minutes''. A retry cannot help.';
  end if;
  perform set_config('pyworker.snooze', format('%s %s %s', jobs_internal.current_job(),
      round(v_seconds, 6), case when keep then 'keep' else 'undo' end), false),
    set_config('pyworker.logged', 'on', false);  -- the worker looks at it only then
end
$$;
comment on function jobs.snooze(interval, boolean) is
'Inside a function that runs as a job: when the function has returned, the job is not finished but '
'comes back later, so long after the end of this run; no attempt is charged.
keep: what this run did is kept, in the same commit as the new time; false: it is undone. What the '
'function returns is not kept. An error after it wins, of several calls the last one.
Errors: PW106 outside a job, in a statement or procedure; PW107 for another time than from 0 to 10 '
'years.';
