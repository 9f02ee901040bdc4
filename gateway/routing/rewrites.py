"""Rewrite rule sets: what they make of requests and responses (reference §2.4).

A set looks at each message once.  Each of its rules sees what the ones before it have made of the message: its
conditions and its texts are about that.  Rules whose conditions are about the response act on the response only; when
that comes, the request is for all of them what it was when the set got it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import BadRequest
from gateway.http.authority import valid_authority
from gateway.http.forwarding import is_ours
from gateway.http.heads import index_of
from gateway.routing.patterns import Pattern
from gateway.routing.readings import settled
from gateway.routing.uris import clean
from gateway.routing.variables import MATCHER, Template, View, lookup, spelled

if TYPE_CHECKING:
    from gateway.config import model
    from gateway.values import Fields, RequestHead, ResponseHead

__all__ = ["Requested", "Rewriter", "is_about_response", "names_variable"]

Note = Callable[[str], object]


def is_about_response(variable: str) -> bool:
    """Whether a variable has no value before there is a response."""
    return variable.startswith("http_resp_") or variable in ("var_http_status", "var_sent_bytes")


def names_variable(sets: Iterable[model.RewriteSet], name: str) -> bool:
    """Whether a server variable occurs anywhere in rewrite sets."""
    return any(f"var_{name}" in each.model_dump_json() for each in sets)


class Requested(NamedTuple):
    """A request as it goes on. ``added``: the gateway's own field lines. ``reroute``: look for the path rule again."""

    head: RequestHead
    added: str
    reroute: bool


class Rewriter:
    """One rewrite set, ready for requests. Its patterns have been checked."""

    def __init__(self, rewrite: model.RewriteSet) -> None:
        self.name = rewrite.name
        rules = list(map(_Rule, sorted(rewrite.rules, key=lambda rule: rule.sequence)))
        self._on_request = [rule for rule in rules if rule.changes_request]
        self._on_response = [rule for rule in rules if rule.response]
        self._about_path = [test for rule in rules for test in rule.about_path]
        self.changes_responses = bool(self._on_response)
        self.reroutes = any(rule.url is not None and rule.url.reroute for rule in rules)

    def request(self, view: View, head: RequestHead, added: str, note: Note | None = None) -> Requested:
        """What becomes of ``head`` and of the gateway's own lines.

        ``note`` is told, in words, which rules apply, what they change, and why others do not.  Raises `RewriteFailed`;
        `AmbiguousPath` where a condition, also of a rule for the response, holds for some readings of the path only.
        """
        for test in self._about_path:
            test.settle(view)
        came, change = view.head, _Change(head, added)
        for rule in self._on_request:
            if view.head is not came:
                for test in rule.about_path:
                    test.settle(view)
            if not rule.applies(view, note):
                continue
            for name, template in rule.request:
                value = template.expand(view)
                change.field(name, value)
                if note:
                    note(f"request field {name}: {value!r}" if value else f"request field {name}: deleted")
            if rule.url is not None:
                rule.url.apply(view, change)
                if note:
                    note(f"URL: {change.target}{', path rules are looked at again' if rule.url.reroute else ''}")
            if rule is not self._on_request[-1]:
                view.look_at(change.seen())
        if view.head is not came:
            view.look_at(came)
        return Requested(change.done(), change.added, change.reroute)

    def response(self, view: View, head: ResponseHead, note: Note | None = None) -> ResponseHead:
        """What becomes of a response; ``view.response`` is the backend's."""
        fields: list[tuple[str, str]] | None = None
        taken: set[str] = set()
        for rule in self._on_response:
            if rule.applies(view, note):
                for action in rule.response:
                    fields = action.apply(view, list(head.fields) if fields is None else fields)
                    taken.add(action.name.lower())
                if rule is not self._on_response[-1] and fields is not None:
                    view.response = head._replace(fields=fields, index=index_of(fields))
        if fields is None:
            return head
        nominated = [name for name in head.nominated if name not in taken]
        return head._replace(fields=fields, index=index_of(fields), nominated=nominated)

    def response_notes(self) -> list[str]:
        """What it would do to a response, in words: nobody knows the response yet."""
        return [words for rule in self._on_response for words in rule.response_notes()]


class _Test:
    """A condition."""

    def __init__(self, condition: model.Condition) -> None:
        self.variable, self.negate = condition.variable, condition.negate
        self.pattern = Pattern(condition.pattern, condition.ignore_case)
        self._find = lookup(condition.variable)
        self._about_cookies = condition.variable.lower() == "http_resp_set-cookie"

    def holds(self, view: View) -> bool:
        if self._about_cookies:
            return self._finds_cookie(view) is not self.negate
        value = self._find(view) if self._find is not None else None
        found = self.pattern.search(value) if value is not None else None
        if found is not None:
            view.captures[self.variable] = found
        return (found is None) is self.negate

    def _finds_cookie(self, view: View) -> bool:
        """Whether there is one that matches; the first is the one that the rule is about."""
        for cookie in view.cookies():
            found = self.pattern.search(cookie)
            if found is not None:
                view.captures[self.variable], view.cookie = found, cookie
                return True
        return False

    def settle(self, view: View) -> None:
        """Of a condition on the path: see `settled`."""
        settled(view.sent, self._finds(view.path), lambda reading: self._finds(spelled(reading)))

    def _finds(self, value: str) -> bool:
        return self.pattern.search(value) is not None

    def words(self) -> str:
        return f"{self.variable} {'does not match' if self.negate else 'matches'} {self.pattern.source!r}"


class _Rule:
    def __init__(self, rule: model.RewriteRule) -> None:
        self.name = rule.name
        self.tests = [_Test(condition) for condition in rule.conditions]
        self.about_path = [test for test in self.tests if test.variable == "var_uri_path"]
        groups = {test.variable: test.pattern.groups for test in self.tests}
        self._late = any(is_about_response(test.variable) for test in self.tests)
        self.request = [(action.name, Template(action.value, groups)) for action in rule.request_headers]
        self.response = [_ResponseAction(action, groups) for action in rule.response_headers]
        self.url = _Url(rule.url, groups) if rule.url is not None else None
        self.changes_request = not self._late and (bool(self.request) or self.url is not None)

    def applies(self, view: View, note: Note | None) -> bool:
        view.captures, view.cookie = {}, None
        for test in self.tests:
            if not test.holds(view):
                if note:
                    note(f"rule {self.name} does not apply, it wants: {test.words()}")
                return False
        if note:
            note(f"rule {self.name} applies")
        return True

    def response_notes(self) -> list[str]:
        conditions = " and ".join([test.words() for test in self.tests])
        when = f" if {conditions}" if conditions else ""
        return [f"rule {self.name}: {action.words()}{when}" for action in self.response]


class _Url:
    def __init__(self, url: model.UrlAction, groups: dict[str, int]) -> None:
        self._path = Template(url.path, groups) if url.path is not None else None
        self._query = Template(url.query, groups) if url.query is not None else None
        self.reroute = url.reroute

    def apply(self, view: View, change: _Change) -> None:
        path, mark, query = change.target.partition("?")
        if not path.startswith("/"):
            return  # OPTIONS *
        if self._path is not None:
            made = clean(self._path.expand(view)).replace("?", "%3F").replace("#", "%23")
            path = made if made.startswith("/") else f"/{made}"
        if self._query is not None:
            query = clean(self._query.expand(view)).replace("#", "%23").removeprefix("?")
            mark = "?" if query else ""
        change.target = f"{path}{mark}{query}"
        change.reroute = change.reroute or self.reroute


class _Change:
    """A request head in the making."""

    def __init__(self, head: RequestHead, added: str) -> None:
        self._head = head
        self._fields: list[tuple[str, str]] | None = None
        self._host = head.host
        self._taken: dict[str, str] = {}
        self._own: dict[str, str] = {}
        self.target = head.target
        self.added = added
        self.reroute = False

    def field(self, name: str, value: str) -> None:
        lower = name.lower()
        if is_ours(name):
            self.added = _line(self.added, name, value)
            self._own[lower] = value
            return
        if lower == "host":
            if not value:
                return
            if not valid_authority(value):
                raise BadRequest(f"a rewrite makes {value[:100]!r} the host of the request, which is none")
            self._host = value
        self._taken[lower] = value
        self._fields = _with_field(self._head.fields if self._fields is None else self._fields, name, value)

    def seen(self) -> RequestHead:
        """As `done`, with the gateway's own lines that were set in the index: for the rules that follow."""
        head = self.done()
        if not self._own:
            return head
        index = {name: value for name, value in head.index.items() if name not in self._own}
        return head._replace(index=index | {name: value for name, value in self._own.items() if value})

    def done(self) -> RequestHead:
        head = self._head
        if self._fields is not None:
            # A client could have a field dropped that a rule sets by nominating it as hop-by-hop.
            nominated = [name for name in head.nominated if name not in self._taken]
            nominated += [name for name, value in self._taken.items() if not value]
            fields = self._fields
            head = head._replace(host=self._host, fields=fields, index=index_of(fields), nominated=nominated)
        return head if self.target == head.target else head._replace(target=self.target)


class _ResponseAction:
    def __init__(self, action: model.HeaderAction, groups: dict[str, int]) -> None:
        self.name = action.name
        self._matcher, self._negate = None, False
        if action.matcher is not None:
            self._matcher = Pattern(action.matcher.pattern, action.matcher.ignore_case)
            self._negate = action.matcher.negate
            groups = {**groups, MATCHER: self._matcher.groups}
        self._value = Template(action.value, groups)

    def apply(self, view: View, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        lower = self.name.lower()
        if self._matcher is None:
            own = [field for field in fields if field[0].lower() == lower and view.is_own(field[1])]
            others = [field for field in fields if field not in own] if own else fields
            return [*_with_field(others, self.name, self._value.expand(view)), *own]
        made = []
        for name, value in fields:
            if name.lower() == lower:
                found = self._matcher.search(value)
                if (found is None) is self._negate:
                    view.captures[MATCHER] = (value, *found[1:]) if found is not None else (value,)
                    made_of_it = self._value.expand(view)
                    # Of the gateway's own only the attributes can be changed: it has to know them again.
                    if not view.is_own(value) or view.is_own(made_of_it):
                        value = made_of_it
            if value or name.lower() != lower:
                made.append((name, value))
        return made

    def words(self) -> str:
        which = ""
        if self._matcher is not None:
            which = f" that {'does not match' if self._negate else 'matches'} {self._matcher.source!r}"
        return f"response field {self.name}{which}: {repr(self._value.text) if self._value.text else 'deleted'}"


def _with_field(fields: Fields | Sequence[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    """Field lines with one of this name in place of the first of its kind; without any, where the value is empty."""
    lower = name.lower()
    made: list[tuple[str, str]] = []
    for field in fields:
        if field[0].lower() != lower:
            made.append(field)
        elif value:
            made.append((name, value))
            value = ""
    if value:
        made.append((name, value))
    return made


def _line(lines: str, name: str, value: str) -> str:
    """The same for ready lines, each ended by CRLF."""
    wanted = f"{name.lower()}:"
    kept = "".join([f"{line}\r\n" for line in lines.split("\r\n") if line and not line.lower().startswith(wanted)])
    return f"{kept}{name}: {value}\r\n" if value else kept
