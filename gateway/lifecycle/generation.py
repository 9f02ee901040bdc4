"""What comes of one configuration, and goes when the last exchange that it began is over; and who shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.errors import ConfigurationError, Problem
from gateway.exchange.error_pages import ErrorPages
from gateway.listener.certificate_checks import load_asked, load_roots, load_shown, load_terms, minded
from gateway.listener.renewal import certificate_files
from gateway.listener.tls import ServerTLS
from gateway.routing.rewrites import names_variable
from gateway.watched import stamps

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.config.model import Gateway, Member
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import IMiddleware
    from gateway.lifecycle.assembly import Checks
    from gateway.lifecycle.registry import Registry
    from gateway.listener.certificates import ServerCertificate
    from gateway.listener.terms import Terms
    from gateway.messages.filtering import NamedFilter
    from gateway.routing.bindings import Binding
    from gateway.strategies.contained import ContainedDiscovery
    from gateway.strategies.places import Place
    from gateway.upstream.tls import Roots
    from gateway.watched import Stamp

__all__ = ["Generation", "Material", "ShowsGeneration"]


class Material(NamedTuple):
    """A model and what was read of the files that it names.

    ``authorities``: those of clients' certificates, by name.  ``stamps``: of the files of certificates, from before
    they were read.  ``wants_offers``: what TLS clients offer is to be known.
    """

    model: Gateway
    certificates: Mapping[str, ServerCertificate]
    roots: Roots
    authorities: Mapping[str, tuple[Certificate, ...]]
    terms: Mapping[str, Terms]
    stamps: Mapping[str, Stamp | None]
    error_pages: ErrorPages
    wants_offers: bool

    @classmethod
    def of(cls, model: Gateway) -> Material:
        """Read the files. Raises `ConfigurationError`. May be called in any thread."""
        problems: list[Problem] = []
        seen = stamps(certificate_files(model))  # first: what changes while it is read is to be read again
        certificates, roots = load_shown(model, problems), load_roots(model, problems)
        authorities = load_asked(model, problems)
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            raise ConfigurationError(errors)
        terms = load_terms(model, authorities)
        wants_offers = names_variable(model.rewrites, "ciphers_supported")
        return cls(model, certificates, roots, authorities, terms, seen, ErrorPages(model), wants_offers)

    def again(self, model: Gateway) -> tuple[Material, list[Problem]]:
        """With the certificates that listeners show and trust as ``model`` has them now; all else is as it was.

        So is what cannot be used, each for itself: whose certificate is to end soon cannot wait for another's file to
        be mended.  The problems are errors of those, and warnings of new ones that clients will mind.  May be called in
        any thread.
        """
        problems: list[Problem] = []
        seen = stamps(certificate_files(model))
        read = load_shown(model, problems)
        certificates = {**self.certificates, **read}
        known = {name: found.sent for name, found in self.certificates.items()}
        problems += minded(model, certificates, {name for name in read if read[name].sent != known.get(name)})
        authorities = {**self.authorities, **load_asked(model, problems)}
        terms = load_terms(model, authorities)
        found = self._replace(certificates=certificates, authorities=authorities, terms=terms, stamps=seen)
        return found, problems


class Generation:
    """All parts of a gateway that one configuration makes. See `gateway.lifecycle.building`.

    ``router``, ``checks``, ``discoveries`` and ``shared`` are made last, of the others.  ``material``: what it was made
    of, with the certificates that are shown now.
    """

    router: Any
    checks: dict[tuple[str, str], Checks]
    discoveries: dict[str, ContainedDiscovery]
    shared: Surroundings

    def __init__(self, material: Material, registry: Registry) -> None:
        self.material = material
        self.model = material.model
        self.certificates = material.certificates
        self.roots = material.roots
        self.terms = material.terms
        self.error_pages = material.error_pages
        self._wants_offers = material.wants_offers
        self.registry = registry
        self.pools: dict[tuple[str, str], Any] = {}
        self.middleware: Mapping[Place, tuple[IMiddleware, ...]] = {}
        self.filters: Mapping[Place, tuple[NamedFilter, ...]] = {}

    @property
    def listed(self) -> dict[str, tuple[Member, ...]]:
        """The members that the configuration lists, by pool name."""
        return {pool.name: pool.members for pool in self.model.pools}

    def left_over(self, others: Iterable[Generation]) -> tuple[list[Any], list[Any]]:
        """The strategies and accounts that none of ``others`` uses: these are to be closed."""
        kept = {id(each) for other in others for each in (*other.registry.built, *other.registry.opened)}
        strategies = [each for each in self.registry.built if id(each) not in kept]
        return strategies, [each for each in self.registry.opened if id(each) not in kept]

    def tls(self, group: Binding) -> ServerTLS | None:
        """That of a port, ``None`` for one without. Raises ``ValueError``."""
        if not group.secure:
            return None
        return ServerTLS(group.listeners, self.certificates, self.terms, self._wants_offers)


class ShowsGeneration:
    """Shows parts of ``now``, the generation that runs, as its own."""

    now: Generation

    @property
    def model(self) -> Gateway:
        """The configuration that runs."""
        return self.now.model

    @property
    def pools(self) -> dict[tuple[str, str], Any]:
        """By pool name and settings name."""
        return self.now.pools

    @property
    def middleware(self) -> Mapping[Place, tuple[IMiddleware, ...]]:
        """By the place where it is listed."""
        return self.now.middleware

    @property
    def filters(self) -> Mapping[Place, tuple[NamedFilter, ...]]:
        """By the place where they are listed."""
        return self.now.filters

    @property
    def registry(self) -> Registry:
        """What has made the strategies."""
        return self.now.registry

    @property
    def shared(self) -> Surroundings:
        """What new exchanges share."""
        return self.now.shared

    @property
    def error_pages(self) -> ErrorPages:
        """The operator's."""
        return self.now.error_pages
