"""Private servers for tests: unpacked and initialised once a run, then copied.

A server made from nothing takes 14 seconds of CPU; a copy takes less than one. The programs are
those of the default private server, which a copy links to.
Tests of the unpacking itself make their servers with `PrivateServer` alone.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from psycopg import Connection

from kit.functions import COUNTING, counting
from pyworker.server import PrivateServer
from pyworker.server.cluster import create_cluster
from pyworker.server.layout import Layout
from pyworker.server.osuser import server_user
from pyworker.server.prefix import read_prefix
from pyworker.server.progress import Quiet

#: Names the directory of this run to the processes of the run.
_RUN = "PYWORKER_TESTS_RUN"
#: Names the server that the programs come from; PYWORKER_SERVER_DIR is each xdist worker's own
#: server.
_PROGRAMS = "PYWORKER_TESTS_PROGRAMS"

#: What a test server need not survive is a crash of the machine.
#: Many databases are made and dropped on it: each page that is written in between is written
#: in vain.
_FAST = """\
fsync = off
shared_buffers = 256MB
bgwriter_lru_maxpages = 0
checkpoint_timeout = 1h
"""
#: A file system in memory, and the bytes that must be free there and in memory:
#: making and dropping databases is a tenth of the work that it is on a disk.
_MEMORY = Path("/dev/shm")
_ROOM = 6 << 30


def _top() -> Path:
    """Give the directory for all that a run makes: TMPDIR where it is set, else memory where there
    is enough.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    disk = os.statvfs(_MEMORY)
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fits = min(disk.f_bavail * disk.f_frsize, memory) >= _ROOM and not disk.f_flag & os.ST_NOEXEC
    return _MEMORY if fits else Path(tempfile.gettempdir())


def copy_strategy(connection: Connection[tuple[object, ...]]) -> str:
    """Tell how a database is copied in the least time: file by file,
    unless the disk is waited for.
    """
    shown = connection.execute(
        "select current_setting('fsync'), current_setting('data_directory')"
    ).fetchone()
    assert shown is not None
    fsync, directory = map(str, shown)
    return "file_copy" if fsync == "off" or Path(directory).is_relative_to(_MEMORY) else "wal_log"


def open_directory(prefix: str) -> Path:
    """Make a directory that the server's OS user may pass; pytest's own are closed to all
    others.
    """
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=_top()))
    place.chmod(0o755)
    return place


def run_directory() -> Path:
    """Give the directory of this run, which goes at the end of the process that asked first."""
    given = os.environ.get(_RUN)
    if given:
        return Path(given)
    place = open_directory("pw-run-")
    os.environ[_RUN] = str(place)
    os.environ.setdefault(_PROGRAMS, str(PrivateServer().dir))
    atexit.register(_remove, place, os.getpid())
    return place


def _remove(place: Path, process: int) -> None:
    if os.getpid() != process:
        return  # a child of fork
    for marker in list(place.rglob("pyworker-server.json")):
        PrivateServer(marker.parent).destroy()
    shutil.rmtree(place)


def _master() -> Layout:
    """Make the cluster that the others are copied from, once a run; it is never started."""
    place = run_directory()
    master = Layout(root=place / "master")
    with FileLock(place / "master.lock"):
        if master.data.exists():
            return master
        programs = PrivateServer(Path(os.environ[_PROGRAMS]))
        origin = Layout(root=programs.dir)
        if read_prefix(origin.prefix) is None:
            programs.start()
        master.root.mkdir(mode=0o755, exist_ok=True)
        master.prefix.symlink_to(origin.prefix)
        prefix = read_prefix(master.prefix)
        assert prefix is not None
        create_cluster(master, prefix, server_user(programs.settings, owned=origin.data), Quiet())
    return master


def furnish(directory: Path, *, data: bool = True, durable: bool = False) -> PrivateServer:
    """Put a server into an empty directory, so that starting it is all that is left to do.

    `data=False`: programs only, so that the first start makes a cluster with an identity of its
    own. `durable=True`: it waits for the disk, as a server of a user does.
    """
    master = _master()
    server = PrivateServer(directory)
    layout = Layout(root=server.dir)
    layout.mark(made=layout.claim())
    layout.prefix.symlink_to(master.prefix.resolve())
    if data:
        subprocess.run(["cp", "-a", "--reflink=auto", master.data, layout.data], check=True)
        shutil.copy2(master.passwords, layout.passwords)
        with (layout.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"{'' if durable else _FAST}{COUNTING if counting() else ''}")
    return server


@contextmanager
def private_server(
    kind: str,
    *,
    data: bool = True,
    durable: bool = False,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[PrivateServer], None] = lambda _: None,
) -> Iterator[PrivateServer]:
    """Start a server of one's own in a directory of its own; it is destroyed at the end. `prepare`
    is called before the start.
    """
    top = open_directory(f"pw-{kind}-")
    server = furnish(top / "s", data=data, durable=durable)
    prepare(server)
    server.environment_of_server.update(environment or {})
    try:
        server.start(port=port)
        yield server
    finally:
        server.destroy()
        shutil.rmtree(top)
