"""A private apt: its own state, lists, cache and sources, beside the machine's packages and without
touching them.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen

from pyworker.errors import ServerError
from pyworker.server.progress import Progress
from pyworker.server.tools import OTHER_WAYS, disk_full, find_tool, run_tool, says_disk_full

__all__ = ["Deb", "PrivateApt"]

# Read after the machine's own configuration: its proxy stays in force; its hooks, pins and default
# release do not.
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
#clear APT::Architectures;
#clear DPkg::Pre-Install-Pkgs;
Dir::State "{home}/state";
Dir::State::lists "lists";
Dir::State::status "{home}/state/status";
Dir::Cache "{home}/cache";
Dir::Cache::archives "{archives}";
Dir::Etc::sourcelist "{home}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""

_URI_LINE = re.compile(
    r"^'[^']+' (?P<name>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE
)
_STATUS = re.compile(r"^dlstatus:\d+:(?P<percent>[\d.]+):")
_UNSIGNED = (
    "NO_PUBKEY",
    "EXPKEYSIG",
    "is not signed",
    "Missing key",
    "couldn't be verified",
    "not live until",
)


@dataclass(frozen=True, kw_only=True)
class Deb:
    """One package file of the plan."""

    name: str
    size: int
    sha256: str


class PrivateApt:
    """apt-get on directories of our own, for one suite of one mirror."""

    def __init__(
        self, home: Path, *, archives: Path, mirror: str, suite: str, keyring: Path
    ) -> None:
        """Write the configuration; nothing is fetched yet."""
        self.mirror, self.suite, self.home, self._archives = mirror, suite, home, archives
        self._apt_get = find_tool("apt-get", "apt")
        self._apt_cache = find_tool("apt-cache", "apt")
        dpkg = run_tool([find_tool("dpkg", "dpkg"), "--print-architecture"])
        for part in (
            home / "state" / "lists" / "partial",
            home / "cache",
            home / "none" / "partial",
            archives / "partial",
        ):
            part.mkdir(parents=True, exist_ok=True)
        (home / "state" / "status").write_text("")
        (home / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror} {suite} main\n")
        self._config = home / "apt.conf"
        self._config.write_text(
            _CONFIG.format(home=home, archives=archives, architecture=dpkg.stdout.strip())
        )

    def _command(self, program: str, *arguments: str) -> list[str | Path]:
        return [program, "-c", str(self._config), *arguments]

    def update(self) -> None:
        """Fetch the suite's package list, or say why that failed."""
        done = run_tool(self._command(self._apt_get, "update"))
        if done.returncode != 0:
            raise self._failure(done.stdout + done.stderr, doing="reading the package list")

    def names(self) -> list[str]:
        """List the suite's packages that are named after PostgreSQL."""
        return run_tool(self._command(self._apt_cache, "pkgnames", "postgresql-")).stdout.split()

    def plan(self, packages: tuple[str, ...]) -> tuple[Deb, ...]:
        """Compute the files that `packages` and all they depend on consist of."""
        # what is there already belongs to the plan as well
        nowhere = f"Dir::Cache::archives={self.home / 'none'}"
        done = run_tool(
            self._command(self._apt_get, "-o", nowhere, "install", "--print-uris", "-y", *packages)
        )
        if done.returncode != 0:
            raise self._failure(done.stdout + done.stderr, doing="choosing packages")
        return tuple(
            Deb(name=match["name"], size=int(match["size"]), sha256=match["sha256"])
            for match in _URI_LINE.finditer(done.stdout)
        )

    def download(self, packages: tuple[str, ...], progress: Progress) -> None:
        """Fetch the files of `packages`; apt resumes what an earlier try left and checks every
        file's hash.
        """
        argv = self._command(
            self._apt_get, "-o", "APT::Status-Fd=1", "install", "--download-only", "-y", *packages
        )
        said: list[str] = []
        with Popen(
            [str(part) for part in argv],
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101  a pipe was asked for
            for line in process.stdout:
                if match := _STATUS.match(line):
                    progress.advance(float(match["percent"]) / 100)
                else:
                    said.append(line)
        if process.returncode != 0:
            raise self._failure("".join(said), doing="downloading packages")

    def _failure(self, output: str, *, doing: str) -> ServerError:
        if says_disk_full(output):
            return disk_full(self._archives, what=doing)
        complaints = [
            line.strip() for line in output.splitlines() if line.startswith(("E:", "W:", "Err:"))
        ]
        detail = " ".join(complaints[:3]) or output.strip()[-400:] or "apt gave no reason."
        if any(sign in output for sign in _UNSIGNED):
            return ServerError(
                f'the signature of Debian suite "{self.suite}" could not be verified',
                detail=detail,
                hint=f"Bring the package debian-archive-keyring up to date, or name a newer "
                f"keyring with PYWORKER_SERVER_KEYRING. {OTHER_WAYS}",
            )
        return ServerError(
            f'{doing} from Debian suite "{self.suite}" at {self.mirror} failed',
            detail=detail,
            hint=(
                "Check the network and start again, or set PYWORKER_SERVER_MIRROR to another "
                "Debian mirror. "
            )
            + OTHER_WAYS,
        )
