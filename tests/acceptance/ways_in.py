"""A server with several ways in, as docs/operations.md describes them."""

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
from kit.server import private_server
from stage import state, wait_for
from support import Database, wait_until

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
