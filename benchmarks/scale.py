#!/usr/bin/env python3
"""How the gateway's cost grows: with connections, with rules, with backends.

    python benchmarks/scale.py                          about three minutes
    python benchmarks/scale.py --plot docs/images --json scale.json

For each point: processor time per small GET, and resident memory.  The gateway is pinned to one core, backend and load
to another.  Only the gateway is measured, so that a disturbed machine shifts all points of a curve, not its shape.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from compare import Workload, measure, scratch
from plot import curves
from tools import LoadTools, ToolMissing, memory, output_directory, output_file

__all__ = ["Point", "main"]

_STEPS = (1, 10, 100, 1000)
_CONNECTIONS = (10, 100, 1000, 10000)

_HEAD = """
listeners:
{listeners}
pools:
{pools}
probes:
  - {{name: health, path: /, interval: 3600, timeout: 30}}
settings:
  - {{name: usual, probe: health}}
rules:
{rules}
"""


class Point(NamedTuple):
    """``curve``: ``connections``, ``rules`` or ``backends``; ``micros`` per GET; ``memory`` in bytes."""

    curve: str
    number: int
    micros: float
    memory: int


def rules(count: int) -> str:
    """A configuration with as many listeners, each with a host name and a rule; the load asks for the last."""
    names = [f"host{number}.test" for number in range(1, count)] + ["bench.test"]
    listeners = "\n".join(
        f"  - {{{{name: l{number}, address: 127.0.0.1, port: {{port}}, hostNames: ['{name}', '127.0.0.1']}}}}"
        if name == "bench.test"
        else f"  - {{{{name: l{number}, address: 127.0.0.1, port: {{port}}, hostNames: ['{name}']}}}}"
        for number, name in enumerate(names)
    )
    lines = "\n".join(f"  - {{{{listener: l{number}, pool: all, settings: usual}}}}" for number in range(count))
    pool = '  - {{name: all, backends: ["127.0.0.1:{backend}"]}}'
    return _fill(listeners, pool, lines)


def backends(count: int) -> str:
    """A configuration with as many members in one pool, all of them the same server."""
    members = ", ".join(
        f"{{{{host: b{number}.test, port: 80, connectHost: 127.0.0.1, connectPort: {{backend}}}}}}"
        for number in range(count)
    )
    return _fill(
        "  - {{name: web, address: 127.0.0.1, port: {port}}}",
        f"  - {{{{name: all, backends: [{members}]}}}}",
        "  - {{listener: web, pool: all, settings: usual}}",
    )


def _fill(listeners: str, pools: str, lines: str) -> str:
    return _HEAD.replace("{listeners}", listeners).replace("{pools}", pools).replace("{rules}", lines)


def points(options: argparse.Namespace, stack: ExitStack) -> Iterator[Point]:
    """All points, one gateway for each configuration."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, options.load_cpu)
    backend = tools.start_backend(stack)
    usual = proxies.Setup(directory, backend, (options.proxy_cpu,), False, options.transport)
    plans = [("connections", count, rules(1), count) for count in _CONNECTIONS]
    plans += [("rules", count, rules(count), 64) for count in _STEPS]
    plans += [("backends", count, backends(count), 64) for count in _STEPS]
    for curve, count, configuration, connections in plans:
        with ExitStack() as inner:
            target = proxies.start("gateway", usual._replace(configuration=configuration), inner)
            work = Workload("get", 128, connections)
            # Long enough that each connection has been used, and each backend has its connections.
            warmup = max(options.warmup, connections / 5000, count / 500)
            found = [measure(tools, curve, work, target, warmup, options.seconds) for _ in range(options.rounds)]
            micros = 1e6 / statistics.median(each.per_core for each in found)
            yield Point(curve, count, micros, memory(target.pid))


def table(found: list[Point]) -> str:
    """A Markdown table of all points."""
    lines = ["| what | how many | µs per GET | memory, MiB |", "|---|---:|---:|---:|"]
    lines += [
        f"| {point.curve} | {point.number:,} | {point.micros:.1f} | {point.memory / 1048576:.1f} |" for point in found
    ]
    return "\n".join(lines)


def draw(found: list[Point], directory: Path) -> None:
    """Two plots, ``scale-cpu.svg`` and ``scale-memory.svg``."""
    names = list(dict.fromkeys(point.curve for point in found))
    for stem, title, value in (
        ("cpu", "µs of processor time per GET", lambda point: point.micros),
        ("memory", "resident memory, MiB", lambda point: point.memory / 1048576),
    ):
        series = {name: [(point.number, value(point)) for point in found if point.curve == name] for name in names}
        (directory / f"scale-{stem}.svg").write_text(curves(series, title, "how many"), "utf-8")


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table; the exit status is 1 where that was not possible."""
    parser = argparse.ArgumentParser(description="How the gateway's cost grows.")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=2.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--json", type=output_file, metavar="FILE")
    parser.add_argument("--plot", type=output_directory, metavar="DIRECTORY")
    options = parser.parse_args(argv)
    found = []
    with ExitStack() as stack:
        try:
            for point in points(options, stack):
                found.append(point)
                print(point, file=sys.stderr)
        except (ToolMissing, RuntimeError) as error:
            print(f"scale: {error}", file=sys.stderr)
            return 1
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps([point._asdict() for point in found], indent=1) + "\n", "utf-8")
    if options.plot:
        draw(found, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
