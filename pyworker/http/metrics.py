"""/metrics: the rows of jobs.metrics and jobs.health as Prometheus and OpenMetrics write them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pyworker import __version__

__all__ = ["CATALOGUE", "Described", "render"]

_HEALTH = {"ok": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, kw_only=True)
class Described:
    """One metric: its name without what its type appends, and what it says."""

    name: str
    kind: Literal["counter", "gauge", "info", "summary"]
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        """Name what a query may ask for."""
        ends = {"counter": ("_total",), "info": ("_info",), "summary": ("_count", "_sum")}
        return tuple(f"{self.name}{end}" for end in ends.get(self.kind, ("",)))


def _metric(
    name: str, kind: Literal["counter", "gauge", "info", "summary"], labels: str, meaning: str
) -> Described:
    return Described(
        name=f"pyworker_{name}", kind=kind, labels=tuple(labels.split()), meaning=meaning
    )


#: All that /metrics shows; a row of jobs.metrics that is not here is left out.
CATALOGUE: tuple[Described, ...] = (
    _metric("up", "gauge", "", "1: the database answers; 0: it does not, and no more is shown"),
    _metric("build", "info", "version schema", "Version of the program and of its schema"),
    _metric(
        "last_tick_timestamp_seconds",
        "gauge",
        "",
        "When this supervisor had its last round; an idle one has one each ten seconds",
    ),
    _metric("supervisors", "gauge", "", "Supervisors that are connected"),
    _metric("sessions", "gauge", "state", "Worker sessions: busy with a job, or idle"),
    _metric("health_status", "gauge", "check", "jobs.health: 0 ok, 1 warning, 2 critical"),
    _metric(
        "jobs",
        "gauge",
        "queue state",
        "Jobs that are queued, running, scheduled, or failed and not dismissed",
    ),
    _metric("queue_oldest_seconds", "gauge", "queue", "How long the job that is due longest waits"),
    _metric("queue_paused", "gauge", "queue", "1: its jobs do not start"),
    _metric(
        "slots_used_ratio", "gauge", "queue", "Of the jobs that may run at once, those that do"
    ),
    _metric("attempts", "counter", "queue outcome", "Attempts that succeeded or failed"),
    _metric("attempt_duration_seconds", "summary", "queue", "How long attempts took"),
    _metric(
        "wait_duration_seconds",
        "summary",
        "queue",
        "How long jobs waited in their lane for a session",
    ),
    _metric(
        "task_attempts",
        "counter",
        "task outcome",
        "The same per task: the fifty with the most attempts, and other",
    ),
    _metric("task_duration_seconds", "summary", "task", "How long attempts took, per task"),
    _metric(
        "operation_progress_ratio",
        "gauge",
        "job_kind object",
        "How much of a long operation that runs is done",
    ),
    _metric(
        "operation_eta_timestamp_seconds",
        "gauge",
        "job_kind object",
        "When a long operation that runs ends",
    ),
    _metric(
        "schedule_next_timestamp_seconds",
        "gauge",
        "schedule owner",
        "When a schedule fires next, of the hundred that do so first",
    ),
    _metric("schedule_missed", "counter", "", "Occurrences that nothing fired in time"),
)


class _Rows(Collector):
    """The samples of one answer."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Group the rows by series."""
        self._rows: dict[str, list[tuple[dict[str, str], float]]] = {}
        for row in rows:
            labels = {str(name): str(value) for name, value in row["labels"].items()}
            self._rows.setdefault(row["metric"], []).append((labels, float(row["value"])))

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of the catalogue that have samples, in its order."""
        for one in CATALOGUE:
            metric = Metric(one.name, one.meaning, one.kind)
            found = [
                (sorted(labels.items()), series, value)
                for series in one.series
                for labels, value in self._rows.get(series, ())
            ]
            # count and sum of the same labels stand together: OpenMetrics wants it
            for labels, series, value in sorted(found):
                metric.add_sample(series, dict(labels), value)
            if metric.samples:
                yield metric


def _of_health(checks: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for check in checks:
        yield {
            "metric": "pyworker_health_status",
            "labels": {"check": check["check"]},
            "value": _HEALTH[check["status"]],
        }


def render(
    accept: str,
    *,
    schema: int,
    ticked_at: float | None,
    figures: Iterable[Mapping[str, Any]] | None,
    checks: Iterable[Mapping[str, Any]] = (),
) -> tuple[bytes, str]:
    """Write the answer in the format that the client asks for; gives it with its content type.

    `figures`: rows of jobs.metrics; None: the database does not answer.
    """
    rows: list[Mapping[str, Any]] = [
        {"metric": "pyworker_up", "labels": {}, "value": figures is not None},
        {
            "metric": "pyworker_build_info",
            "labels": {"version": __version__, "schema": schema},
            "value": 1,
        },
        *(figures or ()),
        *_of_health(checks),
    ]
    if ticked_at is not None:
        rows.append(
            {"metric": "pyworker_last_tick_timestamp_seconds", "labels": {}, "value": ticked_at}
        )
    encode, content_type = choose_encoder(accept)
    return encode(_Rows(rows)), content_type
