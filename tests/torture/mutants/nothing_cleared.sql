-- What an operation that was cut off left invalid is never dropped.

-- Replaces jobs_internal.clear_leftover, md5 76d123c77fc47ca739fd05c49092e22b.
create or replace procedure jobs_internal.clear_leftover(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_lock_ms integer,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
begin
  null;
end
$$;
