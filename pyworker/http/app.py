"""The pages: what each path answers."""

import asyncio
from contextlib import suppress
from time import monotonic, time
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pyworker import __version__
from pyworker.database.readings import Readings, Unavailable
from pyworker.http.guard import refusal
from pyworker.http.lists import lists
from pyworker.http.metrics import render
from pyworker.schema.files import read_version
from pyworker.supervisor.life import Life

__all__ = ["build"]

_TICK_WITHIN = 10.0  # seconds since the last tick of a supervisor that is at work
_TICK_ASKED = 8.0  # after so long an idle one is asked for a tick
_TICK_PATIENCE = 1.5  # seconds that it is given then
_STEP = 0.01
_SCHEMA_MISMATCH = ("3F000", "42883", "42P01", "PW053")
_RANKS = ("ok", "warning", "critical")


class Pages:
    """What each path answers, from the database and from what the loop shows."""

    def __init__(self, readings: Readings, life: Life) -> None:
        """Keep where to look."""
        self._readings = readings
        self._life = life
        self._schema = read_version()

    async def live(self, _request: Request) -> Response:
        """Say that the process is there."""
        return JSONResponse({"live": True, "version": __version__})

    async def ready(self, _request: Request) -> Response:
        """Say whether it supervises: database reached, schema right, a tick not long ago."""
        try:
            await self._readings.assert_program_fits(self._schema)
        except Unavailable as error:
            return _not_ready(str(error))
        except psycopg.Error as error:
            if error.sqlstate in _SCHEMA_MISMATCH:
                return _not_ready("the database's schema is not the one of this program")
            return _not_ready("the database does not serve this login")
        age = await self._since_tick()
        if age is None:
            return _not_ready("the supervisor has not begun to work")
        if age >= _TICK_WITHIN:
            return _not_ready(f"the supervisor's last round was {age:.0f} s ago")
        return JSONResponse(
            {"ready": True, "schema": self._schema, "last_tick_seconds": round(age, 3)}
        )

    async def health(self, request: Request) -> Response:
        """Show jobs.health; 503 where something is critical, with ?strict also on warnings."""
        checks = await self._readings.health()
        worst = max((str(check["status"]) for check in checks), key=_RANKS.index, default="ok")
        strict = "strict" in request.query_params
        bad = worst == "critical" or (strict and worst != "ok")
        return JSONResponse({"status": worst, "checks": checks}, 503 if bad else 200)

    async def metrics(self, request: Request) -> Response:
        """Show the figures; a database that does not answer is one of them."""
        age = self._life.since_tick()
        facts: dict[str, Any] = {"figures": None}
        with suppress(Unavailable):
            facts = {
                "checks": await self._readings.health(),
                "figures": await self._readings.metrics(),
            }
        content, kind = render(
            request.headers.get("accept", ""),
            schema=self._schema,
            ticked_at=None if age is None else time() - age,
            **facts,
        )
        return Response(content, headers={"content-type": kind})

    async def _since_tick(self) -> float | None:
        """Give the age of the last tick; an idle loop, whose rounds are ten seconds apart, is asked
        to turn first.
        """
        age = self._life.since_tick()
        if age is None or age < _TICK_ASKED:
            return age
        self._life.ask_for_tick()
        until = monotonic() + _TICK_PATIENCE
        while (age or 0) >= _TICK_ASKED and monotonic() < until:
            await asyncio.sleep(_STEP)
            age = self._life.since_tick()
        return age


def _not_ready(error: str) -> Response:
    return JSONResponse({"ready": False, "error": error}, 503)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  as registered
    if error.status_code == 404:
        if error.detail != "Not Found":
            return refusal(404, error.detail)
        there = "There are: /live, /ready, /health, /metrics, /api."
        return refusal(404, "there is no such page", there)
    if error.status_code == 405:
        return refusal(405, "this page can only be read: GET or HEAD")
    return refusal(error.status_code, str(error.detail))


async def _database_refused(_request: Request, error: Exception) -> Response:
    """Say what the database refused; its message may name what the client must not know."""
    assert isinstance(error, psycopg.Error)  # noqa: S101  as registered
    if error.sqlstate == "42501":
        return refusal(403, "the supervisor's login may not read this")
    if error.sqlstate in _SCHEMA_MISMATCH:
        return refusal(
            503,
            "the database's schema is not the one of this program",
            "Run `pyworker check`.",
        )
    raise error


async def _away(_request: Request, error: Exception) -> Response:
    return refusal(503, str(error), "Retry.")


async def _failed(_request: Request, _error: Exception) -> Response:
    """Answer for a mistake of ours; Starlette raises it again, and `Guard` has it logged."""
    return refusal(500, "the supervisor could not answer this; its log says why")


def build(readings: Readings, life: Life) -> Starlette:
    """Make the application."""
    pages = Pages(readings, life)
    handlers: dict[Any, Any] = {
        HTTPException: _refused,
        Unavailable: _away,
        psycopg.Error: _database_refused,
        Exception: _failed,
    }
    return Starlette(
        routes=[
            Route("/live", pages.live),
            Route("/ready", pages.ready),
            Route("/health", pages.health),
            Route("/metrics", pages.metrics),
            *lists(readings),
        ],
        exception_handlers=handlers,
    )
