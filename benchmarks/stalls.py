#!/usr/bin/env python3
"""How long the gateway keeps a quiet WebSocket waiting while it has much else to do, and whose fault that is.

    python benchmarks/stalls.py                         about forty seconds
    python benchmarks/stalls.py -s 120 --without idle,metrics --json stalls.json

A pulse of 1,000 messages a second goes through the gateway, and the same directly to the backend (pulse.c).  Meanwhile
the gateway has to do, unless that is switched off:

    probes   200 members are probed each second           log      small GETs, each written to an access log
    idle     2,000 WebSockets, of which 200 a second are cut and opened anew
    metrics  /metrics is asked for each second            members  the list of members changes each second
    reload   the configuration, with 500 rules, is read again each five seconds, with one of them changed

A pulse that is late may be the machine's fault.  So on the gateway's core a second pulse without a road tells when
others had that core, and the gateway itself says which of its steps were long and whether it ran in them (witness.py).
A stall is the machine's if one of the other pulses was late for half of it, or if the gateway did not run in its long
steps.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import proxies
from compare import scratch
from tools import LoadTools, attempt, awaited, check_words, output_file, stop_process

__all__ = ["BURDENS", "Stall", "main"]

BURDENS = ("probes", "log", "idle", "metrics", "members", "reload")

_MEMBERS = 200
_COMING_AND_GOING = 20
_IDLE, _REOPENED = 2000, 200
_GETS = 500
_RULES = 500
_RELOAD_SECONDS = 5
_LIMITS = (0.01, 0.02, 0.05)
_LATENCIES = ("p50_us", "p99_us", "p999_us", "max_us")
_ROADS = ("this process", "gateway", "direct")

_GATEWAY = """
listeners:
  - {{name: plain, address: 127.0.0.1, port: {port}}}
probes:
  - {{name: health, path: /, interval: @INTERVAL@, timeout: 1}}
settings:
  - {{name: probed, probe: health}}
pools:
  - {{name: quiet, backends: ["127.0.0.1:{backend}"]}}
  - name: many
    backends: [@MEMBERS@]
    discovery: {{strategy: file, options: {{path: "{directory}/members.yaml", interval: 1}}}}
pathMaps:
  - name: both
    defaultPool: quiet
    pathRules:
      - {{name: many, paths: [/flood/*], pool: many, settings: probed}}
@RULES@
rules:
  - {{listener: plain, pathMap: both}}
"""


class Stall(NamedTuple):
    """One in the gateway's road. ``at`` in monotonic seconds, ``seconds`` long; ``whose`` and ``why``."""

    at: float
    seconds: float
    whose: str
    why: str


def configuration(burdens: Sequence[str]) -> str:
    """The gateway's, a template."""
    interval = "1" if "probes" in burdens else "3600"
    found = _GATEWAY.replace("@INTERVAL@", interval).replace("@MEMBERS@", ", ".join(members(0, _MEMBERS)))
    return found.replace("@RULES@", rules(_RULES) if "reload" in burdens else "")


def rules(number: int) -> str:
    """So many path rules, none of which is asked for; a template."""
    return "\n".join(f"      - {{{{name: r{n}, paths: [/rule/{n}/*], pool: quiet}}}}" for n in range(number))


def members(first: int, number: int) -> list[str]:
    """Members that are all the same server, with numbers from ``first`` on; a template."""
    return [
        f"{{{{host: b{n}.test, port: 80, connectHost: 127.0.0.1, connectPort: {{backend}}}}}}"
        for n in range(first, first + number)
    ]


class Changing(threading.Thread):
    """Does something again and again until it is stopped: ``work``, with how often it was done before."""

    def __init__(self, work: Callable[[int], None], seconds: float = 1.0) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._seconds = seconds
        self._over = threading.Event()
        self.times = 0
        self.start()

    def run(self) -> None:
        """The thread."""
        while not self._over.wait(self._seconds):
            self._work(self.times)
            self.times += 1

    def stop(self) -> None:
        """Do it no more."""
        self._over.set()
        self.join()


def write_members(path: Path, backend: int, turn: int) -> None:
    """A list of some members; each second one, others in the other."""
    first = 1000 + turn % 2 * _COMING_AND_GOING
    lines = [each.format(backend=backend) for each in members(first, _COMING_AND_GOING)]
    path.with_suffix(".new").write_text("".join(f"- {line}\n" for line in lines), "utf-8")
    path.with_suffix(".new").rename(path)


def reload(path: Path, pid: int, turn: int) -> None:
    """Change a rule of the gateway's configuration, or change it back, and have all of it read again."""
    last = f"/rule/{_RULES - 1}/*" if turn % 2 == 0 else f"/gone/{_RULES - 1}/*"
    other = f"/gone/{_RULES - 1}/*" if turn % 2 == 0 else f"/rule/{_RULES - 1}/*"
    path.with_suffix(".new").write_text(path.read_text("utf-8").replace(last, other), "utf-8")
    path.with_suffix(".new").rename(path)
    os.kill(pid, signal.SIGHUP)


def scrape(port: int) -> None:
    """Ask for the metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        answer.read()


def burden(
    tools: LoadTools, target: proxies.Running, backend: int, admin: int, options: argparse.Namespace, stack: ExitStack
) -> None:
    """Begin all that the gateway has to do besides; it goes on until the stack ends."""
    long = options.seconds + 30
    if "idle" in options.burdens:
        churn = tools.start_load("open", target.port, 0, _IDLE, 1.0, long, rate=_REOPENED)
        stack.callback(stop_process, churn)
    if "log" in options.burdens:
        gets = tools.start_load("get", target.port, 128, 32, 1.0, long, rate=_GETS)
        stack.callback(stop_process, gets)
    if "metrics" in options.burdens:
        stack.callback(Changing(lambda _: scrape(admin)).stop)
    if "members" in options.burdens:
        path = Path(options.directory) / "members.yaml"
        stack.callback(Changing(lambda turn: write_members(path, backend, turn)).stop)
    if "reload" in options.burdens:
        file = Path(options.directory) / "gateway.yaml"
        stack.callback(Changing(lambda turn: reload(file, target.pid, turn), _RELOAD_SECONDS).stop)


def judge(
    found: Sequence[Sequence[float]], others: dict[str, Sequence[Sequence[float]]], steps: Sequence[dict[str, Any]]
) -> list[Stall]:
    """Whose fault each of the stalls is."""
    return [Stall(at, seconds, *cause(at, seconds, others, steps)) for at, seconds in found]


def cause(
    at: float, seconds: float, others: dict[str, Sequence[Sequence[float]]], steps: Sequence[dict[str, Any]]
) -> tuple[str, str]:
    """Who made the stall that began at ``at`` and lasted ``seconds``, and why."""
    end = at + seconds
    for name, stalls in others.items():
        shared = max((min(end, start + long) - max(at, start) for start, long in stalls), default=0.0)
        if shared > seconds / 2:
            return "machine", f"{name} was late too"
    inside = [step for step in steps if step["at"] < end and step["at"] + step["wall"] > at]
    if not inside:
        return "unknown", "no step of the gateway was long; it was many, or the backend"
    longest = max(inside, key=lambda step: step["wall"])
    idle = sum(step["wall"] - step["cpu"] for step in inside)
    text = (
        f"{len(inside)} long steps, the longest {longest['what']}: {longest['wall'] * 1000:.1f} ms,"
        f" {longest['cpu'] * 1000:.1f} ms of them running, {longest['gc'] * 1000:.1f} ms in the garbage collector"
    )
    blocked = any(step["blocked"] for step in inside)
    if idle > seconds / 2 and not blocked:
        return "machine", text
    return "gateway", text + (", waited for something" if blocked else "")


def table(roads: dict[str, dict[str, Any]], stalls: Sequence[Stall], seconds: float) -> str:
    """Two Markdown tables: how the roads fared, and the gateway's stalls by whose fault they were."""
    lines = ["| pulse | p50 | p99 | p99.9 | worst |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | " + " | ".join(f"{road[each] / 1000:.2f} ms" for each in _LATENCIES) + " |"
        for name, road in roads.items()
    ]
    heads = [f"longer than {limit * 1000:.0f} ms" for limit in _LIMITS]
    lines += ["", f"| stalls in {seconds:g} s, through the gateway | " + " | ".join(heads) + " |"]
    lines.append("|---|" + "---:|" * len(heads))
    for whose in ("gateway", "unknown", "machine"):
        cells = [str(sum(each.whose == whose and each.seconds > limit for each in stalls)) for limit in _LIMITS]
        lines.append(f"| {whose} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def step_table(steps: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of the gateway's long steps, by what was done."""
    heads = ("steps of the gateway above 5 ms", "how many", "longest", "of it running", "most in the garbage collector")
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * 4]
    for what in sorted({step["what"] for step in steps}):
        found = [step for step in steps if step["what"] == what]
        longest = max(found, key=lambda step: step["cpu"])
        times = (longest["wall"], longest["cpu"], max(step["gc"] for step in found))
        lines.append(f"| {what} | {len(found)} | " + " | ".join(f"{each * 1000:.1f} ms" for each in times) + " |")
    return "\n".join(lines)


def measure(options: argparse.Namespace, stack: ExitStack) -> tuple[dict[str, dict[str, Any]], list[Stall], list[Any]]:
    """Start everything, wait until it is in full swing, and measure.

    What each road says, the gateway's stalls, and its long steps.
    """
    directory = stack.enter_context(scratch())
    options.directory = str(directory)
    tools = LoadTools(directory, options.load_cpu)
    backend = tools.start_backend(stack)
    write_members(directory / "members.yaml", backend, 0)
    admin, notes = proxies.free_port(), directory / "steps.json"
    here = str(Path(__file__).resolve().parent)
    setup = proxies.Setup(
        directory,
        backend,
        (options.proxy_cpu,),
        "log" in options.burdens,
        options.transport,
        configuration(options.burdens),
        words=("--admin", f"tcp:{admin}"),
        prelude=f"import sys; sys.path.insert(0, {here!r}); import witness; witness.install({str(notes)!r}); ",
    )
    target = proxies.start("gateway", setup, stack)
    burden(tools, target, backend, admin, options, stack)
    for seconds in (options.warmup, options.seconds):
        main_pulse = tools.start_pulse(options.rate, seconds, (target.port, backend))
        stack.callback(stop_process, main_pulse)
        beside = tools.start_pulse(options.rate, seconds, (), options.proxy_cpu)
        stack.callback(stop_process, beside)
        began = time.monotonic()
        said = [said_by(main_pulse), said_by(beside)]
    roads = dict(zip(_ROADS, said[0], strict=True))
    roads["the gateway's core"] = said[1][0]
    steps = [json.loads(line) for line in notes.read_text("ascii").splitlines()] if notes.exists() else []
    steps = [step for step in steps if step["at"] > began]
    others = {name: road["stalls"] for name, road in roads.items() if name != "gateway"}
    return roads, judge(roads["gateway"]["stalls"], others, steps), steps


def said_by(pulse: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a pulse tells at its end, for each road; raises ``RuntimeError`` if it says nothing."""
    awaited(pulse)
    assert pulse.stdout is not None
    line = pulse.stdout.readline()
    if not line:
        raise RuntimeError("a pulse lost its connection")
    said: list[dict[str, Any]] = json.loads(line)
    return said


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; also checks the names in it."""
    parser = argparse.ArgumentParser(description="How long a quiet WebSocket waits, and for whom.")
    parser.add_argument("-s", "--seconds", type=float, default=30.0)
    parser.add_argument("--warmup", type=float, default=8.0, help="seconds before it, until all is in full swing")
    parser.add_argument("--rate", type=float, default=1000, help="messages per second; default: %(default)s")
    parser.add_argument("--without", default="", help=f"some of {','.join(BURDENS)}")
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--transport", default="auto", help="passed to the gateway: auto, pump or twisted")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write all that was found there")
    options = parser.parse_args(argv)
    without = [word for word in options.without.split(",") if word]
    check_words(parser, without, tuple(BURDENS))
    options.burdens = [each for each in BURDENS if each not in without]
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure, print; the exit status is 1 where a stall above 50 ms was the gateway's, or where nothing came out."""
    options = parse(argv)
    measured = attempt("stalls", lambda stack: measure(options, stack))
    if measured is None:
        return 1
    roads, stalls, steps = measured
    print(table(roads, stalls, options.seconds))
    print("\n" + step_table(steps))
    for stall in sorted(stalls, key=lambda each: -each.seconds)[:20]:
        print(f"{stall.seconds * 1000:.1f} ms: {stall.whose}; {stall.why}", file=sys.stderr)
    if options.json:
        found = {"roads": roads, "stalls": [stall._asdict() for stall in stalls], "steps": steps}
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    missing = roads["gateway"]["missing"]
    return 1 if missing or any(each.whose == "gateway" and each.seconds > _LIMITS[-1] for each in stalls) else 0


if __name__ == "__main__":
    sys.exit(main())
