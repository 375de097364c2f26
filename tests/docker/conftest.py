"""One engine, both images and one stack for all tests of this tier."""

from collections.abc import Iterator

import pytest

from .engine import started
from .images import make_bases
from .stack import Stack, running
from .tools import install_missing, why_not


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack, up; everything is removed at the end."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    install_missing()
    with started() as engine:
        make_bases(engine)
        with running(engine) as stack:
            yield stack
