-- Windows, batches, keys of concurrency and rates.

-- How often results were reused goes with the history of their jobs, forgotten or not.
alter table jobs_internal.reuse add column bucket integer;
update jobs_internal.reuse as u set bucket = f.bucket
from jobs_internal.finished as f where f.id = u.job_id;
delete from jobs_internal.reuse where bucket is null;
create index reuse_bucket_idx on jobs_internal.reuse (bucket);
comment on column jobs_internal.reuse.bucket
  is 'Bucket in which that job is finished: its counts go with it';

comment on column jobs_internal.duty_failure.duty is 'lanes: a lane is made; dispatch: jobs go '
  'into their lane; rescue: jobs of a dead session; overdue: a timeout; '
  'signal: a job is signalled; history: a bucket; repair: a lane; upkeep: the tables; '
  'follow: the jobs of an owner that wait for others; deadline: a job is cancelled for it; '
  'schedule: it is fired; '
  'round: a whole part of a round';
