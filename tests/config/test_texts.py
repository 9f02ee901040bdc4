"""Tests of `gateway.config.texts`, and of `gateway.config.checks.texts` in every spelling: what reaches a head."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config import from_command_line, texts
from gateway.errors import ConfigurationError
from tests.config.arm import child
from tests.config.support import ConfigurationTestCase, properties

BAD_HOSTS = {
    "": "it is empty",
    "http://a.test": "a URL; give the host alone",
    "a:8080": "a port does not belong to the host",
    "10.0.0.0/24": "a network; list its members",
    "a/b": "a host has no path",
    "10.0.0.300": "not an IPv4 address",
    "10.0.0": "not an IPv4 address",
    "a b": "a space in it",
    "a\r\nX: y": "a line end (U+000D) in it",
    "a\x00": "a control character (U+0000) in it",
    "fe80::1%a\nb": "a line end",
    "é.test": "xn--",
    "[concat('a'": "an expression without its end",
    "[::1]": "without brackets: ::1",
    "*.a.test": "neither an address nor a host name",
    "-a": "neither an address nor a host name",
    "a" * 260: "neither an address nor a host name",
}
CONTROLS = "\r\n\t\x00\x1f\x7f\x85\u2028 "


class TextTests(unittest.SynchronousTestCase):
    """The functions."""

    def test_hosts(self) -> None:
        for host in ("a", "a.test", "a_b.test.", "10.0.0.4", "::1", "fe80::1%eth0", "1e3", "no", "xn--9ca.test"):
            self.assertIsNone(texts.host_problem(host), host)
        for host, words in BAD_HOSTS.items():
            self.assertIn(words, texts.host_problem(host) or "", host)

    def test_hosts_with_ports(self) -> None:
        for text in ("a.test", "a.test:8080", "[::1]", "[::1]:80", "::1", "10.0.0.4:1"):
            self.assertIsNone(texts.host_port_problem(text), text)
        for text in ("a:", "a:x", "a:0", "a:70000", "[::1", "[a]", "[::1]x", "a:1:2", "http://a", "a b:1", "", ":1"):
            self.assertIsNotNone(texts.host_port_problem(text), text)

    def test_paths(self) -> None:
        self.assertIsNone(texts.path_problem("/a%20b/{c}"))
        self.assertIsNone(texts.path_problem("/h?a=é", query=True))
        self.assertEqual(texts.path_problem("/a b"), "a space in it; percent-encode it: /a%20b")
        self.assertIn("/%C3%A9", texts.path_problem("/é") or "")
        self.assertIn("take it out", texts.path_problem("/a\r\nb", query=True) or "")
        self.assertIn("without query", texts.path_problem("/a?b") or "")
        self.assertIn("without '#'", texts.path_problem("/a#b", query=True) or "")

    def test_urls(self) -> None:
        for url in ("http://a", "https://a:8080/x?y#z", "http://[::1]/"):
            self.assertIsNone(texts.url_problem(url), url)
        for url in ("/x", "ftp://a", "http://", "http://a:99999", "http://[::1", "https://a/ b", "http://a\r\nX: y"):
            self.assertIsNotNone(texts.url_problem(url), url)

    def test_cookies(self) -> None:
        self.assertIsNone(texts.cookie_problem("ApplicationGatewayAffinity"))
        for name in ("a b", "a=b", "a;b", "a\r\n", "é", ""):
            self.assertIsNotNone(texts.cookie_problem(name), name)

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet="a1.:[]/%-" + CONTROLS, max_size=12), st.sampled_from(sorted(CONTROLS)))
    def test_no_control_character_passes(self, text: str, char: str) -> None:
        for position in range(len(text) + 1):
            made = text[:position] + char + text[position:]
            for check in (texts.host_problem, texts.host_port_problem, texts.path_problem, texts.url_problem):
                self.assertIsNotNone(check(made), (check, made))
            self.assertIsNotNone(texts.path_problem(made, query=True))


class SpellingTests(ConfigurationTestCase):
    """Refused in every spelling, with the place."""

    def arm(self, **changed: Any) -> dict[str, Any]:
        return properties() | changed

    def test_arm_members(self) -> None:
        for host, words in BAD_HOSTS.items():
            if host == "[::1]":  # an expression there
                continue
            for key in ("fqdn", "ipAddress"):
                pools = [child("chat", backendAddresses=[{key: host}])]
                found = self.refused_once(self.arm(backendAddressPools=pools))
                at = f"backendAddressPools[0].properties.backendAddresses[0].{key}: "
                self.assertIn(at, found)
                self.assertIn(words if host else "found no address", found)

    def test_arm_members_without_address(self) -> None:
        """Written so it is a slip; left empty by a parameter the member is left out."""
        found = self.refused_once(self.arm(backendAddressPools=[child("chat", backendAddresses=[{}])]))
        self.assertIn("backendAddresses[0]: found no address; give this member an 'fqdn' or an 'ipAddress'", found)
        pools = [child("chat", backendAddresses=[{"fqdn": "[parameters('host')]"}, {"fqdn": "a.test"}])]
        resource = {
            "type": "Microsoft.Network/applicationGateways",
            "name": "g",
            "properties": self.arm(backendAddressPools=pools),
        }
        parameters = {"host": {"type": "string", "defaultValue": ""}}
        gateway = self.load({"resources": [resource], "parameters": parameters})
        self.assertEqual([member.host for member in gateway.pools[0].members], ["a.test"])
        self.warned("this member is left out")

    def test_arm_settings(self) -> None:
        bad = "a\r\nX: y"
        settings = child("plain", port=80, hostName=bad, path="/a b", sniName="a b", affinityCookieName="a b")
        document = self.arm(
            backendHttpSettingsCollection=[settings],
            probes=[child("p", protocol="Http", path="/x\n", host=bad, interval=30, timeout=30)],
            redirectConfigurations=[child("r", targetUrl="https://a/\r\n")],
        )
        found = "\n".join(self.refused(document))
        for path in (
            *(f"backendHttpSettingsCollection[0].properties.{key}: " for key in ("hostName", "path", "sniName")),
            "backendHttpSettingsCollection[0].properties.affinityCookieName: ",
            *(f"probes[0].properties.{key}: " for key in ("host", "path")),
            "redirectConfigurations[0].properties.targetUrl: ",
        ):
            self.assertIn(path, found)
        self.assertNotIn("\r", found)

    def test_yaml_members(self) -> None:
        document: dict[str, Any] = {
            "listeners": [{"name": "web", "port": 80}],
            "rules": [{"listener": "web", "pool": "chat"}],
        }
        for host, words in BAD_HOSTS.items():
            if "://" in host:  # accepted there
                continue
            found = self.refused_once(document | {"pools": [{"name": "chat", "backends": [{"host": host}]}]})
            self.assertIn("pools[0].backends[0].host: ", found)
            self.assertIn(words if host else "not empty", found)
            if host not in ("a:8080", "[::1]"):
                self.refused_once(document | {"pools": [{"name": "chat", "backends": [host]}]})
        gateway = self.load(document | {"pools": [{"name": "chat", "backends": [{"host": "https://a:8443"}]}]})
        self.assertEqual((gateway.pools[0].members[0].host, gateway.pools[0].members[0].port), ("a", 8443))

    def test_overrides(self) -> None:
        overrides = self.write(
            {
                "settings": {"plain": {"hostName": "a\r\nb", "path": "/a b"}},
                "pools": {"chat": ["a b:80", "10.0.0.300"]},
            },
            "o.json",
        )
        found = "\n".join(self.refused(properties(), overrides=overrides))
        self.assertIn("settings.plain.hostName: found 'a\\r\\nb'; a line end", found)
        self.assertIn("(in the overrides, o.json, line 4)", found)
        self.assertIn("settings.plain.path: ", found)
        self.assertIn("pools.chat: found 'a b:80': ", found)
        self.assertIn("pools.chat: found '10.0.0.300': not an IPv4 address", found)
        self.assertNotIn("'?'", found)

    def test_options(self) -> None:
        found = "\n".join(self.refused(properties(), map_backends=["10.0.0.4=a b:80", "10.0.0.300=a:1"]))
        self.assertIn("--map-backend: found '10.0.0.4=a b:80'", found)
        self.assertIn("not an IPv4 address", found)

    def test_command_line(self) -> None:
        """Also: a password in a URL is not repeated."""
        for text in ("http://a\r\nb", "10.0.0.300", "a b", "https://u:SECRET@host", "u:SECRET@host:1"):
            with self.assertRaises(ConfigurationError) as caught:
                from_command_line(["tcp:0"], [text])
            message = str(caught.exception)
            self.assertIn("--backend: found ", message)
            self.assertNotIn("SECRET", message)
