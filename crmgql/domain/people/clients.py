"""Who is at the other end, as far as it can be told: by what somebody can't easily change. Pure."""

from __future__ import annotations

import hashlib
import ipaddress

UNKNOWN = "unknown"
"""Stands for every client whose address nobody told us. A proxy's own word for it, too (RFC 7239, 6.2)."""

LONGEST_ADDRESS = 100


def address(remote: str | None) -> str | None:
    """An IPv4 address, or the /64 network that an IPv6 client may roam in; None when it can't be told.

    What is no address may be a proxy's own word for its client, and is taken as one.
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
    """By what a client is known again: its address and the program that it says it is. None unless both are known.

    No proof: who shares the address may claim the same program.
    """
    known = address(remote)
    return hashlib.sha256(f"{known}\n{agent}".encode()).hexdigest() if known and agent else None


def plain(text: str, longest: int) -> str | None:
    """Text that PostgreSQL takes, or None for what can be nobody's."""
    text = text.strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text if 0 < len(text) <= longest and "\0" not in text else None
