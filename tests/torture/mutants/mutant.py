"""What is known of one bug."""

from dataclasses import dataclass

__all__ = ["Mutant"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One bug, and what has to see it."""

    name: str
    summary: str
    scenario: str
    caught_by: frozenset[str]  #: invariants, one of which must complain
    seconds: int = 8
    seed: int = 1
