"""The schema: install, upgrade and uninstall it.

The one part of pyworker that knows the tables of `jobs_internal`, because it makes and removes
them; everything else calls functions only.
"""

from pyworker.schema.apply import Applied, apply_schema
from pyworker.schema.files import Source, read_source
from pyworker.schema.script import install_script
from pyworker.schema.uninstall import Removal, Removed, drop_schema, look, uninstall_script

__all__ = [
    "Applied",
    "Removal",
    "Removed",
    "Source",
    "apply_schema",
    "drop_schema",
    "install_script",
    "look",
    "read_source",
    "uninstall_script",
]
