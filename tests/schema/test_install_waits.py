"""An install that another session keeps waiting says so, and by whom."""

from collections.abc import Callable

import psycopg
import pytest

from pyworker.errors import SchemaError
from pyworker.schema import apply_schema
from pyworker.schema.uninstall import drop_schema
from tests.schema.conftest import Database

DOORS: dict[str, Callable[[str], object]] = {
    "install": lambda dsn: apply_schema(dsn, "install"),
    "upgrade": lambda dsn: apply_schema(dsn, "upgrade"),
    "uninstall": drop_schema,
}


@pytest.mark.parametrize("door", DOORS)
def test_the_holder_of_the_lock_is_named(
    installed: Database, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c pyworker.install_wait=100ms")
    with psycopg.connect(installed.dsn()) as holder:
        holder.execute("select pg_advisory_lock(hashtext('pyworker install'))")
        with pytest.raises(SchemaError) as caught:
            DOORS[door](installed.dsn())
        said = str(caught.value)
        assert caught.value.sqlstate == "PW089"
        assert f"process {holder.info.backend_pid} (postgres" in said
        assert "Then retry." in said
