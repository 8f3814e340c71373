"""Our accounts at payment providers: who we are there, and what posts are verified with.

Always holds: a secret is stored sealed and never shown again; an account can verify what is posted to it; its provider stays.
While a secret is being replaced, the old one is taken as well, for as long as was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog

from crmgql import access
from crmgql.db import Database
from crmgql.domain.money import providers
from crmgql.domain.money.hooks import sealing
from crmgql.domain.money.hooks.sealing import Secret
from crmgql.domain.money.providers import facts
from crmgql.errors import BadUserInput, IllegalTransition, SetupError, Unavailable
from crmgql.models import PaymentAccount
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

log = structlog.get_logger("crmgql")

FACTS = "name identities public_keys captured_at_once test_mode default_method order_source"
OVERLAP_H, LONGEST_OVERLAP_H = 24, 168
MOST_SECRETS, MOST_KEYS, LONGEST_SECRET = 10, 20, 200
ACTIVE = """
SELECT id, provider, identities, public_keys, secrets_sealed, captured_at_once, test_mode FROM payment_accounts
WHERE provider = $1 AND active ORDER BY id"""
CONFLICTS = {"payment_accounts_name": ("name", "Another payment account has this name, in upper or lower case.")}


@dataclass(frozen=True, slots=True)
class Known:
    """An account as posts are verified with it."""

    id: UUID
    provider: str
    identities: frozenset[str]
    public_keys: dict[str, str]
    secrets: Sequence[Secret]
    captured_at_once: bool

    def at(self, now: datetime) -> facts.Account:
        """As the pure modules know it, with the secrets that are taken now."""
        live = tuple(each.value for each in self.secrets if each.until is None or each.until > now)
        return facts.Account(
            ids=self.identities, shared=live, public_keys=self.public_keys, captured_at_once=self.captured_at_once
        )


def known(row: Row) -> Known:
    """Raises `Unavailable` where the secrets can't be opened."""
    keys = row["public_keys"]
    return Known(
        row["id"],
        row["provider"],
        frozenset(row["identities"]),
        orjson.loads(keys) if isinstance(keys, str) else keys,
        sealing.opened(row["secrets_sealed"], row["provider"]) if row["secrets_sealed"] else (),
        row["captured_at_once"],
    )


async def active(database: Database, provider: str) -> list[Known]:
    """The accounts at a provider, which is named as posts name it. Raises `Unavailable` where the secrets of none can be opened."""
    async with database.reading() as connection:
        rows = await connection.fetch(ACTIVE, provider.upper())
    found, trouble = [], None
    for row in rows:
        try:
            found.append(known(row))
        except Unavailable as error:
            log.error("payment account not usable", account=str(row["id"]), reason=error.message)
            trouble = error
    if trouble is not None and not found:
        raise trouble
    return found


@takes(PaymentAccount, FACTS, "provider", ORIGIN)
async def create(act: Act, *, secrets: Sequence[str] | None = None, **values: Any) -> UUID:
    """Makes an account, with the secrets or public keys that its posts are verified with. Raises `BadUserInput`, `Conflict`."""
    access.require_write(act.viewer, "PaymentAccount")
    if secrets:
        _check_secrets(secrets)
        values["secrets_sealed"] = sealing.sealed([Secret(each) for each in secrets], values["provider"])
        values["secret_set_at"] = act.now
    _check(
        {"identities": [], "public_keys": {}, "captured_at_once": False, "secrets_sealed": None, "id": None} | values,
        act.now,
    )
    account = await records.create(act, PaymentAccount, values, kind="paymentAccount.created", conflicts=CONFLICTS)
    return account["id"]  # type: ignore[no-any-return]


@takes(PaymentAccount, FACTS, "active")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; `active=True` enables a disabled account again."""
    access.require_write(act.viewer, "PaymentAccount")
    account = await records.lock(act, PaymentAccount, id, expected_version=expected_version)
    _check(account | changes, act.now)
    await records.change(act, PaymentAccount, account, changes, kind="paymentAccount.updated", conflicts=CONFLICTS)
    return id


async def rotate_secret(
    act: Act, *, id: UUID, secret: str, overlap_h: int | None = None, expected_version: int | None = None
) -> UUID:
    """Takes the provider's new secret, and for `overlap_h` hours the ones before it as well; 24 by default."""
    access.require_write(act.viewer, "PaymentAccount")
    account = await records.lock(act, PaymentAccount, id, expected_version=expected_version)
    hours = OVERLAP_H if overlap_h is None else overlap_h
    if not 0 <= hours <= LONGEST_OVERLAP_H:
        raise BadUserInput(f"An overlap is 0 to {LONGEST_OVERLAP_H} hours.", field="overlapH")
    _check_secrets([secret], field="secret")
    until = act.now + timedelta(hours=hours)
    before = [Secret(each.value, min(until, each.until or until)) for each in known(account).secrets]
    kept = [each for each in before if each.until is not None and each.until > act.now and each.value != secret]
    changes = {
        "secrets_sealed": sealing.sealed([Secret(secret), *kept[: MOST_SECRETS - 1]], account["provider"]),
        "secret_set_at": act.now,
        "old_secret_until": max((each.until for each in kept if each.until), default=None),
    }
    _check(account | changes, act.now, field="secret")
    await records.change(act, PaymentAccount, account, changes, kind="paymentAccount.secretRotated")
    return id


async def disable(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Refuses what is posted to it from now on. Raises `IllegalTransition` if it is disabled already."""
    access.require_write(act.viewer, "PaymentAccount")
    account = await records.lock(act, PaymentAccount, id, expected_version=expected_version)
    if not account["active"]:
        raise IllegalTransition("The payment account is disabled already.", field="id")
    await records.change(act, PaymentAccount, account, {"active": False}, kind="paymentAccount.disabled")
    return id


def _check_secrets(secrets: Sequence[str], *, field: str = "secrets") -> None:
    if len(secrets) > MOST_SECRETS:
        raise BadUserInput(f"At most {MOST_SECRETS} secrets fit, not {len(secrets)}.", field=field)
    if not all(each.isascii() and each.isprintable() and 0 < len(each) <= LONGEST_SECRET for each in secrets):
        raise BadUserInput(f"A secret is 1 to {LONGEST_SECRET} printable ASCII characters.", field=field)


def _check(row: Row, now: datetime, *, field: str = "secrets") -> None:
    """Raises `BadUserInput` for an account with which nothing could be verified."""
    keys = row["public_keys"] or {}
    if len(keys) > MOST_KEYS or not all(isinstance(each, str) for each in keys.values()):
        raise BadUserInput(
            f"Public keys are an object of up to {MOST_KEYS} texts by the ids that posts name.", field="publicKeys"
        )
    account = known(row | {"public_keys": keys, "identities": row["identities"] or []})
    try:
        providers.get(account.provider.lower()).check(account.at(now))
    except SetupError as error:
        raise BadUserInput(
            error.message, field=field if account.provider in ("STRIPE", "ADYEN") else "publicKeys"
        ) from None
