"""Writes a line for each message: who sent how much, and, where that is asked for, the beginning of its text.

Text of messages is what people say to each other, passwords and tokens included.  None is written unless ``text`` says
how much, and the file is readable for its owner and group only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from json import dumps
from typing import Any, Literal

from pydantic import Field

from gateway.filters.base import Factory, Filter, SideOptions, size_of
from gateway.observe.sinks import FileSink, StreamSink
from gateway.values import Outcome

__all__ = ["LogTap", "LogTapOptions", "factory"]


class LogTapOptions(SideOptions):
    """What is written, and where."""

    sender: Literal["client", "backend", "both"] = Field(default="both", description="Whose messages it looks at.")
    file: str = Field(default="-", min_length=1, description="Path of the file, `-` for standard output.")
    text: int = Field(
        default=0, ge=0, le=65536, description="Characters of each text message that are written; they may be secrets."
    )


class LogTap(Filter):
    """Opens its file with the first session, and closes it with the last: so a reload leaves none behind."""

    def __init__(self, options: LogTapOptions, services: Any = None) -> None:
        self.options = options
        self._sink: FileSink | StreamSink | None = None
        self._sessions = 0
        try:
            self._open().close()
        except OSError as error:
            raise ValueError(f"cannot write to {options.file}: {error.strerror}") from error

    def _open(self) -> FileSink | StreamSink:
        return StreamSink() if self.options.file == "-" else FileSink(self.options.file)

    def open(self, conversation: Any) -> _Session:
        """See `IMessageFilter.open`. Raises ``OSError`` where the file cannot be opened any more."""
        if self._sink is None:
            self._sink = self._open()
        self._sessions += 1
        return _Session(self, conversation)

    def write(self, line: dict[str, object]) -> None:
        """One line of JSON."""
        if self._sink is not None:
            self._sink.write(f"{dumps(line)}\n".encode())

    def left(self) -> None:
        """A session is over."""
        self._sessions -= 1
        if not self._sessions and self._sink is not None:
            self._sink.close()
            self._sink = None


class _Session(Filter):
    def __init__(self, tap: LogTap, conversation: Any) -> None:
        self._tap = tap
        self._known = conversation

    def message(self, payload: str | bytes, from_client: bool) -> None:
        """See `IMessages.message`."""
        options = self._tap.options
        if not options.concerns(from_client):
            return
        line: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "traceId": self._known.trace_id,
            "user": self._known.user,
            "sender": "client" if from_client else "backend",
            "kind": "text" if isinstance(payload, str) else "binary",
            "bytes": size_of(payload),
        }
        if options.text and isinstance(payload, str):
            line["text"] = payload[: options.text]
        self._tap.write(line)

    def closed(self, outcome: Outcome) -> None:
        """See `IMessages.closed`."""
        self._tap.left()


factory = Factory("log-tap", LogTapOptions, LogTap)
