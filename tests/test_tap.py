"""Tests of `gateway.tap`: the command line, and how mistakes in it and in the configuration are told."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial import unittest
from zope.interface import implementer

from gateway import __version__, config, tap
from gateway.config.model import BackendSettings, Certificate, Gateway, HttpListener, Member, Pool, Rule
from gateway.config.options import CONFIGURATION_OPTIONS
from gateway.errors import ConfigurationError, Problem
from gateway.interfaces import IStrategyFactory
from gateway.lifecycle.preflight import checks
from gateway.lifecycle.startup import StartFailed
from gateway.service import GatewayService
from tests.certificates import TestCA, days


class OptionsTests(unittest.SynchronousTestCase):
    """`Options.parseOptions`."""

    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.patch(tap, "config", SimpleNamespace(load=self.load, from_command_line=config.from_command_line))

    def load(self, path: str, *, warnings: list[Problem], **given: Any) -> Gateway:
        """In the place of `gateway.config.load`."""
        self.checks = given.pop("checks")
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
        self.assertEqual(len(self.checks), len(checks()))
        self.assertEqual((options["access-log"], options["admin"], options["transport"]), ("-", None, "auto"))

    def test_read_again(self) -> None:
        """All that the command line says is applied again, also where a daemon has changed its directory."""
        options = self.parse("-c", "good", "--overrides", "o", "--map-port", "80=8080", "--map-backend", "a=b:1")
        model, notices = options.read()
        self.assertEqual(("loaded", 1), (model.name, len(notices)))
        self.assertEqual(self.loaded[0], self.loaded[1])
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir("/")
        options.read()
        path, given = self.loaded[2]
        self.assertEqual((os.path.join(here, "good"), os.path.join(here, "o")), (path, given["overrides"]))
        self.assertEqual((["80=8080"], ["a=b:1"]), (given["map_ports"], given["map_backends"]))

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
            (["--demo", "--workers", "none"], "--workers none: right would be a number from 1 to 256, or auto"),
            (["--demo", "--workers", "2"], "--demo runs in one process"),
            (["--nonsense"], "--nonsense"),
            (["--config"], "--config"),
            (["gateway.yaml"], "Wrong number of arguments"),
        ]:
            text = self.refused(*words)
            self.assertIn(part, text, words)
            self.assertLess(len(text.splitlines()), 5, words)
        self.assertEqual(self.loaded, [])

    def test_workers(self) -> None:
        """One process unless said otherwise."""
        self.assertEqual(1, self.parse("--demo").workers)
        self.assertEqual(3, self.parse("--config", "x", "--workers", "3").workers)
        self.assertLessEqual(1, self.parse("--config", "x", "--workers", "auto").workers)

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

    def test_queries(self) -> None:
        """They are in the access log, as in an Application Gateway's, unless they are not to be."""
        for words, hidden in ((["--demo"], False), (["--demo", "--hide-queries"], True)):
            self.assertEqual(hidden, bool(self.parse(*words)["hide-queries"]))

    def test_version(self) -> None:
        """Ours, not Twisted's."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        with self.assertRaises(SystemExit) as caught:
            self.parse("--version")
        self.assertEqual((caught.exception.code, stdout.getvalue()), (0, f"gateway {__version__}\n"))


@implementer(IStrategyFactory)
class Refusing:
    """A factory that makes nothing."""

    name, options = "refusing", None
    error: BaseException = KeyError()

    def build(self, options: Any, services: Any) -> Any:
        """See `IStrategyFactory`."""
        raise self.error


refusing = Refusing()


class RefusalTests(unittest.SynchronousTestCase):
    """A configuration that cannot be started: exit status 1 and sentences, wherever it comes out."""

    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)

    def test_before_the_start(self) -> None:
        """Certificates and strategies are checked together with the rest, when the options are read."""
        path = Path(self.mktemp())
        path.write_text(
            "listeners:\n  - {name: web, port: 0, protocol: Https, certificate: c}\n"
            "pools:\n  - {name: p, selector: round-robbin, backends: [127.0.0.1:9]}\n"
            "rules:\n  - {listener: web, pool: q}\n"
            f"certificates:\n  - {{name: c, data: {TestCA().issue().pkcs12('right')}, password: wrong}}\n"
        )
        with self.assertRaises(StartFailed) as caught:
            tap.Options().parseOptions(["--config", str(path)])
        self.assertEqual(caught.exception.code, 1)
        heading, *lines = self.stderr.getvalue().splitlines()
        self.assertEqual(heading, f"gateway: cannot start: {path}: 3 errors")
        for line, words in zip(
            lines,
            (
                "  line 4: pools[0].selector: there is no selector 'round-robbin'",
                "  line 6: rules[0].pool: there is no pool 'q'",
                "  line 8: certificates[0].password: `password` does not open `data`",
            ),
            strict=True,
        ):
            self.assertTrue(line.startswith(words), line)

    def test_warnings_become_notices(self) -> None:
        path = Path(self.mktemp())
        data = TestCA().issue(names=["a.test"], not_after=days(-1)).pkcs12()
        path.write_text(
            "listeners: [{name: web, port: 0, protocol: Https, certificate: c}]\n"
            "pools: [{name: p, backends: [127.0.0.1:9]}]\n"
            "rules: [{listener: web, pool: p}]\n"
            f"certificates: [{{name: c, data: {data}}}]\n"
        )
        options = tap.Options()
        options.parseOptions(["--config", str(path)])
        (notice,) = options.notices
        self.assertTrue(notice.startswith("line 4: certificates[0].data: CN=a.test expired on"), notice)

    def unchecked(self) -> Gateway:
        """A model that no check has seen."""
        return Gateway(
            listeners=(HttpListener(name="web", port=0, protocol="Https", certificates=("c",)),),
            certificates=(Certificate(name="c", data="-----BEGIN NOTHING-----"),),
            pools=(Pool(name="p", members=(Member(host="127.0.0.1"),), selector="nope"),),
            settings=(BackendSettings(name="s"),),
            rules=(Rule(name="r", listener="web", pool="p", settings="s"),),
        )

    def refused(self, model: Gateway) -> str:
        options = tap.Options()
        options.model = model
        with self.assertRaises(StartFailed) as caught:
            tap.makeService(options)
        self.assertEqual(caught.exception.code, 1)
        return self.stderr.getvalue()

    def test_unchecked_model(self) -> None:
        """`makeService` says what the service refuses."""
        text = self.refused(self.unchecked())
        self.assertIn("gateway: cannot start: configuration: 1 error\n  certificates[0].data: no certificate", text)

    def test_unchecked_strategy(self) -> None:
        plain = self.unchecked().model_copy(update={"listeners": (HttpListener(name="web", port=0),)})
        self.assertIn("\n  pools[0].selector: there is no selector 'nope'", self.refused(plain))

    def test_where_a_strategy_refuses_to_be_made(self) -> None:
        """That is said with file and line, as what the checks find."""
        path = Path(self.mktemp())
        path.write_text(
            "listeners: [{name: web, port: 0}]\n"
            "pools:\n  - name: p\n    backends: [127.0.0.1:9]\n    selector: tests.test_tap:refusing\n"
            "rules: [{listener: web, pool: p}]\n"
        )
        options = tap.Options()
        options.parseOptions(["--config", str(path)])
        for error, words in (
            (SystemExit(0), "build() failed: SystemExit: 0"), (KeyError("x"), "build() failed: KeyError: 'x'"),
            (ValueError(), "ValueError"),
        ):  # fmt: skip
            self.patch(refusing, "error", error)
            self.stderr.truncate(0)
            with self.assertRaises(StartFailed):
                tap.makeService(options)
            heading, line = self.stderr.getvalue().lstrip("\0").splitlines()
            self.assertEqual(f"gateway: cannot start: {path}: 1 error", heading)
            self.assertRegex(line, r"^  line [345]: pools\[0\]\.selector(Options)?: selector 'tests.test_tap:refusing'")
            self.assertTrue(line.endswith(f": {words}"), line)

    def test_a_port_that_is_taken(self) -> None:
        """The advice is one that the command line takes."""
        self.patch(tap, "settle", lambda *_: None)
        path = Path(self.mktemp())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            path.write_text(
                f"listeners: [{{name: web, address: 127.0.0.1, port: {port}}}]\n"
                "pools: [{name: p, backends: [127.0.0.1:9]}]\nrules: [{listener: web, pool: p}]\n"
            )
            for words, advice in (
                (["--listen", f"127.0.0.1:{port}", "--backend", "127.0.0.1:9"], "--listen"),
                (["--config", str(path)], f"--map-port {port}=NEW or in the configuration"),
            ):
                options = tap.Options()
                options.parseOptions([*words, "--access-log", "off"])
                service: Any = tap.makeService(options)
                self.stderr.truncate(0)
                self.assertRaises(StartFailed, service.privilegedStartService)
                self.assertTrue(self.stderr.getvalue().endswith(f" or take another port, with {advice})\n"))

    def test_defect(self) -> None:
        """What nobody has foreseen is a sentence too."""
        self.patch(tap.config, "load", lambda *_, **__: {}["x"])
        with self.assertRaises(StartFailed) as caught:
            tap.Options().parseOptions(["--config", "a.yaml"])
        self.assertEqual(caught.exception.code, 1)
        self.assertIn("cannot start: a.yaml: 1 error\n  this is a defect of the gateway (KeyE", self.stderr.getvalue())

    def test_service_alone(self) -> None:
        """Without `tap` it is an exception."""
        with self.assertRaises(ConfigurationError):
            GatewayService(self.unchecked(), reactor=MemoryReactorClock())

    def test_no_traceback(self) -> None:
        """``twistd`` itself: status 1, and nothing but sentences."""
        path = Path(self.mktemp())
        path.write_text(
            "listeners: [{name: web, port: 0}]\npools: [{name: p, selector: x, backends: [h]}]\n"
            "rules: [{listener: web, pool: p}]\n"
        )
        twistd = "from twisted.scripts.twistd import run; run()"
        done = subprocess.run(
            [sys.executable, "-c", twistd, "-n", "--pidfile=", "gateway", "--config", str(path.absolute())],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=Path(tap.__file__).parents[1],
        )
        self.assertEqual(done.returncode, 1, done)
        self.assertNotIn("Traceback", done.stderr + done.stdout)
        self.assertIn("1 error\n  line 2: pools[0].selector: there is no selector 'x'", done.stderr)
