# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong. Each error of this library is a WeftError, and says whether weftd may have done what it was asked.

A refusal by weftd is a Problem, with the members of its `application/problem+json` (RFC 9457). Each status has a class of its own, so
that a caller can name the refusals that it expects:

    try:
        client.unregister("a1")
    except weft.NotFound:
        pass
"""

from __future__ import annotations

from typing import Dict, Optional, Type


class WeftError(Exception):
    """Any error of this library."""


class Unreachable(WeftError):
    """Nobody answers at the socket, or it may not be opened. The request was not sent. `__cause__` is the OSError, where there is one."""


class ConnectionLost(WeftError):
    """The connection ended after the request was sent and before its answer was whole: weftd may have done it, or not."""


class TimedOut(WeftError):
    """weftd did not answer in time: it may have done what it was asked, or may do it yet."""


class ProtocolError(WeftError):
    """The answer is not one of weftd's API: another program listens there, or this library is too old for that weftd."""


class VersionMismatch(ProtocolError):
    """weftd's API has another first number than the one that this library was written for."""


class Problem(WeftError):
    """weftd refused. The message is `detail`, with the field at fault."""

    def __init__(
        self,
        status: int,
        detail: str,
        field: Optional[str] = None,
        title: str = "",
        retry_after: Optional[int] = None,
        older_api: Optional[str] = None,
    ) -> None:
        super().__init__(status, detail, field, title, retry_after, older_api)
        self.status = status
        """HTTP's status code."""
        self.detail = detail
        """The reason, in words for people."""
        self.field = field
        """What is to blame: a JSON pointer into the request (`/ports/0/listen`), `id`, or a query parameter's name; None: nothing of these."""
        self.title = title
        """The name of the status."""
        self.retry_after = retry_after
        """Seconds, of a weftd that is stopping; its next run will answer. None: it is not stopping."""
        self.older_api = older_api
        """The version of the API that weftd speaks, if it is older than this library, so that it may not know what it was asked."""

    def __str__(self) -> str:
        place = f" ({self.field})" if self.field else ""
        age = f"; this weftd speaks version {self.older_api} of the API only" if self.older_api and self.status in (400, 404, 405) else ""
        return f"{self.status} {self.detail}{place}{age}"


class BadRequest(Problem):
    """400: the request is wrong in itself; `field` names what is to blame."""


class Forbidden(Problem):
    """403: the caller is neither root nor a member of the socket's group."""


class NotFound(Problem):
    """404: no such sandbox, or a thing that the request names is not there, such as a port to be unpublished."""


class WaitTimeout(Problem):
    """408: the sandbox did not get into the state in the time that was given."""


class Conflict(Problem):
    """409: it is registered otherwise, draining or failed, or a port, id or name is taken; the detail names the holder."""


class Gone(Problem):
    """410: the sandbox was deleted while somebody waited for it."""


class TooLarge(Problem):
    """413: the request is longer than 64 KiB."""


class Unavailable(Problem):
    """503 or 429: something is short now. What was begun is undone; ask again later."""


_CLASSES: Dict[int, Type[Problem]] = {
    400: BadRequest,
    403: Forbidden,
    404: NotFound,
    408: WaitTimeout,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    429: Unavailable,
    503: Unavailable,
}


def problem_class(status: int) -> Type[Problem]:
    """The class of refusals with STATUS."""
    return _CLASSES.get(status, Problem)
