"""The bugs that are known: what each is, the scenario that shows it, and the invariants that must
complain.
"""

from tests.torture.mutants.mutant import Mutant
from tests.torture.mutants.of_features import OF_FEATURES

__all__ = ["MUTANTS", "Mutant"]


MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            name="no_fence",
            summary="a session that was taken for dead commits its job all the same",
            scenario="calm",
            caught_by=frozenset({"I2"}),
        ),
        Mutant(
            name="rescue_by_time",
            summary="a session that works for long is taken for dead",
            scenario="calm",
            caught_by=frozenset({"I10", "I12"}),
        ),
        Mutant(
            name="claim_inside_the_effect",
            summary=(
                "the claim is committed with the chunk, not before it: who crashes the server has"
                " claimed nothing"
            ),
            scenario="poison",
            seconds=10,
            # its poison comes in a chunk, so far in front that a slow machine reaches it in the
            # first one
            seed=119,
            caught_by=frozenset({"poison", "drain", "I1"}),
        ),
        Mutant(
            name="start_not_committed",
            summary="the start of a lone job is committed with its end:"
            " no session counts the job that crashes the server",
            scenario="poison",
            seconds=10,
            seed=1,  # its poison comes alone
            caught_by=frozenset({"poison", "drain", "I1"}),
        ),
        Mutant(
            name="forgotten_detach",
            summary="the launcher keeps the handle of each session that it has launched",
            scenario="calm",
            seconds=16,
            caught_by=frozenset({"I7"}),
        ),
        Mutant(
            name="cancel_without_reason",
            summary="an interrupted job counts as cancelled, whether anybody asked for that or not",
            scenario="sessions_ended",
            caught_by=frozenset({"I10", "I15"}),
        ),
        Mutant(
            name="believes_has_error",
            summary="a child session without an error has succeeded, though FATAL ended it",
            scenario="calm",
            caught_by=frozenset({"I4"}),
        ),
        Mutant(
            name="no_vacuum",
            summary="the upkeep does not vacuum the hot tables",
            scenario="bloat",
            seconds=20,
            caught_by=frozenset({"I9"}),
        ),
        Mutant(
            name="charged_for_a_shutdown",
            summary="a job that was running when the server stopped has lost an attempt",
            scenario="restart_immediate",
            caught_by=frozenset({"I10"}),
        ),
        Mutant(
            name="unlogged_jobs",
            summary="the table of live jobs is unlogged: empty after a crash",
            scenario="restart_immediate",
            caught_by=frozenset({"I1"}),
        ),
        Mutant(
            name="unlogged_messages",
            summary=(
                "the queues of pgmq are unlogged, and no supervisor looks for what they have lost"
            ),
            scenario="restart_immediate",
            caught_by=frozenset({"drain", "I1"}),
        ),
        Mutant(
            name="slot_not_given_back",
            summary="a session that ends keeps its place in the queue",
            scenario="calm",
            caught_by=frozenset({"I7", "drain", "I1"}),
        ),
        Mutant(
            name="message_not_deleted",
            summary="the messages of a chunk stay in the queue",
            scenario="calm",
            caught_by=frozenset({"I7"}),
        ),
        Mutant(
            name="failure_is_success",
            summary="a job that raised an error has succeeded",
            scenario="calm",
            caught_by=frozenset({"I2"}),
        ),
        Mutant(
            name="second_copy",
            summary="an orphaned child session is not waited for",
            scenario="watchers_ended",
            seconds=12,
            caught_by=frozenset({"I2", "I6"}),
        ),
        Mutant(
            name="no_limit",
            summary="a queue runs as many jobs at once as there are sessions",
            scenario="calm",
            caught_by=frozenset({"I14"}),
        ),
        Mutant(
            name="never_retried",
            summary="a job that failed is not tried again",
            scenario="calm",
            caught_by=frozenset({"I10"}),
        ),
        Mutant(
            name="one_try_less",
            summary="a job has one attempt less than it is allowed",
            scenario="calm",
            caught_by=frozenset({"I10"}),
        ),
        Mutant(
            name="cancel_does_nothing",
            summary=(
                "a cancel of a job that runs says that it is being cancelled, and tells no session"
            ),
            scenario="calm",
            caught_by=frozenset({"I15"}),
        ),
        Mutant(
            name="nobody_is_overdue",
            summary="no supervisor notices that an attempt takes longer than its timeout",
            scenario="calm",
            caught_by=frozenset({"I15"}),
        ),
        Mutant(
            name="run_at_ignored",
            summary=(
                "what is for later is run now, and so is what should wait before its next attempt"
            ),
            scenario="calm",
            caught_by=frozenset({"I14"}),
        ),
        Mutant(
            name="low_first",
            summary="a session takes what has low priority first",
            scenario="calm",
            caught_by=frozenset({"I14"}),
        ),
        Mutant(
            name="keys_are_not_unique",
            summary="a unique_key keeps no second job away",
            scenario="calm",
            caught_by=frozenset({"I14"}),
        ),
        Mutant(
            name="outcomes_deleted",
            summary="outcomes that are no success are deleted before a supervisor has logged them",
            scenario="calm",
            caught_by=frozenset({"I1"}),
        ),
        Mutant(
            name="successes_deleted",
            summary="successes are deleted before a supervisor has logged them",
            scenario="calm",
            caught_by=frozenset({"I1"}),
        ),
        Mutant(
            name="results_swapped",
            summary="the jobs of a chunk get the result of one of them",
            scenario="calm",
            caught_by=frozenset({"I4"}),
        ),
        Mutant(
            name="settings_ignored",
            summary="a job runs without its settings",
            scenario="calm",
            caught_by=frozenset({"I4"}),
        ),
        Mutant(
            name="lines_lost",
            summary="what a failing job said is undone with it",
            scenario="calm",
            caught_by=frozenset({"I4"}),
        ),
        Mutant(
            name="claims_kept",
            summary="what a lost session had claimed waits until the lease is over",
            scenario="sessions_ended",
            # sessions that drain fast seldom have much of a claim left when they are ended
            seconds=40,
            caught_by=frozenset({"I5"}),
        ),
        *OF_FEATURES,
        Mutant(
            name="duty_fails",
            summary=(
                "a supervisor's signals fail with an error of their own while an attempt is overdue"
            ),
            scenario="calm",
            caught_by=frozenset({"I12"}),
        ),
        Mutant(
            name="arguments_in_a_view",
            summary="a view shows the arguments of all jobs to readers",
            scenario="calm",
            caught_by=frozenset({"I13"}),
        ),
        Mutant(
            name="arguments_in_the_log",
            summary="the arguments of each job go to the server's log",
            scenario="calm",
            caught_by=frozenset({"I13"}),
        ),
    )
}
