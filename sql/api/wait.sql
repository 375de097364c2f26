-- Waiting for the end of a job.

create or replace function jobs.wait(id bigint, timeout interval)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'wait', 'jobs_operator');
  return jobs_internal.wait(id, timeout);
end
$$;
comment on function jobs.wait(bigint, interval) is
'Waits until a job is finished and returns its state: succeeded, failed, cancelled or in_doubt. '
'Holds the caller''s snapshot, so it refuses
jobs that run at top level. Errors: PW030, PW033 isolation, PW034 top level, PW035 enqueued by '
'this transaction, PW036 not finished in time.';

create or replace procedure jobs.await(id bigint, timeout interval)
language plpgsql
as $$
declare
  v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp()
    operator(pg_catalog.+) least(greatest(coalesce(timeout, interval '1000 years'), interval '0'),
        interval '1000 years');
  v_state pg_catalog.text;
  v_nap double precision := 0.002;
  v_refusal pg_catalog.text;
begin
  perform jobs_internal.assert_member('jobs_producer', 'await', 'jobs_operator');
  -- Inside of a block with a handler COMMIT is always refused, but first for what it is asked here:
  -- whether the one who called commits at all. Times would not tell: under the extended protocol a
  -- statement begins later than its transaction.
  perform pg_catalog.set_config('exit_on_error', 'off', true);
  begin
    commit;
  exception
    when invalid_transaction_termination then
      v_refusal := sqlerrm;
  end;
  if v_refusal operator(pg_catalog.=) jobs_internal.refusal_of_commit() then
    raise exception using errcode = 'PW037',
      message = 'jobs.await cannot run inside a transaction block',
      detail = 'It commits between two looks, so that it holds no snapshot. Here that is not '
        'possible: in a transaction block, in a function, or'
        ' beside other statements in one text.',
      hint
        = 'Commit first (a driver: autocommit) and call it alone, or use jobs.wait(id, timeout).';
  end if;
  loop
    v_state := jobs_internal.state_of(await.id);
    commit;
    exit when v_state operator(pg_catalog.=) any (array['succeeded', 'failed', 'cancelled',
          'in_doubt']);
    if pg_catalog.clock_timestamp() operator(pg_catalog.>) v_until then
      raise exception using errcode = 'PW036',
        message = pg_catalog.format('job %s is not finished after %s', await.id, timeout),
        detail = pg_catalog.format('Its state is %s.', v_state),
          hint = jobs_internal.waiting_reason(await.id);
    end if;
    perform pg_catalog.pg_sleep(v_nap);
    v_nap := least(v_nap operator(pg_catalog.*) 1.5, 0.1);
    commit;
  end loop;
  raise notice using message = pg_catalog.format('job %s: %s', await.id, v_state);
end
$$;
comment on procedure jobs.await(bigint, interval) is
'Waits until a job is finished, as jobs.wait, but commits between two looks and so holds no '
'snapshot; says the state in a NOTICE.
Not inside a transaction block. Errors: PW030, PW036, PW037 inside a transaction block.';
