"""Tests for `gateway.websocket.legs`: what is read however it is cut, what is refused, and what is sent."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gateway.websocket import legs
from gateway.websocket.deflate import Deflate
from gateway.websocket.frames import FrameError, FrameScanner
from gateway.websocket.legs import MOST_FRAMES, BackendLeg, ClientLeg, Leg
from tests.websocket.test_frames import frame

few = settings(max_examples=150, deadline=None, database=None)
MIB = 1 << 20


class Reader:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.held = 0
        self.source = self
        self.told: list[Any] = []
        self.raw = b""

    def took(self, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """See `legs.Reader`."""
        self.told.append((payload, list(ends) or [len(payload.encode() if isinstance(payload, str) else payload)]))
        self.raw += raw

    def took_control(self, raw: bytes) -> None:
        """See `legs.Reader`."""
        self.told.append(raw)

    def took_close(self, payload: bytes) -> None:
        """See `legs.Reader`."""
        self.told.append(("close", payload))


def leg(masked: bool = True, most: int = MIB, deflate: Any = None) -> tuple[Leg, Reader, bytearray]:
    """A leg whose peer sends masked frames or not, its reader, and what it sends."""
    reader, sent = Reader(), bytearray()
    kind = ClientLeg if masked else BackendLeg
    return kind(reader, sent.extend, most, deflate), reader, sent


def fed(data: bytes, cuts: Sequence[int] = (), masked: bool = True, **options: Any) -> list[Any]:
    """What a leg tells of these bytes, cut at these places; a fault is the last of it."""
    read, reader, _ = leg(masked, **options)
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    try:
        for start, end in zip(places, places[1:], strict=False):
            read.read(data[start:end])
            while read.more:
                read.read()
    except FrameError as error:
        reader.told.append(error.code)
    return reader.told


_pieces = st.lists(st.binary(max_size=300) | st.just(b""), min_size=1, max_size=4)
_texts = st.text(max_size=200).map(lambda text: [text.encode()])
_cut_texts = st.tuples(st.text(max_size=60), st.lists(st.integers(0, 200), max_size=3)).map(
    lambda found: _cut(found[0].encode(), found[1])
)


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]


_messages = st.lists(
    st.tuples(st.just(2), _pieces)
    | st.tuples(st.just(1), _texts | _cut_texts)
    | st.tuples(st.just(9), st.binary(max_size=125)),
    max_size=6,
)
_cuts = st.lists(st.integers(0, 2000), max_size=12)


def stream(messages: Any, masked: bool) -> tuple[bytes, list[Any]]:
    """The frames of ``messages``, and what a leg has to tell of them."""
    data, told = b"", []
    for opcode, pieces in messages:
        if opcode == 9:
            data += frame(0x89, pieces, masked)
            told.append(frame(0x89, pieces, masked))
            continue
        for number, piece in enumerate(pieces):
            first = (opcode if number == 0 else 0) | (0x80 if number == len(pieces) - 1 else 0)
            data += frame(first, piece, masked)
        ends = [len(b"".join(pieces[: number + 1])) for number in range(len(pieces))]
        payload = b"".join(pieces)
        told.append((payload.decode() if opcode == 1 else payload, ends))
    return data, told


class ReadingTests(SynchronousTestCase):
    """RFC 6455 §5: whatever the pieces, the messages are the same, and so are their frames."""

    @few
    @given(_messages, _cuts, st.booleans())
    def test_any_fragments_in_any_pieces(self, messages: Any, cuts: list[int], masked: bool) -> None:
        data, told = stream(messages, masked)
        found = fed(data, cuts, masked)
        self.assertEqual([_control(each) for each in told], [_control(each) for each in found])

    def test_byte_by_byte(self) -> None:
        text = "Gr\u00fc\u00dfe \U0001f600".encode()
        data, told = stream([(1, [text]), (2, [b"a", b"", b"c" * 130]), (9, b"x")], True)
        found = fed(data, range(len(data)))
        self.assertEqual([_control(each) for each in told], [_control(each) for each in found])

    def test_whole_frames_go_on_as_they_are(self) -> None:
        data = frame(0x81, b"hello", True) + frame(0x82, b"x" * 300, True) + frame(0x82, b"", True)
        read, reader, _ = leg()
        read.read(data)
        self.assertEqual(data, reader.raw)

    def test_pings_between_fragments_come_first(self) -> None:
        data = frame(0x01, b"he", True) + frame(0x89, b"p", True) + frame(0x80, b"llo", True)
        self.assertEqual([frame(0x89, b"p", True), ("hello", [2, 5])], fed(data))

    def test_nothing_is_read_while_the_source_is_held_or_behind_a_close_frame(self) -> None:
        read, reader, _ = leg()
        reader.held = 1
        read.read(frame(0x81, b"a", True) + frame(0x81, b"b", True)[:3])
        self.assertEqual([], reader.told)
        reader.held = 0
        read.read(frame(0x81, b"b", True)[3:] + frame(0x88, b"\x03\xe8bye", True) + frame(0x81, b"c", True))
        self.assertEqual([("a", [1]), ("b", [1]), ("close", b"\x03\xe8bye")], reader.told)
        self.assertEqual((True, 1000), (read.closed, read.close_code))

    def test_much_at_once_is_read_in_portions(self) -> None:
        """One client must not keep all others waiting."""
        read, reader, _ = leg()
        read.read(frame(0x82, b"x", True) * 1000)
        self.assertTrue(read.more and len(reader.told) < 1000)
        while read.more:
            read.read()
        self.assertEqual(1000, len(reader.told))

    def test_what_is_kept_of_fragments_is_bounded(self) -> None:
        """RFC 6455 has no limit for the number of frames of a message, and an empty one costs its sender six bytes."""
        data = frame(0x02, b"", True) + frame(0x00, b"", True) * (2 * MOST_FRAMES) + frame(0x80, b"end", True)
        ((payload, ends),) = fed(data)
        self.assertEqual((b"end", MOST_FRAMES, 3), (payload, len(ends), ends[-1]))

    @few
    @given(st.binary(max_size=40), _messages, st.integers(0, 400), st.integers(0, 255), st.booleans(), _cuts)
    def test_it_refuses_what_the_scanner_refuses(
        self, noise: bytes, messages: Any, at: int, byte: int, masked: bool, cuts: list[int]
    ) -> None:
        """The depth makes no difference for what a session may say (`FrameScanner`, with no extension)."""
        binary = [(2 if opcode == 1 else opcode, pieces) for opcode, pieces in messages]
        data = bytearray(stream(binary, masked)[0] + noise)
        if at < len(data):
            data[at] = byte
        scanner, code = FrameScanner(masked, MIB, reserved=0), None
        try:
            scanner.feed(bytes(data))
        except FrameError as error:
            code = error.code
        # The scanner refuses a header that is not complete; the leg waits for the rest of it.
        found = fed(bytes(data) + bytes(14 if code is not None and not scanner.closed else 0), cuts, masked)
        last = found[-1] if found and isinstance(found[-1], int) else None
        if last != 1007:  # the scanner does not look at text
            self.assertEqual(code, last, bytes(data[:100]))


class RelayTests(SynchronousTestCase):
    """What one leg reads and the other sends, nobody having changed it, is the same messages in the same frames."""

    @few
    @given(_messages, _cuts, st.booleans(), st.booleans())
    def test_same_messages_same_frames(self, messages: Any, cuts: list[int], masked: bool, compressed: bool) -> None:
        data, told = stream(messages, masked)
        deflate = Deflate(masked is False, False, False, 15, 15, None, MIB) if compressed else None
        out, _, sent = leg(not masked, MIB, deflate)
        read, reader, _ = leg(masked)

        def took(payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
            if raw and out.deflate is None:
                out.put(raw)
            else:
                out.send(payload, ends)

        self.patch(reader, "took", took)
        self.patch(reader, "took_control", out.put)
        places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
        for start, end in zip(places, places[1:], strict=False):
            read.read(data[start:end])
        theirs = Deflate(masked, False, False, 15, 15, None, MIB) if compressed else None
        found = fed(bytes(sent), cuts, masked, deflate=theirs)

        def shape(each: Any) -> Any:
            # pings have no key of their own here, and where frames of a compressed message end is zlib's affair
            if isinstance(each, bytes):
                return _control(each)
            return (each[0], len(each[1])) if compressed else each

        def sorted_out(all_told: list[Any]) -> list[Any]:
            """Messages in order, then pings in order: those overtake fragments."""
            found = [shape(each) for each in all_told]
            return [each for each in found if isinstance(each, tuple)] + [e for e in found if isinstance(e, bytes)]

        self.assertEqual(sorted_out(told), sorted_out(found))


class RefusalTests(SynchronousTestCase):
    """What must not pass, with the close code that says why (RFC 6455 §5, §7.4.1, §8.1)."""

    def refused(self, code: int, data: bytes, **options: Any) -> None:
        for cuts in ((), range(len(data)), (1,), (3,)):
            found = fed(frame(0x81, b"ok", options.get("masked", True)) + data, cuts, **options)
            self.assertEqual([("ok", [2]), code], [found[0], found[-1]], (data[:20], list(cuts)[:5]))

    def test_frames(self) -> None:
        for wrong in (
            frame(0x81, b"x"),  # not masked
            frame(0x83, b"", True),  # reserved opcodes
            frame(0x8B, b"", True),
            frame(0xC1, b"x", True),  # RSV1 and nothing negotiated
            frame(0xA1, b"x", True),
            frame(0x91, b"x", True),
            frame(0x80, b"x", True),  # a continuation of nothing
            frame(0x01, b"x", True) + frame(0x81, b"y", True),  # a message in another
            frame(0x09, b"", True),  # a control frame in pieces
            frame(0x89, b"x" * 126, True),  # too long
            frame(0x88, b"\x03", True),  # half a code
            b"\x82\xfe\x00\x7d" + bytes(4),  # a length in more bytes than it needs
            b"\x82\xff" + bytes(6) + b"\xff\xff" + bytes(4),
            b"\x82\xff\x80" + bytes(11),  # a length with its top bit set
        ):
            self.refused(1002, wrong)
        self.refused(1002, frame(0x81, b"x", True), masked=False)

    def test_close_codes(self) -> None:
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self.refused(1002, frame(0x88, code.to_bytes(2, "big"), True))
        for code in (1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999):
            payload = code.to_bytes(2, "big") + b"why"
            self.assertEqual([("close", payload)], fed(frame(0x88, payload, True)))
        self.assertEqual([("close", b"")], fed(frame(0x88, b"", True)))

    def test_text(self) -> None:
        for wrong in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82"):
            self.refused(1007, frame(0x81, wrong, True))
            self.refused(1007, frame(0x01, wrong[:1], True) + frame(0x80, wrong[1:], True))
            self.refused(1007, frame(0x88, b"\x03\xe8" + wrong, True))

    def test_text_that_goes_wrong_is_not_waited_for(self) -> None:
        """A long message with a fault at its beginning is refused at once (Autobahn testsuite 6.4)."""
        self.refused(1007, frame(0x01, b"\xff", True))

    def test_size(self) -> None:
        self.assertEqual([(b"x" * 10, [10])], fed(frame(0x82, b"x" * 10, True), most=10))
        for wrong in (
            frame(0x82, b"x" * 11, True),
            frame(0x82, b"x" * 11, True)[:6],  # known from its header
            frame(0x02, b"x" * 6, True) + frame(0x80, b"x" * 5, True)[:6],
            b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4),
        ):
            self.refused(1009, wrong, most=10)


class SendingTests(SynchronousTestCase):
    """What a leg makes is understood by another library."""

    def peer(self, masked: bool) -> Any:
        found: Any = ServerProtocol() if not masked else ClientProtocol(parse_uri("ws://example.com/"))
        found.state = 1
        found.handshake_exc = None
        found.parser = found.parse()
        next(found.parser)
        return found

    def test_messages_and_their_fragments(self) -> None:
        for masked in (True, False):  # towards a client, towards a backend
            for size in (0, 1, 125, 126, 1024, 1025, 65535, 65536, 200000):
                payload = random.Random(size).randbytes(size)
                read, _, sent = leg(masked)
                read.send(payload, [size // 3, size // 2, size])
                read.send("Gr\u00fc\u00dfe")
                read.send_close(b"\x03\xe8")
                read.send_close(b"\x03\xe9")
                peer = self.peer(masked)
                peer.receive_data(bytes(sent))
                *found, text, close = peer.events_received()
                self.assertEqual([2, 0, 0], [each.opcode for each in found])
                self.assertEqual([False, False, True], [each.fin for each in found])
                self.assertEqual([size // 3, size // 2 - size // 3], [len(each.data) for each in found[:2]])
                self.assertEqual(payload, b"".join([each.data for each in found]))
                self.assertEqual(("Gr\u00fc\u00dfe".encode(), 1), (text.data, text.opcode))
                self.assertEqual(b"\x03\xe8", close.data)
                self.assertEqual(len(sent), read.written)


class CompressionTests(SynchronousTestCase):
    """RFC 7692, against another library's; and what a few bytes may become."""

    def both(self, most: int = MIB) -> tuple[Leg, Reader, bytearray, Any]:
        """A leg that compresses, and the other library as its client."""
        read, reader, sent = leg(True, most, Deflate(True, False, False, 15, 15, None, most))
        peer = ClientProtocol(parse_uri("ws://example.com/"))
        extension = ClientPerMessageDeflateFactory().process_response_params([], [])
        peer.extensions, peer.state = [extension], 1
        return read, reader, sent, extension

    def test_both_ways(self) -> None:
        read, reader, sent, extension = self.both()
        for text in ("hello hello hello", "hello hello hello", "", "x" * 5000):
            encoded = extension.encode(Frame(Opcode.TEXT, text.encode()))
            read.read(frame(0xC1, bytes(encoded.data), True))
            self.assertEqual((text, [len(text)]), reader.told[-1])
            del sent[:]
            read.send(text)
            self.assertEqual(0xC1, sent[0])
            header = 2 if sent[1] < 126 else 4
            decoded = extension.decode(Frame(Opcode.TEXT, bytes(sent[header:]), rsv1=True), max_size=MIB)
            self.assertEqual(text.encode(), bytes(decoded.data))

    def test_fragments_stay(self) -> None:
        read, reader, sent, extension = self.both()
        pieces = [b"a" * 100, b"", b"b" * 50]
        for number, piece in enumerate(pieces):
            opcode = Opcode.BINARY if number == 0 else Opcode.CONT
            made = extension.encode(Frame(opcode, piece, fin=number == 2))
            read.read(frame((0x42 if number == 0 else 0) | (0x80 if number == 2 else 0), bytes(made.data), True))
        ((payload, ends),) = reader.told
        self.assertEqual((b"".join(pieces), 3), (payload, len(ends)))
        read.send(payload, ends)
        other, found, _ = leg(False, MIB, Deflate(False, False, False, 15, 15, None, MIB))
        other.read(bytes(sent))
        self.assertEqual([(payload, 3)], [(told[0], len(told[1])) for told in found.told])

    def test_a_bomb_is_refused_while_it_is_inflated(self) -> None:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflater.compress(bytes(50 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        self.assertLess(len(bomb), 200_000)
        read, reader, _, _ = self.both(MIB)
        seen: list[int] = []
        inflate = Deflate.decompress_message_data

        def watched(self: Any, data: bytes, max_output_len: int | None = None) -> bytes:
            try:
                return inflate(self, data, max_output_len)
            finally:
                seen.append(self._decompress_message_size)

        self.patch(Deflate, "decompress_message_data", watched)
        error = self.assertRaises(FrameError, read.read, frame(0xC2, bomb[:-4], True))
        self.assertEqual((1009, []), (error.code, reader.told))
        self.assertLessEqual(max(seen), MIB + 1)

    def test_the_limit_is_exact(self) -> None:
        """Also where zlib still has the rest in its hands when the limit is reached."""
        for size in range(995, 1300, 7):
            read, reader, _, extension = self.both(1000)
            made = extension.encode(Frame(Opcode.BINARY, b"a" * size))
            try:
                read.read(frame(0xC2, bytes(made.data), True))
            except FrameError as error:
                self.assertEqual(1009, error.code)
                self.assertGreater(size, 1000)
            else:
                self.assertEqual([size], [len(payload) for payload, _ in reader.told])
                self.assertLessEqual(size, 1000)

    def test_what_is_no_deflate_stream_is_1007(self) -> None:
        for wrong in (b"\xff\xff\xff", b"\x06", random.Random(1).randbytes(200)):
            read, reader, _, _ = self.both()
            error = self.assertRaises(FrameError, read.read, frame(0xC2, wrong, True))
            self.assertEqual((1007, []), (error.code, reader.told))

    def test_control_frames_and_continuations_are_not_marked(self) -> None:
        for wrong in (frame(0xC9, b"", True), frame(0x02, b"", True) + frame(0xC0, b"", True), frame(0xA2, b"", True)):
            read, _, _, _ = self.both()
            self.assertEqual(1002, self.assertRaises(FrameError, read.read, wrong).code)

    def test_a_final_block_is_not_the_end_of_all(self) -> None:
        """RFC 7692 §7.2.3.4: a message may end with a block that has BFINAL."""
        read, reader, _, _ = self.both()
        for text in (b"first", b"second"):
            deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
            read.read(frame(0xC2, deflater.compress(text) + deflater.flush(zlib.Z_FINISH) + b"\0", True))
        self.assertEqual([b"first", b"second"], [payload for payload, _ in reader.told])


class MachineryTests(SynchronousTestCase):
    """Autobahn's classes are there without what they cost."""

    def test_a_leg_is_an_autobahn_protocol_without_its_timers(self) -> None:
        read, _, _ = leg()
        self.assertIsInstance(read, legs.WebSocketServerProtocol)
        self.assertIsInstance(leg(False)[0], legs.WebSocketClientProtocol)
        for name in ("is_closed", "is_open", "send_queue", "openHandshakeTimeoutCall"):
            self.assertFalse(hasattr(read, name), name)


def _control(told: Any) -> Any:
    """A control frame without its masking key: that of one in pieces is made anew."""
    if isinstance(told, bytes) and told[1] & 0x80:
        key, payload = told[2:6], told[6:]
        return told[:2] + bytes(byte ^ key[number % 4] for number, byte in enumerate(payload))
    return told
