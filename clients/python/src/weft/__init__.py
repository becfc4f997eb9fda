# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of weft, the network of the microVM sandboxes on a host.

    import weft

    client = weft.Client()
    sandbox = client.register("a1", weft.Registration(ports=[49983], ready_port=49983))
    ...                                 # start the VM on sandbox.tap, in sandbox.netns_path
    client.wait("a1", "ready")
    client.unregister("a1")

AsyncClient is the same for asyncio.
"""

from ._follow import Position
from ._version import API_VERSION
from ._version import VERSION as __version__
from .aio import AsyncClient
from .aio import EventStream as AsyncEventStream
from .client import DEFAULT_SOCKET, Client, EventStream
from .errors import (
    BadRequest,
    Conflict,
    ConnectionLost,
    Forbidden,
    Gone,
    NotFound,
    Problem,
    ProtocolError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unreachable,
    VersionMismatch,
    WaitTimeout,
    WeftError,
)
from .model import (
    Bandwidth,
    Catalog,
    Connection,
    Counters,
    Decider,
    Diagnosis,
    Door,
    DoorStatus,
    Egress,
    EgressRule,
    Endpoint,
    Event,
    Finding,
    Findings,
    Guest,
    Handover,
    Hop,
    Layout,
    Limits,
    LoopbackStatus,
    NotOpen,
    Patch,
    Pool,
    Port,
    Rate,
    Rates,
    Reach,
    Registration,
    Sandbox,
    SandboxDoor,
    SandboxRates,
    Status,
    TapOwner,
    Uses,
    token_sha256,
)

__all__ = [
    "API_VERSION",
    "AsyncClient",
    "AsyncEventStream",
    "BadRequest",
    "Bandwidth",
    "Catalog",
    "Client",
    "Conflict",
    "Connection",
    "ConnectionLost",
    "Counters",
    "DEFAULT_SOCKET",
    "Decider",
    "Diagnosis",
    "Door",
    "DoorStatus",
    "Egress",
    "EgressRule",
    "Endpoint",
    "Event",
    "EventStream",
    "Finding",
    "Findings",
    "Forbidden",
    "Gone",
    "Guest",
    "Handover",
    "Hop",
    "Layout",
    "Limits",
    "NotFound",
    "LoopbackStatus",
    "NotOpen",
    "Patch",
    "Pool",
    "Port",
    "Position",
    "Problem",
    "ProtocolError",
    "Rate",
    "Rates",
    "Reach",
    "Registration",
    "Sandbox",
    "SandboxDoor",
    "SandboxRates",
    "Status",
    "TapOwner",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "Unreachable",
    "Uses",
    "VersionMismatch",
    "WaitTimeout",
    "WeftError",
    "__version__",
    "token_sha256",
]
