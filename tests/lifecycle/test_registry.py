"""`gateway.lifecycle.registry`."""

from __future__ import annotations

from typing import Annotated, Any

from zope.interface import alsoProvides, implementer

from gateway import services
from gateway.config.model import BackendSettings, Probe, Strategy
from gateway.errors import ConfigurationError
from gateway.interfaces import IAffinity, IClosing, ILasting, IProbe, ISelector, IStrategyFactory
from gateway.lifecycle.registry import Registry
from gateway.pools.round_robin import RoundRobin
from gateway.strategies.checks import checked_options
from gateway.strategies.containment import Accounts, Terms
from gateway.strategies.factories import Factories
from tests.strangers import SELECTORS, Factory, Options, Pick, StrategyCase, point

WITHIN = "pools[0].selectorOptions"


class BuildTests(StrategyCase):
    """Options and products."""

    def build(self, factory: Any, options: Any = None) -> Any:
        self.provide(pick=factory)
        registry = Registry(factories=self.factories(point("pick", "pick")))
        return registry.build(
            SELECTORS, "pick", options or {}, self.services, "pools[0].selector", "pools[0].selectorOptions"
        )

    def test_built_in(self) -> None:
        registry = Registry(factories=self.factories())
        self.assertIsInstance(registry.build(SELECTORS, "round-robin", {}, self.services), RoundRobin)

    def test_options(self) -> None:
        self.assertEqual(self.build(Factory(options=Options), {"header": "x-y"}).options, Options(header="x-y"))

    def test_value_error(self) -> None:
        def refuse(options: Any) -> Any:
            raise ValueError("the file cannot be read")

        text = self.problem(self.build, Factory(product=refuse))
        self.assertIn("selector 'pick' (distribution acme 1.2): the file cannot be read", text)

    def test_other_error(self) -> None:
        """Also what is meant to end more, and what says nothing."""
        cases = (
            (KeyError("x"), "build() failed: KeyError: 'x'"), (SystemExit(3), "build() failed: SystemExit: 3"),
            (KeyboardInterrupt(), "build() failed: KeyboardInterrupt"), (ValueError(), "ValueError"),
            (RuntimeError(), "build() failed: RuntimeError"),
        )  # fmt: skip
        for error, words in cases:

            def refuse(options: Any, error: BaseException = error) -> Any:
                raise error

            text = self.problem(self.build, Factory(product=refuse))
            self.assertTrue(text.endswith(f"selector 'pick' (distribution acme 1.2): {words}"), text)

    def test_more_than_it_can(self) -> None:
        """What a product says of itself is checked as well: the pool would call it."""
        alsoProvides(product := Pick(None), IAffinity)
        text = self.problem(self.build, Factory(product=lambda options: product))
        self.assertIn("(distribution acme 1.2): build() did not return an IAffinity", text)

    def test_wrong_product(self) -> None:
        text = self.problem(self.build, Factory(product=lambda options: object()))
        self.assertIn("(distribution acme 1.2): build() did not return an ISelector", text)


class Within(Options):
    """Options that name selectors themselves."""

    header: str = "xx"
    over: Annotated[Strategy, "gateway.selectors"] = Strategy(strategy="round-robin")
    others: Annotated[tuple[Strategy, ...], "gateway.selectors"] = ()


@implementer(IStrategyFactory)
class Outer:
    """Makes a selector that knows the ones its options name."""

    name = "outer"
    options = Within

    def build(self, options: Any, services: Any) -> Any:
        made = Pick(options)
        vars(made).update(
            over=services.make("over", options.over), others=[services.make("others", one) for one in options.others]
        )
        return made


class NestedTests(StrategyCase):
    """Strategies that are made of others."""

    def setUp(self) -> None:
        super().setUp()
        self.provide(outer=Outer(), pick=Factory(options=Options))
        self.found = Registry(factories=self.factories(point("outer", "outer"), point("pick", "pick")))

    def build(self, **options: Any) -> Any:
        return self.found.build(SELECTORS, "outer", options, self.services, "pools[0].selector", WITHIN)

    def test_default(self) -> None:
        self.assertIsInstance(self.build().over, RoundRobin)

    def test_options(self) -> None:
        made = self.build(
            over={"strategy": "outer", "options": {"over": {"strategy": "pick", "options": {"header": "abc"}}}},
            others=["round-robin", "round-robin"],
        )
        self.assertEqual(made.over.over.options.header, "abc")
        self.assertEqual([type(one) for one in made.others], [RoundRobin, RoundRobin])

    def paths(self, **options: Any) -> list[str]:
        """Where the problem is; the same whether it is looked for or run into."""
        factories = self.found.factories
        outer = factories.find(SELECTORS, "outer")
        checked = self.assertRaises(ConfigurationError, checked_options, factories, outer, options, WITHIN)
        built = self.assertRaises(ConfigurationError, lambda: self.build(**options))
        self.assertEqual(checked.problems, built.problems)
        return [problem.path for problem in checked.problems]

    def test_wrong_name(self) -> None:
        self.assertEqual(self.paths(over="nope"), [f"{WITHIN}.over"])
        self.assertEqual(self.paths(others=["round-robin", "nope"]), [f"{WITHIN}.others[1]"])

    def test_wrong_options(self) -> None:
        self.assertEqual(
            sorted(self.paths(over={"strategy": "pick", "options": {"header": "x", "size": "big"}})),
            [f"{WITHIN}.over.options.header", f"{WITHIN}.over.options.size"],
        )
        deep = {"strategy": "outer", "options": {"over": {"strategy": "pick", "options": {}}}}
        self.assertEqual(self.paths(over=deep), [f"{WITHIN}.over.options.over.options"])

    def test_wrong_shape(self) -> None:
        self.assertEqual(self.paths(over=7), [f"{WITHIN}.over"])


class KeptTests(StrategyCase):
    """What is closed when the gateway stops."""

    def test_only_what_is_used_until_then(self) -> None:
        """A probe on demand, say, is not: there may be any number of them."""
        registry = Registry(factories=self.factories())
        kept = registry.build(SELECTORS, "round-robin", {}, self.services)
        built: list[Any] = []
        for name in "round-robin", "priority":
            registry.build(SELECTORS, name, {}, self.services, built=built)
        names = [type(each).__name__ for each in built]
        self.assertEqual(([kept], ["RoundRobin", "RoundRobin", "Priority"]), (registry.built, names))

    def test_what_is_built_later(self) -> None:
        """It belongs to what it is built for: carried over with that, or what keeps that from lasting."""

        @implementer(ISelector, ILasting)
        class Late:
            def __init__(self, options: Any, services: Any) -> None:
                self.more = lambda name: services.make("over", Strategy(strategy=name))

            def select(self, candidates: Any, head: Any) -> Any:
                """Not asked."""

        class Over(services.Options):
            over: Annotated[Strategy, SELECTORS] = Strategy(strategy="pick")

        self.provide(late=services.Factory("late", Over, Late), pick=Factory())
        first = Registry(factories=self.factories(point("late", "late"), point("pick", "pick")))

        def once(registry: Registry) -> Any:
            built = registry.once("pool", 1, lambda: registry.build(SELECTORS, "late", {}, self.services))
            registry.settled()
            return built

        late = once(first)
        second = first.again()
        self.assertIs(late, once(second))
        inner = late.more("round-robin")
        self.assertEqual([[late, inner]] * 2, [first.built, second.built])
        third = second.again()
        self.assertIs(late, once(third))
        self.assertIn(inner, third.built)
        stranger = late.more("pick")  # which does not last
        self.assertIn(stranger, third.built)
        fourth = third.again()
        anew = once(fourth)
        self.assertIsNot(late, anew)
        self.assertEqual([anew], fourth.built)

    def test_installed_meanwhile(self) -> None:
        """The next configuration may name it, as the checks have said; what is in use is not looked for again."""
        points, asked = [point("old", "old")], []

        def entry_points(group: str) -> Any:
            asked.append(group)
            return tuple(points)

        self.provide(old=Factory("old"), late=Factory("late"))
        first = Registry(factories=Factories(entry_points=entry_points, drop_ins=lambda: ((), ())))
        first.build(SELECTORS, "old", {}, self.services)
        points.append(point("late", "late"))
        self.problem(first.build, SELECTORS, "late", {}, self.services)
        following = first.again()
        self.provide(old=Factory("another"))
        following.build(SELECTORS, "old", {}, self.services)
        self.assertEqual([SELECTORS], asked)
        self.assertIsInstance(following.build(SELECTORS, "late", {}, self.services), Pick)

    def test_accounts_of_what_stays(self) -> None:
        """They go by the next configuration's terms, and say its places, when that runs; it may never."""
        accounts = Accounts(Terms(1, 2, 3))
        first = Registry(factories=self.factories(), accounts=accounts)

        def once(registry: Registry, where: str) -> None:
            def make() -> Any:
                built = registry.build(SELECTORS, "round-robin", {}, self.services)
                registry.contain(SELECTORS, "round-robin", where, built)
                return built

            registry.once("place", 1, make, where)
            registry.settled()

        once(first, "here")
        first.adopted(Terms(1, 2, 3))
        (account,) = first.opened
        for terms, adopted in ((Terms(4, 5, 6), False), (Terms(7, 8, 9), True)):
            following = first.again()
            once(following, "there")
            self.assertEqual(([account], "here", Terms(1, 2, 3)), (following.opened, account.where, account.terms))
            if adopted:
                following.adopted(terms)
                self.assertEqual(("there", terms), (account.where, account.terms))

    def test_a_probe_for_a_while(self) -> None:
        """It comes with what closes it, and what it is made of; where it cannot be built that is closed at once."""
        closed: list[str] = []

        @implementer(IProbe, IClosing)
        class Held:
            def __init__(self, options: Any, services: Any) -> None:
                if options is not None:
                    services.make("over", options.over)
                    if options.fail:
                        raise ValueError("no")
                self.name = "inner" if options is None else "outer"

            def check(self, backend: Any, deadline: float) -> Any:
                """Not asked."""

            def close(self) -> None:
                """See `IClosing`."""
                closed.append(self.name)

        class Over(services.Options):
            over: Annotated[Strategy, "gateway.probes"] = Strategy(strategy="inner")
            fail: bool = False

        self.provide(inner=services.Factory("inner", None, Held), outer=services.Factory("outer", Over, Held))
        points = [point(name, name, group="gateway.probes") for name in ("inner", "outer")]
        registry = Registry(factories=self.factories(*points))
        settings = BackendSettings(name="s")
        probe, close = registry.probe(settings, Probe(name="p", strategy="outer"), None, {})  # type: ignore[arg-type]
        self.assertEqual(("outer", []), (probe.name, closed))  # type: ignore[attr-defined]
        close()
        self.assertEqual(({"inner", "outer"}, []), (set(closed), registry.built))
        closed.clear()
        failing = Probe(name="p", strategy="outer", options={"fail": True})
        self.assertRaises(ConfigurationError, registry.probe, settings, failing, None, {})
        self.assertEqual((["inner"], []), (closed, registry.built))
