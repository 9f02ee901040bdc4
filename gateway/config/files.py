"""The files that a configuration names: absolute paths, and whether they are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.config.draft import Draft, Location
from gateway.config.model import Gateway

__all__ = ["with_files"]

_Item = TypeVar("_Item", bound=BaseModel)
_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("certificates", ("certificate_file", "key_file")),
    ("trusted_roots", ("file",)),
    ("error_pages", ("file",)),
)


def with_files(gateway: Gateway, draft: Draft, base: Path, missing: Callable[[Location, Path], object]) -> Gateway:
    """The gateway with absolute paths; those of the configuration are relative to ``base``, those of overrides are not.

    ``missing`` is told where there is no file, or something that is none.
    """

    def absolute(items: Sequence[_Item], read: Any, at: Location, attributes: tuple[str, ...]) -> tuple[_Item, ...]:
        made = []
        for index, item in enumerate(items):
            update = {}
            for attribute in attributes:
                name = getattr(item, attribute)
                if not name:
                    continue
                overridden = index >= len(read or ()) or attribute not in read[index]
                path = Path(name) if overridden else base / name
                if not os.path.isfile(path):  # never raises, unlike Path.is_file
                    missing((*at, index, attribute), path)
                update[attribute] = str(path)
            made.append(item.model_copy(update=update) if update else item)
        return tuple(made)

    updates: dict[str, Any] = {
        kind: absolute(getattr(gateway, kind), draft.get(kind), (kind,), attributes) for kind, attributes in _FILES
    }
    listeners = []
    for index, listener in enumerate(gateway.listeners):
        if listener.error_pages:
            read = draft["listeners"][index].get("error_pages")
            pages = absolute(listener.error_pages, read, ("listeners", index, "error_pages"), ("file",))
            listener = listener.model_copy(update={"error_pages": pages})
        listeners.append(listener)
    return gateway.model_copy(update={**updates, "listeners": tuple(listeners)})
