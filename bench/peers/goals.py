"""What pyworker as shipped must come to beside the others: ratios of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.figures import Figure
from bench.goals import GOALS, Goal
from bench.peers.systems import SYSTEMS

__all__ = ["PEER_GOALS", "Taken", "compared"]

Taken = Mapping[str, Mapping[str, Sequence[float]]]  #: by system, by column: one value per run
_HANDLERS = tuple(one.name for one in SYSTEMS.values() if one.runs and not one.ours)


def _peers(*, rows: bool = False, history: bool = False) -> tuple[str, ...]:
    return tuple(
        name
        for name in _HANDLERS
        if (SYSTEMS[name].keeps_rows or not rows) and (SYSTEMS[name].keeps_history or not history)
    )


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """One goal: a column of ours against the best of some others."""

    goal: str
    sign: Literal[">=", "<="]
    limit: float
    column: str
    others: tuple[str, ...]
    text: str
    ours: str = "shipped"


#: Of rates the highest is the best; of all else the lowest.
_RATES = ("drain", "one", "many")
_COMPARISONS = (
    _Comparison(
        goal="peers_drain", sign=">=", limit=1.5, column="drain", others=_HANDLERS,
        text="drain, against the fastest peer that runs a handler",
    ),
    _Comparison(
        goal="peers_processor", sign="<=", limit=1.1, column="processor",
        others=_peers(history=True),
        text="processor time of a drain, per 1,000 jobs, against the best that keeps a history",
    ),
    _Comparison(
        goal="peers_wal", sign="<=", limit=0.7, column="wal", others=("pgboss",),
        text="WAL of enqueue and drain, per 1,000 jobs, full pages apart",
    ),
    _Comparison(
        goal="shipped_drain", sign=">=", limit=0.97, column="drain", others=("start",),
        text="drain as shipped, against jobs.start without a supervisor",
    ),
    _Comparison(
        goal="first_backlog", sign=">=", limit=0.95, column="drain", others=("shipped",),
        ours="first", text="drain of an owner's first jobs, against one that has run some",
    ),
    _Comparison(
        goal="peers_enqueue", sign=">=", limit=1.5, column="one", others=("graphile", "pgboss"),
        text="jobs.enqueue, one to a transaction, one connection",
    ),
    _Comparison(
        goal="pgmq_enqueue", sign=">=", limit=0.95, column="one", others=("pgmq",),
        text="jobs.enqueue against a client that checks nothing and keeps no job",
    ),
    _Comparison(
        goal="peers_enqueue_many", sign=">=", limit=1.2, column="many", others=_peers(rows=True),
        text="jobs.enqueue_many, against the fastest peer that keeps a row of each job",
    ),
    _Comparison(
        goal="pgmq_enqueue_many", sign=">=", limit=0.5, column="many", others=("floor",),
        text="jobs.enqueue_many against pgmq.send_batch",
    ),
    _Comparison(
        goal="peers_warm_p50", sign="<=", limit=1, column="warm_p50", others=_HANDLERS,
        text="from enqueue to start, p50, against the best peer",
    ),
    _Comparison(
        goal="peers_warm_p95", sign="<=", limit=1, column="warm_p95", others=_HANDLERS,
        text="from enqueue to start, p95, against the best peer",
    ),
)  # fmt: skip

#: The goals of the comparison, and two that the other measurements tell.
PEER_GOALS: dict[str, Goal] = {
    one.goal: Goal(name=one.goal, measurement="peers", sign=one.sign, limit=one.limit, unit="ratio")
    for one in _COMPARISONS
} | {
    "cold_p50": GOALS["cold_p50"],
    "writers": Goal(name="writers", measurement="writers", sign=">=", limit=0.55, unit="ratio"),
}


def compared(taken: Taken, units: Mapping[str, str]) -> list[Figure]:
    """Make a figure of each goal: each run's value by the best of the others in the same run."""
    figures = []
    for one in _COMPARISONS:
        others = [name for name in one.others if name in taken]
        if one.ours not in taken or not others:
            continue
        best = max if one.column in _RATES else min
        rivals = tuple(
            best(run) for run in zip(*(taken[name][one.column] for name in others), strict=True)
        )
        figures.append(
            Figure(
                text=one.text,
                unit=units[one.column],
                values=tuple(taken[one.ours][one.column]),
                rivals=rivals,
                rival=" or ".join(SYSTEMS[name].title for name in others),
                goals=(one.goal,),
            )
        )
    return figures
