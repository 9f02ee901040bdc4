"""`gateway.config.checks.lints`: what is legal and will hurt."""

from __future__ import annotations

import time

from gateway.config.checks.lints import IGNORE_PRIORITY
from gateway.config.model import Rule
from gateway.strategies.groups import BUILT_IN
from tests.config.checks.support import CheckCase, gateway, host
from tests.config.support import ConfigurationTestCase

YAML = """\
listeners:
  - {name: web, port: 8080}
pools:
  - {name: chat, backends: [10.0.0.4, b.test]}
settings:
  - {name: s, protocol: Https}
rules:
  - {listener: web, pool: chat, settings: s}
"""


class LintTests(ConfigurationTestCase):
    """Warnings, one kind each."""

    def lints(self, text: str) -> list[str]:
        self.load(text)
        return [str(problem) for problem in self.warnings]

    def test_empty_pool(self) -> None:
        """Only where a rule uses it, and nobody else tells the members."""
        text = YAML.replace("[10.0.0.4, b.test]", "[]").replace("protocol: Https", "port: 80")
        (found,) = self.lints(text)
        self.assertIn("line 4: pools[0]: pool 'chat' has no members: requests that rule 'rule1' sends to it get", found)
        self.assertEqual(self.lints(text.replace("backends: []", "discovery: dns")), [])

    def test_twice(self) -> None:
        """A member that is listed again; another port is another member."""
        text = YAML.replace("[10.0.0.4, b.test]", "[b.test, 'b.test:1', 'b.test:2', 'B.test:1']").replace(
            "protocol: Https", "port: 80"
        )
        (found,) = self.lints(text)
        self.assertIn("line 4: pools[0].backends[3]: pool 'chat' lists B.test:1 twice; to have it chosen more", found)

    def test_priority(self) -> None:
        """A reserve that is none; a selector of one's own may look at it."""
        text = YAML.replace("[10.0.0.4, b.test]", "[a.test, {host: b.test, priority: 1}]SELECTOR")
        (found,) = self.lints(text.replace("SELECTOR", ""))
        self.assertIn("line 4: pools[0]: member 'b.test' of pool 'chat' has priority 1, which the selector", found)
        self.assertIn("give 'selector: priority', with 'selectorOptions: {over: round-robin}'", found)
        for selector, ignores in (
            ("priority", False),
            ("least-connections", True),
            ("'house:ours'", False),
            ("sticky, selectorOptions: {over: priority}", False),
            ("sticky, selectorOptions: {over: weighted}", True),
            ("sticky, selectorOptions: {over: {strategy: slow-start, options: {over: priority}}}", False),
            ("sticky, selectorOptions: {over: {strategy: slow-start}}", True),
            ("sticky, selectorOptions: {over: 'house:ours'}", False),
        ):
            self.assertEqual(len(self.lints(text.replace("SELECTOR", f", selector: {selector}"))), ignores, selector)
        self.assertEqual(self.lints(text.replace("SELECTOR", "").replace("a.test", "{host: a.test, priority: 1}")), [])
        self.assertEqual(IGNORE_PRIORITY | {"priority"}, set(BUILT_IN["gateway.selectors"]))

    def test_addresses_over_https(self) -> None:
        (found,) = self.lints(YAML)
        self.assertIn("line 6: settings[0]: backends are asked over HTTPS by address (10.0.0.4) and no name", found)
        self.assertIn("probes fail unless", found)
        (found,) = self.lints(YAML.replace("Https", "Https, pickHostNameFromBackendAddress: true"))
        self.assertIn("requests fail unless", found)
        for more in ("hostName: b.test", "sniName: b.test", "validateSNI: false"):
            self.assertEqual(self.lints(YAML.replace("Https", f"Https, {more}")), [])

    def test_probe_of_websocket_servers(self) -> None:
        """The default probe would find them down."""
        path_map = """\
pathMaps:
  - name: m
    defaultPool: chat
    defaultSettings: d
    pathRules: [{paths: [/x, /WS/*], pool: chat, settings: s}]
"""
        paths = YAML.replace("10.0.0.4, ", "").replace("protocol: Https", "port: 80")
        paths = paths.replace("pool: chat, settings: s}", "pathMap: m}").replace("rules:", "  - {name: d}\nrules:")
        paths += path_map
        (found,) = self.lints(paths)
        self.assertIn("line 6: settings[0]: settings 's' seem to be for WebSocket (path rule 'pathRule1' has", found)
        self.assertIn("answers 400 or 426 and would be down; give a probe", found)
        self.assertEqual(self.lints(paths.replace("/WS/", "/news/")), [])
        idle = YAML.replace("10.0.0.4, ", "").replace("protocol: Https", "webSocketIdleTimeout: 600")
        (found,) = self.lints(idle)
        self.assertIn("they have 'webSocketIdleTimeout'", found)
        probed = idle.replace("600", "600, probe: p") + "probes: [{name: p, path: /health}]"
        self.assertEqual(self.lints(probed), [])

    def test_unreachable_rules(self) -> None:
        """A rule that another one takes all requests from, hosts and patterns."""
        text = """\
listeners:
  - {name: wide, port: 80, hostName: "*.a.test"}
  - {name: narrow, port: 80, hostNames: [b.a.test, "*.c.a.test", other.test]}
pools: [{name: chat, backends: [a.test]}]
rules:
  - {name: first, listener: wide, pool: chat, priority: 1}
  - {name: second, listener: narrow, pool: chat, priority: 2}
"""
        (found,) = self.lints(text)
        self.assertIn("rule 'first' is tried first and answers for 'b.a.test', '*.c.a.test' on port 80", found)
        self.assertEqual(self.lints(text.replace("priority: 1}", "priority: 3}")), [])


class OrderTests(CheckCase):
    """Rules that are tried before others."""

    def test_order(self) -> None:
        rules = tuple(
            Rule(name=f"r{i}", listener=name, pool="p", settings="s", priority=i + 1) for i, name in enumerate("ab")
        )
        pair = (host("a"), host("b", host_names=("x",)))
        self.says(
            gateway(*pair, rules=rules),
            "rules[1]: rule 'r0' is tried first and answers for every host on port 80",
            severity="warning",
        )
        self.says(gateway(*pair[::-1], rules=rules[::-1][:1]), "listener 'a' has no rule", severity="warning")

    def test_wildcard_order(self) -> None:
        """A pattern that is tried first takes exact hosts on its port; other ports, addresses and orders are fine."""
        names = ("www.x.test", "y.test", "*.w.x.test", "a.b.x.test")
        for wide, narrow, expected in (
            ({}, {}, "answers for 'www.x.test', '*.w.x.test', 'a.b.x.test' on port 80; give 'r1' a smaller"),
            ({"port": 81}, {}, ""),
            ({"address": "127.0.0.1"}, {"address": "127.0.0.2"}, ""),
            ({"address": "127.0.0.1"}, {"address": "127.0.0.1"}, "answers for 'www.x.test'"),
            ({"host_names": ("z.*", "other.test")}, {}, ""),
            ({"host_names": ("other.test", "?.test")}, {}, "answers for 'y.test' on port 80"),
        ):
            pair = (host("a", **({"host_names": ("*.X.test",)} | wide)), host("b", **({"host_names": names} | narrow)))
            for first, second in ((1, 2), (2, 1), (None, None)):
                rules = (
                    Rule(name="r0", listener="a", pool="p", settings="s", priority=first),
                    Rule(name="r1", listener="b", pool="p", settings="s", priority=second),
                )
                model = gateway(*pair, rules=rules)
                wanted = [expected] if expected and first == 1 else []
                self.says(model, *wanted, severity="warning")

    def test_thousands(self) -> None:
        """Listeners are not compared with each other, nor is every name that is not there with every one that is."""
        listeners = tuple(host(f"l{n}", host_names=(f"*.h{n}.test", f"h{n}*.test")) for n in range(3000))
        rules = tuple(
            Rule(name=f"r{n}", listener=f"l{n}", pool=f"p{n}", settings="s", priority=n + 1) for n in range(3000)
        )
        began = time.monotonic()
        found = self.found(gateway(*listeners, rules=rules))
        self.assertEqual(len(found), 3000)
        self.assertIn("there is no pool 'p2999' (there are: p)", found[-1])
        self.assertLess(time.monotonic() - began, 20)  # alone about one; each with each takes a minute
