"""`gateway.routing.readings`."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import AmbiguousPath
from gateway.routing.readings import decoded, folded, has_dots, readings, settled
from tests.routing.servers import SERVERS
from tests.routing.test_paths import paths


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


_PIECES = (
    "/", "//", "..", ".", "%2e", "%2E.", "..;x", ";", ";x", "%3b", "\\", "%5c", "%5C", "%2f", "%2F", "admin", "pub",
    "x",
)  # fmt: skip


class ReadingsTests(SynchronousTestCase):
    """Paths with dot segments, which servers read differently."""

    def test_refused(self) -> None:
        found = paths("/admin*")
        for target in (
            "/admin/../x",
            "/admin/user/../../x",
            "/admin/user/..;/..;/..;/x",
            "/admin/..;/x",
            "/admin/user/..%5C..%5C..%5Cx",
            "/admin/..%5Cx",
            "/admin/x%2F..%2F..%2F..%2Fy",
            "/admin/user/..%2F..%2F..%2Fy",
            "/admin;x=%2F..%2Fy",
            "/admin/%2e%2e%2fx",
            "/admin/.%2E/x?y",
            "/admin%2F..%2Fx",
            "/admin/user/\\..\\..\\..\\x",
            "/admin/index.php/..;/..;/x",
            "/public/..;/admin",
            "/x/../admin",
            "/x/%2e%2e/admin",
            "/./admin",
            "/x%2f..%2fADMIN",
            "/admin//../x",
            # a proxy before the server resolves in its own way
            "/pub/..;/admin/..;/../pub",
            # dots that are encoded, and decoded after others have been removed
            "/pub/../admin/%2e%2e/pub",
            # what follows the first semicolon is left aside
            "/pub/../admin;/../../pub",
            # slashes are decoded and merged, dots left; slashes stay encoded, and backslashes are some
            "/%2fadmin/..",
            "/admin%2fx%5c..\\",
            "/\\admin%5c..",
            # no dots, but a slash in a parameter
            "/;%2fx/admin",
            "/;\\x/admin",
        ):
            self.assertRaises(AmbiguousPath, found.find, target)

    def test_let_pass(self) -> None:
        """What leads to the same rule whoever reads it."""
        found = paths("/admin*", "/files/*")
        for target, value in (
            ("/admin/a/../b", "/admin*"),
            ("/admin/./b", "/admin*"),
            ("/admin/a/..", "/admin*"),
            ("/admin/a/..;x/b", "/admin*"),
            ("/files/a/%2e%2e/b?/../admin", "/files/*"),
            ("/files/a;x=%2Fadmin/b", "/files/*"),
            ("/a/../b", "default"),
            ("/x/.%2e", "default"),
            ("/.well-known/x", "default"),
            ("/admin/...", "/admin*"),
            ("/admin..", "/admin*"),
            ("/a..b/%20", "default"),
        ):
            self.assertEqual(found.find(target), value, target)

    def test_has_dots(self) -> None:
        for path in ("/.", "/..", "/a/../b", "/%2e", "/a/.%2E/", "/a\\..", "/a%5c..%5Cb", "/a%2F.;x", "/..%3b"):
            self.assertTrue(has_dots(path), path)
        for path in ("/", "/...", "/a..", "/..a", "/.git", "/a./b", "/%2e%2e%2e", "/%252e", "/a;..x", "*"):
            self.assertFalse(has_dots(path), path)

    def test_readings(self) -> None:
        """As text, those of proxies in front of servers too."""
        self.assertEqual(set(readings("/a/../caf%C3%A9")), {"/a/../café", "/café"})
        self.assertEqual(set(readings("/a/%2e%2e/%ff")), {"/a/%2e%2e/\udcff", "/a/../\udcff", "/\udcff"})
        self.assertEqual(set(readings("/a/..%2fb")), {"/a/..%2fb", "/a/../b", "/b"})
        self.assertEqual(set(readings("/a/..;x")), {"/a/..;x", "/a/..", "/"})

    def test_reason(self) -> None:
        error = self.assertRaises(AmbiguousPath, settled, "/a/../b", 1, len)
        self.assertEqual((error.status, error.cause), (400, "ambiguous_path"))
        self.assertIn("'/a/../b' is '/b' to some servers", str(error))

    def test_bounded(self) -> None:
        """A long path with many readings is refused, whatever they are, instead of being looked at for long."""
        found = paths("/*")
        self.assertEqual(found.find("/a/.." * 1000), "/*")
        self.assertRaises(AmbiguousPath, found.find, "/..;%5c%2e%2e%2fx//" * 800)
        self.assertRaises(AmbiguousPath, found.find, "/a" * 10000 + "/..")
        short = "//..;%2fa/../\\a/../;a%5c..a/../%2f%3b;a%2f%3ba/../;%2f%5c..;a%3b;%2f%2f\\%3b%5c..%2f%3b%3b;%2f/.."
        self.assertRaises(AmbiguousPath, readings, short)
        self.assertRaises(AmbiguousPath, found.find, short)
        self.assertGreater(len(readings("/a/..;x/%2e%2e%2fb;c")), 5)

    @given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=12))
    @settings(max_examples=3000, deadline=None)
    def test_no_way_past_a_rule(self, pieces: list[str]) -> None:
        """Servers that disagree about who is under /admin do not get the request, and else its rule holds."""
        path = "/" + "".join(pieces)
        under = {name: read(path).lower().startswith("/admin") for name, read in SERVERS.items()}
        try:
            found = paths("/admin*").find(path)
        except AmbiguousPath:
            return
        if has_dots(path):
            self.assertEqual(len(set(under.values())), 1, (path, under))
        if any(under.values()):
            self.assertEqual(found, "/admin*", (path, under))

    @given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=12))
    @settings(max_examples=1000, deadline=None)
    def test_no_way_into_what_is_open(self, pieces: list[str]) -> None:
        """The other way round: what is let in by the rule of /pub/ is nothing of /admin to anybody."""
        path = "/" + "".join(pieces)
        try:
            found = paths("/pub/*").find(path)
        except AmbiguousPath:
            return
        if found == "/pub/*":
            for name, read in SERVERS.items():
                self.assertFalse(read(path).lower().startswith("/admin"), (path, name))
