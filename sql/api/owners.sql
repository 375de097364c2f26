-- Quotas and admitted roles, for operators and administrators.

create or replace function jobs.set_quota(
  role text,
  pending bigint default null,
  running integer default null,
  args_bytes integer default null,
  result_bytes integer default null,
  per_minute integer default null,
  history_rows bigint default null,
  over_rate text default 'refuse'
)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_quota');
  return jobs_internal.set_quota(role, pending, running, args_bytes, result_bytes, per_minute,
      history_rows, over_rate);
end
$$;
comment on function jobs.set_quota(text, bigint, integer, integer, integer, integer, bigint,
    text) is
'Says what one owner may have: pending: unfinished jobs; running: worker sessions at once; '
'args_bytes: all that one job carries, as text
(arguments, settings, note, options, the texts of a statement); result_bytes: of one job;
per_minute: jobs enqueued, or run again by jobs.retry, in any 60 seconds; history_rows: so many '
'finished jobs are kept, then older ones go, in steps of a quarter; over_rate:
what is over per_minute is refused, or waits until there is room. What is not given has no limit; '
'with nothing given the quota is gone. Returns
whether that was a change. For operators. Errors: PW026, PW075.';

create or replace function jobs.admit_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'admit_role');
  return jobs_internal.admit_role(role);
end
$$;
comment on function jobs.admit_role(text) is
'Switches on the jobs of one role that has more than its own rights (SUPERUSER, CREATEROLE, '
'REPLICATION, BYPASSRLS, or a privileged predefined role).
A role that can make it enqueue has its rights. Returns whether that was a change. For '
'administrators: superusers, and who may act as jobs_owner.
Errors: PW075.';

create or replace function jobs.dismiss_role(role text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_owner', 'dismiss_role');
  return jobs_internal.dismiss_role(role);
end
$$;
comment on function jobs.dismiss_role(text) is
'Takes back jobs.admit_role: its jobs wait from then on; what runs goes on. Returns whether that '
'was a change. For administrators. Errors: PW075.';
