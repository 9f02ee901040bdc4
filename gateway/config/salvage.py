"""What is done with an ARM document that leads to things which are not there, instead of refusing all of it.

Templates are read as they stand in repositories: parts are in other files, parameters have no values, ids are
placeholders.  What cannot work is named and answers 502, or is left out; everything else works.  Nothing is put in the
place of what is missing but what says so: a pool without members, a certificate that is unavailable.  For one's own
compact YAML all of this is an error (`gateway.config.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config.draft import Location
from gateway.config.hosts import Neighbours
from gateway.config.kinds import ONE
from gateway.config.model import (
    BackendSettings,
    Certificate,
    Distribution,
    Gateway,
    HttpListener,
    PathMap,
    Pool,
    Redirect,
    RoutingMap,
    Rule,
    SslPolicy,
    SslProfile,
    TrustedClientCertificate,
    TrustedRoot,
)
from gateway.config.tls_policies import TLS13, policy_problems
from gateway.config.tree import Hints, show

__all__ = ["NOTHING", "Salvaged", "salvage"]

NOTHING = "unavailable"
"""Name of the pool, and the settings, of what leads nowhere."""

_OVERRIDE = {
    "pools": "pools: {{{name}: ['host:port']}}",
    "settings": "settings: {{{name}: {{port: 80}}}}",
    "probes": "probes: {{{name}: {{path: /}}}}",
    "certificates": "certificates: {{{name}: {{certificateFile: …, keyFile: …}}}}",
    "trusted_roots": "certificates: {{{name}: {{certificateFile: …}}}}",
}
_NO_SUCH = "the document has none of that name"
_LONGEST = 80
"""Characters that a name may have; one that nothing has may be longer."""
_Warn = Callable[[Location, str], None]


class Salvaged(NamedTuple):
    """``removed``: for each list, the indices of what is left out."""

    gateway: Gateway
    removed: dict[Location, set[int]]


def salvage(gateway: Gateway, warn: _Warn, left_out: Mapping[str, Set[str]] | None = None) -> Salvaged:
    """The gateway without references that lead nowhere.

    ``warn`` is told where each was, and what is done; ``left_out``: for each collection, names of what was in the
    document and could not be used, which has been reported.
    """
    return _Salvage(gateway, warn, left_out or {}).run()


class _Salvage:
    def __init__(self, gateway: Gateway, warn: _Warn, left_out: Mapping[str, Set[str]]) -> None:
        self._gateway = gateway
        self._left_out = {kind: set(names) for kind, names in left_out.items()}
        self._warn = warn
        self._removed: dict[Location, set[int]] = {}
        self._names: dict[str, set[str]] = {
            kind: {item.name for item in getattr(gateway, kind)}
            for kind in ("listeners", "probes", "condition_sets", *_CERTIFICATES, *_WAYS.values())
        }
        self._hints = Hints()
        self._nothing = NOTHING
        while any(self._nothing in self._names[kind] for kind in ("pools", "settings", *_CERTIFICATES)):
            self._nothing += "-"
        self._nothing_else = f"{self._nothing} (layer 4)"
        self._layer4 = {item.name for item in gateway.listeners if item.layer4}
        self._needs_nothing = False

    def run(self) -> Salvaged:
        listeners = self._listeners()
        settings = tuple(self._settings(index, item) for index, item in enumerate(self._gateway.settings))
        self._names["listeners"] = {listener.name for listener in listeners}
        redirects = self._redirects()
        self._names["redirects"] = {redirect.name for redirect in redirects}
        distributions = self._distributions()
        self._names["distributions"] = {distribution.name for distribution in distributions}
        update: dict[str, Any] = {
            "listeners": listeners,
            "redirects": redirects,
            "distributions": distributions,
            "settings": settings,
            "rules": self._rules(),
            "path_maps": tuple(self._path_map(index, item) for index, item in enumerate(self._gateway.path_maps)),
            "routing_maps": tuple(
                self._routing_map(index, item) for index, item in enumerate(self._gateway.routing_maps)
            ),
            "certificates": self._certificates(listeners),
            "trusted_roots": self._roots(settings),
            **self._client_certificates(listeners),
            "ssl_policy": self._policy(("ssl_policy",), self._gateway.ssl_policy),
            "pools": self._gateway.pools,
        }
        if self._needs_nothing:
            update["pools"] += (Pool(name=self._nothing),)
            update["settings"] += (BackendSettings(name=self._nothing),)
            if any(rule.settings == self._nothing_else for rule in update["rules"]):
                update["settings"] += (BackendSettings(name=self._nothing_else, protocol="Tcp"),)
        return Salvaged(self._gateway.model_copy(update=update), self._removed)

    def _missing(self, kind: str, name: str | None) -> str:
        """What is to be said of a name that is not there; empty where there is no name, or it is there."""
        if name is None or name in self._names[kind]:
            return ""
        if name in self._left_out.get(kind, ()):
            return f"{ONE[kind]} {name!r} is left out"
        known = sorted(self._names[kind])
        close = self._hints.nearest(name, known)
        listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        hint = f"; did you mean {close!r}?" if close else f" (there are: {listed})" if known else " (there are none)"
        override = _OVERRIDE.get(kind) if len(name) <= _LONGEST else None
        settle = f" or let overrides '{override.format(name=name)}' make it" if override and not close else ""
        return f"there is no {ONE[kind]} {show(name)}{hint}; correct the id, add what it names{settle}"

    # listeners and redirects

    def _listeners(self) -> tuple[HttpListener, ...]:
        kept: list[HttpListener] = []
        before = Neighbours()
        for index, listener in enumerate(self._gateway.listeners):
            clash = before.twin(listener) if listener.port != 0 else None
            if clash is not None and clash.name != listener.name:
                hosts = "the same hosts" if listener.host_names else "every host"
                self._leave_out(
                    "listeners",
                    index,
                    f"listener {listener.name!r} is left out: listener {clash.name!r} has port {clash.port} too and "
                    f"answers for {hosts}; give it a host name, or a port of its own with "
                    f"--map-port {listener.name}=PORT",
                )
            else:
                kept.append(self._with_certificates(index, listener))
                before.add(listener)
        return tuple(kept)

    def _with_certificates(self, index: int, listener: HttpListener) -> HttpListener:
        """A listener whose certificates and profile have names that objects can have."""
        at = ("listeners", index)
        update: dict[str, Any] = {}
        title = f"listener {listener.name!r}"
        if listener.secure and not listener.certificates:
            update["certificates"] = (self._nothing,)
            what = "has no certificate: its TLS handshakes fail; give it an 'sslCertificate'"
            self._warn(at, f"{title} is {listener.protocol} and {what}")
        elif listener.secure:
            what = f"TLS handshakes of {title} that need it fail"
            update["certificates"] = self._named(at, "certificates", listener.certificates, "certificates", what)
        profile = listener.ssl_profile
        if profile is not None and (missing := self._missing("ssl_profiles", profile)):
            update["ssl_profile"] = self._usable(profile)
            what = "answers 400, for the profile says who is trusted" if listener.secure else "goes without a profile"
            self._warn((*at, "ssl_profile"), f"{title} {what}: {missing}")
        return listener.model_copy(update=update)

    def _named(self, at: Location, attribute: str, names: Sequence[str], kind: str, what: str) -> tuple[str, ...]:
        """Names of certificates, each of which something can have; those that nothing has are reported."""
        for number, name in enumerate(names):
            missing = self._missing(kind, name)
            if missing:
                self._warn((*at, attribute, number), f"{what}: {missing}")
        return tuple(dict.fromkeys(map(self._usable, names)))

    def _usable(self, name: str) -> str:
        return name if len(name) <= _LONGEST else self._nothing

    def _redirects(self) -> tuple[Redirect, ...]:
        kept: list[Redirect] = []
        for index, redirect in enumerate(self._gateway.redirects):
            missing = self._missing("listeners", redirect.target_listener)
            if not missing and redirect.target_listener is None and redirect.target_url is None:
                missing = "it has neither 'targetListener' nor 'targetUrl'"
            if missing:
                what = f"redirect {redirect.name!r} is left out, and what leads to it answers 502: {missing}"
                self._leave_out("redirects", index, what, "target_listener")
            else:
                kept.append(redirect)
        return tuple(kept)

    def _distributions(self) -> tuple[Distribution, ...]:
        kept: list[Distribution] = []
        for index, distribution in enumerate(self._gateway.distributions):
            at = ("distributions", index, "targets")
            targets = []
            for number, target in enumerate(distribution.targets):
                missing = self._missing("pools", target.pool)
                if missing:
                    message = f"distribution {distribution.name!r} goes without this target: {missing}"
                    self._removed.setdefault(at, set()).add(number)
                    self._warn((*at, number, "pool"), message)
                else:
                    targets.append(target)
            if targets:
                kept.append(distribution.model_copy(update={"targets": tuple(targets)}))
            else:
                what = f"distribution {distribution.name!r} is left out, and what leads to it answers 502"
                self._leave_out("distributions", index, f"{what}: it has no target")
        return tuple(kept)

    def _leave_out(self, kind: str, index: int, message: str, attribute: str = "") -> None:
        self._removed.setdefault((kind,), set()).add(index)
        self._left_out.setdefault(kind, set()).add(getattr(self._gateway, kind)[index].name)
        self._warn((kind, index, attribute) if attribute else (kind, index), message)

    # what leads somewhere

    def _rules(self) -> tuple[Rule, ...]:
        kept: list[Rule] = []
        for index, rule in enumerate(self._gateway.rules):
            missing = self._missing("listeners", rule.listener)
            if missing:
                self._leave_out("rules", index, f"rule {rule.name!r} is left out: {missing}", "listener")
                continue
            update = self._target(("rules", index), f"rule {rule.name!r}", rule)
            kept.append(rule.model_copy(update=update))
        return tuple(kept)

    def _path_map(self, index: int, path_map: PathMap) -> PathMap:
        at = ("path_maps", index)
        title = f"the default of path map {path_map.name!r}"
        update = self._target(at, title, path_map, "default_")
        rules = tuple(
            rule.model_copy(update=self._target((*at, "path_rules", number), f"path rule {rule.name!r}", rule))
            for number, rule in enumerate(path_map.path_rules)
        )
        return path_map.model_copy(update={**update, "path_rules": rules})

    def _routing_map(self, index: int, routing_map: RoutingMap) -> RoutingMap:
        at = ("routing_maps", index)
        update = self._target(at, f"the default of routing map {routing_map.name!r}", routing_map, "default_")
        rules = []
        for number, rule in enumerate(routing_map.rules):
            here = (*at, "rules", number)
            missing = self._missing("condition_sets", rule.condition_set)
            if missing:
                self._removed.setdefault((*at, "rules"), set()).add(number)
                self._warn((*here, "condition_set"), f"routing rule {rule.name!r} is left out: {missing}")
            else:
                rules.append(rule.model_copy(update=self._target(here, f"routing rule {rule.name!r}", rule)))
        return routing_map.model_copy(update={**update, "rules": tuple(rules)})

    def _target(self, at: Location, title: str, owner: BaseModel, prefix: str = "") -> dict[str, Any]:
        """What is to be changed of a rule, path rule, routing rule or default, so that it leads to something."""
        words = {prefix + way: kind for way, kind in _WAYS.items() if prefix + way in type(owner).model_fields}
        found = [
            (attribute, text)
            for attribute, kind in words.items()
            if (text := self._missing(kind, getattr(owner, attribute)))
        ]
        router = getattr(owner, "router", None)
        given = {attribute for attribute in words if getattr(owner, attribute) is not None}
        pool, settings = f"{prefix}pool", f"{prefix}settings"
        if not found and not router:
            if not given - {settings, f"{prefix}rewrite"}:
                found.append(("", "it leads nowhere"))
            elif given & {pool, f"{prefix}distribution"} and settings not in given:
                found.append(("", "it has a pool but no settings"))
        if not found:
            return {}
        for attribute, text in found:
            self._warn((*at, attribute) if attribute else at, f"{title} answers 502: {text}")
        self._needs_nothing = True
        result: dict[str, Any] = dict.fromkeys(words)
        layer4 = getattr(owner, "listener", None) in self._layer4
        return result | {pool: self._nothing, settings: self._nothing_else if layer4 else self._nothing}

    def _settings(self, index: int, settings: BackendSettings) -> BackendSettings:
        at = ("settings", index)
        update: dict[str, Any] = {}
        missing = self._missing("probes", settings.probe)
        if missing:
            self._warn((*at, "probe"), f"the default probe is used: {missing}")
            update["probe"] = None
        if settings.trusted_root_certificates:
            attribute = "trusted_root_certificates"
            what = "backends that are verified against it are down"
            update[attribute] = self._named(at, attribute, getattr(settings, attribute), "trusted_roots", what)
        return settings.model_copy(update=update) if update else settings

    # certificates

    def _certificates(self, listeners: Sequence[HttpListener]) -> tuple[Certificate, ...]:
        named = (name for listener in listeners if listener.secure for name in listener.certificates)
        absent = self._absent("certificates", named)
        return (*self._gateway.certificates, *(Certificate(name=name, unavailable=_NO_SUCH) for name in absent))

    def _roots(self, settings: Sequence[BackendSettings]) -> tuple[TrustedRoot, ...]:
        absent = self._absent("trusted_roots", (name for item in settings for name in item.trusted_root_certificates))
        return (*self._gateway.trusted_roots, *(TrustedRoot(name=name, unavailable=_NO_SUCH) for name in absent))

    def _absent(self, kind: str, named: Iterable[str]) -> list[str]:
        """Names that nothing of a collection has, each once."""
        return [name for name in dict.fromkeys(named) if name not in self._names[kind]]

    def _client_certificates(self, listeners: Sequence[HttpListener]) -> dict[str, Any]:
        """Profiles, and who is trusted by them: a profile that is not there trusts nobody."""
        attribute = "trusted_client_certificates"
        profiles = []
        for index, profile in enumerate(self._gateway.ssl_profiles):
            at = ("ssl_profiles", index)
            what = f"clients with certificates of it get 400 where profile {profile.name!r} applies"
            update: dict[str, Any] = {"ssl_policy": self._policy((*at, "ssl_policy"), profile.ssl_policy)}
            update[attribute] = self._named(at, attribute, profile.trusted_client_certificates, attribute, what)
            profiles.append(profile.model_copy(update=update))
        absent = self._absent("ssl_profiles", (item.ssl_profile for item in listeners if item.ssl_profile is not None))
        profiles += [SslProfile(name=name, trusted_client_certificates=(self._nothing,)) for name in absent]
        named = (name for item in profiles for name in item.trusted_client_certificates)
        made = (TrustedClientCertificate(name=name, unavailable=_NO_SUCH) for name in self._absent(attribute, named))
        return {
            "ssl_profiles": tuple(profiles),
            attribute: (*self._gateway.trusted_client_certificates, *made),
        }

    def _policy(self, at: Location, policy: SslPolicy | None) -> SslPolicy | None:
        """A policy as Azure understands it: without a name it is the usual one, suites that cannot be used are not."""
        if policy is None:
            return None
        wrong = {attribute for attribute, _ in policy_problems(policy)}
        if wrong == {"policy_name"} and not policy.policy_name and "TLSv1_2" not in policy.disabled_ssl_protocols:
            self._warn(at, "no policy is named: the gateway's own applies (TLS 1.2 and 1.3)")
            return None
        if wrong == {"policy_name", "min_protocol_version"} and not policy.policy_name:
            if "TLSv1_2" not in policy.disabled_ssl_protocols:
                return self._least(at, policy)
        left = tuple(suite for suite in policy.cipher_suites if suite not in TLS13)
        if policy.policy_type == "Custom" and len(left) < len(policy.cipher_suites):
            others = ", ".join(suite for suite in policy.cipher_suites if suite in TLS13)
            self._warn((*at, "cipher_suites"), f"{others}: left out, for TLS 1.3 needs policyType CustomV2")
            return policy.model_copy(update={"cipher_suites": left})
        return policy

    def _least(self, at: Location, policy: SslPolicy) -> SslPolicy | None:
        """Of a policy of which nothing is known but the least version: the gateway's own, if that is as strict."""
        if policy.min_protocol_version == "TLSv1_3":
            self._warn(at, "neither policyType nor policyName is given: only TLS 1.3 is spoken, as of CustomV2")
            return policy.model_copy(update={"policy_type": "CustomV2"})
        self._warn(at, "neither policyType nor policyName is given: the gateway's own policy applies (TLS 1.2 and 1.3)")
        return None


_WAYS = {
    "pool": "pools",
    "settings": "settings",
    "redirect": "redirects",
    "path_map": "path_maps",
    "routing_map": "routing_maps",
    "distribution": "distributions",
    "rewrite": "rewrites",
}
"""What a rule or a default names, and the collection that has it."""
_CERTIFICATES = ("certificates", "trusted_roots", "ssl_profiles", "trusted_client_certificates")
"""Collections of what is needed for TLS: what is named there and is not there gets an object that says so."""
