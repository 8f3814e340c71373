"""Identifies clients by what they can't easily change. Pure."""

from __future__ import annotations

import hashlib
import ipaddress

UNKNOWN = "unknown"
"""Stands for all clients without a known address. Proxies use the same word (RFC 7239, 6.2)."""

LONGEST_ADDRESS = 100


def address(remote: str | None) -> str | None:
    """An IPv4 address, or the /64 network of an IPv6 address; None if unknown.

    Text that is no address may be a proxy's identifier for its client, and is used as it is.
    """
    if remote is None:
        return None
    try:
        found = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        word = plain(remote, LONGEST_ADDRESS)
        return None if word is None or word.lower() == UNKNOWN else word
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


def fingerprint(remote: str | None, agent: str | None) -> str | None:
    """A hash of a client's address and user agent, to recognise it by; None unless both are known.

    It proves nothing: others at the same address may send the same user agent.
    """
    known = address(remote)
    return hashlib.sha256(f"{known}\n{agent}".encode()).hexdigest() if known and agent else None


def plain(text: str, longest: int) -> str | None:
    """The text, stripped; None if PostgreSQL can't store it, or if it is empty or too long."""
    text = text.strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text if 0 < len(text) <= longest and "\0" not in text else None
