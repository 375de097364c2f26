"""A value of any type does in a job what it does in a direct call."""

from typing import Any

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from support import Database

from . import aftermath
from .calls import fuzz, shortened
from .values import INTERVALS, MOMENTS, NUMERICS, ODD_JSON, ODD_TEXT, TEXT, Value, Values, either

# Results have a largest size; JSON null passes NULL, as the manual says;
# a JSON number has no -0; "now" is another moment each time.
_JSON: Values = either(*[text for text in ODD_JSON if text != "null" and "1e100000" not in text])
_DATES = MOMENTS.filter(lambda moment: moment != "now") | either(
    "44-03-15 BC", "2000-02-29", "5874897-12-31"
)
_INTEGERS = either(
    "0",
    "1",
    "-1",
    "32767",
    "-32768",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9" * 30,
)

#: type -> values as text; one that the type does not take is passed over
VALUES: dict[str, Values] = {
    "text": TEXT | ODD_TEXT,
    "varchar(5)": TEXT | ODD_TEXT,
    "character(7)": TEXT | ODD_TEXT,
    "name": TEXT,
    '"char"': either("a", "", "\\200", "é"),
    "smallint": _INTEGERS,
    "integer": _INTEGERS,
    "bigint": _INTEGERS,
    "numeric": NUMERICS | _INTEGERS,
    "numeric(10,3)": NUMERICS,
    "real": either("0.1", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45", "16777217"),
    "double precision": st.floats().map(lambda number: repr(number + 0.0)) | either(
        "Infinity", "4.9e-324", "0.1", "1.7976931348623157e308",
    ),
    "money": either("$1.00", "-92233720368547758.08"),
    "boolean": either("t", "false", "maybe"),
    "jsonb": _JSON,
    "json": _JSON,
    "jsonpath": either("$.a[*] ? (@ > 1)", "strict $", "lax $.\"a b\""),
    "bytea": st.binary(max_size=40).map(lambda data: "\\x" + data.hex()) | either("", "abc",
        "\\000\\\\"),
    "date": _DATES,
    "timestamp": _DATES,
    "timestamptz": _DATES,
    "time": either("00:00", "24:00", "23:59:59.999999", "12:00:60"),
    "timetz": either("00:00+00", "24:00-15:59", "12:00:00.5+05:30"),
    "interval": INTERVALS | either("-1 mon +3 days -04:05:06.789", "P1Y-2M3DT4H", "1 mon -1 us"),
    "uuid": st.uuids().map(str),
    "inet": either("::1/128", "10.0.0.1/8", "fe80::/10"),
    "cidr": either("10.0.0.0/8", "::/0"),
    "macaddr8": either("08:00:2b:01:02:03:04:05"),
    "bit(3)": either("101", "1", ""),
    "bit varying": either("", "1", "0" * 200),
    "point": either("(1,2)", "(NaN,Infinity)", "(1e-300,-0)"),
    "polygon": either("((0,0),(1,1),(1,0))"),
    "tsvector": either("'a':1A 'b c':2", "", "'it''s' '\\\\'"),
    "tsquery": either("'a' & !'b':*A", "'x y' <2> 'z'"),
    "xid8": either("0", "18446744073709551615"),
    "pg_lsn": either("0/0", "FFFFFFFF/FFFFFFFF"),
    "oid": either("0", "4294967295"),
    "regclass": either("app.t", 'app."T"', "pg_class", "0", "99999999"),
    "regprocedure": either("app.over(text)", "pg_catalog.abs(integer)"),
    "xml": either("<a>&amp;<b/></a>", "text", ""),
    "int4range": either("empty", "[1,5)", "(,)", "[,3]", "[2147483646,]"),
    "numrange": either("(NaN,]", "[1.10,1e40)", "[-Infinity,Infinity]"),
    "tstzrange": either('["2020-01-01 00:00+00",infinity]', "[epoch,)",
        "(-infinity,4713-01-01 BC)"),
    "daterange": either("[2020-01-01,2020-02-01]", "[,infinity)"),
    "datemultirange": either("{}", "{[2020-01-01,2020-01-02),[2021-01-01,)}"),
    "integer[]": either("{}", "{1,NULL,3}", "{{1,2},{3,NULL}}", "{{{1}},{{2}}}"),
    "text[]": either("{}", '{NULL,"NULL","",",","\\"","\\\\","{}"," "}', '{{a,b},{c,d}}'),
    "numeric[]": either("{NaN,1e100,-0.00}"),
    "bytea[]": either('{"\\\\x00ff",NULL}'),
    # Elements that are arrays, or null, are not told from further dimensions and NULL by
    # PostgreSQL's jsonb_to_record.
    "jsonb[]": either('{"{\\"a\\": [null]}",NULL,"\\"x\\""}', '{{"{}"},{"1"}}'),
    "json[]": either('{"1e40","{\\"a\\": 1}",NULL}'),
    "timestamptz[]": either("{infinity,epoch,NULL}"),
    "int4range[]": either('{"[1,2)",empty}'),
    "app.mood": either("sad", "it's \"odd\", \\ {}", "none"),
    "app.mood[]": either("{sad,NULL}", '{"it\'s \\"odd\\", \\\\ {}"}'),
    "app.positive": either("1", "0", "1e40", "NaN"),
    "app.positive[]": either("{1,2.50}", "{0}", "{NULL}"),
    "app.words": either("{}", "{a,b,NULL}", "{a,b,c,d}", "{{a},{b}}"),
    "app.pair": either("(1,)", '(,"a ""b"" , \\\\ (")', "(,)", '(1,"")'),
    "app.pair[]": either('{"(1,a)",NULL,"(,)"}', '{{"(1,a)"},{"(2,b)"}}'),
    "app.nest": either('("(1,x)","{sad,NULL}","{""a"": [1]}")', "(,,)", '("(,)","{}",)'),
    "app.t": either("(1,x)", "(,)"),
}  # fmt: skip

_GIVEN: st.SearchStrategy[tuple[str, Value]] = st.one_of(
    *[
        st.tuples(
            st.just(kind),
            st.sampled_from((0, 1, 1, 1)).flatmap(lambda some, v=values: v if some else st.none()),
        )
        for kind, values in VALUES.items()
    ]
)


def test_result_is_that_of_a_direct_call(database: Database) -> None:
    """What a function sees, as text, and what it gives back, as it is: the same in a job as
    by hand.
    """
    names = {}
    for number, kind in enumerate(VALUES):
        # json is kept as jsonb: without white space, with every number written out
        shown = (
            f"v::{kind.replace('json', 'jsonb')}::text" if kind in ("json", "json[]") else "v::text"
        )
        try:
            database.run(
                f"create function app.seen_{number}(v {kind}, n integer) returns text"
                f" language sql return {shown}"
            )
        except psycopg.errors.FeatureNotSupported:
            continue  # a server without XML
        database.run(
            f"create function app.back_{number}(v {kind}, n integer) returns {kind}"
            " language sql return v"
        )
        names[kind] = number
    wanted: dict[int, tuple[Any, ...]] = {}

    @fuzz(700)
    @given(_GIVEN)
    def one(pair: tuple[str, Value]) -> None:
        kind, value = pair
        if kind not in names:
            return
        number = names[kind]
        try:
            seen, back = database.run(
                f"select to_jsonb(app.seen_{number}(v, 1))::text, to_jsonb(app.back_{number}(v,"
                " 1))::text"
                f" from (select %s::{kind} as v) as x",
                [value],
            )[0]
        except psycopg.Error:
            return  # no value of that type
        ids = database.run(
            f"select jobs.enqueue('app.seen_{number}', a), jobs.enqueue('app.back_{number}', a)"
            f" from jsonb_build_object('v', %s::{kind}, 'n', 1) as a",
            [value],
        )[0]
        wanted[ids[0]] = (kind, "seen", value, seen)
        wanted[ids[1]] = (kind, "back", value, back)

    one()
    aftermath.run_all(database)
    got = dict(database.run("select id, result::text from jobs.job where state = 'succeeded'"))
    wrong = [(
        kind, function, value, result, got.get(job, "no result"),
    ) for job, (kind, function, value, result) in wanted.items()
             if job not in got or got[job] != result]  # fmt: skip
    assert wrong == [], "\n".join(shortened(row) for row in wrong[:20])
    assert len(wanted) > 300
    aftermath.assert_all_well(database)
