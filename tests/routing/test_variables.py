"""`gateway.routing.variables`."""

from __future__ import annotations

from base64 import b64encode
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import RewriteFailed
from gateway.http.heads import parse_request, parse_response
from gateway.routing.variables import SERVER_VARIABLES, Template, View, canonical, lookup
from gateway.transport.tls import ClientCertificate
from gateway.values import Peer
from tests.certificates import TestCA

_REFERENCE = (
    "add_x_forwarded_for_proxy ciphers_supported ciphers_used client_ip client_port client_tcp_rtt client_user host "
    "http_method http_status http_version query_string received_bytes request_query request_scheme request_uri "
    "sent_bytes server_port ssl_connection_protocol ssl_enabled uri_path client_certificate "
    "client_certificate_end_date "
    "client_certificate_fingerprint client_certificate_issuer client_certificate_serial client_certificate_start_date "
    "client_certificate_subject client_certificate_verification"
)


def view(head: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", forwarded: str = "192.0.2.7:1234", **context: Any) -> View:
    known = {"peer": Peer("192.0.2.7", 1234), "scheme": "http", "local_port": 8080, "round_trip": 1500, **context}
    return View(parse_request(head), SimpleNamespace(**known), forwarded)


def value(name: str, seen: View) -> str | None:
    found = lookup(name)
    assert found is not None, name
    return found(seen)


class VariableTests(SynchronousTestCase):
    """Every server variable of the reference, fields, cookies."""

    def test_all_there(self) -> None:
        self.assertEqual(set(SERVER_VARIABLES), set(_REFERENCE.split()))

    def test_values(self) -> None:
        seen = view(
            b'POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: Shop.test:8080\r\nCookie: a=1; b="2=3"; a=4\r\n'
            b"Authorization: Basic " + b64encode(b"ann:secret") + b"\r\nX-One: 1\r\nContent-Length: 0\r\n\r\n",
            "10.0.0.1:5, 192.0.2.7:1234",
        )
        for name, expected in (
            ("var_add_x_forwarded_for_proxy", "10.0.0.1:5, 192.0.2.7"),
            ("var_client_ip", "192.0.2.7"),
            ("var_client_port", "1234"),
            ("var_client_tcp_rtt", "1500"),
            ("var_client_user", "ann"),
            ("var_host", "shop.test"),
            ("var_http_method", "POST"),
            ("var_http_status", ""),
            ("var_http_version", "HTTP/1.1"),
            ("var_query_string", "x=1&y=2"),
            ("var_request_query", "x=1&y=2"),
            ("var_request_scheme", "http"),
            ("var_request_uri", "/a/b?x=1&y=2"),
            ("var_sent_bytes", "0"),
            ("var_server_port", "8080"),
            ("var_ssl_enabled", ""),
            ("var_uri_path", "/a/b"),
            ("var_cookie_a", "1"),
            ("var_cookie_b", '"2=3"'),
            ("var_cookie_c", None),
            ("var_client_certificate_subject", ""),
            ("http_req_x-ONE", "1"),
            ("http_req_X-Two", None),
            ("http_req_Host", "Shop.test:8080"),
            ("http_resp_Server", None),
        ):
            self.assertEqual(value(name, seen), expected, name)

    def test_response(self) -> None:
        seen = view()
        seen.response = parse_response(b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 0\r\n\r\n", "GET")
        self.assertEqual((value("var_http_status", seen), value("http_resp_server", seen)), ("404", "x"))

    def test_tls(self) -> None:
        seen = view(scheme="https", tls_version="TLSv1.3", tls_cipher="TLS_AES_128_GCM_SHA256")
        self.assertEqual(value("var_ssl_enabled", seen), "On")
        self.assertEqual(value("var_ssl_connection_protocol", seen), "TLSv1.3")
        self.assertEqual(value("var_ciphers_used", seen), "TLS_AES_128_GCM_SHA256")
        self.assertEqual(value("var_client_certificate_verification", seen), "NONE")
        self.assertEqual(value("var_ciphers_supported", seen), "")
        self.assertEqual(value("var_ciphers_supported", view(ciphers_supported="A:0x2a2a")), "A:0x2a2a")

    def test_client_certificate(self) -> None:
        """In nginx's forms; the verdict is that of the handshake."""
        leaf = TestCA("Root").issue("client.test").cert
        shown = ClientCertificate("profile", "SUCCESS", leaf)
        seen = view(scheme="https", client_certificate=shown)
        self.assertEqual(value("var_client_certificate_verification", seen), "SUCCESS")
        self.assertEqual(value("var_client_certificate_subject", seen), leaf.subject.rfc4514_string())
        self.assertEqual(value("var_client_certificate_issuer", seen), leaf.issuer.rfc4514_string())
        self.assertEqual(value("var_client_certificate_serial", seen), f"{leaf.serial_number:X}")
        self.assertEqual(value("var_client_certificate_fingerprint", seen), leaf.fingerprint(SHA1()).hex())
        self.assertRegex(value("var_client_certificate_end_date", seen) or "", r"^\w{3} [ \d]\d [\d:]{8} \d{4} GMT$")
        self.assertRegex(value("var_client_certificate_start_date", seen) or "", r"GMT$")
        sent = value("var_client_certificate", seen) or ""
        self.assertEqual(unquote(sent).encode(), leaf.public_bytes(Encoding.PEM))
        self.assertNotIn("\n", sent)

    def test_nothing_before(self) -> None:
        """Who has no proxy before them is alone in X-Forwarded-For; an address of IPv6 has no port either."""
        self.assertEqual(value("var_add_x_forwarded_for_proxy", view()), "192.0.2.7")
        seen = view(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::2]:9", peer=Peer("::2", 9))
        self.assertEqual(value("var_add_x_forwarded_for_proxy", seen), "::2")
        self.assertEqual(value("var_host", seen), "[::1]")

    def test_user_cannot_hold_a_line(self) -> None:
        for user in (b"a\r\nX: y", b"\x00", b"a\nb"):
            head = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + b64encode(user) + b"\r\n\r\n"
            self.assertEqual(value("var_client_user", view(head)), "", user)
        for sent in (b"Basic !!", b"Bearer x", b"Basic"):
            head = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: " + sent + b"\r\n\r\n"
            self.assertEqual(value("var_client_user", view(head)), "", sent)

    def test_unknown(self) -> None:
        for name in ("var_remote-addr", "xx", "http_", "http_req_", "http_request_x", "var_", "http_req"):
            self.assertIsNone(lookup(name), name)

    def test_canonical(self) -> None:
        """All spellings of a path are one; it can be sent."""
        for sent, expected in (
            ("/admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("//admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/x%2F..%2fadmin", "/admin"),
            ("/a%20b", "/a%20b"),
            ("/a%3Fb%23", "/a%3Fb%23"),
            ("/%0d%0aX:", "/%0D%0AX:"),
            ("/%25", "/%25"),
            ("/\xff", "/%FF"),
        ):
            self.assertEqual(canonical(sent), expected, sent)


class TemplateTests(SynchronousTestCase):
    """Texts with names in braces."""

    def test_expand(self) -> None:
        seen = view(b"GET /p?q HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n\r\n")
        seen.captures = {"var_uri_path": ("/p", "p"), "http_req_X-One": ("1", "1")}
        conditions = {"var_uri_path": 1, "http_req_X-One": 1}
        for text, expected in (
            ("plain", "plain"),
            ("", ""),
            ("{var_uri_path_1}-{http_req_X-One}", "p-1"),
            ("{http_req_X-One_1}{http_req_X-Two}", "1"),
            ('{"group":"a"}', '{"group":"a"}'),
            ("{var_uri_path", "{var_uri_path"),
            ("{ var_host }", "{ var_host }"),
            ("  {var_query_string} ", "q"),
            ("caf\xe9", "caf\xc3\xa9"),
        ):
            self.assertEqual(Template(text, conditions).expand(seen), expected, text)

    def test_wrong_names(self) -> None:
        """They are told; the case of a capture has to be that of its condition."""
        conditions = {"http_req_User-Agent": 2}
        text = "{http_req_user-agent_1}{http_req_User-Agent_3}{var_nothing}{capt_header_value_matcher_1}{http_resp_X_1}"
        template = Template(text, conditions)
        wrong = ["http_req_user-agent_1", "var_nothing", "capt_header_value_matcher_1", "http_resp_X_1"]
        self.assertEqual((template.unknown, template.lacking), (wrong, ["http_req_User-Agent_3"]))
        self.assertEqual(template.expand(view()), "")

    def test_no_control_characters(self) -> None:
        """Whatever a value holds, it stays in its line."""
        seen = view()
        seen.captures = {"var_x": ("a\r\nX-Injected: 1\x00\x7f\tb",)}
        self.assertEqual(Template("{var_x_0}", {"var_x": 1}).expand(seen), "aX-Injected: 1\tb")

    def test_only_wire_white_space_goes(self) -> None:
        seen = view()
        seen.captures = {"var_x": ("\xa0a\x85",)}
        self.assertEqual(Template("{var_x_0}", {"var_x": 0}).expand(seen), "\xa0a\x85")

    def test_bounded(self) -> None:
        seen = view(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n")
        self.assertRaises(RewriteFailed, Template("{http_req_X}" * 4, {}).expand, seen)
