"""What `check` looks at in pg_hba.conf: lines that let others log in as a privileged role.

Privileged here are superusers, supervisors, and runners, whose jobs run as themselves.
"""

from collections.abc import Iterator

from pyworker.check.finding import Finding, Status, Target
from pyworker.check.hba import Rule, edit_line, named, privileged_logins, read_rules
from pyworker.check.sockets import is_open_socket

__all__ = ["host_access"]

#: The server gets the password itself, so it passes in clear where the connection is not encrypted.
_CLEAR = ("password", "ldap", "pam", "radius", "bsd")
_ENCRYPTED = ("hostssl", "hostgssenc", "local")
_TLS_FIRST = (
    "alter system set ssl = on;  -- with server.crt and server.key in place; then reload,"
    " and check again"
)


def _complaints(rule: Rule, *, open_socket: bool) -> Iterator[tuple[Status, str, str]]:
    """Say what is careless in one line: how bad, what, and the change of the line."""
    where = "the socket" if rule.type == "local" else rule.address or "?"
    who = named(rule.roles)
    if rule.method == "trust":
        status: Status = "critical" if rule.type != "local" or open_socket else "warning"
        better = "peer" if rule.type == "local" else "scram-sha-256"
        yield (
            status,
            f"any client that reaches {where} is {who}, without any proof (trust)",
            rf"s/(.*)\btrust\b/\1{better}/",
        )
    elif rule.method == "ident" and rule.type != "local" and not rule.is_loopback:
        said = f"the machine at {where} says itself who its user is, and may say {who} (ident)"
        yield "critical", said, r"s/\bident\b.*/scram-sha-256/"
    elif rule.method in _CLEAR and rule.type not in _ENCRYPTED and not rule.is_loopback:
        said = f"passwords of {who} may pass in clear from {where} ({rule.method} without TLS)"
        change = (
            rf"s/(.*)\b{rule.method}\b.*/\1scram-sha-256/"
            if rule.method == "password"
            else _only_tls(rule)
        )
        yield "warning", said, change
    elif _is_wide(rule):
        said = f"{who} may come from every address ({where}), unencrypted too"
        yield "warning", said, _only_tls(rule)


def _is_wide(rule: Rule) -> bool:
    networks = rule.networks or ()
    return rule.type not in _ENCRYPTED and any(net.prefixlen == 0 for net in networks)


def _only_tls(rule: Rule) -> str:
    return rf"s/\b{rule.type}\b/hostssl/"


def host_access(target: Target) -> Iterator[Finding]:
    """Look for lines of pg_hba.conf that let a stranger be a privileged role, or overhear one."""
    check = "pg_hba"
    broken = target.rows(
        "select file_name, line_number, error from pg_catalog.pg_hba_file_rules"
        " where error is not null order by 1, 2"
    )
    for row in broken:
        detail = (
            f"line {row['line_number']} of {row['file_name']} cannot be read, so no change "
            f"counts: {row['error']}"
        )
        remedy = edit_line(row["file_name"], row["line_number"], "s/^/# /")
        yield Finding(check=check, status="warning", detail=detail, remedy=remedy)
    rules = read_rules(target, privileged_logins(target))
    open_socket = is_open_socket(target)
    found = bool(broken)
    for rule in rules:
        if rule.roles and rule.method != "reject":
            for status, said, change in _complaints(rule, open_socket=open_socket):
                found = True
                remedy = edit_line(rule.file, rule.line, change)
                if change == _only_tls(rule) and target.setting("ssl") == "off":
                    remedy = _TLS_FIRST  # where TLS is off, a line "hostssl" is an error
                yield Finding(
                    check=check, status=status, detail=f"{rule.place}: {said}", remedy=remedy
                )
    if not found:
        lines = "1 line counts" if len(rules) == 1 else f"{len(rules)} lines count"
        detail = f"{lines} for this database; none lets a privileged role in without proof"
        yield Finding(check=check, status="ok", detail=detail)
