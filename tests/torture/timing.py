"""Drawing moments."""

import random

__all__ = ["moments"]


def moments(rng: random.Random, seconds: float, apart: tuple[float, float]) -> list[float]:
    """Draw moments that are so far apart, and leave a second at both ends."""
    found, at = [], 1.0
    while at < seconds - 1.0:
        found.append(round(at, 3))
        at += rng.uniform(*apart)
    return found
