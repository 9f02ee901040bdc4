"""The gateway's configuration for the demo."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config.model import Gateway

__all__ = ["demo_model"]


def demo_model(addresses: Iterable[tuple[str, int]], port: int = 8080) -> Gateway:
    """A gateway on 127.0.0.1:``port`` for backends at ``addresses``, probed so often that one can watch."""
    return Gateway.model_validate(
        {
            "name": "demo",
            "listeners": [{"name": "web", "address": "127.0.0.1", "port": port}],
            "pools": [{"name": "chat", "members": [{"host": host, "port": number} for host, number in addresses]}],
            "settings": [{"name": "chat-http", "request_timeout": 40, "probe": "chat-health"}],
            "probes": [
                {"name": "chat-health", "path": "/health", "interval": 1, "timeout": 1, "unhealthy_threshold": 2}
            ],
            "rules": [
                {"name": "everything", "listener": "web", "pool": "chat", "settings": "chat-http", "priority": 100}
            ],
        }
    )
