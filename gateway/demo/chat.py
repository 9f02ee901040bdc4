"""The WebSocket side of a demo backend: an Autobahn server protocol that stands for one visitor.

Messages are JSON objects in text frames.  From the visitor: ``{"type": "say", "text": …}`` and ``{"type": "fail" |
"recover", "backend": name}``; to the visitor: ``hello``, ``joined``, ``left``, ``message``, ``state`` and ``error``.
Close codes: 1003 for binary, 1007 for what is not JSON, 1008 for nonsense and floods, 1009 for what is too big, 1001 at
the end of the demo.
"""

from __future__ import annotations

import json
from typing import Any, cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from zope.interface import implementer

from gateway.demo.room import Room

__all__ = ["ChatFactory", "ChatProtocol", "LONGEST_TEXT"]

LONGEST_TEXT = 500
"""Characters of one chat message."""

_LARGEST_MESSAGE = 4096
_BURST = 10.0
_PER_SECOND = 2.0
_MISSED = 200
_CLOSE_SECONDS = 3.0


@implementer(IPushProducer)
class ChatProtocol(WebSocketServerProtocol):
    """One visitor. ``id`` is its number in the room, ``backend`` the name of the backend that serves it."""

    id = 0
    backend = ""
    _cutting: Any = None
    gone: Deferred[None] | None = None
    """Fires when the connection has ended, for who waits for that."""

    def onOpen(self) -> None:
        factory = self.factory
        self.backend = factory.backend
        self._allowance = _BURST
        self._refilled = factory.reactor.seconds()
        self._slow = False
        self._missed = 0
        if factory.room.full:
            self.close(1013, "the demo is full")
            return
        self.registerProducer(self, True)
        self.id = factory.room.next_id()
        factory.room.join(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            self.close(1003, "text messages only")
            return
        if not self._may_speak():
            self.close(1008, "too many messages")
            return
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            self.close(1007, "a message is a JSON object")
            return
        if not isinstance(message, dict) or not self._handle(message):
            self.close(1008, "this message means nothing here")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._cutting is not None and self._cutting.active():
            self._cutting.cancel()
        self.factory.room.leave(self)
        gone, self.gone = self.gone, None
        if gone is not None:
            gone.callback(None)

    def _handle(self, message: dict[str, Any]) -> bool:
        """Do what a message says; false if it says nothing."""
        room: Room = self.factory.room
        kind = message.get("type")
        if kind == "say":
            text = message.get("text")
            if not isinstance(text, str):
                return False
            text = text.strip()
            if len(text) > LONGEST_TEXT:
                self.tell({"type": "error", "text": f"a message has at most {LONGEST_TEXT} characters"})
            elif text:
                room.say(self, text)
            return True
        name = message.get("backend")
        if kind in ("fail", "recover") and isinstance(name, str) and name in room.backends:
            (room.fail if kind == "fail" else room.recover)(name)
            return True
        return False

    def _may_speak(self) -> bool:
        """A token bucket: bursts are people, floods are not."""
        now = self.factory.reactor.seconds()
        self._allowance = min(_BURST, self._allowance + (now - self._refilled) * _PER_SECOND)
        self._refilled = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message; who does not read misses the state at first, and is cut off in the end."""
        if self.state != self.STATE_OPEN:
            return
        if self._slow:
            self._missed += 1
            if self._missed > _MISSED:
                self.cut()
                return
            if message["type"] == "state":
                return
        self.sendMessage(json.dumps(message, separators=(",", ":")).encode())

    def close(self, code: int, reason: str) -> None:
        """Close with any code: ``sendClose`` has only 1000 and those above 3000."""
        self.sendCloseFrame(code, reason.encode())

    def cut(self) -> None:
        """Let go of the connection at once."""
        cast(ITCPTransport, self.transport).abortConnection()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """As Autobahn's, with a time limit for the answer on this factory's own reactor."""
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if self._cutting is None:
            self._cutting = self.factory.reactor.callLater(_CLOSE_SECONDS, self.cut)

    def dropConnection(self, abort: bool = False) -> None:
        """Never by a reset: it could overtake the close frame that was just sent."""
        super().dropConnection(False)

    def pauseProducing(self) -> None:
        self._slow = True

    def resumeProducing(self) -> None:
        self._slow = False
        self._missed = 0

    def stopProducing(self) -> None:
        self._slow = True


class ChatFactory(WebSocketServerFactory):
    """Builds `ChatProtocol` for one backend."""

    protocol = ChatProtocol
    noisy = False

    def __init__(self, reactor: Any, room: Room, backend: str) -> None:
        super().__init__(reactor=reactor, server="gateway demo")
        self.room = room
        self.backend = backend
        # A violation is answered with its close code and not by cutting the connection.  Autobahn's timers are off, for
        # they run on the process's reactor, not on this one: the handshake is complete already, closing has its own.
        self.setProtocolOptions(
            failByDrop=False,
            maxMessagePayloadSize=_LARGEST_MESSAGE,
            maxFramePayloadSize=_LARGEST_MESSAGE,
            allowNullOrigin=True,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            echoCloseCodeReason=True,
        )
