"""`pyworker top` with textual's own pilot: keys in, rows out, rights, and a database that goes
away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import PATIENCE, Database
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from pyworker.top.app import Top
from pyworker.top.dialogs import Question, Reading

Play = Callable[[Pilot[None], Top], Awaitable[None]]


@pytest.fixture(scope="module", autouse=True)
def failed(shared: Database) -> int:
    """A job that failed, with markup and a control character in its message."""
    shared.run(
        "create function app.broken() returns integer language plpgsql as"
        " $$ begin raise exception E'[red]no\\x1b[31m'; end $$"
    )
    number = shared.value("select jobs.enqueue('app.broken', max_attempts => 1)")
    shared.drain()
    return int(number)


@pytest.fixture
def later(shared: Database) -> int:
    return int(
        shared.value(
            "select jobs.enqueue('pg_catalog.now', run_at => now() + '1 hour',"
            ' options => \'{"title": "[b]later[/b]"}\')'
        )
    )


def play(shared: Database, role: str, steps: Play, size: tuple[int, int] = (80, 24)) -> None:
    """Run the app without a terminal, and do something with it."""

    async def run() -> None:
        app = Top(shared.dsn(role))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: bool(app._picture.rights) or role == "reader")
            await until(pilot, lambda: bool(rows(app, "queues")))
            await steps(pilot, app)

    asyncio.run(run())


async def until(pilot: Pilot[None], fact: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end, "it did not become true"
        await pilot.pause(0.05)


def rows(app: Top, name: str) -> list[list[str]]:
    table = app.screen_stack[0].query_one(f"#{name}", DataTable)
    return [
        [str(cell).strip() for cell in table.get_row_at(number)]
        for number in range(table.row_count)
    ]


def said(app: Top) -> str:
    return str(app.screen.query_one(Static).content)


def test_what_waits_and_what_failed_is_shown_as_text(
    shared: Database, later: int, failed: int
) -> None:
    async def steps(pilot: Pilot[None], app: Top) -> None:
        assert ["", "its time", "1 job"] in [row[:3] for row in rows(app, "waiting")]
        assert [str(later), "its time", "[b]later[/b]"] in [row[:3] for row in rows(app, "waiting")]
        [broken] = [row for row in rows(app, "failed") if row[0] == str(failed)]
        assert broken[2] == r"P0001 [red]no\x1b[31m"
        health = app.query_one("#health", Static)
        assert "supervisors: 0 connected" in str(health.content)

    play(shared, "app", steps, (160, 50))
    shared.run("select jobs.cancel(%s)", [later])


def test_keys_ask_and_act(shared: Database, later: int) -> None:
    async def steps(pilot: Pilot[None], app: Top) -> None:
        app.query_one("#waiting").focus()
        await pilot.press("slash", *str(later), "enter")
        await until(pilot, lambda: [row[0] for row in rows(app, "waiting")] == [str(later)])
        app.query_one("#waiting").focus()
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        assert f"select jobs.run_now({later})" in said(app)
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        assert "[b]later[/b]" in said(app)
        await pilot.press("escape", "c")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Question))
        assert shared.job(later)["state"] == "scheduled"
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Question))
        assert said(app) == f"cancel job {later}? [y/N]"
        await pilot.press("y")
        await until(pilot, lambda: shared.job(later)["state"] == "cancelled")

    play(shared, "app", steps)


def test_a_queue_is_paused_and_resumed(shared: Database) -> None:
    def paused() -> bool:
        return bool(shared.value("select paused from jobs.queues where queue = 'default'"))

    async def steps(pilot: Pilot[None], app: Top) -> None:
        app.query_one("#queues").focus()
        for wanted in (True, False):
            await until(pilot, lambda: (rows(app, "queues")[0][1] == "") == wanted)  # noqa: B023
            await pilot.press("p")
            await until(pilot, lambda: isinstance(app.screen, Question))
            await pilot.press("y")
            await until(pilot, lambda: paused() == wanted)  # noqa: B023

    play(shared, "operator", steps)


@pytest.mark.parametrize(
    ("role", "cancel", "pause"),
    [("operator", True, True), ("app", True, None), ("reader", None, None)],
)
def test_a_key_without_its_right_is_grey(
    shared: Database, role: str, cancel: bool | None, pause: bool | None
) -> None:
    async def steps(pilot: Pilot[None], app: Top) -> None:
        assert [app.check_action(name, ()) for name in ("cancel", "pause", "quit")] == [
            cancel,
            pause,
            True,
        ]
        await pilot.press("c")
        await pilot.pause()
        if cancel is None:
            assert not isinstance(app.screen, Question)

    play(shared, role, steps)


def test_a_connection_that_is_lost_is_made_again(shared: Database) -> None:
    async def steps(pilot: Pilot[None], app: Top) -> None:
        seen: set[bool] = set()
        show = app._show

        def watched() -> None:
            seen.add(app._picture.away is None)
            show()

        app._show = watched  # type: ignore[method-assign]
        shared.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pyworker top' and datname = current_database()"
        )
        await until(pilot, lambda: False in seen)
        assert rows(app, "queues")
        await until(pilot, lambda: app._picture.away is None)

    play(shared, "app", steps)
