"""Tests for `gateway.filters.json_schema`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import ConfigurationError
from gateway.values import DROP, Close
from tests.filters.support import Tried

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["op"],
    "properties": {"op": {"enum": ["join", "say"]}, "n": {"$ref": "#/definitions/n"}},
    "additionalProperties": False,
    "definitions": {"n": {"type": "integer", "multipleOf": 2, "default": 4}},
}
WRONG = Close(1008, "the message does not fit the schema")


class JSONSchemaTests(SynchronousTestCase):
    """What fits passes as it is, and nothing else passes."""

    def test_messages(self) -> None:
        tried = Tried("json-schema", schema=SCHEMA)
        for payload, verdict in (
            ('{"op": "join"}', None),
            ('{"op": "say", "n": 2}', None),
            ('{"op": "say", "n": 3}', WRONG),
            ('{"op": "leave"}', WRONG),
            ('{"op": "say", "x": 1}', WRONG),
            ("[]", WRONG),
            ("{", WRONG),
            ("", WRONG),
            ('{"op": "say", "n": NaN}', WRONG),
            ('{"op": "say", "n": 1e999}', WRONG),
            ('{"op": "say", "n": ' + "9" * 5000 + "}", WRONG),
            ("[" * 100_000, WRONG),
            (b'{"op": "join"}', WRONG),
        ):
            self.assertEqual(verdict, tried.client(payload), payload[:50])
            self.assertIsNone(tried.backend(payload))

    def test_what_becomes_of_the_others(self) -> None:
        tried = Tried("json-schema", schema=True, then="drop", binary="pass", sender="both")
        self.assertEqual([None, None, DROP], [tried.client("1"), tried.backend(b"\xff"), tried.backend("x")])
        tried = Tried("json-schema", schema=False, code=4000)
        self.assertEqual(4000, tried.client("1").code)

    def test_from_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text(json.dumps(SCHEMA))
        self.assertEqual(WRONG, Tried("json-schema", file=str(path)).client("[]"))
        path.write_text("{")
        self.refused(f"{path} is not JSON", file=str(path))
        path.unlink()
        self.refused(f"cannot read {path}: No such file", file=str(path))

    def refused(self, *words: str, **options: Any) -> None:
        error = self.assertRaises(ConfigurationError, Tried, "json-schema", **options)
        for word in words:
            self.assertIn(word, str(error))

    def test_schemas_that_are_none(self) -> None:
        self.refused("Unknown type", schema={"type": "strin"})
        self.refused("cannot be compiled", schema={"type": "string", "pattern": "("})
        self.refused("another document", schema={"$ref": "http://127.0.0.1:1/other.json"})
        self.refused("another document", schema={"$ref": "file:///etc/passwd"})

    def test_what_would_be_ignored_is_refused(self) -> None:
        self.refused("2020-12", schema={"$schema": "https://json-schema.org/draft/2020-12/schema"})
        self.refused("'prefixItems'", schema={"properties": {"a": {"prefixItems": [True]}}})
        Tried("json-schema", schema={"properties": {"prefixItems": True}, "examples": [{"prefixItems": 1}]})
        Tried("json-schema", schema={"$schema": "http://json-schema.org/draft-07/schema#"})

    def test_options(self) -> None:
        self.refused("give `schema` or `file`")
        self.refused("give `schema` or `file`", schema={}, file="x")
        self.refused("close code", schema={}, code=1006)

    def test_without_the_package(self) -> None:
        self.addCleanup(sys.modules.pop, "fastjsonschema")
        sys.modules["fastjsonschema"] = None  # type: ignore[assignment]
        self.refused("pip install 'gateway[json-schema]'", schema={})
