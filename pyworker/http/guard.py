"""What stands before every page: which host was meant, the token, the size of a request, the time
that an answer may take, and the headers for browsers.
"""

import asyncio
import hmac
import ipaddress
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ANSWER_SECONDS", "Guard", "refusal"]

ANSWER_SECONDS = 12.0  #: that an answer may take; the connection itself ends a little later
_DRAIN_SECONDS = 3.0  # that the rest of a refused body is read, so that its sender sees the answer
_LARGEST = 64 * 1024  # bytes of a body
_OPEN = frozenset({"/live", "/ready"})  # without a token: they say yes or no and nothing else

_HEADERS = {
    # No script, no frame, nothing of anywhere else.
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    # One request each: no connection waits for another one.
    "connection": "close",
}


def refusal(status: int, error: str, hint: str | None = None) -> JSONResponse:
    """Say in one sentence what went wrong, and what helps."""
    said = {"error": error} if hint is None else {"error": error, "hint": hint}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(said, status, headers)


class Guard:
    """Lets through what may be asked, and ends what takes too long."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        names: Iterable[str],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`names`: hosts that may be meant, beside IP addresses; `failed` is told of our own
        mistakes.
        """
        self._app = app
        self._token = token.encode() if token else None
        self._names = frozenset({"localhost", *names})
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer: ASGIApp = self._refused(scope) or self._app
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if answer is self._app or not _has_body(scope):
                    await answer(scope, receive, told)
                else:
                    await _answer_and_drain(answer, scope, receive, told)
        except TimeoutError:
            answer = refusal(503, f"there was no answer within {ANSWER_SECONDS:.0f} s", "Retry.")
        except Exception as error:  # noqa: BLE001  whatever it is, it ends here and is told
            self._failed(error)
            return
        else:
            return
        if not begun:
            await answer(scope, receive, told)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._is_meant(headers.get("host", "")):
            return refusal(
                421,
                "this is not the host that was asked for",
                "Ask for it by its address, or start `pyworker run` with --http-host NAME.",
            )
        if "transfer-encoding" in headers:
            return refusal(411, "a request needs a Content-Length")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > len(str(_LARGEST)) or int(length) > _LARGEST:
            return refusal(413, f"a request may have {_LARGEST} bytes")
        if self._token is not None and scope["path"] not in _OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(
                given.strip().encode("latin-1", "replace"), self._token
            ):
                return refusal(
                    401,
                    "this needs the token of --http-token-file",
                    "Send it as: Authorization: Bearer TOKEN",
                )
        return None

    def _is_meant(self, host: str) -> bool:
        """Refuse a name that is none of ours: a page of another site whose name leads here must
        read nothing (DNS rebinding). An address has no name that could lead elsewhere.
        """
        name, closed, rest = host.partition("]")
        name = name.removeprefix("[") if closed else host.rpartition(":")[0] or host
        if closed and not host.startswith("["):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return not closed and name.lower().rstrip(".") in self._names
        return not rest or rest.startswith(":")


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _answer_and_drain(answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, and read on for a while: a connection that is closed while its peer writes
    takes the answer with it.
    """
    last: list[Message] = []

    async def hold_the_end(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            last.append({"type": "http.response.body", "body": b""})
            message = {**message, "more_body": True}
        await send(message)

    await answer(scope, receive, hold_the_end)
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
    for message in last:
        await send(message)
