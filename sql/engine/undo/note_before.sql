-- The wait of an attempt at top level for what is read before it, for its way back.

-- Note how things stand before a statement at top level (note_way_back), as soon as what is read
-- for that is not locked any more: the statement would wait for that as well. As long as the
-- setting lock_timeout of its job says; then the statement says so itself. Commits after each look,
-- of at most a second.
-- p_error: why it must not run. p_result: with an outcome, if the attempt was stopped, or its time
--   was over, while it waited.
create or replace procedure jobs_internal.note_before(
  p_item jobs_internal.work_item,
  p_path text,
  inout p_error jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_started timestamptz := pg_catalog.clock_timestamp();
  v_looked timestamptz;
  v_limit bigint;  -- ms
  v_error jsonb;
begin
  perform pg_catalog.set_config('lock_timeout', s.value, true)
  from pg_catalog.jsonb_each_text(p_item.settings) as s
  where pg_catalog.lower(s.key) = 'lock_timeout';
  if found then
    v_limit := nullif((select s.setting::bigint from pg_catalog.pg_settings as s
      where s.name = 'lock_timeout'), 0);
  end if;
  loop
    v_looked := pg_catalog.clock_timestamp();
    begin
      v_error := jobs_internal.note_way_back(p_item.job_id, p_path,
        p_item.attempt = 1 and p_item.verify is not true);
      if v_error ->> 'sqlstate' = '55P03' then
        perform pg_catalog.pg_sleep(0.1);
      end if;
    exception
      when query_canceled then
        -- as in run_child: else it was only woken up
        if pg_catalog.clock_timestamp() >= v_looked then
          p_result := jobs_internal.interrupted_result(p_item, v_started, null);
        end if;
        v_error := '{"sqlstate": "55P03"}';
    end;
    commit;
    if p_result.outcome is null and v_error ->> 'sqlstate' = '55P03' then
      p_result := jobs_internal.stopped_while_waiting(p_item, v_started,
          'What the statement works on is locked.');
    end if;
    exit when p_result.outcome is not null or v_error ->> 'sqlstate' is distinct from '55P03';
    if pg_catalog.clock_timestamp() > v_started + v_limit * interval '1 ms' then
      return;
    end if;
  end loop;
  if p_result.outcome is null then
    p_error := coalesce(p_error, v_error);
  end if;
end
$$;
