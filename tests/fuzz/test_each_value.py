"""Each known odd value where chance would seldom put it: settings with every kind of job;
what is very large.
"""

import pytest
from support import Database

from . import aftermath
from .calls import FACTOR
from .conftest import Callers
from .values import FITTING, ODD_JSON, ODD_SETTINGS, ODD_TASKS, REAL_TASKS

#: One kind of large argument has 100 MB in every run, the others only in a long one.
MEGABYTES = (
    {"string": 100, "array": 5, "key": 20, "numbers": 20}
    if FACTOR == 1
    else dict.fromkeys(("string", "array", "key", "numbers"), 100)
)
LARGE_JSON = {
    "string": """jsonb_build_object('j', repeat('x', %s))""",
    "array": """jsonb_build_object('j',
      (select jsonb_agg(i) from generate_series(1, %s / 10) as i))""",
    "key": """jsonb_build_object(repeat('k', %s), 1)""",
    "numbers": """jsonb_build_object('j',
      (select jsonb_agg(1e131000) from generate_series(1, %s / 131000)))""",
}


def test_settings(database: Database, caller: Callers) -> None:
    """A setting is refused at enqueue, or no job of any kind, that ends well or badly,
    dies of it.
    """
    enqueue, enqueue_sql = caller("enqueue"), caller("enqueue_sql")
    database.run(
        "create function app.fail(what text) returns void language plpgsql"
        " as $$ begin raise exception '%', what; end $$"
    )
    accepted = 0
    for settings in ODD_SETTINGS:
        if not enqueue({"task": "app.nothing", "settings": settings}).accepted:
            continue
        accepted += 1
        enqueue(
            {
                "task": "app.whole",
                "args": '{"a": "\\ud83d\\ude00é\\\\"}',
                "settings": settings,
                "queue": "fuzz",
            }
        )
        enqueue(
            {
                "task": "app.fail",
                "args": '{"what": "\\ud83d\\ude00é\\\\"}',
                "settings": settings,
                "queue": "fuzz.2",
            }
        )
        enqueue(
            {"task": "app.log", "args": '{"message": "\\ud83d\\ude00é\\\\"}', "settings": settings}
        )
        enqueue(
            {
                "task": "app.progress",
                "args": '{"done": 1, "total": 2, "message": "é\\\\"}',
                "settings": settings,
            }
        )
        enqueue({"task": "app.proc", "settings": settings})
        enqueue({"task": "app.set_of", "settings": settings})
        enqueue_sql({"statement": "select 1", "settings": settings, "done_when": "true"})
        enqueue_sql({"statement": "select 1/0", "settings": settings})
        enqueue_sql(
            {
                "statement": "do $$begin perform jobs.log('\U0001f600\\'); end$$",
                "settings": settings,
                "done_when": "true",
            }
        )
        enqueue_sql(
            {"statement": "do $$begin raise exception '\U0001f600\\'; end$$", "settings": settings}
        )
    assert accepted > 30
    aftermath.run_all(database)
    aftermath.assert_all_well(database)


def test_tasks_and_arguments(database: Database, caller: Callers) -> None:
    """Each name and each JSON text, with nothing beside it that is refused first."""
    enqueue, enqueue_many = caller("enqueue"), caller("enqueue_many")
    for task in (*ODD_TASKS, *REAL_TASKS):
        for args in FITTING[:4]:
            enqueue({"task": task, "args": args})
    for args in (*ODD_JSON, *FITTING):
        for task in ("app.whole", "app.plain", "app.types", "app.log", "app.many"):
            enqueue({"task": task, "args": args})
            enqueue_many(
                {
                    "task": task,
                    "args": None
                    if args is None
                    else "{" + '"' + args.replace("\\", "\\\\").replace('"', '\\"') + '"}',
                }
            )
        enqueue(
            {
                "task": "app.types",
                "args": '{"j": ' + args + ', "n": ' + args + ', "x": [' + args + "]}",
            }
        )
    aftermath.run_all(database)
    aftermath.assert_all_well(database)


@pytest.mark.parametrize("kind", LARGE_JSON)
def test_large_arguments(database: Database, kind: str) -> None:
    """Arguments of up to 100 MB are stored and passed, or refused by name; so is what a function
    gives back of them.
    """
    database.run(
        "create function app.size(j jsonb, n integer default 1) returns bigint"
        " language sql return octet_length(j::text)"
    )
    size = MEGABYTES[kind] * 1_000_000
    line = database.connect(statement_timeout="60s")
    for task in ("app.size", "app.whole"):
        refusal = line.execute(
            "do $$ begin perform jobs.enqueue('"
            + task
            + "', "
            + LARGE_JSON[kind].replace("%s", str(size))
            + ");"
            " exception when others then if sqlstate not like 'PW%' then raise; end if; end $$"
        ).statusmessage
        assert refusal == "DO"
    aftermath.run_all(database)
    aftermath.assert_all_well(database)


@pytest.mark.parametrize("text", ["select 1 ", "''", ";", "\u00e9"])
def test_a_long_statement(database: Database, caller: Callers, text: str) -> None:
    """A text that is too long is refused before anybody reads it; a shorter one is read in time."""
    enqueue_sql, enqueue = caller("enqueue_sql"), caller("enqueue")

    enqueue_sql({"statement": text * (200_000 // len(text))})
    for name in ("statement", "done_when", "rollback"):
        assert enqueue_sql({"statement": "select 1", name: text * 2_000_000}).refused == "PW018"
    assert enqueue({"task": text * 2_000_000}).refused == "PW018"
    aftermath.run_all(database)
    aftermath.assert_all_well(database)
