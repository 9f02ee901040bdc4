"""The C twin in `gateway._native.masking` masks as the Python one does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from tests.native.cases import fresh
from tests.twins import SKIP, python

few = settings(max_examples=300, deadline=None, database=None)


class MaskingTests(SynchronousTestCase):
    """`unmasked`."""

    skip = SKIP

    def setUp(self) -> None:
        self.masking = fresh(_native.masking)
        self.masking.bind("unmasked", python["unmasked"])

    @few
    @given(st.binary(max_size=200) | st.binary(min_size=4000, max_size=4100), st.binary(min_size=4, max_size=4))
    def test_same(self, payload: bytes, key: bytes) -> None:
        masked = self.masking.unmasked(payload, key)
        self.assertEqual(python["unmasked"](payload, key), masked)
        self.assertEqual(payload, self.masking.unmasked(masked, key))

    def test_declined(self) -> None:
        """What is no call of the gateway's own is Python's business."""
        self.assertEqual(b"b", self.masking.unmasked(bytearray(b"a"), b"\x03\0\0\0"))
        self.assertEqual(b"b", self.masking.unmasked(payload=b"a", key=b"\x03\0\0\0"))
        self.assertRaises(TypeError, self.masking.unmasked, b"a")
