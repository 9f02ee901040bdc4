"""`gateway.pools.backend`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member
from gateway.interfaces import IBackend
from gateway.pools.backend import Backend, Loads


class BackendTests(SynchronousTestCase):
    """Identity, place and first state."""

    def test_interface(self) -> None:
        verifyObject(IBackend, Backend(Member(host="a"), BackendSettings(name="s")))

    def test_port_of_settings(self) -> None:
        backend = Backend(Member(host="a.example"), BackendSettings(name="s", port=8080))
        self.assertEqual((backend.name, backend.port, backend.place), ("a.example:8080", 8080, ("a.example", 8080)))

    def test_port_of_member(self) -> None:
        self.assertEqual(Backend(Member(host="a", port=9001), BackendSettings(name="s")).name, "a:9001")

    def test_ipv6_name(self) -> None:
        self.assertEqual(Backend(Member(host="2001:db8::1"), BackendSettings(name="s")).name, "[2001:db8::1]:80")

    def test_mapped(self) -> None:
        """An override changes where it connects to, not who it is."""
        member = Member(host="10.0.0.4", connect_host="127.0.0.1", connect_port=9001)
        backend = Backend(member, BackendSettings(name="s"))
        self.assertEqual((backend.name, backend.place), ("10.0.0.4:80", ("127.0.0.1", 9001)))

    def test_first_state(self) -> None:
        backend = Backend(Member(host="a"), BackendSettings(name="s"))
        self.assertEqual((backend.state, backend.healthy, backend.active), ("unknown", False, 0))
        self.assertIn("a:80", repr(backend))


class LoadsTests(SynchronousTestCase):
    """Counts outlive the objects that show them."""

    def make(self) -> Backend:
        return Backend(Member(host="a"), BackendSettings(name="s"))

    def test_shared_by_name(self) -> None:
        loads, one, two, other = Loads(), self.make(), self.make(), self.make()
        loads.join("p", one)
        loads.join("p", two)
        loads.join("q", other)
        self.assertIs(one.load, two.load)
        self.assertIsNot(one.load, other.load)

    def test_forgotten_when_idle(self) -> None:
        loads, one = Loads(), self.make()
        loads.join("p", one)
        loads.leave([one])
        self.assertEqual(len(loads), 0)

    def test_kept_while_busy(self) -> None:
        loads, one, two = Loads(), self.make(), self.make()
        loads.join("p", one)
        one.load.active = 2
        loads.leave([one])
        self.assertEqual(len(loads), 1)
        loads.join("p", two)
        self.assertEqual(two.active, 2)
        two.load.active = 0
        loads.leave([two])
        self.assertEqual(len(loads), 0)
