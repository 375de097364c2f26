"""A further Debian package for one test's server: its extension, beside those that it has."""

import shutil
import tempfile
from pathlib import Path

from pyworker.server import PrivateServer
from pyworker.server.apt import PrivateApt
from pyworker.server.layout import Layout
from pyworker.server.mirror import find_keyring, find_mirrors
from pyworker.server.prefix import _unpack, read_prefix
from pyworker.server.tools import run_tool


def add_package(server: PrivateServer, name: str) -> None:
    """Unpack `postgresql-MAJOR-NAME` of the suite that the programs came from into programs of the
    server's own. The server has not been started yet.
    """
    layout = Layout(root=server.dir)
    prefix = read_prefix(layout.prefix)
    assert prefix is not None
    programs = layout.prefix.resolve()
    if layout.prefix.is_symlink():
        layout.prefix.unlink()
    shutil.copytree(programs, layout.prefix, symlinks=True)
    package = f"postgresql-{prefix.major}-{name}"
    with tempfile.TemporaryDirectory() as place:
        apt = PrivateApt(
            Path(place) / "apt",
            archives=Path(place) / "archives",
            mirror=next(iter(find_mirrors(server.settings))),
            suite=prefix.suite,
            keyring=find_keyring(server.settings),
        )
        apt.update()
        run_tool(["env", "-C", place, *apt._command(apt._apt_get, "download", package)])
        (deb,) = Path(place).glob("*.deb")
        _unpack(deb, layout.prefix)
