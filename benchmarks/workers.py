#!/usr/bin/env python3
"""What a second worker process brings: rate of the whole machine, and processor time per request.

    python benchmarks/workers.py                        three rounds, about three minutes
    python benchmarks/workers.py -t gateway -w get-128 -n 1,2,4 --cpus 0,1,2,3 --json workers.json

Proxy, backend and load generator share the same cores, all of them.  So with two cores a second worker can win no more
than what the first one could not use: the load needs its share, and what one takes, the other lacks.  The rate says how
fast the whole is then; the time per request says what sharing costs, and is what scales to a machine whose load comes
from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from compare import WORKLOADS, Measurement, describe, measure, scratch
from plot import bars
from tools import LoadTools, ToolMissing, attempt, check_words, output_file

__all__ = ["main"]

_ABLE = ("gateway", "pure", "nginx", "haproxy")
_Key = tuple[str, str, int]


def run(options: argparse.Namespace, stack: ExitStack) -> dict[_Key, list[Measurement]]:
    """Start every proxy with every number of workers, and measure: by workload, target and number of workers."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, *options.cpus)
    setup = proxies.Setup(directory, tools.start_backend(stack), options.cpus, False, options.transport)
    running: dict[tuple[str, int], proxies.Running] = {}
    for name in options.targets:
        for count in options.numbers:
            own = directory / f"{name}-{count}"
            own.mkdir()
            own.chmod(0o755)
            try:
                running[name, count] = proxies.start(name, setup._replace(directory=own, workers=count), stack)
            except ToolMissing as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
    found: dict[_Key, list[Measurement]] = {}
    for number in range(options.rounds):
        for workload in options.workloads:
            for name, count in list(running)[:: 1 if number % 2 == 0 else -1]:
                target = running[name, count]
                measured = measure(
                    tools, workload, WORKLOADS[workload], target, options.warmup, options.seconds
                )
                found.setdefault((workload, name, count), []).append(measured)
                print(f"{count} workers, {describe(measured)}", file=sys.stderr)
    return found


def table(found: dict[_Key, list[Measurement]], options: argparse.Namespace) -> str:
    """A Markdown table of medians: a row for each workload and proxy."""
    heads = ["workload", "proxy"]
    heads += [f"{count} worker{'s' if count > 1 else ''}: rate, µs per request, cores" for count in options.numbers]
    heads += [f"{count} / {options.numbers[0]}" for count in options.numbers[1:]]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for workload in options.workloads:
        for name in options.targets:
            runs = [found[workload, name, count] for count in options.numbers if (workload, name, count) in found]
            if not runs:
                continue
            rates = [statistics.median(each.rate for each in some) for some in runs]
            times = [statistics.median(1e6 / each.per_core for each in some if each.per_core) for some in runs]
            cores = [statistics.median(each.cores for each in some) for some in runs]
            figures = zip(rates, times, cores, strict=True)
            cells = [f"{rate:,.0f}/s, {time:.1f}, {used:.2f}" for rate, time, used in figures]
            cells += [f"**{rate / rates[0]:.2f}**" for rate in rates[1:]]
            lines.append("| " + " | ".join([workload, name, *cells]) + " |")
    return "\n".join(lines)


def draw(found: dict[_Key, list[Measurement]], options: argparse.Namespace) -> str:
    """The plot: rates as multiples of the first target's with the fewest workers."""
    labels = {(name, count): f"{name} {count}" for name in options.targets for count in options.numbers}
    rates = {
        workload: {
            label: statistics.median(each.rate for each in found[(workload, *key)])
            for key, label in labels.items()
            if (workload, *key) in found
        }
        for workload in options.workloads
    }
    return bars(rates, list(labels.values()), labels[options.targets[0], options.numbers[0]])


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; also checks the names in it."""
    parser = argparse.ArgumentParser(description="What a second worker process brings.")
    parser.add_argument("-t", "--targets", default="gateway,nginx", help="default: %(default)s")
    parser.add_argument("-w", "--workloads", default="get-128,echo-64,connect", help="default: %(default)s")
    parser.add_argument("-n", "--numbers", default="1,2", help="of workers, ascending; default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=3.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    usual = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    parser.add_argument("--cpus", default=usual, help="cores for everything; default: %(default)s")
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write every measurement there")
    parser.add_argument("--plot", type=output_file, metavar="FILE", help="also draw the rates there, as SVG")
    options = parser.parse_args(argv)
    options.targets, options.workloads = options.targets.split(","), options.workloads.split(",")
    check_words(parser, options.targets, _ABLE)
    check_words(parser, options.workloads, tuple(WORKLOADS))
    try:
        options.numbers = [int(word) for word in options.numbers.split(",")]
        options.cpus = tuple(int(word) for word in options.cpus.split(","))
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table; the exit status is 1 where a connection was lost or nothing could be measured."""
    options = parse(argv)
    found = attempt("workers", lambda stack: run(options, stack))
    if found is None:
        return 1
    print(table(found, options))
    if options.json:
        listed = [
            {**each._asdict(), "workers": count} for (_, _, count), some in found.items() for each in some
        ]
        options.json.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    if options.plot:
        options.plot.write_text(draw(found, options), "utf-8")
    return 1 if not found or any(each.errors for some in found.values() for each in some) else 0


if __name__ == "__main__":
    sys.exit(main())
