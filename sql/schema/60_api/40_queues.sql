-- Queues, the switch, settings and retry rules: what operators do.

create or replace function jobs_internal.queue_id(p_queue text)
returns integer
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  select q.id into v_id from jobs_internal.queue as q where q.name = p_queue and q.dropped_at is null;
  if not found then
    raise exception using errcode = 'PW007', message = pg_catalog.format('there is no queue "%s"', pg_catalog.left(p_queue, 100)),
      detail = 'Or it was dropped.', hint = 'See jobs.queues. A retry cannot help.';
  end if;
  return v_id;
end
$$;
comment on function jobs_internal.queue_id(text) is 'Number of a queue; PW007 when there is none';

-- Purpose: one row in slot for each job that the queue may run at once. A slot that a session holds stays, also beyond a lower number: its
-- job counts until it is given back, and nobody takes it then. Who takes or gives one back at this moment is not waited for.
create or replace function jobs_internal.fit_slots(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_concurrency integer := (select q.concurrency from jobs_internal.queue as q where q.id = p_queue);
begin
  delete from jobs_internal.slot as s
  where s.queue_id = p_queue and s.n in (
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n > coalesce(v_concurrency, 0)
    for update skip locked
  );
  insert into jobs_internal.slot (queue_id, n) select p_queue, g from pg_catalog.generate_series(1, v_concurrency) as g on conflict do nothing;
end
$$;
comment on function jobs_internal.fit_slots(integer) is 'Makes the slots of a queue fit its concurrency';

-- Purpose: options as a queue keeps them. A timeout is kept in seconds, as it counts; infinity, or over 1000 years, is none, as in
-- jobs.enqueue. An interval of mixed signs may be over zero where intervals are compared and below in seconds: both must be in range.
-- Errors: PW026 with the option, the value and the range.
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
  elsif p_queue.backoff is null or p_queue.backoff not between interval '0' and v_longest or extract(epoch from p_queue.backoff) < 0 then
    v_option := 'backoff';
    v_value := p_queue.backoff;
    v_range := '0 to 1000 years, and not over backoff_cap';
  elsif p_queue.backoff_cap is null or p_queue.backoff_cap not between interval '0' and v_longest or extract(epoch from p_queue.backoff_cap) < 0 then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := '0 to 1000 years, and not less than backoff';
  elsif extract(epoch from p_queue.backoff_cap) < extract(epoch from p_queue.backoff) then
    v_option := 'backoff_cap';
    v_value := p_queue.backoff_cap;
    v_range := pg_catalog.format('not less than backoff, which is %s, to 1000 years', p_queue.backoff);
  elsif p_queue.retention is null or extract(epoch from p_queue.retention) < 0
    or not (p_queue.retention between interval '0' and v_longest or p_queue.retention = 'infinity')
  then
    v_option := 'retention';
    v_value := p_queue.retention;
    v_range := '0 to 1000 years; infinity for ever';
  elsif p_queue.retention_rows < 1 then
    v_option := 'retention_rows';
    v_value := p_queue.retention_rows;
    v_range := '1 to 9223372036854775807; for no limit null in jobs.create_queue, 0 in jobs.alter_queue';
  elsif p_queue.batch is null then
    v_option := 'batch';
    v_range := 'true or false';
  end if;
  if v_option is not null then
    raise exception using errcode = 'PW026',
      message = pg_catalog.format('%s of queue "%s" cannot be %s', v_option, p_queue.name, coalesce(v_value, 'null')),
      detail = pg_catalog.format('The range of %s: %s.', v_option, v_range), hint = 'Pass a value in that range. A retry cannot help.';
  end if;
  if p_queue.timeout > v_longest then
    p_queue.timeout := null;
  end if;
  p_queue.timeout := pg_catalog.make_interval(secs => extract(epoch from p_queue.timeout)::double precision);
  return p_queue;
end
$$;
comment on function jobs_internal.check_queue(jobs_internal.queue) is 'Options as a queue keeps them; PW026 when one is out of range';

-- Purpose: the options of a queue, for the audit.
create or replace function jobs_internal.queue_options(p_queue integer)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.to_jsonb(q) - array['id', 'name', 'class_id', 'created_by', 'created_at', 'dropped_at']
  from jobs_internal.queue as q where q.id = p_queue;
end;
comment on function jobs_internal.queue_options(integer) is 'The options of a queue';

create or replace function jobs_internal.create_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default 3,
  backoff interval default '1 second',
  backoff_cap interval default '1 hour',
  retention interval default '7 days',
  batch boolean default true,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new jobs_internal.queue;
  v_id integer;
begin
  if name is null or pg_catalog.octet_length(name) > 63 or name !~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$' then
    raise exception using errcode = 'PW015', message = pg_catalog.format('"%s" is no name for a queue', pg_catalog.left(name, 100)),
      detail = 'A name has 1 to 63 letters, digits, or one of _ . : - and begins with a letter, a digit or _.', hint = 'Choose another. A retry cannot help.';
  end if;
  v_new.name := create_queue.name;
  v_new.concurrency := create_queue.concurrency;
  v_new.timeout := create_queue.timeout;
  v_new.max_attempts := create_queue.max_attempts;
  v_new.backoff := create_queue.backoff;
  v_new.backoff_cap := create_queue.backoff_cap;
  v_new.retention := create_queue.retention;
  v_new.batch := create_queue.batch;
  v_new.retention_rows := create_queue.retention_rows;
  v_new := jobs_internal.check_queue(v_new);
  insert into jobs_internal.queue (name, concurrency, timeout, max_attempts, backoff, backoff_cap, retention, retention_rows, batch)
  values (v_new.name, v_new.concurrency, v_new.timeout, v_new.max_attempts, v_new.backoff, v_new.backoff_cap, v_new.retention,
    v_new.retention_rows, v_new.batch)
  on conflict do nothing
  returning id into v_id;
  if not found then
    raise notice using message = pg_catalog.format('queue "%s" exists already: nothing was changed', name);
    return false;
  end if;
  perform jobs_internal.fit_slots(v_id), jobs_internal.enter_class(v_id),
    jobs_internal.note_deed('create_queue', 'queue ' || create_queue.name, null, jobs_internal.queue_options(v_id));
  return true;
end
$$;
comment on function jobs_internal.create_queue(text, integer, interval, integer, interval, interval, interval, boolean, bigint) is 'Does the work of jobs.create_queue';
comment on function jobs.create_queue(text, integer, interval, integer, interval, interval, interval, boolean, bigint) is
'Makes a queue; returns false, with a NOTICE, when it exists. concurrency: jobs that run at once, null for no limit; timeout and max_attempts:
for jobs that name none; backoff: wait before the second attempt, doubled each time up to backoff_cap, which is not less; retention: finished
jobs are kept so long at least; batch: short jobs may share a transaction; retention_rows: a finished job goes earlier once so many others have
finished after it, null for no limit. For operators. Errors: PW015, PW026.';

-- A null option stays as it is; "no timeout" is 'infinity', "no limit" of concurrency and of retention_rows is 0. The next round of the upkeep
-- finds the queue the partitions that fit another retention.
create or replace function jobs_internal.alter_queue(
  name text,
  concurrency integer default null,
  timeout interval default null,
  max_attempts integer default null,
  backoff interval default null,
  backoff_cap interval default null,
  retention interval default null,
  batch boolean default null,
  accepting boolean default null,
  retention_rows bigint default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer := jobs_internal.queue_id(name);
  v_new jobs_internal.queue;
  v_before jsonb := jobs_internal.queue_options(v_id);
begin
  select q.* into v_new from jobs_internal.queue as q where q.id = v_id for no key update;
  v_new.concurrency := case when alter_queue.concurrency = 0 then null else coalesce(alter_queue.concurrency, v_new.concurrency) end;
  v_new.timeout := coalesce(alter_queue.timeout, v_new.timeout);
  v_new.max_attempts := coalesce(alter_queue.max_attempts, v_new.max_attempts);
  v_new.backoff := coalesce(alter_queue.backoff, v_new.backoff);
  v_new.backoff_cap := coalesce(alter_queue.backoff_cap, v_new.backoff_cap);
  v_new.retention := coalesce(alter_queue.retention, v_new.retention);
  v_new.batch := coalesce(alter_queue.batch, v_new.batch);
  v_new.retention_rows := case when alter_queue.retention_rows = 0 then null else coalesce(alter_queue.retention_rows, v_new.retention_rows) end;
  v_new := jobs_internal.check_queue(v_new);
  update jobs_internal.queue as q
  set concurrency = v_new.concurrency, timeout = v_new.timeout, max_attempts = v_new.max_attempts, backoff = v_new.backoff,
    backoff_cap = v_new.backoff_cap, retention = v_new.retention, retention_rows = v_new.retention_rows, batch = v_new.batch,
    accepting = coalesce(alter_queue.accepting, q.accepting)
  where q.id = v_id;
  perform jobs_internal.fit_slots(v_id), jobs_internal.note_deed('alter_queue', 'queue ' || alter_queue.name, v_before, jobs_internal.queue_options(v_id));
  return true;
end
$$;
comment on function jobs_internal.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean, boolean, bigint) is 'Does the work of jobs.alter_queue';
comment on function jobs.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean, boolean, bigint) is
'Changes options of a queue; what is not given stays. concurrency 0: no limit; timeout infinity: none; accepting false: closed for enqueue;
retention_rows 0: no limit. Jobs that run when concurrency is lowered run on, and count until they end. Another retention counts for what is
finished already, too. For operators. Errors: PW007, PW026.';

create or replace function jobs_internal.drop_queue(queue text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '800ms'  -- less than deadlock_timeout: who enqueues is never the victim
as $$
declare
  v_id integer := jobs_internal.queue_id(queue);
  v_lane record;
begin
  if queue = 'default' then
    raise exception using errcode = 'PW027', message = 'queue "default" stays', detail = 'It is where jobs go that name no queue.',
      hint = 'Close it instead: select jobs.alter_queue(''default'', accepting => false).';
  end if;
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000', message = pg_catalog.format('jobs.drop_queue is not for a %s transaction', pg_catalog.current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show the jobs that came meanwhile.', hint = 'Use READ COMMITTED.';
  end if;
  -- Waits for the transactions that enqueue, and nobody enqueues while we look. As long as we wait, all the others wait behind us: so not long.
  lock table jobs_internal.job in share row exclusive mode;
  if exists (select from jobs_internal.job as j where j.queue_id = v_id) then
    raise exception using errcode = 'PW028', message = pg_catalog.format('queue "%s" has unfinished jobs', queue),
      detail = pg_catalog.format('There are %s.', (select pg_catalog.count(*) from jobs_internal.job as j where j.queue_id = v_id)),
      hint = 'Let them finish or cancel them, then drop it.';
  end if;
  for v_lane in delete from jobs_internal.lane as l where l.queue_id = v_id returning l.pgmq_queue loop
    perform pgmq.drop_queue(v_lane.pgmq_queue);
  end loop;
  delete from jobs_internal.slot as s where s.queue_id = v_id;
  perform jobs_internal.note_deed('drop_queue', 'queue ' || queue, jobs_internal.queue_options(v_id), null);
  update jobs_internal.queue as q set dropped_at = pg_catalog.now() where q.id = v_id;
  return true;
exception
  when lock_not_available then
    raise exception using errcode = '55P03', message = pg_catalog.format('queue "%s" cannot be dropped just now', queue),
      detail = 'A transaction that enqueued something, in any queue, is still open.', hint = 'Try again when it has ended.';
end
$$;
comment on function jobs_internal.drop_queue(text) is 'Does the work of jobs.drop_queue';
comment on function jobs.drop_queue(text) is 'Drops a queue that has no unfinished job; its history stays. For operators. Errors: PW007, PW027 it is default, PW028 unfinished jobs,
55P03 a transaction that enqueued is still open.';

create or replace function jobs_internal.pause(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
begin
  if queue is null then
    update jobs_internal.switch set paused = true, changed_by = session_user, changed_at = pg_catalog.now() where not paused;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = true where q.id = v_id and not q.paused;
  end if;
  if found then
    perform jobs_internal.note_deed('pause', coalesce('queue ' || queue, 'everything'), '{"paused": false}', '{"paused": true}');
    return true;
  end if;
  return false;
end
$$;
comment on function jobs_internal.pause(text) is 'Does the work of jobs.pause';
comment on function jobs.pause(text) is
'Pauses a queue; without a name, everything: no job starts until jobs.resume(). Running jobs go on, enqueue goes on. Returns whether that
was a change. For operators. Errors: PW007.';

create or replace function jobs_internal.resume(queue text default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id integer;
  v_changed boolean;
begin
  if queue is null then
    update jobs_internal.switch set paused = false, changed_by = session_user, changed_at = pg_catalog.now() where paused;
    v_changed := found;
  else
    v_id := jobs_internal.queue_id(queue);
    update jobs_internal.queue as q set paused = false where q.id = v_id and q.paused;
    v_changed := found;
  end if;
  if v_changed then
    perform jobs_internal.note_deed('resume', coalesce('queue ' || queue, 'everything'), '{"paused": true}', '{"paused": false}');
  end if;
  perform jobs_internal.wake(null);
  return v_changed;
end
$$;
comment on function jobs_internal.resume(text) is 'Does the work of jobs.resume';
comment on function jobs.resume(text) is
'Resumes a queue; without a name, turns the switch of jobs.pause() back on (queues that were paused by name stay paused). Returns whether
that was a change. For operators. Errors: PW007.';

create or replace function jobs_internal.configure(name text, value text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old text;
  v_least integer := case when name in ('chunk_jobs', 'claim_jobs', 'claim_ms', 'lease_seconds', 'session_seconds', 'session_jobs',
    'sessions_per_owner') then 1 else 0 end;
  v_most integer := case when name = 'chunk_jobs' then 1000 else 999999999 end;
  v_switch boolean := name = 'measure_cost';
  v_good boolean;
begin
  select s.value into v_old from jobs_internal.setting as s where s.name = configure.name for update;
  if not found then
    raise exception using errcode = 'PW012', message = pg_catalog.format('pyworker has no setting "%s"', pg_catalog.left(name, 100)),
      detail = 'See jobs.settings.', hint = 'Check the name. A retry cannot help.';
  end if;
  -- One after the other: what is no number cannot be compared.
  v_good := case when value is null then false when v_switch then value in ('on', 'off') when value !~ '^[0-9]{1,9}$' then false
    else value::integer between v_least and v_most end;
  if not v_good then
    raise exception using errcode = 'PW026',
      message = pg_catalog.format('%s is no value for %s', coalesce('"' || pg_catalog.left(value, 100) || '"', 'null'), name),
      detail = (select pg_catalog.format('%s, in %s.', s.description, s.unit) from jobs_internal.setting as s where s.name = configure.name),
      hint = pg_catalog.format('The range of %s: %s. A retry cannot help.', name,
        case when v_switch then 'on or off' else pg_catalog.format('a whole number from %s to %s', v_least, v_most) end);
  end if;
  update jobs_internal.setting as s set value = configure.value where s.name = configure.name;
  perform jobs_internal.note_deed('configure', 'setting ' || name, pg_catalog.to_jsonb(v_old), pg_catalog.to_jsonb(configure.value));
  return v_old;
end
$$;
comment on function jobs_internal.configure(text, text) is 'Does the work of jobs.configure';
comment on function jobs.configure(text, text) is 'Changes a setting of this installation (jobs.settings); returns the old value. New worker sessions use it. For operators. Errors: PW012, PW026.';

create or replace function jobs_internal.set_retry_rule(pattern text, retry boolean, why text default '')
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if pattern is null or pg_catalog.octet_length(pattern) > 5 or pattern !~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|[*])$' or (pattern = '*' and retry is null) then
    raise exception using errcode = 'PW026', message = pg_catalog.format('"%s" is no pattern of a retry rule', pg_catalog.left(pattern, 100)),
      detail = 'A pattern is an SQLSTATE, a class of two characters, or *.', hint = 'See jobs.retry_rules. A retry cannot help.';
  end if;
  perform jobs_internal.note_deed('set_retry_rule', 'pattern ' || set_retry_rule.pattern,
    (select pg_catalog.to_jsonb(r) from jobs_internal.retry_rule as r where r.pattern = set_retry_rule.pattern),
    case when set_retry_rule.retry is not null then pg_catalog.jsonb_build_object('retry', set_retry_rule.retry, 'why', set_retry_rule.why) end);
  if retry is null then
    delete from jobs_internal.retry_rule as r where r.pattern = set_retry_rule.pattern;
  else
    insert into jobs_internal.retry_rule (pattern, retry, why) values (set_retry_rule.pattern, set_retry_rule.retry, coalesce(set_retry_rule.why, ''))
    on conflict on constraint retry_rule_pkey do update set retry = excluded.retry, why = excluded.why;
  end if;
  return true;
end
$$;
comment on function jobs_internal.set_retry_rule(text, boolean, text) is 'Does the work of jobs.set_retry_rule';
comment on function jobs.set_retry_rule(text, boolean, text) is
'Says whether an error is worth another attempt: pattern is an SQLSTATE, a class of two characters, or * for all others; the longest pattern
that fits decides. retry null removes the rule. For operators. Errors: PW026.';
