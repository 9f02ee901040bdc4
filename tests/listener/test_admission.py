"""gateway.listener.admission"""

from __future__ import annotations

import os

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gateway.listener import admission as module
from gateway.listener.admission import MOST_REFUSED, Admission, descriptors_in_use

FEW = "64 file descriptors are not enough for more client connections (ulimit -n)"


class AdmissionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clients = self.counted = 0
        self.used: int | None = None
        self.asked = 0
        self.admission = Admission(self.count)
        self.patch(module, "descriptors_in_use", self.descriptors_in_use)

    def count(self) -> int:
        self.counted += 1
        return self.clients

    def descriptors_in_use(self) -> int | None:
        self.asked += 1
        return self.used

    def test_without_limits(self) -> None:
        self.clients = 1_000_000
        self.assertIsNone(self.admission.refusal())

    def test_clients_of_the_configuration(self) -> None:
        """Those of other processes count, and those that are still to be let in."""
        self.admission.most = 10
        full = "10 client connections (limits.maxConnections)"
        for clients, elsewhere, more, refusal in (
            (9, 0, 0, None), (10, 0, 0, full), (4, 5, 0, None), (4, 6, 0, full), (4, 5, 1, full), (12, 0, -3, None),
        ):  # fmt: skip
            self.clients, self.admission.elsewhere = clients, elsewhere
            self.assertEqual(refusal, self.admission.refusal(more), (clients, elsewhere, more))

    def test_nobody_counts_while_there_is_room(self) -> None:
        """Each that comes takes of it; who leaves is found when it is used up, and a limit that changes at once."""
        self.admission.most = 5
        refusals = []
        for _ in range(5):
            refusals.append(self.admission.admit())
            self.clients += 1
        self.assertEqual(([None] * 5, 1), (refusals, self.counted))
        self.assertIsNotNone(self.admission.admit())
        self.clients -= 2
        for _ in range(2):
            self.assertIsNone(self.admission.admit())
            self.clients += 1
        self.assertIsNotNone(self.admission.admit())
        self.clients = 2
        self.assertIsNone(self.admission.refusal(2))
        self.assertIsNotNone(self.admission.refusal(3))
        self.admission.elsewhere = 3
        self.assertIsNotNone(self.admission.admit())
        self.admission.most = 6
        self.assertIsNone(self.admission.admit())
        self.admission.limit_descriptors(10, 8)
        self.used = 10
        self.assertEqual(FEW.replace("64", "10"), self.admission.admit())

    def test_too_late(self) -> None:
        self.assertIsNone(self.admission.refusal())
        self.admission.close()
        self.assertEqual("", self.admission.refusal())

    def test_each_client_can_have_a_backend(self) -> None:
        """A quarter of what is free is for those that are told that they are refused; eight are the gateway's own."""
        self.admission.limit_descriptors(64, 8)
        self.assertEqual((12, 18), (self.admission.most_refused, self.admission.paired))
        self.used = 20
        self.clients = 17
        self.assertIsNone(self.admission.admit())
        self.assertEqual(0, self.asked)
        self.clients = 18
        self.assertEqual(FEW, self.admission.refusal())
        self.clients, self.admission.elsewhere = 17, 100
        self.assertIsNone(self.admission.refusal())

    def test_connections_that_are_idle_need_no_backend(self) -> None:
        """Above half as many as there are descriptors, what is really in use decides."""
        self.admission.limit_descriptors(20_000, 32)
        self.assertEqual((MOST_REFUSED, 9852), (self.admission.most_refused, self.admission.paired))
        self.clients = 12_000
        for used, let_in in ((12_100, True), (17_499, True), (17_500, False), (None, False)):
            self.used = used
            self.assertEqual(let_in, self.admission.refusal() is None, used)
        self.admission.limit_descriptors(1024, 16)
        self.clients = 400
        for used, let_in in ((767, True), (768, False)):
            self.used = used
            self.assertEqual(let_in, self.admission.refusal() is None, used)

    def test_one_client_is_always_let_in(self) -> None:
        self.admission.limit_descriptors(16, 20)
        self.assertIsNone(self.admission.admit())
        self.clients = 1
        self.assertIsNotNone(self.admission.refusal())


class DescriptorsInUseTests(SynchronousTestCase):
    def test_one_more(self) -> None:
        before = descriptors_in_use()
        if before is None:
            raise SkipTest("this system does not tell how many there are")
        opened = os.open(os.devnull, os.O_RDONLY)
        try:
            self.assertEqual(before + 1, descriptors_in_use())
        finally:
            os.close(opened)
        self.assertEqual(before, descriptors_in_use())

    def test_where_there_is_no_proc(self) -> None:
        def stat(path: str) -> None:
            raise FileNotFoundError(path)

        self.patch(os, "stat", stat)
        self.assertIsNone(descriptors_in_use())
