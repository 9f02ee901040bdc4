"""For authors of strategies: what to test them with.

A strategy's test case mixes in the conformance of its interface and says how to make one::

    class FirstTests(SelectorConformance, SynchronousTestCase):
        def make_selector(self):
            return build(factory, {"colour": "red"})

The conformance tests look at what it says, and at how it behaves while it is asked (`gateway.testing.conduct`): a call
that takes most of a second fails, so does one that changes what it was handed, and so does what is decided of one
request, session or backend otherwise than it would be if there were no other.

The fakes do no I/O: `request_head` makes requests, `FakeBackend` and `FakePool` stand for what the gateway would hand
in, ``twisted.internet.task.Clock`` for time, and `FakeRoad` for the network.  `build` makes a strategy as the gateway
does, of options as a configuration spells them.

`gateway.testing.dialogue` has a whole gateway to talk through, without a reactor: this arrives, that must be sent.  It
is a module of its own because it imports nearly everything.
"""

from __future__ import annotations

from gateway.testing.factories import FactoryConformance
from gateway.testing.fakes import (
    FakeBackend,
    FakeConnection,
    FakeLease,
    FakePool,
    FakeRoad,
    FakeTransport,
    Recorder,
    build,
    fake_services,
    request_context,
    request_head,
    response_head,
)
from gateway.testing.messages import FakeConversation, MessageFilterConformance
from gateway.testing.passing import MiddlewareConformance
from gateway.testing.routers import AsyncRouterConformance, RouterConformance
from gateway.testing.selectors import AffinityConformance, PeerSelectorConformance, SelectorConformance
from gateway.testing.watching import DiscoveryConformance, ObserverConformance, ProbeConformance

__all__ = [
    "AffinityConformance", "AsyncRouterConformance", "DiscoveryConformance", "FactoryConformance", "FakeBackend",
    "FakeConnection", "FakeConversation", "FakeLease", "FakePool", "FakeRoad", "FakeTransport",
    "MessageFilterConformance", "MiddlewareConformance", "ObserverConformance", "PeerSelectorConformance",
    "ProbeConformance", "Recorder", "RouterConformance", "SelectorConformance", "build", "fake_services",
    "request_context", "request_head", "response_head",
]  # fmt: skip
