"""The packages on disk: complete and verified by a manifest, or fetched until they are."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pyworker.config import Settings
from pyworker.errors import ServerError
from pyworker.server.apt import Deb, PrivateApt
from pyworker.server.files import write_atomically
from pyworker.server.mirror import find_keyring, find_mirrors
from pyworker.server.packages import newest_major, wanted
from pyworker.server.progress import Progress
from pyworker.server.tools import OTHER_WAYS, find_tool, require_space

__all__ = ["Packages", "fetch_packages"]

_MANIFEST = "packages.json"
_MEGABYTES = 150  # the package list, the files and some room


@dataclass(frozen=True, kw_only=True)
class Packages:
    """A complete set of package files."""

    directory: Path
    major: int
    suite: str
    debs: tuple[Deb, ...]

    @property
    def files(self) -> Iterator[Path]:
        """The files, in the order apt named them."""
        return (self.directory / deb.name for deb in self.debs)


def _intact(directory: Path, deb: Deb) -> bool:
    path = directory / deb.name
    try:
        if path.stat().st_size != deb.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == deb.sha256
    except FileNotFoundError:
        return False


def _from_manifest(directory: Path) -> Packages | None:
    """Read what an earlier download completed; None when it is missing, unreadable or no longer
    intact.
    """
    try:
        known = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        debs = tuple(Deb(**deb) for deb in known["debs"])
        found = Packages(directory=directory, major=known["major"], suite=known["suite"], debs=debs)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if debs and all(_intact(directory, deb) for deb in debs) else None


def _search(
    settings: Settings, home: Path, archives: Path, progress: Progress
) -> tuple[PrivateApt, int, tuple[str, ...]]:
    """Find the first suite that has pg_background, trying the machine's mirrors in turn."""
    keyring = find_keyring(settings)
    failure: ServerError | None = None
    for mirror in find_mirrors(settings):
        for suite in settings.server_suites:
            progress.phase(f'reading the package list of Debian suite "{suite}"')
            apt = PrivateApt(home, archives=archives, mirror=mirror, suite=suite, keyring=keyring)
            try:
                apt.update()
            except ServerError as error:
                failure = failure or error
                continue
            names = apt.names()
            major = newest_major(names)
            if major is not None:
                return apt, major, wanted(major, names)
    raise failure or ServerError(
        "no package of pg_background was found",
        detail=f"Looked in the Debian suites {', '.join(settings.server_suites)}.",
        hint=f"Set PYWORKER_SERVER_SUITES to a suite that has it. {OTHER_WAYS}",
    )


def fetch_packages(settings: Settings, directory: Path, home: Path, progress: Progress) -> Packages:
    """Bring the packages into `directory`, using what is there; `home` is apt's own workplace and
    goes away again.
    """
    complete = _from_manifest(directory)
    if complete:
        return complete
    find_tool("apt-get", "apt")
    require_space(directory, _MEGABYTES, what="the download")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _MANIFEST).unlink(missing_ok=True)
    apt, major, packages = _search(settings, home, directory, progress)
    progress.phase(f"downloading PostgreSQL {major} with pg_background")
    debs = apt.plan(packages)
    for deb in debs:
        if not _intact(directory, deb):
            (directory / deb.name).unlink(missing_ok=True)
    apt.download(packages, progress)
    damaged = [deb.name for deb in debs if not _intact(directory, deb)]
    if damaged or not debs:
        raise ServerError(
            "the download is not complete",
            detail=f"Missing or damaged: {', '.join(damaged[:5]) or 'every package'}.",
            hint="Start again: what is complete is kept. " + OTHER_WAYS,
        )
    result = Packages(directory=directory, major=major, suite=apt.suite, debs=debs)
    manifest = {"major": major, "suite": apt.suite, "debs": [asdict(deb) for deb in debs]}
    write_atomically(directory / _MANIFEST, json.dumps(manifest, indent=1))
    shutil.rmtree(home, ignore_errors=True)
    return result
