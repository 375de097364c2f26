"""What `check` looks at in the tables: whether a publication could stop what we change."""

from collections.abc import Iterator

from pyworker.check.finding import Finding, Target

__all__ = ["replica_identity"]


def replica_identity(target: Target) -> Iterator[Finding]:
    """Look for tables without primary key and replica identity: a publication for all tables fails
    their changes.
    """
    check = "replica identity"
    rows = target.rows(
        "select c.oid::regclass::text as name, exists (select"
        " from pg_catalog.pg_publication_tables p"
        "  join pg_catalog.pg_publication b on b.pubname = p.pubname and (b.pubupdate"
        " or b.pubdelete)"
        "  where p.schemaname = n.nspname and p.tablename = c.relname) as published"
        " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('jobs_internal', 'pgmq') and c.relkind = 'r'"
        " and (c.relreplident = 'n'"
        "  or c.relreplident = 'd' and not exists (select from pg_catalog.pg_index i"
        "   where i.indrelid = c.oid and i.indisprimary))"
        " order by 1"
    )
    for row in rows:
        detail = (
            f"{row['name']} has none: "
            f"{'every' if row['published'] else 'once it is published, every'} change of it"
        )
        yield Finding(
            check=check,
            status="critical" if row["published"] else "warning",
            detail=f"{detail} fails with 55000",
            remedy=f"alter table {row['name']} replica identity full;",
        )
    if not rows:
        yield Finding(check=check, status="ok", detail="every table of ours and of pgmq has one")
