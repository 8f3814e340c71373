"""What an endpoint's requests are signed with: a secret and a pair of Ed25519 keys, derived and never stored.

Enters: a salt, which is stored with the endpoint. Leaves: a `Pair`, made of it and of the installation's secret key
(`secrets_file`), so that a copy of the database lets nobody sign. A new salt is a new pair: none comes back, not even
after a restore. With another secret key all pairs are others; the public key, stored beside the salt, shows that.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from standardwebhooks import Webhook

from crmgql.errors import Unavailable

SALT_BYTES, KEY_BYTES = 16, 32
SECRET_PREFIX, PUBLIC_PREFIX = "whsec_", "whpk_"
PURPOSE = b"crmgql webhooks 1"


@dataclass(frozen=True, slots=True)
class Pair:
    """`secret` is what the receiver verifies `v1` with, `public_key` what anybody verifies `v1a` with."""

    secret: str
    public_key: str
    hmac: Webhook
    private: Ed25519PrivateKey


class Keys:
    """Of one process, which says at its start what the installation's secret is."""

    def __init__(self) -> None:
        self._secret: bytes | None = None

    def use(self, secret: str) -> None:
        self._secret = secret.encode()

    @property
    def is_known(self) -> bool:
        return self._secret is not None

    def pair(self, salt: str) -> Pair:
        """Raises `Unavailable` in a process without a secret key."""
        return _derived(self._known(), salt)

    def key(self, purpose: bytes) -> bytes:
        """32 bytes for another purpose. Raises `Unavailable` in a process without a secret key."""
        return _for(self._known(), purpose)

    def _known(self) -> bytes:
        if self._secret is None:
            raise Unavailable("Webhooks are not set up here: the server has no secret key.")
        return self._secret


KEYS = Keys()


def new_salt() -> str:
    return secrets.token_hex(SALT_BYTES)


@lru_cache(maxsize=16)
def _for(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, b"", purpose).derive(secret)


@lru_cache(maxsize=4096)
def _derived(secret: bytes, salt: str) -> Pair:
    made = HKDF(SHA256(), 2 * KEY_BYTES, bytes.fromhex(salt), PURPOSE).derive(secret)
    private = Ed25519PrivateKey.from_private_bytes(made[KEY_BYTES:])
    public = private.public_key().public_bytes_raw()
    text = SECRET_PREFIX + base64.b64encode(made[:KEY_BYTES]).decode()
    return Pair(text, PUBLIC_PREFIX + base64.b64encode(public).decode(), Webhook(text), private)
