# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl doctor on hosts with each of the faults it knows, each host in a namespace of its own."""

import ctypes
import errno
import json
import os
import socket
import struct
import subprocess

import pytest
from harness.daemon import build_dir
from harness.wait import poll_until

WEFTCTL = os.path.join(build_dir(), "weftctl")

# Doctor must name the rule that stops packets. weft's own links look like this.
VETH = "veth-1"


class Doctor:
    def __init__(self, host, folder):
        self.host = host
        self.folder = folder
        self.socket = f"{folder}/control.sock"

    def run(self, *arguments, env=None):
        clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return self.host.run(
            [WEFTCTL, "--socket", self.socket, "doctor", *arguments], check=False, env={**clean, **(env or {})}
        )

    def findings(self, check, env=None, config=None, arguments=()):
        """All findings of one check. The exit code must agree with all findings."""
        arguments = ["--json", *arguments]
        if config is not None:
            path = f"{self.folder}/weftd.conf"
            with open(path, "w", encoding="utf-8") as file:
                file.write(config)
            arguments += ["--config", path]
        done = self.run(*arguments, env=env)
        report = json.loads(done.stdout)
        for finding in report:
            assert set(finding) == {"check", "status", "detail", "why", "fix"}
            assert finding["status"] in ("ok", "warn", "fail", "skipped")
            assert finding["detail"]
            if finding["status"] in ("warn", "fail"):
                assert finding["why"] and finding["fix"], finding
        assert done.returncode == (5 if any(finding["status"] == "fail" for finding in report) else 0)
        return [finding for finding in report if finding["check"] == check]

    def only(self, check, status, *words, **options):
        """The check's only finding, which must have STATUS and WORDS in its text."""
        found = self.findings(check, **options)
        assert len(found) == 1, found
        assert found[0]["status"] == status, found
        text = " ".join((found[0]["detail"], found[0]["why"], found[0]["fix"]))
        for word in words:
            assert word in text, (word, found)
        return found[0]


@pytest.fixture
def doctor(host, folder):
    return Doctor(host, folder)


def nft(host, text):
    # nft wants a newline between two closing braces.
    host.run(["nft", "-f", "-"], input=text.replace("} }", "}\n}"))


def sysctl(host, name, value):
    host.run(["sysctl", "-qw", f"{name}={value}"])


def slot_link(host):
    """The veth of slot 1, as weft makes it."""
    host.run(["ip", "netns", "add", "ns-1"])
    make = ["ip", "link", "add", VETH, "address", "02:fc:01:00:00:01", "group", "1874", "type", "veth"]
    host.run([*make, "peer", "name", "eth0", "netns", "ns-1"])


def links(host):
    """The names of the host's links."""
    return sorted(line.split(": ")[1].split("@")[0] for line in host.run(["ip", "-o", "link"]).stdout.splitlines())


def tap(host, name, *addresses):
    host.run(["ip", "tuntap", "add", name, "mode", "tun"])
    host.run(["ip", "link", "set", name, "up"])
    for address in addresses:
        host.run(["ip", "addr", "add", address, "dev", name])


def test_a_clean_host_has_no_fault(doctor, host):
    sysctl(host, "net.ipv4.ip_forward", 1)
    done = doctor.run("--json")
    assert done.returncode == 0, done.stdout
    checks = [finding["check"] for finding in json.loads(done.stdout)]
    assert len(checks) == len(set(checks)) == 24


def test_it_reads_as_lines(doctor, host):
    sysctl(host, "net.ipv4.ip_forward", 1)
    lines = doctor.run().stdout.splitlines()
    assert any(line.startswith("  ok    kernel") for line in lines)
    assert any(line.startswith("  -     neighbours") and "not visible from here" in line for line in lines)


def test_what_takes_privileges_is_not_visible(doctor, host):
    done = host.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", WEFTCTL, "--socket", doctor.socket, "doctor", "--json"],
        check=False,
    )
    skipped = {finding["check"] for finding in json.loads(done.stdout) if finding["status"] == "skipped"}
    assert {"firewall", "redirects", "kernel"} <= skipped


def test_a_configuration_that_is_wrong_is_told(doctor, folder):
    with open(f"{folder}/wrong.conf", "w", encoding="utf-8") as file:
        file.write("[ports]\nrange = 5\n")
    done = doctor.run("--config", f"{folder}/wrong.conf")
    assert done.returncode == 1
    assert "wrong.conf:2" in done.stderr


def test_ip_forward(doctor, host):
    sysctl(host, "net.ipv4.ip_forward", 0)
    doctor.only("ip_forward", "warn", "net.ipv4.ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1")
    doctor.only("ip_forward", "fail", "refuse to start", config="[host]\nip_forward = require\n")
    sysctl(host, "net.ipv4.ip_forward", 1)
    doctor.only("ip_forward", "ok")


def test_strict_rp_filter_is_a_fault_only_with_a_policy_rule(doctor, host):
    sysctl(host, "net.ipv4.conf.all.rp_filter", 1)
    doctor.only("rp_filter", "ok", "strict")
    tap(host, "utun", "198.51.100.1/30")
    host.run(["ip", "route", "add", "default", "dev", "utun", "table", "2022"])
    host.run(["ip", "rule", "add", "priority", "9000", "lookup", "2022"])
    doctor.only("rp_filter", "fail", "9000", "rp_filter=2")
    sysctl(host, "net.ipv4.conf.all.rp_filter", 2)
    doctor.only("rp_filter", "ok")


def test_conntrack_that_fills(doctor, host):
    found = doctor.findings("conntrack")[0]
    assert found["status"] in ("ok", "warn")
    assert "connections tracked" in found["detail"]


@pytest.mark.parametrize(
    "route, status",
    [
        ("10.0.0.0/8", "ok"),
        ("10.11.0.0/16", "fail"),
        ("10.11.5.0/24", "fail"),
        ("10.12.0.8/31", "fail"),
        ("10.13.0.0/16", "ok"),
    ],
)
def test_routes_that_overlap(doctor, host, route, status):
    tap(host, "other0")
    host.run(["ip", "route", "add", route, "dev", "other0"])
    found = doctor.only("routes", status)
    if status == "fail":
        assert route in found["detail"] and "other0" in found["detail"]


def test_a_host_without_a_way_out(doctor, host):
    doctor.only("uplink", "warn", "no default route", "ip route add default", "[egress] internet = no")
    doctor.only("uplink", "ok", "no default route", config="[egress]\ninternet = no\n")
    world = host.add_uplink()
    doctor.only("uplink", "ok", "by uplink0")
    # It has another link in the configuration, for which alone weft translates.
    doctor.only("uplink", "warn", "by uplink0, and [addresses] uplink = lo", config="[addresses]\nuplink = lo\n")
    world.run(["ip", "link", "set", "eth0", "down"])
    poll_until(lambda: "LOWER_UP" not in host.links()["uplink0"]["flags"])
    doctor.only("uplink", "warn", "by uplink0, which has no carrier")
    # The kernel takes the routes away with the link.
    host.run(["ip", "link", "set", "uplink0", "down"])
    doctor.only("uplink", "warn", "no default route, and uplink0 is down", "ip link set uplink0 up")


def test_the_way_out_may_be_in_another_table(doctor, host):
    host.add_uplink()
    host.run(["ip", "route", "replace", "blackhole", "default"])
    host.run(["ip", "route", "add", "default", "via", "192.0.2.1", "table", "100"])
    doctor.only("uplink", "warn", "no default route")
    host.run(["ip", "rule", "add", "priority", "9000", "from", "10.11.0.0/16", "lookup", "100"])
    doctor.only("uplink", "ok", "by uplink0")


def test_an_address_in_our_range(doctor, host):
    tap(host, "other0", "10.11.7.1/32")
    doctor.only("routes", "fail", "10.11.7.1/32", "the host's own address")


def test_our_own_routes_are_no_fault(doctor, host):
    slot_link(host)
    host.run(["ip", "addr", "add", "10.12.0.2/31", "dev", VETH])
    host.run(["ip", "link", "set", VETH, "up"])
    host.run(["ip", "route", "add", "10.11.0.1/32", "dev", VETH])
    host.run(["ip", "route", "add", "unreachable", "10.11.0.0/16"])
    doctor.only("routes", "ok")
    doctor.only("link_group", "ok", "1 links")


def test_the_link_groups_other_users(doctor, host):
    tap(host, "stray0")
    host.run(["ip", "link", "set", "stray0", "group", "1874"])
    doctor.only("link_group", "fail", "stray0", "ip link set dev stray0 group default")


def test_a_foreign_link_with_a_slots_name_is_told(doctor, host):
    tap(host, VETH)
    doctor.only("link_group", "warn", VETH, "slot 1", "tun")
    host.run(["ip", "link", "set", VETH, "group", "1874"])
    doctor.only("link_group", "fail", VETH, "none of weft's")


def test_a_sandboxs_link_outside_the_group_is_put_back_and_none_is_taken_out(doctor, host):
    slot_link(host)
    host.run(["ip", "link", "set", VETH, "group", "default"])
    doctor.only("link_group", "fail", VETH, f"ip link set dev {VETH} group 1874")
    # Judged by a file with other names it is a sandbox's all the same, by each of its marks alone.
    other = "[names]\nveth_prefix = sb-\n"
    host.run(["ip", "link", "set", VETH, "group", "1874"])
    host.run(["ip", "link", "set", VETH, "alias", "weft:a1"])
    doctor.only("link_group", "ok", config=other)
    host.run(["ip", "link", "set", VETH, "alias", ""])
    assert "default" not in doctor.only("link_group", "warn", VETH, "leave it in the group", config=other)["fix"]


DOCKER = """
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		jump DOCKER-USER
		oifname "docker0" ct state related,established accept
		iifname "docker0" accept
	}
	chain DOCKER-USER { }
}
"""

FIREWALLD = """
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		iifname "lo" accept
		jump filter_FORWARD_POLICIES
		ct state invalid drop
		reject with icmpx admin-prohibited
	}
	chain filter_FORWARD_POLICIES {
		iifname "virbr0" accept
		goto filter_FWD_public
	}
	chain filter_FWD_public { }
}
"""


class TestFirewall:
    def test_dockers_forward_policy_is_named_with_its_remedy(self, doctor, host):
        host.add_uplink()
        nft(host, DOCKER)
        found = doctor.findings("firewall")
        assert [finding["status"] for finding in found] == ["fail", "fail"]
        assert "from sandboxes to other hosts" in found[0]["detail"]
        assert "from other hosts back to sandboxes" in found[1]["detail"]
        for finding in found:
            assert "nftables table ip filter, chain FORWARD, by its policy" in finding["detail"]
            assert "iptables -I DOCKER-USER -i veth-+ -j ACCEPT" in finding["fix"]

    def test_two_accepts_in_docker_user_cure_it(self, doctor, host):
        host.add_uplink()
        nft(host, DOCKER)
        nft(host, 'add rule ip filter DOCKER-USER iifname "veth-*" accept')
        assert [finding["status"] for finding in doctor.findings("firewall")] == ["fail"]
        nft(host, 'add rule ip filter DOCKER-USER oifname "veth-*" accept')
        doctor.only("firewall", "ok")

    def test_firewalld_rejects_by_a_rule_that_is_named(self, doctor, host):
        host.add_uplink()
        nft(host, FIREWALLD)
        found = doctor.only("firewall", "fail", "table inet firewalld, chain filter_FORWARD", "reject")
        assert "handle" in found["detail"]
        assert "firewall-cmd --permanent --zone=trusted --add-interface=veth-+" in found["fix"]

    @pytest.mark.parametrize("accept", ["iifgroup 1874", "ip saddr 10.11.0.0/16", "meta l4proto tcp", "tcp dport 443"])
    def test_an_accept_that_covers_sandboxes_is_understood(self, doctor, host, accept):
        host.add_uplink()
        nft(
            host,
            f"""table inet mine {{ chain forward {{ type filter hook forward priority 0; policy drop;
            ct state established accept; {accept} accept; }} }}""",
        )
        doctor.only("firewall", "ok")

    def test_maps_of_verdicts_are_followed(self, doctor, host):
        host.add_uplink()
        nft(
            host,
            """table inet mine { chain known { accept; }
            chain forward { type filter hook forward priority 0; policy drop;
            ct state vmap { invalid : drop, established : accept, related : accept };
            iifname vmap { "lo" : accept, "veth-1" : jump known }; } }""",
        )
        doctor.only("firewall", "ok")
        nft(host, "insert rule inet mine known tcp dport { 22, 443 } drop")
        doctor.only("firewall", "fail", "from sandboxes to other hosts", "chain known")

    @pytest.mark.parametrize("accept", ["iifgroup 5", "ip saddr 10.13.0.0/16", "meta l4proto udp", "ip saddr != 10.11.0.0/16"])
    def test_an_accept_of_something_else_is_no_help(self, doctor, host, accept):
        host.add_uplink()
        nft(
            host,
            f"""table inet mine {{ chain forward {{ type filter hook forward priority 0; policy drop;
            ct state established accept; {accept} accept; }} }}""",
        )
        doctor.only("firewall", "fail", "from sandboxes to other hosts", "nft insert rule inet mine forward")

    @pytest.mark.parametrize(
        "accept, status",
        [
            ("ip saddr @some", "ok"),
            ("ip saddr != @some", "fail"),
            ("tcp dport 1-1023", "ok"),
            ("tcp dport { 80, 8000-9000 }", "fail"),
            ("ip daddr != 10.0.0.0/8", "ok"),
            ("ip saddr . tcp dport { 10.11.0.0/16 . 1-1000 }", "ok"),
            ("ct state new meta mark & 0xff00 == 0x500", "fail"),
        ],
    )
    def test_sets_ranges_and_comparisons_are_judged(self, doctor, host, accept, status):
        host.add_uplink()
        nft(
            host,
            f"""table inet mine {{ set some {{ type ipv4_addr; flags interval; elements = {{ 10.11.0.0/24 }}; }}
            chain forward {{ type filter hook forward priority 0; policy drop;
            ct state established accept; {accept} accept; }} }}""",
        )
        found = doctor.findings("firewall")
        assert [finding["status"] for finding in found] == [status], found

    def test_a_doubt_is_tried_by_links_of_its_own(self, doctor, host):
        host.add_uplink()
        sysctl(host, "net.ipv4.ip_forward", "1")
        before = links(host)
        nft(
            host,
            """table inet mine { chain forward { type filter hook forward priority 0; policy drop;
            ct state established accept; limit rate 1000/second burst 100 packets accept; } }""",
        )
        doctor.only("firewall", "ok", "pass nftables table inet mine", "tried: 4 packets by links of a trial arrived")
        nft(host, "add rule inet mine forward accept; insert rule inet mine forward numgen inc mod 1 0 drop")
        found = doctor.findings("firewall")
        assert [finding["status"] for finding in found] == ["fail", "fail"], found
        assert "tried: a packet by links of a trial did not arrive" in found[0]["detail"]
        assert links(host) == before

    def test_trials_at_once_do_not_disturb_each_other(self, doctor, host):
        host.add_uplink()
        sysctl(host, "net.ipv4.ip_forward", "1")
        before = links(host)
        nft(
            host,
            """table inet mine { chain forward { type filter hook forward priority 0; policy drop;
            ct state established accept; limit rate 1000/second burst 100 packets accept; } }""",
        )
        command = [WEFTCTL, "--socket", doctor.socket, "doctor", "--json"]
        for one in [host.popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]:
            found = [finding for finding in json.loads(one.communicate()[0]) if finding["check"] == "firewall"]
            assert [finding["status"] for finding in found] == ["ok"], found
        assert links(host) == before

    def test_a_doubt_on_the_way_back_to_the_host_is_tried(self, doctor, host):
        rules = "table inet mine { chain input { type filter hook input priority 0; numgen inc mod 1 VALUE drop; } }"
        nft(host, rules.replace("VALUE", "1"))
        found = doctor.findings("firewall")
        assert [finding["status"] for finding in found] == ["ok", "ok"], found
        assert all("tried: " in finding["detail"] for finding in found)
        nft(host, "flush ruleset; " + rules.replace("VALUE", "0"))
        assert [finding["status"] for finding in doctor.findings("firewall")] == ["fail", "fail"]

    def test_what_depends_on_the_link_itself_is_not_tried(self, doctor, host):
        host.add_uplink()
        before = links(host)
        nft(
            host,
            """table inet mine { chain forward { type filter hook forward priority 0; policy drop;
            ct state established accept; meta iifkind "tun" accept; } }""",
        )
        doctor.only("firewall", "warn", "perhaps dropped", "not tried: it depends on addresses or links")
        assert links(host) == before

    def test_a_doctor_that_is_killed_in_a_trial_leaves_nothing(self, doctor, host):
        host.add_uplink()
        sysctl(host, "net.ipv4.ip_forward", "1")
        before = links(host)
        nft(
            host,
            """table inet mine { chain forward { type filter hook forward priority 0; numgen inc mod 1 0 drop; } }""",
        )
        process = host.popen([WEFTCTL, "--socket", doctor.socket, "doctor"])
        try:
            poll_until(lambda: links(host) != before)
        finally:
            process.kill()
            process.wait()
        poll_until(lambda: links(host) == before)

    def test_input_and_output_count_too(self, doctor, host):
        nft(
            host,
            """table inet mine { chain input { type filter hook input priority 0; policy drop; iifname "lo" accept; }
            chain output { type filter hook output priority 0; ip daddr 10.11.0.0/16 drop; } }""",
        )
        found = doctor.findings("firewall")
        assert [finding["detail"].split(" are ")[0] for finding in found] == [
            "packets from the host to sandboxes",
            "packets from sandboxes back to the host",
        ]
        # Answers alone: the other filter goes on keeping guests from the host.
        assert found[1]["fix"] == 'nft insert rule inet mine input iifname "veth-*" ct state established accept'
        host.run(["sh", "-c", found[1]["fix"].replace('"', "")])
        assert len(doctor.findings("firewall")) == 1

    def test_a_filter_of_iptables_lets_answers_in(self, doctor, host):
        nft(host, 'table ip filter { chain INPUT { type filter hook input priority 0; policy drop; iifname "lo" accept; } }')
        found = doctor.only("firewall", "fail", "iptables -I INPUT -i veth-+ -m conntrack --ctstate ESTABLISHED -j ACCEPT")
        nft(host, 'insert rule ip filter INPUT iifname "veth-*" ct state established accept')
        assert found not in doctor.findings("firewall")

    def test_wefts_own_table_is_none_of_them(self, doctor, host):
        nft(host, "table inet weft { chain forward { type filter hook forward priority 0; policy drop; } }")
        doctor.only("firewall", "ok")
        nft(host, "table ip weft { chain output { type filter hook output priority 0; policy drop; } }")
        found = doctor.findings("firewall")
        assert all("nftables table ip weft, chain output" in finding["detail"] for finding in found) and found[0]["status"] == "fail"

    def test_a_dormant_table_drops_nothing(self, doctor, host):
        nft(host, "table inet mine { flags dormant; chain output { type filter hook output priority 0; policy drop; } }")
        doctor.only("firewall", "ok")
        nft(host, "add table inet mine")  # awake again
        assert {finding["status"] for finding in doctor.findings("firewall")} == {"fail"}

    @pytest.mark.parametrize("accept, status", [("ct original ip saddr 10.11.0.0/16", "ok"), ("ct original ip daddr 10.0.0.0/8", "fail")])
    def test_the_first_packet_of_a_connection_is_known(self, doctor, host, accept, status):
        host.add_uplink()
        nft(host, f"table inet mine {{ chain forward {{ type filter hook forward priority 0; policy drop; {accept} accept; }} }}")
        found = doctor.findings("firewall")
        assert found and {finding["status"] for finding in found} == {status}, found


class LegacyFilter:
    """The filter table of iptables-legacy, by the calls that iptables makes, as iptables may not be installed."""

    INFO, ENTRIES, REPLACE = 64, 65, 64
    FORWARD = 2  # NF_INET_FORWARD

    def __init__(self, host):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.socket = host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # Querying the table creates it.
        info = self._get(self.INFO, struct.pack("32s52x", b"filter"))
        self.hooks, *numbers = struct.unpack("32xI5I5III", info)
        self.entry, self.underflow, (self.count, self.size) = numbers[:5], numbers[5:10], numbers[10:]
        self.blob = bytearray(self._get(self.ENTRIES, struct.pack("32sI4x", b"filter", self.size) + bytes(self.size))[40:])

    def _get(self, option, data):
        buffer = ctypes.create_string_buffer(data, len(data))
        length = ctypes.c_uint(len(data))
        if self.libc.getsockopt(self.socket.fileno(), socket.IPPROTO_IP, option, buffer, ctypes.byref(length)) != 0:
            if ctypes.get_errno() in (errno.ENOENT, errno.ENOPROTOOPT):
                pytest.skip("this kernel has no iptables-legacy to be wrong")
            pytest.fail(f"iptables-legacy: {os.strerror(ctypes.get_errno())}")
        return buffer.raw

    def drop_forwarded(self):
        """iptables-legacy -P FORWARD DROP"""
        rule = self.underflow[self.FORWARD]
        target = rule + struct.unpack_from("H", self.blob, rule + 88)[0]
        struct.pack_into("i", self.blob, target + 32, -1)
        counters = ctypes.create_string_buffer(16 * self.count)
        head = struct.pack("32sIII", b"filter", self.hooks, self.count, self.size)
        head += struct.pack("5I5I", *self.entry, *self.underflow)
        head += struct.pack("I", self.count)
        head += struct.pack("Q", ctypes.addressof(counters))
        data = head + bytes(self.blob)
        if self.libc.setsockopt(self.socket.fileno(), socket.IPPROTO_IP, self.REPLACE, data, len(data)) != 0:
            pytest.fail(f"iptables-legacy: {os.strerror(ctypes.get_errno())}")

    def close(self):
        self.socket.close()


def test_legacy_iptables_count_too(doctor, host):
    host.add_uplink()
    table = LegacyFilter(host)
    doctor.only("firewall", "ok")
    table.drop_forwarded()
    found = doctor.findings("firewall")
    assert [finding["status"] for finding in found] == ["fail", "fail"]
    assert "iptables-legacy table ip filter, chain FORWARD, by its policy" in found[0]["detail"]
    assert "iptables-legacy -I FORWARD -i veth-+ -j ACCEPT" in found[0]["fix"]
    table.close()


class TestRedirects:
    def test_a_redirect_of_all_output_is_named(self, doctor, host):
        nft(
            host,
            """table ip clash { chain output { type nat hook output priority -100;
            meta l4proto tcp redirect to :7892; } }""",
        )
        found = doctor.findings("redirects")
        assert [finding["status"] for finding in found] == ["fail", "fail"]
        assert "(redirect) in nftables table ip clash, chain output" in found[0]["detail"]
        assert "nft insert rule ip clash output ip daddr 10.11.0.0/16 return" in found[0]["fix"]

    def test_one_of_any_port_is_named(self, doctor, host):
        nft(
            host,
            """table ip proxy { chain output { type nat hook output priority -100;
            ip daddr 10.11.0.0/16 tcp dport 8080 redirect to :15001; } }""",
        )
        doctor.only("redirects", "warn", "from the host to port 8080 of sandboxes", "table ip proxy, chain output")

    @pytest.mark.parametrize(
        "rule, statuses",
        [
            ("tcp dport 1-65535", ["fail", "fail"]),
            ("tcp dport >= 1000", ["fail", "fail"]),
            ("tcp dport != 22", ["fail", "fail"]),
            ("tcp dport { 80, 443, 8000-50000 }", ["fail", "fail"]),
            ("meta skuid != 1337 tcp dport 1-65535", ["fail", "fail"]),
            ("ip daddr != { 10.0.0.0/8, 192.168.0.0/16 } meta l4proto tcp", ["fail"]),
            ("tcp dport 1-1023", ["warn"]),
            ("meta skuid 1337 meta l4proto tcp", ["warn", "warn"]),
            ("tcp dport 22 ip daddr != 10.0.0.0/8", ["ok"]),
            ("udp dport 1-65535", ["ok"]),
        ],
    )
    def test_ranges_and_comparisons_are_judged(self, doctor, host, rule, statuses):
        nft(
            host,
            f"table ip proxy {{ chain output {{ type nat hook output priority -100; {rule} redirect; }} }}",
        )
        found = doctor.findings("redirects")
        assert [finding["status"] for finding in found] == statuses, found
        assert not any("perhaps" in finding["detail"] for finding in found)

    @pytest.mark.parametrize("value, status, words", [(8, "ok", "4 packets"), (0, "warn", "did not arrive")])
    def test_a_doubt_about_what_guests_send_is_tried_by_links(self, doctor, host, value, status, words):
        before = links(host)
        nft(
            host,
            f"""table ip proxy {{ chain pre {{ type nat hook prerouting priority -100;
            meta l4proto tcp numgen inc mod {value + 1} {value} redirect to :15001; }} }}""",
        )
        doctor.only("redirects", status, "from sandboxes to other hosts", "tried: ", words)
        assert links(host) == before

    def test_a_doubt_is_tried_over_loopback(self, doctor, host):
        rules = """table ip proxy { chain output { type nat hook output priority -100;
            tcp dport 1-65535 meta cgroup CGROUP redirect to :15001; } }"""
        nft(host, rules.replace("CGROUP", "7"))
        found = doctor.findings("redirects")
        assert [finding["status"] for finding in found] == ["ok", "ok"], found
        assert all("tried: 8 connections over loopback arrived" in finding["detail"] for finding in found)
        nft(host, "flush ruleset; " + rules.replace("CGROUP", "!= 7"))
        found = doctor.findings("redirects")
        assert [finding["status"] for finding in found] == ["fail", "fail"], found
        assert all("on 127.0.0.1:" in finding["detail"] and "failed" in finding["detail"] for finding in found)
        # A proxy that listens answers in the listener's place.
        with host.socket(socket.AF_INET, socket.SOCK_STREAM) as proxy:
            proxy.bind(("127.0.0.1", 15001))
            proxy.listen()
            found = doctor.findings("redirects")
            assert all("was answered by somebody else" in finding["detail"] for finding in found), found

    def test_one_that_spares_private_ranges_is_no_fault(self, doctor, host):
        nft(
            host,
            """table ip clash { chain output { type nat hook output priority -100;
            ip daddr 10.0.0.0/8 return; ip daddr 127.0.0.0/8 return; meta l4proto tcp redirect to :7892; } }""",
        )
        doctor.only("redirects", "ok")

    def test_tproxy_of_what_guests_send_is_a_warning(self, doctor, host):
        nft(
            host,
            """table ip clash { chain pre { type filter hook prerouting priority mangle;
            meta l4proto tcp tproxy to :7893 meta mark set 1 accept; } }""",
        )
        doctor.only("redirects", "warn", "from sandboxes to other hosts", "tproxy")

    def test_dockers_published_ports_are_no_proxy(self, doctor, host):
        nft(
            host,
            """table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
            chain OUTPUT { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
            chain DOCKER { iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2:80; } }""",
        )
        doctor.only("redirects", "ok")


class TestTunnels:
    def test_a_policy_rule_before_main_is_named(self, doctor, host):
        tap(host, "utun", "198.51.100.1/30")
        host.run(["ip", "route", "add", "default", "dev", "utun", "table", "2022"])
        host.run(["ip", "rule", "add", "priority", "9002", "lookup", "2022"])
        found = doctor.findings("tunnels")
        assert found[0]["status"] == "fail"
        assert "policy rule 9002" in found[0]["detail"] and "utun" in found[0]["detail"]
        assert "ip rule add to 10.11.0.0/16 lookup main priority 9001" in found[0]["fix"]
        host.run(["ip", "rule", "add", "to", "10.11.0.0/16", "lookup", "main", "priority", "9001"])
        assert not any("policy rule" in finding["detail"] for finding in doctor.findings("tunnels") if finding["status"] != "ok")

    def test_one_that_depends_on_a_mark_is_a_warning(self, doctor, host):
        tap(host, "utun", "198.51.100.1/30")
        host.run(["ip", "route", "add", "default", "dev", "utun", "table", "2022"])
        host.run(["ip", "rule", "add", "fwmark", "1", "priority", "9002", "lookup", "2022"])
        found = doctor.findings("tunnels")
        assert (found[0]["status"], "if its other conditions hold" in found[0]["detail"]) == ("warn", True)

    def test_wireguards_way_leaves_our_ranges_alone(self, doctor, host):
        tap(host, "other0", "198.51.100.1/30")
        host.run(["ip", "route", "add", "default", "dev", "other0", "table", "51820"])
        host.run(["ip", "rule", "add", "not", "fwmark", "51820", "priority", "32765", "lookup", "51820"])
        host.run(["ip", "rule", "add", "priority", "32764", "lookup", "main", "suppress_prefixlength", "0"])
        assert all("policy rule" not in finding["detail"] or finding["status"] == "ok" for finding in doctor.findings("tunnels"))

    @pytest.mark.parametrize("route", ["default", "0.0.0.0/1"])
    def test_a_default_route_into_a_tunnel(self, doctor, host, route):
        tap(host, "utun", "198.51.100.1/30")
        host.run(["ip", "route", "add", route, "dev", "utun"])
        doctor.only("tunnels", "warn", "utun", "[addresses] uplink = utun")
        doctor.only("tunnels", "ok", config="[addresses]\nuplink = utun\n")

    def test_fake_addresses(self, doctor, host):
        tap(host, "utun", "198.18.0.1/16")
        doctor.only("tunnels", "warn", "198.18.0.0/15", "utun")


@pytest.mark.parametrize(
    "env, status",
    [
        ({}, "ok"),
        ({"HTTP_PROXY": "http://192.0.2.1:3128"}, "fail"),
        ({"http_proxy": "http://192.0.2.1:3128", "no_proxy": "example.com"}, "fail"),
        ({"ALL_PROXY": "socks5://192.0.2.1:1080", "NO_PROXY": "localhost"}, "fail"),
        ({"HTTP_PROXY": "http://192.0.2.1:3128", "NO_PROXY": "x, localhost,127.0.0.1 ,::1"}, "ok"),
        ({"HTTP_PROXY": "http://192.0.2.1:3128", "NO_PROXY": "*"}, "ok"),
        ({"HTTPS_PROXY": "http://192.0.2.1:3128"}, "ok"),
        ({"HTTP_PROXY": ""}, "ok"),
    ],
)
def test_proxy_variables(doctor, env, status):
    found = doctor.only("proxy_environment", status, env=env)
    if status == "fail":
        assert "NO_PROXY" in found["fix"]


class TestPorts:
    @pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
    def test_the_default_endpoint_taken(self, doctor, host, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with host.listen(49983, address, family):
            found = doctor.findings("ports")
        assert all(finding["status"] == "fail" for finding in found)
        assert f"by process {os.getpid()}" in found[0]["detail"]

    def test_taken_by_an_outgoing_connection(self, doctor, host):
        with host.listen(1234, "127.0.0.1"), host.socket() as client:
            client.bind(("127.0.0.1", 49983))
            client.connect(("127.0.0.1", 1234))
            doctor.only("ports", "fail", "the local end of a connection", "ip_local_reserved_ports=49983")

    def test_taken_by_a_socket_that_does_not_listen(self, doctor, host):
        with host.socket() as bound:
            bound.bind(("127.0.0.1", 49983))
            doctor.only("ports", "fail", "127.0.0.1:49983", f"held by process {os.getpid()}")
        doctor.only("ports", "ok")

    def test_a_listener_of_ipv6_only_takes_no_port_of_ipv4(self, doctor, host):
        with host.socket(socket.AF_INET6) as other:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            other.bind(("::", 49983))
            other.listen()
            doctor.only("ports", "fail", "[::1]:49983", f"by process {os.getpid()}")

    def test_taken_in_the_automatic_range(self, doctor, host):
        with host.listen(20007, "127.0.0.1"):
            doctor.only("ports", "warn", "1 address of [ports] range 20000-29999 is", "127.0.0.1:20007", str(os.getpid()))
        doctor.only("ports", "ok")


def test_the_ephemeral_range(doctor, host):
    sysctl(host, "net.ipv4.ip_local_port_range", "32768 60999")
    doctor.only("port_range", "warn", "49983", "ip_local_reserved_ports=49983")
    sysctl(host, "net.ipv4.ip_local_reserved_ports", "5,49980-49990")
    doctor.only("port_range", "ok")
    sysctl(host, "net.ipv4.ip_local_port_range", "29000 60999")
    doctor.only("port_range", "warn", "1000 of the automatic ports")
    sysctl(host, "net.ipv4.ip_local_port_range", "1024 60999")
    doctor.only("port_range", "fail", "none at all")


def test_mount_propagation(doctor, host):
    doctor.only("mounts", "warn", "/run/netns, which is private", "mount --make-shared /run/netns")
    host.run(["mount", "--make-shared", "/run/netns"])
    doctor.only("mounts", "ok")
    host.run(["unshare", "--mount", "--propagation", "unchanged", "true"])
    done = host.run(
        ["unshare", "--mount", "--propagation", "slave", WEFTCTL, "--socket", doctor.socket, "doctor", "--json"], check=False
    )
    found = [finding for finding in json.loads(done.stdout) if finding["check"] == "mounts"]
    assert found[0]["status"] == "warn" and "a slave of another mount namespace" in found[0]["detail"]


def test_leftovers_of_a_dead_daemon(doctor, host, folder):
    doctor.only("leftovers", "ok", "left nothing")
    slot_link(host)
    doctor.only("leftovers", "warn", "1 links and 1 namespaces", "weftd --cleanup --unless-live")
    # /proc/net/unix shows one network namespace: the daemon's socket must be made in the host's.
    with host.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/control.sock")
        listener.listen()
        doctor.only("leftovers", "fail", "does not answer", arguments=["--deadline", "1"])


def test_others_namespaces_are_no_leftovers(doctor, host):
    host.run(["ip", "netns", "add", "blue"])
    host.run(["ip", "netns", "add", "ns-x"])
    doctor.only("leftovers", "ok", "left nothing")


def test_weftd_examines_its_host(weftd):
    api = weftd().api
    assert api.get("/v1/doctor?last=true").expect(200).body == {"findings": [], "measured_at": None}
    found = api.get("/v1/doctor", timeout=120).expect(200).body
    checks = {one["check"] for one in found["findings"]}
    assert {"kernel", "ip_forward", "ports"} <= checks and "proxy_environment" not in checks
    assert all(one["status"] in ("ok", "warn", "fail", "skipped") for one in found["findings"])
    assert api.get("/v1/doctor?last=true").expect(200).body == found


def test_a_daemon_is_judged_by_its_ports_and_its_configuration(weftd, host, folder):
    sysctl(host, "net.ipv4.ip_forward", 1)
    daemon = weftd({"host": {"ip_forward": "require"}})
    doctor = Doctor(host, folder)
    patient = ["--deadline", "60"]
    doctor.socket = daemon.socket
    daemon.api.register("a1", {"ports": [8080]})
    (endpoint,) = daemon.api.show("a1")["endpoints"]
    doctor.only("leftovers", "ok", f"process {daemon.pid}", arguments=patient)

    nft(
        host,
        """table ip proxy { chain output { type nat hook output priority -100;
        ip daddr 10.11.0.0/16 tcp dport 8080 redirect to :15001; } }""",
    )
    found = doctor.only("redirects", "fail", "to port 8080 of sandboxes", arguments=patient)
    assert found in daemon.api.get("/v1/doctor", timeout=120).expect(200)["findings"]
    host.run(["nft", "delete", "table", "ip", "proxy"])

    sysctl(host, "net.ipv4.ip_forward", 0)
    found = doctor.only("ip_forward", "fail", "would not start again", "require", arguments=patient)
    assert "turned it on" not in found["why"]
    sysctl(host, "net.ipv4.ip_forward", 1)

    daemon.stop()
    address, port = endpoint["listen"][0].rsplit(":", 1)
    with host.listen(int(port), address):
        daemon.start()
        found = doctor.only("ports", "fail", f"{address}:{port}/tcp of sandbox a1", str(os.getpid()), arguments=patient)
        assert "in use by" in found["detail"]
        assert found in daemon.api.get("/v1/doctor", timeout=120).expect(200)["findings"]

    with daemon.standing_still():
        words = ("does not answer", "has stopped it", f"kill -CONT {daemon.pid}")
        doctor.only("leftovers", "fail", *words, arguments=["--deadline", "1"])
