# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients against a program that plays weftd: what they make of its answers, and what they do when there is none."""

import asyncio
import datetime
import errno
import json
import math
import os
import threading
import unittest

import standin
import weft
from standin import CLIENTS, SANDBOX, Standin, answer, event, problem, sandbox, stopping, stream
from weft import Patch, Position, Registration, _exchange

GONE = b""  # closed without an answer


class Case(unittest.TestCase):
    def both(self, *replies, **options):
        """For each client: (client, the stand-in that it calls)."""
        for name, kind in CLIENTS.items():
            with self.subTest(name), Standin(*replies) as server:
                yield kind(server.path, **options), server


class Answers(Case):
    def test_a_sandbox_is_read_whole(self):
        for client, server in self.both(answer(200, sandbox(later=1))):
            read = client.get("a/1")
            self.assertEqual(server.requests, [("GET", "/v1/sandboxes/a%2F1", "")])
            utc = datetime.timezone.utc
            self.assertEqual(read.since, datetime.datetime(2026, 1, 14, 9, 37, 0, 250000, utc))
            self.assertEqual(read.egress.allow, ["203.0.113.0/24", weft.EgressRule("10.1.2.3/32", "tcp", [5432, "8000-8099"])])
            self.assertEqual(read.tap_owner, weft.TapOwner(1, 2))
            self.assertEqual(read.endpoint(80).addresses, [("127.0.0.1", 20000), ("::1", 20000)])
            self.assertIsNone(read.endpoint(80, "udp"))
            self.assertEqual(read.raw["later"], 1)

    def test_a_request_says_what_was_given_and_nothing_else(self):
        wanted = {
            "ports": [49983, {"guest_port": 53, "proto": "udp"}], "ready_port": 49983, "tap_owner": {"uid": 1, "gid": 2},
            "egress": {"internet": False, "allow": ["203.0.113.0/24", {"cidr": "10.0.0.0/8", "proto": 47}]}, "labels": {"a_": "b"},
        }  # fmt: skip
        asked = Registration(
            ports=[49983, weft.Port(53, proto="udp")],
            ready_port=49983,
            tap_owner=weft.TapOwner(1, 2),
            egress=weft.Egress(internet=False, allow=["203.0.113.0/24", weft.EgressRule("10.0.0.0/8", 47)]),
            labels={"a_": "b"},
        )
        for client, server in self.both(answer(201, sandbox()), answer(200, sandbox())):
            client.register("a1", asked)
            client.patch("a1", Patch(name="", default="take"))
            self.assertEqual([json.loads(body) for _, _, body in server.requests], [wanted, {"name": "", "default": "take"}])

    def test_what_wakes_a_sandbox_is_sent_and_read(self):
        shown = {"ports": [8080, "5353/udp"], "min_awake_ms": 0, "timeout_ms": 1000, "asked_at": "2026-01-14T09:37:00Z", "by": "api"}
        for client, server in self.both(answer(200, sandbox()), answer(200, sandbox()), answer(202, sandbox(wake=shown, idle_ms=7))):
            self.assertIsNone(client.patch("a1", Patch(wake=weft.Wake(["5353/udp"], min_awake_ms=0))).wake)
            client.patch("a1", Patch(wake=weft.NEVER))
            read = client.wake("a1")
            sent = [json.loads(body) for _, _, body in server.requests[:2]]
            self.assertEqual(sent, [{"wake": {"ports": ["5353/udp"], "min_awake_ms": 0}}, {"wake": None}])
            self.assertEqual(server.requests[2], ("POST", "/v1/sandboxes/a1/wake", ""))
            self.assertEqual((read.wake.ports, read.wake.asked_at.year, read.idle_ms), ([8080, "5353/udp"], 2026, 7))

    def test_a_refusal_is_an_error_of_its_status(self):
        for status, kind in ((400, weft.BadRequest), (403, weft.Forbidden), (404, weft.NotFound), (408, weft.WaitTimeout), (409, weft.Conflict),
                             (410, weft.Gone), (413, weft.TooLarge), (429, weft.Unavailable), (500, weft.Problem), (503, weft.Unavailable)):  # fmt: skip
            for client, _ in self.both(problem(status, "port 80 is taken", field="/ports/0")):
                with self.assertRaises(weft.Problem) as caught:
                    client.register("a1")
                self.assertIs(type(caught.exception), kind)
                self.assertEqual((caught.exception.status, caught.exception.field), (status, "/ports/0"))
                self.assertEqual(str(caught.exception), f"{status} port 80 is taken (/ports/0)")

    def test_a_refusal_without_words_is_one(self):
        for body in ("", "<html>", "[]", "{}"):
            for client, _ in self.both(answer(503, body)):
                with self.assertRaises(weft.Unavailable) as caught:
                    client.status()
                self.assertEqual(str(caught.exception), "503 weftd gave no reason")

    def test_a_refusal_comes_through_although_the_request_was_not_read(self):
        for client, _ in self.both(problem(413)):
            with self.assertRaises((weft.TooLarge, weft.ConnectionLost)):
                client.register("a1", Registration(labels={"x": "y" * 10_000_000}))

    def test_what_is_not_of_the_api_is_a_protocol_error(self):
        lacking = {key: value for key, value in SANDBOX.items() if key != "slot"}
        for body, text in (("", "no JSON"), ("[]", "at its top"), (json.dumps(lacking), "lacks /slot"), (sandbox(slot="1"), "at /slot"),
                           (sandbox(slot=True), "at /slot"), (sandbox(name=1), "at /name"), (sandbox(since="today"), "at /since"),
                           (sandbox(endpoints={}), "at /endpoints"), (sandbox(labels={"k": 1}), "at /labels/k"),
                           (sandbox(egress={"allow": [1]}), "at /egress/allow/0"), (sandbox(guest=None), "at /guest")):  # fmt: skip
            for client, _ in self.both(answer(200, body)):
                with self.assertRaises(weft.ProtocolError) as caught:
                    client.get("a1")
                self.assertIn(text, str(caught.exception))
        for client, _ in self.both(b"SSH-2.0-x\r\n"):
            with self.assertRaises(weft.ProtocolError):
                client.get("a1")

    def test_a_later_weftd_may_have_more_words(self):
        for client, _ in self.both(answer(200, sandbox(state="dreaming"), version="1.99")):
            self.assertEqual(client.get("a1").state, "dreaming")

    def test_the_versions_are_compared(self):
        for client, _ in self.both(answer(200, sandbox(), version=""), answer(200, sandbox(), version="2.0"), answer(200, sandbox(), version="one")):
            client.get("a1")
            with self.assertRaisesRegex(weft.VersionMismatch, "version 2.0 of its API, this library 1"):
                client.get("a1")
            with self.assertRaisesRegex(weft.ProtocolError, "'one'"):
                client.get("a1")
        for client, _ in self.both(answer(400, '{"detail": "unknown field"}', version="1.0")):
            with self.assertRaisesRegex(weft.BadRequest, "unknown field; this weftd speaks version 1.0 of the API only"):
                client.register("a1")

    def test_an_empty_id_is_not_sent(self):
        for client, server in self.both():
            with self.assertRaises(ValueError):
                client.unregister("")
            self.assertEqual(server.requests, [])


class Absence(Case):
    def test_what_is_safe_is_repeated_and_nothing_else(self):
        safe = [
            lambda client: client.get("a1"),
            lambda client: client.register("a1"),
            lambda client: client.unregister("a1", drain=1),
            lambda client: client.patch("a1", Patch(paused=True)),
            lambda client: client.patch("a1", Patch(paused=False, flows="keep", egress=weft.Egress(internet=False))),
        ]
        unsafe = [
            lambda client: client.patch("a1", Patch(publish=[80])),
            lambda client: client.patch("a1", Patch(unpublish=[80])),
            lambda client: client.patch("a1", Patch(paused=False, flows="reset")),
        ]
        done = answer(202, sandbox())
        for call in safe:
            for client, server in self.both(GONE, stopping(), done[:100], done):
                call(client)
                self.assertEqual(len(server.requests), 4)
                self.assertEqual(len(set(server.requests)), 1)
        for call in unsafe:
            for first, kind in ((GONE, weft.ConnectionLost), (done[:100], weft.ConnectionLost), (stopping(), weft.Unavailable)):
                for client, server in self.both(first, done):
                    with self.assertRaises(kind):
                        call(client)
                    self.assertEqual(len(server.requests), 1)

    def test_what_was_not_sent_is_repeated_always(self):
        for name, kind in CLIENTS.items():
            with self.subTest(name), Standin(answer(200, sandbox())) as server:
                hidden = server.path + ".not-yet"
                os.rename(server.path, hidden)
                timer = threading.Timer(0.2, os.rename, (hidden, server.path))
                timer.start()
                self.assertEqual(kind(server.path, patience=60).patch("a1", Patch(publish=[80])).id, "a1")
                timer.join()

    def test_patience_ends(self):
        for name, kind in CLIENTS.items():
            for patience in (0, 0.2):
                with self.subTest(name):
                    with self.assertRaisesRegex(weft.Unreachable, "/nonexistent/socket: No such file") as caught:
                        kind("/nonexistent/socket", patience=patience).status()
                    self.assertIsInstance(caught.exception.__cause__, FileNotFoundError)
        for client, server in self.both(GONE, patience=0):
            with self.assertRaises(weft.ConnectionLost):
                client.status()

    def test_a_socket_that_may_not_be_opened_says_who_may(self):
        steps = _exchange.ask(_exchange.Options("/s", 1, 1), _exchange.Call("GET", "/v1/status"), math.inf)
        while not isinstance(next(steps), _exchange.Connect):
            pass
        with self.assertRaisesRegex(weft.Unreachable, "at /s: Permission denied .*the socket's group"):
            steps.throw(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def test_a_shortage_is_for_the_caller_to_judge(self):
        for client, server in self.both(problem(503, "no slot is left")):
            with self.assertRaisesRegex(weft.Unavailable, "no slot"):
                client.register("a1")
            self.assertEqual(len(server.requests), 1)

    def test_a_sandbox_that_an_unanswered_call_unregistered_is_gone(self):
        for client, _ in self.both(GONE, problem(404), problem(404)):
            self.assertIsNone(client.unregister("a1"))
            with self.assertRaises(weft.NotFound):
                client.unregister("a1")

    def test_an_answer_that_breaks_off_is_none(self):
        whole = answer(200, sandbox())
        for cut in range(0, len(whole), 97):
            for client, _ in self.both(whole[:cut], patience=0):
                with self.assertRaises(weft.ConnectionLost):
                    client.get("a1")

    def test_silence_ends_with_the_timeout(self):
        for client, server in self.both(None, timeout=0.1):
            with self.assertRaises(weft.TimedOut):
                client.get("a1")
            self.assertEqual(len(server.requests), 1)

    def test_a_wait_goes_on_with_the_time_that_is_left(self):
        for client, server in self.both(GONE, problem(408), stopping(), answer(200, sandbox())):
            client.wait("a1", "ready", timeout=1000)
            asked = [int(target.rpartition("=")[2]) for _, target, _ in server.requests]
            self.assertEqual(asked[0], 300)
            self.assertEqual(len(asked), 4)
        for client, server in self.both(problem(408), problem(408), answer(200, sandbox()), timeout=math.inf, patience=math.inf):
            client.wait("a1", "ready", timeout=math.inf)
            self.assertEqual({target for _, target, _ in server.requests}, {"/v1/sandboxes/a1?wait=ready&timeout=300"})
        for client, server in self.both(problem(408)):
            with self.assertRaises(weft.WaitTimeout):
                client.wait("a1", "ready", timeout=0)
            self.assertEqual(server.requests[0][1], "/v1/sandboxes/a1?wait=ready&timeout=0")


class Events(Case):
    def follow(self, streams, number, **options):
        """For each client: the first NUMBER events of these streams, what was asked for, and the position then."""
        for client, server in self.both(*streams):
            with client.events(**options) as events:
                seen = [next(events) for _ in range(number)]
                yield seen, [target for _, target, _ in server.requests], events.position

    def test_a_stream_goes_on_after_its_last_event(self):
        first = stream(event(7, "snapshot", object=SANDBOX), event(7, "snapshot-end"), event(8, "state", **{"from": "ready", "to": "paused"}),
                       event(9, "heartbeat"), event(9, "stopping"))  # fmt: skip
        second = stream(event(10, "denied"))
        for seen, asked, position in self.follow([first, second], 4):
            self.assertEqual([one.type for one in seen], ["snapshot", "snapshot-end", "state", "denied"])
            self.assertEqual(asked, ["/v1/events", "/v1/events?since=9&boot=b1"])
            self.assertEqual((seen[0].object.id, seen[2].from_, seen[2].to), ("a1", "ready", "paused"))
            self.assertEqual(position, Position(10, "b1"))

    def test_a_snapshot_that_breaks_off_begins_anew(self):
        streams = [stream(event(5, "snapshot-end"), event(6, "registered")), stream(event(9, "snapshot", "b2", object=SANDBOX), end=False),
                   stream(event(9, "snapshot", "b2", object=SANDBOX), event(9, "snapshot-end", "b2"))]  # fmt: skip
        for seen, asked, position in self.follow(streams, 5):
            self.assertEqual([one.type for one in seen], ["snapshot-end", "registered", "snapshot", "snapshot", "snapshot-end"])
            self.assertEqual(asked, ["/v1/events", "/v1/events?since=6&boot=b1", "/v1/events"])
            self.assertEqual(position, Position(9, "b2"))

    def test_a_stream_that_fell_behind_goes_on(self):
        streams = [stream(event(5, "snapshot-end"), event(6, "denied"), event(9999, "overflow")), stream(event(7, "denied"))]
        for seen, asked, _ in self.follow(streams, 3, sandbox="a1"):
            self.assertEqual([one.seq for one in seen], [5, 6, 7])
            self.assertEqual(asked, ["/v1/events?sandbox=a1", "/v1/events?sandbox=a1&since=6&boot=b1"])

    def test_a_position_can_be_kept(self):
        for _, asked, _ in self.follow([stream(event(8, "denied"))], 1, since=Position(7, "b 1")):
            self.assertEqual(asked, ["/v1/events?since=7&boot=b+1"])

    def test_a_stream_is_asked_for_again_while_weftd_is_away(self):
        first, last = stream(event(5, "snapshot-end")), stream(event(6, "denied"))
        for seen, asked, _ in self.follow([first, GONE, stopping(), problem(503), problem(429), last], 2):
            self.assertEqual([one.seq for one in seen], [5, 6])
            self.assertEqual(len(asked), 6)

    def test_a_stream_that_is_refused_ends(self):
        for kind, refusal in ((weft.Unavailable, problem(503)), (weft.BadRequest, problem(400)), (weft.ProtocolError, answer(204)),
                              (weft.ProtocolError, stream("no json")), (weft.VersionMismatch, stream(event(1, "denied"), version="2.0"))):  # fmt: skip
            for client, server in self.both(refusal):
                with client.events() as events, self.assertRaises(kind):
                    next(events)
                self.assertEqual(len(server.requests), 1)

    def test_another_thread_can_close_a_stream(self):
        for again in (None, GONE):
            with Standin(stream(event(5, "snapshot-end"), end=False)[:-1] + b"\n", again) as server:
                events = weft.Client(server.path, patience=60).events()
                next(events)
                ended = threading.Thread(target=lambda stream=events: self.assertEqual(list(stream), []))
                ended.start()
                events.close()
                ended.join(60)
                self.assertFalse(ended.is_alive())
                self.assertEqual(list(events), [])

    def test_a_task_that_is_cancelled_ends_its_stream(self):
        async def run(path):
            async with weft.AsyncClient(path).events() as events:
                await events.__anext__()
                task = asyncio.ensure_future(events.__anext__())
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        with Standin(stream(event(5, "snapshot-end"), end=False), None) as server:
            asyncio.run(run(server.path))


class Whole(unittest.TestCase):
    def test_all_that_the_package_offers_is_listed(self):
        offered = {name for name in dir(weft) if not name.startswith("_")} - {"aio", "client", "errors", "model"}
        self.assertEqual(offered | {"__version__"}, set(weft.__all__))

    def test_both_clients_have_the_same_calls(self):
        calls = [{name for name in dir(kind) if not name.startswith("_")} for kind in (weft.Client, weft.AsyncClient)]
        self.assertEqual(*calls)
        self.assertTrue(standin.CLIENTS)


if __name__ == "__main__":
    unittest.main()
