"""Which Host a private page answers to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.observe.host_guard import host_name, may_ask


class HostGuardTests(SynchronousTestCase):
    def test_let_in(self) -> None:
        for host in ("127.0.0.1", "127.0.0.1:8081", "localhost:8081", "LOCALHOST", "localhost.:1", "[::1]:8081",
                     "[::1]", "10.1.2.3:80", "demo.localhost:8080"):  # fmt: skip
            self.assertTrue(may_ask(host), host)

    def test_kept_out(self) -> None:
        for host in ("", "evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example", "::1",
                     "evil.example#@127.0.0.1", "user@127.0.0.1", "127.0.0.1 evil", "[::1", "127.0.0.1:", "127.1",
                     "1.2.3.4.5", "notlocalhost", "127.0.0.1:8081:1", "127.0.0.1/", "0x7f.1",
                     "0.0.0.0", "0.0.0.0:8081", "[::]:8081", "[::ffff:0:0]"):  # fmt: skip
            self.assertFalse(may_ask(host), host)

    def test_listed_names(self) -> None:
        self.assertTrue(may_ask("Admin.Example:8081", {"admin.example"}))
        self.assertFalse(may_ask("other.example", {"admin.example"}))
        self.assertFalse(may_ask("", {""}))
        self.assertFalse(may_ask("0.0.0.0:8081", {"0.0.0.0"}))

    def test_host_name(self) -> None:
        self.assertEqual(host_name("Example.COM.:80"), "example.com")
        self.assertEqual(host_name("[2001:DB8::1]:80"), "2001:db8::1")
        self.assertEqual(host_name("a b"), "")
