"""What a probe has found, made fit to be shown: it may be a stranger's."""

from __future__ import annotations

import math

from gateway.strategies.blame import printable
from gateway.values import ProbeResult

__all__ = ["checked"]

_MOST_REASON = 500
_MOST_STATUS = 1 << 31


def checked(result: object) -> ProbeResult:
    """``result`` with a reason of one line that is not too long. Raises whatever is wrong with it.

    ``seconds`` are 0, for not known, where they are no time, as after a step of the clock that the probe has looked at.
    """
    if not isinstance(result, ProbeResult):
        raise TypeError(f"check() gave {type(result).__name__!r} instead of a ProbeResult")
    healthy, reason, status, seconds, conclusive = result
    if status is not None and not (isinstance(status, int) and abs(status) < _MOST_STATUS):
        raise TypeError(f"check() gave a ProbeResult whose status is {type(status).__name__}; it is a number or None")
    if not isinstance(seconds, (int, float)):
        raise TypeError(f"check() gave a ProbeResult whose seconds are {type(seconds).__name__}; they are a number")
    text = printable(str(reason)[:_MOST_REASON])[:_MOST_REASON]
    took = seconds if math.isfinite(seconds) and seconds > 0 else 0.0
    return ProbeResult(bool(healthy), text, None if status is None else int(status), float(took), bool(conclusive))
