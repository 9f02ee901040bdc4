"""Keeps the values of secure parameters out of what is said about a document."""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.errors import Problem

__all__ = ["Redactor"]

_HEAD = 16
_HIDDEN = "(not shown)"


class Redactor:
    """Takes secrets out of problems. ``secrets`` may still grow; a beginning of a long one counts as it."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = secrets

    def __call__(self, problem: Problem) -> Problem:
        message = problem.message
        for secret in self._secrets:
            for spelled in {secret, repr(secret)[1:-1]}:
                if spelled[:_HEAD] in message:
                    rest = r"[^\s']*" if len(spelled) > _HEAD else ""
                    message = re.sub(re.escape(spelled[:_HEAD]) + rest, _HIDDEN, message)
        return problem if message == problem.message else problem._replace(message=message)
