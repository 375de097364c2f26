"""Checks of jobs.health that no other file is about."""

from support import Database

VERSIONS = "select status, detail, remedy from jobs.health where \"check\" = 'versions'"


def test_supervisors_of_different_versions(database: Database) -> None:
    """One that was not started anew after an upgrade is named; those of one version are well."""
    assert database.admin(VERSIONS) == [("ok", "no supervisor", None)]
    opening = "select jobs_internal.supervisor_open(%s, 'here', 1, %s)"
    with database.connect("supervisor") as one, database.connect("supervisor") as two:
        one.execute(opening, ["one", "1.9"])
        two.execute(opening, ["two", "1.9"])
        alike = database.admin(VERSIONS)
        two.execute(opening, ["two", "2.0"])
        status, detail, remedy = database.admin(VERSIONS)[0]

    assert alike == [("ok", "all supervisors are of one version", None)]
    assert (status, detail) == (
        "warning",
        "supervisors of different versions: 1.9 (one), 2.0 (two)",
    )
    assert "the older" in remedy
