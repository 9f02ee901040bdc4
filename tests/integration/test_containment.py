"""Plugins that fail, block or are switched off, in a whole gateway over both roads; and what the metrics say of it."""

from __future__ import annotations

import time
from typing import Any

from zope.interface import implementer

from gateway.interfaces import IClosing, IMiddleware, IOutcomeObserver, ISelector, IStrategyFactory
from gateway.middleware.base import BOTH, Middleware
from gateway.values import Outcome
from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.wire import Wire
from tests.plugin_log import PluginLog

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Mood:
    """What the plugins of these tests do next."""

    broken = False
    blocks = 0.0
    told: list[int] = []
    closed: list[str] = []


@implementer(IMiddleware, IClosing)
class Moody(Middleware):
    """Fails or blocks as its mood is."""

    traffic = BOTH

    async def request(self, head: Any, context: Any) -> Any:  # type: ignore[override]
        """See `IMiddleware`."""
        time.sleep(Mood.blocks)
        if Mood.broken:
            raise RuntimeError("in a bad mood\nInjected: line")

    def close(self) -> None:
        """See `IClosing`."""
        Mood.closed.append("middleware")


@implementer(ISelector)
class Picky:
    """Takes what there is, or nonsense."""

    def select(self, candidates: Any, head: Any) -> Any:
        """See `ISelector`."""
        return "nonsense" if Mood.broken else candidates[0]


@implementer(IOutcomeObserver, IClosing)
class Teller:
    """Keeps statuses, or fails."""

    def opened(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""

    def ended(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        if Mood.broken:
            raise RuntimeError("the disk is full")
        Mood.told.append(outcome.status)

    def close(self) -> None:
        """See `IClosing`."""
        Mood.closed.append("observer")


@implementer(IStrategyFactory)
class Factory:
    """Makes one of these."""

    options = None

    def __init__(self, name: str, product: Any) -> None:
        self.name = name
        self._product = product

    def build(self, options: Any, services: Any) -> Any:
        """See `IStrategyFactory`."""
        return self._product()


moody = Factory("moody", Moody)
picky = Factory("picky", Picky)
teller = Factory("teller", Teller)


class ContainmentTests(GatewayTestCase):
    """One request pays, and after some of them nobody does."""

    def setUp(self) -> None:
        Mood.broken, Mood.blocks, Mood.told, Mood.closed = False, 0.0, [], []
        self.log = PluginLog(self)

    async def running(self, pool: Any = None, **others: Any) -> Running:
        """``pool``: what its pool has besides a backend."""

        async def serve(wire: Wire) -> None:
            while True:
                await read_request(wire)
                wire.write(RESPONSE)

        backend = await self.backend(serve)
        pools = [{"name": "pool", "members": [{"host": "127.0.0.1", "port": backend.port}], **(pool or {})}]
        limits = {"plugin_failures": 3, "plugin_pause": 0.4, "plugin_budget": 0.05}
        return await self.gateway(model_for(limits=limits, pools=pools, **others))

    async def ask(self, gateway: Running, times: int = 1) -> list[int]:
        client = await self.client(gateway)
        statuses = []
        for _ in range(times):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            statuses.append((await read_response(client)).status)
        return statuses

    def shown(self, gateway: Running, kind: str, name: str) -> dict[str, float]:
        """What the metrics say of a plugin."""
        labels = f'{{kind="{kind}",name="{__name__}:{name}"}} '
        lines = [line for line in gateway.service.exposition().splitlines() if labels in line]
        return {
            line.partition("{")[0].removeprefix("gateway_plugin_"): float(line.rpartition(" ")[2]) for line in lines
        }

    async def test_middleware(self) -> None:
        gateway = await self.running(middleware=[f"{__name__}:moody"])
        self.assertEqual([200], await self.ask(gateway))
        Mood.broken = True
        self.assertEqual([500] * 5, await self.ask(gateway, 5))
        causes = [outcome.cause for outcome in gateway.recorder.outcomes]
        self.assertEqual(["ok"] + ["plugin_failed"] * 3 + ["plugin_off"] * 2, causes)
        shown = self.shown(gateway, "middleware", "moody")
        self.assertEqual(6, shown["calls_total"])  # each of its methods
        self.assertEqual((3, 1, 0), (shown["failures_total"], shown["off"], shown["budget_exceeded_total"]))
        first, off = self.log.flush()
        self.assertIn(f"middleware '{__name__}:moody' of middleware[0] failed (1 so far): RuntimeError", first)
        self.assertIn("in a bad mood\\nInjected: line", first)
        frames = [line for line in first.splitlines() if line.startswith("  File ")]
        self.assertEqual(1, len(frames))
        self.assertIn("tests/integration/test_containment.py", frames[0])
        self.assertIn("is switched off after 3 failures in a row", off)
        Mood.broken = False
        client = await self.client(gateway)

        async def again() -> bool:
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return (await read_response(client)).status == 200

        begun = time.monotonic()
        while not await again():
            self.assertLess(time.monotonic(), begun + 10)
        self.assertGreater(time.monotonic(), begun + 0.2)
        self.assertEqual(0, self.shown(gateway, "middleware", "moody")["off"])

    async def test_optional_middleware(self) -> None:
        gateway = await self.running(middleware=[{"strategy": f"{__name__}:moody", "optional": True}])
        Mood.broken = True
        self.assertEqual([200] * 5, await self.ask(gateway, 5))
        self.assertEqual(1, self.shown(gateway, "middleware", "moody")["off"])

    async def test_one_that_blocks(self) -> None:
        """Its answer counts; that it was slow is logged once, and shown."""
        gateway = await self.running(middleware=[f"{__name__}:moody"])
        Mood.blocks = 0.06
        self.assertEqual([200] * 3, await self.ask(gateway, 3))
        shown = self.shown(gateway, "middleware", "moody")
        self.assertEqual((3, 0), (shown["budget_exceeded_total"], shown["failures_total"]))
        self.assertGreaterEqual(shown["seconds_total"], 0.18)
        (line,) = self.log.lines
        self.assertIn("kept everything else waiting for 0.0", line)

    async def test_selector(self) -> None:
        gateway = await self.running({"selector": f"{__name__}:picky"})
        Mood.broken = True
        self.assertEqual([500] * 3 + [200] * 2, await self.ask(gateway, 5))
        self.assertEqual(1, self.shown(gateway, "selector", "picky")["off"])

    async def test_a_selector_within_one_of_ours(self) -> None:
        """The gateway's own are never switched off, but this one is not wholly its own."""
        gateway = await self.running({"selector": "sticky", "selector_options": {"over": f"{__name__}:picky"}})
        Mood.broken = True
        self.assertEqual([500] * 3 + [200] * 2, await self.ask(gateway, 5))
        self.assertIn('gateway_plugin_off{kind="selector",name="sticky"} 1', gateway.service.exposition())

    async def test_observer(self) -> None:
        """Those of a configuration are told; one that fails is dropped for a while, and costs no request."""
        gateway = await self.running(observers=[f"{__name__}:teller"])
        self.assertEqual([200], await self.ask(gateway))
        Mood.broken = True
        self.assertEqual([200] * 5, await self.ask(gateway, 5))
        await gateway.outcome(5)
        self.assertEqual([200], Mood.told)
        shown = self.shown(gateway, "observer", "teller")
        self.assertEqual((3, 1), (shown["failures_total"], shown["off"]))

    async def test_all_are_closed_at_the_end(self) -> None:
        gateway = await self.running(middleware=[f"{__name__}:moody"], observers=[f"{__name__}:teller"])
        await gateway.service.stopService()
        self.assertEqual(["middleware", "observer"], sorted(Mood.closed))

    async def test_ours_are_not_measured(self) -> None:
        gateway = await self.running(middleware=["security-headers"])
        self.assertEqual([200], await self.ask(gateway))
        text = gateway.service.exposition()
        self.assertNotIn("security-headers", text)
        self.assertNotIn("round-robin", text)


both_roads(globals())
