"""The server variable ``ciphers_supported``: what TLS clients offer, over both roads."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from gateway.config import model
from tests.certificates import TestCA
from tests.integration.harness import RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, Message
from tests.integration.test_reload import ReloadCase
from tests.integration.wire import SECONDS, Wire

CA = TestCA("Test Root")
ISSUED = CA.issue(["a.example"])
OLD = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA256"
NEW = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
OFFERS = ((SSL.TLS1_2_VERSION, OLD), (SSL.TLS1_3_VERSION, f"{NEW}:{OLD}"))
_SIGNALING = ":TLS_EMPTY_RENEGOTIATION_INFO_SCSV"  # some clients add it


def configured(backend: RawBackend, value: str = "<{var_ciphers_supported}>", protocol: str = "Https") -> model.Gateway:
    """A gateway whose backends get ``value`` in a field."""
    listener: dict[str, Any] = {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": protocol}
    if protocol == "Https":
        listener["certificates"] = ["c"]
    rule = {"name": "r", "request_headers": [{"name": "X-Offered", "value": value}]}
    return model_for(
        backend,
        listeners=[listener],
        certificates=[ISSUED.certificate("c")],
        rewrites=[{"name": "set", "rules": [rule]}],
        rules=[{"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "rewrite": "set"}],
    )


def context(version: int) -> SSL.Context:
    made = SSL.Context(SSL.TLS_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    made.set_max_proto_version(version)
    made.set_cipher_list(OLD.encode())
    made.set_tls13_ciphersuites(NEW.encode())
    return made


class Speaker:
    """A TLS client over a bare connection, so that it can be said in which pieces its hello goes out."""

    def __init__(self, wire: Wire, context: SSL.Context, session: SSL.Session | None = None) -> None:
        self.wire = wire
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()
        if session is not None:
            self.connection.set_session(session)
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self.hello = self.connection.bio_read(16384)

    async def ask(self) -> bytes:
        """Finish the handshake, send a request and return the beginning of its response."""
        await self._go_on(self.connection.do_handshake)
        self.connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return bytes(await self._go_on(lambda: self.connection.recv(4096)))

    async def _go_on(self, step: Any) -> Any:
        while True:
            try:
                done = step()
            except SSL.WantReadError:
                done = None
            try:
                self.wire.write(self.connection.bio_read(65536))
            except SSL.WantReadError:
                pass
            if done is not None or (step == self.connection.do_handshake and self._is_done()):
                return done
            await self.wire.wait(lambda: bool(self.wire.buffer), "more of the handshake")
            self.connection.bio_write(self.wire.take(len(self.wire.buffer)))

    def _is_done(self) -> bool:
        return self.connection.get_finished() is not None and self.connection.get_peer_finished() is not None


class OfferTests(ReloadCase):
    """Fields that backends get."""

    async def speaker(self, gateway: Running, version: int, before: Speaker | None = None) -> Speaker:
        """A client; with ``before`` it resumes the session of that one."""
        wire = await self.client(gateway)
        if before is None:
            return Speaker(wire, context(version))
        return Speaker(wire, before.connection.get_context(), before.connection.get_session())

    async def ask(self, gateway: Running, version: int, before: Speaker | None = None) -> Speaker:
        speaker = await self.speaker(gateway, version, before)
        speaker.wire.write(speaker.hello)
        self.assertTrue((await speaker.ask()).startswith(b"HTTP/1.1 200 "))
        return speaker

    async def test_new_and_resumed(self) -> None:
        """A session that is resumed has a hello as well; what it offers may have changed meanwhile."""
        answers = Answers()
        gateway = await self.gateway(configured(await self.backend(answers)))
        for version, expected in OFFERS:
            first = await self.ask(gateway, version)
            again = await self.ask(gateway, version, first)
            self.assertLess(again.wire.total, first.wire.total - 300, "no certificate was sent")
            self.assertEqual([expected] * 2, [offered(request) for request in answers.requests[-2:]])

    async def test_in_segments(self) -> None:
        """The hello comes in pieces, and others are served between them."""
        answers = Answers()
        gateway = await self.gateway(configured(await self.backend(answers)))
        for version, expected in OFFERS:
            speaker = await self.speaker(gateway, version)
            for begin, end in ((0, 1), (1, 5), (5, 44), (44, 80), (80, len(speaker.hello))):
                speaker.wire.write(speaker.hello[begin:end])
                await self.ask(gateway, SSL.TLS1_3_VERSION)
            self.assertTrue((await speaker.ask()).startswith(b"HTTP/1.1 200 "))
            self.assertEqual(expected, offered(answers.requests[-1]))

    async def test_client_leaves_in_its_hello(self) -> None:
        """It is noticed at once, not when the time for handshakes is over."""
        gateway = await self.gateway(configured(await self.backend(Answers())))
        for half in (True, False):
            speaker = await self.speaker(gateway, SSL.TLS1_3_VERSION)
            speaker.wire.write(speaker.hello[:50])
            await self.ask(gateway, SSL.TLS1_3_VERSION)
            before = _failed(gateway)
            if half:
                speaker.wire.half_close()
            else:
                speaker.wire.reset()
            await gateway.until(lambda: _failed(gateway) > before, "the failed handshake", SECONDS / 2)  # noqa: B023

    async def test_end_comes_with_a_part_of_the_hello(self) -> None:
        """One event of the kernel's tells of both, and nothing comes after it."""
        gateway = await self.gateway(configured(await self.backend(Answers())))
        speaker = await self.speaker(gateway, SSL.TLS1_3_VERSION)
        before = _failed(gateway)
        speaker.wire.write(speaker.hello[:50])
        speaker.wire.half_close()
        await gateway.until(lambda: _failed(gateway) > before, "the failed handshake", SECONDS / 2)
        await self.ask(gateway, SSL.TLS1_3_VERSION)

    async def test_no_hello(self) -> None:
        """What begins as one and is none fails as before."""
        gateway = await self.gateway(configured(await self.backend(Answers())))
        for data in (b"\x16\3\1\xff\xff" + b"x" * 100, b"\x16\3\1\0\5\1\0\0\1x", b"\x80" + b"x" * 4000):
            before = _failed(gateway)
            client = await self.client(gateway)
            client.write(data)
            await client.gone()
            await gateway.until(lambda: _failed(gateway) > before, "the failed handshake")  # noqa: B023
        await self.ask(gateway, SSL.TLS1_3_VERSION)

    async def test_without_tls(self) -> None:
        answers = Answers()
        gateway = await self.gateway(configured(await self.backend(answers), protocol="Http"))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(b"\r\n\r\n")
        self.assertEqual("", offered(answers.requests[0]))

    async def test_only_where_it_is_named(self) -> None:
        """Nothing is noted of connections until a configuration comes that wants it."""
        answers = Answers()
        backend = await self.backend(answers)
        gateway = await self.reloading(configured(backend, "{var_ciphers_used}"))
        await self.ask(gateway, SSL.TLS1_3_VERSION)
        self.assertEqual([""], self.noted(gateway))
        await self.reload(gateway, configured(backend))
        await self.ask(gateway, SSL.TLS1_3_VERSION)
        self.assertEqual(["", OFFERS[1][1]], sorted(self.noted(gateway)))
        self.assertEqual(OFFERS[1][1], offered(answers.requests[-1]))

    def noted(self, gateway: Running) -> list[str]:
        connections = gateway.service.connections()
        return [connection.transport.ciphers_offered.removesuffix(_SIGNALING) for connection in connections]


def offered(request: Message) -> str:
    """What the field says, without its brackets."""
    value = request.get("X-Offered") or ""
    return value[1:-1].removesuffix(_SIGNALING)


def _failed(gateway: Running) -> int:
    troubles = gateway.service.troubles
    return sum(count for _, count in troubles.handshakes.items())


both_roads(globals())
