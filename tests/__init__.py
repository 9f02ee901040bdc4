"""Tests, in the folders of what they test."""

import re
import warnings
from pathlib import Path

from hypothesis import HealthCheck, settings

import gateway

# A machine that has other things to do is no fault of a property.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")



def refuse_deprecated() -> None:
    """What we use must not be about to go: a test during which our code is told so fails.

    Trial collects warnings and gives those that are left to these filters when a test is over, with the names of files
    only; before, it is the module's name.
    """
    for module in (r"gateway(\.|$)", re.escape(str(Path(gateway.__file__).parent))):
        warnings.filterwarnings("error", category=DeprecationWarning, module=module)


refuse_deprecated()
