"""`gateway.config.checks.path_maps`."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.checks.path_maps import find
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

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.lists(st.text("/aB*", max_size=4).map("/".__add__), max_size=3), max_size=6))
    def test_like_each_with_each(self, made: list[list[str]]) -> None:
        """What comes first and matches all is found as if each was compared with each."""
        rules = tuple(
            PathRule(name=f"r{index}", paths=tuple(paths), pool="p", settings="s") for index, paths in enumerate(made)
        )
        path_map = PathMap(name="m", path_rules=rules, default_pool="p", default_settings="s")
        expected, seen = [], list[tuple[str, str]]()
        for rule in rules:
            for path in rule.paths:
                folded = path.casefold()
                for earlier, owner in seen:
                    if folded == earlier or (earlier.endswith("*") and folded.startswith(earlier[:-1])):
                        expected.append(f"{path!r} is never reached: {earlier!r} of path rule {owner!r} comes before")
                        break
                seen.append((folded, rule.name))
        found = [each.message for each in find(gateway(path_maps=(path_map,))) if "never reached" in each.message]
        self.assertEqual([message.partition(" it and matches")[0] for message in found], expected)

    def test_thousands(self) -> None:
        """Paths are not compared with each other."""
        rules = tuple(
            PathRule(name=f"r{index}", paths=tuple(f"/r{index}/p{number}" for number in range(200)), pool="p")
            for index in range(100)
        )
        began = time.monotonic()
        self.assertEqual(list(find(gateway(path_maps=(PathMap(name="m", path_rules=rules, default_pool="p"),)))), [])
        self.assertLess(time.monotonic() - began, 10)  # alone a twentieth of one; each with each takes half a minute
