"""Jobs that run inside PostgreSQL."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pyworker")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
