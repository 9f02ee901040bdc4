"""Every configuration in `examples/` loads, and serves in a process of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from twisted.trial import unittest

from gateway import config
from gateway.config.model import Gateway
from tests.certificates import TestCA
from tests.integration.shell import ROOT, missing, open_shell

FOR_A_LAPTOP = "--map-port 80=8080 --map-backend 10.0.0.4=127.0.0.1:9001 --map-backend 10.0.0.5=127.0.0.1:9002"


class LoadTests(unittest.SynchronousTestCase):
    """`gateway.config.load` takes them without a warning."""

    def load(self, name: str) -> Gateway:
        directory = Path(self.mktemp())
        shutil.copytree(ROOT / "examples", directory)
        issued = TestCA().issue(["localhost"])
        (directory / "certificate.pem").write_bytes(issued.cert_pem)
        (directory / "key.pem").write_bytes(issued.key_pem())
        return config.load(directory / name)

    def test_all(self) -> None:
        """Listeners and rules are there in each."""
        names = sorted(path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".yaml", ".json"))
        self.assertEqual(names, ["application-gateway.json", "minimal.yaml", "probe.yaml", "tcp.yaml", "tls.yaml"])
        for name in names:
            model = self.load(name)
            self.assertGreaterEqual(len(model.listeners), 1, name)
            self.assertGreaterEqual(len(model.rules), 1, name)

    def test_application_gateway(self) -> None:
        """What the document says is what the model holds."""
        model = self.load("application-gateway.json")
        self.assertEqual([pool.name for pool in model.pools], ["shop", "chat"])
        self.assertEqual([settings.request_timeout for settings in model.settings], [20, 3600])
        self.assertEqual(model.path_maps[0].path_rules[0].paths, ("/echo*", "/chat/*"))


class ServeTests(unittest.TestCase):
    """Real processes; `probe.yaml` and `tls.yaml` are run by the tutorial's test."""

    skip = missing()
    timeout = 120

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="gateway-examples-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.shell = open_shell(self, directory)
        for port in (9001, 9002):
            self.shell.run(f".venv/bin/python examples/backend.py {port} &")
            self.shell.expect(f"curl -s http://127.0.0.1:{port}/", f"hello from backend {port}")

    def start(self, options: str) -> None:
        self.shell.run(f".venv/bin/twistd -n --pidfile= gateway {options} &")

    def test_minimal(self) -> None:
        """Both backends serve, also WebSocket."""
        self.start("--config examples/minimal.yaml --access-log off")
        both = "hello from backend 9001\nhello from backend 9002"
        self.shell.expect("curl -s http://127.0.0.1:8080/ http://127.0.0.1:8080/ | sort", both)
        self.shell.expect(
            ".venv/bin/python examples/talk.py ws://127.0.0.1:8080/echo one two", "you talk to backend ...\none\ntwo"
        )

    def test_application_gateway(self) -> None:
        """The path map sends `/` to one pool and `/echo` to the other; the access log says so."""
        self.start(f"--config examples/application-gateway.json {FOR_A_LAPTOP} --access-log access.log")
        self.shell.expect("curl -s http://127.0.0.1:8080/", "hello from backend 9001")
        self.shell.expect(
            ".venv/bin/python examples/talk.py ws://127.0.0.1:8080/echo hello", "you talk to backend 9002\nhello"
        )
        self.shell.run("kill '%?application-gateway'; wait '%?application-gateway'")
        lines = [json.loads(line) for line in self.shell.run("cat access.log").splitlines()]
        self.assertEqual({line["backendPoolName"] for line in lines if line["httpStatus"] < 400}, {"shop", "chat"})

    def test_tcp(self) -> None:
        """Whatever is spoken: here HTTP and WebSocket. Each connection is a line at its end."""
        self.start("--config examples/tcp.yaml --access-log access.log")
        self.shell.expect("curl -s http://127.0.0.1:8080/", "hello from backend ...")
        self.shell.expect(
            ".venv/bin/python examples/talk.py ws://127.0.0.1:8080/echo hello", "you talk to backend ...\nhello"
        )
        self.shell.run("kill '%?tcp.yaml'; wait '%?tcp.yaml'")
        lines = [json.loads(line) for line in self.shell.run("cat access.log").splitlines()]
        ends = [line for line in lines if line["event"] == "connection-end"]
        self.assertEqual([("TCP", "200")] * 2, [(line["protocol"], line["serverStatus"]) for line in ends])

    def test_deployment(self) -> None:
        """A service, a listener and a selector that are subclasses, started by a command of their own."""
        with_it = "PYTHONPATH=$PYTHONPATH:examples/deployment"
        file = "examples/deployment/gateway.yaml"
        self.shell.expect(
            f"{with_it} .venv/bin/gatewayctl check --strict {file}", f"{file}: ok, 'gateway' would run:..."
        )
        twistd = f"{with_it} .venv/bin/twistd -n --pidfile= house-gateway --config {file} --access-log off"
        seen = self.shell.run(f'{twistd} --workers 2; echo "status $?"')
        self.assertEqual(seen.splitlines()[-2:], ["  --workers: HouseGateway runs in one process", "status 1"], seen)
        self.shell.run(f"{twistd} &")
        self.shell.expect("curl -s http://127.0.0.1:8080/", "hello from backend ...")
        self.shell.run("exec 3<>/dev/tcp/127.0.0.1/8080 4<>/dev/tcp/127.0.0.1/8080")
        self.shell.expect("curl -s http://127.0.0.1:8080/ || echo closed", "closed")
        self.shell.run("exec 3>&- 4>&-")
        self.shell.expect("curl -s http://127.0.0.1:8080/ || echo closed", "hello from backend ...")
        self.shell.run("kill '%?house-gateway'; wait '%?house-gateway'")
        self.assertRegex(self.shell.outputs(), r"answers: .*200: [0-9]")

    def test_a_port_that_is_taken(self) -> None:
        """Not a log line but an error: status 1, the listener, the port, and what to do."""
        for program in ("twistd -n --pidfile=", "python -m twisted"):
            seen = self.shell.run(
                f".venv/bin/{program} gateway --listen tcp:9001:interface=127.0.0.1 --backend http://127.0.0.1:9002; "
                'echo "status $?"'
            )
            self.assertTrue(seen.endswith("status 1"), seen)
            self.assertIn(self.shell.translate("cannot listen on 127.0.0.1:9001: Address already in use"), seen)
            self.assertNotIn("Traceback", seen)
