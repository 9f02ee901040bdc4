"""`gateway.routing.rewrites`: heads in, heads out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import RewriteSet
from gateway.errors import AmbiguousPath, BadRequest, RewriteFailed
from gateway.http.forwarding import request_bytes, response_bytes
from gateway.http.heads import parse_request, parse_response
from gateway.routing.rewrites import Requested, Rewriter, names_variable
from gateway.routing.variables import View
from gateway.values import Peer, ResponseHead

REQUEST = (
    b"GET /shop/shoes/7?a=1 HTTP/1.1\r\nHost: shop.test\r\nAccept: */*\r\nX-One: 1\r\nx-one: 2\r\n"
    b"Authorization: Bearer t\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nSet-Cookie: session=1; Path=/\r\nSet-Cookie: theme=dark\r\n"
    b"Location: http://x.azurewebsites.net/p?q\r\nContent-Length: 0\r\n\r\n"
)
ADDED = (
    "X-Forwarded-For: 192.0.2.7:1234\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
    "X-Original-Host: shop.test\r\nX-Original-URL: /caf\x85\r\nX-AppGW-Trace-Id: 0\r\n"
)


def rewriter(*rules: dict[str, Any]) -> Rewriter:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return Rewriter(RewriteSet.model_validate({"name": "set", "rules": named}))


def view(request: bytes = REQUEST) -> View:
    context = SimpleNamespace(peer=Peer("192.0.2.7", 1234), scheme="http", local_port=80)
    return View(parse_request(request), context, "192.0.2.7:1234")


class RequestTests(SynchronousTestCase):
    """What goes to the backend."""

    def changed(self, *rules: dict[str, Any], request: bytes = REQUEST) -> Requested:
        seen = view(request)
        return rewriter(*rules).request(seen, seen.head, ADDED)

    def sent(self, *rules: dict[str, Any], request: bytes = REQUEST) -> list[str]:
        """The lines of the head that a backend gets."""
        head, added, _ = self.changed(*rules, request=request)
        return request_bytes(head, head.target, head.host, added, head.body).decode("latin-1").split("\r\n")[:-2]

    def test_path_read_differently(self) -> None:
        """Refused where a condition depends on it, also one for the response, which would come too late."""
        condition = [{"variable": "var_uri_path", "pattern": "^/admin"}]
        request = {"conditions": condition, "requestHeaders": [{"name": "X-Inner"}]}
        response = {"conditions": condition, "responseHeaders": [{"name": "Cache-Control", "value": "no-store"}]}
        for path in (b"/admin/../x", b"/x/..;/admin", b"/admin/%2e%2e%5cx"):
            sent = REQUEST.replace(b"/shop/shoes/7", path)
            for rule in (request, response):
                self.assertRaises(AmbiguousPath, self.changed, rule, request=sent)
            unconditional = {"requestHeaders": [{"name": "X-Inner", "value": "{var_uri_path}"}]}
            self.changed(unconditional, request=sent)
        self.changed(request, request=REQUEST.replace(b"/shop/shoes/7", b"/admin/a/../b"))

    def test_fields(self) -> None:
        """Set in place of the first of their name, added at the end, deleted by an empty value."""
        lines = self.sent(
            {
                "requestHeaders": [
                    {"name": "X-One", "value": "{http_req_x-one}!"},
                    {"name": "X-New", "value": "caf\xe9"},
                    {"name": "accept", "value": ""},
                    {"name": "Authorization", "value": "{http_req_Missing}"},
                ]
            }
        )
        self.assertEqual(
            lines[:4],
            ["GET /shop/shoes/7?a=1 HTTP/1.1", "Host: shop.test", "X-One: 1, 2!", "X-New: caf\xc3\xa9"],
        )
        self.assertNotIn("Accept", " ".join(lines))
        self.assertNotIn("Authorization", " ".join(lines))

    def test_index_follows(self) -> None:
        head = self.changed({"requestHeaders": [{"name": "X-One", "value": "3"}]}).head
        self.assertEqual((head.index["x-one"], [name for name, _ in head.fields].count("X-One")), ("3", 1))

    def test_forwarded_for_without_port(self) -> None:
        """The rewrite that most gateways have; the other lines of the gateway stay as they are, byte for byte."""
        lines = self.sent({"requestHeaders": [{"name": "x-forwarded-for", "value": "{var_add_x_forwarded_for_proxy}"}]})
        self.assertIn("x-forwarded-for: 192.0.2.7", lines)
        self.assertNotIn("X-Forwarded-For: 192.0.2.7:1234", lines)
        self.assertIn("X-Original-URL: /caf\x85", lines)
        self.assertEqual(sum(line.lower().startswith("x-forwarded") for line in lines), 3)
        deleted = self.sent({"requestHeaders": [{"name": "X-Forwarded-Port", "value": ""}]})
        self.assertFalse(any(line.startswith("X-Forwarded-Port") for line in deleted))

    def test_clients_cannot_speak_for_the_gateway(self) -> None:
        """A client's own line of such a name is not there to be taken for the rewritten one."""
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
        lines = self.sent(
            {"requestHeaders": [{"name": "X-Forwarded-For", "value": "{var_client_ip}"}]}, request=request
        )
        self.assertEqual([line for line in lines if "orwarded-For" in line], ["X-Forwarded-For: 192.0.2.7"])

    def test_cannot_be_nominated_away(self) -> None:
        """A client that calls a field hop-by-hop does not get rid of what a rule sets."""
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-checked, x-other\r\nX-Other: 1\r\n\r\n"
        lines = self.sent({"requestHeaders": [{"name": "X-Checked", "value": "no"}]}, request=request)
        self.assertIn("X-Checked: no", lines)
        self.assertFalse(any(line.startswith("X-Other") for line in lines))

    def test_what_is_deleted_does_not_go_on(self) -> None:
        """Nor does it as a trailer, whether the head had it or not."""
        head, _, _ = self.changed({"requestHeaders": [{"name": "X-One", "value": ""}, {"name": "X-None", "value": ""}]})
        self.assertEqual(["x-one", "x-none"], head.nominated)

    def test_host(self) -> None:
        lines = self.sent({"requestHeaders": [{"name": "Host", "value": "{var_host}.internal:81"}]})
        self.assertEqual(lines[1], "Host: shop.test.internal:81")
        self.assertFalse(any(line.startswith("Host") for line in lines[2:]))

    def test_host_stays(self) -> None:
        """A value that is empty for this request does not delete it; one that is no host is refused."""
        rule = {"requestHeaders": [{"name": "Host", "value": "{http_req_X-Host}"}]}
        self.assertEqual(self.changed(rule).head.host, "shop.test")
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Host: a b/@\r\n\r\n"
        self.assertRaises(BadRequest, self.changed, rule, request=request)

    def test_conditions(self) -> None:
        """All have to hold, in the sense of negate and ignoreCase; what is not there holds only where negated."""
        for conditions, expected in (
            ([], True),
            ([{"variable": "http_req_Authorization", "pattern": "^Bearer"}], True),
            ([{"variable": "http_req_Authorization", "pattern": "^bearer"}], False),
            ([{"variable": "http_req_Authorization", "pattern": "^bearer", "ignoreCase": True}], True),
            ([{"variable": "http_req_Authorization", "pattern": "^Bearer", "negate": True}], False),
            ([{"variable": "http_req_Nothing", "pattern": ".*"}], False),
            ([{"variable": "http_req_Nothing", "pattern": ".*", "negate": True}], True),
            ([{"variable": "var_query_string", "pattern": "^$", "negate": True}], True),
            ([{"variable": "var_remote-addr", "pattern": ""}], False),
            ([{"variable": "var_uri_path", "pattern": "shoes"}, {"variable": "var_host", "pattern": "x"}], False),
        ):
            head = self.changed({"conditions": conditions, "requestHeaders": [{"name": "X-Done", "value": "1"}]}).head
            self.assertIs("x-done" in head.index, expected, conditions)

    def test_conditions_on_the_response(self) -> None:
        """They say nothing of a request, negated or not."""
        for variable in ("http_resp_X", "var_http_status"):
            condition = {"variable": variable, "pattern": "x", "negate": True}
            head = self.changed({"conditions": [condition], "requestHeaders": [{"name": "X-Done", "value": "1"}]}).head
            self.assertNotIn("x-done", head.index)

    def test_url(self) -> None:
        shop = [{"variable": "var_uri_path", "pattern": "^/shop/([^/]+)/(.*)$"}]
        for url, expected in (
            ({"path": "/item", "query": "k={var_uri_path_1}&id={var_uri_path_2}"}, "/item?k=shoes&id=7"),
            ({"path": "buy.aspx"}, "/buy.aspx?a=1"),
            ({"path": "/x", "query": ""}, "/x"),
            ({"query": "{var_query_string}&b=2"}, "/shop/shoes/7?a=1&b=2"),
            ({"query": "?b"}, "/shop/shoes/7?b"),
            ({"path": "/a b?c#d"}, "/a%20b%3Fc%23d?a=1"),
            ({"query": "a#b c"}, "/shop/shoes/7?a%23b%20c"),
            ({"path": ""}, "/?a=1"),
        ):
            self.assertEqual(self.changed({"conditions": shop, "url": url}).head.target, expected, url)

    def test_star(self) -> None:
        request = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.changed({"url": {"path": "/x"}}, request=request).head.target, "*")

    def test_order(self) -> None:
        """By sequence, then as listed; each rule sees what the ones before it have made, and the last word counts."""
        rules = [
            {"sequence": 300, "requestHeaders": [{"name": "X-One", "value": "third"}]},
            {
                "sequence": 100,
                "requestHeaders": [{"name": "X-One", "value": "first"}],
                "url": {"path": "/other", "query": "b"},
            },
            {
                "sequence": 200,
                "conditions": [
                    {"variable": "http_req_X-One", "pattern": "^first$"},
                    {"variable": "var_uri_path", "pattern": "^/other$"},
                ],
                "requestHeaders": [
                    {"name": "X-Saw", "value": "{http_req_X-One} {var_uri_path} {var_query_string} {var_request_uri}"}
                ],
            },
        ]
        head = self.changed(*rules).head
        self.assertEqual(
            (head.index["x-one"], head.index["x-saw"]), ("third", "first /other b /shop/shoes/7?a=1")
        )

    def test_one_after_the_other(self) -> None:
        """A default document, then a prefix for everything, as for a site that lies in a storage container."""
        rules = [
            {
                "sequence": 1,
                "conditions": [{"variable": "var_uri_path", "pattern": "^/$"}],
                "url": {"path": "/index.html"},
            },
            {"sequence": 2, "url": {"path": "/public{var_uri_path}"}},
        ]
        for sent, made in (b"/", "/public/index.html"), (b"/a%20b?c", "/public/a%20b?c"):
            request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % sent
            self.assertEqual(made, self.changed(*rules, request=request).head.target)

    def test_the_gateways_own_lines(self) -> None:
        """Also what a rule makes of these is what the next one sees, not what a stranger has sent."""
        rules = [
            {"sequence": 1, "requestHeaders": [{"name": "X-Forwarded-For", "value": "{var_client_ip}"}]},
            {
                "sequence": 2,
                "conditions": [{"variable": "http_req_X-Forwarded-For", "pattern": "^192"}],
                "requestHeaders": [
                    {"name": "X-Copy", "value": "{http_req_X-Forwarded-For}"}, {"name": "X-Forwarded-For", "value": ""},
                ],
            },
            {"sequence": 3, "requestHeaders": [{"name": "X-Last", "value": "<{http_req_X-Forwarded-For}>"}]},
        ]  # fmt: skip
        head = self.changed(*rules, request=b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: evil\r\n\r\n").head
        self.assertEqual(("192.0.2.7", "<>"), (head.index["x-copy"], head.index["x-last"]))

    def test_a_made_path_that_is_read_differently(self) -> None:
        """Conditions of later rules are about it, so it has to be the same to everybody as well."""
        rules = [
            {"sequence": 1, "url": {"path": "/{var_query_string}"}},
            {
                "sequence": 2,
                "conditions": [{"variable": "var_uri_path", "pattern": "^/admin"}],
                "requestHeaders": [{"name": "X-Inner", "value": ""}],
            },
        ]
        with self.assertRaises(AmbiguousPath):
            self.changed(*rules, request=b"GET /?admin/..;/x HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_captures_are_of_one_rule(self) -> None:
        rules = [
            {
                "conditions": [{"variable": "var_uri_path", "pattern": "(shop)"}],
                "requestHeaders": [{"name": "X-A", "value": "{var_uri_path_1}"}],
            },
            {"requestHeaders": [{"name": "X-B", "value": "b{var_uri_path_1}"}]},
        ]
        head = self.changed(*rules).head
        self.assertEqual((head.index["x-a"], head.index["x-b"]), ("shop", "b"))

    def test_reroute(self) -> None:
        self.assertFalse(self.changed({"url": {"path": "/x"}}).reroute)
        self.assertTrue(self.changed({"url": {"path": "/x", "reroute": True}}, {"url": {"path": "/y"}}).reroute)

    def test_nothing_to_do(self) -> None:
        """The same head, not an equal one."""
        seen = view()
        rule = {"conditions": [{"variable": "var_host", "pattern": "^other$"}], "url": {"path": "/x"}}
        self.assertIs(rewriter(rule).request(seen, seen.head, ADDED).head, seen.head)

    def test_bounded(self) -> None:
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n"
        rule = {"requestHeaders": [{"name": "X-Two", "value": "{http_req_X}{http_req_X}"}]}
        self.assertRaises(RewriteFailed, self.changed, rule, request=request)

    def test_notes(self) -> None:
        notes: list[str] = []
        seen = view()
        rewriter(
            {"conditions": [{"variable": "var_host", "pattern": "^other$", "negate": False}], "url": {"path": "/x"}},
            {"requestHeaders": [{"name": "A", "value": "b"}, {"name": "C"}], "url": {"path": "/y", "reroute": True}},
        ).request(seen, seen.head, ADDED, notes.append)
        self.assertEqual(
            notes,
            [
                "rule r0 does not apply, it wants: var_host matches '^other$'",
                "rule r1 applies",
                "request field A: 'b'",
                "request field C: deleted",
                "URL: /y?a=1, path rules are looked at again",
            ],
        )


class ResponseTests(SynchronousTestCase):
    """What goes to the client."""

    def changed(self, *rules: dict[str, Any]) -> ResponseHead:
        seen = view()
        seen.response = head = parse_response(RESPONSE, "GET")
        return rewriter(*rules).response(seen, head)

    def sent(self, *rules: dict[str, Any]) -> list[str]:
        head = self.changed(*rules)
        return response_bytes(head, "1.1", head.body, False).decode("latin-1").split("\r\n")

    def test_one_after_the_other(self) -> None:
        """What one rule has made is what the next one's condition is about."""
        rules = [
            {
                "sequence": number,
                "conditions": [{"variable": "http_resp_Server", "pattern": pattern}],
                "responseHeaders": [{"name": "Server", "value": value}],
            }
            for number, pattern, value in (
                (1, ".", "one"),
                (2, "^one$", "{http_resp_Server}, two"),
                (3, "^one$", "three"),
            )
        ]
        self.assertIn("Server: one, two", self.sent(*rules))

    def test_the_request_is_as_it_came(self) -> None:
        """A condition on the request holds in the response where it held in the request, whatever was made of that."""
        seen = view()
        rules = rewriter(
            {
                "sequence": 1,
                "conditions": [{"variable": "var_uri_path", "pattern": "^/shop"}],
                "requestHeaders": [{"name": "Host", "value": "internal"}],
                "responseHeaders": [{"name": "X-Host", "value": "{var_host}"}],
                "url": {"path": "/other"},
            },
            {"sequence": 2, "requestHeaders": [{"name": "X-A", "value": "b"}]},
        )
        self.assertEqual("/other?a=1", rules.request(seen, seen.head, ADDED).head.target)
        seen.response = parse_response(RESPONSE, "GET")
        self.assertEqual(view().head.host, rules.response(seen, seen.response).index["x-host"])

    def test_fields(self) -> None:
        lines = self.sent(
            {
                "responseHeaders": [
                    {"name": "Server", "value": ""},
                    {"name": "Strict-Transport-Security", "value": "max-age=31536000"},
                    {"name": "X_Path", "value": "{var_uri_path} {var_http_status}"},
                ]
            }
        )
        self.assertFalse(any(line.startswith("Server") for line in lines))
        self.assertIn("Strict-Transport-Security: max-age=31536000", lines)
        self.assertIn("X_Path: /shop/shoes/7 200", lines)

    def test_location(self) -> None:
        rule = {
            "conditions": [{"variable": "http_resp_Location", "pattern": r"(https?):\/\/.*azurewebsites\.net(.*)$"}],
            "responseHeaders": [{"name": "Location", "value": "{http_resp_Location_1}://{var_host}{http_resp_Location_2}"}],
        }  # fmt: skip
        self.assertIn("Location: http://shop.test/p?q", self.sent(rule))

    def test_cookies_become_one(self) -> None:
        """Without a matcher the others of the same name are dropped, as Azure does."""
        head = self.changed({"responseHeaders": [{"name": "Set-Cookie", "value": "a=1"}]})
        self.assertEqual([value for name, value in head.fields if name == "Set-Cookie"], ["a=1"])

    def test_matcher(self) -> None:
        for matcher, value, expected in (
            ({"pattern": "session=(.*)"}, "session={capt_header_value_matcher_1}; Secure",
             ["session=1; Path=/; Secure", "theme=dark"]),
            ({"pattern": "^SESSION=", "ignoreCase": True}, "{capt_header_value_matcher}x",
             ["session=1; Path=/x", "theme=dark"]),
            ({"pattern": "^session=", "negate": True}, "{capt_header_value_matcher}; Secure",
             ["session=1; Path=/", "theme=dark; Secure"]),
            ({"pattern": "^theme="}, "", ["session=1; Path=/"]),
            ({"pattern": "nothing"}, "x", ["session=1; Path=/", "theme=dark"]),
        ):  # fmt: skip
            action = {"name": "set-cookie", "value": value, "matcher": matcher}
            head = self.changed({"responseHeaders": [action]})
            found = [value for name, value in head.fields if name == "Set-Cookie"]
            self.assertEqual(found, expected, matcher)

    def test_conditions_on_cookies(self) -> None:
        """Cookies cannot be joined (RFC 9110 §5.3): a rule is about the first that matches, and sets that one alone."""
        secure = [{"name": "Set-Cookie", "value": "{http_resp_Set-Cookie}; Secure"}]
        for pattern, negate, expected in (
            ("(.*)", False, ["session=1; Path=/; Secure"]),
            ("^theme=", False, ["theme=dark; Secure"]),
            ("theme.*session|session.*theme|, ", False, ["session=1; Path=/", "theme=dark"]),
            ("dark", True, ["session=1; Path=/", "theme=dark"]),
            ("nothing", True, ["session=1; Path=/; Secure"]),
        ):
            condition = {"variable": "http_resp_Set-Cookie", "pattern": pattern, "negate": negate}
            head = self.changed({"conditions": [condition], "responseHeaders": secure})
            found = [value for name, value in head.fields if name == "Set-Cookie"]
            self.assertEqual(found, expected, pattern)
        captured = {
            "conditions": [{"variable": "http_resp_set-cookie", "pattern": "theme=(.*)"}],
            "responseHeaders": [{"name": "X-Theme", "value": "{http_resp_set-cookie_1}"}],
        }
        later = {"responseHeaders": [{"name": "X-First", "value": "{http_resp_Set-Cookie}"}]}
        head = self.changed(captured, later)
        self.assertEqual((head.index["x-theme"], head.index["x-first"]), ("dark", "session=1; Path=/"))

    def test_cookies_of_the_gateway(self) -> None:
        """They stay, and only a matcher gets at them: it may change attributes."""
        seen = view()
        own = ("Set-Cookie", "Affinity=abc; Path=/")
        backends = parse_response(RESPONSE, "GET")
        seen.response = backends._replace(fields=[*backends.fields, own])
        seen.marks = ("Affinity=abc",)
        anything = {"variable": "http_resp_Set-Cookie", "pattern": "(.*Affinity.*|theme)"}
        for conditions, action, expected in (
            ([], {"value": "a=1"}, ["a=1", own[1]]),
            ([], {"value": ""}, [own[1]]),
            ([anything], {"value": "{http_resp_Set-Cookie_1}=x"}, ["theme=x", own[1]]),
            ([], {"value": "{capt_header_value_matcher}; HttpOnly", "matcher": {"pattern": "^(?:Aff|th)"}},
             ["session=1; Path=/", "theme=dark; HttpOnly", "Affinity=abc; Path=/; HttpOnly"]),
            ([], {"value": "", "matcher": {"pattern": "."}}, [own[1]]),
            ([], {"value": "Affinity=other", "matcher": {"pattern": "^Aff"}},
             ["session=1; Path=/", "theme=dark", own[1]]),
        ):  # fmt: skip
            rule = {"conditions": conditions, "responseHeaders": [{"name": "Set-Cookie", **action}]}
            head = rewriter(rule).response(seen, seen.response)
            self.assertEqual([value for name, value in head.fields if name == "Set-Cookie"], expected, action)

    def test_two_matchers(self) -> None:
        """Each changes its own cookie."""
        actions = [
            {"name": "Set-Cookie", "value": f"{name}=0", "matcher": {"pattern": f"^{name}="}}
            for name in ("session", "theme")
        ]
        head = self.changed({"responseHeaders": actions})
        self.assertEqual(head.index["set-cookie"], "session=0, theme=0")

    def test_condition_on_the_request(self) -> None:
        rule = {
            "conditions": [{"variable": "http_req_Authorization", "pattern": "^Bearer"}],
            "responseHeaders": [{"name": "X-Done", "value": "1"}],
        }
        self.assertEqual(self.changed(rule).index["x-done"], "1")

    def test_nothing_to_do(self) -> None:
        seen = view()
        seen.response = head = parse_response(RESPONSE, "GET")
        rule = {
            "conditions": [{"variable": "var_http_status", "pattern": "^5"}],
            "responseHeaders": [{"name": "Server", "value": ""}],
        }
        self.assertIs(rewriter(rule).response(seen, head), head)

    def test_notes(self) -> None:
        rule = {
            "conditions": [{"variable": "var_http_status", "pattern": "^5"}],
            "responseHeaders": [
                {"name": "Server", "value": ""},
                {"name": "Set-Cookie", "value": "a", "matcher": {"pattern": "b"}},
            ],
        }
        self.assertEqual(
            rewriter(rule).response_notes(),
            [
                "rule r0: response field Server: deleted if var_http_status matches '^5'",
                "rule r0: response field Set-Cookie that matches 'b': 'a' if var_http_status matches '^5'",
            ],
        )


class NamesTests(SynchronousTestCase):
    """`names_variable`."""

    def test_wherever_it_is(self) -> None:
        field = {"name": "X", "value": "a {var_ciphers_supported} b"}
        for rule in (
            {"request_headers": [field]},
            {"response_headers": [field]},
            {"url": {"path": "/{var_ciphers_supported}"}},
            {"url": {"query": "{var_ciphers_supported}"}},
            {"conditions": [{"variable": "var_ciphers_supported", "pattern": "x"}], "request_headers": []},
        ):
            rewrite = RewriteSet.model_validate({"name": "s", "rules": [{"name": "r"}, {"name": "q", **rule}]})
            self.assertTrue(names_variable([RewriteSet(name="t"), rewrite], "ciphers_supported"), rule)
            self.assertFalse(names_variable([rewrite], "ciphers_used"), rule)
        self.assertFalse(names_variable([], "ciphers_supported"))
