"""`gateway.middleware.compress`."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from gateway.middleware.compress import accepts_gzip, factory
from gateway.values import CHUNKED, ResponseHead
from tests.middleware.support import MiddlewareCase, request_head, response_head

TAKES = [("Accept-Encoding", "gzip, br")]
TEXT = ("Content-Type", "text/html; charset=utf-8")


def page(*fields: tuple[str, str], body: int = 5000, status: int = 200) -> ResponseHead:
    return response_head(status, fields=[TEXT, *fields], body=body)


class CompressTests(MiddlewareCase):
    """Which bodies, and how."""

    factory = factory

    def test_accepted(self) -> None:
        for value, expected in {
            "gzip": True, "GZIP;q=0.5": True, "br, gzip;q=1.0": True, "*": True, "x-gzip": True, "": False, "br": False,
            "gzip;q=0": False, "*;q=0": False, "gzip;q=0, *": False, "gzip;q=x": False, "identity, gzip;q=0.5": False,
        }.items():  # fmt: skip
            self.assertEqual(expected, accepts_gzip(value), value)

    def test_a_page(self) -> None:
        made = self.make()
        backend = page(("ETag", '"a"'), ("Accept-Ranges", "bytes"), ("Vary", "Cookie"))
        head = self.answered(made, request_head(fields=TAKES), backend)
        self.assertEqual(
            [TEXT, ("Vary", "Cookie"), ("Content-Encoding", "gzip"), ("ETag", 'W/"a"'), ("Vary", "Accept-Encoding")],
            list(head.fields),
        )
        encoder = made.body(head, self.last_context)
        data = b"hello gateway " * 1000
        out = b"".join([encoder.feed(data[:100]), encoder.feed(data[100:]), encoder.end()])
        self.assertEqual(data, gzip.decompress(out))
        self.assertLess(len(out), len(data) // 10)
        self.assertEqual({"http"}, made.traffic)

    def test_a_stream_comes_at_once(self) -> None:
        made = self.make(types=["text/event-stream"])
        backend = response_head(fields=[("Content-Type", "text/event-stream")], body=CHUNKED)
        head = self.answered(made, request_head(fields=TAKES), backend)
        encoder = made.body(head, self.last_context)
        reader = zlib.decompressobj(31)
        for number in range(3):
            self.assertEqual(b"data: %d\n\n" % number, reader.decompress(encoder.feed(b"data: %d\n\n" % number)))
        reader.decompress(encoder.end())
        self.assertTrue(reader.eof)

    def test_clients_that_do_not_take_it(self) -> None:
        made = self.make()
        for request in request_head(), request_head(method="HEAD", fields=TAKES):
            head = self.answered(made, request, page())
            self.assertEqual([TEXT, ("Vary", "Accept-Encoding")], list(head.fields))
            self.assertIsNone(made.body(head, self.last_context))
        head = page(("Vary", "accept-encoding"))
        self.assertIs(head, self.answered(made, request_head(), head))

    def test_what_is_left_as_it_is(self) -> None:
        made = self.make()
        left: list[Any] = [
            page(body=0), page(body=1023), page(status=204), page(status=206), page(status=304),
            page(("Content-Encoding", "br")), page(("Content-Range", "bytes 0-1/2")), page(("Content-Digest", "x")),
            page(("Cache-Control", "public, No-Transform")),
            response_head(fields=[("Content-Type", "image/png")], body=5000), response_head(body=5000),
        ]  # fmt: skip
        for head in left:
            self.assertIs(head, self.answered(made, request_head(fields=TAKES), head))
            self.assertIsNone(made.body(head, self.last_context))

    def test_options(self) -> None:
        made = self.make(types=["text/*"], minLength=10, level=9)
        head = response_head(fields=[("Content-Type", "text/x-odd")], body=10)
        self.assertEqual("gzip", self.answered(made, request_head(fields=TAKES), head).get("content-encoding"))
        self.refused_options("level", level=10)
