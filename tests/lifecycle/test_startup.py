"""Tests of `gateway.lifecycle.startup`: the sentences, and the exit status under each program that runs a service."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.trial import unittest

from gateway.lifecycle.startup import CannotBind, PortToBind, StartFailed, bind_or_none, cannot_bind, refuse

ROOT = Path(__file__).resolve().parents[2]

_PLUGIN = """
from twisted.application.service import ServiceMaker
sample = ServiceMaker("sample", "startup_sample", "binds a port", "sample")
"""

_SAMPLE = """
from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python import usage
from gateway.lifecycle.startup import CannotBind, PortToBind, bind_or_none, give_up, refuse

class Options(usage.Options):
    optParameters = [["port", None, None, None, int]]

class Sample(Service):
    ports = ()
    def __init__(self, port):
        endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        self.binding = PortToBind("web", "127.0.0.1", port, endpoint, Factory())
    def privilegedStartService(self):
        try:
            self.ports = [None] if self.binding.port == 1 else bind_or_none([self.binding])
        except CannotBind as error:
            refuse(error.problems)
    def startService(self):
        if not self.ports:
            self.privilegedStartService()
        super().startService()
        if self.binding.port == 1:
            reactor.callLater(0, give_up, reactor, ["it is no use"])
        else:
            reactor.callLater(0, reactor.stop)

def makeService(options):
    return Sample(options["port"])
"""


class _Port:
    stopped = False

    def stopListening(self) -> None:
        self.stopped = True


class _Endpoint:
    def __init__(self, result: Deferred) -> None:
        self.result = result

    def listen(self, factory: Factory) -> Deferred:
        return self.result


def _busy(port: int) -> CannotListenError:
    return CannotListenError("127.0.0.1", port, OSError(errno.EADDRINUSE, "Address already in use"))


class SentenceTests(unittest.SynchronousTestCase):
    """What the operator reads."""

    def test_port_in_use(self) -> None:
        """Listener, place, reason and remedy."""
        text = cannot_bind("web", "", 8080, _busy(8080))
        self.assertEqual(
            text,
            "listener 'web': cannot listen on *:8080: Address already in use (another program has the port; stop it "
            "(`ss -ltnp` names it) or take another port, with --map-port 8080=NEW or in the configuration)",
        )

    def test_admin(self) -> None:
        """The port of the admin page is chosen by another option."""
        text = cannot_bind("admin", "127.0.0.1", 8081, _busy(8081), "--admin HOST:PORT")
        self.assertTrue(text.endswith("or take another port, with --admin HOST:PORT)"), text)
        self.assertNotIn("--map-port", text)

    def test_ipv6_and_plain_errors(self) -> None:
        """An IPv6 address gets brackets; an error without errno still says something."""
        denied = PermissionError(errno.EACCES, "Permission denied")
        self.assertIn("cannot listen on [::1]:80: Permission denied (ports below", cannot_bind("a", "::1", 80, denied))
        self.assertEqual(cannot_bind("a", "h", 1, ValueError("odd")), "listener 'a': cannot listen on h:1: odd")
        self.assertEqual(cannot_bind("a", "h", 1, ValueError()), "listener 'a': cannot listen on h:1: ValueError")


class BindTests(unittest.SynchronousTestCase):
    """`bind_or_none` binds all ports or none."""

    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)

    def binding(self, name: str, result: Deferred) -> PortToBind:
        return PortToBind(name, "127.0.0.1", 8080, _Endpoint(result), Factory())  # type: ignore[arg-type]

    def test_all_bound(self) -> None:
        """The ports come back in order."""
        one, two = _Port(), _Port()
        self.assertEqual(bind_or_none([self.binding("a", succeed(one)), self.binding("b", succeed(two))]), [one, two])

    def test_every_failure_is_told_and_nothing_stays_bound(self) -> None:
        """Two of three fail: both are named, the third is closed again."""
        port = _Port()
        with self.assertRaises(CannotBind) as caught:
            bind_or_none(
                [self.binding("a", fail(_busy(1))), self.binding("b", succeed(port)), self.binding("c", fail(_busy(2)))]
            )
        self.assertTrue(port.stopped)
        one, two = caught.exception.problems
        self.assertTrue(one.startswith("listener 'a': ") and two.startswith("listener 'c': "), str(caught.exception))

    def test_an_endpoint_that_waits_is_an_error(self) -> None:
        """It would otherwise start without that port."""
        with self.assertRaises(CannotBind) as caught:
            bind_or_none([self.binding("a", Deferred())])
        self.assertIn("did not answer at once", str(caught.exception))

    def test_heading(self) -> None:
        """The first line can be chosen; the exit status is 1."""
        with self.assertRaises(StartFailed) as caught:
            refuse(["x", "y"], "gateway: no")
        self.assertEqual((caught.exception.code, caught.exception.problems), (1, ("x", "y")))
        self.assertEqual(self.stderr.getvalue(), "gateway: no\n  x\n  y\n")
        self.assertRaises(StartFailed, refuse, ["z"])
        self.assertTrue(self.stderr.getvalue().endswith("gateway: cannot start\n  z\n"))


class RunnerTests(unittest.TestCase):
    """Real processes: a port that is taken ends each of them with status 1 and no traceback."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        plugins = self.directory / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "startup_sample_plugin.py").write_text(_PLUGIN, "utf-8")
        (self.directory / "startup_sample.py").write_text(_SAMPLE, "utf-8")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        self.taken = taken.getsockname()[1]

    def run_sample(self, program: list[str], port: int, *options: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.directory), str(ROOT)])
        return subprocess.run(
            [sys.executable, *program, *options, "sample", "--port", str(port)],
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=dict(os.environ, PYTHONPATH=path),
            timeout=60,
            check=False,
        )

    def check_refused(self, done: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        place = rf"127\.0\.0\.1:{self.taken}"
        self.assertRegex(done.stderr, rf"gateway: cannot start\n  listener 'web': .*{place}: Address already in use")

    TWISTD = ["-c", "from twisted.scripts.twistd import run; run()"]

    def test_twistd_in_the_foreground(self) -> None:
        """Standard error has the sentence, the pid file is gone."""
        self.check_refused(self.run_sample(self.TWISTD, self.taken, "-n"))
        self.assertFalse((self.directory / "twistd.pid").exists())

    def test_twist(self) -> None:
        """`python -m twisted` never calls privilegedStartService, and has not begun to log yet."""
        self.check_refused(self.run_sample(["-m", "twisted"], self.taken))

    def test_twistd_as_a_daemon(self) -> None:
        """The parent says the beginning of the sentence and exits with 1; the log has all of it."""
        done = self.run_sample(self.TWISTD, self.taken, "--pidfile=sample.pid", "--logfile=sample.log")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("listener 'web': cannot listen", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        log = (self.directory / "sample.log").read_text("utf-8")
        self.assertTrue(re.search(rf"cannot start: listener 'web': .*:{self.taken}: Address already in use", log), log)
        self.has_ended(self.directory / "sample.pid")
        self.assertFalse((self.directory / "sample.pid").exists())

    def has_ended(self, pid_file: Path) -> None:
        """Wait for a daemon whose parent has gone already, and which may still be about to remove its pid file."""
        try:
            process = os.pidfd_open(int(pid_file.read_text("ascii")))
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        self.addCleanup(os.close, process)
        self.assertTrue(select.select([process], [], [], 60)[0], "the daemon has not ended")

    def test_given_up(self) -> None:
        """What shows only later ends them with status 1 as well, and the pid file is gone."""
        for program in ([*self.TWISTD, "-n"], ["-m", "twisted"]):
            done = self.run_sample(program, 1)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("gateway: cannot start\n  it is no use\n", done.stderr)
            self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertFalse((self.directory / "twistd.pid").exists())

    def test_a_free_port_starts(self) -> None:
        """The same sample ends with 0 where it can bind: the tests above fail for the reason they name."""
        for program in ([*self.TWISTD, "-n"], ["-m", "twisted"]):
            done = self.run_sample(program, 0)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
