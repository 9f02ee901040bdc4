"""All of it in a gateway, as the configuration beside `setup.py` says: names are found where this is installed."""

from __future__ import annotations

from pathlib import Path

from gateway.testing.dialogue import HANDSHAKE, OK, SWITCHING, DialogueCase

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

    def test_quota(self):
        gateway = self.gateway(CONFIGURATION.read_text().replace("messages: 1000", "messages: 1"))
        client = gateway.client()
        client.sends(HANDSHAKE.replace(b"Host: ", b"Host: umbrella."))
        backend = gateway.backend("127.0.0.1:9001")
        backend.gets("GET /chat HTTP/1.1", "X-Tenant: umbrella")
        backend.sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols")
        client.says("hello")
        backend.hears("hello")
        client.says("hello again")
        client.gets_close(4429, "too many messages")
        backend.gets_close(4429)
        client.closes()
        backend.closes()
        self.assertEqual(gateway.recorded("101 filter").user, "umbrella")

    def test_stranger(self):
        gateway = self.gateway(CONFIGURATION)
        client = gateway.client()
        client.sends(get("wayne.example.com"))
        client.gets_page(404)
        gateway.connections(0, 0)
        gateway.recorded("404 no_tenant")
