"""The gateway is installed in each way people use, and `twistd` knows it."""

from __future__ import annotations

import shutil
import sysconfig
import zipfile
from pathlib import Path

from twisted.trial import unittest

from tests.packaging import environment

_ENTRY_POINTS = """
from importlib.metadata import distribution
from gateway.strategies.groups import BUILT_IN
found = {}
for point in distribution("gateway").entry_points:
    point.load()
    found.setdefault(point.group, {})[point.name] = point.value
assert found.pop("console_scripts") == {"gatewayctl": "gateway.ctl.main:main"}
assert found == {group: dict(names) for group, names in BUILT_IN.items()}, (found, BUILT_IN)
"""

_NATIVE = """
from gateway import _native
from gateway.http.heads import parse_request
assert parse_request(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n").host == "a"
print([extension is not None for extension in (_native.heads, _native.forwarding, _native.frames)])
"""

_TEST = """
import unittest
import gateway

class Test(unittest.TestCase):
    def test_it(self):
        self.assertTrue(gateway.__version__)
"""


def _no_compiler() -> str | None:
    """Why extensions cannot be built here; ``None`` where they can."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"{compiler} is not installed"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h is not installed"
    return None


class InstallTests(unittest.TestCase):
    """Real installations into throw-away environments."""

    skip = environment.missing()

    def check_that_twistd_knows_it(self, place: environment.Environment) -> None:
        """`gateway` is offered and its options can be shown, by both programs."""
        self.assertRegex(place.run("twistd", "--help").stdout, r"(?m)^    gateway  +HTTP")
        self.assertIn("--config", place.run("twistd", "gateway", "--help").stdout)
        self.assertIn("--config", place.run("python", "-m", "twisted", "gateway", "--help").stdout)

    def check_that_trial_finds_tests(self, place: environment.Environment) -> None:
        """`trial tests` in a checkout, the first time, with Twisted's plugin cache written, and with workers."""
        tests = place.elsewhere / "tests"
        tests.mkdir()
        (tests / "__init__.py").touch()
        (tests / "test_it.py").write_text(_TEST, "utf-8")
        for options in ([], [], ["-j", "1"]):
            self.assertIn("PASSED (successes=1)", place.run("trial", *options, "tests").stdout)

    def check_entry_points(self, place: environment.Environment) -> None:
        """Everything that setup.py promises can be imported, and is what the registry lists for a bare checkout."""
        place.run("python", "-c", _ENTRY_POINTS)

    def test_plain_install_and_uninstall(self) -> None:
        """`pip install .` works as a whole; `pip uninstall` removes our files and no other."""
        place = environment.make(self)
        before = sorted(path.name for path in place.plugins.iterdir())
        self.assertNotIn("gateway", place.run("twistd", "--help").stdout)
        (place.plugins / "dropin.cache").unlink()  # as in an environment that has just been made
        place.install()
        self.check_that_twistd_knows_it(place)
        self.check_entry_points(place)
        self.check_that_trial_finds_tests(place)
        self.assertIn("usage", place.run("gatewayctl", "--help").stdout.lower())
        self.assertTrue((place.site / "gateway" / "py.typed").exists())

        place.pip("uninstall", "--yes", "gateway")
        left = sorted(p.name for p in place.plugins.iterdir() if p.name not in ("dropin.cache", "__pycache__"))
        self.assertEqual(left, before)
        self.assertEqual([path.name for path in place.site.glob("gateway*")], [])
        self.assertTrue((place.site / "twisted" / "__init__.py").exists())
        self.assertNotIn("gateway", place.run("twistd", "--help").stdout)

    def test_editable_install(self) -> None:
        """`pip install -e .` works, for which setup.py must say `package_dir` (see the comment there)."""
        place = environment.make(self)
        place.install("--editable")
        self.assertFalse((place.site / "gateway").exists())
        self.check_that_twistd_knows_it(place)
        self.check_entry_points(place)

    def check_native(self, place: environment.Environment, expected: bool) -> None:
        """Whether all native code is there, or none."""
        self.assertEqual(place.run("python", "-c", _NATIVE).stdout.strip(), str([expected] * 3))

    def test_native_code(self) -> None:
        """Where there is a compiler, the C twins are built, also in place for an editable install; old ones go."""
        place = environment.make(self)
        for options in ([], ["--editable"]):
            place.install(*options)
            self.check_native(place, True)
        place.install("--editable", CC="false", LDSHARED="false")
        self.check_native(place, False)  # what was built before is of other sources, perhaps

    test_native_code.skip = _no_compiler()  # type: ignore[attr-defined]

    def test_without_a_compiler(self) -> None:
        """A compiler that fails, or is not there, costs only speed."""
        place = environment.make(self)
        for options, compiler in (([], "false"), ([], "/nowhere/cc"), (["--editable"], "false")):
            place.install(*options, CC=compiler, LDSHARED=compiler)
            self.check_native(place, False)

    def test_wheel_holds_what_it_should(self) -> None:
        """All modules, the pages of the demonstration and the plugin; no tests, nothing else of Twisted's."""
        place = environment.make(self)
        place.pip(
            "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(place.elsewhere), str(place.project)
        )
        (wheel,) = place.elsewhere.glob("*.whl")
        self.assertRegex(wheel.name, r"-cp311-abi3-")
        names = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(".so")]
        names = [name for name in names if ".dist-info/" not in name]
        files = [path for path in (place.project / "gateway").rglob("*") if path.suffix not in (".c", ".h", ".so")]
        files = [path for path in files if path.is_file()]
        expected = {path.relative_to(place.project).as_posix() for path in files}
        expected |= {"twisted/plugins/gateway_plugin.py", "twisted/plugins/gateway_trial.py"}
        self.assertIn("gateway/py.typed", expected)
        self.assertTrue(any(name.endswith(".html") for name in expected))
        self.assertEqual(set(names), expected)


class CheckoutTests(unittest.TestCase):
    """What must never appear beside the plugin."""

    def test_no_package_shadows_twisted(self) -> None:
        """An `__init__.py` there would make our directory *be* `twisted`, or hide the plugin."""
        for place in ("twisted", "twisted/plugins"):
            self.assertFalse((environment.ROOT / place / "__init__.py").exists(), place)

    def test_plugin_imports_nothing_of_ours(self) -> None:
        """`twistd --help` imports every plugin; ours must not cost more than a line."""
        source = Path(environment.ROOT, "twisted", "plugins", "gateway_plugin.py").read_text("utf-8")
        imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        self.assertEqual(imports, ["from twisted.application.service import ServiceMaker"])
