-- Running the jobs of a chunk in one transaction.

-- Run the jobs of a chunk, in the transaction that has opened it. Short functions that have proved
-- themselves run in a row inside one subtransaction, more of them to a commit; where one of them
-- fails after all, or a signal comes, that subtransaction is undone and all of them run again, now
-- each in a subtransaction of its own, which tells whose error it is. So what they did in the
-- database is done once, as always.
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
  v_cut jobs_internal.attempt_result;
  v_results jobs_internal.attempt_result[];
  v_msg_ids bigint[];
  v_call_template_ids integer[];
  v_until timestamptz;
  v_began timestamptz;
  v_n integer;
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
    v_n := 0;
    begin
      foreach v_item in array p_items loop
        v_result := null;
        if v_item.mode = 'chunk' then
          v_n := v_n + 1;
          v_measure := false;
          if v_item.call_template_id <> all (v_call_template_ids) then
            v_call_template_ids := v_call_template_ids || v_item.call_template_id;
            v_measure := p_measured is not null and v_item.call_template_id <> all (p_measured);
          end if;
          if v_run.plain then
            v_began := pg_catalog.clock_timestamp();
            v_result := jobs_internal.run_without_savepoint(v_item, p_path, p_margin_ms, p_baseline,
                v_measure);
          elsif v_cut.job_id = v_item.job_id then
            v_result := v_cut;
          else
            v_result := jobs_internal.run_in_savepoint(v_item, null, p_path, p_margin_ms,
                p_baseline,
                v_measure);
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
        v_cut := jobs_internal.interrupted_result(v_item, v_began, v_context, v_message);
        if v_cut.outcome = 'interrupted' then
          -- It is not known why: sent home. The others were not touched, and go back.
          v_results := case when v_cut.job_id is null then '{}' else array[v_cut] end;
          v_msg_ids := case when v_cut.job_id is null then '{}' else array[v_item.msg_id] end;
          v_call_template_ids := '{}';
          v_run.leave := true;
          exit;
        end if;
      when others or assert_failure then
        if not v_run.plain then
          raise;
        end if;
        v_run.needs_savepoint := v_item.call_template_id;
    end;
    v_run.plain := false;
    v_void := jobs_internal.reset_session(p_baseline);
  end loop;
  v_run.attempt_results := v_results;
  v_run.msg_ids := v_msg_ids;
  v_run.call_template_ids := v_call_template_ids;
  return v_run;
end
$$;
