"""Tokens: signed access tokens that are valid for minutes, and random secrets of which only the hash is stored.

Enters: ids and the time. Leaves: a token for a client, or the claims of a token that we signed. Pure. Always holds: a
token says who the user is and until when it is valid, never what they may do; a random secret is found by its SHA-256, so
that no code compares secrets and a stolen table is useless (43 random characters can't be guessed, even from a fast hash).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from crmgql.errors import Unauthenticated

ISSUER = "crmgql"
ALGORITHM = "HS256"
KIND = "access"
KEY_PREFIX = "crm_"
API_KEY = re.compile(r"crm_[A-Za-z0-9_-]{43}")
LONGEST_TOKEN = 2048

# PyJWT reads the system clock; the times are checked here, by the caller's clock.
_OPTIONS: jwt.types.Options = {
    "require": ["sub", "sid", "iat", "exp", "iss", "typ"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of an access token: the user, the session family, when it ends."""

    user_id: UUID
    family: UUID
    expires_at: datetime


def issue_access(secret: str, *, user_id: UUID, family: UUID, now: datetime, minutes: int) -> str:
    """A token that ends `minutes` from now. The secret has 32 bytes or more."""
    claims = {
        "iss": ISSUER,
        "typ": KIND,
        "sub": user_id.hex,
        "sid": family.hex,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=minutes)).timestamp()),
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def read_access(secret: str, token: str, *, now: datetime) -> AccessClaims:
    """The claims of a token that we signed and that has not ended. Raises `Unauthenticated`.

    Only HS256 is accepted, whatever the token's header names: neither `none` nor a public key as the secret works.
    """
    claims = _claims(secret, token)
    if claims is None:
        raise Unauthenticated("This access token is not one of ours.")
    if now >= claims.expires_at:
        raise Unauthenticated("This access token has expired: use the refresh token to get a new one.")
    return claims


def _claims(secret: str, token: str) -> AccessClaims | None:
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], issuer=ISSUER, options=_OPTIONS)
        if claims["typ"] != KIND:
            return None
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        return AccessClaims(UUID(claims["sub"]), UUID(claims["sid"]), expires_at)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        return None  # signed with our secret, but by something else than issue_access


def new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def new_api_key() -> str:
    """A new key, with a prefix by which people and secret scanners recognise it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def is_api_key(text: str) -> bool:
    """Whether a text has the form of `new_api_key`."""
    return API_KEY.fullmatch(text) is not None


def digest(secret: str) -> str:
    """SHA-256 in hex, which is stored and looked up. Any text has one, also with lone surrogates."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
