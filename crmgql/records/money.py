"""Amounts of money: what clients send becomes exact columns, in the record's currency and with the currency's decimals.

Enters: an amount with its currency, and the currency that it must be in. Leaves: the amount with exactly the currency's
decimals. Pure. Only `rounded` rounds. The database checks the same again (`amount_fits`); the messages are written here.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crmgql.currencies import LIMIT, NO_DECIMALS, THREE_DECIMALS, is_code, scale
from crmgql.errors import BadUserInput, CurrencyMismatch
from crmgql.models import names

__all__ = [
    "LIMIT",
    "NO_DECIMALS",
    "THREE_DECIMALS",
    "Money",
    "amount",
    "check_size",
    "columns",
    "is_code",
    "rounded",
    "scale",
]

Money = tuple[Decimal, str]
"""An amount and its currency, as clients send them."""


def rounded(value: Decimal, currency: str) -> Decimal:
    """The value with the currency's decimals, rounded half up."""
    return value.quantize(Decimal(1).scaleb(-scale(currency)), ROUND_HALF_UP)


def check_size(value: Decimal, *, field: str) -> None:
    if abs(value) >= LIMIT:
        raise BadUserInput("The amount is too large; it must be below 1,000,000,000,000,000.", field=field)


def amount(sent: Money, currency: str | None = None, *, field: str, positive: bool = False) -> Decimal:
    """The amount with its currency's decimals. It can't be negative; if `positive`, it must be more than 0.

    Raises `CurrencyMismatch` for another currency than the one asked for, `BadUserInput` for an amount that does not fit.
    """
    value, own = sent
    if currency not in (None, own):
        raise CurrencyMismatch(f"This amount is in {own}; it must be in {currency}.", field=field)
    check_size(value, field=field)
    exact = rounded(value, own)
    if exact != value:
        raise BadUserInput(f"{own} has {scale(own)} decimals; {value} has more.", field=field)
    if positive and exact <= 0:
        raise BadUserInput(f"Must be more than 0, not {exact}.", field=field)
    if exact < 0:
        raise BadUserInput(f"Can't be negative, not {exact}.", field=field)
    return exact


def columns(values: dict[str, Any], *amounts: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The named amounts as columns, such as `budget_amount`. They are taken out of the values.

    All are in the record's one currency: the one among the values, else that of the row `before`, else the first amount's;
    a new row gets it, too. Raises as `amount`, and `CurrencyMismatch` when an amount that is not sent again would change
    its currency and keep its number.
    """
    sent: dict[str, Money | None] = {name: values.pop(name) for name in amounts if name in values}
    own = before["currency"] if before else next((money[1] for money in sent.values() if money), None)
    currency = values.get("currency") or own
    for name in amounts:
        if before and currency != own and name not in sent and before[f"{name}_amount"] is not None:
            words = name.replace("_", " ")
            raise CurrencyMismatch(f"The {words} is in {own}; send it again in {currency}.", field="currency")
    found = {
        f"{name}_amount": money and amount(money, currency, field=names.api_name(name)) for name, money in sent.items()
    }
    return found if before else {"currency": currency, **found}
