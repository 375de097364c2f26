"""Who may call and read what: every role against every public object, both ways."""

from collections.abc import Callable

import psycopg
import pytest
from support import LOGINS, Database, sqlstate_of

from .granted import CALLS, EVERYBODY, NARROWER, VIEWS


def _closed(database: Database, query: str, role: str) -> bool:
    return sqlstate_of(lambda: database.run(query, role=role)) == "42501"


def test_matrix_is_complete(shared: Database) -> None:
    """Every public function and view is in the matrix below."""
    functions = {
        row[0]
        for row in shared.admin(
            "select proname from pg_proc where pronamespace = 'jobs'::regnamespace"
        )
    }
    views = {
        row[0]
        for row in shared.admin(
            "select relname from pg_class where relnamespace = 'jobs'::regnamespace"
        )
    }

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
    """Every role of ours reads every view, log lines only with a right to the texts,
    figures of all owners only with one to all; nobody else reads any.
    """
    views = [*VIEWS, *NARROWER]
    refused = [view for view in views if _closed(shared, f"select * from jobs.{view}", role)]

    assert refused == {
        "nobody": views,
        "reader": ["log_lines", "log_list"],
        "operator": [],
        "supervisor": [view for view in NARROWER if view != "metrics"],
    }.get(role, ["audit", "audit_list", "metrics"])


@pytest.mark.parametrize("role", LOGINS)
def test_no_table_is_open(shared: Database, role: str) -> None:
    """No login has a right on a table, a sequence or a queue of pgmq, nor may it write a view or
    make anything.
    """
    tables = shared.admin(
        """select c.oid::regclass::text from pg_class c
            join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and c.relkind in ('r', 'v', 'p', 'm') and has_table_privilege(%(role)s, c.oid,
        'select, insert, update, delete, truncate, references, trigger')
        union all
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and case c.relkind when 'S' then
          has_sequence_privilege(%(role)s, c.oid, 'select, usage, update') end
        union all
        select c.oid::regclass::text from pg_class c where c.relnamespace = 'jobs'::regnamespace
        and has_table_privilege(%(role)s, c.oid,
          'insert, update, delete, truncate, references, trigger')""",
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
    """No role but jobs_owner, and who installed, is granted anything on a table,
    a sequence or a queue of pgmq.
    """
    granted = shared.admin(
        """select distinct c.oid::regclass::text, a.grantee::regrole::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
        where (n.nspname = 'jobs_internal' or (n.nspname = 'pgmq' and c.relname ~ '_pyworker_'))
        and c.relkind in ('r', 'S', 'p')
        and a.grantee not in ('jobs_owner'::regrole, c.relowner)"""
    )

    assert [row for row in granted if row[1] not in ("pg_monitor",)] == []


def test_roles_do_not_include_each_other(shared: Database) -> None:
    """No role of ours is a member of another of ours, and only the documented server roles are
    given to them.
    """
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


#: Every login that has one role of ours, and no other.
SINGLE = tuple(role for role in EVERYBODY if role != "app")


#: The roles that a refusal names, for each public function that is not for everybody.
DOORS = {
    name: [f"jobs_{role}" for role in allowed if role != "app"]
    for name, (_, allowed) in CALLS.items()
    if set(allowed) < set(EVERYBODY)
}


@pytest.mark.parametrize("role", SINGLE)
@pytest.mark.parametrize("name", [name for name, roles in DOORS.items() if roles])
def test_a_refusal_names_the_role_to_be_granted(shared: Database, name: str, role: str) -> None:
    """Any role of ours that the function is not for is told in our words which one it is for;
    then it works.
    """
    query, allowed = CALLS[name]
    if role in allowed:
        assert not _closed(shared, query, role)
        return
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared.run(query, role=role)

    said = caught.value.diag
    named = DOORS[name]
    assert said.message_primary == f"permission denied for function {name}"
    assert (
        said.message_detail
        == f'It is for members of {" or ".join(named)}, and role "{role}" is not.'
    )
    assert (
        said.message_hint
        == f"A retry helps once an administrator has run: grant {named[0]} to {role};"
    )


@pytest.mark.parametrize("name", sorted(set(DOORS) - {"wait", "await", "progress", "log", "plan"}))
def test_what_writes_says_that_the_transaction_is_read_only(shared: Database, name: str) -> None:
    """In our words, whatever it would have written first."""
    role = next((role for role in SINGLE if role in CALLS[name][1]), "postgres")
    with shared.connect(role) as line:
        line.execute("set default_transaction_read_only = on")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            line.execute(CALLS[name][0].encode())

    assert (
        caught.value.diag.message_primary
        == f"jobs.{name} writes, and this transaction is read-only"
    )
    assert "begin read write" in str(caught.value.diag.message_hint)


def test_a_role_that_does_not_inherit_is_told_to_set_it(shared: Database) -> None:
    """It is a member, so to grant the role to it would change nothing."""
    shared.admin("grant jobs_operator to reader with inherit false, set true")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            shared.run("select jobs.pause('no such')", role="reader")
        with shared.connect("reader") as line:
            line.execute("set role jobs_operator")
            assert sqlstate_of(lambda: line.execute("select jobs.pause('no such')")) == "PW007"
    finally:
        shared.admin("revoke jobs_operator from reader")

    assert caught.value.diag.message_hint == "A retry helps after: set role jobs_operator;"
    assert "does not inherit" in str(caught.value.diag.message_detail)


@pytest.mark.parametrize("name", ["admit_role", "dismiss_role"])
def test_a_refusal_names_administrators(shared: Database, name: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared.run(CALLS[name][0], role="operator")

    assert "administrators" in str(caught.value.diag.message_detail)


#: Doors without a function of the same name behind them: they are no definers,
#: and what they call is closed.
ASK_THEMSELVES = {
    *("enqueue", "enqueue_many", "enqueue_sql", "enqueue_steps"),
    *("publish", "await", "progress", "log", "plan", "rehearse"),
    *("schedule", "schedule_sql", "alter_schedule", "import_schedules"),
    *("snooze", "forget", "create_batch", "batch_jobs"),
}


def test_what_works_behind_a_door_is_closed_by_itself(shared: Database) -> None:
    """The door only says it better: the function behind it is granted to the roles that it is for,
    and no other.
    """
    granted = shared.admin(
        """select i.proname, array(select a.grantee::regrole::text from aclexplode(i.proacl) a
        where a.grantee <> i.proowner order by 1 desc), d.prosecdef
        from pg_proc d join pg_proc i on i.proname = d.proname and i.proargtypes = d.proargtypes
        where d.pronamespace = 'jobs'::regnamespace
          and i.pronamespace = 'jobs_internal'::regnamespace"""
    )

    assert {name: roles for name, roles, _ in granted} == {
        name: DOORS[name] for name, _, _ in granted
    }
    assert {name for name, _, _ in granted} == set(DOORS) - ASK_THEMSELVES
    assert not any(definer for _, _, definer in granted)


def test_a_door_asks_the_role_that_acts(
    shared: Database, connect: Callable[..., psycopg.Connection[tuple[object, ...]]]
) -> None:
    """SET ROLE to an operator opens it, SET ROLE to an ordinary role closes it,
    whoever has logged in.
    """
    administrator = connect("postgres", shared)
    administrator.execute("set role operator")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "PW007"
    administrator.execute("set role app")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "42501"
    administrator.execute("set role jobs_owner")
    assert sqlstate_of(lambda: administrator.execute("select jobs.pause('no such')")) == "PW007"
