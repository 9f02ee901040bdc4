"""Writes `interfaces/*.md` from the docstrings of `gateway.interfaces`: run ``python docs/make_interfaces.py`` after
changing them.

With ``--check`` nothing is written; the exit status is 1 where a page is not up to date, or should not be there.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from zope.interface import Interface
from zope.interface.interface import Method

from gateway import interfaces, services, testing, values
from gateway.strategies.groups import BUILT_IN, GROUPS

PAGES = Path(__file__).with_name("interfaces")
MADE = "*This page is made from the docstrings of `{module}` by `docs/make_interfaces.py`.*"


class Page(NamedTuple):
    """One page. ``key``: where a configuration names it; ``more``: interfaces that belong to it."""

    file: str
    title: str
    interface: str
    group: str
    key: str
    conformance: tuple[str, ...]
    more: tuple[str, ...] = ()


STRATEGIES = (
    Page("router", "Router", "IRouter", "gateway.routers", "`router` of a rule", ("RouterConformance",)),
    Page("async-router", "Router that waits", "IAsyncRouter", "gateway.routers", "`router` of a rule",
         ("AsyncRouterConformance",)),
    Page("middleware", "Middleware", "IMiddleware", "gateway.middleware",
         "`middleware` of the gateway, a listener, a rule or a path rule", ("MiddlewareConformance",),
         ("IBodyEncoder",)),
    Page("message-filter", "Message filter", "IMessageFilter", "gateway.filters", "`filters` of a rule or a path rule",
         ("MessageFilterConformance",), ("IMessages", "IConversation")),
    Page("selector", "Selector", "ISelector", "gateway.selectors", "`selector` and `selectorOptions` of a pool",
         ("SelectorConformance", "PeerSelectorConformance", "AffinityConformance"),
         ("IPeerSelector", "IAffinity", "IReturning", "ILatencyAware", "IBackend")),
    Page("probe", "Probe", "IProbe", "gateway.probes", "`strategy` and `options` of a probe", ("ProbeConformance",)),
    Page("discovery", "Discovery", "IDiscovery", "gateway.discovery", "`discovery` of a pool",
         ("DiscoveryConformance",)),
    Page("observer", "Observer", "IOutcomeObserver", "gateway.observers", "`observers` of the gateway",
         ("ObserverConformance",), ("ITally",)),
)  # fmt: skip
WAYS = """## How the gateway finds yours

| | Where | For |
|---|---|---|
| `module:object` in the configuration | anywhere on `sys.path` | one deployment, and subclasses of what is there |
| an entry point | a distribution that is installed beside the gateway, in any way | what is shared; [an example](../../examples/gateway-tenants/README.md) |
| a drop-in | one file in `gateway/plugins` | one machine |

A drop-in lies in a directory `gateway/plugins` of any directory on `sys.path` (without `__init__.py`), or in that of the gateway
itself, where an upgrade of the gateway leaves it alone but a new environment does not have it. This prints them all:

```console
$ python -c "import gateway.plugins; print(*gateway.plugins.__path__, sep='\\n')"
```

A drop-in says its group itself: `Factory("first", None, First, group="gateway.selectors")`. What is installed, and what is
wrong with it, is listed by `gatewayctl plugins`. Two that claim one name are an error that names both.
"""  # noqa: E501
FACTORY = "factory.md"
VALUES = "values.md"

_DEFINITION = re.compile(r"^`\w+`(?:, `\w+`)*(?: \([^)]*\))?(?:, `\w+`)*:", re.MULTILINE)
"""A line that says what some words mean, as docstrings of values have them."""

_SHOWN = ("RequestHead", "ResponseHead", "Peer", "Route", "Reply", "Context", "Answer", "Close", "Outcome",
          "ProbeResult")


def main(arguments: list[str]) -> int:
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    if "--check" in arguments:
        return 0 if there == made else 1
    PAGES.mkdir(exist_ok=True)
    for name in set(there) - set(made):
        (PAGES / name).unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    return 0


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    assert set(GROUPS) == {page.group for page in STRATEGIES}, "a page for each group"
    made = {f"{page.file}.md": strategy(page) for page in STRATEGIES}
    made[FACTORY] = factory()
    made[VALUES] = all_values()
    made["index.md"] = index()
    return made


def index() -> str:
    rows = [
        f"| [{page.title}]({page.file}.md) | {_first(getattr(interfaces, page.interface))} | {page.key} |"
        for page in STRATEGIES
    ]
    return (
        f"# Interfaces\n\n{MADE.format(module='gateway.interfaces')}\n\n"
        "What can be replaced by a class of your own, and what such a class has to do. Each comes from a "
        "[factory](factory.md), and is given [values](values.md). [Write your first router](../first-router.md) shows "
        "how.\n\n"
        "| | | Named in a configuration as |\n|---|---|---|\n" + "\n".join(rows) + "\n\n" + WAYS
    )


def strategy(page: Page) -> str:
    """The page of one kind of strategy."""
    built_in = BUILT_IN.get(page.group, {})
    ours = ", ".join([f"`{name}` ([source](../../{_file(where)}))" for name, where in sorted(built_in.items())])
    mixins = ", ".join([f"`{name}`" for name in page.conformance])
    parts = [
        f"# {page.title}",
        MADE.format(module="gateway.interfaces"),
        f"`gateway.interfaces.{page.interface}`",
        words(getattr(interfaces, page.interface)),
        "| | |\n|---|---|\n"
        f"| Named in a configuration | {page.key} |\n"
        f"| Entry points, and `group` of drop-ins | `{page.group}` |\n"
        "| Made by | a [factory](factory.md) |\n"
        f"| Conformance tests (`gateway.testing`) | {mixins} |\n"
        f"| With the gateway come | {ours or 'none'} |",
        *members(getattr(interfaces, page.interface)),
    ]
    for name in page.more:
        interface = getattr(interfaces, name)
        parts += [f"## `{name}`", words(interface), *members(interface, "###")]
    parts += ["## Conformance tests", "Mixed into a test case of your own, with what they ask for."]
    parts += [f"**`{name}`** {words(getattr(testing, name))}" for name in page.conformance]
    return "\n\n".join(parts) + "\n"


def factory() -> str:
    """The page on factories and services."""
    parts = [
        "# Factory",
        MADE.format(module="gateway.interfaces` and `gateway.services"),
        "`gateway.interfaces.IStrategyFactory`",
        words(interfaces.IStrategyFactory),
        *members(interfaces.IStrategyFactory),
        "## `gateway.testing.FactoryConformance`",
        words(testing.FactoryConformance),
        "## `gateway.services.Factory`",
        words(services.Factory),
        "## `gateway.services.Options`",
        words(services.Options),
        "## `gateway.services.Services`",
        words(services.Services),
        "## `ILasting`",
        words(interfaces.ILasting),
        "## `IClosing`",
        words(interfaces.IClosing),
        *members(interfaces.IClosing, "###"),
    ]
    return "\n\n".join(parts) + "\n"


def all_values() -> str:
    """The page on the values that strategies are given."""
    parts = ["# Values", MADE.format(module="gateway.values"), words(values)]
    for name in _SHOWN:
        cls: Any = getattr(values, name)
        parts += [f"## `{name}`", words(cls)]
        fields = getattr(cls, "_fields", None)
        if fields:
            defaults = cls._field_defaults
            shown = [f"{each}={defaults[each]!r}" if each in defaults else each for each in fields]
            parts.append(f"```python\n{name}({', '.join(shown)})\n```")
        elif cls is values.Outcome:
            kinds = {key: kind for key, kind in cls.__annotations__.items() if not key.startswith("_")}
            lines = [f"{key}: {kind} = {getattr(cls, key)!r}" for key, kind in kinds.items()]
            parts.append("```python\n" + "\n".join(lines) + "\n```")
        for key, found in sorted(vars(cls).items()):
            if not key.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)) and found.__doc__:
                call = f"{key}{_signature(found)}" if inspect.isfunction(found) else key
                parts.append(f"**`{call}`** {words(found)}")
    return "\n\n".join(parts) + "\n"


def members(interface: type[Interface], level: str = "##") -> list[str]:
    """Attributes as a table, then methods."""
    own = [(name, interface[name]) for name in sorted(interface.names(), key=lambda each: _place(interface, each))]
    attributes = [(name, found) for name, found in own if not isinstance(found, Method)]
    parts = []
    if attributes:
        # The first argument of an Attribute is its name where it has no spaces, else its documentation.
        rows = [f"| `{name}` | {_cell(found.__doc__ or found.__name__)} |" for name, found in attributes]
        parts.append("| Attribute | |\n|---|---|\n" + "\n".join(rows))
    for name, found in own:
        if isinstance(found, Method):
            parts += [f"{level} `{name}{found.getSignatureString()}`", words(found)]
    return parts


def words(documented: Any) -> str:
    """A docstring as Markdown."""
    text = inspect.cleandoc(documented.__doc__ or "").replace("``", "`")
    text = _DEFINITION.sub(r"* \g<0>", text)
    return re.sub(r"(?<=\S)  +", " ", text.replace("::\n", ":\n"))


def _first(documented: Any) -> str:
    return _cell(words(documented).partition("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def _place(interface: type[Interface], name: str) -> int:
    """Where a member stands in the source."""
    source = inspect.getsource(interfaces)
    start = source.index(f"class {interface.__name__}(")
    found = re.compile(rf"^    (?:def )?{name}\b", re.MULTILINE).search(source, start)
    assert found is not None, name
    return found.start()


def _signature(function: Any) -> str:
    _, *parameters = inspect.signature(function).parameters.values()
    return f"({', '.join([str(each.replace(annotation=each.empty)) for each in parameters])})"


def _file(where: str) -> str:
    return where.partition(":")[0].replace(".", "/") + ".py"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
