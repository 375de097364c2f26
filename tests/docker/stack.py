"""The stack of docker/compose.yaml, on an engine of the test's own."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from support import wait_until

from .engine import Engine
from .tools import call

TOP = Path(__file__).parents[2]
NAME = "pyworkertest"
#: Images are built in the machine's network: the engine has no bridge of its own.
_OVERRIDE = "version: '3.9'\nservices:\n" + "".join(
    f"  {service}:\n    build:\n      network: host\n"
    for service in ("server", "install", "grant", "supervisor")
)


class Stack:
    """The services, and how to reach them."""

    def __init__(self, engine: Engine) -> None:
        """Prepare the files; nothing runs yet."""
        self.engine = engine
        self.passwords = {name: secrets.token_hex(8) for name in ("POSTGRES", "SUPERVISOR", "APP")}
        text = (TOP / "docker" / "compose.yaml").read_text(encoding="utf-8")
        if " 1." in call("docker-compose", "version", "--short").rjust(8):
            # Compose 1 knows no project name in a file, and wants the version of the format that
            # compose 2 forgot.
            text = re.sub(r"^name: .*\n", "version: '3.9'\n", text, flags=re.MULTILINE)
        self._files = [engine.home / "compose.yaml", engine.home / "override.yaml"]
        self._files[0].write_text(text, encoding="utf-8")
        self._files[1].write_text(_OVERRIDE, encoding="utf-8")

    def compose(self, *arguments: str) -> str:
        """Run compose on the project."""
        files = [word for path in self._files for word in ("-f", str(path))]
        passwords = {f"{name}_PASSWORD": value for name, value in self.passwords.items()}
        return call(
            "docker-compose",
            *files,
            *("--project-name", NAME, "--project-directory", str(TOP / "docker")),
            *arguments,
            env={**self.engine.environment, **passwords, "SERVER_PORT": "0"},
        )

    def container(self, service: str) -> str:
        """Give the id of a service's container."""
        return self.compose("ps", "--quiet", service).split()[-1]

    def state(self, service: str) -> tuple[str, int]:
        """Give a container's state and its exit code."""
        shown = "{{.State.Status}} {{.State.ExitCode}}"
        status, code = self.engine.docker(
            "inspect", f"--format={shown}", self.container(service)
        ).split()
        return status, int(code)

    def connect(self, role: str = "app") -> "Connection[TupleRow]":
        """Connect from outside, through the published port."""
        place = self.compose("port", "server", "5432").strip()
        return psycopg.connect(
            host="127.0.0.1",
            port=place.rpartition(":")[2],
            user=role,
            password=self.passwords[role.upper()],
            dbname="pyworker",
            autocommit=True,
            connect_timeout=5,
        )

    def back(self) -> "Connection[TupleRow]":
        """Wait until the server takes connections again, and give one as app."""

        def attempt() -> "Connection[TupleRow] | None":
            try:
                return self.connect()
            except psycopg.OperationalError:
                return None

        found = wait_until(attempt, 60, 0.2)
        assert found is not None
        return found


@contextmanager
def running(engine: Engine) -> Iterator[Stack]:
    """Build the images and bring everything up; at the end containers, volumes and networks
    are gone.
    """
    stack = Stack(engine)
    try:
        stack.compose("build")
        stack.compose("up", "--detach", "--no-build")
        wait_until(lambda: stack.state("supervisor")[0] == "running", 60, 0.5)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
    for kind, everything in (("container", ["--all"]), ("volume", []), ("network", [])):
        left = engine.docker(kind, "ls", "--quiet", *everything, "--filter", f"name={NAME}")
        assert not left.strip(), f"{kind} left: {left}"
