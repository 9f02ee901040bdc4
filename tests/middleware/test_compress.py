"""`gateway.middleware.compress`."""

from __future__ import annotations

import gzip
import re
import zlib
from typing import Any

from gateway.middleware.base import Middleware
from gateway.middleware.compress import accepts_gzip, factory
from gateway.values import CHUNKED, Context, Reply, RequestHead, ResponseHead
from tests.dialogue import GET, DialogueCase
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
        head = self.answered(made, request_head(), page())
        self.assertEqual([TEXT, ("Vary", "Accept-Encoding")], list(head.fields))
        self.assertIsNone(made.body(head, self.last_context))
        head = page(("Vary", "accept-encoding"))
        self.assertIs(head, self.answered(made, request_head(), head))

    def test_what_is_left_as_it_is(self) -> None:
        made = self.make()
        left: list[Any] = [
            page(body=0), page(body=1023), page(status=204), page(status=206),
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


ASK = GET.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n")


class DialogueTests(DialogueCase):
    """What is told of a body that is not sent."""

    def answers(self, request: bytes, *lines: str) -> list[str]:
        """What becomes of the lines of a backend's answer, without a body."""
        gateway = self.gateway(1, middleware=[factory.build(factory.options(), None)])
        client = gateway.client()
        client.sends(request)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends("\r\n".join([*lines, "", ""]).encode())
        head = client.gets_something().decode().removesuffix("\r\n\r\n").split("\r\n")
        client.finds("open")
        gateway.name_all()
        return [line for line in head if not line.startswith("Date: ")]

    def test_head(self) -> None:
        """As for GET, but without a length: nobody knows what the body would have (RFC 9110 §8.6)."""
        ok, html, etag = "HTTP/1.1 200 OK", "Content-Type: text/html", 'ETag: "a"'
        ask = ASK.replace(b"GET", b"HEAD")
        encoded = [ok, html, "Content-Encoding: gzip", 'ETag: W/"a"', "Vary: Accept-Encoding"]
        self.assertEqual(encoded, self.answers(ask, ok, html, etag, "Content-Length: 5000"))
        self.assertEqual(encoded, self.answers(ask, ok, html, etag, "Transfer-Encoding: chunked"))
        plain = [ok, html, etag, "Vary: Accept-Encoding", "Content-Length: 5000"]
        self.assertEqual(plain, self.answers(GET.replace(b"GET", b"HEAD"), ok, html, etag, "Content-Length: 5000"))
        for length in (0, 1023):
            short = [ok, html, f"Content-Length: {length}"]
            self.assertEqual(short, self.answers(ask, *short))
        picture = [ok, "Content-Type: image/png", "Content-Length: 5000"]
        self.assertEqual(picture, self.answers(ask, *picture))

    def test_head_of_an_answer_of_the_gateway(self) -> None:
        """The length is that of the encoded body."""
        page = Reply(200, (("Content-Type", "text/html"),), b"hello gateway " * 1000)
        gateway = self.gateway(1, middleware=[factory.build(factory.options(), None), Answering(page)])
        client = gateway.client()
        lengths = []
        for method in (b"GET", b"HEAD"):
            client.sends(ASK.replace(b"GET", method))
            head, _, body = client.gets_something().partition(b"\r\n\r\n")
            self.assertIn(b"Content-Encoding: gzip", head)
            lengths.append((re.findall(b"Content-Length: ([0-9]+)", head), len(body)))
        (told, length), (told_head, nothing) = lengths
        self.assertEqual(([str(length).encode()], told, 0), (told, told_head, nothing))
        gateway.recorded("200 reply", "200 reply")

    def test_not_modified(self) -> None:
        """A 304 has the Vary of its 200, and the ETag that the client has of it (RFC 9110 §15.4.5)."""
        status, etag = "HTTP/1.1 304 Not Modified", 'ETag: "a"'
        vary = "Vary: Accept-Encoding"
        weak = ASK.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "b", W/"a"\r\n\r\n')
        strong = ASK.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "a"\r\n\r\n')
        self.assertEqual([status, 'ETag: W/"a"', vary], self.answers(weak, status, etag))
        self.assertEqual([status, 'ETag: W/"a"', vary], self.answers(weak, status, etag, "Content-Length: 5000"))
        self.assertEqual([status, etag, vary], self.answers(strong, status, etag))
        self.assertEqual([status, "Vary: *"], self.answers(strong, status, "Vary: *"))
        html, picture = "Content-Type: text/html", "Content-Type: image/png"
        self.assertEqual([status, html, vary, "Content-Length: 5000"],
                         self.answers(GET, status, html, "Content-Length: 5000"))  # fmt: skip
        self.assertEqual([status, picture], self.answers(weak, status, picture))


class Answering(Middleware):
    """Answers everything itself."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def request(self, head: RequestHead, context: Context) -> Reply:
        """See `IMiddleware.request`."""
        return self._reply
