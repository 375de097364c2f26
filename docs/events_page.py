"""Make docs/reference/events.md of the catalogue: `python docs/events_page.py`."""

from pathlib import Path

from pyworker.events import EVENTS, FIELDS

__all__ = ["PAGE", "reference"]

PAGE = Path(__file__).parent / "reference" / "events.md"

_HEAD = """\
# Log events

<!-- Made from pyworker/events.py by `python docs/events_page.py`. Do not edit. -->

`pyworker run` writes one line per event to standard output: JSON, or a coloured line on a terminal.
Every line carries `timestamp` (UTC), `level`, `event` and `supervisor_name`; the fields below come
with each line of that event, and no others. A field without a value is `null`. Control characters
in texts are escaped and long texts are cut. Arguments, results, error details and error contexts
are never written: `jobs.job` and `jobs.attempts` have them, for those who may see them.

An outcome is taken from the database in the transaction in which its line is written: a crash in
between repeats lines, and loses none.
"""


def reference() -> str:
    """Render the page."""
    lines = [_HEAD, "| event | level | fields | meaning |", "|---|---|---|---|"]
    for event in EVENTS.values():
        fields = " ".join(f"`{field}`" for field in event.fields)
        lines.append(f"| `{event.name}` | {event.level} | {fields} | {event.meaning} |")
    lines += ["", "## Fields", "", "| field | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in sorted(FIELDS.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
