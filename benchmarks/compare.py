#!/usr/bin/env python3
"""The gateway beside nginx, HAProxy, Caddy and Envoy on loopback: rates per proxy core, and ratios.

    python benchmarks/compare.py                        what is installed, three rounds, about ten minutes
    python benchmarks/compare.py -t gateway,nginx -w get-128,echo-64 -r 5 -s 4 --json result.json --plot result.svg

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
from plot import bars
from tools import LoadTools, ToolMissing, check_words, cpu_seconds, memory, output_file, stop_process

__all__ = ["Measurement", "Workload", "main", "measure", "scratch"]


class Workload(NamedTuple):
    """``kind`` as in load.c; ``size`` in bytes; ``depth`` messages in flight on each of the ``connections``."""

    kind: str
    size: int
    connections: int
    tls: bool = False
    depth: int = 1


WORKLOADS = {
    "get-128": Workload("get", 128, 64),
    "get-1m": Workload("get", 1 << 20, 16),
    "post-64k": Workload("post", 65536, 64),
    "connect": Workload("connect", 128, 64),
    "echo-64": Workload("echo", 64, 64),
    "echo-64-deep": Workload("echo", 64, 64, depth=16),
    "echo-4k": Workload("echo", 4096, 64),
    "echo-1m": Workload("echo", 1 << 20, 8),
    "open": Workload("open", 0, 64),
    "tls-get-128": Workload("get", 128, 64, tls=True),
    "tls-connect": Workload("connect", 128, 64, tls=True),
    "tls-echo-64": Workload("echo", 64, 64, tls=True),
}
_IDLE = 5000
_RIVALS = ("nginx", "haproxy")


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
    max_us: float


def measure(
    tools: LoadTools,
    name: str,
    work: Workload,
    target: proxies.Running,
    warmup: float,
    seconds: float,
    rate: float = 0.0,
) -> Measurement:
    """Run one workload against one proxy; ``rate`` as in load.c."""
    port = target.tls_port if work.tls else target.port
    load = tools.start_load(
        work.kind, port, work.size, work.connections, warmup, seconds, work.tls, work.depth, rate
    )
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
    reached = result["count"] / result["seconds"]
    cores = used / result["seconds"]
    return Measurement(
        name,
        target.name,
        reached,
        cores,
        reached / cores if cores else 0.0,
        result["errors"],
        result["p50_us"],
        result["p99_us"],
        result["max_us"],
    )


def rounds(tools: LoadTools, targets: list[proxies.Running], options: argparse.Namespace) -> Iterator[Measurement]:
    """All measurements, proxies taking turns inside each round; each is first once before one is first again.

    Whoever is first with messages of 1 MiB reaches less than those behind, perhaps because of what the kernel has kept
    of the row before (``ip tcp_metrics``).
    """
    for number in range(options.rounds):
        first = number % len(targets)
        for name in options.workloads:
            for target in targets[first:] + targets[:first]:
                if not WORKLOADS[name].tls or target.tls_port:
                    yield measure(tools, name, WORKLOADS[name], target, options.warmup, options.seconds)


def half_load(
    tools: LoadTools, targets: list[proxies.Running], done: list[Measurement], options: argparse.Namespace
) -> Iterator[Measurement]:
    """Small GETs and echoes at half the rate that the slowest of the targets has reached: latency without a queue."""
    for name in ("get-128", "echo-64"):
        reached = [m.rate for m in done if m.workload == name]
        if not reached:
            continue
        for _ in range(options.rounds):
            for target in targets:
                if target.pid:
                    rate = min(reached) / 2
                    label = f"{name}-half"
                    yield measure(tools, label, WORKLOADS[name], target, options.warmup, options.seconds, rate)


def idle_memory(tools: LoadTools, target: proxies.Running, count: int) -> float:
    """Bytes that one idle WebSocket costs the proxy, over ``count`` of them."""
    before = memory(target.pid)
    load = tools.start_load("idle", target.port, 0, count, 1.0, 1.0)
    try:
        assert load.stdout is not None
        if load.stdout.readline().strip() != "start":
            raise RuntimeError(f"idle on {target.name}: the load generator failed")
        return (memory(target.pid) - before) / count
    finally:
        stop_process(load)


def describe(found: Measurement) -> str:
    """One line about one measurement."""
    return (
        f"{found.workload:13} {found.target:8} {found.rate:10,.0f}/s  {found.cores:.2f} cores"
        f"  {found.per_core:10,.0f}/s per core  p50 {found.p50_us:.0f} us  p99 {found.p99_us:.0f} us"
        f"  worst {found.max_us:.0f} us" + (f"  {found.errors} ERRORS" if found.errors else "")
    )


def medians(measurements: list[Measurement], figure: str) -> dict[str, dict[str, float]]:
    """The median of one figure, by workload and target."""
    found: dict[str, dict[str, list[float]]] = {}
    for measurement in measurements:
        of_target = found.setdefault(measurement.workload, {})
        of_target.setdefault(measurement.target, []).append(getattr(measurement, figure))
    return {
        name: {target: statistics.median(values) for target, values in of_target.items()}
        for name, of_target in found.items()
    }


def table(measurements: list[Measurement], targets: list[str]) -> str:
    """A Markdown table of medians: rate per core of each proxy, and the gateway's ratio to the faster rival."""
    rates = medians([m for m in measurements if m.workload in WORKLOADS], "per_core")
    ours = [target for target in targets if target in ("gateway", "pure")]
    heads = ["workload", *(f"{target}, per core" for target in targets)]
    heads += [f"{target} / faster of {' and '.join(r for r in _RIVALS if r in targets)}" for target in ours]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, found in rates.items():
        best = max((found[rival] for rival in _RIVALS if rival in found), default=0.0)
        cells = [name] + [f"{found[target]:,.0f}/s" if target in found else "" for target in targets]
        cells += [f"**{found[target] / best:.2f}**" if best and target in found else "" for target in ours]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def latency_table(measurements: list[Measurement], targets: list[str]) -> str:
    """A Markdown table of the latencies at half load."""
    halves = [m for m in measurements if m.workload.endswith("-half")]
    tails, worst = medians(halves, "p99_us"), medians(halves, "max_us")
    if not tails:
        return ""
    lines = ["| at half load | " + " | ".join(f"{target}: p99, worst" for target in targets) + " |"]
    lines.append("|---|" + "---:|" * len(targets))
    for name in tails:
        cells = [
            f"{tails[name][target]:,.0f} µs, {worst[name][target] / 1000:,.1f} ms" if target in tails[name] else ""
            for target in targets
        ]
        lines.append("| " + " | ".join([name, *cells]) + " |")
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
    parser = argparse.ArgumentParser(description="The gateway beside its neighbours: rates per proxy core.")
    parser.add_argument(
        "-t", "--targets", default="gateway,nginx,haproxy,caddy,envoy",
        help=f"some of {', '.join(proxies.NAMES)}; those not installed are left out; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("-w", "--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before it")
    parser.add_argument("--proxy-cpu", type=int, default=0, help="core for the proxies")
    parser.add_argument("--load-cpu", type=int, default=1, help="core for backend and load generator")
    parser.add_argument("--access-log", action="store_true", help="let all write their access log to a file")
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--idle", type=int, default=_IDLE, metavar="N", help="idle WebSockets to weigh; 0: none")
    parser.add_argument("--no-latency", action="store_true", help="leave the runs at half load out")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write every measurement there")
    parser.add_argument("--plot", type=output_file, metavar="FILE", help="also draw the ratios there, as SVG")
    options = parser.parse_args(argv)
    options.targets = options.targets.split(",")
    options.workloads = [name for name in options.workloads.split(",") if name]
    check_words(parser, options.targets, proxies.NAMES)
    check_words(parser, options.workloads, tuple(WORKLOADS))
    cores = os.sched_getaffinity(0)
    if not {options.proxy_cpu, options.load_cpu} <= cores:
        parser.error(f"this process may run on the cores {sorted(cores)} only; see --proxy-cpu and --load-cpu")
    return options


def run(options: argparse.Namespace, stack: ExitStack) -> tuple[list[Measurement], dict[str, float]]:
    """Start everything and measure: the measurements, and bytes per idle WebSocket by target."""
    directory = stack.enter_context(scratch())
    tools = LoadTools(directory, options.load_cpu)
    if any(WORKLOADS[name].tls for name in options.workloads) and not tools.tls:
        print("no OpenSSL headers (libssl-dev): the TLS rows are left out", file=sys.stderr)
        options.workloads = [name for name in options.workloads if not WORKLOADS[name].tls]
    backend = tools.start_backend(stack)
    setup = proxies.Setup(directory, backend, (options.proxy_cpu,), options.access_log, options.transport)
    targets = []
    for name in options.targets:
        try:
            targets.append(proxies.start(name, setup, stack))
        except ToolMissing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    weights = {}
    for target in targets if options.idle else ():
        if target.pid:
            weights[target.name] = idle_memory(tools, target, options.idle)
            print(f"{target.name}: {weights[target.name] / 1024:.1f} KiB per idle WebSocket", file=sys.stderr)
    measurements: list[Measurement] = []
    for measurement in rounds(tools, targets, options):
        measurements.append(measurement)
        print(describe(measurement), file=sys.stderr)
    for measurement in half_load(tools, targets, list(measurements), options) if not options.no_latency else ():
        measurements.append(measurement)
        print(describe(measurement), file=sys.stderr)
    return measurements, weights


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; returns the exit status: 1 where a connection was lost or nothing could be measured."""
    options = parse(argv)
    with ExitStack() as stack:
        try:
            measurements, weights = run(options, stack)
        except (ToolMissing, RuntimeError, subprocess.SubprocessError) as error:
            print(f"compare: {error}", file=sys.stderr)
            return 1
    targets = [name for name in options.targets if any(m.target == name and m.cores for m in measurements)]
    print(table(measurements, targets))
    print()
    print(latency_table(measurements, targets))
    if weights:
        heads, cells = " | ".join(weights), " | ".join(f"{bytes_ / 1024:.1f} KiB" for bytes_ in weights.values())
        print(f"\n| | {heads} |\n|---|{'---:|' * len(weights)}\n| one idle WebSocket of {options.idle:,} | {cells} |")
    if options.json:
        options.json.write_text(json.dumps([m._asdict() for m in measurements], indent=1) + "\n", "utf-8")
    if options.plot:
        rates = medians([m for m in measurements if m.workload in WORKLOADS], "per_core")
        options.plot.write_text(bars(rates, targets, "nginx"), "utf-8")
    return 1 if any(m.errors for m in measurements) or not measurements else 0


if __name__ == "__main__":
    sys.exit(main())
