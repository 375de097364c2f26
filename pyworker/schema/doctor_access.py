"""What the doctor looks at in the ways in: pg_hba.conf, pg_ident.conf and the socket, and whom they let be whom.

Looked at are the roles that somebody could do harm with: superusers, supervisors, and runners, whose jobs run as
themselves. PostgreSQL takes the first line that fits; a careless line behind a strict one for the same roles, kind of
connection and addresses lets nobody in, and is not reported.
"""

import ipaddress
import re
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyworker.schema.findings import Finding, Patient, Status

__all__ = ["host_access", "identity_maps", "sockets"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EVERYWHERE: tuple[_Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_LOOPBACK: tuple[_Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_MAPPED = ("peer", "ident", "cert", "gss", "sspi")
#: The server gets the password itself, so it passes in clear where the connection is not encrypted.
_CLEAR = ("password", "ldap", "pam", "radius", "bsd")
_ENCRYPTED = ("hostssl", "hostgssenc", "local")
_NOBODY = "zz_nobody_has_this_name_0"  # an expression that fits it fits everybody
_TLS_FIRST = "alter system set ssl = on;  -- with server.crt and server.key in place; then reload, and check again"
_SHARED = ("/tmp", "/var/tmp")  # noqa: S108  looked for, not used  # nosec B108


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """One line of pg_hba.conf that counts for this database, and the powerful roles for which it is the first."""

    file: str
    line: int
    type: str
    users: tuple[str, ...]
    address: str
    networks: tuple[_Network, ...] | None  # None: a name, or something that only the server can work out
    method: str
    map: str | None
    roles: dict[str, str]
    everybody: bool  # for this database without doubt: it hides later lines

    @property
    def place(self) -> str:
        return f"line {self.line} of {self.file}"

    @property
    def is_loopback(self) -> bool:
        return self.address == "samehost" or (
            self.networks is not None and all(any(_within(net, own) for own in _LOOPBACK) for net in self.networks)
        )

    def hides(self, later: "_Rule") -> bool:
        """Tell whether no connection that fits both lines ever gets to the later one."""
        if self.type != later.type and (self.type != "host" or later.type == "local"):
            return False
        if self.networks is None or later.networks is None:
            return self.networks == _EVERYWHERE or self.address == later.address
        return all(any(_within(net, wide) for wide in self.networks) for net in later.networks)


def _within(net: _Network, wide: _Network) -> bool:
    if isinstance(net, ipaddress.IPv4Network) and isinstance(wide, ipaddress.IPv4Network):
        return net.subnet_of(wide)
    if isinstance(net, ipaddress.IPv6Network) and isinstance(wide, ipaddress.IPv6Network):
        return net.subnet_of(wide)
    return False


def _networks(address: str | None, netmask: str | None) -> tuple[_Network, ...] | None:
    if address is None:
        return ()
    if address == "all":
        return _EVERYWHERE
    try:
        base = ipaddress.ip_address(address)
        mask = int(ipaddress.ip_address(netmask or ""))
    except ValueError:
        return None
    return (ipaddress.ip_network(f"{base}/{mask.bit_count()}", strict=False),)


def _powerful(patient: Patient) -> dict[str, str]:
    """Name the logins that somebody could do harm with, and what each is: a member of a superuser is as much as one."""
    rows = patient.rows(
        "with recursive member (oid, granted) as ("
        " select oid, rolname from pg_catalog.pg_roles where rolname in ('jobs_runner', 'jobs_supervisor') union"
        " select m.member, member.granted from pg_catalog.pg_auth_members m join member on m.roleid = member.oid),"
        " boss (oid) as (select oid from pg_catalog.pg_roles where rolsuper union"
        " select m.member from pg_catalog.pg_auth_members m join boss on m.roleid = boss.oid)"
        " select r.rolname as name, case when b.oid is not null then 'superuser'"
        " when pg_catalog.bool_or(m.granted = 'jobs_supervisor') then 'supervisor' else 'runner' end as what"
        " from pg_catalog.pg_roles r left join member m on m.oid = r.oid left join boss b on b.oid = r.oid"
        " where r.rolcanlogin and (b.oid is not null or m.oid is not null)"
        " group by r.rolname, b.oid order by b.oid is not null desc, 2 desc, 1"
    )
    return {row["name"]: row["what"] for row in rows}


def _fits(patient: Patient, expression: str, name: str) -> bool:
    """Match as the server does: with its own regular expressions."""
    return bool(patient.value("select %s::text ~ %s::text", name, expression))


def _chosen(patient: Patient, token: str, roles: dict[str, str]) -> dict[str, str]:
    """Choose the roles that a name in one of the two files means."""
    if token == "all":  # noqa: S105  a word of pg_hba.conf  # nosec B105
        return dict(roles)
    if token.startswith("+"):
        # Members by a grant: being a superuser does not count here.
        rows = patient.rows(
            "with recursive member (oid) as ("
            " select oid from pg_catalog.pg_roles where rolname = %s union"
            " select m.member from pg_catalog.pg_auth_members m join member on m.roleid = member.oid)"
            " select r.rolname as name from member join pg_catalog.pg_roles r using (oid)",
            token[1:],
        )
        members = {row["name"] for row in rows}
        return {name: what for name, what in roles.items() if name in members}
    if token.startswith("/"):
        return {name: what for name, what in roles.items() if _fits(patient, token[1:], name)}
    return {token: roles[token]} if token in roles else {}


def _for_this_database(patient: Patient, names: list[str]) -> tuple[bool, bool]:
    """Tell whether a line may count for this database, and whether it does for every role."""
    database = str(patient.value("select pg_catalog.current_database()"))
    sure = any(
        name in ("all", database) or (name.startswith("/") and _fits(patient, name[1:], database)) for name in names
    )
    return sure or any(name in ("sameuser", "samerole", "samegroup") for name in names), sure


def _rules(patient: Patient, roles: dict[str, str]) -> list[_Rule]:
    """Read the lines that count here, each with the roles for which no earlier line does."""
    rules: list[_Rule] = []
    for row in patient.rows("select * from pg_catalog.pg_hba_file_rules where error is null order by rule_number"):
        counts, everybody = _for_this_database(patient, row["database"])
        if not counts:
            continue
        options = dict(option.partition("=")[::2] for option in row["options"] or ())
        rule = _Rule(
            file=row["file_name"],
            line=row["line_number"],
            type=row["type"],
            users=tuple(row["user_name"]),
            address=row["address"] or "",
            networks=_networks(row["address"], row["netmask"]),
            method=row["auth_method"],
            map=options.get("map"),
            roles={},
            everybody=everybody,
        )
        for token in rule.users:
            rule.roles.update(_chosen(patient, token, roles))
        # Kept as they are in the file: a line that others hide still hides later ones.
        hidden = {name for before in rules if before.everybody and before.hides(rule) for name in before.roles}
        for name in hidden & set(rule.roles):
            del rule.roles[name]
        rules.append(rule)
    return rules


def _named(roles: dict[str, str], most: int = 3) -> str:
    said = [f"{name} ({what})" for name, what in list(roles.items())[:most]]
    more = f" and {len(roles) - most} more" if len(roles) > most else ""
    return ", ".join(said) + more


def _edit(file: str, line: int, change: str) -> str:
    """Write the line of the shell that changes one line of a file."""
    return f"`sed -i -E {shlex.quote(f'{line}{change}')} {shlex.quote(file)}`, then select pg_reload_conf();"


def _complaints(rule: _Rule, *, open_socket: bool) -> Iterator[tuple[Status, str, str]]:
    """Say what is careless in one line: how bad, what, and the change of the line."""
    where = "the socket" if rule.type == "local" else rule.address or "?"
    who = _named(rule.roles)
    if rule.method == "trust":
        status: Status = "critical" if rule.type != "local" or open_socket else "warning"
        better = "peer" if rule.type == "local" else "scram-sha-256"
        yield status, f"whoever reaches {where} is {who}, without any proof (trust)", rf"s/(.*)\btrust\b/\1{better}/"
    elif rule.method == "ident" and rule.type != "local" and not rule.is_loopback:
        said = f"the machine at {where} says itself who its user is, and may say {who} (ident)"
        yield "critical", said, r"s/\bident\b.*/scram-sha-256/"
    elif rule.method in _CLEAR and rule.type not in _ENCRYPTED and not rule.is_loopback:
        said = f"passwords of {who} may pass in clear from {where} ({rule.method} without TLS)"
        change = rf"s/(.*)\b{rule.method}\b.*/\1scram-sha-256/" if rule.method == "password" else _only_tls(rule)
        yield "warning", said, change
    elif _is_wide(rule):
        said = f"{who} may come from every address ({where}), unencrypted too"
        yield "warning", said, _only_tls(rule)


def _is_wide(rule: _Rule) -> bool:
    networks = rule.networks or ()
    return rule.type not in _ENCRYPTED and any(net.prefixlen == 0 for net in networks)


def _only_tls(rule: _Rule) -> str:
    return rf"s/\b{rule.type}\b/hostssl/"


def host_access(patient: Patient) -> Iterator[Finding]:
    """Look for lines of pg_hba.conf that let somebody be a powerful role without proof, or overhear one."""
    check = "pg_hba"
    broken = patient.rows(
        "select file_name, line_number, error from pg_catalog.pg_hba_file_rules where error is not null order by 1, 2"
    )
    for row in broken:
        detail = f"line {row['line_number']} of {row['file_name']} cannot be read, so no change counts: {row['error']}"
        remedy = _edit(row["file_name"], row["line_number"], "s/^/# /")
        yield Finding(check=check, status="warning", detail=detail, remedy=remedy)
    rules = _rules(patient, _powerful(patient))
    open_socket = _is_open(patient)
    found = bool(broken)
    for rule in rules:
        if rule.roles and rule.method != "reject":
            for status, said, change in _complaints(rule, open_socket=open_socket):
                found = True
                remedy = _edit(rule.file, rule.line, change)
                if change == _only_tls(rule) and patient.setting("ssl") == "off":
                    remedy = _TLS_FIRST  # where TLS is off, a line "hostssl" is an error
                yield Finding(check=check, status=status, detail=f"{rule.place}: {said}", remedy=remedy)
    if not found:
        lines = "1 line counts" if len(rules) == 1 else f"{len(rules)} lines count"
        detail = f"{lines} for this database; none lets a powerful role in without proof"
        yield Finding(check=check, status="ok", detail=detail)


def _is_open(patient: Patient) -> bool:
    """Tell whether other OS users may reach the socket, as far as that can be seen."""
    if int(patient.setting("unix_socket_permissions") or "0777", 8) & 0o007 == 0:
        return False
    if not patient.is_here:
        return True
    modes = [_mode(folder) for folder in _directories(patient)]
    return any(mode is None or mode & 0o001 for mode in modes)


def _server_user(patient: Patient) -> set[str]:
    """Name the OS users who need no map to be everybody: root, and the one who owns the cluster's files."""
    if not patient.is_here:
        return {"root", "postgres"}
    try:
        return {"root", Path(patient.setting("data_directory") or "/").owner()}
    except (OSError, KeyError):
        return {"root", "postgres"}


def _mappings(patient: Patient, rule: _Rule) -> list[dict[str, Any]]:
    return patient.rows(
        "select * from pg_catalog.pg_ident_file_mappings where error is null and map_name = %s order by map_number",
        rule.map,
    )


def _wide_mappings(patient: Patient, rule: _Rule) -> Iterator[tuple[dict[str, Any], Status, str]]:
    """List the mappings that make somebody a powerful role who is not that role's own OS user or the supervisor's."""
    mappings = _mappings(patient, rule)
    supervisors = {name: what for name, what in rule.roles.items() if what == "supervisor"}
    # The supervisor's OS users connect as every runner: that is how sessions are launched.
    theirs = {row["sys_name"] for row in mappings if _chosen(patient, row["pg_username"], supervisors)}
    trusted = _server_user(patient) if rule.method == "peer" else set()
    kind = {"cert": "certificate", "peer": "OS user"}.get(rule.method, "user")
    for row in mappings:
        who, target = str(row["sys_name"]), str(row["pg_username"])
        roles = _chosen(patient, target, rule.roles)
        if not roles or "\\1" in target or who in trusted:
            continue
        if who.startswith("/"):
            if _fits(patient, who[1:], _NOBODY):
                yield row, "critical", f"every {kind} ({who}) may be {_named(roles)}"
                continue
        elif not target.startswith(("+", "/")) and target != "all":
            continue  # one user, one role: somebody meant it
        if who not in theirs or "superuser" in roles.values():
            yield row, "warning", f"{kind} {who} may be {_named(roles)}"


def identity_maps(patient: Patient) -> Iterator[Finding]:
    """Look for maps of pg_ident.conf, in use here, that let others than the supervisor be runners."""
    check = "pg_ident"
    seen: set[tuple[str, int]] = set()
    used: set[str] = set()
    for rule in _rules(patient, _powerful(patient)):
        if rule.map is None or rule.method not in _MAPPED or not rule.roles:
            continue
        used.add(rule.map)
        for row, status, said in _wide_mappings(patient, rule):
            place = (str(row["file_name"]), int(row["line_number"]))
            if place not in seen:
                seen.add(place)
                detail = f"line {place[1]} of {place[0]}, map {rule.map}: {said}"
                yield Finding(check=check, status=status, detail=detail, remedy=_edit(*place, "s/^/# /"))
    if not seen:
        detail = f"maps in use: {', '.join(sorted(used))}; none makes a stranger a powerful role" if used else "no map"
        yield Finding(check=check, status="ok", detail=detail)


def _directories(patient: Patient) -> list[str]:
    said = patient.setting("unix_socket_directories") or ""
    return [name.strip().strip('"') for name in re.findall(r'"(?:[^"]|"")*"|[^,]+', said) if name.strip()]


def _mode(folder: str) -> int | None:
    try:
        return stat.S_IMODE(Path(folder).stat().st_mode)
    except OSError:
        return None


def _unsafe_parent(folder: str) -> str | None:
    """Name the directory, this one or one above, in which anybody may put another in its place."""
    for place in (Path(folder), *Path(folder).parents):
        mode = _mode(str(place))
        if mode is not None and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return str(place)
    return None


def sockets(patient: Patient) -> Iterator[Finding]:
    """Look for a socket that somebody else could take the place of."""
    check = "socket"
    folders = _directories(patient)
    look: Callable[[str], str | None] = _unsafe_parent if patient.is_here else lambda _folder: None
    found = False
    for folder in folders:
        open_to_all = look(folder)
        mode = _mode(folder) if patient.is_here else None
        if open_to_all:
            found = True
            detail = f"{folder}: everybody may put another socket in its place, because {open_to_all} is open to all"
            yield Finding(
                check=check, status="critical", detail=detail, remedy=f"`chmod +t {shlex.quote(open_to_all)}`"
            )
        elif folder.startswith("@") or folder in _SHARED or (mode or 0) & stat.S_IWOTH:
            found = True
            detail = f"{folder}: while the server is down, anybody may listen there and be taken for it"
            remedy = "alter system set unix_socket_directories = '/run/postgresql';  -- then restart the server"
            yield Finding(check=check, status="warning", detail=detail, remedy=remedy)
    if not found:
        rest = "" if patient.is_here else "; not on this machine, so who may write there was not looked at"
        detail = f"{', '.join(folders) or 'none'}, mode {patient.setting('unix_socket_permissions')}{rest}"
        yield Finding(check=check, status="ok", detail=detail)
