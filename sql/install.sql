-- Installs pyworker, or applies its functions and views again, in one transaction.
-- Usage: psql -X -v ON_ERROR_STOP=1 -f sql/install.sql DSN
--
-- This is the table of contents: psql applies the files in the order of the lines below, and so
-- does `pyworker install`, which reads the same lines. A new file needs its line here.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?pyworker_command}
\else
\set pyworker_command install
\endif
begin;
set local statement_timeout = 0;
set local transaction_isolation = 'read committed';
set local transaction_read_only = off;
set local pyworker.command = :'pyworker_command';
set local pyworker.schema_version = '9';

-- One install at a time; what must be there before: the server, extensions, roles and schemas; what
-- was installed.
\ir setup/install_lock.sql
\ir setup/preflight.sql
select not exists (
  select from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'jobs_internal' and c.relname = 'schema_migration') as pyworker_fresh \gset
\ir setup/extensions.sql
\ir setup/roles.sql
\ir setup/versions.sql
\ir setup/sessions_gone.sql
\ir setup/clear.sql
\ir setup/table_checks.sql

-- Types and tables, on a fresh database only. Later changes are files of migrations/.
\if :pyworker_fresh
\ir tables/types.sql
\ir tables/settings.sql
\ir tables/queues.sql
\ir tables/lanes.sql
\ir tables/call_templates.sql
\ir tables/jobs.sql
\ir tables/reuse.sql
\ir tables/history_classes.sql
\ir tables/history.sql
\ir tables/sessions.sql
\ir tables/supervisors.sql
\ir tables/owners.sql
\ir tables/statistics.sql
\ir tables/installation.sql
\ir tables/operations.sql
\ir tables/schedules.sql
\ir tables/schedule_runs.sql
\ir tables/dependencies.sql
\ir tables/batches.sql
\ir tables/keys.sql
\ir tables/windows.sql
\ir tables/marks.sql
\ir tables/statement_snapshots.sql
insert into jobs_internal.schema_migration (version, name) values
  (0, 'base'), (1, 'session_version'), (2, 'worker_state'), (3, 'chunk_call'),
  (4, 'sixteen_sessions'), (5, 'operations'), (6, 'schedules'), (7, 'limits'),
  (8, 'turns_and_rates'), (9, 'marks');
\endif

-- Migrations, each where the database lacks it: see sql/README.md.
select not exists (select from jobs_internal.schema_migration where version = 1)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0001_session_version.sql
insert into jobs_internal.schema_migration (version, name) values (1, 'session_version');
\endif
select not exists (select from jobs_internal.schema_migration where version = 2)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0002_worker_state.sql
insert into jobs_internal.schema_migration (version, name) values (2, 'worker_state');
\endif
select not exists (select from jobs_internal.schema_migration where version = 3)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0003_chunk_call.sql
insert into jobs_internal.schema_migration (version, name) values (3, 'chunk_call');
\endif
select not exists (select from jobs_internal.schema_migration where version = 4)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0004_sixteen_sessions.sql
insert into jobs_internal.schema_migration (version, name) values (4, 'sixteen_sessions');
\endif
select not exists (select from jobs_internal.schema_migration where version = 5)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0005_operations.sql
insert into jobs_internal.schema_migration (version, name) values (5, 'operations');
\endif
select not exists (select from jobs_internal.schema_migration where version = 6)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0006_schedules.sql
insert into jobs_internal.schema_migration (version, name) values (6, 'schedules');
\endif
select not exists (select from jobs_internal.schema_migration where version = 7)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0007_limits.sql
insert into jobs_internal.schema_migration (version, name) values (7, 'limits');
\endif
select not exists (select from jobs_internal.schema_migration where version = 8)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0008_turns_and_rates.sql
insert into jobs_internal.schema_migration (version, name) values (8, 'turns_and_rates');
\endif
select not exists (select from jobs_internal.schema_migration where version = 9)
  as pyworker_pending \gset
\if :pyworker_pending
\ir migrations/0009_marks.sql
insert into jobs_internal.schema_migration (version, name) values (9, 'marks');
\endif

-- What all rooms use.
\ir engine/common/settings.sql
\ir engine/common/errors.sql
\ir engine/common/refuse.sql
\ir engine/common/texts.sql
\ir engine/common/caller.sql
\ir engine/common/liveness.sql
\ir engine/common/audit.sql
\ir engine/common/job_context.sql
\ir engine/common/privileges.sql
\ir engine/common/failures.sql
\ir engine/common/serve_owners.sql
\ir engine/common/messages.sql

-- The seam to pg_background.
\ir engine/background/names.sql
\ir engine/background/statement.sql
\ir engine/background/start.sql
\ir engine/background/child.sql

-- Copies of an installation: found, and put right.
\ir engine/copies/identity.sql
\ir engine/copies/viewer.sql
\ir engine/copies/role_names.sql
\ir engine/copies/reset.sql
\ir engine/copies/owners.sql
\ir engine/copies/remap_functions.sql
\ir engine/copies/operations.sql

-- A job is enqueued: its task found, its arguments cast, its quota charged, its row stored.
\ir engine/enqueue/signature.sql
\ir engine/enqueue/parameters.sql
\ir engine/enqueue/find_task.sql
\ir engine/enqueue/call_text.sql
\ir engine/enqueue/call_template.sql
\ir engine/enqueue/call_template_limits.sql
\ir engine/enqueue/arguments.sql
\ir engine/enqueue/time_options.sql
\ir engine/enqueue/options.sql
\ir engine/enqueue/unique_key.sql
\ir engine/enqueue/reuse.sql
\ir engine/enqueue/quota.sql
\ir engine/enqueue/publication.sql
\ir engine/enqueue/published.sql
\ir engine/enqueue/store.sql
\ir engine/enqueue/store_many.sql
\ir engine/enqueue/statement_lexer.sql
\ir engine/enqueue/statement_kind.sql
\ir engine/enqueue/statement_words.sql
\ir engine/enqueue/statement_target.sql
\ir engine/enqueue/statement_actions.sql
\ir engine/enqueue/statement_operation.sql
\ir engine/enqueue/store_statement.sql
\ir engine/enqueue/store_steps.sql

-- It waits for other jobs.
\ir engine/dependencies/store.sql
\ir engine/dependencies/events.sql
\ir engine/dependencies/cancel.sql
\ir engine/dependencies/follow.sql
\ir engine/dependencies/follow_round.sql

-- It belongs to a batch.
\ir engine/batches/check.sql
\ir engine/batches/count.sql
\ir engine/batches/call_back.sql
\ir engine/batches/fold.sql
\ir engine/batches/control.sql
\ir engine/batches/cancel.sql
\ir engine/batches/sweep.sql

-- It waits for a place of its concurrency key.
\ir engine/keys/wait.sql
\ir engine/keys/admit.sql
\ir engine/keys/round.sql
\ir engine/keys/limits.sql
\ir engine/keys/behind.sql
\ir engine/keys/sweep.sql

-- It is due: a lane for it, its message, and a session that is awake.
\ir engine/dispatch/gates.sql
\ir engine/dispatch/lanes.sql
\ir engine/dispatch/lanes_ahead.sql
\ir engine/dispatch/deadline.sql
\ir engine/dispatch/dropped_queues.sql
\ir engine/dispatch/dispatch.sql
\ir engine/dispatch/wakeup.sql
\ir engine/dispatch/start_sessions.sql

-- A worker session opens, takes a slot, and claims messages.
\ir engine/claim/session.sql
\ir engine/claim/session_quota.sql
\ir engine/claim/slots.sql
\ir engine/claim/idle_holders.sql
\ir engine/claim/take_slot.sql
\ir engine/claim/rates.sql
\ir engine/claim/rate_returns.sql
\ir engine/claim/rates_by_value.sql
\ir engine/claim/scan_position.sql
\ir engine/claim/turns.sql
\ir engine/claim/claim.sql

-- It runs the job: in a chunk, alone, or in a child session.
\ir engine/run/worker.sql
\ir engine/run/next_claim.sql
\ir engine/run/wait_for_work.sql
\ir engine/run/run_mode.sql
\ir engine/run/chunk_open.sql
\ir engine/run/work_alone.sql
\ir engine/run/alone.sql
\ir engine/run/write_end.sql
\ir engine/run/snooze.sql
\ir engine/run/work_chunk.sql
\ir engine/run/chunk_run.sql
\ir engine/run/run_in_savepoint.sql
\ir engine/run/attempt.sql
\ir engine/run/run_without_savepoint.sql
\ir engine/run/run_together.sql
\ir engine/run/interrupted.sql
\ir engine/run/learn.sql
\ir engine/run/measure.sql
\ir engine/run/reset_session.sql
\ir engine/run/job_log.sql
\ir engine/run/top_level.sql
\ir engine/run/child.sql
\ir engine/run/child_launch.sql
\ir engine/run/child_start.sql
\ir engine/run/child_watch.sql
\ir engine/run/child_end.sql
\ir engine/run/child_call.sql
\ir engine/run/child_cost.sql

-- What long operations work on, when they are done, and what they leave behind.
\ir engine/operations/kinds.sql
\ir engine/operations/options.sql
\ir engine/operations/path.sql
\ir engine/operations/identity.sql
\ir engine/operations/note_operation.sql
\ir engine/operations/maintenance_rights.sql
\ir engine/operations/condition.sql
\ir engine/operations/verdict.sql
\ir engine/operations/leftover.sql
\ir engine/operations/wait.sql
\ir engine/operations/clear_leftover.sql
\ir engine/operations/clean_up.sql
\ir engine/operations/beside.sql
\ir engine/operations/politeness.sql
\ir engine/operations/progress_row.sql
\ir engine/operations/weights.sql
\ir engine/operations/parts.sql
\ir engine/operations/progress.sql
\ir engine/operations/eta.sql
\ir engine/operations/file_size.sql
\ir engine/operations/look.sql
\ir engine/operations/note_progress.sql
\ir engine/operations/learn.sql
\ir engine/operations/old_transactions.sql
\ir engine/operations/vacuum_outcome.sql
\ir engine/operations/deadlock_risk.sql
\ir engine/operations/watch.sql
\ir engine/operations/hold.sql
\ir engine/operations/measure_queries.sql
\ir engine/operations/measure_run.sql
\ir engine/operations/blockers.sql
\ir engine/operations/steps.sql
\ir engine/operations/recipes.sql
\ir engine/operations/index_recipes.sql

-- The way back of an operation.
\ir engine/undo/reasons.sql
\ir engine/undo/leaves.sql
\ir engine/undo/way_back.sql
\ir engine/undo/statistics.sql
\ir engine/undo/note.sql
\ir engine/undo/note_before.sql
\ir engine/undo/complete.sql
\ir engine/undo/undo.sql

-- Schedules: how they are read, in which zones, when they are due next; made, fired, changed.
\ir engine/schedules/parse.sql
\ir engine/schedules/zones.sql
\ir engine/schedules/next_time.sql
\ir engine/schedules/in_words.sql
\ir engine/schedules/occurrences.sql
\ir engine/schedules/check.sql
\ir engine/schedules/store.sql
\ir engine/schedules/fire.sql
\ir engine/schedules/round.sql
\ir engine/schedules/control.sql
\ir engine/schedules/copies.sql

-- Moving in from another scheduler.
\ir engine/import/item.sql
\ir engine/import/pg_cron.sql
\ir engine/import/pg_timetable.sql
\ir engine/import/pgagent.sql
\ir engine/import/read.sql

-- Maintenance windows: when they are open, which jobs fit, and who waits for one.
\ir engine/windows/times.sql
\ir engine/windows/check.sql
\ir engine/windows/expected.sql
\ir engine/windows/verdict.sql
\ir engine/windows/wait.sql
\ir engine/windows/round.sql
\ir engine/windows/control.sql

-- Marks: when something was changed, and what is different since.
\ir engine/marks/store.sql
\ir engine/marks/windows.sql
\ir engine/marks/compare.sql
\ir engine/marks/statements.sql

-- What a statement would do, before it is enqueued.
\ir engine/plan/read.sql
\ir engine/plan/rewrites.sql
\ir engine/plan/locks.sql
\ir engine/plan/cost.sql
\ir engine/plan/undo_text.sql
\ir engine/plan/index_warnings.sql
\ir engine/plan/table_warnings.sql
\ir engine/plan/plan.sql

-- A statement is tried out on a copy.
\ir engine/rehearse/check.sql
\ir engine/rehearse/rehearse.sql

-- The attempt ends: a retry, or history.
\ir engine/finish/outcome.sql
\ir engine/finish/archive.sql
\ir engine/finish/chunk_end.sql
\ir engine/finish/alone_end.sql
\ir engine/finish/outbox.sql
\ir engine/finish/run_stats.sql
\ir engine/finish/daily_cost.sql

-- It is cancelled, or over its timeout.
\ir engine/stop/reasons.sql
\ir engine/stop/cancel.sql
\ir engine/stop/signals.sql
\ir engine/stop/overdue.sql

-- Something died: sessions, the server, the clock.
\ir engine/recover/rescue.sql
\ir engine/recover/orphan.sql
\ir engine/recover/crash.sql
\ir engine/recover/clock_step.sql
\ir engine/recover/unstarted.sql
\ir engine/recover/hidden_jobs.sql

-- Finished jobs age, and go.
\ir engine/history/classes.sql
\ir engine/history/buckets.sql
\ir engine/history/steps.sql
\ir engine/history/operations.sql
\ir engine/history/upkeep.sql

-- What supervisors call, round after round.
\ir engine/supervise/register.sql
\ir engine/supervise/demand.sql
\ir engine/supervise/operations.sql
\ir engine/supervise/tick.sql
\ir engine/supervise/upkeep.sql
\ir engine/supervise/activity.sql

-- What is behind the functions that control a job and wait for it.
\ir engine/control/cancel.sql
\ir engine/control/retry.sql
\ir engine/control/priority.sql
\ir engine/control/dismiss.sql
\ir engine/control/note.sql
\ir engine/control/wait.sql

-- What is behind the functions of operators.
\ir engine/admin/queue_options.sql
\ir engine/admin/queues.sql
\ir engine/admin/settings.sql
\ir engine/admin/owners.sql
\ir engine/admin/reconcile.sql

-- Why a job waits.
\ir engine/explain/codes.sql
\ir engine/explain/batch.sql
\ir engine/explain/rates.sql
\ir engine/explain/lane_waits.sql
\ir engine/explain/functions_gone.sql
\ir engine/explain/held.sql
\ir engine/explain/parents.sql
\ir engine/explain/keys.sql
\ir engine/explain/windows.sql
\ir engine/explain/reasons.sql
\ir engine/explain/waiting.sql

-- Whether all is well, and what to do if not: a function for each check.
\ir engine/health/installation.sql
\ir engine/health/locked_tables.sql
\ir engine/health/supervisors.sql
\ir engine/health/due_jobs.sql
\ir engine/health/jobs.sql
\ir engine/health/sessions.sql
\ir engine/health/owners.sql
\ir engine/health/server.sql
\ir engine/health/operations.sql
\ir engine/health/schedules.sql
\ir engine/health/dependencies.sql
\ir engine/health/batches.sql
\ir engine/health/keys.sql
\ir engine/health/windows.sql
\ir engine/health/health.sql

-- Public functions: schema jobs.
\ir api/enqueue.sql
\ir api/forget.sql
\ir api/concurrency.sql
\ir api/enqueue_steps.sql
\ir api/schedules.sql
\ir api/import.sql
\ir api/batches.sql
\ir api/plan.sql
\ir api/recipes.sql
\ir api/undo.sql
\ir api/rehearse.sql
\ir api/note.sql
\ir api/publish.sql
\ir api/in_job.sql
\ir api/snooze.sql
\ir api/cancel.sql
\ir api/retry.sql
\ir api/priority.sql
\ir api/dismiss.sql
\ir api/wait.sql
\ir api/explain.sql
\ir api/blockers.sql
\ir api/start.sql
\ir api/queues.sql
\ir api/windows.sql
\ir api/marks.sql
\ir api/settings.sql
\ir api/owners.sql
\ir api/reconcile.sql
\ir api/next_runs.sql
\ir api/help.sql

-- Public views, with the functions that only they use.
\ir views/job.sql
\ir views/queued.sql
\ir views/running.sql
\ir views/finished.sql
\ir views/cost.sql
\ir views/attempts.sql
\ir views/queues.sql
\ir views/sessions.sql
\ir views/health.sql
\ir views/settings.sql
\ir views/owners.sql
\ir views/errors.sql
\ir views/options.sql
\ir views/wait_reasons.sql
\ir views/help_text.sql
\ir views/lists.sql
\ir views/operations.sql
\ir views/steps.sql
\ir views/schedules.sql
\ir views/batches.sql
\ir views/keys.sql
\ir views/windows.sql
\ir views/marks.sql
\ir views/system_lists.sql
\ir views/measurements.sql
\ir views/metrics.sql

-- Rights, the time zones of this server, and the record of what was installed.
\ir setup/grants.sql
\ir setup/grants_operations.sql
\ir setup/grants_schedules.sql
\ir setup/grants_in_time.sql
\ir setup/grants_batches.sql
\ir setup/grants_limits.sql
\ir setup/grants_windows.sql
\ir setup/grants_metrics.sql
\ir setup/grants_marks.sql
\ir setup/zones.sql
\ir setup/record.sql
commit;
