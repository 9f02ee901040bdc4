"""A line of the access log about a connection of plain TCP or TLS, in Application Gateway's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.http.authority import authority
from gateway.observe.certificate_fields import certificate_fields

if TYPE_CHECKING:
    from gateway.values import Outcome

__all__ = ["connection_line"]

_LONGEST = 4096


def connection_line(stamp: str, event: str, outcome: Outcome) -> str:
    """A JSON object and a newline. ``serverStatus`` is 200 once a backend took the connection, else what went wrong."""
    route, backend, error = outcome.route, outcome.backend, outcome.error
    until = outcome.ended if outcome.ended is not None else outcome.started
    server = "" if backend is None else authority(backend.connect_host, backend.connect_port)
    line: dict[str, Any] = {
        "timeStamp": stamp,
        "event": event,
        "listenerName": outcome.listener if route is None else route.listener,
        "ruleName": "" if route is None else route.rule,
        "backendPoolName": "" if route is None else route.pool.name,
        "backendSettingName": "" if route is None else route.settings.name,
        "protocol": outcome.scheme.upper(),
        "clientIP": outcome.peer.host,
        "clientPort": outcome.peer.port,
        "serverName": "" if outcome.head is None else outcome.head.host[:_LONGEST],
        "receivedBytes": outcome.received_bytes,
        "sentBytes": outcome.sent_bytes,
        "sessionTime": round(until - outcome.started, 3),
        "transactionId": outcome.trace_id,
        "sslEnabled": "on" if outcome.scheme == "tls" else "off",
        "sslCipher": outcome.tls_cipher,
        "sslProtocol": outcome.tls_version,
        **certificate_fields(outcome.client_certificate),
        "serverRouted": server,
        "serverStatus": str(outcome.status),
        "serverConnectTime": "" if outcome.connected is None else format(outcome.connected - outcome.started, ".3f"),
        "backendSslProtocol": outcome.upstream_tls_version,
        "backendSslCipher": outcome.upstream_tls_cipher,
        "upstreamReceivedBytes": outcome.upstream_received,
        "upstreamSentBytes": outcome.upstream_sent,
        "upstreamSessionTime": "" if outcome.connected is None else format(until - outcome.connected, ".3f"),
        "attempts": outcome.attempts,
        "cause": outcome.cause,
        "error_info": "ERRORINFO_NO_ERROR" if error is None else error.info,
    }
    if event == "connection-end":
        line["closedBy"] = outcome.closed_by
    if error is not None:
        line["reason"] = str(error)[:_LONGEST]
    return json.dumps(line, separators=(",", ":")) + "\n"
