"""What must hold between the objects of a configuration, and what is legal but will hurt.

Works on the model alone; `findings` gives locations in the model, `check` the same as `Problem`.  Rules are those that
Application Gateway enforces itself (reference: "Server-side validation rules", "Listener selection", "Path maps").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from gateway.config.check_layer4 import layer4_findings
from gateway.config.check_texts import text_findings
from gateway.config.check_tls import tls_findings
from gateway.config.draft import Draft, place_of
from gateway.config.error_page_checks import error_page_findings
from gateway.config.findings import Finding, warning
from gateway.config.hosts import clash_of
from gateway.config.kinds import ONE
from gateway.config.lints import lints
from gateway.config.model import (
    Certificate,
    Gateway,
    HttpListener,
    PathMap,
    PathRule,
    Redirect,
    RoutingMap,
    Rule,
    TrustedRoot,
)
from gateway.config.rewrite_checks import rewrite_findings
from gateway.config.routing_checks import routing_findings
from gateway.config.texts import name_server
from gateway.config.tree import Place, nearest
from gateway.errors import Problem

__all__ = ["Finding", "check", "findings"]

_CODES = re.compile(r"\s*([1-9]\d\d)\s*(?:-\s*([1-9]\d\d)\s*)?\Z")
_PING = 20


def check(gateway: Gateway) -> list[Problem]:
    """All problems of a configuration, with paths in the model's own (compact) spelling."""
    root = Draft(Place(""))
    return [place_of(root, item.location).problem(item.message, item.severity) for item in findings(gateway)]


def findings(gateway: Gateway, may_lack: Collection[str] = ()) -> list[Finding]:
    """All problems of a configuration, errors and warnings.

    ``may_lack``: ``listeners`` and ``rules``, where it is no error that there are none.
    """
    return _Checker(gateway, may_lack).run()


class _Checker:
    def __init__(self, gateway: Gateway, may_lack: Collection[str]) -> None:
        self._gateway = gateway
        self._may_lack = may_lack
        self._found: list[Finding] = []
        self._used: set[tuple[str, str]] = set()
        self._names = {
            kind: {item.name for item in getattr(gateway, kind)}
            for kind in (
                "listeners",
                "pools",
                "settings",
                "probes",
                "path_maps",
                "redirects",
                "rewrites",
                "routing_maps",
                "condition_sets",
                "distributions",
                "certificates",
                "trusted_roots",
                "ssl_profiles",
                "trusted_client_certificates",
            )
        }

    def _error(self, location: tuple[str | int, ...], message: str) -> None:
        self._found.append(Finding(location, message))

    def _warn(self, location: tuple[str | int, ...], message: str) -> None:
        self._found.append(warning(location, message))

    def run(self) -> list[Finding]:
        self._unique()
        self._found.extend(text_findings(self._gateway))
        self._rules()
        for index, path_map in enumerate(self._gateway.path_maps):
            self._path_map(("path_maps", index), path_map)
        for index, routing_map in enumerate(self._gateway.routing_maps):
            self._routing_map(("routing_maps", index), routing_map)
        for index, distribution in enumerate(self._gateway.distributions):
            for number, target in enumerate(distribution.targets):
                self._refer(("distributions", index, "targets", number, "pool"), "pools", target.pool)
        self._redirects()
        self._settings()
        self._probes()
        for index, listener in enumerate(self._gateway.listeners):
            self._listener(("listeners", index), listener)
        self._ports()
        self._certificates()
        for location, message, severity in tls_findings(self._gateway, self._refer):
            self._found.append(Finding(location, message, severity))
        for find in (rewrite_findings, routing_findings, error_page_findings):
            self._found.extend(find(self._gateway))
        for location, message, severity in layer4_findings(self._gateway):
            self._found.append(Finding(location, message, severity))
        self._limits()
        self._resolver()
        self._unused()
        self._found.extend(lints(self._gateway))
        return self._found

    # names

    def _unique(self) -> None:
        for kind in (*self._names, "rules"):
            first: dict[str, int] = {}
            for index, item in enumerate(getattr(self._gateway, kind)):
                key = item.name.casefold()
                if key in first:
                    self._error(
                        (kind, index, "name"),
                        f"the name {item.name!r} is there twice; names are unique regardless of case",
                    )
                first.setdefault(key, index)

    def _refer(self, location: tuple[str | int, ...], kind: str, name: str | None) -> bool:
        """Note a reference; say what exists if it points nowhere."""
        if name is None:
            return False
        self._used.add((kind, name))
        if name in self._names[kind]:
            return True
        known = sorted(self._names[kind])
        close = nearest(name, known)
        listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        hint = f"; did you mean {close!r}?" if close else ""
        message = f"there is no {ONE[kind]} {name!r}{hint} " + (
            f"(there are: {listed})" if known else "(there are none)"
        )
        self._found.append(Finding(location, message, "error", kind, "" if close else name))
        return False

    # rules, path maps, redirects

    def _rules(self) -> None:
        rules = self._gateway.rules
        owners: dict[str, Rule] = {}
        priorities: dict[int, Rule] = {}
        with_priority = [rule for rule in rules if rule.priority is not None]
        for index, rule in enumerate(rules):
            at = ("rules", index)
            self._refer((*at, "listener"), "listeners", rule.listener)
            if rule.listener in owners and rule.listener in self._names["listeners"]:
                self._error(
                    (*at, "listener"),
                    f"listener {rule.listener!r} already belongs to rule {owners[rule.listener].name!r}; a "
                    "listener has one rule",
                )
            owners.setdefault(rule.listener, rule)
            if rule.priority is None and with_priority:
                self._error(
                    at,
                    f"rule {rule.name!r} has no priority but rule {with_priority[0].name!r} has; give one to all "
                    "rules or to none",
                )
            elif rule.priority is not None:
                if rule.priority in priorities:
                    self._error(
                        (*at, "priority"),
                        f"priority {rule.priority} is also that of rule {priorities[rule.priority].name!r}; "
                        "priorities are unique",
                    )
                priorities.setdefault(rule.priority, rule)
            self._refer((*at, "path_map"), "path_maps", rule.path_map)
            self._refer((*at, "routing_map"), "routing_maps", rule.routing_map)
            if rule.router is not None:
                # Its options are its own; names of pools and settings in them count as used.
                words = set(_words(rule.router.options))
                self._used |= {(kind, word) for kind in ("pools", "settings") for word in words}
            self._target(at, rule, f"rule {rule.name!r}", rule.pool, rule.settings, rule.redirect)
            self._refer((*at, "rewrite"), "rewrites", rule.rewrite)

    def _target(
        self,
        at: tuple[str | int, ...],
        owner: Any,
        title: str,
        pool: str | None,
        settings: str | None,
        redirect: str | None,
        prefix: str = "",
    ) -> None:
        """A rule, path rule or default leads to exactly one thing."""
        self._refer((*at, prefix + "pool"), "pools", pool)
        self._refer((*at, prefix + "settings"), "settings", settings)
        self._refer((*at, prefix + "redirect"), "redirects", redirect)
        distribution = getattr(owner, f"{prefix}distribution", None)
        self._refer((*at, f"{prefix}distribution"), "distributions", distribution)
        ways = (
            ("pool", pool),
            ("distribution", distribution),
            ("redirect", redirect),
            ("path map", getattr(owner, "path_map", None)),
            ("routing map", getattr(owner, "routing_map", None)),
        )
        given = [word for word, value in ways if value is not None]
        if len(given) > 1:
            self._error(at, f"{title} has a {' and a '.join(given)}; it leads to one of them only")
        elif not given and not (isinstance(owner, Rule) and owner.router is not None):
            extra = " or a path map" if isinstance(owner, Rule) else ""
            what = "default pool, or a default redirect" if prefix else f"pool, a redirect{extra}"
            self._error(at, f"{title} leads nowhere; give it a {what}")
        elif (pool or distribution) is not None and settings is None:
            self._error(
                at, f"{title} has a {given[0]} but no settings; give it {'defaultSettings' if prefix else 'settings'}"
            )

    def _path_map(self, at: tuple[str | int, ...], path_map: PathMap) -> None:
        self._target(
            at,
            path_map,
            f"path map {path_map.name!r}",
            path_map.default_pool,
            path_map.default_settings,
            path_map.default_redirect,
            "default_",
        )
        self._refer((*at, "default_rewrite"), "rewrites", path_map.default_rewrite)
        seen: list[tuple[str, str]] = []
        names: set[str] = set()
        for index, rule in enumerate(path_map.path_rules):
            here = (*at, "path_rules", index)
            if rule.name.casefold() in names:
                self._error((*here, "name"), f"path rule {rule.name!r} is there twice in path map {path_map.name!r}")
            names.add(rule.name.casefold())
            self._target(here, rule, f"path rule {rule.name!r}", rule.pool, rule.settings, rule.redirect)
            self._refer((*here, "rewrite"), "rewrites", rule.rewrite)
            self._paths(here, rule, seen)

    def _routing_map(self, at: tuple[str | int, ...], routing_map: RoutingMap) -> None:
        name, pool, settings = routing_map.name, routing_map.default_pool, routing_map.default_settings
        self._target(
            at, routing_map, f"routing map {name!r}", pool, settings, routing_map.default_redirect, "default_"
        )
        self._refer((*at, "default_rewrite"), "rewrites", routing_map.default_rewrite)
        for index, rule in enumerate(routing_map.rules):
            here = (*at, "rules", index)
            self._refer((*here, "condition_set"), "condition_sets", rule.condition_set)
            self._target(here, rule, f"routing rule {rule.name!r}", rule.pool, rule.settings, rule.redirect)
            self._refer((*here, "rewrite"), "rewrites", rule.rewrite)

    def _paths(self, at: tuple[str | int, ...], rule: PathRule, seen: list[tuple[str, str]]) -> None:
        if not rule.paths:
            self._error((*at, "paths"), f"path rule {rule.name!r} has no paths; give it patterns such as '/images/*'")
        for index, path in enumerate(rule.paths):
            here = (*at, "paths", index)
            if not path.startswith("/"):
                self._error(here, f"found {path!r}; a path pattern begins with '/'")
                continue
            if "*" in path[:-1]:
                self._error(here, f"found {path!r}; '*' is allowed only as the last character of a path pattern")
            elif "?" in path or "#" in path:
                self._error(here, f"found {path!r}; a path pattern has no query and no fragment ('?', '#')")
            folded = path.casefold()
            for earlier, owner in seen:
                if folded == earlier or (earlier.endswith("*") and folded.startswith(earlier[:-1])):
                    self._warn(
                        here,
                        f"{path!r} is never reached: {earlier!r} of path rule {owner!r} comes before it and "
                        "matches the same; put it first",
                    )
                    break
            seen.append((folded, rule.name))

    def _redirects(self) -> None:
        listeners = {item.name: item for item in self._gateway.listeners}
        for index, redirect in enumerate(self._gateway.redirects):
            at = ("redirects", index)
            self._refer((*at, "target_listener"), "listeners", redirect.target_listener)
            if (redirect.target_listener is None) == (redirect.target_url is None):
                found = "neither" if redirect.target_url is None else "both"
                self._error(
                    at, f"redirect {redirect.name!r} has {found} of 'targetListener' and 'targetUrl'; give exactly one"
                )
            self._redirect_target(at, redirect, listeners.get(redirect.target_listener or ""))

    def _redirect_target(self, at: tuple[str | int, ...], redirect: Redirect, listener: HttpListener | None) -> None:
        if listener is None:
            return
        if len(listener.host_names) > 1 or any("*" in host or "?" in host for host in listener.host_names):
            self._error(
                (*at, "target_listener"),
                f"listener {listener.name!r} has several or wildcard host names, so no URL can be made from it; "
                "use 'targetUrl'",
            )
        for rule in self._gateway.rules:
            if rule.listener == listener.name and rule.redirect == redirect.name:
                self._error(
                    (*at, "target_listener"), f"redirect {redirect.name!r} leads listener {listener.name!r} to itself"
                )

    # settings and probes

    def _settings(self) -> None:
        probes = {item.name: item for item in self._gateway.probes}
        for index, settings in enumerate(self._gateway.settings):
            at = ("settings", index)
            if self._refer((*at, "probe"), "probes", settings.probe):
                probe = probes[settings.probe or ""]
                spoken = probe.strategy in ("http", "websocket") and not settings.layer4
                if spoken and probe.protocol != settings.protocol:
                    self._error(
                        (*at, "probe"),
                        f"probe {probe.name!r} speaks {probe.protocol} but settings {settings.name!r} "
                        f"{settings.protocol}; they must agree",
                    )
            for number, root in enumerate(settings.trusted_root_certificates):
                self._refer((*at, "trusted_root_certificates", number), "trusted_roots", root)
            if settings.host_name and settings.pick_host_name_from_backend_address:
                self._error(
                    (*at, "host_name"),
                    "'hostName' and 'pickHostNameFromBackendAddress' exclude each other; give one of them",
                )
            if settings.path is not None and not settings.path.startswith("/"):
                self._warn(
                    (*at, "path"),
                    f"found {settings.path!r}; a path that does not begin with '/' is taken as '/{settings.path}'",
                )
            idle = settings.web_socket_idle_timeout
            if settings.layer4:
                continue
            if idle is None and settings.request_timeout <= _PING:
                self._warn(
                    (*at, "request_timeout"),
                    f"{settings.request_timeout} s is also the idle limit of WebSockets, and many send a ping "
                    f"only every {_PING} s: quiet sessions are "
                    f"cut before it. Set it above the ping interval (40, say), or give 'webSocketIdleTimeout'",
                )
            elif idle is not None and idle <= _PING:
                self._warn(
                    (*at, "web_socket_idle_timeout"),
                    f"{idle} s is not above the usual ping interval of {_PING} s: quiet WebSockets are cut before "
                    "their ping",
                )

    def _probes(self) -> None:
        for index, probe in enumerate(self._gateway.probes):
            at = ("probes", index)
            self._codes((*at, "match", "status_codes"), probe.match.status_codes)
            if probe.timeout > probe.interval:
                self._warn(
                    (*at, "timeout"),
                    f"the timeout of {probe.timeout:g} s is longer than the interval of {probe.interval:g} s",
                )

        for index, pool in enumerate(self._gateway.pools):
            if pool.passive_health is not None:
                codes = pool.passive_health.server_error_codes
                self._codes(("pools", index, "passive_health", "server_error_codes"), codes)

    def _codes(self, at: tuple[str | int, ...], codes: Iterable[str]) -> None:
        for number, code in enumerate(codes):
            match = _CODES.match(code)
            if match is None or (match.group(2) and match.group(2) < match.group(1)):
                self._error(
                    (*at, number), f"found {code!r}; expected a status code such as 200 or a range such as 200-399"
                )

    # listeners

    def _listener(self, at: tuple[str | int, ...], listener: HttpListener) -> None:
        for number, name in enumerate(listener.certificates):
            self._refer((*at, "certificates", number), "certificates", name)
        if listener.secure and not listener.certificates:
            self._error(at, f"listener {listener.name!r} is {listener.protocol} and has no certificate")
        if not listener.secure and listener.certificates:
            unused = f"listener {listener.name!r} is {listener.protocol}; its certificate is not used"
            self._warn((*at, "certificates"), unused)
        if len(listener.host_names) > 5:
            self._warn((*at, "host_names"), "an Application Gateway takes at most 5 host names for one listener")

    def _ports(self) -> None:
        """Two listeners on one port: same protocol, one address, no host in common."""
        by_port: dict[int, list[tuple[int, HttpListener]]] = {}
        for index, listener in enumerate(self._gateway.listeners):
            if listener.port != 0:
                by_port.setdefault(listener.port, []).append((index, listener))
        for group in by_port.values():
            for position, (index, listener) in enumerate(group):
                clash = next(filter(None, (clash_of(other, listener) for _, other in group[:position])), None)
                if clash is not None:
                    key, message = clash
                    self._error(("listeners", index, key) if key else ("listeners", index), message)

    def _certificates(self) -> None:
        used = {
            name
            for listener in self._gateway.listeners
            if listener.secure
            for name in listener.certificates
        }
        roots = {
            name
            for settings in self._gateway.settings
            if settings.secure
            for name in settings.trusted_root_certificates
        }
        for kind, needed in (("certificates", used), ("trusted_roots", roots)):
            for index, item in enumerate(getattr(self._gateway, kind)):
                message = _absence(kind, item)
                if message:
                    error = item.name in needed and item.unavailable is None
                    (self._error if error else self._warn)((kind, index), message)

    def _limits(self) -> None:
        for number, network in enumerate(self._gateway.limits.trusted_proxies):
            try:
                ipaddress.ip_network(network)
            except ValueError:
                at = ("limits", "trusted_proxies", number)
                self._error(at, f"found {network[:80]!r}, expected an address or a network such as 10.0.0.0/8")

    def _resolver(self) -> None:
        resolver = self._gateway.resolver
        for number, text in enumerate(resolver.nameservers):
            try:
                name_server(text)
            except ValueError as error:
                self._error(("resolver", "nameservers", number), str(error))
        if resolver.most_interval < resolver.least_interval:
            self._error(("resolver", "most_interval"), "mostInterval is less than leastInterval")

    def _unused(self) -> None:
        listeners = {rule.listener for rule in self._gateway.rules}
        for index, listener in enumerate(self._gateway.listeners):
            if listener.name not in listeners:
                self._warn(
                    ("listeners", index), f"listener {listener.name!r} has no rule; every request to it gets 404"
                )
        for kind in _MAY_BE_UNUSED:
            for index, item in enumerate(getattr(self._gateway, kind)):
                if (kind, item.name) not in self._used:
                    self._warn((kind, index), f"{ONE[kind]} {item.name!r} is not used by anything")
        lacking = next((kind for kind in ("listeners", "rules") if not getattr(self._gateway, kind)), None)
        if lacking is not None and lacking not in self._may_lack:
            self._error((), f"there are no {lacking}, so nothing would be served; say '{lacking}: []' if that is meant")


_MAY_BE_UNUSED = (
    "pools", "path_maps", "routing_maps", "condition_sets", "distributions", "probes", "redirects", "rewrites",
    "settings",
)  # fmt: skip


def _words(value: object) -> Iterator[str]:
    """All texts within the options of a plugin."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _words(each)


def _absence(kind: str, item: Certificate | TrustedRoot) -> str | None:
    """What is to be said of a certificate or root that is not there; ``None`` where there is one."""
    root = isinstance(item, TrustedRoot)
    if item.unavailable is None and (
        item.data or (item.file if isinstance(item, TrustedRoot) else item.certificate_file)
    ):
        return None
    files = "certificateFile: …" if root else "certificateFile: …, keyFile: …"
    settle = f"give files with overrides 'certificates: {{{item.name}: {{{files}}}}}'"
    title = f"{ONE[kind]} {item.name!r}"
    if item.unavailable is not None:
        what = "backends that are verified against it are down" if root else "HTTPS handshakes that need it fail"
        return f"{title} is not there: {item.unavailable}; until it is, {what}; {settle}"
    if item.key_vault_secret_id:
        return f"{title} is in a Key Vault, which cannot be asked here; {settle}"
    return f"{title} has neither data nor files; {settle}"
