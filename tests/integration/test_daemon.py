"""``twistd gateway`` without ``-n``: a daemon has no standard output, and keeps nobody else's."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from tests.integration.harness import GatewayTestCase, RawBackend
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.shell import free_ports
from tests.integration.wire import Late, Wire

ROOT = Path(__file__).resolve().parents[2]


class DaemonTests(GatewayTestCase):
    """A real daemon."""

    async def test_access_log_goes_to_the_log_of_the_daemon(self) -> None:
        for more in ((), ("--workers", "2")):
            await self.daemon(*more)

    async def test_a_hang_up_reloads_and_a_second_signal_ends_the_wait(self) -> None:
        for more in ((), ("--workers", "2")):
            asked: list[str] = []
            backend = await self.backend(partial(_answer_unless_slow, asked))
            directory, pid, port = await self.start(backend, *more)
            log = partial((directory / "log").read_text, "utf-8")
            self.assertEqual(200, await self.answer(port))
            os.kill(pid, signal.SIGHUP)
            await _until(partial(_has, log, "the configuration has been reloaded"))
            self.assertEqual(200, await self.answer(port))
            client = await self.connected(port)
            client.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            await _until(partial(asked.__contains__, "/slow"))
            os.kill(pid, signal.SIGTERM)
            await _until(partial(_has, log, "stopping: "))
            os.kill(pid, signal.SIGTERM)
            self.assertEqual(503, (await read_response(client)).status)
            await _until(partial(_gone, directory))
            self.assertNotIn("Traceback", log())

    async def daemon(self, *more: str) -> None:
        """Start one, ask it something, end it, and look."""
        directory, pid, port = await self.start(await self.backend(Answers()), *more)
        self.assertEqual(200, await self.answer(port))
        client = await self.connected(port)
        client.write(b"GET /long?%b HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n\r\n" % (b'"' * 3000, b'"' * 4000))
        self.assertEqual(200, (await read_response(client)).status)
        client.close()
        os.kill(pid, signal.SIGTERM)
        await _until(partial(_gone, directory))
        log = (directory / "log").read_text("utf-8")
        found = [json.loads(line) for line in re.findall(r'\[gateway\.access#info\] (\{"timeStamp".*)$', log, re.M)]
        seen = {line["requestUri"]: (line["httpStatus"], line["userAgent"]) for line in found}
        self.assertEqual({"/hello": (200, ""), "/long": (200, '"' * 4000)}, seen, log)

    async def start(self, backend: RawBackend, *more: str) -> tuple[Path, int, int]:
        """Start one; its directory, process and port."""
        from twisted.internet import reactor

        directory = Path(self.mktemp())
        directory.mkdir()
        (port,) = free_ports(1)
        words = [
            "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=pid", "--logfile=log", "gateway",
            "--listen", f"tcp:{port}", "--backend", f"http://127.0.0.1:{backend.port}", *more,
        ]  # fmt: skip
        # Fires when the launcher has ended and nobody holds its standard output any more.
        launched = getProcessOutputAndValue(
            sys.executable, words, env=dict(os.environ, PYTHONPATH=str(ROOT)), path=str(directory), reactor=reactor
        )
        out, err, code = await launched.addTimeout(40, reactor)
        self.assertEqual((b"", 0), (out, code), err)
        pid = int((directory / "pid").read_text())
        self.addCleanup(_end, directory / "pid", pid)
        return directory, pid, port

    async def connected(self, port: int) -> Wire:
        """A connection that is ended with the test."""
        from twisted.internet import reactor
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

        wire = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Wire("client", reactor))
        self.addCleanup(self._client_over, wire)
        return wire

    async def answer(self, port: int) -> int:
        """Ask until the gateway serves; the status."""
        from twisted.internet import reactor
        from twisted.internet.error import ConnectError

        for _ in range(400):
            try:
                wire = await self.connected(port)
            except ConnectError:
                await deferLater(reactor, 0.05)
                continue
            wire.write(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            status = (await read_response(wire)).status
            if status != 502:
                return status
            await deferLater(reactor, 0.05)
        raise Late("the daemon does not serve")


async def _answer_unless_slow(asked: list[str], wire: Wire) -> None:
    """An answer to everything but ``/slow``."""
    while True:
        asked.append((await read_request(wire)).target)
        if asked[-1] != "/slow":
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _has(log: Callable[[], str], text: str) -> bool:
    return text in log()


def _gone(directory: Path) -> bool:
    return not (directory / "pid").exists()


async def _until(test: Callable[[], bool]) -> None:
    from twisted.internet import reactor

    for _ in range(400):
        if test():
            return
        await deferLater(reactor, 0.05)
    raise Late("the daemon did not end")


def _end(file: Path, pid: int) -> None:
    if file.exists():
        os.kill(pid, signal.SIGKILL)
