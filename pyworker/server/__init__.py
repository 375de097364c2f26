"""A private PostgreSQL with pg_background: fetched, unpacked, created and run in one directory, for
one's own use.
"""

from pyworker.server.packages import CORE_PACKAGE, OPTIONAL_PACKAGES
from pyworker.server.private import PrivateServer
from pyworker.server.progress import Progress
from pyworker.server.status import ServerStatus

__all__ = ["CORE_PACKAGE", "OPTIONAL_PACKAGES", "PrivateServer", "Progress", "ServerStatus"]
