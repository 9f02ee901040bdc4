"""`gateway.middleware.headers` and `gateway.middleware.security_headers`."""

from __future__ import annotations

from gateway.middleware import headers, security_headers
from tests.middleware.support import MiddlewareCase, request_head, response_head


class HeadersTests(MiddlewareCase):
    """Fixed changes."""

    factory = headers.factory

    def test_changes(self) -> None:
        changes = {"set": {"X-One": "1"}, "add": {"X-Two": "2"}, "remove": ["x-three"]}
        made = self.make(request=changes, response=changes)
        fields = [("x-one", "a"), ("X-ONE", "b"), ("X-Two", "c"), ("X-Three", "d")]
        expected = [("X-Two", "c"), ("X-One", "1"), ("X-Two", "2")]
        self.assertEqual(expected, list(self.passes(made, request_head(host="", fields=fields)).fields))
        head = self.answered(made, request_head(), response_head(fields=fields))
        self.assertEqual((expected, "c, 2"), (list(head.fields), head.get("x-two")))
        self.assertEqual({"http", "upgrade"}, made.traffic)

    def test_one_way(self) -> None:
        made = self.make(response={"remove": ["Server"]})
        head = request_head()
        self.assertIs(head, self.passes(made, head))
        self.assertIsNone(self.make(request={"remove": ["A"]}).response(response_head(), self.context()))

    def test_options(self) -> None:
        self.refused_options("say what to change")
        for name in ("Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Sec-WebSocket-Key"):
            for changes in ({"set": {name: "1"}}, {"add": {name: "1"}}, {"remove": [name]}):
                self.refused_options("only the gateway sets it", response=changes)
        self.refused_options("hostName", request={"set": {"Host": "a"}})
        self.refused_options("is not passed on", request={"set": {"X_Y": "a"}})
        self.refused_options("not a token", response={"set": {"a b": "c"}})
        self.refused_options("line break", response={"set": {"a": "b\r\nc"}})


class SecurityHeadersTests(MiddlewareCase):
    """What browsers are told."""

    factory = security_headers.factory

    def test_defaults(self) -> None:
        made = self.make()
        backend = response_head(fields=[("Server", "Apache/1"), ("X-Powered-By", "PHP"), ("x-frame-options", "DENY")])
        head = self.answered(made, request_head(), backend)
        self.assertEqual(
            [
                ("x-frame-options", "DENY"), ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ],
            list(head.fields),
        )  # fmt: skip
        self.assertEqual({"http"}, made.traffic)

    def test_all(self) -> None:
        made = self.make(
            hstsMaxAge=60, hstsIncludeSubdomains=True, hstsPreload=True, contentTypeOptions=None, referrerPolicy=None,
            frameOptions="DENY", contentSecurityPolicy="default-src 'self'", override=True, hide=[],
        )  # fmt: skip
        backend = response_head(fields=[("X-Frame-Options", "SAMEORIGIN"), ("Server", "a")])
        head = self.answered(made, request_head(), backend, scheme="https")
        self.assertEqual(
            [
                ("Server", "a"), ("X-Frame-Options", "DENY"), ("Content-Security-Policy", "default-src 'self'"),
                ("Strict-Transport-Security", "max-age=60; includeSubDomains; preload"),
            ],
            list(head.fields),
        )  # fmt: skip
        head = self.answered(made, request_head(), backend, scheme="http")
        self.assertNotIn("strict-transport-security", head.index)

    def test_options(self) -> None:
        self.refused_options("line break", contentSecurityPolicy="a\nb")
        self.refused_options("frameOptions", frameOptions="ALLOW")
