"""Documents that ask for more than any real one: refused fast, within bounds, with the expression and its place."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

from gateway.config import evaluator
from gateway.config.functions import Budget
from tests.config.arm import child, deployment, gateway, template
from tests.config.support import ConfigurationTestCase

_SECONDS = 5.0  # on a slow, shared machine; alone each takes less than one
_MEGABYTES = 200


def chain(expression: str, first: Any, length: int = 30) -> dict[str, Any]:
    """Variables v0 … vN, each made of the one before, which ``%`` stands for."""
    made = {f"v{i}": expression.replace("%", f"variables('v{i - 1}')") for i in range(1, length)}
    return {"v0": first, **made}


def _peak() -> float:
    """The most memory this process has had, in MiB (``ru_maxrss`` is in KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class BombTests(ConfigurationTestCase):
    """`load` on each."""

    def bomb(self, document: Any, *words: str) -> None:
        """Refused with one error that has these words, in time and space."""
        text = json.dumps(document)
        memory, started = _peak(), time.monotonic()
        problem = self.refused_once(text, "bomb.json")
        self.assertLess(time.monotonic() - started, _SECONDS)
        self.assertLess(_peak() - memory, _MEGABYTES)
        for word in words:
            self.assertIn(word, problem)

    def port(self, expression: str, **members: Any) -> dict[str, Any]:
        return template([gateway(frontendPorts=[child("p80", port=expression)])], **members)

    def test_growing_values(self) -> None:
        """Each variable makes the one before larger; the error names the variable, expression and place."""
        text, place = "0123456789" * 100, "resources[0].properties.frontendPorts[0].properties.port: "
        for expression, first in {
            "[concat(%, %)]": text,
            "[replace(%, '0', %)]": text,
            "[padLeft(%, mul(2, length(%)))]": text,
            "[format('{0}{0}', %)]": text,
            "[join(createArray(%, %), '-')]": text,
            "[concat(%, %, %)]": [1] * 100,
            "[flatten(createArray(%, %))]": [1] * 100,
            "[base64(base64(base64(base64(%))))]": text,
            "[uriComponent(concat(%, %))]": text,
            "[string(createArray(%, %))]": text,
            "[split(concat(%, ',', %), '.')[0]]": text,
        }.items():
            document = self.port("[variables('v17')]", variables=chain(expression, first, 18))
            self.bomb(document, place, "of the variable 'v", "too ", "(in [")

    def test_shared_values(self) -> None:
        """What is small while it is shared, and enormous when it is looked at."""
        for expression, use in (
            ("[createArray(%, %)]", "[string(variables('v29'))]"),
            ("[createObject('a', %, 'b', %)]", "[string(variables('v29'))]"),
            ("[createArray(%, %)]", "[equals(variables('v29'), array(variables('v29')))]"),
            ("[union(createObject('a', %), createObject('b', %))]", "[length(string(variables('v29')))]"),
        ):
            self.bomb(self.port(use, variables=chain(expression, [1, 1])), "frontendPorts[0].properties.port: ")

    def test_numbers(self) -> None:
        for expression, word in {
            "[range(0, 2000000000)[0]]": "range() makes 0 to 10000 numbers, asked for 2000000000",
            "[padLeft('x', 2000000000)]": "too large",
            "[int('9999999999999999999999999999')]": "does not fit into 64 bits",
            "[format('{0,9999}{0,9999}', 1)]": "found",
            "[mul(9223372036854775807, 9223372036854775807)]": "does not fit into 64 bits",
        }.items():
            self.bomb(self.port(expression), "frontendPorts[0].properties.port: ", word)

    def test_nested_loops(self) -> None:
        """Lambdas in lambdas."""
        self.bomb(self.port("[string(map(range(0, 9000), lambda('a', range(0, 9000))))]"), "too large")
        forced = "[length(filter(range(0, 9000), lambda('a', greater(length(filter(range(0, 9000), lambda('b', " \
                 "equals(1, 1)))), 1))))]"  # fmt: skip
        self.bomb(self.port(forced), "too ", "frontendPorts[0].properties.port: ")

    def test_nesting(self) -> None:
        """Deep in one expression, over many variables, in a loop."""
        self.bomb(self.port("[" + "not(" * 4000 + "true()" + ")" * 4000 + "]"), "nested more than 40 levels deep")
        deep = {f"v{i}": f"[add(variables('v{i + 1}'), 1)]" for i in range(500)}
        self.bomb(self.port("[variables('v0')]", variables=deep), "refer to each other too deeply (in [variables('v0')")
        self.bomb(self.port("[variables('v')]", variables={"v": "[createArray(variables('v'))]"}), "port: ")

    def test_copies(self) -> None:
        """Loops of millions, loops in loops in loops."""
        made = gateway()
        made["copy"] = {"name": "c", "count": 5_000_000}
        self.assertIn("resources[0].copy: a copy loop of 5000000 turns", self.refused(template([made]))[0])
        made = gateway()
        made["properties"]["copy"] = [{"name": "probes", "count": 3_000_000, "input": {"name": "x"}}]
        self.bomb(template([made]), "a copy loop of 3000000 turns; 0 to 1000 are allowed")
        inner: Any = template([gateway()])
        for number in range(8):
            inner = template([deployment(f"d{number}", inner) | {"copy": {"name": f"c{number}", "count": 1000}}])
            inner["resources"][0]["condition"] = "[equals(1, 2)]" if number == 0 else True
        self.bomb(inner, "condition: ", "too many steps")
        loop: Any = 1
        for number in range(6):
            loop = {"copy": [{"name": f"x{number}", "count": 500, "input": loop}]}
        self.bomb(self.port("[string(variables('v'))]", variables={"v": loop}), "too ", "port: ")

    def test_long_text(self) -> None:
        """Text that has to be read again: JSON, long expressions in loops."""
        array = chain("[concat(%, %)]", "[1,2,3,[],{}],", 19)
        use = "[length(json(concat('[', variables('v16'), '0]')))]"
        self.bomb(self.port(use, variables=array), "too many steps", "port: ", f"(in {use})")
        self.bomb(self.port("[" + "concat('a'," * 30 + "'" + "a" * 25000 + "'" + ")" * 30 + "]"), "at most 24576")
        long = "[length(concat(" + ",".join(["'a'"] * 5000) + "))]"
        made = gateway()
        made["properties"]["copy"] = [{"name": "probes", "count": 1000, "input": {"name": "x", "properties": long}}]
        self.bomb(template([made]), "too many steps")

    def test_many_names(self) -> None:
        """A hundred thousand names, looked up in another case, and mistaken."""
        variables: dict[str, Any] = {f"Name{i}": f"[variables('nAME{i + 1}')]" for i in range(0, 50_000, 2)}
        variables |= {f"Name{i}": 1 for i in range(1, 50_001, 2)}
        names = ", ".join(f"variables('name{i}')" for i in range(0, 600, 2))
        self.bomb(self.port(f"[string(createArray({names}))]", variables=variables), "expected a whole number")
        pools = [child(f"p{i}", backendAddresses=[{"fqdn": f"[variables('Nume{i}')]"}]) for i in range(400)]
        started = time.monotonic()
        document = template([gateway(backendAddressPools=pools)], variables=variables)
        problems = self.refused(json.dumps(document), "b.json")
        self.assertLess(time.monotonic() - started, _SECONDS)
        self.assertGreaterEqual(len(problems), 400)

    def test_large_objects(self) -> None:
        """Unions of large objects, again and again."""
        large = {f"k{i}": i for i in range(20_000)}
        variables = chain("[union(%, createObject('x', length(%)))]", large)
        self.bomb(self.port("[length(string(variables('v29')))]", variables=variables), "too ", "port: ")
        several = "[length(string(createArray(" + ", ".join(["items(variables('v0'))"] * 50) + ")))]"
        self.bomb(self.port(several, variables={"v0": large}), "too ", "port: ")

    def test_secret(self) -> None:
        """Where what goes wrong is a password, the expression is not shown."""
        made = gateway(sslCertificates=[child("c", data="AAAA", password="[padLeft('hunter2', 2000000000)]")])
        problem = self.refused_once(template([made]))
        self.assertNotIn("hunter2", problem)
        self.assertIn("(in an expression)", problem)

    def test_real_documents_fit(self) -> None:
        """A gateway of a hundred listeners, rules and pools by loops needs a small part of what is allowed."""
        made = gateway()["properties"]

        def loop(name: str, **changed: str) -> dict[str, Any]:
            """A loop of what the collection has one of; ``changed``: words to make different in each turn."""
            text = json.dumps(made.pop(name)[0])
            for word in ("web", "chat", "rule"):
                text = text.replace(f"'{word}'", f"concat('{word}', copyIndex('{name}'))")
                text = text.replace(f'"{word}"', f"\"[concat('{word}', copyIndex('{name}'))]\"")
            entry = json.loads(text)
            entry["properties"] |= changed
            return {"name": name, "count": 100, "input": entry}

        made["copy"] = [
            loop("httpListeners", hostName="[concat('h', copyIndex('httpListeners'), '.test')]"),
            loop("backendAddressPools"),
            loop("requestRoutingRules", priority="[copyIndex('requestRoutingRules', 1)]"),
        ]
        budgets: list[Budget] = []

        class Counted(Budget):
            def __init__(self) -> None:
                super().__init__()
                budgets.append(self)

        self.patch(evaluator, "Budget", Counted)
        loaded = self.load(template([gateway() | {"properties": made}]))
        self.assertEqual((len(loaded.listeners), len(loaded.rules), loaded.rules[99].pool), (100, 100, "chat99"))
        self.assertGreater(budgets[0].steps, Budget().steps * 0.8)
        self.assertGreater(budgets[0].size, Budget().size * 0.9)
