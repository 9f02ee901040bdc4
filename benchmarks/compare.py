#!/usr/bin/env python3
"""The gateway and nginx side by side on loopback: rates per proxy core, and their ratio.

    python benchmarks/compare.py                        everything, three rounds, about three minutes
    python benchmarks/compare.py -w get-128,echo-64 -r 5 -s 4 --json result.json

The proxies are pinned to one core, backend and load generator to another.  A rate per core is the number of
completed requests or messages per second of processor time that the proxy's process tree used in the window, so that it
holds also where the load side is the limit.  Proxies take turns inside each round, because a machine's speed drifts:
compare the ratios of one run, not the rates of two.  Load generator and backend are the C files beside this one;
they are compiled at first use (``cc``; OpenSSL's headers for the TLS rows).  Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from tools import LoadTools, ToolMissing, cpu_seconds, stop_process

__all__ = ["Measurement", "Workload", "main"]


class Workload(NamedTuple):
    """``kind`` is ``get`` or ``echo``; ``size`` in bytes."""

    kind: str
    size: int
    connections: int
    tls: bool = False


WORKLOADS = {
    "get-128": Workload("get", 128, 64),
    "get-1m": Workload("get", 1 << 20, 8),
    "echo-64": Workload("echo", 64, 64),
    "echo-4k": Workload("echo", 4096, 64),
    "tls-get-128": Workload("get", 128, 64, tls=True),
    "tls-echo-64": Workload("echo", 64, 64, tls=True),
}


class Measurement(NamedTuple):
    """One run. ``rate`` and ``per_core`` per second; ``cores`` that the proxy used; latencies in microseconds."""

    workload: str
    target: str
    rate: float
    cores: float
    per_core: float
    errors: int
    p50_us: float
    p99_us: float


def measure(tools: LoadTools, name: str, target: proxies.Running, warmup: float, seconds: float) -> Measurement:
    """Run one workload against one proxy."""
    work = WORKLOADS[name]
    port = target.tls_port if work.tls else target.port
    load = tools.start_load(work.kind, port, work.size, work.connections, warmup, seconds, work.tls)
    try:
        assert load.stdout is not None
        if load.stdout.readline().strip() != "start":
            raise RuntimeError(f"{name} on {target.name}: the load generator failed")
        before = cpu_seconds(target.pid) if target.pid else 0.0
        line = load.stdout.readline()
        used = cpu_seconds(target.pid) - before if target.pid else 0.0
        result = json.loads(line)
    finally:
        stop_process(load)
    rate = result["count"] / result["seconds"]
    cores = used / result["seconds"]
    return Measurement(
        name,
        target.name,
        rate,
        cores,
        rate / cores if cores else 0.0,
        result["errors"],
        result["p50_us"],
        result["p99_us"],
    )


def rounds(tools: LoadTools, targets: list[proxies.Running], options: argparse.Namespace) -> Iterator[Measurement]:
    """All measurements, proxies taking turns inside each round, in changing order."""
    for number in range(options.rounds):
        for name in options.workloads:
            for target in targets if number % 2 == 0 else targets[::-1]:
                if WORKLOADS[name].tls and not target.tls_port:
                    continue
                yield measure(tools, name, target, options.warmup, options.seconds)


def describe(found: Measurement) -> str:
    """One line about one measurement."""
    return (
        f"{found.workload:12} {found.target:8} {found.rate:10,.0f}/s  {found.cores:.2f} cores"
        f"  {found.per_core:10,.0f}/s per core  p50 {found.p50_us:.0f} us  p99 {found.p99_us:.0f} us"
        + (f"  {found.errors} ERRORS" if found.errors else "")
    )


def table(measurements: list[Measurement], targets: list[str]) -> str:
    """A Markdown table of medians: rate per core of each proxy, and the gateway's ratio to nginx."""
    heads = ["workload", *(f"{target}, per core" for target in targets)]
    heads += [f"{target} / nginx" for target in targets if target != "nginx" and "nginx" in targets]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name in WORKLOADS:
        found = {
            target: statistics.median(m.per_core for m in measurements if (m.workload, m.target) == (name, target))
            for target in targets
            if any((m.workload, m.target) == (name, target) for m in measurements)
        }
        if not found:
            continue
        cells = [name] + [f"{found[target]:,.0f}/s" if target in found else "" for target in targets]
        if "nginx" in targets:
            cells += [
                f"**{found[target] / found['nginx']:.2f}**" if target in found and found.get("nginx") else ""
                for target in targets
                if target != "nginx"
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that nginx's unprivileged worker may enter, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; also checks the names in it."""
    parser = argparse.ArgumentParser(description="The gateway and nginx side by side: rates per proxy core.")
    parser.add_argument("-t", "--targets", default="gateway,nginx", help="gateway, nginx, direct; default: %(default)s")
    parser.add_argument("-w", "--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before it")
    parser.add_argument("--proxy-cpu", type=int, default=0, help="core for the proxies")
    parser.add_argument("--load-cpu", type=int, default=1, help="core for backend and load generator")
    parser.add_argument("--access-log", action="store_true", help="let both write their access log to a file")
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--json", metavar="FILE", help="also write every measurement there")
    options = parser.parse_args(argv)
    options.targets = options.targets.split(",")
    options.workloads = options.workloads.split(",")
    for given, known in ((options.targets, ("gateway", "nginx", "direct")), (options.workloads, tuple(WORKLOADS))):
        for word in given:
            if word not in known:
                parser.error(f"{word!r} is not one of {', '.join(known)}")
    cores = os.sched_getaffinity(0)
    if not {options.proxy_cpu, options.load_cpu} <= cores:
        parser.error(f"this process may run on the cores {sorted(cores)} only; see --proxy-cpu and --load-cpu")
    return options


def run(options: argparse.Namespace, stack: ExitStack) -> list[Measurement]:
    """Start everything, measure, and return the measurements; ``stack`` stops what was started."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, options.load_cpu)
    if any(WORKLOADS[name].tls for name in options.workloads) and not tools.tls:
        print("no OpenSSL headers (libssl-dev): the TLS rows are left out", file=sys.stderr)
        options.workloads = [name for name in options.workloads if not WORKLOADS[name].tls]
    backend = tools.start_backend(stack)
    setup = proxies.Setup(directory, backend, options.proxy_cpu, options.access_log, options.transport)
    targets = []
    for name in options.targets:
        try:
            targets.append(proxies.start(name, setup, stack))
        except ToolMissing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    measurements = []
    for measurement in rounds(tools, targets, options):
        measurements.append(measurement)
        print(describe(measurement), file=sys.stderr)
    return measurements


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; returns the exit status: 1 where a connection was lost or nothing could be measured."""
    options = parse(argv)
    with ExitStack() as stack:
        try:
            measurements = run(options, stack)
        except (ToolMissing, RuntimeError, subprocess.SubprocessError) as error:
            print(f"compare: {error}", file=sys.stderr)
            return 1
    targets = [name for name in options.targets if any(m.target == name and m.cores for m in measurements)]
    print(table(measurements, targets))
    if options.json:
        Path(options.json).write_text(json.dumps([m._asdict() for m in measurements], indent=1) + "\n", "utf-8")
    return 1 if any(m.errors for m in measurements) or not measurements else 0


if __name__ == "__main__":
    sys.exit(main())
