"""The views that people look at first fit a terminal of 160 columns, as psql prints them,
with long values.
"""

import subprocess
from collections.abc import Iterator

import pytest
from databases import clone, drop
from support import Database, Server, wait_until

#: Narrow view -> the wide one that it stands for. Every other public view fits by itself.
NARROW = {
    "job_list": "job",
    "queued_list": "queued",
    "running_list": "running",
    "failed_list": "failed",
    "finished_list": "finished",
    "attempt_list": "attempts",
    "queue_list": "queues",
    "health_list": "health",
    "cost_list": "cost",
    "session_list": "sessions",
    "supervisor_list": "supervisors",
    "log_list": "log_lines",
    "audit_list": "audit",
    "publication_list": "publications",
    "option_list": "options",
    "step_list": "steps",
    "operation_list": "operations",
    "phase_list": "phases",
    "measurement_list": "measurements",
    "schedule_list": "schedules",
    "schedule_run_list": "schedule_runs",
    "batch_list": "batches",
    "concurrency_key_list": "concurrency_keys",
    "window_list": "windows",
    "mark_list": "marks",
    "wait_reason_list": "wait_reasons",
}
#: These fit by themselves.
NAMED = ("settings", "retry_rules", "errors", "quotas", "admitted_roles", "metrics")
OWNER = "reports_of_the_customer_portal"  # 30 characters
LONG_NAME = "nightly_refresh_of_customer_totals"
LONG = (
    "insert or update on table ''orders'' violates foreign key constraint"
    " ''orders_customer_id_fkey'' and more"
)


@pytest.fixture(scope="module")
def psql(server: Server) -> str:
    """The psql of the server."""
    return str(server.private.bin("psql")) if server.private else "psql"


@pytest.fixture(scope="module")
def busy(server: Server, template: str) -> Iterator[Database]:
    """Jobs of a long name in a queue of a long name, with long errors, results and reasons;
    trouble in the health.
    """
    database = clone(server, template, "wide")
    database.admin("select setval('jobs_internal.job_id_seq', 12345678)")
    database.run("select jobs.create_queue('maintenance_of_the_archive_tables')", role="operator")
    database.run(
        f"create function app.{LONG_NAME}(n integer) returns text language plpgsql as"
        f" $$ begin if n = 0 then raise '{LONG}'; end if;"
        " return repeat('a result of some length ', 40); end $$"
    )
    for n in (0, 1):
        for queue in ("default", "maintenance_of_the_archive_tables"):
            database.run(
                f"select jobs.enqueue('app.{LONG_NAME}', jsonb_build_object('n', %s), %s,"
                " max_attempts => 1)",
                [n, queue],
            )
    database.run(
        f"create procedure app.{LONG_NAME}_and_log() language plpgsql as"
        " $$ begin perform jobs.log(repeat('a message ', 20),"
        " fields => jsonb_build_object('customer', 'a name of some length', 'table',"
        " repeat('a_long_word', 6))); end $$"
    )
    database.run(
        f"select jobs.enqueue_sql('call app.{LONG_NAME}_and_log()',"
        " 'maintenance_of_the_archive_tables')"
    )
    database.drain()
    _fill_the_rest(database)
    database.run(
        f"select jobs.enqueue_steps(jsonb_build_array('alter table app.{LONG_NAME} add {LONG_NAME}"
        " text', 'vacuum'), run_at => '2100-01-01')"
    )
    database.admin(
        "insert into jobs_internal.phase (job_id, attempt, n, phase, started_at, finished_at, work,"
        " total, unit, expected_seconds) select job_id, 12, 345,"
        " 'waiting for readers before marking dead, or a longer one', now() - interval '3 days',"
        " now(), 123456789012, 123456789012, 'statistics', 123456.789 from jobs_internal.operation"
    )
    database.admin(
        "update jobs_internal.operation set started_at = now() - interval '100 days', phase ="
        " 'waiting for readers before marking dead', percent = 99.9, lock_attempts = 99,"
        " undo_missing = repeat('a reason ', 20), deadlock_risk = jsonb_build_array("
        "jsonb_build_object('pid', 123456, 'owner', 'a_role', 'why', repeat('why ', 20)))"
    )
    figures = '{"ms": 1234567.891, "buffers": 12345678901}'
    database.admin(
        "insert into jobs_internal.measurement (job_id, n, label, statement, kind, before, after)"
        " select o.job_id, n, repeat('select a_long_word ', 9), 'select 1', 'query', %s,"
        f" case n when 1 then %s::jsonb else jsonb_build_object('error', '{LONG}') end"
        " from jobs_internal.operation as o, generate_series(1, 2) as n",
        [figures, figures],
    )
    database.run(
        f"select jobs.schedule('{LONG_NAME} of them', '1,4,9,17,33 3,7,11,19 1-7,15,31 1,3,5 tue',"
        f" 'app.{LONG_NAME}', '{{\"n\": 1}}', 'America/Argentina/ComodRivadavia')"
    )
    database.run(
        f"select jobs.create_window('{LONG_NAME}', '1,4,9,17 3,7,11 1-7,15,31 1,3,5 tue',"
        " '3 minutes', 'America/Argentina/ComodRivadavia'),"
        f" jobs.open_window('{LONG_NAME}', '100 days')",
        role="operator",
    )
    database.admin(
        "insert into jobs_internal.schedule_run (schedule_id, due_at, until, occurrences, outcome,"
        " reason, job_id) select id, now() - interval '1 year', now(), 999, 'coalesced',"
        " repeat('a reason ', 20), 12345678 from jobs_internal.schedule"
    )
    database.run(f"select jobs.create_batch('{LONG_NAME}')")
    database.run(
        f"select jobs.mark(repeat('{LONG_NAME} ', 5), repeat('kind', 10),"
        " jsonb_build_object('why', repeat('why ', 99)))"
    )
    database.admin("update jobs_internal.mark set job_id = 12345678")
    database.admin(
        "insert into jobs_internal.batch_delta (owner, batch_id, total, succeeded, failed,"
        " cancelled) select owner, id, 12345678, 1234567, 1234567, 1234567"
        " from jobs_internal.batch"
    )
    database.run(
        f"select jobs.enqueue('app.{LONG_NAME}', '{{\"n\": 1}}',"
        " 'maintenance_of_the_archive_tables')"
    )
    database.admin(
        "update jobs_internal.job set run_at = now() - interval '400 days', created_at = now() -"
        " interval '400 days'"
    )
    database.run("select jobs.set_concurrency(repeat('a key of a customer ', 20), 1000)")
    database.run("select jobs.enqueue('pg_catalog.now')", role="producer")
    with database.connect("supervisor") as line:
        line.execute(
            "select jobs_internal.supervisor_open('worker-host-17.example.org:123456',"
            " 'worker-host-17.example.org',"
            " 123456, '0.1.0')"
        )
        yield database
    drop(database)
    server_wide(server, f"drop role {OWNER}")


def server_wide(server: Server, statement: str) -> None:
    """Run a statement of the administrator's that holds for the whole server."""
    with server.administrate() as line:
        line.execute(statement.encode())


def _fill_the_rest(database: Database) -> None:
    """Give the past to an owner of a long name; let there be costs of a day,
    a quota and a publication.
    """
    server_wide(database.server, f"drop role if exists {OWNER}")
    server_wide(database.server, f"create role {OWNER} login in role jobs_producer, jobs_runner")
    database.admin(f"update jobs_internal.finished set owner = '{OWNER}'::regrole")
    database.admin(
        f"update jobs_internal.daily_cost set owner = '{OWNER}'::regrole, attempts = 86400,"
        " failed = 1200, ms = 86400123.4, waited_ms = 7654321.9, rows = 12345678, measured = 86400,"
        " wal_bytes = 123456789012, buffers_hit = 1234567890, buffers_read = 123456789,"
        " buffers_dirtied = 12345678,"
        " temp_bytes = 12345678901"
    )
    database.admin(
        f"select jobs.set_quota('{OWNER}', pending => 1000000, running => 100,"
        " per_minute => 100000,"
        " args_bytes => 1000000, result_bytes => 1000000, history_rows => 10000000,"
        " over_rate => 'refuse')"
    )
    database.admin(f"select jobs.admit_role('{OWNER}')")
    database.run(
        f"select jobs.publish('app.{LONG_NAME}(integer)', 'producer', pending => 100000,"
        " per_minute => 100000)"
    )


@pytest.fixture
def shown(busy: Database, view: str) -> Iterator[Database]:
    """The same, and a job of a long title that runs, for the view of those."""
    if view not in {"running_list", "session_list"}:
        yield busy
        return
    nap = busy.value(
        "select jobs.enqueue('pg_catalog.pg_sleep', '{\"$1\": 600}',"
        " 'maintenance_of_the_archive_tables',"
        " priority => 'high', options => jsonb_build_object('title', repeat('a long title ', 10)))"
    )
    busy.run("select jobs.start()")
    wait_until(lambda: busy.run("select 1 from jobs.running where id = %s", [nap]))
    yield busy
    busy.run("select jobs.cancel(%s)", [nap])
    wait_until(
        lambda: busy.run("select 1 from jobs.job where state = 'cancelled' and id = %s", [nap])
    )


def test_each_view_is_measured(busy: Database) -> None:
    """No public view is neither narrow, nor has a narrow one beside it."""
    views = busy.admin(
        "select relname::text from pg_class where relnamespace = 'jobs'::regnamespace"
        " and relkind = 'v'"
    )

    assert {view for (view,) in views} == {*NARROW, *NARROW.values(), *NAMED}


@pytest.mark.parametrize("view", [*NARROW, *NAMED])
def test_it_fits_160_columns(shown: Database, psql: str, view: str) -> None:
    """No line that psql prints is longer, and there is something to print."""
    printed = subprocess.run(
        [
            psql,
            "-X",
            "-P",
            "pager=off",
            "-d",
            shown.dsn("postgres"),
            "-c",
            f"select * from jobs.{view}",
        ],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"},
    ).stdout
    lines = printed.splitlines()

    assert len(lines) > 4, printed
    assert max(map(len, lines)) <= 160, "\n".join(line for line in lines if len(line) > 160)


@pytest.mark.parametrize("view", NARROW)
def test_it_has_what_the_wide_one_has(shown: Database, view: str) -> None:
    """As many rows as its wide sibling."""
    counts = shown.admin(
        f"select (select count(*) from jobs.{view}), (select count(*) from jobs.{NARROW[view]})"
    )[0]

    assert counts[0] == counts[1]
    assert counts[0] > 0


def test_attempts_come_in_their_order(busy: Database) -> None:
    """Within a job the first attempt comes first."""
    job = busy.value(f"select jobs.enqueue('app.{LONG_NAME}', '{{\"n\": 0}}', max_attempts => 3)")
    busy.run(
        "select jobs.alter_queue('default', backoff => '0', backoff_cap => '0')", role="operator"
    )
    busy.drain()

    assert busy.run("select attempt from jobs.attempts where job_id = %s", [job]) == [
        (1,),
        (2,),
        (3,),
    ]
