"""Tests of `gateway.tap`: the command line, and how mistakes in it and in the configuration are told."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

from twisted.trial import unittest

from gateway import __version__, config, tap
from gateway.config.model import Gateway
from gateway.config.options import CONFIGURATION_OPTIONS
from gateway.errors import ConfigurationError, Problem
from gateway.startup import StartFailed


class OptionsTests(unittest.SynchronousTestCase):
    """`Options.parseOptions`."""

    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.patch(tap, "config", SimpleNamespace(load=self.load, from_command_line=config.from_command_line))

    def load(self, path: str, *, warnings: list[Problem], **given: Any) -> Gateway:
        """In the place of `gateway.config.load`."""
        self.loaded.append((path, given))
        if path == "bad":
            problems = [Problem("rules[0].pool", "'x' is not a pool", 7), Problem("listeners", "is empty")]
            raise ConfigurationError(problems, "bad")
        warnings.append(Problem("settings[0]", "short", severity="warning"))
        return Gateway(name="loaded")

    def parse(self, *words: str) -> tap.Options:
        options = tap.Options()
        options.parseOptions(list(words))
        return options

    def refused(self, *words: str) -> str:
        """What is printed; the status must be 1."""
        with self.assertRaises(StartFailed) as caught:
            self.parse(*words)
        self.assertEqual(caught.exception.code, 1)
        text = self.stderr.getvalue()
        self.stderr.truncate(0)
        self.stderr.seek(0)
        return text

    def test_config(self) -> None:
        """All that goes with a file is passed on; warnings become notices."""
        options = self.parse(
            *("--config", "a.json", "--parameters", "p1", "--parameters", "p2", "--overrides", "o.yaml"),
            *("--map-port", "80=8080", "--map-port", "443=8443", "--map-backend", "10.0.0.4=127.0.0.1:9001"),
        )
        ((path, given),) = self.loaded
        self.assertEqual(path, "a.json")
        self.assertEqual(
            given,
            {
                "parameters": ["p1", "p2"],
                "overrides": "o.yaml",
                "map_ports": ["80=8080", "443=8443"],
                "map_backends": ["10.0.0.4=127.0.0.1:9001"],
            },
        )
        assert options.model is not None
        self.assertEqual(options.model.name, "loaded")
        self.assertEqual(options.notices, ("settings[0]: short",))
        self.assertEqual((options["access-log"], options["admin"], options["transport"]), ("-", None, "auto"))

    def test_no_file(self) -> None:
        """Listeners and backends on the command line."""
        options = self.parse("--listen", "tcp:8080", "--backend", "http://127.0.0.1:9001", "--backend", "http://b")
        assert options.model is not None
        self.assertEqual([member.host for member in options.model.pools[0].members], ["127.0.0.1", "b"])

    def test_demo_has_no_model_yet(self) -> None:
        """It depends on the ports that its backends get."""
        self.assertIsNone(self.parse("--demo").model)

    def test_configuration_errors(self) -> None:
        """All of them, each with its path and line, and nothing else."""
        self.assertEqual(
            self.refused("--config", "bad"),
            "gateway: cannot start: bad: 2 errors\n  line 7: rules[0].pool: 'x' is not a pool\n  listeners: is empty\n",
        )
        self.assertIn("command line: 1 error\n  --backend: missing", self.refused("--listen", "tcp:8080"))

    def test_nothing_to_do(self) -> None:
        """The three ways to start are shown."""
        text = self.refused()
        for word in ("--demo", "--listen tcp:8080 --backend", "--config gateway.yaml", "--help"):
            self.assertIn(word, text)

    def test_mistakes(self) -> None:
        """Each is named; there are no pages of help."""
        for words, part in [
            (["--demo", "--config", "x"], "--demo and --config exclude each other"),
            (["--config", "x", "--listen", "tcp:1", "--backend", "a"], "--config and --listen exclude each other"),
            (["--config", "x", "--backend", "http://a"], "--backend goes with --listen, not with --config"),
            (["--demo", "--map-port", "80=8080"], "--map-port goes with --config"),
            (["--demo", "--parameters", "x"], "--parameters goes with --config"),
            (["--demo", "--transport", "fast"], "right would be auto, pump or twisted"),
            (["--demo", "--admin", "nowhere"], "--admin nowhere: right would be"),
            (["--demo", "--access-log", "/no/such/directory/log"], "--access-log /no/such/directory/log"),
            (["--nonsense"], "--nonsense"),
            (["--config"], "--config"),
            (["gateway.yaml"], "Wrong number of arguments"),
        ]:
            text = self.refused(*words)
            self.assertIn(part, text, words)
            self.assertLess(len(text.splitlines()), 5, words)
        self.assertEqual(self.loaded, [])

    def test_admin_address(self) -> None:
        """Loopback unless said otherwise."""
        for text, expected in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("tcp:8081", "127.0.0.1:8081"),
            ("8081", "127.0.0.1:8081"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:81", "0.0.0.0:81"),
            ("[::1]:8081", "[::1]:8081"),
        ]:
            self.assertEqual(self.parse("--demo", "--admin", text)["admin"], expected)

    def test_every_option_of_the_configuration_is_offered(self) -> None:
        """The same ones as `gatewayctl` offers."""
        for option in CONFIGURATION_OPTIONS:
            self.assertIn(option.name + "=", tap.Options().longOpt)

    def test_access_log_path_is_absolute(self) -> None:
        """A daemon changes its directory before it opens the file."""
        self.assertTrue(self.parse("--demo", "--access-log", "access.log")["access-log"].startswith("/"))
        self.assertEqual(self.parse("--demo", "--access-log", "off")["access-log"], "off")

    def test_version(self) -> None:
        """Ours, not Twisted's."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        with self.assertRaises(SystemExit) as caught:
            self.parse("--version")
        self.assertEqual((caught.exception.code, stdout.getvalue()), (0, f"gateway {__version__}\n"))
