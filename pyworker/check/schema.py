"""What `check` looks at in the schema: its version, and whether functions and views are those of
the files.
"""

from collections.abc import Iterator

from pyworker.check.finding import Finding, Status, Target

__all__ = ["definitions", "health", "schema_version"]


def schema_version(target: Target) -> Iterator[Finding]:
    """Compare the schema's version with this program's."""
    check = "schema version"
    if not target.installed():
        yield Finding(
            check=check, status="critical", detail="not installed", remedy="`pyworker install`"
        )
        return
    have = target.value("select max(version) from jobs_internal.schema_migration")
    want = target.source.version
    if have is None or have < want:
        detail = f"the database has version {have}, this program has version {want}"
        yield Finding(check=check, status="critical", detail=detail, remedy="`pyworker upgrade`")
    elif have > want:
        detail = f"the database has version {have}, newer than this program's {want}"
        yield Finding(
            check=check, status="critical", detail=detail, remedy="`pip install --upgrade pyworker`"
        )
    else:
        yield Finding(check=check, status="ok", detail=f"version {have}")


def definitions(target: Target) -> Iterator[Finding]:
    """Compare functions and views with what was applied, and what was applied with this program's
    files.
    """
    check = "functions and views"
    changed = target.rows(
        "select coalesce(n.kind, o.kind) as kind, coalesce(n.identity, o.identity) as identity,"
        " case when n.kind is null then 'gone' when o.kind is null then 'foreign'"
        " else 'changed' end as how"
        " from jobs_internal.schema_now() n"
        " full join (select * from jobs_internal.schema_object where kind <> 'files') o"
        " on o.kind = n.kind and o.identity = n.identity"
        " where n.md5 is distinct from o.md5 order by 1, 2"
    )
    for row in changed:
        remedy = "`pyworker install`"
        if row["how"] == "foreign":
            remedy = f"drop {'routine' if row['kind'] == 'function' else 'view'} {row['identity']};"
        detail = f"{row['kind']} {row['identity']} is {row['how']}: not as it was installed"
        yield Finding(check=check, status="critical", detail=detail, remedy=remedy)

    files = "\n".join(file.text for file in target.source.schema)
    rows = target.rows(
        "select p.oid::regprocedure::text as identity, p.prosrc as body from pg_catalog.pg_proc p"
        " where p.pronamespace in (pg_catalog.to_regnamespace('jobs'),"
        " pg_catalog.to_regnamespace('jobs_internal'))"
        " and p.prosrc <> '' order by 1"
    )
    known = {row["identity"] for row in changed}
    other = [
        row["identity"] for row in rows if row["body"] not in files and row["identity"] not in known
    ]
    recorded = target.value("select md5 from jobs_internal.schema_object where kind = 'files'")
    if other:
        detail = (
            f"of another version than this program's: "
            f"{', '.join(other[:5])}{' and more' if len(other) > 5 else ''}"
        )
        yield Finding(check=check, status="warning", detail=detail, remedy="`pyworker upgrade`")
    elif recorded not in (None, target.source.checksum):
        detail = "this program's SQL files are not those that were applied"
        yield Finding(check=check, status="warning", detail=detail, remedy="`pyworker upgrade`")
    elif not changed:
        yield Finding(check=check, status="ok", detail=f"{len(rows)} functions, as installed")


def health(target: Target) -> Iterator[Finding]:
    """Pass on what the view jobs.health says of the running system."""
    if not target.has("jobs", "health"):
        return
    for row in target.rows('select "check", status, detail, remedy from jobs.health'):
        status: Status = row["status"] if row["status"] in ("ok", "warning") else "critical"
        yield Finding(
            check=row["check"],
            status=status,
            detail=row["detail"] or "",
            remedy=row["remedy"] or None,
            choice=True,
        )
