"""`pyworker check`: looks at everything, changes nothing, and names the line that repairs each
problem.
"""

from collections.abc import Iterable
from pathlib import Path

import psycopg

from pyworker.check.access import host_access
from pyworker.check.finding import Check, Finding, Target
from pyworker.check.identity_maps import identity_maps
from pyworker.check.replica_identity import replica_identity
from pyworker.check.rights import (
    file_sizes,
    function_rights,
    memberships,
    roles,
    runners,
    supervisor_roles,
    table_rights,
)
from pyworker.check.schema import definitions, health, schema_version
from pyworker.check.server import (
    connections,
    extensions,
    server_settings,
    server_version,
    worker_slots,
)
from pyworker.check.sockets import sockets
from pyworker.errors import convert_database_errors
from pyworker.schema.apply import connect
from pyworker.schema.files import read_source

__all__ = ["Finding", "repair_script", "run_checks"]

_ALWAYS: tuple[Check, ...] = (
    server_version,
    extensions,
    worker_slots,
    connections,
    server_settings,
    schema_version,
)
_INSTALLED: tuple[Check, ...] = (
    roles,
    memberships,
    function_rights,
    table_rights,
    file_sizes,
    runners,
    supervisor_roles,
    host_access,
    identity_maps,
    sockets,
    replica_identity,
    definitions,
    health,
)


def run_checks(dsn: str, root: Path | None = None) -> list[Finding]:
    """Run every check; one that cannot look says so and does not stop the others."""
    findings: list[Finding] = []
    with convert_database_errors(), connect(dsn) as connection:
        # Names are rendered with their schema, and nothing foreign is found by name.
        connection.execute("set search_path = pg_catalog, pg_temp")
        target = Target(connection=connection, source=read_source(root))
        for check in (*_ALWAYS, *(_INSTALLED if target.installed() else ())):
            try:
                findings += check(target)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject) as error:
                user = connection.info.user
                findings.append(
                    Finding(
                        check=check.__name__.replace("_", " "),
                        status="warning",
                        detail=f'could not look as role "{user}": {error.diag.message_primary}',
                        remedy="`pyworker check --dsn 'DSN_OF_A_SUPERUSER'`",
                    )
                )
    return findings


def repair_script(findings: Iterable[Finding]) -> str:
    """Write the remedies as SQL, to read before it is run; what is not SQL, or a choice, becomes a
    comment.
    """
    lines = []
    for finding in findings:
        if finding.status != "ok":
            lines.append(
                f"-- {finding.status}: {finding.check}: {finding.detail}".replace("\n", " ")
            )
            remedy = finding.remedy or "-- nothing to type"
            if finding.choice:
                remedy = f"-- your choice: {remedy}".replace("\n", " ")
            lines.append(f"-- run {remedy}" if remedy.startswith("`") else remedy)
    return "\n".join(lines or ["-- nothing to correct"])
