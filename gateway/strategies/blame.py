"""Sentences about strategies that cannot be used."""

from __future__ import annotations

from zope.interface.exceptions import Invalid

from gateway.errors import ConfigurationError, Problem

__all__ = ["brief", "printable", "sentence", "text_of", "wrong"]

_MOST_TEXT = 500
_MOST_QUOTED = 4000


def wrong(path: str, message: str) -> ConfigurationError:
    """One problem at ``path``."""
    return ConfigurationError([Problem(path, message)])


def brief(error: BaseException) -> str:
    """What was raised: its type, and its text if it has one."""
    return f"{type(error).__name__}: {text_of(error)}"[:_MOST_TEXT].removesuffix(": ")


def text_of(error: BaseException) -> str:
    """Its text in one line, whatever its class makes of that; it may quote a peer."""
    try:
        text = str(error)[:_MOST_QUOTED]
    except BaseException:
        return "(its text cannot be shown)"
    return printable(text)


def printable(text: str) -> str:
    """``text`` in one line, with escapes for what cannot be shown."""
    return text if text.isprintable() else repr(text)[1:-1]


def sentence(error: Invalid) -> str:
    """The text of zope's error in one line."""
    return " ".join(str(error).split())[:_MOST_TEXT]
