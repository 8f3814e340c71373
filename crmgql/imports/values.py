"""From the text of a cell to a value. Pure: no clock, no database, and never a float.

Every converter takes text that is not blank and gives a value for its column, or raises ValueError with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from crmgql.imports.nouns import Field, Kind
from crmgql.records import money, numbers
from crmgql.records.numbers import short

ISO = "iso"
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
_ROUNDED = Context(prec=100, rounding=ROUND_HALF_UP)
_QUANTA = tuple(Decimal(1).scaleb(-digits) for digits in range(13))
_YES = frozenset({"true", "t", "yes", "y", "1"})
_NO = frozenset({"false", "f", "no", "n", "0"})

Convert = Callable[[str], Any]


@dataclass(frozen=True)
class Style:
    """How dates and numbers are written. A naive time is in `timezone`."""

    dates: tuple[str, ...] = (ISO,)
    datetimes: tuple[str, ...] = (ISO,)
    timezone: str = "UTC"
    decimal: str = "."
    thousands: str = ""


DEFAULT_STYLE = Style()


@lru_cache(maxsize=1024)
def currency_scale(code: str) -> int:
    """Digits after the decimal point; ValueError for what is no ISO 4217 code."""
    if not money.is_code(code):
        raise ValueError(f"{code!r} is not a currency code such as USD")
    return money.scale(code)


def number_reader(style: Style) -> Callable[[str], Decimal]:
    """Exact decimals in that style. Groups of thousands are optional but must be groups of three."""
    return numbers.reader(style.decimal, style.thousands)


def scaled(value: Decimal, factor: Decimal | None) -> Decimal:
    return value if factor is None else _EXACT.multiply(value, factor)


def inverse(value: Decimal, decimals: int) -> Decimal:
    """1 divided by the value, rounded half up to so many decimals; ValueError for 0."""
    if value == 0:
        raise ValueError("0 has no inverse")
    return _ROUNDED.quantize(_ROUNDED.divide(Decimal(1), value), _QUANTA[decimals])


def fit(value: Decimal, decimals: int, what: str) -> Decimal:
    """The same value with exactly so many decimals; ValueError when it has more."""
    try:
        return _EXACT.quantize(value, _QUANTA[decimals])
    except (Inexact, InvalidOperation) as error:
        raise ValueError(f"{value} has too many decimals: {what} has {decimals}") from error


def fit_amount(value: Decimal, currency: str) -> Decimal:
    """An amount at its currency's scale: 99.9 BRL is 99.90."""
    if abs(value) >= money.LIMIT:
        raise ValueError(f"{value} is too large: at most 15 digits before the decimal point")
    return fit(value, currency_scale(currency), currency)


def check_bounds(value: Decimal | int, field: Field) -> None:
    """The model's CHECKs on one column, so that most bad rows are found before the database sees them."""
    if field.low is not None and value < field.low:
        raise ValueError(f"{value} is less than {field.low}")
    if field.high is not None and value > field.high:
        raise ValueError(f"{value} is more than {field.high}")
    if field.above is not None and value <= field.above:
        raise ValueError(f"{value} is not more than {field.above}")


def _text(field: Field) -> Convert:
    longest, choices = field.max_length, frozenset(field.choices)

    def convert(text: str) -> str:
        if choices and text not in choices:
            raise ValueError(f"{short(text)} is none of {', '.join(field.choices)}")
        if longest is not None and len(text) > longest:
            raise ValueError(f"has {len(text)} characters, at most {longest} fit")
        return text

    return convert


def _integer(field: Field, style: Style, factor: Decimal | None) -> Convert:
    read = number_reader(style)

    def convert(text: str) -> int:
        value = scaled(read(text), factor)
        if value != value.to_integral_value():
            raise ValueError(f"{value} is not a whole number")
        if abs(value) >= 2**31:
            raise ValueError(f"{value} is too large")
        check_bounds(int(value), field)
        return int(value)

    return convert


def _decimal(field: Field, style: Style, factor: Decimal | None, *, invert: bool) -> Convert:
    read = number_reader(style)
    decimals = field.decimals or 0
    bound = Decimal(10) ** ((field.digits or 28) - decimals)

    def convert(text: str) -> Decimal:
        value = scaled(read(text), factor)
        if invert:
            value = inverse(value, decimals)
        if abs(value) >= bound:
            raise ValueError(f"{value} is too large: it must be below {bound}")
        check_bounds(value, field)
        return fit(value, decimals, field.name)

    return convert


def _boolean(text: str) -> bool:
    folded = text.lower()
    if folded in _YES or folded in _NO:
        return folded in _YES
    raise ValueError(f"{short(text)} is neither true nor false")


def _date(formats: tuple[str, ...]) -> Convert:
    @lru_cache(maxsize=20_000)
    def convert(text: str) -> date:
        for pattern in formats:
            try:
                return date.fromisoformat(text) if pattern == ISO else datetime.strptime(text, pattern).date()
            except ValueError:
                continue
        raise ValueError(f"{short(text)} is not a date ({' or '.join(formats)})")

    return convert


def _datetime(formats: tuple[str, ...], timezone: str) -> Convert:
    zone = ZoneInfo(timezone)

    @lru_cache(maxsize=20_000)
    def convert(text: str) -> datetime:
        for pattern in formats:
            try:
                value = datetime.fromisoformat(text) if pattern == ISO else datetime.strptime(text, pattern)
                return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
        raise ValueError(f"{short(text)} is not a date and time ({' or '.join(formats)})")

    return convert


def _json(text: str) -> str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{short(text)} is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError(f"{short(text)} is not a JSON object")
    return text


def converter(field: Field, style: Style, factor: Decimal | None = None, *, invert: bool = False) -> Convert:
    """The converter of a field. An amount comes out unfitted, since its currency is another field: see `fit_amount`."""
    match field.kind:
        case Kind.TEXT | Kind.TEXTS:
            return _text(field)
        case Kind.INTEGER:
            return _integer(field, style, factor)
        case Kind.DECIMAL:
            return _decimal(field, style, factor, invert=invert)
        case Kind.AMOUNT:
            read = number_reader(style)
            return lambda text: scaled(read(text), factor)
        case Kind.BOOLEAN:
            return _boolean
        case Kind.DATE:
            return _date(style.dates)
        case Kind.DATETIME:
            return _datetime(style.datetimes, style.timezone)
        case Kind.JSON:
            return _json
        case Kind.REFERENCE:
            return str
