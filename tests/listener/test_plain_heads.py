"""What a lane passes on is what Python passes on; whatever is not is handed over as it came."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import BackendError, RequestError
from tests.listener.plain import GET, OK, POST, LaneCase
from tests.native.cases import EDITS, REQUEST_SEEDS, RESPONSE_SEEDS, Edit, edited
from tests.twins import of_each, python

_twice = [HealthCheck.differing_executors]  # each implementation has a class of its own
few = settings(max_examples=300, deadline=None, database=None, suppress_health_check=_twice)


class SameTests(LaneCase):
    """What is passed on is what Python passes on; whatever is not is handed over as it came."""

    @few
    @given(st.sampled_from([*REQUEST_SEEDS, GET, POST]), EDITS)
    def test_almost_requests(self, raw: bytes, edits: list[Edit]) -> None:
        request = edited(raw, edits)
        if not 0 < len(request) < 8000:
            return
        self.lane.armed = True
        sent = self.asks(request)
        delivered = b"".join(self.client.told)
        self.client.told.clear()
        if not sent:
            self.assertEqual(request, delivered)
            return
        self.assertEqual(b"", delivered)
        try:
            expected = self.passed(request)
        except RequestError as error:
            raise AssertionError(f"passed on, and to be refused ({error}): {request!r}") from error
        self.assertEqual(expected, sent, request)
        self.lane.detach()

    @few
    @given(st.sampled_from([*RESPONSE_SEEDS, OK]), EDITS, st.sampled_from([b"GET", b"HEAD"]), st.booleans())
    def test_almost_responses(self, raw: bytes, edits: list[Edit], method: bytes, close: bool) -> None:
        response = edited(raw, edits)
        if not 0 < len(response) < 8000:
            return
        self.lane.armed = True
        connection = b"\r\nConnection: close" if close else b""
        self.asks(GET.replace(b"GET", method).replace(b"\r\n\r\n", connection + b"\r\n\r\n"))
        said = self.answers(response)
        delivered = b"".join(self.backend.told)
        self.backend.told.clear()
        if not said:
            self.assertEqual((response, "resume"), (delivered, self.lane.told[-1]))
            return
        try:
            expected = self.returned(response, method.decode(), close)
        except BackendError as error:
            raise AssertionError(f"passed on, and to be refused ({error}): {response!r}") from error
        dates = re.compile(rb"(?<=\r\nDate: )[A-Z][a-z]{2}, [^\r]* GMT(?=\r\n\r\n)")
        self.assertEqual((dates.sub(b"", expected), b""), (dates.sub(b"", said), delivered), response)
        end = response.index(b"\r\n\r\n") + 4
        head = python["parse_response"](response[:end], method.decode())
        self.assertTrue(head.keep_alive)
        if self.lane.flying:
            self.assertEqual(head.body, len(response) - end + self.lane.left)
            self.lane.detach()
            return
        self.assertEqual(head.body, len(response) - end, "more than that")
        kind = head.index.get("content-type", "")
        self.assertEqual((head.status, kind, len(said), len(response)), self.lane.told[-1])

    def test_every_byte_everywhere(self) -> None:
        """One byte replaced, left out or put in, at each place of a short head."""
        get = b"GET /a HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\n"
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        for raw in (get, post):
            for place in range(len(raw)):
                for byte in (b"", *[bytes([byte]) for byte in range(256)]):
                    for end in {place, place + 1}:
                        request = raw[:place] + byte + raw[end:]
                        self.lane.armed = True
                        sent = self.asks(request)
                        delivered = b"".join(self.client.told)
                        self.client.told.clear()
                        if sent:
                            self.assertEqual((self.passed(request), b""), (sent, delivered), request)
                        else:
                            self.assertEqual(request, delivered)
                        self.lane.detach()
            self.lane.told.clear()


of_each(globals())
