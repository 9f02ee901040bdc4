"""`gateway.routing.rewriting`: rewrite sets as middleware."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, RewriteSet
from gateway.errors import RewriteFailed
from gateway.interfaces import IMiddleware
from gateway.routing.rewrites import Rewriter
from gateway.routing.rewriting import MOST_ROUNDS, Rewrites, forwarded_for
from gateway.testing import FakeBackend, FakePool, request_head, response_head
from gateway.testing.dialogue import GET, DialogueCase
from gateway.values import Context, Outcome, Reply, RequestHead, Route

POOL = FakePool("pool", BackendSettings(name="s"))
ADDED = "X-Forwarded-For: 10.0.0.1, 192.0.2.7:1\r\nX-Original-URL: /\r\n"


def rewriter(name: str, path: str, reroute: bool = False) -> Rewriter:
    rule = {
        "name": "r",
        "url": {"path": path, "reroute": reroute},
        "response_headers": [{"name": "X-Set", "value": name}, {"name": f"X-{name}", "value": "{var_uri_path}"}],
    }
    return Rewriter(RewriteSet.model_validate({"name": name, "rules": [rule]}))


def route(*middleware: Rewrites) -> Route:
    return Route("web", "rule", POOL, POOL.settings, middleware=middleware)


class RewritesTests(SynchronousTestCase):
    """`Rewrites`."""

    def setUp(self) -> None:
        self.outcome = Outcome()
        self.context = Context(self.outcome, route(), lambda: 0.0, added=ADDED)

    def test_interface(self) -> None:
        verifyObject(IMiddleware, Rewrites(rewriter("a", "/x")))

    def test_forwarded_for(self) -> None:
        self.assertEqual(forwarded_for(ADDED), "10.0.0.1, 192.0.2.7:1")
        self.assertEqual(forwarded_for(""), "")

    def test_response_of_a_backend_only(self) -> None:
        middleware = Rewrites(rewriter("a", "/x"))
        middleware.request(request_head("/"), self.context)
        self.assertIsNone(middleware.response(response_head(502), self.context))
        self.context.backend = FakeBackend()
        changed = middleware.response(response_head(502), self.context)
        assert changed is not None
        self.assertEqual(changed.index["x-set"], "a")
        self.assertIsNone(middleware.body(changed, self.context))

    def test_response_without_request(self) -> None:
        """Somebody further out answered."""
        self.context.backend = FakeBackend()
        self.assertIsNone(Rewrites(rewriter("a", "/x")).response(response_head(200), self.context))

    def test_again(self) -> None:
        """The set of the new place goes on, also for the response; its middleware does nothing a second time."""
        inner = Rewrites(rewriter("inner", "/y"))
        there = route(inner)
        outer = Rewrites(rewriter("outer", "/x", True), lambda head, address: there)
        head = outer.request(request_head("/"), self.context)
        assert isinstance(head, RequestHead)
        self.assertEqual(head.target, "/y")
        self.assertIs(self.context.route, there)
        self.assertIsNone(inner.request(head, self.context))
        self.context.backend = FakeBackend()
        self.assertIsNone(inner.response(response_head(200), self.context))
        changed = outer.response(response_head(200), self.context)
        assert changed is not None
        self.assertEqual((changed.index["x-set"], changed.index["x-outer"]), ("inner", "/"))
        self.assertEqual(changed.index["x-inner"], "/x")

    def test_again_to_a_place_without(self) -> None:
        """The response of there is that of who asked for it."""
        there = route()
        outer = Rewrites(rewriter("outer", "/x", True), lambda head, address: there)
        outer.request(request_head("/"), self.context)
        self.assertIs(self.context.route, there)
        self.context.backend = FakeBackend()
        changed = outer.response(response_head(200), self.context)
        assert changed is not None
        self.assertEqual(changed.index["x-set"], "outer")
        self.assertEqual(["rule r: response field X-Set: 'outer'", "rule r: response field X-outer: '{var_uri_path}'"],
                         outer.response_notes(self.context))

    def test_changes_responses(self) -> None:
        """Also where only a set that comes later may."""
        for reroute in False, True:
            rules = [{"name": "r", "url": {"path": "/x", "reroute": reroute}}]
            made = Rewrites(Rewriter(RewriteSet.model_validate({"name": "s", "rules": rules})), lambda *asked: route())
            self.assertEqual(reroute, made.changes_responses)

    def test_again_to_a_redirect(self) -> None:
        reply = Reply(301)
        outer = Rewrites(rewriter("outer", "/x", True), lambda head, address: reply)
        self.assertIs(outer.request(request_head("/"), self.context), reply)

    def test_circles(self) -> None:
        asked: list[str] = []

        def again(head: RequestHead, address: str) -> Route:
            asked.append(head.target)
            return there

        outer = Rewrites(rewriter("outer", "/x{var_uri_path}", True), again)
        there = route(outer)
        self.assertRaises(RewriteFailed, outer.request, request_head("/"), self.context)
        self.assertEqual((len(asked), asked[2]), (MOST_ROUNDS, "/x/x/x/"))


AFFINITY = """
listeners: [{name: web, port: 8080}]
pools: [{name: chat, backends: ['10.0.0.1:9000']}]
settings: [{name: default, cookieBasedAffinity: Enabled, affinityCookieName: Mine}]
rules: [{listener: web, pool: chat, rewrite: only}]
rewrites:
  - name: only
    rules:
      - conditions: [{variable: http_resp_Set-Cookie, pattern: '(.*)'}]
        responseHeaders: [{name: Set-Cookie, value: '{http_resp_Set-Cookie_1}; HttpOnly'}]
"""


class AffinityTests(DialogueCase):
    """Where the pool leaves marks with its clients."""

    def test_cookies_stay_apart(self) -> None:
        gateway = self.gateway(AFFINITY)
        client = gateway.client()
        for cookies, expected in (
            (b"Set-Cookie: session=1\r\nSet-Cookie: other=2\r\n", ["session=1; HttpOnly", "Mine", "MineCORS"]),
            (b"", ["Mine", "MineCORS"]),
        ):
            client.sends(GET)
            gateway.backend(0).gets_something()
            gateway.backend(0).sends(b"HTTP/1.1 200 OK\r\n" + cookies + b"Content-Length: 0\r\n\r\n")
            lines = client.gets_something().decode("latin-1").split("\r\n")
            found = [line.partition(": ")[2] for line in lines if line.startswith("Set-Cookie")]
            self.assertEqual([value.partition("=")[0] if "Mine" in value else value for value in found], expected)
        gateway.recorded("200 ok", "200 ok")
