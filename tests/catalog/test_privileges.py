"""Who may call and read what: every role against every public object, both ways."""

from collections.abc import Callable

import psycopg
import pytest
from support import LOGINS, Database, sqlstate_of

EVERYBODY = ("app", "producer", "runner", "operator", "reader", "supervisor")
PRODUCERS = ("app", "producer")
STEERS = ("app", "producer", "operator")
RUNNERS = ("app", "runner")
OPERATORS = ("operator",)

#: A call of each public function, and who may make it. A call that is allowed may be refused for another reason.
CALLS = {
    "enqueue": ("select jobs.enqueue('pg_catalog.no_such')", PRODUCERS),
    "enqueue_many": ("select jobs.enqueue_many('pg_catalog.no_such', '{\"{}\"}')", PRODUCERS),
    "enqueue_sql": ("select jobs.enqueue_sql('')", PRODUCERS),
    "cancel": ("select jobs.cancel(0)", STEERS),
    "retry": ("select jobs.retry(0)", STEERS),
    "run_now": ("select jobs.run_now(0)", STEERS),
    "dismiss": ("select jobs.dismiss(0)", STEERS),
    "dismiss_failed": ("select jobs.dismiss_failed('no such')", STEERS),
    "explain": ("select jobs.explain(0)", EVERYBODY),
    "wait": ("select jobs.wait(0, '1 s')", STEERS),
    "set_priority": ("select jobs.set_priority(0, 'low')", STEERS),
    "publish": ("select jobs.publish('pg_catalog.no_such', 'no such')", PRODUCERS),
    "unpublish": ("select jobs.unpublish(0)", STEERS),
    "enqueue_published": ("select jobs.enqueue_published('no such')", PRODUCERS),
    "await": ("call jobs.await(0, '1 s')", STEERS),
    "current_id": ("select jobs.current_id()", ("app", "producer", "runner")),
    "progress": ("select jobs.progress(1, 2)", ("app", "producer", "runner")),
    "log": ("select jobs.log('x', 'loud')", ("app", "producer", "runner")),
    "start": ("select jobs.start(0)", RUNNERS),
    "help": ("select jobs.help('start')", EVERYBODY),
    "create_queue": ("select jobs.create_queue('a b')", OPERATORS),
    "alter_queue": ("select jobs.alter_queue('no such')", OPERATORS),
    "drop_queue": ("select jobs.drop_queue('no such')", OPERATORS),
    "pause": ("select jobs.pause('no such')", OPERATORS),
    "resume": ("select jobs.resume('no such')", OPERATORS),
    "configure": ("select jobs.configure('no such', '')", OPERATORS),
    "set_quota": ("select jobs.set_quota('no such')", OPERATORS),
    "admit_role": ("select jobs.admit_role('no such')", ()),
    "dismiss_role": ("select jobs.dismiss_role('no such')", ()),
    "reconcile": ("select jobs.reconcile()", OPERATORS),
    "set_retry_rule": ("select jobs.set_retry_rule('no such', true)", OPERATORS),
}

VIEWS = (
    *(
        "job",
        "queued",
        "running",
        "failed",
        "finished",
        "attempts",
        "cost",
        "queues",
        "sessions",
        "supervisors",
        "health",
        *("job_list", "queued_list", "running_list", "failed_list", "attempt_list", "queue_list", "health_list"),
        *("finished_list", "cost_list", "session_list", "supervisor_list", "publication_list"),
        *("option_list", "wait_reason_list"),
        "wait_reasons",
    ),
    *("settings", "retry_rules", "errors", "options", "quotas", "publications", "admitted_roles"),
)
#: Views that not every role of ours may read.
NARROWER = ["log_lines", "log_list", "audit", "audit_list"]


def _closed(database: Database, query: str, role: str) -> bool:
    return sqlstate_of(lambda: database.run(query, role=role)) == "42501"


def test_matrix_is_complete(shared: Database) -> None:
    """Every public function and view is in the matrix below."""
    functions = {
        row[0] for row in shared.admin("select proname from pg_proc where pronamespace = 'jobs'::regnamespace")
    }
    views = {row[0] for row in shared.admin("select relname from pg_class where relnamespace = 'jobs'::regnamespace")}

    assert functions == set(CALLS)
    assert views == {*VIEWS, *NARROWER}


@pytest.mark.parametrize("role", LOGINS)
def test_calls(shared: Database, role: str) -> None:
    """A role may call what is granted to it, and gets 42501 for everything else."""
    refused = {name for name, (query, _) in CALLS.items() if _closed(shared, query, role)}

    like = "app" if role == "other" else role
    assert refused == {name for name, (_, allowed) in CALLS.items() if like not in allowed}


@pytest.mark.parametrize("role", LOGINS)
def test_views(shared: Database, role: str) -> None:
    """Every role of ours reads every view, log lines only with a right to the texts; nobody else reads any."""
    views = [*VIEWS, *NARROWER]
    refused = [view for view in views if _closed(shared, f"select * from jobs.{view}", role)]

    assert refused == {
        "nobody": views,
        "reader": ["log_lines", "log_list"],
        "operator": [],
        "supervisor": NARROWER,
    }.get(role, ["audit", "audit_list"])


@pytest.mark.parametrize("role", LOGINS)
def test_no_table_is_open(shared: Database, role: str) -> None:
    """No login has a right on a table, a sequence or a queue of pgmq, nor may it write a view or make anything."""
    tables = shared.admin(
        """select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and c.relkind in ('r', 'v', 'p', 'm') and has_table_privilege(%(role)s, c.oid,
        'select, insert, update, delete, truncate, references, trigger')
        union all
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and case c.relkind when 'S' then has_sequence_privilege(%(role)s, c.oid, 'select, usage, update') end
        union all
        select c.oid::regclass::text from pg_class c where c.relnamespace = 'jobs'::regnamespace
        and has_table_privilege(%(role)s, c.oid, 'insert, update, delete, truncate, references, trigger')""",
        {"role": role},
    )
    creates = shared.admin(
        "select n.nspname from pg_namespace n where n.nspname in ('jobs', 'jobs_internal', 'pgmq')"
        " and has_schema_privilege(%s, n.oid, 'create')",
        [role],
    )

    assert tables == []
    assert creates == []
    assert sqlstate_of(lambda: shared.run("select * from jobs_internal.job", role=role)) == "42501"
    assert sqlstate_of(lambda: shared.run("select * from pgmq.q_pyworker_1", role=role)) == "42501"


def test_only_the_owner_has_rights_on_tables(shared: Database) -> None:
    """No role but jobs_owner, and who installed, is granted anything on a table, a sequence or a queue of pgmq."""
    granted = shared.admin(
        """select distinct c.oid::regclass::text, a.grantee::regrole::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and c.relkind in ('r', 'S', 'p')
        and a.grantee not in ('jobs_owner'::regrole, c.relowner)"""
    )

    assert [row for row in granted if row[1] not in ("pg_monitor",)] == []


def test_roles_do_not_include_each_other(shared: Database) -> None:
    """No role of ours is a member of another of ours, and only the documented server roles are given to them."""
    members = set(
        shared.admin(
            """select m.member::regrole::text, m.roleid::regrole::text from pg_auth_members m
            where m.member::regrole::text ~ '^jobs_'"""
        )
    )

    assert members == {
        ("jobs_owner", "pg_read_all_stats"),
        ("jobs_owner", "pg_signal_backend"),
        ("jobs_owner", "pgbackground_role"),
        ("jobs_runner", "pgbackground_role"),
        ("jobs_supervisor", "pg_signal_backend"),
        ("jobs_supervisor", "pg_read_all_stats"),
    }


#: What the refusal of a door names: the role that is missing.
DOORS = {
    **dict.fromkeys((name for name, (_, allowed) in CALLS.items() if allowed == OPERATORS), "jobs_operator"),
    "start": "jobs_runner",
}


@pytest.mark.parametrize("name", DOORS)
def test_a_refusal_names_the_role_to_be_granted(shared: Database, name: str) -> None:
    role = "producer"  # neither an operator nor a runner
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared.run(CALLS[name][0], role=role)

    said = caught.value.diag
    assert said.message_primary == f"permission denied for function {name}"
    assert said.message_detail == f'It is for members of {DOORS[name]}, and role "producer" is not.'
    assert said.message_hint == f"An administrator may run: grant {DOORS[name]} to producer;"


@pytest.mark.parametrize("role", ["runner", "operator", "reader", "supervisor"])
@pytest.mark.parametrize("name", ["enqueue", "enqueue_many", "enqueue_sql"])
def test_who_may_not_enqueue_is_told_which_role_may(shared: Database, name: str, role: str) -> None:
    """Any role of ours that is no producer."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared.run(CALLS[name][0], role=role)

    said = caught.value.diag
    assert said.message_primary == f"permission denied for function {name}"
    assert said.message_detail == f'It is for members of jobs_producer, and role "{role}" is not.'
    assert said.message_hint == f"An administrator may run: grant jobs_producer to {role};"


@pytest.mark.parametrize("name", ["admit_role", "dismiss_role"])
def test_a_refusal_names_administrators(shared: Database, name: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared.run(CALLS[name][0], role="operator")

    assert "administrators" in str(caught.value.diag.message_detail)


def test_what_works_behind_a_door_is_closed_by_itself(shared: Database) -> None:
    """The door only says it better: the function behind it is granted to the role that it is for, and no other."""
    granted = shared.admin(
        """select i.proname, array(select a.grantee::regrole::text from aclexplode(i.proacl) a
        where a.grantee <> i.proowner), d.prosecdef
        from pg_proc d join pg_proc i on i.proname = d.proname and i.proargtypes = d.proargtypes
        where d.pronamespace = 'jobs'::regnamespace and i.pronamespace = 'jobs_internal'::regnamespace"""
    )
    expected = {**{name: [role] for name, role in DOORS.items()}, "admit_role": [], "dismiss_role": []}

    assert {name: roles for name, roles, _ in granted} == expected
    assert not any(definer for _, _, definer in granted)


def test_a_door_asks_the_role_that_acts(
    shared: Database, connect: Callable[..., psycopg.Connection[tuple[object, ...]]]
) -> None:
    """SET ROLE to an operator opens it, SET ROLE to an ordinary role closes it, whoever has logged in."""
    administrator = connect("postgres", shared)
    administrator.execute("set role operator")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "PW007"
    administrator.execute("set role app")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "42501"
    administrator.execute("set role jobs_owner")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "PW007"
