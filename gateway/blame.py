"""Sentences about strategies that cannot be used."""

from __future__ import annotations

from zope.interface.exceptions import Invalid

from gateway.errors import ConfigurationError, Problem

__all__ = ["brief", "sentence", "wrong"]

_MOST_TEXT = 500


def wrong(path: str, message: str) -> ConfigurationError:
    """One problem at ``path``."""
    return ConfigurationError([Problem(path, message)])


def brief(error: Exception) -> str:
    """What was raised."""
    return f"{type(error).__name__}: {error}"[:_MOST_TEXT]


def sentence(error: Invalid) -> str:
    """The text of zope's error in one line."""
    return " ".join(str(error).split())[:_MOST_TEXT]
