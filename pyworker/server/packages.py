"""What the private server is made of: the one list of Debian packages and of programs, which
docker/ follows too.
"""

import re
from collections.abc import Iterable

#: The package that decides the major version: the newest NN the suite has it for.
CORE_PACKAGE = "postgresql-{major}-pg-background"
#: Taken along where the suite has them.
OPTIONAL_PACKAGES = ("postgresql-{major}-pgmq",)

_CORE_PATTERN = re.compile(r"^postgresql-(\d+)-pg-background$")


def newest_major(names: Iterable[str]) -> int | None:
    """Find the newest PostgreSQL major version among package names that has pg_background; None:
    none has.
    """
    majors = [int(match[1]) for name in names if (match := _CORE_PATTERN.match(name))]
    return max(majors, default=None)


def wanted(major: int, names: Iterable[str]) -> tuple[str, ...]:
    """Name the packages to install for one major version: the core one and those optional ones that
    exist.
    """
    there = set(names)
    optional = (template.format(major=major) for template in OPTIONAL_PACKAGES)
    return (CORE_PACKAGE.format(major=major), *(name for name in optional if name in there))
