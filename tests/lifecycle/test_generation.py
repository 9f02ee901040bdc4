"""`gateway.lifecycle.generation`: what is read of a configuration's files, and when."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Certificate, Gateway, HttpListener
from gateway.lifecycle import generation
from gateway.lifecycle.generation import Material
from gateway.watched import stamps
from tests.certificates import TestCA

CA = TestCA()


class MaterialTests(SynchronousTestCase):
    """A certificate and its key."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.certificate, self.key = self.issue("old.example")
        self.model = Gateway(
            listeners=(HttpListener(name="l", port=1, protocol="Https", certificates=("c",)),),
            certificates=(Certificate(name="c", certificate_file=self.certificate, key_file=self.key),),
        )

    def issue(self, name: str) -> tuple[str, str]:
        return CA.issue([name]).pem_files(self.directory)

    def test_replaced_while_it_is_read(self) -> None:
        """The stamps are of what was there before: `Renewal` has to find that it is another one now."""
        before = stamps([self.certificate, self.key])
        load_used = generation.load_used

        def replaced(model: Gateway) -> Any:
            found = load_used(model)
            for file in (self.certificate, self.key):
                os.remove(file)
            self.issue("new.example")
            return found

        self.patch(generation, "load_used", replaced)
        self.assertEqual(before, Material.of(self.model).stamps)

    def test_again(self) -> None:
        """Only certificates: nobody wants error pages that nobody sends."""
        old = Material.of(self.model)
        self.issue("new.example, and longer")
        self.patch(generation, "ErrorPages", None)
        new = old.again(self.model)
        self.assertNotEqual(old.certificates["c"].leaf, new.certificates["c"].leaf)
        self.assertEqual(stamps([self.certificate, self.key]), new.stamps)
        self.assertIs(old.error_pages, new.error_pages)
