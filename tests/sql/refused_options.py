"""Refusals of the options of a job."""

from support import ADMINISTRATOR

from .refusal import LONG, NUMBERS, call, no, text

OPTIONS = (
    no("unknown queue", "PW007", call("app.nothing", queue="'no_such'"), "no_such"),
    no(
        "setting that ends the session",
        "PW013",
        call("app.nothing", settings="""'{"Exit_on_error": "on"}'"""),
        "Exit_on_error",
    ),
    no("zero timeout", "PW009", call("app.nothing", timeout="'0'"), "00:00:00"),
    no("negative timeout", "PW009", call("app.nothing", timeout="'-1 s'"), "-00:00:01"),
    no(
        "timeout that is over at once",
        "PW009",
        call("app.nothing", timeout="'-1 year 361 days'"),
        "-367200",
    ),
    no(
        "endless negative timeout",
        "PW009",
        call("app.nothing", timeout="'-infinity'"),
        "-infinity",
    ),
    no("no attempt", "PW010", call("app.nothing", max_attempts="0"), "0"),
    no(
        "array as settings",
        "PW011",
        call("app.nothing", settings="'[]'"),
        "settings",
        "array",
    ),
    no("array as note", "PW011", call("app.nothing", note="'[]'"), "note", "array"),
    no(
        "long note",
        "PW018",
        call("app.nothing", note=text(65536)),
        "note",
        "65545",
        "65536",
    ),
    no(
        "note of short numbers",
        "PW018",
        call("app.nothing", note="'{\"x\": 1e131000}'"),
        "note",
        "131008",
    ),
    no(
        "very long note",
        "PW018",
        call("app.nothing", note=text(20_000_000)),
        "note",
        "65536",
    ),
    no(
        "note of many",
        "PW018",
        f"select jobs.enqueue_many('app.nothing', array['{{}}']::jsonb[], note => {text(65536)})",
        "note",
    ),
    no(
        "note of a statement",
        "PW018",
        f"select jobs.enqueue_sql('select 1', note => {text(65536)})",
        "note",
    ),
    no(
        "long args",
        "PW018",
        f"select jobs.enqueue('app.whole', {text(134217720)})",
        "args",
        "134217728",
    ),
    no(
        "args of short numbers",
        "PW018",
        f"select jobs.enqueue('app.whole', {NUMBERS})",
        "args",
        "134217728",
    ),
    no(
        "long args among many",
        "PW018",
        f"select jobs.enqueue_many('app.whole', array['{{}}', {NUMBERS}])",
        "args",
    ),
    no(
        "unknown setting",
        "PW012",
        call("app.nothing", settings="""'{"work_memory": "1MB"}'"""),
        "work_memory",
    ),
    no("nameless setting", "PW012", call("app.nothing", settings="""'{"": "1MB"}'""")),
    no(
        "setting of superusers",
        "PW013",
        call("app.nothing", settings="""'{"log_statement": "all"}'"""),
        "log_statement",
    ),
    no(
        "setting of a start",
        "PW013",
        call("app.nothing", settings="""'{"max_connections": "7"}'"""),
        "max_connections",
    ),
    no(
        "setting out of range",
        "PW013",
        call("app.nothing", settings="""'{"work_mem": "-1"}'"""),
        "work_mem",
        "22023",
    ),
    no(
        "setting null",
        "PW013",
        call("app.nothing", settings="""'{"work_mem": null}'"""),
        "work_mem",
    ),
    no(
        "setting role",
        "PW013",
        call("app.nothing", settings="""'{"Role": "other"}'"""),
        "Role",
    ),
    no(
        "setting of ours",
        "PW013",
        call("app.nothing", settings="""'{"pyworker.job": "1/1 1"}'"""),
        "pyworker.job",
    ),
    no(
        "statement_timeout",
        "PW013",
        call("app.nothing", settings="""'{"statement_timeout": "1"}'"""),
        "statement_timeout",
    ),
    no("long queue name", "PW015", call("app.nothing", queue=f"'{LONG}'"), "63"),
    no("long unique_key", "PW015", call("app.nothing", unique_key=f"'{'k' * 513}'"), "513"),
    no("empty unique_key", "PW015", call("app.nothing", unique_key="''")),
    no("superuser", "PW019", call("pg_catalog.now"), "postgres", role=ADMINISTRATOR),
    no("unknown priority", "PW020", call("app.nothing", priority="'urgent'"), "urgent"),
    no(
        "key of many",
        "PW022",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], unique_key => 'k')",
    ),
    no(
        "option of many",
        "PW010",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], max_attempts => 0)",
    ),
    no(
        "setting of many",
        "PW012",
        "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], settings => '{\"x\": 1}')",
    ),
    no("option of a statement", "PW009", "select jobs.enqueue_sql('select 1', timeout => '-1 s')"),
    no(
        "setting of a statement",
        "PW012",
        "select jobs.enqueue_sql('select 1', settings => '{\"x\": 1}')",
    ),
    no("superuser's statement", "PW019", "select jobs.enqueue_sql('select 1')", role=ADMINISTRATOR),
    no("closed queue", "PW008", call("app.nothing", queue="'closed'"), "closed"),
    no("array as options", "PW011", call("app.nothing", options="'[]'"), "options", "array"),
    no("null as options", "PW011", call("app.nothing", options="'null'"), "options", "null"),
    *(
        no(
            f"options of {name}: {given[:40]}",
            "PW029",
            query.replace("$", given),
            f"jobs.{name}",
            *says,
        )
        for given, *says in (
            ('{"tilte": "x"}', "tilte", "notify (text)", "repeatable (boolean)", "title (text)"),
            ('{"": "x"}', '""'),
            ('{"Title": "x"}', '"Title"'),
            ('{"title": 5}', "title", "string", "number"),
            ('{"title": null}', "title", "null"),
            ('{"title": "  "}', "title", "200"),
            ('{"title": "' + "x" * 201 + '"}', "title", "200"),
            (r'{"title": "a\\nb"}', "title", "one line"),
            ('{"notify": true}', "notify", "boolean"),
            ('{"notify": ""}', "notify", "63"),
            ('{"notify": "' + "ä" * 32 + '"}', "notify", "63"),
            ('{"repeatable": "yes"}', "repeatable", "boolean", "string"),
        )
        for name, query in (
            ("enqueue", "select jobs.enqueue('app.keep', '{\"tag\": \"a\"}', options => e'$')"),
            (
                "enqueue_many",
                (
                    "select jobs.enqueue_many('app.keep', array['{\"tag\": \"a\"}']::jsonb[],"
                    " options => e'$')"
                ),
            ),
            ("enqueue_sql", "select jobs.enqueue_sql('vacuum', options => e'$')"),
            ("enqueue_steps", "select jobs.enqueue_steps('[\"vacuum\"]', options => e'$')"),
        )
    ),
    *(
        no(
            f"{key} of a call",
            "PW029",
            call("app.nothing", options=f'\'{{"{key}": "x"}}\''),
            key,
            "jobs.enqueue:",
        )
        for key in ("done_when", "rollback")
    ),
    no(
        "repeatable function",
        "PW029",
        call("app.nothing", options="'{\"repeatable\": true}'"),
        "functions",
    ),
    *(
        no(
            f"{key} twice",
            "PW029",
            f"select jobs.enqueue_sql('vacuum', {key} => 'select true',"
            f' options => \'{{"{key}": "select false"}}\')',
            key,
            "twice",
            "options",
        )
        for key in ("done_when", "rollback")
    ),
    no(
        "done_when in options",
        "PW017",
        "select jobs.enqueue_sql('vacuum', options => '{\"done_when\": \"a; b\"}')",
    ),
)
