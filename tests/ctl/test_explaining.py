"""`gateway.ctl.explaining` and ``gatewayctl explain``: the same objects decide as in the data path."""

from __future__ import annotations

import io
import json
import os
from typing import Any

from zope.interface import implementer

from gateway.ctl.main import main
from gateway.interfaces import IStrategyFactory
from tests.certificates import TestCA
from tests.config.support import ConfigurationTestCase

YAML = """
listeners:
  - {name: shop, port: 8080, hostNames: [shop.test, '*.shop.test']}
  - {name: idle, port: 8080, hostNames: [idle.test]}
  - {name: rest, port: 8080, middleware: ["tests.ctl.test_explaining:factory"]}
  - {name: other, port: 8081}
pools:
  - {name: site, backends: [127.0.0.1:9001]}
  - {name: admin, backends: [127.0.0.1:9002, b.test]}
settings:
  - {name: default}
  - {name: inner, path: /in, hostName: inner.test, requestTimeout: 40}
rules:
  - {name: to-shop, listener: shop, pathMap: paths, priority: 10}
  - {name: to-rest, listener: rest, routingMap: kinds, priority: 20}
  - {name: to-other, listener: other, distribution: both, priority: 30}
pathMaps:
  - name: paths
    defaultPool: site
    pathRules:
      - {name: admin, paths: [/admin*, /root], pool: admin, settings: inner}
      - {name: old, paths: [/old/*], pool: site, rewrite: tidy}
      - {name: gone, paths: [/gone/*], redirect: away}
redirects: [{name: away, targetUrl: 'https://a.test/'}]
routingMaps:
  - name: kinds
    defaultPool: site
    rules:
      - {name: inner, priority: 5, conditionSet: inner, pool: admin}
      - {name: beta, priority: 10, conditionSet: beta, pool: admin}
conditionSets:
  - {name: beta, conditions: [{type: Header, name: X-Beta, values: ['1']}]}
  - {name: inner, conditions: [{type: ClientIP, values: [10.0.0.0/8]}]}
distributions: [{name: both, targets: [{pool: site, weight: 3}, {pool: admin}]}]
rewrites:
  - name: tidy
    rules:
      - name: move
        conditions: {variable: var_uri_path, pattern: '^/old/(.*)$'}
        url: {path: '/admin/{var_uri_path_1}', query: '', reroute: true}
        requestHeaders: {name: X-Forwarded-For, value: '{var_add_x_forwarded_for_proxy}'}
      - {name: never, conditions: {variable: var_host, pattern: x}, url: {path: /}}
      - {name: hide, responseHeaders: {name: Server}}
"""


@implementer(IStrategyFactory)
class _Factory:
    name = "nothing"
    options = None

    def build(self, options: None, services: Any) -> Any:
        """Nothing is built for an explanation."""
        raise AssertionError("built")


factory = _Factory()


class ExplainTests(ConfigurationTestCase):
    """`main` with ``explain``."""

    def run_it(self, *arguments: str, document: str = YAML) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        method, url, *others = arguments
        status = main(["explain", method, url, self.write(document), *others], out, err)
        return status, out.getvalue(), err.getvalue()

    def told(self, url: str, *others: str, method: str = "GET") -> str:
        status, out, err = self.run_it(method, url, *others)
        self.assertEqual((status, err), (0, ""))
        return out

    def document(self, url: str, *others: str, method: str = "GET") -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.told(url, *others, "--format", "json", method=method))
        return made

    def test_who_asks(self) -> None:
        for client, known in (
            ("192.0.2.7", "192.0.2.7"), ("192.0.2.7:99", "192.0.2.7"), ("::1", "::1"), ("[::1]", "::1"),
            ("[2001:db8::1]:99", "2001:db8::1"), ("fe80::1%eth0", "fe80::1%eth0"),
        ):  # fmt: skip
            self.assertIn(f" from {known}, on port", self.told("http://shop.test:8080/", f"--from={client}"))
        for client in ("nonsense", "", "192.0.2.7:99999", "192.0.2.7:x", "[::1", "192.0.2.0/24", "shop.test:80"):
            status, out, err = self.run_it("GET", "http://shop.test:8080/", f"--from={client}")
            self.assertEqual((status, out), (2, ""))
            self.assertIn(f"{client!r} is no client's address; expected one such as 192.0.2.7", err)

    def test_path_read_differently(self) -> None:
        """Refused, and why."""
        told = self.told("http://shop.test:8080/admin/..;/x").splitlines()
        self.assertIn("     path rule admin: '/admin*' does not match '/admin/..;/x' (compared as '/x')", told)
        (end,) = [line for line in told if line.startswith("  =>")]
        self.assertIn("=> 400 Bad Request: the path '/admin/..;/x' is '/x' to some servers and '/admin/", end)
        made = self.document("http://shop.test:8080/old/../admin")
        self.assertEqual((made["status"], made["error"][:8]), (400, "the path"))

    def test_path_rule(self) -> None:
        self.assertEqual(
            self.told("http://www.shop.test:8080//%61dmin/x?y", "-H", "Cookie: a").splitlines(),
            [
                "GET http://www.shop.test:8080//%61dmin/x?y from 127.0.0.1, on port 8080 (Http)",
                "     listener shop: answers for 'shop.test', not for 'www.shop.test:8080', priority 10",
                "  -> listener shop: answers for '*.shop.test', priority 10",
                "  -> rule to-shop",
                "     listener idle: it has no rule",
                "     listener rest: not tried: one before it answers",
                "  -> path rule admin: '/admin*' matches '//%61dmin/x' (compared as '/admin/x')",
                "     path rule admin: '/root' was not tried: one before it matches",
                "     path rule old: '/old/*' was not tried: one before it matches",
                "     path rule gone: '/gone/*' was not tried: one before it matches",
                "  => pool admin: 127.0.0.1:9002, b.test:80",
                "     settings inner: Http, 40 s",
                "     the backend gets:",
                "       GET /in/x?y HTTP/1.1",
                "       Host: inner.test",
                "       Cookie: a",
                "       X-Forwarded-For: 127.0.0.1:50000",
                "       X-Forwarded-Proto: http",
                "       X-Forwarded-Port: 8080",
                "       X-Original-Host: www.shop.test:8080",
                "       X-Original-URL: //%61dmin/x?y",
                "       X-AppGW-Trace-Id: 00000000000000000000000000000000",
            ],
        )

    def test_address(self) -> None:
        """A member of IPv6 is spelled so that its port can be told from it."""
        document = YAML.replace("127.0.0.1:9002", "'[::1]:9002'")
        _, told, _ = self.run_it("GET", "http://shop.test:8080/root", document=document)
        self.assertIn("  => pool admin: [::1]:9002, b.test:80", told)

    def test_mapped(self) -> None:
        """Where a member is on this machine, as `gatewayctl check` says it."""
        told = self.told("http://shop.test:8080/root", "--map-backend", "b.test=127.0.0.1:9003")
        self.assertIn("  => pool admin: 127.0.0.1:9002, b.test:80 (at 127.0.0.1:9003)", told)

    def test_default(self) -> None:
        made = self.document("http://shop.test:8080/x")
        last = made["steps"][-1]
        self.assertEqual((last["kind"], last["name"], last["taken"]), ("path map", "paths", True))
        self.assertEqual((made["pool"], made["pathRule"], made["settings"]), ("site", None, "default"))
        self.assertEqual([step["taken"] for step in made["steps"] if step["kind"] == "path rule"], [False] * 4)

    def test_rewrites(self) -> None:
        """What applies, what does not and why, and what would happen to the response."""
        made = self.document("http://shop.test:8080/old/a?b", "--from", "192.0.2.7:99")
        self.assertEqual(
            made["rewrites"],
            [
                "rewrite set tidy:",
                "rule move applies",
                "request field X-Forwarded-For: '192.0.2.7'",
                "URL: /admin/a, path rules are looked at again",
                "rule never does not apply, it wants: var_host matches 'x'",
                "path rule admin",
            ],
        )
        self.assertEqual((made["pool"], made["pathRule"], made["sent"][0]), ("admin", "admin", "GET /in/a HTTP/1.1"))
        self.assertIn("X-Forwarded-For: 192.0.2.7", made["sent"])

    def test_response_rewrites(self) -> None:
        text = YAML.replace(", reroute: true", "")
        status, out, _ = self.run_it("GET", "http://shop.test:8080/old/a", document=text)
        self.assertIn("rule hide: response field Server: deleted", out)

    def test_redirect(self) -> None:
        self.assertIn("=> 301 Moved Permanently, https://a.test/gone/x?y", self.told("http://shop.test:8080/gone/x?y"))
        made = self.document("http://shop.test:8080/gone/x")
        self.assertEqual((made["status"], made["location"]), (301, "https://a.test/gone/x"))

    def test_routing_map(self) -> None:
        for arguments, pool, taken in (
            ((), "site", "kinds"),
            (("-H", "X-Beta: 1"), "admin", "beta"),
            (("--from", "10.1.2.3"), "admin", "inner"),
        ):
            made = self.document("http://z.test:8080/", *arguments)
            self.assertEqual(made["pool"], pool)
            self.assertEqual(made["steps"][-2 if taken == "inner" else -1]["name"], taken)
            self.assertEqual(made["middleware"], ["tests.ctl.test_explaining:factory"])
        self.assertIn("condition set inner wants: ClientIP is '10.0.0.0/8'", self.told("http://z.test:8080/"))

    def test_distribution(self) -> None:
        made = self.document("http://z.test:8081/")
        self.assertEqual(made["steps"][-1]["why"], "RoundRobin over site 3, admin 2 (all healthy)")

    def test_no_listener(self) -> None:
        text = YAML.replace("  - {name: to-rest, listener: rest, routingMap: kinds, priority: 20}\n", "")
        status, out, _ = self.run_it("GET", "http://z.test:8080/", document=text)
        self.assertIn("=> 404 Not Found: no listener on the port of 'shop' answers for host 'z.test:8080'", out)
        self.assertEqual(status, 0)

    def test_websocket(self) -> None:
        made = self.document("ws://z.test:8081/chat?a=b")
        self.assertEqual(made["sent"][0], "GET /chat?a=b HTTP/1.1")
        self.assertIn("Upgrade: websocket", made["sent"])

    def test_port(self) -> None:
        """The only port of a protocol is meant where a URL has none."""
        text = YAML.replace("  - {name: other, port: 8081}\n", "").replace(
            "  - {name: to-other, listener: other, distribution: both, priority: 30}\n", ""
        )
        status, out, _ = self.run_it("GET", "http://shop.test/", document=text)
        self.assertIn("note: there is no listener on port 80; port 8080 is taken", out)
        self.assertEqual(status, 0)

    def test_cannot_ask(self) -> None:
        for url, others, words in (
            ("shop.test", (), "is no URL with a host"),
            ("ftp://shop.test/", (), "is no URL with a host"),
            ("http://shop.test:x/", (), "is no URL"),
            ("http://shop.test/", (), "no Http listener is on port 80; ports are: 8080 (Http), 8081 (Http)"),
            ("https://shop.test:8080/", (), "no Https listener is on port 8080"),
            ("http://shop.test:8080/", ("-H", "broken"), "expected a field such as"),
            ("http://shop.test:8080/", ("-H", "A: b\r\nC: d"), "expected a field such as"),
            ("http://shop.test:8080/a b", (), "the request is refused with 400 before it is routed"),
        ):
            status, out, err = self.run_it("GET", url, *others)
            self.assertEqual((status, out), (1 if words.startswith(("no H", "the request")) else 2, ""), url)
            self.assertIn(words, err)

    def test_broken_configuration(self) -> None:
        status, out, err = self.run_it("GET", "http://a/", document="listeners: 5")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("error", err)

    def test_router(self) -> None:
        """It is not built; what the rule does otherwise is told, and that it is only that."""
        router = f"{__name__}:factory"
        document = YAML.replace("distribution: both,", f"distribution: both, router: '{router}',")
        status, out, err = self.run_it("GET", "http://x.test:8081/", document=document)
        self.assertEqual((0, ""), (status, err))
        self.assertIn(f"router {router}: it is asked first; what it decides is not known here", out)
        self.assertIn("distribution both", out)
        nothing = document.replace("distribution: both, router", "router")
        status, out, err = self.run_it("GET", "http://x.test:8081/", document=nothing)
        self.assertIn("=> 404", out)


CA = TestCA()

LAYER4 = """
listeners:
  - {name: db, port: 5432, protocol: Tls, hostNames: [db.test], certificate: site}
  - {name: any, port: 5432, protocol: Tls, hostNames: ['*.db.test'], certificate: site}
  - {name: idle, port: 5432, protocol: Tls, hostNames: [idle.test], certificate: site}
  - {name: raw, port: 7000, protocol: Tcp}
  - {name: web, port: 8080}
pools:
  - {name: data, backends: ['127.0.0.1:9001', 'b.test:9002']}
settings:
  - {name: plain, protocol: Tcp, requestTimeout: 60, enableL4ClientIpPreservation: true}
  - {name: sealed, protocol: Tls, pickHostNameFromBackendAddress: false, hostName: inner.test}
  - {name: same, protocol: Tls}
  - {name: default}
rules:
  - {name: to-db, listener: db, pool: data, settings: sealed, priority: 10}
  - {name: to-any, listener: any, pool: data, settings: same, priority: 20}
  - {name: to-raw, listener: raw, pool: data, settings: plain, priority: 30}
  - {name: to-web, listener: web, pool: data, settings: default, priority: 40}
middleware: [security-headers]
"""


class ConnectionTests(ConfigurationTestCase):
    """Connections of plain TCP and TLS, which have no method."""

    def setUp(self) -> None:
        issued = CA.issue("db.test")
        pem = os.path.abspath(self.write((issued.cert_pem + issued.key_pem()).decode("ascii"), "site.pem"))
        self.file = self.write(LAYER4 + f"certificates: [{{name: site, certificateFile: '{pem}'}}]\n")

    def run_it(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        status = main(["explain", *arguments, self.file], out, err)
        return status, out.getvalue(), err.getvalue()

    def told(self, *arguments: str) -> list[str]:
        status, out, err = self.run_it(*arguments)
        self.assertEqual((status, err), (0, ""))
        return out.splitlines()

    def test_tls(self) -> None:
        wanted = [
            "connection to tls://a.db.test:5432 from 127.0.0.1, on port 5432 (Tls)",
            "     listener db: answers for 'db.test', not for 'a.db.test', priority 10",
            "  -> listener any: answers for '*.db.test', priority 20",
            "  -> rule to-any",
            "     listener idle: it has no rule",
            "  => pool data: 127.0.0.1:9001, b.test:9002",
            "     settings same: Tls, 30 s without a byte",
            "     the backend gets:",
            "       a TLS handshake with the server name a.db.test; the certificate has to be for a.db.test",
            "       what the client sends",
        ]
        self.assertEqual(self.told("tls://a.db.test:5432"), wanted)
        self.assertEqual(self.told("CONNECT", "tls://a.db.test:5432"), wanted)
        self.assertEqual(self.told("tls://a.db.test"), [wanted[0].replace("test:5432", "test"), *wanted[1:]])

    def test_tcp(self) -> None:
        told = self.told("--from=192.0.2.7:99", "--format", "text", "tcp://127.0.0.1:7000")
        self.assertEqual(told[1], "  -> listener raw: takes every connection, priority 30")
        self.assertEqual(
            told[-3:],
            [
                "     the backend gets:",
                "       a PROXY protocol header: the client is 192.0.2.7:99",
                "       what the client sends",
            ],
        )

    def test_no_server_name(self) -> None:
        for url in ("tls://127.0.0.1:5432", "tls://:5432", "tls://[::1]:5432"):
            told = self.told(url)
            self.assertIn("not for a client that sends no server name", told[1])
            self.assertIn("=> the connection is reset: no listener on the port of 'db'", told[-1])

    def test_document(self) -> None:
        made = json.loads("\n".join(self.told("--format", "json", "tls://db.test:5432")))
        self.assertEqual((made["request"]["method"], made["status"], made["rule"]), ("CONNECT", None, "to-db"))
        self.assertEqual((made["pool"], made["settings"], made["middleware"]), ("data", "sealed", []))
        self.assertIn("the certificate has to be for inner.test", made["sent"][0])

    def test_cannot_ask(self) -> None:
        for arguments, words in (
            (("tcp://a:1",), "no Tcp listener is on port 1; ports are: 5432 (Tls), 7000 (Tcp), 8080 (Http)"),
            (("tls://a:7000",), "no Tls listener is on port 7000"),
            (("http://a:7000/",), "the following arguments are required"),
            (("GET", "tcp://a:7000"), "has no method, path and fields"),
            (("tcp://a:7000/path",), "has no method, path and fields"),
            (("tcp://a:7000", "-H", "A: b"), "has no method, path and fields"),
        ):
            if words.startswith("the following"):
                with self.assertRaises(SystemExit):
                    self.run_it(*arguments)
                continue
            status, out, err = self.run_it(*arguments)
            self.assertEqual((status, out), (1 if words.startswith("no T") else 2, ""), arguments)
            self.assertIn(words, err)
