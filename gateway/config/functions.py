"""The functions of the ARM expression language that depend on nothing but their arguments.

`FUNCTIONS` maps a lower-case name to ``(function, least, most)``: how many arguments it takes (``most`` is ``None``
for any number).  Every function gets the `Budget` first and charges it for what it makes, so that no expression can
ask for unbounded memory or time.  Text functions are in `functions_text`, the ones that know the template in
`evaluator`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from gateway.config.expressions import ExpressionError, ExpressionLimit
from gateway.config.tree import show

__all__ = ["FUNCTIONS", "Budget", "Function", "dump", "function", "integer", "same", "text"]

_MAX_RANGE = 10_000
_ENTRY = 16  # what a member of an object weighs, in characters

Function = tuple[Callable[..., Any], int, "int | None"]
FUNCTIONS: dict[str, Function] = {}


class Budget:
    """How much work one document may ask for: ``steps`` of evaluation, ``size`` in characters and items made."""

    __slots__ = ("size", "steps")

    def __init__(self, steps: int = 400_000, size: int = 8_000_000) -> None:
        self.steps = steps
        self.size = size

    def step(self, count: int = 1) -> None:
        self.steps -= count
        if self.steps < 0:
            raise ExpressionLimit("the expressions of this document take too many steps to evaluate")

    def make(self, size: int) -> None:
        """Charge for ``size`` characters or items; call before making them."""
        self.size -= size
        if self.size < 0:
            raise ExpressionLimit("the expressions of this document make values that are too large")


def function(name: str, least: int, most: int | None = -1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of the language. ``most`` defaults to ``least``."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[name] = (body, least, least if most == -1 else most)
        return body

    return register


def text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ExpressionError(f"{name}() wants text, found {show(value)}")


def integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ExpressionError(f"{name}() wants a whole number, found {show(value)}")
    try:
        number = int(value) if not isinstance(value, str) else int(value[:40], 10)
    except (ValueError, OverflowError):
        raise ExpressionError(f"{name}() wants a whole number, found {show(value)}") from None
    if abs(number) >= 1 << 63:
        raise ExpressionError(f"{name}(): the number does not fit into 64 bits")
    return number


def dump(value: Any, budget: Budget) -> str:
    """JSON text of a value, compact, counted while it is made (shared parts may make it much larger than the value)."""
    parts: list[str] = []
    _dump(value, budget, parts)
    return "".join(parts)


def _dump(value: Any, budget: Budget, parts: list[str]) -> None:
    budget.step()
    if isinstance(value, dict):
        parts.append("{")
        for index, (key, item) in enumerate(value.items()):
            parts.append(("," if index else "") + json.dumps(key) + ":")
            _dump(item, budget, parts)
        parts.append("}")
    elif isinstance(value, (list, tuple)):
        parts.append("[")
        for index, item in enumerate(value):
            if index:
                parts.append(",")
            _dump(item, budget, parts)
        parts.append("]")
    else:
        made = json.dumps(value, ensure_ascii=False)
        budget.make(len(made))
        parts.append(made)


def same(a: Any, b: Any, budget: Budget) -> bool:
    """Equality of the language: types count, keys without regard to case; bounded."""
    budget.step()
    if isinstance(a, dict) and isinstance(b, dict):
        other = {key.casefold(): value for key, value in b.items()}
        if len(a) != len(b) or not all(key.casefold() in other for key in a):
            return False
        return all(same(value, other[key.casefold()], budget) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, budget) for x, y in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ExpressionError(f"{name}() wants an array, found {show(value)}")
    return value


# arrays and objects


@function("array", 1)
def _array(budget: Budget, value: Any) -> Any:
    return value if isinstance(value, list) else [value]


@function("concat", 0, None)
def _concat(budget: Budget, *items: Any) -> Any:
    if items and isinstance(items[0], list):
        budget.make(sum(len(_list(item, "concat")) for item in items))
        return [entry for item in items for entry in item]
    parts = [text(item, "concat") if not isinstance(item, bool) else str(item) for item in items if item is not None]
    budget.make(sum(map(len, parts)))
    return "".join(parts)


@function("union", 1, None)
def _union(budget: Budget, *items: Any) -> Any:
    if all(isinstance(item, dict) for item in items):
        result: dict[str, Any] = {}
        for item in items:
            result = _merge(result, item, budget)
        return result
    found: list[Any] = []
    for item in items:
        for entry in _list(item, "union"):
            if not any(same(entry, other, budget) for other in found):
                budget.make(1)
                found.append(entry)
    return found


def _merge(a: dict[str, Any], b: dict[str, Any], budget: Budget) -> dict[str, Any]:
    budget.make(_ENTRY * (len(a) + len(b)))
    result = dict(a)
    spelled = {key.casefold(): key for key in result}
    for key, value in b.items():
        key = spelled.get(key.casefold(), key)
        old = result.get(key)
        result[key] = _merge(old, value, budget) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


@function("shallowmerge", 1)
def _shallow_merge(budget: Budget, items: Any) -> Any:
    result: dict[str, Any] = {}
    for item in _list(items, "shallowMerge"):
        if not isinstance(item, dict):
            raise ExpressionError(f"shallowMerge() wants an array of objects, found {show(item)}")
        budget.make(_ENTRY * len(item))
        result.update(item)
    return result


@function("intersection", 1, None)
def _intersection(budget: Budget, *items: Any) -> Any:
    first = items[0]
    if all(isinstance(item, dict) for item in items):
        return {
            key: value
            for key, value in first.items()
            if all(key in other and same(value, other[key], budget) for other in items[1:])
        }
    lists = [_list(item, "intersection") for item in items]
    found: list[Any] = []
    for entry in first:
        common = all(any(same(entry, x, budget) for x in other) for other in lists[1:])
        if common and not any(same(entry, x, budget) for x in found):
            found.append(entry)
    return found


@function("indexfromend", 2)
def _index_from_end(budget: Budget, value: Any, index: Any) -> Any:
    items, number = _list(value, "indexFromEnd"), integer(index, "indexFromEnd")
    if not 1 <= number <= len(items):
        raise ExpressionError(f"there is no item {number} from the end in an array of {len(items)}")
    return items[-number]


@function("tryindexfromend", 2)
def _try_index_from_end(budget: Budget, value: Any, index: Any) -> Any:
    items, number = _list(value, "tryIndexFromEnd"), integer(index, "tryIndexFromEnd")
    return items[-number] if 1 <= number <= len(items) else None


@function("length", 1)
def _length(budget: Budget, value: Any) -> Any:
    if isinstance(value, (str, list, dict)):
        return len(value)
    raise ExpressionError(f"length() wants text, an array or an object, found {show(value)}")


@function("empty", 1)
def _empty(budget: Budget, value: Any) -> Any:
    if value is None or isinstance(value, (str, list, dict)):
        return not value
    raise ExpressionError(f"empty() wants text, an array or an object, found {show(value)}")


@function("contains", 2)
def _contains(budget: Budget, container: Any, item: Any) -> Any:
    if isinstance(container, str):
        return text(item, "contains") in container
    if isinstance(container, dict):
        return text(item, "contains").casefold() in (key.casefold() for key in container)
    return any(same(entry, item, budget) for entry in _list(container, "contains"))


@function("first", 1)
def _first(budget: Budget, value: Any) -> Any:
    items = value if isinstance(value, str) else _list(value, "first")
    return items[0] if items else ("" if isinstance(value, str) else None)


@function("last", 1)
def _last(budget: Budget, value: Any) -> Any:
    items = value if isinstance(value, str) else _list(value, "last")
    return items[-1] if items else ("" if isinstance(value, str) else None)


@function("skip", 2)
def _skip(budget: Budget, value: Any, count: Any) -> Any:
    items = value if isinstance(value, str) else _list(value, "skip")
    budget.make(len(items))
    return items[max(0, integer(count, "skip")) :]


@function("take", 2)
def _take(budget: Budget, value: Any, count: Any) -> Any:
    items = value if isinstance(value, str) else _list(value, "take")
    budget.make(len(items))
    return items[: max(0, integer(count, "take"))]


@function("range", 2)
def _range(budget: Budget, start: Any, count: Any) -> Any:
    length = integer(count, "range")
    if not 0 <= length <= _MAX_RANGE:
        raise ExpressionError(f"range() makes 0 to {_MAX_RANGE} numbers, asked for {length}")
    budget.make(8 * length)
    begin = integer(start, "range")
    return list(range(begin, begin + length))


@function("flatten", 1)
def _flatten(budget: Budget, items: Any) -> Any:
    budget.make(sum(len(_list(item, "flatten")) for item in _list(items, "flatten")))
    return [entry for item in items for entry in item]


@function("items", 1)
def _items(budget: Budget, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ExpressionError(f"items() wants an object, found {show(value)}")
    budget.make(4 * _ENTRY * len(value))
    return [{"key": key, "value": value[key]} for key in sorted(value)]


@function("objectkeys", 1)
def _object_keys(budget: Budget, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ExpressionError(f"objectKeys() wants an object, found {show(value)}")
    return sorted(value)


@function("min", 1, None)
def _min(budget: Budget, *values: Any) -> Any:
    return min(_numbers(values, "min"))


@function("max", 1, None)
def _max(budget: Budget, *values: Any) -> Any:
    return max(_numbers(values, "max"))


def _numbers(values: Iterable[Any], name: str) -> list[int]:
    numbers = [integer(item, name) for value in values for item in (value if isinstance(value, list) else [value])]
    if not numbers:
        raise ExpressionError(f"{name}() of nothing")
    return numbers


# logic, comparison and arithmetic


@function("equals", 2)
def _equals(budget: Budget, a: Any, b: Any) -> Any:
    return same(a, b, budget)


@function("true", 0)
def _true(budget: Budget) -> Any:
    return True


@function("false", 0)
def _false(budget: Budget) -> Any:
    return False


@function("null", 0)
def _null(budget: Budget) -> Any:
    return None


@function("not", 1)
def _not(budget: Budget, value: Any) -> Any:
    return not to_bool(budget, value)


@function("bool", 1)
def to_bool(budget: Budget, value: Any) -> bool:
    """A truth value of the language: booleans, numbers, and the words true, false, 0 and 1."""
    if isinstance(value, (bool, int)):
        return bool(value)
    if isinstance(value, str) and value.casefold() in ("true", "false", "0", "1"):
        return value.casefold() in ("true", "1")
    raise ExpressionError(f"expected true or false, found {show(value)}")


@function("int", 1)
def _int(budget: Budget, value: Any) -> Any:
    return integer(value, "int")


@function("float", 1)
def _float(budget: Budget, value: Any) -> Any:
    try:
        return float(text(value, "float"))
    except ValueError:
        raise ExpressionError(f"float() wants a number, found {show(value)}") from None


def _comparison(name: str, compare: Callable[[Any, Any], bool]) -> None:
    def body(budget: Budget, a: Any, b: Any) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return compare(a, b)
        return compare(integer(a, name), integer(b, name))

    FUNCTIONS[name.casefold()] = (body, 2, 2)


def _arithmetic(name: str, compute: Callable[[int, int], int]) -> None:
    def body(budget: Budget, a: Any, b: Any) -> int:
        try:
            return integer(compute(integer(a, name), integer(b, name)), name)
        except ZeroDivisionError:
            raise ExpressionError(f"{name}() by zero") from None

    FUNCTIONS[name] = (body, 2, 2)


def _divide(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_comparison("greater", lambda a, b: a > b)
_comparison("greaterOrEquals", lambda a, b: a >= b)
_comparison("less", lambda a, b: a < b)
_comparison("lessOrEquals", lambda a, b: a <= b)
_arithmetic("add", lambda a, b: a + b)
_arithmetic("sub", lambda a, b: a - b)
_arithmetic("mul", lambda a, b: a * b)
_arithmetic("div", _divide)
_arithmetic("mod", lambda a, b: a - b * _divide(a, b))
