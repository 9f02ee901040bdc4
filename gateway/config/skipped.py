"""What a document says and nobody reads: named once for each member and reason, with the objects that have it."""

from __future__ import annotations

from gateway.config.arm_tables import NOT_HONOURED, SPELLING, Field
from gateway.config.cursor import Cursor
from gateway.config.tree import nearest

__all__ = ["Skipped"]


class Skipped:
    """Collects what is left unread, for the report."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, list[str]]] = {}

    def skip(self, cursor: Cursor, member: str, title: str, known: dict[str, Field]) -> None:
        """Name what is not read: known and not honoured, or not known at all."""
        if cursor.is_empty():
            return
        spelled = cursor.place.path.rsplit(".", 1)[-1]
        if member in NOT_HONOURED:
            self.name(spelled, NOT_HONOURED[member], title)
            return
        close = nearest(member, known, 0.85)
        if close is not None:
            cursor.fail(f"unknown key {spelled!r}; did you mean {SPELLING.get(close, close)!r}?")
        else:
            self.name(spelled, "this member is not known here and has no effect", title)

    def name(self, spelled: str, reason: str, title: str) -> None:
        """Note that ``spelled`` of the object ``title`` is not read; ``title`` may be empty."""
        names = self._found.setdefault((spelled.casefold(), reason), (spelled, []))[1]
        if title and title not in names:
            names.append(title)

    def sentences(self) -> list[str]:
        """One for each member and reason."""
        sentences = []
        for (_, reason), (what, names) in self._found.items():
            where = f" ({', '.join(names[:6])}{', …' if len(names) > 6 else ''})" if names else ""
            sentences.append(f"{what}{where}: {reason}.")
        return sentences
