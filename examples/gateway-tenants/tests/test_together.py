"""All of it in a gateway, as the configuration beside `setup.py` says: names are found where this is installed."""

from __future__ import annotations

from pathlib import Path

from gateway.testing.dialogue import OK, DialogueCase

CONFIGURATION = Path(__file__).parents[1] / "gateway.yaml"


def get(host):
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


class TogetherTests(DialogueCase):
    def test_home(self):
        gateway = self.gateway(CONFIGURATION)
        client = gateway.client()
        for _ in range(2):
            client.sends(get("acme.example.com"))
            gateway.backend("127.0.0.1:9002").gets("GET / HTTP/1.1", "X-Tenant: acme")
            gateway.backend("127.0.0.1:9002").sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.connections(0, 1)
        self.assertEqual(gateway.recorded("200 ok", "200 ok").user, "acme")

    def test_stranger(self):
        gateway = self.gateway(CONFIGURATION)
        client = gateway.client()
        client.sends(get("wayne.example.com"))
        client.gets_page(404)
        gateway.connections(0, 0)
        gateway.recorded("404 no_tenant")
