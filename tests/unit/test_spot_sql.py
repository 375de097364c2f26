"""The look over the SQL finds what it is for, also where pgspot alone is blind;
and every exception is needed.
"""

import pytest
from spot_sql import EXCEPTIONS, look

from pyworker.schema.script import Step, When

CLOSED_PATH = "set search_path = pg_catalog, pg_temp"

ATOMIC = f"""
set local search_path = pg_catalog, pg_temp;
create function jobs.f(a int) returns int language sql security definer {CLOSED_PATH}
  begin atomic select a + 1; end;
"""


def found(text: str) -> list[str]:
    return [code for code, _place, _context in look([Step(when=When.ALWAYS, text=text)])]


def function(body: str, clause: str = CLOSED_PATH, *, replace: str = "") -> str:
    head = (
        f"create {replace} function jobs.f(p jobs_internal.call_template, q int) returns int"
        f" language plpgsql {clause}"
    )
    return f"{head} as $$ {body} $$;"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (function("begin return 1; end", ""), "PS005"),
        (function("begin return 1; end", "security definer"), "PS003"),
        (function("begin return 1; end", "security definer set search_path = public"), "PS004"),
        (function("begin return q + 1; end", ""), "PS001"),
        (function("begin return lower('A'); end", ""), "PS016"),
        (function("begin perform 1 from job; end", ""), "PS017"),
        (function("begin return 1; end", replace="or replace"), "PS002"),
        ("create schema if not exists other;", "PS010"),
        # Where pgspot alone sees nothing, or breaks.
        (
            function("begin if true then return 1; elsif q = 1 then return 2; end if; end", ""),
            "PS001",
        ),
        (function("begin p.func := 1; return q + 1; end", ""), "PS001"),
        (
            function(
                "declare v jobs_internal.call_template; begin v.func := 1; return q + 1; end", ""
            ),
            "PS001",
        ),
        (
            (
                "create function jobs.f() returns int language sql security definer begin atomic"
                " select 1; end;"
            ),
            "PS003",
        ),
        (
            (
                "create function jobs.f(a int) returns int language sql begin atomic"
                " select a + 1; end;"
            ),
            "PS001",
        ),
    ],
)
def test_what_it_finds(text: str, code: str) -> None:
    assert code in found(text)


@pytest.mark.parametrize(
    "text",
    [
        function(
            "begin p.func := 1; if q = 1 then return q + 1; elsif q = 2 then return 3; end if;"
            " return 1; end"
        ),
        ATOMIC,
    ],
)
def test_what_it_leaves_alone(text: str) -> None:
    assert found(text) == []


def test_a_body_that_changes_the_path_is_looked_at_from_there_on() -> None:
    steps = (
        "perform pg_catalog.set_config('search_path', q::pg_catalog.text, false); {} return q + 1;"
    )
    assert "PS001" in found(function(f"begin {steps.format('')} end"))
    washed = steps.format("perform jobs_internal.reset_session(null);")
    assert found(function(f"begin {washed} end")) == []


def test_every_exception_says_why() -> None:
    assert all(len(reason) > 20 for reason in EXCEPTIONS.values())
