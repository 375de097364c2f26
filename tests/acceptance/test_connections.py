"""How a supervisor connects as each owner, with the very lines of docs/operations.md,
and what is seen where it cannot.

The server of this module has TLS on, and its pg_hba.conf and pg_ident.conf change from test
to test.
"""

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from kit.daemon import Supervise
from kit.server import private_server
from psycopg.conninfo import make_conninfo
from stage import put, staged, state, wait_for
from support import Database, Server, installed, wait_until

from pyworker.database.connection import OWNERS_AT_ONCE, connect_owner, reason_of
from pyworker.server import PrivateServer

PAGE = Path(__file__).parents[2] / "docs/operations.md"
OWNERS = ("app", "shop")
KEPT = 5.0  # seconds that a connection as an owner stays after its last use
UNREACHED = "select status, detail, remedy from jobs.health where \"check\" = 'unreached owners'"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to connect, as the page tells it: what belongs into which file."""

    files: dict[str, str]

    def lines(self, file: str) -> list[str]:
        """Give the lines for a file, without comments."""
        return [line for line in self.files[file].splitlines() if line and not line.startswith("#")]


def ways() -> dict[str, Way]:
    """Read the ways from the page: paragraphs with a bold name, with blocks whose first comment
    names a file.
    """
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("### How the supervisor connects as each owner\n")[1].split("\n## ")[0]
    parts = re.split(
        r"^\*\*(Peer with a map|Client certificate|Pass file)\*\*", section, flags=re.MULTILINE
    )
    found = {}
    for name, part in zip(parts[1::2], parts[2::2], strict=True):
        blocks = re.findall(
            r"^```(\w*)\n# ([\w.]+(?: \w+)?)[^\n]*\n(.*?)^```$", part, re.MULTILINE | re.DOTALL
        )
        found[name] = Way(
            files={"commands" if kind == "sh" else file: body for kind, file, body in blocks}
        )
    return found


WAYS = ways()
PEER, CERTIFICATE, PASS_FILE = (
    WAYS["Peer with a map"],
    WAYS["Client certificate"],
    WAYS["Pass file"],
)
HOW_TO_CHECK = "psql \"$PYWORKER_DSN user=shop\" -c 'select session_user, system_user'"


@dataclass(kw_only=True)
class Doors:
    """What a server asks of those who connect; the administrator of the tests always gets in."""

    private: PrivateServer
    port: int
    certificates: Path  #: where the files of the certificates are
    #: an OS user for the supervisor that is not ours, where we are root
    os_user: str = field(init=False)

    def __post_init__(self) -> None:
        self.os_user = pwd.getpwuid((self.private.dir / "data").stat().st_uid).pw_name

    def set(
        self, access: Sequence[str] = ("local all all peer map=tests",), maps: Sequence[str] = ()
    ) -> None:
        """Write both files, have the server read them, and wait until it has."""
        data = self.private.dir / "data"
        ours = pwd.getpwuid(os.geteuid()).pw_name
        (data / "pg_hba.conf").write_text(
            "\n".join([*access, "local all postgres peer map=tests", ""])
        )
        (data / "pg_ident.conf").write_text("\n".join([*maps, f"tests {ours} all", ""]))
        with psycopg.connect(self.private.dsn("postgres", "postgres"), autocommit=True) as line:
            for view in ("pg_hba_file_rules", "pg_ident_file_mappings"):
                assert (
                    line.execute(
                        f"select line_number, error from {view} where error is not null"
                    ).fetchall()
                    == []
                )
            (before,) = line.execute("select pg_conf_load_time()").fetchone() or (None,)
            line.execute("select pg_reload_conf()")
        wait_until(lambda: self._read_at() > before)

    def _read_at(self) -> object:
        """Tell when the process that lets connections in has read the files last."""
        with psycopg.connect(self.private.dsn("postgres", "postgres")) as line:
            (read_at,) = line.execute("select pg_conf_load_time()").fetchone() or (None,)
        return read_at

    def here(self, line: str) -> str:
        """Put what is here in place of what the page calls it."""
        return line.replace("10.0.0.5", "127.0.0.1").replace("10.0.0.7", "127.0.0.1")

    def open(self, way: Way, *, first: Sequence[str] = (), os_user: str | None = None) -> None:
        """Let in as the page says. `first`: lines of pg_hba.conf above the page's; `os_user`:
        of the map.
        """
        maps = (
            [line.split() for line in way.lines("pg_ident.conf")]
            if "pg_ident.conf" in way.files
            else []
        )
        renamed = [(name, os_user or who, role) for name, who, role in maps]
        self.set(
            [*first, *map(self.here, way.lines("pg_hba.conf"))],
            [" ".join(line) for line in renamed],
        )

    def environment(self, way: Way, database: Database) -> dict[str, str]:
        """Give the supervisor's environment as the page says."""
        found = {}
        for line in way.lines("environment of"):
            name, value = line.split("=", 1)
            value = value.strip("'").replace("/etc/pyworker", str(self.certificates))
            found[name] = value
        place = f"port={self.port} dbname={database.name}"
        dsn = found["PYWORKER_DSN"].replace(
            "/var/run/postgresql", str(self.private.status().socket)
        )
        found["PYWORKER_DSN"] = (
            f"{dsn} {place}" if "host=/" in dsn else f"{dsn} {place} hostaddr=127.0.0.1"
        )
        return found

    def pass_file(self, database: Database, passwords: dict[str, str]) -> Path:
        """Write a pass file as the page says, with a line for each of the roles."""
        path = self.certificates / "pgpass"
        written = []
        for line in PASS_FILE.lines("pass file"):
            host, _port, _database, role, _password = line.split(":")
            if role in passwords:
                written.append(f"{host}:{self.port}:{database.name}:{role}:{passwords[role]}\n")
        path.write_text("".join(written))
        path.chmod(0o600)
        return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_certificates(directory: Path) -> None:
    """Run the commands of the page, and one more for a certificate whose name is in no map."""
    if shutil.which("openssl") is None:
        pytest.skip("the page makes certificates with the program openssl")
    commands = CERTIFICATE.files["commands"]
    stranger = commands[commands.index("# the supervisor's certificate") :].replace(
        "pyworker", "stranger"
    )
    for script in (commands, stranger):
        subprocess.run(["bash", "-e", "-c", script], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    """A server of this module's own, with TLS as the page says."""
    port = free_port()
    with private_server("connections", port=port) as private:
        certificates = private.dir.parent / "certificates"
        certificates.mkdir()
        made = Doors(private=private, port=port, certificates=certificates)
        make_certificates(certificates)
        data = private.dir / "data"
        for name in ("root.crt", "server.crt", "server.key"):
            shutil.copy(certificates / name, data / name)
            shutil.chown(data / name, made.os_user)
            (data / name).chmod(0o600)
        with (data / "postgresql.conf").open("a") as file:
            file.write(
                "\n" + "\n".join(map(made.here, CERTIFICATE.lines("postgresql.conf"))) + "\n"
            )
        private.restart()
        yield made


@pytest.fixture(scope="module")
def server(doors: Doors) -> Server:
    """The server of this module."""
    doors.set()
    return Server(conninfo=doors.private.dsn("postgres", "postgres"), private=doors.private)


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    """The template of this module, with a second owner and passwords."""
    with installed(server) as bare, staged(server, bare, "connections") as name:
        with server.connect(database=name) as line:
            line.execute(
                "create role shop login in role jobs_producer, jobs_runner;"
                " grant usage on schema app to shop"
            )
            line.execute("create function app.who() returns text language sql return session_user")
            for role in ("supervisor", *OWNERS):
                line.execute(f"alter role {role} password 'the-password-of-{role}'".encode())
        yield name
        with server.connect() as line:
            line.execute("drop owned by shop")
    with server.connect() as line:
        line.execute("drop role shop")


@pytest.fixture(name="opened")
def _opened(doors: Doors, database: Database) -> Iterator[Doors]:
    """The doors of the test's database; whoever it connects as is connected before they change."""
    for role in OWNERS:
        database.line(role)
    yield doors
    doors.set()


def who_ran(database: Database, jobs: Sequence[int]) -> list[object]:
    return [wait_for(database, job)["result"] for job in jobs]


def who_is_it(doors: Doors, environment: dict[str, str], os_user: str | None = None) -> str:
    """Run the command by which the page checks a way."""
    done = subprocess.run(
        ["bash", "-c", HOW_TO_CHECK.replace("psql", "psql -X -At -F ' | '", 1)],
        env={**doors.private.environment(), **environment}, cwd="/", user=os_user,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() + done.stderr.strip()


def test_the_page_has_it_all() -> None:
    assert {name: set(way.files) for name, way in WAYS.items()} == {
        "Peer with a map": {"pg_ident.conf", "pg_hba.conf", "environment of"},
        "Client certificate": {
            "commands",
            "postgresql.conf",
            "pg_ident.conf",
            "pg_hba.conf",
            "environment of",
        },
        "Pass file": {"pg_hba.conf", "pass file", "environment of"},
    }
    assert HOW_TO_CHECK in PAGE.read_text(encoding="utf-8")


def test_peer_with_a_map(opened: Doors, database: Database, supervise: Supervise) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a supervisor as another OS user")
    opened.open(PEER, os_user=opened.os_user)
    environment = opened.environment(PEER, database)
    one = supervise(environment["PYWORKER_DSN"], environment=environment, os_user=opened.os_user)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment, opened.os_user)
    assert said == f"shop | peer:{opened.os_user}"
    assert "`shop | peer:pyworker`" in PAGE.read_text(encoding="utf-8")
    # we are in no map
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        psycopg.connect(database.dsn("shop"))
    assert one.stop() == 0


def test_client_certificate(opened: Doors, database: Database, supervise: Supervise) -> None:
    opened.open(CERTIFICATE)
    environment = opened.environment(CERTIFICATE, database)
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment)
    assert said == "shop | cert:CN=pyworker"
    assert f"`{said}`" in PAGE.read_text(encoding="utf-8")
    files = {"sslrootcert": environment["PGSSLROOTCERT"], "user": "shop"}
    stranger = {
        f"ssl{kind}": str(opened.certificates / f"stranger.{end}")
        for kind, end in (("cert", "crt"), ("key", "key"))
    }
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        psycopg.connect(make_conninfo(environment["PYWORKER_DSN"], **files, **stranger))
    with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
        psycopg.connect(make_conninfo(environment["PYWORKER_DSN"], **files))
    elsewhere = make_conninfo(environment["PYWORKER_DSN"], **files, host="db.example.net")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(elsewhere)
    assert one.stop() == 0


def test_pass_file(opened: Doors, database: Database, supervise: Supervise) -> None:
    opened.open(PASS_FILE)
    environment = opened.environment(PASS_FILE, database)
    passwords = {role: f"the-password-of-{role}" for role in ("supervisor", *OWNERS)}
    environment["PGPASSFILE"] = str(opened.pass_file(database, passwords))
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment)
    assert said == "shop | scram-sha-256:shop"
    assert f"`{said}`" in PAGE.read_text(encoding="utf-8")
    assert one.stop() == 0


@pytest.mark.parametrize("given", ["in the DSN", "PGPASSWORD"])
def test_a_password_is_never_sent_for_another_role(
    opened: Doors, database: Database, supervise: Supervise, given: str
) -> None:
    """The owner has the supervisor's password, so that it would get in if it were tried."""
    database.admin("alter role shop password 'the-password-of-supervisor'")
    try:
        opened.open(PASS_FILE)
        environment = opened.environment(PASS_FILE, database)
        dsn, secret = environment["PYWORKER_DSN"], "the-password-of-supervisor"
        passwords = {"app": "the-password-of-app"}
        environment["PGPASSFILE"] = str(opened.pass_file(database, passwords))
        if given == "PGPASSWORD":
            environment["PGPASSWORD"] = secret
        else:
            dsn = make_conninfo(dsn, password=secret)
        one = supervise(dsn, environment=environment)
        job = put(database, "app.who", role="shop")
        assert "no password supplied" in unreached(database, job)
        assert who_ran(database, [put(database, "app.who")]) == ["app"]
        assert one.wait_for("owner_unreachable")["owner"] == "shop"
        opened.pass_file(database, {**passwords, "shop": secret})
        reached(database, job)
        assert one.stop() == 0
    finally:
        database.admin("alter role shop password 'the-password-of-shop'")


def unreached(database: Database, job: int) -> str:
    """Wait until a job of shop says that its owner cannot be reached, and give the reason;
    health says the same.
    """

    def told() -> str:
        return str(database.job(job, role="postgres")["waits_for"]).partition(
            " cannot connect as its owner shop: "
        )[2]

    reason = wait_until(told)
    assert state(database, job) == "queued"
    status, detail, remedy = database.admin(UNREACHED)[0]
    assert status == "warning"
    expected = (
        r"a supervisor cannot connect as: shop since [^(]* \(\S+ says: " + re.escape(reason) + r"\)"
    )
    assert re.fullmatch(expected, detail)
    assert "How the supervisor connects as each owner" in remedy
    return reason


def reached(database: Database, job: int) -> None:
    """Wait until a job of shop has run, and nothing says any more that it cannot."""
    assert who_ran(database, [job]) == ["shop"]
    wait_until(lambda: database.admin(UNREACHED)[0][0] == "ok")
    assert database.job(job, role="postgres")["waits_for"] is None


@pytest.mark.parametrize(
    ("closed", "reason"),
    [
        ("rejected", "pg_hba.conf rejects connection"),
        ("wrong password", "password authentication failed for user"),
    ],
)
def test_an_owner_that_cannot_be_reached_waits_and_says_why(
    opened: Doors, database: Database, supervise: Supervise, closed: str, reason: str
) -> None:
    passwords = {role: f"the-password-of-{role}" for role in ("supervisor", *OWNERS)}
    rejected = closed == "rejected"
    opened.open(PASS_FILE, first=["host all shop all reject"] if rejected else [])
    environment = opened.environment(PASS_FILE, database)
    given = passwords if rejected else {**passwords, "shop": "another"}
    environment["PGPASSFILE"] = str(opened.pass_file(database, given))
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    job = put(database, "app.who", role="shop")
    assert who_ran(database, [put(database, "app.who")]) == ["app"]
    assert reason in unreached(database, job)
    event = one.wait_for("owner_unreachable", 1)
    assert event["owner"] == "shop"
    assert reason in event["reason"]
    assert who_ran(database, [put(database, "app.who")]) == ["app"]
    assert state(database, job) == "queued"
    if rejected:
        opened.open(PASS_FILE)
    else:
        opened.pass_file(database, passwords)
    reached(database, job)
    assert one.process.poll() is None
    assert one.stop() == 0


@pytest.fixture(name="rejecting")
def _rejecting(opened: Doors) -> Doors:
    """Nobody gets in as shop."""
    opened.set(["local all shop reject", "local all all peer map=tests"])
    return opened


def test_an_owner_whose_job_is_cancelled_is_in_nobodys_way(
    rejecting: Doors, database: Database, supervise: Supervise
) -> None:
    """Nobody tries any more to connect as it, so nobody says that it cannot be reached."""
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.who", role="shop")
    assert "rejects connection" in unreached(database, job)
    assert database.value("select jobs.cancel(%s)", [job], role="shop") == "cancelled"
    wait_until(lambda: database.admin(UNREACHED)[0][0] == "ok")
    assert "rejects connection" in unreached(database, put(database, "app.who", role="shop"))
    assert one.stop() == 0
    # what a supervisor said that is gone does not count
    assert database.admin(UNREACHED)[0][0] == "ok"


def test_an_owner_that_is_reached_under_another_name(
    rejecting: Doors, database: Database, supervise: Supervise
) -> None:
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.who", role="shop")
    assert "rejects connection" in unreached(database, job)
    database.admin("alter role shop rename to store")
    try:
        assert who_ran(database, [job]) == ["store"]
        wait_until(lambda: database.admin(UNREACHED)[0][0] == "ok")
    finally:
        database.admin("alter role store rename to shop")
    assert one.stop() == 0


def test_the_host_that_refused_us_is_the_reason(opened: Doors, database: Database) -> None:
    """The first of two hosts rejects the owner, the second does not answer."""
    opened.set(["host all shop all reject"])
    both = make_conninfo(
        host="db1,db2", hostaddr="127.0.0.1,127.0.0.1", port=f"{opened.port},{free_port()}"
    )
    with pytest.raises(psycopg.OperationalError, match="Connection refused") as found:
        connect_owner(make_conninfo(both, dbname=database.name), "shop", "supervisor")
    assert "pg_hba.conf rejects connection" in reason_of(found.value)


@pytest.fixture(name="hundred")
def _hundred(database: Database) -> Iterator[list[str]]:
    """A hundred owners besides those of the other tests."""
    roles = [f"owner_{n:03}" for n in range(100)]
    for role in roles:
        database.admin(f"create role {role} login in role jobs_producer, jobs_runner")
    yield roles
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pw idle'"
    )
    database.admin(f"drop role {', '.join(roles)}")


@pytest.mark.timeout(180)
def test_a_hundred_owners_with_nothing_to_do_cost_no_connection(
    opened: Doors,
    database: Database,
    supervise: Supervise,
    hundred: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a job done, all at once: few connections at any moment, and only the supervisor's
    own soon after.
    """
    # the server has worker slots for some sixty of them
    monkeypatch.setenv("PYWORKER_SESSION_LINGER", "0.1")
    ours = (
        "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        " and application_name ~ 'pyworker'"
    )
    with database.server.connect(database=database.name) as line:
        for role in hundred:
            line.execute(f"set session authorization {role}".encode())
            line.execute("select jobs.enqueue('pg_catalog.now')")
            line.execute("reset session authorization")
    one = supervise(database.dsn("supervisor"))
    seen = []

    def done() -> bool:
        seen.append(database.admin(ours)[0][0])
        return database.admin("select count(*) from jobs.job where state = 'succeeded'") == [(100,)]

    wait_until(done, 90)
    assert max(seen) <= 1 + OWNERS_AT_ONCE + 3  # some may be on their way out
    wait_until(lambda: database.admin(ours) == [(1,)], KEPT + 2)
    assert one.events("owner_unreachable") == []
    assert one.stop() == 0
