"""Inputs that several nouns share."""

from __future__ import annotations

import strawberry

from crmgql.engine.mutations import input
from crmgql.engine.scalars import CurrencyCode, DecimalText
from crmgql.engine.strawberries import publish

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
