"""What `pyworker check` looks at: the server, the schema, the rights and the ways in. It changes
nothing.
"""

from pyworker.check.finding import Finding
from pyworker.check.run import repair_script, run_checks

__all__ = ["Finding", "repair_script", "run_checks"]
