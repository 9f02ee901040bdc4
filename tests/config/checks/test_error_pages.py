"""`gateway.config.checks.error_pages`."""

from __future__ import annotations

from tests.config.support import ConfigurationTestCase
from tests.config.test_error_pages import YAML


class ErrorPageTests(ConfigurationTestCase):
    """What cannot be a page."""

    def test_refused(self) -> None:
        for page, words in (
            (
                "{status: 418, url: 'http://a/'}",
                "found 418, expected one of 400, 403, 404, 405, 408, 499, 500, 502, 503, 504",
            ),
            ("{status: 502}", "an error page has neither of 'url' and 'file'"),
            ("{status: 502, url: 'http://a/', file: c.yaml}", "an error page has both of 'url' and 'file'"),
            ("{status: 502, url: 'ftp://a/'}", "a page is fetched from an absolute URL, http:// or https://"),
            ("{status: 502, url: 'http://a b/'}", "a page is fetched from an absolute URL, http:// or https://"),
            ("{status: 502, file: missing.html}", "there is no file"),
        ):
            found = [item for item in self.refused(f"{YAML}  - {page}\n") if words in item]
            self.assertEqual(len(found), 1, (page, found))
        self.load(YAML + "  - {status: 499, url: 'http://a/'}\n")
        self.warned("nobody gets its page")
        twice = "  - {status: 502, url: 'http://a/'}\n" * 2
        self.assertIn("two error pages for status 502", self.refused_once(YAML + twice))
