"""`gateway.discovery.listing`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Member
from gateway.discovery.listing import read_members
from gateway.errors import ConfigurationError

WANTED = (
    Member(host="10.0.0.1", port=9001),
    Member(host="::1", port=9002, weight=3),
    Member(host="c.test", priority=1),
)


class ListingTests(SynchronousTestCase):
    """`read_members`."""

    def path(self, text: str, suffix: str) -> str:
        path = Path(self.mktemp() + suffix)
        path.write_text(text, "utf-8")
        return str(path)

    def read(self, text: str, suffix: str = ".txt") -> tuple[Member, ...]:
        return read_members(self.path(text, suffix))

    def wrong(self, text: str, suffix: str = ".txt") -> list[str]:
        error = self.assertRaises(ConfigurationError, read_members, self.path(text, suffix))
        return [str(problem) for problem in error.problems]

    def test_lines(self) -> None:
        text = "# members\n10.0.0.1:9001\n\n[::1]:9002 weight=3  # heavy\nc.test priority=1\n10.0.0.1:9001 weight=7\n"
        self.assertEqual(self.read(text), WANTED)
        self.assertEqual(self.read(text, ""), WANTED)

    def test_json(self) -> None:
        entries = '["10.0.0.1:9001", {"host": "[::1]:9002", "weight": 3}, {"host": "c.test", "priority": 1}]'
        for text in (entries, f'{{"members": {entries}}}', f'{{"backends": {entries}}}'):
            self.assertEqual(self.read(text, ".json"), WANTED)

    def test_yaml(self) -> None:
        text = "- 10.0.0.1:9001\n- {host: '::1', port: 9002, weight: 3}\n- {host: c.test, priority: 1}\n"
        self.assertEqual(self.read(text, ".yaml"), WANTED)
        self.assertEqual(self.read("members:\n" + text, ".yml"), WANTED)

    def test_nobody(self) -> None:
        """Has to be said; an empty file may be one that is not written yet."""
        self.assertEqual(self.read("[]", ".json"), ())
        self.assertEqual(self.read("members: []", ".yaml"), ())
        for text, suffix in (("", ".txt"), ("# nothing\n", ".txt"), ("", ".json"), ("", ".yaml"), ("{}", ".json")):
            self.assertEqual(len(self.wrong(text, suffix)), 1)

    def test_all_that_is_wrong(self) -> None:
        self.assertEqual(
            self.wrong("10.0.0.1:x\nok.test\na.test weight=0\nb.test heavy\nc.test colour=red\n"),
            [
                "line 1: Port could not be cast to integer value as 'x'; expected host, host:port, [address]:port or "
                "http(s)://host:port",
                "line 3: weight: Input should be greater than or equal to 1",
                "line 4: expected host, host:port, [address]:port or http(s)://host:port",
                "line 5: unknown key 'colour'; known are connectHost, connectPort, host, port, priority, weight",
            ],
        )

    def test_wrong_trees(self) -> None:
        self.assertEqual(
            self.wrong('["a.test",\n 7]', ".json"), ["line 2: found 7, expected host:port or a mapping with 'host'"]
        )
        for text in ("7", '"a.test"', '{"pools": []}', '{"members": 7}', '["a.test"'):
            self.assertEqual(len(self.wrong(text, ".json")), 1, text)

    def test_not_readable(self) -> None:
        for suffix in (".json", ".txt"):
            error = self.assertRaises(ConfigurationError, read_members, self.mktemp() + suffix)
            self.assertIn("cannot read the file", str(error))
        path = Path(self.mktemp())
        path.write_bytes(b"\xff\xfe\x00")
        self.assertRaises(ConfigurationError, read_members, str(path))
