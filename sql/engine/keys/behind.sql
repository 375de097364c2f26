-- Keys of concurrency: short jobs that stand behind the one that holds the only place of their key.

-- Whether the function of the job that is next for a key is known to be short.
create or replace function jobs_internal.next_is_quick(p_owner oid, p_key text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
begin atomic
  select exists (
    select from (
      select w.job_id from jobs_internal.key_wait as w
      where w.owner = p_owner and w.key = p_key order by w.priority, w.job_id limit 1
    ) as n
    join jobs_internal.job as j on j.id = n.job_id
    join jobs_internal.call_stats as s on s.call_template_id = j.call_template_id
      and s.owner = p_owner
    where s.avg_ms <= jobs_internal.setting('short_ms')::double precision);
end;

-- Of jobs in the order of their turn, those that one session may run one after the other: the first
-- one, and those behind it in its lane up to the first one that is not known to be short.
create or replace function jobs_internal.those_behind(p_jobs bigint[])
returns bigint[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
begin atomic
  select array_agg(c.id order by c.i)
  from (
    select u.id, u.i, bool_and(u.i = 1 or coalesce(j.queue_id = f.queue_id
        and j.priority = f.priority
        and s.avg_ms <= jobs_internal.setting('short_ms')::double precision, false))
      over (order by u.i) as goes
    from unnest(p_jobs) with ordinality as u(id, i)
    join jobs_internal.job as j on j.id = u.id
    join jobs_internal.job as f on f.id = p_jobs[1]
    left join jobs_internal.call_stats as s on s.call_template_id = j.call_template_id
      and s.owner = j.owner
  ) as c
  where c.goes;
end;

-- Whether a job whose message a session holds must not begin yet: it stands behind others of its
-- key that have not ended, and that are not before it in the same chunk (p_chunk).
create or replace function jobs_internal.stands_behind(p_job bigint, p_chunk bigint[])
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
begin atomic
  select h.n < 0 and (
    select count(*) from jobs_internal.key_held as o
    where o.owner = h.owner and o.key = h.key and (o.n > 0 or o.n > h.n)
      and o.job_id <> all (p_chunk)) >= jobs_internal.max_of_key(h.owner, h.key)
  from jobs_internal.key_held as h where h.job_id = p_job;
end;
