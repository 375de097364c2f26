"""The screen of `pyworker top`: lists that renew themselves, and keys that act on the row that is
chosen.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import DataTable, Footer, Input, Static

from pyworker.cli.jobs_text import fact_lines, job_lines
from pyworker.database.watching import Watching
from pyworker.errors import PyworkerError
from pyworker.log import clean
from pyworker.top.dialogs import Question, Reading
from pyworker.top.rows import COLUMNS, cells, health_line
from pyworker.top.watch import Picture, Watch

__all__ = ["Top"]

T = TypeVar("T")
_SECOND = 1.0
_SHARE = 9  # a picture is followed by a pause of so many times what it took
_TALL = 40  # lines from which on there is room for all lists
_TITLES = {"failed": "Failed, the latest first", "waiting": "Waiting: reasons, then the oldest"}
_ACTING = ("cancel", "retry", "dismiss_failure", "pause")
_GRANTS = {"pause": ("jobs_operator", "jobs_owner")}
_ANY = ("jobs_producer", "jobs_operator", "jobs_owner")


class Top(App[None]):
    """All that happens, as the login may see it."""

    TITLE = "pyworker top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #health { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #lists { layout: vertical; height: 1fr; }
    #lists.tall { layout: grid; grid-size: 2 3; }
    #lists .list { height: 1fr; }
    #lists .title { height: 1; text-style: bold; background: $surface; }
    #lists DataTable { height: 1fr; overflow-x: hidden; }
    #lists .extra { display: none; }
    #lists.tall .extra { display: block; }
    #filter { display: none; height: 1; border: none; }
    #filter.open { display: block; }
    .dialog { margin: 1 2; background: $surface; padding: 0 1; }
    Question { align: center middle; }
    .question { width: auto; background: $error; color: $text; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("enter", "details", "Details", priority=False),
        Binding("e", "explain", "Explain"),
        Binding("p", "pause", "Pause"),
        Binding("c", "cancel", "Cancel"),
        Binding("r", "retry", "Retry"),
        Binding("d", "dismiss_failure", "Dismiss"),
    ]

    def __init__(self, dsn: str) -> None:
        """Nothing is connected yet."""
        super().__init__()
        self._watch = Watch(dsn)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._picture = Picture()
        self._wanted = ""
        self._sorted: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        """Lay the lists out."""
        yield Static(Text("connecting ..."), id="health")
        with Container(id="lists"):
            for name, columns in COLUMNS.items():
                extra = " extra" if name in ("operations", "schedules") else ""
                with Container(classes=f"list{extra}"):
                    yield Static(_TITLES.get(name, name.capitalize()), classes="title")
                    table: DataTable[Text] = DataTable(id=name, cursor_type="row", cell_padding=0)
                    table.add_columns(*(f"{column} " for column in columns))
                    yield table
        yield Input(id="filter", placeholder="only rows with this text; enter closes", compact=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#running").focus()
        self._follow()

    def on_resize(self, event: events.Resize) -> None:
        """Show all lists where there is room."""
        self.query_one("#lists").set_class(event.size.height >= _TALL, "tall")

    async def on_unmount(self) -> None:
        """End the connection."""
        self._thread.submit(self._watch.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work_: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work_)

    @work
    async def _follow(self) -> None:
        """Look once a second, or more seldom where a look takes long."""
        while True:
            begun = time.monotonic()
            self._picture = await self._in_thread(self._watch.look)
            self._show()
            await asyncio.sleep(max(_SECOND, _SHARE * (time.monotonic() - begun)))

    def _show(self) -> None:
        self.query_one("#health", Static).update(health_line(self._picture))
        for name in COLUMNS:
            self._fill(name)
        self.refresh_bindings()

    def _fill(self, name: str) -> None:
        """Renew a list; the row that is chosen stays chosen where it is still there."""
        table = self.query_one(f"#{name}", DataTable)
        chosen, line = self._chosen(table), table.cursor_row
        rows = cells(name, self._picture, self.size.width)
        if self._wanted:
            wanted = self._wanted.casefold()
            rows = [row for row in rows if any(wanted in c.plain.casefold() for c in row[1])]
        column = self._sorted.get(name)
        if column is not None:
            rows.sort(key=lambda row: _order(row[1], column))
        table.clear()
        for number, (key, row) in enumerate(rows):
            table.add_row(*row, key=f"{number}:{key}")
        places = [n for n, (key, _row) in enumerate(rows) if key and key == chosen]
        if rows:
            table.move_cursor(row=places[0] if places else min(line, len(rows) - 1))

    def _chosen(self, table: "DataTable[Text]") -> str:
        if not table.row_count or table.cursor_row >= table.row_count:
            return ""
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""
        return key.partition(":")[2]

    def _row(self) -> tuple[str, str]:
        """Name the list that has the keys, and what its chosen row is about."""
        table = self.focused
        if not isinstance(table, DataTable):
            return "", ""
        return table.id or "", self._chosen(table)

    def _job(self) -> int | None:
        name, key = self._row()
        return int(key) if name not in ("queues", "schedules") and key else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  textual's
        """Make a key grey (None) where the login lacks the right to it."""
        if action in _ACTING and not self._picture.rights & set(_GRANTS.get(action, _ANY)):
            return None
        return True

    # Keys

    def action_filter(self) -> None:
        """Open the filter."""
        line = self.query_one("#filter", Input)
        line.add_class("open")
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show only rows with this text."""
        self._wanted = event.value
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close the filter; it goes on to hold."""
        event.input.remove_class("open")
        self.query_one("#running").focus()

    def action_sort(self) -> None:
        """Sort the list by its next column; after the last as it came."""
        name, _key = self._row()
        if name:
            column = self._sorted.get(name, -1) + 1
            self._sorted.pop(name, None)
            if column < len(COLUMNS[name]):
                self._sorted[name] = column
                self.notify(f"{name} by {COLUMNS[name][column]}", timeout=2)
            self._fill(name)

    def on_data_table_row_selected(self, _event: DataTable.RowSelected) -> None:
        """Take enter on a row for the key that it is."""
        self.action_details()

    @work
    async def action_details(self) -> None:
        """Show all about the job."""
        job = self._job()
        if job is not None:
            facts = await self._ask(lambda caller: caller.all_about(job))
            if facts:
                await self.push_screen_wait(Reading("\n".join(job_lines(facts))))

    @work
    async def action_explain(self) -> None:
        """Show why the job waits."""
        job = self._job()
        if job is not None:
            row = await self._ask(lambda caller: caller.explain(job))
            if row:
                await self.push_screen_wait(Reading("\n".join(fact_lines(row))))

    def action_cancel(self) -> None:
        """Cancel the job, once agreed to."""
        self._act("cancel")

    def action_retry(self) -> None:
        """Run the job again, once agreed to."""
        self._act("retry")

    def action_dismiss_failure(self) -> None:
        """Dismiss the failure, once agreed to."""
        self._act("dismiss")

    @work
    async def _act(self, action: str) -> None:
        job = self._job()
        if job is None or not await self.push_screen_wait(Question(f"{action} job {job}?")):
            return
        result = await self._ask(lambda caller: caller.act(action, job))
        if result is not None:
            self.notify(f"job {job}: {result}")

    @work
    async def action_pause(self) -> None:
        """Pause the queue, or let it go on, once agreed to."""
        name, queue = self._row()
        rows = [row for row in self._picture.lists.get("queues", []) if row["queue"] == queue]
        if name != "queues" or not rows:
            self.notify("choose a queue: tab leads to their list")
            return
        paused = not rows[0]["paused"]
        word = "pause" if paused else "resume"
        if await self.push_screen_wait(Question(f"{word} queue {clean(queue)}?")):
            await self._ask(lambda caller: caller.pause(queue, paused=paused))

    async def _ask(self, call: Callable[[Watching], T]) -> T | None:
        """Call the database; what it refuses is shown."""
        try:
            return await self._in_thread(lambda: self._watch.call(call))
        except PyworkerError as error:
            self.notify(clean(str(error)), severity="error", markup=False)
            return None


def _order(row: list[Text], column: int) -> tuple[bool, float, str]:
    """Order numbers as numbers, before words."""
    text = row[column].plain.strip() if column < len(row) else ""
    return (False, float(text), "") if text.isdecimal() else (True, 0.0, text.casefold())
