"""pg_hba.conf as the server reads it: which line counts for which privileged login.

PostgreSQL takes the first line that fits; a careless line behind a strict one for the same roles,
kind of connection and addresses lets no one in, and is not reported.
"""

import ipaddress
import shlex
from dataclasses import dataclass

from pyworker.check.finding import Target

__all__ = ["Rule", "chosen", "edit_line", "fits", "named", "privileged_logins", "read_rules"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EVERYWHERE: tuple[_Network, ...] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)
_LOOPBACK: tuple[_Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of pg_hba.conf that counts for this database, and the privileged roles for which it
    is the first.
    """

    file: str
    line: int
    type: str
    users: tuple[str, ...]
    address: str
    networks: (
        tuple[_Network, ...] | None
    )  # None: a name, or something that only the server can work out
    method: str
    map: str | None
    roles: dict[str, str]
    everybody: bool  # for this database without doubt: it hides later lines

    @property
    def place(self) -> str:
        """Say where the line is."""
        return f"line {self.line} of {self.file}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether it counts for connections of this machine only."""
        return self.address == "samehost" or (
            self.networks is not None
            and all(any(_within(net, own) for own in _LOOPBACK) for net in self.networks)
        )

    def hides(self, later: "Rule") -> bool:
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


def privileged_logins(target: Target) -> dict[str, str]:
    """Name the privileged logins, and what each is: a member of a superuser counts as one."""
    rows = target.rows(
        "with recursive member (oid, granted) as ("
        " select oid, rolname from pg_catalog.pg_roles"
        " where rolname in ('jobs_runner', 'jobs_supervisor') union"
        " select m.member, member.granted from pg_catalog.pg_auth_members m"
        " join member on m.roleid = member.oid),"
        " boss (oid) as (select oid from pg_catalog.pg_roles where rolsuper union"
        " select m.member from pg_catalog.pg_auth_members m join boss on m.roleid = boss.oid)"
        " select r.rolname as name, case when b.oid is not null then 'superuser'"
        " when pg_catalog.bool_or(m.granted = 'jobs_supervisor') then 'supervisor'"
        " else 'runner' end as what"
        " from pg_catalog.pg_roles r left join member m on m.oid = r.oid"
        " left join boss b on b.oid = r.oid"
        " where r.rolcanlogin and (b.oid is not null or m.oid is not null)"
        " group by r.rolname, b.oid order by b.oid is not null desc, 2 desc, 1"
    )
    return {row["name"]: row["what"] for row in rows}


def fits(target: Target, expression: str, name: str) -> bool:
    """Match as the server does: with its own regular expressions."""
    return bool(target.value("select %s::text ~ %s::text", name, expression))


def chosen(target: Target, token: str, roles: dict[str, str]) -> dict[str, str]:
    """Choose the roles that a name in one of the two files means."""
    if token == "all":  # noqa: S105  a word of pg_hba.conf  # nosec B105
        return dict(roles)
    if token.startswith("+"):
        # Members by a grant: being a superuser does not count here.
        rows = target.rows(
            "with recursive member (oid) as ("
            " select oid from pg_catalog.pg_roles where rolname = %s union"
            " select m.member from pg_catalog.pg_auth_members m"
            " join member on m.roleid = member.oid)"
            " select r.rolname as name from member join pg_catalog.pg_roles r using (oid)",
            token[1:],
        )
        members = {row["name"] for row in rows}
        return {name: what for name, what in roles.items() if name in members}
    if token.startswith("/"):
        return {name: what for name, what in roles.items() if fits(target, token[1:], name)}
    return {token: roles[token]} if token in roles else {}


def _for_this_database(target: Target, names: list[str]) -> tuple[bool, bool]:
    """Tell whether a line may count for this database, and whether it does for every role."""
    database = str(target.value("select pg_catalog.current_database()"))
    sure = any(
        name in ("all", database) or (name.startswith("/") and fits(target, name[1:], database))
        for name in names
    )
    return sure or any(name in ("sameuser", "samerole", "samegroup") for name in names), sure


def read_rules(target: Target, roles: dict[str, str]) -> list[Rule]:
    """Read the lines that count here, each with the roles for which no earlier line does."""
    rules: list[Rule] = []
    for row in target.rows(
        "select * from pg_catalog.pg_hba_file_rules where error is null order by rule_number"
    ):
        counts, everybody = _for_this_database(target, row["database"])
        if not counts:
            continue
        options = dict(option.partition("=")[::2] for option in row["options"] or ())
        rule = Rule(
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
            rule.roles.update(chosen(target, token, roles))
        # Kept as they are in the file: a line that others hide still hides later ones.
        hidden = {
            name
            for before in rules
            if before.everybody and before.hides(rule)
            for name in before.roles
        }
        for name in hidden & set(rule.roles):
            del rule.roles[name]
        rules.append(rule)
    return rules


def named(roles: dict[str, str], most: int = 3) -> str:
    """List some of the roles, each with what it is."""
    said = [f"{name} ({what})" for name, what in list(roles.items())[:most]]
    more = f" and {len(roles) - most} more" if len(roles) > most else ""
    return ", ".join(said) + more


def edit_line(file: str, line: int, change: str) -> str:
    """Write the line of the shell that changes one line of a file."""
    return (
        f"`sed -i -E {shlex.quote(f'{line}{change}')} {shlex.quote(file)}`, then select "
        f"pg_reload_conf();"
    )
