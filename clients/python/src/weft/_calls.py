# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the API, one function for each, as steps for whoever does the I/O. weft.Client documents them."""

from __future__ import annotations

import math
import time
import urllib.parse
from typing import List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from ._codec import decode, encode
from ._exchange import Call, Options, Response, Steps, perform
from .errors import ProtocolError, WaitTimeout
from .model import Connection, Diagnosis, Findings, Patch, Rates, Reach, Registration, Sandbox, State, Status, WaitState

T = TypeVar("T")

LONGEST_WAIT = 300
Query = Sequence[Tuple[str, Union[str, int, None]]]


def target_of(path: str, query: Query = ()) -> str:
    """PATH with those parts of the query that are not None."""
    given = [(key, value) for key, value in query if value is not None]
    return path + ("?" + urllib.parse.urlencode(given) if given else "")


def _sandbox_path(sandbox: str, part: str = "") -> str:
    if not sandbox:
        raise ValueError("the id of a sandbox is empty")
    return f"/v1/sandboxes/{urllib.parse.quote(sandbox, safe='')}{part}"


def _seconds(seconds: Optional[float]) -> Optional[int]:
    """Whole seconds, as the API has them, rounded up."""
    return None if seconds is None else max(0, math.ceil(seconds))


def _ask(options: Options, call: Call) -> Steps[Response]:
    return perform(options, lambda: call)


def _get(options: Options, kind: Type[T], path: str, query: Query = ()) -> Steps[T]:
    response = yield from _ask(options, Call("GET", target_of(path, query)))
    return decode(kind, response.json())


def _get_list(options: Options, kind: Type[T], member: str, path: str, query: Query = ()) -> Steps[List[T]]:
    """The list that is the member of an object."""
    response = yield from _ask(options, Call("GET", target_of(path, query)))
    answer = response.json()
    items = answer.get(member) if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise ProtocolError(f"the answer has no list {member}")
    return [decode(kind, item, f"/{member}/{i}") for i, item in enumerate(items)]


def list_sandboxes(
    options: Options, state: Optional[State], labels: Optional[Mapping[str, str]], wake: Optional[str]
) -> Steps[List[Sandbox]]:
    query: List[Tuple[str, Union[str, int, None]]] = [("state", state), ("wake", wake)]
    query += [("label", f"{key}={value}") for key, value in (labels or {}).items()]
    return _get_list(options, Sandbox, "sandboxes", "/v1/sandboxes", query)


def register(options: Options, sandbox: str, registration: Optional[Registration]) -> Steps[Sandbox]:
    call = Call("PUT", _sandbox_path(sandbox), encode(registration or Registration()))
    response = yield from _ask(options, call)
    return decode(Sandbox, response.json())


def get(options: Options, sandbox: str) -> Steps[Sandbox]:
    return _get(options, Sandbox, _sandbox_path(sandbox))


def wait(options: Options, sandbox: str, state: WaitState, timeout: float) -> Steps[Sandbox]:
    path, deadline = _sandbox_path(sandbox), time.monotonic() + timeout

    def left() -> float:
        return max(0.0, deadline - time.monotonic())

    def make() -> Call:
        seconds = math.ceil(min(LONGEST_WAIT, left()))
        return Call("GET", target_of(path, [("wait", state), ("timeout", seconds)]), wait=seconds)

    while True:
        try:
            response = yield from perform(options, make)
            return decode(Sandbox, response.json())
        except WaitTimeout:
            if not left():
                raise


def is_repeatable(patch: Patch) -> bool:
    """Whether PATCH means the same a second time. A port cannot be published or unpublished twice, and a reset ends later connections too."""
    return patch.publish is None and patch.unpublish is None and patch.flows != "reset"


def change(options: Options, sandbox: str, patch: Patch) -> Steps[Sandbox]:
    call = Call("PATCH", _sandbox_path(sandbox), encode(patch), repeatable=is_repeatable(patch))
    response = yield from _ask(options, call)
    return decode(Sandbox, response.json())


def wake(options: Options, sandbox: str) -> Steps[Sandbox]:
    response = yield from _ask(options, Call("POST", _sandbox_path(sandbox, "/wake")))
    return decode(Sandbox, response.json())


def unregister(options: Options, sandbox: str, drain: Optional[float]) -> Steps[Optional[Sandbox]]:
    call = Call("DELETE", target_of(_sandbox_path(sandbox), [("drain", _seconds(drain))]))
    response = yield from _ask(options, call)
    return decode(Sandbox, response.json()) if response.status == 202 else None


def diagnose(options: Options, sandbox: str, destination: Optional[str], last: bool) -> Steps[Diagnosis]:
    query = [("to", destination), ("last", "true" if last else None)]
    return _get(options, Diagnosis, _sandbox_path(sandbox, "/diagnosis"), query)


def connections(options: Options, sandbox: str) -> Steps[List[Connection]]:
    return _get_list(options, Connection, "connections", _sandbox_path(sandbox, "/connections"))


def reach(options: Options, sandbox: str, destination: str, port: Optional[int], proto: Union[str, int, None]) -> Steps[Reach]:
    query: Query = [("dest", destination), ("port", port), ("proto", proto)]
    return _get(options, Reach, _sandbox_path(sandbox, "/reach"), query)


def doctor(options: Options, last: bool) -> Steps[Findings]:
    return _get(options, Findings, "/v1/doctor", [("last", "true" if last else None)])


def rates(options: Options, since: Optional[int], sandbox: Optional[str]) -> Steps[Rates]:
    return _get(options, Rates, "/v1/rates", [("since", since), ("sandbox", sandbox)])


def status(options: Options) -> Steps[Status]:
    return _get(options, Status, "/v1/status")


def _get_text(options: Options, path: str) -> Steps[str]:
    response = yield from _ask(options, Call("GET", path))
    return response.body.decode("utf-8", "replace")


def health(options: Options) -> Steps[str]:
    return _get_text(options, "/healthz")


def metrics(options: Options) -> Steps[str]:
    return _get_text(options, "/metrics")
