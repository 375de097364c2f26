"""The kinds of long operations that are interrupted: what each needs, its statement, and how the
catalog shows that it was done.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.torture.operations.catalog import Facts

__all__ = ["CASES", "Case"]

Done = Callable[[Facts, Facts], bool]

#: A table of its own for each operation, with an index and a constraint of a stranger's, both not
#: valid, under names as a rebuild gives them.
STAGE = """
create table t as select n as id, n % 7 as few, n as g, md5(n::text) as m, repeat('x', 60) as pad
  from generate_series(1, {rows}) as n;
create index t_id on t (id);
create index t_m on t (m);
create index strange_ccnew on t (few);
alter table t add constraint strange_positive check (id > 0) not valid;
alter table t alter m set statistics 1000, alter id set statistics 1000;
vacuum analyze t;
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind."""

    name: str
    statement: str = ""
    steps: str = ""  #: a call that returns steps, in place of a statement
    before: str = ""  #: what is made for it, besides the common table
    done: Done
    #: its work and the note of its outcome are one commit
    atomic: bool = False
    #: it fails by itself: with this SQLSTATE
    fails: str | None = None
    #: what shows its work may be there before its end
    partly: bool = False
    #: where it was cut off beyond its point of no return, the clean-up brings it to its end
    finished_later: bool = False
    #: it is judged by counts of the server, and a crash resets them: of a last attempt in which the
    #: server crashed it is not known whether it was done
    counted: bool = False


def _built(name: str) -> Done:
    def done(before: Facts, after: Facts) -> bool:
        index = after.index(name)
        return index is not None and index.good and index.oid not in before.indexes

    return done


def _rebuilt(*names: str, new_file: bool = False) -> Done:
    def done(before: Facts, after: Facts) -> bool:
        for name in names:
            was, now = before.index(name), after.index(name)
            if was is None or now is None or not now.good:
                return False
            if was.file == now.file if new_file else was.oid == now.oid:
                return False
        return True

    return done


def _relation(name: str, place: int) -> Done:
    """Tell whether one fact of a relation is another one than before."""
    return lambda before, after: before.relations[name][place] != after.relations[name][place]


def _constraint(name: str, kinds: str) -> Done:
    def done(_before: Facts, after: Facts) -> bool:
        found = after.constraint(name)
        return found is not None and found[1] in kinds and found[2]

    return done


def _replaced(before: Facts, after: Facts) -> bool:
    was, now = before.index("t_id"), after.index("t_id")
    gone = was is None or was.oid not in after.indexes
    return gone and now is not None and now.good


_FILE, _FROZEN, _STATISTICS = 1, 2, 3
_PARTED = """
create table p (id integer, few integer, g integer, m text, pad text) partition by range (id);
create table strange_part partition of p for values from (-10) to (0);
"""
_VIEW = """
create table version as select 1 as n;
create materialized view v as
  select id, m, case when id % 4 = 0 then (select n from version) else 0 end as version from t;
create unique index v_id on v (id);
update version set n = 2;
"""

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(
            name="create index concurrently",
            statement="create index concurrently made on t (m, id)",
            done=_built("made"),
        ),
        Case(
            name="create index concurrently, unnamed",
            statement="create index concurrently on t (m, few)",
            done=_built("t_m_few_idx"),
        ),
        Case(
            name="create unique index, duplicates",
            statement="create unique index concurrently made on t (few, m)",
            before="insert into t select * from t where id % 2000 = 0;",
            done=_built("made"),
            fails="23505",
        ),
        Case(
            name="create index",
            statement="create index made on t (m, id)",
            done=_built("made"),
            atomic=True,
        ),
        Case(
            name="reindex index concurrently",
            statement="reindex index concurrently t_m",
            done=_rebuilt("t_m"),
        ),
        Case(
            name="reindex table concurrently",
            statement="reindex table concurrently t",
            done=_rebuilt("t_m", "t_id"),
        ),
        Case(
            name="reindex table",
            statement="reindex table t",
            done=_rebuilt("t_m", "t_id", new_file=True),
            atomic=True,
        ),
        Case(
            name="drop index concurrently",
            statement="drop index concurrently t_m",
            done=lambda _before, after: after.index("t_m") is None,
            finished_later=True,
        ),
        Case(
            name="vacuum",
            statement="vacuum (freeze) t",
            before="delete from t where id % 3 = 0;",
            done=_relation("t", _FROZEN),
            partly=True,
            counted=True,
        ),
        Case(
            name="vacuum full",
            statement="vacuum (full) t",
            before="delete from t where id % 3 = 0;",
            done=_relation("t", _FILE),
        ),
        Case(
            name="analyze",
            statement="analyze t",
            done=_relation("t", _STATISTICS),
            counted=True,
        ),
        Case(name="cluster", statement="cluster t using t_m", done=_relation("t", _FILE)),
        Case(
            name="refresh",
            statement="refresh materialized view v",
            before=_VIEW,
            done=_relation("v", _FILE),
            atomic=True,
        ),
        Case(
            name="refresh concurrently",
            statement="refresh materialized view concurrently v",
            before=_VIEW,
            done=lambda before, after: before.version < after.version,
            atomic=True,
        ),
        Case(
            name="set not null",
            statement="alter table t alter id set not null",
            done=_constraint("t_id_not_null", "n"),
            atomic=True,
        ),
        Case(
            name="attach",
            statement="alter table p attach partition t for values from (1) to (10000000)",
            before=_PARTED,
            done=lambda _before, after: after.partitions.get("t") is False,
            atomic=True,
        ),
        Case(
            name="detach concurrently",
            statement="alter table p detach partition t concurrently",
            before=_PARTED + "alter table p attach partition t for values from (1) to (10000000);",
            done=lambda _before, after: "t" not in after.partitions,
            finished_later=True,
        ),
        Case(
            name="not null in steps",
            steps="jobs.not_null_steps('{schema}.t', 'id')",
            done=_constraint("t_id_not_null", "n"),
        ),
        Case(
            name="constraint in steps",
            steps="jobs.constraint_steps('{schema}.t', 'checked', 'check (length(m) = 32)')",
            done=_constraint("checked", "c"),
        ),
        Case(
            name="unique in steps",
            steps="jobs.unique_steps('{schema}.t', array['g'])",
            done=_constraint("t_g_key", "u"),
        ),
        Case(
            name="index replaced in steps",
            steps="jobs.replace_index_steps('{schema}.t_id', '(id, few)')",
            done=_replaced,
        ),
    )
}
