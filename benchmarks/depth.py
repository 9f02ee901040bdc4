#!/usr/bin/env python3
"""What it costs to look into WebSocket messages: the gateway at both depths beside a relay of Autobahn's own classes.

    python benchmarks/depth.py                          three rounds, about two minutes
    python benchmarks/depth.py -t message,stock -w echo-64 -r 5 --json depth.json

``watch`` is the gateway as it comes, which reads frame headers only; ``message`` has one filter that looks at each
message; the filter of ``changing`` replaces each (looking.py).  ``stock`` is stock_relay.py with Autobahn's default
options, ``stock-lean`` the same without its UTF-8 check.  None negotiates compression.  Rates per core are those of
compare.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from compare import WORKLOADS, Measurement, describe, measure, scratch
from tools import LoadTools, attempt, check_words, output_file, waited_seconds

__all__ = ["FILTERS", "STOCK", "Finding", "configuration", "main", "start", "table"]

_HERE = Path(__file__).resolve().parent

FILTERS: dict[str, list[str]] = {"watch": [], "message": ["looking:looking"], "changing": ["looking:changing"]}
"""The filters of the gateway, by target."""

STOCK: dict[str, list[str]] = {"stock": [], "stock-lean": ["--lean"]}
"""The options of the stock relay, by target."""

_ECHOES = tuple(name for name, work in WORKLOADS.items() if work.kind == "echo" and not work.tls)

_GATEWAY = """
listeners:
  - {{name: plain, address: 127.0.0.1, port: {port}}}
pools:
  - {{name: measured, backends: ["127.0.0.1:{backend}"]}}
rules:
  - {{listener: plain, pool: measured, filters: FILTERS}}
"""


class Finding(NamedTuple):
    """One run. ``waited``: seconds per second that the relay was ready to run while others had its core."""

    measured: Measurement
    waited: float


def configuration(target: str) -> str:
    """The gateway's configuration, as `proxies.Setup` has it."""
    return _GATEWAY.replace("FILTERS", json.dumps(FILTERS[target]))


def start(target: str, setup: proxies.Setup, stack: ExitStack) -> proxies.Running:
    """Start a target in a directory of its own, and wait until it serves."""
    own = setup.directory / target
    own.mkdir()
    setup = setup._replace(directory=own)
    if target in FILTERS:
        prelude = f"import sys; sys.path.insert(0, {str(_HERE)!r}); "
        setup = setup._replace(configuration=configuration(target), prelude=prelude)
        return proxies.start("gateway", setup, stack)._replace(name=target)
    port = proxies.free_port()
    command = [sys.executable, str(_HERE / "stock_relay.py"), str(port), str(setup.backend), *STOCK[target]]
    return proxies.Running(target, proxies.launch(target, command, port, setup, stack), port, 0, 0)


def rounds(tools: LoadTools, targets: Sequence[proxies.Running], options: argparse.Namespace) -> Iterator[Finding]:
    """All runs, targets taking turns inside each round, in changing order."""
    for number in range(options.rounds):
        for name in options.workloads:
            for target in targets if number % 2 == 0 else targets[::-1]:
                waited = waited_seconds(target.pid)
                measured = measure(tools, name, WORKLOADS[name], target, options.warmup, options.seconds)
                waited = waited_seconds(target.pid) - waited
                yield Finding(measured, waited / (options.warmup + options.seconds))


def table(found: Sequence[Finding], targets: Sequence[str]) -> str:
    """A Markdown table of medians: a row for each workload and target."""
    relays = [target for target in targets if target in STOCK]
    heads = ["echo", "through", "per core", "µs per echo", "waited for"]
    heads += ["÷ stock"] * ("stock" in relays) + ["÷ the fastest stock"] * (len(relays) > 1)
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for name in dict.fromkeys(each.measured.workload for each in found):
        of = {target: [each for each in found if each.measured[:2] == (name, target)] for target in targets}
        rates = {target: statistics.median(each.measured.per_core for each in some) for target, some in of.items()}
        for target, rate in rates.items():
            waited = statistics.median(each.waited for each in of[target])
            cells = [name, target, f"{rate:,.0f}/s", f"{1e6 / rate:.1f}" if rate else "", f"{waited:.2f}"]
            if "stock" in relays:
                cells.append(f"**{rate / rates['stock']:.2f}**")
            if len(relays) > 1:
                cells.append(f"{rate / max(rates[relay] for relay in relays):.2f}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; also checks the names in it."""
    parser = argparse.ArgumentParser(description="What it costs to look into WebSocket messages.")
    parser.add_argument("-t", "--targets", default=",".join((*FILTERS, *STOCK)), help="default: %(default)s")
    parser.add_argument("-w", "--workloads", default="echo-64,echo-4k", help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before it")
    parser.add_argument("--proxy-cpu", type=int, default=0, help="core for gateway and relays")
    parser.add_argument("--load-cpu", type=int, default=1, help="core for backend and load generator")
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write every measurement there")
    options = parser.parse_args(argv)
    options.targets, options.workloads = options.targets.split(","), options.workloads.split(",")
    check_words(parser, options.targets, (*FILTERS, *STOCK))
    check_words(parser, options.workloads, _ECHOES)
    return options


def run(options: argparse.Namespace, stack: ExitStack) -> list[Finding]:
    """Start everything and measure."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, options.load_cpu)
    backend = tools.start_backend(stack)
    setup = proxies.Setup(directory, backend, (options.proxy_cpu,), False, options.transport)
    targets = [start(target, setup, stack) for target in options.targets]
    found = []
    for finding in rounds(tools, targets, options):
        found.append(finding)
        print(f"{describe(finding.measured)}  waited {finding.waited:.2f}", file=sys.stderr)
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table; the exit status is 1 where a connection was lost or nothing could be measured."""
    options = parse(argv)
    found = attempt("depth", lambda stack: run(options, stack))
    if not found:
        return 1
    print(table(found, options.targets))
    if options.json:
        listed = [{**each.measured._asdict(), "waited": each.waited} for each in found]
        options.json.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    return 1 if any(each.measured.errors for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
