-- jobs.concurrency_keys: an owner sees its own; operators see all.

-- It costs what it shows: keys are found one by one in the indexes, and those who wait are counted
-- to ten thousand.
create or replace view jobs.concurrency_keys with (security_barrier) as
select
  k.key,
  pg_get_userbyid(k.owner)::text as owner,
  coalesce(l.max, 1) as max,
  (select count(*) from jobs_internal.key_held as h where h.owner = k.owner and h.key = k.key)
    as held,
  (select nullif(count(*), 10001) from (
      select from jobs_internal.key_wait as w where w.owner = k.owner and w.key = k.key
      limit 10001) as w) as waiting,
  (select min(f.waits_since)
    from (values (0::smallint), (1), (2)) as p(priority)
    cross join lateral (
      select w.waits_since from jobs_internal.key_wait as w
      where w.owner = k.owner and w.key = k.key and w.priority = p.priority
      order by w.job_id limit 1) as f) as oldest_waiting
from jobs_internal.seen_keys() as k
left join jobs_internal.key_limit as l on l.owner = k.owner and l.key = k.key
order by k.key, 2;
comment on view jobs.concurrency_keys is 'Keys of concurrency: how many of their jobs may run at '
  'once, are there, and wait';
comment on column jobs.concurrency_keys.key is 'Key: the option concurrency_key of its jobs';
comment on column jobs.concurrency_keys.owner is 'Owner: each has keys of its own';
comment on column jobs.concurrency_keys.max
  is 'Jobs at once; 1, unless jobs.set_concurrency says otherwise';
comment on column jobs.concurrency_keys.held is 'Jobs that are in their lane or run; of short ones '
  'that one session runs one after the other each counts';
comment on column jobs.concurrency_keys.waiting
  is 'Jobs that are due and wait for a place; null: more than ten thousand';
comment on column jobs.concurrency_keys.oldest_waiting
  is 'Since when the oldest of those that are next waits';

create or replace view jobs.concurrency_key_list with (security_barrier) as
select jobs_internal.shortened(k.key, 50) as key, k.owner, k.max, k.held, k.waiting,
  k.oldest_waiting::timestamptz(0) as oldest_waiting
from jobs.concurrency_keys as k
order by 1, 2;
comment on view jobs.concurrency_key_list is 'jobs.concurrency_keys in 160 columns';
comment on column jobs.concurrency_key_list.key is 'Key, cut at 50 characters';
comment on column jobs.concurrency_key_list.owner is 'Owner';
comment on column jobs.concurrency_key_list.max is 'Jobs at once';
comment on column jobs.concurrency_key_list.held is 'Jobs that are in their lane or run';
comment on column jobs.concurrency_key_list.waiting
  is 'Jobs that wait for a place; null: more than ten thousand';
comment on column jobs.concurrency_key_list.oldest_waiting is 'Since when the oldest waits';
