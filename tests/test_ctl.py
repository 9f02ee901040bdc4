"""Tests of `gateway.ctl`."""

from __future__ import annotations

import io
import json
import subprocess
import sys

from gateway.ctl import main, summary
from tests.config.support import ConfigurationTestCase, properties
from tests.config.test_compact import SIX_LINES


class CheckTests(ConfigurationTestCase):
    """``gatewayctl check``."""

    def run_check(self, *arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        status = main(["check", *arguments], out)
        return status, out.getvalue()

    def test_good(self) -> None:
        path = self.write(SIX_LINES)
        status, text = self.run_check(path)
        self.assertEqual(status, 0)
        self.assertEqual(
            text.splitlines(),
            [
                f"{path}: ok, 'gateway' would run:",
                "  listener web: http://*:8080 -> pool chat (default), rule rule1",
                "  pool chat: 127.0.0.1:9001, 127.0.0.1:9002",
            ],
        )

    def test_all_options(self) -> None:
        """Warnings, what is not honoured, and mappings in the summary."""
        document = properties()
        document["sku"] = {"name": "WAF_v2"}
        document["backendHttpSettingsCollection"][0]["properties"]["requestTimeout"] = 20
        overrides = self.write("ports: {80: 8080}")
        status, text = self.run_check(
            *(self.write(document), "--map-backend", "10.0.0.4=127.0.0.1:9001"),
            *("--map-port", "81=1", "--overrides", overrides),
        )  # fmt: skip
        self.assertEqual(status, 0)
        self.assertIn("2 warnings:", text)
        self.assertIn("requestTimeout: 20 s is also the idle limit", text)
        self.assertIn("accepted, but not honoured:\n  sku:", text)
        self.assertIn("listener web: http://*:8080 -> pool chat (plain), rule rule", text)
        self.assertIn("pool chat: 10.0.0.4 (at 127.0.0.1:9001), b.test", text)

    def test_bad(self) -> None:
        path = self.write(SIX_LINES.replace("port: 8080", "port: x").replace("pool: chat}", "pool: c}"))
        status, text = self.run_check(path)
        self.assertEqual(status, 1)
        self.assertTrue(text.startswith(f"{path}: 2 errors\n  line 2: listeners[0].port: found 'x'"), text)

    def test_json(self) -> None:
        """The same for machines."""
        status, text = self.run_check(self.write(SIX_LINES), "--format", "json")
        document = json.loads(text)
        self.assertEqual((status, document["ok"], document["errors"]), (0, True, []))
        self.assertEqual(document["summary"]["listeners"][0]["port"], 8080)
        status, text = self.run_check(self.write("listeners: [{port: 0}]"), "--format", "json")
        document = json.loads(text)
        self.assertEqual((status, document["ok"]), (1, False))
        self.assertEqual(document["errors"][0]["message"], "there are no rules, so nothing would be served")
        self.assertEqual(set(document["errors"][0]), {"path", "line", "message", "severity"})

    def test_no_secrets(self) -> None:
        """Nothing of a certificate is printed."""
        document = properties()
        document["sslCertificates"] = [{"name": "c", "properties": {"data": "hunter2", "password": "hunter3"}}]
        for form in ("text", "json"):
            self.assertNotIn("hunter", self.run_check(self.write(document), "--format", form)[1])

    def test_usage(self) -> None:
        self.patch(sys, "stderr", io.StringIO())
        for arguments in ([], ["check"], ["check", "x", "--nope"], ["nope"]):
            with self.assertRaises(SystemExit) as caught:
                main(arguments)
            self.assertEqual(caught.exception.code, 2)

    def test_targets(self) -> None:
        """Redirects, path maps, and listeners without a rule."""
        text = """
listeners: [{name: a, port: 1}, {name: b, port: 2, hostName: x.test, address: '::1'}, {name: c, port: 3}]
pools: [{name: p}]
redirects: [{name: r, targetUrl: 'https://x.test'}]
pathMaps: [{name: m, defaultPool: p}]
rules: [{listener: a, redirect: r}, {listener: b, pathMap: m}]
"""
        self.assertEqual(
            summary(self.load(text)),
            [
                "listener a: http://*:1 -> redirect r, rule rule1",
                "listener b: http://[::1]:2 for x.test -> path map m, rule rule2",
                "listener c: http://*:3 -> nothing",
                "pool p: no members",
            ],
        )

    def test_as_module(self) -> None:
        """``python -m gateway.ctl`` and its exit status."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.ctl", "check", "/nonexistent"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("/nonexistent: 1 error\n  cannot read the file: No such file or directory", done.stdout)
