"""pg_background is called in one room, and nowhere else."""

import re
from pathlib import Path

SQL = Path(__file__).parents[2] / "sql"
CALLS = re.compile(r"\b(?:jobs_internal\.background\s*\(|pg_background_\w+\s*\()")
PLACES = re.compile(r"engine/background/\w+\.sql")


def callers(root: Path) -> set[str]:
    """List the files of functions that call it; rights and comments do not."""
    code = {
        path.relative_to(root).as_posix(): re.sub(r"--.*", "", path.read_text("utf-8"))
        for path in root.rglob("*.sql")
        if path.parent.name != "setup" and path.parent != root
    }
    return {name for name, text in code.items() if CALLS.search(text)}


def test_the_seam_to_pg_background() -> None:
    found = callers(SQL)

    assert "engine/background/start.sql" in found
    assert {name for name in found if not PLACES.fullmatch(name)} == set()


def test_a_call_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api/start.sql").write_text("  perform jobs_internal.background('submit');\n")
    (tmp_path / "api/stop.sql").write_text("  select ext.pg_background_detach (1, 2);\n")
    (tmp_path / "api/other.sql").write_text("-- jobs_internal.background('submit')\n")
    assert callers(tmp_path) == {"api/start.sql", "api/stop.sql"}
