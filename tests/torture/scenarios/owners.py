"""Owners that lose what they need while their jobs wait and run: the login, the membership,
a right, their life.
"""

import random
from dataclasses import dataclass

import psycopg

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import stage
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["ChangingOwners"]

_DONE = Ending(state="succeeded")
_REFUSED = Ending(state="failed", code="42501", attempts=("failed",))
_UNSEEN = Ending(state="in_doubt", code="PWD01", effects=-1)
_LOST = Ending(state="failed", code="PWL01", attempts=("lost",))
_CANCELLED = tuple(
    Ending(state="cancelled", code="PWC01", attempts=before)
    for before in ((), ("lost",), ("failed",))
)
#: A child session that was refused is no success; its job may be tried again.
_CHILD = (Ending(state="succeeded", effects=-1), _UNSEEN)
_TRIED_AGAIN = (
    *(
        Ending(state="succeeded", effects=-1, attempts=("lost",) * lost + ("succeeded",))
        for lost in (1, 2)
    ),
    Ending(state="failed", code="PWL01", effects=-1, attempts=("lost",) * 3),
)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What an owner loses and how it gets it back; {role}: the owner."""

    taken: tuple[str, ...]
    given: tuple[str, ...] = ()
    may: tuple[Ending, ...] = (_DONE,)  #: what may become of its function jobs
    child: tuple[Ending, ...] = _CHILD  #: of its statement at top level
    told: str = ""  #: check of jobs.health that names it meanwhile


LOSSES: dict[str, Loss] = {
    "login": Loss(
        taken=("alter role {role} nologin",), given=("alter role {role} login",), told="owners",
        # The watcher lives, its child is refused by FATAL: the attempt is lost, and tried again.
        child=(*_CHILD, *_TRIED_AGAIN),
    ),
    "connections": Loss(
        taken=("alter role {role} connection limit 0",),
        given=("alter role {role} connection limit -1",)
    ),
    "membership": Loss(
        taken=("revoke jobs_runner from {role}",), given=("grant jobs_runner to {role}",),
        told="owners"
    ),
    "execute": Loss(
        taken=("revoke execute on function hostile.innocent_for(integer) from {role}",),
        given=("grant execute on function hostile.innocent_for(integer) to {role}",),
        may=(_DONE, _REFUSED),
    ),
    "usage": Loss(
        taken=("revoke usage on schema hostile from {role}",),
        given=("grant usage on schema hostile to {role}",),
        may=(_DONE, _REFUSED),
        child=(*_CHILD, _REFUSED),
    ),
    "name": Loss(
        taken=("alter role {role} rename to {role}_renamed",),
        given=("alter role {role}_renamed rename to {role}",)
    ),
    "patience": Loss(
        taken=(
            "alter role {role} set statement_timeout = 1",
            "alter role {role} set default_transaction_read_only = on",
        ),
        given=("alter role {role} reset all",),
    ),
    "life": Loss(
        taken=(
            "revoke all on hostile.effect from {role}",
            "revoke all on schema hostile from {role}",
            "revoke all on all functions in schema hostile from {role}",
            "revoke all on all procedures in schema hostile from {role}",
            "drop role {role}",
        ),
        may=(_DONE, *_CANCELLED, _LOST, _REFUSED),
        child=(*_CHILD, *_CANCELLED, _LOST, _REFUSED),
        told="owners",
    ),
}  # fmt: skip


@register
class ChangingOwners(Scenario):
    """The jobs of an owner that lost something wait or fail for that reason;
    those of others go on.
    """

    name = "changing_owners"
    summary = (
        "owners made NOLOGIN, put out of jobs_runner, renamed, dropped, without EXECUTE,"
        " while their jobs run"
    )
    minimum = 10.0
    #: A dozen owners want some sessions each, and may want them all at once.
    slots_taken = True

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Take each thing from an owner of its own, and give it back a little later."""
        faults: list[Fault] = []
        order: list[str] = []
        at = 0.3
        number = 0
        while at < seconds - 4.0:
            order = order or rng.sample(list(LOSSES), len(LOSSES))
            number += 1
            facts = {"loss": order.pop(), "role": f"owner_{number}"}
            taken = at + rng.uniform(0.05, 0.6)
            faults.append(Fault(at=round(at, 3), kind="enqueue", facts=facts))
            faults.append(Fault(at=round(taken, 3), kind="take", facts=facts))
            faults.append(
                Fault(at=round(taken + rng.uniform(0.5, 2.5), 3), kind="give", facts=facts)
            )
            at += rng.uniform(0.3, 1.0)
        return sorted(faults, key=lambda fault: fault.at)

    def prepare(self, world: World) -> None:
        """Nobody has anything yet."""
        self._watched = Watched(self.name)
        stage(world).close()
        self._taken: dict[str, Loss] = {}
        self._untold: list[str] = []
        self._roles: list[str] = []

    def inject(self, world: World, fault: Fault) -> None:
        """Do one step of one owner."""
        loss, role = LOSSES[fault.facts["loss"]], fault.facts["role"]
        admin = world.admin()
        if fault.kind == "enqueue":
            self._enqueue(world, loss, role)
        elif fault.kind == "take":
            with admin.transaction():
                for statement in loss.taken:
                    admin.execute(statement.format(role=role).encode())
            self._taken[role] = loss
            if loss.told and not self._is_told(world, loss, role):
                self._untold.append(f"{role} lost its {fault.facts['loss']}")
        elif role in self._taken:
            self._give(world, role)

    def _enqueue(self, world: World, loss: Loss, role: str) -> None:
        admin = world.admin()
        admin.execute(f"create role {role} login in role jobs_producer, jobs_runner".encode())
        self._roles.append(role)
        for right in (
            "usage on schema hostile", "insert on hostile.effect",
            "execute on function hostile.innocent_for(integer)",
            "execute on procedure hostile.innocent_child(integer)",
        ):  # fmt: skip
            admin.execute(f"grant {right} to {role}".encode())
        jobs = [
            Job(label=f"{role} works", call="hostile.innocent_for", args={"ms": ms}, may=loss.may)
            for ms in (0, 400, 50, 0, 0, 700, 0, 100)
        ]
        child = Job(
            label=f"{role} commits",
            call="call hostile.innocent_child(300)",
            args=None,
            may=loss.child,
        )
        with world.connect(role) as line:
            self._watched.enqueue(line, [*jobs[:4], child, *jobs[4:]])

    def _is_told(self, world: World, loss: Loss, role: str) -> bool:
        """Tell whether jobs.health names the owner, unless nothing of it is left to run."""
        admin = world.admin()
        name = "unknown (OID=" if loss.taken[-1].startswith("drop") else role
        left = admin.execute(
            "select 1 from jobs.job where finished_at is null and owner like %s", [name + "%"]
        )
        if not left.fetchone():
            return True
        told = admin.execute(
            'select detail like %s from jobs.health where "check" = %s', [f"%{name}%", loss.told]
        )
        row = told.fetchone()
        return bool(row and row[0])

    def _give(self, world: World, role: str) -> None:
        for statement in self._taken.pop(role).given:
            world.admin().execute(statement.format(role=role).encode())

    def mend(self, world: World) -> None:
        """Give everything back; the jobs of the dead are cancelled, as an operator would."""
        for role in list(self._taken):
            self._give(world, role)
        world.admin().execute(
            "select jobs.cancel(id) from jobs.job where finished_at is null and"
            " owner like 'unknown (OID=%'"
        )

    def check(self, world: World) -> list[Violation]:
        """Their jobs ended as they should, and people were told; the roles go."""
        violations = self._watched.check(world.admin())
        violations += [
            self.violation("owners", f"{text}, and jobs.health does not say so")
            for text in self._untold
        ]
        for role in self._roles:
            try:
                world.admin().execute(f"drop owned by {role}; drop role {role}".encode())
            except psycopg.errors.UndefinedObject:
                continue
        return violations
