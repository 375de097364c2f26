-- The table of live jobs is unlogged: empty after a crash.

alter table jobs_internal.job set unlogged;
