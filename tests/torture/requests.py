"""Requests in what a client sends, and where a proxy is to cut them."""

import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ByteCut", "Direction", "Moment", "Request", "RequestCut", "Requests", "matching"]

Direction = Literal["to_server", "to_client"]
#: swallowed: the server never sees the request. at_once: it sees the request, and a connection that
#: is gone. answered: it did what was asked, and the answer is thrown away. The client cannot tell
#: these from each other. stalled: nothing breaks, and from this request on nothing gets through any
#: more, on no connection.
Moment = Literal["swallowed", "at_once", "answered", "stalled"]

_HEAD = 32  # bytes of a request's text that are kept
_STARTUP_MAJOR = 3 << 16


@dataclass
class ByteCut:
    """Break the connection that carries the n-th byte from now, after that byte."""

    direction: Direction
    after: int
    hard: bool = False  #: with a reset instead of a proper end
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class RequestCut:
    """Break the connection that carries the n-th request from now whose text begins so."""

    moment: Moment
    skip: int = 0
    text: bytes = b""
    hard: bool = False
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Request:
    """One request that the server answers as a whole: a simple query, or what ends with a Sync."""

    begin: int  #: where it begins in the bytes just fed; below zero: in earlier ones
    end: int  #: where it ends in them
    text: bytes  #: the first bytes of its statement


class Requests:
    """Finds the requests in what a client sends, however the bytes are cut up."""

    def __init__(self) -> None:
        """Expect the start-up packet."""
        self._started = False
        self._rest = b""  # of a header that is not whole
        self._skip = 0  # bytes of the current message that are still to come
        self._kind = b""
        self._head = b""
        self._text = b""
        self._length = 0
        self._begin: int | None = None

    def feed(self, data: bytes) -> list[Request]:
        """Take the next bytes; returns the requests that end in them."""
        found: list[Request] = []
        at = -len(self._rest)  # where `left` begins, in the bytes just fed
        left = self._rest + data
        self._rest = b""
        while left:
            if not self._skip:
                header = 5 if self._started else 8
                if len(left) < header:
                    self._rest = left
                    break
                self._open(left[:header], at)
                left, at = left[header:], at + header
            taken = left[: self._skip]
            if len(self._head) < _HEAD:
                self._head += taken[:_HEAD]
            left, at, self._skip = left[len(taken) :], at + len(taken), self._skip - len(taken)
            if not self._skip and (request := self._close(at)):
                found.append(request)
        if self._begin is not None:
            self._begin -= len(data)
        return found

    def _open(self, header: bytes, at: int) -> None:
        self._head = b""
        if self._started:
            self._kind = header[:1]
            self._skip = struct.unpack("!I", header[1:5])[0] - 4
        else:
            length, version = struct.unpack("!II", header)
            # else a question about encryption
            self._started = version == _STARTUP_MAJOR or version >> 16 == 3
            self._kind = b""
            self._skip = length - 8
        if self._begin is None:
            self._begin = at

    def _close(self, at: int) -> Request | None:
        if self._kind == b"P":
            self._text = self._head.partition(b"\0")[2]
        if self._kind == b"Q":
            self._text = self._head
        if self._kind not in (b"Q", b"S"):
            if not self._kind:
                self._begin = None
            return None
        assert self._begin is not None
        request = Request(begin=self._begin, end=at, text=self._text)
        self._begin, self._text = None, b""
        return request


def matching(cut: RequestCut, requests: list[Request]) -> Request | None:
    """Find the request that is to be cut, and count those that are passed over."""
    for request in requests:
        if request.text.upper().startswith(cut.text.upper()):
            if not cut.skip:
                return request
            cut.skip -= 1
    return None
