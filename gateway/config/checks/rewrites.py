"""Rewrite sets (reference §1.4 and §2.4): patterns, names, and where they are used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import Gateway, HeaderAction, Matcher, RewriteRule, RewriteSet
from gateway.config.tree import nearest
from gateway.http.faults import TOKEN
from gateway.routing.patterns import Pattern, PatternError
from gateway.routing.rewrites import is_about_response
from gateway.routing.variables import MATCHER, SERVER_VARIABLES, Template, lookup

__all__ = ["find"]

_MOST = 40
_PLAIN: Final = re.compile(r"[A-Za-z0-9-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_RESPONSE_NAME: Final = re.compile(r"\{(http_resp_[^{}\s]+|var_http_status|var_sent_bytes)\}")
_REFUSED: Final = frozenset(
    "connection upgrade x-original-host content-length transfer-encoding te trailer keep-alive proxy-connection "
    "proxy-authorization proxy-authenticate proxy-authentication-info http2-settings expect sec-websocket-key "
    "sec-websocket-accept sec-websocket-version".split()
)
"""The first three are Azure's own; the others frame messages or prove a handshake, which the gateway does."""
_REFUSED_IN_RESPONSES: Final = _REFUSED | {"sec-websocket-extensions", "sec-websocket-protocol"}


def find(gateway: Gateway) -> Iterator[Finding]:
    """Everything that is wrong, or will have no effect."""
    for index, rewrite in enumerate(gateway.rewrites):
        yield from _set(("rewrites", index), rewrite)
    yield from _uses(gateway)


def _set(at: Location, rewrite: RewriteSet) -> Iterator[Finding]:
    if not rewrite.rules:
        yield warning((*at, "rules"), f"rewrite set {rewrite.name!r} has no rules and changes nothing")
    conditions = sum(len(rule.conditions) for rule in rewrite.rules)
    for count, word in ((len(rewrite.rules), "rules"), (conditions, "conditions")):
        if count > _MOST:
            message = f"an Application Gateway takes at most {_MOST} {word} in a rewrite set, this one has {count}"
            yield warning((*at, "rules"), message)
    for index, rule in enumerate(rewrite.rules):
        yield from _rule((*at, "rules", index), rule)


def _rule(at: Location, rule: RewriteRule) -> Iterator[Finding]:
    groups: dict[str, int] = {}
    for index, condition in enumerate(rule.conditions):
        here = (*at, "conditions", index)
        if lookup(condition.variable) is None:
            message = f"found {condition.variable[:80]!r}, {_known(condition.variable)}; the condition never holds"
            yield warning((*here, "variable"), message)
        try:
            groups[condition.variable] = Pattern(condition.pattern, condition.ignore_case).groups
        except PatternError as error:
            yield Finding((*here, "pattern"), f"found {condition.pattern[:80]!r}: {error}")
            groups[condition.variable] = 999  # do not complain of its captures too
    for index, action in enumerate(rule.request_headers):
        yield from _header((*at, "request_headers", index), action, groups, _REFUSED, _PLAIN)
        yield from _too_early((*at, "request_headers", index, "value"), action.value)
    for index, action in enumerate(rule.response_headers):
        yield from _header((*at, "response_headers", index), action, groups, _REFUSED_IN_RESPONSES, TOKEN)
    if rule.url is not None:
        yield from _url((*at, "url"), rule, groups)
    if not (rule.request_headers or rule.response_headers or rule.url):
        yield warning(at, f"rewrite rule {rule.name!r} has no actions and changes nothing")
    late = next((item.variable for item in rule.conditions if is_about_response(item.variable)), None)
    if late is not None and (rule.request_headers or rule.url):
        message = f"the condition on {late!r} is about the response; the request and its URL stay as they are"
        yield warning(at, message)


def _header(
    at: Location, action: HeaderAction, groups: Mapping[str, int], refused: frozenset[str], names: re.Pattern[str]
) -> Iterator[Finding]:
    lower = action.name.lower()
    if names.fullmatch(action.name) is None:
        wanted = "letters, digits and hyphens" if names is _PLAIN else "a token (RFC 9110 §5.6.2)"
        yield Finding((*at, "name"), f"found {action.name[:80]!r}; the name of a field is {wanted}")
    elif lower in refused:
        yield Finding((*at, "name"), f"{action.name!r} cannot be rewritten")
    if lower == "host" and not action.value and names is _PLAIN:
        yield Finding((*at, "value"), "'Host' cannot be deleted (an empty value deletes)")
    inside = groups
    if action.matcher is not None:
        if lower != "set-cookie" or names is _PLAIN:
            yield Finding((*at, "matcher"), "a matcher is only for Set-Cookie of responses")
        found = _matcher(action.matcher)
        if isinstance(found, str):
            yield Finding((*at, "matcher", "pattern"), found)
        inside = {**groups, MATCHER: 999 if isinstance(found, str) else found}
    yield from _text((*at, "value"), action.value, inside)


def _matcher(matcher: Matcher) -> int | str:
    """The number of groups, or what is wrong."""
    try:
        return Pattern(matcher.pattern, matcher.ignore_case).groups
    except PatternError as error:
        return f"found {matcher.pattern[:80]!r}: {error}"


def _url(at: Location, rule: RewriteRule, groups: Mapping[str, int]) -> Iterator[Finding]:
    assert rule.url is not None
    for key, text in (("path", rule.url.path), ("query", rule.url.query)):
        if text is not None:
            yield from _text((*at, key), text, groups)
            yield from _too_early((*at, key), text)
    if rule.url.path is not None and "?" in rule.url.path:
        yield warning((*at, "path"), "a path has no '?': it is sent as '%3F'; 'query' is what follows it")
    if rule.url.path is None and rule.url.query is None:
        yield warning(at, f"rewrite rule {rule.name!r} gives neither a path nor a query; the URL stays")


def _text(at: Location, text: str, groups: Mapping[str, int]) -> Iterator[Finding]:
    if _CONTROL.search(text):
        yield Finding(at, "a line break or another control character cannot be sent in a head")
    template = Template(text, groups)
    for name in template.unknown:
        yield warning(at, f"found {'{' + name[:80] + '}'}, {_known(name, groups)}; it is empty")
    for name in template.lacking:
        source, _, number = name.rpartition("_")
        yield Finding(at, f"{'{' + name + '}'}: the pattern for {source!r} has {groups[source]} groups, not {number}")
    if text.startswith(("var_", "http_req_", "http_resp_")) and lookup(text) is not None:
        yield warning(at, f"{text!r} is sent as it stands; write {'{' + text + '}'} for its value")


def _too_early(at: Location, text: str) -> Iterator[Finding]:
    for name in _RESPONSE_NAME.findall(text):
        yield warning(at, f"{'{' + name + '}'} is empty here: there is no response yet")


def _known(name: str, groups: Mapping[str, int] | None = None) -> str:
    """Why a name means nothing, and what would be right."""
    source, _, number = name.rpartition("_")
    if groups is not None and number.isdecimal():
        close = next((key for key in groups if key.casefold() == source.casefold()), None)
        hint = f"; the condition is on {close!r}, in this case" if close else ""
        return f"but no condition of this rule is on {source!r}{hint}"
    if name.startswith("var_"):
        variable = nearest(name[4:], list(SERVER_VARIABLES))
        return "which is no server variable" + (f"; did you mean {'var_' + variable!r}?" if variable else "")
    return "which is neither http_req_NAME nor http_resp_NAME nor var_NAME"


def _uses(gateway: Gateway) -> Iterator[Finding]:
    sets = {item.name: item for item in gateway.rewrites}
    for index, rule in enumerate(gateway.rules):
        at = ("rules", index, "rewrite")
        rewrite = sets.get(rule.rewrite or "")
        if rewrite is None:
            continue
        if rule.path_map is not None:
            message = f"rule {rule.name!r} has a path map, whose rules name their own rewrite sets"
            yield warning(at, message)
        elif rule.redirect is not None:
            yield warning(at, f"rule {rule.name!r} redirects, and redirects are not rewritten")
        elif any(item.url is not None and item.url.reroute for item in rewrite.rules):
            message = f"rule {rule.name!r} has no path map, so 'reroute' has nothing to look at; Azure refuses this"
            yield warning(at, message)
    for index, path_map in enumerate(gateway.path_maps):
        at_map: Location = ("path_maps", index)
        uses = [((*at_map, "default_rewrite"), path_map.default_rewrite, path_map.default_redirect)]
        uses += [
            ((*at_map, "path_rules", number, "rewrite"), item.rewrite, item.redirect)
            for number, item in enumerate(path_map.path_rules)
        ]
        for where, name, redirect in uses:
            rewrite = sets.get(name or "")
            if rewrite is None:
                continue
            if redirect is not None:
                yield warning(where, "redirects are not rewritten")
            elif rewrite.rules and all(_always_again(item) for item in rewrite.rules):
                message = (
                    f"every rule of rewrite set {rewrite.name!r} has 'reroute' and no conditions, so requests would go "
                    "round in circles; give one a condition, or no 'reroute'"
                )
                yield Finding(where, message)


def _always_again(rule: RewriteRule) -> bool:
    return rule.url is not None and rule.url.reroute and not rule.conditions
