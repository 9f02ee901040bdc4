"""Tests of `gateway.config.writer`: what is written can be read, and is the same."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config import load, model
from gateway.config.writer import write_compact
from tests.config.support import ConfigurationTestCase, properties

TEXTS = st.sampled_from(["no", "~", "1.5", "a: b", "# x", "'q'", '"', " x ", "é", "=", "#", "{var_host}"])
WORDS = st.sampled_from(
    ["no", "On", "null", "~", "1e3", "010", "1.5", "0x1F", "8080:80", "a: b", "# x", "- y", "'q'", '"', "a\nb", " x ",
     "é", "*a", "&b", "!c", "%", "@d", "`", "[x]", "{y}", "true", "1_000", "2001-01-01", "=", "<<", "\u2028",
     "a\tb", "?"]
)  # fmt: skip
NAMES = st.one_of(WORDS, st.text(string.ascii_letters + string.digits + "-_. ", min_size=1, max_size=12))
HOSTS = st.sampled_from(["a.test", "10.0.0.4", "::1", "fe80::1", "localhost", "1e3", "no"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), NAMES),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=2)
STRATEGY = st.builds(model.Strategy, strategy=NAMES, options=OPTIONS)
STRATEGIES = st.lists(STRATEGY, max_size=2).map(tuple)
SECONDS = st.one_of(st.integers(1, 300), st.floats(0.001, 300))


def some(strategy: Any) -> Any:
    return st.one_of(st.none(), strategy)


def unique(draw: Any, most: int) -> list[str]:
    return draw(st.lists(NAMES, min_size=1, max_size=most, unique_by=str.casefold))


@st.composite
def gateways(draw: Any) -> model.Gateway:
    """Gateways that may be started."""
    members = st.builds(
        model.Member, host=HOSTS, port=some(st.integers(1, 65535)), weight=st.integers(1, 3),
        connect_host=some(HOSTS), connect_port=some(st.integers(1, 65535)),
    )  # fmt: skip
    pools = tuple(
        model.Pool(
            name=name, members=tuple(draw(st.lists(members, max_size=3))), selector=draw(NAMES),
            selector_options=draw(OPTIONS), discovery=draw(some(STRATEGY)),
        )
        for name in unique(draw, 3)
    )
    probes = tuple(
        draw(
            st.builds(
                model.Probe, name=st.just(name), interval=SECONDS, timeout=SECONDS, host=some(HOSTS),
                path=st.sampled_from(["/", "/h?a=b", "/é"]), options=OPTIONS, min_servers=st.integers(0, 3),
                match=st.builds(model.Match, status_codes=st.sampled_from([("200-399",), ("200", "404")]),
                                body=some(WORDS)),
            )
        )
        for name in unique(draw, 2)
    )  # fmt: skip
    backend_settings = tuple(
        draw(
            st.builds(
                model.BackendSettings, name=st.just(name), port=st.integers(1, 65535), connect_timeout=SECONDS,
                request_timeout=st.integers(1, 86400), probe=some(st.sampled_from([item.name for item in probes])),
                cookie_based_affinity=st.sampled_from(["Enabled", "Disabled"]), host_name=some(HOSTS),
                path=some(st.just("/p")), validate_sni=st.booleans(),
                affinity_cookie_name=some(st.just("c")), web_socket_idle_timeout=some(st.integers(1, 86400)),
                trusted_root_certificates=st.sampled_from([(), ("root",), ("root", "gone")]),
                dedicated_backend_connection=st.booleans(), sni_name=some(st.just("s.test")),
                connection_draining=st.builds(model.ConnectionDraining, enabled=st.booleans()),
            )
        )
        for name in unique(draw, 3)
    )  # fmt: skip
    certificates = (
        model.Certificate(name="site", data="AAAA", password=draw(some(WORDS))),
        model.Certificate(name="gone", key_vault_secret_id=draw(some(NAMES)), unavailable=draw(NAMES)),
    )
    roots = (model.TrustedRoot(name="root", data="AAAA"), model.TrustedRoot(name="gone", unavailable=draw(NAMES)))
    policies = st.sampled_from(
        [
            None,
            model.SslPolicy(policy_name="AppGwSslPolicy20220101S"),
            model.SslPolicy(
                policy_type="Custom", min_protocol_version="TLSv1_2",
                cipher_suites=("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",),
            ),
        ]
    )  # fmt: skip
    clients = (
        model.TrustedClientCertificate(name="ca", data="AAAA"),
        model.TrustedClientCertificate(name="gone", unavailable=draw(NAMES)),
    )
    profiles = (
        model.SslProfile(
            name="profile", ssl_policy=draw(policies), trusted_client_certificates=("ca", "gone"),
            client_auth_configuration=model.ClientAuthentication(verify_client_cert_issuer_dn=draw(st.booleans())),
        ),
    )  # fmt: skip
    listeners = tuple(
        model.HttpListener(
            name=name, port=8000 + index, protocol="Https" if draw(st.booleans()) else "Http",
            certificates=draw(st.sampled_from([("site",), ("gone",), ("gone", "site")])), middleware=draw(STRATEGIES),
            ssl_profile=draw(st.sampled_from([None, "profile"])),
            host_names=draw(st.sampled_from([(), ("a.test",), ("*.b.test", "c.test")])),
        )
        for index, name in enumerate(unique(draw, 3))
    )  # fmt: skip
    target = st.tuples(st.sampled_from([p.name for p in pools]), st.sampled_from([s.name for s in backend_settings]))
    redirect = model.Redirect(name="away", target_url="https://x.test/", include_path=draw(st.booleans()))
    pool, chosen = draw(target)
    path_rules = (
        model.PathRule(
            name="1", paths=("/a/*", "/b"), pool=pool, settings=chosen, middleware=draw(STRATEGIES),
            filters=draw(STRATEGIES),
        ),
        model.PathRule(name="two", paths=("/c/*",), redirect="away"),
    )
    path_map = model.PathMap(name="map", default_pool=pool, default_settings=chosen, path_rules=path_rules)
    rules = []
    for index, listener in enumerate(listeners):
        pool, chosen = draw(target)
        where = draw(
            st.sampled_from([{"pool": pool, "settings": chosen}, {"path_map": "map"}, {"redirect": "away"}])
        )
        added = {"middleware": draw(STRATEGIES), "filters": draw(STRATEGIES), "router": draw(some(STRATEGY))}
        rules.append(model.Rule(name=f"r{index}", listener=listener.name, priority=index + 1, **where, **added))
    rewrite = model.RewriteSet(
        name="set",
        rules=(
            model.RewriteRule(
                name="r", sequence=draw(st.integers(0, 1000)),
                conditions=(model.Condition(variable="var_host", pattern=draw(TEXTS), negate=draw(st.booleans())),),
                request_headers=(model.HeaderAction(name="X-A", value=draw(TEXTS)),),
                response_headers=(model.HeaderAction(name="Set-Cookie", matcher=model.Matcher(pattern="a")),),
                url=model.UrlAction(path=draw(some(st.just("/p"))), query=draw(some(st.just("")))),
            ),
        ),
    )  # fmt: skip
    conditions = model.ConditionSet(
        name="set",
        conditions=(
            model.RoutingCondition(type="Header", name="X-A", values=(draw(WORDS),)),
            model.RoutingCondition(type="Path", matcher=model.Matcher(pattern="^/a", ignore_case=draw(st.booleans()))),
        ),
    )
    routing_rule = model.RoutingRule(name="r", priority=1, condition_set="set", pool=pool, settings=chosen)
    routing_map = model.RoutingMap(name="map", default_pool=pool, default_settings=chosen, rules=(routing_rule,))
    share = model.DistributionTarget(pool=pool, weight=draw(st.integers(1, 100)))
    page = model.ErrorPage(status=draw(st.sampled_from(["403", "502"])), url="http://a.test/x.html")
    limits = draw(st.builds(model.Limits, head_timeout=SECONDS, max_body_bytes=some(st.integers(0, 1 << 40))))
    return model.Gateway(
        name=draw(NAMES), listeners=listeners, rules=tuple(rules), pools=pools, settings=backend_settings,
        probes=probes, path_maps=(path_map,), redirects=(redirect,), certificates=certificates, limits=limits,
        ssl_policy=draw(policies), ssl_profiles=profiles, trusted_client_certificates=clients,
        trusted_roots=roots, middleware=draw(STRATEGIES), observers=draw(STRATEGIES),
        distributions=(model.Distribution(name="d", targets=(share,)),), rewrites=(rewrite,),
        condition_sets=(conditions,), routing_maps=(routing_map,), error_pages=(page,),
    )  # fmt: skip


class RoundTripTests(unittest.SynchronousTestCase):
    """The property: what is written is read as an equal model."""

    @settings(max_examples=60, deadline=None)
    @given(gateways())
    def test_equal(self, gateway: model.Gateway) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "c.yaml")
            path.write_text(write_compact(gateway, "a\nb"), encoding="utf-8")
            self.assertEqual(load(path), gateway)


    def test_nothing(self) -> None:
        """That there is nothing to serve is said."""
        gateway = model.Gateway()
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "c.yaml")
            path.write_text(write_compact(gateway), encoding="utf-8")
            self.assertEqual(load(path), gateway)


class WriterTests(ConfigurationTestCase):
    """`write_compact`."""

    def test_a_resource(self) -> None:
        """Short, with references by name; what was not honoured is a comment."""
        document = properties() | {"sku": {"name": "Standard_v2"}}
        gateway = self.load(document)
        text = write_compact(gateway, "gw.json")
        lines = text.splitlines()
        self.assertEqual(lines[0], "# Made from gw.json by gatewayctl convert.")
        self.assertIn("#   sku: capacity and size are those of this machine.", lines)
        self.assertIn("- {name: web, port: 80}", lines)
        self.assertIn("- {name: rule, listener: web, priority: 10, pool: chat, settings: plain}", lines)
        self.assertIn("- {name: chat, backends: ['10.0.0.4', b.test]}", lines)
        again = self.load(text)
        self.assertEqual(again, gateway.model_copy(update={"not_honoured": ()}))
        self.assertLess(len(text), 600)

    def test_secrets(self) -> None:
        """They are in it, and it says so; without any it does not."""
        gateway = self.load(properties())
        self.assertNotIn("secret", write_compact(gateway))
        certificate = model.Certificate(name="c", data="AAAA", password="hunter2")
        text = write_compact(gateway.model_copy(update={"certificates": (certificate,)}))
        self.assertTrue(text.startswith("# The passwords, keys and certificates below"))
        self.assertEqual(yaml.safe_load(text)["certificates"][0]["password"], "hunter2")

    def test_comments_hold(self) -> None:
        """Nothing in a comment can end it."""
        gateway = self.load(properties()).model_copy(update={"not_honoured": ("x\nlisteners: []\u2028pools: []",)})
        self.assertEqual(self.load(write_compact(gateway, "a\nlimits: 5")).listeners, gateway.listeners)
