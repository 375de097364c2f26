-- Who may see the figures of all owners, beside setup/grants.sql.

grant select on jobs.metrics to jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.gauges(), jobs_internal.counted_today()
to jobs_operator, jobs_reader, jobs_supervisor;
