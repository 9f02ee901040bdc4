"""Whatever clients, backends, filters and the clock do to sessions with filters: order stays, and nothing leaks.

As `tests.exchange.test_chaos`: everybody acts at random, and the seed is in the failure's message.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from gateway.errors import SessionEnded
from gateway.messages.filtering import NamedFilter
from gateway.strategies.containment import Containment, Terms
from gateway.values import DROP, Answer, Close, Outcome
from gateway.websocket.frames import FrameError
from gateway.websocket.legs import BackendLeg, ClientLeg
from tests.dialogue import Dialogue, DialogueCase, Party, frame

_LIMITS = {"max_message_bytes": 3000}


class _Moody:
    """A filter in any mood; all sessions share it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.waiting: list[Deferred[Any]] = []
        self.sessions = self.ended = 0

    def open(self, conversation: Any) -> _Moody:
        """See `IMessageFilter`."""
        self.sessions += 1
        return self

    def message(self, payload: Any, from_client: bool) -> Any:
        """See `IMessages`."""
        mood = self.chance.random()
        if mood < 0.2:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return self.verdict(mood)

    def verdict(self, mood: float) -> Any:
        """Most often a message passes."""
        if mood < 0.9:
            return None
        return self.chance.choice((DROP, Answer(b"answer"), "x" * 40_000, Close(4000), 7))

    def closed(self, outcome: Outcome) -> None:
        """See `IMessages`."""
        self.ended += 1


class _Numbers:
    """What a peer has received: numbered messages must arrive in their order, each once."""

    held = 0

    def __init__(self, masked: bool) -> None:
        self.source = self
        self.last = -1
        kind = ClientLeg if masked else BackendLeg
        self.leg = kind(self, lambda data: None, 1 << 20)

    def took(self, payload: str | bytes, raw: bytes, ends: Any) -> None:
        """See `gateway.websocket.legs.Reader`."""
        if isinstance(payload, bytes) and payload[:1] == b"#":
            number = int(payload[1:7])
            if number <= self.last:
                raise AssertionError(f"message {number} behind {self.last}")
            self.last = number

    def took_control(self, raw: bytes) -> None:
        """See `gateway.websocket.legs.Reader`."""

    def took_close(self, payload: bytes) -> None:
        """See `gateway.websocket.legs.Reader`."""

    def look(self, peer: Party) -> None:
        """Read what has come; all of it is well-formed, up to the close frame that is the last."""
        taken = peer.gets_something()
        try:
            self.leg.read(taken)
            while self.leg.more:
                self.leg.read()
        except FrameError as error:
            raise AssertionError(f"the gateway sent {error}: {taken[:60]!r}") from error


class ChaosTests(DialogueCase):
    """Random sessions."""

    def converse(self, seed: int, steps: int) -> None:
        chance = random.Random(seed)
        moody = _Moody(chance)
        # A stranger's, for what it never decides has to meet the idle limit; but it is not switched off.
        contain = Containment("message filter", "moody", "here", terms=Terms(failures=0), ours=False)
        filters = [NamedFilter("moody", moody, "here", contain)]
        gateway = self.gateway(1, filters=filters, settings={"request_timeout": 4}, limits=_LIMITS)
        try:
            ends = gateway.opens_websocket()
            numbers = dict(zip(ends, (_Numbers(False), _Numbers(True)), strict=True))
            sent = dict.fromkeys(ends, 0)
            for _ in range(steps):
                self.act(chance, gateway, moody, ends, sent)
                for peer in ends:
                    numbers[peer].look(peer)
            for peer in ends:
                gateway.run(peer.takes)
                numbers[peer].look(peer)
            gateway.advance(30)
            self.assertEqual((0, 1, 1), (gateway.sessions.count, moody.sessions, moody.ended))
            for wire in [peer.wire for peer in ends]:
                del wire.taken[:]
            gateway.name_all()
            gateway.assert_nothing_leaks()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            self._dialogues.clear()

    def act(
        self,
        chance: random.Random,
        gateway: Dialogue,
        moody: _Moody,
        ends: tuple[Party, Party],
        sent: dict[Party, int],
    ) -> None:
        """Somebody does something."""
        actor = chance.choice(ends)
        mask = actor is ends[0]

        def speaks() -> None:
            data = b""
            for _ in range(chance.randrange(1, 5)):
                sent[actor] += 1
                payload = b"#%06d" % sent[actor] + b"." * chance.choice((0, 0, 200, 2000))
                cut = chance.randrange(len(payload))
                if chance.random() < 0.5:
                    data += frame(2, payload, mask=mask)
                else:
                    data += frame(2, payload[:cut], mask=mask, fin=False) + frame(9, b"?", mask=mask)
                    data += frame(0, payload[cut:], mask=mask)
            actor.sends(data, chance.choice((None, None, 7, 100, 1000)))

        def decides() -> None:
            if moody.waiting:
                waiting = moody.waiting.pop(chance.randrange(len(moody.waiting)))
                if not waiting.called:
                    if chance.random() < 0.1:
                        gateway.run(waiting.errback, RuntimeError("a bad day"))
                    else:
                        gateway.run(waiting.callback, moody.verdict(chance.random()))

        closing = frame(8, b"\x03\xe8", mask=mask)
        acts: list[tuple[float, Callable[[], object]]] = [
            (10.0, speaks),
            (8.0, decides),
            (2.0, actor.stalls),
            (4.0, actor.takes),
            (0.4, lambda: actor.sends(closing)),
            (0.2, lambda: actor.sends(frame(3, mask=mask))),
            (0.2, lambda: actor.sends(frame(1, b"x" * 5000, mask=mask))),
            (0.3, actor.resets),
            (0.3, actor.closes),
            (0.3, actor.half_closes),
            (1.0, lambda: gateway.advance(chance.choice((0.1, 1, 3)))),
            (0.1, lambda: gateway.run(gateway.sessions.end_all, SessionEnded(1001, "away", "shutdown"))),
        ]
        chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()

    def test_short_sessions(self) -> None:
        for seed in range(300):
            self.converse(seed, 15)

    def test_long_sessions(self) -> None:
        for seed in range(1000, 1060):
            self.converse(seed, 100)
