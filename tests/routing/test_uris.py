"""`gateway.routing.uris`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.routing.uris import clean


class CleanTests(SynchronousTestCase):
    """Only what may stand in a URI stays as it is."""

    def test_forms(self) -> None:
        for text, expected in (
            ("/a?b=c&d=%20", "/a?b=c&d=%20"),
            ("/a b", "/a%20b"),
            ("/\r\nX: y", "/%0D%0AX:%20y"),
            ("/\xe9", "/%E9"),
            ("/\u20ac", "/%E2%82%AC"),
            ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ):
            self.assertEqual(clean(text), expected)
