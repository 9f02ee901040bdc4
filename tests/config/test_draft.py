"""Tests of `gateway.config.draft`: locations, and where they stand in the user's file."""

from __future__ import annotations

from twisted.trial import unittest

from gateway.config.draft import Draft, location_of, place_of
from gateway.config.tree import Map, Place, Seq


class LocationTests(unittest.SynchronousTestCase):
    """`location_of`."""

    def test_paths(self) -> None:
        for path, location in (
            ("certificates[0].password", ("certificates", 0, "password")),
            ("pathMaps[1].pathRules[12].paths[0]", ("path_maps", 1, "path_rules", 12, "paths", 0)),
            ("settings[0].validateSNI", ("settings", 0, "validate_sni")),
            ("trusted_roots[0].key_vault_secret_id", ("trusted_roots", 0, "key_vault_secret_id")),
            ("pools[0].selectorOptions.hostName[1].x", ("pools", 0, "selector_options", "hostName", 1, "x")),
            ("probes[0].options.a b/c", ("probes", 0, "options", "a b/c")),
            ("pools[0].selectorOptions.x[y].z", ("pools", 0, "selector_options", "x", "[y].z")),
            ("rules", ("rules",)),
        ):
            self.assertEqual(location_of(path), location, path)

    def test_others(self) -> None:
        """What is no path into the model stays as it is."""
        for path in ("", "sslCertificates[0]", "[0]", "listener", "..", "the pool"):
            self.assertIsNone(location_of(path), path)


class PlaceTests(unittest.SynchronousTestCase):
    """`place_of`, beyond what `tests.config.test_problems` has."""

    def draft(self) -> Draft:
        options, listed = Map(11), Seq(13)
        listed.add("x", 14)
        options.put("wait_ms", 5, 12)
        options.put("names", listed, 13)
        pool = Draft(Place("backendPools[0]", 5))
        pool.inner = Place("backendPools[0].properties", 6)
        pool.put("selector_options", {"wait_ms": 5, "names": ["x"]}, Place("backendPools[0].options", 11))
        pool.trees["selector_options"] = options
        pool.put("members", [5], Place("backendPools[0].members", 7))
        pool.places["members", 0] = pool.places["members"]
        draft = Draft(Place("", 1))
        draft.put("pools", [pool, Draft(Place("backendPools[1]", 20))], Place("backendPools", 4))
        return draft

    def test_places(self) -> None:
        for path, place in (
            ("pools[0].selectorOptions", ("backendPools[0].options", 11)),
            ("pools[0].selectorOptions.wait_ms", ("backendPools[0].options.wait_ms", 12)),
            ("pools[0].selectorOptions.names[0]", ("backendPools[0].options.names[0]", 14)),
            ("pools[0].selectorOptions.names[1].y", ("backendPools[0].options.names[1].y", 13)),
            ("pools[0].selectorOptions.host_name", ("backendPools[0].options.host_name", 11)),
            ("pools[0].selector", ("backendPools[0].properties.selector", 6)),
            ("pools[0].members[0]", ("backendPools[0].members", 7)),
            ("pools[1].selector", ("backendPools[1].selector", 20)),
            ("pools[1].selectorOptions.host_name", ("backendPools[1].selectorOptions.host_name", 20)),
        ):
            location = location_of(path)
            assert location is not None
            found = place_of(self.draft(), location)
            self.assertEqual(found[0], place[0])
            self.assertEqual(found[1], place[1], path)
