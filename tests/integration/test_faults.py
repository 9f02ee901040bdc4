"""What goes wrong on either side, and what the other side sees of it. Over both roads."""

from __future__ import annotations

from gateway.errors import BackendTimeout
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_request, read_response
from tests.integration.wire import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


async def close_at_once(wire: Wire) -> None:
    """Hear the request, say nothing."""
    await read_request(wire)
    wire.close()


async def reset_at_once(wire: Wire) -> None:
    """The same, rudely."""
    await read_request(wire)
    wire.reset()


async def say_nothing(wire: Wire) -> None:
    """Hear the request and leave it at that."""
    await read_request(wire)
    await wire.gone()


class BackendTests(GatewayTestCase):
    """Backends that do not answer as they should."""

    async def ask(self, gateway: Running, request: bytes = GET) -> Message:
        client = await self.client(gateway)
        client.write(request)
        response = await read_response(client)
        await gateway.quiet()
        return response

    async def assertGatewayError(self, gateway: Running, status: int, request: bytes = GET) -> None:
        """The answer is an error page that says nothing of the inside, and the connection goes on."""
        client = await self.client(gateway)
        client.write(request)
        response = await read_response(client)
        self.assertEqual(status, response.status)
        self.assertIn("text/html", response.get("Content-Type") or "")
        self.assertIn(str(status).encode(), response.body)
        self.assertNotIn(b"127.0.0.1", response.body)
        self.assertIsNotNone(response.get("Date"))
        await gateway.quiet()

    async def test_one_refuses(self) -> None:
        refusing, good = await self.backend(Answers()), await self.backend(Answers())
        gateway = await self.gateway(model_for(refusing, good))
        await refusing.refuse()
        for _ in range(4):
            self.assertEqual(200, (await self.ask(gateway)).status)
        for _ in range(2):  # nothing was sent, so this is safe for any method
            self.assertEqual(200, (await self.ask(gateway, POST)).status)
        attempts = [outcome.attempts for outcome in gateway.recorder.outcomes]
        self.assertIn(2, attempts)

    async def test_all_refuse(self) -> None:
        backends = [await self.backend(Answers()) for _ in range(2)]
        gateway = await self.gateway(model_for(*backends))
        for backend in backends:
            await backend.refuse()
        await self.assertGatewayError(gateway, 502)
        outcome = await gateway.outcome()
        self.assertEqual((502, "connect_failed"), (outcome.status, outcome.cause))

    async def test_none_is_healthy(self) -> None:
        answers = Answers()
        backend = await self.backend(answers)
        backend.healthy = False
        gateway = await self.gateway(model_for(backend))
        await self.assertGatewayError(gateway, 502)
        self.assertEqual([], answers.requests)
        self.assertEqual("no_healthy_backend", (await gateway.outcome()).cause)

    async def test_empty_pool(self) -> None:
        gateway = await self.gateway(model_for())
        await self.assertGatewayError(gateway, 502)

    async def test_closes_before_the_response(self) -> None:
        for bad in (close_at_once, reset_at_once):
            answers = Answers()
            closing, good = await self.backend(bad), await self.backend(answers)
            gateway = await self.gateway(model_for(closing, good))
            for _ in range(4):
                self.assertEqual(200, (await self.ask(gateway)).status)
            self.assertEqual(4, len(answers.requests))
            self.assertGreater(len(closing.wires), 0)

    async def test_never_sends_a_post_twice(self) -> None:
        heard: list[Message] = []

        async def serve(wire: Wire) -> None:
            heard.append(await read_request(wire))
            wire.close()

        backends = [await self.backend(serve), await self.backend(serve)]
        gateway = await self.gateway(model_for(*backends))
        await self.assertGatewayError(gateway, 502, POST)
        self.assertEqual(1, len(heard))
        self.assertEqual("backend_closed", (await gateway.outcome()).cause)

    async def test_all_close_before_the_response(self) -> None:
        backends = [await self.backend(close_at_once) for _ in range(6)]
        gateway = await self.gateway(model_for(*backends))
        await self.assertGatewayError(gateway, 502)
        self.assertLess(sum(len(backend.wires) for backend in backends), 6, "attempts are bounded")

    async def test_closes_within_the_body(self) -> None:
        for head, body in (
            (b"Content-Length: 100\r\n", b"x" * 50),
            (b"Transfer-Encoding: chunked\r\n", b"32\r\n" + b"x" * 50 + b"\r\n"),
            (b"Transfer-Encoding: chunked\r\n", b"64\r\n" + b"x" * 50),
        ):
            for end in ("close", "reset"):
                await self._cut(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body, end)

    async def _cut(self, answer: bytes, end: str) -> None:
        """A backend sends part of a response and ends when the client has it: no client may take it for all."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(answer)
            await arrived
            getattr(wire, end)()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        arrived = client.wait(lambda: b"xxx" in client.buffer, "half of it")
        client.write(GET)
        await client.gone()
        self.assertFalse(bytes(client.buffer).endswith(b"0\r\n\r\n"), "a cut body must not look complete")
        await gateway.quiet()
        self.assertEqual("backend_closed", (await gateway.outcome()).cause)
        self.assertEqual(1, len(backend.wires), "not retried")

    async def test_cut_until_close_body(self) -> None:
        # only a reset tells that a body without a length is not complete
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await arrived
            wire.reset()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        arrived = client.wait(lambda: b"half" in client.buffer, "half of it")
        client.write(GET)
        await client.gone()
        self.assertFalse(bytes(client.buffer).endswith(b"0\r\n\r\n"))
        await gateway.quiet()

    async def test_garbage(self) -> None:
        for answer in (
            b"\x00\x01\x02\x03garbage\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + OK,
        ):
            backend = await self.backend(Answers(answer))
            gateway = await self.gateway(model_for(backend))
            client = await self.client(gateway)
            client.write(GET)
            while (response := await read_response(client)).status < 200:
                pass
            self.assertEqual(502, response.status, answer[:60])
            await gateway.quiet()
            self.assertEqual("backend_protocol_error", (await gateway.outcome()).cause, answer[:60])
            self.assertEqual(1, len(backend.wires), "not retried")
            await backend.wires[0].gone()

    async def test_bad_chunks(self) -> None:
        for body in (b"zz\r\n", b"5\r\nhelloXX", b"-1\r\n", b"fffffffffffffffff\r\n", b"5\nhello\r\n"):
            for at_once in (True, False):
                await self._bad_chunk(body, at_once)

    async def _bad_chunk(self, bad: bytes, at_once: bool) -> None:
        """Whether it comes with the head (502) or after it (cut): never a body that looks complete."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            good = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            wire.write(good + bad if at_once else good)
            await begun
            if not at_once:
                wire.write(bad)
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        begun = client.wait(lambda: client.total > 0, "the beginning")
        client.write(GET)
        await client.until(b"\r\n\r\n")
        await gateway.quiet()
        self.assertEqual("backend_protocol_error", (await gateway.outcome()).cause)
        self.assertFalse(bytes(client.buffer).endswith(b"0\r\n\r\n"), bad)

    async def test_answers_without_being_asked(self) -> None:
        # what comes too much must never be taken for the answer to somebody else's request
        answers = Answers(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", OK)
        backend = await self.backend(answers)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        for _ in range(3):
            client.write(GET)
            self.assertEqual(b"ok", (await read_response(client)).body)

    async def test_answers_while_idle(self) -> None:
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend))
        self.assertEqual(b"ok", (await self.ask(gateway)).body)
        backend.wires[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await backend.wires[0].gone()
        self.assertEqual(b"ok", (await self.ask(gateway)).body)

    async def test_no_answer(self) -> None:
        backend = await self.backend(say_nothing)
        gateway = await self.gateway(model_for(backend, settings={"request_timeout": 1}))
        await self.assertGatewayError(gateway, 504)
        outcome = await gateway.outcome()
        self.assertIsInstance(outcome.error, BackendTimeout)
        assert outcome.ended is not None
        self.assertGreaterEqual(outcome.ended - outcome.started, 1.0)
        self.assertLess(outcome.ended - outcome.started, 2.0)
        await backend.wires[0].gone()
        self.assertEqual(1, len(backend.wires), "a request that may have had an effect is not sent again")

    async def test_stalls_within_the_body(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve), settings={"request_timeout": 1}))
        client = await self.client(gateway)
        client.write(GET)
        await client.until(b"half")
        await client.gone()
        await gateway.quiet()
        self.assertEqual("backend_timeout", (await gateway.outcome()).cause)

    async def test_slow_but_steady(self) -> None:
        # the timeout is time without an answer, not the length of the answer
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for _ in range(6):
                await gateway.settled(lambda: 0, 0.3)
                wire.write(b"x")

        gateway = await self.gateway(model_for(await self.backend(serve), settings={"request_timeout": 1}))
        client = await self.client(gateway)
        client.write(GET)
        self.assertEqual(b"xxxxxx", (await read_response(client)).body)


class StaleConnectionTests(GatewayTestCase):
    """The backend closes an idle connection while a request is on its way to it (RFC 9112 §9.3.1)."""

    async def stale(self, request: bytes) -> tuple[Message, RawBackend, list[Message]]:
        """Two requests; on its first connection the backend hears the second and closes."""
        heard: list[Message] = []

        async def serve(wire: Wire) -> None:
            heard.append(await read_request(wire))
            wire.write(OK)
            heard.append(await read_request(wire))
            if wire is backend.wires[0]:
                wire.close()
            else:
                wire.write(OK)

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(GET)
        self.assertEqual(200, (await read_response(client)).status)
        client.write(request)
        response = await read_response(client)
        await gateway.quiet()
        return response, backend, heard

    async def test_get(self) -> None:
        response, backend, heard = await self.stale(GET)
        self.assertEqual(200, response.status)
        self.assertEqual((2, 3), (len(backend.wires), len(heard)))

    async def test_put_with_a_small_body(self) -> None:
        response, _, heard = await self.stale(POST.replace(b"POST", b"PUT"))
        self.assertEqual(200, response.status)
        self.assertEqual(b"abc", heard[-1].body)

    async def test_post(self) -> None:
        response, backend, heard = await self.stale(POST)
        self.assertEqual(502, response.status)
        self.assertEqual((1, 2), (len(backend.wires), len(heard)))

    async def test_closed_while_idle(self) -> None:
        # noticed at once: no request is ever sent there
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        for number in range(3):
            client.write(POST)
            self.assertEqual(200, (await read_response(client)).status)
            self.assertEqual(number + 1, len(backend.wires))
            backend.wires[-1].half_close()
            await backend.wires[-1].gone()


class ShutdownTests(GatewayTestCase):
    """Stopping with exchanges in progress."""

    async def test_finishes_what_it_has_begun(self) -> None:
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wires.append(wire)
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve), limits={"shutdown_timeout": 10}))
        idle, client = await self.client(gateway), await self.client(gateway)
        client.write(GET)
        await gateway.until(lambda: bool(wires), "the request")
        stopping = gateway.service.stopService()
        self.assertEqual(b"", await idle.rest())
        wires[0].write(OK)
        response = await read_response(client)
        self.assertEqual((200, "close"), (response.status, response.get("Connection")))
        await client.gone()
        await stopping

    async def test_no_longer_than_the_limit(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(say_nothing), limits={"shutdown_timeout": 0.3}))
        client = await self.client(gateway)
        client.write(GET)
        await gateway.until(lambda: gateway.active == 1, "the request")
        stopping = gateway.service.stopService()
        response = await read_response(client)
        self.assertEqual((503, "close"), (response.status, response.get("Connection")))
        await client.gone()
        await stopping
        self.assertFalse(client.was_reset)
        self.assertEqual(0, gateway.active)
        self.assertEqual("shutting_down", (await gateway.outcome()).cause)

    async def test_nobody_takes_the_last_words(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(say_nothing), limits={"shutdown_timeout": 0.1}))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        await gateway.until(lambda: gateway.active == 1, "the request")
        await gateway.service.stopService()
        await client.gone()
        self.assertEqual(0, gateway.active)


both_roads(globals())
