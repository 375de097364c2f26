"""What docs/generate.py asks the catalogs, and the groups of its page about functions."""

__all__ = ["FUNCTIONS", "GROUPS", "OBJECTS", "ROLES", "VIEWS"]

#: Heading -> functions of schema jobs. One that stands nowhere is an error.
GROUPS = {
    "Enqueue": [
        "enqueue",
        "enqueue_many",
        "enqueue_sql",
        "enqueue_steps",
        "forget",
        "set_concurrency",
    ],
    "Long operations": ["plan", "rehearse", "undo", "note"],
    "Recipes of steps": [
        "not_null_steps",
        "constraint_steps",
        "unique_steps",
        "replace_index_steps",
    ],
    "Let others enqueue": ["publish", "enqueue_published", "unpublish"],
    "Run and control": [
        "start",
        "cancel",
        "retry",
        "run_now",
        "set_priority",
        "explain",
        "blockers",
        "dismiss",
        "dismiss_failed",
        "wait",
        "await",
        "reconcile",
    ],
    "Schedules": [
        "schedule",
        "schedule_sql",
        "alter_schedule",
        "unschedule",
        "pause_schedule",
        "resume_schedule",
        "run_schedule",
        "rerun_schedule",
        "import_schedules",
        "next_runs",
    ],
    "Batches": ["create_batch", "close_batch", "cancel_batch", "retry_batch", "batch_jobs"],
    "Maintenance windows": [
        "create_window",
        "alter_window",
        "drop_window",
        "open_window",
        "close_window",
    ],
    "Marks": ["mark", "compare"],
    "The manual": ["help"],
    "Inside a job": ["current_id", "current_run", "progress", "log", "snooze"],
    "Queues, settings and rules": [
        "create_queue",
        "alter_queue",
        "drop_queue",
        "pause",
        "resume",
        "configure",
        "set_retry_rule",
    ],
    "Owners": ["set_quota", "admit_role", "dismiss_role"],
}

#: A door is open to all of ours, and says itself which roles it is for.
NAMED = r"""array(select r.role
    from regexp_matches(p.prosrc, 'assert_member\(''(\w+)'', ''\w+''(?:, ''(\w+)'')?') as m,
      unnest(m) as r(role) where r.role <> 'jobs_owner' order by 1)"""
FUNCTIONS = """
select p.proname as name, p.prokind = 'p' as procedure,
  pg_get_function_arguments(p.oid) as arguments,
  pg_get_function_result(p.oid) as result, obj_description(p.oid, 'pg_proc') as comment,
  case when p.prosrc ~ 'assert_member' then {NAMED} else
    array(select a.grantee::regrole::text from aclexplode(p.proacl) as a
      where a.grantee <> p.proowner order by 1) end as roles
from pg_proc as p
where p.pronamespace = 'jobs'::regnamespace
order by 1, 3
""".replace("{NAMED}", NAMED)
VIEWS = """
select c.relname as view, obj_description(c.oid, 'pg_class') as comment, a.attname as column,
  format_type(a.atttypid, a.atttypmod) as type, col_description(c.oid, a.attnum) as meaning,
  array(select g.grantee::regrole::text from aclexplode(c.relacl) as g
    where g.grantee <> c.relowner order by 1) roles
from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v'
order by array_position(array['job', 'queued', 'running', 'failed', 'finished', 'attempts',
  'log_lines', 'queues', 'sessions', 'supervisors', 'health']::name[], c.relname),
  c.relname, a.attnum
"""

ROLES = ("jobs_producer", "jobs_runner", "jobs_operator", "jobs_reader", "jobs_supervisor")
#: Everything of ours, with who may what: EXECUTE on functions, SELECT on views; PUBLIC would be
#: listed as such.
OBJECTS = """
select n.nspname as schema, p.oid::regprocedure::text as name,
  case p.prokind when 'p' then 'procedure' else 'function' end as kind,
  p.proowner::regrole::text as owner, p.prosecdef as definer,
  exists (select from unnest(p.proconfig) as c
    where c = 'search_path=pg_catalog, pg_temp') as pinned,
  case when p.prosrc ~ 'perform jobs_internal.assert_member' then {NAMED} else
  array(select case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end
    from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
    where a.grantee <> p.proowner and a.privilege_type = 'EXECUTE' order by 1) end as roles
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.nspname in ('jobs', 'jobs_internal')
union all
select n.nspname, c.oid::regclass::text,
  case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
  c.relowner::regrole::text, null, null,
  array(select distinct case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end
      || case when a.privilege_type = 'SELECT' and c.relkind = 'v' then ''
        else ' ' || a.privilege_type end
    from aclexplode(c.relacl) as a where a.grantee <> c.relowner order by 1)
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('jobs', 'jobs_internal') and c.relkind in ('r', 'p', 'v', 'm', 'S')
  and c.relname !~ '_[0-9]+$'
order by 1, 3, 2
""".replace("{NAMED}", NAMED)
