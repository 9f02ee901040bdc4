"""Tests of `gateway.config.problems`: drafts, and pydantic's errors in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model
from twisted.trial import unittest

from gateway.config import model
from gateway.config.draft import Draft, place_of
from gateway.config.problems import describe, validate
from gateway.config.tree import Place
from gateway.pools.sticky import StickyOptions


class _Colour(Enum):
    RED = "red"
    SECOND = 2


class DescribeTests(unittest.SynchronousTestCase):
    """`describe`."""

    def test_words(self) -> None:
        for cls, name, words in (
            (model.HttpListener, "port", "a whole number from 0 to 65535"),
            (model.HttpListener, "protocol", "one of Http, Https, Tcp, Tls"),
            (model.HttpListener, "host_names", "a list of texts"),
            (model.HttpListener, "name", "text of 1 to 80 characters"),
            (model.HttpListener, "require_server_name_indication", "true or false"),
            (model.BackendSettings, "connect_timeout", "a number above 0 up to 300"),
            (model.BackendSettings, "connection_draining", "a mapping"),
            (model.Probe, "path", "text that begins with '/'"),
            (model.Probe, "min_servers", "a whole number, 0 or more"),
            (model.Match, "body", "text of at most 4090 characters"),
            (model.Member, "host", "text that is not empty"),
            (model.Limits, "head_timeout", "a number above 0"),
            (model.Gateway, "pools", "a list"),
            (StickyOptions, "secret", "text of at least 16 characters"),
        ):
            self.assertEqual(describe(cls.model_fields[name]), words)

    def test_words_of_plugins(self) -> None:
        """Their options may be of any type that pydantic knows."""
        for annotation, limits, words in (
            (list[str], {"min_length": 1}, "a list of texts that is not empty"),
            (list[str], {"max_length": 3}, "a list of texts with at most 3 entries"),
            (list[int] | None, {}, "a list of whole numbers"),
            (tuple[float, ...], {"min_length": 2}, "a list of numbers with at least 2 entries"),
            (Sequence[Path], {}, "a list of paths"),
            (set[Literal["a", "b"]], {}, "a list"),
            (tuple[int, str], {}, "a list"),
            (list, {}, "a list"),
            (dict[str, int], {"min_length": 1}, "a mapping that is not empty"),
            (Mapping[str, str] | None, {}, "a mapping"),
            (dict, {}, "a mapping"),
            (model.Match, {}, "a mapping"),
            (Path, {}, "a path"),
            (bytes, {"max_length": 9}, "text of at most 9 characters"),
            (timedelta, {}, "a number of seconds"),
            (date, {}, "a date"),
            (datetime, {}, "a date and time"),
            (bool, {}, "true or false"),
            (_Colour, {}, "one of red, 2"),
            (int | str, {}, "a whole number or text"),
            (Any, {}, "anything"),
            (complex, {}, "a value"),
            (Annotated[int, "note"], {"ge": 1}, "a whole number, 1 or more"),
        ):
            made = create_model("Options", option=(annotation, Field(**limits)))
            self.assertEqual(words, describe(made.model_fields["option"]), annotation)


class DraftTests(unittest.SynchronousTestCase):
    """`place_of` and `validate`."""

    def draft(self) -> Draft:
        draft = Draft(Place("", 1))
        listener = Draft(Place("httpListeners[0]", 5))
        listener.put("name", "web", Place("httpListeners[0].name", 6))
        listener.put("port", "80", Place("frontendPorts[0].port", 2))
        listener.put("host_names", ["a", "b"], Place("httpListeners[0].hostNames", 7))
        draft.put("listeners", [listener], Place("httpListeners", 4))
        return draft

    def test_places(self) -> None:
        draft = self.draft()
        for location, path, line in (
            ((), "", 1),
            (("listeners",), "httpListeners", 4),
            (("listeners", 0), "httpListeners[0]", 5),
            (("listeners", 0, "port"), "frontendPorts[0].port", 2),
            (("listeners", 0, "hostNames", 1), "httpListeners[0].hostNames[1]", 7),
            (("listeners", 0, "require_server_name_indication"), "httpListeners[0].requireServerNameIndication", 5),
            (("listeners", 3, "port"), "httpListeners[3].port", 4),
            (("rules", 0), "rules[0]", 1),
        ):
            self.assertEqual(place_of(draft, location)[:2], (path, line))

    def test_coercion(self) -> None:
        """Case of enum values, numbers and booleans as text, single words as lists."""
        draft = self.draft()
        draft["listeners"][0].update(
            protocol=" HTTPS", require_server_name_indication="True", host_names="x", certificates=[1], address=None
        )
        gateway, problems, broken = validate(draft)
        self.assertEqual((problems, broken), ([], []))
        (listener,) = gateway.listeners
        self.assertEqual(
            (listener.port, listener.protocol, listener.host_names, listener.certificates),
            (80, "Https", ("x",), ("1",)),
        )
        self.assertIs(listener.require_server_name_indication, True)

    def test_failed_values_stay_silent(self) -> None:
        """What could not be read has been reported: no second error for it, and the rest is still checked."""
        draft = self.draft()
        del draft["listeners"][0]["port"]
        draft["listeners"][0].failed.add("port")
        draft["listeners"][0]["protocol"] = "x"
        _, problems, broken = validate(draft)
        self.assertEqual(len(problems), 1)
        self.assertIn(("listeners", 0, "port"), broken)

    def test_secrets(self) -> None:
        """A value that may be a secret is not shown."""
        draft = Draft(Place("", 1))
        certificate = Draft(Place("certificates[0]", 2))
        certificate.update(name="c", data=["hunter2"], password={"hunter2": 1})
        draft["certificates"] = [certificate]
        _, problems, _ = validate(draft)
        self.assertEqual(len(problems), 2)
        self.assertNotIn("hunter2", "".join(map(str, problems)))
