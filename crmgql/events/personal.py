"""Which columns hold personal values, and how those are taken out of what a row keeps.

A personal value says who somebody is or how to reach them, or is free text that may. Enters: what a row says. Leaves: what
it keeps for good, and `Apart`: the personal rest as text, with a salt of its own and a commitment to both. Always holds: a
commitment tells nothing of the values without their salt, so erasing both leaves nothing but that there was something.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

ALGORITHM = "sha256-1"
"""SHA-256 over the salt and the text in UTF-8, as stored. A better one gets another name; old rows keep theirs."""

SALT_BYTES = 16

COLUMNS: dict[str, frozenset[str]] = {
    record: frozenset(names.split())
    for record, names in {
        "Absence": "reason",
        "Contact": "name title email phone",
        "Customer": "name email phone website city state postal_code notes",
        "EmailMessage": "to_address subject body error",
        "Interaction": "subject body",
        "Lead": "name company title email phone website city message attributes normal_email normal_phone domain lost_reason",
        "LeadDuplicate": "reasons",
        "Notification": "title body",
        "Opportunity": "name lost_reason",
        "Order": "note",
        "Payment": "reference",
        "PoolItem": "shown",
        "SellerProfile": "attributes",
        "Task": "subject description",
        "Ticket": "subject description",
        "User": "name email city state postal_code",
    }.items()
}
"""Type → columns whose values in `changes` are personal. A new column of text has to be named here or in the test beside."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Personal values as JSON text, their salt, and the commitment that stays when both are erased."""

    text: str | None = None
    salt: bytes | None = None
    commitment: str | None = None


NOTHING = Apart()


def apart(said: dict[str, Any], names: Collection[str]) -> tuple[dict[str, Any], Apart]:
    """What is kept, and the values of these names apart. `said` is JSON already: no UUIDs, no decimals."""
    personal = {name: value for name, value in said.items() if name in names}
    if not personal:
        return said, NOTHING
    text, salt = canonical(personal), secrets.token_bytes(SALT_BYTES)
    kept = {name: value for name, value in said.items() if name not in names}
    return kept, Apart(text, salt, commit(text, salt))


def commit(text: str, salt: bytes) -> str:
    """The commitment to a text: the algorithm's name and its hash."""
    return f"{ALGORITHM}:{hashlib.sha256(salt + text.encode()).hexdigest()}"


def canonical(value: Any) -> str:
    """The one JSON text of a value, by RFC 8785: names in the order of UTF-16, numbers as JavaScript writes them."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    return orjson.dumps(value).decode()


def _number(value: float) -> str:
    """As ECMAScript's Number::toString does it: the shortest digits, an exponent below 1e-6 and from 1e21 on."""
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits, point = "".join(map(str, figures)), len(figures) + int(exponent)
    if digits == "0":
        return "0"
    if len(digits) <= point <= 21:
        text = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1:+d}"
    return f"-{text}" if sign else text
