"""Values as JSON text: as rows store them, and in canonical form for hashes (RFC 8785)."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson


def as_json(value: Any) -> str:
    """JSON text with exact amounts as strings."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"  # never 2.7E+7, which is how whole amounts come from the database
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def canonical(value: Any) -> str:
    """The canonical JSON text of a value, by RFC 8785: names sorted by UTF-16, numbers as JavaScript writes them."""
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
