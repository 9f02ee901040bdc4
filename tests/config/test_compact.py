"""Tests of `gateway.config.compact`: the short spelling."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.compact import parse_backend
from gateway.config.model import BackendSettings as Settings
from gateway.config.model import Gateway, HttpListener, Member, Pool, Rule
from tests.config.support import ConfigurationTestCase

SIX_LINES = """\
listeners:
  - {name: web, port: 8080}
pools:
  - {name: chat, backends: [127.0.0.1:9001, 127.0.0.1:9002]}
rules:
  - {listener: web, pool: chat}
"""


class CompactTests(ConfigurationTestCase):
    """`CompactReader` through `load`."""

    def test_names_that_are_none(self) -> None:
        """A list or a mapping in place of a name; what is meant by it is not offered to others."""
        listeners, rules = "listeners: [{name: web, port: 80}]", "rules: [{listener: web, pool: chat}]"
        for kind, more in (("pools", "backends: ['a:1']"), ("settings", "port: 80"), ("distributions", "targets: []")):
            for slip in ("[a]", "{b: c}"):
                problems = "\n".join(self.refused(f"{listeners}\n{rules}\n{kind}: [{{name: {slip}, {more}}}]"))
                self.assertIn(f"{kind}[0].name: found ", problems)
                self.assertIn("there is no pool 'chat' (there are none)", problems)

    def test_six_lines(self) -> None:
        self.assertEqual(
            self.load(SIX_LINES),
            Gateway(
                listeners=(HttpListener(name="web", port=8080),),
                pools=(
                    Pool(
                        name="chat", members=(Member(host="127.0.0.1", port=9001), Member(host="127.0.0.1", port=9002))
                    ),
                ),
                settings=(Settings(name="default"),),
                rules=(Rule(name="rule1", listener="web", pool="chat", settings="default"),),
            ),
        )
        self.assertEqual(self.warnings, [])

    def test_as_json(self) -> None:
        """The spelling does not depend on the syntax."""
        document = {
            "Listeners": [{"name": "w", "port": "1"}],
            "pools": [{"name": "p", "backends": ["h:1"]}],
            "rules": [{"listener": "w", "pool": "p"}],
        }
        self.assertEqual(self.load(document).listeners[0].port, 1)

    def test_backends(self) -> None:
        """Text, URL, mapping; addresses of version 6."""
        text = SIX_LINES.replace(
            "[127.0.0.1:9001, 127.0.0.1:9002]",
            "['[::1]:1', h, 'http://u:2', {host: m, port: 3, weight: 4}, {host: 'http://n:5'}]",
        )
        members = self.load(text).pools[0].members
        self.assertEqual(
            [(item.host, item.port, item.weight) for item in members],
            [("::1", 1, 1), ("h", None, 1), ("u", 2, 1), ("m", 3, 4), ("n", 5, 1)],
        )

    def test_https_backends(self) -> None:
        """URLs choose the protocol of the settings that are made for them."""
        gateway = self.load(SIX_LINES.replace("127.0.0.1:9001, 127.0.0.1:9002", "'https://h', 'https://i:9'"))
        self.assertEqual(gateway.settings, (Settings(name="default-https", protocol="Https", port=443),))
        gateway = self.load(
            SIX_LINES.replace("127.0.0.1:9001, 127.0.0.1:9002", "'https://h'").replace(
                "pool: chat}", "pool: chat, settings: s}"
            )
            + "settings: [{name: s}]"
        )
        self.assertEqual(gateway.settings, (Settings(name="s", protocol="Https", port=443),))
        problem = self.refused_once(SIX_LINES.replace("127.0.0.1:9001, 127.0.0.1:9002", "'https://h', 'http://i'"))
        self.assertIn("line 4: pools[0].backends: http and https backends in one pool", problem)
        text = SIX_LINES.replace("127.0.0.1:9001, 127.0.0.1:9002", "'https://h'").replace(
            "pool: chat}", "pool: chat, settings: s}"
        )
        problem = self.refused_once(text + "settings: [{name: s, protocol: http}]")
        self.assertIn(
            "line 6: rules[0].settings: the backends of pool 'chat' are https:// but settings 's' have protocol",
            problem,
        )

    def test_settings(self) -> None:
        """A mapping is the default; written at a rule they get a name."""
        self.assertEqual(
            self.load(SIX_LINES + "settings: {requestTimeout: 60}").settings,
            (Settings(name="default", request_timeout=60),),
        )
        self.assertEqual(self.load(SIX_LINES + "settings: [{requestTimeout: 60}]").settings[0].name, "default")
        gateway = self.load(SIX_LINES.replace("pool: chat}", "pool: chat, settings: {requestTimeout: 60}}"))
        self.assertEqual(gateway.settings, (Settings(name="rule1-settings", request_timeout=60),))
        self.assertEqual(gateway.rules[0].settings, "rule1-settings")

    def test_everything(self) -> None:
        """Hosts, certificates beside the file, probes, path maps, redirects, limits."""
        text = """
certificates: [{name: site, certificateFile: c.yaml}]
listeners:
  - {name: plain, port: 80}
  - {name: tls, port: 443, protocol: https, certificate: site, hostName: a.test}
  - {name: tls2, port: 443, protocol: HTTPS, certificates: [site], hostNames: [b.test, '*.c.test']}
pools: [{name: p, backends: h:1, selector: least-connections}]
probes: [{name: q, path: /h, match: {statusCodes: 200}}]
settings: [{name: s, probe: q, connectionDraining: {enabled: true}}]
redirects: [{name: r, targetListener: tls}]
pathMaps:
  - name: m
    defaultPool: p
    pathRules: [{paths: /ws/*, pool: p, settings: s}, {name: z, path: [/z], redirect: r}]
limits: {maxHeadBytes: 65536}
rules:
  - {listener: plain, redirect: r}
  - {listener: tls, pathMap: m}
  - {listener: tls2, pool: p, settings: s}
"""
        gateway = self.load(text)
        self.assertEqual(gateway.listeners[1].host_names, ("a.test",))
        self.assertEqual(gateway.listeners[1].certificates, ("site",))
        self.assertTrue((gateway.certificates[0].certificate_file or "").startswith("/"))
        self.assertEqual(gateway.probes[0].match.status_codes, ("200",))
        self.assertEqual(
            [(rule.name, rule.paths) for rule in gateway.path_maps[0].path_rules],
            [("pathRule1", ("/ws/*",)), ("z", ("/z",))],
        )
        self.assertEqual(gateway.path_maps[0].default_settings, "default")
        self.assertEqual(gateway.limits.max_head_bytes, 65536)

    def test_errors(self) -> None:
        """All at once, each with line and path as the file has it."""
        text = """listners: []
listeners:
  - {name: web, port: 808080, protcol: Http}
  - {name: web2, port: yes, protocol: Htps}
pools:
  - {name: chat, backends: [h:1, "http://x:1/p", {host: a, weight: 0}, 5], selector: [1]}
  - {name: more, backends: "a:1,b:2"}
settings:
  - {name: s, requestTimeout: 0, probe: nope}
rules:
  - {listener: webb, pool: chatt, settings: s, priority: 99999}
  - listener: web
  - 7
trustedProxies: [10.0.0.0/8]
notHonoured: [x]
"""
        expected = """line 1: listners: unknown key 'listners'; did you mean 'listeners'?
line 3: listeners[0].port: found 808080, expected a whole number from 0 to 65535
line 3: listeners[0].protcol: unknown key 'protcol'; did you mean 'protocol'?
line 4: listeners[1].port: found 'yes', expected a whole number from 0 to 65535
line 4: listeners[1].protocol: found 'Htps', expected one of Http, Https, Tcp, Tls; did you mean 'Https'?
line 6: pools[0].backends[1]: found 'http://x:1/p': a backend is a host and a port; a path is given with the settings' 'path'
line 6: pools[0].backends[2].weight: found 0, expected a whole number from 1 to 1000
line 6: pools[0].backends[3]: found 5, expected host:port or a mapping with 'host'
line 6: pools[0].selector: found a list of 1, expected text
line 7: pools[1].backends: found 'a:1,b:2': several backends are a list, one item each
line 9: settings[0].requestTimeout: found 0, expected a whole number from 1 to 86400
line 9: settings[0].probe: there is no probe 'nope' (there are none)
line 11: rules[0].listener: there is no listener 'webb'; did you mean 'web'? (there are: web, web2)
line 11: rules[0].pool: there is no pool 'chatt'; did you mean 'chat'? (there are: chat, more)
line 11: rules[0].priority: found 99999, expected a whole number from 1 to 20000
line 12: rules[1]: rule 'rule2' leads nowhere; give it a pool, a redirect or a path map
line 13: rules[2]: found 7, expected a mapping
line 14: trustedProxies: unknown key 'trustedProxies'; did you mean 'limits: {trustedProxies: …}'?
line 15: notHonoured: 'notHonoured' is not for a document to say; leave it out"""  # noqa: E501
        problem = "rules[1]: rule 'rule2' has no priority but rule 'rule1' has"
        found = [item for item in self.refused(text) if problem not in item]
        self.assertEqual(sorted(found), sorted(expected.splitlines()))

    def test_words_of_certificates(self) -> None:
        """What others call them leads to the key that is meant, not to the one that looks alike."""
        for kind, word, meant in (
            ("certificates", "file", "certificateFile"), ("certificates", "cert_file", "certificateFile"),
            ("certificates", "key", "keyFile"), ("certificates", "pfx", "data"),
            ("trustedRoots", "certificateFile", "file"), ("trustedClientCertificates", "pem", "file"),
        ):  # fmt: skip
            text = f"listeners: []\nrules: []\n{kind}: [{{name: a, {word}: a.pem}}]\n"
            self.assertIn(f"unknown key {word!r}; did you mean {meant!r}?", self.refused_once(text))

    def test_twice(self) -> None:
        """A value under two names is refused, not chosen from."""
        text = SIX_LINES.replace("backends:", "members: [], backends:")
        self.assertIn("'backends' says again what 'members' says", self.refused_once(text))

    def test_missing(self) -> None:
        """What is required is named, at the object that lacks it."""
        self.assertIn(
            "line 2: listeners[0]: 'port' is missing", self.refused_once(SIX_LINES.replace(", port: 8080", ""))
        )
        self.assertIn(
            "line 6: rules[0]: 'listener' is missing", self.refused_once(SIX_LINES.replace("listener: web, ", ""))
        )

    def test_trusted_roots(self) -> None:
        """Settings that name roots are no gateway of an ARM document, though they share the key."""
        text = SIX_LINES.replace("chat}", "chat, settings: s}")
        gateway = self.load(text + "settings: [{name: s, trustedRootCertificates: [r]}]\ntrustedRoots: [{name: r}]")
        self.assertEqual(gateway.settings[0].trusted_root_certificates, ("r",))

    def test_no_list(self) -> None:
        """One object where a list is meant is taken, and its errors are where it stands; anything else is named."""
        self.assertEqual(self.load(SIX_LINES + "settings: {requestTimeout: 60}").settings[0].request_timeout, 60)
        self.assertIn(
            "line 8: settings.requestTimeout: found 0, expected a whole number",
            self.refused_once(SIX_LINES + "settings:\n  requestTimeout: 0"),
        )
        lines = SIX_LINES.splitlines()
        for text in ("listeners: 5", "listeners: web"):
            (found,) = (item for item in self.refused("\n".join([text, *lines[2:]])) if "expected" in item)
            self.assertEqual(found, f"line 1: listeners: found {'5' if '5' in text else repr('web')}, expected a list")
        self.assertIn("line 7: settings: found 5, expected a list", self.refused_once(SIX_LINES + "settings: 5"))
        text = SIX_LINES.replace("port: 8080", "port: 8080, hostName: 'a b'")
        self.assertIn("line 2: listeners[0].hostName: found 'a b'; not a host name", self.refused_once(text))

    def test_shared_anchors(self) -> None:
        """A list used twice through an anchor is two lists."""
        text = SIX_LINES.replace(
            "{name: web, port: 8080}",
            "{name: web, port: 8080, hostNames: &h [1, a.test]}\n  - {name: w2, port: 81, hostNames: *h}",
        )
        hosts = [item.host_names for item in self.load(text).listeners]
        self.assertEqual(hosts, [("1", "a.test")] * 2)


class ParseBackendTests(ConfigurationTestCase):
    """`parse_backend`."""

    def test_forms(self) -> None:
        for text, expected in {
            "h": ("", "h", None),
            "h:1": ("", "h", 1),
            "10.0.0.4:443": ("", "10.0.0.4", 443),
            "[::1]:80": ("", "::1", 80),
            "::1": ("", "::1", None),
            "http://h": ("http", "h", None),
            "HTTPS://h:9/": ("https", "h", 9),
        }.items():
            self.assertEqual(parse_backend(text), expected)

    def test_refused(self) -> None:
        for text in (
            "",
            ":1",
            "h:",
            "h:x",
            "h:0",
            "h:70000",
            "ws://h:1",
            "http://h/p",
            "h/p",
            "u@h:1",
            "a b:1",
            "h:1?x",
            "[::1:80",
            "http://",
        ):
            self.assertRaises(ValueError, parse_backend, text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="ah1:[]/.@?# -", max_size=20))
    def test_only_value_errors(self, text: str) -> None:
        try:
            scheme, host, port = parse_backend(text)
        except ValueError:
            return
        self.assertTrue(host)
        self.assertTrue(port is None or 0 < port < 65536)
