"""A throw-away environment that holds what this one holds, except the gateway, without network or copies.

Every distribution beside us is linked into it; ``twisted`` and ``twisted.plugins`` are directories of links, so
that an installation can put a file there as it would in a real environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import twisted

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(sysconfig.get_path("purelib"))

SCRIPT = """#!{python}
import sys
from twisted.scripts.{name} import run
sys.exit(run())
"""

PIP = """#!/bin/sh
# What is asked for, without network.
exec {outer} -m pip --disable-pip-version-check --python {inner} "$@" --no-deps --no-build-isolation --no-index
"""


def missing() -> str | None:
    """Why environments cannot be made here; ``None`` where they can."""
    for name in ("pip", "setuptools", "venv"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    if not (ROOT / "setup.py").exists():
        return "not a source checkout"
    if Path(twisted.__file__).parent.parent != SITE:
        return "Twisted is not installed in this interpreter's site-packages"
    return None


def copy_of_the_project(target: Path) -> Path:
    """A copy of what is packaged, so that a build leaves nothing in the checkout."""
    target.mkdir()
    leave_out = shutil.ignore_patterns("__pycache__", "dropin.cache", "*.so")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    for name in ("gateway", "twisted"):
        shutil.copytree(ROOT / name, target / name, ignore=leave_out)
    return target


class Environment:
    """A virtual environment under ``directory``; ``project`` is the copy that is installed into it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.project = copy_of_the_project(directory / "project")
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        venv.create(directory / "venv", with_pip=False, symlinks=True)
        self.bin = directory / "venv" / "bin"
        self.site = next((directory / "venv" / "lib").glob("python*/site-packages"))
        self.plugins = self.site / "twisted" / "plugins"
        _link_all(SITE, self.site, leave_out=_is_ours_or_special, deeper=("twisted",))
        _link_all(SITE / "twisted", self.site / "twisted", deeper=("plugins",))
        _link_all(SITE / "twisted" / "plugins", self.plugins, leave_out=lambda name: name.startswith("gateway_"))
        pip = self.bin / "pip"
        pip.write_text(PIP.format(outer=sys.executable, inner=self.bin / "python"), "utf-8")
        pip.chmod(0o755)
        for name in ("trial", "twistd"):
            script = self.bin / name
            script.write_text(SCRIPT.format(python=self.bin / "python", name=name), "utf-8")
            script.chmod(0o755)

    def run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in `elsewhere`, which is empty at first; its output is one text."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.elsewhere,
            env=_variables(),
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def pip(self, *arguments: str, **variables: str) -> str:
        """Run the pip of this interpreter on the environment; ``variables`` are added to those of the process."""
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.bin / "python")]
        command += arguments
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_variables() | variables,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"pip {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def install(self, *options: str, **variables: str) -> None:
        """Install the project, without network."""
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-index", *options, str(self.project), **variables)

    def install_beside(self, example: str, *options: str, name: str | None = None) -> Path:
        """Install a distribution of `examples/` the same way, under another name if wanted; return its copy."""
        copy = self.directory / (name or example)
        leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "_trial*")
        shutil.copytree(ROOT / "examples" / example, copy, ignore=leave_out)
        if name is not None:
            setup = copy / "setup.py"
            setup.write_text(setup.read_text("utf-8").replace(f'name="{example}"', f'name="{name}"'), "utf-8")
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-index", *options, str(copy))
        return copy


def make(case) -> Environment:
    """An environment that is removed at the end of a test case."""
    directory = Path(tempfile.mkdtemp(prefix="gateway-install-"))
    case.addCleanup(shutil.rmtree, directory, ignore_errors=True)
    return Environment(directory.resolve())


def _variables() -> dict[str, str]:
    """This process's variables without what leads Python, pip or us elsewhere; ``trial -j`` sets PYTHONPATH."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "GATEWAY_"))}


def _is_ours_or_special(name: str) -> bool:
    return name.startswith(("gateway", "__editable__", "_virtualenv", "pip")) or name.endswith((".pth", ".egg-link"))


def _link_all(source: Path, target: Path, leave_out=lambda name: False, deeper: tuple[str, ...] = ()) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name in deeper or entry.name in ("__pycache__", "dropin.cache") or leave_out(entry.name):
            continue
        (target / entry.name).symlink_to(entry)
