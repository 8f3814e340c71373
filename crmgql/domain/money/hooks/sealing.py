"""Secrets that we share with payment providers, as they lie in the database: encrypted, so that a copy of it forges no posts.

Enters: secrets, each with the time until which it is taken. Leaves: text, which only an installation with the same secret key
opens. AES-256-GCM, a nonce of its own for each text; what was sealed for one provider opens for no other.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crmgql.domain.webhooks.keys import KEYS
from crmgql.errors import Unavailable

PURPOSE = b"crmgql payment accounts 1"
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Secret:
    """`until` is None for the newest; after that time an older one is not taken any more."""

    value: str
    until: datetime | None = None


def sealed(secrets: Sequence[Secret], provider: str) -> str:
    """Raises `Unavailable` in a process without a secret key."""
    plain = orjson.dumps([(each.value, each.until) for each in secrets])
    nonce = os.urandom(NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(KEYS.key(PURPOSE)).encrypt(nonce, plain, provider.encode())).decode()


def opened(text: str, provider: str) -> list[Secret]:
    """Raises `Unavailable` for what was sealed with another secret key."""
    whole = base64.b64decode(text)
    try:
        plain = AESGCM(KEYS.key(PURPOSE)).decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], provider.encode())
    except InvalidTag:
        raise Unavailable(
            f"The secrets of an account at {provider} were stored under another secret key; set them again."
        ) from None
    return [Secret(value, until and datetime.fromisoformat(until)) for value, until in orjson.loads(plain)]
