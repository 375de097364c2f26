"""The same SQL by psql alone."""

import re
from collections.abc import Callable

from click.testing import CliRunner
from pgmq.install import get_embedded_install_sql

from pyworker.cli import main
from pyworker.schema import apply_schema, read_source
from tests.schema.conftest import SQL, Database


def test_the_table_of_contents_names_each_file_once() -> None:
    script = (SQL / "install.sql").read_text()
    included = re.findall(r"^\\ir (\S+)$", script, re.MULTILINE)
    on_disk = {
        path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql") if path.parent != SQL
    }
    assert set(included) == on_disk
    assert len(included) == len(on_disk)
    assert f"set local pyworker.schema_version = '{read_source(SQL).version}';" in script


def test_what_sql_prints_is_what_install_does(new_database: Callable[[], Database]) -> None:
    printed = CliRunner().invoke(main, ["install", "--sql"])
    assert printed.exit_code == 0
    by_psql, by_install = new_database(), new_database()
    for _ in range(2):
        done = by_psql.psql("-f", "-", text=printed.output)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    apply_schema(by_install.dsn(), "install")
    assert by_psql.dump() == by_install.dump()
    recorded = "select * from jobs_internal.schema_object order by 1, 2"
    assert by_psql.run(recorded) == by_install.run(recorded)


def test_psql_alone_installs_from_the_files(new_database: Callable[[], Database]) -> None:
    by_psql, by_install = new_database(), new_database()
    refused = by_psql.psql("-f", SQL / "install.sql")
    assert refused.returncode == 3
    assert "pgmq is not there" in refused.stderr
    assert "sql/README.md" in refused.stderr
    brought = by_psql.psql("-1", text=get_embedded_install_sql())
    assert brought.returncode == 0, brought.stderr
    for script in ("install.sql", "install.sql", "upgrade.sql"):
        done = by_psql.psql("-f", SQL / script)
        assert done.returncode == 0, done.stderr
    apply_schema(by_install.dsn(), "install")
    assert by_psql.dump() == by_install.dump()
    gone = by_psql.psql("-1", "-f", SQL / "uninstall.sql")
    assert gone.returncode == 0, gone.stderr
    assert by_psql.value(
        "select to_regnamespace('jobs') is null and to_regnamespace('jobs_internal') is null"
    )


def test_a_script_that_fails_leaves_nothing(database: Database) -> None:
    printed = CliRunner().invoke(main, ["install", "--sql"]).output
    done = database.psql(
        "-f", "-", text=printed.replace("\ncommit;\n", "\nselect 1 / 0;\ncommit;\n")
    )
    assert done.returncode == 3
    assert (
        database.value(
            "select count(*) from pg_namespace where nspname in ('jobs', 'jobs_internal', 'pgmq')"
        )
        == 0
    )
