"""jobs.help is the manual on a screen of 80 columns; psql puts a space on each side."""

import pytest
from support import Database, sqlstate_of

WIDTH = 78


def manual(database: Database, name: str | None = None, *, role: str = "app") -> list[str]:
    """Give the lines of jobs.help."""
    return [line for (line,) in database.run("select jobs.help(%s)", [name], role=role)]


def names(database: Database) -> list[str]:
    """Give every function and view of schema jobs."""
    return [
        name
        for (name,) in database.admin(
            "select proname::text from pg_proc where pronamespace = 'jobs'::regnamespace"
            " union select relname from pg_class where relnamespace = 'jobs'::regnamespace"
            " and relkind = 'v' order by 1"
        )
    ]


def test_no_line_is_wider_than_a_screen(shared: Database) -> None:
    """Of no function, no view, and not in the list."""
    told = {name: manual(shared, name) for name in names(shared)}
    told["the list"] = manual(shared)
    assert {name: line for name, lines in told.items() for line in lines if len(line) > WIDTH} == {}
    assert len(told) > 40


def test_nothing_of_a_comment_is_lost(shared: Database) -> None:
    """All words of the comments are there, in order, and each parameter and column."""
    functions = shared.admin(
        "select proname::text, obj_description(oid, 'pg_proc'),"
        " coalesce(proargnames[:pronargs], '{}')"
        " from pg_proc where pronamespace = 'jobs'::regnamespace"
    )
    views = shared.admin(
        "select c.relname::text, obj_description(c.oid, 'pg_class'), array_agg(a.attname::text)"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'v' group by 1, c.oid"
    )
    for name, comment, parts in functions + views:
        lines = manual(shared, name)
        assert " ".join(comment.split()) in " ".join(" ".join(lines).split()), name
        for part in parts:
            assert any(line.startswith(f"  {part} ") for line in lines), (name, part)


def test_the_manual_of_enqueue(shared: Database) -> None:
    """Its signature as people write it, its options and what each of its errors means."""
    lines = manual(shared, "enqueue")
    assert lines[0] == "jobs.enqueue("
    assert "  task text," in lines
    assert "  args jsonb default '{}'," in lines
    assert "  run_at timestamptz default now()," in lines
    assert ")" in lines
    assert "returns bigint" in lines
    text = "\n".join(lines)
    assert "\n  notify (text): " in text
    assert "done_when (text)" not in text
    for code, meaning in shared.run(
        "select sqlstate, meaning from jobs.errors where sqlstate <= 'PW020'"
    ):
        assert f"  {code}: {meaning[:30]}" in text


def test_errors_of_another_function(shared: Database) -> None:
    """Errors that are those of another function are spelled out."""
    text = "\n".join(manual(shared, "enqueue_many"))
    assert "  PW022: unique_key is not for many jobs" in text
    assert "  PW003: " in text


def test_the_list_has_all(shared: Database) -> None:
    """Each function and view has its line, with its first sentence."""
    lines = manual(shared)
    for name in names(shared):
        assert any(line.startswith(f"  {name} ") for line in lines), name
    assert any(line.startswith("  current_id          Inside a job its id") for line in lines)


@pytest.mark.parametrize("name", ["jobs.cancel", "CANCEL", " cancel ", "jobs.cancel(bigint)"])
def test_a_name_as_people_write_it(shared: Database, name: str) -> None:
    """With its schema, its arguments, in capitals."""
    assert manual(shared, name) == manual(shared, "cancel")


@pytest.mark.parametrize("name", ["nosuch", "x" * 500, "'; select"])
def test_what_there_is_not(shared: Database, name: str) -> None:
    """PW038."""
    assert sqlstate_of(lambda: manual(shared, name)) == "PW038"


@pytest.mark.parametrize("role", ["producer", "runner", "operator", "reader", "supervisor"])
def test_everybody_may_read_it(shared: Database, role: str) -> None:
    """It is the same for all roles of ours."""
    assert manual(shared, role=role) == manual(shared)
    assert manual(shared, "job", role=role)[0] == "jobs.job"


def test_no_text_has_no_lines(shared: Database) -> None:
    """Not an error: jobs.health_list wraps remedies that are null."""
    assert shared.admin("select jobs_internal.wrapped(null)") == []
    assert shared.run("select count(*) > 5 from jobs.health_list") == [(True,)]
