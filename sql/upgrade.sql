-- Brings an installed pyworker to this version, in one transaction.
-- Written by `python -m pyworker.schema`; do not edit.
-- Reads the files beside it.  Usage: psql -X -v ON_ERROR_STOP=1 -f FILE DSN

\set ON_ERROR_STOP on
\set QUIET on
begin;
set local transaction_isolation = 'read committed';
set local transaction_read_only = off;
set local pyworker.command = 'upgrade';
set local pyworker.schema_version = '0';
\ir schema/00_preflight.sql
select not exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'jobs_internal' and c.relname = 'schema_migration') as pyworker_fresh \gset
\ir schema/02_extensions.sql
\ir schema/10_roles.sql
\ir schema/12_version.sql
\ir schema/15_clear.sql
\ir schema/18_checks.sql
\if :pyworker_fresh
\ir schema/20_types.sql
\ir schema/30_tables.sql
insert into jobs_internal.schema_migration (version, name) values (0, 'base');
\endif
\ir schema/40_internal/10_basics.sql
\ir schema/40_internal/12_audit.sql
\ir schema/40_internal/13_duty.sql
\ir schema/40_internal/15_current.sql
\ir schema/40_internal/19_signature.sql
\ir schema/40_internal/20_shape.sql
\ir schema/40_internal/21_shape_limits.sql
\ir schema/40_internal/25_wake.sql
\ir schema/40_internal/28_powers.sql
\ir schema/40_internal/29_options.sql
\ir schema/40_internal/29_own_key.sql
\ir schema/40_internal/30_enqueue.sql
\ir schema/40_internal/31_quota.sql
\ir schema/40_internal/32_publication.sql
\ir schema/40_internal/33_columns.sql
\ir schema/40_internal/34_target.sql
\ir schema/40_internal/35_statement.sql
\ir schema/40_internal/36_store_statement.sql
\ir schema/40_internal/45_home.sql
\ir schema/40_internal/48_crash.sql
\ir schema/40_internal/50_session.sql
\ir schema/40_internal/52_open.sql
\ir schema/40_internal/54_finish.sql
\ir schema/40_internal/55_wash.sql
\ir schema/40_internal/56_cost.sql
\ir schema/40_internal/57_run.sql
\ir schema/40_internal/58_child.sql
\ir schema/40_internal/58_child_cost.sql
\ir schema/40_internal/58_out_values.sql
\ir schema/40_internal/59_run_child.sql
\ir schema/40_internal/60_work.sql
\ir schema/40_internal/61_identity.sql
\ir schema/40_internal/62_leftover.sql
\ir schema/40_internal/63_maintain.sql
\ir schema/40_internal/64_judge.sql
\ir schema/40_internal/65_run_top_level.sql
\ir schema/40_internal/70_rescue.sql
\ir schema/40_internal/72_tick.sql
\ir schema/40_internal/73_history.sql
\ir schema/40_internal/74_mend.sql
\ir schema/40_internal/76_reasons.sql
\ir schema/40_internal/80_launch.sql
\ir schema/60_api/10_enqueue.sql
\ir schema/60_api/15_publish.sql
\ir schema/60_api/20_in_job.sql
\ir schema/60_api/30_steer.sql
\ir schema/60_api/35_dismiss.sql
\ir schema/60_api/36_explain.sql
\ir schema/60_api/38_operate.sql
\ir schema/60_api/40_queues.sql
\ir schema/60_api/45_owners.sql
\ir schema/60_api/50_reconcile.sql
\ir schema/80_views/10_activity.sql
\ir schema/80_views/20_jobs.sql
\ir schema/80_views/30_system.sql
\ir schema/80_views/35_cost.sql
\ir schema/80_views/38_owners.sql
\ir schema/80_views/40_errors.sql
\ir schema/80_views/42_options.sql
\ir schema/80_views/44_wait_reasons.sql
\ir schema/80_views/60_help.sql
\ir schema/80_views/62_lists.sql
\ir schema/80_views/64_system_lists.sql
\ir schema/90_grants.sql
\ir schema/95_record.sql
commit;
