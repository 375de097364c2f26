-- Messages that lead to jobs.

-- Put messages of jobs into a lane, visible at once, in their order. As pgmq.send_batch does, for
-- less. Returns their numbers. Writes: the lane's pgmq queue.
create or replace function jobs_internal.send_messages(p_pgmq_queue text, p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_msg_ids bigint[] := array(
    select nextval(to_regclass('pgmq.q_' || p_pgmq_queue || '_msg_id_seq'))
    from generate_series(1, cardinality(p_jobs)));
begin
  execute format('insert into pgmq.%I (msg_id, read_ct, enqueued_at, vt, message) '
    'overriding system value select u.m, 0, $3, $4, jsonb_build_object(''job'', u.j)'
    ' from unnest($1, $2) as u(m, j)', 'q_' || p_pgmq_queue)
  using v_msg_ids, p_jobs, now(), clock_timestamp();
  return v_msg_ids;
end
$$;
