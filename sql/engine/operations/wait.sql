-- Waiting for other sessions before a statement begins: for those that are in the way of dropping
-- what an earlier attempt left, and for old transactions.

-- Say in jobs.running what a job waits for before its statement begins; null: it goes on.
create or replace function jobs_internal.say_wait(p_session bigint, p_job bigint, p_attempt integer,
    p_message text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  if v_session.job_id is distinct from p_job then
    return;
  elsif p_message is null then
    delete from jobs_internal.progress_message as m where m.job_id = p_job;
  else
    insert into jobs_internal.progress_message (job_id, attempt, message)
      values (p_job, p_attempt, left(p_message, 1000))
    on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message,
      at = excluded.at;
  end if;
end
$$;

-- One nap between two looks at what is in the way. Commits: others that wait for snapshots wait for
-- this one for as long as a nap at most. The job runs meanwhile: it holds its session and its slot.
-- p_message: what it waits for, for jobs.running, and p_said what stands there; p_detail: the same
--   for the error of an attempt whose time is over.
-- p_nap: seconds; the next one is longer.
-- p_result: with an outcome, if the attempt was stopped, or its time was over.
create or replace procedure jobs_internal.nap_before_start(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_started timestamptz,
  p_message text,
  p_detail text,
  inout p_said text,
  inout p_nap double precision,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_looked timestamptz;
begin
  begin
    v_looked := pg_catalog.clock_timestamp();
    if p_said is distinct from p_message then
      p_said := p_message;
      perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, p_message);
    end if;
    perform pg_catalog.pg_sleep(p_nap);
  exception
    when query_canceled then
      -- as in run_child: else it was only woken up
      if pg_catalog.clock_timestamp() >= v_looked then
        p_result := jobs_internal.interrupted_result(p_item, p_started, null);
      end if;
  end;
  commit;
  p_nap := least(p_nap * 1.5, 0.25);
  if p_result.outcome is null then
    p_result := jobs_internal.stopped_while_waiting(p_item, p_started, p_detail);
  end if;
end
$$;
