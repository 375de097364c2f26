"""The three sizes of a run: how much of everything."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "TINY", "Size"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured. Jobs, samples, calls and queues are counts, times are in seconds."""

    name: str
    everything: bool  #: also the measurements that are too long for daily use
    seconds: float  #: no measurement begins later than this
    runs: int
    drain_jobs: int
    update_jobs: int
    alone_jobs: int
    unseen_functions: int
    client_seconds: float
    bulk_jobs: int
    cold_samples: int
    warm_samples: int
    idle_seconds: float
    flood_samples: int
    snapshot_jobs: int
    delayed_jobs: int
    history_rows: tuple[int, ...]  #: kept at each look; the last is the one that counts
    view_calls: int
    side_jobs: int  #: of the drains with and without delayed jobs or history
    backlog: int
    small_backlog: int
    queues: int
    queue_jobs: int
    writer_seconds: float
    open_samples: int
    memory_jobs: int
    disk_jobs: int
    table_jobs: int
    duty_calls: int
    peer_jobs: int
    peer_calls: int
    peer_samples: int
    rounds: int  #: of the measurements that put many jobs through, one after another


FULL = Size(
    name="full",
    everything=True,
    seconds=float("inf"),
    runs=3,
    drain_jobs=100_000,
    update_jobs=100_000,
    alone_jobs=4_000,
    unseen_functions=2_000,
    client_seconds=5,
    bulk_jobs=100_000,
    cold_samples=45,
    warm_samples=300,
    idle_seconds=40,
    flood_samples=200,
    snapshot_jobs=200_000,
    delayed_jobs=1_000_000,
    history_rows=(1_000_000, 3_000_000, 10_000_000),
    view_calls=40,
    side_jobs=50_000,
    backlog=1_000_000,
    small_backlog=10_000,
    queues=1_000,
    queue_jobs=50,
    writer_seconds=10,
    open_samples=200,
    memory_jobs=1_000_000,
    disk_jobs=100_000,
    table_jobs=5_000_000,
    duty_calls=20_000,
    peer_jobs=100_000,
    peer_calls=2_000,
    peer_samples=200,
    rounds=20,
)

#: For daily use, three minutes at most: the main goals.
QUICK = Size(
    name="quick",
    everything=False,
    seconds=150,
    runs=3,
    drain_jobs=20_000,
    update_jobs=10_000,
    alone_jobs=300,
    unseen_functions=200,
    client_seconds=1,
    bulk_jobs=10_000,
    cold_samples=4,
    warm_samples=60,
    idle_seconds=6,
    flood_samples=20,
    snapshot_jobs=24_000,
    delayed_jobs=100_000,
    history_rows=(),
    view_calls=0,
    side_jobs=10_000,
    backlog=0,
    small_backlog=0,
    queues=0,
    queue_jobs=0,
    writer_seconds=2,
    open_samples=60,
    memory_jobs=0,
    disk_jobs=10_000,
    table_jobs=0,
    duty_calls=4_000,
    peer_jobs=5_000,
    peer_calls=500,
    peer_samples=40,
    rounds=0,
)

#: Whether every measurement runs at all; its figures mean nothing.
TINY = Size(
    name="tiny",
    everything=True,
    seconds=float("inf"),
    runs=1,
    drain_jobs=400,
    update_jobs=400,
    alone_jobs=20,
    unseen_functions=10,
    client_seconds=0.3,
    bulk_jobs=400,
    cold_samples=1,
    warm_samples=4,
    idle_seconds=0.5,
    flood_samples=3,
    snapshot_jobs=400,
    delayed_jobs=400,
    history_rows=(500, 2_000),
    view_calls=2,
    side_jobs=400,
    backlog=1_000,
    small_backlog=200,
    queues=4,
    queue_jobs=50,
    writer_seconds=0.3,
    open_samples=5,
    memory_jobs=1_000,
    disk_jobs=400,
    table_jobs=1_000,
    duty_calls=100,
    peer_jobs=400,
    peer_calls=30,
    peer_samples=4,
    rounds=3,
)
