"""`gateway.routing.targets`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings
from gateway.routing.readings import has_dots
from gateway.routing.targets import upstream_host, upstream_target
from gateway.testing import FakeBackend, FakePool, request_head
from gateway.values import Route
from tests.routing.servers import SERVERS


def route(matched: str = "", **others: Any) -> Route:
    pool = FakePool(settings=BackendSettings(name="s", **others))
    return Route("listener", "rule", pool, pool.settings, matched=matched)


def target(sent: str, path: str | None, matched: str = "") -> str:
    return upstream_target(request_head(sent), route(matched, path=path))


class TargetTests(SynchronousTestCase):
    """The path override."""

    def test_untouched(self) -> None:
        for sent in ("/a/../b//c?d=e", "/%41", "*", "/\xe9"):
            self.assertEqual(target(sent, None, "/a"), sent)
        self.assertEqual(target("/a", "", "/a"), "/a")

    def test_documented(self) -> None:
        """The table of the documentation (HTTP settings, "override backend path")."""
        for matched, sent, expected in (
            ("", "/home/", "/override/home/"),
            ("", "/home/secondhome/", "/override/home/secondhome/"),
            ("/pathrule", "/pathrule/home/", "/override/home/"),
            ("/pathrule", "/pathrule/home/secondhome/", "/override/home/secondhome/"),
            ("/pathrule/home", "/pathrule/home/", "/override/"),
            ("/pathrule/home", "/pathrule/home/secondhome/", "/override/secondhome/"),
            ("/pathrule/", "/pathrule/", "/override/"),
        ):
            self.assertEqual(target(sent, "/override/", matched), expected)
            self.assertEqual(target(sent, "override", matched), expected)

    def test_query(self) -> None:
        self.assertEqual(target("/a/b?c=/a/&d", "/x", "/a/"), "/x/b?c=/a/&d")
        self.assertEqual(target("/a?", "/x"), "/x/a?")

    def test_case_and_encoding(self) -> None:
        """The literal part is found as it was matched; the rest stays as sent."""
        self.assertEqual(target("/PathRule/Home%20x", "/o", "/pathrule"), "/o/Home%20x")
        self.assertEqual(target("/p%61thrule/Home%20x", "/o", "/pathrule"), "/o/Home%20x")
        self.assertEqual(target("//pathrule/home", "/o", "/pathrule"), "/o/home")
        self.assertEqual(target("/p%61thrule%2fx%2Fy%20z", "/o", "/pathrule/"), "/o/x%2Fy%20z")
        self.assertEqual(target("/gr%C3%B6n/a%2fb", "/o", "/grön"), "/o/a%2fb")
        self.assertEqual(target("/gr%c3%96n/a%2fb", "/o", "/grön"), "/o/a%2fb")
        self.assertEqual(target("/gr\xc3\xb6n/a%2fb", "/o", "/GRÖN"), "/o/a%2fb")

    def test_lower_case_may_be_longer(self) -> None:
        self.assertEqual("/o/abc", target("/%C4%B0abc", "/o", "/\u0130"))
        self.assertEqual("/o/x", target("/%C4%B0/./x", "/o", "/\u0130"))

    def test_parameters_of_the_literal_part(self) -> None:
        """They go with the segment that they belong to."""
        for sent, expected in (
            ("/a;v=1/b/x;y=2%2fz", "/o/x;y=2%2fz"),
            ("/a/b;v=1;w/x", "/o/x"),
            ("/a%3bv=1%5c%62%2F/x", "/o/x"),
            ("/a;v=1/b/", "/o/"),
        ):
            self.assertEqual(target(sent, "/o", "/a/b/"), expected, sent)
        self.assertEqual(target("/a;v=1", "/o", "/a"), "/o/;v=1")

    @given(
        st.text(st.sampled_from("/aB=ö~"), max_size=6), st.text(st.sampled_from("/aBx;=ö%\\"), max_size=12), st.data()
    )
    @settings(max_examples=500, deadline=None)
    def test_any_spelling(self, literal: str, rest: str, data: st.DataObject) -> None:
        """What the literal part of a pattern is to the rule is taken off however it is spelled, and nothing else."""
        wire = f"/{literal}".encode().decode("latin-1")
        sent = "".join(data.draw(st.sampled_from((byte, f"%{ord(byte):02x}", f"%{ord(byte):02X}"))) for byte in wire)
        kept = rest.lstrip("/\\").encode().decode("latin-1")
        self.assertEqual(target(f"{sent}{kept}", "/only/here", f"/{literal}"), f"/only/here/{kept}")

    def test_asterisk(self) -> None:
        self.assertEqual(target("*", "/o"), "*")

    def test_dot_segments(self) -> None:
        """Resolved before they get to the backend, however they are written."""
        for sent in (
            "/..;/..;/admin", "/..\\..\\admin", "/..%5c..%5cadmin", "/.%2e%5cadmin", "/..;%2fadmin", "/../admin",
            "/%2e%2e/admin", "/..%3bx/admin", "/x/..;y=1/admin", "/.;/admin",
        ):  # fmt: skip
            self.assertEqual(target(sent, "/app/v1/"), "/app/v1/admin", sent)
        for sent in ("/..a", "/a..", "/.git/x", "/%252e%252e/a", "/a;..;b"):
            self.assertEqual(target(sent, "/app/v1/"), f"/app/v1{sent}")

    def test_dots_behind_the_literal_part(self) -> None:
        """What is a dot segment only when the literal part of the pattern has been taken off."""
        for sent in ("/a../admin", "/a..;/admin", "/a%2e%2e/admin", "/a..%5cadmin", "/a./admin", "/%61../admin"):
            self.assertEqual(target(sent, "/app/v1/", "/a"), "/app/v1/admin", sent)
        self.assertEqual(target("/a..", "/app/v1/", "/a"), "/app/v1/")

    @given(
        st.lists(st.sampled_from(["..", "%2e%2E", ".", "a", "/", "\\", "%5C", "%2f", ";", ";x", "%3b", "%ff", "x y"])),
        st.sampled_from(["", "/a", "/a/"]),
    )
    @settings(max_examples=500, deadline=None)
    def test_no_way_out(self, pieces: list[str], matched: str) -> None:
        """Dot segments cannot lead out of the override, whoever reads it."""
        found = target((matched or "/") + "".join(pieces), "/only/here", matched)
        self.assertTrue(found.startswith("/only/here/"), found)
        for name, read in SERVERS.items():
            self.assertTrue(f"{read(found)}/".startswith("/only/here/"), (found, name))
        self.assertFalse(has_dots(found), found)


class HostTests(SynchronousTestCase):
    """The Host for the backend."""

    def test_choice(self) -> None:
        backend = FakeBackend("app.internal", 8080)
        for others, sent, expected in (
            ({}, "www.example.com:8443", "www.example.com:8443"),
            ({"host_name": "x.example"}, "www.example.com", "x.example"),
            ({"pick_host_name_from_backend_address": True}, "www.example.com", "app.internal"),
            ({}, "", "app.internal"),
        ):
            head = request_head(host=sent, version="1.1" if sent else "1.0")
            self.assertEqual(upstream_host(head, route(**others), backend), expected)

    def test_ipv6(self) -> None:
        picked = route(pick_host_name_from_backend_address=True)
        self.assertEqual(upstream_host(request_head(), picked, FakeBackend("2001:db8::1")), "[2001:db8::1]")
