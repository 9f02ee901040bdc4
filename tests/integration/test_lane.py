"""Lanes over real sockets, plain and with TLS on each side: all that can be seen is as without one.

What is compared in detail, and much more of it: `tests.listener.test_lane` and those beside it.
"""

from __future__ import annotations

import gc
import json
import re
from typing import Any

from gateway.config.model import Gateway
from gateway.listener import http1
from gateway.listener.http1 import ClientConnection
from gateway.listener.lane import Lane
from tests.certificates import TestCA
from tests.integration.harness import PROBE_PATH, GatewayTestCase, RawBackend, Running, model_for
from tests.integration.messages import Message, read_request, read_response
from tests.integration.test_https import Client, Server
from tests.integration.websocket import TEXT, agree, frame, handshake, read_frame
from tests.integration.wire import Wire

CA = TestCA("Test Root")
GET = b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: one.example\r\nContent-Length: 5\r\n\r\nhello"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nDate: x\r\n\r\nok"
ANSWERS = {
    "/": OK,
    "/form": OK,
    "/none": b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nDate: x\r\n\r\n" + b"x" * 200000,
    "/middle": b"HTTP/1.1 200 OK\r\nContent-Length: 15000\r\nDate: x\r\n\r\n" + b"x" * 15000,
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/last": OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
    "/odd": OK.replace(b": 2", b": 02").replace(b"Date: x", b"Date: x\r\nX:\t \x80\xff "),
    "/wrong": b"nonsense\r\n\r\n",
}
_TIMES = re.compile(r'"(timeStamp|timeTaken|[a-zA-Z]*Time|[a-zA-Z]*Latency|transactionId|clientPort)"')
_VARIES = re.compile(rb"(?<=Trace-Id: )[0-9a-f]{32}|(?<=-For: 127.0.0.1:)[0-9]+|(?<=X-Forwarded-Port: )[0-9]+")


class LaneCase(GatewayTestCase):
    """On the pump, for only that has lanes. ``used``: exchanges that were in one to their end."""

    transport = "pump"
    used = 0

    def setUp(self) -> None:
        before = Lane.ended

        def ended(lane: Lane, *given: Any) -> None:
            self.used += 1
            before(lane, *given)

        self.patch(Lane, "ended", ended)
        self.asked: list[bytes] = []

    async def serve(self, wire: Wire) -> None:
        """The backend: what is asked for is in `ANSWERS`."""
        while True:
            request = await read_request(wire)
            self.asked.append(_VARIES.sub(b"-", request.raw_head + request.body))
            answer = ANSWERS[request.target]
            if request.method == "HEAD":
                answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            wire.write(answer)
            if request.target in ("/last", "/wrong"):
                wire.close()
                return

    def model(self, backend: RawBackend, near: bool, far: bool, **others: Any) -> Gateway:
        """One listener and one backend, with TLS on either side."""
        probe = {"name": "probe", "path": PROBE_PATH, "interval": 86400, "timeout": 5}
        if far:
            secure = {"protocol": "Https", "trusted_root_certificates": ["root"]}
            others["settings"] = {**secure, **others.get("settings", {})}
            others["trusted_roots"] = [CA.trusted_root("root")]
            probe |= {"protocol": "Https", "host": "one.example"}
        if near:
            others["certificates"] = [CA.issue(names=["one.example"]).certificate("one")]
            others["listeners"] = [
                {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["one"]}
            ]
        return model_for(backend, probes=[probe], **others)


class SameTests(LaneCase):
    """A conversation."""

    async def converse(self, near: bool, far: bool) -> list[Any]:
        """What everybody sees of one."""
        del self.asked[:]
        self.used = 0
        backend = await self.backend(self.serve, Server(CA.issue(names=["one.example"])) if far else None)
        log = self.mktemp()
        gateway = await self.gateway(self.model(backend, near, far), access_log=log)
        got: list[Any] = []
        tls = Client("one.example") if near else None
        client = await self.client(gateway, tls=tls)
        for request in (
            GET, GET, POST, GET.replace(b"GET", b"HEAD"), GET.replace(b"/ ", b"/none "), GET.replace(b"/ ", b"/large "),
            GET.replace(b"/ ", b"/middle "), GET.replace(b"/ ", b"/chunked "), GET.replace(b"/ ", b"/last "), GET,
            GET.replace(b"/ ", b"/early "), GET.replace(b"/ ", b"/odd "), GET.replace(b"/ ", b"/wrong "), POST, GET,
            GET[:-2] + b"X-Forwarded-For: 1\r\nX_A: 1\r\nx-a:  \x80\r\nConnection: keep-alive\r\n\r\n",
            GET[:-2] + b"Connection: x-a\r\nX-A: 1\r\n\r\n", GET.replace(b"GET", b"DELETE"), GET + GET, LAST,
        ):  # fmt: skip
            client.write(request)
            for _ in range(request.count(b" HTTP/1.1")):
                method = "HEAD" if request.startswith(b"HEAD") else "GET"
                message = await read_response(client, method)
                while message.status < 200:
                    got.append(message)
                    message = await read_response(client)
                got.append(message)
        await client.gone()
        (second := await self.client(gateway, tls=tls)).write(b"BROKEN / HTTP/1.1\n\n")
        got.append(await second.rest())
        await gateway.quiet()
        gateway.service.access_log.flush()  # type: ignore[union-attr]
        kept = [sum(len(idle) for idle in way._idle.values()) for way in gateway.service.ways]
        seen = [_undated(one) if isinstance(one, Message) else len(one) for one in got]
        return [seen, list(self.asked), _logged(log), _counted(gateway), kept, len(backend.wires), gateway.active]

    async def compare(self, near: bool, far: bool) -> None:
        with_lanes = await self.converse(near, far)
        self.assertGreater(self.used, 8)
        self.patch(http1, "lane_for", lambda client, forwarded: None)
        without = await self.converse(near, far)
        self.assertEqual(0, self.used)
        for one, two in zip(with_lanes, without, strict=True):
            self.assertEqual(two, one)

    async def test_plain(self) -> None:
        await self.compare(False, False)

    async def test_tls_towards_clients(self) -> None:
        await self.compare(True, False)

    async def test_tls_towards_backends(self) -> None:
        await self.compare(False, True)

    async def test_tls_on_both_sides(self) -> None:
        await self.compare(True, True)


def _undated(message: Message) -> Message:
    fields = [("Date", "") if field[0] == "Date" and field[1] != "x" else field for field in message.fields]
    return message._replace(fields=fields, raw_head=b"")


def _logged(path: str) -> list[Any]:
    lines = []
    with open(path) as log:
        for line in log:
            found = json.loads(line)
            lines.append(_timeless(found))
    return lines


def _timeless(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _timeless(value) for key, value in found.items() if not _TIMES.fullmatch(f'"{key}"')}
    return re.sub(r":[0-9]{4,5}$", "", found) if isinstance(found, str) else found


def _left(gateway: Running, *kinds: type) -> list[Any]:
    shared = gateway.service.shared
    return [each for each in gc.get_objects() if isinstance(each, kinds) and each._shared is shared]


def _counted(gateway: Running) -> list[str]:
    lines = [line for line in gateway.service.exposition().splitlines() if "second" not in line and "_time" not in line]
    return [re.sub(r"127\.0\.0\.1:[0-9]+", "-", line) for line in lines]


class EventTests(LaneCase):
    """Things that only happen to real connections."""

    async def begun(self, near: bool = False, far: bool = False, **others: Any) -> tuple[Running, Wire, RawBackend]:
        """A client that has had an answer."""
        self.silent: list[Wire] = []

        async def serve(wire: Wire) -> None:
            while True:
                request = await read_request(wire)
                if request.target == "/silent":
                    self.silent.append(wire)
                    await wire.gone()
                    return
                wire.write(ANSWERS[request.target])

        backend = await self.backend(serve, Server(CA.issue(names=["one.example"])) if far else None)
        gateway = await self.gateway(self.model(backend, near, far, **others))
        client = await self.client(gateway, tls=Client("one.example") if near else None)
        for _ in range(2):
            client.write(GET)
            self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(1, self.used)
        return gateway, client, backend

    async def flying(self, near: bool = False, far: bool = False, **others: Any) -> tuple[Running, Wire, RawBackend]:
        """A client whose request is on its way in a lane, and is not going to be answered."""
        gateway, client, backend = await self.begun(near, far, **others)
        client.write(GET.replace(b"/ ", b"/silent "))
        await gateway.until(lambda: bool(self.silent), "the request")
        self.assertEqual(1, gateway.active)
        return gateway, client, backend

    async def test_the_client_resets(self) -> None:
        for near, far in ((False, False), (True, True)):
            self.used = 0
            gateway, client, _ = await self.flying(near, far)
            client.reset()
            self.assertEqual("client_gone", (await gateway.outcome(2)).cause)
            await gateway.quiet()

    async def test_the_backend_resets(self) -> None:
        """The request is sent again, on another connection."""
        for near, far in ((False, False), (True, True)):
            self.used = 0
            gateway, client, _ = await self.flying(near, far)
            self.silent[0].reset()
            await gateway.until(lambda: len(self.silent) == 2, "the request once more")
            self.silent[1].write(OK)
            self.assertEqual(200, (await read_response(client)).status)
            self.assertEqual(2, (await gateway.outcome(2)).attempts)

    async def test_the_backend_is_late(self) -> None:
        gateway, client, _ = await self.flying(settings={"request_timeout": 1})
        self.assertEqual(504, (await read_response(client)).status)
        await self.silent[0].gone()
        client.write(GET)
        self.assertEqual(200, (await read_response(client)).status)
        await gateway.quiet()

    async def test_the_gateway_stops(self) -> None:
        gateway, client, _ = await self.flying()
        stopped = gateway.service.stopService()
        self.silent[0].write(OK)
        response = await read_response(client)
        self.assertEqual((200, "close"), (response.status, response.get("Connection")))
        await client.gone()
        await stopped

    async def test_the_gateway_stops_and_nobody_answers(self) -> None:
        gateway, client, _ = await self.flying(limits={"shutdown_timeout": 0.2})
        stopped = gateway.service.stopService()
        self.assertEqual(503, (await read_response(client)).status)
        await client.gone()
        await stopped

    async def test_keep_alive(self) -> None:
        """Not closed before its time, which the latest exchange has begun anew."""
        _, client, _ = await self.begun(limits={"keep_alive_timeout": 1})
        clock = client._clock
        for _ in range(3):
            began = clock.seconds()
            client.write(GET)
            await read_response(client)
        await client.gone()
        self.assertTrue(0.99 <= clock.seconds() - began < 5)

    async def test_the_most_connections(self) -> None:
        gateway, client, _ = await self.begun(limits={"max_connections": 1})
        refused = await self.client(gateway)
        self.assertEqual(503, (await read_response(refused)).status)
        client.write(LAST)
        self.assertEqual(200, (await read_response(client)).status)
        await client.gone()
        (factory,) = gateway.service._ports.factories
        await gateway.until(lambda: not factory.connections, "the end of the connection")
        other = await self.client(gateway)
        other.write(GET)
        self.assertEqual(200, (await read_response(other)).status)

    async def test_a_websocket_after_it(self) -> None:
        """The lane is gone while the session lasts."""

        async def serve(wire: Wire) -> None:
            for _ in range(3):
                await read_request(wire)
                wire.write(OK)
            request = await read_request(wire)
            wire.write(agree(request))
            while True:
                message = await read_frame(wire)
                wire.write(frame(TEXT, message.payload))

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        for _ in range(3):
            client.write(GET)
            await read_response(client)
        (connection,) = next(iter(gateway.service._ports.factories)).connections
        self.assertIsNotNone(connection._lane)  # type: ignore[union-attr]
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        for _ in range(3):
            client.write(frame(TEXT, b"hi", mask=b"\0\0\0\0"))
            self.assertEqual(b"hi", (await read_frame(client)).payload)
        self.assertEqual([], _left(gateway, Lane))

    async def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        """A thousand connections with exchanges in lanes."""
        backend = await self.backend(self.serve)
        gateway = await self.gateway(model_for(backend))
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for number in range(1000):
            client = await self.client(gateway)
            client.write(GET)
            await read_response(client)
            client.write(POST if number % 2 else LAST)
            await read_response(client)
            if number % 3:
                client.close()
            else:
                client.reset()
        (factory,) = gateway.service._ports.factories
        await gateway.until(lambda: not factory.connections, "the connections have ended")
        self.assertGreater(self.used, 1900)
        self.assertEqual([], _left(gateway, ClientConnection, Lane))

    async def test_two_listeners(self) -> None:
        """Each client is told of its own port."""
        backend = await self.backend(self.serve)
        names = "one", "two"
        gateway = await self.gateway(
            model_for(
                backend,
                listeners=[{"name": name, "address": "127.0.0.1", "port": 0} for name in names],
                rules=[{"name": name, "listener": name, "pool": "pool", "settings": "settings"} for name in names],
            )
        )
        clients = [await self.client(gateway, name) for name in names]
        for _ in range(3):
            for client in clients:
                client.write(GET)
                await read_response(client)
        self.assertEqual(5, self.used)
        outcomes = gateway.recorder.outcomes
        self.assertEqual(["one", "two"] * 3, [outcome.listener for outcome in outcomes])
        self.assertEqual([gateway.ports[name] for name in names] * 3, [outcome.local_port for outcome in outcomes])
