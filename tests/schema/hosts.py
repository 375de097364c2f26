"""A server of one's own, whose ways in are changed."""

import os
import shutil
import subprocess

import psycopg
import pytest
from support import wait_until

from pyworker.check import Finding, run_checks
from pyworker.server import PrivateServer

STRANGER = "stranger"  # an OS user who is not the server's


class Host:
    """A server of the tests' own, whose access files they write: nothing reads them but the
    doctor.
    """

    def __init__(self, server: PrivateServer) -> None:
        self.dsn = server.dsn()
        self.folder = server.dir / "data"
        self.socket = server.dir / "run"
        self._kept = {
            name: (self.folder / name).read_text() for name in ("pg_hba.conf", "pg_ident.conf")
        }

    def write(self, hba: str | None = None, ident: str | None = None) -> None:
        for name, text in (("pg_hba.conf", hba), ("pg_ident.conf", ident)):
            if text is not None:
                (self.folder / name).write_text(text + "\n")

    def restore(self) -> None:
        for name, text in self._kept.items():
            (self.folder / name).write_text(text)

    def run(self, query: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(query)

    def look(self, *checks: str) -> list[Finding]:
        """What is not well in these checks."""
        found = [one for one in run_checks(self.dsn) if one.check in checks]
        assert {one.check for one in found} == set(checks)
        return [one for one in found if one.status != "ok"]

    def mend(self, findings: list[Finding]) -> None:
        """Type the remedies, as they stand there."""
        for finding in findings:
            assert finding.remedy is not None
            if finding.remedy.startswith("`"):
                subprocess.run(["bash", "-c", finding.remedy.split("`")[1]], check=True)
            else:
                self.run(finding.remedy)
        with psycopg.connect(self.dsn) as connection:
            files = (
                "select error from pg_hba_file_rules union all select error"
                " from pg_ident_file_mappings"
            )
            assert [row for row in connection.execute(files) if row[0]] == []


def switch_tls_on(server: PrivateServer) -> None:
    """Without TLS a line "hostssl" is an error."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = server.dir / "data"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    made += ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    subprocess.run(made, check=True, capture_output=True)
    for name in ("server.key", "server.crt"):
        os.chown(folder / name, folder.stat().st_uid, folder.stat().st_gid)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("alter system set ssl = on")
        connection.execute("select pg_reload_conf()")
    wait_until(lambda: with_tls(server) == "on")


def with_tls(server: PrivateServer) -> str:
    with psycopg.connect(server.dsn()) as connection:
        return str(connection.execute("show ssl").fetchone()[0])  # type: ignore[index]


CARELESS = {
    "trust from anywhere": ("host all all 0.0.0.0/0 trust", "critical",
        "any client that reaches 0.0.0.0 is"),
    "trust from here": ("host all app 127.0.0.1/32 trust", "critical",
        "that reaches 127.0.0.1 is app (runner)"),
    "trust in two fields": ("host all app 127.0.0.1 255.255.255.255 trust", "critical",
        "app (runner)"),
    "trust for a group": ("host all +jobs_runner samenet trust", "critical",
        "app (runner), odd name (runner)"),
    "trust for the supervisor": ("hostssl all supervisor all trust", "critical",
        "supervisor (supervisor)"),
    "trust for an expression": ("host all /^post 10.0.0.0/8 trust", "critical",
        "postgres (superuser)"),
    "trust for an odd name": ('host pyworker "odd name" 10.0.0.0/8 trust', "critical",
        "odd name (runner)"),
    "a user called trust": ("host all app,trust 10.0.0.0/8 trust", "critical", "app (runner)"),
    "trust for every database's namesake": ("host sameuser app 10.0.0.0/8 trust", "critical",
        "app (runner)"),
    "ident from elsewhere": ("host all all 192.0.2.0/24 ident map=m", "critical",
        "says itself who its user is"),
    "clear passwords": ("host all all 192.0.2.0/24 password", "warning",
        "may pass in clear from 192.0.2.0"),
    "clear passwords, insisted on": ("hostnossl all all 192.0.2.0/24 password", "warning",
        "in clear"),
    "clear passwords for another server": (
        "host all all 192.0.2.0/24 ldap ldapserver=l ldapprefix=a ldapsuffix=b", "warning",
        "ldap without TLS",
    ),
    "every address": ("host all all all scram-sha-256", "warning",
        "may come from every address (all)"),
    "every address, in numbers": ("host all app 0.0.0.0/0 scram-sha-256", "warning",
        "every address"),
    "behind a line for others": (
        "host all harmless all scram-sha-256\nhost all app 127.0.0.1/32 trust", "critical",
        "line 3",
    ),
    "behind a line for other addresses": (
        "host all app 127.0.0.1/32 scram-sha-256\nhost all app 10.0.0.0/8 trust", "critical",
        "line 3",
    ),
    "behind a line for TLS": (
        "hostssl all all 10.0.0.0/8 scram-sha-256\nhost all app 10.0.0.0/8 trust", "critical",
        "line 3",
    ),
    "behind a line for another database": (
        "host postgres all all scram-sha-256\nhost all app 10.0.0.0/8 trust", "critical", "line 3",
    ),
    "a line that cannot be read": ("host all app nonsense", "warning", "line 2"),
}  # fmt: skip


CAREFUL = [
    "host all all 127.0.0.1/32 scram-sha-256",
    "host all all ::1/128 password",
    "host all all samehost scram-sha-256",
    "hostssl all all all scram-sha-256",
    "hostssl all all all cert",
    "hostssl all all all password",
    "host all harmless all trust",
    "host postgres all all trust",
    "host replication all all trust",
    "host all all all reject",
    "host all all 10.0.0.0/8 reject\nhost all all 10.1.0.0/16 trust",
    "host all all 10.0.0.0/8 scram-sha-256\nhostnossl all +jobs_runner 10.1.0.0 255.255.0.0 trust",
    "host all +jobs_runner 10.0.0.0/8 scram-sha-256\nhost all app 10.0.0.0/8 trust",
]


PEER = "local all supervisor,+jobs_runner peer map=m\nlocal all all peer map=pyworker"
