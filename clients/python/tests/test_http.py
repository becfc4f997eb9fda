# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader of answers, which must not care how the bytes are cut, and must not take for whole what is not."""

import unittest

from standin import answer, stream
from weft._http import Answer, request
from weft.errors import ProtocolError

WHOLE = {
    "length": (answer(200, '{"a": "ä"}'), '{"a": "ä"}'.encode()),
    "empty": (answer(503), b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "chunks": (stream("{}", "[1]"), b"{}\n[1]\n"),
    "chunk extension and trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=1\r\n0123456789\r\n0\r\nX: y\r\n\r\n", b"0123456789"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, "{}"), b"{}"),
}


def read(pieces):
    made, body = Answer(), b""
    for piece in pieces:
        body += made.feed(piece)
    return made, body


class Reading(unittest.TestCase):
    def test_an_answer_is_read_the_same_however_it_is_cut(self):
        for name, (data, wanted) in WHOLE.items():
            with self.subTest(name):
                for cut in range(len(data) + 1):
                    made, body = read([data[:cut], data[cut:]])
                    self.assertEqual((made.done, body), (True, wanted), cut)
                made, body = read([data[i : i + 1] for i in range(len(data))])
                self.assertEqual((made.done, body), (True, wanted))

    def test_a_part_of_an_answer_is_never_whole(self):
        for name, (data, _) in WHOLE.items():
            with self.subTest(name):
                for cut in range(len(data)):
                    made, _ = read([data[:cut]])
                    self.assertFalse(made.done or made.end(), data[:cut])

    def test_a_body_without_length_ends_with_the_connection(self):
        made, body = read([b"HTTP/1.0 200 OK\r\n\r\nab", b"c"])
        self.assertEqual((made.done, made.end(), body), (False, True, b"abc"))

    def test_what_is_no_answer_is_refused(self):
        head = b"HTTP/1.1 200 OK\r\n"
        for data in (
            b"SSH-2.0-x\r\n", b"\0\0\0\x06", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n",
            head + b"nonsense\r\n\r\n", head + b"Content-Length: -1\r\n\r\n", head + b"Content-Length:\r\n\r\n",
            head + b"Transfer-Encoding: gzip\r\n\r\n", head + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000,
            head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70000,
        ):  # fmt: skip
            with self.subTest(data[:60]), self.assertRaises(ProtocolError):
                read([data])

    def test_a_request_is_whole(self):
        self.assertEqual(
            request("PUT", "/v1/sandboxes/a1", "me", {"name": "ä"}),
            b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: me\r\nConnection: close\r\n"
            b'Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"name":"\\u00e4"}',
        )


if __name__ == "__main__":
    unittest.main()
