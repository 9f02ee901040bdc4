"""Linked templates that stand beside the document: which file a ``templateLink`` means, where that can be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.config.functions_azure import TEMPLATE_BASE
from gateway.config.tree import Map, Seq
from gateway.errors import ConfigurationError

__all__ = ["LinkedFiles"]

_MOST_FILES = 50


class LinkedFiles:
    """Reads linked templates from files.

    ``directory``: that of the document; ``read`` makes the tree of a file.  Nothing is fetched: a link is followed if
    it is a ``relativePath``, or a URI that was made from that of the template itself (``deployment()``).
    """

    def __init__(self, directory: Path, read: Callable[[str], Any]) -> None:
        self._directory = directory
        self._read = read
        self._trees: dict[str, Map | str] = {}

    def find(self, link: str, base: str = "") -> tuple[str, Map | str]:
        """The file that a link means, relative to the document, and its tree, or a sentence on why there is none.

        ``base``: the file that the link stands in, as this method gave it; empty for the document.
        """
        file = self._file(link, base)
        if file is None:
            return link, "it is not a file beside this one"
        if file not in self._trees:
            self._trees[file] = self._tree(file)
        return file, self._trees[file]

    def _file(self, link: str, base: str) -> str | None:
        if link.startswith(TEMPLATE_BASE):
            link, base = unquote(urlsplit(link).path).lstrip("/"), ""
        file = normpath(join(dirname(base), link.replace("\\", "/")))
        if urlsplit(link).scheme or link.startswith("/") or not file.casefold().endswith((".json", ".jsonc")):
            return None
        return file

    def _tree(self, file: str) -> Map | str:
        if len(self._trees) >= _MOST_FILES:
            return f"more than {_MOST_FILES} files are linked"
        try:
            tree = self._read(str(self._directory / file))
        except ConfigurationError as error:
            problem = error.problems[0]
            return f"{problem.message}" + (f" (line {problem.line})" if problem.line else "")
        return _without_lines(tree) if isinstance(tree, Map) else "it is not a template"


def _without_lines(tree: Any) -> Any:
    """The tree without lines, for those that are reported are lines of the document."""
    if isinstance(tree, Map):
        made = Map()
        for key, value in tree.items():
            made.put(key, _without_lines(value), None)
        return made
    if isinstance(tree, Seq):
        items = Seq()
        for value in tree:
            items.add(_without_lines(value), None)
        return items
    return tree
