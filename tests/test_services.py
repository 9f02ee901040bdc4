"""`gateway.services`."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.services import Services


class ServicesTests(SynchronousTestCase):
    """What strategies are built with."""

    def test_in_a_log(self) -> None:
        """Who logs it, or has it in a traceback, does not log what is secret."""
        services = Services(Clock(), Clock(), Random(), b"s3cret", Gateway(name="everything"), pool="p")
        for text in repr(services), f"{services}", str((services,)):
            self.assertIn("Services(pool='p'", text)
            self.assertNotIn("s3cret", text)
            self.assertNotIn("everything", text)
