"""Which answers to a probe are healthy."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["StatusCodes"]

_range = re.compile(r"\s*([1-9][0-9]{2})\s*(?:-\s*([1-9][0-9]{2})\s*)?")


class StatusCodes:
    """Codes and ranges such as ``200`` and ``200-399``; ``str()`` gives them back.

    Raises ``ValueError`` with a sentence for what is neither.
    """

    def __init__(self, codes: Iterable[str]) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._text = ", ".join([code.strip() for code in codes])
        for code in codes:
            found = _range.fullmatch(code)
            first, last = (int(found[1]), int(found[2] or found[1])) if found is not None else (1, 0)
            if first > last:
                raise ValueError(f"{code!r} is not a status code or a range of them like 200-399")
            self._ranges.append((first, last))

    def __contains__(self, status: int) -> bool:
        return any([first <= status <= last for first, last in self._ranges])

    def __str__(self) -> str:
        return self._text
