"""Outcomes, pools and sessions for the tests of this room."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from gateway.config.model import BackendSettings
from gateway.errors import SessionEnded
from gateway.interfaces import ISession
from gateway.values import Outcome, Peer, RequestHead, Route

SETTINGS = BackendSettings.model_validate({"name": "fast"})


class Backend:
    """The attributes of an `IBackend`."""

    weight = 1
    active = 0
    ejected = ""
    ejections = 0

    def __init__(self, host: str = "10.0.0.4", port: int = 80, state: str = "up") -> None:
        self.name = f"{host}:{port}"
        self.host = self.connect_host = host
        self.port = self.connect_port = port
        self.state = state
        self.healthy = state == "up"
        self.reason = "it answered" if self.healthy else "it did not answer"


class Pool:
    """The attributes of an `IPool`."""

    def __init__(self, name: str = "chat", settings: BackendSettings = SETTINGS, *backends: Backend) -> None:
        self.name = name
        self.settings = settings
        self.backends = backends or (Backend(),)
        self.candidates = tuple(backend for backend in self.backends if backend.healthy)


def route(pool: Pool | None = None, **changes: Any) -> Route:
    chosen = pool if pool is not None else Pool()
    return Route("web", "rule", chosen, chosen.settings)._replace(**changes)  # type: ignore[arg-type]


def head(target: str = "/a?b=c", host: str = "example.com", **fields: str) -> RequestHead:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    index = {name.lower(): value for name, value in pairs}
    return RequestHead("GET", target, "1.1", host, pairs, index)


def outcome(**changes: Any) -> Outcome:
    """A request that went well; ``changes`` replace what is to differ."""
    known: dict[str, Any] = {
        "head": head(User_Agent="test/1"),
        "peer": Peer("192.0.2.1", 51234),
        "trace_id": "0123456789abcdef",
        "listener": "web",
        "route": route(),
        "backend": Backend(),
        "attempts": 1,
        "status": 200,
        "upstream_status": 200,
        "content_type": "text/html",
        "started": 100.0,
        "connected": 100.002,
        "responded": 100.012,
        "ended": 100.02,
        "received_bytes": 300,
        "sent_bytes": 5000,
    }
    known.update(changes)
    return Outcome(**known)


def websocket(**changes: Any) -> Outcome:
    """A session that the client closed."""
    known: dict[str, Any] = {
        "status": 101, "upstream_status": 101, "websocket": True, "ended": 3700.0, "messages_in": 3, "messages_out": 4,
        "close_code": 1000, "closed_by": "client",
    }  # fmt: skip
    known.update(changes)
    return outcome(**known)


@implementer(ISession)
class Session:
    """An open session that ends as soon as it is told, unless ``stubborn``."""

    def __init__(self, sessions: Any = None, stubborn: bool = False, **changes: Any) -> None:
        self.outcome = websocket(**changes)
        self.ended: list[SessionEnded] = []
        self.snapshots = 0
        self._sessions = sessions
        self._stubborn = stubborn

    def snapshot(self) -> None:
        self.snapshots += 1

    def end(self, error: SessionEnded) -> None:
        self.ended.append(error)
        if self._sessions is not None and not self._stubborn:
            self._sessions.remove(self)
