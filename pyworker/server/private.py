"""The private server, as the rest of pyworker uses it."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from pyworker.config import Settings, load_settings
from pyworker.errors import ServerError
from pyworker.server.agreement import refuse_other_major, refuse_other_port
from pyworker.server.clients import client_dsn, client_environment
from pyworker.server.cluster import (
    ADMINISTRATOR,
    DATABASE,
    configure,
    create_cluster,
)
from pyworker.server.control import StopMode, start_server, stop_server, wait_ready
from pyworker.server.download import fetch_packages
from pyworker.server.files import discard, disk_use, make_directory
from pyworker.server.layout import Layout, default_directory, private_directory
from pyworker.server.lock import exclusive
from pyworker.server.osuser import OsUser, server_user
from pyworker.server.prefix import Prefix, build_prefix, read_prefix
from pyworker.server.process import read_postmaster, wait_gone
from pyworker.server.progress import Progress, Quiet
from pyworker.server.status import ServerStatus
from pyworker.server.tools import disk_full, is_disk_full

__all__ = ["PrivateServer"]

_STOP_SECONDS = 60.0


class PrivateServer:
    """One private PostgreSQL in one directory. Any number of objects, in any number of processes,
    may speak of it.
    """

    def __init__(self, dir: Path | None = None, *, settings: Settings | None = None) -> None:  # noqa: A002
        """Speak of the server in `dir`, or of the default one; nothing is touched yet."""
        self.settings = settings or load_settings()
        self.dir = Path(
            os.path.realpath(Path(dir).expanduser() if dir else default_directory(self.settings))
        )
        self._layout = Layout(root=self.dir)
        self.environment_of_server: dict[
            str, str
        ] = {}  #: what the server process finds in its environment besides

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self._layout.log_file

    def start(self, progress: Progress | None = None, port: int | None = None) -> None:
        """Bring the server up, fetching, unpacking and creating whatever is missing; nothing to do
        when it runs.
        """
        progress = progress or Quiet()
        layout = self._layout
        try:
            layout.refuse_foreign()
            user = self._user()
            running = read_postmaster(layout.data)
            if running and running.ready:
                refuse_other_port(running, port)
                return
            made = layout.claim()
            progress.phase("waiting for another start, stop or destroy")
            with exclusive(layout.lock):
                layout.mark(made=sorted({*made, *map(str, layout.made())}, key=len))
                self._start_locked(user, progress, port)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(self.dir, what="starting the server") from error
            raise ServerError(
                f'the private server in "{self.dir}" could not be started',
                detail=str(error),
                hint="Correct that and start again.",
            ) from error

    def _start_locked(self, user: OsUser, progress: Progress, port: int | None) -> None:
        layout = self._layout
        running = read_postmaster(layout.data)
        if running:  # another process was quicker
            progress.phase("waiting for the server")
            wait_ready(layout)
            refuse_other_port(running, port)
            return
        if not user.can_enter(self.dir):
            raise ServerError(
                f'OS user "{user.name}" cannot reach "{self.dir}"',
                detail="PostgreSQL refuses to run as root; that user runs it.",
                hint=(
                    "Choose a directory open to all (--dir, PYWORKER_SERVER_DIR), or another user "
                    "with PYWORKER_SERVER_USER."
                ),
            )
        prefix = read_prefix(layout.prefix) or self._install(progress)
        refuse_other_major(self._layout.data, prefix)
        if not layout.data.exists():
            create_cluster(layout, prefix, user, progress)
        make_directory(layout.log_directory, 0o755)
        user.own(layout.log_directory)
        socket_directory = layout.socket_directory(user)
        layout.mark(socket_directory=str(socket_directory))
        private_directory(socket_directory, user)
        configure(layout, user, socket_directory=socket_directory, port=port)
        progress.phase("starting the server")
        start_server(layout, prefix, user, self.environment_of_server)
        if layout.drained.exists():
            # the driver takes 0.1 s to load
            from pyworker.server.jobs import resume_drained  # noqa: PLC0415

            resume_drained(self._dsn_of, layout.drained)

    def _dsn_of(self, database: str) -> str:
        return self.dsn(ADMINISTRATOR, database)

    def running_jobs(self) -> Mapping[str, tuple[int, ...]]:
        """Find the jobs that run now, by database; none where the server does not run."""
        from pyworker.server.jobs import running_jobs  # noqa: PLC0415

        return running_jobs(self._dsn_of) if read_postmaster(self._layout.data) else {}

    def drain(self, tell: Callable[[Mapping[str, tuple[int, ...]]], None]) -> None:
        """Let no job begin and wait until none runs, in all databases; the next start lets them
        begin again.
        """
        from pyworker.server.jobs import drain  # noqa: PLC0415

        if read_postmaster(self._layout.data):
            drain(self._dsn_of, self._layout.drained, tell)

    def _install(self, progress: Progress) -> Prefix:
        layout = self._layout
        own = self.settings.server_packages is None
        directory = (
            self.settings.server_packages.resolve()
            if self.settings.server_packages
            else layout.download
        )
        if own:
            packages = fetch_packages(self.settings, directory, layout.apt, progress)
        else:
            directory.mkdir(parents=True, exist_ok=True)
            with exclusive(directory / "lock"):
                packages = fetch_packages(self.settings, directory, layout.apt, progress)
        try:
            prefix = build_prefix(packages, layout.prefix, progress)
        except ServerError:
            if own:
                discard(directory)  # a package may be damaged; the next start fetches anew
            raise
        if own:
            discard(directory)
        return prefix

    def stop(self, mode: StopMode = "fast", timeout: float = _STOP_SECONDS) -> bool:
        """Stop the server; False: it was not running."""
        if not self._layout.exists:
            self._layout.refuse_foreign()
            return False
        with exclusive(self._layout.lock):
            return self._stop_locked(mode, timeout)

    def _stop_locked(self, mode: StopMode, timeout: float) -> bool:
        if read_postmaster(self._layout.data) is None:
            return False
        stop_server(self._layout, self._prefix(), self._user(), mode=mode, timeout=timeout)
        return True

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again, on the same port."""
        running = read_postmaster(self._layout.data)
        self.stop(mode)
        self.start(port=running.port if running and running.listens else None)

    def destroy(self) -> None:
        """Stop the server and remove everything that was made for it."""
        layout = self._layout
        if not layout.exists:
            layout.refuse_foreign()
            return
        with exclusive(layout.lock):
            self._stop_locked("fast", _STOP_SECONDS)
            left = wait_gone(layout.data)
            if left:
                raise ServerError(
                    "processes are still at work in the cluster",
                    detail=f"Process {left[0]}.",
                    hint="Wait until they end.",
                )
            made = layout.made()
            discard(layout.socket_directory(self._user()))
            for entry in list(self.dir.iterdir()):
                if entry not in (layout.lock, layout.marker) and entry.name != "lost+found":
                    discard(entry)
            layout.marker.unlink(missing_ok=True)
            layout.lock.unlink(missing_ok=True)
        for folder in dict.fromkeys([self.dir, *made]):
            try:
                folder.rmdir()
            except OSError:
                break  # in use by others, or a mount point

    def status(self) -> ServerStatus:
        """Tell how the server is now."""
        layout = self._layout
        if not layout.exists:
            return ServerStatus(state="absent", dir=self.dir)
        prefix = read_prefix(layout.prefix)
        running = read_postmaster(layout.data) if layout.data.exists() else None
        return ServerStatus(
            state="running"
            if running
            else "stopped"
            if prefix and layout.data.exists()
            else "absent",
            dir=self.dir,
            version=prefix.version if prefix else None,
            suite=prefix.suite if prefix else None,
            pid=running.pid if running else None,
            uptime=running.uptime if running else None,
            socket=Path(running.socket_directory) if running else None,
            port=running.port if running and running.listens else None,
            log=layout.log_file,
            disk_bytes=disk_use(self.dir),
        )

    def dsn(self, role: str = ADMINISTRATOR, dbname: str = DATABASE, *, tcp: bool = False) -> str:
        """Render a libpq URI for one of the roles: over the socket, or with its
        password over TCP.
        """
        running = read_postmaster(self._layout.data)
        if running is None:
            raise ServerError(
                f'no private server runs in "{self.dir}"',
                hint="Start it with `pyworker server start`.",
            )
        return client_dsn(self._layout, running, role, dbname, tcp=tcp)

    def bin(self, name: str) -> Path:
        """Name the path of one of the server's own programs, such as psql or pgbench."""
        path = self._prefix().program(name)
        if not path.is_file():
            raise ServerError(
                f'the private server has no program "{name}"', detail=f"Looked in {path.parent}."
            )
        return path

    def environment(self, role: str = ADMINISTRATOR, dbname: str = DATABASE) -> dict[str, str]:
        """Give the environment with which programs reach this server: PG* variables, and its
        programs on the PATH.
        """
        running = read_postmaster(self._layout.data)
        if running is None:
            raise ServerError(
                f'no private server runs in "{self.dir}"',
                hint="Start it with `pyworker server start`.",
            )
        return client_environment(self._prefix(), running, role, dbname)

    def run_as_server_user(
        self,
        argv: Sequence[str | Path],
        *,
        text: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> CompletedProcess[str]:
        """Run a program as the OS user that owns the cluster."""
        return self._user().run(argv, cwd=self.dir, text=text, extra=extra)

    def _user(self) -> OsUser:
        return server_user(self.settings, owned=self._layout.data)

    def _prefix(self) -> Prefix:
        prefix = read_prefix(self._layout.prefix)
        if prefix is None:
            raise ServerError(
                f'no private server is in "{self.dir}"',
                hint="Start it with `pyworker server start`.",
            )
        return prefix
