"""The doctor: finds what was planted, and the line it names mends it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyworker.check import Finding, run_checks
from pyworker.schema import apply_schema, read_source
from tests.schema.conftest import Database, add
from tests.schema.planted import PLANTED, mend, type_remedy, wrong


@pytest.fixture
def runner(installed: Database, new_role: Callable[[str], str]) -> str:
    """An installation with nothing wrong, and a role whose jobs run there."""
    role = new_role("login")
    installed.run(f"grant jobs_producer, jobs_runner to {role}")
    return role


def test_a_fresh_installation_has_no_critical_problem(database: Database, runner: str) -> None:
    assert wrong(database) == []
    result = database.cli("check")
    assert result.exit_code == 0, result.output
    for check in (
        "server version",
        "extension pg_background",
        "worker slots",
        "connections",
        "functions and views",
    ):
        assert check in result.output


def test_what_is_wrong_comes_last_and_is_counted(database: Database) -> None:
    """Forty lines scroll by: what is to be done stands at the end."""
    lines = database.cli("check").output.splitlines()
    words = [line.split()[0] for line in lines[:-1] if not line.startswith(" ")]
    assert words == sorted(words, key=["ok", "warning", "critical"].index)
    counts = [words.count(status) for status in ("ok", "warning", "critical")]
    assert lines[-1] == "{} checks: {} ok, {} warning, {} critical".format(len(words), *counts)
    assert counts[2] > 0


def test_without_a_schema_it_says_install(database: Database) -> None:
    result = database.cli("check", "--json")
    assert result.exit_code == 1
    findings = {row["check"]: row for row in json.loads(result.output)}
    assert findings["schema version"]["status"] == "critical"
    assert findings["schema version"]["remedy"] == "`pyworker install`"


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_planted_is_found_and_its_line_mends_it(
    database: Database, runner: str, what: str
) -> None:
    plant, check, says = PLANTED[what]
    database.run(plant)
    found = wrong(database)
    try:
        assert any(finding.check == check and says in finding.detail for finding in found), found
        assert all(finding.remedy for finding in found)
    finally:
        mend(database, found)
    assert wrong(database) == []


def test_a_function_changed_by_hand_is_found(database: Database, runner: str) -> None:
    database.run(
        "create or replace function jobs_internal.schema_now() returns table (kind text,"
        " identity text, md5 text)"
        " language sql stable as 'select null::text, null::text, null::text where false'"
    )
    found = [
        finding for finding in run_checks(database.dsn()) if finding.check == "functions and views"
    ]
    assert found[0].status != "ok"
    apply_schema(database.dsn(), "install")
    assert wrong(database) == []


@pytest.mark.parametrize("power", ["superuser", "createrole", "bypassrls", "pg_read_all_data"])
def test_a_powerful_runner_is_refused_and_one_that_was_admitted_is_named_with_who_did_it(
    database: Database, runner: str, power: str
) -> None:
    def said() -> Finding | None:
        found = [
            one
            for one in run_checks(database.dsn())
            if one.check == "runners" and f" {runner} " in one.detail
        ]
        assert all(one.status == "warning" for one in found)
        return found[0] if found else None

    assert said() is None
    database.run(
        f"grant {power} to {runner}" if power.startswith("pg_") else f"alter role {runner} {power}"
    )
    refused = said()
    assert refused is not None
    assert refused.detail.startswith(
        f"jobs of {runner} are refused: it has {power if '_' in power else power.upper()}"
    )
    database.run(f"select jobs.admit_role('{runner}')")
    admitted = said()
    assert admitted is not None
    assert "admitted by postgres on 2" in admitted.detail
    mend(database, [admitted, refused])
    assert said() == admitted, "whom to admit is no script's choice"
    type_remedy(database, admitted)
    assert said() == refused
    type_remedy(database, refused)
    assert said() is None


def test_the_script_runs_whatever_is_wrong_and_decides_nothing(
    database: Database, runner: str
) -> None:
    """What jobs.health says is for people: an installation that is paused on purpose stays
    paused.
    """
    database.run("select jobs.pause()")
    found = run_checks(database.dsn())
    assert {"supervisors", "switch"} <= {one.check for one in found if one.status != "ok"}, found
    mend(database, found)
    assert database.value("select paused from jobs_internal.switch") is True


def test_a_superuser_that_was_admitted_without_being_a_runner_is_found(
    database: Database, runner: str
) -> None:
    database.run("select jobs.admit_role('postgres')")
    found = [
        finding
        for finding in run_checks(database.dsn())
        if "admitted by postgres" in finding.detail
    ]
    assert [finding.check for finding in found] == ["runners"]
    type_remedy(database, found[0])
    assert not [
        finding
        for finding in run_checks(database.dsn())
        if "admitted by postgres" in finding.detail
    ]


def test_a_supervisor_with_too_much_is_found(
    database: Database, runner: str, new_role: Callable[[str], str]
) -> None:
    role = new_role("login superuser createrole")
    database.run(f"grant jobs_supervisor to {role}")
    found = [
        one
        for one in run_checks(database.dsn())
        if one.check == "supervisor roles" and one.status != "ok"
    ]
    assert [one.detail.partition(",")[0] for one in found] == [f"{role} has SUPERUSER"]
    mend(database, found)
    assert [
        one.status for one in run_checks(database.dsn()) if one.check == "supervisor roles"
    ] == ["ok"]


@pytest.mark.parametrize(
    "power", ["superuser", "createrole", "replication", "bypassrls", "pg_write_server_files"]
)
@pytest.mark.parametrize("check", ["supervisor roles", "runners"])
def test_power_by_membership_is_found(
    database: Database, runner: str, new_role: Callable[[str], str], check: str, power: str
) -> None:
    """Not directly, and through SET ROLE alone."""
    boss, between, role = new_role("nologin"), new_role("nologin"), new_role("login")
    database.run(
        f"grant {power} to {boss}" if power.startswith("pg_") else f"alter role {boss} {power}"
    )
    database.run(f"grant {boss} to {between} with inherit false, set true")
    database.run(f"grant {between} to {role} with inherit false, set true")
    database.run(
        f"grant {'jobs_supervisor' if check == 'supervisor roles' else 'jobs_runner'} to {role}"
    )
    has = power if power.startswith("pg_") else f"{power.upper()} by membership in {boss}"

    def found() -> list[Finding]:
        return [
            one
            for one in run_checks(database.dsn())
            if one.check == check and f"{role}" in one.detail
        ]

    assert [one.status for one in found()] == ["warning"]
    assert f"it has {has}" in found()[0].detail or f"{role} has {has}, which" in found()[0].detail
    type_remedy(database, found()[0])
    assert all(one.status == "ok" for one in found())


def test_files_of_another_version_are_named(database: Database, runner: str, tree: Path) -> None:
    add(tree / "engine" / "more.sql", "-- nothing")
    found = [finding for finding in run_checks(database.dsn(), tree) if finding.status == "warning"]
    assert "functions and views" in [finding.check for finding in found]
    (tree / "migrations" / f"{read_source().version + 1:04}_next.sql").write_text(
        "-- Adds nothing.\nselect 1;\n"
    )
    assert "schema version" in [finding.check for finding in wrong(database, tree)]


def test_too_few_worker_slots_are_computed(database: Database, runner: str) -> None:
    database.run(
        "update jobs_internal.setting set value = '1000' where name = 'sessions_per_owner'"
    )
    found = {finding.check: finding for finding in run_checks(database.dsn())}["worker slots"]
    assert found.status == "warning"
    assert "2 x " in found.detail
    assert re.match(r"alter system set max_worker_processes = \d{4}", found.remedy or "")
    database.run(
        "update jobs_internal.setting set value = '1000' where name = 'worker_slot_reserve'"
    )
    assert "worker slots" in [finding.check for finding in wrong(database)]


def test_an_ordinary_role_is_told_what_it_cannot_see(database: Database, runner: str) -> None:
    result = database.cli("check", role="app")
    assert 'could not look as role "app"' in result.output


def test_sql_prints_the_lines_that_mend(database: Database, runner: str) -> None:
    database.run("grant select on jobs_internal.job to app")
    result = database.cli("check", "--sql")
    assert result.exit_code == 1
    assert "\nrevoke select on table jobs_internal.job from app;" in f"\n{result.output}"


def test_a_table_without_replica_identity(database: Database, runner: str) -> None:
    """It stops what we change once a publication holds it: found before, critical then,
    mended by the line.
    """
    database.run("alter table pgmq.meta replica identity default")

    def found() -> list[str]:
        return [one.status for one in run_checks(database.dsn()) if one.check == "replica identity"]

    assert found() == ["warning"]
    database.run("create publication everything for all tables")
    assert found() == ["critical"]
    mend(database, [one for one in run_checks(database.dsn()) if one.check == "replica identity"])
    assert found() == ["ok"]
