"""Plain values for JSON."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.observe.reports import config_report, pool_report, readiness, session_report
from gateway.values import ProbeResult
from tests.observe.examples import SETTINGS, Backend, Pool, Session, head


class _Probes:
    def history(self, pool: Pool, backend: Backend) -> list[tuple[float, ProbeResult]]:
        return [(1700000000.5, ProbeResult(backend.healthy, backend.reason, 200, 0.0012345))]


class PoolTests(SynchronousTestCase):
    def test_pool(self) -> None:
        pool = Pool("chat", SETTINGS, Backend(), Backend("2001:db8::1", 81, "down"))
        report = pool_report(pool, _Probes())  # type: ignore[arg-type]
        self.assertEqual(
            (report["pool"], report["settings"], report["healthy"], report["total"]), ("chat", "fast", 1, 2)
        )
        self.assertEqual(report["backends"][0]["address"], "10.0.0.4:80")
        self.assertEqual((report["backends"][0]["ejected"], report["backends"][0]["ejections"]), (False, 0))
        down = report["backends"][1]
        self.assertEqual(
            (down["state"], down["address"], down["reason"]), ("down", "[2001:db8::1]:81", "it did not answer")
        )
        self.assertEqual(
            down["probes"],
            [{"at": "2023-11-14T22:13:20.500Z", "healthy": False, "reason": "it did not answer", "status": 200,
              "seconds": 0.001234}],
        )  # fmt: skip
        json.dumps(report)

    def test_without_probes(self) -> None:
        self.assertEqual(pool_report(Pool())["backends"][0]["probes"], [])  # type: ignore[arg-type]

    def test_kept_by_min_servers(self) -> None:
        pool = Pool("chat", SETTINGS, Backend(state="down"), Backend("10.0.0.5", state="down"))
        pool.candidates = pool.backends[:1]
        report = pool_report(pool)  # type: ignore[arg-type]
        self.assertEqual((report["healthy"], report["serving"], report["total"]), (0, 1, 2))
        self.assertEqual([backend["serving"] for backend in report["backends"]], [True, False])

    def test_ready(self) -> None:
        up, down = Pool("up", SETTINGS), Pool("down", SETTINGS, Backend(state="down"))
        kept = Pool("kept", SETTINGS, Backend(state="down"))
        kept.candidates = kept.backends
        for pools, ready, said in (
            ([Pool("p", SETTINGS, Backend(), Backend(state="down"))], True, "all backends have been probed"),
            ([up, down], True, "all backends have been probed; no backend may be chosen in down (settings fast)"),
            ([kept], True, "all backends have been probed"),
            ([down], False, "no pool has a backend that may be chosen: down (settings fast)"),
            ([down] * 5, False, "no pool has a backend that may be chosen: down (settings fast), "),
            ([], True, "all backends have been probed"),
        ):
            found, reason = readiness(pools)
            self.assertEqual((ready, said), (found, reason[: len(said)]))  # type: ignore[arg-type]
        waiting = [Pool("p", SETTINGS, Backend(), *(Backend("h", n, "unknown") for n in range(1, 6)))]
        ready, reason = readiness(waiting)  # type: ignore[arg-type]
        self.assertFalse(ready)
        self.assertEqual(reason, "the first probe has not come back from h:1 of p, h:2 of p, h:3 of p and 2 more")


class SessionTests(SynchronousTestCase):
    def test_session(self) -> None:
        session = Session(head=head("/chat?token=s3cret"))
        report = session_report(7, session, 130.5)
        self.assertEqual(session.snapshots, 1)
        self.assertEqual(report["id"], 7)
        self.assertEqual(report["age"], 30.5)
        self.assertEqual(
            (report["peer"], report["pool"], report["backend"]), ("192.0.2.1:51234", "chat", "10.0.0.4:80")
        )
        self.assertEqual((report["path"], report["kind"]), ("/chat", "websocket"))
        self.assertNotIn("s3cret", json.dumps(report))

    def test_barely_known(self) -> None:
        report = session_report(1, Session(head=None, route=None, backend=None, websocket=False), 0.0)
        self.assertEqual((report["pool"], report["backend"], report["age"], report["kind"]), ("", "", 0.0, "tunnel"))


class ConfigTests(SynchronousTestCase):
    def test_defaults_are_filled_in(self) -> None:
        report = config_report(Gateway.model_validate({"settings": [{"name": "s"}]}))
        self.assertEqual(report["settings"][0]["requestTimeout"], 30)
        self.assertIs(report["settings"][0]["validateSNI"], True)
        self.assertIsNone(report["settings"][0]["webSocketIdleTimeout"])

    def test_secrets(self) -> None:
        model = Gateway.model_validate(
            {
                "certificates": [
                    {"name": "c", "data": "UEZY-s3cret", "password": "s3cret", "key_file": "/etc/key.pem"},
                    {"name": "empty"},
                ],
                "pools": [
                    {"name": "p", "selectorOptions": {"apiKey": "s3cret", "inner": [{"Password": "s3cret"}], "size": 3}}
                ],
                "redirects": [{"name": "r", "target_url": "https://user:s3cret@example.com/"}],
            }
        )
        report = config_report(model)
        self.assertNotIn("s3cret", json.dumps(report))
        self.assertEqual(report["certificates"][0]["keyFile"], "/etc/key.pem")
        self.assertEqual(report["certificates"][0]["password"], "(not shown)")
        self.assertIsNone(report["certificates"][1]["password"])
        self.assertEqual(report["pools"][0]["selectorOptions"]["size"], 3)
        self.assertEqual(report["redirects"][0]["targetUrl"], "https://(not shown)@example.com/")
