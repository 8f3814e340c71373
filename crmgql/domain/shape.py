"""Checks values against their model before the database does, so that each mistake is named by its field.

Enters: a model and column values. Leaves: nothing, or `BadUserInput` with the field's API name. The database checks
the same again; here are the words.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from tortoise import fields
from tortoise.models import Model

from crmgql.errors import BadUserInput
from crmgql.models.base import AmountField

INT4 = 2**31 - 1
MAX_AMOUNT = Decimal(10) ** 15
ZERO_DECIMALS = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def scale(currency: str) -> int:
    """Digits after the decimal point of a currency; the database's `currency_scale` says the same."""
    return 0 if currency in ZERO_DECIMALS else 3 if currency in THREE_DECIMALS else 2


def exact(amount: Decimal, currency: str, *, field: str) -> Decimal:
    """The amount written with its currency's decimals. Raises `BadUserInput` when that would round it."""
    places = scale(currency)
    if abs(amount) >= MAX_AMOUNT:
        raise BadUserInput("The amount is too large; it must be below 1,000,000,000,000,000.", field=field)
    written = amount.quantize(Decimal(1).scaleb(-places))
    if written != amount:
        raise BadUserInput(f"{currency} has {places} decimals; {amount} has more.", field=field)
    return written


def positive(amount: Decimal, *, field: str) -> Decimal:
    if amount <= 0:
        raise BadUserInput(f"Must be more than 0, not {amount}.", field=field)
    return amount


def not_negative(amount: Decimal, *, field: str) -> Decimal:
    if amount < 0:
        raise BadUserInput(f"Can't be negative, not {amount}.", field=field)
    return amount


def check(model: type[Model], values: dict[str, Any], *, prefix: str = "") -> None:
    """Raises `BadUserInput` for the first value that its column can't hold."""
    by_column = {column: model._meta.fields_map[name] for name, column in model._meta.fields_db_projection.items()}
    for column, value in values.items():
        _check(by_column[column], value, prefix + api_name(column))


def _check(field: fields.Field[Any], value: Any, name: str) -> None:
    if value is None:
        if not field.null and not field.pk:
            raise BadUserInput("Can't be empty.", field=name)
    elif isinstance(value, str) and not isinstance(field, fields.JSONField):
        check_text(value, name, longest=getattr(field, "max_length", 20_000))
    elif isinstance(field, fields.IntField) and isinstance(value, int) and abs(value) > INT4:
        raise BadUserInput(f"{value} is too large.", field=name)
    elif isinstance(field, AmountField) and abs(value) >= MAX_AMOUNT:
        raise BadUserInput("The amount is too large; it must be below 1,000,000,000,000,000.", field=name)
    elif isinstance(field, fields.DecimalField):
        _check_decimal(field, value, name)


def _check_decimal(field: fields.DecimalField[Any], value: Decimal, name: str) -> None:
    whole = field.max_digits - field.decimal_places
    if abs(value) >= Decimal(10) ** whole:
        raise BadUserInput(f"{value} is too large; it must be below 10^{whole}.", field=name)
    if value != value.quantize(Decimal(1).scaleb(-field.decimal_places)):
        raise BadUserInput(f"At most {field.decimal_places} decimals fit here.", field=name)


def check_text(value: str, name: str, *, longest: int) -> None:
    if "\x00" in value:
        raise BadUserInput("Text can't contain the character U+0000.", field=name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadUserInput("Text contains half of a surrogate pair; send whole characters.", field=name) from None
    if len(value) > longest:
        raise BadUserInput(f"Has {len(value)} characters; at most {longest} fit.", field=name)
    if name.rsplit(".", 1)[-1] in ("name", "subject", "number", "description", "key") and not value.strip():
        raise BadUserInput("Can't be blank.", field=name)


def api_name(column: str) -> str:
    """`unit_price_amount` → `unitPrice`, `owner_id` → `ownerId`, `is_primary` → `primary`."""
    name = re.sub(r"(?<=.)_amount$", "", column).removeprefix("is_")
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
