"""Inputs that several nouns share."""

from __future__ import annotations

import strawberry

from crmgql.schema.mutating import input
from crmgql.schema.scalars import CurrencyCode, DecimalText
from crmgql.schema.strawberries import publish

UNSET = strawberry.UNSET


@strawberry.input
class MoneyInput:
    """An amount in a currency, with no more decimals than the currency has."""

    amount: DecimalText
    currency: CurrencyCode


publish("MoneyInput", MoneyInput)


@input
class MoveInput:
    """A record whose state changes."""

    id: strawberry.ID
    expected_version: int | None = UNSET
