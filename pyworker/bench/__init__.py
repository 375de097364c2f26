"""Measurements of pyworker on a real server: `pyworker bench`.

Every figure of speed is a ratio to something that PostgreSQL does by itself, measured in the same run,
because a bare time says more of the machine than of the system.
"""

from pyworker.bench.report import render
from pyworker.bench.run import Figures, measure

__all__ = ["Figures", "measure", "render"]
