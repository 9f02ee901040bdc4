"""`gateway.middleware.cors`."""

from __future__ import annotations

from typing import Any

from gateway.middleware.cors import factory
from gateway.values import RequestHead
from tests.middleware.support import MiddlewareCase, request_head, response_head

PAGE = "https://app.example"


def preflight(origin: str = PAGE, method: str = "PUT", headers: str = "") -> RequestHead:
    fields = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if headers:
        fields.append(("Access-Control-Request-Headers", headers))
    return request_head(method="OPTIONS", fields=fields)


class CorsTests(MiddlewareCase):
    """Preflights and responses."""

    factory = factory

    def made(self, **others: Any) -> Any:
        return self.make(origins=[PAGE], methods=["PUT", "GET"], headers=["X-Token", "content-type"], **others)

    def test_preflight(self) -> None:
        made = self.made(credentials=True, maxAge=60)
        self.assertEqual({"http"}, made.traffic)
        reply = self.refuses(made, preflight(headers="x-token, Content-Type"), 204, "preflight")
        self.assertEqual(
            {
                "Access-Control-Allow-Origin": PAGE,
                "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT",
                "Access-Control-Allow-Headers": "x-token, content-type",
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Max-Age": "60",
                "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            },
            dict(reply.fields),
        )
        self.assertEqual(b"", reply.body)

    def test_refused_preflight(self) -> None:
        made = self.made()
        for head in (
            preflight("https://evil.example"),
            preflight(method="DELETE"),
            preflight(headers="X-Token, X-Other"),
        ):
            reply = self.refuses(made, head, 403, "preflight_refused")
            self.assertNotIn("Access-Control-Allow-Origin", dict(reply.fields))
        self.passes(made, request_head(method="OPTIONS", fields=[("Origin", PAGE)]))
        self.passes(made, request_head(method="OPTIONS", fields=[("Access-Control-Request-Method", "PUT")]))

    def test_any(self) -> None:
        made = self.make(origins=["*"], headers=["*"])
        reply = self.refuses(made, preflight("null", "POST", "X-Any"), 204, "preflight")
        self.assertEqual("*", dict(reply.fields)["Access-Control-Allow-Origin"])
        self.assertNotIn("Access-Control-Allow-Credentials", dict(reply.fields))
        head = self.answered(made, request_head(fields=[("Origin", "null")]), response_head())
        self.assertEqual(("*", None), (head.get("access-control-allow-origin"), head.get("vary")))

    def test_responses(self) -> None:
        made = self.made(credentials=True, exposeHeaders=["X-One", "X-Two"])
        backend = response_head(fields=[("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")])
        head = self.answered(made, request_head(fields=[("Origin", PAGE)]), backend)
        self.assertEqual(
            [
                ("Vary", "Accept"), ("Access-Control-Allow-Origin", PAGE), ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "X-One, X-Two"), ("Vary", "Origin"),
            ],
            list(head.fields),
        )  # fmt: skip
        for request in request_head(), request_head(fields=[("Origin", "https://evil.example")]):
            head = self.answered(made, request, backend)
            self.assertEqual([("Vary", "Accept"), ("Vary", "Origin")], list(head.fields))

    def test_options(self) -> None:
        self.refused_options("name the origins", origins=["*"], credentials=True)
        self.refused_options("headers", origins=[PAGE], headers=["a b"])
        self.refused_options("origins", origins=[])
