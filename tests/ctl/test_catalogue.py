"""`gateway.ctl.catalogue` and ``gatewayctl plugins``."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import gateway
from gateway.config.model import Strategy
from gateway.ctl.catalogue import catalogue, catalogue_document, catalogue_text, options_of
from gateway.ctl.main import main
from gateway.services import Factory, Options
from gateway.strategies.groups import BUILT_IN, GROUPS
from tests.strangers import MODULE, SELECTORS, Pick, StrategyCase, point


class Colours(Options):
    """Options of all kinds."""

    house_colour: str = Field(description="Of the walls.")
    size: int = Field(default=10, ge=1, le=20, description="Of the house.")
    loud: bool = False
    rooms: tuple[str, ...] = Field(default=("hall", "attic"), description="By name.")
    over: Annotated[Strategy, SELECTORS] = Strategy(strategy="round-robin")
    other: float | None = None


def made(options: Any, services: Any) -> Any:
    """A selector."""
    return Pick(options)


class CatalogueTests(StrategyCase):
    """What is there, and what is wrong with it."""

    def test_all_built_in(self) -> None:
        found = catalogue(self.factories())
        names = {(listed.group, listed.name) for listed in found}
        self.assertEqual(names, {(group, name) for group, inside in BUILT_IN.items() for name in inside})
        for listed in found:
            self.assertEqual(
                (listed.problem, listed.distribution, listed.version), ("", "gateway", gateway.__version__)
            )
        text = catalogue_text(found, [])
        for group in GROUPS:
            self.assertIn(f"{group} (", text)

    def test_options(self) -> None:
        (colour, size, loud, rooms, over, other) = options_of(Factory("pick", Colours, made))
        self.assertEqual(
            colour,
            {"name": "houseColour", "type": "text", "required": True, "default": None, "description": "Of the walls."},
        )
        self.assertEqual((size["type"], size["default"]), ("a whole number from 1 to 20", 10))
        self.assertEqual((loud["default"], rooms["default"], other["default"]), (False, ["hall", "attic"], None))
        self.assertEqual(over["default"]["strategy"], "round-robin")

    def test_text(self) -> None:
        self.provide(pick=Factory("pick", Colours, made))
        text = catalogue_text(catalogue(self.factories(point("pick", "pick"))), [])
        self.assertIn(
            "  pick                 acme 1.2\n"
            "      houseColour (text; required): Of the walls.\n"
            "      size (a whole number from 1 to 20; 10): Of the house.\n"
            "      loud (true or false; false)\n"
            "      rooms (a list of texts; hall, attic): By name.\n"
            "      over (a mapping; {strategy: round-robin})\n"
            "      other (a number)\n",
            text,
        )

    def test_claimed_twice(self) -> None:
        """Both are there, and each says who the other is."""
        self.provide(pick=Factory("pick", None, made))
        factories = self.factories(point("pick", "pick"), point("pick", "pick", "other"))
        both = [listed for listed in catalogue(factories) if listed.name == "pick"]
        self.assertEqual([listed.distribution for listed in both], ["acme", "other"])
        for listed in both:
            self.assertIsNone(listed.factory)
            self.assertIn("claimed by distribution acme 1.2 and distribution other 1.2", listed.problem)

    def test_not_loaded(self) -> None:
        """Listed, with the reason."""
        found = catalogue(self.factories(point("broken", "nothing")))
        (broken,) = [listed for listed in found if listed.problem]
        self.assertEqual((broken.name, broken.distribution, broken.where), ("broken", "acme", f"{MODULE}:nothing"))
        self.assertIn("cannot be loaded: AttributeError", broken.problem)
        self.assertIn("      ERROR: selector 'broken' (distribution acme 1.2) cannot be", catalogue_text([broken], []))
        entry = catalogue_document([broken], [])["plugins"][0]
        self.assertEqual((entry["options"], entry["problem"]), ([], broken.problem))

    def test_drop_in(self) -> None:
        factories = self.factories(
            drop_ins=[Factory("pick", None, made, group=SELECTORS), Factory("x", None, made, "no")]
        )
        (listed,) = [listed for listed in catalogue(factories) if not listed.distribution]
        self.assertEqual((listed.name, listed.where, listed.problem), ("pick", __file__, ""))


MISSPELLED = """
from gateway.pools.round_robin import factory
from gateway.services import Factory

def make(options, services):
    pass

without = Factory("without", None, make)
again = first = Factory("first", None, make, group="gateway.selector")
"""


class CommandTests(StrategyCase):
    """The command, as it is installed here."""

    def run_plugins(self, *arguments: str) -> str:
        out = io.StringIO()
        self.assertEqual(main(["plugins", *arguments], out), 0, out.getvalue())
        return out.getvalue()

    def test_text(self) -> None:
        self.assertIn("\n  round-robin          gateway ", self.run_plugins())

    def test_json(self) -> None:
        document = json.loads(self.run_plugins("--format", "json"))
        self.assertEqual(document["broken"], [])
        names = {(entry["group"], entry["name"]) for entry in document["plugins"]}
        self.assertIn((SELECTORS, "round-robin"), names)
        for entry in document["plugins"]:
            self.assertEqual(set(entry), {"group", "name", "distribution", "version", "where", "problem", "options"})

    def test_broken_drop_in(self) -> None:
        """Status 1, and the file is named; the others can still be seen."""
        directory = Path(self.mktemp()).resolve() / "gateway" / "plugins"
        directory.mkdir(parents=True)
        (directory / "ends_it.py").write_text("import sys\nsys.exit(0)\n")
        (directory / "in_pieces.py").write_text("import no_such_module\n")
        (directory / "misspelled.py").write_text(MISSPELLED)
        checkout = Path(gateway.__file__).parent.parent
        path = os.pathsep.join([str(checkout), str(directory.parent.parent)])
        done = subprocess.run(
            [sys.executable, "-m", "gateway.ctl", "plugins"],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("\n  round-robin          gateway ", done.stdout)
        self.assertEqual("", done.stderr)
        *_, ends, pieces, without, misspelled = done.stdout.splitlines()
        self.assertEqual(f"{directory}/ends_it.py cannot be loaded: SystemExit: 0", ends)
        self.assertEqual(
            f"{directory}/in_pieces.py cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'", pieces
        )
        self.assertIn(f"{directory}/misspelled.py is left out: its factory 'without' has no group; there", without)
        self.assertEqual(
            f"{directory}/misspelled.py is left out: its factory 'first' has the group 'gateway.selector'; "
            "did you mean 'gateway.selectors'?", misspelled,
        )  # fmt: skip
