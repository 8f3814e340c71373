"""Where a request may go: URLs as far as one can tell without asking anybody, and addresses once a name is resolved.

Enters: what a user typed, and what a resolver answered. Leaves: a `Target`, and whether an address may be connected to.
Pure. A URL that passes here proves nothing yet: a name may lead anywhere, and elsewhere the next time. `Guard` in
`network` therefore asks `Reach` for each address right before it connects to that very address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from crmgql.errors import BadUserInput, CrmError, SetupError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 500
PORTS = {"http": 80, "https": 443}
LOWEST_PORT = 1024
"""Below it only the two above: what else listens there speaks another language, such as SMTP, and may take HTTP for it."""

PLAIN = re.compile(r"[\x21-\x7e]+")
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")

SPECIAL = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        "168.63.129.16/32",  # Azure's own services, at an address that looks public
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
"""IANA's registries of special-purpose addresses, and multicast. Python's `is_global` differs between its releases."""

UNICAST = ipaddress.ip_network("2000::/3")
"""All that is public in IPv6; loopback, link-local, unique local, site-local and multicast addresses lie outside of it."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""An IPv4 address in the last 32 bits, to which a gateway connects."""


LOCALHOST = "localhost"
LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


class AddressRefused(CrmError):
    """The host of a URL is an address that nothing may be sent to."""

    code = "ADDRESS_REFUSED"
    final = True


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once, so that what was checked is what is connected to. `host` is a name, or an address without
    brackets; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those that the host stands for without anybody being asked: none for a name, except `localhost` and what is below it.

        An IPv4 address counts in each form that resolvers take for one: 127.1, 2130706433, 0x7f.0.0.1, 0177.0.0.1.
        """
        host = self.host.removesuffix(".")
        if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
            return LOOPBACK
        with suppress(ValueError):
            return (ipaddress.ip_address(host),)
        with suppress(OSError):
            return (ipaddress.IPv4Address(socket.inet_aton(host)),)
        return ()

    @property
    def refusal(self) -> str:
        """Why nothing is sent there, when no address that the host has may be connected to."""
        if self.scheme == "http":
            return f"{self.host} is in no network that CRMGQL_WEBHOOK_NETWORKS allows, so it needs https."
        return f"{self.host} has no public address, and CRMGQL_WEBHOOK_NETWORKS allows none that it has."


def target(url: str, *, field: str = "url") -> Target:
    """The parts of a URL that a request may go to, as far as that shows. Raises `BadUserInput`."""

    def wrong(why: str) -> BadUserInput:
        return BadUserInput(f"{why} Write it like https://example.com/hooks.", field=field)

    if len(url) > LONGEST_URL or not PLAIN.fullmatch(url) or "\\" in url:
        raise wrong(f"A URL is up to {LONGEST_URL} ASCII characters without spaces; encode others.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong("This is no URL.") from None
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host:
        raise wrong("A URL is absolute and starts with https.")
    if "@" in parts.netloc:
        raise wrong("A URL has no user name or password: requests are signed instead.")
    if parts.fragment or url.endswith("#"):
        raise wrong("A URL has no fragment.")
    if not (_is_address(host) if ":" in host else len(host) <= 253 and NAME.fullmatch(host)):
        raise wrong("This is no host; names with other letters are written as xn--….")
    port = PORTS[parts.scheme] if port is None else port
    if port < LOWEST_PORT and port not in PORTS.values():
        raise wrong(f"The port is 443, 80, or {LOWEST_PORT} and above.")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port, (parts.path or "/") + query)


def _is_address(host: str) -> bool:
    try:
        return "%" not in host and bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False


def networks(text: str) -> tuple[Network, ...]:
    """The networks of `CRMGQL_WEBHOOK_NETWORKS`, such as `10.1.0.0/16, fd00::/8`. Raises `SetupError`."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SetupError(
            f"CRMGQL_WEBHOOK_NETWORKS takes addresses and networks, separated by commas: {error}."
        ) from None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far requests go: everywhere in public with https, and to the networks that an administrator allows besides."""

    allowed: tuple[Network, ...] = ()

    def includes(self, address: Address, scheme: str) -> bool:
        """Whether a connection to the address may be made. In plain text: to allowed networks only."""
        address = _unwrapped(address)
        if any(address in network for network in self.allowed):
            return True
        return scheme == "https" and is_public(address)

    def check(self, target: Target, *, field: str = "url") -> None:
        """Raises `AddressRefused` for a host that is an address which no connection may be made to. What a name leads to is asked
        when something is sent."""
        known = target.addresses
        if known and not any(self.includes(each, target.scheme) for each in known):
            raise AddressRefused(target.refusal, field=field)


def is_public(address: Address) -> bool:
    """Whether anybody in the world has this address, whatever it is wrapped in."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in UNICAST:
        return False
    return not any(address in network for network in SPECIAL)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that leads to it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
