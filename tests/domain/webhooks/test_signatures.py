"""Signatures: the library of Standard Webhooks verifies ours, and anybody verifies them with the published key."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from crmgql.domain.webhooks import signatures
from crmgql.domain.webhooks.keys import Keys, Pair, new_salt
from crmgql.errors import Unavailable

SECRET = "a secret of 32 bytes or more, for tests"
BODY = '{"type":"order.confirmed","note":"Grüße 公司"}'


def pair(salt: str = "00" * 16, secret: str = SECRET) -> Pair:
    keys = Keys()
    keys.use(secret)
    return keys.pair(salt)


def signed(*pairs: Pair, now: datetime | None = None) -> dict[str, str]:
    return dict(signatures.headers("evt_1", BODY, pairs, now=now or datetime.now(UTC)))


def verify_with_public_key(headers: dict[str, str], body: str, public_key: str) -> None:
    """What the how-to says for those who want no shared secret."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    for each in headers["webhook-signature"].split(" "):
        version, signature = each.split(",")
        if version == "v1a":
            return key.verify(base64.b64decode(signature), text)
    raise AssertionError("no v1a")


def test_the_library_verifies_what_we_sign() -> None:
    made = pair()
    Webhook(made.secret).verify(BODY, signed(made))
    for changed in (BODY.replace("ü", "u"), BODY + " "):
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(changed, signed(made))
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(BODY, {**signed(made), "webhook-id": "evt_2"})
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(made.secret).verify(BODY, signed(made, now=datetime.now(UTC) - timedelta(minutes=6)))


def test_the_published_key_verifies_too() -> None:
    made = pair()
    verify_with_public_key(signed(made), BODY, made.public_key)
    with pytest.raises(InvalidSignature):
        verify_with_public_key(signed(made), BODY + " ", made.public_key)
    with pytest.raises(InvalidSignature):
        verify_with_public_key(signed(made), BODY, pair(new_salt()).public_key)


def test_while_a_secret_is_rotated_both_verify() -> None:
    older, newer = pair("11" * 16), pair("22" * 16)
    headers = signed(newer, older)
    for each in (older, newer):
        Webhook(each.secret).verify(BODY, headers)
    assert [each.split(",")[0] for each in headers["webhook-signature"].split(" ")] == ["v1", "v1a", "v1", "v1a"]
    with pytest.raises(WebhookVerificationError):
        Webhook(older.secret).verify(BODY, signed(newer))


def test_a_pair_is_made_of_the_salt_and_the_installations_secret() -> None:
    made = pair()
    assert made.secret == pair().secret
    others = [pair("00" * 15 + "01"), pair(secret=SECRET + "!")]
    assert len({made.secret, *(each.secret for each in others)}) == 3
    assert len({made.public_key, *(each.public_key for each in others)}) == 3
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    assert new_salt() != new_salt()
    with pytest.raises(Unavailable):
        Keys().pair("00" * 16)
