"""Texts that are to break out of where they are put."""

STRIKE = "insert into vault.canary values ('injected')"


PAYLOADS = (
    f"'; {STRIKE}; --",
    f"\\'; {STRIKE}; --",
    f"''); {STRIKE}; --",
    f'"; {STRIKE}; --',
    f'"); {STRIKE}; --',
    f"$$; {STRIKE}; $$",
    f"$1); {STRIKE}; --",
    f"x\n; {STRIKE}\n--",
    f"E'\\'{STRIKE}",
    f"pg_catalog.now(); {STRIKE}",
    f"(select 1 from ({STRIKE} returning 1) x)",
    "%s%I%L%1$s%%",
    "%s",
    "{}{0}{job}",
    "\\",
    "\\x00",
    "'",
    '"',
    "\u02bc\uff07\u2019; --",
    "x' or '1'='1",
    "../../../etc/passwd",
    "\x1b[31m\r\n\t",
)


NAMES = (
    'a"b',
    "a'b",
    "a b;--",
    "a.b",
    "a%sI",
    "$1",
    "A\\b",
    "select",
    "\u00e9\u02bc",
    'x"); select 1; --',
)


OBJECTS = (
    "create type {s}.{t} as enum ('x', {v})",
    "create domain {s}.{d} as text default {v} check (value <> 'never')",
    """create function {s}.{f}({p} {s}.{t}, {q} {s}.{d} default {v}, {r} text[] default array[{v}])
        returns text
    language sql as $body$ select format('%s %s %s', $1, $2, $3[1]) $body$""",
    """create function {s}.{g}({p} {s}.{t}, out {o} text, out n integer) returns setof record
    language sql as $body$ select $1::text, 1 $body$""",
    """create procedure {s}.{c}({p} {s}.{t}, {q} {s}.{d} default {v})
    language plpgsql as $body$ begin commit; insert into app.ledger (n) values (4711);
      end $body$""",
)
