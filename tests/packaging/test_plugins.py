"""Strategies of strangers: a distribution beside the gateway, a file dropped into it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from twisted.trial import unittest

from tests.packaging import environment

EXAMPLE = "gateway-tenants"
NAMES = {
    ("gateway.filters", "tenant-quota"),
    ("gateway.middleware", "tenant"),
    ("gateway.selectors", "tenant-homes"),
}

DROP_IN = """
from zope.interface import implementer
from gateway.interfaces import ISelector
from gateway.services import Factory

@implementer(ISelector)
class First:
    def __init__(self, options, services):
        pass

    def select(self, candidates, head):
        return candidates[0]

factory = Factory("first", None, First, group="gateway.selectors")
"""


class DistributionTests(unittest.TestCase):
    """`examples/gateway-tenants`, installed in the two ways."""

    skip = environment.missing()

    def listed(self, place: environment.Environment, check: bool = True) -> list[dict[str, Any]]:
        """What `gatewayctl plugins` lists besides the gateway's own."""
        done = place.run("gatewayctl", "plugins", "--format", "json", check=check)
        found: list[dict[str, Any]] = json.loads(done.stdout)["plugins"]
        return [entry for entry in found if entry["distribution"] != "gateway"]

    def check_distribution(self, *options: str) -> None:
        place = environment.make(self)
        place.install(*options)
        self.assertEqual([], self.listed(place))
        copy = place.install_beside(EXAMPLE, *options)
        found = self.listed(place)
        self.assertEqual({(entry["group"], entry["name"]) for entry in found}, NAMES)
        for entry in found:
            self.assertEqual((entry["distribution"], entry["version"], entry["problem"]), (EXAMPLE, "1.0.0", None))
            self.assertTrue(all(option["description"] for option in entry["options"]))
        self.check_configuration(place, copy / "gateway.yaml")
        shutil.copytree(copy / "tests", place.elsewhere / "tests")
        shutil.copy(copy / "gateway.yaml", place.elsewhere)
        self.assertIn("PASSED (successes=", place.run("trial", "tests").stdout)

    def check_configuration(self, place: environment.Environment, path: Path) -> None:
        """Picked by name; what is wrong with options is said with its place, as the example's page shows it."""
        self.assertIn("ok, 'gateway' would run", place.run("gatewayctl", "check", "--strict", str(path)).stdout)
        wrong = path.with_name("wrong.yaml")
        wrong.write_text(path.read_text("utf-8").replace("domain: example.com", "domian: example.com"), "utf-8")
        page = (path.parent / "README.md").read_text("utf-8").partition("\n```text\n")[2].partition("```")[0]
        done = place.run("gatewayctl", "check", str(wrong), check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        for line in page.splitlines():
            self.assertIn(line, done.stdout)

    def test_installed(self) -> None:
        self.check_distribution()

    def test_editable(self) -> None:
        self.check_distribution("--editable")

    def test_faults_and_drop_ins(self) -> None:
        """In one environment, one after the other."""
        place = environment.make(self)
        place.install()
        copy = place.install_beside(EXAMPLE)
        self.check_drop_ins(place)
        self.check_one_that_cannot_be_loaded(place)
        place.install_beside(EXAMPLE, name="house-tenants")
        self.check_two_that_claim_one_name(place, copy)

    def check_drop_ins(self, place: environment.Environment) -> None:
        """One file in `gateway/plugins` of what is installed, or of any directory on the path."""
        (place.site / "gateway" / "plugins" / "house.py").write_text(DROP_IN, "utf-8")
        elsewhere = place.directory / "house" / "gateway" / "plugins"
        elsewhere.mkdir(parents=True)
        (elsewhere / "second.py").write_text(DROP_IN.replace('"first"', '"second"'), "utf-8")
        (place.site / "house.pth").write_text(f"{place.directory / 'house'}\n", "utf-8")
        found = {entry["name"]: entry["where"] for entry in self.listed(place) if entry["distribution"] is None}
        self.assertEqual(set(found), {"first", "second"})
        self.assertTrue(found["first"].endswith("site-packages/gateway/plugins/house.py"), found)
        self.assertEqual(found["second"], str(elsewhere / "second.py"))

    def check_one_that_cannot_be_loaded(self, place: environment.Environment) -> None:
        """It is listed, with the reason; the others work."""
        module = place.site / "gateway_tenants" / "tenant.py"
        before = module.read_text("utf-8")
        module.write_text("import no_such_module\n", "utf-8")
        found = {entry["name"]: entry["problem"] for entry in self.listed(place, check=False)}
        self.assertIn("cannot be loaded: ModuleNotFoundError", found.pop("tenant"))
        self.assertEqual({None}, set(found.values()))
        module.write_text(before, "utf-8")

    def check_two_that_claim_one_name(self, place: environment.Environment, copy: Path) -> None:
        """Both are named, by `gatewayctl plugins` and by whoever uses the name; nobody else is harmed."""
        both = "distribution gateway-tenants 1.0.0 and distribution house-tenants 1.0.0"
        found = [entry for entry in self.listed(place, check=False) if entry["problem"]]
        self.assertEqual(len(found), 2 * len(NAMES))
        for entry in found:
            claimed = sorted(entry["problem"].partition("claimed by ")[2].partition(":")[0].split(" and "))
            self.assertEqual(" and ".join(claimed), both)
        done = place.run("gatewayctl", "check", str(copy / "gateway.yaml"), check=False)
        for line in ("pools[0].selector: selector 'tenant-homes'", "middleware[0]: middleware 'tenant'"):
            self.assertIn(f"{line} is claimed by distribution ", done.stdout)
