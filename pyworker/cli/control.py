"""`pyworker cancel`, `retry` and `dismiss`: do it with jobs by number, or with all that a filter
finds.

Each job is a transaction of its own: what is done stays done when another is refused.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pyworker.cli.jobs_options import (
    CONTEXT,
    ID,
    as_caller,
    checked_text,
    database_option,
    json_option,
    with_moment,
)
from pyworker.errors import PyworkerError, convert_database_errors
from pyworker.log import clean

if TYPE_CHECKING:
    from pyworker.database.caller import Caller, Filter

__all__ = ["cancel", "dismiss", "retry"]


@dataclass(frozen=True, kw_only=True)
class _Action:
    """One of the three: which states it is for, and the words of the function that mean done."""

    name: str
    states: tuple[str, ...]  #: that a filter may name
    unnamed: tuple[str, ...]  #: that it means where it names none
    done: tuple[str, ...]
    not_dismissed: bool = False


_CANCEL = _Action(
    name="cancel",
    states=("scheduled", "queued", "running", "in_doubt"),
    unnamed=("scheduled", "queued", "running"),
    done=("cancelled", "cancelling"),
)
_RETRY = _Action(
    name="retry",
    states=("failed", "cancelled", "in_doubt"),
    unnamed=("failed",),
    done=("retrying",),
    not_dismissed=True,
)
_DISMISS = _Action(
    name="dismiss",
    states=("failed", "in_doubt"),
    unnamed=("failed", "in_doubt"),
    done=("dismissed",),
    not_dismissed=True,
)

_KEYS = ("state", "queue", "task", "owner", "since")
_SHOWN = 20  # refusals that are printed one by one

#: After these, no other job can do better: the call is not for this role, its transaction may not
#: write, or the function is not there.
_HOPELESS = ("42501", "25006", "42883", "3F000", "PW060")


@dataclass(kw_only=True)
class _Told:
    """What became of one job."""

    id: int
    done: bool
    result: str | None = None
    error: PyworkerError | None = None

    def as_json(self) -> dict[str, Any]:
        error = self.error and {
            name: getattr(self.error, name) for name in ("sqlstate", "message", "detail", "hint")
        }
        return {"id": self.id, "done": self.done, "result": self.result, "error": error}

    def why(self) -> str:
        return self.error.message if self.error else f"it is {self.result}"


def _command(action: _Action, text: str) -> click.Command:
    @click.command(action.name, context_settings=CONTEXT, help=text)
    @database_option
    @click.option(
        "--filter",
        "filters",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_checked_filters,
        help="All jobs for which this holds; repeated: for which all of it holds. Keys: state "
        f"({', '.join(action.states)}; several with commas; default: {', '.join(action.unnamed)}), "
        "queue, task (* stands for any text), owner, since (as in `pyworker jobs`).",
    )
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @json_option("Print one object: action, matched, done, not_done, jobs.")
    @click.argument("numbers", metavar="[ID]...", type=ID, nargs=-1)
    def command(
        dsn: str | None,
        *,
        filters: tuple[str, ...],
        yes: bool,
        as_json: bool,
        numbers: tuple[int, ...],
    ) -> None:
        if bool(numbers) == bool(filters):
            raise click.UsageError("name jobs by their numbers, or with --filter")
        which = _parse(action, filters) if filters else None
        with as_caller(dsn, action.name) as caller:
            chosen = list(dict.fromkeys(numbers))
            if which is not None:
                chosen = caller.numbers(with_moment(caller, which))
                _assert_queue(caller, which, chosen)
                if chosen and not yes:
                    _ask(action, filters, len(chosen))
            _do(action, caller, chosen, as_json=as_json)

    return command


def _checked_filters(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        checked_text(context, parameter, value)
    return values


def _parse(action: _Action, filters: Sequence[str]) -> "Filter":
    """Read --filter; what is not understood is refused before anything is done."""
    from pyworker.database.caller import Filter  # noqa: PLC0415  loads the driver

    given: dict[str, str] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in _KEYS or not value:
            raise click.UsageError(
                f'--filter "{clean(text)}" is not understood; expected is KEY=VALUE, with one of '
                f"the keys {', '.join(_KEYS)}"
            )
        if key in given:
            raise click.UsageError(f"--filter names {key} twice; no job could have both")
        given[key] = value
    states = tuple(given.pop("state", ",".join(action.unnamed)).split(","))
    for state in states:
        if state not in action.states:
            raise click.UsageError(
                f'--filter: {action.name} is not for jobs in state "{clean(state)}", but for '
                f"{', '.join(action.states)}"
            )
    return Filter(
        states=states,
        not_dismissed=action.not_dismissed,
        queue=given.get("queue"),
        task=given.get("task"),
        owner=given.get("owner"),
        since=given.get("since"),
    )


def _assert_queue(caller: "Caller", which: "Filter", chosen: Sequence[int]) -> None:
    if not chosen and which.queue is not None and not caller.has_queue(which.queue):
        raise PyworkerError(f'there is no queue "{clean(which.queue)}"')


def _ask(action: _Action, filters: Sequence[str], count: int) -> None:
    jobs = "1 job matches" if count == 1 else f"{count} jobs match"
    said = clean(", ".join(filters))
    try:
        agreed = click.confirm(f"{jobs} {said}. {action.name.capitalize()}?", err=True)
    except click.Abort:  # the end of the input
        click.echo(err=True)
        agreed = False
    if not agreed:
        raise PyworkerError(
            f"nothing was done: {jobs}, and the answer was not yes",
            hint="--yes does it without asking.",
        )


def _do(action: _Action, caller: "Caller", chosen: Sequence[int], *, as_json: bool) -> None:
    """Do it with each, and say what became of each, also when the rest cannot be done."""
    told: list[_Told] = []
    try:
        for number in chosen:
            told.append(_act(action, caller, number))
            if not as_json and told[-1].done:
                click.echo(f"{number}  {told[-1].result}")
    finally:
        _report(action, told, len(chosen), as_json=as_json)
    if not all(one.done for one in told):
        sys.exit(1)


def _act(action: _Action, caller: "Caller", number: int) -> _Told:
    try:
        with convert_database_errors():
            result = caller.act(action.name, number)
    except PyworkerError as error:
        if error.sqlstate is None or error.exit_code != 1 or error.sqlstate in _HOPELESS:
            raise
        if error.sqlstate.startswith(("08", "57P")):
            raise
        return _Told(id=number, done=False, error=error)
    return _Told(id=number, done=result in action.done, result=result)


def _report(action: _Action, told: Sequence[_Told], matched: int, *, as_json: bool) -> None:
    if matched and not told:
        return  # the error that comes now says it all
    refused = [one for one in told if not one.done]
    done = len(told) - len(refused)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "action": action.name,
                    "matched": matched,
                    "done": done,
                    "not_done": matched - done,
                    "jobs": [one.as_json() for one in told],
                },
                indent=2,
            )
        )
        return
    for one in refused[:_SHOWN]:
        click.echo(f"pyworker: job {one.id}: not done: {clean(one.why())}", err=True)
        if one.error and one.error.hint and len(refused) == 1:
            click.echo(f"HINT: {clean(one.error.hint)}", err=True)
    if len(refused) > _SHOWN:
        rest = ", ".join(str(one.id) for one in refused[_SHOWN:])
        click.echo(f"pyworker: {len(refused) - _SHOWN} more not done: {rest}", err=True)
    left = "" if len(told) == matched else f", {matched - len(told)} not tried"
    click.echo(
        f"{action.name}: {done} of {matched} jobs done{left}" if matched else "no job matches",
        err=True,
    )


_CODES = """

\b
Exit codes: 0 done with all of them, none found included; 1 not done with at least one, which and
why is printed; or refused, not agreed to, or the database cannot be reached; 2 wrong usage or
setting.
"""
cancel = _command(
    _CANCEL,
    "Cancel jobs: by number, or all that a filter finds, after its count was shown and agreed to."
    + _CODES,
)
retry = _command(
    _RETRY,
    "Run jobs again that failed, were cancelled or are in doubt: by number, or all that a filter "
    "finds, after its count was shown and agreed to. A filter leaves out what was dismissed."
    + _CODES,
)
dismiss = _command(
    _DISMISS,
    "Take failures off the lists and checks, because a person has looked: by number, or all that a "
    "filter finds, after its count was shown and agreed to." + _CODES,
)
