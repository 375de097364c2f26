"""Problems that are planted for the doctor to find."""

from pathlib import Path

from pyworker.check import Finding, repair_script, run_checks
from tests.schema.conftest import Database


def wrong(database: Database, root: Path | None = None) -> list[Finding]:
    return [finding for finding in run_checks(database.dsn(), root) if finding.status == "critical"]


def mend(database: Database, findings: list[Finding]) -> None:
    done = database.psql("-f", "-", text=repair_script(findings))
    assert done.returncode == 0, done.stderr


def type_remedy(database: Database, finding: Finding) -> None:
    """Type a remedy that is for a person to choose."""
    assert finding.choice
    assert finding.remedy is not None
    database.run(finding.remedy)


LAUNCH_FOR_ALL = """
do $$ begin execute format('grant execute on function %s to public',
  (select max(objid)::regprocedure from pg_depend
  where classid = 'pg_proc'::regclass and deptype = 'e'
  and refobjid = (select oid from pg_extension where extname = 'pg_background'))); end $$
"""


PLANTED = {
    "everybody may run a function": (
        "grant execute on function jobs_internal.schema_now() to public",
        "function rights",
        "schema_now()",
    ),
    "a right on a table": (
        "grant select on jobs_internal.job to app",
        "table rights",
        "app has SELECT",
    ),
    "a right on a column": (
        "grant update (note) on jobs_internal.job to app",
        "table rights",
        "app has UPDATE",
    ),
    "a right on a queue": (
        "select pgmq.create('pyworker_9'); grant delete on pgmq.q_pyworker_9 to app",
        "table rights",
        "app has DELETE",
    ),
    "a view": (
        "grant select on jobs.job to public",
        "table rights",
        "public has SELECT on jobs.job",
    ),
    "a schema of ours": (
        "grant usage on schema jobs to public",
        "table rights",
        "public has USAGE on schema jobs",
    ),
    "the queues' schema": (
        "grant usage on schema pgmq to public",
        "table rights",
        "public has USAGE on schema pgmq",
    ),
    "everybody may launch": (
        LAUNCH_FOR_ALL,
        "function rights",
        "everybody (PUBLIC) may run public.pg_background",
    ),
    "an open schema": ("grant create on schema jobs to app", "table rights", "app has CREATE"),
    "a member of the owner": (
        "grant jobs_owner to app",
        "memberships",
        "app is a member of jobs_owner",
    ),
    "a lost membership": (
        "revoke pg_signal_backend from jobs_owner",
        "memberships",
        "pg_signal_backend",
    ),
    "a runner without its role": (
        "revoke pgbackground_role from jobs_runner",
        "memberships",
        "pgbackground_role",
    ),
    "a role that logs in": ("alter role jobs_reader login", "roles", "LOGIN"),
    "a foreign function": (
        "create function jobs.extra() returns int language sql as 'select 1'",
        "functions and views",
        "jobs.extra() is foreign",
    ),
}
