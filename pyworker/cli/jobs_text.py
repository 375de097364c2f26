"""All about a job as lines of text, in which what others wrote is harmless."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyworker.log import clean

__all__ = ["fact_lines", "job_lines", "time_text"]

_LINE = 20_000  # characters of one line of a text that is shown whole


def job_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Render what `pyworker show` found: the job, how far it is, attempts and log lines."""
    job = facts["job"]
    yield from fact_lines(job)
    for name in ("running", "explain"):
        if facts[name] is not None:
            yield ""
            yield name
            # what the job says already is not said twice
            more = {key: value for key, value in facts[name].items() if job.get(key) != value}
            yield from fact_lines(more, indent=2)
    for attempt in facts["attempts"]:
        yield ""
        yield f"attempt {attempt['attempt']}"
        hidden = ("job_id", "attempt")
        yield from fact_lines({k: v for k, v in attempt.items() if k not in hidden}, indent=2)
    if facts["log_lines"] is None:
        yield ""
        yield "log lines: not for this role"
    elif facts["log_lines"]:
        yield ""
        yield "log lines"
        for line in facts["log_lines"]:
            more_text = f"  {_text(line['fields'])}" if line["fields"] else ""
            yield (
                f"  {time_text(line['at'])}  {line['attempt']}  {line['level']:<7}"
                f"  {clean(line['message'], _LINE)}{more_text}"
            )


def fact_lines(row: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Render what is known, a line each; a text of several lines as such below its name."""
    known = {name: value for name, value in row.items() if value not in (None, {}, [])}
    width = max((len(name) for name in known), default=0)
    for name, value in known.items():
        text = time_text(value) if name.endswith(("_at", "since", "until")) else value
        if isinstance(text, str) and "\n" in text.strip():
            yield f"{'':{indent}}{name}"
            for line in text.strip().splitlines():
                yield f"{'':{indent}}  {clean(line.expandtabs(), _LINE)}"
        else:
            yield f"{'':{indent}}{name:<{width}}  {_text(text)}"


def _text(value: object) -> str:
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LINE)


def time_text(value: object) -> str:
    """Render a time of the server's JSON to the second, as psql does."""
    text = str(value or "")
    day, _, clock = text.partition("T")
    if not clock:
        return text
    zone = clock[-6:].removesuffix(":00") if clock[-6] in "+-" else ""
    return f"{day} {clock[:8]}{zone}"
