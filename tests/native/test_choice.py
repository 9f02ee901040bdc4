"""Which implementation is chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from gateway import _native, values
from gateway.http import forwarding, heads
from gateway.listener import plain
from gateway.transport import bridge, loop, sockets, stream
from gateway.websocket import frames
from tests.native.cases import fresh
from tests.packaging.environment import ROOT
from tests.twins import SKIP, native, python

_SHOW = """
import types
from gateway import _native
from gateway.http import forwarding, heads
from gateway.transport.tcp import TCPTransport
from gateway.websocket import frames
functions = heads.parse_request, heads.parse_response, forwarding.request_bytes, forwarding.response_bytes
extensions = _native.heads, _native.forwarding, _native.frames, _native.masking, _native.pump
print(*extensions, TCPTransport.__mro__[2].__module__)
print(all(isinstance(function, types.FunctionType) for function in functions), frames.FrameScanner.__module__)
head = heads.parse_request(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
print(forwarding.request_bytes(head, "/", "b", "", 0))
"""


class ChoiceTests(SynchronousTestCase):
    """GATEWAY_NATIVE, and what is there."""

    def test_switched_off(self) -> None:
        """With GATEWAY_NATIVE=0 nothing native is imported, and everything works."""
        done = subprocess.run(
            [sys.executable, "-c", _SHOW],
            env={**os.environ, _native.VARIABLE: "0", "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            done.stdout.splitlines(),
            ["None None None None None gateway.transport.stream", "True gateway.websocket.frames",
             r"b'GET / HTTP/1.1\r\nHost: b\r\n\r\n'"],  # fmt: skip
        )

    def test_all_have_twins(self) -> None:
        """The public names are Python's or C's, with the same names either way."""
        chosen = {
            "parse_request": heads.parse_request,
            "parse_response": heads.parse_response,
            "request_bytes": forwarding.request_bytes,
            "response_bytes": forwarding.response_bytes,
            "FrameScanner": frames.FrameScanner,
            "unmasked": frames.unmasked,
            "Loop": loop.Loop,
            "Stream": stream.Stream,
            "bridge": bridge.bridge,
            "Lane": plain.Lane,
            "accept": sockets.accept,
            "begin": sockets.begin,
            "reached": sockets.reached,
        }
        self.assertEqual(set(python), set(chosen))
        for name, value in chosen.items():
            self.assertIs(value, native.get(name, python[name]), name)
            self.assertEqual(value.__name__, name)
            self.assertTrue(python[name].__doc__)

    def test_built_for_other_heads(self) -> None:
        """An extension does not load where the heads are not those it was built for: Python takes its place."""
        class Other(NamedTuple):
            method: str

        for name in ("RequestHead", "ResponseHead"):
            self.patch(values, name, Other)
            for extension in (_native.heads, _native.forwarding):
                self.assertRaises(ImportError, fresh, extension)

    test_built_for_other_heads.skip = SKIP  # type: ignore[attr-defined]

    def test_native_is_native(self) -> None:
        """Where it is there, all of it is, and none of it is Python."""
        for name in python:
            self.assertNotEqual(getattr(native[name], "__module__", ""), python[name].__module__)

    test_native_is_native.skip = SKIP  # type: ignore[attr-defined]
