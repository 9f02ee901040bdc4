"""Tests of `gateway.config.overrides`."""

from __future__ import annotations

from pathlib import Path

from gateway.config.overrides import parse_map_backend, parse_map_port
from gateway.errors import Problem
from tests.config.support import ConfigurationTestCase, properties, reference
from tests.config.test_compact import SIX_LINES


class OverridesTests(ConfigurationTestCase):
    """Ports, backends, pools and certificates."""

    def test_map_port(self) -> None:
        """By port and by name of a listener, the name first; options win over the file."""
        self.assertEqual(parse_map_port(" 0080 = 8080 "), ("80", 8080))
        self.assertEqual(parse_map_port("Web=0"), ("web", 0))
        self.assertEqual(self.load(properties(), map_ports=["80=8080"]).listeners[0].port, 8080)
        self.assertEqual(self.load(properties(), map_ports=["80=8080", "WEB=8081"]).listeners[0].port, 8081)
        overrides = self.write("ports: {80: 9090}")
        self.assertEqual(self.load(properties(), overrides=overrides).listeners[0].port, 9090)
        self.assertEqual(self.load(properties(), overrides=overrides, map_ports=["80=9"]).listeners[0].port, 9)
        self.load(properties(), map_ports=["81=8081"])
        self.warned("the port mapping 81=8081 matched no listener; there are: web (80)")

    def test_map_backend(self) -> None:
        """By host, or by host and port; names in any case; options win over the file."""
        gateway = self.load(properties(), map_backends=["10.0.0.4=127.0.0.1:9001", "B.test:8000=[::1]:9002"])
        members = gateway.pools[0].members
        self.assertEqual(
            [(item.host, item.connect_host, item.connect_port) for item in members],
            [("10.0.0.4", "127.0.0.1", 9001), ("b.test", "::1", 9002)],
        )
        overrides = self.write("backends: {10.0.0.4: 127.0.0.1:1}")
        self.assertEqual(self.load(properties(), overrides=overrides).pools[0].members[0].connect_port, 1)
        gateway = self.load(properties(), overrides=overrides, map_backends=["10.0.0.4=127.0.0.1:2"])
        self.assertEqual(gateway.pools[0].members[0].connect_port, 2)
        self.load(properties(), map_backends=["b.test:81=h:1", "x=h:1"])
        self.warned("the backend mapping b.test:81=h:1 matched no member of any pool")
        self.warned("the backend mapping x=h:1 matched no member of any pool")

    def test_one_port_of_two(self) -> None:
        """A mapping for one of several ports of a pool cannot be kept and says so."""
        document = properties()
        document["backendHttpSettingsCollection"].append({"name": "s2", "properties": {"port": 443}})
        document["frontendPorts"].append({"name": "p81", "properties": {"port": 81}})
        document["httpListeners"].append(
            {"name": "l2", "properties": {"frontendPort": reference("frontendPorts", "p81")}}
        )
        rule = properties()["requestRoutingRules"][0]
        rule["name"] = "r2"
        rule["properties"].update(
            priority=20, httpListener=reference("httpListeners", "l2"), backendHttpSettings=reference("x", "s2")
        )
        document["requestRoutingRules"].append(rule)
        problem = self.refused_once(document, map_backends=["10.0.0.4:443=h:1"])
        self.assertIn("pool 'chat' is used with ports ['443', '8000']; map the host alone", problem)

    def test_bad_mappings(self) -> None:
        """All of them at once, before the configuration is read."""
        found = self.refused(
            properties(),
            map_ports=["80", "80=x", "80=99999", "=1"],
            map_backends=["a", "a=", "=b", "a=http://b", "a:x=b", "a=b:0"],
        )
        self.assertEqual(len(found), 10)
        self.assertIn("--map-port: found '80', expected PORT=PORT such as 80=8080", found[0])
        self.assertTrue(all("expected" in text for text in found), found)
        for text in ("a", "a=http://b:1"):
            self.assertRaises(ValueError, parse_map_backend, text)

    def test_pools(self) -> None:
        """Members for a pool that has none here."""
        document = properties()
        document["backendAddressPools"][0] = {"name": "chat"}
        gateway = self.load(document, overrides=self.write("pools: {CHAT: [127.0.0.1:9001], other: h}"))
        self.assertEqual((gateway.pools[0].members[0].host, gateway.pools[0].members[0].port), ("127.0.0.1", 9001))
        self.assertFalse(any("is empty" in problem.message for problem in self.warnings))
        self.warned("the override pools: 'other' matched nothing")
        self.assertIn("pools.chat", self.refused_once(document, overrides=self.write("pools: {chat: ['h:x']}")))

    def secured(self) -> dict[str, object]:
        document = properties()
        document["sslCertificates"] = [{"name": "site", "properties": {"keyVaultSecretId": "https://v.test/secrets/s"}}]
        document["httpListeners"][0]["properties"].update(
            protocol="Https", sslCertificate=reference("sslCertificates", "SITE")
        )
        return document

    def test_key_vault(self) -> None:
        """Not there without an override, which the warning names; in the compact spelling an error."""
        gateway = self.noted(self.secured(), "overrides 'certificates: {site: {certificateFile: …, keyFile: …}}'")
        self.warned("sslCertificates[0]: certificate 'site' is not there: it is in a Key Vault")
        self.assertEqual(gateway.certificates[0].unavailable, "it is in a Key Vault, which cannot be asked here")
        text = SIX_LINES.replace("port: 8080", "port: 1, protocol: Https, certificate: site")
        text += "certificates: [{name: site, keyVaultSecretId: 'https://v.test/secrets/s'}]"
        self.assertIn("certificates[0]: certificate 'site' is in a Key Vault", self.refused_once(text))

    def test_certificates(self) -> None:
        """By name or secret id; PEM files or PKCS#12, relative to the overrides file."""
        for key in ("Site", "https://v.test/secrets/s/"):
            overrides = Path(self.write({"certificates": {key: {"certificateFile": "c.pem", "keyFile": "k.pem"}}}))
            for name in ("c.pem", "k.pem"):
                (overrides.parent / name).write_text("x")
            (certificate,) = self.load(self.secured(), overrides=str(overrides)).certificates
            self.assertEqual(certificate.certificate_file, str((overrides.parent / "c.pem").absolute()))
            self.assertEqual(certificate.key_file, str((overrides.parent / "k.pem").absolute()))
        overrides = Path(self.write({"certificates": {"site": {"pfxFile": "c.pfx", "password": "p"}}}))
        (overrides.parent / "c.pfx").write_bytes(b"abc")
        (certificate,) = self.load(self.secured(), overrides=str(overrides)).certificates
        self.assertEqual(
            (str((overrides.parent / "c.pfx").absolute()), None, None, "p"),
            (certificate.certificate_file, certificate.key_file, certificate.data, certificate.password),
        )

    def test_certificate_errors(self) -> None:
        """Files that are not there, an override that gives nothing, one that is for nothing."""
        for value, message in (
            ({"certificateFile": "no.pem"}, "there is no file"),
            ({"pfxFile": "no.pfx"}, "there is no file"),
            ({}, "gives neither certificateFile nor pfxFile nor password"),
        ):
            found = self.refused(self.secured(), overrides=self.write({"certificates": {"site": value}}))
            self.assertTrue(any(message in text for text in found), found)
        self.load(properties(), overrides=self.write({"certificates": {"x": {"password": "p"}}}))
        self.warned("the override certificates: 'x' matched nothing")

    def test_places(self) -> None:
        """What is wrong with what an override gives is shown there, once, and not in the configuration."""
        text = "\ncertificates:\n  site:\n    certificateFile: no.pem\n    password: x\n"
        overrides = self.write(text)
        where = "certificates.site.{}: {} (in the overrides, c.yaml, line {})"
        self.assertIn(
            where.format(
                "certificateFile", f"there is no file {str(Path(overrides).absolute().parent / 'no.pem')!r}", 4
            ),
            self.refused_once(self.secured(), overrides=overrides),
        )
        (Path(overrides).parent / "no.pem").write_text("x")
        problems = [Problem(f"certificates[0].{key}", "bad") for key in ("certificateFile", "keyFile", "password")]
        found = self.refused(self.secured(), overrides=overrides, checks=[lambda gateway: problems])
        lines = (("certificateFile", 4), ("keyFile", 4), ("password", 5))
        self.assertEqual(found, [where.format(key, "bad", line) for key, line in lines])
        overrides = self.write("certificates: {SITE: {pfxFile: no.pfx}}")
        (found,) = self.refused(self.secured(), overrides=overrides)
        self.assertIn("certificates.SITE.pfxFile: there is no file", found)
        document = properties() | {"trustedRootCertificates": [{"name": "site", "properties": {"data": "x"}}]}
        found = self.refused(
            document,
            overrides=self.write(text, "o.yaml"),
            checks=[lambda gateway: [Problem("trustedRoots[0].file", "bad")]],
        )
        self.assertIn("(in the overrides, o.yaml, line 4)", found[0])
        self.assertEqual(len(found), 1)

    def test_password_of_a_key_file(self) -> None:
        """It goes with certificateFile, too."""
        overrides = Path(self.write({"certificates": {"site": {"certificateFile": "c.pem", "password": "p"}}}))
        (overrides.parent / "c.pem").write_text("x")
        (certificate,) = self.load(self.secured(), overrides=str(overrides)).certificates
        self.assertEqual(certificate.password, "p")

    def test_file_errors(self) -> None:
        """The file is checked by itself, with its own lines."""
        for text, message in (
            ("prots: {80: 8080}", "line 1: prots: unknown key; did you mean 'ports'?"),
            ("ports: {80: x}", "line 1: ports.80: found 'x', expected a port"),
            ("ports: 5", "ports: found 5, expected a mapping"),
            ("\nports:\n  80: 99999", "line 3: ports.80: found '80=99999', expected PORT=PORT"),
            ("backends: {a: 'b:x'}", "line 1: backends.a: found 'a=b:x'"),
            ("certificates: {a: {keyFiel: x}}", "certificates.a.keyFiel: unknown key; did you mean 'keyFile'?"),
            ("pools: {a: 5}", "line 1: pools.a: found 5, expected a list of host:port"),
            ("pools: {a: [1]}", "line 1: pools.a[0]: found 1, expected text"),
            ("pools: {a: {members: 5}}", "line 1: pools.a.members: found 5, expected a list of host:port"),
            ("rules: [1]", "rules: found a list of 1, expected a mapping"),
            ("middleware: cors", "middleware: found 'cors', expected a list"),
            ("[1]", "found a list of 1, expected a mapping"),
        ):
            self.assertIn(message, self.refused_once(properties(), overrides=self.write(text)))
