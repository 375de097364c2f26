-- What an operation that was cut off left invalid is never dropped.

-- Replaces jobs_internal.clear_leftover, md5 01d68e9e5c280545c9dd4037541a76b1.
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
