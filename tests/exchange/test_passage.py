"""`gateway.exchange.passage`: requests through middleware, and responses back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import RewriteSet
from gateway.errors import BadRequest
from gateway.http.changes import with_fields
from gateway.http.heads import parse_request
from gateway.interfaces import IMiddleware
from gateway.middleware import headers
from gateway.middleware.base import Middleware
from gateway.routing.rewrites import Rewriter
from gateway.routing.rewriting import Rewrites
from gateway.values import Context, Reply, RequestHead, ResponseHead
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase
from tests.plugin_log import PluginLog

BOTH = frozenset({"http", "upgrade"})

OTHER = b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"


@implementer(IMiddleware)
class Scripted:
    """Does what it is told; ``calls`` is what it was asked, ``seen`` the heads and contexts."""

    def __init__(
        self, name: str = "one", calls: list[str] | None = None, traffic: frozenset[str] = BOTH, **answers: Any
    ) -> None:
        self.traffic = traffic
        self.calls = [] if calls is None else calls
        self.seen: list[Any] = []
        self.contexts: list[Context] = []
        self._name = name
        self._answers = answers

    def _answer(self, what: str, head: Any, context: Context) -> Any:
        self.calls.append(f"{self._name}.{what}")
        self.seen.append(head)
        self.contexts.append(context)
        answer = self._answers.get(what)
        if isinstance(answer, Exception):
            raise answer
        return answer(head, context) if callable(answer) else answer

    def request(self, head: RequestHead, context: Context) -> Any:
        """See `IMiddleware`."""
        return self._answer("request", head, context)

    def response(self, head: ResponseHead, context: Context) -> Any:
        """See `IMiddleware`."""
        return self._answer("response", head, context)

    def body(self, head: ResponseHead, context: Context) -> Any:
        """See `IMiddleware`."""
        return self._answer("body", head, context)


class Doubling:
    """An encoder that keeps every second piece back."""

    def __init__(self, fails: str = "") -> None:
        self._kept = b""
        self._fails = fails

    def feed(self, data: bytes) -> bytes:
        """See `IBodyEncoder`."""
        if self._fails == "feed":
            raise RuntimeError("no")
        if not self._kept:
            self._kept = data * 2
            return b""
        data, self._kept = self._kept + data * 2, b""
        return data

    def end(self) -> bytes:
        """See `IBodyEncoder`."""
        if self._fails == "end":
            raise RuntimeError("no")
        return self._kept


def setting(name: str, value: str) -> Any:
    """Sets a field of a head."""
    return lambda head, context: with_fields(head, set=[(name, value)])


class PassageCase(DialogueCase):
    """Sees what is logged of middleware that fails."""

    def setUp(self) -> None:
        super().setUp()
        self.log = PluginLog(self)


class WayInTests(PassageCase):
    """`IMiddleware.request`."""

    def test_in_and_out(self) -> None:
        calls: list[str] = []
        one, two = Scripted("one", calls), Scripted("two", calls)
        verifyObject(IMiddleware, one)
        gateway = self.gateway(middleware=[one, two])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET / HTTP/1.1")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 5", body=b"hello")
        self.assertEqual(["one.request", "two.request", "two.response", "one.response", "two.body", "one.body"], calls)
        context = one.contexts[0]
        self.assertEqual(
            ("203.0.113.7", "203.0.113.7", "http", "web", "rule"),
            (
                context.peer.host,
                context.address,
                context.scheme,
                context.listener,
                context.route and context.route.rule,
            ),
        )
        self.assertEqual((context.trace_id, 1000.0), (gateway.recorded("200 ok").trace_id, context.clock()))
        self.assertEqual({id(context)}, {id(each) for each in two.contexts})

    def test_a_changed_request(self) -> None:
        def change(head: RequestHead, context: Context) -> RequestHead:
            head = with_fields(head, set=[("X-New", "1"), ("X-Forwarded-User", "ann"), ("x-forwarded-proto", "https")])
            return head._replace(target="/other?a=1", host="other.example")

        gateway = self.gateway(middleware=[Scripted(request=change)])
        client = gateway.client()
        client.sends(POST.replace(b"\r\n\r\n", b"\r\nX-Forwarded-User: eve\r\n\r\n"))
        gateway.backend(0).gets(
            "POST /other?a=1 HTTP/1.1", "Host: other.example", "X-New: 1", "X-Forwarded-User: ann",
            "x-forwarded-proto: https", "Content-Length: 5", "X-Forwarded-For: 203.0.113.7:50000",
            body=b"abcde", without=["X-Forwarded-Proto: http"],
        )  # fmt: skip
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        self.assertEqual("/form", gateway.recorded("200 ok").head.target)

    def test_what_is_set_arrives(self) -> None:
        """Also where the client has sent the same, and called it hop-by-hop."""
        same = {"set": {"X-One": "1", "X-Forwarded-Host": "shop.test"}, "add": {"X-Two": "2"}}
        made = headers.factory.build(headers.HeadersOptions.model_validate({"request": same}), None)
        gateway = self.gateway(middleware=[made])
        client = gateway.client()
        lines = b"X-One: 1\r\nX-Two: 2\r\nX-Forwarded-Host: shop.test\r\nX-Forwarded-User: eve\r\nX-Three: 3\r\n"
        client.sends(GET.replace(b"\r\n\r\n", b"\r\n" + lines + b"Connection: x-one, x-two, x-three\r\n\r\n"))
        head = gateway.backend(0).gets_something()
        for line in b"X-One: 1\r\n", b"X-Two: 2\r\n", b"X-Forwarded-Host: shop.test\r\n":
            self.assertEqual(1, head.count(line), head)
        for name in b"X-Three", b"X-Forwarded-User":
            self.assertNotIn(name, head)
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_what_a_trusted_proxy_says_may_be_changed(self) -> None:
        gone = Scripted(request=lambda head, context: with_fields(head, remove=["x-forwarded-user"]))
        said = Scripted(request=setting("X-Forwarded-Host", "shop.test"))
        gateway = self.gateway(middleware=[gone, said], trusted=["10.9.0.0/16"])
        client = gateway.client("10.9.0.1")
        lines = b"X-Forwarded-User: eve\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /p\r\n"
        client.sends(GET.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n"))
        head = gateway.backend(0).gets_something()
        self.assertEqual(1, head.count(b"X-Forwarded-Host:"), head)
        self.assertIn(b"X-Forwarded-Host: shop.test\r\n", head)
        self.assertIn(b"X-Forwarded-Prefix: /p\r\n", head)
        self.assertNotIn(b"X-Forwarded-User", head)
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_sent_elsewhere(self) -> None:
        """Another route: what it passes through there comes next, each once, and the log says where it went."""
        calls: list[str] = []
        two, three = Scripted("two", calls), Scripted("three", calls)

        def elsewhere(head: RequestHead, context: Context) -> None:
            assert context.route is not None
            context.route = context.route._replace(rule="other", middleware=(one, two, three))
            context.added += "X-Forwarded-Extra: 1\r\n"

        one = Scripted("one", calls, request=elsewhere)
        gateway = self.gateway(middleware=[one, two])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET / HTTP/1.1", "X-Forwarded-Extra: 1")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        asked = ["one.request", "two.request", "three.request", "three.response", "two.response", "one.response"]
        self.assertEqual(asked, calls[:6])
        self.assertEqual("other", gateway.recorded("200 ok").route.rule)

    def test_the_user_is_recorded(self) -> None:
        def know(head: RequestHead, context: Context) -> None:
            context.user = "ann"
            self.assertEqual("ann", context.user)

        gateway = self.gateway(middleware=[Scripted(request=know)])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets_something()
        self.assertEqual("ann", gateway.recorded("200 ok").user)

    def test_framing_stays(self) -> None:
        fields = [("Content-Length", "3"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]
        gateway = self.gateway(
            middleware=[Scripted(request=lambda head, context: head._replace(fields=fields, body=3, index={}))]
        )
        client = gateway.client()
        client.sends(POST)
        gateway.backend(0).gets(
            "POST /form HTTP/1.1", "Content-Length: 5", body=b"abcde", without=["Transfer-Encoding", "Connection"]
        )
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_a_reply_ends_it(self) -> None:
        calls: list[str] = []
        refuse = Reply(403, (("X-Why", "closed"), ("Content-Length", "99"), ("Connection", "x")), b"no", "reply")
        chain = [Scripted("one", calls, response=setting("X-One", "1")), Scripted("two", calls, request=refuse)]
        gateway = self.gateway(middleware=[*chain, Scripted("three", calls)])
        client = gateway.client()
        client.sends(GET)
        client.gets("HTTP/1.1 403 Forbidden", "X-Why: closed", "X-One: 1", "Content-Length: 2", body=b"no",
                    without=["Connection"])  # fmt: skip
        self.assertEqual(["one.request", "two.request", "one.response", "one.body"], calls)
        gateway.connections(0, 0)
        gateway.recorded("403 reply")
        client.finds("open")

    def test_traffic(self) -> None:
        plain, upgrade = Scripted(traffic=frozenset({"http"})), Scripted(traffic=frozenset({"upgrade"}))
        gateway = self.gateway(middleware=[plain, upgrade])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets_something()
        self.assertEqual((["one.request", "one.response", "one.body"], []), (plain.calls, upgrade.calls))
        client, backend = gateway.opens_websocket(1)
        self.assertEqual((3, ["one.request", "one.response"]), (len(plain.calls), upgrade.calls))
        client.closes()
        backend.gets_something()
        backend.closes()
        gateway.recorded("200 ok", "101 client_gone")

    def test_an_upgrade_that_is_ignored(self) -> None:
        """A request to go on with anything but WebSocket is a plain one as well, and may be answered as one."""
        plain = Scripted(traffic=frozenset({"http"}), body=lambda head, context: Doubling())
        upgrade = Scripted(traffic=frozenset({"upgrade"}))
        gateway = self.gateway(middleware=[plain, upgrade])
        client = gateway.client()
        client.sends(OTHER)
        gateway.backend(0).gets("GET / HTTP/1.1", "Upgrade: other")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hellohello")
        self.assertEqual(["one.request", "one.response", "one.body"], plain.calls)
        self.assertEqual(["one.request", "one.response", "one.body"], upgrade.calls)
        gateway.recorded("200 ok")

    def test_an_upgrade_that_is_agreed_on(self) -> None:
        """The 101 is not for who looks at plain traffic only."""
        plain, upgrade = Scripted(traffic=frozenset({"http"})), Scripted(traffic=frozenset({"upgrade"}))
        gateway = self.gateway(middleware=[plain, upgrade])
        client = gateway.client()
        client.sends(OTHER)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
        client.gets("HTTP/1.1 101 Switching Protocols", "Upgrade: other")
        self.assertEqual((["one.request"], ["one.request", "one.response"]), (plain.calls, upgrade.calls))
        client.closes()
        gateway.backend(0).closes()
        gateway.recorded("101 ok")

    def test_an_upgrade_cannot_get_round_a_refusal(self) -> None:
        refusing = Scripted(traffic=frozenset({"http"}), request=Reply(429, cause="reply"))
        gateway = self.gateway(middleware=[refusing])
        client = gateway.client()
        client.sends(OTHER)
        client.gets("HTTP/1.1 429 Too Many Requests")
        gateway.connections(0, 0)
        gateway.recorded("429 reply")

    def test_a_handshake_that_is_ignored(self) -> None:
        """What a plain request would get does not come round those who look at plain requests; a refusal does."""
        calls: list[str] = []
        both, plain = Scripted("both", calls), Scripted("plain", calls, frozenset({"http"}))
        gateway = self.gateway(1, middleware=[both, plain])
        for answer in (OK, OK[:-2], OK.replace(b"200 OK", b"206 Partial Content")):
            client = gateway.client()
            client.sends(HANDSHAKE)
            gateway.backend(0).gets_something()
            gateway.backend(0).sends(answer)
            client.gets_page(400)
        error = gateway.recorded(*["400 bad_handshake"] * 3).error
        self.assertIn("answered a WebSocket handshake with 206", str(error))
        self.assertNotIn("plain.request", calls)
        client = gateway.client()
        client.sends(HANDSHAKE)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK.replace(b"200 OK", b"403 Forbidden"))
        client.gets("HTTP/1.1 403 Forbidden", body=b"hello")
        gateway.recorded("403 ok")

    def test_a_handshake_that_is_ignored_and_matters_to_nobody(self) -> None:
        gateway = self.gateway(1, middleware=[Scripted()])
        client = gateway.client()
        client.sends(HANDSHAKE)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_one_that_fails_costs_one_request(self) -> None:
        nonsense: list[Any] = [
            RuntimeError("out of order"), "pool", 7, Reply(99), Reply(200, (("A", "b\r\nc: d"),)),
            Reply(200, (), "text"),  # type: ignore[arg-type]
            lambda head, context: with_fields(head, set=[("X", "a\r\nb")]),
            lambda head, context: head._replace(target="http://x/"), lambda head, context: head._replace(host="a b"),
            lambda head, context: head._replace(method="CONNECT"), lambda head, context: head._replace(method="HEAD"),
            lambda head, context: with_fields(head, add=[("A", "b")] * 600),
            lambda head, context: head._replace(fields=None), lambda head, context: fail(RuntimeError("late")),
            lambda head, context: succeed("nonsense"),
        ]  # fmt: skip
        for answer in nonsense:
            gateway = self.gateway(
                middleware=[Scripted("one", response=setting("X-One", "1")), Scripted(request=answer)]
            )
            client = gateway.client()
            client.sends(GET)
            client.gets_page(500, "X-One: 1")
            gateway.connections(0, 0)
            gateway.recorded("500 plugin_failed")
            client.finds("open")
            self.assertEqual(1, len(self.log.flush()))

    def test_an_error_of_the_gateways_is_an_answer(self) -> None:
        for answer in (BadRequest("no"), lambda head, context: fail(BadRequest("no"))):
            gateway = self.gateway(middleware=[Scripted(request=answer)])
            client = gateway.client()
            client.sends(GET)
            client.gets_page(400)
            gateway.recorded("400 bad_request")

    def test_before_a_redirect(self) -> None:
        moved = b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n"
        calls: list[str] = []
        gateway = self.gateway(middleware=[Scripted("one", calls, response=setting("X-One", "1"))])
        client = gateway.client()
        client.sends(moved)
        client.gets_page(301, "X-One: 1", "Location: https://example.org/new/moved/a")
        gateway.recorded("301 redirect")
        self.assertEqual(["one.request", "one.response", "one.body"], calls)
        gateway = self.gateway(middleware=[Scripted(request=Reply(403, (), b"", "reply"))])
        client = gateway.client()
        client.sends(moved)
        client.gets("HTTP/1.1 403 Forbidden", "Content-Length: 0")
        gateway.recorded("403 reply")

    def test_who_the_client_is(self) -> None:
        one = Scripted(request=Reply(200))
        gateway = self.gateway(middleware=[one], trusted=["203.0.113.0/24", "10.0.0.0/8"])
        client = gateway.client()
        for line, expected in {
            "": "203.0.113.7", "198.51.100.1": "198.51.100.1", "1.1.1.1, 198.51.100.1:99, 10.1.1.1": "198.51.100.1",
            "1.1.1.1, [2001:db8::1]:9": "2001:db8::1", "1.1.1.1, rubbish, 10.1.1.1": "10.1.1.1", "10.0.0.1": "10.0.0.1",
        }.items():  # fmt: skip
            client.sends(b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: %s\r\n\r\n" % line.encode())
            client.gets("HTTP/1.1 200 OK", "Content-Length: 0")
            self.assertEqual(expected, one.contexts[-1].address, line)
        gateway.name_all()


class TrailerTests(PassageCase):
    """Some backends merge trailers into the head: they say nothing that a head of the client's could not."""

    def ends_with(
        self, expected: bytes, *trailers: bytes, fields: bytes = b"", at_once: bool = True, **options: Any
    ) -> None:
        """The backend gets these trailers of the client's."""
        gateway = self.gateway(**options)
        client = gateway.client()
        head = b"POST /form HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n" + fields + b"\r\n"
        body = b"3\r\nabc\r\n0\r\n" + b"".join([line + b"\r\n" for line in trailers]) + b"\r\n"
        if at_once:
            client.sends(head + body)
        else:
            client.sends(head)
            client.sends(body)
        backend = gateway.backend(0)
        backend.gets("POST /form HTTP/1.1", "Transfer-Encoding: chunked")
        backend.gets(b"3\r\nabc\r\n0\r\n" + expected + b"\r\n")
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_what_may_not_be_in_a_head(self) -> None:
        for at_once in True, False:
            self.ends_with(
                b"X-Sum: 1\r\n", b"X_User: a", b"X-Forwarded-User: a", b"X-Original-Uri: /", b"X-Nom: 2", b"X-Sum: 1",
                b"x-in-head: 2", fields=b"X-In-Head: 1\r\nConnection: x-nom\r\n", at_once=at_once,
            )  # fmt: skip

    def test_what_middleware_has_set_or_taken_out(self) -> None:
        chain = [
            Scripted(request=setting("X-User", "ann")),
            Scripted(request=lambda head, context: with_fields(head, remove=["X-Absent"])),
            Scripted(request=lambda head, context: with_fields(head, remove=["X-Debug"], add=[("X-Gate", "1")])),
            Scripted(request=lambda head, context: head._replace(fields=[f for f in head.fields if f[0] != "X-Gate"])),
            Scripted(request=lambda head, context: head._replace(target="/form")),
        ]
        trailers = [b"X-User: admin", b"x-absent: 1", b"X-Debug: 2", b"X-Gate: 2", b"X-Sum: 1"]
        for at_once in True, False:
            self.ends_with(b"X-Sum: 1\r\n", *trailers, fields=b"X-Debug: 1\r\n", at_once=at_once, middleware=chain)

    def test_none_are_left(self) -> None:
        self.ends_with(b"", b"X-User: admin", middleware=[Scripted(request=setting("X-User", "ann"))])


class WaitingTests(PassageCase):
    """Middleware that asks somebody."""

    def waiting(self, **others: Any) -> tuple[Dialogue, list[Deferred[Any]]]:
        asked: list[Deferred[Any]] = []

        def ask(head: RequestHead, context: Context) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        return self.gateway(middleware=[Scripted(request=ask), Scripted()], **others), asked

    def test_the_body_waits(self) -> None:
        gateway, asked = self.waiting()
        client = gateway.client()
        client.sends(POST[:-3])
        client.is_held()
        gateway.connections(0, 0)
        client.sends(POST[-3:])
        gateway.run(asked[0].callback, None)
        client.is_read()
        gateway.backend(0).gets("POST /form HTTP/1.1", body=b"abcde")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_what_it_decides(self) -> None:
        gateway, asked = self.waiting()
        client = gateway.client()
        client.sends(GET)
        gateway.run(asked[0].callback, Reply(401, (), b"", "reply"))
        client.gets("HTTP/1.1 401 Unauthorized", "Content-Length: 0")
        client.sends(GET)
        gateway.run(asked[1].callback, with_fields(parse_request(GET), add=[("X-User", "ann")]))
        gateway.backend(0).gets("GET / HTTP/1.1", "X-User: ann")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("401 reply", "200 ok")

    def test_the_time_is_bounded(self) -> None:
        for limits, seconds in ({"middleware_timeout": 4}, 4), ({}, 7):
            gateway, asked = self.waiting(limits=limits, settings={"request_timeout": 7})
            client = gateway.client()
            client.sends(GET)
            gateway.advance(seconds - 0.5)
            client.gets_nothing()
            gateway.advance(1)
            client.gets_page(500)
            gateway.recorded("500 plugin_timeout")
            self.assertTrue(asked[0].called)

    def test_a_client_that_leaves_cancels_it(self) -> None:
        gateway, asked = self.waiting()
        client = gateway.client()
        client.sends(GET)
        client.resets()
        self.assertTrue(asked[0].called)
        gateway.recorded("499 client_gone")
        gateway.connections(0, 0)

    def test_a_canceller_that_fails_harms_nobody(self) -> None:
        def refuse(deferred: Any) -> None:
            raise RuntimeError("never")

        gateway = self.gateway(middleware=[Scripted(request=lambda head, context: Deferred(refuse))])
        client = gateway.client()
        client.sends(GET)
        client.resets()
        gateway.recorded("499 client_gone")
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_coroutines(self) -> None:
        asked: Deferred[Any] = Deferred()

        async def ask(head: RequestHead, context: Context) -> Reply:
            return Reply(200, (), await asked, "reply")

        gateway = self.gateway(middleware=[Scripted(request=ask)])
        client = gateway.client()
        client.sends(GET)
        client.gets_nothing()
        gateway.run(asked.callback, b"yes")
        client.gets("HTTP/1.1 200 OK", body=b"yes")
        gateway.recorded("200 reply")


class WayOutTests(PassageCase):
    """`IMiddleware.response` and `IMiddleware.body`."""

    def test_a_changed_response(self) -> None:
        one = Scripted(response=lambda head, context: with_fields(head, set=[("Server", "me")])._replace(status=203))
        gateway = self.gateway(middleware=[one])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 203 ", "Server: me", "Content-Length: 5", body=b"hello")
        outcome = gateway.recorded("203 ok")
        self.assertEqual((203, 200), (outcome.status, outcome.upstream_status))

    def test_interim_responses_pass_by(self) -> None:
        one = Scripted()
        gateway = self.gateway(middleware=[one])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        client.gets("HTTP/1.1 103 Early Hints", "Link: x")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        self.assertEqual(["one.request", "one.response", "one.body"], one.calls)
        gateway.recorded("200 ok")

    def test_what_interim_responses_and_trailers_say(self) -> None:
        """Where response heads are looked at, nothing else may say what is taken out of them."""
        hints = b"HTTP/1.1 103 Early Hints\r\nServer: s\r\nLink: x\r\n\r\n"
        rest = b"Transfer-Encoding: chunked\r\n\r\n0\r\nServer: s\r\n\r\n"

        class Asking(Middleware):
            """Looks at requests only."""

        rewrite = {"name": "x", "request_headers": [{"name": "X", "value": "y"}]}
        about_responses = {"name": "x", "response_headers": [{"name": "Server", "value": ""}]}
        for middleware, passes in (
            (Scripted(), False),
            (Asking(), True),
            (Rewrites(Rewriter(RewriteSet.model_validate({"name": "s", "rules": [rewrite]}))), True),
            (Rewrites(Rewriter(RewriteSet.model_validate({"name": "s", "rules": [about_responses]}))), False),
        ):
            for at_once in False, True:
                gateway = self.gateway(middleware=[middleware])
                client, server = gateway.client(), b"Server: s\r\n" if passes else b""
                client.sends(GET)
                backend = gateway.backend(0)
                backend.gets_something()
                backend.sends(hints)
                client.gets(b"HTTP/1.1 103 Early Hints\r\n%bLink: x\r\n\r\n" % server)
                head = b"HTTP/1.1 200 OK\r\nX: y\r\n"
                if not at_once:
                    backend.sends(head + rest[:31])
                    client.gets_something()
                backend.sends(rest[31:] if not at_once else head + rest)
                self.assertTrue(client.gets_something().endswith(b"0\r\n%b\r\n" % server))
                gateway.recorded("200 ok")

    def test_errors_of_the_gateway(self) -> None:
        one = Scripted(response=setting("X-One", "1"))
        gateway = self.gateway(backends=1, middleware=[one], settings={"request_timeout": 5})
        client = gateway.client()
        client.sends(POST)
        gateway.backend(0).gets_something()
        gateway.backend(0).resets()
        client.gets_page(502, "X-One: 1")
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.advance(6)
        client.gets_page(504, "X-One: 1")
        gateway.recorded("502 backend_closed", "504 backend_timeout")

    def test_one_that_fails_costs_one_response(self) -> None:
        half = OK[:-2]
        answers: list[Any] = [
            RuntimeError("no"), "nonsense", setting("X", "a\nb"), lambda head, context: head._replace(status=204),
            lambda head, context: head._replace(status=101), lambda head, context: head._replace(reason="a\r\nb"),
        ]  # fmt: skip
        for data in (OK, half):
            for answer in answers:
                gateway = self.gateway(
                    middleware=[Scripted("outer", response=setting("X-One", "1")), Scripted(response=answer)]
                )
                client = gateway.client()
                client.sends(GET)
                gateway.backend(0).gets_something()
                gateway.backend(0).sends(data)
                client.gets_page(500, without=["X-One"])
                gateway.recorded("500 plugin_failed")
                self.assertEqual(1, len(self.log.flush()))

    def test_one_that_fails_on_an_answer_of_the_gateway(self) -> None:
        gateway = self.gateway(backends=1, middleware=[Scripted(response=RuntimeError("no"))])
        client = gateway.client()
        client.sends(b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n")
        client.gets_page(500)
        gateway.recorded("500 plugin_failed")
        self.assertEqual(1, len(self.log.flush()))

    def test_a_whole_body_is_encoded(self) -> None:
        gateway = self.gateway(middleware=[Scripted(body=lambda head, context: Doubling())])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 10", body=b"hellohello", without=["Transfer-Encoding"])
        gateway.recorded("200 ok")

    def test_a_body_in_pieces_is_encoded(self) -> None:
        gateway = self.gateway(backends=1, middleware=[Scripted(body=lambda head, context: Doubling())])
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets_something()
        backend.sends(OK[:-3])
        client.gets("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", without=["Content-Length"])
        backend.sends(b"l")
        client.gets(b"6\r\nhehell\r\n")
        backend.sends(b"lo")
        client.gets(b"4\r\nlolo\r\n0\r\n\r\n")
        client.finds("open")
        client.sends(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
        backend.gets_something()
        backend.sends(OK[:-3])
        backend.sends(b"llo")
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hehellollo", without=["Content-Length"])
        client.finds("closed")
        gateway.recorded("200 ok", "200 ok")

    def test_what_has_no_body_is_not_encoded(self) -> None:
        one = Scripted(body=lambda head, context: Doubling())
        gateway = self.gateway(backends=1, middleware=[one])
        client = gateway.client()
        answers = [b"304 Not Modified\r\n\r\n", b"204 No Content\r\n\r\n", b"200 OK\r\nContent-Length: 0\r\n\r\n"]
        for method, answer in (b"HEAD", OK[:-5]), *[(b"GET", b"HTTP/1.1 " + answer) for answer in answers]:
            client.sends(method + GET[3:])
            gateway.backend(0).gets_something()
            gateway.backend(0).sends(answer)
            client.gets("HTTP/1.1 ")
        self.assertNotIn("one.body", one.calls)
        gateway.name_all()

    def test_an_answer_of_the_gateway_is_encoded(self) -> None:
        chain = [Scripted(body=lambda head, context: Doubling()), Scripted(request=Reply(200, (), b"ab"))]
        gateway = self.gateway(middleware=chain)
        client = gateway.client()
        client.sends(GET)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 4", "Content-Type: text/html", body=b"abab")
        gateway.recorded("200 reply")

    def test_an_encoder_that_fails(self) -> None:
        for fails, data, ending in ("feed", OK, "open"), ("end", OK, "open"), ("feed", OK[:-2], "open"):
            gateway = self.gateway(middleware=[Scripted(body=lambda head, context, fails=fails: Doubling(fails))])
            client = gateway.client()
            client.sends(GET)
            gateway.backend(0).gets_something()
            gateway.backend(0).sends(data)
            client.gets_page(500)
            client.finds(ending)
            gateway.recorded("500 plugin_failed")
            self.assertEqual(1, len(self.log.flush()))
        gateway = self.gateway(middleware=[Scripted(body=lambda head, context: Doubling("end"))])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK[:-2])
        gateway.backend(0).sends(OK[-2:])
        client.gets("HTTP/1.1 200 OK")
        client.finds("closed")
        gateway.recorded("200 plugin_failed")
        self.assertEqual(1, len(self.log.flush()))


class UpgradeTests(PassageCase):
    """Middleware and WebSocket handshakes."""

    def test_the_101_can_be_changed(self) -> None:
        gateway = self.gateway(middleware=[Scripted(response=setting("X-One", "1"))])
        client = gateway.client()
        client.sends(HANDSHAKE)
        gateway.backend(0).gets("GET /chat HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade")
        gateway.backend(0).sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols", "X-One: 1", "Upgrade: websocket", "Connection: Upgrade")
        client.resets()
        gateway.backend(0).gets_something()
        gateway.backend(0).closes()
        gateway.recorded("101 client_gone")

    def test_one_that_fails_there(self) -> None:
        gateway = self.gateway(middleware=[Scripted(response=RuntimeError("no"))])
        client = gateway.client()
        client.sends(HANDSHAKE)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(SWITCHING)
        client.gets_page(500)
        gateway.backend(0).finds("reset")
        gateway.recorded("500 plugin_failed")
        self.assertEqual(1, len(self.log.flush()))

    def test_the_session_ends_when_it_was_told_to(self) -> None:
        def limit(head: RequestHead, context: Context) -> None:
            context.end_session(context.clock() + 90, 4401, "token expired")
            context.end_session(context.clock() + 95, 4000, "later")

        gateway = self.gateway(middleware=[Scripted(request=limit)], settings={"web_socket_idle_timeout": 100})
        client, backend = gateway.opens_websocket()
        gateway.advance(89)
        client.gets_nothing()
        gateway.advance(1.5)
        client.gets_close(4401, "token expired")
        backend.gets_close(4401, "token expired")
        client.closes()
        backend.closes()
        outcome = gateway.recorded("101 expired")
        self.assertEqual((4401, "gateway"), (outcome.close_code, outcome.closed_by))

    def test_a_session_that_was_over_before_it_began(self) -> None:
        def limit(head: RequestHead, context: Context) -> None:
            context.end_session(context.clock() - 5, 4999)

        gateway = self.gateway(middleware=[Scripted(request=limit)])
        client, backend = gateway.opens_websocket()
        gateway.advance(0.5)
        client.gets_close(4999, "the session's time is over")
        backend.gets_close(4999)
        client.closes()
        backend.closes()
        gateway.recorded("101 expired")
