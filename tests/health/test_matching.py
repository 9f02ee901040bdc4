"""`gateway.health.matching`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.health.matching import StatusCodes


class StatusCodesTests(SynchronousTestCase):
    """Codes and ranges."""

    def test_members(self) -> None:
        codes = StatusCodes(["200-399", " 426 "])
        self.assertEqual([code for code in (199, 200, 301, 399, 400, 425, 426) if code in codes], [200, 301, 399, 426])
        self.assertEqual(str(codes), "200-399, 426")

    def test_nonsense(self) -> None:
        for code in ("", "20", "2000", "399-200", "200-", "ok", "200,300", "\u0662\u0660\u0660"):
            self.assertRaises(ValueError, StatusCodes, [code])
