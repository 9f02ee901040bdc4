"""Writes `middleware.md` from the options of the middleware: run ``python docs/make_middleware.py`` after changing them.

With ``--check`` nothing is written; the exit status is 1 where the page is not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_configuration import inner, table

from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN

PAGE = Path(__file__).with_name("middleware.md")
GROUP = "gateway.middleware"

# Name, traffic, in a sentence, example. In the order in which they are usually wanted. All read by the tests.
ENTRIES: tuple[tuple[str, str, str, str], ...] = (
    (
        "address", "http, upgrade", "Lets clients in by their address, or keeps them out (403).",
        "middleware:\n  - {strategy: address, options: {allow: [10.0.0.0/8, '2001:db8::/32'], deny: [10.9.0.0/16]}}",
    ),
    (
        "rate-limit", "http, upgrade", "Bounds the requests of each client (429 with Retry-After).",
        "middleware:\n  - {strategy: rate-limit, options: {requests: 100, per: 60, burst: 20}}\n"
        "  - {strategy: rate-limit, options: {requests: 5, key: 'header:X-Api-Key', traffic: [upgrade]}}",
    ),
    (
        "origin", "upgrade", "Lets only pages of these origins open WebSockets (403).",
        "middleware:\n  - {strategy: origin, options: {origins: ['https://app.example', 'https://*.app.example']}}",
    ),
    (
        "cors", "http", "Answers preflights and says which pages may read responses.",
        "middleware:\n  - strategy: cors\n    options: {origins: ['https://app.example'], methods: [GET, PUT, DELETE],\n"
        "              headers: [Content-Type, X-Token], credentials: true}",
    ),
    (
        "basic-auth", "http, upgrade", "Asks for a name and a password (401).",
        "middleware:\n  - {strategy: basic-auth, options: {realm: staff, file: /etc/gateway/users, userHeader: X-User}}",
    ),
    (
        "jwt", "http, upgrade", "Wants a JSON Web Token (401, 403); a session ends with its token (4401).",
        "middleware:\n  - strategy: jwt\n    options:\n      algorithms: [RS256, ES256]\n"
        "      jwksFile: /etc/gateway/keys.json\n      issuer: https://login.example\n      audience: [chat]\n"
        "      sources: [authorization, 'subprotocol:access_token', 'cookie:session']\n"
        "      claims: {roles: [member, admin]}\n      headers: {X-User: sub, X-Tenant: tenant.id}",
    ),
    (
        "forward-auth", "http, upgrade", "Asks a service about every request; its refusal is the client's answer.",
        "middleware:\n  - strategy: forward-auth\n    options: {url: 'http://127.0.0.1:4180/oauth2/auth', "
        "copyHeaders: [X-Auth-Request-User],\n              userHeader: X-Auth-Request-User}",
    ),
    (
        "headers", "http, upgrade", "Sets, adds and removes fields of requests and responses.",
        "middleware:\n  - strategy: headers\n    options:\n      request: {set: {X-Site: shop}, remove: [X-Debug]}\n"
        "      response: {set: {Cache-Control: no-store}, remove: [X-Runtime]}",
    ),
    (
        "security-headers", "http", "Tells browsers to be careful.",
        "middleware:\n  - strategy: security-headers\n"
        "    options: {hstsMaxAge: 31536000, contentSecurityPolicy: \"default-src 'self'\"}",
    ),
    (
        "compress", "http", "Compresses bodies with gzip for clients that take it.",
        "middleware:\n  - compress\n  - {strategy: compress, options: {types: ['text/*', application/json], level: 9}}",
    ),
)  # fmt: skip

NOTES = {
    "address": "Behind a proxy of `limits.trustedProxies` the address that the proxy names counts.",
    "rate-limit": "What is counted is kept in this process: with `--workers` each worker has its own buckets.",
    "origin": "Browsers send cookies along to whoever asks for a WebSocket (RFC 6455 §10.2); CORS does not apply to it. "
    "A wildcard stands for one or more labels.",
    "cors": "What the backend says of CORS itself is taken out.",
    "basic-auth": "Hashes: bcrypt (`htpasswd -nB ann`) or scrypt (`python -m gateway.middleware.passwords`). They are "
    "computed in threads, two at a time. Use it over HTTPS only.",
    "jwt": "The keys come from files, which are read again when they change. A token is taken out of the query, the cookie "
    "or the subprotocol before the request goes on, and one in the query is kept out of the access log. In a browser: "
    "`new WebSocket(url, ['access_token', token])` with the source `subprotocol:access_token`.",
    "forward-auth": "The service gets a GET with those of the client's fields that a backend would get (without those about the body), and "
    "`X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`. Connections to it are used again.",
    "headers": "What frames a message or belongs to the handshake cannot be set (Content-Length, Connection, "
    "Sec-WebSocket-Key …); `Host` is made from the settings.",
    "compress": "Left as they are: what is encoded already, parts (206) and `no-transform`. `Vary` is set "
    "and a strong `ETag` becomes weak. A page that shows a secret beside what its visitor typed should not be compressed "
    "(BREACH).",
}

INTRODUCTION = """# Middleware

*This page is made by `docs/make_middleware.py`.*

Requests pass through middleware on their way in, and responses on their way out. It is listed at four places, and a
request passes through them in this order, its response in the reverse one:

```yaml
listeners:
  - {name: web, port: 8080, middleware: [security-headers]}
pools:
  - {name: chat, backends: [127.0.0.1:9001]}
pathMaps:
  - name: by-path
    defaultPool: chat
    pathRules:
      - {paths: [/api/*], pool: chat, middleware: [{strategy: rate-limit, options: {requests: 10}}]}
rules:
  - {listener: web, pathMap: by-path, middleware: [compress]}
middleware:
  - {strategy: address, options: {deny: [192.0.2.0/24]}}
```

First that of the gateway, then of the listener, of the rule, of the path rule. Each entry is a name, or a mapping of
`strategy` and `options`; `gatewayctl check` checks both. Where nothing is listed nothing is asked, and a request costs
what it did.

* Each says which traffic it is for: `http`, plain requests, or `upgrade`, WebSocket handshakes. A request for any other
  upgrade is for both, because a server may ignore it and answer as usual. Where a backend answers a WebSocket handshake
  with 2xx, and there is middleware for `http` only, which has not seen it, the client gets 400 instead.
* Answers that the gateway gives itself pass through it too: redirects, 502, 504, and what a middleware further in
  answered. Not those to a request that no rule is for (400, 404).
* One that waits for somebody holds the client's body meanwhile. `limits.middlewareTimeout` bounds it (500), and it is
  given up when the client leaves.
* One that fails costs one request (500), and is switched off for a while if it fails again and again. It never lets a
  request pass because it failed, unless `optional: true` stands beside its name: see [Plugins](plugins.md).

Put what refuses cheaply first: addresses and rate limits, then authentication, then what changes heads, `compress` last.

| Name | Traffic | What it does |
|---|---|---|
"""

OWN = """## One of your own

An object with `traffic` and three methods, and a factory for it. `Middleware` does nothing in each of them, so override
what you need; see `IMiddleware` in `gateway/interfaces.py` for what they may return.

```python
from gateway.http.changes import with_fields
from gateway.middleware.base import HTTP, Factory, Middleware


class Stamp(Middleware):
    traffic = HTTP

    def __init__(self, options, services):
        self.clock = services.clock

    def request(self, head, context):
        context.notes[self] = context.clock()

    def response(self, head, context):
        seconds = context.clock() - context.notes[self]
        return with_fields(head, set=[("Server-Timing", f"gateway;dur={seconds * 1000:.1f}")])


factory = Factory("stamp", None, Stamp)
```

In a module `stamping` that can be imported it is used as `middleware: ["stamping:factory"]`; a distribution names it as
an entry point of the group `gateway.middleware`.
"""


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    assert {name for name, *_ in ENTRIES} == set(BUILT_IN[GROUP]), "an entry for each, no more"
    rows = [f"| [`{name}`](#{name}) | {traffic} | {what} |" for name, traffic, what, _ in ENTRIES]
    return INTRODUCTION + "\n".join(rows) + "\n\n" + "\n".join([section(*entry) for entry in ENTRIES]) + "\n" + OWN


def section(name: str, traffic: str, what: str, example: str) -> str:
    """One middleware: what it does, an example, its options."""
    options = Factories().find(GROUP, name).factory.options
    text = f"## `{name}`\n\n{what} For: {traffic}. {NOTES.get(name, '')}".rstrip()
    text += f"\n\n```yaml\n{example}\n```\n\n{table(options)}"
    for field_name, field in options.model_fields.items():
        nested = inner(field)
        if nested is not None and field_name == "request":
            text += f"\n`request` and `response`:\n\n{table(nested)}"
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
