"""The databases of this tier hold what stage.sql makes."""

from collections.abc import Iterator

import pytest
from stage import staged
from support import Server


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier."""
    with staged(server, template, "owners") as name:
        yield name
