"""An application gateway: HTTP, HTTPS and WebSocket listeners, backend pools, probes and rules."""

__all__ = ["__version__"]

__version__ = "0.1.0"
