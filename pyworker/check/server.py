"""What `check` looks at in the server: version, extensions, worker slots, connections
and settings.
"""

from collections.abc import Iterator

from pyworker.check.finding import Finding, Target
from pyworker.database.connection import OWNERS_AT_ONCE

__all__ = ["connections", "extensions", "server_settings", "server_version", "worker_slots"]

_OLDEST = 170000

#: Processes that take no slot of max_worker_processes.
_NOT_WORKERS = [
    "client backend",
    "autovacuum launcher",
    "autovacuum worker",
    "background writer",
    "checkpointer",
    "walwriter",
    "walsender",
    "walreceiver",
    "walsummarizer",
    "archiver",
    "startup",
    "slotsync worker",
    "io worker",
    "logger",
    "standalone backend",
]


def server_version(target: Target) -> Iterator[Finding]:
    """Look at the server's version and state."""
    version = target.setting("server_version") or "?"
    if int(target.setting("server_version_num") or 0) < _OLDEST:
        yield Finding(
            check="server version",
            status="critical",
            detail=f"PostgreSQL {version} is older than 17",
            remedy="`pg_upgrade`",
        )
    elif target.value("select pg_catalog.pg_is_in_recovery()"):
        yield Finding(
            check="server version",
            status="critical",
            detail=f"PostgreSQL {version} is a standby, and read-only",
            remedy="`pyworker check --dsn 'DSN_OF_THE_PRIMARY'`",
        )
    else:
        yield Finding(check="server version", status="ok", detail=f"PostgreSQL {version}")


def extensions(target: Target) -> Iterator[Finding]:
    """Look at pg_background and pgmq."""
    rows = target.rows(
        "select n.name, e.extversion as have, a.default_version as offered"
        " from (values ('pg_background'), ('pgmq')) as n (name)"
        " left join pg_catalog.pg_extension e on e.extname = n.name"
        " left join pg_catalog.pg_available_extensions a on a.name = n.name order by 1"
    )
    for row in rows:
        name, have, offered = row["name"], row["have"], row["offered"]
        check = f"extension {name}"
        if have is None and name == "pgmq":
            yield _pgmq(target, check)
        elif have is None:
            yield Finding(
                check=check,
                status="critical",
                detail="not created" if offered else "not available on this server",
                remedy=f"create extension {name};"
                if offered
                else "`apt install postgresql-NN-pg-background`",
            )
        elif offered is not None and have != offered:
            yield Finding(
                check=check,
                status="warning",
                detail=f"version {have} is loaded, {offered} is installed",
                remedy=f"alter extension {name} update;",
            )
        else:
            yield Finding(check=check, status="ok", detail=f"version {have}")


def _pgmq(target: Target, check: str) -> Finding:
    if not target.value("select pg_catalog.to_regnamespace('pgmq') is not null"):
        return Finding(
            check=check,
            status="critical",
            detail="neither extension nor schema",
            remedy="`pyworker install`",
        )
    said = target.value(
        "select pg_catalog.obj_description(pg_catalog.to_regnamespace('pgmq'), 'pg_namespace')"
    )
    return Finding(
        check=check,
        status="ok",
        detail=f"its own SQL, not the extension{f' ({said})' if said else ''}",
    )


def _owners(target: Target) -> int:
    """Count the roles whose jobs run here: those that can log in and belong to jobs_runner; at
    least one.
    """
    found = target.value(
        "with recursive member (oid) as ("
        " select oid from pg_catalog.pg_roles where rolname = 'jobs_runner' union"
        " select m.member from pg_catalog.pg_auth_members m join member on m.roleid = member.oid)"
        " select count(*) from member join pg_catalog.pg_roles r using (oid) where r.rolcanlogin"
    )
    return max(1, int(found or 0))


def _own_setting(target: Target, name: str, default: int) -> int:
    if not target.has("jobs_internal", "setting"):
        return default
    found = target.value("select value from jobs_internal.setting where name = %s", name)
    return default if found is None else int(found)


def worker_slots(target: Target) -> Iterator[Finding]:
    """Apply the formula: (worker sessions + child sessions) + reserve + background workers of
    others.

    Worker sessions are owners x sessions_per_owner, each with one child session; the reserve is
    worker_slot_reserve.
    """
    slots = int(target.setting("max_worker_processes") or 0)
    owners = _owners(target)
    each = _own_setting(target, "sessions_per_owner", 16)
    reserve = _own_setting(target, "worker_slot_reserve", 4)
    used = target.rows(
        "select count(*) filter (where backend_type like 'pg_background%%') as ours,"
        " count(*) as total"
        " from pg_catalog.pg_stat_activity where backend_type <> all (%s)"
        " and backend_type <> 'parallel worker'",
        _NOT_WORKERS,
    )[0]
    others = used["total"] - used["ours"]
    needed = 2 * owners * each + reserve + others
    sum_of = (
        f"2 x {owners} owners x {each} sessions + {reserve} reserve + {others} others = {needed}"
    )
    remedy = f"alter system set max_worker_processes = {needed};  -- then restart the server"
    if slots - others < 2 + reserve:
        free = (
            f"of {slots} worker slots {max(0, slots - others)} are left, of which {reserve} "
            f"are reserved"
        )
        yield Finding(
            check="worker slots",
            status="critical",
            detail=f"{free}: jobs cannot run",
            remedy=remedy,
        )
    elif slots < needed:
        detail = f"max_worker_processes is {slots}, full load needs {sum_of}; jobs will wait"
        yield Finding(check="worker slots", status="warning", detail=detail, remedy=remedy)
    else:
        yield Finding(
            check="worker slots",
            status="ok",
            detail=f"max_worker_processes is {slots}, full load needs {sum_of}",
        )


def connections(target: Target) -> Iterator[Finding]:
    """Apply the formula: supervisors x (owners, up to a limit, + 2) + the connections of others now
    + 3 for people.
    """
    most = int(target.setting("max_connections") or 0)
    kept = sum(
        int(target.setting(name) or 0)
        for name in ("superuser_reserved_connections", "reserved_connections")
    )
    supervisors = 1
    if target.has("jobs_internal", "supervisor"):
        supervisors = max(1, int(target.value("select count(*) from jobs_internal.supervisor")))
    others = target.value(
        "select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend'"
        " and application_name not like 'pyworker%%'"
    )
    owners = min(_owners(target), OWNERS_AT_ONCE)
    needed = supervisors * (owners + 2) + others + 3
    detail = (
        f"max_connections is {most}, {kept} of them reserved; needed are {supervisors} "
        f"supervisors x ({owners} owners at once + 2) + {others} others + 3 = {needed}"
    )
    if most - kept < needed:
        remedy = (
            f"alter system set max_connections = {needed + kept + 20};  -- then restart the server"
        )
        yield Finding(check="connections", status="warning", detail=detail, remedy=remedy)
    else:
        yield Finding(check="connections", status="ok", detail=detail)


def server_settings(target: Target) -> Iterator[Finding]:
    """Look at the settings that pyworker, or the safety of its jobs, depends on."""
    problems: list[tuple[str, bool, str, str, bool]] = [
        ("autovacuum", target.setting("autovacuum") == "off", "on", "queues would bloat", True),
        (
            "fsync",
            target.setting("fsync") == "off",
            "on",
            "a crash may lose or double jobs, and corrupt data",
            True,
        ),
        (
            "track_activities",
            target.setting("track_activities") == "off",
            "on",
            "running jobs cannot be seen",
            False,
        ),
        (
            "track_counts",
            target.setting("track_counts") == "off",
            "on",
            "autovacuum is blind",
            True,
        ),
        (
            "idle_session_timeout",
            target.setting("idle_session_timeout") not in ("0", None),
            "0",
            "a waiting supervisor would be disconnected",
            False,
        ),
    ]
    if target.value(
        "select exists (select from pg_catalog.pg_extension where extname = 'pg_stat_statements')"
    ):
        track = target.setting("pg_stat_statements.track")
        name = "pg_stat_statements.track"
        problems.append(
            (
                name,
                track not in ("all", None),
                "all",
                "statements inside jobs are not counted",
                False,
            )
        )
    wrong = [problem for problem in problems if problem[1]]
    for name, _wrong, good, why, critical in wrong:
        yield Finding(
            check=f"setting {name}",
            status="critical" if critical else "warning",
            detail=f"{target.setting(name)}: {why}",
            remedy=f"alter system set {name} = {good}; select pg_reload_conf();",
        )
    if not wrong:
        yield Finding(
            check="settings", status="ok", detail=", ".join(problem[0] for problem in problems)
        )
