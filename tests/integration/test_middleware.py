"""The middleware that comes with the gateway, through the whole of it, over both roads."""

from __future__ import annotations

import base64
import gzip
import time
from pathlib import Path
from typing import Any

import bcrypt
import jwt
from twisted.internet.defer import Deferred

from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Message, chunked, read_request, read_response
from tests.integration.sessions import MASK
from tests.integration.websocket import TEXT, agree, close, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

SECRET = "0123456789abcdef0123456789abcdef"
PAGE = b"<p>hello gateway</p>\n" * 2000


def get(path: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a.example", *lines, "\r\n"]).encode()


class MiddlewareTestCase(GatewayTestCase):
    """A gateway with middleware; ``heard`` is what reached the backend."""

    async def through(self, *middleware: Any, answer: bytes | None = None, **others: Any) -> Running:
        self.heard: list[Message] = []

        async def serve(wire: Wire) -> None:
            while True:
                request = await read_request(wire)
                self.heard.append(request)
                if request.get("Upgrade") is not None:
                    wire.write(agree(request))
                    wire.patience = 10
                    return
                wire.write(answer or b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        backend = await self.backend(serve)
        return await self.gateway(model_for(backend, middleware=list(middleware), **others))

    async def asked(self, gateway: Running, request: bytes, client: Wire | None = None) -> Message:
        """The answer to one request."""
        client = client or await self.client(gateway)
        client.write(request)
        return await read_response(client)


class PlainTests(MiddlewareTestCase):
    """Those that only look at heads and bodies."""

    async def test_compression(self) -> None:
        answer = b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n'
        answer += chunked(*[PAGE[start : start + 1000] for start in range(0, len(PAGE), 1000)])
        gateway = await self.through("compress", answer=answer)
        client = await self.client(gateway)
        for version in "1.1", "1.0":
            response = await self.asked(gateway, get("/", "Accept-Encoding: gzip", version=version), client)
            self.assertEqual(PAGE, gzip.decompress(response.body))
            self.assertEqual(
                ("gzip", 'W/"1"', "Accept-Encoding"), tuple(map(response.get, ("Content-Encoding", "ETag", "Vary")))
            )
            self.assertLess(len(response.body), len(PAGE) // 10)
        response = await self.asked(gateway, get())
        self.assertEqual((PAGE, None, '"1"'), (response.body, response.get("Content-Encoding"), response.get("ETag")))

    async def test_a_known_length_is_compressed(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
            len(PAGE) * 50,
            PAGE * 50,
        )
        gateway = await self.through("compress", answer=answer)
        client = await self.client(gateway)
        for _ in range(2):
            response = await self.asked(gateway, get("/", "Accept-Encoding: gzip"), client)
            self.assertEqual(PAGE * 50, gzip.decompress(response.body))

    async def test_rate_limit(self) -> None:
        gateway = await self.through({"strategy": "rate-limit", "options": {"requests": 1, "per": 60, "burst": 2}})
        client = await self.client(gateway)
        statuses = [(await self.asked(gateway, get(), client)).status for _ in range(3)]
        self.assertEqual([200, 200, 429], statuses)
        response = await self.asked(gateway, handshake())
        self.assertEqual(429, response.status)
        self.assertEqual("rate_limited", (await gateway.outcome(2)).cause)

    async def test_what_surrounds_an_error(self) -> None:
        """Security headers and CORS are there also where the gateway answers itself."""
        page = "https://app.example"
        gateway = await self.through("security-headers", {"strategy": "cors", "options": {"origins": [page]}})
        for backend in self._backends:
            await backend.refuse()
        response = await self.asked(gateway, get("/", f"Origin: {page}"))
        self.assertEqual((502, page), (response.status, response.get("Access-Control-Allow-Origin")))
        self.assertEqual("nosniff", response.get("X-Content-Type-Options"))
        response = await self.asked(
            gateway, get("/", f"Origin: {page}", "Access-Control-Request-Method: POST", method="OPTIONS")
        )
        self.assertEqual((204, "nosniff"), (response.status, response.get("X-Content-Type-Options")))
        self.assertEqual([], self.heard)

    async def test_addresses_and_origins(self) -> None:
        origin = {"strategy": "origin", "options": {"origins": ["https://app.example"]}}
        gateway = await self.through({"strategy": "address", "options": {"allow": ["127.0.0.0/8"]}}, origin)
        client = await self.client(gateway)
        self.assertEqual(200, (await self.asked(gateway, get("/", "Origin: https://evil.example"), client)).status)
        response = await self.asked(gateway, handshake("Origin: https://evil.example\r\n"), client)
        self.assertEqual((403, "close"), (response.status, response.get("Connection")))
        response = await self.asked(gateway, handshake("Origin: https://app.example\r\n"))
        self.assertEqual(101, response.status)
        gateway = await self.through(
            {"strategy": "address", "options": {"deny": ["192.0.2.0/24"]}}, limits={"trusted_proxies": ["127.0.0.1"]}
        )
        self.assertEqual(403, (await self.asked(gateway, get("/", "X-Forwarded-For: 192.0.2.1"))).status)
        self.assertEqual(200, (await self.asked(gateway, get("/", "X-Forwarded-For: 192.0.2.1, 10.1.1.1"))).status)

    async def test_headers_at_each_place(self) -> None:
        def add(name: str) -> dict[str, Any]:
            return {
                "strategy": "headers",
                "options": {"request": {"add": {"X-Way": name}}, "response": {"add": {"X-Way": name}}},
            }

        gateway = await self.through(
            add("gateway"),
            listeners=[{"name": "web", "address": "127.0.0.1", "port": 0, "middleware": [add("listener")]}],
            rules=[{"name": "r", "listener": "web", "path_map": "m", "middleware": [add("rule")]}],
            path_maps=[{
                "name": "m", "default_pool": "pool", "default_settings": "settings",
                "path_rules": [{"name": "p", "paths": ["/p/*"], "pool": "pool", "settings": "settings",
                                "middleware": [add("path")]}],
            }],
        )  # fmt: skip
        response = await self.asked(gateway, get("/p/1"))
        self.assertEqual(["gateway", "listener", "rule", "path"], self.heard[0].all("X-Way"))
        self.assertEqual(["path", "rule", "listener", "gateway"], response.all("X-Way"))
        response = await self.asked(gateway, get("/"))
        self.assertEqual(["rule", "listener", "gateway"], response.all("X-Way"))


class BasicAuthTests(MiddlewareTestCase):
    """With the reactor's threads."""

    async def test_names_and_passwords(self) -> None:
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        options = {"users": {"ann": hashed}, "userHeader": "X-User"}
        gateway = await self.through({"strategy": "basic-auth", "options": options})
        client = await self.client(gateway)
        line = f"Authorization: Basic {base64.b64encode(b'ann:secret').decode()}"
        wrong = f"Authorization: Basic {base64.b64encode(b'ann:guess').decode()}"
        self.assertEqual(401, (await self.asked(gateway, get(), client)).status)
        self.assertEqual(401, (await self.asked(gateway, get("/", wrong), client)).status)
        # Pipelined, with a body: the next request waits for the first one's hash.
        client.write(get("/", line, "Content-Length: 5", method="POST") + b"12345" + get("/two", line))
        self.assertEqual([200, 200], [(await read_response(client)).status, (await read_response(client)).status])
        self.assertEqual([("/", b"12345"), ("/two", b"")], [(request.target, request.body) for request in self.heard])
        self.assertEqual(["ann", None], [self.heard[0].get("X-User"), self.heard[0].get("Authorization")])
        self.assertEqual(["", "", "ann", "ann"], [outcome.user for outcome in gateway.recorder.outcomes])
        response = await self.asked(gateway, handshake(line + "\r\n"))
        self.assertEqual(101, response.status)


class JwtTests(MiddlewareTestCase):
    """A session ends with its token."""

    def options(self, **others: Any) -> dict[str, Any]:
        path = Path(self.mktemp())
        path.write_text(SECRET)
        return {"strategy": "jwt", "options": {"algorithms": ["HS256"], "secretFile": str(path), "leeway": 0, **others}}

    async def test_a_session_ends_with_its_token(self) -> None:
        gateway = await self.through(self.options(sources=["subprotocol:access_token"], headers={"X-User": "sub"}))
        text = jwt.encode({"sub": "ann", "exp": int(time.time()) + 2}, SECRET)
        client = await self.client(gateway)
        response = await self.asked(gateway, handshake(f"Sec-WebSocket-Protocol: access_token, {text}\r\n"), client)
        self.assertEqual((101, "access_token"), (response.status, response.get("Sec-WebSocket-Protocol")))
        self.assertEqual((None, "ann"), (self.heard[0].get("Sec-WebSocket-Protocol"), self.heard[0].get("X-User")))
        server = self._backends[0].wires[0]
        server.write(frame(TEXT, b"hello"))
        self.assertEqual(b"hello", (await read_frame(client)).payload)
        self.assertEqual((4401, "the token has expired"), (await read_close(client))[:2])
        self.assertEqual((4401, "the token has expired"), (await read_close(server))[:2])
        client.write(close(4401, mask=MASK))
        server.write(close(4401))
        await gateway.quiet()
        outcome = await gateway.outcome()
        self.assertEqual(("ann", 4401, "expired"), (outcome.user, outcome.close_code, outcome.cause))

    async def test_handshakes_without(self) -> None:
        gateway = await self.through(self.options(sources=["authorization", "query:t"]))
        for request in handshake(), handshake("Authorization: Bearer a.b.c\r\n"), handshake(path="/chat?t=a.b.c"):
            response = await self.asked(gateway, request)
            self.assertEqual((401, "close"), (response.status, response.get("Connection")))
        self.assertEqual([], self.heard)
        self.assertEqual("/chat?t=-", (await gateway.outcome(2)).head.target)  # type: ignore[union-attr]

    async def test_a_token_in_the_query_stays_here(self) -> None:
        gateway = await self.through(self.options(sources=["query:t"], forward=False))
        text = jwt.encode({"exp": int(time.time()) + 60}, SECRET)
        response = await self.asked(gateway, get(f"/a?t={text}&b=1"))
        self.assertEqual((200, "/a?b=1"), (response.status, self.heard[0].target))
        self.assertNotIn(text.encode(), self.heard[0].raw_head)


class ForwardAuthTests(MiddlewareTestCase):
    """A service is asked."""

    async def service(self, answer: bytes | None) -> RawBackend:
        self.questions: list[Message] = []

        async def serve(wire: Wire) -> None:
            while True:
                self.questions.append(await read_request(wire))
                if answer is None:
                    await Deferred()
                wire.write(answer)

        return await self.backend(serve)

    more: dict[str, Any] = {}

    async def guarded(self, answer: bytes | None, **options: Any) -> Running:
        service = await self.service(answer)
        options = {"url": f"http://127.0.0.1:{service.port}/check?a=1", **options}
        self.guard = service
        return await self.through({"strategy": "forward-auth", "options": options}, **self.more)

    async def test_let_in(self) -> None:
        answer = (
            b"HTTP/1.1 204 No Content\r\nX-User: ann\r\nX-Team: a\r\nX-Team: b\r\nX-Other: 1\r\nSet-Cookie: s=1\r\n\r\n"
        )
        gateway = await self.guarded(
            answer, copyHeaders=["X-User", "X-Team"], userHeader="x-user", clientHeaders=["Set-Cookie"]
        )
        client = await self.client(gateway)
        for _ in range(2):
            request = get(
                "/p?q=1", "X-User: eve", "Cookie: c=1", "Content-Length: 3", "If-None-Match: x", "Connection: x-hop",
                "X-Hop: 1", "X-Forwarded-Uri: /evil", method="PUT",
            )  # fmt: skip
            response = await self.asked(gateway, request + b"abc", client)
            self.assertEqual((200, "s=1"), (response.status, response.get("Set-Cookie")))
        question, heard = self.questions[0], self.heard[0]
        self.assertEqual("GET /check?a=1 HTTP/1.1", question.line)
        self.assertEqual(
            ["PUT", "/p?q=1", "a.example", "http", "127.0.0.1", "c=1", None, None],
            [question.get(name) for name in (
                "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For",
                "Cookie", "If-None-Match", "Content-Length")],
        )  # fmt: skip
        self.assertEqual((["ann"], ["a", "b"], None, b"abc"), (
            heard.all("X-User"), heard.all("X-Team"), heard.get("X-Other"), heard.body))  # fmt: skip
        self.assertEqual("ann", (await gateway.outcome()).user)
        self.assertEqual(1, len(self.guard.wires), "the connection is used again")

    async def test_it_hears_what_a_backend_would(self) -> None:
        """Not what a stranger says of other requests, nor what goes no further than the gateway."""
        gateway = await self.guarded(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        strange = {
            "X-Original-URL": "/public", "X_Forwarded_Uri": "/public", "X-AppGW-Any": "1", "Forwarded": "for=1",
            "X-Original-Uri": "/public", "X-Hop": "1", "TE": "trailers", "Proxy-Authorization": "Basic eA==",
        }  # fmt: skip
        lines = [f"{name}: {value}" for name, value in strange.items()]
        await self.asked(gateway, get("/secret", *lines, "Connection: TE, x-hop", "X-Kept: 1"))
        question = self.questions[0]
        self.assertEqual([None] * len(strange), [question.get(name) for name in strange])
        self.assertEqual(("1", "/secret"), (question.get("X-Kept"), question.get("X-Forwarded-Uri")))

    async def test_it_hears_what_a_trusted_proxy_says(self) -> None:
        """Of the connection of the client, which is the proxy's."""
        self.more = {"limits": {"trusted_proxies": ["127.0.0.1"]}}
        gateway = await self.guarded(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Forwarded-For": "192.0.2.7"}
        lines = [f"{name}: {value}" for name, value in said.items()]
        await self.asked(gateway, get("/p", *lines, "X-Forwarded-Host: b"))
        said["X-Forwarded-Host"] += ", b"
        self.assertEqual([[value] for value in said.values()], [self.questions[0].all(name) for name in said])

    async def test_sent_away(self) -> None:
        answer = b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 6\r\nX: 1\r\n\r\nlog in"
        gateway = await self.guarded(answer)
        client = await self.client(gateway)
        for request in get(), get(), handshake():
            response = await self.asked(gateway, request, client)
            self.assertEqual((302, "https://login.example/", b"log in", "1"), (
                response.status, response.get("Location"), response.body, response.get("X")))  # fmt: skip
        self.assertEqual([], self.heard)
        self.assertEqual("denied", (await gateway.outcome()).cause)

    async def test_a_session(self) -> None:
        gateway = await self.guarded(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(101, (await self.asked(gateway, handshake())).status)
        self.assertIsNone(self.questions[0].get("Sec-WebSocket-Key"))
        self.assertIsNone(self.questions[0].get("Upgrade"))

    async def test_a_service_that_cannot_be_asked(self) -> None:
        for answer in b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000:
            gateway = await self.guarded(answer)
            response = await self.asked(gateway, get())
            self.assertEqual((503, []), (response.status, self.heard))
            self.assertEqual("auth_unavailable", (await gateway.outcome()).cause)
        gateway = await self.guarded(b"")
        await self.guard.refuse()
        self.assertEqual(503, (await self.asked(gateway, get())).status)

    async def test_or_passes(self) -> None:
        gateway = await self.guarded(b"", onFailure="pass", copyHeaders=["X-User"])
        await self.guard.refuse()
        self.assertEqual(200, (await self.asked(gateway, get("/", "X-User: eve"))).status)
        self.assertIsNone(self.heard[0].get("X-User"))

    async def test_a_service_that_takes_too_long(self) -> None:
        for answer in None, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab":
            gateway = await self.guarded(answer, timeout=0.2)
            self.assertEqual(503, (await self.asked(gateway, get())).status)
            await self.guard.wires[0].gone()

    async def test_a_client_that_leaves(self) -> None:
        gateway = await self.guarded(None)
        client = await self.client(gateway)
        client.write(get())
        await gateway.until(lambda: len(self.questions) == 1, "the question")
        client.transport.abortConnection()
        await self.guard.wires[0].gone()
        self.assertEqual(499, (await gateway.outcome()).status)


both_roads(globals())
