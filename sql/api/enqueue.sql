-- Enqueue: jobs.enqueue, jobs.enqueue_many, jobs.enqueue_sql.
--
-- The three are invoker functions without a pinned path, on purpose: the task is looked up with the
-- caller's path and its arguments are cast with the caller's rights. Every name in them is
-- qualified. What needs our rights is in definer functions of jobs_internal. Parameter names are
-- part of the contract, so they carry no prefix.

create or replace function jobs.enqueue(
  task text,
  args jsonb default '{}',
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_template jobs_internal.call_template;
  v_args pg_catalog.jsonb := coalesce(args, '{}');
begin
  -- One expression where all is well: this is in every enqueue.
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue');
  end if;
  v_template := jobs_internal.resolve(task, v_args);
  v_args := case when v_template.cast_query is not null or v_template.whole
    then jobs_internal.canonical(v_template, v_args) end;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  return (jobs_internal.store_job(v_template.id, v_args, queue, run_at, timeout, max_attempts,
        unique_key, priority, settings, note, options)).job_id;
end
$$;
comment on function jobs.enqueue(text, jsonb, text, timestamptz, interval, integer, text, text,
    jsonb, jsonb, jsonb) is
'Enqueues a call of a function or procedure, in the caller''s transaction; returns the id of the '
'job.
task: name, qualified or not, or with its arguments as \df prints them. args: {"parameter": '
'value}. run_at: not before. timeout: longest time of an attempt.
max_attempts: tries in all. unique_key: at most one unfinished job per owner, queue and key; then '
'the existing id is returned, with a NOTICE.
priority: high, normal, low, which share the time as 4 : 2 : 1. settings: GUCs for this job alone. '
'note: what a person wants beside it (64 kB).
options: {"title": ..., "notify": ..., "repeatable": ...}; jobs.options lists them all.
Errors: PW001 to PW020 and PW029 (see jobs.errors), each with DETAIL and HINT.';

create or replace function jobs.enqueue_many(
  task text,
  args jsonb[],
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  options jsonb default '{}'
)
returns setof bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_keys pg_catalog.text[];
  v_alike boolean;
  v_ids bigint[];
  v_order integer[] := '{}';
  v_group record;
  v_template jobs_internal.call_template;
  v_args pg_catalog.jsonb[];
  v_one pg_catalog.jsonb;
begin
  -- One expression where all is well: this is in every enqueue.
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue_many');
  end if;
  if unique_key is not null then
    raise exception using errcode = 'PW022', message = 'unique_key is not for many jobs',
      detail = 'At most one unfinished job can have it.',
        hint = 'Call jobs.enqueue for each key. A retry cannot help.';
  end if;
  -- Nearly always all have the same few keys, and so one template. Of many keys each is compared
  -- with all by the operator -, so those are sorted out below.
  v_keys := array(select k from pg_catalog.jsonb_object_keys(
      case when pg_catalog.jsonb_typeof(args[1]) operator(pg_catalog.=) 'object'
        then args[1] end) as k);
  v_alike := pg_catalog.cardinality(v_keys) operator(pg_catalog.<=) 20
    and (select pg_catalog.bool_and(case
        when pg_catalog.jsonb_typeof(u.args) operator(pg_catalog.=) 'object'
          then u.args operator(pg_catalog.?&) v_keys
            and u.args operator(pg_catalog.-) v_keys operator(pg_catalog.=) '{}'
        else false end)
      from pg_catalog.unnest(args) as u(args));
  if v_alike is not true then
    foreach v_one in array coalesce(args, '{}') loop
      if v_one is not null and pg_catalog.jsonb_typeof(v_one) operator(pg_catalog.<>) 'object' then
        perform jobs_internal.resolve(task, v_one);
      end if;
    end loop;
  end if;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  if v_alike then
    v_template := jobs_internal.resolve(task, coalesce(args[1], '{}'));
    return query select u.id from unnest(jobs_internal.store_jobs(v_template.id,
        jobs_internal.canonical_many(v_template, args), queue, run_at, timeout, max_attempts,
        priority, settings, note, options)) as u(id);
    return;
  end if;
  for v_group in
    select g.keys, pg_catalog.array_agg(g.args order by g.n) as args,
      pg_catalog.array_agg(g.n::integer order by g.n) as places
    from (
      select coalesce(u.args, '{}') as args, u.n,
        array(select k from pg_catalog.jsonb_object_keys(coalesce(u.args, '{}')) as k) as keys
      from pg_catalog.unnest(args) with ordinality as u(args, n)
    ) as g
    group by g.keys
  loop
    v_template := jobs_internal.resolve(task, v_group.args[1]);
    v_args := jobs_internal.canonical_many(v_template, v_group.args);
    v_ids := v_ids operator(pg_catalog.||) jobs_internal.store_jobs(v_template.id, v_args, queue,
        run_at, timeout, max_attempts, priority, settings, note,
      options);
    v_order := v_order operator(pg_catalog.||) v_group.places;
  end loop;
  return query select u.id from unnest(v_ids, v_order) as u(id, place) order by u.place;
end
$$;
comment on function jobs.enqueue_many(text, jsonb[], text, timestamptz, interval, integer, text,
    text, jsonb, jsonb, jsonb) is
'Enqueues a call of one function with each of many arguments, with the same options, in the '
'caller''s transaction.
Returns the ids in the order of args. unique_key is not allowed (PW022). Errors: as jobs.enqueue; '
'one bad argument refuses them all.';

create or replace function jobs.enqueue_sql(
  statement text,
  queue text default 'default',
  run_at timestamptz default pg_catalog.now(),
  timeout interval default null,
  max_attempts integer default null,
  unique_key text default null,
  priority text default 'normal',
  settings jsonb default '{}',
  note jsonb default '{}',
  done_when text default null,
  rollback text default null,
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  -- One expression where all is well: this is in every enqueue.
  if not (pg_catalog.pg_has_role('jobs_producer', 'usage')
      and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off') then
    perform jobs_internal.assert_member('jobs_producer', 'enqueue_sql');
  end if;
  if settings operator(pg_catalog.<>) '{}' then
    perform jobs_internal.try_settings(settings);
  end if;
  v_id := jobs_internal.store_statement(statement, queue, run_at, timeout, max_attempts, unique_key,
      priority, settings, note, done_when, rollback,
    options, jobs_internal.callers_path());
  perform jobs_internal.note_object(v_id);
  return v_id;
end
$$;
comment on function jobs.enqueue_sql(text, text, timestamptz, interval, integer, text, text, jsonb,
    jsonb, text, text, jsonb) is
'Enqueues one SQL statement, in the caller''s transaction; returns the id of the job. Options as '
'in jobs.enqueue, and
done_when: a boolean expression or a query that is true once it is done; rollback: the statement '
'that undoes it, for jobs.undo; both may be given in options instead.
It runs with the search_path that is set where this is called, and so do done_when and what tidies '
'up after it; one in settings wins.
A statement that cannot run in a transaction (VACUUM, CREATE INDEX CONCURRENTLY, CALL, ...) runs '
'in a session of its own: at least once.
Errors: PW007 to PW022 and PW029, among them PW014 empty, PW017 not one statement or a syntax '
'error, PW018 too long, PW021 not allowed.';
