"""The C tools of the benchmark, and how processor time is read."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

__all__ = [
    "LoadTools", "ToolMissing", "attempt", "awaited", "check_words", "cpu_seconds", "memory", "output_directory",
    "output_file", "pinned", "stop_process", "waited_seconds",
]  # fmt: skip

_T = TypeVar("_T")

_HERE = Path(__file__).resolve().parent
_TICK = os.sysconf("SC_CLK_TCK")


class ToolMissing(Exception):
    """Something that the benchmark needs is not installed; the text says what to install."""


class LoadTools:
    """Load generators and backend, compiled where needed.

    ``directory`` is for the programs where ``benchmarks/bin`` cannot be written; ``cpus`` are the cores they run on.
    ``tls`` says whether the load generator can speak TLS.
    """

    def __init__(self, directory: Path, *cpus: int) -> None:
        self._cpus = cpus
        self._directory = _HERE / "bin" if os.access(_HERE, os.W_OK) else directory
        self._directory.mkdir(exist_ok=True)
        self._backend = self._build("backend", [])
        self._flood = self._build("flood", [])
        self._pulse = self._build("pulse", [])
        try:
            self._load = self._build("load", ["-DWITH_TLS"], ["-lssl", "-lcrypto"])
            self.tls = True
        except subprocess.CalledProcessError:
            self._load = self._build("load", [], output="load-plain")
            self.tls = False

    def start_backend(self, stack: ExitStack, humble: bool = False) -> int:
        """Start the backend on a free port; returns the port.  ``humble``: as in `pinned`."""
        process = subprocess.Popen(
            [self._backend, "0"], stdout=subprocess.PIPE, text=True, preexec_fn=pinned(*self._cpus, humble=humble)
        )
        stack.callback(stop_process, process)
        assert process.stdout is not None
        return int(process.stdout.readline().split()[1])

    def start_load(
        self,
        kind: str,
        port: int,
        size: int,
        connections: int,
        warmup: float,
        seconds: float,
        tls: bool = False,
        depth: int = 1,
        rate: float = 0.0,
    ) -> subprocess.Popen[str]:
        """Start the load generator; see the head of load.c for its arguments and what it prints."""
        words = [self._load, kind, port, size, connections, warmup, seconds, depth, rate, *["tls"] * tls]
        return subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, preexec_fn=pinned(*self._cpus)
        )

    def start_flood(self, kind: str, port: int, size: int, warmup: float, seconds: float) -> subprocess.Popen[str]:
        """Start a connection that floods; see the head of flood.c. It leaves the core to whoever else wants it."""
        words = [self._flood, kind, port, size, warmup, seconds]
        return subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(*self._cpus, humble=True),
        )

    def start_pulse(
        self, rate: float, seconds: float, ports: Sequence[int], cpu: int | None = None
    ) -> subprocess.Popen[str]:
        """Start a steady pulse over some roads; see the head of pulse.c. ``cpu``: on this core instead of the usual."""
        return subprocess.Popen(
            [str(word) for word in (self._pulse, rate, seconds, *ports)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(*self._cpus if cpu is None else (cpu,)),
        )

    def _build(self, name: str, flags: list[str], libraries: list[str] | None = None, output: str = "") -> Path:
        compiler = shutil.which("cc")
        if compiler is None:
            raise ToolMissing("no C compiler; `apt-get install gcc libc6-dev` (and libssl-dev for the TLS rows)")
        source, program = _HERE / f"{name}.c", self._directory / (output or name)
        newest = max(file.stat().st_mtime for file in (source, *_HERE.glob("*.h")))
        if not program.exists() or program.stat().st_mtime < newest:
            command = [compiler, "-O2", *flags, "-o", str(program), str(source), *(libraries or [])]
            subprocess.run(command, check=True, capture_output=True, text=True)
        return program


def output_file(text: str) -> Path:
    """For argparse: a file to be written when all is measured, in a directory that is there."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written; give a file in a directory that exists")
    return path


def output_directory(text: str) -> Path:
    """The same for several files."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    return path


def check_words(parser: argparse.ArgumentParser, given: Sequence[str], known: Sequence[str]) -> None:
    """End the program with a sentence if one of the words ``given`` is not known."""
    for word in given:
        if word not in known:
            parser.error(f"{word!r} is not one of {', '.join(known)}")


def attempt(name: str, work: Callable[[ExitStack], _T]) -> _T | None:
    """What ``work`` measures; ``None``, with the reason on standard error, where that was not possible."""
    with ExitStack() as stack:
        try:
            return work(stack)
        except (ToolMissing, RuntimeError, subprocess.SubprocessError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return None


def pinned(*cpus: int, humble: bool = False):  # type: ignore[no-untyped-def]
    """A function for ``preexec_fn``: the calling process gets these cores, and all the descriptors it may have.

    ``humble``: it runs when nobody else wants to, and gives way at once (SCHED_IDLE, sched(7)).
    """

    def prepare() -> None:
        if humble:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(0, set(cpus))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def awaited(process: subprocess.Popen[str]) -> None:
    """Wait for the end of a generator's warm-up; raises ``RuntimeError`` if it ends instead."""
    assert process.stdout is not None
    if process.stdout.readline().strip() != "start":
        raise RuntimeError(f"{process.args!r} failed")


def stop_process(process: subprocess.Popen[str]) -> None:
    """Ask the process to end, and make sure that it does."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, of a process and its descendants that are alive now (proc(5))."""
    return sum(int(fields[11]) + int(fields[12]) for fields in _tree(pid).values()) / _TICK


def waited_seconds(pid: int) -> float:
    """How long a process, its descendants and their threads were ready to run while others had the core.

    Where that is much, the figures are those of a busy machine. 0 where the kernel does not tell.
    """
    total = 0
    for child in _tree(pid):
        for path in Path(f"/proc/{child}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[1])
            except (OSError, IndexError):
                continue
    return total / 1e9


def memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; pages they share count once for each."""
    return sum(int(fields[21]) for fields in _tree(pid).values()) * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> dict[int, list[str]]:
    """``/proc/PID/stat`` of a process and its descendants, from the state on, by process."""
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue

    def belongs(child: int) -> bool:
        while child not in (0, pid):
            child = int(found[child][1]) if child in found else 0
        return child == pid

    return {child: fields for child, fields in found.items() if belongs(child)}
