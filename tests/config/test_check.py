"""Tests of `gateway.config.check`."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest

from gateway.config.check import check
from gateway.config.model import (
    BackendSettings,
    Certificate,
    Gateway,
    HttpListener,
    Limits,
    Match,
    Member,
    PassiveHealth,
    PathMap,
    PathRule,
    Pool,
    Probe,
    Redirect,
    Rule,
    Strategy,
    TrustedRoot,
)

SETTINGS = BackendSettings(name="s", request_timeout=60)
POOL = Pool(name="p", members=(Member(host="h"),))


def gateway(*listeners: HttpListener, rules: tuple[Rule, ...] | None = None, **members: Any) -> Gateway:
    """A gateway that is complete unless the arguments break it."""
    listeners = listeners or (HttpListener(name="l", port=80),)
    if rules is None:
        rules = tuple(
            Rule(name=f"r{i}", listener=item.name, pool="p", settings="s") for i, item in enumerate(listeners)
        )
    return Gateway(listeners=listeners, rules=rules, **({"pools": (POOL,), "settings": (SETTINGS,)} | members))


def host(name: str, **members: Any) -> HttpListener:
    return HttpListener(name=name, **({"port": 80} | members))


class CheckTests(unittest.SynchronousTestCase):
    """Each rule once, with what it says."""

    def found(self, model: Gateway, severity: str = "error") -> list[str]:
        return [str(problem) for problem in check(model) if problem.severity == severity]

    def says(self, model: Gateway, *messages: str, severity: str = "error") -> None:
        found = self.found(model, severity)
        self.assertEqual(len(found), len(messages), found)
        for text, message in zip(found, messages, strict=True):
            self.assertIn(message, text)

    def test_clean(self) -> None:
        self.assertEqual(check(gateway()), [])

    def test_nothing(self) -> None:
        self.says(Gateway(), "there are no listeners")
        self.says(Gateway(listeners=(host("l"),)), "there are no rules")

    def test_names(self) -> None:
        self.says(
            gateway(pools=(POOL, Pool(name="P", members=POOL.members))), "pools[1].name: the name 'P' is there twice"
        )

    def test_references(self) -> None:
        self.says(
            gateway(rules=(Rule(name="r", listener="l", pool="pp", settings="s"),)),
            "rules[0].pool: there is no pool 'pp'; did you mean 'p'? (there are: p)",
        )
        self.says(
            gateway(rules=(Rule(name="r", listener="zz", pool="p", settings="s"),)),
            "rules[0].listener: there is no listener 'zz' (there are: l)",
        )
        settings = BackendSettings(name="s", probe="q", trusted_root_certificates=("t",))
        self.says(
            gateway(settings=(settings,)),
            "settings[0].probe: there is no probe 'q'",
            "there is no trusted root 't' (there are none)",
        )

    def test_priorities(self) -> None:
        pair = (host("a"), host("b", port=81))

        def rules(*priorities: int | None) -> tuple[Rule, ...]:
            return tuple(
                Rule(name=f"r{i}", listener="ab"[i], pool="p", settings="s", priority=p)
                for i, p in enumerate(priorities)
            )

        self.says(gateway(*pair, rules=rules(1, None)), "rules[1]: rule 'r1' has no priority but rule 'r0' has")
        self.says(gateway(*pair, rules=rules(5, 5)), "rules[1].priority: priority 5 is also that of rule 'r0'")
        self.says(gateway(*pair, rules=rules(None, None)))
        self.says(gateway(*pair, rules=rules(2, 1)))

    def test_one_rule_for_a_listener(self) -> None:
        rules = tuple(Rule(name=name, listener="l", pool="p", settings="s") for name in "ab")
        self.says(gateway(rules=rules), "listener 'l' already belongs to rule 'a'")

    def test_rule_targets(self) -> None:
        redirect = (Redirect(name="d", target_url="http://x"),)

        def rule(**members: Any) -> tuple[Rule, ...]:
            return (Rule(name="r", listener="l", **members),)

        self.says(gateway(rules=rule()), "rule 'r' leads nowhere; give it a pool, a redirect or a path map")
        self.says(gateway(rules=rule(pool="p")), "rule 'r' has a pool but no settings")
        self.says(
            gateway(rules=rule(pool="p", settings="s", redirect="d"), redirects=redirect), "has a pool and a redirect"
        )
        self.says(gateway(rules=rule(redirect="d"), redirects=redirect))

    def test_routers(self) -> None:
        """A rule with one may lead nowhere itself; pools and settings that its options name are used."""
        other, slow = Pool(name="q", members=(Member(host="h"),)), BackendSettings(name="slow", request_timeout=60)
        options = {"prefixes": {"/": {"pool": "p", "settings": "s"}, "/q": [{"pool": "q", "settings": "slow"}]}}
        rule = Rule(name="r", listener="l", router=Strategy(strategy="prefix", options=options))
        model = gateway(rules=(rule,), pools=(POOL, other), settings=(SETTINGS, slow))
        self.assertEqual(([], []), (self.found(model), self.found(model, "warning")))
        both = rule.model_copy(update={"pool": "p", "redirect": "x", "settings": "s"})
        self.assertIn("it leads to one of them only", " ".join(self.found(gateway(rules=(both,)))))

    def test_ports(self) -> None:
        certificate = (Certificate(name="c", data="x"),)
        self.says(
            gateway(host("a"), host("b")),
            "listeners[1]: listeners 'a' and 'b' share port 80 and neither has a host name",
        )
        self.says(gateway(host("a", host_names=("X",)), host("b", host_names=("y", "x"))), "both answer for host 'x'")
        self.says(gateway(host("a", host_names=("x",)), host("b", host_names=("y",)), host("c")))
        self.says(gateway(host("a", address="127.0.0.1"), host("b", address="127.0.0.2")))
        self.says(
            gateway(host("a"), host("b", address="127.0.0.2")),
            "listeners[1].address: listeners 'a' and 'b' cannot both be bound to port 80",
        )
        self.says(gateway(host("a", port=0), host("b", port=0)))
        mixed = gateway(host("a"), host("b", protocol="Https", certificates=("c",)), certificates=certificate)
        self.says(mixed, "listeners[1].protocol: listeners 'a' and 'b' share port 80 but speak Http and Https")

    def test_addresses(self) -> None:
        self.says(gateway(host("l", address="::1")))
        self.says(
            gateway(host("l", address="localhost")), "listeners[0].address: found 'localhost'; expected an address"
        )

    def test_limits(self) -> None:
        self.says(gateway(limits=Limits(trusted_proxies=("10.0.0.0/8", "::1"))))
        bad = gateway(limits=Limits(trusted_proxies=("10.0.0.1/8", "x")))
        self.says(bad, "limits.trustedProxies[0]: found '10.0.0.1/8'", "limits.trustedProxies[1]: found 'x'")

    def test_hosts(self) -> None:
        for good in (
            "a.test",
            "*.contoso-*.com",
            "*.contoso.*",
            "????.contoso.com",
            "w??.contoso*.edu.*",
            "a_b.test",
            "xn--a.test",
            "*",
        ):
            self.says(gateway(host("l", host_names=(good,))))
        for bad, message in {
            "*.contoso.*.*.com": "at most two '*'", "????.contoso.*": "at most four", "**.contoso.com": "'**'",
            "*?.a": "'*?' and '?*'",
            "a*b*.c": "once in each label", "a:80": "no port", "a b": "not a host name", "é.test": "ASCII form",
            "*.a_b": "only", "*..a": "empty label",
            "-a": "not a host name", "": "not a host name",
        }.items():  # fmt: skip
            self.says(gateway(host("l", host_names=(bad,))), message)

    def test_certificates(self) -> None:
        https = host("l", protocol="Https")
        self.says(gateway(https), "listeners[0]: listener 'l' is Https and has no certificate")
        https = host("l", protocol="Https", certificates=("c",))
        self.says(gateway(https), "there is no certificate 'c'")
        self.says(
            gateway(https, certificates=(Certificate(name="c"),)),
            "has neither data nor files; give files with overrides",
        )
        self.says(gateway(https, certificates=(Certificate(name="c", key_vault_secret_id="x"),)), "is in a Key Vault")
        self.says(gateway(https, certificates=(Certificate(name="c", certificate_file="x"),)))
        self.says(
            gateway(certificates=(Certificate(name="c", key_vault_secret_id="x"),)),
            "is in a Key Vault",
            severity="warning",
        )
        roots = {
            "settings": (
                BackendSettings(name="s", protocol="Https", request_timeout=60, trusted_root_certificates=("t",)),
            )
        }
        found = gateway(trusted_roots=(TrustedRoot(name="t"),), **roots)
        self.says(found, "trusted root 't' has neither data nor files")

    def test_path_maps(self) -> None:
        def mapped(*rules: PathRule, **members: Any) -> Gateway:
            path_map = PathMap(name="m", path_rules=rules, **({"default_pool": "p", "default_settings": "s"} | members))
            return gateway(rules=(Rule(name="r", listener="l", path_map="m"),), path_maps=(path_map,))

        def rule(*paths: str, name: str = "x", **members: Any) -> PathRule:
            return PathRule(name=name, paths=paths, **({"pool": "p", "settings": "s"} | members))

        self.says(mapped(rule("/a/*", "/b*", "/c")))
        self.says(
            mapped(default_pool=None, default_settings=None),
            "path map 'm' leads nowhere; give it a default pool, or a default redirect",
        )
        self.says(mapped(rule("a", "/*/b", "/x?y")), "begins with '/'", "only as the last character", "no query")
        self.says(mapped(rule()), "has no paths")
        self.says(mapped(rule("/a"), rule("/b")), "path rule 'x' is there twice")
        self.says(mapped(rule("/a", pool=None)), "path rule 'x' leads nowhere")
        shadowed = mapped(rule("/a/*"), rule("/A/b", name="y"))
        self.says(
            shadowed,
            "pathMaps[0].pathRules[1].paths[0]: '/A/b' is never reached: '/a/*' of path rule 'x'",
            severity="warning",
        )

    def test_redirects(self) -> None:
        def redirected(listener: HttpListener, **members: Any) -> Gateway:
            rules = (
                Rule(name="r", listener="from", redirect="d"),
                Rule(name="q", listener="to", pool="p", settings="s"),
            )
            return gateway(host("from", port=81), listener, rules=rules, redirects=(Redirect(name="d", **members),))

        self.says(redirected(host("to"), target_listener="to"))
        self.says(redirected(host("to")), "has neither of 'targetListener' and 'targetUrl'")
        self.says(redirected(host("to"), target_listener="to", target_url="http://x"), "has both")
        self.says(redirected(host("to"), target_url="/x"), "a target is an absolute URL")
        self.says(redirected(host("to", host_names=("*.a",)), target_listener="to"), "several or wildcard host names")
        self.says(redirected(host("to"), target_listener="from"), "leads listener 'from' to itself")

    def test_passive_health(self) -> None:
        passive = PassiveHealth(server_error_codes=("502-504", "5xx"))
        self.says(
            gateway(pools=(POOL.model_copy(update={"passive_health": passive}),)),
            "pools[0].passiveHealth.serverErrorCodes[1]: found '5xx'; expected a status code such as 200",
        )

    def test_settings_and_probes(self) -> None:
        def made(settings: dict[str, Any], **probe: Any) -> Gateway:
            settings = {"name": "s", "request_timeout": 60, "probe": "q"} | settings
            return gateway(settings=(BackendSettings(**settings),), probes=(Probe(name="q", **probe),))

        self.says(made({}))
        self.says(made({"protocol": "Https"}), "settings[0].probe: probe 'q' speaks Http but settings 's' Https")
        self.says(made({"host_name": "x", "pick_host_name_from_backend_address": True}), "exclude each other")
        self.says(
            made({}, match=Match(status_codes=("200", "x", "300-200", "2000"))),
            "found 'x'",
            "found '300-200'",
            "found '2000'",
        )
        self.says(made({"protocol": "Https"}, strategy="websocket"), "probe 'q' speaks Http but settings 's' Https")
        self.says(made({"protocol": "Https"}, strategy="tcp"))
        self.says(made({}, timeout=40), "longer than the interval", severity="warning")
        self.says(
            made({"request_timeout": 20}),
            "settings[0].requestTimeout: 20 s is also the idle limit of WebSockets",
            severity="warning",
        )
        self.says(made({"request_timeout": 20, "web_socket_idle_timeout": 60}), severity="warning")
        self.says(made({"web_socket_idle_timeout": 20}), "not above the usual ping interval", severity="warning")
        self.says(made({"path": "x"}), "does not begin with '/'", severity="warning")

    def test_unused(self) -> None:
        model = gateway(
            host("l"),
            host("x", port=81),
            rules=(Rule(name="r", listener="l", pool="p", settings="s"),),
            pools=(POOL, Pool(name="q")),
        )
        self.says(
            model,
            "listener 'x' has no rule; every request to it gets 404",
            "pool 'q' is not used by anything",
            severity="warning",
        )

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
