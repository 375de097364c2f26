-- Delegation: jobs.publish, jobs.unpublish, jobs.enqueue_published.

-- Invoker, as jobs.enqueue: the task is looked up with the caller's path.
create or replace function jobs.publish(
  task text,
  to_role text,
  queue text default 'default',
  timeout interval default null,
  per_minute integer default null,
  pending bigint default null
)
returns integer
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_found pg_catalog.oid[];
begin
  perform jobs_internal.assert_member('jobs_producer', 'publish');
  v_found := jobs_internal.functions_by_name(task);
  if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 1 then
    raise exception using errcode = 'PW002', message = pg_catalog.format('%s names %s functions',
        pg_catalog.left(task, 200), pg_catalog.cardinality(v_found)),
      detail = 'One publication is for one function.',
        hint = 'Give the argument types: schema.name(type, ...). A retry cannot help.';
  end if;
  return jobs_internal.store_publication(v_found[1], to_role, queue, timeout, per_minute, pending);
end
$$;
comment on function jobs.publish(text, text, text, interval, integer, bigint) is
'Lets the members of to_role enqueue one function of the caller''s (jobs.enqueue_published), to '
'run as the caller. Returns the number of the
publication. task: as in jobs.enqueue; queue: where its jobs go; timeout: the longest that they '
'may take, null for the queue''s; per_minute and
pending: jobs enqueued in 60 seconds, and unfinished, at most; null for no limit but the caller''s '
'own quota. Each enqueuer has unique keys of its
own. Again for the same function and role: the limits are changed. Errors: PW001, PW002, PW006 not '
'the caller''s function, PW007, PW009, PW016, PW019, PW026, PW075 no such role, PW080 as
much as one login may publish.';

create or replace function jobs.unpublish(publication integer)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'unpublish', 'jobs_operator');
  return jobs_internal.unpublish(publication);
end
$$;
comment on function jobs.unpublish(integer) is
'Revokes a publication. Its jobs that have not started are cancelled, and none starts any more, '
'also none that is being enqueued at this moment
(it fails with PW042); what runs goes on. Returns how many were cancelled. For the publisher and '
'operators. Errors: PW077.';

create or replace function jobs.enqueue_published(
  task text,
  args jsonb default '{}',
  publisher text default null,
  run_at timestamptz default now(),
  timeout interval default null,
  unique_key text default null,
  note jsonb default '{}',
  options jsonb default '{}'
)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'enqueue_published');
  return jobs_internal.enqueue_published(task, args, publisher, run_at, timeout, unique_key, note,
    options);
end
$$;
comment on function jobs.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb,
    jsonb) is
'Enqueues a function that its owner has published to the caller (jobs.publications); it runs as '
'its owner. Returns the id of the job: the caller
sees its state, waits for it and may cancel it; its result, errors and log lines are the '
'publisher''s. task: name, or name with argument types, as
jobs.publications shows it; publisher: where several have published it; unique_key: at most one '
'unfinished job of the caller''s own per publication
and key; the other options as in jobs.enqueue, timeout no longer than the publication''s. Errors: '
'PW002 to PW005, PW007 to PW009, PW011, PW015, PW018, PW029, PW042, PW070 to PW072 over a quota, '
'PW074 over a limit of the
publication, PW076 not published to the caller.';
