"""Error pages (reference §2.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import ErrorPage, Gateway

__all__ = ["find"]

_URL = re.compile(r"https?://[^/\s?#@]+(?:[/?][^\s#]*)?", re.IGNORECASE)


def find(gateway: Gateway) -> Iterator[Finding]:
    """Everything that is wrong; whether files are there is looked at where paths are known."""
    yield from _pages(("error_pages",), gateway.error_pages)
    for index, listener in enumerate(gateway.listeners):
        yield from _pages(("listeners", index, "error_pages"), listener.error_pages)


def _pages(at: Location, pages: Sequence[ErrorPage]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, page in enumerate(pages):
        here = (*at, index)
        if page.status in seen:
            yield Finding((*here, "status"), f"there are two error pages for status {page.status}")
        seen.add(page.status)
        if page.status == "499":
            yield warning((*here, "status"), "status 499 is for clients that have left: nobody gets its page")
        if (page.url is None) == (page.file is None):
            found = "neither" if page.url is None else "both"
            yield Finding(here, f"an error page has {found} of 'url' and 'file'; give exactly one")
        elif page.url is not None and _URL.fullmatch(page.url) is None:
            message = f"found {page.url[:80]!r}; a page is fetched from an absolute URL, http:// or https://"
            yield Finding((*here, "url"), message)
