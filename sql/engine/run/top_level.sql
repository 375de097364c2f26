-- A top-level statement from its start to its end: what it works on is noted, what an earlier
-- attempt left is dropped, old transactions are waited for (option wait_for_snapshots), it runs in
-- a child session (child.sql), and how it ended is judged (operations/condition.sql).
--
-- States and commits: note_identity is committed before the child is launched, so that a watcher
-- that dies leaves it to the next attempt; what the watcher sees being built is committed when it
-- is seen. No snapshot is held between two looks.

-- Run one statement, or procedure, at top level. Commits.
create or replace procedure jobs_internal.run_top_level(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_path text := coalesce(p_item.path, p_path);
  v_left text[] := '{}';
  v_skipped jsonb;
  v_builds boolean := false;
  v_drops boolean := false;
  v_again boolean := true;
begin
  p_result := null;
  if p_item.statement is not null then
    -- Only what we know to be a VACUUM or an ANALYZE is looked at; what it names is what it says
    -- now.
    v_skipped := case when p_item.task = any (array['vacuum', 'analyze', 'analyse'])
      and not p_item.verify
      then jobs_internal.first_skipped_table((jobs_internal.noted(p_item.job_id)).target,
          v_path) end;
    perform jobs_internal.note_identity(p_session, p_item.job_id, v_path);
    if p_item.task = any (array['vacuum', 'analyze', 'analyse'])
      and not (p_item.verify
        and (jobs_internal.judge(p_item.job_id) ->> 'done') is not distinct from 'true') then
      perform jobs_internal.count_anew(p_session, p_item.job_id);
    end if;
    if p_item.task = 'vacuum' then
      perform jobs_internal.before_vacuum(p_session, p_item.job_id, p_item.attempt);
    end if;
    commit;
    call jobs_internal.note_before(p_item, v_path, v_skipped, p_result);
    if p_result.outcome is null then
      call jobs_internal.measure_operation(p_item, v_path, false, p_baseline, p_result);
    end if;
    v_builds := jobs_internal.builds_index(p_item.job_id);
    v_drops := jobs_internal.only_drops(p_item.job_id);
    if v_builds and p_result.outcome is null
      and (v_drops
        or (p_item.attempt > 1 or p_item.verify or jobs_internal.was_held(p_item.job_id))
        and (jobs_internal.judge(p_item.job_id) ->> 'done') is distinct from 'true') then
      call jobs_internal.clear_leftover(p_session, p_item, null, p_baseline, p_result);
      v_left := array(select l.name from jobs_internal.leftovers(p_item.job_id) as l
          where l.droppable);
    end if;
    if p_result.outcome is null and v_left = '{}' and v_skipped is null
      and (select m.wait_for_snapshots from jobs_internal.manners(p_item.job_id) as m) then
      call jobs_internal.wait_for_old_transactions(p_session, p_item, p_result);
    end if;
  end if;
  if p_result.outcome is not null then
    null;  -- it was stopped before it began
  elsif v_drops and v_left = '{}' then
    p_result.job_id := p_item.job_id;
    p_result.attempt := p_item.attempt;
    p_result.outcome := 'succeeded';
    p_result.result := '{"verified": true}';
    p_result.finished_at := pg_catalog.clock_timestamp();
    v_again := false;
  elsif v_left = '{}' and v_skipped is null then
    call jobs_internal.run_child(p_session, p_item, p_path, p_margin_ms, p_baseline, p_result);
    if p_result.outcome = 'succeeded' and p_item.statement is not null then
      call jobs_internal.measure_operation(p_item, v_path, true, p_baseline, p_result);
    end if;
  else
    p_result.job_id := p_item.job_id;
    p_result.attempt := p_item.attempt;
    p_result.outcome := 'failed';
    p_result.error := coalesce(v_skipped,
        jobs_internal.error_object('55006', 'what an earlier attempt left could not be dropped'));
    p_result.finished_at := pg_catalog.clock_timestamp();
    v_again := false;  -- to drop it was tried just now
  end if;
  if p_item.task is not distinct from 'vacuum' and p_result.outcome = 'succeeded' then
    begin
      p_result.result := coalesce(p_result.result, '{}') || pg_catalog.jsonb_strip_nulls(
        pg_catalog.jsonb_build_object('vacuum',
          jobs_internal.after_vacuum(p_session, p_item.job_id, p_item.attempt)));
    exception
      when query_canceled then
        null;  -- it has ended: what is said of it is worth no more
    end;
  end if;
  if not v_builds or p_result.outcome in ('left', 'no_slot') then
    return;
  end if;
  if v_again and p_result.outcome in ('succeeded', 'failed', 'held') then
    -- It may have been seen done and have left the old index; where it failed, there may be no
    -- other attempt. No reason to wait for long. After a timeout or a cancel signals are still on
    -- their way, and would end this instead.
    call jobs_internal.clear_leftover(p_session, p_item, 1800, p_baseline, p_result);
  end if;
  v_left := array(select l.name from jobs_internal.leftovers(p_item.job_id) as l where l.droppable);
  if v_left <> '{}' and p_result.error is not null then
    p_result.error := p_result.error || pg_catalog.jsonb_build_object(
      'detail', pg_catalog.concat_ws(' ', p_result.error ->> 'detail', 'It left invalid: index '
          || pg_catalog.array_to_string(v_left, ', index ') || '.'),
      'hint', pg_catalog.concat_ws(' ', p_result.error ->> 'hint',
      'Another attempt, or jobs.retry, drops that first.'));
  end if;
  perform jobs_internal.store_made_index(p_session, p_item.job_id);
end
$$;
