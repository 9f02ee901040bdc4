"""HTTP/1.1 through the whole gateway, over both roads: what arrives, in which form, in which order."""

from __future__ import annotations

import os

from gateway.config import model
from tests.integration.harness import GatewayTestCase, both_roads, model_for
from tests.integration.messages import Answers, Message, chunked, read_request, read_response
from tests.integration.wire import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class MessageTests(GatewayTestCase):
    """One request, one response."""

    async def exchange(self, request: bytes, response: bytes = OK, method: str = "GET") -> tuple[Message, Message]:
        """Send a request through a new gateway; returns what the backend got and what the client got."""
        answers = Answers(response)
        backend = await self.backend(answers)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(request)
        received = await read_response(client, method)
        self.assertEqual(1, len(answers.requests))
        self.assertEqual(b"", bytes(client.buffer))
        return answers.requests[0], received

    async def test_get(self) -> None:
        request, response = await self.exchange(
            b"GET /a/b?c=d%20e HTTP/1.1\r\nHost: chat.example\r\nAccept: */*\r\nX-Own: Va lue\r\n\r\n",
            b"HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX-Back: 1\r\nX-Back: 2\r\n"
            b"Content-Length: 5\r\n\r\nhello",
        )
        self.assertEqual("GET /a/b?c=d%20e HTTP/1.1", request.line)
        self.assertEqual("chat.example", request.get("Host"))
        self.assertEqual("Va lue", request.get("X-Own"))
        self.assertIsNone(request.get("Content-Length"))
        self.assertIsNone(request.get("Transfer-Encoding"))
        self.assertEqual("HTTP/1.1 200 Fine", response.line)
        self.assertEqual(["1", "2"], response.all("X-Back"))
        self.assertEqual("text/plain", response.get("Content-Type"))
        self.assertEqual(b"hello", response.body)

    async def test_head(self) -> None:
        request, response = await self.exchange(
            b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "HEAD"
        )
        self.assertEqual("HEAD", request.method)
        self.assertEqual("1000000", response.get("Content-Length"))

    async def test_post_with_length(self) -> None:
        body = os.urandom(100_000)
        request, response = await self.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
            b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body[::-1],
        )
        self.assertEqual(body, request.body)
        self.assertEqual(str(len(body)), request.get("Content-Length"))
        self.assertEqual((201, body[::-1]), (response.status, response.body))

    async def test_length_with_leading_zeros(self) -> None:
        request, _ = await self.exchange(b"POST / HTTP/1.2\r\nHost: a:\r\nContent-Length: 0010\r\n\r\n0123456789")
        self.assertEqual(("POST / HTTP/1.1", "a:"), (request.line, request.get("Host")))
        self.assertEqual((["10"], b"0123456789"), (request.all("Content-Length"), request.body))

    async def test_post_empty(self) -> None:
        request, _ = await self.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual("0", request.get("Content-Length"))

    async def test_post_chunked_with_trailers(self) -> None:
        pieces = [os.urandom(size) for size in (1, 4096, 70_000)]
        request, response = await self.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            + chunked(*pieces, trailers="X-Sum: 7\r\n"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunked(*pieces[::-1], trailers="X-After: a\r\nX-After: b\r\n"),
        )
        self.assertEqual(b"".join(pieces), request.body)
        self.assertEqual([("X-Sum", "7")], request.trailers)
        self.assertEqual(b"".join(pieces[::-1]), response.body)
        self.assertEqual([("X-After", "a"), ("X-After", "b")], response.trailers)

    async def test_chunk_extensions_are_dropped(self) -> None:
        request, response = await self.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\n\r\n",
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x="y"\r\nabc\r\n0\r\n\r\n',
        )
        self.assertEqual((b"abc", b"abc"), (request.body, response.body))

    async def test_until_close(self) -> None:
        # what ends with the connection gets a proper end for a 1.1 client
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
            wire.close()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            response = await read_response(client)
            self.assertEqual("chunked", response.get("Transfer-Encoding"))
            self.assertEqual(b"x" * 100_000, response.body)

    async def test_no_body(self) -> None:
        # 204 and 304 have none whatever their fields say; the connection stays in step
        for response in (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n',
        ):
            answers = Answers(response, OK)
            gateway = await self.gateway(model_for(await self.backend(answers)))
            client = await self.client(gateway)
            client.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(str((await read_response(client)).status), response.decode())
            client.write(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(b"ok", (await read_response(client)).body)

    async def test_byte_by_byte(self) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        client = await self.client(gateway)
        client.transport.setTcpNoDelay(True)
        request = b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"defg")
        sent = 0
        for byte in request:
            client.write(bytes([byte]))
            sent += 1
            # let it leave as a segment of its own; the loop yields to the reactor
            await gateway.until(lambda: True, "")
            if sent % 8 == 0:
                await gateway.settled(lambda: client.total, 0.002)
        self.assertEqual(b"ok", (await read_response(client)).body)
        self.assertEqual(b"abcdefg", answers.requests[0].body)

    async def test_response_byte_by_byte(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.transport.setTcpNoDelay(True)
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"defg"):
                wire.write(bytes([byte]))
                await gateway.settled(lambda: wire.total, 0.001)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(b"abcdefg", (await read_response(client)).body)


class FieldTests(GatewayTestCase):
    """Which fields get through."""

    async def seen(
        self, request: bytes, response: bytes = OK, **configuration: object
    ) -> tuple[Message, Message, Wire]:
        answers = Answers(response)
        backend = await self.backend(answers)
        gateway = await self.gateway(model_for(backend, **configuration))  # type: ignore[arg-type]
        client = await self.client(gateway)
        client.write(request)
        received = await read_response(client)
        self.backend_port, self.gateway_port = backend.port, gateway.port
        return answers.requests[0], received, client

    async def test_hop_by_hop_request(self) -> None:
        request, _, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Nominated , x-other\r\nKeep-Alive: timeout=5\r\n"
            b"X-Nominated: 1\r\nX-Other: 2\r\nX-Kept: 3\r\nProxy-Connection: keep-alive\r\n"
            b"Proxy-Authorization: Basic eA==\r\nTE: gzip\r\nUpgrade: h2c\r\nTrailer: X\r\n\r\n"
        )
        names = {name.lower() for name, _ in request.fields}
        gone = {"keep-alive", "x-nominated", "x-other", "proxy-connection", "proxy-authorization", "upgrade", "te"}
        self.assertEqual(set(), names & gone)
        self.assertEqual("3", request.get("X-Kept"))
        self.assertNotIn("x-nominated", (request.get("Connection") or "").lower())

    async def test_hop_by_hop_response(self) -> None:
        _, response, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: X-Internal, keep-alive\r\nKeep-Alive: timeout=5, max=100\r\n"
            b"X-Internal: 1\r\nProxy-Connection: x\r\nUpgrade: h2,h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            b"Content-Length: 2\r\n\r\nok",
        )
        names = {name.lower() for name, _ in response.fields}
        self.assertEqual(set(), names & {"keep-alive", "x-internal", "proxy-connection", "upgrade"})
        self.assertEqual(["a=1", "b=2"], response.all("Set-Cookie"))

    async def test_nominated_essentials(self) -> None:
        # a client may not have the gateway remove what the backend relies on (RFC 9110 §7.6.1)
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        for name in ("Host", "Content-Length", "X-Forwarded-For", "Transfer-Encoding"):
            client = await self.client(gateway)
            before = len(answers.requests)
            client.write(f"POST / HTTP/1.1\r\nHost: a\r\nConnection: {name}\r\nContent-Length: 3\r\n\r\nabc".encode())
            if (await read_response(client)).status == 200:
                request = answers.requests[-1]
                self.assertEqual(("a", b"abc"), (request.get("Host"), request.body))
                self.assertIsNotNone(request.get("X-Forwarded-For"))
            else:
                self.assertEqual(before, len(answers.requests))

    async def test_forwarded(self) -> None:
        request, _, client = await self.seen(b"GET /p?q HTTP/1.1\r\nHost: Chat.example:8080\r\n\r\n")
        self.assertEqual(f"127.0.0.1:{client.transport.getHost().port}", request.get("X-Forwarded-For"))
        self.assertEqual("http", request.get("X-Forwarded-Proto"))
        self.assertEqual(str(self.gateway_port), request.get("X-Forwarded-Port"))
        self.assertEqual("Chat.example:8080", request.get("X-Original-Host"))
        self.assertEqual("/p?q", request.get("X-Original-URL"))
        trace = request.get("X-AppGW-Trace-Id") or ""
        self.assertRegex(trace, r"\A[0-9a-f]{32}\Z")

    async def test_forged(self) -> None:
        request, _, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\n"
            b"X-FORWARDED-PORT: 1\r\nX-Original-Host: evil\r\nX-Original-URL: /evil\r\nX-AppGW-Trace-Id: evil\r\n"
            b"X_Forwarded_For: 6.6.6.6\r\n\r\n"
        )
        for name, value in request.fields:
            self.assertNotIn("evil", value, name)
            self.assertNotIn("6.6.6.6", value, name)
        self.assertEqual("http", request.get("X-Forwarded-Proto"))

    async def test_trusted_proxy(self) -> None:
        trace = "0123456789abcdef" * 2
        request, _, client = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9:1\r\nX-Forwarded-Proto: https\r\n"
            b"X-AppGW-Trace-Id: " + trace.encode() + b"\r\n\r\n",
            limits={"trusted_proxies": ["127.0.0.0/8"]},
        )
        own = f"127.0.0.1:{client.transport.getHost().port}"
        self.assertEqual(f"9.9.9.9:1, {own}", request.get("X-Forwarded-For"))
        self.assertEqual("https", request.get("X-Forwarded-Proto"))
        self.assertEqual(trace, request.get("X-AppGW-Trace-Id"))

    async def test_names_with_other_characters_are_dropped(self) -> None:
        request, _, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\nX_Under: 1\r\nX.Dot: 2\r\nX-Dash1: 3\r\nContent_Length: 5\r\n\r\n"
        )
        names = {name.lower() for name, _ in request.fields}
        self.assertEqual(set(), names & {"x_under", "x.dot", "content_length"})
        self.assertEqual("3", request.get("X-Dash1"))

    async def test_bytes_of_values_survive(self) -> None:
        request, response, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Raw: caf\xe9 \xff\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Raw: \xc3\xa9\r\nContent-Length: 2\r\n\r\nok",
        )
        self.assertEqual("caf\xe9 \xff", request.get("X-Raw"))
        self.assertEqual(b"\xc3\xa9".decode("latin-1"), response.get("X-Raw"))

    async def test_host_name_override(self) -> None:
        request, _, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: public.example\r\n\r\n", settings={"host_name": "inner.example"}
        )
        self.assertEqual("inner.example", request.get("Host"))
        self.assertEqual("public.example", request.get("X-Original-Host"))

    async def test_pick_host_name(self) -> None:
        request, _, _ = await self.seen(
            b"GET / HTTP/1.1\r\nHost: public.example\r\n\r\n", settings={"pick_host_name_from_backend_address": True}
        )
        self.assertIn(request.get("Host"), ("127.0.0.1", f"127.0.0.1:{self.backend_port}"))

    async def test_path_override(self) -> None:
        request, _, _ = await self.seen(b"GET /home/?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", settings={"path": "/override/"})
        self.assertEqual("GET /override/home/?x=1 HTTP/1.1", request.line)
        self.assertEqual("/home/?x=1", request.get("X-Original-URL"))

    async def test_path_override_with_path_rule(self) -> None:
        answers = Answers()
        rule = {"name": "images", "paths": ["/pathrule*"], "pool": "pool", "settings": "settings"}
        default = {"default_pool": "pool", "default_settings": "settings"}
        gateway = await self.gateway(
            model_for(
                await self.backend(answers),
                settings={"path": "/override/"},
                path_maps=[{"name": "map", "path_rules": [rule], **default}],
                rules=[{"name": "rule", "listener": "web", "path_map": "map"}],
            )
        )
        client = await self.client(gateway)
        for path in ("/pathrule/home/", "/home/"):
            client.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await read_response(client)
        self.assertEqual(["/override/home/"] * 2, [request.target for request in answers.requests])

    async def test_absolute_form(self) -> None:
        request, _, _ = await self.seen(b"GET http://abs.example:81/p?q HTTP/1.1\r\nHost: abs.example:81\r\n\r\n")
        self.assertEqual(("GET /p?q HTTP/1.1", "abs.example:81"), (request.line, request.get("Host")))

    async def test_absolute_form_with_another_host(self) -> None:
        """RFC 9112 §3.2.2: the Host that came is ignored and replaced."""
        request, _, _ = await self.seen(b"GET http://b.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertEqual(("GET /x?y HTTP/1.1", ["b.example:81"]), (request.line, request.all("Host")))
        self.assertEqual("b.example:81", request.get("X-Original-Host"))

    async def test_options_asterisk(self) -> None:
        request, _, _ = await self.seen(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual("OPTIONS * HTTP/1.1", request.line)


class RoutingTests(GatewayTestCase):
    """The little routing that has to be seen end to end; the rest is in `tests.routing`."""

    async def test_hosts(self) -> None:
        one, two = Answers(OK.replace(b"ok", b"11")), Answers(OK.replace(b"ok", b"22"))
        backends = [await self.backend(one), await self.backend(two)]
        configuration = model_for(
            listeners=[
                {"name": "one", "address": "127.0.0.1", "port": 0, "host_names": ["one.example"]},
            ],
            pools=[
                {"name": f"pool{number}", "members": [{"host": "127.0.0.1", "port": backend.port}]}
                for number, backend in enumerate(backends)
            ],
            rules=[{"name": "one", "listener": "one", "pool": "pool0", "settings": "settings"}],
        )
        gateway = await self.gateway(configuration)
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: ONE.example:80\r\n\r\n")
        self.assertEqual(b"11", (await read_response(client)).body)
        client.write(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
        self.assertEqual(404, (await read_response(client)).status)
        client.write(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
        self.assertEqual(b"11", (await read_response(client)).body)
        self.assertEqual([], two.requests)

    async def test_round_robin(self) -> None:
        answers = [Answers(), Answers(), Answers()]
        gateway = await self.gateway(model_for(*[await self.backend(each) for each in answers]))
        client = await self.client(gateway)
        for _ in range(9):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await read_response(client)
        self.assertEqual([3, 3, 3], [len(each.requests) for each in answers])

    async def test_redirect(self) -> None:
        configuration: model.Gateway = model_for(
            redirects=[{"name": "away", "redirect_type": "Found", "target_url": "https://new.example"}],
            rules=[{"name": "rule", "listener": "web", "redirect": "away"}],
        )
        gateway = await self.gateway(configuration)
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"GET /p?q=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            response = await read_response(client)
            self.assertEqual((302, "https://new.example/p?q=1"), (response.status, response.get("Location")))


both_roads(globals())
