"""Rewrite sets through the whole gateway, over both roads: what backends and clients get."""

from __future__ import annotations

import sys
from typing import Any

from gateway.config import model
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_request, read_response
from tests.integration.websocket import TEXT, agree, frame, handshake, read_frame
from tests.integration.wire import Wire

OK = (
    b"HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nSet-Cookie: session=1; Path=/\r\nSet-Cookie: theme=dark\r\n"
    b"Content-Length: 2\r\n\r\nok"
)


def with_rewrites(*backends: RawBackend, rules: list[dict[str, Any]], **others: Any) -> model.Gateway:
    """The usual configuration, with one rewrite set on its rule."""
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return model_for(
        *backends,
        rewrites=[{"name": "set", "rules": named}],
        rules=[{"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "rewrite": "set"}],
        **others,
    )


class RewriteTests(GatewayTestCase):
    """Basic rules."""

    async def ask(self, gateway: Running, request: bytes) -> Message:
        client = await self.client(gateway)
        client.write(request)
        return await read_response(client)

    async def exchange(self, rules: list[dict[str, Any]], request: bytes) -> tuple[Message, Message]:
        """What the backend got and what the client got."""
        answers = Answers(OK)
        backend = await self.backend(answers)
        self.running = await self.gateway(with_rewrites(backend, rules=rules))
        response = await self.ask(self.running, request)
        return answers.requests[0], response

    async def test_of_the_connection(self) -> None:
        """What only the connection knows: the time to the client and back, where the kernel tells it."""
        rules = [{"request_headers": [{"name": "X-Rtt", "value": "{var_client_tcp_rtt}/{var_sent_bytes}"}]}]
        got, _ = await self.exchange(rules, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wanted = r"\A[0-9]+/0\Z" if sys.platform == "linux" else r"\A/0\Z"
        self.assertRegex(got.get("X-Rtt") or "", wanted)

    async def test_everything(self) -> None:
        """Fields of both directions, the URL, the X-Forwarded-For of the gateway, with captures."""
        rules = [
            {
                "conditions": [{"variable": "var_uri_path", "pattern": "^/shop/([^/]+)/(.*)$"}],
                "request_headers": [
                    {"name": "X-Kind", "value": "{var_uri_path_1} for {http_req_User-Agent}"},
                    {"name": "X-Forwarded-For", "value": "{var_add_x_forwarded_for_proxy}"},
                    {"name": "X-Forwarded-Port", "value": ""},
                    {"name": "Cookie", "value": ""},
                    {"name": "Host", "value": "inner.{var_host}"},
                ],
                "url": {"path": "/item", "query": "id={var_uri_path_2}&{var_query_string}"},
            },
            {
                "conditions": [{"variable": "var_http_status", "pattern": "^2"}],
                "response_headers": [
                    {"name": "Server", "value": ""},
                    {"name": "X-Frame-Options", "value": "DENY"},
                    {
                        "name": "Set-Cookie",
                        "value": "{capt_header_value_matcher_1}; Secure",
                        "matcher": {"pattern": "^(session=.*)"},
                    },
                ],
            },
        ]
        request, response = await self.exchange(
            rules,
            b"GET /shop/shoes/7?q=1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nCookie: a=1\r\n"
            b"X-Forwarded-For: 127.0.0.1\r\n\r\n",
        )
        self.assertEqual(request.line, "GET /item?id=7&q=1 HTTP/1.1")
        self.assertEqual(request.get("Host"), "inner.shop.test")
        self.assertEqual(request.get("X-Kind"), "shoes for test")
        self.assertEqual(request.all("X-Forwarded-For"), ["127.0.0.1"])
        self.assertEqual(request.get("X-Original-Host"), "shop.test")
        self.assertEqual(request.get("X-Original-URL"), "/shop/shoes/7?q=1")
        self.assertIsNone(request.get("X-Forwarded-Port"))
        self.assertIsNone(request.get("Cookie"))
        self.assertEqual(response.all("Set-Cookie"), ["session=1; Path=/; Secure", "theme=dark"])
        self.assertEqual(response.get("X-Frame-Options"), "DENY")
        self.assertIsNone(response.get("Server"))
        self.assertEqual(response.body, b"ok")
        outcome = await self.running.outcome()
        assert outcome.head is not None
        self.assertEqual((outcome.head.target, outcome.target), ("/shop/shoes/7?q=1", "/item?id=7&q=1"))

    async def test_connection_variables(self) -> None:
        rules = [{"request_headers": [
            {"name": "X-Client", "value": "{var_client_ip} {var_client_port} {var_server_port} {var_request_scheme}"},
            {"name": "X-Size", "value": "{var_received_bytes}"},
        ]}]  # fmt: skip
        sent = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        request, _ = await self.exchange(rules, sent)
        outcome = await self.running.outcome()
        expected = f"127.0.0.1 {outcome.peer.port} {self.running.port} http"
        self.assertEqual((request.get("X-Client"), request.get("X-Size")), (expected, str(len(sent))))

    async def test_cannot_be_nominated_away(self) -> None:
        rules = [{"request_headers": [{"name": "X-Checked", "value": "no"}]}]
        for given in (b"", b"X-Checked: no\r\n", b"X-Checked: yes\r\n"):
            request, _ = await self.exchange(
                rules, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Checked\r\n" + given + b"\r\n"
            )
            self.assertEqual(request.all("X-Checked"), ["no"], given)

    async def test_no_injection(self) -> None:
        """Whatever is captured, the backend gets one request with the fields that were meant."""
        rules = [
            {
                "conditions": [
                    {"variable": "var_uri_path", "pattern": "^/(.*)$"},
                    {"variable": "var_query_string", "pattern": "(.*)"},
                ],
                "request_headers": [
                    {"name": "X-Path", "value": "{var_uri_path_1}"}, {"name": "X-User", "value": "{var_client_user}"},
                ],
                "url": {"path": "/{var_query_string_1}", "query": "p={var_uri_path_1}"},
            }
        ]  # fmt: skip
        request, _ = await self.exchange(
            rules,
            b"GET /%0d%0aX-Evil:%201/%85%ff?%0D%0A%85 HTTP/1.1\r\nHost: a\r\n"
            b"Authorization: Basic YQ0KWC1FdmlsOiAx\r\n\r\n",
        )
        self.assertEqual(request.line, "GET /%0D%0A%85?p=%0D%0AX-Evil:%201/%85%FF HTTP/1.1")
        self.assertEqual(request.get("X-Path"), "%0D%0AX-Evil:%201/%85%FF")
        self.assertIsNone(request.get("X-Evil"))
        self.assertIsNone(request.get("X-User"))

    async def test_not_for_the_gateways_own(self) -> None:
        """Neither error pages nor redirects are rewritten."""
        rules = [{"response_headers": [{"name": "Server", "value": ""}, {"name": "X-New", "value": "1"}]}]
        gateway = await self.gateway(with_rewrites(rules=rules))
        response = await self.ask(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.status, response.get("X-New"), response.get("Server")), (502, None, "gateway"))

    async def test_too_long(self) -> None:
        rules = [{"request_headers": [{"name": "X-Two", "value": "{http_req_X}" * 3}]}]
        gateway = await self.gateway(with_rewrites(rules=rules))
        response = await self.ask(gateway, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n")
        self.assertEqual(response.status, 500)
        self.assertEqual((await gateway.outcome()).cause, "rewrite_failed")

    async def test_websocket(self) -> None:
        """A handshake is rewritten too, and its 101; the session is not disturbed."""
        seen: list[Message] = []

        async def serve(wire: Wire) -> None:
            seen.append(await read_request(wire))
            wire.write(agree(seen[0], "X-Back: 1\r\n"))
            self.assertEqual((await read_frame(wire)).payload, b"hello")
            wire.write(frame(TEXT, b"hi"))
            await wire.gone()

        backend = await self.backend(serve)
        rules = [
            {
                "request_headers": [{"name": "X-New", "value": "{http_req_Upgrade}"}],
                "response_headers": [{"name": "X-Back", "value": "2"}],
                "url": {"path": "/socket"},
            }
        ]
        gateway = await self.gateway(with_rewrites(backend, rules=rules))
        client = await self.client(gateway)
        client.write(handshake())
        response = await read_response(client)
        client.write(frame(TEXT, b"hello", mask=b"mask"))
        self.assertEqual((await read_frame(client)).payload, b"hi")
        self.assertEqual((response.status, response.get("X-Back")), (101, "2"))
        self.assertEqual((seen[0].line, seen[0].get("X-New")), ("GET /socket HTTP/1.1", "websocket"))


class RerouteTests(GatewayTestCase):
    """Path maps, looked at again."""

    def configuration(self, *backends: RawBackend, **default: Any) -> model.Gateway:
        """Pools ``old`` and ``new``; ``/old/*`` is sent on by a rewrite set, ``/new/*`` has one of its own."""
        old, new = backends
        target = {"settings": "settings"}

        def rewrite(name: str, pattern: str, url: dict[str, Any], header: str) -> dict[str, Any]:
            condition = {"variable": "var_uri_path", "pattern": pattern}
            actions = {"request_headers": [{"name": "X-Set", "value": header}],
                       "response_headers": [{"name": "X-Set", "value": header}]}  # fmt: skip
            return {"name": name, "rules": [{"name": "r", "conditions": [condition], "url": url, **actions}]}

        return model_for(
            pools=[
                {"name": name, "members": [{"host": "127.0.0.1", "port": backend.port}]}
                for name, backend in (("old", old), ("new", new))
            ],
            rules=[{"name": "rule", "listener": "web", "path_map": "map"}],
            path_maps=[
                {
                    "name": "map", "default_pool": "old", "default_settings": "settings",
                    "path_rules": [
                        {"name": "old", "paths": ["/old/*"], "pool": "old", "rewrite": "to-new", **target},
                        {"name": "new", "paths": ["/new/*"], "pool": "new", "rewrite": "in-new", **target},
                        {"name": "stay", "paths": ["/stay/*"], "pool": "old", "rewrite": "stay", **target},
                        {"name": "round", "paths": ["/round/*"], "pool": "old", "rewrite": "round", **target},
                        {"name": "gone", "paths": ["/gone/*"], "redirect": "away"},
                        {"name": "leave", "paths": ["/leave/*"], "pool": "old", "rewrite": "leave", **target},
                    ],
                }
            ],
            redirects=[{"name": "away", "target_url": "https://a.test/"}],
            rewrites=[
                rewrite("to-new", "^/old/(.*)$", {"path": "/new/{var_uri_path_1}", "reroute": True}, "to-new"),
                rewrite("in-new", "^/new/(.*)$", {"query": "was={var_uri_path_1}"}, "in-new"),
                rewrite("stay", "^/stay/(.*)$", {"path": "/new/{var_uri_path_1}"}, "stay"),
                rewrite("round", "^/round/(.*)$", {"path": "/round/{var_uri_path_1}x", "reroute": True}, "round"),
                rewrite("leave", "^/leave/(.*)$", {"path": "/gone/", "reroute": True}, "leave"),
            ],
        )  # fmt: skip

    async def ask(self, path: str) -> tuple[list[Message], list[Message], Message, Running]:
        old, new = Answers(OK), Answers(OK)
        gateway = await self.gateway(self.configuration(await self.backend(old), await self.backend(new)))
        client: Wire = await self.client(gateway)
        client.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return old.requests, new.requests, await read_response(client), gateway

    async def test_again(self) -> None:
        """The pool of the new path, and the rewrite set of its rule on top, for the response as well."""
        old, new, response, gateway = await self.ask("/old/%61?b")
        self.assertEqual(old, [])
        self.assertEqual(new[0].line, "GET /new/a?was=a HTTP/1.1")
        self.assertEqual(response.all("X-Set"), ["in-new"])
        route = (await gateway.outcome()).route
        assert route is not None
        self.assertEqual((route.path_rule, route.pool.name), ("new", "new"))

    async def test_not_again(self) -> None:
        """Without reroute the pool is that of the original path."""
        old, new, response, _ = await self.ask("/stay/a")
        self.assertEqual((old[0].line, new), ("GET /new/a HTTP/1.1", []))
        self.assertEqual(response.get("X-Set"), "stay")

    async def test_circles(self) -> None:
        """500 for this request, as in Azure; others are served."""
        old, new, response, gateway = await self.ask("/round/a")
        self.assertEqual((old, new, response.status), ([], [], 500))
        self.assertEqual((await gateway.outcome()).cause, "rewrite_failed")

    async def test_to_a_redirect(self) -> None:
        _, _, response, _ = await self.ask("/leave/a")
        self.assertEqual((response.status, response.get("Location")), (301, "https://a.test/gone/"))


both_roads(globals())
