"""Evaluates ARM expressions against a template, lazily and within bounds.

A `Scope` is what ``parameters()``, ``variables()`` and ``copyIndex()`` mean at one place.  Parameters and variables are
evaluated when something asks for them, once.  ``reference()`` and ``list…()`` ask for what only Azure knows: an
override gives their value, or the template itself does (outputs of nested deployments, properties that stand in it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.config import functions_azure, functions_text
from gateway.config.expressions import ExpressionError, Tree, is_expression, parse, unescape
from gateway.config.functions import FUNCTIONS, Budget, integer, text, to_bool
from gateway.config.lazy import Given, Later, StandIn, Turns, Unavailable, View
from gateway.config.tree import Map, Seq, line_of, nearest, show

__all__ = ["Scope", "Shared"]

_MAX_DEPTH = 120
_MAX_COPIES = 1000
_REGISTERED = (functions_azure, functions_text)  # imported for what they register


class Shared:
    """What all scopes of one document have in common."""

    def __init__(self, references: Mapping[str, Any] | None = None) -> None:
        self.budget = Budget()
        self.depth = 0
        self.used: set[str] = set()
        self.naming = False
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


def _squeeze(key: str) -> str:
    squeezed = "".join(str(key).split()).casefold()
    return squeezed[1:-1] if is_expression(squeezed) else squeezed


class Scope:
    """The meaning of names at one place of a template."""

    def __init__(
        self,
        template: Map,
        supplied: Mapping[str, Any],
        shared: Shared,
        find_resource: Callable[[str, bool], View | None] = lambda reference, whole: None,
    ) -> None:
        self.shared = shared
        self.find_resource = find_resource
        self._template = template
        self._supplied = {key.casefold(): value for key, value in supplied.items()}
        self._memo: dict[tuple[str, str, bool], Any] = {}
        self._busy: set[tuple[str, str, bool]] = set()
        self._copies: dict[str, int] = {}
        self._locals: dict[str, Any] = {}

    def copy_of(self, name: str, index: int) -> Scope:
        """The scope inside one turn of a copy loop."""
        scope = self._derived()
        scope._copies = {**self._copies, name.casefold(): index, "": index}
        return scope

    def _derived(self) -> Scope:
        scope = Scope.__new__(Scope)
        scope.__dict__.update(self.__dict__)
        return scope

    # values

    def resolve_name(self, node: Any) -> Any:
        """As `resolve`, for what is only a name or an id: parameters without a value stand for themselves."""
        before, self.shared.naming = self.shared.naming, True
        try:
            return self.resolve(node)
        finally:
            self.shared.naming = before

    def resolve(self, node: Any) -> Any:
        """The full value of a piece of the template."""
        self.shared.depth += 1
        try:
            if self.shared.depth > _MAX_DEPTH:
                raise ExpressionError("the expressions refer to each other too deeply")
            self.shared.budget.step()
            if isinstance(node, str):
                value = self.evaluate(node) if is_expression(node) else unescape(node)
                return value.full() if isinstance(value, View) else value
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
            return node
        finally:
            self.shared.depth -= 1

    def shallow(self, node: Any, label: str) -> Any:
        """A value whose members are evaluated later: a `View` for mappings and sequences."""
        if isinstance(node, (Map, Seq)):
            return View(node, self, label)
        return self.resolve(node)

    def members(self, node: dict[str, Any]) -> list[tuple[str, Any, Scope]]:
        """The members of an object, property copy loops written out; each with the scope it is evaluated in."""
        result: list[tuple[str, Any, Scope]] = []
        for key, item in node.items():
            if (
                key.casefold() == "copy"
                and isinstance(item, list)
                and all(isinstance(loop, Map) and loop.find("count") for loop in item)
            ):
                result.extend((self.resolve(loop.value("name")), self._loop(loop), _DONE) for loop in item)
            else:
                result.append((str(self.evaluate(key)) if is_expression(key) else key, item, self))
        return result

    def _loop(self, loop: Map) -> Turns:
        """One property copy loop, as a list of (input, scope) pairs that `Turns` stands for."""
        name = text(self.resolve(loop.value("name")), "copy")
        count = self.count(loop)
        turns = Turns(loop.line)
        for index in range(count):
            turns.add((loop.value("input"), self.copy_of(name, index)), line_of(loop, "input"))
        return turns

    def count(self, loop: Map) -> int:
        """How often a copy loop turns."""
        number = integer(self.resolve(loop.value("count", 0)), "copy")
        if not 0 <= number <= _MAX_COPIES:
            raise ExpressionError(f"a copy loop of {number} turns; 0 to {_MAX_COPIES} are allowed")
        self.shared.budget.step(number)
        return number

    # expressions

    def evaluate(self, expression: str) -> Any:
        """The value of one expression, given with its brackets."""
        if self.shared.has_overrides:
            known, value = self.shared.override(expression)
            if known:
                return value
        return self._tree(parse(expression))

    def _tree(self, tree: Tree) -> Any:
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
                return self._member(tree)
            return self._call(tree[1], tree[2], tree[3])
        finally:
            shared.depth -= 1

    def _member(self, tree: Tree) -> Any:
        base, key, lenient = self._tree(tree[1]), self._tree(tree[2]), tree[3]
        if isinstance(base, Given):
            return base
        if isinstance(base, StandIn):
            return StandIn(f"{base}.{key}")
        if isinstance(base, View):
            return base.member(key)
        if isinstance(base, dict) and isinstance(key, str):
            if key in base:
                return base[key]
            for other, value in base.items():
                if other.casefold() == key.casefold():
                    return value
            if lenient:
                return None
            if self.shared.naming:
                return StandIn(key.casefold())
            close = nearest(key, base)
            hint = (
                f"; did you mean {close!r}?"
                if close
                else f"; it has {', '.join(map(repr, list(base)[:8])) or 'no members'}"
            )
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

    def _call(self, name: str, arguments: list[Tree], namespace: str) -> Any:
        if namespace and namespace != "sys":
            return self._user_function(namespace, name, arguments)
        special = getattr(self, "_do_" + name, None)
        if special is not None:
            return special(arguments)
        if name.startswith("list") and name not in FUNCTIONS:
            return self._runtime(name, [self._tree(argument) for argument in arguments])
        known = FUNCTIONS.get(name)
        if known is None:
            close = nearest(name, list(FUNCTIONS) + [word[4:] for word in dir(self) if word.startswith("_do_")])
            raise ExpressionError(
                f"the function {name}() is not known" + (f"; did you mean {close}()?" if close else "")
            )
        body, least, most = known
        _arity(name, len(arguments), least, most)
        values = [self._tree(argument) for argument in arguments]
        values = [value.full() if isinstance(value, View) else value for value in values]
        self.shared.budget.step(len(values))
        return body(self.shared.budget, *values)

    def _user_function(self, namespace: str, name: str, arguments: list[Tree]) -> Any:
        for group in self._template.value("functions") or ():
            if isinstance(group, Map) and str(group.value("namespace", "")).casefold() == namespace:
                body = (group.value("members") or Map()).value(name)
                if isinstance(body, Map):
                    names = [entry.value("name") for entry in body.value("parameters") or ()]
                    _arity(f"{namespace}.{name}", len(arguments), len(names), len(names))
                    supplied = {str(key): self._tree(argument) for key, argument in zip(names, arguments, strict=True)}
                    output = body.value("output") or Map()
                    return Scope(self._template, supplied, self.shared).resolve(output.value("value"))
        raise ExpressionError(f"the template defines no function {namespace}.{name}()")

    # functions that know where they are, or do not evaluate all of their arguments

    def _word(self, arguments: list[Tree], name: str) -> str:
        _arity(name, len(arguments), 1, 1)
        return text(self._tree(arguments[0]), name)

    def _once(self, kind: str, name: str, compute: Callable[[], Any]) -> Any:
        key = (kind, name.casefold(), self.shared.naming)
        if key not in self._memo:
            if key in self._busy:
                raise ExpressionError(f"the {kind} {name!r} is defined by itself")
            self._busy.add(key)
            try:
                self._memo[key] = compute()
            finally:
                self._busy.discard(key)
        return self._memo[key]

    def _do_parameters(self, arguments: list[Tree]) -> Any:
        name = self._word(arguments, "parameters")
        if name.casefold() in self._supplied:
            value = self._supplied[name.casefold()]
            if isinstance(value, Unavailable):
                if self.shared.naming:
                    return StandIn(name.casefold())
                raise ExpressionError(
                    f"the parameter {name!r} {value.reason}; give its value with overrides 'parameters: {{{name}: …}}'"
                )
            return value() if isinstance(value, Later) else value
        declared = self._template.value("parameters")
        declared = declared if isinstance(declared, Map) else Map()
        found = declared.find(name)
        if found is None:
            close = nearest(name, list(declared))
            raise ExpressionError(
                f"the template has no parameter {name!r}" + (f"; did you mean {close!r}?" if close else "")
            )
        entry = declared[found]
        default = entry.find("defaultValue") if isinstance(entry, Map) else None
        if default is None:
            if isinstance(entry, Map) and entry.value("nullable") is True:
                return None
            if self.shared.naming:
                return StandIn(name.casefold())
            raise ExpressionError(
                f"the parameter {name!r} has no value and no default; give it with --parameters FILE "
                f"or with overrides 'parameters: {{{name}: …}}'"
            )
        return self._once("parameter", name, lambda: self.resolve(entry[default]))

    def _do_variables(self, arguments: list[Tree]) -> Any:
        name = self._word(arguments, "variables")
        declared = self._template.value("variables")
        declared = declared if isinstance(declared, Map) else Map()
        found = declared.find(name)
        if found is not None and found.casefold() != "copy":
            return self._once("variable", name, lambda: self.resolve(declared[found]))
        for loop in declared.value("copy") or ():
            if isinstance(loop, Map) and str(loop.value("name")).casefold() == name.casefold():
                return self._once("variable", name, self._loop(loop).resolve)
        close = nearest(name, list(declared))
        raise ExpressionError(
            f"the template has no variable {name!r}" + (f"; did you mean {close!r}?" if close else "")
        )

    def _do_copyindex(self, arguments: list[Tree]) -> Any:
        _arity("copyIndex", len(arguments), 0, 2)
        values = [self._tree(argument) for argument in arguments]
        name = values.pop(0) if values and isinstance(values[0], str) else ""
        if name.casefold() not in self._copies:
            raise ExpressionError(
                f"copyIndex({name!r}): not inside that copy loop" if name else "copyIndex() outside a copy loop"
            )
        return self._copies[name.casefold()] + (integer(values[0], "copyIndex") if values else 0)

    def _do_if(self, arguments: list[Tree]) -> Any:
        _arity("if", len(arguments), 3, 3)
        return self._tree(arguments[1 if to_bool(self.shared.budget, self._tree(arguments[0])) else 2])

    def _do_and(self, arguments: list[Tree]) -> Any:
        return all(to_bool(self.shared.budget, self._tree(argument)) for argument in arguments)

    def _do_or(self, arguments: list[Tree]) -> Any:
        return any(to_bool(self.shared.budget, self._tree(argument)) for argument in arguments)

    def _do_coalesce(self, arguments: list[Tree]) -> Any:
        for argument in arguments:
            value = self._tree(argument)
            if value is not None:
                return value
        return None

    def _do_tryget(self, arguments: list[Tree]) -> Any:
        _arity("tryGet", len(arguments), 2, None)
        tree = arguments[0]
        for key in arguments[1:]:
            tree = ("member", tree, key, True)
        return self._tree(tree)

    def _do_lambdavariables(self, arguments: list[Tree]) -> Any:
        name = self._word(arguments, "lambdaVariables")
        if name.casefold() not in self._locals:
            raise ExpressionError(f"there is no lambda variable {name!r} here")
        return self._locals[name.casefold()]

    def _do_map(self, arguments: list[Tree]) -> Any:
        items, apply = self._lambda(arguments, "map")
        return [apply(item, index) for index, item in enumerate(items)]

    def _do_filter(self, arguments: list[Tree]) -> Any:
        items, apply = self._lambda(arguments, "filter")
        return [item for index, item in enumerate(items) if to_bool(self.shared.budget, apply(item, index))]

    def _do_reduce(self, arguments: list[Tree]) -> Any:
        _arity("reduce", len(arguments), 3, 3)
        items, apply = self._lambda([arguments[0], arguments[2]], "reduce")
        result = self._tree(arguments[1])
        for index, item in enumerate(items):
            result = apply(result, item, index)
        return result

    def _do_toobject(self, arguments: list[Tree]) -> Any:
        _arity("toObject", len(arguments), 2, 3)
        items, key = self._lambda(arguments[:2], "toObject")
        _, value = self._lambda([arguments[0], arguments[-1]], "toObject")
        chosen = value if len(arguments) == 3 else (lambda item: item)
        return {text(key(item), "toObject"): chosen(item) for item in items}

    def _lambda(self, arguments: list[Tree], name: str) -> tuple[list[Any], Callable[..., Any]]:
        _arity(name, len(arguments), 2, 2)
        items = self._tree(arguments[0])
        items = items.full() if isinstance(items, View) else items
        body = arguments[1]
        if not isinstance(items, list) or body[0] != "call" or body[1] != "lambda" or not body[2]:
            raise ExpressionError(f"{name}() wants an array and a lambda()")
        words = [text(self._tree(word), "lambda").casefold() for word in body[2][:-1]]

        def apply(*values: Any) -> Any:
            scope = self._derived()
            scope._locals = {**self._locals, **dict(zip(words, values, strict=False))}
            return scope._tree(body[2][-1])

        self.shared.budget.make(len(items))
        return items, apply

    def _do_reference(self, arguments: list[Tree]) -> Any:
        _arity("reference", len(arguments), 1, 3)
        return self._runtime("reference", [self._tree(argument) for argument in arguments])

    def _runtime(self, name: str, values: list[Any]) -> Any:
        """A value that only a deployment has."""
        resource = text(values[0], name) if values else ""
        short = resource.rstrip("/").rsplit("/", 1)[-1]
        known, value = self.shared.override(f"{name}('{resource}')", resource, short)
        if known:
            return value
        whole = len(values) > 2 and str(values[2]).casefold() == "full"
        found = self.find_resource(resource, whole) if name == "reference" else None
        if found is not None:
            return found
        raise ExpressionError(
            f"{name}() of {short!r} is known only in Azure; give the value with overrides 'references: {{{short}: …}}'"
        )


class _Done(Scope):
    """The scope of what needs no evaluation any more, except the turns of a loop."""

    def __init__(self) -> None:
        super().__init__(Map(), {}, Shared())

    def resolve(self, node: Any) -> Any:
        return node.resolve() if isinstance(node, Turns) else node


_DONE = _Done()


def _arity(name: str, count: int, least: int, most: int | None) -> None:
    if count < least or (most is not None and count > most):
        wanted = str(least) if most == least else f"{least} to {most}" if most is not None else f"at least {least}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, {count} were given")
