-- jobs.operations, jobs.phases, and their narrow siblings. Who may see a job may see that; the ways
-- back are statements, for those who may read the job's own.

create or replace view jobs.operations with (security_barrier) as
select
  o.job_id as id,
  coalesce(case when v.owns or (select jobs_internal.caller_is('jobs_operator'))
      then coalesce(j.options, f.options) ->> 'title' end,
    case when o.bucket is null then (
      select s.command || coalesce(' ' || s.object, '') from jobs_internal.statement as s
      where s.job_id = o.job_id)
    else (
      select s.command || coalesce(' ' || s.object, '') from jobs_internal.finished_statement as s
      where s.job_id = o.job_id and s.bucket = o.bucket) end,
    o.kind || coalesce(' ' || o.object_name, '')) as title,
  o.kind,
  o.object_name as object,
  pg_get_userbyid(o.owner)::text as owner,
  o.current_state as state,
  (select format('%s of %s', least(count(*), count(*) filter (where s.state = 'done') + 1),
      count(*))
    from jobs_internal.step as s where s.job_id = o.job_id having count(*) > 0) as step,
  case when j.state = 'running' then coalesce(p.phase, o.phase) end as phase,
  case when j.state = 'running' then p.percent when o.state = 'succeeded' then 100.0 end as percent,
  p.eta,
  date_trunc('second', coalesce(f.finished_at, case when j.state = 'running'
        then clock_timestamp() end) - coalesce(f.started_at, j.started_at)) as elapsed,
  p.blocked_by,
  p.blocking,
  (select string_agg(concat_ws(' ', 'pid', r.v ->> 'pid', '(' || (r.v ->> 'owner') || ')',
        r.v ->> 'why'), '; ')
    from jsonb_array_elements(
      case when j.state = 'running' and jsonb_typeof(o.deadlock_risk) = 'array'
      then o.deadlock_risk else '[]' end) as r(v)) as deadlock_risk,
  coalesce(p.progress_source, o.progress_source) as progress_source,
  o.disk_bytes,
  -- not with exists: of many rows that would be a hash of all measurements
  (select jobs_internal.gain(m.job_id) || 'x' from jobs_internal.measurement as m
    where m.job_id = o.job_id limit 1) as gain,
  case when v.owns or jobs_internal.reads(o.owner) then coalesce(o.undo_sql,
      'none: ' || o.undo_missing) end as undo,
  o.lock_attempts,
  case when v.owns or (select jobs_internal.viewer()) = coalesce(j.enqueued_by, f.enqueued_by)
    or (select jobs_internal.caller_is('jobs_operator'))
    then coalesce(j.note, f.note, '{}') end as note,
  f.outcome,
  p.waits_for,
  coalesce(j.attempt, f.attempt) as attempt,
  o.created_at,
  coalesce(f.started_at, j.started_at) as started_at,
  f.finished_at,
  p.pid,
  o.undo_of,
  o.undone_by
-- In two parts, so that a state that is asked for is found by an index of either; each in order,
-- so that the latest are read first.
from (
  (select c.*, coalesce((select l.state from jobs_internal.job as l where l.id = c.job_id),
      c.state) as current_state
  from jobs_internal.operation as c where c.bucket is null
  order by c.job_id desc)
  union all
  (select c.*, c.state from jobs_internal.operation as c where c.bucket is not null
  order by c.job_id desc)
) as o
cross join lateral (select o.owner = (select jobs_internal.viewer()) as owns) as v
left join jobs_internal.live_operations() as p on p.job_id = o.job_id
-- by key, and not as joins of tables: with many jobs those would read all of them
left join lateral (
  select l.state, l.attempt, l.started_at, l.options, l.note, l.enqueued_by
  from jobs_internal.job as l where l.id = o.job_id and o.bucket is null
  offset 0
) as j on true
left join lateral (
  select h.attempt, h.started_at, h.finished_at, h.outcome, h.options, h.note, h.enqueued_by
  from jobs_internal.finished as h where h.id = o.job_id and h.bucket = o.bucket
  offset 0
) as f on true
where o.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by o.job_id desc;
comment on view jobs.operations is 'Long operations (DDL and maintenance) that are jobs: how far '
  'each is, what it waits for and who waits for it, and what came of it; the latest first, live';
comment on column jobs.operations.id is 'Number of the job';
comment on column jobs.operations.title is 'Title that it was given (option title; for the owner '
  'and operators), else its first words and what it works on';
comment on column jobs.operations.kind is 'What it does, as in "create index concurrently"';
comment on column jobs.operations.object
  is 'The relation that it works on; null: it cannot be read from the statement';
comment on column jobs.operations.owner is 'Role that it runs as';
comment on column jobs.operations.state is 'State, as in jobs.job';
comment on column jobs.operations.step is 'Step of how many, of a job of several statements';
comment on column jobs.operations.phase
  is 'Phase of the server''s own progress, while it runs; null: none is shown';
comment on column jobs.operations.percent is 'How much is done, over all phases: it never goes '
  'back, and is below 100 until the outcome is written; null: nothing tells';
comment on column jobs.operations.eta is 'When it ends if it goes on like this; null: not known '
  'yet, or it waits for others, and how long they take is not known';
comment on column jobs.operations.elapsed
  is 'Time since the start of this attempt, of one that has '
  'ended how long the last took';
comment on column jobs.operations.blocked_by
  is 'Processes whose locks it waits for; 0: a prepared transaction';
comment on column jobs.operations.blocking is 'Processes that wait for a lock of its';
comment on column jobs.operations.deadlock_risk is 'Sessions that will make this build the victim '
  'of a deadlock; null: none';
comment on column jobs.operations.progress_source is 'What the percent is taken from: phases (the '
  'server''s own progress), file (the size of the new file), history (how long it took before)';
comment on column jobs.operations.disk_bytes
  is 'Size in bytes of what it made, else of what it worked on; null: it has not ended';
comment on column jobs.operations.gain
  is 'How many times faster its measured queries are (jobs.measurements); null: not measured';
comment on column jobs.operations.undo is 'Statement that takes it back, or why there is none';
comment on column jobs.operations.lock_attempts
  is 'How often its present step gave up waiting for a lock, over all attempts, count';
comment on column jobs.operations.note is 'Note, as in jobs.job';
comment on column jobs.operations.outcome is 'Outcome of its last attempt; null: it has not ended';
comment on column jobs.operations.waits_for is 'What it waits for, in words: the sessions and '
  'prepared transactions in its way; see jobs.blockers(id)';
comment on column jobs.operations.attempt is 'Attempts made or under way, count';
comment on column jobs.operations.created_at is 'When it was enqueued';
comment on column jobs.operations.started_at is 'Start of the present or last attempt';
comment on column jobs.operations.finished_at is 'End of the last attempt; null: not finished';
comment on column jobs.operations.pid is 'Process that runs it; null: it does not run';
comment on column jobs.operations.undo_of is 'Job that this one takes back';
comment on column jobs.operations.undone_by is 'Job that takes this one back';

create or replace view jobs.operation_list with (security_barrier) as
select
  o.id,
  jobs_internal.shortened(o.title, 34) as title,
  o.state,
  o.step,
  jobs_internal.shortened(o.phase, 24) as phase,
  o.percent as "%",
  to_char(o.eta, 'HH24:MI:SS') as eta,
  o.elapsed,
  jobs_internal.shortened(coalesce('deadlock risk: ' || o.deadlock_risk,
      'waits for ' || o.waits_for, 'holds up pid ' || array_to_string(o.blocking, ', '), o.gain,
      case when o.finished_at is null then 'given up for locks: ' || nullif(o.lock_attempts, 0)
      end, o.undo), 32) as says
from jobs.operations as o
order by o.id desc;
comment on view jobs.operation_list
  is 'jobs.operations in 160 columns: long operations, the latest first, live';
comment on column jobs.operation_list.id is 'Number of the job';
comment on column jobs.operation_list.title is 'Title, as in jobs.operations, cut at 34 characters';
comment on column jobs.operation_list.state is 'State, as in jobs.job';
comment on column jobs.operation_list.step is 'Step of how many';
comment on column jobs.operation_list.phase is 'Phase, cut at 24 characters';
comment on column jobs.operation_list."%" is 'How much is done, over all phases';
comment on column jobs.operation_list.eta is 'Time of day at which it ends';
comment on column jobs.operation_list.elapsed is 'Time since its start, or how long it took';
comment on column jobs.operation_list.says is 'Deadlock risk, else what it waits for, else which '
  'processes it holds up, else what it gained, else how often it gave up waiting for a lock, else '
  'its way back; cut at 32 characters';

create or replace view jobs.phases with (security_barrier) as
select
  h.job_id,
  h.attempt,
  h.n,
  h.phase,
  h.started_at,
  round(extract(epoch from greatest(coalesce(h.finished_at, o.looked_at) - h.started_at,
    interval '0')), 2) as seconds,
  round(h.expected_seconds::numeric, 2) as expected_seconds,
  h.work,
  h.total,
  h.unit
from jobs_internal.phase as h
join jobs_internal.operation as o on o.job_id = h.job_id
where o.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by h.job_id desc, h.attempt, h.n;
comment on view jobs.phases is 'Phases of long operations, attempt by attempt, as they were seen '
  'once a second: what was shorter may be missing; the latest operation first';
comment on column jobs.phases.job_id is 'Job';
comment on column jobs.phases.attempt is 'Attempt';
comment on column jobs.phases.n is 'Place in the attempt, from 1';
comment on column jobs.phases.phase is 'Name, as the server''s progress has it';
comment on column jobs.phases.started_at is 'When it was first seen';
comment on column jobs.phases.seconds is 'How long it took, or has taken when it was seen last';
comment on column jobs.phases.expected_seconds
  is 'How long it was expected to take; null: nothing was expected';
comment on column jobs.phases.work is 'How much of it was done when it was seen last';
comment on column jobs.phases.total is 'Of how much';
comment on column jobs.phases.unit is 'Of what: blocks, tuples, lockers, indexes, bytes';

create or replace view jobs.phase_list with (security_barrier) as
select
  p.job_id,
  p.attempt,
  p.n,
  jobs_internal.shortened(p.phase, 40) as phase,
  to_char(p.started_at, 'MM-DD HH24:MI:SS') as at,
  p.seconds,
  p.expected_seconds as expected,
  p.work || coalesce('/' || p.total, '') as work,
  p.unit
from jobs.phases as p
order by p.job_id desc, p.attempt, p.n;
comment on view jobs.phase_list is 'jobs.phases in 160 columns';
comment on column jobs.phase_list.job_id is 'Job';
comment on column jobs.phase_list.attempt is 'Attempt';
comment on column jobs.phase_list.n is 'Place in the attempt, from 1';
comment on column jobs.phase_list.phase is 'Phase, cut at 40 characters';
comment on column jobs.phase_list.at is 'Month, day and time when it was first seen';
comment on column jobs.phase_list.seconds is 'Seconds that it took';
comment on column jobs.phase_list.expected is 'Seconds that it was expected to take';
comment on column jobs.phase_list.work
  is 'How much of it was done when it was seen last, of how much';
comment on column jobs.phase_list.unit is 'Of what';
