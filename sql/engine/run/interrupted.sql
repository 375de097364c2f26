-- Results of jobs that were interrupted, or whose result cannot be stored.

-- What an interruption of the present attempt means: the committed reason, or null when there is
-- none. Waits for one for up to a second, unless the server shuts down; that its time is over in
-- that second is no reason for a signal that came before.
create or replace function jobs_internal.why_stopped(p_job bigint, p_attempt integer)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_signalled timestamptz := clock_timestamp();
  v_until timestamptz := v_signalled + interval '1 second';
  v_reason text;
begin
  loop
    v_reason := jobs_internal.stop_reason(p_job, p_attempt);
    if v_reason = 'timed_out' and jobs_internal.deadline_of(p_job) > v_signalled then
      return null;
    end if;
    exit when v_reason is not null or jobs_internal.shutting_down() or clock_timestamp() > v_until;
    perform pg_sleep(0.02);
  end loop;
  return v_reason;
exception
  when query_canceled then
    return jobs_internal.stop_reason(p_job, p_attempt);
end
$$;

-- How an attempt ended that a signal cut off, for the reason that is given, or is found.
create or replace function jobs_internal.interrupted_result(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_context text,
  p_message text default null,
  p_reason text default null
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  v_result.job_id := p_item.job_id;
  v_result.attempt := p_item.attempt;
  v_result.started_at := p_started_at;
  v_result.finished_at := clock_timestamp();
  v_result.call_template_id := p_item.call_template_id;
  v_result.queued_at := p_item.queued_at;
  v_result.task := p_item.task;
  v_result.outcome := coalesce(p_reason,
      jobs_internal.why_stopped(p_item.job_id, p_item.attempt), 'interrupted');
  v_result.error := jobs_internal.stop_error(v_result.outcome, p_item.timeout_ms * interval '1 ms',
    case v_result.outcome when 'timed_out' then 'The supervisor cancelled its session.' end,
      p_context);
  if v_result.outcome = 'interrupted' and p_message is not null then
    v_result.error := jobs_internal.error_object('57014', p_message, null, null, p_context);
  end if;
  return v_result;
end
$$;

-- How an attempt ended that waits for other sessions before its statement begins: stopped, or out
-- of its time. Without an outcome it goes on. p_detail: what it waits for.
create or replace function jobs_internal.stopped_while_waiting(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_detail text
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  if jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
    return jobs_internal.interrupted_result(p_item, p_started_at, null);
  elsif clock_timestamp() > p_started_at + p_item.timeout_ms * interval '1 ms' then
    v_result.job_id := p_item.job_id;
    v_result.attempt := p_item.attempt;
    v_result.started_at := p_started_at;
    v_result.finished_at := clock_timestamp();
    v_result.outcome := 'timed_out';
    v_result.error := jobs_internal.stop_error('timed_out', p_item.timeout_ms * interval '1 ms',
        p_detail);
  end if;
  return v_result;
end
$$;

-- How those of some jobs of a chunk ended that a signal was meant for. Which of them it met cannot
-- be told, as all that their statement did is undone, the name of the session too. So it is asked,
-- for up to a second, which of them were to be stopped, and a job that was is stopped, whether the
-- signal met it or another. None of them: each is interrupted, since each may have been met.
-- p_began: when the first of them began; the others began within the time of a chunk.
create or replace function jobs_internal.stopped_results(
  p_items jobs_internal.work_item[],
  p_began timestamptz,
  p_context text,
  p_message text
)
returns jobs_internal.attempt_result[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '1 second';
  v_signalled boolean := false;
  v_results jobs_internal.attempt_result[];
begin
  loop
    v_results := array(
      select jobs_internal.interrupted_result(i.item, p_began, p_context, p_message, r.reason)
      from (select u::jobs_internal.work_item as item from unnest(p_items) as u) as i
      cross join lateral (
        select jobs_internal.stop_reason((i.item).job_id, (i.item).attempt) as reason offset 0
      ) as r
      where r.reason is not null);
    if cardinality(v_results) > 0 then
      return v_results;
    end if;
    exit when v_signalled or jobs_internal.shutting_down() or clock_timestamp() > v_until;
    begin
      perform pg_sleep(0.02);
    exception
      when query_canceled then
        v_signalled := true;  -- once more: its reason may be there by now
    end;
  end loop;
  return array(
    select jobs_internal.interrupted_result(u::jobs_internal.work_item, p_began, p_context,
        p_message, 'interrupted')
    from unnest(p_items) as u);
end
$$;

-- How an attempt ended whose own end cannot be written down: too large for a row, say. Nothing
-- of what the job said is in it.
create or replace function jobs_internal.unwritable_result(p_result jobs_internal.attempt_result,
    p_sqlstate text,
    p_message text)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  p_result.outcome := case when p_result.child_pid is null then 'failed' else 'in_doubt' end;
  p_result.result := null;
  p_result.logs := null;
  p_result.error := jobs_internal.error_object(p_sqlstate, 'its end cannot be written down: '
      || left(p_message, 500),
    case when p_result.child_pid is null then 'What it did was undone.'
      else 'What the statement did was not undone.' end,
    'Let it return and log less. A retry cannot help.');
  return p_result;
end
$$;
