"""/api: the public views as JSON, with filters, page by page. It only reads."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pyworker.database.lists import LISTS, LONGEST, Page
from pyworker.database.readings import Readings
from pyworker.log import clean

__all__ = ["lists"]

_USUAL = 50  # rows of a page
_LONGEST_VALUE = 1000  # characters of a filter's value


def _refuse(said: str) -> HTTPException:
    return HTTPException(400, said)


def _whole(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        raise _refuse(f"{name} is a whole number from 1 to {most}")
    if not 1 <= int(text) <= most:
        raise _refuse(f"{name} is a whole number from 1 to {most}")
    return int(text)


def _after(text: str, length: int) -> list[str]:
    """Read where the page before ended, as `next` said it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not (
        isinstance(found, list)
        and len(found) == length
        and all(isinstance(one, str) for one in found)
    ):
        raise _refuse("after is not what `next` of the page before says")
    return found


def read_page(view: str, given: Iterable[tuple[str, str]]) -> Page:
    """Read what a client asks for."""
    listed = LISTS[view]
    times = ("since", "until") if listed.time else ()
    known = {*listed.filters, *times, "limit", "after"}
    asked: dict[str, str] = {}
    for name, value in given:
        if name not in known:
            raise _refuse(f"{clean(name, 40)} is no filter of {view}; there are: {_names(known)}")
        if name in asked:
            raise _refuse(f"{name} is there twice")
        if len(value) > _LONGEST_VALUE or "\0" in value:
            raise _refuse(f"{name} is too long, or has a character that no text here has")
        asked[name] = value
    return Page(
        view=view,
        filters={name: asked[name] for name in listed.filters if name in asked},
        since=asked.get("since"),
        until=asked.get("until"),
        after=_after(asked["after"], len(listed.key)) if "after" in asked else None,
        limit=_whole(asked.get("limit", str(_USUAL)), "limit", LONGEST),
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def plain(value: object) -> object:
    """Reduce a value to what JSON has: seconds for intervals, ISO 8601 for times."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


def _next(page: Page, last: Mapping[str, Any]) -> str:
    key = json.dumps([str(plain(last[name])) for name in LISTS[page.view].key])
    limits = {"since": page.since, "until": page.until, "limit": str(page.limit), "after": key}
    asked = {**page.filters, **{name: value for name, value in limits.items() if value is not None}}
    return f"/api/{page.view}?{urlencode(asked)}"


def lists(readings: Readings) -> list[Route]:
    """Make the routes below /api."""

    async def contents(_request: Request) -> Response:
        return JSONResponse(
            {
                "views": {
                    view: {
                        "filters": [*one.filters, *(("since", "until") if one.time else ())],
                        "about": one.time,
                        "order": [f"{name}{' desc' if one.descends else ''}" for name in one.key],
                    }
                    for view, one in LISTS.items()
                }
            }
        )

    async def read(page: Page) -> tuple[list[dict[str, Any]], bool]:
        try:
            return await readings.page(page)
        except psycopg.DataError as error:
            said = clean(error.diag.message_primary or "it cannot be read", 200)
            raise _refuse(f"a filter does not fit: {said}") from error

    def viewed(request: Request) -> str:
        view = str(request.path_params["view"])
        if view not in LISTS:
            raise HTTPException(404)
        return view

    async def many(request: Request) -> Response:
        page = read_page(viewed(request), request.query_params.multi_items())
        rows, more = await read(page)
        return JSONResponse({"rows": plain(rows), "next": _next(page, rows[-1]) if more else None})

    async def single(request: Request) -> Response:
        view = viewed(request)
        if LISTS[view].key != ("id",) or request.query_params:
            raise HTTPException(404)
        number = str(_whole(str(request.path_params["id"]), "an id", 2**63 - 1))
        rows, _more = await read(Page(view=view, filters={"id": number}, limit=1))
        if not rows:
            raise HTTPException(404, f"there is no row {number} that this login sees")
        return JSONResponse(plain(rows[0]))

    return [
        Route("/api", contents),
        Route("/api/{view}", many),
        Route("/api/{view}/{id}", single),
    ]
