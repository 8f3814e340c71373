"""Which URLs and addresses requests may go to."""

from __future__ import annotations

import ipaddress

import pytest

from crmgql.errors import BadUserInput, SetupError
from crmgql.outbound.targets import AddressRefused, Reach, is_public, networks, target

CLOSED = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 168.63.129.16
:: ::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1
::1.1.1.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1
2002:101:101::1 3fff::1 5f00::1
"""
OPEN = "1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450:4001::1 ::ffff:1.1.1.1 64:ff9b::101:101"


@pytest.mark.parametrize("text", CLOSED.split())
def test_what_is_not_public_is_not_reached(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not is_public(address)
    assert not Reach().includes(address, "https")
    assert not Reach().includes(address, "http")


@pytest.mark.parametrize("text", OPEN.split())
def test_what_is_public_is_reached_with_https_only(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert Reach().includes(address, "https")
    assert not Reach().includes(address, "http")


def test_an_administrator_allows_networks() -> None:
    reach = Reach(networks("10.1.0.0/16, fd00::/8"))
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"):
        assert reach.includes(ipaddress.ip_address(text), "http"), text
        assert reach.includes(ipaddress.ip_address(text), "https"), text
    for text in ("10.2.0.1", "127.0.0.1", "fe80::1"):
        assert not reach.includes(ipaddress.ip_address(text), "https"), text
    with pytest.raises(SetupError, match="CRMGQL_WEBHOOK_NETWORKS"):
        networks("10.1.0.0/33")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1."),
        *("10.0.0.8", "0xa000008", "169.254.169.254", "2852039166", "0", "0.0.0.0", "192.168.257", "100.64.0.1"),
        *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a00:1]"),
        *(
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::127.0.0.1]",
            "localhost",
            "LocalHost",
            "localhost.",
            "a.localhost",
        ),
    ],
)
def test_a_host_that_is_an_address_shows_what_it_is(host: str) -> None:
    found = target(f"https://{host}/hooks")
    with pytest.raises(AddressRefused) as refused:
        Reach().check(found)
    assert refused.value.field == "url"
    Reach(networks("0.0.0.0/0, ::/0")).check(found)


@pytest.mark.parametrize(
    "host",
    ["1.1.1.1", "16843009", "[2606:4700::1111]", "example.com", "localhost.com", "10.example.com", "999999999999"],
)
def test_public_addresses_and_names_are_judged_when_something_is_sent(host: str) -> None:
    Reach().check(target(f"https://{host}/hooks"))


def test_a_public_address_needs_https() -> None:
    with pytest.raises(AddressRefused, match="https"):
        Reach().check(target("http://1.1.1.1/hooks"))


def test_localhost_is_allowed_with_either_of_its_addresses() -> None:
    for each in ("127.0.0.0/8", "::1"):
        Reach(networks(each)).check(target("http://localhost:8080/hooks"))


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("https://Example.com:8443/a/b?c=d%20e", "example.com", 8443, "/a/b?c=d%20e", "example.com:8443"),
        ("http://hooks:8080/x", "hooks", 8080, "/x", "hooks:8080"),
        ("https://[2606:4700::1111]/x", "2606:4700::1111", 443, "/x", "[2606:4700::1111]"),
        ("https://xn--bcher-kva.example./", "xn--bcher-kva.example.", 443, "/", "xn--bcher-kva.example."),
    ],
)
def test_a_url_is_taken_apart_once(url: str, host: str, port: int, path: str, authority: str) -> None:
    found = target(url)
    assert (found.host, found.port, found.path, found.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com", "https://", "//example.com", "example.com", "https://exa mple.com", "https:///x"),
        *("https://user@example.com", "https://user:word@example.com", "https://@example.com", "https://e.com/#x"),
        *("https://example.com:22", "https://example.com:25/", "https://example.com:0", "https://example.com:70000"),
        *(
            "https://good.com\\@127.0.0.1/",
            "https://exämple.com",
            "https://a..b",
            "https://a/\r\nHost: b",
            "https://a/#",
        ),
        *("https://[::1%25lo]/", "https://[::1", "https://" + "a" * 500, "https://" + "a." * 200 + "/"),
    ],
)
def test_what_is_no_url_for_requests_is_refused(url: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        target(url)
    assert refused.value.field == "url"
