"""Runs what a document tells people to type, in one real shell, and compares what they would see."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 15.0
"""Seconds that a person would wait for a backend to leave its pool."""

_PROGRAMS = {
    "python": "",
    "twistd": "-c 'from twisted.scripts.twistd import run; run()'",
    "gatewayctl": "-c 'import sys; from gateway.ctl.main import main; sys.exit(main())'",
}


def missing() -> str | None:
    """Which program is not there; ``None`` where all are."""
    for program in ("bash", "curl", "openssl"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class Step(NamedTuple):
    """A command and the lines that follow it in the document."""

    command: str
    expected: str


def steps(document: str) -> list[Step]:
    """The commands of all ``console`` blocks, in order."""
    found: list[Step] = []
    for indent, block in re.findall(r"^( *)```console\n(.*?)^\1```", document, re.M | re.S):
        for part in re.split(rf"^{indent}\$ ", block, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            lines = [line.removeprefix(indent) for line in expected.splitlines()]
            found.append(Step(command, "\n".join(lines)))
    return found


def matches(expected: str, seen: str) -> bool:
    """Whether the text is the expected one, where ``...`` stands for anything."""
    pattern = ".*".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, seen.strip(), re.S) is not None


def open_shell(case: Any, directory: Path, venv: Path | None = None) -> Shell:
    """A shell, closed at the end of the test case, in which the ports of the documents are free ones; see `Shell`."""
    names = (8080, 8081, 8443, 9001, 9002)
    shell = Shell(directory, dict(zip(names, free_ports(len(names)), strict=True)), venv)
    case.addCleanup(shell.close)
    return shell


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, in ascending order."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return sorted(ports)


class Shell:
    """A bash in ``directory``, which gets a ``.venv/bin`` with this interpreter's programs and a copy of the examples.

    ``ports`` maps the ports of the document to those used instead, in commands, expectations and examples.  With
    ``venv`` that environment is the ``.venv``, and the directory is as empty as it was.
    """

    def __init__(self, directory: Path, ports: dict[int, int], venv: Path | None = None) -> None:
        self._ports = {str(old): str(new) for old, new in ports.items()}
        self._directory = directory
        self._output = 0
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        if venv is None:
            self._furnish(directory)
            environment["PYTHONPATH"] = str(ROOT)
        else:
            (directory / ".venv").symlink_to(venv)
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    def _furnish(self, directory: Path) -> None:
        programs = directory / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, words in _PROGRAMS.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', "utf-8")
            script.chmod(0o755)
        leave_out = shutil.ignore_patterns("__pycache__", "*.pem", "dropin.cache", "*.egg-info", "build", "_trial*")
        shutil.copytree(ROOT / "examples", directory / "examples", ignore=leave_out)
        for example in [path for path in (directory / "examples").rglob("*") if path.is_file()]:
            example.write_text(self.translate(example.read_text("utf-8")), "utf-8")

    def translate(self, text: str) -> str:
        """The text with the ports that are used here."""
        return re.sub(r"\b(?:" + "|".join(self._ports) + r")\b", lambda found: self._ports[found[0]], text)

    def run(self, command: str, timeout: float = 30.0) -> str:
        """Run one command and return all its output; a command that ends with ``&`` writes to a file of its own."""
        command = self.translate(command)
        if command.endswith(" &"):
            self._output += 1
            command = f"{command[:-2]} > output-{self._output}.txt 2>&1 &"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\necho; echo end-of-command\n".encode())
        self._process.stdin.flush()
        return self._read_until(b"\nend-of-command\n", timeout).removesuffix("\n")

    def expect(self, command: str, expected: str) -> None:
        """Type it until it shows what it should, as a person would who is told to wait a little."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self.run(command)
            if matches(self.translate(expected), seen):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"$ {command}\nexpected:\n{expected}\nseen:\n{seen}\n{self.outputs()}")
            self.run("sleep 0.2")

    def outputs(self) -> str:
        """What the commands in the background have written, for the message of a failed test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text('utf-8', 'replace')}"
            for path in sorted(self._directory.glob("output-*"))
        )

    def close(self) -> None:
        """End the shell and everything that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _read_until(self, marker: bytes, timeout: float) -> str:
        assert self._process.stdout is not None
        seen = b""
        deadline = time.monotonic() + timeout
        while not seen.endswith(marker):
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no end after {timeout} s; seen so far: {seen.decode('utf-8', 'replace')}")
            more = os.read(self._process.stdout.fileno(), 65536)
            if not more:
                raise AssertionError(f"the shell ended: {seen.decode('utf-8', 'replace')}")
            seen += more
        return seen.removesuffix(marker).decode("utf-8", "replace")
