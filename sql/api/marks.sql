-- Marks: when something was changed, and what is different since.

create or replace function jobs.mark(name text, kind text default 'deploy',
    note jsonb default null)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'mark', 'jobs_operator');
  return jobs_internal.mark(name, kind, note);
end
$$;
comment on function jobs.mark(text, text, jsonb) is
'Marks this moment, as that of a deployment or another change, for jobs.compare; returns the '
'number of the mark. note: an object, 64 kB at most. The latest thousand marks of a role are kept, '
'for 90 days. Long operations are marked by themselves. Errors: PW011, PW018, PW126.';

create or replace function jobs.compare(mark bigint, span interval default '30 minutes')
returns table (
  what text, owner text, task text, before numeric, after numeric, ratio numeric,
  n_before bigint, n_after bigint, verdict text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := jobs_internal.viewer();
  v_all boolean := jobs_internal.caller_is('jobs_reader')
    or jobs_internal.caller_is('jobs_operator');
  v_at timestamptz;
begin
  select m.at into v_at from jobs_internal.mark as m
  where m.id = compare.mark and (v_all or m.owner = v_me);
  if v_at is null then
    perform jobs_internal.refuse('PW125',
        format('there is no mark %s', coalesce(mark::text, 'null')),
        'It was never set, or was let go of, or belongs to another role. jobs.marks lists them.');
  elsif span is null or not isfinite(span) or span not between interval '1 minute'
    and interval '7 days' then
    perform jobs_internal.refuse('PW126', 'span is out of range',
        format('It is %s; 1 minute to 7 days are allowed.', coalesce(span::text, 'null')));
  end if;
  return query
  select c.what, pg_get_userbyid(c.owner)::text, c.task, round(c.before::numeric, 4),
    round(c.after::numeric, 4), round((c.after / nullif(c.before, 0))::numeric, 3), c.n_before,
    c.n_after, c.verdict
  from (
    select * from jobs_internal.compare_tasks(v_at, span, case when not v_all then v_me end)
    union all
    -- texts of other roles as the server itself shows them: they may hold a secret
    select s.* from jobs_internal.compare_statements(v_at, span) as s
    where jobs_internal.may_read_query(s.owner)
  ) as c
  order by c.verdict = 'not enough', c.verdict = 'better', c.what = 'statement_ms', c.n_after desc,
    c.task, c.owner, array_position(array['failures', 'duration_ms', 'wait_ms', 'depth'], c.what);
end
$$;
comment on function jobs.compare(bigint, interval) is
'What is different in the span after a mark, against the one before, for each task: failures '
'(share of the attempts that did not succeed), duration_ms (median of the jobs that succeeded), '
'wait_ms (median, from due to start), depth (jobs that waited, on average). verdict: worse, '
'better, or not enough: fewer than 30 jobs on a side, or a difference that the seven spans before '
'the mark have too. Where pg_stat_statements is installed, also statement_ms: of the costliest '
'statements in this database, the time of a call. It reads the history: up to 40,000 jobs of each '
'span. Owners see their own tasks and statements, jobs_reader and jobs_operator all tasks, and who '
'has pg_read_all_stats all statements. Errors: PW125, PW126.';
