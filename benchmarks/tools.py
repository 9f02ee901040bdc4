"""The C tools of the benchmark, and how processor time is read."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

__all__ = ["LoadTools", "ToolMissing", "cpu_seconds", "memory", "pinned", "stop_process"]

_HERE = Path(__file__).resolve().parent
_TICK = os.sysconf("SC_CLK_TCK")


class ToolMissing(Exception):
    """Something that the benchmark needs is not installed; the text says what to install."""


class LoadTools:
    """Load generator and backend, compiled where needed.

    ``directory`` is for the programs where ``benchmarks/bin`` cannot be written; ``cpu`` is the core they run on.
    ``tls`` says whether the load generator can speak TLS.
    """

    def __init__(self, directory: Path, cpu: int) -> None:
        self._cpu = cpu
        self._directory = _HERE / "bin" if os.access(_HERE, os.W_OK) else directory
        self._directory.mkdir(exist_ok=True)
        self._backend = self._build("backend", [])
        try:
            self._load = self._build("load", ["-DWITH_TLS"], ["-lssl", "-lcrypto"])
            self.tls = True
        except subprocess.CalledProcessError:
            self._load = self._build("load", [], output="load-plain")
            self.tls = False

    def start_backend(self, stack: ExitStack) -> int:
        """Start the backend on a free port; returns the port."""
        process = subprocess.Popen(
            [self._backend, "0"], stdout=subprocess.PIPE, text=True, preexec_fn=pinned(self._cpu)
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
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, preexec_fn=pinned(self._cpu)
        )

    def _build(self, name: str, flags: list[str], libraries: list[str] | None = None, output: str = "") -> Path:
        compiler = shutil.which("cc")
        if compiler is None:
            raise ToolMissing("no C compiler; `apt-get install gcc libc6-dev` (and libssl-dev for the TLS rows)")
        source, program = _HERE / f"{name}.c", self._directory / (output or name)
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            command = [compiler, "-O2", *flags, "-o", str(program), str(source), *(libraries or [])]
            subprocess.run(command, check=True, capture_output=True, text=True)
        return program


def pinned(*cpus: int):  # type: ignore[no-untyped-def]
    """A function for ``preexec_fn``: the calling process gets these cores, and all the descriptors it may have."""

    def prepare() -> None:
        os.sched_setaffinity(0, set(cpus))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


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
    return sum(int(fields[11]) + int(fields[12]) for fields in _tree(pid)) / _TICK


def memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; pages they share count once for each."""
    return sum(int(fields[21]) for fields in _tree(pid)) * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> list[list[str]]:
    """``/proc/PID/stat`` of a process and its descendants, from the state on."""
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

    return [fields for child, fields in found.items() if belongs(child)]
