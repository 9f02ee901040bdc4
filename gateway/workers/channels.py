"""Connections on their way from one worker to another: a message for each, with its descriptor (unix(7))."""

from __future__ import annotations

import json
import socket
from socket import recv_fds, send_fds
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.lifecycle.ports import PortKey

__all__ = ["channel", "pass_on", "receive"]

_MOST = 4096
"""Bytes of a message."""


def channel() -> tuple[socket.socket, socket.socket]:
    """An end to receive from and one to send to, which any number of processes may hold.

    What waits stays in order and whole, and until the last receiving end is closed.
    """
    receiving, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receiving.setblocking(False)
    sending.setblocking(False)
    return receiving, sending


def pass_on(sending: socket.socket, place: PortKey, sock: socket.socket) -> bool:
    """Send a connection that was accepted at a port; ``False`` if that cannot be done, or not at once."""
    try:
        send_fds(sending, [json.dumps(place).encode()], [sock.fileno()])
    except OSError:
        return False
    return True


def receive(receiving: socket.socket) -> tuple[PortKey, socket.socket | None]:
    """A connection and the port that it is for.

    The connection is lost, and ``None``, where this process has no descriptor left for it.  Raises ``BlockingIOError``
    if nothing is there, ``EOFError`` if nothing ever will be.
    """
    data, descriptors, _, _ = recv_fds(receiving, _MOST, 1)
    if not data:
        raise EOFError
    address, port, listener = json.loads(data)
    sock = socket.socket(fileno=descriptors[0]) if descriptors else None
    return (address, port, listener), sock
