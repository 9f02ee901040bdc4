"""Evaluates ARM expressions against a template, lazily and within bounds.

A `Scope` is what ``parameters()``, ``variables()`` and ``copyIndex()`` mean at one place.  Parameters and variables are
evaluated when something asks for them, once, and of objects only the members that are asked for.  Functions that need
to know where they stand are in `gateway.config.forms`, those that ask for a deployment in `gateway.config.forms_azure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config import functions_azure, functions_dates, functions_text
from gateway.config.expressions import (
    ExpressionError,
    ExpressionLimit,
    Tree,
    is_expression,
    parse,
    unescape,
)
from gateway.config.forms import FORMS, arity
from gateway.config.forms_azure import ask_azure
from gateway.config.functions import FUNCTIONS, Budget, integer, text
from gateway.config.lazy import Given, Later, StandIn, Turns, View, full
from gateway.config.tree import Hints, Map, Seq, line_of, nearest, show

if TYPE_CHECKING:
    from gateway.config.linked import LinkedFiles

__all__ = ["Scope", "Shared"]

_T = TypeVar("_T")
_MAX_DEPTH = 120
_MAX_COPIES = 1000
_MIN_SECRET = 6
_MAX_SECRETS = 1000
_REGISTERED = (functions_azure, functions_dates, functions_text)  # imported for what they register
_SHELL = frozenset({"empty", "length", "contains", "objectkeys"})
"""Functions that look at the names and the number of members only."""

_LOOP = frozenset({"name", "count", "input", "mode", "batchsize"})
"""What a copy loop has."""

_VERBATIM = frozenset(
    "concat format join uri uniquestring guid resourceid subscriptionresourceid tenantresourceid extensionresourceid "
    "managementgroupresourceid".split()
)
"""Functions whose results hold texts that they are given as they are, or do not betray them."""

Find = Callable[[str, bool], "View | None"]


class Shared:
    """What all scopes of one document have in common.

    ``references``: overrides for what only Azure knows.  ``naming``: only names are being made, so parameters without
    a value may stand for themselves.  ``every_condition``: resources are read whose condition is false.  ``secrets``:
    values of secure parameters, never to be shown.  ``secret_reads``: how often one has been read.  ``linked``: where
    linked templates are looked for, if anywhere.
    """

    def __init__(self, references: Mapping[str, Any] | None = None) -> None:
        self.budget = Budget()
        self.depth = 0
        self.used: set[str] = set()
        self.naming = False
        self.every_condition = False
        self.secrets: set[str] = set()
        self.secret_reads = 0
        self.linked: LinkedFiles | None = None
        self._hints = Hints()
        self._parsed: dict[str, Tree] = {}
        self._references = {_squeeze(key): (key, value) for key, value in (references or {}).items()}

    def override(self, *keys: str) -> tuple[bool, Any]:
        """The value an override gives for an expression or a resource, by any of its names."""
        for key in keys:
            found = self._references.get(_squeeze(key))
            if found is not None:
                self.used.add(found[0])
                return True, Given(found[1]) if isinstance(found[1], str) else found[1]
        return False, None

    @property
    def has_overrides(self) -> bool:
        return bool(self._references)

    def parse(self, expression: str) -> Tree:
        tree = self._parsed.get(expression)
        if tree is None:
            self.budget.step(1 + len(expression) // 100)
            tree = self._parsed[expression] = parse(expression)
        return tree

    def hint(self, word: str, known: Any) -> str:
        """``; did you mean …?``, for the first mistakes of a document."""
        close = self._hints.nearest(word, known)
        return f"; did you mean {close!r}?" if close else ""

    def keep_secret(self, value: Any) -> None:
        """Remember the words of a secure parameter."""
        if isinstance(value, View):
            value = value.node
        if isinstance(value, str):
            if len(value) >= _MIN_SECRET and not is_expression(value) and len(self.secrets) < _MAX_SECRETS:
                self.secrets.add(value)
        elif isinstance(value, (dict, list)) and len(self.secrets) < _MAX_SECRETS:
            for item in value.values() if isinstance(value, dict) else value:
                self.keep_secret(item)

    def read_secret(self, value: Any) -> None:
        """A secure parameter has been read: what functions make of it is a secret too."""
        self.keep_secret(value)
        if value not in ("", None):
            self.secret_reads += 1

    def watched(self, compute: Callable[[], _T]) -> tuple[_T, bool]:
        """What a computation gives, and whether it has read a secret."""
        before = self.secret_reads
        return compute(), self.secret_reads != before

    def recall(self, found: tuple[_T, bool]) -> _T:
        """A value that has been computed before, and may have read a secret then."""
        self.secret_reads += found[1]
        return found[0]


def _squeeze(key: str) -> str:
    squeezed = "".join(str(key).split()).casefold()
    return squeezed[1:-1] if is_expression(squeezed) else squeezed


class Scope:
    """The meaning of names at one place of a template.

    ``find_resource``: what ``reference()`` of a name or id may show of the template; ``whole``: not only its
    properties.  ``copies``: the turns of the copy loops around, by name, "" for the nearest.
    """

    def __init__(
        self,
        template: Map,
        supplied: Mapping[str, Any],
        shared: Shared,
        find_resource: Find = lambda reference, whole: None,
    ) -> None:
        self.shared = shared
        self.find_resource = find_resource
        self.template = template
        self.supplied = {key.casefold(): value for key, value in supplied.items()}
        self.copies: dict[str, int] = {}
        self.locals: dict[str, Any] = {}
        self._memo: dict[tuple[str, str, bool], tuple[Any, bool]] = {}
        self._busy: set[tuple[str, str, bool]] = set()

    def copy_of(self, name: str, index: int) -> Scope:
        """The scope inside one turn of a copy loop."""
        scope = self.derived()
        scope.copies = {**self.copies, name.casefold(): index, "": index}
        return scope

    def derived(self) -> Scope:
        """Another scope of the same template, which shares what has been computed."""
        scope = Scope.__new__(Scope)
        scope.__dict__.update(self.__dict__)
        return scope

    def once(self, kind: str, name: str, compute: Callable[[], Any]) -> Any:
        """The value of a parameter or variable, computed on first use."""
        key = (kind, name.casefold(), self.shared.naming)
        if key not in self._memo:
            if key in self._busy:
                raise ExpressionError(f"the {kind} {name!r} is defined by itself")
            self._busy.add(key)
            try:
                self._memo[key] = self.shared.watched(compute)
            except ExpressionLimit as error:
                error.owner = error.owner or f"the {kind} {name!r}"
                raise
            finally:
                self._busy.discard(key)
        return self.shared.recall(self._memo[key])

    # values

    def name_of(self, node: Any) -> Any:
        """As `look`, for what is only a name or an id: parameters without a value stand for themselves."""
        before, self.shared.naming = self.shared.naming, True
        try:
            return self.look(node)
        finally:
            self.shared.naming = before

    def look(self, node: Any, resource: str = "") -> Any:
        """The value of a piece of the template, its members evaluated later (`View`)."""
        if isinstance(node, (Map, Seq)):
            return View(node, self, resource)
        if isinstance(node, Later):
            return node()
        if not isinstance(node, str):
            return node
        if not is_expression(node):
            return unescape(node)
        self._enter()
        try:
            return self._evaluate(node)
        finally:
            self.shared.depth -= 1

    def resolve(self, node: Any) -> Any:
        """The full value of a piece of the template."""
        self._enter()
        try:
            if isinstance(node, Turns):
                return node.resolve()
            if isinstance(node, dict):
                result = Map(getattr(node, "line", None))
                for key, item, scope in self.members(node):
                    result.put(key, scope.resolve(item), line_of(node, key))
                return result
            if isinstance(node, list):
                items = Seq(getattr(node, "line", None))
                for index, item in enumerate(node):
                    items.add(self.resolve(item), line_of(node, index))
                return items
            return full(self.look(node))
        finally:
            self.shared.depth -= 1

    def _enter(self) -> None:
        self.shared.depth += 1
        if self.shared.depth > _MAX_DEPTH:
            self.shared.depth -= 1
            raise ExpressionError("the expressions refer to each other too deeply")
        self.shared.budget.step()

    def members(self, node: dict[str, Any]) -> list[tuple[str, Any, Scope]]:
        """The members of an object, property copy loops written out; each with the scope it is evaluated in."""
        result: list[tuple[str, Any, Scope]] = []
        for key, item in node.items():
            if key.casefold() == "copy" and isinstance(item, (Map, list)) and "type" not in node:
                result.extend((self._loop_name(loop), self._loop_later(loop, item), self) for loop in self.loops(item))
            else:
                result.append((str(self.evaluate(key)) if is_expression(key) else key, item, self))
        return result

    def loops(self, given: Any) -> list[Map]:
        """The loops that a ``copy`` of members or variables has; one that is not in a list, too."""
        loops = given if isinstance(given, list) else [] if given is None else [given]
        if not all(isinstance(loop, Map) for loop in loops):
            raise ExpressionError(f"'copy' is {show(given)}, expected a list of loops {{name, count, input}}")
        return loops

    def _loop_name(self, loop: Map) -> str:
        _complete(loop, "name")
        return text(self.resolve(loop.value("name")), "copy")

    def _loop_later(self, loop: Map, given: Any) -> Turns | Later:
        """The turns of a loop, or what raises when it is asked for."""
        try:
            return self.loop(loop, given)
        except ExpressionError:
            return Later(self.shared, lambda: View(self.loop(loop, given), self), loop.line)

    def loop(self, loop: Map, given: Any = None) -> Turns:
        """One copy loop, as a list of (input, scope) pairs that `Turns` stands for; ``given``: all that is ``copy``."""
        if loop is given:
            raise ExpressionError('a copy loop of members or variables stands in a list: write "copy": [{…}]')
        _complete(loop, "count", "input")
        name = text(self.resolve(loop.value("name", "")), "copy")
        turns = Turns(loop.line)
        for index in range(self.count(loop)):
            turns.add((loop.value("input"), self.copy_of(name, index)), line_of(loop, "input"))
        return turns

    def count(self, loop: Map) -> int:
        """How often a copy loop turns."""
        _complete(loop, "count")
        number = integer(self.resolve(loop.value("count")), "copy")
        if not 0 <= number <= _MAX_COPIES:
            raise ExpressionError(f"a copy loop of {number} turns; 0 to {_MAX_COPIES} are allowed")
        self.shared.budget.step(number)
        return number

    # expressions

    def evaluate(self, expression: str) -> Any:
        """The full value of one expression, given with its brackets."""
        return full(self._evaluate(expression))

    def _evaluate(self, expression: str) -> Any:
        shared = self.shared
        if shared.has_overrides:
            known, value = shared.override(expression)
            if known:
                return value
        try:
            return self.tree(shared.parse(expression))
        except ExpressionLimit as error:
            error.expression = error.expression or expression
            raise

    def tree(self, tree: Tree) -> Any:
        """The value of a parsed expression, objects and arrays perhaps as a `View`."""
        shared = self.shared
        shared.depth += 1
        try:
            shared.budget.step()
            if shared.depth > _MAX_DEPTH:
                raise ExpressionError("the expressions refer to each other too deeply")
            kind = tree[0]
            if kind in ("text", "number"):
                return tree[1]
            if kind == "member":
                return self._member(self.tree(tree[1]), self.tree(tree[2]), tree[3])
            return self._call(tree[1], tree[2], tree[3])
        finally:
            shared.depth -= 1

    def _member(self, base: Any, key: Any, lenient: bool) -> Any:
        if isinstance(base, Given):
            return base
        if isinstance(base, StandIn):
            return StandIn(f"{base}.{key}")
        if isinstance(base, View):
            return self._in_view(base, key, lenient)
        if isinstance(base, dict) and isinstance(key, str):
            found = base.find(key) if isinstance(base, Map) else _find(base, key)
            if found is not None:
                return base[found]
            if lenient:
                return None
            if self.shared.naming:
                return StandIn(key.casefold())
            hint = self.shared.hint(key, base) or f"; it has {', '.join(map(repr, list(base)[:8])) or 'no members'}"
            raise ExpressionError(f"there is no member {key!r}{hint}")
        if isinstance(base, list) and isinstance(key, int):
            if 0 <= key < len(base):
                return base[key]
            if lenient:
                return None
            raise ExpressionError(f"there is no item {key} in an array of {len(base)}")
        if base is None and lenient:
            return None
        raise ExpressionError(f"{show(base)} has no member {show(key)}")

    def _in_view(self, view: View, key: Any, lenient: bool) -> Any:
        made_up = self.shared.naming and view.is_object and not view.resource  # a resource makes its own
        if made_up and isinstance(key, str) and key.casefold() not in view.entries():
            return None if lenient else StandIn(key.casefold())
        return view.member(key, lenient)

    def _call(self, name: str, arguments: list[Tree], namespace: str) -> Any:
        if namespace and namespace != "sys":
            made, secret = self.shared.watched(lambda: self._user_function(namespace, name, arguments))
            if secret:
                self.shared.keep_secret(made)
            return made
        form = FORMS.get(name)
        if form is not None:
            return form(self, arguments)
        if name.startswith("list") and name not in FUNCTIONS:
            return ask_azure(self, name, arguments)
        known = FUNCTIONS.get(name)
        if known is None:
            hint = self.shared.hint(name, [*FUNCTIONS, *FORMS]).replace("'", "").replace("?", "()?")
            raise ExpressionError(f"the function {name}() is not known{hint}")
        body, least, most = known
        arity(name, len(arguments), least, most)
        before = self.shared.secret_reads
        values = [self.tree(argument) for argument in arguments]
        if name in _SHELL and isinstance(values[0], View) and (name != "contains" or values[0].is_object):
            values[0] = values[0].shell()
        values = [full(value) for value in values]
        self.shared.budget.step(len(values))
        made = body(self.shared.budget, *values)
        if self.shared.secret_reads != before and name not in _VERBATIM:
            self.shared.keep_secret(made)
        return made

    def _user_function(self, namespace: str, name: str, arguments: list[Tree]) -> Any:
        groups = self.template.value("functions") or Seq()
        if not isinstance(groups, Seq):
            raise ExpressionError(f"the template's 'functions' are {show(groups)}, expected a list of namespaces")
        for group in groups:
            if isinstance(group, Map) and str(group.value("namespace", "")).casefold() == namespace:
                members = group.value("members")
                body = members.value(name) if isinstance(members, Map) else None
                if isinstance(body, Map):
                    return self._apply(f"{namespace}.{name}", body, arguments)
        raise ExpressionError(f"the template defines no function {namespace}.{name}()")

    def _apply(self, name: str, body: Map, arguments: list[Tree]) -> Any:
        """The value of a function of the template's own."""
        declared, output = body.value("parameters") or Seq(), body.value("output") or Map()
        if not isinstance(declared, Seq) or not all(isinstance(entry, Map) for entry in declared):
            raise ExpressionError(f'the parameters of {name}() are written [{{"name": …, "type": …}}]')
        if not isinstance(output, Map):
            raise ExpressionError(f'the output of {name}() is written {{"type": …, "value": …}}')
        names = [entry.value("name") for entry in declared]
        arity(name, len(arguments), len(names), len(names))
        supplied = {str(key): self.tree(argument) for key, argument in zip(names, arguments, strict=True)}
        # functions may call each other, but see neither variables nor resources
        functions = Map()
        functions.put("functions", self.template.value("functions"), None)
        return Scope(functions, supplied, self.shared).look(output.value("value"))


def _complete(loop: Map, *wanted: str) -> None:
    """See that a copy loop says what it needs to. Raises `ExpressionError`."""
    for key in wanted:
        if loop.find(key) is None:
            named = f" of {show(loop.value('name'))}" if key != "name" and loop.find("name") is not None else ""
            close = nearest(key, (other for other in loop if other.casefold() not in _LOOP))
            hint = f"; it has {close!r}, did you mean {key!r}?" if close else ""
            raise ExpressionError(f"the copy loop{named} has no {key!r}{hint}")


def _find(base: dict[str, Any], key: str) -> str | None:
    if key in base:
        return key
    folded = key.casefold()
    return next((other for other in base if other.casefold() == folded), None)
