"""`gateway.routing.paths`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import AmbiguousPath
from gateway.routing.paths import PathMap, literal


def paths(*patterns: str) -> PathMap[str]:
    return PathMap([(pattern, pattern) for pattern in patterns], "default")


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
            "/\\admin",
            "/ADMIN/",
            "/;x/admin",
            "/admin;/../admin",
        ):
            self.assertEqual(found.find(target), "/admin*", target)

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

    def test_names(self) -> None:
        """It does not matter which pattern of a rule a path is read as."""
        rules = [("/a/*", 1), ("/b/*", 2), ("/c/*", 3)]
        self.assertEqual(PathMap(rules, 0, ["ab", "ab", "c"]).find("/a/../b/x"), 2)
        self.assertRaises(AmbiguousPath, PathMap(rules, 0, ["ab", "ab", "c"]).find, "/a/../c/x")
        self.assertRaises(AmbiguousPath, PathMap(rules, 0).find, "/a/../b/x")
        self.assertIs(PathMap([("/a/*", True), ("/b/*", True)], False).find("/a/../b/x"), True)

    def test_many_rules(self) -> None:
        """The first that is listed, whatever the lengths."""
        rules = [f"/service{number}/*" for number in range(5000)]
        found = paths("/service4321/whole", *rules, "/service4321/a*", "/service4321/b", "/s*", "/*")
        for target, pattern in (
            ("/service4321/a", "/service4321/*"), ("/service4321/whole", "/service4321/whole"), ("/service", "/s*"),
            ("/service4999/", "/service4999/*"), ("/service49999/", "/s*"), ("/", "/*"), ("/SERVICE7/", "/service7/*"),
        ):  # fmt: skip
            self.assertEqual(pattern, found.find(target))
        self.assertRaises(AmbiguousPath, found.find, "/service/../service1/x")
