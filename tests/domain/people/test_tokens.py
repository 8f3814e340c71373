from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest

from crmgql.domain.people import tokens
from crmgql.errors import Unauthenticated

SECRET = "a-test-secret-of-more-than-32-bytes!"
NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)  # far from the machine's time: nothing may ask for that
USER, FAMILY = UUID(int=1), UUID(int=2)


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: Any, secret: str | bytes = SECRET) -> str:
    key = secret if isinstance(secret, bytes) else secret.encode()
    text = f"{b64(header)}.{b64(claims)}"
    return f"{text}.{b64(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def claims(**changes: Any) -> dict[str, Any]:
    whole = {"sub": USER.hex, "sid": FAMILY.hex, "iat": 1, "exp": int(NOW.timestamp()) + 60, "iss": "crmgql"}
    return {name: value for name, value in (whole | {"typ": "access"} | changes).items() if value is not None}


def issued(minutes: int = 15) -> str:
    return tokens.issue_access(SECRET, user_id=USER, family=FAMILY, now=NOW, minutes=minutes)


def test_what_was_issued_is_read_back():
    read = tokens.read_access(SECRET, issued(), now=NOW)

    assert read == tokens.AccessClaims(USER, FAMILY, NOW + timedelta(minutes=15))


def test_the_token_says_who_and_until_when_and_nothing_else():
    payload = jwt.decode(issued(), options={"verify_signature": False})

    iat = int(NOW.timestamp())
    assert payload == {
        "iss": "crmgql",
        "typ": "access",
        "sub": USER.hex,
        "sid": FAMILY.hex,
        "iat": iat,
        "exp": iat + 900,
    }


@pytest.mark.parametrize("year", [2001, 2031])
def test_the_end_is_checked_against_the_clock_that_is_passed(year: int):
    now = NOW.replace(year=year)
    token = tokens.issue_access(SECRET, user_id=USER, family=FAMILY, now=now, minutes=15)
    tokens.read_access(SECRET, token, now=now + timedelta(minutes=14, seconds=59))
    with pytest.raises(Unauthenticated, match="has expired"):
        tokens.read_access(SECRET, token, now=now + timedelta(minutes=15))


HS256 = {"alg": "HS256", "typ": "JWT"}
NOT_OURS = {
    "empty": "",
    "not a token": "hello",
    "other secret": signed(HS256, claims(), "another secret of more than 32 bytes"),
    "empty secret": signed(HS256, claims(), b""),
    "alg none": f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(claims())}.",
    "alg None": f"{b64({'alg': 'None'})}.{b64(claims())}.",
    "alg none, signed": signed({"alg": "none"}, claims()),
    "alg missing": signed({"typ": "JWT"}, claims()),
    "alg a list": signed({"alg": ["HS256"]}, claims()),
    "alg RS256, signed by HMAC": signed({"alg": "RS256"}, claims()),
    "alg HS512": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "alg HS384, signed by HS256": signed({"alg": "HS384"}, claims()),
    "key in the header": signed(
        {**HS256, "jwk": {"kty": "oct", "k": b64(b"x" * 32)}, "jku": "https://evil.example/keys"}, claims(), b"x" * 32
    ),
    "unencoded payload": signed({**HS256, "b64": False, "crit": ["b64"]}, claims()),
    "unknown critical header": signed({**HS256, "crit": ["x"], "x": 1}, claims()),
    "no signature": issued().rpartition(".")[0] + ".",
    "two parts": issued().rpartition(".")[0],
    "other issuer": signed(HS256, claims(iss="someone")),
    "issuer a list": signed(HS256, claims(iss=["crmgql"])),
    "no issuer": signed(HS256, claims(iss=None)),
    "no end": signed(HS256, claims(exp=None)),
    "end is text": signed(HS256, claims(exp="never")),
    "end past all years": signed(HS256, claims(exp=10**18)),
    "end infinite": signed(HS256, claims(exp=float("inf"))),
    "no family": signed(HS256, claims(sid=None)),
    "family is no id": signed(HS256, claims(sid="x")),
    "family is a number": signed(HS256, claims(sid=7)),
    "no user": signed(HS256, claims(sub=None)),
    "user is no id": signed(HS256, claims(sub="admin")),
    "other kind": signed(HS256, claims(typ="refresh")),
    "no kind": signed(HS256, claims(typ=None)),
    "claims are a list": signed(HS256, []),
    "claims are no JSON": signed(HS256, b"{"),
    "deep JSON": signed(HS256, b"[" * 700),
    "NUL": issued() + "\0",
    "lone surrogate": "\ud800" + issued(),
    "10 kB": issued() + "x" * 10_000,
    "1 MB of dots": "." * 1_000_000,
    "an API key": "crm_" + "x" * 43,
}


@pytest.mark.parametrize("token", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_not_ours_is_refused_in_one_way(token: str):
    with pytest.raises(Unauthenticated, match=r"^This access token is not one of ours\.$"):
        tokens.read_access(SECRET, token, now=NOW)


def test_every_changed_character_is_noticed():
    token = issued()
    for position in range(len(token) - 1):  # the last one has bits that base64 ignores
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(Unauthenticated):
            tokens.read_access(SECRET, changed, now=NOW)


def test_random_secrets_are_long_and_never_the_same():
    made = {tokens.new_refresh_token() for _ in range(100)} | {tokens.new_api_key() for _ in range(100)}

    assert len(made) == 200
    assert all(len(secret) >= 43 for secret in made)
    assert tokens.new_api_key().startswith("crm_")


@pytest.mark.parametrize("secret", ["", "abc", "\0", "\ud800", "x" * 10_000])
def test_a_digest_is_64_hex_digits_of_any_text(secret: str):
    assert len(tokens.digest(secret)) == 64
    assert tokens.digest("abc") == hashlib.sha256(b"abc").hexdigest()
