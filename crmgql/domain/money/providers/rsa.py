"""Signatures by RSA with SHA-256 (PKCS #1 v1.5), in base64, as Alipay and WeChat Pay make them."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from crmgql.domain.money.providers.refusals import SignatureWrong
from crmgql.errors import SetupError

FEWEST_BITS = 2048


@lru_cache(maxsize=64)
def public_key(text: str) -> RSAPublicKey:
    """The key in a PEM certificate, a PEM key, or the base64 that Alipay's console shows. Raises `SetupError`."""
    key: object
    try:
        if "BEGIN CERTIFICATE" in text:
            key = load_pem_x509_certificate(text.encode()).public_key()
        elif "BEGIN" in text:
            key = load_pem_public_key(text.encode())
        else:
            key = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise SetupError("A provider's public key can't be read; give PEM or base64 of an RSA key.") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < FEWEST_BITS:
        raise SetupError(f"A provider's public key must be RSA of {FEWEST_BITS} bits or more.")
    return key


def check(signature: str, message: bytes, key: str) -> None:
    """Raises `SignatureWrong`. One signature has one spelling: base64 with loose ends would give it several."""
    try:
        given = base64.b64decode(signature, validate=True)
        if base64.b64encode(given).decode() != signature:
            raise SignatureWrong("The signature is not in base64.")
        public_key(key).verify(given, message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureWrong("The signature is not the provider's over this body.") from None
