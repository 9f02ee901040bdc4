"""Tests of `gateway.config.load`: files of every kind, and the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import from_command_line, load
from gateway.config.model import BackendSettings, Gateway, HttpListener, Match, Member, Pool, Probe, Rule
from gateway.errors import ConfigurationError, Problem
from tests.config.support import ConfigurationTestCase, properties
from tests.config.test_compact import SIX_LINES


class LoadTests(ConfigurationTestCase):
    """`load`: which spelling a file is in, and files that cannot be read."""

    def test_syntax(self) -> None:
        """The suffix decides; without one the first character."""
        text = json.dumps(properties())
        for name in ("c.json", "c", "c.yaml", "c.conf"):
            self.assertEqual(self.load(text, name).listeners[0].port, 80)
        for name in ("c.yml", "c", "c.conf"):
            self.assertEqual(self.load(SIX_LINES, name).listeners[0].port, 8080)
        self.assertEqual(
            self.load(
                "{listeners: [{name: a, port: 1}], pools: [{backends: h:1}],\nrules: [{listener: a, pool: pool1}]}",
                "c.yaml",
            )
            .pools[0]
            .name,
            "pool1",
        )

    def test_embedded(self) -> None:
        """Documents that hold gateways somewhere, as REST examples and lists do."""
        gateway = {"name": "gw", "type": "Microsoft.Network/applicationGateways", "properties": properties()}
        self.assertEqual(self.load([gateway]).name, "gw")
        document = {"parameters": {"parameters": gateway}, "responses": {"200": {"body": gateway}}}
        self.assertEqual(self.load(document).name, "gw")
        self.warned("holds 2 gateways; 'gw' (parameters.parameters) is read, not 'gw' (responses.200.body)")

    def test_unreadable(self) -> None:
        """Each is one clear error."""
        directory = self.mktemp()
        os.mkdir(directory)
        for path, message in (
            (directory, "not a file"),
            ("/nonexistent/x", "cannot read the file: No such file"),
            ("a\0b", "cannot read the file"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                load(path)
            self.assertIn(message, str(caught.exception))
        path = Path(self.write(""))
        path.write_bytes(b"a: \xff")
        with self.assertRaises(ConfigurationError) as caught:
            load(path)
        self.assertIn("is not UTF-8 text", str(caught.exception))
        with path.open("wb") as stream:
            stream.truncate(17 << 20)
        with self.assertRaises(ConfigurationError) as caught:
            load(path)
        self.assertIn("the file has more than 16 MiB", str(caught.exception))

    def test_several_unreadable(self) -> None:
        """Each is named, with what is wrong in the files that can be read."""
        overrides = self.write("prots: {}", "o.yaml")
        with self.assertRaises(ConfigurationError) as caught:
            files = ["/nonexistent/p", "/nonexistent/q"]
            load("/nonexistent/c", parameters=files, overrides=overrides, map_ports=["x"])
        found = [str(problem) for problem in caught.exception.problems]
        for words in ("o.yaml: prots: unknown key; did you mean 'ports'?", "command line: --map-port: found 'x'",
                      "/nonexistent/p: cannot read", "/nonexistent/q: cannot read", "/nonexistent/c: cannot read"):
            self.assertEqual(sum(words in text for text in found), 1, (words, found))

    def test_not_a_configuration(self) -> None:
        """Documents of another kind are told what was expected."""
        for document, message in (
            ("", "the file is empty"),
            ("just words", "found 'just words'; expected an ARM template"),
            ("[1, 2]", "no gateway found in this document"),
            ("foo: bar", "no gateway found in this document"),
            ("listners: []", "unknown key 'listners'; did you mean 'listeners'?"),
            ({"$schema": "https://x/deploymentParameters.json#", "parameters": {}}, "this is a parameter file"),
            (
                {"$schema": "https://x/deploymentParameters.json#", "parameters": {"httpListeners": {"value": []}}},
                "this is a parameter file",
            ),
            ({"$schema": "x", "resources": []}, "the template deploys no Application Gateway"),
        ):
            self.assertTrue(any(message in text for text in self.refused(document)), (document, message))
        self.assertIn("this is not a parameter file", self.refused_once(properties(), parameters=self.write("[1]")))
        self.assertIn(
            "the parameter 'a' has no 'value'",
            self.refused_once(properties(), parameters=self.write({"parameters": {"a": 1}})),
        )

    def test_certificate_files(self) -> None:
        """Relative to the configuration; one that is missing is an error at its place."""
        text = (
            SIX_LINES.replace("port: 8080", "port: 8443, protocol: Https, certificate: c")
            + "certificates: [{name: c, certificateFile: no.pem}]"
        )
        self.assertIn("line 7: certificates[0].certificateFile: there is no file", self.refused_once(text))
        for named, said in (("/", "'/' is a directory"), ("/dev/null", "'/dev/null' is a device or a socket")):
            self.assertIn(f"certificateFile: {said}, not a file", self.refused_once(text.replace("no.pem", named)))

    def checked(self, document: Any, *problems: Problem, **keywords: Any) -> list[str]:
        """What is refused where a check finds these problems."""
        return self.refused(document, checks=[lambda gateway: problems], **keywords)

    def test_checks(self) -> None:
        """What a check finds is shown where it stands, with all other errors, in the order of the file."""
        text = """\
listeners:
  - {name: web, port: 8080}
pools:
  - name: chat
    selectorOptions:
      colour: red
    backends: [h]
rules:
  - {listener: web, pool: cha}
"""
        found = self.checked(
            text,
            Problem("rules[0].priority", "third"),
            Problem("pools[0].selectorOptions.colour", "second"),
            Problem("listeners[0].hostNames", "first"),
            Problem("somewhere else", "as it is"),
            Problem("pools[0].selector", "a warning", severity="warning"),
        )
        self.assertEqual(
            found[:2] + found[3:],
            [
                "line 2: listeners[0].hostNames: first",
                "line 6: pools[0].selectorOptions.colour: second",
                "line 9: rules[0].priority: third",
                "somewhere else: as it is",
            ],
        )
        self.assertIn("line 9: rules[0].pool: there is no pool 'cha'", found[2])
        self.assertIn("line 4: pools[0].selector: a warning", [*map(str, self.warnings)])

    def test_checks_of_a_resource(self) -> None:
        """As the document spells it: with its ``properties``, or without."""
        document = properties()
        document["probes"] = [{"name": "p", "properties": {"path": "/"}}, {"name": "q", "path": "/"}]
        document["sslCertificates"] = [{"name": "c", "properties": {"data": "x", "password": "y"}}]
        found = self.checked(
            document,
            Problem("certificates[0].password", "a"),
            Problem("probes[0].strategy", "b"),
            Problem("probes[1].strategy", "c"),
            Problem("listeners[0].port", "d"),
        )
        self.assertEqual(
            sorted(text.partition(": ")[2] for text in found),
            [
                "frontendPorts[0].properties.port: d",
                "probes[0].properties.strategy: b",
                "probes[1].strategy: c",
                "sslCertificates[0].properties.password: a",
            ],
        )

    def test_checks_of_what_is_broken(self) -> None:
        """They see a model with stand-ins: what they say about those is not said; without a model they are not run."""
        text = SIX_LINES.replace("name: web, port: 8080", "name: web, port: x, protocol: Http")
        problems = [Problem(f"listeners[0]{key}", key) for key in ("", ".port", ".port.x", ".protocol", ".name")]
        found = self.checked(text, *problems)
        self.assertEqual([item.rpartition(": ")[2] for item in found][1:], [".protocol", ".name"])
        self.assertIn("listeners[0].port: found 'x'", found[0])
        ran: list[object] = []
        for document in ("listeners: [", "x: 1"):
            self.refused(document, checks=[lambda gateway: ran.append(gateway) or ()])
        self.assertEqual(ran, [])

    def test_secret_expressions(self) -> None:
        """A password in an expression is not shown; the name of a parameter is."""
        document = properties()
        for expression, shown in (
            ("[concat('hunter', '2')]", "wrong (from an expression)"),
            ("[variables('the secret')]", "wrong (from [variables('the secret')])"),
        ):
            document["sslCertificates"] = [{"name": "c", "properties": {"data": "x", "password": expression}}]
            resource = {"type": "Microsoft.Network/applicationGateways", "name": "g", "properties": document}
            template = {"variables": {"the secret": "hunter2"}, "resources": [resource]}
            (text,) = self.checked(template, Problem("certificates[0].password", "wrong"))
            self.assertIn(shown, text)
            self.assertNotIn("hunter", text)

    def test_certificate_paths_that_cannot_be_looked_at(self) -> None:
        """A path too long for the system is not there, either."""
        text = SIX_LINES + f"certificates: [{{name: c, certificateFile: {'x' * 5000}}}]"
        self.assertIn("certificates[0].certificateFile: there is no file", self.refused_once(text))

    def test_speed(self) -> None:
        """A document of many objects is read in one pass over each; this hangs where that is not so."""
        document = properties()
        document["backendAddressPools"] += [
            {"name": f"pool{i}", "properties": {"backendAddresses": [{"ipAddress": "10.0.0.1"}] * 100}}
            for i in range(100)
        ]
        self.assertEqual(len(self.load(document).pools), 101)

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_never_a_traceback(self, data: st.DataObject) -> None:
        """Any part replaced by anything: a gateway or problems, nothing else."""
        document = properties()
        owner: object = document
        for _ in range(data.draw(st.integers(1, 5))):
            keys = (
                list(owner) if isinstance(owner, dict) else list(range(len(owner))) if isinstance(owner, list) else []
            )
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            parent, owner = owner, owner[key]  # type: ignore[index]
        junk = st.sampled_from(
            [
                None,
                True,
                5,
                -1,
                1.5,
                "",
                "x",
                "[x",
                "[f(]",
                "[null()]",
                "[[x]",
                [],
                {},
                [[]],
                [None],
                {"id": None},
                {"": 1},
            ]
        )
        parent[key] = data.draw(junk)  # type: ignore[index]
        try:
            self.load(document)
        except ConfigurationError as error:
            self.assertTrue(error.problems)
            self.assertTrue(str(error))


class CommandLineTests(ConfigurationTestCase):
    """`from_command_line`."""

    def test_one_liner(self) -> None:
        gateway = from_command_line(["tcp:8080"], ["http://127.0.0.1:9001", "127.0.0.1:9002"])
        self.assertEqual(
            gateway,
            Gateway(
                listeners=(HttpListener(name="listener1", port=8080),),
                pools=(
                    Pool(
                        name="default",
                        members=(Member(host="127.0.0.1", port=9001), Member(host="127.0.0.1", port=9002)),
                    ),
                ),
                settings=(BackendSettings(name="default", probe="default"),),
                probes=(Probe(name="default", match=Match(status_codes=("200-499",))),),
                rules=(Rule(name="rule1", listener="listener1", pool="default", settings="default"),),
            ),
        )

    def test_https(self) -> None:
        """The backend's own name, for the request, TLS and the probe."""
        gateway = from_command_line(["0"], ["https://h"])
        (settings,), (probe,) = gateway.settings, gateway.probes
        self.assertEqual((settings.protocol, settings.port), ("Https", 443))
        self.assertTrue(settings.pick_host_name_from_backend_address)
        self.assertEqual((probe.protocol, probe.pick_host_name_from_backend_http_settings), ("Https", True))

    def test_listen_forms(self) -> None:
        for text, address, port in (
            ("8080", "", 8080),
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("[::1]:8080", "::1", 8080),
            ("tcp:8080:interface=127.0.0.1", "127.0.0.1", 8080),
            ("tcp:0:interface=\\:\\:1", "::1", 0),
        ):
            (listener,) = from_command_line([text], ["h:1"]).listeners
            self.assertEqual((listener.address, listener.port), (address, port))
        self.assertEqual(len(from_command_line(["80", "81"], ["h:1"]).rules), 2)

    def test_refused(self) -> None:
        """All errors at once."""
        for listen, backends, messages in (
            ([], [], ["--listen: missing", "--backend: missing"]),
            (
                ["x", "99999", "ssl:443", "tcp:80:backlog=3"],
                ["h:1"],
                ["found 'x'", "found '99999'", "found 'ssl:443'", "'backlog=3' is not known"],
            ),
            (["80"], ["http://a", "https://b"], ["http and https backends cannot be mixed"]),
            (["80"], ["ws://a", "h:0"], ["the scheme 'ws'", "port 0"]),
            (["80", "80"], ["h:1"], ["share port 80"]),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                from_command_line(listen, backends)
            self.assertEqual(len(caught.exception.problems), len(messages))
            for message in messages:
                self.assertIn(message, str(caught.exception))
