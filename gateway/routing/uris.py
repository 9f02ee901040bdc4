"""Text that goes into a URI."""

from __future__ import annotations

import re
from urllib.parse import quote

__all__ = ["clean"]

_SAFE = "!#$%&'()*+,/:;=?@[]~-._"
_unsafe = re.compile(r"[^!#$%&'()*+,/0-9:;=?@A-Z\[\]_a-z~.-]")


def clean(text: str) -> str:
    """Percent-encode what may not stand in a URI (RFC 3986 §2), line ends and spaces above all.

    What is encoded already is left alone.  Text from the wire is latin-1, one character for each byte; other text is
    encoded as UTF-8.
    """
    if not _unsafe.search(text):
        return text
    try:
        return quote(text.encode("latin-1"), safe=_SAFE)
    except UnicodeEncodeError:
        return quote(text, safe=_SAFE)
