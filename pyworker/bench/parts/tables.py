"""Whether the live tables stay small while many jobs go through, with nobody who cares for them by hand."""

from collections.abc import Iterator

from pyworker.bench.drain import enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.sizes import live_bytes
from pyworker.bench.supervised import supervisor, wait_done


@part("tables", "size of the live tables after many jobs, against their steady size", quick=False)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Give a supervisor the jobs in rounds. Steady is the size after the first of them."""
    place, form = bench.place, bench.form
    teach(place)
    place.empty()
    jobs = form.table_jobs // form.rounds
    sizes: list[float] = []
    with supervisor(place):
        for number in range(1, form.rounds + 1):
            wait_done(place, enqueue(place, jobs), 600)
            sizes.append(live_bytes(place) / 1e6)
            bench.say(f"{number * jobs:,} jobs went through; live tables: {sizes[-1]:,.1f} MB")
    yield Figure(
        text=f"live tables after {form.table_jobs:,} jobs", unit="MB", values=tuple(sizes), whole=sizes[-1],
        note=f"after the first {jobs:,}: {sizes[0]:,.1f} MB",
    )  # fmt: skip
    yield Figure(
        text="the same, as a ratio", unit="ratio", values=(sizes[-1] / sizes[0],), goals=("live_tables",),
        note=f"at most {max(sizes) / sizes[0]:.2f} on the way",
    )  # fmt: skip
