"""``gatewayctl reload``: asks a running gateway to read its configuration again."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, InvalidURL
from typing import Any, TextIO

__all__ = ["ask_to_reload"]

_SECONDS = 120.0
_MOST_BYTES = 1 << 20


def ask_to_reload(
    address: str, out: TextIO, err: TextIO, connect: Callable[..., Any] = HTTPConnection
) -> int:
    """Ask the admin port at ``HOST:PORT``, and say what came of it; returns the exit status.

    0: it has been reloaded; 1: it has not, and the old configuration goes on; 2: the address is none.
    """
    host, _, port = address.rpartition(":")
    try:
        if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
            raise InvalidURL(port)
        connection = connect(host.strip("[]") or "127.0.0.1", int(port), timeout=_SECONDS)
    except InvalidURL:  # of the host
        err.write(f"gatewayctl reload: {address}: right would be HOST:PORT, that of the gateway's --admin\n")
        return 2
    try:
        connection.request("POST", "/reload", b"{}", {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read(_MOST_BYTES))
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        err.write(f"gatewayctl reload: no answer of an admin port at {address}: {error}\n")
        return 1
    finally:
        connection.close()
    found = _understood(response.status, answer)
    if found is None:
        err.write(
            f"gatewayctl reload: what answers at {address} (status {response.status}) is not the gateway's admin port: "
            "nothing has been reloaded; give HOST:PORT of its --admin\n"
        )
        return 1
    reloaded, lines = found
    heading = "reloaded" if reloaded else "not reloaded, the old configuration goes on:"
    (out if reloaded else err).write("\n".join([heading, *(f"  {line}" for line in lines)]) + "\n")
    return 0 if reloaded else 1


def _understood(status: int, answer: object) -> tuple[bool, list[str]] | None:
    """Whether it was reloaded, and the lines that say what changed or why not; ``None`` if no gateway says this."""
    if not isinstance(answer, dict):
        return None
    reloaded = answer.get("reloaded")
    if reloaded is None and status != 200 and isinstance(answer.get("error"), str):
        return False, [answer["error"]]
    lines = answer.get("changed" if reloaded else "problems")
    if reloaded is not (status == 200) or not isinstance(lines, list):
        return None
    return (status == 200, lines) if all(isinstance(line, str) for line in lines) else None
