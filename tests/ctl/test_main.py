"""Tests of `gateway.ctl.main`."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from zope.interface import implementer

from gateway.config import objects
from gateway.ctl.main import main, summary
from gateway.interfaces import IStrategyFactory
from tests.certificates import TestCA, days
from tests.config.support import ConfigurationTestCase, properties, reference
from tests.config.test_compact import SIX_LINES

MEANT = "; say 'rules: []' if that is meant"
PARTLY = ", or only a part of it: export the certificate again"


class CtlTestCase(ConfigurationTestCase):
    """Runs ``gatewayctl``."""

    def run_check(self, *arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        status = main(["check", *arguments], out)
        return status, out.getvalue()


class CheckTests(CtlTestCase):
    """``gatewayctl check``."""

    def test_good(self) -> None:
        path = self.write(SIX_LINES)
        status, text = self.run_check(path)
        self.assertEqual(status, 0)
        self.assertEqual(
            text.splitlines(),
            [
                f"{path}: ok, 'gateway' would run:",
                "  listener web: http://*:8080 -> pool chat (default), rule rule1",
                "  pool chat: 127.0.0.1:9001, 127.0.0.1:9002",
            ],
        )

    def test_defect(self) -> None:
        """A mistake of our own is one clear error at the place that was being read, with a traceback where asked."""

        def broken(*_: object) -> None:
            raise KeyError("SuperSecret1")

        self.patch(objects, "_status", broken)
        document = properties()
        document["customErrorConfigurations"] = [{"statusCode": "HttpStatus502", "customErrorPageUrl": "http://a"}]
        path = self.write(document)
        status, text = self.run_check(path)
        self.assertEqual(status, 1)
        self.assertIn("customErrorConfigurations[0].statusCode: this is a defect of the gateway (KeyError at ", text)
        self.assertNotIn("Secret", text)
        err = io.StringIO()
        self.assertEqual(main(["check", "--traceback", path], io.StringIO(), err), 1)
        self.assertIn("SuperSecret1", err.getvalue())
        self.assertRaises(KeyError, self.load, document)

    def test_all_options(self) -> None:
        """Warnings, what is not honoured, and mappings in the summary."""
        document = properties()
        document["sku"] = {"name": "WAF_v2"}
        document["backendHttpSettingsCollection"][0]["properties"]["requestTimeout"] = 20
        overrides = self.write("ports: {80: 8080}")
        status, text = self.run_check(
            *(self.write(document), "--map-backend", "10.0.0.4=127.0.0.1:9001"),
            *("--map-port", "81=1", "--overrides", overrides),
        )  # fmt: skip
        self.assertEqual(status, 0)
        self.assertIn("2 warnings:", text)
        self.assertIn("requestTimeout: 20 s is also the idle limit", text)
        self.assertIn("accepted, but not honoured:\n  sku:", text)
        self.assertIn("listener web: http://*:8080 -> pool chat (plain), rule rule", text)
        self.assertIn("pool chat: 10.0.0.4 (at 127.0.0.1:9001), b.test", text)

    def test_bad(self) -> None:
        path = self.write(SIX_LINES.replace("port: 8080", "port: x").replace("pool: chat}", "pool: c}"))
        status, text = self.run_check(path)
        self.assertEqual(status, 1)
        self.assertTrue(text.startswith(f"{path}: 2 errors\n  line 2: listeners[0].port: found 'x'"), text)

    def test_strict(self) -> None:
        """Warnings are errors."""
        path = self.write(SIX_LINES + "settings: {name: default, requestTimeout: 20}")
        self.assertEqual(self.run_check(path)[0], 0)
        status, text = self.run_check(path, "--strict")
        self.assertEqual(status, 1)
        self.assertTrue(text.startswith(f"{path}: 1 error\n  line 7: settings.requestTimeout: 20 s is "), text)
        self.assertNotIn("would run", text)
        self.assertEqual(self.run_check(self.write(SIX_LINES), "--strict")[0], 0)

    def test_nothing_served(self) -> None:
        """A template of which nothing is left is not fine, though the gateway would start on it; strictly it fails."""
        template = {"resources": [{"type": "Microsoft.Network/applicationGateways", "name": "g", "properties": {}}]}
        path = self.write(template)
        status, text = self.run_check(path)
        self.assertEqual(status, 0)
        said = "there are no listeners, so nothing is served; give them in the document, or the values of its"
        self.assertTrue(text.startswith(f"1 warning:\n  {said}"), text)
        self.assertIn(f"{path}: it would start, but serve nothing; 'g' would run:", text)
        status, text = self.run_check(path, "--strict", "--format", "json")
        self.assertEqual((status, json.loads(text)["ok"]), (1, False))
        meant = self.write("listeners: []\nrules: []")
        status, text = self.run_check(meant)
        self.assertEqual(status, 0)
        self.assertIn("1 warning:\n  there are no listeners, so nothing is served\n", text)

    def test_json(self) -> None:
        """The same for machines."""
        status, text = self.run_check(self.write(SIX_LINES), "--format", "json")
        document = json.loads(text)
        self.assertEqual((status, document["ok"], document["errors"]), (0, True, []))
        self.assertEqual(document["summary"]["listeners"][0]["port"], 8080)
        status, text = self.run_check(self.write("listeners: [{port: 0}]"), "--format", "json")
        document = json.loads(text)
        self.assertEqual((status, document["ok"]), (1, False))
        self.assertEqual(document["errors"][0]["message"], "there are no rules, so nothing would be served" + MEANT)
        self.assertEqual(set(document["errors"][0]), {"path", "line", "message", "severity"})

    def test_explain_without_secrets(self) -> None:
        """Values of secure parameters are not in what is said of a request."""
        document = properties()
        headers = [
            {"headerName": "X-Key", "headerValue": "[parameters('key')]"},
            {"headerName": "X-Basic", "headerValue": "[concat('Basic ', base64(parameters('key')))]"},
        ]
        rules = [{"name": "r", "actionSet": {"requestHeaderConfigurations": headers}}]
        document["rewriteRuleSets"] = [{"name": "w", "properties": {"rewriteRules": rules}}]
        document["requestRoutingRules"][0]["properties"]["rewriteRuleSet"] = {"id": "w"}
        made = {"type": "Microsoft.Network/applicationGateways", "name": "g", "properties": document}
        parameters = {"key": {"type": "secureString", "defaultValue": "correct horse battery staple"}}
        path = self.write({"parameters": parameters, "contentVersion": "1", "resources": [made]})
        for form in ("text", "json"):
            out = io.StringIO()
            self.assertEqual(main(["explain", "--format", form, "GET", "http://a/", path], out, io.StringIO()), 0)
            self.assertIn("X-Key: (not shown)", out.getvalue())
            self.assertIn("X-Basic: Basic (not shown)", out.getvalue())
            for word in ("horse", "staple", "Y29ycmVjdC"):
                self.assertNotIn(word, out.getvalue())

    def test_check_without_secrets(self) -> None:
        """Nor are they in what is said of the model, whatever it is a part of."""
        document = properties()
        pool = document["backendAddressPools"][0]["properties"]
        pool["backendAddresses"] = [{"fqdn": "[concat('x.', parameters('h'))]"}]
        document["httpListeners"][0]["properties"]["hostName"] = "[toLower(parameters('h'))]"
        made = {
            "type": "Microsoft.Network/applicationGateways", "name": "[parameters('h')]", "properties": document
        }  # fmt: skip
        path = self.write({"parameters": {"h": {"type": "secureString"}}, "contentVersion": "1", "resources": [made]})
        given = self.write({"parameters": {"h": {"value": "Hidden-Host.example"}}})
        status, text = self.run_check(path, "--parameters", given)
        self.assertEqual(0, status, text)
        self.assertIn("'(not shown)' would run:", text)
        self.assertIn("for (not shown) -> ", text)
        self.assertIn("x.(not shown)", text)
        for form in ("text", "json"):
            status, text = self.run_check(path, "--parameters", given, "--format", form)
            self.assertEqual((0, False), (status, "hidden-host" in text.lower()), text)

    def test_no_secrets(self) -> None:
        """Nothing of a certificate is printed, nor options that keep something to themselves."""
        document = properties()
        document["sslCertificates"] = [{"name": "c", "properties": {"data": "hunter2", "password": "hunter3"}}]
        for form in ("text", "json"):
            self.assertNotIn("hunter", self.run_check(self.write(document), "--format", form)[1])
            status, text = self.run_check(self.write(STICKY), "--format", form)
            self.assertEqual((0, False), (status, "hunter" in text), text)

    def test_usage(self) -> None:
        self.patch(sys, "stderr", io.StringIO())
        for arguments in ([], ["check"], ["check", "x", "--nope"], ["nope"], ["explain", "http://a/", "x"]):
            with self.assertRaises(SystemExit) as caught:
                main(arguments)
            self.assertEqual(caught.exception.code, 2)
        self.assertIn("METHOD is missing before 'http://a/': GET, say", sys.stderr.getvalue())  # type: ignore[attr-defined]

    def test_wrong_words(self) -> None:
        """What the command line says, and not the configuration, is wrong: status 2."""
        good, bad = self.write(SIX_LINES), self.write("listeners: 7")
        for status, *arguments in (
            (2, "check", good, "--map-port", "x"), (2, "convert", good, "--map-backend", "x"),
            (2, "explain", "GET", "http://a/", good, "--map-port", "x"), (2, "explain", "GET", "foo", good),
            (2, "explain", "GET", "http://a:b/", good), (2, "explain", "GET", "http://a/", good, "-H", "x"),
            (1, "explain", "GET", "http://a:99/", good), (1, "check", bad), (1, "explain", "GET", "http://a/", bad),
            (1, "convert", bad), (1, "check", good, "--overrides", "/nonexistent"),
        ):  # fmt: skip
            self.assertEqual(status, main(arguments, io.StringIO(), io.StringIO()), arguments)

    def test_what_cannot_be_written(self) -> None:
        """One line, or none where nobody reads any more; never a traceback."""

        class Broken(io.StringIO):
            def __init__(self, number: int) -> None:
                super().__init__()
                self.number = number

            def flush(self) -> None:
                raise OSError(self.number, os.strerror(self.number))

        good = self.write(SIX_LINES)
        cases = (
            (errno.ENOSPC, 1, "gatewayctl: the output cannot be written: No space left on device\n"),
            (errno.EPIPE, 141, ""),
        )  # fmt: skip
        for number, status, text in cases:
            err = io.StringIO()
            self.assertEqual((status, text), (main(["check", good], Broken(number), err), err.getvalue()))
            self.assertEqual(status, main(["check", good], Broken(number), Broken(number)))
        self.patch(sys, "stdout", None)
        err = io.StringIO()
        self.assertEqual(1, main(["check", good], None, err))
        self.assertIn("cannot be written: Bad file descriptor", err.getvalue())

    def test_what_cannot_be_written_at_the_end(self) -> None:
        """The interpreter has nothing to add either."""
        command = f"{sys.executable} -m gateway.ctl check {self.write(SIX_LINES)}"
        cases = (("> /dev/full", 1, 1), (">&-", 1, 1), ("| true", 0, 0), (">&- 2>&-", 1, 0))
        for redirected, status, lines in cases:
            shell = ["/bin/sh", "-c", f"{command} {redirected}"]
            done = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual((status, lines), (done.returncode, len(done.stderr.splitlines())), done.stderr)

    def test_targets(self) -> None:
        """Redirects, path maps, and listeners without a rule."""
        text = """
listeners: [{name: a, port: 1}, {name: b, port: 2, hostName: x.test, address: '::1'}, {name: c, port: 3}]
pools: [{name: p}]
redirects: [{name: r, targetUrl: 'https://x.test'}]
pathMaps: [{name: m, defaultPool: p}]
rules: [{listener: a, redirect: r}, {listener: b, pathMap: m}]
"""
        self.assertEqual(
            summary(self.load(text)),
            [
                "listener a: http://*:1 -> redirect r, rule rule1",
                "listener b: http://[::1]:2 for x.test -> path map m, rule rule2",
                "listener c: http://*:3 -> nothing",
                "pool p: no members",
            ],
        )

    def test_addresses(self) -> None:
        """Those of IPv6 can be told from their ports."""
        text = """
listeners: [{name: a, port: 1}]
pools: [{name: p, backends: ['[::1]:9001', '10.0.0.4:80']}]
rules: [{listener: a, pool: p}]
"""
        status, told = self.run_check(self.write(text), "--map-backend", "10.0.0.4=[::1]:9002")
        self.assertEqual(status, 0)
        self.assertIn("pool p: [::1]:9001, 10.0.0.4:80 (at [::1]:9002)", told)

    def test_discovery(self) -> None:
        """Members that are only known when it runs."""
        text = """
listeners: [{name: a, port: 1}]
pools: [{name: p, backends: ['a.test:1'], discovery: {strategy: file, options: {path: /members}}}]
rules: [{listener: a, pool: p}]
"""
        self.assertEqual(summary(self.load(text))[1:], ["pool p: a.test:1, what file finds"])

    def test_as_module(self) -> None:
        """``python -m gateway.ctl`` and its exit status."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.ctl", "check", "/nonexistent"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("/nonexistent: 1 error\n  cannot read the file: No such file or directory", done.stdout)


STICKY = """\
listeners: [{name: web, port: 8080}]
pools: [{name: chat, backends: [127.0.0.1:9001], selector: sticky, selectorOptions: {secret: hunter2hunter2hunter2}}]
rules: [{listener: web, pool: chat}]
"""

SECURE = """\
listeners:
  - {name: web, port: 8443, protocol: Https, certificate: site, hostName: chat.test}
pools:
  - name: chat
    backends: [127.0.0.1:9001]
rules:
  - {listener: web, pool: chat}
certificates:
  - name: site
    certificateFile: server.crt
    keyFile: server.key
"""



class ConvertTests(CtlTestCase):
    """``gatewayctl convert``."""

    def convert(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        return main(["convert", *arguments], out, err), out.getvalue(), err.getvalue()

    def test_good(self) -> None:
        """The compact spelling on standard output, with what the overrides change; warnings on standard error."""
        document = properties()
        document["backendAddressPools"].append({"name": "idle"})
        status, text, said = self.convert(self.write(document), "--map-port", "80=8080")
        self.assertEqual(status, 0)
        self.assertIn("- {name: web, port: 8080}", text)
        self.assertIn("pool 'idle' is not used", said)
        self.assertNotIn("would run", said)
        self.assertEqual(self.load(text), self.load(document, map_ports=["80=8080"]))

    def test_bad(self) -> None:
        """Nothing on standard output."""
        status, text, said = self.convert(self.write("listeners:"))
        self.assertEqual((status, text), (1, ""))
        self.assertIn("there are no listeners", said)

    def test_itself(self) -> None:
        """Converting what was converted changes nothing but the comment."""
        _, first, _ = self.convert(self.write(SIX_LINES))
        _, second, _ = self.convert(self.write(first))
        self.assertEqual(first.splitlines()[1:], second.splitlines()[1:])


class CertificateTests(CtlTestCase):
    """Certificates and keys are loaded; what is wrong is said with path and line, before any start."""

    ca = TestCA()

    def secure(self, text: str = SECURE, **issue: Any) -> Path:
        """A configuration with the files of a certificate beside it."""
        path = Path(self.write(text))
        self.ca.issue(**({"names": ["chat.test"]} | issue)).pem_files(str(path.parent))
        return path

    def says(self, path: Path, *lines: str, status: int = 1) -> None:
        """The report begins with a heading and these lines."""
        found, text = self.run_check(str(path))
        self.assertEqual(found, status, text)
        self.assertEqual([line.strip() for line in text.splitlines()[1 : 1 + len(lines)]], list(lines))
        if status:
            self.assertEqual(len(text.splitlines()), 1 + len(lines), text)

    def test_good(self) -> None:
        status, text = self.run_check(str(self.secure()))
        self.assertEqual(status, 0)
        self.assertIn(": ok, 'gateway' would run:", text.splitlines()[0])

    def test_missing_file(self) -> None:
        """Said once."""
        path = self.secure()
        (path.parent / "server.crt").unlink()
        missing = str(path.absolute().parent / "server.crt")
        self.says(path, f"line 10: certificates[0].certificateFile: there is no file {missing!r}")

    def test_unreadable_key(self) -> None:
        """Something that is no key; something that is no file."""
        path = self.secure()
        key = path.absolute().parent / "server.key"
        key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        words = f"the private key in {key} is damaged or of an unknown kind"
        self.says(path, f"line 11: certificates[0].keyFile: {words}")
        key.write_text("hunter2")
        self.says(path, f"line 11: certificates[0].keyFile: {key} holds neither PKCS#12 (PFX) nor PEM{PARTLY}")
        key.unlink()
        key.mkdir()
        self.says(path, f"line 11: certificates[0].keyFile: {str(key)!r} is a directory, not a file")

    def test_encrypted_key(self) -> None:
        """Without a password, and with a wrong one."""
        path = self.secure()
        key = path.absolute().parent / "server.key"
        issued = self.ca.issue(names=["chat.test"])
        issued.pem_files(str(path.parent), password="hunter2")
        words = f"the private key in {key} is encrypted: give its `password`"
        self.says(path, f"line 9: certificates[0].password: {words}")
        path.write_text(SECURE + "    password: hunter3\n")
        words = f"`password` does not open the private key in {key}"
        self.says(path, f"line 12: certificates[0].password: {words}")
        path.write_text(SECURE + "    password: hunter2\n")
        self.says(path, status=0)

    def test_key_of_another(self) -> None:
        path = self.secure()
        (path.parent / "server.key").write_bytes(self.ca.issue(names=["x.test"]).key_pem())
        words = "the private key does not belong to the certificate (CN=chat.test)"
        self.says(path, f"line 11: certificates[0].keyFile: {words}")

    def test_warnings(self) -> None:
        """Expired, or for another name: the gateway starts all the same."""
        path = self.secure(not_after=days(-2), names=["other.test"])
        status, text = self.run_check(str(path))
        self.assertEqual(status, 0, text)
        self.assertTrue(text.startswith("2 warnings:\n  line 2: listeners[0].hostName: no certificate of this"), text)
        self.assertIn("\n  line 10: certificates[0].certificateFile: CN=other.test expired on ", text)
        status, text = self.run_check(str(self.secure(not_after=days(10.5))))
        self.assertIn("line 10: certificates[0].certificateFile: CN=chat.test expires in 10 days", text)

    def arm(self, **certificate: Any) -> dict[str, Any]:
        document = properties()
        document["sslCertificates"] = [{"name": "site", "properties": certificate}]
        document["httpListeners"][0]["properties"].update(
            protocol="Https", sslCertificate=reference("sslCertificates", "site")
        )
        return document

    def line(self, path: Path, words: str) -> int:
        """The line of a file that has these words first."""
        return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if words in line)

    def test_resource(self) -> None:
        """A password that is wrong, or missing; the path is the document's."""
        issued = self.ca.issue(names=["chat.test"])
        path = Path(self.write(self.arm(data=issued.pkcs12("right"), password="hunter2")))
        line = self.line(path, '"password"')
        self.says(path, f"line {line}: sslCertificates[0].properties.password: `password` does not open `data`")
        path = Path(self.write(self.arm(data=issued.pkcs12("right"))))
        line = self.line(path, '"sslCertificates"') + 3
        self.assertIn('"properties"', path.read_text().splitlines()[line - 1])
        words = "`data` is encrypted: give its `password`"
        self.says(path, f"line {line}: sslCertificates[0].properties.password: {words}")

    def test_template(self) -> None:
        """A parameter is named, also one that has no value: nothing follows from it then."""
        document = self.arm(data=self.ca.issue(names=["chat.test"]).pkcs12("x"), password="[parameters('secret')]")
        template = {
            "parameters": {"secret": {"type": "securestring"}},
            "resources": [{"type": "Microsoft.Network/applicationGateways", "name": "g", "properties": document}],
        }
        path = Path(self.write(template))
        status, text = self.run_check(str(path))
        self.assertEqual(status, 0)
        self.assertIn("nothing is served: listener 'web' has no certificate that can be used; give what", text)
        self.assertIn("certificate 'site' is not there: its password is not known here", text)
        self.assertNotIn("encrypted", text)
        parameters = self.write({"parameters": {"secret": {"value": "hunter2"}}})
        status, text = self.run_check(str(path), "--parameters", parameters)
        line = self.line(path, '"password"')
        self.assertIn(
            f"  line {line}: resources[0].properties.sslCertificates[0].properties.password: "
            "`password` does not open `data` (from [parameters('secret')])\n",
            text,
        )
        self.assertNotIn("hunter2", text)

    def test_overrides(self) -> None:
        """A file that replaces what is in a Key Vault; the place is the overrides file's."""
        document = self.arm(keyVaultSecretId="https://v.test/secrets/s")
        overrides = Path(self.write("certificates:\n  site:\n    pfxFile: site.pfx\n    password: hunter2\n", "o.yaml"))
        (overrides.parent / "site.pfx").write_text(self.ca.issue(names=["chat.test"]).pkcs12("right"))
        _, text = self.run_check(self.write(document), "--overrides", str(overrides))
        self.assertIn("certificates.site.pfxFile: ", text)
        self.assertIn("(in the overrides, o.yaml, line 3)", text)

    def test_root(self) -> None:
        text = SECURE.replace("    backends: [127.0.0.1:9001]", "    backends: ['https://127.0.0.1:9001']").replace(
            "pool: chat}", "pool: chat, settings: s}"
        )
        text += (
            "settings:\n  - {name: s, hostName: chat.test, trustedRootCertificates: [ours]}\n"
            "trustedRoots:\n  - {name: ours, data: '*'}\n"
        )
        path = self.secure(text)
        words = "`data` is not base64 (1 characters): it takes a certificate (CER) in base64"
        self.says(path, f"line 15: trustedRoots[0].data: {words}")


class StrategyTests(CtlTestCase):
    """Names of strategies and their options are looked up."""

    TEXT = """\
listeners:
  - {name: web, port: 80}
  - {name: two, port: eighty}
pools:
  - name: chat
    backends: [127.0.0.1:9001]
    selector: round-robbin
  - name: other
    selector: least-connections
    selectorOptions:
      colour: red
rules:
  - {listener: web, pool: chatt, settings: default}
  - {listener: two, pool: other, settings: default}
settings:
  - {name: default, probe: p, requestTimeout: 20}
probes:
  - name: p
    strategy: htpp
"""

    def test_everything_at_once(self) -> None:
        """Errors of every origin together, in the order of the file."""
        status, text = self.run_check(self.write(self.TEXT))
        self.assertEqual(status, 1)
        expected = (
            ": 5 errors",
            "line 3: listeners[1].port: found 'eighty', expected a whole number",
            "line 7: pools[0].selector: there is no selector 'round-robbin', there are: ",
            "line 10: pools[1].selectorOptions: selector 'least-connections' takes no options, found 'colour'",
            "line 13: rules[0].pool: there is no pool 'chatt'; did you mean 'chat'?",
            "line 19: probes[0].strategy: there is no probe strategy 'htpp', there are: http",
        )
        for line, words in zip(text.splitlines(), expected, strict=False):
            self.assertIn(words, line)
        self.assertIn("did you mean 'round-robin'?", text)

    def test_option(self) -> None:
        """An option of a strategy is found in the file."""
        text = self.TEXT.replace("least-connections", "tests.ctl.test_main:picky")
        _, found = self.run_check(self.write(text))
        self.assertIn("line 11: pools[1].selectorOptions.colour: Input should be a valid integer", found)
        self.assertIn("line 10: pools[1].selectorOptions: 'wait_ms' is missing; it takes a whole number", found)

    def test_json(self) -> None:
        """The same for machines, with the severity."""
        status, text = self.run_check(self.write(self.TEXT), "--format", "json")
        document = json.loads(text)
        self.assertEqual((status, document["ok"]), (1, False))
        self.assertEqual(
            [(item["line"], item["path"], item["severity"]) for item in document["errors"] + document["warnings"]],
            [
                (3, "listeners[1].port", "error"),
                (7, "pools[0].selector", "error"),
                (10, "pools[1].selectorOptions", "error"),
                (13, "rules[0].pool", "error"),
                (19, "probes[0].strategy", "error"),
                (5, "pools[0]", "warning"),
                (8, "pools[1]", "warning"),
                (16, "settings[0].requestTimeout", "warning"),
            ],
        )
        self.assertTrue(all(item["message"] for item in document["errors"]))


class _Options(BaseModel):
    colour: int
    wait_ms: int


@implementer(IStrategyFactory)
class _Picky:
    name = "picky"
    options = _Options

    def build(self, options: Any, services: Any) -> Any:
        raise AssertionError("a check builds nothing")


picky = _Picky()
