"""What the commands say where nothing is installed, and to a role to whom nothing is granted."""

from collections.abc import Callable

import pytest

from pyworker.errors import SchemaError
from pyworker.schema import apply_schema
from tests.schema.conftest import Database


def test_status_without_a_schema_says_install(database: Database) -> None:
    done = database.cli("status")
    assert done.exit_code != 0
    assert "pyworker is not installed in this database" in done.output
    assert "pyworker install" in done.output


def test_status_for_a_role_without_rights_names_the_role_to_grant(
    database: Database, new_role: Callable[[str], str]
) -> None:
    apply_schema(database.dsn(), "install")
    done = database.cli("status", role=new_role("login"))
    assert done.exit_code != 0
    assert "grant jobs_reader" in done.output


def test_nobody_is_advised_to_make_a_role_a_member_of_a_superuser(database: Database) -> None:
    """Where pgmq belongs to the superuser who installed it."""
    apply_schema(database.dsn(), "install")
    with pytest.raises(SchemaError) as caught:
        apply_schema(database.dsn("app"), "install")
    assert caught.value.sqlstate == "PW092"
    assert caught.value.hint == "Connect as a superuser: schema pgmq belongs to one."
