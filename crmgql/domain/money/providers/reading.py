"""Reads what a provider sent: whatever is in there, it becomes a value of the expected kind, or a refusal.

Enters: bytes of any kind. Leaves: an `Item`, whose methods give values or raise `BodyInvalid` naming the field.
Always holds: no other error leaves here; what an optional field holds instead of a usable text is as good as nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import orjson

from crmgql.domain.money.providers.facts import Headers
from crmgql.domain.money.providers.refusals import BodyInvalid, BodyTooLarge, SignatureMissing, SignatureOld

MAX_BODY_BYTES = 1024 * 1024
MAX_TEXT = 255
TOLERANCE = timedelta(seconds=300)
"""How far a signed time may be from now, either way: what Stripe and WeChat Pay recommend."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
YEARS = range(2000, 2200)


def check_size(body: bytes) -> None:
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has {len(body)} bytes; {MAX_BODY_BYTES} are allowed.")


def json_object(body: bytes) -> Item:
    """The object that the body is. orjson refuses what is nested deeper than 1,024 levels, and is quick about it."""
    check_size(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BodyInvalid("The body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise BodyInvalid("The body must be a JSON object.")
    return Item(value)


def header(headers: Headers, name: str) -> str:
    """The header, whatever its case. Raises `SignatureMissing`."""
    for each, value in headers.items():
        if each.lower() == name.lower() and value:
            return value
    raise SignatureMissing(f"The header {name} is missing.")


def check_time(text: str, now: datetime) -> None:
    """Raises `SignatureOld` for a signed time, in seconds, that is more than `TOLERANCE` from now."""
    if not SECONDS.fullmatch(text):
        raise SignatureMissing("The signed time is no number of seconds.")
    if abs(now.timestamp() - int(text)) > TOLERANCE.total_seconds():
        raise SignatureOld(f"Signed more than {TOLERANCE.seconds} seconds before or after now.")


@dataclass(frozen=True, slots=True)
class Item:
    """An object of the body. `path` is where it is, for messages."""

    values: dict[str, Any]
    path: str = ""

    def wrong(self, name: str, right: str) -> BodyInvalid:
        return BodyInvalid(f"{self.path}{name} must be {right}.")

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        found = self.maybe(name)
        if found is None:
            raise self.wrong(name, f"a text of 1 to {MAX_TEXT} characters without control characters")
        return found

    def maybe(self, name: str) -> str | None:
        """The text, None where there is none or it is unusable: empty, too long, with control characters."""
        value = self.values.get(name)
        usable = isinstance(value, str) and 0 < len(value) <= MAX_TEXT and not CONTROL.search(value)
        return value if usable else None

    def whole(self, name: str) -> int:
        """A whole number, which some write as a text. A float is none: it may have been rounded already."""
        value = self.values.get(name)
        if isinstance(value, str) and WHOLE.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return value
        raise self.wrong(name, "a whole number")

    def units(self, name: str) -> int:
        """A whole number of 0 or more."""
        value = self.whole(name)
        if value < 0:
            raise self.wrong(name, "0 or more")
        return value

    def flag(self, name: str) -> bool:
        """true or false, which some write as a text."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return bool(value == "true")
        raise self.wrong(name, "true or false")

    def currency(self, name: str) -> str:
        code = (self.maybe(name) or "").upper()
        if not CURRENCY.fullmatch(code):
            raise self.wrong(name, "a currency of three letters")
        return code

    def seconds(self, name: str) -> datetime:
        """A time as seconds since 1970."""
        value = self.whole(name)
        if not 0 <= value < 10**10:
            raise self.wrong(name, "a time in seconds")
        return self._plausible(name, datetime.fromtimestamp(value, UTC))

    def time(self, name: str, zone: tzinfo | None = None) -> datetime:
        """A time as ISO 8601 has it. `zone`: of times that don't say theirs; without it they are refused."""
        try:
            value = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise self.wrong(name, "a time such as 2026-01-31T12:00:00+01:00") from None
        value = value if value.tzinfo else value.replace(tzinfo=zone)
        if value.tzinfo is None:
            raise self.wrong(name, "a time with its zone")
        return self._plausible(name, value)

    def _plausible(self, name: str, value: datetime) -> datetime:
        if value.year not in YEARS:
            raise self.wrong(name, f"a time between {YEARS.start} and {YEARS.stop}")
        return value.astimezone(UTC)

    def item(self, name: str) -> Item:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Item(value, f"{self.path}{name}.")

    def maybe_item(self, name: str) -> Item:
        """The object, an empty one where there is none."""
        value = self.values.get(name)
        return Item(value if isinstance(value, dict) else {}, f"{self.path}{name}.")

    def items(self, name: str) -> list[Item]:
        values = self.values.get(name)
        if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
            raise self.wrong(name, "a list of objects")
        return [Item(each, f"{self.path}{name}.{n}.") for n, each in enumerate(values)]
