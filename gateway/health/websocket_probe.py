"""The WebSocket probe: a real session, as a client would open it, with a ping that must come back."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from zope.interface import implementer

from gateway.health.check import ConnectingProbe, parts
from gateway.health.http_probe import probe_host
from gateway.health.websocket_check import WebSocketCheck
from gateway.http.faults import TOKEN
from gateway.interfaces import IStrategyFactory
from gateway.routing.uris import clean
from gateway.services import Options
from gateway.values import RequestHead

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.services import Services

__all__ = ["WebSocketOptions", "WebSocketProbe", "factory"]

_ORIGIN = re.compile(r"[\x21-\x7e]*")


class WebSocketOptions(Options):
    """Without options the handshake must succeed and a ping must be answered."""

    subprotocol: str | None = Field(default=None, max_length=200, description="Offered, and must be chosen.")
    origin: str | None = Field(default=None, max_length=400, description="The Origin to send; none if not given.")
    ping: bool = Field(default=True, description="Send a ping with a random payload and wait for its pong.")
    pong_timeout: float | None = Field(
        default=None, gt=0, le=86400, description="Seconds from the ping to its pong; default: the probe's timeout."
    )
    send: str | None = Field(default=None, max_length=4096, description="Text message to send after the handshake.")
    expect: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Text that one of the messages that come must contain."
    )

    @field_validator("subprotocol")
    @classmethod
    def _is_token(cls, value: str | None) -> str | None:
        if value is not None and TOKEN.fullmatch(value) is None:
            raise ValueError("a subprotocol is one word without commas, quotes or spaces")
        return value

    @field_validator("origin")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is not None and _ORIGIN.fullmatch(value) is None:
            raise ValueError("an origin is like https://app.example")
        return value


class WebSocketProbe(ConnectingProbe):
    """Opens a session to ``path`` of the probe, over TLS where its protocol is Https, and closes it properly."""

    def __init__(self, options: WebSocketOptions, *others: Any) -> None:
        super().__init__(*others)
        self._options = options

    def make_check(self, backend: IBackend) -> WebSocketCheck:
        """See `ConnectingProbe.make_check`."""
        request = self._request(backend)
        lines = "".join([f"{name}: {value}\r\n" for name, value in request.fields])
        data = f"{request.method} {request.target} HTTP/1.1\r\n{lines}\r\n".encode("ascii")
        return WebSocketCheck(data, request, self._options, self.clock)

    def _request(self, backend: IBackend) -> RequestHead:
        options = self._options
        host = clean(probe_host(self.probe, self.settings, backend.host))
        fields = [
            ("Host", host),
            ("User-Agent", "gateway-health-probe"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", b64encode(os.urandom(16)).decode("ascii")),
        ]
        if options.subprotocol is not None:
            fields.append(("Sec-WebSocket-Protocol", options.subprotocol))
        if options.origin is not None:
            fields.append(("Origin", options.origin))
        index = {name.lower(): value for name, value in fields}
        return RequestHead("GET", clean(self.probe.path), "1.1", host, fields, index, upgrade="websocket")


@implementer(IStrategyFactory)
class _Factory:
    name = "websocket"
    options = WebSocketOptions

    def build(self, options: WebSocketOptions, services: Services) -> WebSocketProbe:
        return WebSocketProbe(options, *parts(services, "WebSocket"))


factory = _Factory()
