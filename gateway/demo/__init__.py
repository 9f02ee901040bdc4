"""What ``twistd -n gateway --demo`` shows: two backends in the same process, and a chat that runs through a gateway.

`gateway.demo.backends.DemoBackends` starts the backends, `gateway.demo.config.demo_model` is the configuration that
puts a gateway in front of them.
"""

from __future__ import annotations

from gateway.demo.backends import DemoBackends
from gateway.demo.config import demo_model

__all__ = ["DemoBackends", "demo_model"]
