"""What is looked at before anything starts, beyond the configuration's own rules.

`gatewayctl check` and ``twistd gateway --config`` give `checks` to `gateway.config.load`, which shows what they find
where it stands in the user's file, together with everything else that is wrong.  This is the place to add one: a
function of the model that gives problems, errors or warnings, with paths as ``pools[0].selectorOptions``.  It may read
files and import strategies; it builds, binds and connects nothing.
"""

from __future__ import annotations

from functools import partial
from importlib import invalidate_caches

from gateway.config.load import Check
from gateway.exchange.error_pages import check_error_pages
from gateway.listener.certificate_checks import check_certificates
from gateway.relay.upload import check_directory
from gateway.strategies.checks import check_strategies
from gateway.strategies.factories import Factories

__all__ = ["checks"]


def checks() -> tuple[Check, ...]:
    """The checks of certificates and keys, of what else there is in the file system, and of strategies and options."""
    invalidate_caches()  # a reload finds what has been installed since
    return check_certificates, check_error_pages, check_directory, partial(check_strategies, Factories())
