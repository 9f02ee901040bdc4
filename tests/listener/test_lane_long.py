"""A response that does not come at once, and is passed on piece by piece: everybody sees the same as without a lane."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.relay.read_ahead import ReadAhead
from tests.dialogue import GET, HANDSHAKE, OK, POST
from tests.listener.lane_acts import (
    AGAIN,
    LIMITS,
    Act,
    LaneCase,
    answers,
    asks,
    at_once,
    backend,
    client,
    is_cut,
    passes,
    reads,
    stops,
)
from tests.listener.lanes import World, agree, warmed

LONG = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000
BEGINNING, MIDDLE, END = LONG[:9000], LONG[9000:20000], LONG[20000:]
VERY_LONG = LONG.replace(b": 30000", b": 400000") + b"y" * 370000
MOST = 150000
"""Bytes that are said at once without blocking; more than is read at once."""
SIZES = ("upstream_received", "sent_bytes")
"""What has passed when something ends depends on how much is read at once."""
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
SETTINGS = {"request_timeout": 7}

SAID = st.one_of(
    st.sampled_from([asks(), answers(), asks(POST), asks(LAST), asks(AGAIN)]),
    st.sampled_from([answers(BEGINNING), answers(MIDDLE), answers(END), answers(LONG), answers(LONG, 5000)]),
    st.integers(1, 30000).map(lambda size: answers(b"y" * size)),
)
MUCH = st.one_of(
    st.sampled_from([answers(VERY_LONG[at : at + MOST]) for at in (len(BEGINNING), 159000, 309000)]),
    st.integers(60000, MOST).map(lambda size: answers(b"y" * size)),
)
HAPPENINGS = st.sampled_from(
    [
        client("half_closes"), backend("half_closes"), backend("closes"), passes(1), passes(6), stops, is_cut,
        at_once(("b", END), ("c", AGAIN)),
    ]
)  # fmt: skip
READING = st.sampled_from([reads(False), reads(True), client("closes")])
ROOMS = st.sampled_from([0, 15000])


def reads_ahead(size: int, most: int = 1) -> Act:
    """So many responses of slow clients are read ahead, with so many bytes each."""
    return lambda world: setattr(world.shared, "read_ahead", ReadAhead(size, size * most))


class LongTests(LaneCase):
    """Its head is plain, and the end of its body comes later."""

    def test_in_pieces(self) -> None:
        pieces = [answers(BEGINNING), answers(MIDDLE), answers(END)]
        for request, ended in ((GET, 2), (POST, 2), (LAST, 1)):
            self.same(asks(request), *pieces, asks(), answers(), ended=ended)
        head = LONG.index(b"\r\n\r\n") + 4
        for cut in (head, head + 1, len(LONG) - 1):
            self.same(asks(), answers(LONG, cut), asks(), answers(LONG, cut), asks(), answers(), ended=3)
        self.same(asks(), *[answers(LONG[at : at + 100]) for at in range(0, len(LONG), 100)], ended=1)

    def test_more_than_that(self) -> None:
        """It belongs to nobody: the connection is not used again."""
        for more in (b"x", OK):
            self.same(asks(), answers(BEGINNING), answers(LONG[9000:] + more), asks(), answers(), ended=0, backends=1)
            self.same(asks(), answers(BEGINNING), answers(LONG[9000:]), answers(more), asks(), answers(), ended=1)

    def test_the_client_asks_on(self) -> None:
        for more in (GET, GET + AGAIN, POST, GET[:10], b"\r\n", b"nonsense\r\n\r\n", HANDSHAKE):
            self.same(asks(), answers(BEGINNING), asks(more), answers(MIDDLE), answers(END), answers(), ended=0)
        both = at_once(("b", END), ("c", AGAIN))
        self.same(asks(), answers(BEGINNING), answers(MIDDLE), both, answers(), asks(), answers(), ended=3)

    def test_somebody_leaves(self) -> None:
        for who in (client, backend):
            for how in ("half_closes", "closes"):
                for after in ([], [MIDDLE]):
                    begun = [asks(), answers(BEGINNING), *map(answers, after)]
                    self.same(*begun, who(how), answers(LONG[9000:]), asks(), answers(), ended=0)
        self.same(asks(), reads(False), answers(BEGINNING), client("closes"), ended=0, buffer=5000)

    def test_the_gateway_stops(self) -> None:
        for stop in (stops, is_cut):
            self.same(asks(), answers(BEGINNING), stop, answers(MIDDLE), answers(END), ended=0)

    def test_time(self) -> None:
        """What the backend has is for each piece, not for all of them."""
        slowly = [act for piece in (BEGINNING, MIDDLE, END) for act in (passes(6.8), answers(piece))]
        self.same(asks(), *slowly, asks(), answers(), settings=SETTINGS, ended=2)
        for late in (BEGINNING, BEGINNING + MIDDLE):
            self.same(asks(), answers(late), passes(6.8), passes(0.5), answers(END), settings=SETTINGS, ended=0)

    def test_a_client_that_does_not_read(self) -> None:
        for then, ended in (
            ([reads(True), answers(END)], 0), ([passes(4.8), reads(True), answers(END), asks(), answers()], 1),
            ([passes(5.3)], 0), ([answers(END), reads(True), asks(), answers()], 1),
            ([backend("closes"), reads(True)], 0),
        ):  # fmt: skip
            for meanwhile in ([], [reads(True)]):
                begun = [reads(False), *meanwhile, answers(BEGINNING), reads(False), answers(MIDDLE)]
                self.same(asks(), *begun, *then, ended=ended, buffer=5000, settings=SETTINGS)

    def test_read_ahead(self) -> None:
        begun = [asks(), reads(False), answers(BEGINNING), answers(MIDDLE)]
        taken, leaves = [reads(True), answers(END), asks(), answers()], [answers(END), client("closes")]
        for size in (1000, 15000, 100000):
            for then in (taken, leaves, [passes(5.3)]):
                self.same(reads_ahead(size), *begun, *then, ended=int(then is taken), buffer=5000, settings=SETTINGS)

    def test_much(self) -> None:
        """It is not even read by the gateway, if its client takes it."""
        pieces = [answers(VERY_LONG[at : at + MOST]) for at in range(0, len(VERY_LONG), MOST)]
        self.same(asks(), *pieces, asks(), answers(), ended=2)
        self.same(asks(), *pieces[:-1], answers(VERY_LONG[2 * MOST :] + OK), asks(), answers(), ended=0, backends=1)
        for then, ended in (([reads(True)], 1), ([client("closes")], 0), ([passes(5.3)], 0)):
            for buffer in (None, 200000):
                acts = [asks(), reads(False), *pieces[:2], *then, pieces[2], asks(), answers()]
                self.same(*acts, ended=ended, settings=SETTINGS, buffer=buffer, unseen=SIZES)
        for how in ("half_closes", "closes"):
            for who in (client, backend):
                self.same(asks(), *pieces[:2], who(how), pieces[2], asks(), answers(), ended=0)

    def test_the_answer_to_head(self) -> None:
        """It tells a length and has none; what comes is unasked for."""
        head = LONG[: LONG.index(b"\r\n\r\n") + 4]
        asked = asks(GET.replace(b"GET", b"HEAD"))
        self.same(asked, answers(head), asks(), answers(LONG, 9000), ended=2)
        self.same(asked, answers(BEGINNING), asks(), answers(), ended=0)
        self.same(asked, answers(head), answers(MIDDLE), asks(), answers(), ended=1)

    def test_what_is_kept_of_it(self) -> None:
        """Nothing that came is kept."""
        world = World(self, True, limits=LIMITS)
        warmed(world)
        for act in (asks(), answers(BEGINNING), answers(MIDDLE)):
            act(world)
        (client,) = world.factory.connections
        self.assertTrue(client._lane.flying)
        self.assertEqual((0, len(END)), (client.transport.queued, client._lane.left))
        world.over()

    @settings(max_examples=200, deadline=None, database=None)
    @given(st.lists(SAID | HAPPENINGS | READING, max_size=8), st.sampled_from([None, 5000]), ROOMS)
    def test_whatever_happens(self, acts: list[Act], buffer: int | None, room: int) -> None:
        ahead = [reads_ahead(room)] if room else []
        acts = [warmed, *ahead, asks(), answers(BEGINNING), *acts]
        agree(self, acts, limits=LIMITS, settings=SETTINGS, buffer=buffer)

    @settings(max_examples=100, deadline=None, database=None)
    @given(st.lists(MUCH | SAID | HAPPENINGS, max_size=8))
    def test_whatever_happens_to_much(self, acts: list[Act]) -> None:
        acts = [warmed, asks(), answers(VERY_LONG[: len(BEGINNING)]), *acts]
        agree(self, acts, limits=LIMITS, settings=SETTINGS, unseen=SIZES)
