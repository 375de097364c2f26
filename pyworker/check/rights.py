"""What `check` looks at in the rights: roles, memberships, and who may use what."""

from collections.abc import Iterator

from pyworker.check.finding import Finding, Target

__all__ = [
    "file_sizes",
    "function_rights",
    "memberships",
    "roles",
    "runners",
    "supervisor_roles",
    "table_rights",
]

_ROLES = [
    "jobs_owner",
    "jobs_producer",
    "jobs_runner",
    "jobs_operator",
    "jobs_reader",
    "jobs_supervisor",
]
#: (granted role, grantee): what setup/roles.sql grants.
_MEMBERSHIPS = [
    ("pg_read_all_stats", "jobs_owner"),
    ("pg_signal_backend", "jobs_owner"),
    ("pg_read_all_stats", "jobs_supervisor"),
    ("pg_signal_backend", "jobs_supervisor"),
    ("pgbackground_role", "jobs_owner"),
    ("pgbackground_role", "jobs_runner"),
]


def _all_well(check: str, detail: str) -> Finding:
    return Finding(check=check, status="ok", detail=detail)


def roles(target: Target) -> Iterator[Finding]:
    """Look for the roles, and for rights that none of them should have."""
    rows = target.rows(
        "select n.name, r.oid is not null as there, r.rolcanlogin, pg_catalog.concat_ws(', ',"
        " case when r.rolsuper then 'SUPERUSER' end, case when r.rolcreaterole"
        " then 'CREATEROLE' end,"
        " case when r.rolreplication then 'REPLICATION' end, case when r.rolbypassrls"
        " then 'BYPASSRLS' end,"
        " case when r.rolcanlogin then 'LOGIN' end) as powers"
        " from unnest(%s::text[]) as n (name)"
        " left join pg_catalog.pg_roles r on r.rolname = n.name",
        _ROLES,
    )
    missing = [row["name"] for row in rows if not row["there"]]
    if missing:
        detail = f"missing: {', '.join(missing)}"
        yield Finding(check="roles", status="critical", detail=detail, remedy="`pyworker install`")
    for row in rows:
        name = row["name"]
        if row["powers"]:
            remedy = (
                f"alter role {name} nosuperuser nocreaterole noreplication nobypassrls nologin;"
            )
            yield Finding(
                check="roles",
                status="critical",
                detail=f"role {name} has {row['powers']}",
                remedy=remedy,
            )
    if all(row["there"] and not row["powers"] for row in rows):
        yield _all_well("roles", f"{len(rows)} roles, none with rights of its own")


def memberships(target: Target) -> Iterator[Finding]:
    """Look for the memberships that the roles need, and for members of jobs_owner, which should
    have none.
    """
    missing = target.rows(
        "select w.granted, w.member from unnest(%s::text[], %s::text[]) as w (granted, member)"
        " join pg_catalog.pg_roles g on g.rolname = w.granted"
        " join pg_catalog.pg_roles m on m.rolname = w.member"
        " where not pg_catalog.pg_has_role(m.oid, g.oid, 'USAGE')",
        [granted for granted, _member in _MEMBERSHIPS],
        [member for _granted, member in _MEMBERSHIPS],
    )
    for row in missing:
        remedy = f"grant {row['granted']} to {row['member']};"
        detail = f"{row['member']} is not a member of {row['granted']}"
        yield Finding(check="memberships", status="critical", detail=detail, remedy=remedy)
    # Who installs without being a superuser is a member, and could make itself one.
    members = target.rows(
        "select pg_catalog.quote_ident(r.rolname) as name from pg_catalog.pg_auth_members m"
        " join pg_catalog.pg_roles r on r.oid = m.member"
        " where m.roleid = (select oid from pg_catalog.pg_roles where rolname = 'jobs_owner')"
        " and (m.inherit_option or m.set_option) and not r.rolsuper and not r.rolcreaterole"
    )
    for row in members:
        detail = f"{row['name']} is a member of jobs_owner, and so owns every job"
        remedy = f"revoke jobs_owner from {row['name']};"
        yield Finding(check="memberships", status="critical", detail=detail, remedy=remedy)
    if not missing and not members:
        yield _all_well("memberships", "as installed")


def file_sizes(target: Target) -> Iterator[Finding]:
    """Say whether REFRESH and the rewrites of ALTER TABLE are seen by the size of their files:
    without that right by how long they took before, which is no problem.
    """
    may = target.value(
        "select pg_catalog.has_function_privilege('jobs_owner',"
        " 'pg_catalog.pg_stat_file(text, boolean)', 'execute')"
    )
    if may:
        yield _all_well("file sizes", "progress of REFRESH and rewrites by the size of their files")
        return
    detail = (
        "progress of REFRESH and rewrites by how long they took before; by the size of their files,"
        " if you want that: grant execute on function pg_catalog.pg_stat_file(text, boolean)"
        " to jobs_owner;"
    )
    yield _all_well("file sizes", detail)


def function_rights(target: Target) -> Iterator[Finding]:
    """Look for functions that everybody may run: ours, and pg_background's, which start
    processes.
    """
    rows = target.rows(
        "select p.oid::regprocedure::text as identity from pg_catalog.pg_proc p"
        " cross join lateral pg_catalog.aclexplode(coalesce(p.proacl,"
        " pg_catalog.acldefault('f', p.proowner))) a"
        " where (p.pronamespace in (pg_catalog.to_regnamespace('jobs'),"
        " pg_catalog.to_regnamespace('jobs_internal'))"
        "  or exists (select from pg_catalog.pg_depend d"
        " join pg_catalog.pg_extension e on e.oid = d.refobjid"
        "   where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid"
        " and d.deptype = 'e'"
        "   and d.refclassid = 'pg_catalog.pg_extension'::regclass"
        " and e.extname = 'pg_background'))"
        " and a.grantee = 0 and a.privilege_type = 'EXECUTE' order by 1"
    )
    for row in rows:
        detail = f"everybody (PUBLIC) may run {row['identity']}"
        remedy = f"revoke execute on routine {row['identity']} from public;"
        yield Finding(check="function rights", status="critical", detail=detail, remedy=remedy)
    if not rows:
        yield _all_well("function rights", "nothing is open to PUBLIC")


def table_rights(target: Target) -> Iterator[Finding]:
    """Look for rights on tables, pgmq's among them, that anybody but the owner has, and for open
    schemas.
    """
    rows = target.rows(
        "select distinct c.oid::regclass::text as name, c.relkind = 'S' as sequence,"
        " case a.grantee when 0 then 'public'"
        " else a.grantee::regrole::text end as who, a.privilege_type as privilege"
        " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " cross join lateral (select * from pg_catalog.aclexplode(c.relacl) union all"
        "  select x.* from pg_catalog.pg_attribute t, lateral pg_catalog.aclexplode(t.attacl) x"
        "  where t.attrelid = c.oid and t.attacl is not null) a"
        " where (c.relkind in ('r', 'p', 'm', 'f', 'S') or c.relkind = 'v' and a.grantee = 0)"
        " and a.grantee <> c.relowner"
        " and (n.nspname in ('jobs', 'jobs_internal')"
        "  or (n.nspname = 'pgmq' and c.relname ~ '^[qa]_pyworker_'"
        "   and a.grantee <> (select oid from pg_catalog.pg_roles where rolname = 'jobs_owner')))"
        " order by 1, 3, 4"
    )
    for row in rows:
        kind = "sequence" if row["sequence"] else "table"
        remedy = f"revoke {row['privilege'].lower()} on {kind} {row['name']} from {row['who']};"
        detail = f"{row['who']} has {row['privilege']} on {row['name']}"
        yield Finding(check="table rights", status="critical", detail=detail, remedy=remedy)
    schemas = target.rows(
        "select n.nspname as name, a.privilege_type as privilege,"
        " case a.grantee when 0 then 'public' else a.grantee::regrole::text end as who"
        " from pg_catalog.pg_namespace n cross join lateral pg_catalog.aclexplode(n.nspacl) a"
        " where (n.nspname in ('jobs', 'jobs_internal') and a.privilege_type = 'CREATE'"
        " and a.grantee <> n.nspowner)"
        " or (n.nspname in ('jobs', 'jobs_internal', 'pgmq') and a.grantee = 0) order by 1, 2, 3"
    )
    for row in schemas:
        detail = f"{row['who']} has {row['privilege']} on schema {row['name']}"
        remedy = f"revoke {row['privilege'].lower()} on schema {row['name']} from {row['who']};"
        yield Finding(check="table rights", status="critical", detail=detail, remedy=remedy)
    if not rows and not schemas:
        yield _all_well("table rights", "only the owner has any")


def runners(target: Target) -> Iterator[Finding]:
    """Look for roles whose jobs run with more power than a job should have, and for those that are
    refused for it.
    """
    if not target.has("jobs", "admitted_roles"):
        return  # an older schema: to be upgraded first
    rows = target.rows(
        "with recursive member (oid) as ("
        " select oid from pg_catalog.pg_roles where rolname = 'jobs_runner' union"
        " select m.member from pg_catalog.pg_auth_members m join member on m.roleid = member.oid)"
        " select r.rolname as plain, pg_catalog.quote_ident(r.rolname) as name,"
        " pg_catalog.quote_literal(r.rolname) as literal,"
        " jobs_internal.privileges_seen(r.oid) as powers, a.admitted_by, a.admitted_at"
        " from member join pg_catalog.pg_roles r using (oid)"
        " left join jobs.admitted_roles a on a.role = r.rolname"
        " where r.rolname <> 'jobs_runner' order by 1"
    )
    # Who was admitted without being a member: a superuser, whose jobs run all the same.
    rows += target.rows(
        "select a.role as plain, pg_catalog.quote_ident(a.role) as name,"
        " pg_catalog.quote_literal(a.role) as literal,"
        " a.powers, a.admitted_by, a.admitted_at"
        " from jobs.admitted_roles a where a.role <> all (%s) and a.powers is not null order by 1",
        [row["plain"] for row in rows],
    )
    mighty = [row for row in rows if row["powers"]]
    for row in mighty:
        if row["admitted_by"]:
            when = f"{row['admitted_at']:%Y-%m-%d}"
            detail = (
                f"jobs of {row['name']} run with {row['powers']}: admitted by "
                f"{row['admitted_by']} on {when}"
            )
            remedy = f"select jobs.dismiss_role({row['literal']});"
        else:
            detail = (
                f"jobs of {row['name']} are refused: it has {row['powers']}, and no "
                f"administrator has admitted it"
            )
            remedy = f"revoke jobs_runner from {row['name']};"
        yield Finding(check="runners", status="warning", detail=detail, remedy=remedy, choice=True)
    if not rows:
        detail = "no role is a member of jobs_runner: no jobs run but those of the DSN's own user"
        yield Finding(
            check="runners",
            status="warning",
            detail=detail,
            remedy="grant jobs_producer, jobs_runner to YOUR_ROLE;",
            choice=True,
        )
    elif not mighty:
        yield _all_well("runners", ", ".join(row["name"] for row in rows))


def supervisor_roles(target: Target) -> Iterator[Finding]:
    """Look for supervisors with rights that supervising does not need; a superuser is refused by
    `pyworker run`.
    """
    rows = target.rows(
        "with recursive member (oid) as ("
        " select oid from pg_catalog.pg_roles where rolname = 'jobs_supervisor' union"
        " select m.member from pg_catalog.pg_auth_members m join member on m.roleid = member.oid),"
        " reached (login, oid) as (select r.oid, r.oid from member"
        " join pg_catalog.pg_roles r using (oid)"
        "  where r.rolcanlogin union"
        "  select o.login, m.roleid from pg_catalog.pg_auth_members m"
        " join reached o on o.oid = m.member)"
        " select pg_catalog.quote_ident(l.rolname) as name,"
        " pg_catalog.quote_ident(r.rolname) as via,"
        " l.oid = r.oid as own, pg_catalog.concat_ws(', ',"
        " case when r.rolsuper then 'SUPERUSER' end, case when r.rolcreaterole"
        " then 'CREATEROLE' end,"
        " case when r.rolreplication then 'REPLICATION' end, case when r.rolbypassrls"
        " then 'BYPASSRLS' end,"
        " case when r.rolname in ('pg_execute_server_program',"
        " 'pg_read_server_files', 'pg_write_server_files')"
        "  then r.rolname::text end) as powers,"
        " (select pg_catalog.quote_ident(g.rolname) from pg_catalog.pg_auth_members m"
        "  join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = l.oid"
        "  and pg_catalog.pg_has_role(g.oid, r.oid, 'member')"
        " order by g.oid <> r.oid, 1 limit 1) as membership"
        " from reached o join pg_catalog.pg_roles l on l.oid = o.login"
        " join pg_catalog.pg_roles r on r.oid = o.oid"
        " order by 1, 3 desc, 2"
    )
    mighty = [row for row in rows if row["powers"]]
    for row in mighty:
        if row["own"]:
            had = row["powers"]
            remedy = f"alter role {row['name']} nosuperuser nocreaterole noreplication nobypassrls;"
        else:
            had = (
                row["powers"]
                if row["powers"] == row["via"]
                else f"{row['powers']} by membership in {row['via']}"
            )
            remedy = f"revoke {row['membership']} from {row['name']};"
        detail = f"{row['name']} has {had}, which supervising does not need"
        # Which of its groups a login should leave is no script's choice.
        yield Finding(
            check="supervisor roles",
            status="warning",
            detail=detail,
            remedy=remedy,
            choice=not row["own"],
        )
    if not mighty:
        names = ", ".join(row["name"] for row in rows if row["own"])
        yield _all_well("supervisor roles", names or "no login is a member")
