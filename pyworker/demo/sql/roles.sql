-- Run by the administrator in the demo's own database, once the schema is installed. {app} and
-- {supervisor} are the demo's two login roles, without any special right before this.
grant jobs_producer, jobs_runner to {app};
grant jobs_supervisor to {supervisor};
create schema demo authorization {app};

-- Optional: REFRESH and other rewrites, of which the server shows no progress, are seen by the size
-- of their new file.
grant execute on function pg_stat_file(text, boolean) to jobs_owner;

-- One queue for each kind of work. In "maintenance" one job runs at a time, in the order in which
-- they were enqueued.
select jobs.create_queue('maintenance', concurrency => 1, max_attempts => 1);
select jobs.create_queue('flights');
select jobs.create_queue('retries', max_attempts => 5, backoff => '100 milliseconds');
