"""What ARM documents say of sites, redirects and TLS, seen by real clients, over both roads."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from gateway.config import load
from gateway.lifecycle.preflight import checks
from gateway.routing.variables import SERVER_VARIABLES
from tests.certificates import Issued, TestCA
from tests.config.arm import child, gateway, template
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads
from tests.integration.messages import Answers, Message, read_response
from tests.integration.wire import Ended

CA = TestCA("Test Root")
CLIENTS = TestCA("Client Root")
STRANGERS = TestCA("Another Root")


@implementer(IOpenSSLClientConnectionCreator)
class Visitor:
    """A TLS client with limits of its own."""

    def __init__(
        self, name: str, most: int = SSL.TLS1_3_VERSION, ciphers: bytes = b"", suites: bytes = b"",
        shows: Issued | None = None,
    ) -> None:  # fmt: skip
        self.connection: Any = None
        self._name = name
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(0)
        context.set_max_proto_version(most)
        context.set_cipher_list(ciphers or b"DEFAULT")
        if suites:
            context.set_tls13_ciphersuites(suites)
        if shows is not None:
            context.use_certificate(shows.cert)
            context.use_privatekey(shows.key)
            for above in shows.chain:
                context.add_extra_chain_cert(above)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        self.connection = connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_tlsext_host_name(self._name.encode())
        return connection

    def shown(self) -> list[str]:
        """Whose certificates it has got."""
        return [each.subject.rfc4514_string() for each in self.connection.get_peer_cert_chain(as_cryptography=True)]


def to(kind: str, name: str) -> dict[str, str]:
    """A reference as templates have it."""
    return {"id": f"[resourceId('Microsoft.Network/applicationGateways/{kind}', 'gw', '{name}')]"}


def rule(name: str, priority: int, **more: Any) -> dict[str, Any]:
    """A rule for the listener of its name; with nothing else it leads to the pool of its name."""
    leads = more or {
        "backendAddressPool": to("backendAddressPools", name),
        "backendHttpSettings": to("backendHttpSettingsCollection", "plain"),
    }
    return child(name, ruleType="Basic", priority=priority, httpListener=to("httpListeners", name), **leads)


class DocumentCase(GatewayTestCase):
    """``serving`` starts a gateway on the template that a test has made."""

    async def pools(self, *names: str) -> dict[str, Any]:
        """Pools whose backends say which they are, and what they need."""
        self.answers: dict[str, Answers] = {}
        self._members: dict[str, RawBackend] = {}
        for name in names:
            answer = b"HTTP/1.1 200 OK\r\nX-Pool: %s\r\nContent-Length: 0\r\n\r\n" % name.encode()
            self.answers[name] = Answers(answer)
            self._members[name] = await self.backend(self.answers[name])
        return {
            "probes": [child("health", protocol="Http", host="h", path="/_probe", interval=30, timeout=30)],
            "backendAddressPools": [child(name, backendAddresses=[{"fqdn": f"{name}.test"}]) for name in names],
            "backendHttpSettingsCollection": [
                child("plain", port=80, protocol="Http", probe=to("probes", "health"), requestTimeout=30)
            ],
        }

    async def serving(self, overrides: Path | None = None, **properties: Any) -> Running:
        path = Path(self.mktemp())
        path.write_text(json.dumps(template([gateway(**properties)])), encoding="utf-8")
        self.numbers = {port: _free() for port in (80, 443)}
        model = load(
            path,
            overrides=overrides,
            warnings=[],
            checks=checks(),
            map_ports=[f"{port}={number}" for port, number in self.numbers.items()],
            map_backends=[f"{name}.test=127.0.0.1:{each.port}" for name, each in self._members.items()],
        )
        return await self.gateway(model)

    async def ask(
        self, running: Running, host: str, path: str = "/", tls: Any = None, listener: str | None = None
    ) -> Message:
        client = await self.client(running, listener, tls=tls)
        client.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await read_response(client)


class SiteTests(DocumentCase):
    """Sites that share a port."""

    async def test_hosts(self) -> None:
        """An exact name, a pattern, and everything else; the priority decides where two patterns match."""
        names = ("exact", "wide", "narrow", "rest")
        port = to("frontendPorts", "p80")
        hosts: dict[str, Any] = {
            "exact": {"hostName": "shop.example"},
            "wide": {"hostNames": ["*.example"]},
            "narrow": {"hostNames": ["*.shop.example", "w?.other.test"]},
            "rest": {},
        }
        listeners = [child(name, frontendPort=port, protocol="Http", **hosts[name]) for name in names]
        for priorities, below in (((10, 30, 20, 40), "narrow"), ((10, 20, 30, 40), "wide")):
            made = await self.pools(*names)
            running = await self.serving(
                httpListeners=listeners,
                requestRoutingRules=[rule(name, number) for name, number in zip(names, priorities, strict=True)],
                **made,
            )
            for host, expected in (
                ("shop.example", "exact"),
                ("SHOP.example:80", "exact"),
                ("other.example", "wide"),
                ("a.shop.example", below),
                ("w1.other.test", "narrow"),
                ("w12.other.test", "rest"),
                ("127.0.0.1", "rest"),
            ):
                self.assertEqual(expected, (await self.ask(running, host)).get("X-Pool"), (host, priorities))

    async def test_paths(self) -> None:
        """A path map: the order listed, whatever the case; what nothing matches goes to the default."""
        made = await self.pools("a", "b", "c")
        settings = to("backendHttpSettingsCollection", "plain")
        running = await self.serving(
            urlPathMaps=[
                child(
                    "map", defaultBackendHttpSettings=settings,
                    defaultBackendAddressPool=to("backendAddressPools", "a"),
                    pathRules=[
                        child("first", paths=["/Images/*"], backendAddressPool=to("backendAddressPools", "b"),
                              backendHttpSettings=settings),
                        child("second", paths=["/images/small/*", "/video"], backendHttpSettings=settings,
                              backendAddressPool=to("backendAddressPools", "c")),
                    ],
                )
            ],
            requestRoutingRules=[
                child("rule", ruleType="PathBasedRouting", priority=1, httpListener=to("httpListeners", "web"),
                      urlPathMap=to("urlPathMaps", "map"))
            ],
            **made,
        )  # fmt: skip
        for path, expected in (
            ("/", "a"), ("/images/x", "b"), ("/IMAGES/small/x", "b"), ("/video", "c"), ("/VIDEO", "c"),
            ("/video/x", "a"),
        ):  # fmt: skip
            self.assertEqual(expected, (await self.ask(running, "any.test", path)).get("X-Pool"), path)

    async def test_redirects(self) -> None:
        """The four kinds, to a listener."""
        for kind, status in (("Permanent", 301), ("Found", 302), ("SeeOther", 303), ("Temporary", 307)):
            for keep, expected in ((True, "/p%20q?x=1"), (False, "/")):
                made = await self.pools("to")
                running = await self.serving(
                    frontendPorts=[child("p80", port=80), child("p443", port=443)],
                    httpListeners=[
                        child("from", frontendPort=to("frontendPorts", "p80"), protocol="Http"),
                        child("to", frontendPort=to("frontendPorts", "p443"), protocol="Http", hostName="new.example"),
                    ],
                    redirectConfigurations=[
                        child("away", redirectType=kind, targetListener=to("httpListeners", "to"), includePath=keep,
                              includeQueryString=keep)
                    ],
                    requestRoutingRules=[
                        rule("from", 1, redirectConfiguration=to("redirectConfigurations", "away")), rule("to", 2),
                    ],
                    **made,
                )  # fmt: skip
                answer = await self.ask(running, "old.example", "/p%20q?x=1", listener="from")
                place = f"http://new.example:{self.numbers[443]}{expected}"
                self.assertEqual((status, place), (answer.status, answer.get("Location")))


    async def test_buffering(self) -> None:
        """``globalConfiguration`` as templates have it: a body that is long is waited for."""
        made = await self.pools("chat")
        running = await self.serving(globalConfiguration={"enableRequestBuffering": True}, **made)
        client = await self.client(running)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 999_999)
        await running.until(lambda: running.service.disk.used > 900_000, "the body to be kept")
        self.assertEqual(([], 0), (self.answers["chat"].requests, running.active))
        client.write(b"y")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(b"x" * 999_999 + b"y", self.answers["chat"].requests[0].body)


class TlsTests(DocumentCase):
    """Policies, profiles and certificates of clients."""

    async def https(self, *profiles: dict[str, Any], policy: dict[str, Any] | None = None, **more: Any) -> Running:
        """Listeners ``0.example``, ``1.example`` … on one port, each with a profile that may be empty."""
        names = [str(number) for number in range(len(profiles))]
        made = await self.pools(*names)
        issued = {name: CA.intermediate().issue(names=[f"{name}.example"]) for name in names}
        return await self.serving(
            frontendPorts=[child("p443", port=443)],
            sslCertificates=[
                child(name, data=each.pkcs12("secret"), password="secret") for name, each in issued.items()
            ],
            sslProfiles=[child(name, **profile) for name, profile in zip(names, profiles, strict=True)],
            sslPolicy=policy,
            trustedClientCertificates=[child("clients", data=base64.b64encode(CLIENTS.pem).decode())],
            httpListeners=[
                child(name, frontendPort=to("frontendPorts", "p443"), protocol="Https", hostName=f"{name}.example",
                      sslCertificate=to("sslCertificates", name), sslProfile=to("sslProfiles", name))
                for name in names
            ],
            requestRoutingRules=[
                {**rule(name, number + 1), "properties": {**rule(name, number + 1)["properties"], **more}}
                for number, name in enumerate(names)
            ],
            rewriteRuleSets=[
                child("told", rewriteRules=[{
                    "name": "r", "ruleSequence": 1,
                    "actionSet": {"requestHeaderConfigurations": [
                        {"headerName": f"X-{name.replace('_', '-')}", "headerValue": f"<{{var_{name}}}>"}
                        for name in (*SERVER_VARIABLES, "cookie_Name")
                    ]},
                }])
            ],
            **made,
        )  # fmt: skip

    async def agreed(self, running: Running, visitor: Visitor, name: str = "0") -> str:
        """Version and suite that a client gets, empty if its handshake fails."""
        try:
            answer = await self.ask(running, f"{name}.example", tls=visitor, listener=name)
        except Ended:
            return ""
        self.assertEqual((200, name), (answer.status, answer.get("X-Pool")))
        return f"{visitor.connection.get_protocol_version_name()} {visitor.connection.get_cipher_name()}"

    async def test_policies(self) -> None:
        """A handshake outside of the policy fails, one inside does not."""
        old, cbc = b"ALL:@SECLEVEL=0", b"ECDHE-ECDSA-AES128-SHA256"
        two, three = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
        gcm = "ECDHE-ECDSA-AES256-GCM-SHA384"
        custom = {
            "policyType": "Custom", "minProtocolVersion": "TLSv1_2",
            "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"],
        }  # fmt: skip
        newest = {"policyType": "CustomV2", "minProtocolVersion": "TLSv1_3"}
        for policy, most, ciphers, expected in (
            (None, SSL.TLS1_1_VERSION, old, ""),
            (_predefined("20170401S"), three, b"", "TLSv1.2 ECDHE-ECDSA-AES"),
            (_predefined("20170401S"), SSL.TLS1_1_VERSION, old, ""),
            (_predefined("20220101"), three, b"", "TLSv1.3 TLS_AES"),
            (_predefined("20220101"), two, cbc, f"TLSv1.2 {cbc.decode()}"),
            (_predefined("20220101S"), two, cbc, ""),
            (_predefined("20220101S"), two, gcm.encode(), f"TLSv1.2 {gcm}"),
            (custom, three, b"", f"TLSv1.2 {cbc.decode()}"),
            (custom, two, gcm.encode(), ""),
            (newest, three, b"", "TLSv1.3 TLS_AES_128_GCM_SHA256"),
            (newest, two, b"", ""),
        ):
            running = await self.https({}, policy=policy)
            found = await self.agreed(running, Visitor("0.example", most, ciphers))
            self.assertTrue(found.startswith(expected) and bool(found) == bool(expected), (policy, found))

    async def test_profiles(self) -> None:
        """Each listener of a port has its own."""
        old = {"sslPolicy": _predefined("20170401S")}
        new = {"sslPolicy": {"policyType": "CustomV2", "minProtocolVersion": "TLSv1_3"}}
        for profiles, first, second in (((old, new), "0", "1"), ((new, old), "1", "0")):
            running = await self.https(*profiles)
            for _ in range(2):
                self.assertIn("TLSv1.2", await self.agreed(running, Visitor(f"{first}.example"), first))
                self.assertIn("TLSv1.3", await self.agreed(running, Visitor(f"{second}.example"), second))
            self.assertEqual("", await self.agreed(running, Visitor(f"{second}.example", SSL.TLS1_2_VERSION), second))

    async def test_profiles_that_differ_in_what_openssl_settles_first(self) -> None:
        """Suites of TLS 1.3, and old versions, of the listener that has the name."""
        old = {"sslPolicy": _predefined("20150501")}
        for profiles, first, second in ((({}, old), "0", "1"), ((old, {}), "1", "0")):
            running = await self.https(*profiles)
            oldest = Visitor(f"{second}.example", SSL.TLS1_VERSION, b"ALL:@SECLEVEL=0")
            self.assertIn("TLSv1 ", await self.agreed(running, oldest, second))
            refused = Visitor(f"{first}.example", SSL.TLS1_VERSION, b"ALL:@SECLEVEL=0")
            self.assertEqual("", await self.agreed(running, refused, first))
        strict = {"sslPolicy": _predefined("20220101S")}
        for profiles, first, second in ((({}, strict), "0", "1"), ((strict, {}), "1", "0")):
            running = await self.https(*profiles)
            # by themselves clients and OpenSSL would agree on AES with 256 bits
            self.assertIn("TLS_AES_256_GCM", await self.agreed(running, Visitor(f"{first}.example"), first))
            self.assertIn("TLS_AES_128_GCM", await self.agreed(running, Visitor(f"{second}.example"), second))

    async def test_whole_chain(self) -> None:
        """Of a PKCS#12 with its authority clients get both."""
        running = await self.https({})
        visitor = Visitor("0.example")
        await self.agreed(running, visitor)
        self.assertEqual(["CN=0.example", "CN=Test Intermediate"], visitor.shown())

    async def test_client_certificates(self) -> None:
        """Who is let in, and what the backend is told of it."""
        clients = {"trustedClientCertificates": [to("trustedClientCertificates", "clients")]}
        passing = {**clients, "clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}
        issuer = {**clients, "clientAuthConfiguration": {"verifyClientCertIssuerDN": True}}
        anybody = {"clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}
        running = await self.https(clients, passing, issuer, anybody, rewriteRuleSet=to("rewriteRuleSets", "told"))
        mine, below = CLIENTS.issue(common_name="me"), CLIENTS.intermediate().issue(common_name="me")
        theirs = STRANGERS.issue(common_name="me")
        for name, shown, status, verdict in (
            ("0", mine, 200, "SUCCESS"), ("0", below, 200, "SUCCESS"), ("0", theirs, 400, ""), ("0", None, 400, ""),
            ("1", mine, 200, "SUCCESS"), ("1", theirs, 200, "FAILED:"), ("1", None, 200, "NONE"),
            ("2", mine, 200, "SUCCESS"), ("2", below, 400, ""), ("2", None, 400, ""),
            ("3", mine, 200, "FAILED:"), ("3", None, 200, "NONE"),
        ):  # fmt: skip
            requests = self.answers[name].requests
            before = len(requests)
            visitor = Visitor(f"{name}.example", shows=shown)
            answer = await self.ask(running, f"{name}.example", tls=visitor, listener=name)
            self.assertEqual((status, before + (status == 200)), (answer.status, len(requests)), (name, verdict))
            if verdict:
                said = requests[-1].get("X-client-certificate-verification") or ""
                self.assertTrue(said.startswith(f"<{verdict}"), (name, said))

    async def test_server_variables(self) -> None:
        """All of them, of one request."""
        clients = {"trustedClientCertificates": [to("trustedClientCertificates", "clients")]}
        running = await self.https(clients, rewriteRuleSet=to("rewriteRuleSets", "told"))
        mine = CLIENTS.issue(common_name="me")
        visitor = Visitor("0.example", SSL.TLS1_2_VERSION, b"ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA", shows=mine)
        client = await self.client(running, "0", tls=visitor)
        client.write(
            b"GET /a//b/../%63?q=1&r HTTP/1.1\r\nHost: 0.EXAMPLE:443\r\nCookie: x=y; Name=value\r\n"
            b"Authorization: Basic YW5uOnNlY3JldA==\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        )
        self.assertEqual(200, (await read_response(client)).status)
        (request,) = self.answers["0"].requests
        outcome = await running.outcome()
        known = {
            "add_x_forwarded_for_proxy": "127.0.0.1",
            "ciphers_supported": "ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA",
            "ciphers_used": "ECDHE-ECDSA-AES128-GCM-SHA256",
            "client_certificate": quote(mine.cert_pem, safe=""),
            "client_certificate_fingerprint": mine.cert.fingerprint(SHA1()).hex(),
            "client_certificate_issuer": "CN=Client Root",
            "client_certificate_serial": f"{mine.cert.serial_number:X}",
            "client_certificate_subject": "CN=me",
            "client_certificate_verification": "SUCCESS",
            "client_ip": "127.0.0.1",
            "client_port": str(outcome.peer.port),
            "client_user": "ann",
            "cookie_Name": "value",
            "host": "0.example",
            "http_method": "GET",
            "http_status": "",
            "http_version": "HTTP/1.1",
            "query_string": "q=1&r",
            "received_bytes": str(outcome.received_bytes),
            "request_query": "q=1&r",
            "request_scheme": "https",
            "request_uri": "/a//b/../%63?q=1&r",
            "sent_bytes": "0",
            "server_port": str(self.numbers[443]),
            "ssl_connection_protocol": "TLSv1.2",
            "ssl_enabled": "On",
            "uri_path": "/a/c",
        }
        names = (*SERVER_VARIABLES, "cookie_Name")
        said = {name: (request.get(f"X-{name.replace('_', '-')}") or "")[1:-1] for name in names}
        said["ciphers_supported"] = said["ciphers_supported"].removesuffix(":TLS_EMPTY_RENEGOTIATION_INFO_SCSV")
        for name, wanted in (
            ("client_certificate_start_date", r"\w{3} [ \d]\d [\d:]{8} \d{4} GMT"),
            ("client_certificate_end_date", r"\w{3} [ \d]\d [\d:]{8} \d{4} GMT"),
            ("client_tcp_rtt", r"[0-9]+"),
        ):
            self.assertRegex(said.pop(name), rf"\A{wanted}\Z")
        self.assertEqual(known, said)

    async def test_key_vault(self) -> None:
        """A certificate that only Azure has: files of an override take its place."""
        made = await self.pools("chat")
        directory = Path(self.mktemp())
        CA.intermediate().issue(names=["vault.example"]).pem_files(str(directory))
        overrides = directory / "overrides.json"
        files = {"certificateFile": "server.crt", "keyFile": "server.key"}
        overrides.write_text(json.dumps({"certificates": {"site": files}}), encoding="utf-8")
        running = await self.serving(
            overrides,
            frontendPorts=[child("p443", port=443)],
            sslCertificates=[child("site", keyVaultSecretId="https://v.vault.azure.net/secrets/site")],
            httpListeners=[
                child("web", frontendPort=to("frontendPorts", "p443"), protocol="Https",
                      sslCertificate=to("sslCertificates", "site"))
            ],
            **made,
        )  # fmt: skip
        visitor = Visitor("vault.example")
        self.assertEqual("chat", (await self.ask(running, "vault.example", tls=visitor)).get("X-Pool"))
        self.assertEqual(["CN=vault.example", "CN=Test Intermediate"], visitor.shown())


def _predefined(name: str) -> dict[str, Any]:
    return {"policyType": "Predefined", "policyName": f"AppGwSslPolicy{name}"}


def _free() -> int:
    """A port for listeners that share one, which therefore needs a number."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number: int = sock.getsockname()[1]
        return number


both_roads(globals())
