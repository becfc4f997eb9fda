# SPDX-License-Identifier: GPL-2.0-or-later
"""The client for programs that wait: performs the steps of _exchange.py on a blocking socket."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Iterator, List, Literal, Mapping, Optional, Type, TypeVar, Union

from . import _calls
from ._exchange import Close, Connect, Options, Pause, Receive, Send, Step, Steps
from ._follow import Follower, Position
from .model import Connection, Diagnosis, Event, Findings, Patch, Rates, Reach, Registration, Sandbox, State, Status, WaitState

T = TypeVar("T")

DEFAULT_SOCKET = "/run/weft/control.sock"
_LONGEST = 1e6  # seconds; a socket takes no endless ones


class _Performer:
    """Performs steps on a connection of its own. interrupt() is for another thread."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._socket: Optional[socket.socket] = None
        self._lock = threading.Lock()
        self._interrupted = threading.Event()

    @property
    def interrupted(self) -> bool:
        return self._interrupted.is_set()

    def perform(self, step: Step) -> bytes:
        if isinstance(step, Connect):
            self._connect()
        elif isinstance(step, Send):
            self._until(step.deadline).sendall(step.data)
        elif isinstance(step, Receive):
            return self._until(step.deadline).recv(65536)
        elif isinstance(step, Close):
            self.close()
        else:
            self._interrupted.wait(step.seconds)
        return b""

    def _connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.connect(self._options.socket)
        except BaseException:
            made.close()
            raise
        with self._lock:
            self._socket = made

    def _until(self, deadline: float) -> socket.socket:
        """The socket, with the time that is left. A wait that was interrupted ends at once."""
        assert self._socket is not None
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, _LONGEST))
        return self._socket

    def close(self) -> None:
        with self._lock:
            made, self._socket = self._socket, None
        if made is not None:
            made.close()

    def interrupt(self) -> None:
        self._interrupted.set()
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended already


def _perform(options: Options, steps: Steps[T]) -> T:
    performer = _Performer(options)
    try:
        step = next(steps)
        while True:
            try:
                result = performer.perform(step)
            except socket.timeout:  # TimeoutError itself from Python 3.10 on
                step = steps.throw(TimeoutError())
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
    """Events one after another: what is, as `snapshot` for each sandbox and `snapshot-end`, then what changes.

    A snapshot may come again later, when weftd was restarted or no longer keeps the events that would follow: it says all that is, so
    forget what is not in it. A stream that breaks off is asked for again by itself, and iteration goes on. It ends by close(), which any
    thread may call, or by an error of this library: weftd was away for longer than the client's patience, or it refuses.
    """

    def __init__(self, options: Options, sandbox: Optional[str], since: Optional[Position]) -> None:
        self._follower = Follower(options, sandbox, since)
        self._steps = self._follower.steps()
        self._performer = _Performer(options)
        self._events = self._iterate()

    @property
    def position(self) -> Optional[Position]:
        """Where to go on after the last event that was taken, for `since`. None: in the midst of a snapshot."""
        return self._follower.position

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def _iterate(self) -> Iterator[Event]:
        try:
            step: Union[Step, Event] = next(self._steps)
            while not self._performer.interrupted:
                if isinstance(step, Event):
                    yield step
                    step = self._steps.send(b"")
                    continue
                try:
                    result = self._performer.perform(step)
                except socket.timeout:
                    step = self._steps.throw(TimeoutError())
                except OSError as error:
                    if self._performer.interrupted:
                        return
                    step = self._steps.throw(error)
                else:
                    if self._performer.interrupted:
                        return
                    step = self._steps.send(result)
        finally:
            self._performer.close()

    def close(self) -> None:
        """Ends the stream; a thread that waits for the next event gets StopIteration."""
        self._performer.interrupt()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        self._performer.close()


class Client:
    """Calls of weftd's API. Threads may share a client: each call has a connection of its own, and a client keeps none open.

    A sandbox is named by its id, or in every call but register() by its name.

    While weftd is away between two runs, calls that are safe to repeat wait for the next one, at most PATIENCE seconds; 0 turns that off.
    All calls may raise the errors of weft.errors; a refusal is a weft.Problem.
    """

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = 30.0, patience: float = 10.0) -> None:
        """SOCKET is the control socket's path. TIMEOUT: the seconds in which weftd must answer, besides the time it was asked to wait."""
        self._options = Options(socket, timeout, patience)

    def list(
        self, *, state: Optional[State] = None, labels: Optional[Mapping[str, str]] = None, wake: Optional[Literal["asked"]] = None
    ) -> List[Sandbox]:
        """All sandboxes by slot, or those in this state with all of these labels, or those alone that the manager was asked to resume."""
        return _perform(self._options, _calls.list_sandboxes(self._options, state, labels, wake))

    def register(self, id: str, registration: Optional[Registration] = None) -> Sandbox:
        """Gives a sandbox its network. If it is registered exactly so already, it is left as it is; Conflict if it is otherwise."""
        return _perform(self._options, _calls.register(self._options, id, registration))

    def get(self, id: str) -> Sandbox:
        """The sandbox as it is."""
        return _perform(self._options, _calls.get(self._options, id))

    def wait(self, id: str, state: WaitState, timeout: float = 30.0) -> Sandbox:
        """Waits until the sandbox is in this state; `attached` is met by `ready`. TIMEOUT is rounded up to whole seconds.

        WaitTimeout after it; Conflict if the sandbox can no longer get there, as it is draining or failed; Gone if it was deleted.
        """
        return _perform(self._options, _calls.wait(self._options, id, state, timeout))

    def patch(self, id: str, patch: Patch) -> Sandbox:
        """Changes the sandbox, all or nothing. Returns it as it is now.

        A patch that publishes, unpublishes or resets connections is not repeated once it was sent: ConnectionLost, and get() tells
        whether it was done.
        """
        return _perform(self._options, _calls.change(self._options, id, patch))

    def wake(self, id: str) -> Sandbox:
        """Asks the sandbox's manager to resume it, as a packet for it would. It returns at once; wait() then says when it is ready.

        Conflict if it is not paused, or has no `wake`.
        """
        return _perform(self._options, _calls.wake(self._options, id))

    def unregister(self, id: str, *, drain: Optional[float] = None) -> Optional[Sandbox]:
        """Takes the sandbox's network away. With DRAIN, connections may end by themselves for so many seconds, rounded up to whole ones;
        the sandbox is returned, as it drains."""
        return _perform(self._options, _calls.unregister(self._options, id, drain))

    def diagnose(self, id: str, *, destination: Optional[str] = None, last: bool = False) -> Diagnosis:
        """Walks the path to the guest. DESTINATION: an address for the way out. LAST: what the last walk found, without a new one."""
        return _perform(self._options, _calls.diagnose(self._options, id, destination, last))

    def connections(self, id: str) -> List[Connection]:
        """The forwarder's connections of the sandbox."""
        return _perform(self._options, _calls.connections(self._options, id))

    def reach(self, id: str, destination: str, port: Optional[int] = None, proto: Union[str, int, None] = None) -> Reach:
        """Whether policy lets the guest reach an address. PROTO is TCP unless it is given."""
        return _perform(self._options, _calls.reach(self._options, id, destination, port, proto))

    def events(self, sandbox: Optional[str] = None, *, since: Optional[Position] = None) -> EventStream:
        """The event stream, or the events of one sandbox alone. SINCE: where a former stream ended (`position`)."""
        return EventStream(self._options, sandbox, since)

    def doctor(self, *, last: bool = False) -> Findings:
        """Examines the host. LAST: what was found the last time."""
        return _perform(self._options, _calls.doctor(self._options, last))

    def rates(self, *, since: Optional[int] = None, sandbox: Optional[str] = None) -> Rates:
        """The traffic of the last two minutes, or what came after the point with the tick SINCE."""
        return _perform(self._options, _calls.rates(self._options, since, sandbox))

    def status(self) -> Status:
        """The daemon at a glance."""
        return _perform(self._options, _calls.status(self._options))

    def health(self) -> str:
        """"ok\\n", from the daemon's main loop."""
        return _perform(self._options, _calls.health(self._options))

    def metrics(self) -> str:
        """Metrics in Prometheus' text format."""
        return _perform(self._options, _calls.metrics(self._options))
