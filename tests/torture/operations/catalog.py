"""What the catalog says of the tables of one operation, before it and after."""

from dataclasses import dataclass, field
from typing import Any

from tests.torture.world import World

__all__ = ["Facts", "Index", "foreign", "leftovers", "read_facts"]

_RELATIONS = """
select c.oid, c.relname, c.relfilenode, c.relfrozenxid::text,
  coalesce((select max(s.xmin::text::bigint) from pg_statistic as s where s.starelid = c.oid), 0)
from pg_class as c where c.relnamespace = %(schema)s::regnamespace and c.relkind in ('r', 'm', 'p')
"""
_INDEXES = """
select i.indexrelid, c.relname, i.indisvalid and i.indisready and i.indislive, c.relfilenode,
  i.indisvalid
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
left join pg_class as t on t.reltoastrelid = i.indrelid
join pg_class as h on h.oid = coalesce(t.oid, i.indrelid)
where h.relnamespace = %(schema)s::regnamespace
"""
_CONSTRAINTS = """
select c.oid, c.conname, c.contype, c.convalidated from pg_constraint as c
where c.connamespace = %(schema)s::regnamespace
"""
_PARTITIONS = """
select c.relname, h.inhdetachpending from pg_inherits as h join pg_class as c on c.oid = h.inhrelid
where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r'
"""


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index."""

    oid: int
    name: str
    good: bool  #: valid, ready and live
    file: int
    valid: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that there is in the schema of one operation."""

    #: name -> oid, relfilenode, relfrozenxid, transaction of its newest statistics
    relations: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    indexes: dict[int, Index] = field(default_factory=dict)
    constraints: dict[int, tuple[str, str, bool]] = field(default_factory=dict)
    partitions: dict[str, bool] = field(default_factory=dict)  #: name -> its detach is pending
    version: int = 0  #: of what the materialized view shows

    def index(self, name: str) -> Index | None:
        """Give an index by its name."""
        return next((one for one in self.indexes.values() if one.name == name), None)

    def constraint(self, name: str) -> tuple[str, str, bool] | None:
        """Give a constraint by its name: name, type, validated."""
        return next((one for one in self.constraints.values() if one[0] == name), None)


def read_facts(world: World, schema: str) -> Facts:
    """Read them, as the administrator."""
    given = {"schema": schema}
    relations = {row[1]: (row[0], *row[2:]) for row in world.rows(_RELATIONS, given)}
    view = f"select max(version) from {schema}.v"
    return Facts(
        relations=relations,
        version=int(world.rows(view)[0][0]) if "v" in relations else 0,
        indexes={
            row[0]: Index(oid=row[0], name=row[1], good=row[2], file=row[3], valid=row[4])
            for row in world.rows(_INDEXES, given)
        },
        constraints={row[0]: (row[1], row[2], row[3]) for row in world.rows(_CONSTRAINTS, given)},
        partitions=dict(world.rows(_PARTITIONS, given)),
    )


def leftovers(before: Facts, after: Facts) -> list[str]:
    """Name what an operation left: an invalid index that was not invalid before, a copy of a
    rebuild, a partition that is half detached.
    """
    found = []
    for oid, index in after.indexes.items():
        was = before.indexes.get(oid)
        if index.name.startswith("pg_toast"):
            continue  # a superuser has to drop it: see health
        if not index.good and (was is None or was.good):
            found.append(f"index {index.name} is invalid")
        elif was is None and ("_ccnew" in index.name or "_ccold" in index.name):
            found.append(f"index {index.name} is the copy of a rebuild")
    found += [
        f"partition {name} is half detached" for name, half in after.partitions.items() if half
    ]
    return found


def foreign(before: Facts, after: Facts) -> list[str]:
    """Name what is not ours, called strange_..., and is gone or another one now."""
    found = []
    for index in before.indexes.values():
        now = after.index(index.name)
        if index.name.startswith("strange") and (now is None or (index.good and not now.good)):
            found.append(f"the index {index.name} of a stranger is gone")
    for oid, constraint in before.constraints.items():
        if constraint[0].startswith("strange") and oid not in after.constraints:
            found.append(f"the constraint {constraint[0]} of a stranger is gone")
    found += [
        f"the partition {name} of a stranger is gone"
        for name in before.partitions
        if name.startswith("strange") and name not in after.partitions
    ]
    return found
