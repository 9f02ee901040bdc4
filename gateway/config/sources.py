"""Reads files into trees, and finds out which spelling a tree is in and where the gateway stands in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.config.arm_tables import CARDS, COLLECTIONS
from gateway.config.compact import COMPACT_KEYS, CompactReader
from gateway.config.cursor import Cursor
from gateway.config.draft import MODEL_KEYS, Draft
from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import is_expression
from gateway.config.lenient_json import read_json
from gateway.config.linked import LinkedFiles
from gateway.config.overrides import unmatched
from gateway.config.overrides_file import OverridesFile
from gateway.config.parameters import parameters_beside
from gateway.config.resource import ResourceReader
from gateway.config.template import GATEWAY_TYPE, Template
from gateway.config.tree import Map, Place, Seq, decode, line_of, nearest, show
from gateway.config.yaml_reader import read_yaml
from gateway.errors import ConfigurationError, Problem

__all__ = ["DocumentReader", "read_tree"]

MAX_FILE = 16 << 20
_MAX_YAML = 4 << 20
_MAX_SEARCH = 12
_MAX_GATEWAYS = 200
_ARM_KEYS = frozenset(COLLECTIONS) | {"frontendports", "gatewayipconfigurations", "frontendipconfigurations"}
_AZURES_KEYS = _ARM_KEYS - MODEL_KEYS
"""Those that no object of a compact document has."""
_POOLS_OF_CARD = "applicationGatewayBackendAddressPools"
_TERRAFORM = "azurerm_application_gateway"
_OF_TERRAFORM = (
    "this is Terraform's spelling of a gateway, which is not read; give what is deployed, as "
    "'az network application-gateway show -g GROUP -n NAME' prints it"
)
_LANGUAGES = {
    ".bicep": "this is Bicep, which is not read; 'az bicep build --file FILE' makes the ARM template of it",
    ".bicepparam": "this is Bicep, which is not read; 'az bicep build-params --file FILE' makes a parameter file of it",
    ".tf": _OF_TERRAFORM,
}
"""By the ending of a file, what to do with one that is neither JSON nor YAML."""
_FORMS = (
    "expected an ARM template, an exported Application Gateway, its 'properties' (httpListeners, …) "
    "or a compact configuration (listeners, pools, rules)"
)


def read_tree(path: str) -> Any:
    """The tree of a JSON or YAML file; raises `ConfigurationError` where it cannot be read."""
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise ConfigurationError([Problem("", "this is not a file: give the path of a configuration")], path)
        with open(path, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationError([Problem("", f"cannot read the file: {error.strerror or error}")], path) from error
    except ValueError as error:
        raise ConfigurationError([Problem("", f"cannot read the file: {error}")], path) from None
    if len(data) > MAX_FILE:
        raise ConfigurationError([Problem("", f"the file has more than {MAX_FILE >> 20} MiB")], path)
    text = decode(data, path)
    suffix = Path(path).suffix.lower()
    if suffix in _LANGUAGES:
        raise ConfigurationError([Problem("", _LANGUAGES[suffix])], path)
    looks_like_json = text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"', "/")
    if suffix in (".json", ".jsonc", ".template") or (looks_like_json and suffix not in (".yaml", ".yml")):
        return read_json(text, path)
    if looks_like_json:
        try:
            return read_json(text, path)
        except ConfigurationError:
            pass
    if len(text) > _MAX_YAML:
        raise ConfigurationError([Problem("", f"a YAML file of more than {_MAX_YAML >> 20} MiB")], path)
    return read_yaml(text, path)


class DocumentReader:
    """Makes a draft of one document.

    ``given``: the overrides file; ``problems``: what is wrong, and warnings; ``places``: where parameters are given.
    After `read`: ``arm`` says whether the document is in Azure's spelling, ``frontends`` maps listeners to the frontend
    addresses they name, ``left_out`` has names of what could not be used, ``may_lack`` says of what there may be none,
    and ``shared`` has the secrets that were met.
    """

    def __init__(
        self, path: str, given: OverridesFile, problems: list[Problem], places: Mapping[str, Place] | None = None
    ) -> None:
        self._path = path
        self._given = given
        self._problems = problems
        self._places = places or {}
        self.shared = Shared(given.references)
        self.shared.linked = LinkedFiles(Path(path).parent, read_tree)
        self.arm = True
        self.frontends: dict[str, str] = {}
        self.left_out: dict[str, set[str]] = {}
        self.may_lack: tuple[str, ...] = ("listeners", "rules")

    def read(self, tree: Any, supplied: dict[str, Any]) -> Draft:
        """``supplied``: values for the parameters of a template. Raises `ConfigurationError` if there is no gateway."""
        if not isinstance(tree, (Map, Seq)):
            raise ConfigurationError([Problem("", f"found {show(tree)}; {_FORMS}", 1)], self._path)
        self._tree = tree
        keys = {key.casefold() for key in tree} if isinstance(tree, Map) else set()
        if "deploymentparameters" in str(tree.value("$schema", "") if isinstance(tree, Map) else "").casefold():
            raise self._no_gateway("this is a parameter file; give the template, and this file with --parameters")
        if isinstance(tree, Map) and isinstance(tree.value("resources"), (Map, Seq)) and not keys & _ARM_KEYS:
            return self._template(tree, supplied)
        if isinstance(tree, Map) and _is_gateway(tree):
            return self._resource(self._cursor(tree, supplied, Place("", tree.line)))
        found = list(islice(self._inside(tree, supplied), _MAX_GATEWAYS))
        if found:
            return self._resource(self._chosen(found))
        if isinstance(tree, Map) and (keys & COMPACT_KEYS or any(nearest(key, COMPACT_KEYS, 0.75) for key in tree)):
            self.arm = False
            self.may_lack = tuple(kind for kind in self.may_lack if tree.value(kind) == [])
            return CompactReader(tree, self._problems).read()
        if any(kind == _TERRAFORM for kind in _kinds(tree)):
            raise self._no_gateway(_OF_TERRAFORM)
        raise self._no_gateway(f"no gateway found in this document; {_FORMS}")

    def _inside(self, tree: Any, supplied: dict[str, Any]) -> Iterator[Cursor]:
        """Gateways somewhere inside a document that is neither a template nor a gateway."""
        for node, place, parent in _search(tree, Place("")):
            if _is_template(node):
                given = parameters_beside(parent) | supplied if isinstance(parent, Map) else supplied
                yield from Template(node, given, self.shared, self._problems, place).gateways()
            else:
                yield self._cursor(node, supplied, place)

    def _cursor(self, node: Map, supplied: dict[str, Any], place: Place) -> Cursor:
        """A gateway outside of any template; of one that Azure has answered with, text in brackets is just text."""
        scope = None if _is_answer(node) else Scope(Map(), supplied, self.shared)
        return Cursor(node, scope, place, self._problems)

    def _no_gateway(self, message: str) -> ConfigurationError:
        errors = [problem for problem in self._problems if problem.severity == "error"]
        return ConfigurationError([*errors, Problem("", message)], self._path)

    def _chosen(self, gateways: Sequence[Cursor]) -> Cursor:
        """The gateway that the overrides name, or the first; what else there is becomes a warning."""
        names = [_name(cursor) for cursor in gateways]
        wanted = self._given.gateway
        if wanted is not None:
            for name, cursor in zip(names, gateways, strict=True):
                if name.casefold() == wanted.casefold():
                    return cursor
            listed = ", ".join(dict.fromkeys(name for name in names if name)) or "none that has a name"
            raise self._no_gateway(f"the overrides choose the gateway {wanted!r}, but the document has: {listed}")
        if len(gateways) > 1:
            same = len({cursor.place.path for cursor in gateways}) == 1  # turns of one copy loop
            if same and names[0] and len(set(names)) == 1:
                return gateways[0]  # deployed several times
            titles = [
                (repr(name) if name else "one without a name") if same else f"{name!r} ({path})" if name else path
                for name, path in zip(names, (cursor.place.path for cursor in gateways), strict=True)
            ]
            others = ", ".join(titles[1:6]) + (", …" if len(titles) > 6 else "")
            other = next((name for name in names if name and name != names[0]), "")
            how = f"; overrides 'gateway: {other}' choose another" if other else ""
            where = f" (copies of {gateways[0].place.path})" if same else ""
            message = f"the document holds {len(gateways)} gateways{where}; {titles[0]} is read, not {others}{how}"
            self._problems.append(Problem("", message, None, "warning"))
        return gateways[0]

    def _template(self, tree: Map, supplied: dict[str, Any]) -> Draft:
        template = Template(tree, supplied, self.shared, self._problems, Place(""))
        template.check_parameters(supplied, self._places)
        gateways = list(islice(template.gateways(), _MAX_GATEWAYS)) or self._left_out(template)
        if not gateways:
            for index, problem in enumerate(self._problems):  # they may say why
                self._problems[index] = problem._replace(severity="error")
            raise self._no_gateway(
                "the template deploys no Application Gateway (Microsoft.Network/applicationGateways)"
            )
        return self._resource(self._chosen(gateways))

    def _left_out(self, template: Template) -> list[Cursor]:
        """Gateways that would not be deployed, for lack of others."""
        left_out = template.left_out()
        if not left_out:
            return []
        self.shared.every_condition = True
        message = (
            f"with these parameters no gateway is deployed, for the condition is false of {', '.join(left_out[:5])}; "
            "the gateway is read all the same; give parameters with which it is true (--parameters FILE, or overrides "
            "'parameters: {…}'), or say that it is with overrides 'references: {\"CONDITION\": true}'"
        )
        gateways = list(islice(template.gateways(), _MAX_GATEWAYS))
        if gateways:
            self._problems.append(Problem("", message, None, "warning"))
        return gateways

    def _resource(self, cursor: Cursor) -> Draft:
        given = self._given
        files = [name for name, item in given.certificates.items() if item.certificate_file or item.pfx_file]
        pools = [name for name, item in given.pools.items() if item.members is not None]
        replaced = frozenset(name.casefold() for name in (*files, *pools))
        reader = ResourceReader(cursor, replaced)
        draft = reader.read()
        self.frontends, self.left_out = reader.frontends, reader.left_out
        cards = _cards(self._tree)
        if cards:
            draft["not_honoured"].append(f"{_POOLS_OF_CARD} ({', '.join(cards)}): {CARDS}.")
        self._problems.extend(unmatched(self.shared.used, given.references))
        return draft


def _name(cursor: Cursor) -> str:
    quiet = cursor.quiet()
    name = quiet.members().get("name")
    value = name.name() if name is not None else None
    return value if isinstance(value, str) else ""


def _cards(tree: Map | Seq) -> list[str]:
    """The kinds of resources that put network interfaces into backend pools."""
    found: set[str] = set()
    waiting: list[tuple[Map | Seq, str]] = [(tree, "")]
    seen: set[int] = set()  # nodes that YAML's aliases share
    while waiting:
        node, kind = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Map):
            own = node.value("type")
            if isinstance(own, str) and "/" in own:
                kind = own.rpartition("/")[2]
            if node.value(_POOLS_OF_CARD):
                found.add(kind or "an unknown resource")
        inner = node.values() if isinstance(node, Map) else node
        waiting += [(item, kind) for item in inner if isinstance(item, (Map, Seq))]
    return sorted(found)


def _is_gateway(node: Map) -> bool:
    inner = node.value("properties")
    for candidate in (node, inner if isinstance(inner, Map) else Map()):
        if {key.casefold() for key in candidate} & _AZURES_KEYS:
            return True
    return False


def _is_answer(node: Map) -> bool:
    """Whether Azure has answered with this gateway: what only it writes stands in it, or in one of its objects."""
    inner = node.value("properties")
    levels = [node, inner] if isinstance(inner, Map) else [node]
    lists = [value for level in levels for value in level.values() if isinstance(value, Seq)]
    objects = levels + [item for value in lists for item in value if isinstance(item, Map)]
    return any(_is_word(item.value(key)) for item in objects for key in ("etag", "provisioningState"))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not is_expression(value)


def _kinds(tree: Any) -> Iterator[str]:
    """The types of all objects in a document, and keys in their place (``resource: {TYPE: …}``)."""
    level = [tree]
    for _ in range(_MAX_SEARCH):
        for node in level:
            if isinstance(node, Map):
                yield from node
                yield str(node.value("type", ""))
        level = [item for node in level for item in (node.values() if isinstance(node, Map) else node)
                 if isinstance(item, (Map, Seq))]  # fmt: skip


def _is_template(node: Map) -> bool:
    return isinstance(node.value("resources"), (Map, Seq)) and node.find("contentVersion") is not None


def _search(tree: Any, place: Place) -> Iterator[tuple[Map, Place, Any]]:
    """Gateways and templates that stand somewhere inside a document, nearest to the top first, and what they are in."""
    level: list[tuple[Any, Place, Any]] = [(tree, place, None)]
    for _ in range(_MAX_SEARCH):
        following: list[tuple[Any, Place, Any]] = []
        for node, where, parent in level:
            if isinstance(node, Map):
                kind = str(node.value("type", "")).casefold()
                known = kind == GATEWAY_TYPE and isinstance(node.value("properties"), Map)
                if _is_gateway(node) or _is_template(node) or known:
                    yield node, where, parent
                else:
                    following += [(item, where.child(key, line_of(node, key)), node) for key, item in node.items()]
            elif isinstance(node, Seq):
                following += [(item, where.item(index, line_of(node, index)), node) for index, item in enumerate(node)]
        level = following
