# SPDX-License-Identifier: GPL-2.0-or-later
"""The front doors that are compared: weft's, and reverse proxies that know 4,000 sandboxes by a table, on the kernel path.

Each serves HTTP on one port of the loopback, and takes the sandbox and the port from E2B's headers. What is measured is one sandbox, whose
entry stands among made-up ones. The peers dial the sandbox's host address, through the veth and the kernel's DNAT.
"""

import json
import os
import re

from measure import Processes
from peers import Forwarder, connections_at_most

OTHERS = 4000  # made-up sandboxes
_SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "door")
_TIMEOUTS = "\ttimeout connect 35s\n\ttimeout client 24h\n\ttimeout server 24h\n\ttimeout http-keep-alive 650s\n"


def entries(sandbox):
    """[(id, address)] of all sandboxes that a table has."""
    made_up = [(f"i{number:020d}", f"10.200.{number // 250}.{number % 250 + 1}") for number in range(OTHERS)]
    return [*made_up, (sandbox["id"], sandbox["host_ip"])]


class Door(Forwarder):
    """A proxy in front of SANDBOX, which is told by headers."""

    def __init__(self, bench, sandbox, path="host"):
        super().__init__(bench, sandbox, path)
        self.port = self.base

    def listen_ports(self):
        return [self.port]

    def listen_port(self, guest_port):
        return self.port

    def load_head(self, guest_port):
        """What a client adds to the heads of its requests, for the environment of tests/forwarder/load."""
        return f"E2b-Sandbox-Id: {self.sandbox['id']}\r\nE2b-Sandbox-Port: {guest_port}\r\n"

    def _table(self, line):
        """A file with a line for each sandbox."""
        return self._write(".map", "".join(line.format(id=name, ip=address) for name, address in entries(self.sandbox)))


class NoProxy(Door):
    """The upper bound: the kernel path."""

    name = "no proxy"

    def address(self, guest_port):
        return f"{self.sandbox['host_ip']}:{guest_port}"

    def processes(self):
        return None

    def note(self):
        return "the sandbox's host address, translated by nftables in its namespace"


class WeftDoor(Door):
    """HAProxy with the files of weft-door, and weftd."""

    name = "weft's door"

    def start(self):
        environment = {"RUNTIME_DIRECTORY": self.bench.folder, "WEFT_DOOR_LISTEN": f"127.0.0.1:{self.port}"}
        self._run(self.host, ["haproxy", "-db", "-f", self.configuration()], env={**os.environ, **environment})
        self._wait_listening()

    def configuration(self):
        return os.path.join(_SHIPPED, "haproxy.cfg")

    def processes(self):
        return Processes([self.bench.weftd.pid, *(process.pid for process in self.started)])

    def note(self):
        return "HAProxy with weft-door's file, and weftd with its defaults"


class RuledMap(WeftDoor):
    """The same rules of HAProxy, with a map on the kernel path in place of weftd."""

    name = "haproxy + map"

    def configuration(self):
        table = self._table("{id} {ip}\n")
        with open(super().configuration(), encoding="utf-8") as file:
            text = file.read()
        dial = f"\thttp-request set-dst var(txn.id),map_str_ip({table})\n\thttp-request set-dst-port var(txn.port)\n"
        text = re.sub(r"^\s*stats socket .*\n", "", text, flags=re.M)
        text = re.sub(r"^backend weft(-grpc)? .*\n", rf"\g<0>{dial}", text, flags=re.M)
        text, changed = re.subn(r'^(\s*server \S+) "unix@\S+" send-proxy-v2 proxy-v2-options unique-id', r"\1 0.0.0.0", text, flags=re.M)
        if not changed:
            raise RuntimeError("weft-door's file has no server with a PROXY header")
        return self._write(".cfg", text.replace("lf-file page.html", f"lf-file {_SHIPPED}/page.html"))

    def processes(self):
        return Forwarder.processes(self)

    def note(self):
        return "weft-door's file with a map id -> address in place of weftd"


class HaproxyMap(Door):
    name = "haproxy + bare map"

    def start(self):
        table = self._table("{id} {ip}\n")
        text = (
            f"global\n\tmaxconn {connections_at_most()}\n"
            f"defaults\n\tmode http\n\toption http-no-delay\n\toption splice-auto\n{_TIMEOUTS}"
            f"frontend door\n\tbind 127.0.0.1:{self.port}\n"
            f"\thttp-request set-dst req.hdr(e2b-sandbox-id),map_str_ip({table})\n"
            "\thttp-request set-dst-port req.hdr(e2b-sandbox-port)\n"
            "\tdefault_backend guests\nbackend guests\n\tserver guest 0.0.0.0\n"
        )
        self._run(self.host, ["haproxy", "-db", "-f", self._write(".cfg", text)])
        self._wait_listening()

    def note(self):
        return "mode http, a map id -> address and nothing else, option splice-auto, a thread for each core"


class NginxMap(Door):
    name = "nginx"

    def start(self):
        table = self._table("{id} {ip};\n")
        text = (
            f"worker_processes auto;\ndaemon off;\nuser root;\npid {self.bench.file('nginx.pid')};\n"
            f"error_log {self.bench.file('nginx.log')};\n"
            f"events {{ worker_connections {2 * connections_at_most()}; }}\n"
            "http {\n\taccess_log off;\n\tmap_hash_max_size 16384;\n\tmap_hash_bucket_size 128;\n"
            "\tkeepalive_requests 1000000000;\n\tkeepalive_timeout 650s;\n\tclient_max_body_size 0;\n"
            f"\tmap $http_e2b_sandbox_id $guest {{ include {table}; }}\n"
            f"\tserver {{\n\t\tlisten 127.0.0.1:{self.port} backlog=4096;\n\t\tlocation / {{\n"
            "\t\t\tproxy_pass http://$guest:$http_e2b_sandbox_port;\n\t\t\tproxy_http_version 1.1;\n"
            "\t\t\tproxy_set_header Connection '';\n\t\t\tproxy_set_header Host $http_host;\n"
            "\t\t\tproxy_buffering off;\n\t\t\tproxy_request_buffering off;\n\t\t\tproxy_read_timeout 24h;\n\t\t}\n\t}\n}\n"
        )
        self._run(self.host, ["nginx", "-c", self._write(".conf", text)])
        self._wait_listening()

    def note(self):
        return "a map, proxy_pass to a variable (which keeps no connection to guests), no buffering, a worker for each core"


class Envoy(Door):
    name = "envoy"

    def start(self):
        place = os.path.join(_peer_folder(), "envoy")
        path = self._write(".json", json.dumps(_envoy(self.port, entries(self.sandbox))))
        options = ["--concurrency", os.cpu_count(), "--disable-hot-restart", "--log-level", "error"]
        self._run(self.host, [place, "-c", path, *options])
        self._wait_listening()

    def note(self):
        return "an exact match on the header for each sandbox, an original-destination cluster, a thread for each core"


def _envoy(port, table):
    """Envoy's configuration. An action of its matcher is a route, which names the address for the cluster by a header."""
    prefix = "type.googleapis.com/envoy."
    router = prefix + "extensions.filters.http.router.v3.Router"
    manager = prefix + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

    def route(address):
        header = {"header": {"key": "x-envoy-original-dst-host", "value": f"{address}:%REQ(e2b-sandbox-port)%"}}
        header["append_action"] = "OVERWRITE_IF_EXISTS_OR_ADD"
        return {
            "name": "route",
            "typed_config": {
                "@type": prefix + "config.route.v3.Route",
                "match": {"prefix": "/"},
                "route": {"cluster": "guests", "timeout": "0s"},
                "request_headers_to_add": [header],
            },
        }

    matcher = {
        "matcher_tree": {
            "input": {
                "name": "id",
                "typed_config": {"@type": prefix + "type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": "e2b-sandbox-id"},
            },
            "exact_match_map": {"map": {name: {"action": route(address)} for name, address in table}},
        }
    }
    http = {
        "@type": manager,
        "stat_prefix": "door",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "matcher": matcher}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": router, "suppress_envoy_headers": True}}],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
    }
    cluster = {
        "name": "guests",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "30s",
        "original_dst_lb_config": {"use_http_header": True},
        "circuit_breakers": {"thresholds": [{"max_connections": 65535, "max_pending_requests": 65535, "max_requests": 65535}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


class Caddy(Door):
    name = "caddy"

    def start(self):
        lines = "".join(f"\t\t{name} {address}\n" for name, address in entries(self.sandbox))
        text = (
            "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\n"
            f"http://127.0.0.1:{self.port}, http://localhost:{self.port} {{\n\tbind 127.0.0.1\n"
            f"\tmap {{header.E2b-Sandbox-Id}} {{guest}} {{\n{lines}\t}}\n"
            "\treverse_proxy {guest}:{header.E2b-Sandbox-Port} {\n\t\tflush_interval -1\n\t}\n}\n"
        )
        place = os.path.join(_peer_folder(), "caddy")
        files = {"HOME": self.bench.folder, "XDG_DATA_HOME": self.bench.folder, "XDG_CONFIG_HOME": self.bench.folder}
        argv = [place, "run", "--adapter", "caddyfile", "--config", self._write(".caddy", text)]
        self._run(self.host, argv, env={**os.environ, **files})
        self._wait_listening()

    def note(self):
        return "a map and reverse_proxy"


class GoProxy(Door):
    """What weft's users have: tests/bench/goproxy."""

    name = "go proxy"

    def start(self):
        self._run(self.host, [os.path.join(_peer_folder(), "goproxy"), f"127.0.0.1:{self.port}", self._table("{id} {ip}\n")])
        self._wait_listening()

    def note(self):
        return "net/http and httputil.ReverseProxy, keep-alive to guests off (tests/bench/goproxy)"


def _peer_folder():
    """The folder with the peers that Debian has not: tools/bench had tests/bench/door-peers install them."""
    return os.environ["WEFT_BENCH_PEERS"]


PEERS = (RuledMap, HaproxyMap, NginxMap, Envoy, Caddy, GoProxy)
