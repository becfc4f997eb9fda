# SPDX-License-Identifier: GPL-2.0-or-later
"""The event stream, from one run of weftd to the next, as steps (see _exchange.py) among which are the events.

A stream that breaks off is asked for again, after the last event that came, so that nothing is lost while the same weftd runs. Its next
run, or one that no longer keeps that event, begins with a snapshot. While a snapshot comes there is no such event: a stream that breaks
off in its midst begins anew, with another snapshot.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Generator, List, Optional, Tuple, Union

from ._calls import target_of
from ._codec import decode
from ._exchange import Absence, Asked, Call, Options, Step, Steps, ask, is_away, more, read
from .errors import ConnectionLost, ProtocolError, TimedOut, Unavailable, WeftError
from .model import Event

HEARTBEAT = 15.0
"""Seconds: weftd's, so a stream is never silent for longer, but for the time to answer."""

_OF_THE_STREAM = ("heartbeat", "overflow", "stopping")


@dataclass(frozen=True)
class Position:
    """A place in the event stream, to go on from it later."""

    seq: int
    boot: str


class Follower:
    """Follows the stream. `position` is that of the last event that came; None in the midst of a snapshot."""

    def __init__(self, options: Options, sandbox: Optional[str], since: Optional[Position]) -> None:
        self.position = since
        self._options = options
        self._sandbox = sandbox
        self._absence = Absence(options.patience)
        self._begun = False

    def steps(self) -> Generator[Union[Step, Event], bytes, None]:
        """Steps and events, without an end."""
        while True:
            try:
                yield from self._stream()
            except WeftError as error:
                pause = self._absence.pause() if self._may_repeat(error) else None
                if pause is None:
                    raise
                yield pause

    def _may_repeat(self, error: WeftError) -> bool:
        """All who followed the former run come back at once, and places for streams are few."""
        if isinstance(error, Unavailable) and self._absence.lasts:
            return True
        return is_away(error) or (self._begun and isinstance(error, TimedOut))

    def _call(self) -> Call:
        at = self.position
        query: List[Tuple[str, Union[str, int, None]]] = [("sandbox", self._sandbox)]
        if at is not None:
            query += [("since", at.seq), ("boot", at.boot)]
        return Call("GET", target_of("/v1/events", query))

    def _stream(self) -> Generator[Union[Step, Event], bytes, None]:
        """One stream, which ends by an error always."""
        deadline = time.monotonic() + self._options.timeout
        answer = yield from ask(self._options, self._call(), deadline)
        if answer.status != 200:
            yield from _refusal(answer, deadline)
        pending = answer.body
        while True:
            *lines, pending = pending.split(b"\n")
            for line in lines:
                event = self._take(line)
                if event.type not in _OF_THE_STREAM:
                    yield event
            if answer.done:
                raise ConnectionLost("weftd ended the stream of events")
            pending += yield from more(answer, time.monotonic() + HEARTBEAT + self._options.timeout)

    def _take(self, line: bytes) -> Event:
        try:
            event = decode(Event, json.loads(line))
        except ValueError as error:
            raise ProtocolError(f"the stream has a line that is no JSON: {error}") from None
        self._begun = True
        self._absence.end()
        if event.type == "snapshot":
            self.position = None
        elif event.type != "overflow" and (self.position or event.type == "snapshot-end"):
            self.position = Position(event.seq, event.boot)
        return event


def _refusal(answer: Asked, deadline: float) -> Steps[None]:
    body: List[bytes] = [answer.body]
    while not answer.done:
        body.append((yield from more(answer, deadline)))
    read(answer, b"".join(body))
    raise ProtocolError(f"weftd answered {answer.status} in the place of a stream of events")
