"""Packaging. Metadata lives here and not in pyproject.toml, beside the two lines that need an explanation."""

import platform
import re
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "([^"]+)"', (HERE / "gateway" / "__init__.py").read_text("utf-8"), re.M)
assert VERSION is not None, "gateway/__init__.py has no __version__"

# C twins of pure functions on the hot path (docs/internals.md, "Native code"). Optional: without a compiler the install
# succeeds and the Python twins are used. The limited API costs nothing that can be measured here, and with it one build
# serves 3.11 and everything later.
_SOURCES = {
    "heads": ["heads"],
    "forwarding": ["forwarding"],
    "frames": ["frames"],
    "masking": ["masking"],
    "pump": [
        "pump", "loop", "stream", "splice", "producer", "ending", "bridge", "sockets", "tls", "lane", "lane_heads",
        "lane_type",
    ],
}
NATIVE = [
    Extension(
        f"gateway._native.{name}",
        [f"gateway/_native/{source}.c" for source in sources],
        depends=[
            f"gateway/_native/{header}.h" for header in ("frames", "heads", "lane", "pump", "reading", "spans", "twin")
        ],
        define_macros=[("Py_LIMITED_API", "0x030b0000")],
        extra_compile_args=["-O3"],
        py_limited_api=True,
        optional=True,
    )
    for name, sources in _SOURCES.items()
]


class BuildInPlace(build_ext):
    """Where a twin is not built, an editable install must not go on with the one that was built from older sources."""

    def copy_extensions_to_source(self) -> None:
        """See `build_ext`; called for editable installs."""
        for extension in self.extensions:
            (HERE / self.get_ext_filename(extension.name)).unlink(missing_ok=True)
        super().copy_extensions_to_source()


setup(
    name="gateway",
    version=VERSION[1],
    description="An application gateway on Twisted: HTTP, HTTPS and native WebSocket, pools, probes, routing rules",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: Proxy Servers",
        "Topic :: Internet :: WWW/HTTP",
    ],
    python_requires=">=3.11",
    # An explicit "." makes setuptools write a plain .pth for editable installs. Without it an import hook is installed
    # instead, which twisted.plugin cannot list: `twistd` would not know `gateway`, and would not say why.
    package_dir={"": "."},
    # "twisted.plugins" is not a package of ours (there is no __init__.py, and there must never be one): naming it here
    # puts our two files beside Twisted's own plugins.
    packages=find_packages(include=["gateway", "gateway.*"]) + ["twisted.plugins"],
    package_data={"": ["*.css", "*.html", "*.js", "*.pyi", "py.typed"]},
    cmdclass={"build_ext": BuildInPlace},
    ext_modules=NATIVE if platform.python_implementation() == "CPython" else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    zip_safe=False,
    install_requires=[
        "Twisted[tls]>=26.10",
        "autobahn>=26.10",
        "cryptography>=50",
        "google-re2>=1.1.20251105",
        "idna>=3.7",
        "bcrypt>=4.1",
        "pydantic>=2.14",
        "PyJWT>=2.10",
        "pyOpenSSL>=26.4",
        "PyYAML>=6.0.2",
        "service-identity>=24.2",
        "zope.interface>=8",
    ],
    extras_require={
        "json-schema": ["fastjsonschema>=2.20"],
        "test": [
            "fastjsonschema>=2.20",
            'httptools>=0.6; platform_python_implementation == "CPython"',
            "hypothesis>=6.100",
            "mypy>=1.18",
            "mypy-zope>=1.0.13",
            "ruff>=0.14",
            "setuptools>=77",
            "types-PyYAML",
            "websockets>=15",
            "wheel",
        ],
    },
    entry_points={
        "console_scripts": ["gatewayctl = gateway.ctl.main:main"],
        "gateway.routers": [
            "canary = gateway.routing.canary:factory",
            "prefix = gateway.routing.prefix:factory",
            "regex = gateway.routing.regex:factory",
            "table = gateway.routing.table:factory",
        ],
        "gateway.middleware": [
            "address = gateway.middleware.address:factory",
            "basic-auth = gateway.middleware.basic_auth:factory",
            "compress = gateway.middleware.compress:factory",
            "cors = gateway.middleware.cors:factory",
            "forward-auth = gateway.middleware.forward_auth:factory",
            "headers = gateway.middleware.headers:factory",
            "jwt = gateway.middleware.jwt:factory",
            "origin = gateway.middleware.origin:factory",
            "rate-limit = gateway.middleware.rate_limit:factory",
            "security-headers = gateway.middleware.security_headers:factory",
        ],
        "gateway.selectors": [
            "round-robin = gateway.pools.round_robin:factory",
            "weighted = gateway.pools.weighted:factory",
            "least-connections = gateway.pools.least_connections:factory",
            "random-of-two = gateway.pools.random_of_two:factory",
            "least-latency = gateway.pools.least_latency:factory",
            "hash = gateway.pools.hashing:factory",
            "address-hash = gateway.pools.address_hash:factory",
            "sticky = gateway.pools.sticky:factory",
            "priority = gateway.pools.priority:factory",
            "slow-start = gateway.pools.slow_start:factory",
        ],
        "gateway.probes": [
            "http = gateway.health.http_probe:factory",
            "tcp = gateway.health.tcp_probe:factory",
            "websocket = gateway.health.websocket_probe:factory",
        ],
        "gateway.discovery": [
            "static = gateway.discovery.static:factory",
            "dns = gateway.discovery.dns:factory",
            "file = gateway.discovery.file:factory",
        ],
        "gateway.filters": [
            "json-schema = gateway.filters.json_schema:factory",
            "log-tap = gateway.filters.log_tap:factory",
            "rate-limit = gateway.filters.rate_limit:factory",
            "size-limit = gateway.filters.size_limit:factory",
        ],
    },
)
