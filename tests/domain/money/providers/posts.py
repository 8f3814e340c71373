"""Posts as providers sign them, with keys of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crmgql.domain.money import providers
from crmgql.domain.money.providers import adyen
from crmgql.domain.money.providers.facts import Account, Fact, Kind
from crmgql.domain.money.providers.reading import Item
from tests.conftest import SHARED

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TIME = str(int(NOW.timestamp()))
SECRET = "whsec_" + "s" * 32
HEX_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
API_KEY = "0123456789abcdef0123456789abcdef"
SERIAL, KEY_ID = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "PUB_KEY_ID_0116000000002024111500000000000001"
APP_ID, MCHID = "2014072300007148", "1900000109"


def private_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def public(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def bare(key: RSAPrivateKey) -> str:
    """As Alipay's console shows it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


ALIPAYS, WECHATS = private_key(), private_key()
ACCOUNTS = {
    "stripe": Account(shared=(SECRET,)),
    "adyen": Account(shared=(HEX_KEY,)),
    "alipay": Account(ids=frozenset([APP_ID]), public_keys={"": bare(ALIPAYS)}),
    "wechat": Account(public_keys={KEY_ID: public(WECHATS)}, shared=(API_KEY,)),
}


@dataclass(frozen=True)
class Post:
    provider: str
    body: bytes
    headers: Mapping[str, str]

    def verify(self, account: Account | None = None, now: datetime = NOW) -> None:
        providers.get(self.provider).verify(self.headers, self.body, account or ACCOUNTS[self.provider], now=now)

    def read(self, account: Account | None = None) -> list[Fact]:
        return providers.get(self.provider).read(self.body, account or ACCOUNTS[self.provider])

    def fact(self) -> Fact:
        """The only one, of a post that verifies."""
        self.verify()
        [found] = self.read()
        return found

    def with_header(self, name: str, value: str) -> Post:
        return replace(self, headers={**self.headers, name: value})


def stripe(kind: str, thing: Mapping[str, Any], *, secret: str = SECRET, time: str = TIME, **event: Any) -> Post:
    values = {"id": "evt_1", "type": kind, "created": int(TIME), "livemode": True, "data": {"object": thing}}
    return signed(json.dumps({**values, **event}).encode(), secret=secret, time=time)


def signed(body: bytes, *, secret: str = SECRET, time: str = TIME) -> Post:
    """A body of Stripe's."""
    made = hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()
    return Post("stripe", body, {"Stripe-Signature": f"t={time},v1={made}"})


def adyen_item(code: str, *, key: str = HEX_KEY, **values: Any) -> dict[str, Any]:
    item = {
        "eventCode": code,
        "pspReference": "PSP1",
        "merchantAccountCode": "Shop",
        "merchantReference": "A-1",
        "amount": {"value": 1000, "currency": "EUR"},
        "success": "true",
        "eventDate": "2026-03-01T13:00:00+01:00",
        "paymentMethod": "visa",
        "additionalData": {},
        **values,
    }
    made = adyen.signature(key, adyen.signed_text(Item(item)).encode())
    item["additionalData"] = {**item["additionalData"], "hmacSignature": made}
    return item


def adyen_post(*items: dict[str, Any]) -> Post:
    content = {"live": "true", "notificationItems": [{"NotificationRequestItem": item} for item in items]}
    return Post("adyen", json.dumps(content).encode(), {})


def rsa_signature(key: RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def alipay(key: RSAPrivateKey = ALIPAYS, *, charset: str = "utf-8", **changes: str | None) -> Post:
    """`changes`: fields, left out where None."""
    fields: dict[str, str | None] = {
        "notify_time": "2026-03-01 20:00:01",
        "notify_type": "trade_status_sync",
        "notify_id": "4a91b7a78a503640467525113fb7d8bg8e",
        "app_id": APP_ID,
        "charset": charset,
        "version": "1.0",
        "trade_no": "2026030122001004330000121536",
        "out_trade_no": "A-1",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "88.88",
        "gmt_create": "2026-03-01 19:59:00",
        "gmt_payment": "2026-03-01 20:00:00",
        "subject": "大乐透 & more=+%",
        **changes,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    text = "&".join(f"{name}={given[name]}" for name in sorted(given))
    signed = {**given, "sign": rsa_signature(key, text.encode(charset)), "sign_type": "RSA2"}
    return Post("alipay", form(signed, charset), {})


def form(fields: Mapping[str, str], charset: str = "utf-8") -> bytes:
    return "&".join(f"{name}={quote_plus(value, encoding=charset)}" for name, value in fields.items()).encode()


TRANSACTION = {
    "mchid": MCHID,
    "appid": "wxd678efh567hg6787",
    "transaction_id": "4200000000202603010000000001",
    "out_trade_no": "A-1",
    "trade_type": "JSAPI",
    "trade_state": "SUCCESS",
    "success_time": "2026-03-01T20:00:00+08:00",
    "amount": {"total": 1000, "payer_total": 900, "currency": "CNY", "payer_currency": "CNY"},
}
REFUND = {
    "mchid": MCHID,
    "transaction_id": "4200000000202603010000000001",
    "out_trade_no": "A-1",
    "refund_id": "50200207182018070300011301001",
    "out_refund_no": "ref_1",
    "refund_status": "SUCCESS",
    "success_time": "2026-03-01T21:00:00+08:00",
    "amount": {"total": 1000, "refund": 400, "payer_total": 1000, "payer_refund": 400},
}


def sealed(content: Mapping[str, Any], key: str = API_KEY) -> dict[str, str]:
    text = AESGCM(key.encode()).encrypt(b"nonce-of-12b", json.dumps(content).encode(), b"transaction")
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(text).decode(),
        "nonce": "nonce-of-12b",
        "associated_data": "transaction",
        "original_type": "transaction",
    }


def wechat(
    kind: str,
    content: Mapping[str, Any],
    *,
    key: RSAPrivateKey = WECHATS,
    serial: str = KEY_ID,
    api_key: str = API_KEY,
    time: str = TIME,
) -> Post:
    post = {
        "id": "EV-2026030122332087",
        "create_time": "2026-03-01T20:00:02+08:00",
        "resource_type": "encrypt-resource",
        "event_type": kind,
        "summary": "支付成功",
        "resource": sealed(content, api_key),
    }
    body = json.dumps(post).encode()
    signature = rsa_signature(key, time.encode() + b"\nnonce1\n" + body + b"\n")
    return Post(
        "wechat",
        body,
        {
            "Wechatpay-Timestamp": time,
            "Wechatpay-Nonce": "nonce1",
            "Wechatpay-Signature": signature,
            "Wechatpay-Serial": serial,
        },
    )


def every_provider() -> list[Post]:
    """A post of each, which verifies and tells of a payment."""
    intent = {"id": "pi_1", "object": "payment_intent", "amount_received": 1000, "currency": "eur"}
    return [
        stripe("payment_intent.succeeded", intent),
        adyen_post(adyen_item("CAPTURE", originalReference="PSP0")),
        alipay(),
        wechat("TRANSACTION.SUCCESS", TRANSACTION),
    ]


def published(path: str) -> Path:
    """A file of the data beside the repository."""
    found = SHARED / "data" / path
    if not found.exists():
        pytest.skip(f"the data is not beside the repository (shared/data/{path})")
    return found


def kinds(facts: list[Fact]) -> list[Kind]:
    return [fact.kind for fact in facts]
