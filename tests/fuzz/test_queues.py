"""What operators call, with anything: afterwards jobs still run, fail, are retried and kept."""

from hypothesis import example, given
from hypothesis import strategies as st
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import Value

FOR_OPERATORS = (
    "create_queue",
    "alter_queue",
    "drop_queue",
    "pause",
    "resume",
    "configure",
    "set_retry_rule",
    "reconcile",
    "create_window",
    "alter_window",
    "drop_window",
    "open_window",
    "close_window",
)
LONGEST = "178000000 years"
Call = tuple[str, dict[str, Value]]


def _any_call() -> st.SearchStrategy[Call]:
    return st.one_of(
        *[st.tuples(st.just(name), FUZZED[name].arguments()) for name in FOR_OPERATORS]
    )


def test_anything(database: Database, caller: Callers) -> None:
    calls = {name: caller(name) for name in FOR_OPERATORS}

    @fuzz(500)
    @given(_any_call())
    def one(call: Call) -> None:
        name, arguments = call
        calls[name](arguments)

    one()


def test_queues_of_any_kind_work(database: Database, caller: Callers) -> None:
    """A queue with any options that were accepted runs a job, retries a failing one and is kept
    house for.
    """
    create, alter = caller("create_queue"), caller("alter_queue")
    number = 0

    @fuzz(40)
    @given(
        FUZZED["create_queue"].arguments(name=st.just("")),
        FUZZED["alter_queue"].arguments(name=st.just(""), accepting=st.just("true")),
    )
    @example({"backoff": LONGEST, "backoff_cap": LONGEST}, {})
    @example({}, {"backoff": LONGEST, "backoff_cap": LONGEST})
    @example({"backoff": "1000 years", "backoff_cap": "1000 years", "retention": "infinity"}, {})
    @example({"retention": LONGEST}, {})
    def one(created: dict[str, Value], altered: dict[str, Value]) -> None:
        nonlocal number
        number += 1
        name = f"q{number}"
        if create({**created, "name": name}).accepted:
            alter({**altered, "name": name})
            database.run(
                "select jobs.enqueue('app.nothing', queue => %s), jobs.enqueue_sql('select 1/0',"
                " queue => %s)",
                [name, name],
            )
            database.run(
                "select jobs.enqueue_sql('do $$begin raise exception ''x''; end$$', queue => %s)",
                [name],
            )

    one()
    assert number > 15
    database.admin(
        "update jobs_internal.finished set finished_at = '-infinity'"
        " where id in (select id from jobs_internal.finished limit 1)"
    )
    aftermath.run_all(database)
    database.admin("select jobs_internal.maintain()")
    aftermath.assert_all_well(database)
