"""`gateway.config.checks.path_maps`."""

from __future__ import annotations

from typing import Any

from gateway.config.model import Gateway, PathMap, PathRule, Rule
from tests.config.checks.support import CheckCase, gateway


class PathMapTests(CheckCase):
    """Names and patterns."""

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
