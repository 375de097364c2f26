"""What `pyworker status` shows, and that the watched page fits a small terminal with the
worst first.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from pyworker.cli.status import watched_page

NOW = datetime.now(UTC)
LONG = (
    "start pyworker run, for these owners too (--owner, or grant jobs_runner);"
    " its log says what hinders it "
) * 3


def _health(status: str, n: int) -> dict[str, Any]:
    return {
        "check": f"check number {n}",
        "status": status,
        "detail": f"detail {n} " + LONG,
        "remedy": LONG,
    }


def _running(n: int) -> dict[str, Any]:
    return {
        "id": 1_000_000 + n,
        "queue": "maintenance",
        "owner": "app_owner",
        "attempt": 1,
        "percent": 12.5,
        "title": f"create index concurrently app.events_at_{n}",
        "elapsed": timedelta(seconds=3661),
        "eta": NOW + timedelta(minutes=5),
        "wait_event": "Lock:relation",
        "blocked_by": [12345],
    }


def _facts(bad: int, running: int, queues: int) -> dict[str, Any]:
    return {
        "health": [_health("ok", n) for n in range(15)]
        + [_health("critical", 90 + n) for n in range(bad)],
        "queues": [
            {
                "queue": f"queue_{n}",
                "paused": False,
                "concurrency": 4,
                "queued": 1000 * n,
                "running": 1,
                "scheduled": 1,
                "oldest": timedelta(days=3),
                "failed": 7,
            }
            for n in range(queues)
        ],
        "running": [_running(n) for n in range(running)],
        "sessions": [],
        "supervisors": [],
    }


def _shown(facts: dict[str, Any], height: int = 24) -> list[str]:
    console = Console(width=80, height=height, color_system=None)
    with console.capture() as captured:
        console.print(watched_page(facts, height))
    return captured.get().splitlines()


def test_the_watched_page_shows_trouble_then_work_then_what_waits() -> None:
    """On 24 x 80: all three, in this order, whatever there is of each; a check that is ok takes
    no line.
    """
    lines = _shown(_facts(bad=3, running=40, queues=30))

    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    found = [text.index(word) for word in ("check number 90", "1000000", "queue_")]
    assert found == sorted(found)
    assert "check number 3" not in text
    assert "create index concurrently app.e" in text


def test_a_page_without_trouble_says_so_in_one_line() -> None:
    """Fifteen checks that are ok are one line."""
    lines = _shown(_facts(bad=0, running=1, queues=1))

    assert lines[0].strip() == "Health: all 15 checks are ok"
    assert len(lines) <= 24


def test_what_is_left_out_is_counted() -> None:
    """No row is left out silently."""
    text = "\n".join(_shown(_facts(bad=9, running=40, queues=30)))

    assert text.count(" more") == 3


def test_a_large_terminal_shows_all() -> None:
    """With room for everything nothing is left out."""
    assert " more" not in "\n".join(_shown(_facts(bad=2, running=5, queues=5), height=60))
