"""What is said when reading a configuration fails in a way that nobody has foreseen.

`gateway.config.load` lets such an exception pass, so that tests see it; those who talk to users call `defect`.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from gateway.config.cursor import Cursor
from gateway.config.tree import Place
from gateway.errors import ConfigurationError

__all__ = ["defect"]


def defect(error: Exception, source: str) -> ConfigurationError:
    """The same as an error of the configuration, where what was being read is known at its place.

    The exception's own text is left out: there may be a secret in it.
    """
    place = Place("")
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = [value.place if isinstance(value, Cursor) else value for value in frame.f_locals.values()]
        place = next((value for value in found if isinstance(value, Place) and value.path), place)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    message = (
        f"this is a defect of the gateway ({type(error).__name__}{where}), brought about by what stands here or near "
        "it; please report it, with what 'gatewayctl check --traceback FILE' prints"
    )
    return ConfigurationError([place._replace(note="").problem(message)], source)
