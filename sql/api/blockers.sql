-- Who keeps a job waiting.

create or replace function jobs.blockers(id bigint)
returns table (
  pid integer, owner text, application_name text, state text, xact_age interval, query text,
  waits_for text, why text, may_end boolean, remedy text, via integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 5
as $$
#variable_conflict use_column
declare
  v_me oid := jobs_internal.viewer();
  v_all boolean := jobs_internal.caller_is('jobs_reader')
    or jobs_internal.caller_is('jobs_operator');
  v_pid integer;
  v_alone boolean;
begin
  if not exists (
    select from jobs_internal.job as j where j.id = blockers.id and (v_all or v_me = j.owner)
    union all
    select from jobs_internal.finished as f where f.id = blockers.id and (v_all or v_me = f.owner))
  then
    raise exception using errcode = 'PW030',
      message = format('there is no job %s', coalesce(blockers.id::text, 'null')),
      detail = 'Or it belongs to another role: what it waits for is for its owner, operators and '
        'readers.',
      hint = 'See jobs.job for the jobs that you may see. A retry cannot help.';
  end if;
  perform pg_stat_clear_snapshot();
  select coalesce(l.child_pid, l.pid), l.child_pid is null into v_pid, v_alone
  from (
    select s.job_id, s.pid, s.child_pid from jobs_internal.active_sessions() as s
    union all
    select c.job_id, c.pid, c.child_pid from jobs_internal.orphaned_children() as c
  ) as l
  where l.job_id = blockers.id
  limit 1;
  if v_pid is not null then
    return query
      select b.* from jobs_internal.blockers_of(blockers.id, v_pid, v_alone) as b
      order by b.via nulls first, b.xact_age desc nulls last, b.pid;
  end if;
end
$$;
comment on function jobs.blockers(bigint) is
'Says who keeps a running job waiting, a row for each: process (null: a prepared transaction, a '
'standby), its role and
application, state, age of its transaction, what it runs (for who may see that in '
'pg_stat_activity); what the job waits for, and
why: lock, snapshot, prepared transaction, advisory lock under a snapshot, standby; whether the '
'caller may end it, and the statement that
would (remedy). via: the process through which it is in the way; null: directly. No row: it waits '
'for no other. Errors: PW030.';
