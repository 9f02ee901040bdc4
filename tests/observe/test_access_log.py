"""Lines of the access log."""

from __future__ import annotations

import json
import os
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings
from gateway.errors import BackendTimeout, SessionEnded
from gateway.interfaces import IOutcomeObserver
from gateway.observe.access_log import AccessLog, open_access_log
from gateway.transport.tls import ClientCertificate
from gateway.values import Outcome, Peer
from tests.certificates import TestCA
from tests.observe.examples import Backend, Pool, head, outcome, route, websocket


class _Sink:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.done: list[str] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def reopen(self) -> None:
        self.done.append("reopen")

    def close(self) -> None:
        self.done.append("close")


class _LogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.sink = _Sink()
        self.clock = Clock()
        self.wall = 1700000000.25
        self.log = self.make()

    def make(self, **options: Any) -> AccessLog:
        return AccessLog(self.sink, self.clock, wall=lambda: self.wall, **options)

    def line(self, ended: Outcome, log: AccessLog | None = None) -> dict[str, Any]:
        """The one line for an outcome."""
        log = log or self.log
        log.ended(ended)
        log.flush()
        (data,) = self.sink.writes
        self.sink.writes.clear()
        self.assertEqual(data.count(b"\n"), 1)
        self.assertTrue(data.endswith(b"\n"))
        found: dict[str, Any] = json.loads(data)
        return found


class ContentTests(_LogCase):
    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IOutcomeObserver, self.log))

    def test_exchange(self) -> None:
        self.assertEqual(
            self.line(outcome(upstream_received=4900, upstream_sent=350)),
            {
                "timeStamp": "2023-11-14T22:13:20.250Z", "event": "exchange",
                "listenerName": "web", "ruleName": "rule", "backendPoolName": "chat", "backendSettingName": "fast",
                "clientIP": "192.0.2.1", "clientPort": 51234, "httpMethod": "GET",
                "originalRequestUriWithArgs": "/a?b=c", "requestUri": "/a", "requestQuery": "b=c",
                "userAgent": "test/1", "httpVersion": "HTTP/1.1", "originalHost": "example.com", "host": "example.com",
                "httpStatus": 200, "receivedBytes": 300, "sentBytes": 5000, "timeTaken": 0.02,
                "transactionId": "0123456789abcdef", "sslEnabled": "off", "sslCipher": "", "sslProtocol": "",
                "sslClientVerify": "NONE", "sslClientCertificateFingerprint": "", "sslClientCertificateIssuerName": "",
                "serverRouted": "10.0.0.4:80", "serverStatus": "200", "serverConnectTime": "0.002",
                "serverHeaderTime": "0.010", "serverResponseLatency": "0.018",
                "backendSslProtocol": "", "backendSslCipher": "",
                "upstreamReceivedBytes": 4900, "upstreamSentBytes": 350, "contentType": "text/html",
                "attempts": 1, "cause": "ok", "error_info": "ERRORINFO_NO_ERROR",
            },
        )  # fmt: skip

    def test_nothing_known(self) -> None:
        """A connection that never sent a whole head is logged as well."""
        line = self.line(Outcome(status=408, cause="request_timeout", started=5.0, ended=65.0))
        self.assertEqual(line["httpStatus"], 408)
        self.assertEqual(line["timeTaken"], 60.0)
        for name in (
            "httpMethod",
            "requestUri",
            "ruleName",
            "serverRouted",
            "serverStatus",
            "serverConnectTime",
            "host",
        ):
            self.assertEqual(line[name], "", name)

    def test_same_fields_always(self) -> None:
        full = set(self.line(outcome()))
        self.assertEqual(set(self.line(Outcome())), full)

    def test_tls(self) -> None:
        line = self.line(outcome(scheme="https", tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384"))
        self.assertEqual(
            (line["sslEnabled"], line["sslProtocol"], line["sslCipher"]), ("on", "TLSv1.3", "TLS_AES_256_GCM_SHA384")
        )

    def test_backend_tls(self) -> None:
        """Of the backend's connection, whatever the client's is."""
        line = self.line(outcome(upstream_tls_version="TLSv1.2", upstream_tls_cipher="ECDHE-RSA-AES128-GCM-SHA256"))
        self.assertEqual(
            (line["sslEnabled"], line["backendSslProtocol"], line["backendSslCipher"]),
            ("off", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"),
        )

    def test_times_of_the_backend(self) -> None:
        """From its connection, or from the request where it was there, with a body that was waited for; a session's
        response is its 101."""
        for known, wanted in (
            ({"started": 1.0, "connected": 1.5, "responded": 2.0, "ended": 4.0}, ("0.500", "0.500", "2.500")),
            ({"started": 1.0, "connected": None, "responded": 2.0, "ended": 4.0}, ("", "1.000", "3.000")),
            ({"started": 1.0, "connected": 1.5, "responded": None, "ended": 4.0}, ("0.500", "", "")),
            (
                {"started": 0.0, "collected": 1.0, "connected": 1.5, "responded": 2.0, "ended": 4.0},
                ("0.500", "0.500", "2.500"),
            ),
            (
                {"started": 0.0, "collected": 1.0, "connected": None, "responded": 2.0, "ended": 4.0},
                ("", "1.000", "3.000"),
            ),
        ):
            line = self.line(outcome(**known))
            self.assertEqual(
                (line["serverConnectTime"], line["serverHeaderTime"], line["serverResponseLatency"]), wanted
            )
        line = self.line(outcome(started=1.0, connected=1.5, responded=2.0, ended=99.0, status=101, websocket=True))
        self.assertEqual((line["serverHeaderTime"], line["serverResponseLatency"]), ("0.500", "0.500"))

    def test_client_certificate(self) -> None:
        """The verdict, and who the client is; of one that showed none only that."""
        leaf = TestCA("Authority, Inc").issue(common_name="me").cert
        for shown, fingerprint, issuer in (
            (ClientCertificate("p", "SUCCESS", leaf), leaf.fingerprint(SHA1()).hex(), r"CN=Authority\, Inc"),
            (ClientCertificate("p", "FAILED:it is old", leaf), leaf.fingerprint(SHA1()).hex(), r"CN=Authority\, Inc"),
            (ClientCertificate("p", "NONE"), "", ""),
        ):
            line = self.line(outcome(client_certificate=shown))
            found = [line[f"sslClient{name}"] for name in ("Verify", "CertificateFingerprint", "CertificateIssuerName")]
            self.assertEqual(found, [shown.verdict, fingerprint, issuer])

    def test_error(self) -> None:
        error = BackendTimeout("no answer within 30 s")
        line = self.line(outcome(status=504, upstream_status=None, responded=None, cause=error.cause, error=error))
        self.assertEqual(line["cause"], "backend_timeout")
        self.assertEqual(line["error_info"], "ERRORINFO_UPSTREAM_TIMED_OUT")
        self.assertEqual(line["reason"], "no answer within 30 s")
        self.assertEqual((line["serverStatus"], line["serverResponseLatency"]), ("", ""))

    def test_host_of_settings(self) -> None:
        named = BackendSettings.model_validate({"name": "s", "host_name": "inner.example"})
        picked = BackendSettings.model_validate({"name": "s", "pick_host_name_from_backend_address": True})
        for setting, expected in ((named, "inner.example"), (picked, "10.0.0.4")):
            line = self.line(outcome(route=route(Pool("p", setting))))
            self.assertEqual((line["originalHost"], line["host"]), ("example.com", expected))

    def test_path_rule(self) -> None:
        self.assertEqual(self.line(outcome(route=route(path_rule="images")))["ruleName"], "rule/images")

    def test_ipv6_backend(self) -> None:
        self.assertEqual(self.line(outcome(backend=Backend("2001:db8::1", 8080)))["serverRouted"], "[2001:db8::1]:8080")

    def test_redirect_has_no_backend(self) -> None:
        self.assertEqual(self.line(outcome(backend=None, status=301, cause="redirect"))["serverRouted"], "")

    def test_secrets(self) -> None:
        secret = "c2VjcmV0"
        request = head("/x", Authorization=f"Basic {secret}", Cookie=f"id={secret}", X_Api_Key=secret)
        self.assertNotIn(secret, json.dumps(self.line(outcome(head=request))))

    def test_redacted_query(self) -> None:
        line = self.line(outcome(head=head("/a?token=s3cret?x")), self.make(hide_queries=True))
        self.assertEqual(
            (line["originalRequestUriWithArgs"], line["requestUri"], line["requestQuery"]), ("/a?-", "/a", "-")
        )
        line = self.line(outcome(head=head("/a")), self.make(hide_queries=True))
        self.assertEqual((line["originalRequestUriWithArgs"], line["requestQuery"]), ("/a", ""))

    def test_rewritten(self) -> None:
        """The request as the client sent it, and what was asked of the backend."""
        rewritten = outcome(head=head("/a?token=s3cret"), target="/b?c=d")
        for redact, expected in ((False, ("/a?token=s3cret", "/b", "c=d")), (True, ("/a?-", "/b", "-"))):
            line = self.line(rewritten, self.make(hide_queries=redact))
            self.assertEqual((line["originalRequestUriWithArgs"], line["requestUri"], line["requestQuery"]), expected)

    def test_long_values_are_cut(self) -> None:
        line = self.line(outcome(head=head("/" + "a" * 9000 + "?" + "b" * 9000, User_Agent="\xff" * 30000)))
        for name in ("originalRequestUriWithArgs", "requestUri", "requestQuery", "userAgent"):
            self.assertEqual(len(line[name]), 4099, name)
            self.assertTrue(line[name].endswith("..."))

    def test_hostile_values(self) -> None:
        evil = 'x","httpStatus":200,"a":"\\\r\n{"event":"exchange"}\x00\x7f\xff\u2028'
        line = self.line(outcome(head=head("/" + evil, evil, User_Agent=evil), content_type=evil, peer=Peer(evil, 1)))
        for name in ("userAgent", "originalHost", "contentType", "clientIP"):
            self.assertEqual(line[name], evil, name)
        self.assertEqual(line["httpStatus"], 200)
        self.assertNotIn("a", line)

    @settings(max_examples=50, deadline=None)
    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        self.setUp()
        line = self.line(outcome(head=head("/", text, User_Agent=text), trace_id=text, cause=text))
        self.assertEqual({line[name] for name in ("originalHost", "userAgent", "transactionId", "cause")}, {text})

    def test_second_changes(self) -> None:
        self.assertEqual(self.line(outcome())["timeStamp"], "2023-11-14T22:13:20.250Z")
        self.wall += 0.5
        self.assertEqual(self.line(outcome())["timeStamp"], "2023-11-14T22:13:20.750Z")
        self.wall += 0.5
        self.assertEqual(self.line(outcome())["timeStamp"], "2023-11-14T22:13:21.250Z")

    def test_many_routes(self) -> None:
        """Routes of configurations that are gone do not pile up."""
        for number in range(5000):
            self.log.ended(outcome(route=route(rule=f"r{number}")))
        self.assertLessEqual(len(self.log._routes), 4096)


class SessionTests(_LogCase):
    def test_open_and_end(self) -> None:
        session = websocket(ended=None, close_code=None, closed_by="", messages_in=0, messages_out=0)
        self.log.opened(session)
        session.ended, session.close_code, session.closed_by = 3700.0, 1000, "client"
        session.messages_in, session.messages_out = 3, 4
        self.log.ended(session)
        self.log.flush()
        opened, ended = (json.loads(line) for line in b"".join(self.sink.writes).splitlines())
        self.assertEqual((opened["event"], opened["httpStatus"], opened["timeTaken"]), ("websocket-open", 101, 0.012))
        self.assertNotIn("closeCode", opened)
        self.assertEqual((ended["event"], ended["timeTaken"]), ("websocket-end", 3600.0))
        self.assertEqual((ended["messagesIn"], ended["messagesOut"]), (3, 4))
        self.assertEqual((ended["closeCode"], ended["closedBy"]), (1000, "client"))
        self.assertEqual(opened["transactionId"], ended["transactionId"])

    def test_ended_by_gateway(self) -> None:
        error = SessionEnded(1001, "idle for 30 s", "idle_timeout")
        line = self.line(websocket(close_code=1001, closed_by="gateway", cause=error.cause, error=error))
        self.assertEqual((line["cause"], line["reason"]), ("idle_timeout", "idle for 30 s"))

    def test_no_close_frame(self) -> None:
        self.assertIsNone(self.line(websocket(close_code=None))["closeCode"])

    def test_other_tunnel(self) -> None:
        tunnel = websocket(websocket=False)
        self.log.opened(tunnel)
        self.log.ended(tunnel)
        self.log.flush()
        events = [json.loads(line)["event"] for line in b"".join(self.sink.writes).splitlines()]
        self.assertEqual(events, ["tunnel-open", "tunnel-end"])

    def test_refused_handshake_is_an_exchange(self) -> None:
        self.assertEqual(self.line(outcome(status=403, upstream_status=403))["event"], "exchange")


class BufferTests(_LogCase):
    def test_written_after_a_second(self) -> None:
        self.log.ended(outcome())
        self.clock.advance(0.5)
        self.log.ended(outcome())
        self.assertEqual(self.sink.writes, [])
        self.clock.advance(0.5)
        self.assertEqual([data.count(b"\n") for data in self.sink.writes], [2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_log_has_no_timer(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_batch_is_written_at_once(self) -> None:
        for _ in range(200):
            self.log.ended(outcome())
        self.assertGreaterEqual(len(self.sink.writes), 1)
        self.assertLess(max(len(data) for data in self.sink.writes), 65536 + 2000)
        self.log.flush()
        self.assertEqual(b"".join(self.sink.writes).count(b"\n"), 200)

    def test_reopen_writes_to_the_old_file_first(self) -> None:
        self.log.ended(outcome())
        self.log.reopen()
        self.assertEqual((len(self.sink.writes), self.sink.done), (1, ["reopen"]))

    def test_close(self) -> None:
        self.log.ended(outcome())
        self.log.close()
        self.assertEqual((len(self.sink.writes), self.sink.done), (1, ["close"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OpenTests(SynchronousTestCase):
    def test_off(self) -> None:
        self.assertIsNone(open_access_log("off", Clock()))
        self.assertIsNone(open_access_log("", Clock()))

    def test_path(self) -> None:
        path = self.mktemp()
        log = open_access_log(path, Clock(), hide_queries=True)
        assert log is not None
        log.ended(outcome())
        log.close()
        with open(path) as written:
            self.assertEqual(json.loads(written.read())["requestQuery"], "-")

    def test_standard_output(self) -> None:
        reader, writer = os.pipe()
        saved = os.dup(1)
        self.addCleanup(os.close, reader)
        log = open_access_log("-", Clock())
        assert log is not None
        os.dup2(writer, 1)
        os.close(writer)
        try:
            log.ended(outcome())
            log.reopen()
        finally:
            os.dup2(saved, 1)
            os.close(saved)
        self.assertEqual(json.loads(os.read(reader, 65536))["httpStatus"], 200)
        log.close()
        self.assertEqual(b"", os.read(reader, 1))

    def test_log_of_the_process(self) -> None:
        """Asked for, or because the process has become a daemon since."""
        for word in ("log", "-"):
            lines: list[str] = []

            @provider(ILogObserver)
            def observe(event: Any, lines: list[str] = lines) -> None:
                if event["log_namespace"] == "gateway.access":
                    lines.append(formatEvent(event))

            globalLogPublisher.addObserver(observe)
            self.addCleanup(globalLogPublisher.removeObserver, observe)
            log = open_access_log(word, Clock())
            assert log is not None
            if word == "-":
                self.patch(os, "getpid", lambda: -1)
            log.ended(outcome(head=head("/{not a format}")))
            log.ended(outcome())
            log.close()
            self.assertEqual(["/{not a format}", "/a"], [json.loads(line)["requestUri"] for line in lines])

    def test_unwritable(self) -> None:
        self.assertRaises(OSError, open_access_log, self.mktemp() + "/no/such/directory", Clock())
