"""The configuration model: what ARM JSON, compact YAML and the command line all come down to.

Frozen pydantic models, one class per kind of object, with defaults, units and ranges in one place.  Attribute
names are the Application Gateway's in snake case; in documents they are camel case.  Objects refer to each
other by ``name``; `gateway.config.check` has made sure that every name resolves.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

__all__ = [
    "BackendSettings",
    "Certificate",
    "ClientAuthentication",
    "Condition",
    "ConditionSet",
    "ConnectionDraining",
    "Distribution",
    "DistributionTarget",
    "ErrorPage",
    "Gateway",
    "GlobalConfiguration",
    "HeaderAction",
    "HttpListener",
    "Match",
    "Matcher",
    "Member",
    "PassiveHealth",
    "PathMap",
    "PathRule",
    "Pool",
    "Probe",
    "Redirect",
    "Resolver",
    "RewriteRule",
    "RewriteSet",
    "RoutingCondition",
    "RoutingMap",
    "RoutingRule",
    "Rule",
    "SslPolicy",
    "SslProfile",
    "Strategy",
    "TrustedClientCertificate",
    "TrustedRoot",
    "UrlAction",
]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel, allow_inf_nan=False
    )


class _Named(_Model):
    name: str = Field(min_length=1, max_length=80)


class _Spoken(_Named):
    """Something with a protocol."""

    protocol: Literal["Http", "Https", "Tcp", "Tls"] = "Http"

    @property
    def secure(self) -> bool:
        """It speaks TLS."""
        return self.protocol in ("Https", "Tls")

    @property
    def layer4(self) -> bool:
        """It is about connections, not requests."""
        return self.protocol in ("Tcp", "Tls")


class Strategy(_Model):
    """A plugin that is picked by name; the word alone, where it needs no options."""

    strategy: str = Field(min_length=1, description="Name of an installed plugin, or `module:object`.")
    options: dict[str, object] = Field(default_factory=dict, description="Checked by the plugin.")
    optional: bool = Field(default=False, description="Of middleware: where it fails, requests go on without it.")

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        return {"strategy": value} if isinstance(value, str) else value


class Certificate(_Named):
    """A server certificate with its key: PKCS#12 data as templates carry it, or files by override."""

    data: str | None = Field(default=None, repr=False, description="PKCS#12 (PFX), base64.")
    password: str | None = Field(default=None, repr=False, description="Password of `data` or of the private key.")
    key_vault_secret_id: str | None = Field(default=None, description="Cannot be fetched here: an override gives the files.")
    certificate_file: str | None = Field(
        default=None, description="PEM file, the certificate, then its intermediates; or PKCS#12 file with the key."
    )
    key_file: str | None = Field(default=None, description="PEM file of the private key; default: in `certificateFile`.")
    unavailable: str | None = Field(default=None, description="Why there is none of all that: handshakes that need it fail.")


class TrustedRoot(_Named):
    """A root certificate that backends are verified against."""

    data: str | None = Field(default=None, description="Base64 of a DER or PEM certificate.")
    key_vault_secret_id: str | None = None
    file: str | None = Field(default=None, description="PEM file with one or more certificates.")
    unavailable: str | None = Field(default=None, description="Why there is none: backends that are verified against it fail.")


class SslPolicy(_Model):
    """Versions and cipher suites that clients may use."""

    policy_type: Literal["Predefined", "Custom", "CustomV2"] = "Predefined"
    policy_name: str | None = Field(default=None, description="A predefined policy, such as `AppGwSslPolicy20220101S`.")
    min_protocol_version: Literal["TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"] | None = Field(default=None, description="Of a custom policy.")
    cipher_suites: tuple[str, ...] = Field(default=(), description="Of a custom policy, IANA names, the best first.")
    disabled_ssl_protocols: tuple[str, ...] = Field(default=(), description="The old way to say `minProtocolVersion`.")


class ClientAuthentication(_Model):
    """How certificates of clients are checked."""

    verify_client_auth_mode: Literal["Strict", "Passthrough"] = Field(default="Strict", description="`Passthrough` asks for a certificate, also without authorities to judge it by, and lets every client in; what was found is in the log and in `{var_client_certificate_verification}`.")
    verify_client_cert_issuer_dn: bool = Field(default=False, alias="verifyClientCertIssuerDN", description="The issuer must be the lowest authority of an uploaded chain.")
    verify_client_revocation: Literal["None", "OCSP"] = Field(default="None", description="`OCSP`: the issuer is asked whether a certificate was revoked, at the URL in the certificate; without a good answer the client gets 400. Not with `Passthrough`.")


class TrustedClientCertificate(_Named):
    """Certificate authorities that clients' certificates come from: a root, perhaps with intermediates."""

    data: str | None = Field(default=None, description="PEM, or that in base64.")
    file: str | None = Field(default=None, description="PEM file.")
    unavailable: str | None = Field(default=None, description="Why there is none: clients cannot be verified against it.")


class SslProfile(_Named):
    """What a listener asks of its clients in TLS."""

    ssl_policy: SslPolicy | None = Field(default=None, description="Instead of the gateway's.")
    trusted_client_certificates: tuple[str, ...] = Field(default=(), description="With any, clients need a certificate.")
    client_auth_configuration: ClientAuthentication = ClientAuthentication()


class ErrorPage(_Model):
    """A page that is sent instead of the gateway's own, with the same status.

    Only for errors that the gateway itself makes; what backends answer goes through as it is. Pages are loaded when the
    gateway starts, at most 1 MiB each; where one cannot be fetched, the gateway's own page is sent and the log says so.
    """

    status: Literal["400", "403", "404", "405", "408", "499", "500", "502", "503", "504"] = Field(description="Of the errors it is for; 499, of clients that have left, is never sent.")
    url: str | None = Field(default=None, description="HTML, fetched once at the start, `http://` or `https://`; also where the server says `text/plain`, `application/octet-stream` or nothing of its type.")
    file: str | None = Field(default=None, description="HTML file, instead of `url`; relative to the configuration.")


class HttpListener(_Spoken):
    """A port, a protocol and perhaps host names.

    A listener with the protocol `Tcp` or `Tls` passes the bytes of each connection on as they are; `Tls` ends TLS, and
    the server name that a client sends (SNI) chooses among listeners of a port by their `hostNames`. Its rule has a pool
    and settings with the protocol `Tcp` or `Tls`, and nothing else.
    """

    address: str = Field(default="", description="Address to bind; empty for all.")
    port: int = Field(ge=0, le=65535, description="Port to bind (after `--map-port`); 0 for any free one.")
    host_names: tuple[str, ...] = Field(default=(), description="Hosts it answers for, `*` and `?` allowed; empty: all.")
    certificates: tuple[str, ...] = Field(default=(), description="Names of certificates, the first is the default.")
    ssl_profile: str | None = Field(default=None, description="Name of a profile.")
    require_server_name_indication: bool = Field(default=False, description="Has no effect, as with Application Gateway v2: clients that send no name, or one that nobody has, get the certificate of the first listener.")
    middleware: tuple[Strategy, ...] = Field(default=(), description="Looks at the requests of this listener.")
    error_pages: tuple[ErrorPage, ...] = Field(default=(), description="For errors of this listener, before those of the gateway.")


class Member(_Model):
    """A member of a pool."""

    host: str = Field(min_length=1, description="Address or name.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default: the port of the settings.")
    weight: int = Field(default=1, ge=1, le=1000)
    priority: int = Field(default=0, ge=0, le=65535, description="0 is used first; for the selector `priority`.")
    connect_host: str | None = Field(default=None, description="Where to connect instead of `host` (`--map-backend`).")
    connect_port: int | None = Field(default=None, ge=1, le=65535)


class PassiveHealth(_Model):
    """Takes a member out for a while when real traffic finds it bad. Runs are signs in a row; 0 switches one off."""

    connect_failures: int = Field(default=5, ge=0, le=10000, description="Run of connections that could not be made; TLS included where `sniName`, `hostName` or `pickHostNameFromBackendAddress` says the name.")
    server_errors: int = Field(default=5, ge=0, le=10000, description="Run of answers with one of `serverErrorCodes`, late, broken or missing.")
    server_error_codes: tuple[str, ...] = Field(default=("500-599",), description="Codes or ranges `a-b`.")
    abnormal_closes: int = Field(default=5, ge=0, le=10000, description="Run of sessions that the backend ended with one of `abnormalCloseCodes`.")
    abnormal_close_codes: tuple[int, ...] = Field(default=(1006, 1011, 1012, 1013), description="1006 is an end without a close frame.")
    early_deaths: int = Field(default=3, ge=0, le=10000, description="Run of sessions that ended so within `earlySeconds`.")
    early_seconds: float = Field(default=10, ge=0, le=86400, description="Seconds after the handshake.")
    base_ejection_seconds: float = Field(default=30, gt=0, le=86400, description="Seconds that a member is out, times its ejections; one is forgotten for each such time without.")
    max_ejection_seconds: float = Field(default=300, gt=0, le=86400, description="Seconds that it is out at most.")
    max_ejected_percent: int = Field(default=50, ge=0, le=100, description="Share of the members that may be out, rounded up; the last one that is up stays in any case.")
    readmit: Literal["timer", "probe"] = Field(default="timer", description="`probe`: a good probe ends an ejection before its time.")


class Pool(_Named):
    """Backends that serve the same thing."""

    members: tuple[Member, ...] = ()
    selector: str = Field(default="round-robin", description="Name of a selector, or `module:object`.")
    selector_options: dict[str, object] = Field(default_factory=dict)
    passive_health: PassiveHealth | None = Field(default=None, description="`{}` for the defaults; off if not given.")
    discovery: Strategy | None = Field(default=None, description="Tells who the members are; default: those listed.")


class ConnectionDraining(_Model):
    enabled: bool = False
    drain_timeout_in_sec: int = Field(default=30, ge=1, le=3600, description="Seconds.")


class BackendSettings(_Spoken):
    """How the gateway speaks to the members of a pool. `Tcp` and `Tls` are for rules of listeners with one of these."""

    port: int = Field(default=80, ge=1, le=65535)
    request_timeout: int = Field(default=30, ge=1, le=86400, description="Seconds without an answer (504); also the idle limit of a WebSocket, and of a connection of a `Tcp` or `Tls` listener.")
    web_socket_idle_timeout: int | None = Field(default=None, ge=1, le=86400, description="Seconds; default: `requestTimeout`.")
    web_socket_compression: bool = Field(default=False, description="Where messages pass through filters: compress them (permessage-deflate) on each side that can.")
    connect_timeout: float = Field(default=5.0, gt=0, le=300, description="Seconds for TCP and TLS to a backend.")
    cookie_based_affinity: Literal["Enabled", "Disabled"] = "Disabled"
    affinity_cookie_name: str | None = None
    probe: str | None = Field(default=None, description="Name of a probe; without one the default probe runs.")
    host_name: str | None = Field(default=None, description="Host sent to the backend instead of the client's.")
    pick_host_name_from_backend_address: bool = False
    path: str | None = Field(default=None, description="Replaces the matched part of the path.")
    connection_draining: ConnectionDraining = ConnectionDraining()
    trusted_root_certificates: tuple[str, ...] = ()
    dedicated_backend_connection: bool = Field(default=False, description="Each client connection has backend connections of its own, and stays with its backend while that may be chosen (NTLM, Kerberos).")
    validate_cert_chain_and_expiry: bool = True
    validate_sni: bool = Field(default=True, alias="validateSNI")
    sni_name: str | None = None
    enable_l4_client_ip_preservation: bool = Field(default=False, description="`Tcp` and `Tls`: begin each backend connection with a PROXY protocol header (version 1), which says who the client is.")


class Match(_Model):
    status_codes: tuple[str, ...] = Field(default=("200-399",), description="Codes or ranges `a-b`.")
    body: str | None = Field(default=None, max_length=4090, description="A substring the body must contain.")


class Probe(_Spoken):
    """A health probe. Times in seconds. With the protocol `Tcp` or `Tls` its strategy is `tcp`, unless it has another."""

    strategy: str = Field(default="http", description="Name of a probe strategy, or `module:object`.")
    options: dict[str, object] = Field(default_factory=dict)
    host: str | None = Field(default=None, description="Host header and SNI; default 127.0.0.1.")
    path: str = Field(default="/", pattern="^/")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default: the port of the settings.")
    interval: float = Field(default=30, gt=0, le=86400)
    timeout: float = Field(default=30, gt=0, le=86400)
    unhealthy_threshold: int = Field(default=3, ge=1, le=20)
    pick_host_name_from_backend_http_settings: bool = False
    min_servers: int = Field(default=0, ge=0)
    enable_probe_proxy_protocol_header: bool = Field(default=False, description="`Tcp` and `Tls`: begin with a PROXY protocol header (`PROXY UNKNOWN`).")
    match: Match = Match()

    @model_validator(mode="before")
    @classmethod
    def _tcp(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("protocol") in ("Tcp", "Tls") and "strategy" not in value:
            return {**value, "strategy": "tcp"}
        return value


class Redirect(_Named):
    redirect_type: Literal["Permanent", "Found", "SeeOther", "Temporary"] = "Permanent"
    target_listener: str | None = None
    target_url: str | None = None
    include_path: bool = True
    include_query_string: bool = True


class Matcher(_Model):
    """Which values of a field are meant, where it is there several times."""

    pattern: str = Field(description="Regular expression (RE2), anywhere in the value.")
    ignore_case: bool = Field(default=False, description="Upper and lower case are the same.")
    negate: bool = Field(default=False, description="Those are meant in which the pattern is not found.")


class Condition(_Model):
    """What a request or response must be like."""

    variable: str = Field(min_length=1, description="`http_req_NAME`, `http_resp_NAME` or `var_NAME`.")
    pattern: str = Field(description="Regular expression (RE2), anywhere in the value; groups can be used as `{VARIABLE_1}`.")
    ignore_case: bool = Field(default=False, description="Upper and lower case are the same.")
    negate: bool = Field(default=False, description="It holds where the pattern is not found.")


class HeaderAction(_Model):
    """A header field that is set or deleted. Fields of the same name become one, also the cookies of a backend where no `matcher` says which of them is meant."""

    name: str = Field(min_length=1, max_length=256, description="Name of the field.")
    value: str = Field(default="", max_length=8192, description="Text with `{variables}` in it; empty: the field is deleted.")
    matcher: Matcher | None = Field(default=None, description="Only for `Set-Cookie` of responses: which of them; groups are `{capt_header_value_matcher_1}`.")


class UrlAction(_Model):
    """What the backend is asked for instead."""

    path: str | None = Field(default=None, max_length=8192, description="Text with `{variables}` in it; default: as it was.")
    query: str | None = Field(default=None, max_length=8192, description="The same for what follows the `?`; empty: no query.")
    reroute: bool = Field(default=False, description="Look for the path rule again, with the new path.")


class RewriteRule(_Named):
    """Changes requests and responses where all its conditions hold."""

    sequence: int = Field(default=100, ge=0, le=2147483647, description="Smaller ones come first, equal ones in the order listed.")
    conditions: tuple[Condition, ...] = Field(default=(), description="All have to hold; none: always.")
    request_headers: tuple[HeaderAction, ...] = Field(default=(), description="What changes in requests.")
    response_headers: tuple[HeaderAction, ...] = Field(default=(), description="What changes in responses of backends.")
    url: UrlAction | None = Field(default=None, description="What changes in the URL.")


class RewriteSet(_Named):
    """Rewrite rules that go together; a rule, a path rule or a path map names the set.

    Neither redirects nor the gateway's own error pages are rewritten.
    """

    rules: tuple[RewriteRule, ...] = Field(
        default=(), description="In the order of their `sequence`; each sees what those before it have made."
    )


class DistributionTarget(_Model):
    """One of the pools of a distribution."""

    pool: str
    weight: int = Field(default=1, ge=1, le=100, description="Share of each healthy member of the pool.")


class Distribution(_Named):
    """Several pools that share requests; a rule, a path rule or a path map names it instead of a pool.

    A client with an affinity cookie of one of them goes to that one, while the member may be chosen.
    """

    algorithm: Literal["RoundRobin", "LeastConnections", "IpHash"] = Field(default="RoundRobin", description="By weight in turn; the least busy for its weight; or always the same for an address.")
    targets: tuple[DistributionTarget, ...] = Field(default=(), description="The pools, with weights.")


class RoutingCondition(_Model):
    """What a request must be like."""

    type: Literal["Header", "QueryString", "Path", "ClientIP", "Method"] = Field(description="What is looked at.")
    name: str | None = Field(default=None, description="Of the field or the query parameter; only for those two types.")
    values: tuple[str, ...] = Field(default=(), description="It is one of these: text, paths (`/prefix*`), addresses or networks, methods.")
    matcher: Matcher | None = Field(default=None, description="Instead of `values`; not for `ClientIP` and `Method`.")


class ConditionSet(_Named):
    """Conditions that rules of routing maps name. All of them have to hold."""

    conditions: tuple[RoutingCondition, ...] = Field(default=(), description="At least one.")


class RoutingRule(_Named):
    """A rule of a routing map."""

    priority: int = Field(ge=1, le=20000, description="1 is tried first; unique in its map.")
    condition_set: str = Field(description="Name of a condition set.")
    pool: str | None = None
    settings: str | None = None
    redirect: str | None = None
    rewrite: str | None = None


class RoutingMap(_Named):
    """Routes by conditions on the request: the first rule whose conditions hold, else the default."""

    default_pool: str | None = None
    default_settings: str | None = None
    default_redirect: str | None = None
    default_rewrite: str | None = None
    rules: tuple[RoutingRule, ...] = Field(default=(), description="In the order of their `priority`.")


class PathRule(_Named):
    paths: tuple[str, ...]
    pool: str | None = None
    distribution: str | None = None
    settings: str | None = None
    redirect: str | None = None
    rewrite: str | None = None
    middleware: tuple[Strategy, ...] = Field(default=(), description="Comes after that of the rule.")
    filters: tuple[Strategy, ...] = Field(default=(), description="See and change WebSocket messages, in this order.")


class PathMap(_Named):
    default_pool: str | None = None
    default_distribution: str | None = None
    default_settings: str | None = None
    default_redirect: str | None = None
    default_rewrite: str | None = None
    path_rules: tuple[PathRule, ...] = ()


class Rule(_Named):
    """Ties a listener to a pool, a path map or a redirect."""

    listener: str
    priority: int | None = Field(default=None, ge=1, le=20000, description="1 is tried first.")
    pool: str | None = None
    distribution: str | None = None
    settings: str | None = None
    path_map: str | None = None
    routing_map: str | None = None
    redirect: str | None = None
    rewrite: str | None = None
    router: Strategy | None = Field(default=None, description="Decides before `pool`, `pathMap` or `redirect`, which it may leave requests to.")
    middleware: tuple[Strategy, ...] = Field(default=(), description="Comes after that of the listener.")
    filters: tuple[Strategy, ...] = Field(default=(), description="See and change WebSocket messages, in this order.")


class Limits(_Model):
    """Bounds on what a client may send and how long it may take."""

    max_head_bytes: int = Field(default=32768, ge=1024, le=1048576, description="Request line and fields together.")
    max_fields: int = Field(default=128, ge=8, le=1000)
    max_target_bytes: int = Field(default=16384, ge=256, le=1048576)
    max_body_bytes: int | None = Field(default=None, ge=0, description="413 above it; default: no limit.")
    request_buffer_bytes: int = Field(default=65536, ge=1, le=1048576, description="Bytes of a request body that are kept in memory with `enableRequestBuffering`; what is longer goes to a file.")
    request_buffer_file_bytes: int = Field(default=1073741824, ge=0, description="Bytes of request bodies in files, all of a process together. A body for which there is no room streams from there on; 0: no files.")
    request_buffer_directory: str | None = Field(default=None, min_length=1, description="Where these files are, an absolute path; default: where the system has temporary files. They have no names.")
    response_buffer_bytes: int = Field(default=262144, ge=1, le=67108864, description="Bytes of a response that are read ahead of a client with `enableResponseBuffering`; all clients of a process together: 64 MiB.")
    max_message_bytes: int | None = Field(default=None, ge=1, description="WebSocket message, close 1009 above it; default: no limit, and 16 MiB where messages pass through filters.")
    head_timeout: float = Field(default=60, gt=0, description="Seconds from the first byte to a complete head (408).")
    body_timeout: float = Field(default=60, gt=0, description="Seconds without a byte of the request body (408).")
    send_timeout: float = Field(default=60, gt=0, description="Seconds in which a client takes nothing of what is sent to it.")
    middleware_timeout: float | None = Field(default=None, gt=0, description="Seconds that middleware or a router may wait for somebody (500); default: `requestTimeout`, and 30 for routers.")
    keep_alive_timeout: float = Field(default=75, gt=0, description="Seconds an idle client connection is kept.")
    shutdown_timeout: float = Field(default=30, ge=0, description="Seconds that exchanges get to finish at SIGTERM.")
    trusted_proxies: tuple[str, ...] = Field(default=(), description="Networks whose X-Forwarded-* are believed.")
    max_connections: int | None = Field(default=None, ge=1, description="Client connections at a time, all listeners; further ones get 503. Default, and at most: what the file descriptors of a process are enough for.")
    plugin_failures: int = Field(default=20, ge=0, description="Failures in a row after which a plugin is switched off; 0: never.")
    plugin_pause: float = Field(default=30, gt=0, le=86400, description="Seconds until a plugin that was switched off is tried again, with one call.")
    plugin_budget: float = Field(default=0.1, gt=0, le=60, description="Seconds that a call of a plugin may keep all others waiting; what is above is counted and logged.")


class Resolver(_Model):
    """How the names of backends are looked up; see [discovery](discovery.md#members-that-are-names). Times in seconds."""

    nameservers: tuple[str, ...] = Field(default=(), description="Addresses, with `:port` if it is not 53; nobody else is asked then. Default: those of `/etc/resolv.conf`, and the system's resolver where they do not help.")
    least_interval: float = Field(default=1.0, ge=0.1, le=3600, description="For how long an answer is used at the least.")
    most_interval: float = Field(default=300.0, ge=0.1, le=86400, description="For how long at the most; between the two its TTL counts.")
    timeout: float = Field(default=2.0, gt=0, le=60, description="For how long the name servers are waited for.")


class GlobalConfiguration(_Model):
    """What holds for all requests."""

    enable_request_buffering: bool = Field(default=False, description="Wait for the whole body of a request before a backend is asked: in memory up to `limits.requestBufferBytes`, what is longer in a file. Who expects a 100 (Continue) gets it from the gateway, and a chunked body is sent with its length. Not given is off, other than in Azure.")
    enable_response_buffering: bool = Field(default=True, description="Read a response as fast as the backend sends it, up to `limits.responseBufferBytes` ahead of a client that is slow, so that it keeps no backend busy. Nothing waits for that: what the client takes is sent at once, also events (`text/event-stream`). What is longer streams from there on. Not given is on, as in Azure.")
    disable_default_server_header_in_response: bool = Field(default=False, description="Answers that the gateway makes itself have no Server field.")


INTERNAL = frozenset({"not_honoured"})
"""What a `Gateway` has that no document gives."""


class Gateway(_Model):
    """A whole gateway."""

    name: str = "gateway"
    listeners: tuple[HttpListener, ...] = ()
    rules: tuple[Rule, ...] = ()
    pools: tuple[Pool, ...] = ()
    settings: tuple[BackendSettings, ...] = ()
    probes: tuple[Probe, ...] = ()
    path_maps: tuple[PathMap, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[RewriteSet, ...] = ()
    routing_maps: tuple[RoutingMap, ...] = ()
    condition_sets: tuple[ConditionSet, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    error_pages: tuple[ErrorPage, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    trusted_roots: tuple[TrustedRoot, ...] = ()
    ssl_policy: SslPolicy | None = Field(default=None, description="Default: TLS 1.2 and 1.3 with forward secrecy.")
    ssl_profiles: tuple[SslProfile, ...] = ()
    trusted_client_certificates: tuple[TrustedClientCertificate, ...] = ()
    global_configuration: GlobalConfiguration = GlobalConfiguration()
    limits: Limits = Limits()
    resolver: Resolver = Resolver()
    middleware: tuple[Strategy, ...] = Field(default=(), description="Looks at every request, before that of listeners and rules.")
    observers: tuple[Strategy, ...] = Field(default=(), description="Are told how exchanges and sessions ended.")
    not_honoured: tuple[str, ...] = Field(default=(), description="What the document says and the gateway does not do, for the report.")
