"""Exact numbers and how they become amounts: whole units of a currency, such as cents. Pure.

Numbers that are whole are kept as `int`, which is what most are: it is many times faster than a fraction of 1.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

Exact = Fraction | int


def exact(value: Decimal | Exact) -> Exact:
    if isinstance(value, int):
        return value
    return _of_decimal(value) if isinstance(value, Decimal) else _whole(value)


@lru_cache(maxsize=4096)
def _of_decimal(value: Decimal) -> Exact:
    """Shares and rates are few, and come again and again."""
    return _whole(Fraction(value))


def _whole(value: Fraction) -> Exact:
    return value.numerator if value.denominator == 1 else value


def units(amount: Decimal, scale: int) -> int:
    """The amount in units of its currency. Raises `ValueError` for one with more decimals than the currency."""
    if not amount:
        return 0
    shifted = amount.scaleb(scale)
    whole = int(shifted)
    if whole != shifted:
        raise ValueError(f"{amount} has more than {scale} decimals.")
    return whole


def amount(units: int, scale: int) -> Decimal:
    return Decimal(units).scaleb(-scale)


def decimal(value: Exact, decimals: int) -> Decimal:
    """The value with so many decimals, rounded half up."""
    one: int = 10**decimals
    return amount(half_up(value * one), decimals)


def half_up(value: Exact) -> int:
    """The nearest whole number, of two the one further from 0."""
    if isinstance(value, int):
        return value
    number, of = value.as_integer_ratio()
    return (2 * number + of) // (2 * of) if number >= 0 else -((of - 2 * number) // (2 * of))


def share_of(whole: int, part: Exact, of: Exact) -> int:
    """What a part of something is of a whole, in units, rounded half up."""
    if part == of:
        return whole
    number, below = part.as_integer_ratio()
    of_number, of_below = of.as_integer_ratio()
    number, below = 2 * whole * number * of_below, below * of_number
    return (number + below) // (2 * below)


def cut(whole: Exact, share_from: Exact, share_to: Exact) -> int:
    """What of a whole, in units and not below 0, is between two shares. Inside it is rounded down, from 1 on half up, so the parts
    of shares that sum to 1 sum to the whole rounded half up."""
    return _up_to(whole, share_to) - (_up_to(whole, share_from) if share_from else 0)


def _up_to(whole: Exact, share: Exact) -> int:
    if share >= 1:
        return half_up(whole if share == 1 else whole * share)
    number, of = whole.as_integer_ratio()
    share_number, share_of = share.as_integer_ratio()
    return number * share_number // (of * share_of)
