"""Tests of `gateway.command_line`."""

from __future__ import annotations

from twisted.trial import unittest

from gateway.command_line import parse_address, small_gateway
from gateway.config.model import Member
from gateway.errors import ConfigurationError


class AddressTests(unittest.SynchronousTestCase):
    """`parse_address`."""

    def test_spellings(self) -> None:
        """Twisted's endpoint words and plain addresses."""
        for text, expected in [
            ("tcp:8080", ("", 8080)),
            ("tcp:8080:interface=127.0.0.1", ("127.0.0.1", 8080)),
            ("tcp6:8080:interface=\\:\\:1", ("::1", 8080)),
            ("8080", ("", 8080)),
            ("0", ("", 0)),
            ("127.0.0.1:8080", ("127.0.0.1", 8080)),
            ("localhost:8080", ("127.0.0.1", 8080)),
            ("*:8080", ("", 8080)),
            ("[::1]:8080", ("::1", 8080)),
        ]:
            self.assertEqual(parse_address(text), expected, text)

    def test_default_host(self) -> None:
        """Used where the text has none."""
        self.assertEqual(parse_address("tcp:8081", "127.0.0.1"), ("127.0.0.1", 8081))
        self.assertEqual(parse_address("*:8081", "127.0.0.1"), ("", 8081))

    def test_refusals_say_what_would_be_right(self) -> None:
        """No exception but ValueError, whatever the text."""
        for text, part in [
            ("", "right would be"),
            ("ssl:8443", "configuration file"),
            ("tcp:eighty", "right would be"),
            ("::1:80", "right would be"),
            ("70000", "65535"),
            ("example.com:80", "not an IP address"),
            ("tcp:80:interface=nowhere", "not an IP address"),
        ]:
            with self.assertRaises(ValueError) as caught:
                parse_address(text)
            self.assertIn(part, str(caught.exception), text)


class GatewayTests(unittest.SynchronousTestCase):
    """`small_gateway`."""

    def test_two_backends(self) -> None:
        """The command of the README: a listener, a pool of two, a rule that ties them."""
        model = small_gateway(["tcp:8080"], ["http://127.0.0.1:9001", "http://127.0.0.1:9002/"])
        self.assertEqual([(each.address, each.port) for each in model.listeners], [("", 8080)])
        self.assertEqual(
            model.pools[0].members, (Member(host="127.0.0.1", port=9001), Member(host="127.0.0.1", port=9002))
        )
        self.assertEqual(model.settings[0].protocol, "Http")
        rule = model.rules[0]
        names = (rule.listener, rule.pool, rule.settings)
        self.assertEqual(names, (model.listeners[0].name, model.pools[0].name, model.settings[0].name))

    def test_every_listener_has_a_rule(self) -> None:
        """Also the second."""
        model = small_gateway(["8080", "[::1]:8081"], ["http://a"])
        self.assertEqual([rule.listener for rule in model.rules], [each.name for each in model.listeners])
        self.assertEqual(model.pools[0].members, (Member(host="a", port=80),))

    def test_https_backends(self) -> None:
        """Verified under the name in the URL."""
        model = small_gateway(["8080"], ["https://app.example"])
        self.assertEqual(model.settings[0].protocol, "Https")
        self.assertTrue(model.settings[0].pick_host_name_from_backend_address)
        self.assertEqual(model.pools[0].members, (Member(host="app.example", port=443),))

    def test_all_problems_at_once(self) -> None:
        """Each with the option at fault and what was given."""
        with self.assertRaises(ConfigurationError) as caught:
            small_gateway(
                ["tcp:x", "8080"],
                ["127.0.0.1:9001", "http://a/path", "ws://b", "http://c:99999", "http://d:0", "http://e", "https://f"],
            )
        texts = [str(problem) for problem in caught.exception.problems]
        self.assertEqual(len(texts), 7)
        self.assertEqual([text.partition(":")[0] for text in texts], ["--listen"] + ["--backend"] * 6)
        self.assertIn("'127.0.0.1:9001'", texts[1])

    def test_both_are_needed(self) -> None:
        """A listener without backend, and the other way round."""
        for listen, backends, path in [(["8080"], [], "--backend"), ([], ["http://a"], "--listen")]:
            with self.assertRaises(ConfigurationError) as caught:
                small_gateway(listen, backends)
            self.assertEqual([problem.path for problem in caught.exception.problems], [path])
