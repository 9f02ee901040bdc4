"""The demonstration as a person starts it."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial import unittest

from gateway.demo.service import hold_port
from tests.integration.shell import Shell, missing


class DemoTests(unittest.TestCase):
    """`twistd -n gateway --demo`, and the same with `python -m twisted`."""

    skip = missing()
    timeout = 60

    def serve(self, program: str) -> None:
        directory = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        shell = Shell(directory, {0: 0})  # the demonstration finds a port by itself
        self.addCleanup(shell.close)
        shell.run(f".venv/bin/{program} gateway --demo --access-log off &")
        shell.expect("grep -c 'open  *http' output-1.txt", "1")
        url = re.search(r"open +(http://127\.0\.0\.1:[0-9]+/)", shell.outputs())
        assert url is not None
        self.assertIn("<html", shell.run(f"curl -s {url[1]}").lower())
        seen = {shell.run(f"curl -s {url[1]}api/whoami") for _ in range(4)}
        self.assertEqual(len(seen), 2, seen)
        self.assertRegex(shell.run("kill %1; wait %1; tail -n 3 output-1.txt"), "Main loop terminated|Shut Down")
        self.assertNotIn("Traceback", shell.outputs())

    def test_twistd(self) -> None:
        """Says what to open once it serves; the two backends take turns; ends at SIGTERM."""
        self.serve("twistd -n --pidfile=")

    def test_twist(self) -> None:
        """Which logs JSON where its output is no terminal."""
        self.serve("python -m twisted --log-format=text")


class PortTests(unittest.SynchronousTestCase):
    """`hold_port`."""

    def test_skips_what_is_taken(self) -> None:
        """The next one is held instead; any, where there is none; nobody else gets it meanwhile."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with hold_port(port, 5) as near, hold_port(port, 1) as any_port, hold_port(port, 5) as next_one:
                found = {held.getsockname()[1] for held in (near, any_port, next_one)}
            self.assertEqual(len(found | {port}), 4)
