"""`gateway.discovery.dns`."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

from pydantic import ValidationError
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.names.error import DNSNameError, DNSServerError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import Member
from gateway.discovery.answers import Answer
from gateway.discovery.dns import Dns, DnsOptions, factory
from gateway.interfaces import IDiscovery, IStrategyFactory
from gateway.services import Services

ONE, TWO, SIX = Member(host="192.0.2.1"), Member(host="192.0.2.2"), Member(host="2001:db8::1")
NOTHING = Answer((), inf)


class DnsTests(SynchronousTestCase):
    """When it asks, and what it makes of answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[Answer]]] = []
        self.found: list[tuple[Member, ...]] = []
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace") == "gateway.discovery":
            self.said.append(event["log_format"].format(**event))

    def start(self, **options: Any) -> Dns:
        def lookup(kind: str) -> Deferred[Answer]:
            self.asked.append((kind, Deferred()))
            return self.asked[-1][1]

        made = Dns(DnsOptions(name="chat.test", **options), lookup, self.clock, Random(1))
        self.first = made.start(lambda members: self.found.append(tuple(members)))
        return made

    def answer(self, *answers: Any) -> None:
        """To the questions that are open, in their order."""
        questions, self.asked = self.asked, []
        for (_, asked), answer in zip(questions, answers, strict=True):
            asked.errback(answer) if isinstance(answer, Exception) else asked.callback(answer)

    def pause(self) -> float:
        (call,) = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()

    def test_interfaces(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "dns")
        built = factory.build(DnsOptions(name="a"), Services(self.clock, self.clock, Random(1)))
        verifyObject(IDiscovery, built)

    def test_kinds(self) -> None:
        for options, kinds in (
            ({}, ["A", "AAAA"]), ({"family": "ipv4"}, ["A"]), ({"family": "ipv6"}, ["AAAA"]),
            ({"records": "srv", "family": "ipv4"}, ["SRV"]),
        ):  # fmt: skip
            self.asked = []
            self.start(**options)
            self.assertEqual([kind for kind, _ in self.asked], kinds)

    def test_first(self) -> None:
        self.start()
        self.assertNoResult(self.first)
        self.answer(Answer((TWO, ONE), 60.0), Answer((SIX,), 90.0))
        self.successResultOf(self.first)
        self.assertEqual(self.found, [(ONE, TWO, SIX)])

    def test_ttl(self) -> None:
        """The shortest of the answers, within bounds, and up to a tenth early."""
        self.start(least_interval=5, most_interval=100)
        for ttls, wanted in (((60, 90), 60), ((60, 10), 10), ((0, 60), 5), ((3600, 3600), 100)):
            self.answer(Answer((ONE,), ttls[0]), Answer((SIX,), ttls[1]))
            self.assertTrue(0.9 * wanted <= self.pause() <= wanted, (ttls, self.pause()))
            self.clock.advance(wanted)

    def test_one_family(self) -> None:
        """That there is nothing of the other does not shorten anything."""
        self.start()
        self.answer(Answer((ONE,), 60.0), NOTHING)
        self.assertEqual(self.found, [(ONE,)])
        self.assertGreater(self.pause(), 50)
        self.assertEqual(self.said, [])

    def test_changes(self) -> None:
        """Told once for each change; the order of an answer is none."""
        self.start(family="ipv4")
        for members in ((ONE, TWO), (TWO, ONE), (TWO,), (TWO,), (ONE, TWO)):
            self.answer(Answer(members, 60.0))
            self.clock.advance(60)
        self.assertEqual(self.found, [(ONE, TWO), (TWO,), (ONE, TWO)])

    def test_failure(self) -> None:
        """Whatever goes wrong, the last good members stay; said once, and that it works again."""
        self.start(family="ipv4")
        self.answer(Answer((ONE,), 60.0))
        self.clock.advance(60)
        for trouble in (TimeoutError("x"), DNSServerError(), DNSNameError(), NOTHING, ValueError("odd")):
            self.answer(trouble)
            self.assertLessEqual(self.pause(), 5)
            self.clock.advance(5)
        self.answer(Answer((TWO,), 60.0))
        self.assertEqual(self.found, [(ONE,), (TWO,)])
        self.assertEqual(
            self.said,
            [
                "DNS for chat.test: no name server has answered in time; the last good members stay",
                "DNS for chat.test works again",
            ],
        )

    def test_one_family_fails(self) -> None:
        """Its members stay, those of the other are new."""
        self.start()
        self.answer(Answer((ONE,), 60.0), Answer((SIX,), 60.0))
        self.clock.advance(60)
        self.answer(Answer((TWO,), 60.0), DNSServerError())
        self.assertEqual(self.found[-1], (TWO, SIX))

    def test_never_good(self) -> None:
        self.start()
        self.answer(DNSNameError(), DNSNameError())
        self.successResultOf(self.first)
        self.assertEqual(self.found, [])
        self.assertEqual(self.said, ["DNS for chat.test: there is no such name; no members are known"])

    def test_stop(self) -> None:
        """While it waits, and while it asks."""
        made = self.start(family="ipv4")
        self.answer(Answer((ONE,), 60.0))
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        made = self.start(family="ipv4")
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.found, [(ONE,)])

    def test_wrong_options(self) -> None:
        for options in (
            {}, {"name": ""}, {"name": "a", "records": "mx"}, {"name": "a", "nameservers": ["dns.test"]},
            {"name": "a", "leastInterval": 60, "mostInterval": 10}, {"name": "a", "port": 0}, {"name": "a", "x": 1},
        ):  # fmt: skip
            self.assertRaises(ValidationError, DnsOptions.model_validate, options)
