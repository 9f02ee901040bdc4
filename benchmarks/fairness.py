#!/usr/bin/env python3
"""What one connection that floods does to its quiet neighbours, with the gateway, nginx and HAProxy.

    python benchmarks/fairness.py                       three rounds, about three minutes
    python benchmarks/fairness.py -t gateway,nginx -f none,messages -r 5 --json fairness.json --plot fairness.svg

The neighbours are 16 WebSockets that send 64 bytes and await the echo, and 16 connections that GET 128 bytes, each
group at a fixed rate; a latency counts from when its request was due.  The flood is one connection that never waits
for an answer (flood.c).  It goes through the same port of the proxy to a backend of its own, and its generator and that
backend run only when nobody else on their core wants to: what slows the neighbours is the proxy.  How far that is true,
``direct`` shows: the same without a proxy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from compare import scratch
from plot import levels
from tools import (
    LoadTools,
    ToolMissing,
    attempt,
    awaited,
    check_words,
    cpu_seconds,
    output_file,
    stop_process,
    waited_seconds,
)

__all__ = ["FLOODS", "QUIET", "Finding", "main"]

NOTHING = "none"
FLOODS = {
    NOTHING: None,
    "messages": ("echo", 64),
    "pipelined": ("get", 128),
    "download": ("get", 1 << 20),
    "upload": ("post", 1 << 20),
}
"""Kind and size as in flood.c: messages of 64 bytes, small GETs, GETs and POSTs of 1 MiB."""

QUIET = {"echo": 64, "get": 128}
"""Kind and size as in load.c."""

_CONNECTIONS = 16
_LATENCIES = ("p50_us", "p99_us", "max_us")

_GATEWAY = """
listeners:
  - {{name: plain, address: 127.0.0.1, port: {port}}}
pools:
  - {{name: quiet, backends: ["127.0.0.1:{backend}"]}}
  - {{name: flooded, backends: ["127.0.0.1:{second}"]}}
pathMaps:
  - {{name: both, defaultPool: quiet, pathRules: [{{name: flood, paths: [/flood/*], pool: flooded}}]}}
rules:
  - {{listener: plain, pathMap: both}}
"""


class Finding(NamedTuple):
    """How one group of neighbours fared in one run.

    ``rate`` per second; latencies in microseconds; ``cores`` that the proxy used, and
    ``waited``: how much more it would have used had others not been running there; ``answers`` and ``megabytes`` per
    second that the flood got, both directions together; ``errors`` of all.
    """

    flood: str
    target: str
    quiet: str
    rate: float
    p50_us: float
    p99_us: float
    max_us: float
    cores: float
    waited: float
    answers: float
    megabytes: float
    errors: int


def measure(
    tools: LoadTools, target: proxies.Running, flood: str, options: argparse.Namespace
) -> Iterator[Finding]:
    """One run: the flood and both groups of neighbours at a time."""
    warmup, seconds = options.warmup, options.seconds
    with ExitStack() as stack:

        def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
            stack.callback(stop_process, process)
            return process

        kind = FLOODS[flood]
        flooding = (
            None
            if kind is None
            else started(tools.start_flood(kind[0], target.second_port, kind[1], warmup, seconds))
        )
        quiet = {
            name: started(
                tools.start_load(name, target.port, size, _CONNECTIONS, warmup, seconds, rate=options.rate)
            )
            for name, size in QUIET.items()
        }
        for process in quiet.values():
            awaited(process)
        before = usage(target.pid)
        results = {name: result(process) for name, process in quiet.items()}
        used, waited = (after - then for after, then in zip(usage(target.pid), before, strict=True))
        got = {"count": 0, "bytes": 0, "seconds": 1.0, "errors": 0}
        if flooding is not None:
            awaited(flooding)
            got = result(flooding)
    for name, found in results.items():
        yield Finding(
            flood,
            target.name,
            name,
            found["count"] / found["seconds"],
            found["p50_us"],
            found["p99_us"],
            found["max_us"],
            used / found["seconds"],
            waited / found["seconds"],
            got["count"] / got["seconds"],
            got["bytes"] / got["seconds"] / 1e6,
            found["errors"] + got["errors"],
        )


def usage(pid: int) -> tuple[float, float]:
    """Processor seconds that the proxy has used, and that it has waited for; nothing without one."""
    return (cpu_seconds(pid), waited_seconds(pid)) if pid else (0.0, 0.0)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a generator says at its end."""
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def rounds(tools: LoadTools, targets: Sequence[proxies.Running], options: argparse.Namespace) -> Iterator[Finding]:
    """All runs, proxies taking turns inside each round, in changing order."""
    for number in range(options.rounds):
        for flood in options.floods:
            for target in targets if number % 2 == 0 else targets[::-1]:
                yield from measure(tools, target, flood, options)


def middle(found: Sequence[Finding], **which: str) -> dict[str, float]:
    """The medians of all figures of the runs with such a flood, target and quiet group; empty where there is none."""
    chosen = [each for each in found if all(getattr(each, name) == value for name, value in which.items())]
    names = Finding._fields[3:]
    return {name: statistics.median(getattr(each, name) for each in chosen) for name in names if chosen}


def milliseconds(micros: float) -> str:
    """For a table."""
    return f"{micros / 1000:.2f}" if micros < 10_000 else f"{micros / 1000:.0f}"


def table(found: Sequence[Finding], options: argparse.Namespace) -> str:
    """A Markdown table: a row for each flood and target."""
    heads = ["flood", "through", "cores: used, waited for", "the flood got"]
    heads += [f"{name}: per second; p50, p99, worst in ms" for name in QUIET]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for flood in options.floods:
        for target in options.targets:
            groups = {name: middle(found, flood=flood, target=target, quiet=name) for name in QUIET}
            if not all(groups.values()):
                continue
            usual = groups["echo"]
            cores = f"{usual['cores']:.2f}, {usual['waited']:.2f}" if usual["cores"] else ""
            got = f"{usual['answers']:,.0f}/s, {usual['megabytes']:,.0f} MB/s" if flood != NOTHING else ""
            cells = [flood, target, cores, got]
            cells += [
                f"{group['rate']:,.0f}; " + ", ".join(milliseconds(group[name]) for name in _LATENCIES)
                for group in groups.values()
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(found: Sequence[Finding], options: argparse.Namespace) -> str:
    """The plot: p99 of the neighbours, both groups."""
    bars = {
        f"{name}, {flood}": {
            target: middle(found, flood=flood, target=target, quiet=name).get("p99_us", 0.0) / 1000
            for target in options.targets
        }
        for name in QUIET
        for flood in options.floods
    }
    return levels(bars, options.targets, "p99 of the neighbours in ms, by flood")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; also checks the names in it."""
    parser = argparse.ArgumentParser(description="What one connection that floods does to its neighbours.")
    parser.add_argument("-t", "--targets", default="gateway,nginx,haproxy,direct", help="default: %(default)s")
    parser.add_argument("-f", "--floods", default=",".join(FLOODS), help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=2.0)
    parser.add_argument("--warmup", type=float, default=0.7)
    parser.add_argument("--rate", type=float, default=1600, help="per second of each group; default: %(default)s")
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write every single run there")
    parser.add_argument("--plot", type=output_file, metavar="FILE", help="also draw the p99 there, as SVG")
    options = parser.parse_args(argv)
    options.targets, options.floods = options.targets.split(","), options.floods.split(",")
    check_words(parser, options.targets, ("gateway", "pure", "nginx", "haproxy", "direct"))
    check_words(parser, options.floods, tuple(FLOODS))
    return options


def run(options: argparse.Namespace, stack: ExitStack) -> list[Finding]:
    """Start everything and measure."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, options.load_cpu)
    setup = proxies.Setup(
        directory,
        tools.start_backend(stack),
        (options.proxy_cpu,),
        False,
        options.transport,
        configuration=_GATEWAY,
        second=tools.start_backend(stack, humble=True),
    )
    targets = []
    for name in options.targets:
        try:
            targets.append(proxies.start(name, setup, stack))
        except ToolMissing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    found = []
    for finding in rounds(tools, targets, options):
        found.append(finding)
        print(finding, file=sys.stderr)
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table; the exit status is 1 where a connection was lost or nothing could be measured."""
    options = parse(argv)
    found = attempt("fairness", lambda stack: run(options, stack))
    if found is None:
        return 1
    print(table(found, options))
    if options.json:
        options.json.write_text(json.dumps([each._asdict() for each in found], indent=1) + "\n", "utf-8")
    if options.plot:
        options.plot.write_text(draw(found, options), "utf-8")
    return 1 if any(each.errors for each in found) or not found else 0


if __name__ == "__main__":
    sys.exit(main())
