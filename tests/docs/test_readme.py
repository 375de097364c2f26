"""Every listing of README.md, and of the pages in docs/ that have some, is run, in its order, and
prints what the page says.
"""

import os
from collections.abc import Iterator

import pytest
from support import Server

from .listings import TOP, Runner, fits, listings, plain, quoted

#: `make demo` without making .venv; a server has one demo at a time, and others may be at it.
DEMO = """for try in $(seq 20); do
  shown="$(env -u PYWORKER_DSN -u PYWORKER_OWNERS -u PYWORKER_LOG_FORMAT pyworker demo 2>&1)"
  [[ "$shown" == *"another demo runs"* ]] || break
  sleep 3
done
echo "$shown"
"""

#: Roles that docs/operations.md makes; here each has a name of this run's own.
ROLES = ("alice", "bob", "bank", "clerk")


@pytest.fixture(name="runner")
def _runner(server: Server, template: str) -> Iterator[Runner]:
    """A database with nothing in it. `template` only makes sure that the login roles are there."""
    private = server.private
    if private is None:
        pytest.skip("the pages speak of the private server")
    name = f"pw_docs_{os.getpid()}"
    names = {role: f"{role}_{os.getpid()}" for role in ROLES}
    with server.administrate() as connection:
        connection.execute(f"create database {name}".encode())
    yield Runner(
        psql=private.bin("psql"),
        environment=private.environment("app", name),
        shell={"PYWORKER_DSN": private.dsn(dbname=name), "PYWORKER_LOG_FORMAT": "console"},
        commands={
            "make demo": DEMO,
            "pyworker server psql": f"pyworker server psql --dbname {name}",
            "pyworker server start": "env -u PYWORKER_DSN pyworker server start",
            "pyworker run": (
                f"env PYWORKER_DSN={quoted(private.dsn('supervisor', name))} pyworker run"
            ),
        },
        names=names,
    )
    with server.connect() as connection:
        connection.execute(f"drop database if exists {name} with (force)".encode())
        for role in names.values():
            connection.execute(f"drop role if exists {role}".encode())


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/operations.md",
        "docs/long-operations.md",
        "docs/schedules.md",
        "docs/deadlines.md",
        "docs/windows.md",
        "docs/order.md",
        "docs/batches.md",
        "docs/limits.md",
        "docs/monitoring.md",
    ],
)
def test_listings_print_what_the_page_says(page: str, runner: Runner) -> None:
    found = listings(TOP / page)
    assert found
    if page != "README.md":
        runner.prepare()
    for listing in found:
        printed = runner.run(listing)
        if not fits(plain(listing.output), plain(printed)):
            pytest.fail(f"{listing} prints:\n{chr(10).join(printed)}", pytrace=False)


def test_an_output_that_differs_is_found() -> None:
    table = [" id | pid  | state", "----+------+-------", "  1 | 4711 | failed", "(1 row)"]
    other = [" id |  pid  |  state ", "----+-------+--------", "  1 | 47111 | failed ", "(1 row)"]
    wrong = [" id | pid  | state", "----+------+-------", "  2 | 4711 | failed", "(1 row)"]

    assert fits(plain(table), plain(other))
    assert not fits(plain(table), plain(wrong))
    assert fits(["a", "...", "c"], ["a", "b", "b", "c"])
    assert not fits(["a", "...", "c"], ["a", "b", "c", "d"])
