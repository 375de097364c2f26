"""What is fetched, and that docker/ installs the same."""

import re
from pathlib import Path

import pytest

from pyworker.server import CORE_PACKAGE, OPTIONAL_PACKAGES
from pyworker.server.packages import newest_major, wanted
from pyworker.server.prefix import _wanted_path

TOP = Path(__file__).parents[2]


def test_newest_major_is_found_by_number_not_by_text() -> None:
    names = [
        "postgresql-9-pg-background",
        "postgresql-18-pg-background",
        "postgresql-99",
        "postgresql-19-cron",
    ]

    assert newest_major(names) == 18
    assert newest_major(["postgresql-18"]) is None


def test_optional_packages_are_taken_where_they_exist() -> None:
    assert wanted(18, []) == ("postgresql-18-pg-background",)
    assert wanted(18, ["postgresql-18-pgmq"]) == (
        "postgresql-18-pg-background",
        "postgresql-18-pgmq",
    )


def test_the_container_installs_the_same_packages() -> None:
    recipe = (TOP / "docker" / "Dockerfile.server").read_text()

    for package in (CORE_PACKAGE, *OPTIONAL_PACKAGES):
        assert package.format(major="$NN") in recipe


def test_no_host_name_is_in_the_code() -> None:
    host = re.compile(r"\w\.(org|com|net|io)\b")

    assert [
        path.name
        for path in (TOP / "pyworker" / "server").glob("*.py")
        if host.search(path.read_text())
    ] == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./usr/lib/postgresql/18/bin/psql", "usr/lib/postgresql/18/bin/psql"),
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./usr/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("./usr/bin/passwd", None),
        ("./usr/lib/postgresql/../../../etc/shadow", None),
        ("./etc/passwd", None),
        ("./usr/share/postgresql/18/man/man1/psql.1", None),
    ],
)
def test_only_what_the_server_needs_is_unpacked(name: str, place: str | None) -> None:
    found = _wanted_path(name)

    assert (str(found) if found else None) == place
