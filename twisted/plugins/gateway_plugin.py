"""Makes `twistd gateway` known. Nothing of the gateway is imported until it is asked for."""

from twisted.application.service import ServiceMaker

gateway = ServiceMaker("gateway", "gateway.tap", "HTTP, HTTPS and WebSocket application gateway", "gateway")
