"""Write sql/catalog.txt, the net effect of the SQL files: `python docs/sql_catalog.py DSN`, on a
fresh database with this version's schema.

It holds what schemas jobs and jobs_internal are made of: types, tables, views and functions, with
rights. Everything is sorted, names are full, numbers of the catalog are left out: what differs
between two versions of the file differs in the schema. A test compares.
"""

import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg

CATALOG = Path(__file__).parents[1] / "sql/catalog.txt"
WIDTH = 100

HEAD = """\
What sql/install.sql makes of an empty database: schemas jobs and jobs_internal.
Made by `python docs/sql_catalog.py DSN` on a fresh database; tests/catalog compares.
"""

Row = tuple[Any, ...]

# Rights on an object of all but its owner: `right for role, role`.
_GRANTS = """
create function pg_temp.grants(acl aclitem[], kind "char", owner oid) returns text[] language sql
return array(
  select format('%s%s for %s', lower(a.privilege_type),
    case when a.is_grantable then ' (and grant it)' end,
    string_agg(r.name, ', ' order by r.name collate "C"))
  from aclexplode(coalesce(acl, acldefault(kind, owner))) as a
  cross join lateral (select case a.grantee when 0 then 'public' else a.grantee::regrole::text end)
    as r (name)
  where a.grantee <> owner group by a.privilege_type, a.is_grantable)
"""

_OWNERS = """
select distinct pg_get_userbyid(o.owner) from (
  select proowner, pronamespace from pg_proc union all
  select relowner, relnamespace from pg_class union all
  select typowner, typnamespace from pg_type union all
  select nspowner, oid from pg_namespace) as o (owner, schema)
where o.schema = any ('{jobs, jobs_internal}'::regnamespace[])
"""

_SCHEMAS = """
select n.nspname, pg_temp.grants(n.nspacl, 'n', n.nspowner)
from pg_namespace as n where n.oid = any ('{jobs, jobs_internal}'::regnamespace[])
"""

_TYPES = """
select format('%I.%I', n.nspname, t.typname), t.typtype::text,
  case t.typtype
    when 'e' then array(select quote_literal(e.enumlabel) from pg_enum as e
      where e.enumtypid = t.oid order by e.enumsortorder)
    when 'd' then array[format_type(t.typbasetype, t.typtypmod)]
      || case when t.typnotnull then array['not null'] end
      || array(select pg_get_constraintdef(c.oid) from pg_constraint as c
        where c.contypid = t.oid and c.contype = 'c')
    else array(select format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
      from pg_attribute as a
      where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum)
  end
from pg_type as t
join pg_namespace as n on n.oid = t.typnamespace
left join pg_class as c on c.oid = t.typrelid
where t.typnamespace = any ('{jobs, jobs_internal}'::regnamespace[])
  and (t.typtype in ('d', 'e') or c.relkind = 'c')
"""

_RELATIONS = """
select c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text,
  case c.relpersistence when 'u' then 'unlogged' end,
  case when c.relispartition then (
    select format('partition of %s %s', i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid))
    from pg_inherits as i where i.inhrelid = c.oid) end,
  case when c.relkind = 'p' then 'partition by ' || pg_get_partkeydef(c.oid) end,
  'with (' || array_to_string(c.reloptions, ', ') || ')',
  pg_temp.grants(c.relacl, (case c.relkind when 'S' then 's' else 'r' end)::"char", c.relowner)
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relnamespace = any ('{jobs, jobs_internal}'::regnamespace[])
  and c.relkind in ('r', 'p', 'v', 'm', 'S')
"""

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
  a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
  case when a.attacl is null then '{}' else
    pg_temp.grants(a.attacl, 'c', c.relowner) end
from pg_attribute as a
join pg_class as c on c.oid = a.attrelid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_INDEXES = """
select concat_ws(' ',
  case when i.indisprimary then 'primary key' when i.indisunique then 'unique index'
    else 'index' end,
  i.indexrelid::regclass, regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', ''))
from pg_index as i where i.indrelid = %s
"""

# Not those of an index, which _INDEXES has; nor NOT NULL, which is one from PostgreSQL 18 on.
_CONSTRAINTS = """
select format('constraint %%I %%s', conname, pg_get_constraintdef(oid))
from pg_constraint where conrelid = %s and contype not in ('n', 'p', 'u')
union all
select 'trigger ' || pg_get_triggerdef(oid) from pg_trigger where tgrelid = %s and not tgisinternal
"""

_FUNCTIONS = """
select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
  format('%I.%I', n.nspname, p.proname), pg_get_function_arguments(p.oid),
  pg_get_function_result(p.oid), l.lanname,
  case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
  p.prosecdef, p.proisstrict, p.proleakproof, p.proparallel::text, p.proconfig,
  pg_temp.grants(p.proacl, 'f', p.proowner)
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
join pg_language as l on l.oid = p.prolang
where p.pronamespace = any ('{jobs, jobs_internal}'::regnamespace[])
"""


def _wrapped(text: object, depth: int = 0) -> Iterator[str]:
    """Give a text as lines that fit; what is wrapped goes on four columns deeper."""
    yield from textwrap.wrap(
        " ".join(str(text).split()),
        WIDTH,
        initial_indent="  " * depth,
        subsequent_indent="  " * (depth + 2),
        break_on_hyphens=False,
    )


def _details(kind: str, found: Iterable[object]) -> Iterator[str]:
    for one in found:
        yield from _wrapped(f"{kind}{one}", 1)


class _Reader:
    """Reads one database."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        connection.execute("set search_path = pg_catalog")  # so that every other name is full
        connection.execute(_GRANTS.encode())

    def rows(self, query: str, *values: object) -> list[Row]:
        """Give the rows of a query."""
        return self._connection.execute(query.encode(), values or None).fetchall()

    def types(self) -> Iterator[list[str]]:
        """Give each type that is no table's."""
        kinds = {"c": "type", "d": "domain", "e": "enum"}
        for name, kind, parts in sorted(self.rows(_TYPES)):
            yield [f"{kinds[kind]} {name}", *_details("", parts)]

    def relations(self) -> Iterator[list[str]]:
        """Give each table, view and sequence: columns in their order, all else sorted."""
        kinds = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "S": "sequence"}
        found = sorted((kinds[row[2]], row[1], row) for row in self.rows(_RELATIONS))
        for kind, name, (oid, _, _, *properties, grants) in found:
            partition = properties[1]  # it has the columns of its table
            lines = list(_wrapped(" ".join((kind, name, *filter(None, properties)))))
            if kind != "sequence" and not partition:
                lines.extend(self._columns(oid, kind))
            lines += _details("", sorted(row[0] for row in self.rows(_INDEXES, oid)))
            lines += _details("", sorted(row[0] for row in self.rows(_CONSTRAINTS, oid, oid)))
            lines += _details("", sorted(grants))
            yield lines

    def _columns(self, relation: int, kind: str) -> Iterator[str]:
        identities = {"a": "identity always", "d": "identity by default", "": ""}
        for name, type_, not_null, identity, generated, default, grants in self.rows(
            _COLUMNS, relation
        ):
            said = [
                f"{name} {type_}",
                "not null" if not_null and "view" not in kind else "",
                identities[identity],
                "generated" if generated else "",
                f"default {default}" if default is not None else "",
                *(f"({grant})" for grant in sorted(grants)),
            ]
            yield from _wrapped(" ".join(filter(None, said)), 1)

    def functions(self) -> Iterator[list[str]]:
        """Give each function and procedure."""
        for row in sorted(self.rows(_FUNCTIONS), key=lambda row: (row[0], row[1], row[2])):
            kind, name, arguments, result, language, volatility, *rest = row
            definer, strict, leakproof, parallel, settings, grants = rest
            returns = f" returns {result}" if kind != "procedure" else ""
            said = [
                *([] if kind == "procedure" else [volatility]),
                *(["strict"] if strict else []),
                *(["leakproof"] if leakproof else []),
                *([f"parallel {'safe' if parallel == 's' else 'restricted'}"] * (parallel != "u")),
                f"{language}, with the rights of the {'owner' if definer else 'caller'}",
            ]
            yield [
                *_wrapped(f"{kind} {name}({arguments}){returns}"),
                *_wrapped(", ".join(said), 1),
                *_details("set ", sorted(settings or ())),
                *_details("", sorted(grants)),
            ]


def catalog(dsn: str) -> str:
    """Describe the schemas of a database."""
    with psycopg.connect(dsn) as connection:
        reader = _Reader(connection)
        owners = ", ".join(sorted(row[0] for row in reader.rows(_OWNERS)))
        schemas = [
            [f"schema {name}", *_details("", sorted(grants))]
            for name, grants in sorted(reader.rows(_SCHEMAS))
        ]
        entries = [*schemas, *reader.types(), *reader.relations(), *reader.functions()]
    blocks = [HEAD.rstrip("\n"), f"Owner of everything: {owners}.", *map("\n".join, entries)]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    CATALOG.write_text(catalog(sys.argv[1]), encoding="utf-8")
