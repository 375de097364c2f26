"""Dumps under load, restored beside the original: nothing runs there until it is reconciled,
and then all, once.
"""

import random
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from tests.torture.effects import no_double_effect, no_false_success, no_lost_job
from tests.torture.history import gather
from tests.torture.invariants import runs_as_owner
from tests.torture.journal import Entry
from tests.torture.residue import Residue
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import ADMINISTRATOR, World

__all__ = ["DumpRestore"]

_CHECKS = {"I1": no_lost_job, "I2": no_double_effect, "I4": no_false_success, "I11": runs_as_owner}
_DRAINED = 90.0  # seconds in which a copy drains beside the load of the original
_REFUSED = ("select jobs.start()", "select jobs.enqueue('pg_catalog.now')")
_AT_WORK = """
select coalesce(string_agg(format('%s %s', pid, left(query, 60)), '; '), '') from pg_stat_activity
where datname = current_database()
  and backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')
"""
_OUT_OF_STEP = ("jobs_due_again", "messages_removed", "lanes_made", "queues_removed")


@register
class DumpRestore(Scenario):
    """pg_dump while jobs run and are enqueued; the copy is restored, reconciled,
    drained and checked.
    """

    name = "dump_restore"
    summary = "pg_dump under load, restored beside it, reconciled and drained there"
    minimum = 12.0

    def __init__(self) -> None:
        """Nothing was found yet."""
        self._found: list[Violation] = []
        self._copies = 0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Dump about every ten seconds, at moments of no pattern, in both formats."""
        count = max(1, int(seconds / 12))
        return [
            Fault(at=(number + rng.uniform(0.2, 0.6)) * seconds / count, kind="dump",
                  facts={"format": rng.choice(("custom", "plain"))})
            for number in range(count)
        ]  # fmt: skip

    def inject(self, world: World, fault: Fault) -> None:
        """Dump, restore, look, reconcile, drain, check."""
        self._copies += 1
        path = world.directory / f"dump_{self._copies}"
        confirmed = world.journal.entries()
        _run(
            world,
            "pg_dump",
            "--format",
            str(fault.facts["format"]),
            "--file",
            str(path),
            world.dsn(ADMINISTRATOR),
        )
        name = f"{world.database}_copy_{self._copies}"
        with world.connect(ADMINISTRATOR) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            copy = World(
                self, world.server, world.dsn(), name, _directory(world.directory / name),
                seed=world.seed, seconds=world.seconds, say=world.say,
            )  # fmt: skip
            try:
                self._restore(copy, path, str(fault.facts["format"]))
                self._look(copy)
                self._drain(copy, confirmed, world.journal.entries())
            finally:
                copy.close()
        finally:
            path.unlink()
            with world.connect(ADMINISTRATOR) as admin:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def check(self, world: World) -> list[Violation]:
        """Tell what was wrong with the copies."""
        return self._found

    def _complain(self, message: str) -> None:
        self._found.append(self.violation("copy", f"copy {self._copies}: {message}"))

    def _restore(self, copy: World, path: Path, form: str) -> None:
        into = copy.dsn(ADMINISTRATOR)
        if form == "custom":
            _run(copy, "pg_restore", "--exit-on-error", "--dbname", into, str(path))
        else:
            _run(
                copy,
                "psql",
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "--file",
                str(path),
                "--dbname",
                into,
            )

    def _look(self, copy: World) -> None:
        """Nothing runs in a copy, and nobody can make it run."""
        for query in _REFUSED:
            try:
                with copy.connect("app") as line:
                    line.execute(query.encode())
                self._complain(f"expected PW060 of {query}, and it was done")
            except psycopg.Error as error:
                if error.sqlstate != "PW060":
                    self._complain(
                        f"expected PW060 of {query}, and it says {error.sqlstate} {error}"
                    )
        ((status,),) = copy.rows(
            """select status from jobs.health where "check" = 'installation'"""
        )
        if status != "critical":
            self._complain(f"expected that jobs.health is critical under home, and it is {status}")
        ((at_work,),) = copy.rows(_AT_WORK)
        if at_work:
            self._complain(f"expected that nobody is at work, and there are {at_work}")

    def _drain(self, copy: World, confirmed: Sequence[Entry], entries: Sequence[Entry]) -> None:
        ((facts,),) = copy.rows("select jobs.reconcile()")
        ((again,),) = copy.rows("select jobs.reconcile()")
        copy.note_fault("reconciled", **facts)
        if any(again[fact] for fact in _OUT_OF_STEP):
            self._complain(
                f"expected that a second reconcile finds nothing to do, and it did {again}"
            )
        number = copy.supervisors.start()
        left = copy.until(
            lambda: not copy.rows("select 1 from jobs_internal.job limit 1"),
            _DRAINED,
            "a copy drains",
        )
        copy.until(lambda: not copy.rows(_AT_WORK)[0][0], 20, "its sessions leave")
        copy.supervisors.terminate(number)
        if not left:
            states = copy.rows("select state, count(*) from jobs_internal.job group by 1")
            self._complain(f"expected that it drains within {_DRAINED:.0f} s; left: {states}")
        history = gather(copy, Residue(), Residue(), canaries={})
        for name, invariant in _CHECKS.items():
            # What was confirmed before the dump began is in it; what came later may be.
            known = replace(history, entries=confirmed if name == "I1" else entries)
            for sort, example in invariant(known):
                self._complain(f"{name} {sort}: {example}")


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _run(world: World, tool: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(world.server.bin(tool)), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise RuntimeError(f"{tool}: {done.stderr.strip()}")
