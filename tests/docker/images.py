"""Base images under the names that docker/ uses, made from Debian's own packages:
nothing is pulled from anywhere.

What the machine needs to reach its mirrors (certificates, proxies, an index of its own for pip)
goes into them.
"""

import os
import sys
from pathlib import Path

from pyworker.config import Settings
from pyworker.server.mirror import find_mirrors

from .engine import Engine
from .tools import call, settings_of

SERVER = "debian:testing-slim"
SUPERVISOR = "python:3.13-slim"
_PYTHON = "python3 python3-venv python3-pip python-is-python3"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def _apt_options() -> list[str]:
    """Give what apt of this machine was told and apt in the image needs too: proxies,
    how old a mirror may be.
    """
    marks = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until")
    return [f"--aptopt={line}" for line in settings_of(["apt-config", "dump"], marks)]


def _index() -> dict[str, str]:
    """Give the indexes that pip uses on this machine, as far as a container can reach them."""
    found: dict[str, list[str]] = {}
    for line in call(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in ("index-url", "extra-index-url"):
            found.setdefault(option, []).extend(
                w for w in value.strip("'\"").split() if w.startswith("http")
            )
    return {
        f"PIP_{name.upper().replace('-', '_')}": " ".join(urls)
        for name, urls in found.items()
        if urls
    }


def _environment() -> dict[str, str]:
    given = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    trusted = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), _BUNDLE)
    return {**given, **trusted, **_index()}


def make_bases(engine: Engine) -> None:
    """Make both base images: the second is the first with Python in it."""
    tree = engine.home / "base.tar"
    bundle = Path(os.environ.get("SSL_CERT_FILE") or _BUNDLE)
    call(
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        *_apt_options(),
        *([f"--customize-hook=upload {bundle} {_BUNDLE}"] if bundle.exists() else []),
        "testing",
        tree,
        find_mirrors(Settings())[0],
    )
    changes = [f"--change=ENV {name}={value!r}" for name, value in _environment().items()]
    engine.docker("import", *changes, tree, SERVER)
    tree.unlink()
    recipe = engine.home / "python"
    recipe.mkdir()
    steps = ("apt-get update", f"apt-get install --yes --no-install-recommends {_PYTHON}")
    (recipe / "Dockerfile").write_text(f"FROM {SERVER}\nRUN {' && '.join(steps)}\n")
    engine.docker("build", "--network=host", f"--tag={SUPERVISOR}", recipe)
