"""The register of measurements, and what each of them is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyworker.bench.figures import Curve, Figure
from pyworker.bench.form import Form
from pyworker.bench.place import Place, database
from pyworker.server import PrivateServer

__all__ = ["PARTS", "Bench", "Part", "part"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The run that a part belongs to."""

    server: PrivateServer
    place: Place  #: the database that most parts share; each finds it empty
    form: Form
    say: Callable[[str], None]

    @contextmanager
    def twin(self, name: str) -> Iterator[Place]:
        """Make a second database for what cannot be undone: measured in turn with the first, it makes the ratio."""
        with database(self.server, name) as place:
            yield place


Measure = Callable[[Bench], Iterator[Figure | Curve]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One subject."""

    name: str
    summary: str
    measure: Measure
    quick: bool  #: in the quick form too


PARTS: dict[str, Part] = {}


def part(name: str, summary: str, *, quick: bool = True) -> Callable[[Measure], Measure]:
    """Register a measurement."""

    def register(measure: Measure) -> Measure:
        PARTS[name] = Part(name=name, summary=summary, measure=measure, quick=quick)
        return measure

    return register
