"""Proof that the proof can fail: bugs that are planted one at a time, and the scenario that shows each of them.

A bug is an edit of a function in the database of the scenario: a piece of its text, which must be there exactly once,
is replaced by another. Nothing outside that database is touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import Connection
from rich.table import Table

from pyworker.errors import WorkError
from tests.torture.report import Finding
from tests.torture.run import Share, run_scenario
from tests.torture.server import torture_server
from tests.torture.world import World

__all__ = ["MUTANTS", "Edit", "Mutant", "Verdict", "hunt", "plant", "render", "verdict_line"]

_STANDSTILL, _LONGEST = 12.0, 45.0  # seconds: that nothing comes to an end is what some of them are about


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of one function or procedure."""

    function: str  #: as regprocedure reads it
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One bug, and what has to see it."""

    name: str
    summary: str
    scenario: str
    caught_by: frozenset[str]  #: invariants, one of which must complain
    edits: tuple[Edit, ...] = ()
    statements: tuple[str, ...] = ()
    seconds: int = 8
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one run. A control run has no mutant and must be clean."""

    scenario: str
    mutant: Mutant | None
    finding: Finding

    @property
    def seen(self) -> list[str]:
        """Name the invariants that complained."""
        return sorted({violation.invariant for violation in self.finding.violations})

    @property
    def right(self) -> bool:
        """Tell whether the checker did what it is there for."""
        return not self.seen if self.mutant is None else bool(self.mutant.caught_by & set(self.seen))


_RESCUE = "jobs_internal.rescue(oid)"
_RESCUE_ONE = "jobs_internal.rescue_one(jobs_internal.session, timestamptz)"
_SETTLE = "jobs_internal.settle(integer,text,integer,jobs_internal.ending)"
_CLAIM = "jobs_internal.claim(bigint,bigint,jobs_internal.lesson[],boolean,integer)"
_STORE_JOB = (
    "jobs_internal.store_job(integer,jsonb,text,timestamptz,interval,integer,text,text,jsonb,jsonb,jsonb,bigint)"
)
_WORK = "jobs_internal.work(integer,text)"
_RUN_ONE = "jobs_internal.run_one(jobs_internal.work_item,bigint,text,bigint,jsonb,boolean)"
_RUN_TOP_LEVEL = "jobs_internal.run_top_level(bigint,jobs_internal.work_item,text,bigint,jsonb,jobs_internal.ending)"
_RUN_CHILD = "jobs_internal.run_child(bigint,jobs_internal.work_item,text,bigint,jsonb,jobs_internal.ending)"
_FINISH_CHUNK = "jobs_internal.finish_chunk(bigint,integer,bigint[],jobs_internal.ending[])"
_FINISH_ALONE = "jobs_internal.finish_alone(bigint,integer,jobs_internal.ending)"

#: A session that runs one job for longer than this is taken for dead.
_BY_TIME = (
    Edit(
        function=_RESCUE,
        old="where not jobs_internal.alive(s.pid, s.backend_start)",
        new="where s.job_id in (select j.id from jobs_internal.job as j"
        " where j.started_at < pg_catalog.clock_timestamp() - interval '0.4 s')",
    ),
    Edit(
        function=_RESCUE,
        old="continue when jobs_internal.alive(v_session.pid, v_session.backend_start);",
        new="",
    ),
)

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            name="no_fence",
            summary="a session that was taken for dead commits its job all the same",
            scenario="calm",
            caught_by=frozenset({"I2"}),
            edits=(
                *_BY_TIME,
                Edit(
                    function=_RESCUE_ONE,
                    old="delete from jobs_internal.session where id = p_session.id;",
                    new="update jobs_internal.session set job_id = null, attempt = null where id = p_session.id;",
                ),
                Edit(
                    function="jobs_internal.fence(bigint,bigint,integer)",
                    old="if not exists (",
                    new="if false and not exists (",
                ),
                Edit(
                    function=_FINISH_ALONE,
                    old="if v_other is null then",
                    new="if v_other is null then\n    return;\n  end if;\n  if v_other is null then",
                ),
            ),
        ),
        Mutant(
            name="rescue_by_time",
            summary="a session that works for long is taken for dead",
            scenario="calm",
            caught_by=frozenset({"I10", "I12"}),
            edits=_BY_TIME,
        ),
        Mutant(
            name="claim_inside_the_effect",
            summary="the claim is committed with the chunk, not before it: who crashes the server has claimed nothing",
            scenario="poison",
            seconds=10,
            seed=119,  # its poison comes in a chunk, so far in front that a slow machine reaches it in the first one
            caught_by=frozenset({"poison", "drain", "I1"}),
            edits=(
                Edit(
                    function=_WORK,
                    old="if not v_open then\n      commit;\n    end if;",
                    new="",
                ),
            ),
        ),
        Mutant(
            name="start_not_committed",
            summary="the start of a lone job is committed with its end: nobody counts the job that crashes the server",
            scenario="poison",
            seconds=10,
            seed=1,  # its poison comes alone
            caught_by=frozenset({"poison", "drain", "I1"}),
            edits=(
                Edit(
                    function=_WORK,
                    old="v_item := jobs_internal.begin_alone(v_session, v_claim.lane_id, v_item);\n        commit;",
                    new="v_item := jobs_internal.begin_alone(v_session, v_claim.lane_id, v_item);",
                ),
            ),
        ),
        Mutant(
            name="forgotten_detach",
            summary="the launcher keeps the handle of each session that it has launched",
            scenario="calm",
            seconds=16,
            caught_by=frozenset({"I7"}),
            edits=(
                Edit(
                    function="jobs_internal.launch(integer,interval)",
                    old="execute v_detach using v_handle.pid, v_handle.cookie;",
                    new="",
                ),
            ),
        ),
        Mutant(
            name="cancel_without_reason",
            summary="an interrupted job counts as cancelled, whether anybody asked for that or not",
            scenario="sessions_ended",
            caught_by=frozenset({"I10", "I15"}),
            edits=(
                Edit(
                    function="jobs_internal.cut_off(jobs_internal.work_item,timestamptz,text,text)",
                    old="coalesce(jobs_internal.why_stopped(p_item.job_id, p_item.attempt), 'interrupted')",
                    new="'cancelled'",
                ),
            ),
        ),
        Mutant(
            name="believes_has_error",
            summary="a child session without an error has succeeded, though FATAL ended it",
            scenario="calm",
            caught_by=frozenset({"I4"}),
            edits=(Edit(function=_RUN_CHILD, old="and coalesce(v_outcome.command_tag, '') <> ''", new=""),),
        ),
        Mutant(
            name="no_vacuum",
            summary="the upkeep does not vacuum the hot tables",
            scenario="bloat",
            seconds=20,
            caught_by=frozenset({"I9"}),
            edits=(
                Edit(
                    function="jobs_internal.do_part(text)",
                    old="v_result := pg_catalog.to_jsonb(jobs_internal.launch_vacuum());",
                    new="null;",
                ),
            ),
        ),
        Mutant(
            name="charged_for_a_shutdown",
            summary="a job that was running when the server stopped has lost an attempt",
            scenario="restart_immediate",
            caught_by=frozenset({"I10"}),
            edits=(
                Edit(
                    function=_RESCUE_ONE,
                    old="case when p_session.fate = 'innocent' or v_revoked then 'interrupted' else 'lost' end;",
                    new="'lost';",
                ),
            ),
        ),
        Mutant(
            name="unlogged_jobs",
            summary="the table of live jobs is unlogged: empty after a crash",
            scenario="restart_immediate",
            caught_by=frozenset({"I1"}),
            statements=("alter table jobs_internal.job set unlogged",),
        ),
        Mutant(
            name="unlogged_messages",
            summary="the queues of pgmq are unlogged, and no supervisor looks for what they have lost",
            scenario="restart_immediate",
            caught_by=frozenset({"drain", "I1"}),
            edits=(
                Edit(
                    function="jobs_internal.make_lane_queue(integer)",
                    old="perform pgmq.create('pyworker_' || p_lane);",
                    new="perform pgmq.create_unlogged('pyworker_' || p_lane);",
                ),
                Edit(
                    function="jobs_internal.supervisor_open(text,text,integer,text)",
                    old="perform jobs_internal.mend_lanes();",
                    new="null;",
                ),
            ),
        ),
        Mutant(
            name="slot_not_given_back",
            summary="a session that ends keeps its place in the queue",
            scenario="calm",
            caught_by=frozenset({"I7", "drain", "I1"}),
            edits=(
                Edit(
                    function=_RESCUE,
                    old="perform jobs_internal.sweep_slots();",
                    new="",
                ),
                Edit(
                    function="jobs_internal.do_part(text)",
                    old="perform jobs_internal.sweep_slots();",
                    new="null;",
                ),
                Edit(
                    function="jobs_internal.close_session(bigint,jobs_internal.lesson[])",
                    old="perform jobs_internal.free_slots(p_session);",
                    new="",
                ),
                Edit(
                    function=_CLAIM,
                    old="perform jobs_internal.free_slots(p_session);",
                    new="",
                ),
            ),
        ),
        Mutant(
            name="message_not_deleted",
            summary="the messages of a chunk stay in the queue",
            scenario="calm",
            caught_by=frozenset({"I7"}),
            edits=(
                Edit(
                    function=_FINISH_CHUNK,
                    old="execute pg_catalog.format('delete from pgmq.%I where msg_id = any ($1)',"
                    " 'q_pyworker_' || p_lane) using p_msg_ids;",
                    new="",
                ),
            ),
        ),
        Mutant(
            name="failure_is_success",
            summary="a job that raised an error has succeeded",
            scenario="calm",
            caught_by=frozenset({"I2"}),
            edits=(
                Edit(function=_RUN_ONE, old="v_ending.outcome := 'failed';", new="v_ending.outcome := 'succeeded';"),
            ),
        ),
        Mutant(
            name="second_copy",
            summary="an orphaned child session is not waited for",
            scenario="watchers_ended",
            seconds=12,
            caught_by=frozenset({"I2", "I6"}),
            edits=(
                Edit(
                    function=_RESCUE_ONE,
                    old="if v_job.child_pid is not null and jobs_internal.alive(",
                    new="if false and jobs_internal.alive(",
                ),
            ),
        ),
        Mutant(
            name="no_limit",
            summary="a queue runs as many jobs at once as there are sessions",
            scenario="calm",
            caught_by=frozenset({"I14"}),
            edits=(
                Edit(
                    function="jobs_internal.take_slot(bigint,integer,integer)",
                    old="if p_concurrency is null then",
                    new="if true then",
                ),
            ),
        ),
        Mutant(
            name="never_retried",
            summary="a job that failed is not tried again",
            scenario="calm",
            caught_by=frozenset({"I10"}),
            edits=(
                Edit(
                    function=_SETTLE,
                    old="v_retry := v_outcome in ('failed', 'timed_out', 'lost') and",
                    new="v_retry := false and",
                ),
            ),
        ),
        Mutant(
            name="one_try_less",
            summary="a job has one attempt less than it is allowed",
            scenario="calm",
            caught_by=frozenset({"I10"}),
            edits=(
                Edit(
                    function=_SETTLE,
                    old="p_ending.attempt < v_job.max_attempts",
                    new="p_ending.attempt < v_job.max_attempts - 1",
                ),
            ),
        ),
        Mutant(
            name="cancel_does_nothing",
            summary="a cancel of a job that runs says that it is being cancelled, and tells nobody",
            scenario="calm",
            caught_by=frozenset({"I15"}),
            edits=(Edit(function="jobs.cancel(bigint)", old="perform jobs_internal.launch_stop(", new="perform ("),),
        ),
        Mutant(
            name="nobody_is_overdue",
            summary="no supervisor notices that an attempt takes longer than its timeout",
            scenario="calm",
            caught_by=frozenset({"I15"}),
            edits=(
                Edit(
                    function="jobs_internal.note_overdue()",
                    old="where j.timeout is not null and l.started_at",
                    new="where false and l.started_at",
                ),
            ),
        ),
        Mutant(
            name="run_at_ignored",
            summary="what is for later is run now, and so is what should wait before its next attempt",
            scenario="calm",
            caught_by=frozenset({"I14"}),
            edits=(
                Edit(
                    function="jobs_internal.move_due(oid,integer,integer[],integer)",
                    old="where f.due_at <= pg_catalog.clock_timestamp() and (p_owner is null or f.owner = p_owner)",
                    new="where (p_owner is null or f.owner = p_owner)",
                ),
                Edit(
                    function="jobs_internal.move_due_of(oid,integer,integer[],integer,boolean)",
                    old="where j.due_at <= pg_catalog.clock_timestamp() and j.owner = p_owner",
                    new="where j.due_at is not null and j.owner = p_owner",
                ),
            ),
        ),
        Mutant(
            name="low_first",
            summary="a session takes what has low priority first",
            scenario="calm",
            caught_by=frozenset({"I14"}),
            edits=(
                Edit(
                    function=_CLAIM,
                    old="order by l.priority, l.served_at, l.id",
                    new="order by l.priority desc, l.served_at, l.id",
                ),
            ),
        ),
        Mutant(
            name="keys_are_not_unique",
            summary="a unique_key keeps no second job away",
            scenario="calm",
            caught_by=frozenset({"I14"}),
            statements=("drop index jobs_internal.job_unique_key",),
            edits=(
                Edit(
                    function=_STORE_JOB,
                    old="if found and not jobs_internal.gives_up_key(v_existing) then",
                    new="if false then",
                ),
            ),
        ),
        Mutant(
            name="outcomes_deleted",
            summary="outcomes that are no success are deleted before a supervisor has logged them",
            scenario="calm",
            caught_by=frozenset({"I1"}),
            edits=(
                Edit(
                    function="jobs_internal.take_outcomes(integer)",
                    old="pg_catalog.jsonb_build_object('at', f.at)",
                    new="pg_catalog.jsonb_build_object('at', f.at, 'others', '[]'::jsonb)",
                ),
            ),
        ),
        Mutant(
            name="successes_deleted",
            summary="successes are deleted before a supervisor has logged them",
            scenario="calm",
            caught_by=frozenset({"I1"}),
            edits=(
                Edit(
                    function="jobs_internal.take_outcomes(integer)",
                    old="pg_catalog.jsonb_build_object('at', f.at)",
                    new="pg_catalog.jsonb_build_object('at', f.at, 'succeeded', '[]'::jsonb)",
                ),
            ),
        ),
        Mutant(
            name="results_swapped",
            summary="the jobs of a chunk get the result of one of them",
            scenario="calm",
            caught_by=frozenset({"I4"}),
            edits=(
                Edit(
                    function=_FINISH_CHUNK,
                    old="j.options, e.result\n",
                    new="j.options, (select o.result from pg_catalog.unnest(p_endings) as o\n"
                    "        where o.outcome = 'succeeded' order by o.job_id limit 1) as result\n",
                ),
            ),
        ),
        Mutant(
            name="settings_ignored",
            summary="a job runs without its settings",
            scenario="calm",
            caught_by=frozenset({"I4"}),
            edits=(Edit(function=_RUN_ONE, old="if p_item.settings is not null then", new="if false then"),),
        ),
        Mutant(
            name="lines_lost",
            summary="what a failing job said is undone with it",
            scenario="calm",
            caught_by=frozenset({"I4"}),
            edits=(
                Edit(
                    function=_RUN_ONE,
                    old="if v_ending.outcome operator(pg_catalog.<>) 'succeeded' or",
                    new="if v_ending.outcome operator(pg_catalog.=) 'succeeded' and",
                ),
            ),
        ),
        Mutant(
            name="claims_kept",
            summary="what a lost session had claimed waits until the lease is over",
            scenario="sessions_ended",
            seconds=40,  # sessions that drain fast seldom have much of a claim left when they are ended
            caught_by=frozenset({"I5"}),
            edits=(
                Edit(
                    function=_RESCUE_ONE,
                    old="v_left := jobs_internal.hand_on(p_session, p_session.fate is null);",
                    new="null;",
                ),
            ),
        ),
        Mutant(
            name="done_when_not_asked",
            summary="a statement whose watcher died runs again, though its post-condition is true",
            scenario="watchers_ended",
            seconds=12,
            caught_by=frozenset({"I2"}),
            edits=(Edit(function=_RESCUE_ONE, old="verify = true,", new="verify = false,"),),
        ),
        Mutant(
            name="leftover_kept",
            summary="what an interrupted build of an index left is not dropped before the next attempt",
            scenario="children_ended",
            seconds=14,
            caught_by=frozenset({"I8", "I10"}),
            edits=(Edit(function=_RUN_TOP_LEVEL, old="and (p_item.attempt > 1 or p_item.verify)", new="and false"),),
        ),
        Mutant(
            name="duty_fails",
            summary="a supervisor's signals fail with an error of their own while an attempt is overdue",
            scenario="calm",
            caught_by=frozenset({"I12"}),
            edits=(
                Edit(
                    function="jobs_internal.press(bigint)",
                    old="  -- Reasons whose attempt is over are of no use any more.",
                    new="  perform 1 / (select (pg_catalog.count(*) = 0)::integer from jobs_internal.stop"
                    " where reason = 'timed_out');",
                ),
            ),
        ),
        Mutant(
            name="arguments_in_a_view",
            summary="a view shows the arguments of all jobs to readers",
            scenario="calm",
            caught_by=frozenset({"I13"}),
            statements=(
                "create view jobs.shown as select args from jobs_internal.finished",
                "grant select on jobs.shown to jobs_reader",
            ),
        ),
        Mutant(
            name="arguments_in_the_log",
            summary="the arguments of each job go to the server's log",
            scenario="calm",
            caught_by=frozenset({"I13"}),
            edits=(
                Edit(
                    function=_RUN_ONE,
                    old="v_ending.started_at := pg_catalog.clock_timestamp();",
                    new="v_ending.started_at := pg_catalog.clock_timestamp();\n  raise log 'runs %', p_item.args;",
                ),
            ),
        ),
    )
}


def plant(line: Connection[tuple[object, ...]], mutant: Mutant) -> None:
    """Edit the functions of a database. A text that is not there exactly once is an error: the bug would be another."""
    for edit in mutant.edits:
        row = line.execute("select pg_get_functiondef(%s::regprocedure)", [edit.function]).fetchone()
        text = str(row[0]) if row else ""
        if text.count(edit.old) != 1:
            raise WorkError(
                f"mutant {mutant.name} does not fit {edit.function}",
                detail=f"Expected once, found {text.count(edit.old)} times: {edit.old}",
                hint="The function has changed; write the mutant for it anew.",
            )
        line.execute(text.replace(edit.old, edit.new).encode())
    for statement in mutant.statements:
        line.execute(statement.encode())


def hunt(names: Sequence[str], directory: Path, say: Callable[[str], None]) -> list[Verdict]:
    """Run each scenario as it is, which must be clean, then with each bug, which must be seen."""
    chosen = [MUTANTS[name] for name in names] if names else list(MUTANTS.values())
    verdicts = []
    with torture_server(directory / "server") as server:
        for scenario in dict.fromkeys(mutant.scenario for mutant in chosen):
            seconds = max(mutant.seconds for mutant in chosen if mutant.scenario == scenario)
            share = Share(name=scenario, seconds=seconds)
            finding = run_scenario(server, share, 1, directory / f"control-{scenario}", say)
            verdicts.append(Verdict(scenario=scenario, mutant=None, finding=finding))
            say(f"control {scenario}: {', '.join(verdicts[-1].seen) or 'clean'} ({finding.seconds:.0f} s)")
        for mutant in chosen:

            def mutate(world: World, mutant: Mutant = mutant) -> None:
                world.standstill, world.longest = _STANDSTILL, _LONGEST
                plant(world.admin(), mutant)

            share = Share(name=mutant.scenario, seconds=mutant.seconds)
            finding = run_scenario(server, share, mutant.seed, directory / mutant.name, say, mutate)
            verdicts.append(Verdict(scenario=mutant.scenario, mutant=mutant, finding=finding))
            say(f"{mutant.name}: {', '.join(verdicts[-1].seen) or 'nothing'} ({finding.seconds:.0f} s)")
    return verdicts


def render(verdicts: Sequence[Verdict]) -> Table:
    """Draw the table: mutant, scenario, who caught it."""
    table = Table(title="pyworker torture --mutants")
    for column in ("mutant", "scenario", "caught by", ""):
        table.add_column(column)
    for one in verdicts:
        table.add_row(
            one.mutant.name if one.mutant else "(none)", one.scenario, ", ".join(one.seen) or "-",
            "right" if one.right else "[red]WRONG[/red]",
        )  # fmt: skip
    return table


def verdict_line(verdicts: Sequence[Verdict]) -> str:
    """Sum it up."""
    mutants = [one for one in verdicts if one.mutant is not None]
    controls = [one for one in verdicts if one.mutant is None]
    caught = sum(one.right for one in mutants)
    clean = sum(one.right for one in controls)
    return f"mutants: {caught} of {len(mutants)} caught, {clean} of {len(controls)} control runs clean"
