"""The doctor on the ways in: each careless line is found, its remedy mends it,
and careful ones are left alone.
"""

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from kit.server import private_server
from support import wait_until

from pyworker.check import run_checks
from pyworker.schema import apply_schema
from pyworker.server import PrivateServer
from tests.schema.hosts import CAREFUL, CARELESS, PEER, STRANGER, Host, switch_tls_on, with_tls


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    with private_server("access") as server:
        switch_tls_on(server)
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


@pytest.mark.parametrize("lines", CAREFUL)
def test_a_careful_line_is_left_alone(host: Host, lines: str) -> None:
    host.write(hba=f"local all all peer map=pyworker\n{lines}")
    assert host.look("pg_hba") == []


def test_where_tls_is_off_it_comes_first(host: Host, own_server: PrivateServer) -> None:
    host.write(hba="local all all peer map=pyworker\nhost all all all scram-sha-256")
    host.run("alter system set ssl = off")
    try:
        host.run("select pg_reload_conf()")
        wait_until(lambda: with_tls(own_server) == "off")
        found = host.look("pg_hba")
        assert [one.status for one in found] == ["warning"]
        host.mend(found)
        host.run("select pg_reload_conf()")
        wait_until(lambda: with_tls(own_server) == "on")
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
