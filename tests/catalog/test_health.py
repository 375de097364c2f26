"""jobs.health: each check is a function and a line of jobs_internal.health(), in one order;
all is well at first.
"""

from support import Database


def test_each_check_is_a_function_and_a_line(shared: Database) -> None:
    """A function that is not listed would check nothing; a name that is not its function's would
    not be found.
    """
    functions = {
        name
        for (name,) in shared.admin(
            "select proname from pg_proc where pronamespace = 'jobs_internal'::regnamespace"
            " and proname ~ '^health_'"
        )
    }
    names = [name for (name,) in shared.admin('select "check" from jobs.health')]

    assert {f"health_{name.replace(' ', '_')}" for name in names} == functions
    assert len(set(names)) == len(names)


def test_each_has_a_place(shared: Database) -> None:
    """No two have the same, and the lines stand in the order of the places."""
    places = [n for (n,) in shared.admin("select n from jobs_internal.health()")]

    assert places == sorted(set(places))


def test_all_is_well_at_first(database: Database) -> None:
    """Only a supervisor is missing; what is well needs no remedy, and what is not has one."""
    rows = database.admin('select "check", status, detail, remedy from jobs.health')

    assert {check: status for check, status, *_ in rows if status != "ok"} == {
        "supervisors": "warning"
    }
    assert [row for row in rows if (row[1] == "ok") != (row[3] is None)] == []
    assert [row for row in rows if not row[2]] == []
