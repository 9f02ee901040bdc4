"""The TCP probe: a connection that can be made, and if wanted an answer with some text in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.health.check import MOST_BYTES, Check, ConnectingProbe, parts, quoted
from gateway.interfaces import IStrategyFactory
from gateway.services import Options

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.services import Services

__all__ = ["TcpOptions", "TcpProbe", "factory"]


class TcpOptions(Options):
    """Without `expect` a connection is enough; with the protocol Https or Tls that includes the TLS handshake."""

    send: str = Field(default="", max_length=4096, description="Text to send once connected, in UTF-8.")
    expect: str = Field(
        default="", max_length=4096, description="Text that the answer must contain, in its first 64 KiB."
    )


class TcpProbe(ConnectingProbe):
    """Connect, perhaps send a text, perhaps wait for one."""

    def __init__(self, options: TcpOptions, *others: Any) -> None:
        super().__init__(*others)
        self._options = options

    def make_check(self, backend: IBackend) -> Check:
        """See `ConnectingProbe.make_check`."""
        return _TcpCheck(self._options, self.probe.secure, self.clock)


class _TcpCheck(Check):
    def __init__(self, options: TcpOptions, secure: bool, clock: Any) -> None:
        super().__init__(clock)
        self._options = options
        self._connected = "the TLS connection was made" if secure else "the connection was made"
        self._needle = options.expect.encode("utf-8")
        self._answer = bytearray()

    def begin(self) -> None:
        """Send, and be content if nothing is expected."""
        if self._options.send:
            self.transport.write(self._options.send.encode("utf-8"))
        if not self._needle:
            self.finish(True, self._connected)

    def received(self, data: bytes) -> None:
        """Look for the text, also where it came in pieces."""
        searched = max(len(self._answer) - len(self._needle) + 1, 0)
        self._answer += data[: MOST_BYTES - len(self._answer)]
        if self._answer.find(self._needle, searched) >= 0:
            self.finish(True, f"{self._connected} and the answer has the expected text")
        elif len(self._answer) >= MOST_BYTES:
            self.finish(False, self._lacking(f" in its first {MOST_BYTES} bytes"))

    def ended(self, reason: Failure) -> None:
        """It said what it had to say."""
        if self._answer:
            self.finish(False, self._lacking("; the connection ended"))
        else:
            super().ended(reason)

    def _lacking(self, detail: str) -> str:
        return f"{self._connected}, but the answer lacks {quoted(self._options.expect)}{detail}"


@implementer(IStrategyFactory)
class _Factory:
    name = "tcp"
    options = TcpOptions

    def build(self, options: TcpOptions, services: Services) -> TcpProbe:
        return TcpProbe(options, *parts(services, "TCP"))


factory = _Factory()
