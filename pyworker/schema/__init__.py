"""The schema: install, upgrade, uninstall and check it.

The one part of pyworker that knows the tables of `jobs_internal`, because it makes and removes them; everything else
calls functions only.
"""

from pyworker.schema.apply import Applied, apply_schema
from pyworker.schema.doctor import Finding, examine, mending_script
from pyworker.schema.files import Source, read_source
from pyworker.schema.script import install_script
from pyworker.schema.uninstall import Removal, Removed, drop_schema, look, uninstall_script

__all__ = [
    "Applied",
    "Finding",
    "Removal",
    "Removed",
    "Source",
    "apply_schema",
    "drop_schema",
    "examine",
    "install_script",
    "look",
    "mending_script",
    "read_source",
    "uninstall_script",
]
