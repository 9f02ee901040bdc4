"""The state that all demo backends share: who is in the chat, what was said, and which backend feigns illness.

Everything lives in one process, so a request or a socket may reach either backend and find the same room.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.logger import Logger

__all__ = ["Backend", "COLOURS", "FAIL_SECONDS", "Room", "Visitor"]

COLOURS = ("blue", "green", "amber", "violet", "red", "teal")
"""Names of the backends; the page draws each in its colour."""

FAIL_SECONDS = 120.0
"""A backend comes back by itself after this long: with all of them out, nobody could reach the control any more."""

_log = Logger()

_HISTORY = 50
_VISITORS = 200


class Visitor(Protocol):
    """A socket in the chat."""

    id: int
    backend: str

    def tell(self, message: dict[str, Any]) -> None:
        """Send it a message."""


class Backend(NamedTuple):
    """One embedded backend, as the room knows it."""

    name: str
    host: str
    port: int


class Room:
    """``clock`` is an ``IReactorTime``; ``wall`` gives seconds since 1970."""

    def __init__(self, clock: Any, wall: Callable[[], float] = time.time) -> None:
        self.backends: dict[str, Backend] = {}
        self.pool_state: Callable[[], list[dict[str, Any]]] | None = None
        self._clock = clock
        self._wall = wall
        self._failing: dict[str, Any] = {}
        self._visitors: dict[int, Visitor] = {}
        self._history: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._last_visitor = 0
        self._last_message = 0

    # -- health

    def failing(self, name: str) -> bool:
        """Whether a backend answers its probe with 503."""
        return name in self._failing

    def fail(self, name: str) -> None:
        """Make a backend fail its probe, for two minutes at most. Raises ``KeyError`` for an unknown one."""
        self._set(name, self._clock.callLater(FAIL_SECONDS, self.recover, name))

    def recover(self, name: str) -> None:
        """Let a backend answer its probe with 200 again. Raises ``KeyError`` for an unknown one."""
        self._set(name, None)

    def _set(self, name: str, comes_back: Any) -> None:
        if name not in self.backends:
            if comes_back is not None:
                comes_back.cancel()
            raise KeyError(name)
        before = self._failing.pop(name, None)
        if before is not None and before.active():
            before.cancel()
        if comes_back is not None:
            self._failing[name] = comes_back
        self.tell_state()

    def state(self) -> list[dict[str, Any]]:
        """Every backend: its switch, its sockets, and what the gateway thinks of it (``None`` where nobody says)."""
        seen = self._seen_by_gateway()
        return [
            {
                "name": backend.name,
                "address": f"{backend.host}:{backend.port}",
                "failing": backend.name in self._failing,
                "comesBackIn": self._comes_back_in(backend.name),
                "sockets": sum(visitor.backend == backend.name for visitor in self._visitors.values()),
                "gateway": seen.get(f"{backend.host}:{backend.port}"),
            }
            for backend in self.backends.values()
        ]

    def _seen_by_gateway(self) -> dict[str, dict[str, Any]]:
        """The gateway's view of each backend by its address; nothing if it cannot be had."""
        try:
            pools = self.pool_state() if self.pool_state is not None else []
            return {member["address"]: member for pool in pools for member in pool["backends"]}
        except Exception:
            _log.failure("the gateway's view of the pool cannot be had")
            return {}

    def _comes_back_in(self, name: str) -> int | None:
        call = self._failing.get(name)
        return None if call is None else round(call.getTime() - self._clock.seconds())

    def tell_state(self) -> None:
        """Push the state to every socket."""
        if self._visitors:
            self.tell_all({"type": "state", "backends": self.state()})

    # -- chat

    @property
    def full(self) -> bool:
        """No further visitor is let in."""
        return len(self._visitors) >= _VISITORS

    def next_id(self) -> int:
        """The number of a new visitor."""
        self._last_visitor += 1
        return self._last_visitor

    def join(self, visitor: Visitor) -> None:
        """Greet a visitor and tell the others."""
        self._visitors[visitor.id] = visitor
        visitor.tell(
            {
                "type": "hello",
                "id": visitor.id,
                "backend": visitor.backend,
                "visitors": [_card(other) for other in self._visitors.values()],
                "history": list(self._history),
                "backends": self.state(),
            }
        )
        self.tell_all({"type": "joined", "visitor": _card(visitor)}, but=visitor)
        self.tell_state()

    def leave(self, visitor: Visitor) -> None:
        """A visitor's socket has ended."""
        if self._visitors.pop(visitor.id, None) is not None:
            self.tell_all({"type": "left", "visitor": _card(visitor)})
            self.tell_state()

    def say(self, visitor: Visitor, text: str) -> None:
        """Pass a visitor's words to everybody, the speaker included."""
        self._last_message += 1
        message = {
            "type": "message",
            "number": self._last_message,
            "from": visitor.id,
            "backend": visitor.backend,
            "text": text,
            "time": round(self._wall() * 1000),
        }
        self._history.append(message)
        self.tell_all(message)

    def tell_all(self, message: dict[str, Any], but: Visitor | None = None) -> None:
        """Send a message to every visitor."""
        for visitor in tuple(self._visitors.values()):
            if visitor is not but:
                visitor.tell(message)

    def visitors(self) -> tuple[Visitor, ...]:
        """Everybody in the room."""
        return tuple(self._visitors.values())

    def close(self) -> None:
        """Cancel what is still due."""
        for call in self._failing.values():
            if call.active():
                call.cancel()
        self._failing.clear()


def _card(visitor: Visitor) -> dict[str, Any]:
    return {"id": visitor.id, "backend": visitor.backend}
