-- Why a long operation waits that was put off.

-- Why this operation was put off and is not tried again yet; no row: it was not. n as in
-- wait_codes.
create or replace function jobs_internal.put_off(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz,
    pids integer[], jobs bigint[])
language sql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
begin atomic
  select k.n, k.code,
    case k.code
      when 'lock_attempt' then format('it gave up waiting for a lock %s, so that no session queues '
          'behind it for long; it tries again at %s',
          jobs_internal.counted((o.held ->> 'times')::bigint, 'time'),
          p_job.due_at::timestamptz(0))
      when 'gave_way' then format('it gave way (%s); it comes back at %s', o.held ->> 'message',
          p_job.due_at::timestamptz(0))
      else 'another operation works on the same relation, or is a build whose snapshots this one '
        'would wait for' end,
    (o.held ->> 'at')::timestamptz, p_job.due_at,
    case when jsonb_typeof(o.held -> 'pids') = 'array' then array(
      select e::integer from jsonb_array_elements_text(o.held -> 'pids') as e) end,
    case when k.code = 'operation' then array[(o.held ->> 'job')::bigint] end
  from jobs_internal.operation as o
  join (values (51, 'lock_attempt', 'lock'), (52, 'gave_way', 'yield'),
    (52, 'gave_way', 'step_aside'), (53, 'operation', 'beside')) as k(n, code, why)
    on k.why = o.held ->> 'why'
  where o.job_id = p_job.id and case k.code
    when 'operation' then p_job.state = 'queued' and exists (select from jobs_internal.job as j
      where j.id = (o.held ->> 'job')::bigint and j.state = 'running')
    else p_job.due_at > clock_timestamp() end;
end;
