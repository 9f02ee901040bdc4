"""Another configuration, and clients with lanes that began with the one before: it holds for their next request."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from gateway.config.model import Limits
from gateway.http.forwarded import TrustedProxies
from tests.dialogue import GET, POST
from tests.listener.lane_acts import LIMITS, Act, LaneCase, answers, asks, backend, client, passes, stops
from tests.listener.lanes import World, agree, warmed

TOLD = GET[:-2] + b"X-Forwarded-For: 198.51.100.1\r\nX-AppGW-Trace-Id: " + b"a" * 32 + b"\r\n\r\n"
LONG = GET.replace(b"/ ", b"/" + b"a" * 300 + b" ")


def another(trusted: Sequence[str] = (), **limits: Any) -> Act:
    """A reload."""

    def act(world: World) -> None:
        now = copy(world.shared)
        now.limits, now.trusted = Limits(**{**LIMITS, **limits}), TrustedProxies(trusted)
        now.trace_prefix = "f" * 16
        world.factory.use("web", now, now.trusted)

    return act


class ReloadTests(LaneCase):
    """`agree` compares what is said, what is logged and how long is waited."""

    def follows(self, request: bytes, reload: Act) -> None:
        """A client, with whom much may be going on at a reload, goes on with this request."""
        plain = [asks(), answers()]
        for acts in (
            [reload, asks(request), answers(), *plain, asks(request), answers(), passes(4)],
            [asks(), reload, answers(), asks(request), answers(), *plain],
            [asks(), reload, asks(request), answers(), answers(), *plain],
            [asks(GET[:9]), reload, asks(GET[9:]), answers(), asks(request), answers()],
            [asks(POST), reload, backend("closes"), answers(), asks(request), answers()],
            [asks(), reload, backend("closes"), answers(), asks(request), answers()],
            [asks(), reload, stops, answers()],
            [asks(), reload, client("closes")],
            [asks(), reload, passes(31)],
            [reload, reload, asks(request), answers(), reload, asks(request), answers()],
        ):
            agree(self, [warmed, *plain, *acts], limits=LIMITS)

    def test_nothing_of_importance(self) -> None:
        self.follows(GET, another())
        self.follows(POST, another())

    def test_limits(self) -> None:
        self.follows(POST, another(max_body_bytes=4))
        self.follows(TOLD, another(max_fields=8))
        self.follows(LONG, another(max_target_bytes=256))
        self.follows(GET, another(keep_alive_timeout=3))

    def test_who_is_trusted(self) -> None:
        self.follows(TOLD, another(["0.0.0.0/0"]))

    def test_a_lane_of_its_own(self) -> None:
        """The first request finds out; those after it are in a lane again."""
        self.same(another(), asks(), answers(), asks(), answers(), asks(), answers(), ended=2)
        self.same(another(["0.0.0.0/0"]), asks(), answers(), asks(), answers(), ended=0, used=False)
