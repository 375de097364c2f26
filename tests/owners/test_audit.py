"""What operators do is kept, and none of them can change it."""

from stage import put, state
from support import Database, sqlstate_of


def _deeds(database: Database) -> list[tuple[object, ...]]:
    return database.run(
        "select login, action, object, before, after from jobs.audit order by id", role="operator"
    )


def test_what_operators_do_is_kept(database: Database) -> None:
    do = lambda query: database.run(query, role="operator")  # noqa: E731
    do("select jobs.create_queue('heavy', concurrency => 2)")
    do("select jobs.alter_queue('heavy', concurrency => 3)")
    do("select jobs.pause('heavy')")
    do("select jobs.pause('heavy')")
    do("select jobs.resume('heavy')")
    do("select jobs.pause()")
    do("select jobs.resume()")
    do("select jobs.configure('log_lines', '7')")
    do("select jobs.set_retry_rule('P0002', false, 'gone')")
    do("select jobs.drop_queue('heavy')")
    deeds = _deeds(database)
    assert [(login, action, what) for login, action, what, _, _ in deeds] == [
        ("operator", action, what)
        for action, what in (
            ("create_queue", "queue heavy"),
            ("alter_queue", "queue heavy"),
            ("pause", "queue heavy"),
            ("resume", "queue heavy"),
            ("pause", "everything"),
            ("resume", "everything"),
            ("configure", "setting log_lines"),
            ("set_retry_rule", "pattern P0002"),
            ("drop_queue", "queue heavy"),
        )
    ]
    assert (deeds[1][3]["concurrency"], deeds[1][4]["concurrency"]) == (2, 3)
    assert (deeds[6][3], deeds[6][4]) == ("1000", "7")


def test_what_operators_do_to_jobs_is_kept(database: Database) -> None:
    job = put(database, "app.note", {"n": 1}, run_at="infinity")
    database.run("select jobs.set_priority(%s, 'high')", [job], role="operator")
    database.run("select jobs.cancel(%s)", [job], role="operator")
    database.run("select jobs.retry(%s)", [job], role="operator")
    assert [(action, what) for _, action, what, _, _ in _deeds(database)] == [
        (action, f"job {job}") for action in ("set_priority", "cancel", "retry")
    ]


def test_what_owners_do_with_their_own_is_not(database: Database) -> None:
    job = put(database, "app.note", {"n": 1}, run_at="infinity")
    database.run("select jobs.cancel(%s)", [job])
    database.run("select jobs.retry(%s)", [job])
    assert state(database, job) in ("scheduled", "queued")
    assert _deeds(database) == []


def test_a_deed_that_is_rolled_back_leaves_no_trace(database: Database) -> None:
    with database.connect("operator") as line:
        line.autocommit = False
        line.execute("select jobs.pause()")
        line.rollback()
    assert _deeds(database) == []


def test_nobody_changes_it(database: Database) -> None:
    database.run("select jobs.configure('log_lines', '7')", role="operator")
    for role in ("operator", "app", "reader", "supervisor"):
        for query in (
            "delete from jobs_internal.audit",
            "update jobs_internal.audit set login = 'other'",
            "truncate jobs_internal.audit",
            "delete from jobs.audit",
            "select jobs_internal.record_audit('x', 'y', null, null)",
            "select jobs_internal.record_control('x', 1, 1, null, null)",
        ):
            assert (
                sqlstate_of(lambda query=query, role=role: database.run(query, role=role))
                == "42501"
            ), (query, role)
    assert len(_deeds(database)) == 1
    assert sqlstate_of(lambda: database.run("select * from jobs.audit")) == "42501"


def test_an_operator_reads_the_arguments_of_those_whose_member_it_is(database: Database) -> None:
    job = put(database, "app.note", {"n": 7})
    database.run("select jobs.enqueue_sql('select 4711')")
    texts = "select args, settings, statement from jobs.job order by id"
    assert database.run(texts, role="operator") == [(None, None, None), (None, None, None)]
    database.admin("create role pw_alice login in role jobs_operator, app")
    database.admin("create role pw_mate login in role jobs_reader, app")
    try:
        assert database.run(texts, role="pw_alice") == [
            ({"n": 7}, {}, None),
            ({}, {}, "select 4711"),
        ]
        assert database.run(texts, role="pw_mate") == [(None, None, None), (None, None, None)]
        assert database.value("select jobs.set_priority(%s, 'high')", [job], role="pw_alice")
    finally:
        database.close()
        database.admin("drop role pw_alice, pw_mate")
    assert [login for login, *_ in _deeds(database)] == ["pw_alice"]
