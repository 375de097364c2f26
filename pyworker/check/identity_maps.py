"""What `check` looks at in pg_ident.conf: maps that let others than the supervisor log in as a
privileged role.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyworker.check.finding import Finding, Status, Target
from pyworker.check.hba import Rule, chosen, edit_line, fits, named, privileged_logins, read_rules

__all__ = ["identity_maps"]

_MAPPED = ("peer", "ident", "cert", "gss", "sspi")
_UNUSED_NAME = "zz_no_user_has_this_name_0"  # an expression that fits it fits every name


def _server_user(target: Target) -> set[str]:
    """Name the OS users who need no map to be everybody: root, and the one who owns the cluster's
    files.
    """
    if not target.is_here:
        return {"root", "postgres"}
    try:
        return {"root", Path(target.setting("data_directory") or "/").owner()}
    except (OSError, KeyError):
        return {"root", "postgres"}


def _mappings(target: Target, rule: Rule) -> list[dict[str, Any]]:
    return target.rows(
        (
            "select * from pg_catalog.pg_ident_file_mappings where error is null and map_name = %s"
            " order by map_number"
        ),
        rule.map,
    )


def _wide_mappings(target: Target, rule: Rule) -> Iterator[tuple[dict[str, Any], Status, str]]:
    """List the mappings from an OS user, neither the role's own nor the supervisor's, to a
    privileged role.
    """
    mappings = _mappings(target, rule)
    supervisors = {name: what for name, what in rule.roles.items() if what == "supervisor"}
    # The supervisor's OS users connect as every runner: that is how sessions are launched.
    theirs = {
        row["sys_name"] for row in mappings if chosen(target, row["pg_username"], supervisors)
    }
    trusted = _server_user(target) if rule.method == "peer" else set()
    kind = {"cert": "certificate", "peer": "OS user"}.get(rule.method, "user")
    for row in mappings:
        who, role = str(row["sys_name"]), str(row["pg_username"])
        roles = chosen(target, role, rule.roles)
        if not roles or "\\1" in role or who in trusted:
            continue
        if who.startswith("/"):
            if fits(target, who[1:], _UNUSED_NAME):
                yield row, "critical", f"every {kind} ({who}) may be {named(roles)}"
                continue
        elif not role.startswith(("+", "/")) and role != "all":
            continue  # one user, one role: it was meant
        if who not in theirs or "superuser" in roles.values():
            yield row, "warning", f"{kind} {who} may be {named(roles)}"


def identity_maps(target: Target) -> Iterator[Finding]:
    """Look for maps of pg_ident.conf, in use here, that let others than the supervisor
    be runners.
    """
    check = "pg_ident"
    seen: set[tuple[str, int]] = set()
    used: set[str] = set()
    for rule in read_rules(target, privileged_logins(target)):
        if rule.map is None or rule.method not in _MAPPED or not rule.roles:
            continue
        used.add(rule.map)
        for row, status, said in _wide_mappings(target, rule):
            place = (str(row["file_name"]), int(row["line_number"]))
            if place not in seen:
                seen.add(place)
                detail = f"line {place[1]} of {place[0]}, map {rule.map}: {said}"
                yield Finding(
                    check=check, status=status, detail=detail, remedy=edit_line(*place, "s/^/# /")
                )
    if not seen:
        detail = (
            f"maps in use: {', '.join(sorted(used))}; none makes a stranger a privileged role"
            if used
            else "no map"
        )
        yield Finding(check=check, status="ok", detail=detail)
