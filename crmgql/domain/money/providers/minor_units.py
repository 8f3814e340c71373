"""Amounts as providers write them, whole numbers of a currency's smallest unit, as exact decimals.

Providers differ from ISO 4217 for some currencies, each for its own; what differs is declared beside the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from crmgql.currencies import LIMIT, scale
from crmgql.domain.money.providers.refusals import BodyInvalid


def amount(units: int, currency: str, exceptions: Mapping[str, int]) -> Decimal:
    """1099, USD → 10.99. `exceptions`: the scales that the provider uses instead of ISO's."""
    return exact(Decimal(units).scaleb(-exceptions.get(currency, scale(currency))), currency)


def exact(value: Decimal, currency: str) -> Decimal:
    """The value with exactly its currency's decimals; never rounded. Raises `BodyInvalid` if it has more."""
    if abs(value) >= LIMIT:
        raise BodyInvalid(f"The amount {value} is too large; it must be below {LIMIT:f}.")
    fitting = value.quantize(Decimal(1).scaleb(-scale(currency)))
    if fitting != value:
        raise BodyInvalid(f"{currency} has {scale(currency)} decimals; {value} has more.")
    return fitting
