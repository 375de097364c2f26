-- One owner may have sixteen worker sessions, and the queue default as many slots, where no
-- operator has set them: jobs that wait use more of them than jobs that compute, which get no more
-- than the processors can use.

update jobs_internal.setting as s
set value = '16'
where s.name = 'sessions_per_owner' and s.value = '8'
  and not exists (select from jobs_internal.audit as a
    where a.action = 'configure' and a.object = 'setting sessions_per_owner');

with followed as (
  update jobs_internal.queue as q
  set concurrency = 16
  where q.name = 'default' and q.concurrency = 8
    and not exists (select from jobs_internal.audit as a
      where a.action = 'alter_queue' and a.object = 'queue default'
        and a.before -> 'concurrency' is distinct from a.after -> 'concurrency')
  returning q.id
)
insert into jobs_internal.slot (queue_id, n)
select f.id, g from followed as f, generate_series(1, 16) as g
on conflict do nothing;
