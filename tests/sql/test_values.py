"""Any value of a type survives the way from the caller through the stored job to the function
and back.
"""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from support import Database

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
_DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
_ZONES = st.integers(-15 * 60, 15 * 60).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
_MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=_ZONES)
_NUMERIC = st.decimals(
    allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20
)

#: type -> values, as JSON has them
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**63), 2**63 - 1).map(str),
    "numeric": _NUMERIC.map(str),
    "text": _TEXT,
    "boolean": st.booleans(),
    "date": _DAYS.map(lambda day: f"{day.year:04}-{day.month:02}-{day.day:02}"),
    "timestamptz": _MOMENTS.map(lambda moment: moment.isoformat()),
    "integer[]": st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=5),
    "text[]": st.lists(st.none() | _TEXT, max_size=5),
    "jsonb": _JSON,
}

_SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _batch() -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries(
        {}, optional={f"a {kind}": st.none() | values for kind, values in VALUES.items()}
    )
    return st.lists(one, min_size=1, max_size=25)


def test_round_trip(shared: Database) -> None:
    """The function gets the value that a plain cast to the parameter's type gives;
    absent ones are the default.
    """
    parameters = ", ".join(f'"a {kind}" {kind} default null' for kind in VALUES)
    pairs = ", ".join(f"'a {kind}', \"a {kind}\"" for kind in VALUES)
    shared.run(
        f"create function app.every({parameters}) returns jsonb"
        f" language sql return jsonb_build_object({pairs})"
    )
    casts = ", ".join(f'"a {kind}" {kind}' for kind in VALUES)

    @_SETTINGS
    @given(_batch())
    def check(batch: list[dict[str, Any]]) -> None:
        ids = shared.run(
            "select * from jobs.enqueue_many('app.every', %s)", [[Jsonb(args) for args in batch]]
        )
        shared.drain()
        found = shared.run(
            f"""select r.result = (select to_jsonb(x) from jsonb_to_record(a.args) as x({casts})),
            r.state, r.error, a.args
            from unnest(%s::bigint[], %s::jsonb[]) as a(id, args)
            left join jobs.job as r using (id)""",
            [[row[0] for row in ids], [Jsonb(args) for args in batch]],
        )

        assert len(found) == len(batch)
        assert [row for row in found if row[:2] != (True, "succeeded")] == []

    check()


def test_plain_values_come_back(shared: Database) -> None:
    """Text and JSON come back exactly as they were given, in any language."""
    shared.run(
        "create function app.back(t text, j jsonb) returns jsonb"
        " language sql return jsonb_build_array(t, j)"
    )

    @_SETTINGS
    @given(st.lists(st.tuples(_TEXT, _JSON), min_size=1, max_size=25))
    def check(pairs: list[tuple[str, Any]]) -> None:
        given = [Jsonb({"t": text, "j": value}) for text, value in pairs]
        ids = shared.run("select * from jobs.enqueue_many('app.back', %s)", [given])
        shared.drain()
        results: dict[int, Any] = dict(
            shared.run(
                "select id, result from jobs.job where id = any (%s)", [[row[0] for row in ids]]
            )
        )

        assert [results[job] for (job,) in ids] == [
            json.loads(json.dumps(list(pair))) for pair in pairs
        ]

    check()


def test_numbers_lose_nothing(shared: Database) -> None:
    """A number of any length comes back with every digit."""
    shared.run("create function app.exact(n numeric) returns text language sql return n::text")

    @_SETTINGS
    @given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=1, max_size=25))
    def check(numbers: list[Decimal]) -> None:
        given = [
            json.dumps({"n": str(number)}) for number in numbers if abs(number.adjusted()) < 1000
        ]
        ids = shared.run("select * from jobs.enqueue_many('app.exact', %s::jsonb[])", [given])
        shared.drain()
        results: dict[int, Any] = dict(
            shared.run(
                "select id, result from jobs.job where id = any (%s)", [[row[0] for row in ids]]
            )
        )

        kept = [number for number in numbers if abs(number.adjusted()) < 1000]
        assert [Decimal(results[job]) for (job,) in ids] == kept

    check()
