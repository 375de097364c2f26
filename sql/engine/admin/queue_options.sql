-- Options of queues, checked.

-- Number of a queue; PW007 when there is none.
create or replace function jobs_internal.queue_id(p_queue text)
returns integer
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  select q.id into v_id from jobs_internal.queue as q where q.name = p_queue
    and q.dropped_at is null;
  if not found then
    raise exception using errcode = 'PW007',
      message = format('there is no queue "%s"', left(p_queue, 100)),
      detail = 'Or it was dropped.', hint = 'See jobs.queues. A retry cannot help.';
  end if;
  return v_id;
end
$$;

-- Options as a queue keeps them. A timeout is kept in seconds, as it counts; infinity, or over 1000
-- years, is none, as in jobs.enqueue. An interval of mixed signs may be over zero where intervals
-- are compared and below in seconds: both must be in range.
-- Errors: PW026 with the option, the value and the range; PW121, PW122.
create or replace function jobs_internal.check_queue(p_queue jobs_internal.queue)
returns jobs_internal.queue
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_longest constant interval := interval '1000 years';
  v_option text;
  v_value text;
  v_range text;
begin
  if p_queue.concurrency not between 1 and 1000 then
    v_option := 'concurrency';
    v_value := p_queue.concurrency;
    v_range := '1 to 1000; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif p_queue.timeout <= interval '0' or extract(epoch from p_queue.timeout) <= 0 then
    v_option := 'timeout';
    v_value := p_queue.timeout;
    v_range := 'over zero, in seconds; infinity for none';
  elsif p_queue.max_attempts is null or p_queue.max_attempts < 1 then
    v_option := 'max_attempts';
    v_value := p_queue.max_attempts;
    v_range := '1 to 2147483647';
  elsif p_queue.backoff is null or p_queue.backoff not between interval '0' and v_longest
    or extract(epoch from p_queue.backoff) < 0 then
    v_option := 'backoff';
    v_value := p_queue.backoff;
    v_range := '0 to 1000 years, and not over backoff_cap';
  elsif p_queue.backoff_cap is null or p_queue.backoff_cap not between interval '0' and v_longest
    or extract(epoch from p_queue.backoff_cap) < 0 then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := '0 to 1000 years, and not less than backoff';
  elsif extract(epoch from p_queue.backoff_cap) < extract(epoch from p_queue.backoff) then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := format('not less than backoff, which is %s, to 1000 years', p_queue.backoff);
  elsif p_queue.retention is null or extract(epoch from p_queue.retention) < 0
    or not (p_queue.retention between interval '0' and v_longest or p_queue.retention = 'infinity')
  then
    v_option := 'retention';
    v_value := p_queue.retention;
    v_range := '0 to 1000 years; infinity for ever';
  elsif p_queue.retention_rows < 1 then
    v_option := 'retention_rows';
    v_value := p_queue.retention_rows;
    v_range :=
      '1 to 9223372036854775807; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif p_queue.share_commits is null then
    v_option := 'share_commits';
    v_range := 'true or false';
  elsif p_queue.rate_limit < 1 then
    v_option := 'rate_limit';
    v_value := p_queue.rate_limit;
    v_range := '1 to 2147483647; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif extract(year from p_queue.rate_period) <> 0 or extract(month from p_queue.rate_period) <> 0
    or not coalesce(extract(epoch from p_queue.rate_period) between 0.001 and 31536000, true) then
    v_option := 'rate_period';
    v_value := p_queue.rate_period;
    v_range := '1 millisecond to 365 days; not in months, which are not all of one length';
  elsif p_queue.rate_limit > 1000000 * extract(epoch from p_queue.rate_period) then
    v_option := 'rate_limit';
    v_value := p_queue.rate_limit;
    v_range := format('up to 1,000,000 a second: %s in %s',
      trunc(1000000 * extract(epoch from p_queue.rate_period)), p_queue.rate_period);
  end if;
  if v_option is not null then
    raise exception using errcode = 'PW026',
      message = format('%s of queue "%s" cannot be %s', v_option, p_queue.name,
          coalesce(v_value, 'null')),
      detail = format('The range of %s: %s.', v_option, v_range),
        hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  if p_queue.rate_limit is null and (p_queue.rate_period is not null
      or p_queue.rate_by is not null) then
    v_option := case when p_queue.rate_period is null then 'rate_by' else 'rate_period' end;
    raise exception using errcode = 'PW121',
      message = format('queue "%s" has no rate_limit that %s could belong to', p_queue.name,
          v_option),
      detail = format('%s is %s.', v_option, left(coalesce(p_queue.rate_period::text,
          p_queue.rate_by), 100)),
      hint = 'Pass rate_limit, too. A retry cannot help.';
  elsif octet_length(p_queue.rate_by) > 63 then
    raise exception using errcode = 'PW122',
      message = format('rate_by of queue "%s" is no name of an argument', p_queue.name),
      detail = format('A name has 63 bytes at most, and this one has %s.',
          octet_length(p_queue.rate_by)),
      hint = 'Pass the name of an argument of its jobs. A retry cannot help.';
  end if;
  p_queue.rate_period := justify_hours(make_interval(
      secs => extract(epoch from p_queue.rate_period)::double precision));
  if p_queue.timeout > v_longest then
    p_queue.timeout := null;
  end if;
  p_queue.timeout := make_interval(secs => extract(epoch from p_queue.timeout)::double precision);
  return p_queue;
end
$$;

-- The options of a queue, for the audit.
create or replace function jobs_internal.queue_options(p_queue integer)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select to_jsonb(q) - array['id', 'name', 'class_id', 'created_by', 'created_at', 'dropped_at',
    'dropped_by', 'horizon_xid', 'removed_at']
  from jobs_internal.queue as q where q.id = p_queue;
end;
