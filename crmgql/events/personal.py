"""Which columns hold personal values, and how a row stores these apart from the others.

A personal value identifies somebody, is a way to reach them, or is free text that may contain either. Enters: a row's
values. Leaves: the values that are never erased, and `Apart`: the personal ones as text, with a salt of their own and a
commitment to both. Always holds: without its salt a commitment does not reveal the values, so erasing both leaves only the
fact that there were some.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from types import NoneType
from typing import Any

import orjson

from crmgql.events.canonical import as_json, canonical

ALGORITHM = "sha256-1"
"""SHA-256 over the salt and the text in UTF-8, as stored. A better one gets another name; old rows keep theirs."""

SALT_BYTES = 16

COLUMNS: dict[str, frozenset[str]] = {
    record: frozenset(names.split())
    for record, names in {
        "Absence": "reason",
        "BankLine": "name counterparty texts end_to_end_id status_reason",
        "BankSuggestion": "reasons labels",
        "Contact": "name title email phone external_id",
        "Contract": "title parties",
        "CreditNote": "reason recipient_name recipient_address recipient_tax_id",
        "Customer": "name email phone website city state postal_code notes billing_address tax_id dunning_stop_reason merge_reason external_id",
        "Dispute": "reason",
        "EmailMessage": "to_address subject body error",
        "Interaction": "subject body",
        "Invoice": "note recipient_name recipient_address recipient_tax_id dunning_stop_reason",
        "Lead": "name company title email phone website city message attributes normal_email normal_phone domain lost_reason external_id",
        "LeadDuplicate": "reasons",
        "Notification": "title body",
        "Opportunity": "name lost_reason",
        "Order": "note",
        "Payment": "reference",
        "Payout": "status_reason",
        "PoolItem": "shown",
        "ReconciliationException": "reason",
        "Refund": "reason status_reason",
        "SellerProfile": "attributes",
        "SuspenseReceipt": "payer reference status_reason",
        "Task": "subject description",
        "Ticket": "subject description",
        "WriteOff": "reason",
        "User": "name email city state postal_code",
    }.items()
}
"""Type → columns whose values in `changes` are personal. A test fails for a new text column that is neither here nor in its own list."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Personal values as JSON text, their salt, and the commitment, which stays when both are erased."""

    text: str | None = None
    salt: bytes | None = None
    commitment: str | None = None


NOTHING = Apart()


SIMPLE = (str, NoneType, bool)


def _is_simple(value: Any) -> bool:
    """Whether orjson's output for a value, or for a pair of before and after, is canonical already: so it is for nearly all."""
    return all(type(each) in SIMPLE for each in value) if type(value) is tuple else type(value) in SIMPLE


def apart(values: dict[str, Any], names: Collection[str]) -> tuple[dict[str, Any], Apart]:
    """The other values, and the values of these names."""
    personal = {name: value for name, value in values.items() if name in names}
    if not personal:
        return values, NOTHING
    if all(_is_simple(value) for value in personal.values()):
        text = orjson.dumps(personal, option=orjson.OPT_SORT_KEYS).decode()  # canonical, too: columns are ASCII
    else:
        text = canonical(orjson.loads(as_json(personal)))
    salt = secrets.token_bytes(SALT_BYTES)
    kept = {name: value for name, value in values.items() if name not in names}
    return kept, Apart(text, salt, commit(text, salt))


def commit(text: str, salt: bytes) -> str:
    """The commitment to a text: the algorithm's name and its hash."""
    return f"{ALGORITHM}:{hashlib.sha256(salt + text.encode()).hexdigest()}"
