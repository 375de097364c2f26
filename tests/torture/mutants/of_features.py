"""Known bugs of long operations, schedules, dependencies, batches and keys."""

from tests.torture.mutants.mutant import Mutant

__all__ = ["OF_FEATURES"]

OF_FEATURES = (
    Mutant(
        name="done_when_not_asked",
        summary="a statement whose watcher died runs again, though its post-condition is true",
        scenario="watchers_ended",
        seconds=12,
        caught_by=frozenset({"I2"}),
    ),
    Mutant(
        name="leftover_kept",
        summary=(
            "what an interrupted build of an index left is not dropped before the next attempt"
        ),
        scenario="children_ended",
        seconds=14,
        caught_by=frozenset({"I8", "I10"}),
    ),
    Mutant(
        name="nothing_cleared",
        summary="what an operation that was cut off left invalid is never dropped",
        scenario="operations_interrupted",
        seconds=30,
        caught_by=frozenset({"operation", "drain"}),
    ),
    Mutant(
        name="always_done",
        summary="the post-condition of a statement is always true",
        scenario="operations_interrupted",
        seconds=30,
        caught_by=frozenset({"operation"}),
    ),
    Mutant(
        name="fired_twice",
        summary="an occurrence of a schedule is enqueued twice",
        scenario="schedules_interrupted",
        seconds=20,
        caught_by=frozenset({"schedule"}),
    ),
    Mutant(
        name="overlap_ignored",
        summary=(
            "the job of an occurrence starts while the one before is not finished, whatever"
            " overlap says"
        ),
        scenario="schedules_interrupted",
        seconds=20,
        caught_by=frozenset({"schedule"}),
    ),
    Mutant(
        name="stretch_forgotten",
        summary="what a schedule missed while none fired it is not recorded",
        scenario="schedules_interrupted",
        seconds=20,
        caught_by=frozenset({"schedule"}),
    ),
    Mutant(
        name="parents_not_waited_for",
        summary="a job that waits for others does not wait for those that have not ended",
        scenario="calm",
        caught_by=frozenset({"I16"}),
    ),
    Mutant(
        name="ends_not_noted",
        summary="the end of a job is told to none of those that wait for it",
        scenario="calm",
        caught_by=frozenset({"I1", "drain"}),
    ),
    Mutant(
        name="batches_call_twice",
        summary="a batch enqueues its callbacks twice",
        scenario="calm",
        caught_by=frozenset({"I16"}),
    ),
    Mutant(
        name="too_many_of_a_key",
        summary="thirty jobs of a key run at once",
        scenario="calm",
        caught_by=frozenset({"I16"}),
    ),
    Mutant(
        name="places_not_given_back",
        summary="a job that ends keeps its place in its key",
        scenario="calm",
        caught_by=frozenset({"I1", "drain"}),
    ),
)
