# SPDX-License-Identifier: GPL-2.0-or-later
"""One request and its answer, again and again where that is safe, without doing any I/O itself.

Everything here is a generator of steps. client.py performs the steps on a blocking socket, aio.py on an event loop; both send back the
bytes of a Receive and throw the OSError of a step that failed. So there is one place that knows what is repeated, and when.

A request is repeated while weftd is away, which is so between two of its runs: nobody listens, it answers 503 with Retry-After, or it
closes the connection without an answer. In the last two cases it may have done what it was asked, so those requests alone are repeated that
mean the same a second time. A shortage (503 without Retry-After) is the caller's to judge. The pauses grow, so that many callers do not
hammer a daemon that starts. Each request has a connection of its own: no connection can have been closed while it was idle, and threads
share none.
"""

from __future__ import annotations

import errno
import json
import time
from dataclasses import dataclass
from typing import Any, Callable, Generator, Optional, TypeVar, Union

from . import _http
from ._version import AGENT, HEADER, compare
from .errors import ConnectionLost, NotFound, ProtocolError, TimedOut, Unavailable, Unreachable, WeftError, problem_class

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
_AWAY = (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN)

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How a client calls."""

    socket: str
    timeout: float
    """Seconds for an answer, beyond the time for which it was asked to wait."""
    patience: float
    """Seconds for which weftd may be away."""


@dataclass(frozen=True)
class Connect:
    """Opens the connection, without waiting: EAGAIN if the listener's queue is full."""


@dataclass(frozen=True)
class Send:
    """Sends all of the bytes."""

    data: bytes
    deadline: float


@dataclass(frozen=True)
class Receive:
    """Returns bytes, b"" at the end of the connection. TimeoutError after the deadline, of time.monotonic()."""

    deadline: float


@dataclass(frozen=True)
class Close:
    """Closes the connection if one is open."""


@dataclass(frozen=True)
class Pause:
    """Waits."""

    seconds: float


Step = Union[Connect, Send, Receive, Close, Pause]
Steps = Generator[Step, bytes, T]


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    target: str
    body: Optional[object] = None
    repeatable: bool = True
    """Whether it means the same a second time."""
    wait: float = 0.0
    """Seconds for which weftd may hold the answer back."""


@dataclass(frozen=True)
class Response:
    """An answer with a status of 2xx."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ProtocolError(f"the answer is no JSON: {error}") from None


class Absence:
    """The time in which weftd is away."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._until: Optional[float] = None
        self._pause = FIRST_PAUSE

    @property
    def lasts(self) -> bool:
        """Whether it began and did not end."""
        return self._until is not None

    def end(self) -> None:
        """weftd answered: the next absence has all of the patience again."""
        self._until, self._pause = None, FIRST_PAUSE

    def pause(self) -> Optional[Pause]:
        """The pause before the next try. None: the patience is over."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._patience
        if now >= self._until:
            return None
        pause = Pause(min(self._pause, self._until - now))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause


def is_away(error: WeftError) -> bool:
    """Whether this is how a weftd looks that is between two runs."""
    if isinstance(error, Unreachable):
        return isinstance(error.__cause__, OSError) and error.__cause__.errno in _AWAY
    return isinstance(error, ConnectionLost) or (isinstance(error, Unavailable) and error.retry_after is not None)


def perform(options: Options, make: Callable[[], Call]) -> Steps[Response]:
    """Makes the call, with repeats. MAKE is asked for it before each try, as time goes on meanwhile."""
    absence = Absence(options.patience)
    repeated = False
    while True:
        call = make()
        try:
            return (yield from _try(options, call))
        except WeftError as error:
            if repeated and isinstance(error, NotFound) and call.method == "DELETE":
                return Response(204, b"")  # a former try has done it
            unsent = isinstance(error, Unreachable)
            pause = absence.pause() if is_away(error) and (unsent or call.repeatable) else None
            if pause is None:
                raise
            repeated = repeated or not unsent
        yield pause


def _try(options: Options, call: Call) -> Steps[Response]:
    deadline = time.monotonic() + options.timeout + call.wait
    answer = yield from ask(options, call, deadline)
    body = bytearray(answer.body)
    while not answer.done:
        body += yield from more(answer, deadline)
    yield Close()
    return read(answer, bytes(body))


class Asked(_http.Answer):
    """An answer whose head has come; `body` is what came of its body with it."""

    body = b""
    older: Optional[str] = None
    """weftd's version of the API, if this library's is newer."""


def ask(options: Options, call: Call, deadline: float) -> Steps[Asked]:
    """Sends the call, and reads the head of its answer."""
    yield Close()
    try:
        yield Connect()
    except OSError as error:
        why = error.strerror or str(error)
        if isinstance(error, PermissionError):
            why += " (root and the members of the socket's group may ask weftd)"
        raise Unreachable(f"weftd cannot be reached at {options.socket}: {why}") from error
    try:
        yield Send(_http.request(call.method, call.target, AGENT, call.body), deadline)
    except TimeoutError:
        raise TimedOut(f"weftd did not take the request within {options.timeout:g} s") from None
    except OSError:
        pass  # it may have answered before it closed, as it does to a request that is too long
    answer = Asked()
    while not answer.status:
        answer.body += yield from more(answer, deadline)
    answer.older = compare(answer.headers.get(HEADER))
    return answer


def more(answer: _http.Answer, deadline: float) -> Steps[bytes]:
    """Reads on: the next bytes of the body, which may be none."""
    try:
        data = yield Receive(deadline)
    except TimeoutError:
        raise TimedOut("weftd did not answer in time") from None
    except OSError as error:
        raise ConnectionLost(f"weftd ended the connection: {error.strerror or error}") from error
    if data:
        return answer.feed(data)
    if not answer.end():
        raise ConnectionLost("weftd ended the connection before its answer was whole")
    return b""


def read(answer: Asked, body: bytes) -> Response:
    """The whole answer: raises the Problem of a refusal."""
    if 200 <= answer.status < 300:
        return Response(answer.status, body)
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    title = str(problem.get("title") or "")
    detail = str(problem.get("detail") or title or "weftd gave no reason")
    field = problem.get("field")
    seconds = answer.headers.get("retry-after", "")
    raise problem_class(answer.status)(
        answer.status,
        detail,
        field=None if field is None else str(field),
        title=title,
        retry_after=int(seconds) if seconds.isdecimal() else None,
        older_api=answer.older,
    )
