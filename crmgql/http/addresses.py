"""Whose address a request comes from: the peer's, or what a trusted proxy says.

Anybody can write an `X-Forwarded-For`. It counts only where the connection comes from a proxy that the operator has
named, and then from the right: each trusted proxy appends who came to it, and what stands before is the client's own word.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

import structlog

from crmgql.errors import SetupError

log = structlog.get_logger("crmgql")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_HOPS = 10
LONGEST = 64


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a setting such as `127.0.0.1, 10.0.0.0/8`. Raises `SetupError`."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(each) for each in named)
    except ValueError as error:
        raise SetupError(
            f"CRMGQL_TRUSTED_PROXIES takes addresses and networks, separated by commas: {error}."
        ) from None


class Addresses:
    """Finds the addresses of clients; `trusted` are the proxies whose `X-Forwarded-For` counts."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self.trusted = trusted
        self.is_trusted = lru_cache(maxsize=1024)(self._is_trusted)
        self._warned = False

    def client(self, peer: str | None, forwarded: bytes | None) -> str | None:
        """The client's address; None when the connection has none."""
        if forwarded is None or peer is None:
            return peer
        if not self.is_trusted(peer):
            self._warn(peer)
            return peer
        hops = forwarded[-MOST_HOPS * LONGEST :].decode("latin-1").split(",")[-MOST_HOPS:]
        for hop in reversed(hops):
            address = _plain(hop)
            if address is None:
                return peer
            if not self.is_trusted(address):
                return address
        return peer

    def _is_trusted(self, text: str) -> bool:
        try:
            address: Address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)

    def _warn(self, peer: str) -> None:
        """Once: behind a proxy that nobody named, all clients look like one."""
        if not self._warned:
            self._warned = True
            log.warning(
                "X-Forwarded-For is ignored, as it comes from no trusted proxy; if it is yours, name it in "
                "CRMGQL_TRUSTED_PROXIES",
                peer=peer,
            )


def _plain(hop: str) -> str | None:
    """An address without what proxies write around it, such as a port; None for what is no address."""
    text = hop.strip()[:LONGEST].strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
