"""Keeps the values of secure parameters out of what is said about a document."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from gateway.errors import Problem

__all__ = ["Redactor"]

_HEAD = 16
_HIDDEN = "(not shown)"


class Redactor:
    """Takes secrets out of problems and other text.

    ``secrets`` may still grow; a beginning of a long one counts as it, and so does one in other case, as hosts have it.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = secrets

    def __call__(self, problem: Problem) -> Problem:
        message = self.text(problem.message)
        return problem if message == problem.message else problem._replace(message=message)

    def text(self, text: str) -> str:
        """The same without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):  # one may be a part of another
            for spelled in {secret, repr(secret)[1:-1]}:
                head = spelled[:_HEAD]
                if head.lower() in text.lower():
                    rest = r"[^\s']*" if head != spelled else ""
                    parts = f"{re.escape(spelled)}|{re.escape(head)}{rest}"
                    text = re.sub(parts, _HIDDEN, text, flags=re.IGNORECASE)
        return text

    def document(self, value: Any) -> Any:
        """The same for what is to be written as JSON."""
        if isinstance(value, dict):
            return {key: self.document(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.document(item) for item in value]
        return self.text(value) if isinstance(value, str) else value
