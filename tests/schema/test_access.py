"""The doctor on the ways in: each careless line is found, its remedy mends it,
and careful ones are left alone.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from kit.server import private_server
from support import wait_until

from pyworker.check import Finding, run_checks
from pyworker.schema import apply_schema
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


def _switch_tls_on(server: PrivateServer) -> None:
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
    wait_until(lambda: _tls(server) == "on")


def _tls(server: PrivateServer) -> str:
    with psycopg.connect(server.dsn()) as connection:
        return str(connection.execute("show ssl").fetchone()[0])  # type: ignore[index]


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    with private_server("access") as server:
        _switch_tls_on(server)
        apply_schema(server.dsn(), "install")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("grant jobs_runner to app")
            connection.execute("grant jobs_supervisor to supervisor")
            connection.execute("create role harmless login")
            connection.execute('create role "odd name" login in role jobs_runner')
        yield server


@pytest.fixture
def host(own_server: PrivateServer) -> Iterator[Host]:
    host = Host(own_server)
    yield host
    host.restore()


def test_the_private_server_as_it_is_made_is_well(host: Host) -> None:
    assert host.look("pg_hba", "pg_ident", "socket") == []


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


@pytest.mark.parametrize("what", CARELESS)
def test_a_careless_line_is_found_and_its_remedy_mends_it(host: Host, what: str) -> None:
    lines, status, says = CARELESS[what]
    host.write(hba=f"local all all peer map=pyworker\n{lines}")
    found = host.look("pg_hba")
    assert [(one.check, one.status) for one in found] == [("pg_hba", status)], found
    assert says in found[0].detail
    host.mend(found)
    assert [
        one for one in host.look("pg_hba") if one.status == "critical" or says in one.detail
    ] == []


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


@pytest.mark.parametrize("lines", CAREFUL)
def test_a_careful_line_is_left_alone(host: Host, lines: str) -> None:
    host.write(hba=f"local all all peer map=pyworker\n{lines}")
    assert host.look("pg_hba") == []


def test_where_tls_is_off_it_comes_first(host: Host, own_server: PrivateServer) -> None:
    host.write(hba="local all all peer map=pyworker\nhost all all all scram-sha-256")
    host.run("alter system set ssl = off")
    try:
        host.run("select pg_reload_conf()")
        wait_until(lambda: _tls(own_server) == "off")
        found = host.look("pg_hba")
        assert [one.status for one in found] == ["warning"]
        host.mend(found)
        host.run("select pg_reload_conf()")
        wait_until(lambda: _tls(own_server) == "on")
    finally:
        host.run("alter system set ssl = on")
    found = host.look("pg_hba")
    host.mend(found)
    assert host.look("pg_hba") == []


def test_trust_on_a_socket_is_as_bad_as_the_socket_is_open(host: Host) -> None:
    host.write(hba="local all all trust")
    found = host.look("pg_hba")
    assert [(one.status, "any client that reaches the socket" in one.detail) for one in found] == [
        ("warning", True)
    ]
    host.socket.chmod(0o755)
    try:
        found = host.look("pg_hba")
        assert [one.status for one in found] == ["critical"]
        host.mend(found)
        assert host.look("pg_hba") == []
    finally:
        host.socket.chmod(0o700)


PEER = "local all supervisor,+jobs_runner peer map=m\nlocal all all peer map=pyworker"
MAPS: dict[str, tuple[str, str | None, str]] = {
    "as the operations page has it": ("m pyworker supervisor\nm pyworker +jobs_runner", None, ""),
    "everybody as himself": (r"m /^(.*)$ \1", None, ""),
    "one as one": (f"m {STRANGER} app", None, ""),
    "root as all": ("m root all", None, ""),
    "a map that no line uses": ("n /.* all", None, ""),
    "everybody as every runner": (
        "m /.* +jobs_runner",
        "critical",
        "every OS user (/.*) may be app (runner)",
    ),
    "everybody as one": ("m /^ app", "critical", "may be app (runner)"),
    "everybody as all": ("m /^(.*)$ all", "critical", "supervisor (supervisor)"),
    "another as every runner": (
        f"m {STRANGER} +jobs_runner\nm pyworker supervisor",
        "warning",
        f"OS user {STRANGER}",
    ),
    "some as every runner": (
        "m /^str.*r$ +jobs_runner",
        "warning",
        "OS user /^str.*r$ may be app (runner)",
    ),
    "another as an expression": (f"m {STRANGER} /^a", "warning", "may be app (runner)"),
    "another as a word called all": (
        "m all +jobs_runner",
        "warning",
        "OS user all may be app (runner)",
    ),
}


@pytest.mark.parametrize("what", MAPS)
def test_a_map_that_lets_strangers_be_runners_is_found(host: Host, what: str) -> None:
    ident, status, says = MAPS[what]
    host.write(hba=PEER, ident=f"pyworker root all\n{ident}")
    found = host.look("pg_ident")
    assert [one.status for one in found] == ([status] if status else []), found
    if status:
        assert says in found[0].detail
        host.mend(found)
        assert host.look("pg_ident") == []


def test_the_supervisors_own_user_need_not_be_a_superuser_too(host: Host) -> None:
    host.write(hba="local all all peer map=m", ident="m root all\nm pyworker all")
    found = host.look("pg_ident")
    assert [one.status for one in found] == ["warning"]
    assert "OS user pyworker may be postgres (superuser)" in found[0].detail


def test_a_certificate_called_root_is_nobodys_in_particular(host: Host) -> None:
    host.write(hba="hostssl all all all cert map=m", ident="m root all")
    assert ["certificate root may be" in one.detail for one in host.look("pg_ident")] == [True]


def test_a_socket_that_others_can_replace_is_found(own_server: PrivateServer, host: Host) -> None:
    place = Path(tempfile.mkdtemp(prefix="pw-sock-"))
    before = (host.folder / "postgresql.auto.conf").read_text()
    try:
        place.chmod(0o777)
        host.run(f"alter system set unix_socket_directories = '{host.socket}', '{place}'")
        own_server.restart()
        found = host.look("socket")
        assert [one.status for one in found] == ["critical"]
        assert f"because {place} is open to all" in found[0].detail
        host.mend(found)
        # With the sticky bit nobody replaces it; but anybody may be there first.
        found = host.look("socket")
        assert [one.status for one in found] == ["warning"]
        assert "anybody may listen there" in found[0].detail
        assert shlex.split(found[0].remedy or "")[:4] == [
            "alter",
            "system",
            "set",
            "unix_socket_directories",
        ]
        host.mend(found)
    finally:
        own_server.stop()
        (host.folder / "postgresql.auto.conf").write_text(before)
        own_server.start()
        shutil.rmtree(place)
    assert host.look("socket") == []


def test_who_may_not_see_is_told_so(host: Host) -> None:
    found = {one.check: one for one in run_checks(host.dsn.replace("postgres@", "supervisor@"))}
    for check in ("host access", "identity maps", "sockets"):
        assert found[check].status == "warning"
        assert 'could not look as role "supervisor": permission denied' in found[check].detail
