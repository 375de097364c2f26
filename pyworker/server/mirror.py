"""Where the packages come from: the machine's own Debian mirror and the archive's keyring. No host
is named here.
"""

from collections.abc import Iterator
from pathlib import Path

from pyworker.config import Settings
from pyworker.errors import ServerError
from pyworker.server.tools import OTHER_WAYS, find_tool, run_tool

__all__ = ["find_keyring", "find_mirrors"]

_FORMAT = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)|$(SIGNED_BY)"
_USABLE = ("http://", "https://", "file:", "mirror+http", "tor+http")
_NOT_SUITES = ("-security", "-updates", "-backports")
_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg",
)


def _targets(*options: str) -> Iterator[list[str]]:
    apt_get = find_tool("apt-get", "apt")
    answer = run_tool(
        [apt_get, "indextargets", *options, "--format", _FORMAT, "Created-By: Packages"]
    )
    for line in answer.stdout.splitlines():
        fields = line.split("|")
        if len(fields) == len(_FORMAT.split("|")):
            yield fields


def _is_debian() -> bool:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return "ID=debian" in (line.replace('"', "").strip() for line in lines)


def _from_lists() -> Iterator[str]:
    for origin, label, component, _release, uri, _signed_by in _targets():
        if (origin, label, component) == ("Debian", "Debian", "main"):
            yield uri


def _from_sources() -> Iterator[str]:
    """Without `apt-get update` having run, only the sources' own words tell which of them is
    Debian's archive.
    """
    on_debian = _is_debian()
    for _origin, _label, component, release, uri, signed_by in _targets("--no-release-info"):
        named = "debian-archive" in signed_by or uri.rstrip("/").endswith("/debian")
        if (
            component == "main"
            and not release.endswith(_NOT_SUITES)
            and (named or (on_debian and "$(" in signed_by))
        ):
            yield uri


def find_mirrors(settings: Settings) -> tuple[str, ...]:
    """List the Debian mirrors to try, best first; an error when the machine knows none."""
    if settings.server_mirror:
        return (settings.server_mirror.rstrip("/") + "/",)
    usable = [uri for uri in (*_from_lists(), *_from_sources()) if uri.startswith(_USABLE)]
    if not usable:
        raise ServerError(
            "no Debian mirror was found in this machine's package sources",
            detail="The packages of the private server come from Debian's archive.",
            hint=f"Set PYWORKER_SERVER_MIRROR to the address of a Debian mirror. {OTHER_WAYS}",
        )
    return tuple(dict.fromkeys(usable))


def find_keyring(settings: Settings) -> Path:
    """Find the keyring that the archive's signature is checked with."""
    candidates = (
        [settings.server_keyring] if settings.server_keyring else [Path(name) for name in _KEYRINGS]
    )
    for path in candidates:
        if path.is_file():
            return path
    raise ServerError(
        "the keyring of the Debian archive was not found",
        detail=f"Looked for {', '.join(str(path) for path in candidates)}.",
        hint=(
            f"Install the package debian-archive-keyring, or set PYWORKER_SERVER_KEYRING. "
            f"{OTHER_WAYS}"
        ),
    )
