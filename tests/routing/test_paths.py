"""`gateway.routing.paths`."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.routing.paths import PathMap, decoded, folded, literal


def paths(*patterns: str) -> PathMap[str]:
    return PathMap([(pattern, pattern) for pattern in patterns], "default")


class DecodedTests(SynchronousTestCase):
    """One form for all spellings of a path."""

    def test_forms(self) -> None:
        for sent, expected in (
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/abc%2Fdef", "/abc/def"),
            ("/%61dmin", "/admin"),
            ("/%2561dmin", "/%61dmin"),
            ("//admin", "/admin"),
            ("/a///b", "/a/b"),
            ("/a/../admin", "/admin"),
            ("/a/%2e%2E/admin", "/admin"),
            ("/a%2f..%2fadmin", "/admin"),
            ("/./admin/.", "/admin/"),
            ("/a/b/..", "/a/"),
            ("/../../admin", "/admin"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
            ("/%zz%", "/%zz%"),
            ("/x\\..\\admin", "/admin"),
            ("/x%5C..%5cadmin", "/admin"),
            ("/x/..;y=1/admin;z", "/admin;z"),
            ("/x/.;/y", "/x/y"),
            ("/x/y/..;", "/x/"),
            ("/caf%C3%A9", "/café"),
            ("/caf\xc3\xa9", "/café"),
            ("*", "*"),
        ):
            self.assertEqual(decoded(sent), expected, sent)

    def test_not_utf8(self) -> None:
        """Bytes that are no text stay apart from each other."""
        self.assertNotEqual(decoded("/%ff"), decoded("/%fe"))
        self.assertEqual(decoded("/%ff").encode("utf-8", "surrogateescape"), b"/\xff")

    @given(st.text(alphabet=st.characters(max_codepoint=255), max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_no_dots_left(self, rest: str) -> None:
        """No path keeps a dot segment, and none becomes something that is no path."""
        result = decoded("/" + rest)
        self.assertTrue(result.startswith("/"))
        self.assertFalse({".", ".."} & set(result.split("/")), result)
        self.assertNotIn("//", result)

    @given(st.lists(st.text(alphabet="aB.é ", min_size=1, max_size=4), max_size=5))
    @settings(max_examples=100, deadline=None)
    def test_encoding_does_not_matter(self, segments: list[str]) -> None:
        plain = "/" + "/".join(segments)
        sent = plain.encode("utf-8").decode("latin-1")
        self.assertEqual(folded(quote(plain)), folded(sent))


class PathMapTests(SynchronousTestCase):
    """Which rule it is."""

    def test_prefix(self) -> None:
        found = paths("/images/*", "/video*")
        for target, value in (
            ("/images/a.png", "/images/*"),
            ("/images/", "/images/*"),
            ("/images", "default"),
            ("/IMAGES/A", "/images/*"),
            ("/video", "/video*"),
            ("/videos/x?y=/images/", "/video*"),
            ("/", "default"),
            ("/x/images/", "default"),
            ("*", "default"),
        ):
            self.assertEqual(found.find(target), value, target)

    def test_exact(self) -> None:
        found = paths("/a.b", "/Docs/")
        for target, value in (("/a.b", "/a.b"), ("/a.b?x", "/a.b"), ("/axb", "default"), ("/a.b/", "default"),
                              ("/a.b\n", "default"), ("/docs/", "/Docs/"), ("/docs/x", "default")):  # fmt: skip
            self.assertEqual(found.find(target), value, target)

    def test_order(self) -> None:
        """The first in the list, also where a later one fits better."""
        self.assertEqual(paths("/*", "/images/*").find("/images/a"), "/*")
        self.assertEqual(paths("/images/*", "/*").find("/images/a"), "/images/*")

    def test_no_way_around(self) -> None:
        """Other spellings of a path do not get past its rule."""
        found = paths("/admin*")
        for target in (
            "/%61dmin",
            "//admin",
            "/x/../admin",
            "/x/%2e%2e/admin",
            "/./admin",
            "/x%2f..%2fADMIN",
            "/ADMIN/",
        ):
            self.assertEqual(found.find(target), "/admin*", target)
        self.assertEqual(found.find("/admin/../public"), "default")

    def test_encoded_pattern(self) -> None:
        found = paths("/my%20files/*", "/größe/*")
        self.assertEqual(found.find("/my%20files/x"), "/my%20files/*")
        self.assertEqual(found.find("/gr%C3%B6%C3%9Fe/x"), "/größe/*")

    def test_many(self) -> None:
        patterns = [f"/p{number}/*" for number in range(300)]
        found = paths(*patterns)
        for number in (0, 150, 299):
            self.assertEqual(found.find(f"/p{number}/x"), patterns[number])

    def test_none(self) -> None:
        self.assertEqual(paths().find("/"), "default")

    def test_literal(self) -> None:
        self.assertEqual([literal(pattern) for pattern in ("/a*", "/a/*", "/a", "/*")], ["/a", "/a/", "/a", "/"])
