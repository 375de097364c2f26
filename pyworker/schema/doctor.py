"""The doctor behind `pyworker check`: looks at everything, changes nothing, names the line that mends each problem."""

from collections.abc import Iterable
from pathlib import Path

import psycopg

from pyworker.errors import convert_database_errors
from pyworker.schema.apply import connect
from pyworker.schema.doctor_access import host_access, identity_maps, sockets
from pyworker.schema.doctor_identity import replica_identity
from pyworker.schema.doctor_rights import (
    function_rights,
    memberships,
    roles,
    runners,
    supervisor_roles,
    table_rights,
)
from pyworker.schema.doctor_schema import definitions, health, schema_version
from pyworker.schema.doctor_server import connections, extensions, server_settings, server_version, worker_slots
from pyworker.schema.files import read_source
from pyworker.schema.findings import Check, Finding, Patient

__all__ = ["Finding", "examine", "mending_script"]

_ALWAYS: tuple[Check, ...] = (server_version, extensions, worker_slots, connections, server_settings, schema_version)
_INSTALLED: tuple[Check, ...] = (
    roles,
    memberships,
    function_rights,
    table_rights,
    runners,
    supervisor_roles,
    host_access,
    identity_maps,
    sockets,
    replica_identity,
    definitions,
    health,
)


def examine(dsn: str, root: Path | None = None) -> list[Finding]:
    """Run every check; one that cannot look says so and does not stop the others."""
    findings: list[Finding] = []
    with convert_database_errors(), connect(dsn) as connection:
        # Names are rendered with their schema, and nothing foreign is found by name.
        connection.execute("set search_path = pg_catalog, pg_temp")
        patient = Patient(connection=connection, source=read_source(root))
        for check in (*_ALWAYS, *(_INSTALLED if patient.installed() else ())):
            try:
                findings += check(patient)
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


def mending_script(findings: Iterable[Finding]) -> str:
    """Write the remedies as SQL, to read before it is run; what is not SQL, or a choice, becomes a comment."""
    lines = []
    for finding in findings:
        if finding.status != "ok":
            lines.append(f"-- {finding.status}: {finding.check}: {finding.detail}".replace("\n", " "))
            remedy = finding.remedy or "-- nothing to type"
            if finding.choice:
                remedy = f"-- your choice: {remedy}".replace("\n", " ")
            lines.append(f"-- run {remedy}" if remedy.startswith("`") else remedy)
    return "\n".join(lines or ["-- nothing to mend"])
