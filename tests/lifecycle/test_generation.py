"""`gateway.lifecycle.generation`: what is read of a configuration's files, and when."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Certificate, Gateway, HttpListener, SslProfile, TrustedClientCertificate
from gateway.errors import ConfigurationError
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
        load_shown = generation.load_shown

        def replaced(model: Gateway, problems: Any) -> Any:
            found = load_shown(model, problems)
            for file in (self.certificate, self.key):
                os.remove(file)
            self.issue("new.example")
            return found

        self.patch(generation, "load_shown", replaced)
        self.assertEqual(before, Material.of(self.model).stamps)

    def test_again(self) -> None:
        """Only certificates: nobody wants error pages that nobody sends."""
        old = Material.of(self.model)
        self.issue("new.example, and longer")
        self.patch(generation, "ErrorPages", None)
        new, problems = old.again(self.model)
        self.assertEqual([], problems)
        self.assertNotEqual(old.certificates["c"].leaf, new.certificates["c"].leaf)
        self.assertEqual(stamps([self.certificate, self.key]), new.stamps)
        self.assertIs(old.error_pages, new.error_pages)

    def test_again_where_one_is_broken(self) -> None:
        """Each for itself: the others are as their files are now."""
        other = CA.issue(["other.example"]).pem_files(self.mktemp())
        listener = self.model.listeners[0].model_copy(update={"certificates": ("c", "d")})
        model = self.model.model_copy(
            update={
                "listeners": (listener,),
                "certificates": (
                    *self.model.certificates, Certificate(name="d", certificate_file=other[0], key_file=other[1]),
                ),
            }
        )  # fmt: skip
        old = Material.of(model)
        self.issue("new.example, and longer")
        os.remove(other[1])
        new, problems = old.again(model)
        self.assertEqual(["certificates[1].keyFile"], [problem.path for problem in problems])
        self.assertNotEqual(old.certificates["c"].leaf, new.certificates["c"].leaf)
        self.assertIs(old.certificates["d"], new.certificates["d"])
        self.assertEqual((["c", "d"], None), (list(new.certificates), new.stamps[other[1]]))

    def test_again_what_clients_will_mind(self) -> None:
        """That a new one ends soon, and is for others; nothing is said again of one that has not changed."""
        listener = self.model.listeners[0].model_copy(update={"host_names": ("new.example",)})
        model = self.model.model_copy(update={"listeners": (listener,)})
        old = Material.of(model)
        now = datetime.now(UTC)
        files = CA.issue(["other.example"], not_after=now + timedelta(days=3)).pem_files(self.mktemp())
        for name, file in zip((self.certificate, self.key), files, strict=True):
            os.replace(file, name)
        new, problems = old.again(model)
        self.assertEqual(
            [("certificates[0].certificateFile", "warning"), ("listeners[0].hostNames", "warning")],
            [(problem.path, problem.severity) for problem in problems],
        )
        self.assertIn("expires in 2 days", problems[0].message)
        self.assertIn("no certificate of this listener is valid for new.example", problems[1].message)
        self.assertEqual([], new.again(model)[1])

    def test_authorities_that_are_broken(self) -> None:
        """Nobody is let in, or kept out, for that."""
        file = os.path.join(self.directory, "ca.pem")
        with open(file, "wb") as out:
            out.write(CA.pem)
        listener = self.model.listeners[0].model_copy(update={"ssl_profile": "p"})
        profile = SslProfile(name="p", trusted_client_certificates=("ca",))
        model = self.model.model_copy(
            update={
                "listeners": (listener,),
                "ssl_profiles": (profile,),
                "trusted_client_certificates": (TrustedClientCertificate(name="ca", file=file),),
            }
        )
        old = Material.of(model)
        with open(file, "w") as out:
            out.write("nothing of that kind")
        new, problems = old.again(model)
        self.assertEqual(["trustedClientCertificates[0].file"], [problem.path for problem in problems])
        self.assertEqual((old.authorities, 1), (new.authorities, len(new.authorities["ca"])))
        self.assertRaises(ConfigurationError, Material.of, model)
