"""The API's scalars: what text they take, what value they give, where each is specified."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NewType
from urllib.parse import urlsplit

import strawberry
from babel.core import get_global
from email_validator import EmailNotValidError, validate_email
from graphql import GraphQLError, ValueNode
from graphql.language import FloatValueNode, IntValueNode, StringValueNode

DecimalText = NewType("DecimalText", str)
DateTimeText = NewType("DateTimeText", str)
DateText = NewType("DateText", str)
EmailAddress = NewType("EmailAddress", str)
Url = NewType("Url", str)
CurrencyCode = NewType("CurrencyCode", str)
Cursor = NewType("Cursor", str)
JsonValue = NewType("JsonValue", object)

MAX_DIGITS = 30
DECIMAL = re.compile(r"[+-]?([0-9]++(\.[0-9]*+)?|\.[0-9]++)([eE][+-]?[0-9]++)?")
"""Narrower than Python's: no spaces, no underscores, no digits of other scripts. Nothing is tried twice (`++`): texts may be
as long as a request."""


def parse_decimal(value: Any) -> Decimal:
    """An exact number from a string or a whole number. Floats are refused: they are not exact."""
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise GraphQLError('A Decimal is sent as a string, such as "12.50".')
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        raise GraphQLError(f'{value[:40]!r} is not a decimal number, such as "12.50".')
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        raise GraphQLError(f'{str(value)[:40]!r} is not a decimal number, such as "12.50".') from None
    if not number.is_finite():
        raise GraphQLError("A Decimal must be finite.")
    _, digits, exponent = number.as_tuple()
    if len(digits) > MAX_DIGITS or abs(int(exponent)) > MAX_DIGITS:
        raise GraphQLError(f"A Decimal has at most {MAX_DIGITS} digits.")
    return number


def parse_datetime(value: Any) -> datetime:
    """An ISO 8601 time with its offset, in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        if moment is not None and moment.tzinfo is not None and len(value) > 10:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError('A DateTime is ISO 8601 with an offset, such as "2026-01-31T09:30:00Z".')


def parse_date(value: Any) -> date:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError('A Date is year, month and day, such as "2026-01-31".')


def parse_email(value: Any) -> str:
    try:
        if isinstance(value, str) and len(value) <= 254:
            return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        pass
    raise GraphQLError('An EmailAddress looks like "name@example.com".')


def parse_url(value: Any) -> str:
    try:
        parts = urlsplit(value) if isinstance(value, str) and len(value) <= 500 else None
        if parts and parts.scheme in ("http", "https") and parts.hostname:
            return str(value)
    except ValueError:
        pass
    raise GraphQLError('A URL is absolute and starts with http or https, such as "https://example.com".')


@cache
def _currencies() -> frozenset[str]:
    """What is legal tender somewhere: no currencies of the past, no funds, metals or codes for tests."""
    used: Iterable[Any] = get_global("territory_currencies").values()
    return frozenset(code for listed in used for code, _, end, is_tender in listed if is_tender and end is None)


def parse_cursor(value: Any) -> str:
    """Text; whether it is a cursor is found out where it is used, which has codes for what is wrong with one."""
    if isinstance(value, str):
        return value
    raise GraphQLError("A Cursor is a string, as an event's cursor is.")


def parse_currency(value: Any) -> str:
    if isinstance(value, str) and value in _currencies():
        return value
    raise GraphQLError('A CurrencyCode is the ISO 4217 code of a currency in use, such as "EUR".')


def _literal(parse: Callable[[Any], Any], *kinds: type[ValueNode]) -> Callable[[ValueNode, Any], Any]:
    """Reads a literal by its text, so that no float comes between."""

    def parse_literal(node: ValueNode, variables: Any = None) -> Any:
        if not isinstance(node, kinds):
            return parse(None)
        return parse(getattr(node, "value", None))

    return parse_literal


def _scalar(name: str, description: str, link: str, parse: Callable[[Any], Any], *literals: Any) -> Any:
    return strawberry.scalar(
        name=name,
        description=description,
        specified_by_url=link,
        serialize=lambda value: value,
        parse_value=parse,
        parse_literal=_literal(parse, *(literals or (StringValueNode,))),
    )


SCALARS: dict[Any, Any] = {
    DecimalText: _scalar(
        "Decimal",
        "An exact decimal number, as a string.",
        "https://speleotrove.com/decimal/daconvs.html",
        parse_decimal,
        StringValueNode,
        IntValueNode,
        FloatValueNode,
    ),
    DateTimeText: _scalar(
        "DateTime",
        "A moment in ISO 8601, with offset.",
        "https://scalars.graphql.org/andimarek/date-time.html",
        parse_datetime,
    ),
    DateText: _scalar(
        "Date",
        "A calendar day in ISO 8601.",
        "https://scalars.graphql.org/andimarek/local-date.html",
        parse_date,
    ),
    EmailAddress: _scalar(
        "EmailAddress",
        "An e-mail address.",
        "https://datatracker.ietf.org/doc/html/rfc5322#section-3.4.1",
        parse_email,
    ),
    Url: _scalar("URL", "An absolute http(s) address.", "https://url.spec.whatwg.org/", parse_url),
    CurrencyCode: _scalar(
        "CurrencyCode",
        "A currency in use, by its ISO 4217 code.",
        "https://www.iso.org/iso-4217-currency-codes.html",
        parse_currency,
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="Where somebody stands in the feed of events: opaque, and in the feed's order when sorted as text.",
        serialize=lambda value: value,
        parse_value=parse_cursor,
        parse_literal=_literal(parse_cursor, StringValueNode),
    ),
    JsonValue: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc8259",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}

BY_NAME: dict[str, Any] = {
    "Decimal": DecimalText,
    "DateTime": DateTimeText,
    "Date": DateText,
    "EmailAddress": EmailAddress,
    "URL": Url,
    "CurrencyCode": CurrencyCode,
    "Cursor": Cursor,
    "JSON": JsonValue,
    "String": str,
    "Int": int,
    "Boolean": bool,
    "ID": strawberry.ID,
}
