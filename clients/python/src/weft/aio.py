# SPDX-License-Identifier: GPL-2.0-or-later
"""The client for asyncio: performs the steps of _exchange.py on the event loop. weft.Client documents the calls, which are the same."""

from __future__ import annotations

import asyncio
import socket
import time
from types import TracebackType
from typing import AsyncGenerator, AsyncIterator, Awaitable, List, Literal, Mapping, Optional, Type, TypeVar, Union

from . import _calls
from ._exchange import Close, Connect, Options, Receive, Send, Step, Steps
from ._follow import Follower, Position
from .client import DEFAULT_SOCKET
from .model import Connection, Diagnosis, Event, Findings, Patch, Rates, Reach, Registration, Sandbox, State, Status, WaitState

T = TypeVar("T")


class _Performer:
    """Performs steps on a connection of its own.

    The loop's own connect() takes a full queue (EAGAIN) for a connection. asyncio.wait_for() swallows a cancellation that comes together
    with the result up to Python 3.11, so a wait whose time is over is ended through the socket instead.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._socket: Optional[socket.socket] = None
        self._expired = False

    async def perform(self, step: Step) -> bytes:
        loop = asyncio.get_running_loop()
        if isinstance(step, Connect):
            self._connect()
        elif isinstance(step, Send):
            await self._until(step.deadline, loop.sock_sendall(self._connected(), step.data))
        elif isinstance(step, Receive):
            return await self._until(step.deadline, loop.sock_recv(self._connected(), 65536))
        elif isinstance(step, Close):
            self.close()
        else:
            await asyncio.sleep(step.seconds)
        return b""

    def _connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.connect(self._options.socket)
        except BaseException:
            made.close()
            raise
        self._socket = made
        self._expired = False

    async def _until(self, deadline: float, step: Awaitable[T]) -> T:
        timer = asyncio.get_running_loop().call_later(max(0.0, deadline - time.monotonic()), self._expire)
        try:
            result = await step
        except OSError:
            if not self._expired:
                raise
        finally:
            timer.cancel()
        if self._expired:
            raise TimeoutError
        return result

    def _expire(self) -> None:
        self._expired = True
        try:
            self._connected().shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    def _connected(self) -> socket.socket:
        assert self._socket is not None
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def _perform(options: Options, steps: Steps[T]) -> T:
    performer = _Performer(options)
    try:
        step = next(steps)
        while True:
            try:
                result = await performer.perform(step)
            except OSError as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        performer.close()


class EventStream:
    """As weft.EventStream, for `async for`. It ends by aclose(), by the end of `async with`, and when the task that iterates is cancelled."""

    def __init__(self, options: Options, sandbox: Optional[str], since: Optional[Position]) -> None:
        self._follower = Follower(options, sandbox, since)
        self._steps = self._follower.steps()
        self._performer = _Performer(options)
        self._events = self._iterate()

    @property
    def position(self) -> Optional[Position]:
        """Where to go on after the last event that was taken, for `since`. None: in the midst of a snapshot."""
        return self._follower.position

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def _iterate(self) -> AsyncGenerator[Event, None]:
        try:
            step: Union[Step, Event] = next(self._steps)
            while True:
                if isinstance(step, Event):
                    yield step
                    step = self._steps.send(b"")
                    continue
                try:
                    result = await self._performer.perform(step)
                except OSError as error:
                    step = self._steps.throw(error)
                else:
                    step = self._steps.send(result)
        finally:
            self._performer.close()

    async def aclose(self) -> None:
        """Ends the stream. Not while another task waits for the next event: cancel that one."""
        await self._events.aclose()
        self._performer.close()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        await self.aclose()


class AsyncClient:
    """As weft.Client, with coroutines. It belongs to no event loop, keeps no connection open, and may be cancelled at any time.

    A call that is cancelled after it was sent may have been done.
    """

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = 30.0, patience: float = 10.0) -> None:
        """As weft.Client's."""
        self._options = Options(socket, timeout, patience)

    async def list(
        self, *, state: Optional[State] = None, labels: Optional[Mapping[str, str]] = None, wake: Optional[Literal["asked"]] = None
    ) -> List[Sandbox]:
        """As weft.Client.list()."""
        return await _perform(self._options, _calls.list_sandboxes(self._options, state, labels, wake))

    async def register(self, id: str, registration: Optional[Registration] = None) -> Sandbox:
        """As weft.Client.register()."""
        return await _perform(self._options, _calls.register(self._options, id, registration))

    async def get(self, id: str) -> Sandbox:
        """As weft.Client.get()."""
        return await _perform(self._options, _calls.get(self._options, id))

    async def wait(self, id: str, state: WaitState, timeout: float = 30.0) -> Sandbox:
        """As weft.Client.wait()."""
        return await _perform(self._options, _calls.wait(self._options, id, state, timeout))

    async def patch(self, id: str, patch: Patch) -> Sandbox:
        """As weft.Client.patch()."""
        return await _perform(self._options, _calls.change(self._options, id, patch))

    async def wake(self, id: str) -> Sandbox:
        """As weft.Client.wake()."""
        return await _perform(self._options, _calls.wake(self._options, id))

    async def unregister(self, id: str, *, drain: Optional[float] = None) -> Optional[Sandbox]:
        """As weft.Client.unregister()."""
        return await _perform(self._options, _calls.unregister(self._options, id, drain))

    async def diagnose(self, id: str, *, destination: Optional[str] = None, last: bool = False) -> Diagnosis:
        """As weft.Client.diagnose()."""
        return await _perform(self._options, _calls.diagnose(self._options, id, destination, last))

    async def connections(self, id: str) -> List[Connection]:
        """As weft.Client.connections()."""
        return await _perform(self._options, _calls.connections(self._options, id))

    async def reach(self, id: str, destination: str, port: Optional[int] = None, proto: Union[str, int, None] = None) -> Reach:
        """As weft.Client.reach()."""
        return await _perform(self._options, _calls.reach(self._options, id, destination, port, proto))

    def events(self, sandbox: Optional[str] = None, *, since: Optional[Position] = None) -> EventStream:
        """As weft.Client.events(), for `async for`."""
        return EventStream(self._options, sandbox, since)

    async def doctor(self, *, last: bool = False) -> Findings:
        """As weft.Client.doctor()."""
        return await _perform(self._options, _calls.doctor(self._options, last))

    async def rates(self, *, since: Optional[int] = None, sandbox: Optional[str] = None) -> Rates:
        """As weft.Client.rates()."""
        return await _perform(self._options, _calls.rates(self._options, since, sandbox))

    async def status(self) -> Status:
        """As weft.Client.status()."""
        return await _perform(self._options, _calls.status(self._options))

    async def health(self) -> str:
        """As weft.Client.health()."""
        return await _perform(self._options, _calls.health(self._options))

    async def metrics(self) -> str:
        """As weft.Client.metrics()."""
        return await _perform(self._options, _calls.metrics(self._options))
