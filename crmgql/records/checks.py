"""Checks values against their model before the database does, so that an error can name the field.

Enters: a model and column values. Leaves: nothing, or `BadUserInput` with the field's API name. The database checks
the same again; the messages are written here.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import orjson
from tortoise import fields
from tortoise.models import Model

from crmgql.errors import BadUserInput
from crmgql.models.base import AmountField, NumberField, TextArrayField
from crmgql.models.names import api_name
from crmgql.records import money

INT4 = 2**31 - 1
INT8 = 2**63 - 1
MAX_JSON_BYTES = 65_536
MAX_JSON_DEPTH = 20
LONGEST_TEXT = 20_000
YEARS = range(1000, 2201)
"""Later years are typing errors, which would stay at the top of every list that shows the newest first."""

AHEAD = timedelta(days=31)
"""How far ahead of now something may have happened: banks book ahead, and clocks differ. What is later is a typing error."""

UNSEEN = "\u115f\u1160\u2800\u3164\uffa0"
"""Fillers of Hangul and the empty cell of Braille: letters and symbols without ink."""

NEVER_BLANK = frozenset(
    [
        "name",
        "subject",
        "number",
        "description",
        "sku",
        "source",
        "externalId",
        "provider",
        "providerReference",
        "idempotencyKey",
    ]
)


def positive(amount: Decimal, *, field: str) -> Decimal:
    if amount <= 0:
        raise BadUserInput(f"Must be more than 0, not {amount}.", field=field)
    return amount


Check = Callable[[Any, str], None]
"""Takes a value and the name of its field. Returns nothing, or raises `BadUserInput` with that name."""


def check(model: type[Model], values: dict[str, Any], *, prefix: str = "") -> None:
    """Raises `BadUserInput` for the first value that its column can't hold."""
    known, needed = checkers(model), _needed(model)
    for column, value in values.items():
        if value is not None:
            known[column](value, prefix + api_name(column))
        elif column in needed:
            raise BadUserInput("Can't be empty.", field=prefix + api_name(column))


@cache
def checkers(model: type[Model]) -> Mapping[str, Check]:
    """The check of each column's values, prepared once: imports check millions. None of them takes None."""
    return {
        column: _checker(model._meta.fields_map[name], api_name(column))
        for name, column in model._meta.fields_db_projection.items()
    }


@cache
def _needed(model: type[Model]) -> frozenset[str]:
    """The columns that can't be empty."""
    known, by_name = model._meta.fields_map, model._meta.fields_db_projection.items()
    return frozenset(column for name, column in by_name if not known[name].null and not known[name].pk)


def _checker(field: fields.Field[Any], column: str) -> Check:
    match field:
        case fields.JSONField():
            return check_json
        case fields.DateField() | fields.DatetimeField():
            return check_year
        case fields.CharField() | fields.TextField():
            longest = getattr(field, "max_length", LONGEST_TEXT)
            return partial(_check_plain_text, longest=longest, never_blank=column in NEVER_BLANK)
        case TextArrayField():
            return _check_texts
        case AmountField():
            return _check_amount
        case fields.DecimalField() | NumberField():
            return partial(_check_decimal, field)
        case fields.IntField():
            return _check_integer
    return accept


def accept(value: Any, name: str) -> None:
    """The check of columns for which the database's own check is enough."""


def _check_plain_text(value: str, name: str, *, longest: int, never_blank: bool) -> None:
    """As `check_text`, but faster for texts that are obviously fine."""
    plain = value.isascii() and value.isprintable() and len(value) <= longest
    if not plain or (never_blank and (not value or value.isspace())):
        check_text(value, name, longest=longest)


def _check_texts(value: list[str], name: str) -> None:
    for text in value:
        check_text(text, name, longest=LONGEST_TEXT)


def _check_amount(value: Decimal, name: str) -> None:
    money.check_size(value, field=name)


def _check_integer(value: Any, name: str) -> None:
    if isinstance(value, int) and abs(value) > INT4:
        raise BadUserInput(f"{value} is too large.", field=name)


def _check_decimal(field: fields.DecimalField[Any] | NumberField, value: Decimal, name: str) -> None:
    whole = field.max_digits - field.decimal_places
    if abs(value) >= Decimal(10) ** whole:
        raise BadUserInput(f"{value} is too large; it must be below 10^{whole}.", field=name)
    if value != value.quantize(Decimal(1).scaleb(-field.decimal_places)):
        raise BadUserInput(f"At most {field.decimal_places} decimals fit here.", field=name)


def check_year(day: date, name: str) -> None:
    if day.year not in YEARS:
        raise BadUserInput(f"The year must be {YEARS[0]} to {YEARS[-1]}, not {day.year}.", field=name)


def check_happened(moment: datetime | None, now: datetime, name: str) -> None:
    """Raises `BadUserInput` for a time at which nothing can have happened yet: what is booked on such a day stays there."""
    if moment is not None and moment > now + AHEAD:
        raise BadUserInput(f"{moment:%Y-%m-%d} has not come yet; name the time at which it happened.", field=name)


@cache
def time_zones() -> frozenset[str]:
    """Names of time zones that mean the same on every machine."""
    return frozenset(available_timezones() - {"localtime"})


def time_zone(value: Any, name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises `BadUserInput`."""
    if not isinstance(value, str) or value not in time_zones():
        raise BadUserInput('Must be an IANA time zone such as "Europe/Berlin".', field=name)
    return ZoneInfo(value)


def number(value: Any) -> Decimal | None:
    """The finite number in a text or an integer of up to 30 characters; None for anything else, floats included."""
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 30:
        return None
    try:
        found = Decimal(value)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 30 else None


def check_json(value: Any, name: str) -> None:
    """A JSON object that the database can hold: not too large, not too deep, all its texts plain."""
    if not isinstance(value, dict):
        raise BadUserInput('Must be a JSON object, such as {"colour": "red"}.', field=name)
    _check_json(value, name, MAX_JSON_DEPTH)
    if len(orjson.dumps(value)) > MAX_JSON_BYTES:
        raise BadUserInput(f"The JSON is too large; {MAX_JSON_BYTES} bytes fit.", field=name)


def _check_json(value: Any, name: str, levels: int) -> None:
    if isinstance(value, dict | list):
        if levels == 0:
            raise BadUserInput(f"The JSON is nested too deeply; {MAX_JSON_DEPTH} levels fit.", field=name)
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _check_json(item, name, levels - 1)
    elif isinstance(value, str):
        check_characters(value, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadUserInput("The JSON has a number that is too large.", field=name)
    elif isinstance(value, int) and abs(value) > INT8:
        raise BadUserInput("The JSON has a whole number that is too large; send it as a string.", field=name)
    elif value is not None and not isinstance(value, float | int):  # a variable of another type in the literal, or none
        raise BadUserInput("The JSON has a value that is no JSON; send all of it as one variable.", field=name)


def check_characters(value: str, name: str) -> None:
    """Raises `BadUserInput` for characters that PostgreSQL can't hold."""
    if "\x00" in value:
        raise BadUserInput("Text can't contain the character U+0000.", field=name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadUserInput("Text contains half of a surrogate pair; send whole characters.", field=name) from None


def check_text(value: str, name: str, *, longest: int, required: bool = False) -> None:
    """Raises `BadUserInput` for a text that is too long, that PostgreSQL can't hold, or that is blank but required."""
    check_characters(value, name)
    if len(value) > longest:
        raise BadUserInput(f"Has {len(value)} characters; at most {longest} fit.", field=name)
    if (required or name.rsplit(".", 1)[-1] in NEVER_BLANK) and is_blank(value):
        raise BadUserInput("Can't be blank.", field=name)


def is_blank(value: str) -> bool:
    """Whether the text shows nothing: it has no letter, digit, punctuation or symbol that is visible."""
    return not any(unicodedata.category(letter)[0] in "LNPS" and letter not in UNSEEN for letter in value)
