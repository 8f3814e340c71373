"""Whose address counts, where proxies are trusted and where they are not."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from crmgql.errors import SetupError
from crmgql.http.addresses import Addresses, networks


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.114.7", None, "203.0.114.7"),
        ("203.0.114.7", b"1.1.1.1", "203.0.114.7"),  # anybody can write that
        ("127.0.0.1", b"6.6.6.6, 8.8.8.8", "8.8.8.8"),
        ("::ffff:127.0.0.1", b"8.8.8.8", "8.8.8.8"),
        ("127.0.0.1", b"6.6.6.6, 8.8.8.8, 10.1.2.3", "8.8.8.8"),  # through two proxies of ours
        ("10.0.0.2", b"8.8.8.8:4711", "8.8.8.8"),
        ("10.0.0.2", b'"[2001:db8::1]:4711"', "2001:db8::1"),
        ("10.0.0.2", b"unknown", "10.0.0.2"),
        ("10.0.0.2", b"", "10.0.0.2"),
        ("10.0.0.2", b"10.0.0.3, 10.0.0.4", "10.0.0.2"),
        ("11.0.0.2", b"8.8.8.8", "11.0.0.2"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("unix", b"8.8.8.8", "unix"),
        (None, b"8.8.8.8", None),
    ],
)
def test_the_client_behind_trusted_proxies(peer: str | None, forwarded: bytes | None, expected: str | None) -> None:
    assert Addresses(networks("127.0.0.1, 10.0.0.0/8")).client(peer, forwarded) == expected


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.2", "::1", "203.0.114.7"])
def test_nobody_is_trusted_unless_named(peer: str) -> None:
    addresses = Addresses(networks(""))
    with capture_logs() as logged:
        assert {addresses.client(peer, f"{number}.1.1.1".encode()) for number in range(50)} == {peer}
    assert [(entry["log_level"], entry["peer"]) for entry in logged] == [("warning", peer)]


def test_a_long_list_of_hops_is_not_read() -> None:
    addresses = Addresses(networks("127.0.0.0/8"))
    assert addresses.client("127.0.0.1", b"6.6.6.6," + b"127.0.0.1," * 40_000 + b"127.0.0.9") == "127.0.0.1"


@pytest.mark.parametrize("text", ["localhost", "10.0.0.0/99", "10.0.0.1/8"])
def test_a_wrong_setting_is_a_line(text: str) -> None:
    with pytest.raises(SetupError, match="CRMGQL_TRUSTED_PROXIES"):
        networks(text)
