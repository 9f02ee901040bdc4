"""Whatever clients, backends and the clock do, in whatever order: nothing leaks, and every request has one outcome.

Each test is a number of conversations in which everybody acts at random; the seed is in the failure's message.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.logger import Logger

from gateway.errors import SessionEnded
from gateway.relay import upload
from gateway.relay.upload import Disk
from tests.dialogue import GET, GOODBYE, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase, Party, frame
from tests.relay.test_upload import Files, Full

_SMALL = {"head_timeout": 5, "body_timeout": 5, "send_timeout": 5, "keep_alive_timeout": 10, "max_body_bytes": 5000}
_REQUESTS = (
    GET,
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"1.1", b"1.0"),
    POST,
    POST.replace(b"POST", b"PUT"),
    b"PUT /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    POST[:-5].replace(b": 5", b": 4000") + b"x" * 4000,
    POST[:-9].replace(b": 5", b": 4000\r\nExpect: 100-continue") + b"\r\n\r\n" + b"x" * 4000,
    b"GET /moved/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
    GET.replace(b"example.com", b"example.net"),
    HANDSHAKE + frame(1, b"hello", mask=True),
    b"nonsense\r\n\r\n",
)
_RESPONSES = (
    OK,
    OK.replace(b"200 OK", b"503 Down"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil close",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n" + b"y" * 3000,
    SWITCHING + frame(1, b"hi"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"nonsense\r\n\r\n",
)


class ChaosTests(DialogueCase):
    """Random conversations."""

    def converse(self, seed: int, steps: int, uploads: Files | None = None) -> None:
        """One conversation."""
        chance = random.Random(seed)
        settings = {"request_timeout": 4, "connect_timeout": 1.0}
        gateway = self.gateway(2, settings=settings, limits=_SMALL, uploads=uploads)
        peers = [gateway.client() for _ in range(2)]
        try:
            for _ in range(steps):
                self.act(chance, gateway, peers)
            for number in (0, 1):
                gateway.place(number).manner = "refuse"
            gateway.advance(20)
            for wire in [peer.wire for peer in gateway.clients] + gateway.road.wires():
                del wire.taken[:]
            gateway.name_all()
            gateway.assert_nothing_leaks()
            gateway.name_all()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            self._dialogues.clear()

    def act(self, chance: random.Random, gateway: Dialogue, peers: list[Party]) -> None:
        """Somebody does something."""
        backends = [Party(self, gateway.turn, wire, True) for wire in gateway.road.wires()]
        actor = chance.choice(peers if not backends or chance.random() < 0.4 else backends)
        if not actor.wire.connected and actor in peers:
            peers[peers.index(actor)] = actor = gateway.client()
        says = _REQUESTS if actor in peers else _RESPONSES
        acts: list[tuple[float, Callable[[], object]]] = [
            (10.0, lambda: actor.sends(chance.choice(says), chance.choice((None, None, 1, 7, 100)))),
            (2.0, lambda: actor.sends(chance.choice(says)[: chance.randrange(1, 60)])),
            (2.0, lambda: actor.sends(frame(chance.choice((1, 8, 9)), b"\x03\xe8", mask=actor in peers))),
            (0.7, actor.resets),
            (0.7, actor.closes),
            (0.7, actor.half_closes),
            (1.5, actor.stalls),
            (3.0, actor.takes),
            (2.0, lambda: gateway.advance(chance.choice((0.1, 1, 3, 6)))),
            (0.5, lambda: self.manner(chance, gateway)),
            (0.1, lambda: gateway.run(gateway.sessions.end_all, SessionEnded(1001, "away", "shutdown"))),
            (0.1, lambda: gateway.run(chance.choice(peers).wire.protocol.stop, GOODBYE)),
            (0.1, lambda: gateway.run(chance.choice(peers).wire.protocol.cut)),
        ]
        chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()

    @staticmethod
    def manner(chance: random.Random, gateway: Dialogue) -> None:
        """A backend changes what it does with connections."""
        place = gateway.place(chance.randrange(2))
        place.manner = chance.choice(("accept", "accept", "refuse", "hang"))
        if place.manner == "accept":
            gateway.run(place.accept)

    def test_short_conversations(self) -> None:
        for seed in range(300):
            self.converse(seed, 12)

    def test_long_conversations(self) -> None:
        for seed in range(1000, 1030):
            self.converse(seed, 150)

    def test_bodies_that_are_waited_for(self) -> None:
        """Nor is anything left in files, however much room there is for them."""
        self.patch(upload, "PIECE", 500)
        self.patch(upload, "_log", Logger("tests", observer=lambda event: None))
        files = []
        for seed in range(2000, 2200):
            room = seed * 77 % 8000
            uploads = Files(2, 1 << 30 if seed % 2 else 6000, Disk(), lambda: Full(room))  # noqa: B023
            self.converse(seed, 60, uploads)
            self.assertEqual(0, uploads._disk.used, f"seed {seed}")
            files += uploads.files
        self.assertTrue(all(file.closed for file in files))
        self.assertGreater(len(files), 100)
