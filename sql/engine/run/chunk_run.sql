-- Running the jobs of a chunk in one transaction.

-- Run the jobs of a chunk, in the transaction that has opened it. Short functions that have proved
-- themselves run in a row inside one subtransaction, more of them to a commit, and side by side by
-- one statement where that is safe (run_together); where one of them fails after all, or a signal
-- comes, that subtransaction is undone and all of them run again, now each in a subtransaction of
-- its own, which tells whose error it is. So what they did in the database is done once, as always.
-- p_plain: all of them have proved themselves. p_most: no more jobs than this, each with a
--   subtransaction. p_backend: number of this backend among the server's, for the count of its
--   subtransactions. p_measured: functions that need not be measured; null: none is.
create or replace function jobs_internal.run_chunk(
  p_items jobs_internal.work_item[],
  p_plain boolean,
  p_most integer,
  p_ms bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measured integer[],
  p_backend integer
)
returns jobs_internal.chunk_run
language plpgsql volatile
as $$
declare
  v_run jobs_internal.chunk_run;
  v_item jobs_internal.work_item;
  v_result jobs_internal.attempt_result;
  v_results jobs_internal.attempt_result[];
  v_msg_ids bigint[];
  v_call_template_ids integer[];
  v_joint jobs_internal.work_item[];         -- side by side, for one statement
  v_joint_msg_ids bigint[];
  v_joint_ids integer[];     -- their functions, each once
  v_joint_calls text;
  v_joins boolean;
  v_may_join boolean;        -- enough of them stand side by side
  v_some jobs_internal.attempt_result[];
  v_at_work jobs_internal.work_item[];       -- one of these runs
  v_stopped jobs_internal.attempt_result[];  -- a signal of the first try was for these
  v_suspects jobs_internal.work_item[];      -- one of these failed at the first try
  v_until timestamptz;
  v_began timestamptz;
  v_n integer;
  v_first boolean;
  v_measure boolean;
  v_context text;
  v_message text;
  v_void text;
begin
  v_run.plain := p_plain;
  v_run.leave := false;
  loop
    v_until := pg_catalog.clock_timestamp() + p_ms * interval '1 ms';
    v_results := '{}';
    v_msg_ids := '{}';
    v_call_template_ids := '{}';
    v_joint := '{}';
    v_joint_msg_ids := '{}';
    v_joint_ids := '{}';
    v_joint_calls := '';
    v_may_join := v_run.plain and pg_catalog.cardinality(p_items) >= 8;
    v_n := 0;
    begin
      -- The item of nothing at the end is where the last joint jobs run.
      foreach v_item in array p_items || null::jobs_internal.work_item loop
        v_first := v_item.mode = 'chunk' and v_item.call_template_id <> all (v_call_template_ids);
        v_measure := v_first and p_measured is not null
          and v_item.call_template_id <> all (p_measured);
        v_joins := v_may_join and v_item.mode = 'chunk' and not v_measure
          and v_item.chunk_call is not null;
        if v_joint_calls <> '' and (v_joins is not true
            or v_first and pg_catalog.cardinality(v_joint_ids) >= 16) then
          v_at_work := v_joint;
          v_began := pg_catalog.clock_timestamp();
          v_some := jobs_internal.run_together(v_joint, v_joint_calls, v_until, p_path, p_margin_ms,
              p_baseline, p_backend);
          v_result := v_some[pg_catalog.cardinality(v_some)];
          v_results := v_results || v_some;
          v_msg_ids := v_msg_ids || v_joint_msg_ids[1 : pg_catalog.cardinality(v_some)];
          exit when pg_catalog.cardinality(v_some) < pg_catalog.cardinality(v_joint)
            or v_result.last or pg_catalog.clock_timestamp() > v_until;
          -- such a statement costs as much as some of a single job
          v_may_join := pg_catalog.cardinality(v_joint) >= 5;
          v_joint := '{}';
          v_joint_msg_ids := '{}';
          v_joint_ids := '{}';
          v_joint_calls := '';
        end if;
        exit when v_item.mode is null;
        if v_first then
          v_call_template_ids := v_call_template_ids || v_item.call_template_id;
        end if;
        if v_joins then
          v_joint := v_joint || v_item;
          v_joint_msg_ids := v_joint_msg_ids || v_item.msg_id;
          if v_item.call_template_id <> all (v_joint_ids) then
            v_joint_ids := v_joint_ids || v_item.call_template_id;
            v_joint_calls := pg_catalog.concat(v_joint_calls, ' when ', v_item.call_template_id,
                ' then ', v_item.chunk_call);
          end if;
          continue;
        end if;
        v_result := null;
        if v_item.mode = 'chunk' then
          v_n := v_n + 1;
          if v_run.plain then
            v_at_work := array[v_item];
            v_began := pg_catalog.clock_timestamp();
            v_result := jobs_internal.run_without_savepoint(v_item, p_path, p_margin_ms, p_baseline,
                v_measure);
          else
            if v_stopped is not null then
              v_result := jobs_internal.result_of(v_stopped, v_item.job_id);
            end if;
            if v_result.job_id is null then
              v_result := jobs_internal.run_in_savepoint(v_item, null, p_path, p_margin_ms,
                  p_baseline, v_measure);
            end if;
          end if;
        elsif v_item.mode = 'stop' then
          v_result.job_id := v_item.job_id;
          v_result.attempt := v_item.attempt;
          v_result.outcome := 'cancelled';
          v_result.finished_at := pg_catalog.clock_timestamp();
          v_result.error := jobs_internal.error_object('PWC01', 'cancelled on request',
              'It had not started.');
        end if;
        v_msg_ids := v_msg_ids || v_item.msg_id;
        if v_result.job_id is not null then
          v_results := v_results || v_result;
          v_run.leave := v_result.outcome = 'interrupted';
        end if;
        exit when v_run.leave or v_result.last or pg_catalog.clock_timestamp() > v_until;
        if v_run.plain then
          -- Functions that catch errors make subtransactions of their own; over 64 would slow other
          -- sessions.
          if v_n % 20 = 0 then
            v_void := pg_catalog.pg_stat_clear_snapshot();
            exit when (select s.subxact_count > 40
                from pg_catalog.pg_stat_get_backend_subxact(p_backend) as s);
          end if;
        else
          exit when v_n >= p_most;
        end if;
      end loop;
      exit;
    exception
      when query_canceled then
        if not v_run.plain then
          raise;
        end if;
        get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
        v_stopped := jobs_internal.stopped_results(v_at_work, v_began, v_context, v_message);
        if coalesce(v_stopped[1].outcome, 'interrupted') = 'interrupted' then
          -- It is not known why: sent home. The others were not touched, and go back.
          v_results := v_stopped;
          v_msg_ids := array(select i.msg_id from pg_catalog.unnest(v_at_work) as i);
          v_call_template_ids := '{}';
          v_run.leave := true;
          exit;
        end if;
      when others or assert_failure then
        if not v_run.plain then
          raise;
        end if;
        v_suspects := v_at_work;
    end;
    v_run.plain := false;
    v_void := jobs_internal.reset_session(p_baseline);
  end loop;
  if v_suspects is not null then
    v_run.needs_savepoint := jobs_internal.distrusted(v_suspects, v_results);
  end if;
  v_run.attempt_results := v_results;
  v_run.msg_ids := v_msg_ids;
  v_run.call_template_ids := v_call_template_ids;
  return v_run;
end
$$;

-- The result of a job among some.
create or replace function jobs_internal.result_of(p_results jobs_internal.attempt_result[],
    p_job bigint)
returns jobs_internal.attempt_result
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select r::jobs_internal.attempt_result from unnest(p_results) as r where r.job_id = p_job limit 1;
end;

-- The function that is not to be run in a row again after the first try of a chunk failed: that of
-- the job that ran. Where it was one of many, the one that fails in the second try tells itself by
-- that; where none of them does, it is their statement that fails, and the first of them leaves it.
-- One that snoozed and is undone is told by that too.
-- Null: none, or not known yet.
-- p_suspects: of the first try; p_results: of the second.
create or replace function jobs_internal.distrusted(p_suspects jobs_internal.work_item[],
    p_results jobs_internal.attempt_result[])
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select i.call_template_id from unnest(p_suspects) as i
      join unnest(p_results) as r on r.job_id = i.job_id and jobs_internal.is_undone(r)
      limit 1),
    (select p_suspects[1].call_template_id
      where cardinality(p_suspects) = 1
        or not exists (
          select from unnest(p_suspects) as i
          where not exists (select from unnest(p_results) as r
            where r.job_id = i.job_id and r.outcome in ('succeeded', 'snoozed')))));
end;
