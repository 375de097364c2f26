"""What the tests of secrets share."""

from .canary import run  # noqa: F401  a fixture
