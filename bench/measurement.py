"""The register of measurements, and what each of them is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.database import Database, make_database
from bench.figures import Curve, Figure
from bench.size import Size
from pyworker.server import PrivateServer

__all__ = ["MEASUREMENTS", "Bench", "Measurement", "measurement"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The run that a measurement belongs to."""

    server: PrivateServer
    database: Database  #: the database that most measurements share; each finds it empty
    size: Size
    say: Callable[[str], None]

    @contextmanager
    def twin(self, name: str) -> Iterator[Database]:
        """Make a second database for what cannot be undone: measured in turn with the first, it
        makes the ratio.
        """
        with make_database(self.server, name) as database:
            yield database


Measure = Callable[[Bench], Iterator[Figure | Curve]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One subject."""

    name: str
    summary: str
    measure: Measure
    quick: bool  #: at the quick size too


MEASUREMENTS: dict[str, Measurement] = {}


def measurement(name: str, summary: str, *, quick: bool = True) -> Callable[[Measure], Measure]:
    """Register a measurement."""

    def register(measure: Measure) -> Measure:
        MEASUREMENTS[name] = Measurement(name=name, summary=summary, measure=measure, quick=quick)
        return measure

    return register
