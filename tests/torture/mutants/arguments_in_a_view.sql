-- A view shows the arguments of all jobs to readers.

create view jobs.shown as select args from jobs_internal.finished;

grant select on jobs.shown to jobs_reader;
