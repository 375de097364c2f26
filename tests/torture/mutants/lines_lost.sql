-- What a failing job said is undone with it.

-- Replaces jobs_internal.end_of_attempt, md5 2f0a04ce1358fec072198df8293a77ec.
create or replace function jobs_internal.end_of_attempt(p_result jobs_internal.attempt_result,
    p_chunk boolean, p_baseline jsonb)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_renames boolean;
  v_void pg_catalog.text;
begin
  -- A job that succeeded says by this setting whether it logged; after a rollback the setting is
  -- gone, so one looks.
  if p_result.outcome operator(pg_catalog.=) 'succeeded'
    and pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    begin
      p_result.logs := jobs_internal.collect_log();
    exception
      when data_exception then
        null;  -- the job prepared statements of that name itself, and they are no lines
    end;
  end if;
  v_renames := p_chunk
    and not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline);
  if v_renames then
    p_result.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return p_result;
end
$$;
