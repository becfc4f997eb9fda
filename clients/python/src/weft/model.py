# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects of the API, named as in docs/openapi.yaml, which says more about each member.

What a caller sends (Registration, Patch and what they are made of) is checked by weftd alone; members that are None are not sent. What
weftd answers is read into the same kind of objects. `raw`, where there is one, is the answer itself, with members that this library does
not know yet.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple, Union

State = Literal["creating", "waiting", "attached", "ready", "detached", "paused", "draining", "failed"]
WaitState = Literal["attached", "ready", "detached", "paused"]
PortProto = Literal["tcp", "udp"]
DoorAccess = Literal["public", "token", "closed"]
Via = Literal["forwarder", "nat"]
EndpointPath = Literal["kernel", "forwarder"]
HopName = Literal["door", "listen", "veth", "route", "rules", "tap", "guest", "tcp", "http", "kernel", "egress"]
Flows = Literal["keep", "reset"]
EventType = Literal[
    "snapshot", "snapshot-end", "registered", "state", "renamed", "published", "unpublished", "default", "door", "wake", "idle",
    "denied", "repair", "host", "handover", "unregistered", "heartbeat", "overflow", "stopping",
]  # fmt: skip


@dataclass(frozen=True)
class Port:
    """A port to publish. A plain number stands for Port(number)."""

    guest_port: int
    listen: Union[str, Sequence[str], None] = None
    """`ADDR:PORT`, `[ADDR6]:PORT` or `localhost:PORT`, or a list of them. None: a free port, the same on 127.0.0.1 and ::1."""
    proto: Optional[PortProto] = None
    via: Optional[Via] = None
    proxy_protocol: Optional[Literal["v2"]] = None


@dataclass(frozen=True)
class TapOwner:
    """Who may open the TAP: the VMM's user and group."""

    uid: int
    gid: int


@dataclass(frozen=True)
class EgressRule:
    """A network that guests may reach or not. A plain string stands for EgressRule(string)."""

    cidr: str
    proto: Union[Literal["tcp", "udp", "icmp", "gre", "esp", "ah", "sctp"], int, None] = None
    ports: Optional[List[Union[int, str]]] = None
    """Numbers, and ranges such as "8000-8099"."""


@dataclass(frozen=True)
class Egress:
    """What the guest may reach."""

    internet: Optional[bool] = None
    allow: Optional[List[Union[str, EgressRule]]] = None
    deny: Optional[List[Union[str, EgressRule]]] = None
    dscp: Optional[int] = None
    isolated: Optional[bool] = None
    """Everything that the guest opens is shut, services and DNS too."""


@dataclass(frozen=True)
class Rate:
    """A limit in bytes a second, 0 for none, and how many bytes may pass at once."""

    rate: int
    burst: Optional[int] = None


@dataclass(frozen=True)
class Bandwidth:
    """Limits for both directions."""

    to_guest: Optional[Rate] = None
    from_guest: Optional[Rate] = None


@dataclass(frozen=True)
class Limits:
    """Limits of connections through the forwarder."""

    connections: Optional[int] = None
    connect_deadline_ms: Optional[int] = None
    idle_ms: Optional[int] = None
    half_closed_ms: Optional[int] = None
    keepalive_ms: Optional[int] = None


@dataclass(frozen=True)
class Door:
    """Who may come to the guest by the door of the host, by which HAProxy hands over clients of all sandboxes."""

    public: Optional[bool] = None
    """Whether everybody may come to ports that `ports` does not name. None: as weftd is configured."""
    token_sha256: Optional[str] = None
    """token_sha256() of the token that clients show where they must."""
    ports: Optional[Mapping[str, DoorAccess]] = None
    """By the guest's port, `"8080"`. 49983 takes no `token`: envd asks for its own."""


@dataclass(frozen=True)
class Wake:
    """What wakes a sandbox while it is paused. Its manager is then asked to resume it, by an event `wake` and at `[wake] notify`."""

    ports: Union[Sequence[Union[int, str]], Literal["published", "any"], None] = None
    """Of the guest, `8080` or `"5353/udp"`. None: those that are published."""
    min_awake_ms: Optional[int] = None
    """How long after a pause nothing wakes it. None: 5 s."""
    timeout_ms: Optional[int] = None
    """How long a client is held while the sandbox is paused, and after which the manager is asked again. None: a minute."""


class _Never(Wake):
    """null in JSON."""

    json = None


NEVER = _Never()
"""As the `wake` of a Patch: nothing wakes the sandbox any more."""


def token_sha256(token: str) -> str:
    """What a Door knows of a token. A token should be random: one that can be guessed is found by its hash."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


@dataclass(frozen=True)
class Registration:
    """What a sandbox is registered with."""

    name: Optional[str] = None
    ports: Optional[Sequence[Union[int, Port]]] = None
    default: Optional[bool] = None
    ready_port: Optional[int] = None
    tap_owner: Optional[TapOwner] = None
    egress: Optional[Egress] = None
    bandwidth: Optional[Bandwidth] = None
    limits: Optional[Limits] = None
    door: Optional[Door] = None
    wake: Optional[Wake] = None
    idle_report_ms: Optional[int] = None
    """For how long there must be no traffic until an event `idle` says so; 0: never."""
    labels: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class Patch:
    """Changes of a sandbox, made together or not at all. An object that is given replaces the former one whole."""

    name: Optional[str] = None
    """ "" takes the name away."""
    publish: Optional[Sequence[Union[int, Port]]] = None
    unpublish: Optional[Sequence[Union[int, str]]] = None
    """Guest ports, `PORT/PROTO` or `ADDR:PORT`."""
    default: Union[bool, Literal["take"], None] = None
    paused: Optional[bool] = None
    flows: Optional[Flows] = None
    """Only with `paused=False`."""
    egress: Optional[Egress] = None
    bandwidth: Optional[Bandwidth] = None
    limits: Optional[Limits] = None
    door: Optional[Door] = None
    wake: Optional[Wake] = None
    """NEVER: nothing wakes it any more."""
    idle_report_ms: Optional[int] = None
    labels: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class Endpoint:
    """A published port."""

    guest_port: int
    proto: PortProto
    via: Via
    listen: List[str]
    open: bool
    """Whether clients reach it by all these addresses now."""
    proxy_protocol: Optional[Literal["v2"]] = None
    path: EndpointPath = "forwarder"
    """Which way a new client on loopback goes. A weftd that does not tell it has no other."""
    path_reason: Optional[str] = None
    """Why not by the kernel, such as `not-answered-yet`."""

    @property
    def addresses(self) -> List[Tuple[str, int]]:
        """`listen` as socket.create_connection() takes it."""
        pairs = [listen.rpartition(":") for listen in self.listen]
        return [(host.strip("[]"), int(port)) for host, _, port in pairs]


@dataclass(frozen=True)
class Guest:
    """What the guest is to be told of its network."""

    ip: str
    prefix: int
    gateway: str
    mac: Optional[str]
    mtu: Optional[int]
    dns: List[str]
    boot_arg: str
    """For the guest's kernel command line."""


@dataclass(frozen=True)
class Counters:
    """What a sandbox did since it was registered."""

    bytes_to_guest: int
    bytes_from_guest: int
    packets_to_guest: int
    packets_from_guest: int
    connections_total: int
    connections_open: int
    connections_held: int
    drops_total: int


@dataclass(frozen=True)
class SandboxDoor:
    """Who may come by the door of the host."""

    public: bool
    token_sha256: Optional[str]
    """None: there is no token, or weftd was asked over TCP."""
    ports: Dict[str, DoorAccess]
    host_label: Optional[str]
    """What leads here in a host name, PORT-LABEL.DOMAIN; None: nothing can."""


@dataclass(frozen=True)
class SandboxWake:
    """What wakes a sandbox while it is paused, and whether its manager was asked to resume it."""

    ports: Union[List[Union[int, str]], Literal["published", "any"]]
    min_awake_ms: int
    timeout_ms: int
    asked_at: Optional[datetime]
    """None: it is not paused, or nobody wants it."""
    by: Optional[str]
    """Who wanted it first, for people."""


@dataclass(frozen=True)
class Sandbox:
    """A sandbox as it is."""

    id: str
    name: Optional[str]
    slot: int
    state: State
    since: datetime
    reason: Optional[str]
    """Why it is failed."""
    netns: str
    netns_path: str
    tap: str
    veth: str
    host_ip: str
    guest: Guest
    endpoints: List[Endpoint]
    default: bool
    ready_port: Optional[int]
    labels: Dict[str, str]
    tap_owner: Optional[TapOwner]
    egress: Egress
    bandwidth: Bandwidth
    limits: Limits
    registered_at: datetime
    last_activity: Optional[datetime]
    counters: Counters
    door: SandboxDoor = field(default_factory=lambda: SandboxDoor(True, None, {}, None))
    """A weftd that does not tell it has no door."""
    wake: Optional[SandboxWake] = None
    """None: nothing wakes it."""
    idle_report_ms: int = 0
    idle_ms: int = 0
    """Without traffic on either path."""
    adopting: Optional[Literal[True]] = None
    """True: weftd still takes over what a former run left, and this is how it was stored."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def endpoint(self, guest_port: int, proto: PortProto = "tcp") -> Optional[Endpoint]:
        """The endpoint that leads to this port of the guest; None if it is not published."""
        return next((one for one in self.endpoints if (one.guest_port, one.proto) == (guest_port, proto)), None)


@dataclass(frozen=True)
class Reach:
    """Whether policy lets a guest reach a destination, and what decided it."""

    allowed: bool
    rule: Optional[str]
    set: Optional[str]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Hop:
    """A part of the path to the guest."""

    hop: HopName
    status: Literal["ok", "fail", "idle", "skipped"]
    subject: str
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """The path to the guest, hop by hop, and where it breaks."""

    hops: List[Hop]
    broken: Optional[str]
    """The first hop that is broken."""
    cause: Optional[str]
    next_step: Optional[str]
    measured_at: Optional[datetime]
    """None: there was no walk yet."""


@dataclass(frozen=True)
class Connection:
    """A connection of the forwarder, or of a process of the host to the guest itself."""

    id: int
    endpoint: str
    client: str
    state: str
    bytes_to_guest: int
    bytes_from_guest: int
    age_ms: int
    connect_ms: Optional[int]
    """None until the guest, or the service, answered."""
    direction: Literal["in", "out"] = "in"
    """`out`: from the guest to a service of the host. A weftd that does not tell it has no others than `in`."""
    path: EndpointPath = "forwarder"
    """`kernel`: a process of the host is connected to the guest itself, and did not wait."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Decider:
    """Another program's route or policy rule that decides in the place of weft's."""

    gateway: Optional[str]
    device: Optional[str]
    protocol: str
    table: Optional[int]
    rule: Optional[int]


@dataclass(frozen=True)
class Event:
    """A line of the event stream. Which members it has, besides the first ones, depends on its type."""

    seq: int
    boot: str
    time: datetime
    type: EventType
    sandbox: Optional[str]
    sandbox_name: Optional[str] = None
    name: Optional[str] = None
    former: Optional[str] = None
    object: Optional[Sandbox] = None
    """`snapshot`: the sandbox."""
    state: Optional[State] = None
    slot: Optional[int] = None
    guest_port: Optional[int] = None
    proto: Optional[str] = None
    listen: Optional[List[str]] = None
    rule: Optional[str] = None
    destination: Optional[str] = None
    port: Optional[int] = None
    from_: Optional[State] = None
    to: Optional[State] = None
    cause: Optional[str] = None
    reason: Optional[str] = None
    default: Optional[bool] = None
    taken_from: Optional[str] = None
    taken_by: Optional[str] = None
    public: Optional[bool] = None
    token: Optional[bool] = None
    ports: Optional[Dict[str, DoorAccess]] = None
    source: Optional[str] = None
    """`wake`: whose packet, connection or request it was."""
    dest_port: Optional[int] = None
    via: Optional[Literal["kernel", "forwarder", "front-door", "api"]] = None
    attempt: Optional[int] = None
    idle_ms: Optional[int] = None
    previous_ms: Optional[int] = None
    check: Optional[Literal["ports", "files", "uplink", "ip_forward"]] = None
    status: Optional[Literal["ok", "fail"]] = None
    detail: Optional[str] = None
    connections: Optional[int] = None
    lost: Optional[int] = None
    gap_ms: Optional[int] = None
    what: Optional[str] = None
    ok: Optional[bool] = None
    error: Optional[str] = None
    by: Optional[Decider] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Finding:
    """What the doctor says of one part of the host."""

    check: str
    status: Literal["ok", "warn", "fail", "skipped"]
    detail: str
    why: str
    fix: str


@dataclass(frozen=True)
class Findings:
    """What the doctor says of the host."""

    findings: List[Finding]
    measured_at: Optional[datetime]
    """None: the host was not examined yet."""


@dataclass(frozen=True)
class SandboxRates:
    """The traffic of a sandbox, bytes a second; the last point is the newest."""

    id: str
    slot: int
    connections_open: int
    connections_held: int
    to_guest: List[int]
    from_guest: List[int]


@dataclass(frozen=True)
class Rates:
    """The traffic of the last two minutes."""

    interval_ms: int
    points: int
    tick: int
    at: datetime
    sandboxes: List[SandboxRates]


@dataclass(frozen=True)
class Pool:
    """Slots that are prepared, and those that are taken apart."""

    ready: int
    target: int
    quarantined: int
    deleting: int


@dataclass(frozen=True)
class NotOpen:
    """An address that weftd is to listen on and cannot now."""

    address: str
    """Of a unix socket its path."""
    proto: Literal["tcp", "udp", "unix"]
    what: str
    holder: Optional[str]
    error: str


@dataclass(frozen=True)
class Layout:
    """Names and ranges of slots."""

    netns_dir: str
    netns_prefix: str
    veth_prefix: str
    link_group: int
    host_cidr: str
    veth_cidr: str


@dataclass(frozen=True)
class Uses:
    """What weftd goes by."""

    config: Optional[str]
    state_dir: str
    layouts: List[Layout]
    options: Dict[str, Dict[str, Union[str, List[str]]]]


@dataclass(frozen=True)
class Handover:
    """What became of the former run's connections."""

    connections: int
    lost: int
    gap_ms: int


@dataclass(frozen=True)
class DoorStatus:
    """The clients of the door, since weftd runs."""

    socket: str
    open: bool
    """Whether weftd listens there."""
    connections: int
    held: int
    """Of these, without an answer of a guest yet."""
    served: int
    refused: Dict[str, int]
    """By the reason."""
    broken: int
    """Without a correct header."""


@dataclass(frozen=True)
class Catalog:
    """How the catalogue fares, in which edges find the host of each sandbox."""

    redis: str
    up: bool
    published: int
    pending: int
    """Entries that it has to take or to remove still."""
    foreign: int
    """Sandboxes of this host whose entry another writer has."""
    error: Optional[str]


@dataclass(frozen=True)
class LoopbackStatus:
    """How clients of loopback endpoints are led past weftd."""

    mode: Literal["forwarder", "kernel", "auto"]
    open: bool
    """Whether the kernel has weftd's table and programs."""
    cgroup: Optional[str]
    ipv6: bool
    entries: int
    wanted: int
    error: Optional[str]
    default_path: EndpointPath
    default_path_reason: Optional[str]


@dataclass(frozen=True)
class Status:
    """The daemon at a glance."""

    version: str
    host: str
    state: Literal["adopting", "running", "stopping"]
    pool: Pool
    sandboxes: Dict[str, int]
    """Their number in each state."""
    connections: int
    not_open: List[NotOpen]
    uses: Uses
    handover: Optional[Handover]
    door: Optional[DoorStatus] = None
    """None: there is none."""
    catalog: Optional[Catalog] = None
    """None: nothing is published."""
    event_readers: int = 0
    """Streams of events over the control socket."""
    api: str = "1.0"
    """The version of the API; a weftd that does not tell it has 1.0."""
    loopback: LoopbackStatus = LoopbackStatus("forwarder", False, None, False, 0, 0, None, "forwarder", "off")
    """A weftd that does not tell it leads nobody past itself."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
