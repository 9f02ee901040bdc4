"""A deployment of one's own: the gateway with a service, a listener and a selector that are subclasses.

``twistd house-gateway`` takes the options of ``twistd gateway``, but runs in one process (no ``--workers``).
"""

from __future__ import annotations

from collections import Counter

from twisted.logger import Logger
from zope.interface import implementer

from gateway import tap
from gateway.interfaces import IOutcomeObserver
from gateway.listener.factory import ListenerFactory
from gateway.pools.least_connections import LeastConnections
from gateway.service import GatewayService
from gateway.services import Factory

_log = Logger("house")


@implementer(IOutcomeObserver)
class Answers:
    """Counts them by status."""

    def __init__(self):
        self.counts = Counter()

    def opened(self, outcome):
        pass

    def ended(self, outcome):
        self.counts[outcome.status] += 1


class HouseListener(ListenerFactory):
    """Lets in two clients at a time. The house is small."""

    def buildProtocol(self, addr):
        if len(self.connections) >= 2:
            return None  # the connection is closed
        return super().buildProtocol(addr)


class HouseGateway(GatewayService):
    """Says at the end what it has answered."""

    listener_class = HouseListener

    def make_observers(self):
        self.answers = Answers()
        return [*super().make_observers(), self.answers]

    def stopService(self):
        _log.info("answers: {counts}", counts=dict(self.answers.counts))
        return super().stopService()


class Neighbourly(LeastConnections):
    """Prefers backends on this machine; in the configuration: ``selector: 'house_gateway:neighbourly'``."""

    def select(self, candidates, head):
        near = tuple([backend for backend in candidates if backend.connect_host in ("127.0.0.1", "localhost")])
        return super().select(near or candidates, head)


neighbourly = Factory("neighbourly", None, lambda options, services: Neighbourly())


class Options(tap.Options):
    """Those of ``twistd gateway``."""


def makeService(options):
    return tap.makeService(options, HouseGateway)
