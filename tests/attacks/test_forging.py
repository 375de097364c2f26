"""A4, A5, A14: forged rows, messages, sessions, starts, endings, figures, progress and log lines.

app is an ordinary owner, other its victim. What is refused has its SQLSTATE here;
what is not refused changes no row of other's.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import gate_shut, put, put_sql, state, wait_at_gate, wait_running
from support import LOGINS, Database, Server, clone, drop, sqlstate_of, wait_until

ROLES = [role for role in LOGINS if role != "nobody"]

#: Each against every table of ours and of pgmq. A4: rows; A5: code that the worker or a supervisor
#: would run.
TABLE_ATTACKS = (
    "insert into {t} default values",
    "update {t} set {c} = default",
    "delete from {t}",
    "truncate {t}",
    "select * from {t}",
    "do $$ begin lock table {t} in access share mode; end $$",
    "copy {t} to '/dev/null'",
    "merge into {t} as t using (select 1) as s on false when not matched then do nothing",
    "create trigger planted before insert on {t} for each row execute function {r}.planted()",
    (
        "create constraint trigger planted after insert on {t} deferrable for each row execute"
        " function {r}.planted()"
    ),
    "create rule planted as on insert to {t} do also select {r}.strike()",
    "create policy planted on {t} using ({r}.strike() is null)",
    "alter table {t} enable row level security",
    "create index on {t} (({r}.strike()))",
    "create statistics {r}.planted on {c}, ctid from {t}",
    "alter table {t} add column planted text default {r}.strike()",
    "alter table {t} alter column {c} set default {r}.strike()",
    "alter table {t} add constraint planted check ({r}.strike() is null)",
    "alter table {t} owner to {r}",
    "alter table {t} set schema {r}",
    "alter table {t} set (autovacuum_enabled = off)",
    "create table {r}.heir () inherits ({t})",
    "create table {r}.child (x {t}) ; drop table {r}.child; select * from {t}",
    "create table {r}.pointer (x text references {t})",
    "create or replace view {r}.peephole as select * from {t}; select * from {r}.peephole",
    "comment on table {t} is 'planted'",
    "grant all on {t} to {r}",
    "drop table {t}",
)
SEQUENCE_ATTACKS = (
    "select nextval('{t}')",
    "select setval('{t}', 1)",
    "alter sequence {t} restart",
    "select * from {t}",
)
PGMQ_ATTACKS = (
    "select pgmq.send('pyworker_1', '{{\"job\": 1}}')",
    "select pgmq.send_batch('pyworker_1', array['{{\"job\": 1}}'::jsonb])",
    "select * from pgmq.read('pyworker_1', 1, 1)",
    "select pgmq.delete('pyworker_1', 1::bigint)",
    "select pgmq.archive('pyworker_1', 1::bigint)",
    "select pgmq.purge_queue('pyworker_1')",
    "select pgmq.drop_queue('pyworker_1')",
    "select pgmq.create('planted')",
    "select * from pgmq.metrics_all()",
)
SCHEMA_ATTACKS = (
    "create function {s}.planted() returns void language sql return null",
    "create table {s}.planted (n integer)",
    "create operator {s}.=== (leftarg = bigint, rightarg = bigint, function = int8eq)",
    "create domain {s}.text as pg_catalog.text",
    "alter schema {s} rename to planted",
    "alter schema {s} owner to {r}",
    "drop schema {s} cascade",
    (
        "alter default privileges in schema {s} for role jobs_owner"
        " grant execute on functions to public"
    ),
)
FUNCTION_ATTACKS = (
    "create or replace function {f} returns {t} language sql return null",
    "alter function {f} owner to {r}",
    "alter function {f} set search_path = {r}",
    "alter function {f} security invoker",
    "alter function {f} rename to planted",
    "alter function {f} depends on extension plpgsql",
    "drop function {f}",
)


def _refusals(database: Database, role: str, attacks: list[str]) -> dict[str, str | None]:
    """Try each as that role; gives what was not refused for want of a right."""
    line = database.connect(role)
    found = {
        attack: sqlstate_of(lambda attack=attack: line.execute(attack.encode()))
        for attack in attacks
    }
    # A partitioned table has no heirs, and a table without a key nobody who points to it,
    # whoever asks.
    impossible = {("42809", "inherits"), ("42704", "references")}
    return {
        attack: code
        for attack, code in found.items()
        if code != "42501"
        and not any(code == known and word in attack for known, word in impossible)
    }


@pytest.mark.parametrize("role", ROLES)
def test_no_table_is_written_read_or_mined(shared: Database, role: str) -> None:
    """A4, A5: no role can write, read, lock, change or put code on a table, sequence,
    schema or function of ours.
    """
    shared.run(
        f"create or replace function {role}.strike() returns text"
        " language sql immutable return 'x';"
        f"create or replace function {role}.planted() returns trigger"
        " language plpgsql as 'begin return new; end'",
        role=role,
    )
    tables = shared.admin(
        """select format('%I.%I', n.nspname, c.relname), c.relkind,
        (select attname from pg_attribute where attrelid = c.oid and attnum = 1)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S')
          and (n.nspname = 'jobs_internal' or n.nspname = 'pgmq')"""
    )
    attacks = [
        attack.format(t=table, c=column, r=role)
        for table, kind, column in tables
        for attack in (SEQUENCE_ATTACKS if kind == "S" else TABLE_ATTACKS)
    ]
    attacks += [attack.format() for attack in PGMQ_ATTACKS]
    attacks += [
        attack.format(s=schema, r=role)
        for schema in ("jobs", "jobs_internal", "pgmq")
        for attack in SCHEMA_ATTACKS
    ]
    functions = shared.admin(
        "select oid::regprocedure::text, prorettype::regtype::text from pg_proc"
        " where pronamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)"
        " and proname in ('enqueue', 'me', 'may', 'claim', 'setting', 'cancel')"
    )
    attacks += [
        attack.format(f=name, t=kind, r=role)
        for name, kind in functions
        for attack in FUNCTION_ATTACKS
    ]

    left = _refusals(shared, role, attacks)
    assert left == {}
    assert len(attacks) > 900


@pytest.mark.parametrize("role", ROLES)
def test_no_row_comes_in_by_copy(shared: Database, role: str) -> None:
    """A4: COPY FROM STDIN, into tables and views."""
    line = shared.connect(role)
    for target in (
        "jobs_internal.job",
        "jobs_internal.finished",
        "jobs_internal.outbox",
        "pgmq.q_pyworker_1",
        "jobs.job",
    ):

        def copy(target: str = target) -> None:
            with line.cursor().copy(f"copy {target} from stdin".encode()) as copied:
                copied.write(b"1\n")

        assert sqlstate_of(copy) == "42501", target


@pytest.mark.parametrize("role", ROLES)
def test_no_view_is_written(shared: Database, role: str) -> None:
    """A4: a view of schema jobs takes no row, and no rule or trigger."""
    for view in (
        "job",
        "queued",
        "queues",
        "settings",
        "retry_rules",
        "sessions",
        "quotas",
        "publications",
    ):
        for attack in (
            f"insert into jobs.{view} default values",
            f"delete from jobs.{view}",
            f"create rule planted as on insert to jobs.{view} do instead nothing",
            f"create or replace view jobs.{view} as select 1",
            f"alter view jobs.{view} set (security_barrier = off)",
            f"alter view jobs.{view} set (security_invoker = on)",
        ):
            code = sqlstate_of(lambda attack=attack: shared.run(attack, role=role))
            assert code == "42501" or (
                code == "55000" and attack.startswith(("insert", "delete"))
            ), attack


@dataclass
class Scene:
    """Jobs of other, one of which runs and stays so; and a session of app that says that it is a
    worker's.
    """

    database: Database
    facts: dict[str, Any]

    def rows(self) -> list[Any]:
        """Give all that belongs to other."""
        return [
            self.database.admin(query.format(**self.facts))
            for query in (
                (
                    "select j.*, j.xmin::text from jobs_internal.job as j where"
                    " owner = 'other'::regrole order by id"
                ),
                "select * from jobs_internal.statement order by 1",
                "select * from jobs_internal.session where owner = 'other'::regrole",
                "select * from jobs_internal.finished where owner = 'other'::regrole order by id",
                "select * from jobs_internal.attempt where owner = 'other'::regrole",
                "select * from jobs_internal.log_line where owner = 'other'::regrole",
                "select * from jobs_internal.finished_log_line where owner = 'other'::regrole",
                "select * from jobs_internal.progress_message",
                "select * from jobs_internal.stop_request order by 1",
                "select * from jobs_internal.daily_cost where owner = 'other'::regrole",
                "select * from jobs_internal.queue_minute_stats where session_id <> {mine}",
                "select * from jobs_internal.lane where owner = 'other'::regrole",
                "select * from jobs_internal.slot where session_id = {session}",
                "select * from pgmq.q_pyworker_{lane} order by 1",
            )
        ]


@pytest.fixture(scope="module")
def scene(server: Server, template: str) -> Iterator[Scene]:
    database = clone(server, template, "scene")
    put(database, "pg_catalog.now")
    database.drain()
    put(database, "other.work", role="other")
    database.drain(role="other")
    with gate_shut(database):
        job = put(database, "other.gate", role="other", timeout="1 hour")
        waiting = put(database, "other.work", {"n": 2}, role="other")
        statement = put_sql(database, "create index concurrently on other.ledger (n)", role="other")
        plain = put_sql(database, "insert into other.ledger (n) values (4)", role="other")
        planned = put(database, "other.work", {"n": 3}, role="other", run_at="2100-01-01")
        database.run("select jobs.start()", role="other")
        wait_running(database, job)
        (pid,) = wait_at_gate(database)
        session, lane, start = database.admin(
            "select s.id, l.id, s.backend_start from jobs_internal.session as s"
            " join jobs_internal.lane as l"
            " on l.owner = s.owner where s.owner = 'other'::regrole"
        )[0]
        messages = [row[0] for row in database.admin(f"select msg_id from pgmq.q_pyworker_{lane}")]
        # A reason to stop that names its attempt, as a cancel leaves: what it says is for
        # its owner.
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'cancelled', 'x')",
            [job],
        )
        own = put(database, "app.note", {"n": 1})
        mine = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
        my_lane = database.admin("select id from jobs_internal.lane where owner = 'app'::regrole")[
            0
        ][0]
        facts = {
            "job": job,
            "waiting": waiting,
            "statement": statement,
            "plain": plain,
            "planned": planned,
            "done": 2,
        }
        facts |= {
            "pid": pid,
            "session": session,
            "lane": lane,
            "start": start,
            "own": own,
            "mine": mine,
        }
        facts |= {"messages": messages, "message": messages[0], "my_lane": my_lane}
        made = Scene(database, facts)
        before = made.rows()
        yield made
        assert made.rows() == before
        database.admin("delete from jobs_internal.stop_request")
        database.run("select jobs_internal.close_session(%s, null)", [mine])
    for one in (job, waiting, statement, plain):
        wait_until(lambda one=one: state(database, one) == "succeeded", 20)
    assert database.admin(
        "select attempt, finished_at - started_at < '1 hour' from jobs.job where id = %s", [job]
    ) == [(1, True)]
    assert sorted(row[0] for row in database.admin("select n from other.ledger")) == [1, 1, 2, 4]
    assert database.admin("select * from vault.canary") == []
    drop(database)


ITEM = (
    "jsonb_populate_record(null::jobs_internal.work_item, jsonb_build_object('msg_id',"
    " %(message)s::bigint,"
    " 'job_id', {job}::bigint, 'attempt', 1, 'mode', '{mode}', 'call',"
    " 'select app.strike(''item'')',"
    " 'statement', 'select app.strike(''item'')', 'verify', false,"
    " 'done_when', 'select jobs_internal.is_done()', 'quick', true))"
)
ENDING = (
    "jsonb_populate_record(null::jobs_internal.attempt_result, jsonb_build_object('job_id',"
    " {job}::bigint, 'attempt', 1,"
    " 'outcome', '{outcome}', 'started_at', now(), 'finished_at', now(), 'result', '1'::jsonb,"
    " 'logs', '[{{\"message\": \"forged\"}}]'::jsonb))"
)
LESSON = (
    "array(select jsonb_populate_record(null::jobs_internal.run_stats,"
    " jsonb_build_object('lane_id', %(lane)s::int,"
    " 'task', 'forged', 'runs', 1, 'failed', 1, 'ms', 1)))"
)
RUNNING, WAITING, STATEMENT = "%(job)s", "%(waiting)s", "%(statement)s"
DONE = ENDING.format(job=WAITING, outcome="succeeded")
FAILED = ENDING.format(job=WAITING, outcome="failed")

#: name -> (query, expected): an SQLSTATE, or the one value that it gives; None: null, or nothing.
FORGED: dict[str, tuple[str, Any]] = {
    # As another session.
    "claim": ("select jobs_internal.claim(%(session)s, 0, null, false, 10)", "PW050"),
    "claim with release": ("select jobs_internal.claim(%(session)s, 0, null, true, 10)", "PW050"),
    "close_session": ("select jobs_internal.close_session(%(session)s, null)", "PW050"),
    "begin_alone": (
        (
            "select jobs_internal.begin_alone(%(session)s, %(lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})"
        ),
        "PW050",
    ),
    "finish_alone": (
        (
            "select jobs_internal.finish_alone(%(session)s, %(lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW050",
    ),
    "note_child": (
        "select jobs_internal.note_child(%(session)s, %(job)s, 1, pg_backend_pid())",
        "PW050",
    ),
    "find_child": ("select pid from jobs_internal.find_child(%(session)s, %(job)s, 1)", "PW050"),
    "signal_late_child": (
        "select jobs_internal.signal_late_child(%(session)s, %(job)s, 1)",
        "PW050",
    ),
    "requeue_uncharged": (
        "select jobs_internal.requeue_uncharged(%(session)s, %(job)s, 1)",
        "PW050",
    ),
    "store_identity": (
        "select jobs_internal.store_identity(%(session)s, %(statement)s, '{}')",
        "PW050",
    ),
    "store_made_index": (
        (
            "select jobs_internal.store_made_index(%(session)s, %(statement)s,"
            " 'pg_class_oid_index'::regclass)"
        ),
        "PW050",
    ),
    "say_wait": ("select jobs_internal.say_wait(%(session)s, %(statement)s, 1, 'x')", "PW050"),
    "fence": ("select jobs_internal.fence(%(session)s, %(job)s, 1)", "PW041"),
    "no session": ("select jobs_internal.claim(null, 0, null, false, 10)", "PW050"),
    # In another lane.
    "open_chunk": (
        "select jobs_internal.open_chunk(%(lane)s, %(messages)s, now(), 10, false)",
        "PW050",
    ),
    "begin_alone there": (
        (
            "select jobs_internal.begin_alone(%(mine)s, %(lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})"
        ),
        "PW050",
    ),
    "finish_chunk there": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(lane)s, %(messages)s, array[{DONE}])",
        "PW050",
    ),
    "finish_alone there": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW050",
    ),
    "no lane": ("select jobs_internal.open_chunk(null, %(messages)s, now(), 10, false)", "PW050"),
    # As oneself, with the job of somebody else.
    "begin_alone theirs": (
        (
            "select (jobs_internal.begin_alone(%(mine)s, %(my_lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})).mode"
        ),
        "gone",
    ),
    "begin_alone their index": (
        (
            "select (jobs_internal.begin_alone(%(mine)s, %(my_lane)s,"
            f" {ITEM.format(job=STATEMENT, mode='child')})).mode"
        ),
        "gone",
    ),
    "finish_chunk theirs": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(my_lane)s, '{{}}', array[{DONE}])",
        False,
    ),
    "finish_chunk theirs as failed": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(my_lane)s, '{{}}', array[{FAILED}])",
        False,
    ),
    "finish_alone theirs": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(my_lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW041",
    ),
    "finish_alone theirs as cancelled": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(my_lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='cancelled')})"
        ),
        "PW041",
    ),
    "note their process as a child": (
        "select jobs_internal.note_child(%(mine)s, %(job)s, 1, %(pid)s)",
        None,
    ),
    "note their process as a child of mine": (
        "select jobs_internal.note_child(%(mine)s, %(own)s, 1, %(pid)s)",
        None,
    ),
    "find their child": ("select pid from jobs_internal.find_child(%(mine)s, %(job)s, 1)", None),
    "press theirs": ("select jobs_internal.signal_late_child(%(mine)s, %(job)s, 1)", ""),
    "press theirs again": ("select jobs_internal.signal_late_child(%(mine)s, %(job)s, 2)", ""),
    "put theirs back": ("select jobs_internal.requeue_uncharged(%(mine)s, %(job)s, 1)", ""),
    "their identity": ("select jobs_internal.store_identity(%(mine)s, %(statement)s, '{}')", ""),
    "their index": (
        (
            "select jobs_internal.store_made_index(%(mine)s, %(statement)s,"
            " 'pg_class_oid_index'::regclass)"
        ),
        "",
    ),
    "what theirs waits for, said": (
        "select jobs_internal.say_wait(%(mine)s, %(statement)s, 1, 'x')",
        "",
    ),
    "their statement at top level": ("select jobs_internal.mark_top_level(%(plain)s)", ""),
    "their deadline": ("select jobs_internal.deadline_of(%(job)s)", None),
    "their reason to stop": ("select jobs_internal.stop_reason(%(job)s, 1)", None),
    "their reason, waited for": ("select jobs_internal.why_stopped(%(job)s, 1)", None),
    "what their index is": ("select target from jobs_internal.noted(%(statement)s)", None),
    "note what theirs is": (
        "select jobs_internal.note_identity(%(mine)s, %(statement)s, 'app')",
        None,
    ),
    "whether theirs is done": (
        "select jobs_internal.judge(%(statement)s) ->> 'why'",
        "nothing was noted before it ran",
    ),
    "what theirs left": ("select count(*) from jobs_internal.leftovers(%(statement)s)", 0),
    "what theirs runs next": ("select jobs_internal.text_now(%(statement)s)", None),
    "why theirs is not verified": ("select jobs_internal.unverified(%(statement)s)", None),
    "whether theirs is repeatable": (
        "select jobs_internal.runs_again(%(statement)s, '{\"done\": false}')",
        None,
    ),
    "whether theirs builds": ("select jobs_internal.builds_index(%(waiting)s)", False),
    "whether theirs cleans up": ("select jobs_internal.only_drops(%(waiting)s)", False),
    "their state": ("select jobs_internal.state_of(%(job)s)", "PW030"),
    "what theirs waits for": ("select jobs_internal.waiting_reason(%(waiting)s)", "PW030"),
    "whether theirs is stuck": ("select jobs_internal.child_is_stuck(%(pid)s)", False),
    "whether they are alive": ("select jobs_internal.alive(%(pid)s, now())", False),
    "their handle": ("select jobs_internal.wait_child(%(pid)s, 1, 1)", "42704"),
    "their child's end": ("select jobs_internal.child_outcome(%(pid)s, 1)", "42704"),
    "their handle, let go": ("select jobs_internal.detach_child(%(pid)s, 1)", "42704"),
    # Progress and log lines, by number and by a forged name of the session.
    "progress": ("select jobs_internal.store_progress(%(job)s, 1, 'forged')", ""),
    "progress of one that waits": (
        "select jobs_internal.store_progress(%(waiting)s, 1, 'forged')",
        "",
    ),
    "log line": (
        'select jobs_internal.store_log_line(%(job)s, 1, \'{"message": "forged"}\')',
        None,
    ),
    "log line of one that is done": (
        'select jobs_internal.store_log_line(%(done)s, 1, \'{"message": "forged"}\')',
        None,
    ),
    "arguments": (
        (
            "select jobs_internal.my_arguments() from set_config('pyworker.job',"
            " %(waiting)s || '/1 1', false)"
        ),
        None,
    ),
    "an argument": (
        (
            "select jobs_internal.argument('n', 0) from set_config('pyworker.job',"
            " %(waiting)s || '/1 1', false)"
        ),
        None,
    ),
    "progress by name": (
        (
            "select jobs.progress(1, 2, 'forged') from set_config('pyworker.job',"
            " %(job)s || '/1 1', false)"
        ),
        "",
    ),
    "log by name": (
        (
            "select jobs.log('forged') from set_config('pyworker.child', 'on', false) as a,"
            " {name} as b"
        ).replace("{name}", "set_config('pyworker.job', %(job)s || '/1 1', false)"),
        "",
    ),
    # Figures.
    "lessons of their lane": (
        f"select (jobs_internal.claim(%(mine)s, 0, {LESSON}, true, 1)).lane_id = %(my_lane)s",
        True,
    ),
    # The supervisor's part.
    "supervisor_open": ("select jobs_internal.supervisor_open('x', 'x', 1, 'x')", "42501"),
    "supervisor_tick": ("select jobs_internal.supervisor_tick(1)", "42501"),
    "supervisor_send_stop_signals": (
        "select jobs_internal.supervisor_send_stop_signals(1)",
        "42501",
    ),
    "supervisor_sleep": ("select jobs_internal.supervisor_sleep(1, true)", "42501"),
    "supervisor_close": ("select jobs_internal.supervisor_close(1)", "42501"),
    "take_outcomes": ("select jobs_internal.take_outcomes(1)", "42501"),
    "note_unreached": (
        """select jobs_internal.note_unreached(1, '{"other": "forged"}')""",
        "42501",
    ),
    "runners": ("select jobs_internal.runners()", "42501"),
    "maintain": ("select jobs_internal.maintain()", "42501"),
    # What nobody calls from outside.
    "end_attempt": (
        (
            "select jobs_internal.end_attempt(1, 'running', 1,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "42501",
    ),
    "rescue": ("select jobs_internal.rescue()", "42501"),
    "send_stop_signals": ("select jobs_internal.send_stop_signals(%(job)s)", "42501"),
    "stop_job": ("call jobs_internal.stop_job(%(job)s, 1, 'x')", "42501"),
    "launch_stop": ("select jobs_internal.launch_stop(%(job)s, 1, 'x')", "42501"),
    "cancel_waiting": ("select jobs_internal.cancel_waiting(%(waiting)s, 'x')", "42501"),
    "enter_lane": ("select jobs_internal.enter_lane(%(planned)s)", "42501"),
    "record_audit": ("select jobs_internal.record_audit('x', 'x', null, null)", "42501"),
    "put_in_outbox": ("select jobs_internal.put_in_outbox(1, 1, 1, 1, null, null)", "42501"),
    "store_log_lines": ("select jobs_internal.store_log_lines(%(job)s, 1, 0, '[]')", "42501"),
    "record_run_stats": ("select jobs_internal.record_run_stats(null, null)", "42501"),
    "release": ("select jobs_internal.release(null, false)", "42501"),
    "dispatch": ("select jobs_internal.dispatch('other'::regrole::oid, 1)", "42501"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_call_is_refused_or_changes_nothing(scene: Scene, name: str) -> None:
    """A14, A13: what a worker's session may call, with the session, lane, job,
    attempt or process of another owner.
    """
    query, expected = FORGED[name]
    before = scene.rows()
    given = {key: value for key, value in scene.facts.items() if f"%({key})s" in query}
    scene.database.run("begin")
    try:
        found: Any = scene.database.run(query, given)[0][0]
    except psycopg.Error as error:
        found = error.sqlstate
    finally:
        scene.database.run("rollback; reset all")
        wait_until(lambda: len(scene.database.background()) == 1)
    assert (found or None) == (expected or None)
    assert scene.rows() == before


#: What app may call and is not forged above, and why there is nothing in it to forge.
OWN = {
    # Of long operations, with the caller's own rights and nothing else (invoker).
    *(
        "ask_under",
        "assert_allowed",
        "assert_steps",
        "assert_still_undoable",
        "choose_queries",
        "copy_for_rehearsal",
        "count_anew",
        "facts_in_transaction",
        "facts_of",
        "gave_way",
        "lock_in_words",
        "look_up",
        "look_up_for_plan",
        "measure_job",
        "measure_operation",
        "measure_query",
        "names_of",
        "note_choice",
        "note_object",
        "objects_of",
        "note_before",
        "note_way_back",
        "path_for",
        "plan_index_bytes",
        "plan_one",
        "plan_shape",
        "plan_tables",
        "qualified",
        "real_locks",
        "recipe_relation",
        "refuse_missing",
        "restore_statistics",
        "run_explain",
        "run_rehearsal",
        "run_under",
        "set_lock_timeout",
        "statistics_of",
        "steps_given",
        "table_state",
        "text_on_copy",
        "wait_for_old_transactions",
    ),
    # Of schedules: each asks whose schedule it is, reads what it is given, or keeps one of the
    # caller's own.
    *(
        "alter_schedule",
        "current_occurrence",
        "failures_seen",
        "pause_schedule",
        "rerun_schedule",
        "resume_schedule",
        "run_schedule",
        "schedule_in_words",
        "try_schedule_settings",
        "store_schedule",
        "unschedule",
    ),
    # Of long operations: each asks whose job it is (store_object: test_tenants.py), or reads the
    # text that it is given and the catalog, which are open to everyone.
    *(
        "add_measurement",
        "after_vacuum",
        "assert_rehearsable",
        "before_vacuum",
        "constraint_recipe",
        "gain",
        "has_steps",
        "is_measured",
        "kept_queries",
        "live_operations",
        "look_at_operation",
        "manners",
        "named_queries",
        "not_null_recipe",
        "note",
        "notes_way_back",
        "operation_text",
        "own_traffic",
        "plan_names_object",
        "plan_row",
        "read_facts",
        "read_statement",
        "referenced_table",
        "rehearsed_before",
        "rehearsed_way_back",
        "relations_to_lock",
        "replace_index_recipe",
        "report_measurements",
        "saved_statistics",
        "say_awaited",
        "store_before",
        "store_measurement",
        "store_object",
        "store_steps",
        "texts_for_rehearsal",
        "traffic_now",
        "undo",
        "undo_error",
        "unique_recipe",
        "was_held",
        "way_given",
    ),
    # With the caller's own rights and nothing else (invoker), in its own session.
    *(
        "canonical",
        "canonical_many",
        "functions_by_name",
        "resolve",
        "to_canonical_jsonb",
        "try_settings",
        "limit_rows",
        "cut_line",
        "interrupted_result",
        "unwritable_result",
    ),
    *(
        "collect_run_stats",
        "with_cost",
        "measured",
        "saved_result",
        "save_result",
        "role_settings",
        "baseline",
        "reset_session",
        "collect_log",
        "stop_error",
    ),
    *(
        "error_object",
        "run_in_savepoint",
        "run_without_savepoint",
        "run_together",
        "begin_in_a_row",
        "end_in_a_row",
        "result_of",
        "distrusted",
        "stopped_results",
        "run_chunk",
        "run_statement",
        "run_child",
        "work",
        "clear_leftover",
        "launch",
        "launch_child",
        "launch_call",
        "run_in_background",
        "assert_own_login",
        "read_call",
    ),
    # The steps of a worker session, each invoker: what a step needs of ours it has from functions
    # that are forged here.
    *(
        "open_worker",
        "worker_settings",
        "claim_work",
        "begin_claim",
        "wait_for_work",
        "wait_for_more",
        "work_alone",
    ),
    *(
        "work_chunk",
        "run_alone",
        "run_call",
        "run_sql",
        "run_stats_of",
        "trust_after",
        "write_end",
        "write_end_later",
    ),
    *(
        "attempt_name",
        "begin_attempt",
        "end_of_attempt",
        "end_before_start",
    ),
    *(
        "prepare_child",
        "start_child",
        "note_started_child",
        "find_lost_child",
        "watch_child",
        "await_child",
    ),
    *(
        "note_index",
        "note_watched_child",
        "child_result",
        "child_error",
        "child_unseen",
        "child_verdict",
    ),
    *(
        "callers_path",
        "found_by",
        "ask",
        "first_skipped_table",
        "skip_error",
        "run_top_level",
        "index_definition",
        "members",
        "rebuilt_indexes",
        "maintenance_targets",
        "named_object",
        "identity_of",
        "index_of_child",
        "in_the_way",
        "background",
        "current_job",
        "current_attempt",
    ),
    # Facts about the caller, the catalog or the installation, which it may know.
    *(
        "caller",
        "caller_is",
        "viewer",
        "is_asked_by_login",
        "is_original",
        "assert_not_copy",
        "schema_version",
        "setting",
        "all_settings",
        "high_water_mark",
        "result_limit",
        "may_connect",
        "has_deferrable_constraints",
    ),
    *(
        "shutting_down",
        "out_columns",
        "columns_of",
        "slots_settled",
        "counted",
        "folded",
        "called_name",
        "cut_parameters",
        "type_of",
        "signature_types",
        "refusal_of_commit",
        "parameters",
        "argument_mismatch",
        "call_templates_are_current",
        "privileges_seen",
        "reads",
        "type_name",
        "assert_controls",
    ),
    # Invoker: two checks that only raise, and what stands behind jobs.start,
    # which launches for session_user.
    *("assert_size", "assert_member", "start"),
    # The manual, from the catalog and two public views; a sum of figures that are passed.
    *("help_of_function", "help_of_view", "errors_named", "wrapped", "eta", "with_child_cost"),
    *("measures_no_cost", "why_child_costs_are_unknown"),
    # Of the caller's own statements: tests/execution/test_child_cost.py.
    "child_figures",
    # Figures of the caller's own; what it may see is in tests/catalog/test_visibility.py.
    *(
        "activity",
        "queue_figures",
        "live_supervisors",
        "look_at_health",
        "quota_figures",
        "lane_waits",
    ),
    *("wait_codes", "shortened", "functions_gone"),  # numbers of call templates, no names
    # What works behind a door decides by session_user, as it would if it were the door: see below,
    # test_tenants.py.
    *("cancel", "retry", "run_now", "set_priority", "dismiss", "dismiss_failed", "wait"),
    *("unpublish", "enqueue_published"),
    # For the caller by session_user, whatever is passed: see below, and test_rights.py.
    *(
        "open_session",
        "dispatch_mine",
        "my_free_sessions",
        "call_template_of",
        "store_job",
        "store_jobs",
        "store_statement",
        "store_publication",
    ),
}


def test_every_function_that_an_owner_may_call_is_attacked_or_harmless(shared: Database) -> None:
    """A14: a helper that is granted later has to be forged here, or to be explained."""
    granted = {
        row[0]
        for row in shared.admin(
            "select distinct proname from pg_proc"
            " where pronamespace = 'jobs_internal'::regnamespace"
            " and has_function_privilege('app', oid, 'execute')"
        )
    }
    forged = {
        name
        for name in granted
        if any(f"jobs_internal.{name}(" in query for query, _ in FORGED.values())
    }
    assert granted - forged == OWN


@pytest.mark.parametrize(
    "call",
    [
        "cancel(%s)",
        "retry(%s)",
        "run_now(%s)",
        "dismiss(%s)",
        "set_priority(%s, 'high')",
        "wait(%s, '1 ms')",
    ],
)
def test_steering_by_a_guessed_id(scene: Scene, call: str) -> None:
    """A13: what is not there and what is another's are refused alike."""
    for job in (
        *(scene.facts[name] for name in ("job", "waiting", "planned", "statement", "done")),
        0,
        -1,
        10**9,
        None,
    ):
        for schema in ("jobs", "jobs_internal"):  # the door, and what works behind it
            query = f"select {schema}.{call}"
            assert (
                sqlstate_of(lambda query=query, job=job: scene.database.run(query, [job]))
                == "PW030"
            ), (query, job)


@pytest.mark.parametrize("role", ["app", "producer", "runner", "supervisor"])
def test_no_view_shows_it(scene: Scene, role: str) -> None:
    """A13: by id, by count, by any column."""
    for view in ("job", "queued", "failed", "finished", "attempts", "cost", "quotas"):
        assert (
            scene.database.run(f"select * from jobs.{view} as v where v::text ~ 'other'", role=role)
            == []
        ), view
    if role != "supervisor":
        for view in ("running", "sessions"):
            assert (
                scene.database.run(
                    f"select * from jobs.{view} as v where v::text ~ 'other'", role=role
                )
                == []
            ), view


def _running_by_hand(database: Database) -> tuple[int, int, int]:
    """Start a job alone in a session by hand; gives session, lane and job."""
    job = put(database, "app.note", {"n": 1})
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    lane, message, lease = database.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = database.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    begin = "select (jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)).mode"
    assert database.value(begin, [session, lane, item]) == "alone"
    return session, lane, job


@pytest.fixture(name="laned")
def _laned(database: Database) -> Database:
    """A database where app has a lane, and a function that is known to be short."""
    put(database, "app.note", {"n": 0})
    database.drain()
    return database


def _ending(job: int, **told: object) -> Jsonb:
    return Jsonb(
        {
            "job_id": job,
            "attempt": 1,
            "outcome": "succeeded",
            "started_at": "now",
            "finished_at": "now",
            **told,
        }
    )


FINISH_ALONE = (
    "select jobs_internal.finish_alone(%s, %s,"
    " jsonb_populate_record(null::jobs_internal.attempt_result, %s))"
)
FINISH_CHUNK = (
    "select jobs_internal.finish_chunk(%s, %s, '{}',"
    " array[jsonb_populate_record(null::jobs_internal.attempt_result, %s)])"
)
CLOSE = "select jobs_internal.close_session(%s, null)"


def test_a_result_larger_than_a_quota_is_not_kept(laned: Database) -> None:
    """A14: a session that writes its ending itself is held to the quota all the same."""
    laned.run("select jobs.set_quota('app', result_bytes => 1000)", role="operator")
    session, lane, job = _running_by_hand(laned)
    waiting = put(laned, "app.note", {"n": 2})
    large = [random.random() for _ in range(200)]  # what does not shrink
    assert (
        sqlstate_of(lambda: laned.run(FINISH_ALONE, [session, lane, _ending(job, result=large)]))
        == "PW040"
    )
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, result=large)]) == [(False,)]
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, result=large, logs=[])]) == [
        (False,)
    ]
    laned.run(FINISH_ALONE, [session, lane, _ending(job, result="x" * 900)])
    assert laned.result(job) == "x" * 900
    laned.run(CLOSE, [session])


FORGE_LINES = r"""do $$ declare
  v_line text := jsonb_build_object('message', repeat('z', 20000));
begin
  perform jobs.log('mine');
  for i in 1 .. 20 loop
    execute format('prepare pyworker_log_%s as select ''pyworker:%s''',
      lpad((100 + i)::text, 9, '0'),
      translate(encode(convert_to(v_line, 'UTF8'), 'base64'), E'\n', ''));
  end loop;
end $$"""


def test_forged_log_lines_are_bounded(laned: Database) -> None:
    """A14: more and longer lines than jobs.log writes, through every way in."""
    laned.run("select jobs.configure('log_lines', '3')", role="operator")
    lines = [{"message": "x" * 20_000, "fields": {"x": "y" * 20_000}}] * 50
    session, lane, job = _running_by_hand(laned)
    for line in [*lines[:10], {"message": "y"}]:
        laned.run("select jobs_internal.store_log_line(%s, 1, %s)", [job, Jsonb(line)])
    laned.run(FINISH_ALONE, [session, lane, _ending(job, logs=lines)])
    waiting = put(laned, "app.note", {"n": 2})
    laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, logs=lines)])
    laned.run(CLOSE, [session])
    forger = put(laned, "app.run", {"what": FORGE_LINES})
    laned.drain()
    assert laned.result(forger) is None
    kept = laned.run(
        "select job_id, count(*), max(length(message)), max(length(fields::text))"
        " from jobs.log_lines group by 1 order by 1"
    )
    assert [row[0] for row in kept] == [job, waiting, forger]
    assert [row for row in kept if row[1] > 8 or row[2] > 8000 or (row[3] or 0) > 8000] == []


def test_what_another_attempt_says_is_not_taken_for_the_present_one(laned: Database) -> None:
    """A14: progress, log lines and endings of another attempt than the one that runs."""
    session, lane, job = _running_by_hand(laned)
    laned.run("select jobs_internal.store_progress(%s, 1, %s)", [job, "m" * 5000])
    for attempt in (-1, 0, 2, 1000):
        laned.run("select jobs_internal.store_progress(%s, %s, 'forged')", [job, attempt])
        laned.run(
            "select jobs_internal.store_log_line(%s, %s, %s)",
            [job, attempt, Jsonb({"message": "forged"})],
        )
        for query, arguments in (
            (FINISH_ALONE, [session, lane, _ending(job, attempt=attempt)]),
            ("select jobs_internal.fence(%s, %s, %s)", [session, job, attempt]),
        ):
            assert (
                sqlstate_of(lambda query=query, arguments=arguments: laned.run(query, arguments))
                == "PW041"
            )
        laned.run("select jobs_internal.requeue_uncharged(%s, %s, %s)", [session, job, attempt])
    assert laned.admin("select attempt, length(message) from jobs_internal.progress_message") == [
        (1, 1000)
    ]
    laned.run(FINISH_ALONE, [session, lane, _ending(job)])
    assert laned.run("select * from jobs.log_lines") == []
    # Once it is finished it is finished.
    assert (
        sqlstate_of(
            lambda: laned.run(FINISH_ALONE, [session, lane, _ending(job, outcome="failed")])
        )
        == "PW041"
    )
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(job, outcome="failed")]) == [(False,)]
    assert laned.run("select state, attempt from jobs.job where id = %s", [job]) == [
        ("succeeded", 1)
    ]
    laned.run(CLOSE, [session])


ODD: dict[str, dict[str, Any]] = {
    "times without end": {"started_at": "-infinity", "finished_at": "infinity"},
    "times of another age": {"started_at": "4700-01-01 BC", "finished_at": "294276-01-01"},
    "no times": {"started_at": None, "finished_at": None},
    "figures": {
        "rows": -(2**63),
        "wal_bytes": 2**63 - 1,
        "buffers_hit": -1,
        "temp_bytes": 2**63 - 1,
        "child_pid": -1,
    },
    "an error beside success": {
        "error": {"sqlstate": "00000", "message": "\x1b[31m", "x": [1e300]}
    },
    "failed with odd times": {
        "outcome": "failed",
        "started_at": "infinity",
        "finished_at": "-infinity",
        "error": 5,
    },
    "timed out": {"outcome": "timed_out", "started_at": "-infinity", "finished_at": "infinity"},
    "lost": {"outcome": "lost", "queued_at": "infinity"},
    "in doubt": {"outcome": "in_doubt", "task": "x" * 100_000},
    "no such outcome": {"outcome": "perfect"},
    "no outcome": {"outcome": None},
}


def test_odd_endings_of_ones_own_hurt_nobody(laned: Database) -> None:
    """A14: whatever a session says of its own attempts, views, supervisors and other
    owners go on.
    """
    theirs = put(laned, "other.work", role="other")
    supervisor = laned.value(
        "select jobs_internal.supervisor_open('x', 'x', 1, 'x')", role="supervisor"
    )
    views = [
        row[0]
        for row in laned.admin(
            "select relname from pg_class where relnamespace = 'jobs'::regnamespace"
        )
    ]
    for name, odd in ODD.items():
        session, lane, job = _running_by_hand(laned)
        waiting = put(laned, "app.note", {"n": 2})
        for query, arguments in (
            (FINISH_CHUNK, [session, lane, _ending(waiting, **odd)]),
            (FINISH_ALONE, [session, lane, _ending(job, **odd)]),
        ):
            sqlstate_of(lambda query=query, arguments=arguments: laned.run(query, arguments))
        pid = laned.line().info.backend_pid
        laned.line().close()
        wait_until(
            lambda pid=pid: not laned.admin("select 1 from pg_stat_activity where pid = %s", [pid])
        )
        # As the gateway does and reads.
        laned.run("select jobs_internal.supervisor_tick(%s)", [supervisor], role="supervisor")
        assert laned.run("select * from jobs_internal.take_outcomes(1000)", role="supervisor"), name
        laned.run("select jobs_internal.maintain()", role="supervisor")
        for role in ("operator", "other", "reader"):
            for view in views:
                query = f"select v::text from jobs.{view} as v"
                code = sqlstate_of(lambda query=query, role=role: laned.run(query, role=role))
                assert code in (None, "42501"), (name, view, role)
        laned.admin("delete from jobs_internal.job where owner = 'app'::regrole")
        laned.admin(f"delete from pgmq.q_pyworker_{lane}")
    laned.drain(role="other")
    assert state(laned, theirs) == "succeeded"


def test_a_start_that_is_not_committed_holds_up_nobody_elses_index(laned: Database) -> None:
    """A14, A19: starts of index builds come one after another, of one owner: one that is open stops
    no other owner.
    """
    theirs = put_sql(laned, "create index concurrently on other.ledger (n)", role="other")
    index = put_sql(laned, "create index concurrently on app.ledger (n)")
    session = laned.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    laned.run("begin")
    lane, message, lease = laned.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = laned.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    begin = "select (jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)).mode"
    assert laned.value(begin, [session, lane, item]) == "child"
    laned.run("select jobs.start()", role="other")
    wait_running(laned, theirs)
    laned.run("rollback")
    laned.run(CLOSE, [session])
    laned.drain(role="other")
    laned.drain()
    assert [state(laned, job) for job in (theirs, index)] == ["succeeded", "succeeded"]
