"""A25 to A29, as far as one machine shows them: powerful owners, copies, the Python side,
what operators may.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import clone, drop, new_name
from kit import warm
from kit.daemon import Supervise
from stage import attempts, gate_shut, own_name, put, state, wait_at_gate, wait_for
from support import Database, Server, sqlstate_of, wait_until

import pyworker

PACKAGE = Path(pyworker.__file__).parent
TOP = PACKAGE.parent
POWERS = (
    *(
        "alter role {} superuser",
        "alter role {} bypassrls",
        "alter role {} replication",
        "alter role {} createrole",
    ),
    *("grant pg_read_all_data to {}", "grant jobs_owner to {}", "grant jobs_supervisor to {}"),
)


@pytest.fixture
def mighty(watched: Database) -> Iterator[str]:
    """A role of the test's own that may run jobs, and becomes powerful."""
    name = own_name("mighty")
    watched.admin(f"create role {name} login in role jobs_producer, jobs_runner")
    if watched.server.password:
        watched.admin(f"alter role {name} password '{watched.server.password}'")
    watched.admin(
        f"grant usage on schema app to {name}; grant all on all functions in schema app to {name}"
    )
    watched.admin(f"grant all on app.ledger to {name}")
    yield name
    wait_until(lambda: not watched.background())
    watched.close()
    watched.admin(f"drop owned by {name}; drop role {name}")


@pytest.mark.parametrize("power", POWERS)
def test_an_owner_that_becomes_powerful_in_the_middle(
    watched: Database, mighty: str, power: str
) -> None:
    """A25: the session that is at work then takes no other job: it would run with rights that
    nobody admitted.
    """
    database = watched
    put(database, "app.note", {"n": 0}, role=mighty)
    database.drain(role=mighty)
    with gate_shut(database):
        put(database, "app.gate", {"n": 1}, role=mighty, settings={"work_mem": "1MB"})
        next_one = put(database, "app.note", {"n": 2}, role=mighty)
        child = put(database, "app.two_commits", {"n": 3}, role=mighty)
        database.run("select jobs.start()", role=mighty)
        wait_at_gate(database)
        database.admin(power.format(mighty))
    wait_until(lambda: not database.background())
    assert [attempts(database, job) for job in (next_one, child)] == [[], []]


def test_a_supervisor_starts_nothing_for_a_powerful_owner(
    watched: Database, supervise: Supervise, mighty: str
) -> None:
    """A25: named by --owner: no session; PW019 for what it enqueues; a word in health and check;
    others go on.
    """
    database = watched
    job = put(database, "app.note", {"n": 1}, role=mighty)
    database.admin(f"alter role {mighty} superuser")
    call = "select jobs.enqueue('pg_catalog.now')"
    assert sqlstate_of(lambda: database.run(call, role=mighty)) == "PW019"
    supervise(database.dsn("supervisor"), "--owner", mighty, "--owner", "app")
    other = put(database, "app.note", {"n": 2})
    assert wait_for(database, other)["state"] == "succeeded"
    assert attempts(database, job) == []
    assert state(database, job) in ("queued", "scheduled")
    detail = database.value(
        "select detail from jobs.health where \"check\" = 'privileged owners'", role="operator"
    )
    assert f"{mighty} (SUPERUSER)" in detail
    command = [sys.executable, "-m", "pyworker", "check", "--dsn", database.dsn("postgres")]
    done = warm.run(command, capture_output=True, text=True, check=False)
    assert mighty in done.stdout + done.stderr
    database.admin(f"alter role {mighty} nosuperuser")
    assert wait_for(database, job)["state"] == "succeeded"


def test_a_supervisor_does_nothing_in_a_copy(server: Server, template: str) -> None:
    """A27: a DSN that leads to a copy of an installation: the supervisor leaves,
    and nothing is run there.
    """
    home = clone(server, template, "home")
    job = put(home, "app.note", {"n": 1})
    home.close()
    copy = Database(server=server, name=new_name("copy"))
    with server.administrate() as connection:
        connection.execute(f"create database {copy.name} template {home.name}".encode())
    try:
        command = [
            sys.executable,
            "-m",
            "pyworker",
            "run",
            "--dsn",
            copy.dsn("supervisor"),
            "--until-empty",
        ]
        done = warm.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 8
        assert '"sqlstate": "PW060"' in done.stdout
        for call in (
            "select jobs.enqueue('pg_catalog.now')",
            "select jobs.run_now(%s)",
            "select jobs.retry(%s)",
        ):
            given = [job] if "%s" in call else None
            assert sqlstate_of(lambda call=call, given=given: copy.run(call, given)) in (
                "PW060",
                "PW031",
            )  # type: ignore[misc]
        assert attempts(copy, job) == []
        assert not copy.background()
    finally:
        drop(copy)
        drop(home)


def test_the_python_side_runs_nothing_that_it_reads() -> None:
    """A28: no pickle, no eval, no shell, no fixed name in /tmp: JSON and SQL parameters only."""
    modules = {"pickle", "marshal", "shelve", "dill", "yaml", "xmlrpc"}
    calls = {"eval", "exec", "compile", "__import__", "system", "popen", "mktemp"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in modules]
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
                whole = ast.unparse(node)
                if (name in calls and not whole.startswith("re.")) or "shell=True" in whole:
                    found.append(f"{path.name}: {whole}")
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith("/tmp/")
            ):
                found.append(f"{path.name}: {node.value}")
    assert found == []


def _run_in(place: Path, database: Database) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("pyworker")
    command = [
        program,
        "run",
        "--dsn",
        database.dsn("supervisor"),
        "--owner",
        "app",
        "--until-empty",
    ]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def test_what_lies_in_the_working_directory_is_not_run(watched: Database, tmp_path: Path) -> None:
    """A28: modules, and settings of other programs, that somebody left where the daemon is
    started.
    """
    for name in (".env", ".pgpass", "pg_service.conf", ".pg_service.conf"):
        (tmp_path / name).write_text("PYWORKER_OWNERS=nobody\nPYWORKER_LOG_FORMAT=none\n")
    for name in ("psycopg.py", "structlog.py", "json.py", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit('planted')\n")
    job = put(watched, "app.note", {"n": 1})
    done = _run_in(tmp_path, watched)
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_for(watched, job)["state"] == "succeeded"
    assert "planted" not in done.stdout


@pytest.mark.parametrize("how", ["owner", "link", "mode"])
def test_a_planted_configuration_is_refused(watched: Database, tmp_path: Path, how: str) -> None:
    """A28: pyworker.toml of another user, or that everybody may write, would say where to connect
    and whom to trust.
    """
    if how != "mode" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    planted = tmp_path / "pyworker.toml"
    planted.write_text("log_level = 'error'\n")
    assert _run_in(tmp_path, watched).stdout == "", "its own is heeded"
    if how == "mode":
        planted.chmod(0o666)
    elif how == "owner":
        os.chown(planted, 65534, -1)
    else:
        planted.rename(tmp_path / "real.toml")
        planted.symlink_to("real.toml")
        os.chown(planted, 65534, -1, follow_symlinks=False)
    done = _run_in(tmp_path, watched)
    assert done.returncode == 2
    assert "may be of another user" in done.stderr


@pytest.mark.parametrize("power", ["alter role {} bypassrls", "grant pg_read_all_data to {}"])
def test_an_operator_with_more_rights(database: Database, power: str) -> None:
    """A29: BYPASSRLS shows no more, for no rule of ours is a policy; pg_read_all_data reads the
    tables, and says so.
    """
    name = own_name("reads")
    database.admin(f"create role {name} login in role jobs_operator")
    try:
        job = put(database, "app.echo", {"what": "s3cret"})
        assert database.admin("select count(*) from pg_policy") == [(0,)]
        database.admin(power.format(name))
        line = database.server.connect(name, database.name)
        assert line.execute("select args from jobs.job where id = %s", [job]).fetchone() == (None,)
        tables = sqlstate_of(lambda: line.execute("select args from jobs_internal.job"))
        assert tables == ("42501" if "bypass" in power else None)
        writes = sqlstate_of(lambda: line.execute("delete from jobs_internal.job"))
        assert writes == "42501"
        line.close()
        text = (TOP / "docs" / "operations.md").read_text("utf-8")
        assert "pg_read_all_data" in text
    finally:
        database.close()
        database.admin(f"drop owned by {name}; drop role {name}")
