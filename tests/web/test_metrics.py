"""/metrics: what it says, in which words, from where, and at what cost."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from psycopg import errors
from support import Database, wait_until

from pyworker.http.metrics import CATALOGUE, render

from .conftest import Serve, Site
from .promtool import promtool

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
#: What a label may be; ids, arguments and texts of errors are none.
LABELS = {"queue", "state", "outcome", "task", "check", "schedule", "owner", "job_kind", "object"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(site: Site) -> Samples:
    """Read /metrics as OpenMetrics."""
    status, text, headers = site.answer("/metrics", Accept=OPENMETRICS)
    assert (status, headers["content-type"].startswith(OPENMETRICS)) == (200, True)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def tasks_of(samples: Samples) -> set[str]:
    return {
        dict(labels)["task"] for name, labels in samples if name == "pyworker_task_attempts_total"
    }


@pytest.fixture(scope="module")
def worked(shared: Database) -> Database:
    """Some jobs that went well, one that failed, one that waits, a schedule."""
    for _ in range(3):
        shared.run("select jobs.enqueue('pg_catalog.now')")
    shared.run("""select jobs.enqueue('pg_catalog.set_byte', '{"$1": "", "$2": 7, "$3": 1}')""")
    shared.drain()
    shared.run("select jobs.enqueue('pg_catalog.now', run_at => now() + interval '1 h')")
    shared.run("select jobs.schedule('often', '@hourly', 'pg_catalog.now')")
    return shared


def test_both_formats_say_the_same_and_are_well_formed(site: Site, worked: Database) -> None:
    site.life.ticked()
    samples = read(site)
    status, text, headers = site.answer("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    plain = {line.split("{")[0].split()[0] for line in text.splitlines() if line[0] != "#"}
    assert plain == {name for name, _labels in samples}
    assert promtool("check", "metrics", text=text) == (0, "")


def test_the_figures(serve: Serve, worked: Database) -> None:
    site = serve(worked.dsn("reader"))
    site.life.ticked()
    samples = read(site)
    assert one(samples, "pyworker_up") == 1
    for state, count in {"queued": 0, "running": 0, "scheduled": 1, "failed": 1}.items():
        assert one(samples, "pyworker_jobs", queue="default", state=state) == count
    over = dict(worked.run("select state, count(*) from jobs.finished group by 1", role="reader"))
    assert over["succeeded"] >= 3  # each had one attempt
    for outcome, count in over.items():
        labels = {"queue": "default", "outcome": outcome}
        assert one(samples, "pyworker_attempts_total", **labels) == count
    task = "pg_catalog.set_byte"
    assert one(samples, "pyworker_task_attempts_total", task=task, outcome="failed") == 1
    assert one(samples, "pyworker_task_attempts_total", task=task, outcome="succeeded") == 0
    sums = "select sum(run_ms), sum(waited_ms), sum(attempts) from jobs.cost"
    run_ms, waited_ms, attempts = worked.run(sums, role="reader")[0]
    for name, total in {"attempt": run_ms, "wait": waited_ms}.items():
        found = one(samples, f"pyworker_{name}_duration_seconds_sum", queue="default")
        assert found == pytest.approx(float(total) / 1000, abs=0.001)
        found = one(samples, f"pyworker_{name}_duration_seconds_count", queue="default")
        assert found == attempts
    fires = one(samples, "pyworker_schedule_next_timestamp_seconds", schedule="often", owner="app")
    next_at = worked.value("select extract(epoch from next_at) from jobs.schedules")
    assert fires == pytest.approx(float(next_at), abs=1)
    assert one(samples, "pyworker_health_status", check="supervisors") == 1
    assert one(samples, "pyworker_slots_used_ratio", queue="default") == 0


def test_names_and_labels(site: Site, worked: Database) -> None:
    """Nothing but what the catalogue lists, with its labels; no unit but the base units."""
    site.life.ticked()
    known = {series: one for one in CATALOGUE for series in one.series}
    for name, labels in read(site):
        assert {label for label, _value in labels} == set(known[name].labels), name
    for described in CATALOGUE:
        assert described.kind == "info" or set(described.labels) <= LABELS
        assert re.fullmatch(r"pyworker_[a-z_]+", described.name)
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|total)$", described.name)
    page = (Path(__file__).parents[2] / "docs/monitoring.md").read_text(encoding="utf-8")
    for one in CATALOGUE:
        name = one.series[0] if one.kind in ("counter", "info") else one.name
        labels = ", ".join(f"`{label}`" for label in one.labels)
        assert f"| `{name}` | {labels} |".replace("  ", " ") in page
    rows = {row[0] for row in worked.run("select metric from jobs.metrics", role="reader")}
    assert rows <= known.keys(), "a row of jobs.metrics that /metrics would leave out"


def test_a_restart_loses_nothing_and_all_supervisors_agree(serve: Serve, worked: Database) -> None:
    def counters() -> Samples:
        site = serve(worked.dsn("supervisor"))
        found = {
            key: value for key, value in read(site).items() if key[0].endswith(("_total", "_sum"))
        }
        site.thread.stop()
        return found

    first = counters()
    assert len(first) > 5
    assert counters() == first


def plant(database: Database, days_ago: int, tasks: str, attempts: str) -> None:
    """Plant figures of a day: of tasks from one number to another."""
    database.admin(
        "insert into jobs_internal.daily_cost"
        f" select (now() at time zone 'UTC')::date - {days_ago}, q.id, 'app'::regrole::oid,"
        " 'task ' || n, 0, f.attempts, 0, 1000 * f.attempts, 0, 0, 0, 0, 0, 0, 0, 0"
        " from jobs_internal.queue as q"
        f" cross join generate_series({tasks}) as n"
        f" cross join lateral (select {attempts}) as f(attempts)"
    )


def test_fifty_tasks_and_the_rest(database: Database, serve: Serve) -> None:
    site = serve(database.dsn("reader"))
    plant(database, 1, "1, 60", "n")
    plant(database, 0, "1, 70", "100")
    samples = read(site)
    assert tasks_of(samples) == {"other", *(f"task {n}" for n in range(11, 61))}
    label = {"outcome": "succeeded"}
    assert one(samples, "pyworker_task_attempts_total", task="task 60", **label) == 100
    assert one(samples, "pyworker_task_attempts_total", task="other", **label) == 2000
    assert one(samples, "pyworker_task_duration_seconds_sum", task="other") == 2000
    # what was before midnight is not counted; the counter began anew
    assert one(samples, "pyworker_attempts_total", queue="default", **label) == 7000


def test_a_supervisor_that_is_no_reader_names_no_task(database: Database, serve: Serve) -> None:
    plant(database, 1, "1, 3", "n")
    plant(database, 0, "1, 3", "100")
    samples = read(serve(database.dsn("supervisor")))
    assert tasks_of(samples) == {"other"}
    label = {"task": "other", "outcome": "succeeded"}
    assert one(samples, "pyworker_task_attempts_total", **label) == 300


def test_new_tasks_have_labels_while_there_is_room_for_all(
    database: Database, serve: Serve
) -> None:
    site = serve(database.dsn("reader"))
    plant(database, 3, "1, 5", "1")
    plant(database, 0, "3, 50", "1")
    assert tasks_of(read(site)) == {f"task {n}" for n in range(3, 51)}
    plant(database, 0, "51, 51", "1")
    assert tasks_of(read(site)) == {"other", "task 3", "task 4", "task 5"}


def test_a_long_operation(database: Database, site: Site, serve: Serve) -> None:
    """It waits for a transaction that is older."""
    site = serve(database.dsn("supervisor"))
    database.run("create table app.wide (id integer)")
    holder = database.connect("app")
    holder.execute("begin isolation level repeatable read")
    holder.execute("insert into app.wide values (1)")
    job = database.value(
        "select jobs.enqueue_sql('create index concurrently wide_id on app.wide (id)')"
    )
    database.run("select jobs.start()", role="app")
    labels = {"job_kind": "create_index", "object": "app.wide_id"}

    def shown() -> list[Any]:
        return [
            (dict(labels), value)
            for (name, labels), value in read(site).items()
            if name == "pyworker_operation_progress_ratio"
        ]

    wait_until(lambda: database.job(job)["state"] == "running")
    ((found, value),) = wait_until(shown)
    assert (set(found), 0 <= value <= 1) == (set(labels), True)
    assert one(read(site), "pyworker_sessions", state="busy") == 1
    holder.execute("rollback")
    wait_until(lambda: database.job(job)["state"] == "succeeded")
    assert shown() == []


def test_a_schedule_that_was_missed(database: Database, serve: Serve) -> None:
    database.run("select jobs.schedule('often', '@hourly', 'pg_catalog.now')")
    database.admin(
        "insert into jobs_internal.schedule_run (schedule_id, due_at, fired_at, outcome,"
        " occurrences) select s.id, now() - n * interval '1 h', now() - f.ago, 'missed', 3"
        " from jobs_internal.schedule as s, (values (1, interval '0'), (2, interval '1 day'))"
        " as f(n, ago)"
    )
    assert one(read(serve(database.dsn("supervisor"))), "pyworker_schedule_missed_total") == 3


def test_a_database_that_is_away_is_a_figure(serve: Serve, worked: Database) -> None:
    site = serve(worked.dsn("supervisor").replace(worked.name, "absent"))
    samples = read(site)
    assert one(samples, "pyworker_up") == 0
    assert {name for name, _labels in samples} == {"pyworker_up", "pyworker_build_info"}


def test_who_may_read(serve: Serve, worked: Database) -> None:
    for role in ("app", "producer", "runner", "nobody"):
        with pytest.raises(errors.InsufficientPrivilege):
            worked.run("select * from jobs.metrics", role=role)
    figures = [
        dict(worked.run("select metric, sum(value) from jobs.metrics group by 1", role=role))
        for role in ("reader", "operator", "supervisor")
    ]
    assert figures[0] == figures[1] == figures[2]
    site = serve(worked.dsn("app"))
    assert site.get("/metrics")[0] == 403


def test_names_of_all_kinds_are_written_safely() -> None:
    rows = [
        {"metric": "pyworker_task_attempts_total", "labels": {"task": text, "outcome": "failed"},
         "value": n}
        for n, text in enumerate(['a"b', "a\\b", "a\nb", 'x"} 1\npyworker_up 0', "é☃", ""])
    ]  # fmt: skip
    for accept in ("", OPENMETRICS):
        text = render(accept, schema=1, ticked_at=None, figures=rows)[0].decode()
        assert text.count("\npyworker_up ") + text.startswith("pyworker_up ") == 1
    found = [
        sample.labels["task"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "task" in sample.labels
    ]
    assert found == sorted(row["labels"]["task"] for row in rows)


def test_finished_jobs_cost_nothing(database: Database) -> None:
    """The blocks that are read do not grow with them."""

    def blocks() -> int:
        query = "explain (analyze, buffers, format json) select * from jobs.metrics"
        for _ in range(2):  # the first plans, and reads the catalog
            plan = database.value(query, role="supervisor")[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    few = blocks()
    database.admin(
        "insert into jobs_internal.finished (id, run_at, created_at, started_at, finished_at,"
        " bucket, queue_id, owner, attempt, max_attempts, priority, state, outcome)"
        " select -n, now(), now(), now(), now(), 1, q.id, 'app'::regrole, 1, 1, 1, 'succeeded',"
        " 'succeeded' from jobs_internal.queue as q, generate_series(1, 20000) as n"
    )
    database.admin("analyze jobs_internal.finished")
    assert blocks() <= few + 10
