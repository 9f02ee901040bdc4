"""`gateway.config.checks.texts`; in every spelling: `tests.config.test_texts`."""

from __future__ import annotations

from tests.config.checks.support import CheckCase, gateway, host


class TextTests(CheckCase):
    """Of listeners."""

    def test_addresses(self) -> None:
        self.says(gateway(host("l", address="::1")))
        self.says(
            gateway(host("l", address="localhost")), "listeners[0].address: found 'localhost'; expected an address"
        )

    def test_hosts(self) -> None:
        for good in (
            "a.test",
            "*.contoso-*.com",
            "*.contoso.*",
            "????.contoso.com",
            "w??.contoso*.edu.*",
            "a_b.test",
            "xn--a.test",
            "*",
        ):
            self.says(gateway(host("l", host_names=(good,))))
        for bad, message in {
            "*.contoso.*.*.com": "at most two '*'", "????.contoso.*": "at most four", "**.contoso.com": "'**'",
            "*?.a": "'*?' and '?*'",
            "a*b*.c": "once in each label", "a:80": "no port", "a b": "not a host name", "é.test": "ASCII form",
            "*.a_b": "only", "*..a": "empty label",
            "-a": "not a host name", "": "not a host name", "http://a.test": "without scheme, port and path",
        }.items():  # fmt: skip
            self.says(gateway(host("l", host_names=(bad,))), message)
