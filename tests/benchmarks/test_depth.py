"""The measurement of what it costs to look into messages."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import depth
import looking
from compare import Measurement
from twisted.trial.unittest import SynchronousTestCase

from gateway.testing import MessageFilterConformance, build
from gateway.values import DROP


def finding(target: str, per_core: float, workload: str = "echo-64", waited: float = 0.0) -> depth.Finding:
    """A run that went well."""
    return depth.Finding(Measurement(workload, target, per_core, 1.0, per_core, 0, 1.0, 2.0, 3.0), waited)


class TableTests(SynchronousTestCase):
    """What is printed."""

    def test_medians_and_ratios(self) -> None:
        """The middle one of three runs, in microseconds too, divided by the stock relay's, and by the faster one's."""
        rates = {
            "message": (50_000, 10_000, 40_000),
            "stock": (10_000, 10_000, 10_000),
            "stock-lean": (1, 20_000, 20_000),
        }
        found = [finding(target, each[number]) for number in range(3) for target, each in rates.items()]
        lines = depth.table(found, ["message", "stock", "stock-lean"]).splitlines()
        self.assertEqual(
            [
                "| echo | through | per core | µs per echo | waited for | ÷ stock | ÷ the fastest stock |",
                "|---|---|---:|---:|---:|---:|---:|",
                "| echo-64 | message | 40,000/s | 25.0 | 0.00 | **4.00** | 2.00 |",
                "| echo-64 | stock | 10,000/s | 100.0 | 0.00 | **1.00** | 0.50 |",
                "| echo-64 | stock-lean | 20,000/s | 50.0 | 0.00 | **2.00** | 1.00 |",
            ],
            lines,
        )

    def test_each_workload_by_itself(self) -> None:
        """A ratio is of runs with the same messages."""
        found = [finding("message", 30_000), finding("stock", 10_000)]
        found += [finding("message", 8_000, "echo-4k"), finding("stock", 4_000, "echo-4k", waited=0.25)]
        lines = depth.table(found, ["message", "stock"]).splitlines()
        self.assertEqual("| echo-64 | message | 30,000/s | 33.3 | 0.00 | **3.00** |", lines[2])
        self.assertEqual("| echo-4k | message | 8,000/s | 125.0 | 0.00 | **2.00** |", lines[4])
        self.assertEqual("| echo-4k | stock | 4,000/s | 250.0 | 0.25 | **1.00** |", lines[5])

    def test_without_a_stock_relay(self) -> None:
        """Nothing is divided by what was not measured."""
        lines = depth.table([finding("watch", 100_000)], ["watch"]).splitlines()
        self.assertEqual("| echo-64 | watch | 100,000/s | 10.0 | 0.00 |", lines[2])


class WordsTests(SynchronousTestCase):
    """The command line."""

    def refused(self, *words: str) -> str:
        said = StringIO()
        with redirect_stderr(said):
            error = self.assertRaises(SystemExit, depth.main, list(words))
        self.assertEqual(2, error.code)
        return said.getvalue()

    def test_names(self) -> None:
        """What it does not know it names, with what it knows; other kinds of load make no sense."""
        self.assertIn(
            "'nginx' is not one of watch, message, changing, stock, stock-lean", self.refused("-t", "stock,nginx")
        )
        self.assertIn("'get-128' is not one of echo-64,", self.refused("-w", "get-128"))


class LookingTests(MessageFilterConformance, SynchronousTestCase):
    """The filter that looks."""

    def make_filter(self) -> looking.Looking:
        return build(looking.looking)

    def test_looks(self) -> None:
        """At messages of both kinds."""
        session = self.make_filter()
        self.assertEqual([None, None], [session.message(said, True) for said in ("allowed", b"allowed")])
        self.assertEqual([DROP, DROP], [session.message(said, False) for said in ("forbidden", b"so forbidden")])


class ChangingTests(MessageFilterConformance, SynchronousTestCase):
    """The filter that replaces."""

    def make_filter(self) -> looking.Changing:
        return build(looking.changing)

    def test_replaces(self) -> None:
        """What it returns says the same, and is another object: the gateway has to send that."""
        for said in ("hello", b"hello"):
            found = self.make_filter().message(said, True)
            self.assertEqual(said, found)
            self.assertIsNot(said, found)


class RunTests(SynchronousTestCase):
    """The whole, for a moment: each byte that comes back through gateway and relay is the one that was sent."""

    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        skip = "the load generator is for Linux, and compiled when it is used"

    def test_every_target(self) -> None:
        """The status is 0, so that no connection was lost, and all have echoed."""
        cores = sorted(os.sched_getaffinity(0))
        path, printed = Path(self.mktemp()), StringIO()
        words = ["-r", "1", "-s", "0.2", "--warmup", "0.1", "-w", "echo-64", "--json", str(path)]
        words += ["--proxy-cpu", str(cores[0]), "--load-cpu", str(cores[-1])]
        with redirect_stdout(printed), redirect_stderr(StringIO()) as said:
            status = depth.main(words)
        self.assertEqual(0, status, said.getvalue())
        runs = json.loads(path.read_text("utf-8"))
        self.assertEqual([*depth.FILTERS, *depth.STOCK], [run["target"] for run in runs])
        self.assertEqual([0] * 5, [run["errors"] for run in runs])
        self.assertTrue(all(run["rate"] > 0 for run in runs), runs)
        self.assertEqual(7, len(printed.getvalue().splitlines()))
