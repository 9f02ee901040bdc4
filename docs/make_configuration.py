"""Writes `configuration.md` from the configuration model: run ``python docs/make_configuration.py`` after changing it.

With ``--check`` nothing is written; the exit status is 1 where the page is not up to date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.config import arm_tables, model
from gateway.config.compact import SYNONYMS
from gateway.config.options import CONFIGURATION_OPTIONS
from gateway.config.overrides_file import CertificateOverride, OverridesFile
from gateway.config.problems import describe, unwrap
from gateway.health.tcp_probe import TcpOptions
from gateway.health.websocket_probe import WebSocketOptions

PAGE = Path(__file__).with_name("configuration.md")

# One example for each section, read by the tests.
EXAMPLES = {
    "listeners": "listeners:\n  - {name: web, port: 8080}\n  - {name: shop, port: 8081, hostNames: "
    "[shop.test, '*.shop.test']}\n  - {name: queue, port: 5672, protocol: Tcp}",
    "pools": "pools:\n  - name: chat\n    backends: [10.0.0.4:9001, {host: 10.0.0.5, port: 9001, weight: "
    "3}]\n    selector: least-connections\n    passiveHealth: {serverErrors: 10, readmit: probe}",
    "settings": "settings:\n  - {name: chat, requestTimeout: 60, webSocketIdleTimeout: 3600, probe: health}\n"
    "  - {name: queue, protocol: Tcp, port: 5672, requestTimeout: 900, enableL4ClientIpPreservation: true}",
    "probes": "probes:\n  - {name: health, path: /health, interval: 5, timeout: 2, match: {statusCodes: [200-299]}}\n"
    "  - {name: chat, strategy: websocket, path: /chat, interval: 5, timeout: 4, "
    "options: {subprotocol: chat, pongTimeout: 2}}",
    "rules": "rules:\n  - {listener: web, pool: chat, settings: chat, rewrite: tidy}\n"
    "  - {listener: shop, pathMap: by-path}\n  - {listener: queue, pool: chat, settings: queue}",
    "path_maps": (
        "pathMaps:\n  - name: by-path\n    defaultPool: chat\n    defaultSettings: chat\n"
        "    pathRules:\n      - {paths: [/old/*], redirect: moved}"
    ),
    "redirects": "redirects:\n  - {name: moved, redirectType: Permanent, targetUrl: 'https://shop.test/'}",
    "rewrites": (
        "rewrites:\n  - name: tidy\n    rules:\n      - sequence: 100\n        conditions:\n"
        "          - {variable: var_uri_path, pattern: '^/shop/([a-z]+)/([0-9]+)$'}\n"
        "        requestHeaders:\n"
        "          - {name: X-Forwarded-For, value: '{var_add_x_forwarded_for_proxy}'}\n"
        "        url: {path: /item, query: 'kind={var_uri_path_1}&id={var_uri_path_2}'}\n"
        "      - sequence: 200\n        responseHeaders:\n"
        "          - {name: Server, value: ''}\n"
        "          - name: Set-Cookie\n            value: '{capt_header_value_matcher_1}; Secure'\n"
        "            matcher: {pattern: '^(session=.*)'}"
    ),
    "routing_maps": (
        "routingMaps:\n  - name: by-kind\n    defaultPool: chat\n    rules:\n"
        "      - {priority: 10, conditionSet: beta-testers, pool: chat}"
    ),
    "condition_sets": (
        "conditionSets:\n  - name: beta-testers\n    conditions:\n"
        "      - {type: Header, name: X-Beta, values: [yes, 'true']}\n"
        "      - {type: QueryString, name: version, matcher: {pattern: '^2[.]'}}\n"
        "      - {type: Path, values: [/api/*]}\n"
        "      - {type: ClientIP, values: [10.0.0.0/8, '::1']}\n"
        "      - {type: Method, values: [GET, HEAD]}"
    ),
    "distributions": (
        "distributions:\n  - {name: canary, algorithm: RoundRobin, targets: [{pool: chat, weight: 100}]}"
    ),
    "error_pages": "errorPages:\n  - {status: 502, file: sorry.html}",
    "certificates": "certificates:\n  - {name: site, certificateFile: site.pem, keyFile: site.key}",
    "trusted_roots": "trustedRoots:\n  - {name: internal, file: internal.pem}",
    "global_configuration": "globalConfiguration: {enableRequestBuffering: true}",
    "resolver": "resolver: {nameservers: [10.0.0.2], mostInterval: 60}",
    "limits": "limits: {maxHeadBytes: 65536, maxMessageBytes: 1048576}",
}

# Strategies of the gateway itself that take options, by section: words, and the class of the options.
STRATEGIES: dict[str, list[tuple[str, str, type[BaseModel] | None]]] = {
    "probes": [
        (
            "`http`",
            "One GET for `path`; `match` says which answers are healthy. With the protocol Https over TLS, as all "
            "strategies are. It takes no options.",
            None,
        ),
        ("`tcp`", "A connection that can be made, and an answer that is as expected.", TcpOptions),
        (
            "`websocket`",
            "A session as a client opens it, to `path`: a handshake with a random key whose answer is checked, a ping "
            "that has to come back, a message if wanted, and a close frame. For backends without a page that answers "
            "200.",
            WebSocketOptions,
        ),
    ],
}

# What goes without saying in the model, said once for all.
MEANINGS = {
    "name": "What others call it by; unique, whatever the case.",
    "listener": "Name of a listener.",
    "pool": "Name of a pool.",
    "settings": "Name of settings; `default` where there is a pool and none is named.",
    "redirect": "Name of a redirect, instead of a pool.",
    "path_map": "Name of a path map, instead of a pool.",
    "default_pool": "Name of the pool where no path rule matches.",
    "default_settings": "Name of its settings.",
    "default_redirect": "Name of a redirect, instead of a pool.",
    "distribution": "Name of a distribution, instead of a pool.",
    "default_distribution": "Name of a distribution, instead of a pool.",
    "routing_map": "Name of a routing map, instead of a pool.",
    "rewrite": "Name of a rewrite set.",
    "default_rewrite": "Name of the rewrite set where no path rule matches.",
    "paths": "Patterns, tried in the order listed: `/exact`, or `/prefix*`.",
    "protocol": "`Http` or `Https`; WebSocket works over both.",
    "weight": "Relative share.",
    "probe": "Name of a probe; without one the default probe runs.",
    "trusted_root_certificates": "Names of trusted roots; without any, the system's.",
    "target_listener": "Name of a listener: its scheme, host and port.",
    "target_url": "An absolute URL, instead of a listener.",
    "key_vault_secret_id": "Cannot be fetched here: an override gives the files.",
}

INTRODUCTION = """# Configuration

*This page is made from the model by `docs/make_configuration.py`.*

One model has three spellings; `gatewayctl check FILE` reads them all and says everything that is wrong with one, with
path and line. `gatewayctl explain GET http://shop.test/path FILE` says where a request would go and why, with
`-H 'Name: value'` and `--from ADDRESS`; `gatewayctl explain tls://db.test:5432 FILE` (or `tcp://…`)
says the same of a connection. `gatewayctl convert FILE` prints the same configuration in the second,
passwords and certificates included.

* **ARM JSON**: a template with `--parameters FILE`, an exported resource (`az network application-gateway show` or
  `list`, an answer of the REST interface), or its bare `properties`. Comments, trailing commas, keys and enum values in
  any case, and stray characters after ids are taken. See [ARM templates](#arm-templates).
* **Compact YAML** (or the same as JSON): the names below, references by name, defaults for the rest.
* **Options**: `--listen tcp:8080 --backend http://127.0.0.1:9001`, for one listener and one pool without any file.
  Its probe asks for `/` and takes every answer below 500 for healthy, for there is no place to name a health page.

```yaml
listeners:
  - {name: web, port: 8080}
pools:
  - {name: chat, backends: [127.0.0.1:9001, 127.0.0.1:9002]}
rules:
  - {listener: web, pool: chat}
```

What the compact spelling adds to the tables: a backend may be `host`, `host:port`, `[::1]:port`, `http://host:port` or
`https://host:port`; one word may stand where a list of words is meant; names of rules and path rules may be left out;
`settings` may be one mapping, which is then the default; settings may be written where they are used; a rule that names
none gets those called `default`, which are made if they are not there.
"""

# What `var_NAME` is in rewrite rules, by name; a test compares it with those that there are.
VARIABLES = {
    "add_x_forwarded_for_proxy": "X-Forwarded-For as it was, if who sent it is trusted, with `client_ip` behind it.",
    "ciphers_supported": "The cipher suites that the client has offered, in its order: OpenSSL's names with `:` "
    "between them, `0x` and four digits where there is no name. Also for sessions that are resumed. A reload that "
    "brings the first rule with it holds for connections that begin afterwards.",
    "ciphers_used": "The suite that was agreed on, OpenSSL's name.",
    "client_certificate": "What the client has shown: PEM, percent-encoded.",
    "client_certificate_end_date": "When it ends: `Nov 21 21:06:13 2026 GMT`.",
    "client_certificate_fingerprint": "SHA-1 of it, in hex.",
    "client_certificate_issuer": "The name of who has issued it (RFC 4514).",
    "client_certificate_serial": "Its serial number, in hex.",
    "client_certificate_start_date": "When it begins.",
    "client_certificate_subject": "Whose it is (RFC 4514).",
    "client_certificate_verification": "`SUCCESS`, `FAILED:reason` or `NONE`.",
    "client_ip": "The address at the other end of the connection.",
    "client_port": "Its port.",
    "client_tcp_rtt": "Microseconds to the client and back (Linux).",
    "client_user": "The user name of Basic authentication, not verified.",
    "cookie_NAME": "The value of that cookie.",
    "host": "The host that was asked for, without port, in lower case.",
    "http_method": "The method.",
    "http_status": "The status of the response.",
    "http_version": "`HTTP/1.0` or `HTTP/1.1`.",
    "query_string": "What follows the `?` of the URL.",
    "received_bytes": "Bytes of the request that had been received.",
    "request_query": "As `query_string`.",
    "request_scheme": "`http` or `https`.",
    "request_uri": "Path and query as they were sent.",
    "sent_bytes": "Always 0: nothing has been sent when rewrites are done.",
    "server_port": "The port that the client has connected to.",
    "ssl_connection_protocol": "`TLSv1.2` or `TLSv1.3`.",
    "ssl_enabled": "`On` with TLS.",
    "uri_path": "The path in one spelling: decoded once, without dot segments and repeated slashes, encoded again. "
    "Where a condition depends on which server reads its dot segments, the answer is 400.",
}

HEALTH = """## The health of backends

`GET /backendhealth` of the admin port answers in the shape of Application Gateway's request of that name:
`backendAddressPools`, in each `backendHttpSettingsCollection`, in each `servers` with `address`, `health` and
`healthProbeLog`. Subscription and resource group of the ids are stand-ins.

| `health` | Meaning |
|---|---|
| `Unknown` | no probe has come back yet |
| `Up` | its probes find it healthy |
| `Down` | its probes do not, or its traffic has ejected it |
| `Partial` | its probes fail, and `minServers` keeps it in the pool |
| `Draining` | no new requests, those in progress finish |

`POST /getBackendHealthOnDemand` probes the members of a pool now and changes nothing. The body is JSON
(`Content-Type: application/json`, at most 16 KiB):

```json
{"backendAddressPool": "chat", "backendHttpSettings": "chat", "path": "/health", "match": {"statusCodes": ["200"]}}
```

Pool and settings, names or `{"id": …}`, must be used together by a rule; other hosts are not probed. `protocol`,
`host`, `path`, `timeout` (at most 60 seconds), `match` and `pickHostNameFromBackendHttpSettings` replace what the probe
of the settings says. Four such requests are answered at a time, others get 503. Requests of web pages from other
origins get 403.
"""

ARM = """## ARM templates

`resources` are searched for an Application Gateway: conditions, copy loops, symbolic names and nested deployments are
followed, also when the template stands inside of something else (a deployment's request, a blueprint, a template
spec). Of linked templates those are read that are files beside it: a `relativePath`, or a `uri` made from
`deployment().properties.templateLink.uri`; nothing is fetched.

Only what the gateway uses is evaluated, in objects only the members that are asked for. `reference()` is answered
where the template itself says it: outputs of a deployment in the same file, a property that a resource sets.
`uniqueString()`, `guid()` and `utcNow()` give stand-ins that never change. Of several gateways the first is read; the
others are named, and overrides `gateway: NAME` choose one. One whose `condition` is false is read where there is no
other. Values of secure parameters, and what functions make of them, are not shown by `check` and `explain` (but for
texts of fewer than six characters); values of parameters are held against what the template allows.
Expressions that ask for too much work or room are refused, with the place.

Text in brackets is an expression; `[[0-9]` is the text `[0-9]`. A gateway that Azure has answered with, which has an
`etag` or a `provisioningState`, is taken literally.

Templates are read as they stand in repositories, so what is missing does not stop the start. Each is a warning that
names the place, what is done instead, and the override that settles it; `gatewayctl check --strict` takes warnings for
errors. In one's own compact YAML all of this is an error.

* A value that only a deployment has (`reference()`, `listKeys()`, a parameter without value, name, location and tags
  of the resource group, ids of subscription and tenant): where only a name or an id is made from it, nothing is
  needed. Else:
    * the address of a member, the host name of a listener, of settings or of a probe is a name under `.invalid` that
      says what it stands for; such a member is down, and `--map-backend` can map it;
    * a listener whose port or protocol is not known is left out with its rule, and so is a path rule whose paths are
      not known; the same goes for a rewrite rule with such a condition, a header action, an error page, a condition
      set with its routing rules, and a target of a distribution;
    * what leads to settings whose port, protocol or path is not known answers 502, and so does a redirect whose target
      is not known; instead of a probe whose protocol, path or port is not known there is the default probe;
    * other values are as if they were not given.
* A certificate in a Key Vault, or with a placeholder instead of data: HTTPS handshakes that need it fail, and backends
  that are verified against such a root are down; clients with certificates of such an authority get 400.
* An id that names nothing: what leads to that pool, settings, redirect or path map answers 502, a rule without its
  listener is left out, settings without their probe have the default one, a certificate or root is as above; a profile
  trusts no client. Overrides for a pool, settings, a probe, a certificate or a trusted root of that name make it.
* No listeners or no rules: nothing is served but the admin port.

`httpListeners` and `listeners`, `backendHttpSettingsCollection` and `backendSettingsCollection`, `requestRoutingRules`
and `routingRules` are one list each here. An object for connections that has the name of one for requests gets
` (layer 4)` behind its name.

Two listeners that differ only in their frontend address (public and private) cannot both be bound on one machine: the
first is kept, the other is named in the report. `--map-port LISTENER=PORT` gives the second a port of its own.

### What is accepted but not honoured

Each is named by `gatewayctl check` and in the log at the start.

| Member | What happens instead |
|---|---|
"""


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## The gateway\n\n" + table(model.Gateway, {"not_honoured"})]
    for name, field in model.Gateway.model_fields.items():
        cls = inner(field)
        if cls is not None:
            parts.append(section(f"## `{field.alias}`", cls, EXAMPLES.get(name)))
            parts.extend(strategy(*item) for item in STRATEGIES.get(name, ()))
            if name == "rewrites":
                parts.append(variables())
    parts.append(HEALTH)
    parts.append(ARM + "\n".join(not_honoured()) + "\n")
    parts.append(overrides())
    return "\n".join(parts)


def section(title: str, cls: type[BaseModel], example: str | None) -> str:
    """One class: its words, its keys, an example, then the classes inside it."""
    text = f"{title}\n\n{inspect.cleandoc(cls.__doc__ or '')}\n\n{table(cls)}"
    if example:
        text += f"\n```yaml\n{example}\n```\n"
    for name, field in cls.model_fields.items():
        nested = inner(field)
        if nested is not None:
            key = spelled(cls, name, field)
            text += "\n" + section(f"### `{key.split('` or `')[0]}` of {cls.__name__}", nested, None)
    return text


def strategy(word: str, text: str, options: type[BaseModel] | None) -> str:
    """A strategy of the gateway itself, with its options."""
    if options is None:
        return f"### The strategy {word}\n\n{text}\n"
    return f"### The strategy {word}\n\n{text} {inspect.cleandoc(options.__doc__ or '')}\n\n{table(options)}"


def variables() -> str:
    """The server variables."""
    rows = "".join(f"| `var_{name}` | {meaning} |\n" for name, meaning in VARIABLES.items())
    return (
        "### Server variables\n\nIn `variable` of conditions, and in braces in values. Empty where "
        f"there is nothing to say.\n\n| Variable | What it is |\n|---|---|\n{rows}"
    )


def inner(field: FieldInfo) -> type[BaseModel] | None:
    """The model class that a field, or each item of it, is."""
    annotation = unwrap(field.annotation)
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def spelled(cls: type[BaseModel], name: str, field: FieldInfo) -> str:
    others = [key for key, target in SYNONYMS.get(cls, {}).items() if target == name and key == "backends"]
    return "` or `".join([*others, field.alias or name])


def table(cls: type[BaseModel], hidden: set[str] | None = None) -> str:
    """The keys of a class: type and range, default, meaning."""
    lines = ["| Key | Takes | Default | Meaning |", "|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        if name not in (hidden or set()):
            # What is a name elsewhere may be the things themselves here.
            known = "" if inner(field) is not None else MEANINGS.get(name, "")
            meaning = (field.description or known).replace("|", "\\|")
            lines.append(f"| `{spelled(cls, name, field)}` | {describe(field)} | {default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def default(field: FieldInfo) -> str:
    """The default as the document would spell it; empty where there is none."""
    value: Any = field.default
    if field.is_required():
        return "*required*"
    if value is PydanticUndefined or value is None or value in ((), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`" if value != "" else ""


def not_honoured() -> list[str]:
    known = {**arm_tables.NOT_HONOURED, **arm_tables.TOP_NOT_HONOURED}
    known |= {"backendipconfigurations": arm_tables.CARDS}
    rows = {arm_tables.SPELLING.get(key, key): what for key, what in known.items()}
    return [f"| `{key}` | {rows[key]} |" for key in sorted(rows, key=str.casefold)]


def overrides() -> str:
    options = "\n".join(
        f"| `--{item.name} {item.metavar}` | {'any number of times' if item.repeated else 'once'} | {item.help} |"
        for item in CONFIGURATION_OPTIONS
    )
    example = (
        "ports: {80: 8080, 443: 8443}\nbackends: {10.0.0.4: '127.0.0.1:9001'}\npools: {web: ['127.0.0.1:9002']}\n"
        "certificates:\n  site: {certificateFile: site.pem, keyFile: site.key}\n"
        "references: {my-site: my-site.test}\nparameters: {environment: test}\n"
        "settings: {chat: {protocol: Http, port: 9001}}\nprobes: {health: {protocol: Http}}\n"
        "errorPages: {'https://site.test/sorry.html': sorry.html}\ngateway: gw-01"
    )
    extras = (
        "pools:\n  chat:\n    selector: least-connections\n    passiveHealth: {connectFailures: 2}\n"
        "rules:\n  chat-rule:\n    middleware: [{strategy: origin, options: {origins: ['https://chat.test']}}]\n"
        "pathRules:\n  main-map/feed: {filters: [{strategy: size-limit, options: {maxBytes: 65536}}]}\n"
        "middleware: [security-headers]\nlimits: {maxConnections: 10000}"
    )
    return (
        "## Overrides\n\nWhat a template made for the cloud needs on another machine, as options or as a file (YAML or "
        "JSON). Options win over the file.\n\n"
        f"| Option | | Meaning |\n|---|---|---|\n{options}\n\n### The overrides file\n\n{table(OverridesFile)}\n"
        f"```yaml\n{example}\n```\n\nWhat templates cannot say is said here: `listeners`, `rules`, `pathRules`, "
        "`pools`, `settings` and `probes` take every key that the compact spelling has for such an object, by its name "
        "in the template, and `middleware`, `observers`, `limits` and `resolver` are those of the gateway. Lists "
        "replace lists.\n\n"
        f"```yaml\n{extras}\n```\n\n"
        "A key of `references` is an expression of the template, or the name or id of the "
        "resource that one asks for: `{\"variables('deploy')\": true}`, `{my-site: {defaultHostName: my-site.test}}`, "
        "`{'resourceGroup().location': westeurope}`, `{'resourceGroup().tags.env': test}`. "
        "A word stands for any member of the resource.\n\n### `certificates` of the overrides file\n\n"
        f"{inspect.cleandoc(CertificateOverride.__doc__ or '')}\n\n{table(CertificateOverride)}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
